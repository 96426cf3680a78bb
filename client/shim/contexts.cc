#include "client/shim/contexts.h"

#include "client/shim/thread_state.h"

namespace outboard::shim {
namespace {

// Errors of which the manual says that the process has to be started anew.
bool IsSticky(CUresult result) {
  switch (result) {
    case CUDA_ERROR_ECC_UNCORRECTABLE:
    case CUDA_ERROR_NVLINK_UNCORRECTABLE:
    case CUDA_ERROR_CONTAINED:
    case CUDA_ERROR_ILLEGAL_ADDRESS:
    case CUDA_ERROR_LAUNCH_TIMEOUT:
    case CUDA_ERROR_ASSERT:
    case CUDA_ERROR_HARDWARE_STACK_ERROR:
    case CUDA_ERROR_ILLEGAL_INSTRUCTION:
    case CUDA_ERROR_MISALIGNED_ADDRESS:
    case CUDA_ERROR_INVALID_ADDRESS_SPACE:
    case CUDA_ERROR_INVALID_PC:
    case CUDA_ERROR_LAUNCH_FAILED:
    case CUDA_ERROR_TENSOR_MEMORY_LEAK:
    case CUDA_ERROR_MPS_CLIENT_TERMINATED:
    case CUDA_ERROR_EXTERNAL_DEVICE:
      return true;
    default:
      return false;
  }
}

}  // namespace

void Contexts::Add(CUcontext context, const Info& info) {
  std::lock_guard lock(mutex_);
  Info& added = contexts_[context] = info;
  if (added.home == nullptr) added.home = context;
  if (added.green != nullptr) greens_[added.green] = context;
  version_.fetch_add(1, std::memory_order_release);
}

void Contexts::Remove(CUcontext context) {
  std::lock_guard lock(mutex_);
  const auto found = contexts_.find(context);
  if (found == contexts_.end()) return;
  greens_.erase(found->second.green);
  contexts_.erase(found);
  version_.fetch_add(1, std::memory_order_release);
}

void Contexts::SetActive(CUcontext context, bool active) {
  std::lock_guard lock(mutex_);
  const auto found = contexts_.find(context);
  if (found == contexts_.end()) return;
  found->second.is_active = active;
  for (auto& [other, info] : contexts_) {
    if (!active && info.home == context) info.is_active = false;
  }
  version_.fetch_add(1, std::memory_order_release);
}

std::optional<Contexts::Info> Contexts::Find(CUcontext context) const {
  std::lock_guard lock(mutex_);
  const auto found = contexts_.find(context);
  if (found == contexts_.end()) return std::nullopt;
  return found->second;
}

CUcontext Contexts::HomeOf(CUcontext context) const {
  const auto found = Find(context);
  return found ? found->home : context;
}

CUresult Contexts::FindGreen(CUgreenCtx green, CUcontext* context) const {
  std::lock_guard lock(mutex_);
  const auto found = greens_.find(green);
  if (found == greens_.end()) return CUDA_ERROR_INVALID_CONTEXT;
  *context = found->second;
  return contexts_.at(*context).is_active ? CUDA_SUCCESS : CUDA_ERROR_CONTEXT_IS_DESTROYED;
}

bool Contexts::Attach(CUcontext context) {
  std::lock_guard lock(mutex_);
  const auto found = contexts_.find(context);
  if (found == contexts_.end()) return false;
  ++found->second.users;
  return true;
}

bool Contexts::Detach(CUcontext context) {
  std::lock_guard lock(mutex_);
  const auto found = contexts_.find(context);
  if (found == contexts_.end() || found->second.users == 1) return false;
  --found->second.users;
  return true;
}

CUresult Contexts::Resolve(CUcontext* context, Info* info) const {
  const bool is_current = *context == nullptr;
  if (is_current) *context = CurrentContext();
  if (*context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
  const auto found = Find(*context);
  // What is current was a context once.
  if (!found) return is_current ? CUDA_ERROR_CONTEXT_IS_DESTROYED : CUDA_ERROR_INVALID_CONTEXT;
  if (!found->is_active) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
  *info = *found;
  return CUDA_SUCCESS;
}

void Contexts::Note(CUresult result) {
  if (!IsSticky(result)) return;
  int none = CUDA_SUCCESS;
  error_.compare_exchange_strong(none, result, std::memory_order_acq_rel);
}

bool Contexts::Accepts(ThreadState& thread) const {
  if (!healthy()) return false;
  const uint64_t version = version_.load(std::memory_order_acquire);
  auto& checked = thread.checked;
  if (checked.version != version || checked.context != thread.lane.context) {
    const auto found = Find(reinterpret_cast<CUcontext>(thread.lane.context));
    checked = {thread.lane.context, version, found && found->is_active};
  }
  return checked.is_active;
}

}  // namespace outboard::shim
