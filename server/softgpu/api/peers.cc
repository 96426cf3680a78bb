#include "server/softgpu/api/peers.h"

#include <algorithm>

#include "server/softgpu/api/context.h"
#include "server/softgpu/api/device.h"

namespace outboard::softgpu::api {

bool Peers::IsActive(const Peer& peer) const {
  const auto context = owner_.driver.handles.Find<Context>(peer.handle);
  return context && context->active() && context->id() == peer.activation;
}

CUresult Peers::Enable(const Context& peer) {
  if (&peer == &owner_) return CUDA_ERROR_INVALID_CONTEXT;
  if (!CanAccess(owner_.device, peer.device)) return CUDA_ERROR_PEER_ACCESS_UNSUPPORTED;
  std::lock_guard lock(mutex_);
  std::erase_if(peers_, [this](const Peer& known) { return !IsActive(known); });
  const bool is_known =
      std::any_of(peers_.begin(), peers_.end(), [&](const Peer& known) { return known.handle == peer.handle(); });
  if (is_known) return CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED;
  peers_.push_back({peer.handle(), peer.id(), &peer.device});
  return CUDA_SUCCESS;
}

CUresult Peers::Disable(const Context& peer) {
  std::lock_guard lock(mutex_);
  const auto wanted = [&](const Peer& known) { return known.handle == peer.handle() && known.activation == peer.id(); };
  return std::erase_if(peers_, wanted) != 0 ? CUDA_SUCCESS : CUDA_ERROR_PEER_ACCESS_NOT_ENABLED;
}

void Peers::DisableAll() {
  std::lock_guard lock(mutex_);
  peers_.clear();
  opened_.clear();
}

void Peers::Open(Device& device) {
  if (&device == &owner_.device) return;
  std::lock_guard lock(mutex_);
  opened_.push_back(&device);
}

void Peers::Close(const Device& device) {
  std::lock_guard lock(mutex_);
  const auto found = std::find(opened_.begin(), opened_.end(), &device);
  if (found != opened_.end()) opened_.erase(found);
}

std::shared_ptr<const ExtentTable> Peers::Memory() const {
  auto own = owner_.device.memory->Extents();
  std::vector<const Device*> devices;
  {
    std::lock_guard lock(mutex_);
    const auto add = [&](const Device* device) {
      if (std::find(devices.begin(), devices.end(), device) == devices.end()) devices.push_back(device);
    };
    for (const Peer& peer : peers_) {
      if (IsActive(peer)) add(peer.device);
    }
    for (const Device* device : opened_) add(device);
  }
  const auto mapped = owner_.driver.virtual_memory.Extents(owner_.device.ordinal);
  ExtentTable shared;
  owner_.driver.pools.AppendShared(owner_.device, devices, &shared);
  if (devices.empty() && mapped == nullptr && shared.empty()) return own;
  struct Merged {
    ExtentTable extents;
    std::shared_ptr<const ExtentTable> mapped;  // keeps what it names in place
  };
  const auto merged = std::make_shared<Merged>(Merged{*own, mapped});
  ExtentTable* const all = &merged->extents;
  for (const Device* device : devices) {
    const auto extents = device->memory->Extents();
    all->insert(all->end(), extents->begin(), extents->end());
  }
  all->insert(all->end(), shared.begin(), shared.end());
  if (mapped != nullptr) all->insert(all->end(), mapped->begin(), mapped->end());
  std::sort(all->begin(), all->end(), [](const Extent& a, const Extent& b) { return a.begin < b.begin; });
  return {merged, all};
}

}  // namespace outboard::softgpu::api
