#include "server/worker/graph_memory.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "server/worker/allocations.h"
#include "server/worker/home_context.h"

namespace outboard::worker {

// `context` is the calling thread's current one.
CUresult GraphMemory::EndStream(CUcontext context, CUstream* stream) {
  {
    std::lock_guard lock(mutex_);
    if (const auto found = end_streams_.find(context); found != end_streams_.end()) {
      *stream = found->second;
      return CUDA_SUCCESS;
    }
  }
  CUstream made;
  const CUresult result = driver_.cuStreamCreate(&made, CU_STREAM_NON_BLOCKING);
  if (result != CUDA_SUCCESS) return result;
  bool is_new;
  {
    std::lock_guard lock(mutex_);
    const auto [found, added] = end_streams_.emplace(context, made);
    is_new = added;
    *stream = found->second;
  }
  if (!is_new) driver_.cuStreamDestroy_v2(made);
  return CUDA_SUCCESS;
}

CUresult GraphMemory::Allocate(CUdeviceptr* address, uint64_t number, size_t bytes) {
  if (address == nullptr || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  const InHomeContext home(driver_);
  CUcontext context = nullptr;
  CUstream unused;
  CUresult result = driver_.cuCtxGetCurrent(&context);
  if (result == CUDA_SUCCESS) result = EndStream(context, &unused);  // now, as nothing may fail when it is needed
  if (result == CUDA_SUCCESS) result = allocations_.Allocate(address, bytes);
  if (result != CUDA_SUCCESS) return result;
  {
    std::lock_guard lock(mutex_);
    if (blocks_.try_emplace(number, Block{*address, context}).second) {
      addresses_[*address] = context;
      return CUDA_SUCCESS;
    }
  }
  allocations_.Free(*address);
  return CUDA_ERROR_INVALID_VALUE;  // the number is another's
}

CUresult GraphMemory::SetAside(uint64_t number) {
  CUdeviceptr address;
  {
    std::lock_guard lock(mutex_);
    const auto found = blocks_.find(number);
    if (found == blocks_.end()) return CUDA_ERROR_INVALID_VALUE;
    address = found->second.address;
    addresses_.erase(address);
    blocks_.erase(found);
  }
  return allocations_.SetAside(address);
}

void GraphMemory::Use(std::span<const uint64_t> numbers, CUstream stream) {
  if (numbers.empty()) return;
  std::vector<CUcontext> contexts;
  {
    std::lock_guard lock(mutex_);
    for (const uint64_t number : numbers) {
      const auto found = blocks_.find(number);
      if (found == blocks_.end()) continue;
      if (std::ranges::count(contexts, found->second.context) == 0) contexts.push_back(found->second.context);
    }
  }
  if (contexts.empty() || Await(contexts, stream) == CUDA_SUCCESS) return;
  std::lock_guard lock(mutex_);
  for (const uint64_t number : numbers) {
    if (const auto found = blocks_.find(number); found != blocks_.end()) found->second.stays = true;
  }
}

// Has the streams in which memory of these contexts is given back wait for what is in `stream`.
CUresult GraphMemory::Await(std::span<const CUcontext> contexts, CUstream stream) {
  CUevent event;
  CUresult result = driver_.cuEventCreate(&event, CU_EVENT_DISABLE_TIMING);
  if (result != CUDA_SUCCESS) return result;
  result = driver_.cuEventRecord(event, stream);
  for (CUcontext context : contexts) {
    CUstream end;
    if (result == CUDA_SUCCESS) result = driver_.cuCtxPushCurrent_v2(context);
    if (result != CUDA_SUCCESS) break;
    result = EndStream(context, &end);
    if (result == CUDA_SUCCESS) result = driver_.cuStreamWaitEvent(end, event, 0);
    driver_.cuCtxPopCurrent_v2(&context);
  }
  driver_.cuEventDestroy_v2(event);
  return result;
}

bool GraphMemory::Has(CUdeviceptr address) const {
  std::lock_guard lock(mutex_);
  return addresses_.contains(address);
}

CUresult GraphMemory::Release(uint64_t number) {
  Block block;
  {
    std::lock_guard lock(mutex_);
    const auto found = blocks_.find(number);
    if (found == blocks_.end()) return CUDA_SUCCESS;
    block = found->second;
    blocks_.erase(found);
  }
  if (block.stays || driver_.cuCtxPushCurrent_v2(block.context) != CUDA_SUCCESS) return CUDA_SUCCESS;
  CUstream end;
  CUevent over = nullptr;
  CUresult result = EndStream(block.context, &end);
  if (result == CUDA_SUCCESS) result = driver_.cuEventCreate(&over, CU_EVENT_DISABLE_TIMING);
  if (result == CUDA_SUCCESS) result = driver_.cuEventRecord(over, end);
  driver_.cuCtxPopCurrent_v2(&block.context);
  if (result != CUDA_SUCCESS) return result;  // it ends with its context
  std::lock_guard lock(mutex_);
  released_.push_back({over, block});
  return CUDA_SUCCESS;
}

void GraphMemory::FreeReleased() {
  std::vector<Released> left;
  {
    std::lock_guard lock(mutex_);
    left.swap(released_);
  }
  if (left.empty()) return;
  std::erase_if(left, [&](const Released& released) { return FreeIfOver(released); });
  std::lock_guard lock(mutex_);
  released_.insert(released_.end(), left.begin(), left.end());
}

// True when there is nothing more to be done: its context may have ended meanwhile, and it with that.
bool GraphMemory::FreeIfOver(const Released& released) {
  const CUresult result = driver_.cuEventQuery(released.over);
  if (result != CUDA_SUCCESS) return result == CUDA_ERROR_INVALID_HANDLE;
  CUcontext context = released.block.context;
  if (driver_.cuCtxPushCurrent_v2(context) != CUDA_SUCCESS) return true;
  {
    // Once the driver has freed it, another thread may be given the same address.
    std::lock_guard lock(mutex_);
    addresses_.erase(released.block.address);
  }
  CUstream stream;
  if (allocations_.ClearingStream(context, &stream) == CUDA_SUCCESS &&
      allocations_.FreeAsync(released.block.address, stream) == CUDA_SUCCESS) {
    driver_.cuStreamSynchronize(stream);  // for nothing but this: whoever asks next what is free is told
  }
  driver_.cuEventDestroy_v2(released.over);
  driver_.cuCtxPopCurrent_v2(&context);
  return true;
}

void GraphMemory::ForgetContext(CUcontext context) {
  std::lock_guard lock(mutex_);
  end_streams_.erase(context);
  std::erase_if(blocks_, [&](const auto& each) { return each.second.context == context; });
  std::erase_if(addresses_, [&](const auto& each) { return each.second == context; });
  std::erase_if(released_, [&](const Released& each) { return each.block.context == context; });
}

}  // namespace outboard::worker
