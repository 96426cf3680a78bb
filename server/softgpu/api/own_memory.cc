#include "server/softgpu/api/own_memory.h"

#include "server/softgpu/device/block_heap.h"

namespace outboard::softgpu::api {
namespace {

uint64_t WholeGranules(uint64_t bytes) { return (bytes + kGranule - 1) / kGranule * kGranule; }

}  // namespace

void OwnMemory::Keep(const interop::OwnMemoryAccount* account) {
  std::lock_guard lock(mutex_);
  account_.reset();
  if (account != nullptr) account_ = *account;
}

bool OwnMemory::Take(int device, uint64_t bytes) {
  std::lock_guard lock(mutex_);
  return !account_ || account_->take(account_->user, device, WholeGranules(bytes));
}

void OwnMemory::GiveBack(int device, uint64_t bytes) {
  std::lock_guard lock(mutex_);
  if (account_) account_->give_back(account_->user, device, WholeGranules(bytes));
}

}  // namespace outboard::softgpu::api
