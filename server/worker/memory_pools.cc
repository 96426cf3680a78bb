#include "server/worker/memory_pools.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "server/worker/allocations.h"
#include "server/worker/session.h"
#include "server/worker/shares.h"

namespace outboard::worker {
namespace {

constexpr char kPointerMagic[8] = {'O', 'B', 'P', 'O', 'I', 'N', 'T', '1'};

void Refund(const LeasedDevice& device, uint64_t bytes) { device.ledger->Refund(device.account, bytes); }

}  // namespace

// Keeps a pool from ending while the driver is called with it. False for a pool that is not known.
class MemoryPools::User {
 public:
  User(MemoryPools& pools, CUmemoryPool pool) : pools_(pools), pool_(pool) {
    std::lock_guard lock(pools_.mutex_);
    const auto found = pools_.pools_.find(pool);
    if (found == pools_.pools_.end()) return;
    ++found->second.users;
    device_ = found->second.device;
  }
  ~User() {
    if (device_ == nullptr) return;
    std::lock_guard lock(pools_.mutex_);
    --pools_.pools_.at(pool_).users;
  }
  User(const User&) = delete;
  User& operator=(const User&) = delete;

  explicit operator bool() const { return device_ != nullptr; }
  const LeasedDevice& device() const { return *device_; }

 private:
  MemoryPools& pools_;
  const CUmemoryPool pool_;
  const LeasedDevice* device_ = nullptr;
};

MemoryPools::MemoryPools(const driver::DriverTable& driver, std::span<const LeasedDevice> devices, AsideRanges* aside,
                         Shares* shares, bool clears)
    : driver_(driver), devices_(devices), aside_(*aside), shares_(*shares), clears_(clears) {}

MemoryPools::~MemoryPools() {
  for (const Closing& closing : closing_) CloseImport(closing.pool, closing.name);
  for (const auto& [address, live] : live_) {
    if (!live.name) continue;
    Pool& its = pools_.at(live.pool);
    if (its.is_imported) {
      CloseImport(live.pool, *live.name);
    } else {
      its.device->ledger->EndExport(*live.name, its.device->account);
      its.charged -= std::min(its.charged, live.bytes);
    }
  }
  for (const auto& [handle, pool] : pools_) Refund(*pool.device, pool.charged);
}

const LeasedDevice* MemoryPools::FindDevice(CUdevice ordinal) const {
  const auto found = std::find_if(devices_.begin(), devices_.end(),
                                  [&](const LeasedDevice& leased) { return leased.ordinal == ordinal; });
  return found == devices_.end() ? nullptr : &*found;
}

// Pools that have something, or that are to end.
std::vector<CUmemoryPool> MemoryPools::InUse() const {
  std::vector<CUmemoryPool> in_use;
  std::lock_guard lock(mutex_);
  for (const auto& [handle, pool] : pools_) {
    if (pool.charged != 0 || pool.kept != 0 || pool.is_destroyed) in_use.push_back(handle);
  }
  return in_use;
}

void MemoryPools::Add(CUmemoryPool pool, const LeasedDevice* device, bool is_own) {
  std::lock_guard lock(mutex_);
  pools_.try_emplace(pool, Pool{.device = device, .is_own = is_own});
}

CUresult MemoryPools::Create(CUmemoryPool* pool, CUdevice ordinal, size_t max_bytes, CUmemAllocationHandleType types) {
  const LeasedDevice* const device = FindDevice(ordinal);
  if (device == nullptr) return CUDA_ERROR_INVALID_DEVICE;
  CUmemPoolProps props{};
  props.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
  props.handleTypes = types;
  props.location = {CU_MEM_LOCATION_TYPE_DEVICE, ordinal};
  props.maxSize = max_bytes;
  const CUresult result = driver_.cuMemPoolCreate(pool, &props);
  if (result == CUDA_SUCCESS) Add(*pool, device, true);
  return result;
}

CUresult MemoryPools::GetDefault(CUmemoryPool* pool, CUdevice ordinal) {
  const LeasedDevice* const device = FindDevice(ordinal);
  if (device == nullptr) return CUDA_ERROR_INVALID_DEVICE;
  const CUresult result = driver_.cuDeviceGetDefaultMemPool(pool, ordinal);
  if (result == CUDA_SUCCESS) Add(*pool, device, false);
  return result;
}

CUresult MemoryPools::Destroy(CUmemoryPool pool) {
  {
    const User user(*this, pool);
    bool is_own = false;
    if (user) {
      std::lock_guard lock(mutex_);
      Pool& its = pools_.at(pool);
      its.is_destroyed = is_own = its.is_own;
    }
    if (!is_own) return driver_.cuMemPoolDestroy(pool);  // not the client's to destroy
    const CUdevice ordinal = user.device().ordinal;
    CUmemoryPool current = nullptr, initial = nullptr;
    if (driver_.cuDeviceGetMemPool(&current, ordinal) == CUDA_SUCCESS && current == pool &&
        driver_.cuDeviceGetDefaultMemPool(&initial, ordinal) == CUDA_SUCCESS) {
      driver_.cuDeviceSetMemPool(ordinal, initial);
    }
    cuuint64_t nothing = 0;
    if (!IsImported(pool)) {
      driver_.cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &nothing);
      driver_.cuMemPoolTrimTo(pool, 0);
    }
  }
  Settle();
  return CUDA_SUCCESS;
}

CUresult MemoryPools::TrimTo(CUmemoryPool pool, size_t bytes) {
  const User user(*this, pool);
  const CUresult result = driver_.cuMemPoolTrimTo(pool, bytes);
  if (user) Correct(pool, 0, 0);
  return result;
}

CUresult MemoryPools::AllocateFromCurrent(CUdeviceptr* address, size_t bytes, CUstream stream) {
  CUdevice ordinal;
  if (const CUresult result = driver_.cuCtxGetDevice(&ordinal); result != CUDA_SUCCESS) return result;
  const LeasedDevice* const device = FindDevice(ordinal);
  if (device == nullptr) return CUDA_ERROR_INVALID_DEVICE;
  CUmemoryPool pool = nullptr;
  if (const CUresult result = driver_.cuDeviceGetMemPool(&pool, ordinal); result != CUDA_SUCCESS) return result;
  Add(pool, device, false);  // if it is not known: the default one
  return Allocate(address, bytes, pool, stream);
}

CUresult MemoryPools::Allocate(CUdeviceptr* address, size_t bytes, CUmemoryPool pool, CUstream stream) {
  const User user(*this, pool);
  if (user && IsImported(pool)) return CUDA_ERROR_INVALID_VALUE;
  if (address == nullptr || bytes == 0 || !user) return driver_.cuMemAllocFromPoolAsync(address, bytes, pool, stream);
  if (bytes > SIZE_MAX - kGranule) return CUDA_ERROR_OUT_OF_MEMORY;
  // What is not used is freed in the stream's order, too: it may be memory that the stream is still using.
  const auto free = [&](CUdeviceptr unused, size_t) { driver_.cuMemFreeAsync(unused, stream); };
  CUresult result = aside_.AllocateElsewhere(
      address, bytes, [&](CUdeviceptr* out, size_t size) { return AllocateCharged(out, size, pool, stream); }, free);
  if (result != CUDA_SUCCESS) return result;
  if (clears_) result = driver_.cuMemsetD8Async(*address, 0, bytes, stream);
  if (result != CUDA_SUCCESS) {
    free(*address, bytes);
    return result;
  }
  std::lock_guard lock(mutex_);
  live_[*address] = {pool, WholeGranules(bytes), ++allocations_};
  pools_.at(pool).live += WholeGranules(bytes);
  return CUDA_SUCCESS;
}

// Of a pool that somebody uses.
CUresult MemoryPools::AllocateCharged(CUdeviceptr* address, size_t bytes, CUmemoryPool pool, CUstream stream) {
  uint64_t held = WholeGranules(bytes), begun, kept;
  {
    std::lock_guard lock(mutex_);
    Pool& its = pools_.at(pool);
    if (!its.device->ledger->Charge(its.device->account, held)) {
      // What was freed in the stream's order may do, and is charged already; not where the pool has more than is
      // charged.
      if (its.kept > its.charged || its.kept < its.live || its.kept - its.live < held) return CUDA_ERROR_OUT_OF_MEMORY;
      held = 0;
    }
    begun = its.allocating == 0 ? ++its.begun : its.begun++;
    kept = its.kept;
    ++its.allocating;
  }
  const CUresult result = driver_.cuMemAllocFromPoolAsync(address, bytes, pool, stream);
  if (Correct(pool, held, 1)) return result;
  // The pool took more from the device than the slice has left.
  bool is_new;  // taken for this allocation alone: no stream uses it
  {
    std::lock_guard lock(mutex_);
    const Pool& its = pools_.at(pool);
    is_new = its.begun == begun && its.kept >= kept + WholeGranules(bytes);
  }
  if (result == CUDA_SUCCESS) is_new ? driver_.cuMemFree_v2(*address) : driver_.cuMemFreeAsync(*address, stream);
  driver_.cuMemPoolTrimTo(pool, 0);
  Correct(pool, 0, 0);
  return CUDA_ERROR_OUT_OF_MEMORY;
}

// Charges what the driver keeps for the pool now, of which the caller has charged `held` bytes already. False when the
// slice has not that much left; what there is stays charged.
bool MemoryPools::Correct(CUmemoryPool pool, uint64_t held, unsigned allocations_ended) {
  uint64_t number;
  {
    std::lock_guard lock(mutex_);
    if (pools_.at(pool).is_imported) return true;  // it is charged where it was made
    number = ++readings_;
  }
  cuuint64_t kept = 0;
  const CUresult result = driver_.cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT, &kept);
  std::lock_guard lock(mutex_);
  Pool& its = pools_.at(pool);
  its.charged += held;
  its.allocating -= allocations_ended;
  if (result != CUDA_SUCCESS) return true;  // a kernel has failed; nothing is given back any more
  // Of readings that cross, the one that began last has seen what the others' callers had done before they read.
  if (number > its.reading) {
    its.reading = number;
    its.kept = kept;
  }
  if (its.charged > its.kept) Refund(*its.device, its.charged - its.kept);
  const bool fits = its.charged >= its.kept || its.device->ledger->Charge(its.device->account, its.kept - its.charged);
  if (fits) its.charged = its.kept;
  // What is missing may be what other allocations have charged and not handed in: then the last one sees.
  return fits || its.allocating > 0;
}

bool MemoryPools::IsImported(CUmemoryPool pool) const {
  std::lock_guard lock(mutex_);
  const auto found = pools_.find(pool);
  return found != pools_.end() && found->second.is_imported;
}

CUresult MemoryPools::Export(OutboardShare* share, CUmemoryPool pool) {
  if (share == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (driver_.cuMemPoolExportToShareableHandle == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  const User user(*this, pool);
  if (!user) return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard exporting(sharing_mutex_);
  {
    std::lock_guard lock(mutex_);
    const Pool& its = pools_.at(pool);
    if (its.is_imported) return CUDA_ERROR_INVALID_VALUE;
    if (its.share) {
      *share = *its.share;
      return CUDA_SUCCESS;
    }
  }
  int descriptor = -1;
  const CUresult result =
      driver_.cuMemPoolExportToShareableHandle(&descriptor, pool, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0);
  if (result != CUDA_SUCCESS) return result;
  const auto added = shares_.Add(user.device(), slice::ExportKind::kPool, UniqueFd(descriptor), 0, 0);
  if (!added) return CUDA_ERROR_OUT_OF_MEMORY;
  std::lock_guard lock(mutex_);
  *share = *(pools_.at(pool).share = added);
  return CUDA_SUCCESS;
}

CUresult MemoryPools::Import(CUmemoryPool* pool, CUdevice* device, const OutboardShare& share) {
  if (device == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (driver_.cuMemPoolImportFromShareableHandle == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  const auto opened = shares_.Open(share, slice::ExportKind::kPool);
  if (!opened) return CUDA_ERROR_INVALID_VALUE;
  void* const descriptor = reinterpret_cast<void*>(static_cast<uintptr_t>(opened->descriptor.get()));
  const CUresult result =
      driver_.cuMemPoolImportFromShareableHandle(pool, descriptor, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0);
  shares_.Close(share);  // a pool is no memory that had to stay charged
  if (result != CUDA_SUCCESS) return result;
  *device = opened->device->ordinal;
  std::lock_guard lock(mutex_);
  pools_.try_emplace(*pool, Pool{.device = opened->device, .is_own = true, .is_imported = true});
  return CUDA_SUCCESS;
}

CUresult MemoryPools::ExportPointer(OutboardShare* share, CUdeviceptr address) {
  if (share == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (driver_.cuMemPoolExportPointer == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  uint64_t number = 0;
  {
    std::lock_guard lock(mutex_);
    if (const auto found = live_.find(address); found != live_.end()) number = found->second.number;
  }
  CUmemPoolPtrExportData data;
  if (const CUresult result = driver_.cuMemPoolExportPointer(&data, address); result != CUDA_SUCCESS) return result;
  std::lock_guard lock(mutex_);
  const auto found = live_.find(address);
  // Another thread may have freed it, and something else may be there.
  if (found == live_.end() || found->second.number != number) return CUDA_ERROR_INVALID_VALUE;
  Live& live = found->second;
  const Pool& its = pools_.at(live.pool);
  if (its.is_imported) return CUDA_ERROR_INVALID_VALUE;
  if (!live.name) {
    slice::Export what{slice::ExportKind::kPoolMemory, {}, live.bytes, live.bytes};
    static_assert(sizeof what.handle == sizeof data);
    std::memcpy(&what.handle, &data, sizeof data);
    live.name = its.device->ledger->AddExport(its.device->account, what);
    if (!live.name) return CUDA_ERROR_OUT_OF_MEMORY;
  }
  *share = {{}, static_cast<uint32_t>(its.device - devices_.data()), live.name->place, live.name->key, 0};
  std::memcpy(share->magic, kPointerMagic, sizeof kPointerMagic);
  return CUDA_SUCCESS;
}

CUresult MemoryPools::ImportPointer(CUdeviceptr* address, uint64_t* bytes, CUmemoryPool pool,
                                    const OutboardShare& share) {
  if (address == nullptr || bytes == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (driver_.cuMemPoolImportPointer == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  const User user(*this, pool);
  if (!user || !IsImported(pool) || std::memcmp(share.magic, kPointerMagic, sizeof kPointerMagic) != 0 ||
      share.device != static_cast<uint32_t>(&user.device() - devices_.data())) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const LeasedDevice& device = user.device();
  const slice::ExportName name{share.place, share.key};
  CloseEnded();  // what is open cannot be opened
  const auto what = device.ledger->OpenExport(name, slice::ExportKind::kPoolMemory, device.account);
  if (!what) return CUDA_ERROR_INVALID_VALUE;
  CUmemPoolPtrExportData data;
  std::memcpy(&data, &what->handle, sizeof data);
  const CUresult result = driver_.cuMemPoolImportPointer(address, pool, &data);
  if (result != CUDA_SUCCESS) {
    device.ledger->CloseExport(name, device.account);
    return result;
  }
  *bytes = what->bytes;
  std::lock_guard lock(mutex_);
  live_[*address] = {pool, what->bytes, ++allocations_, name};
  pools_.at(pool).live += what->bytes;
  return CUDA_SUCCESS;
}

// Before an exported allocation is freed: while others have it open it stays charged, beside what takes its place in
// the pool. False when the slice has no room for that. The caller holds mutex_.
bool MemoryPools::MayEnd(const LeasedDevice& device, const Live& live) {
  if (device.ledger->WithdrawExport(*live.name, device.account)) return true;
  if (!device.ledger->Charge(device.account, live.bytes)) return false;
  device.ledger->EndExport(*live.name, device.account);
  return true;
}

// The stream may be of another context than the current one, which could not record it.
MemoryPools::Closing MemoryPools::RecordBehind(CUstream stream) {
  Closing closing{};
  if (driver_.cuStreamGetCtx(stream, &closing.context) != CUDA_SUCCESS ||
      driver_.cuCtxPushCurrent_v2(closing.context) != CUDA_SUCCESS) {
    return closing;
  }
  if (driver_.cuEventCreate(&closing.event, CU_EVENT_DISABLE_TIMING) != CUDA_SUCCESS) {
    closing.event = nullptr;
  } else if (driver_.cuEventRecord(closing.event, stream) != CUDA_SUCCESS) {
    driver_.cuEventDestroy_v2(std::exchange(closing.event, nullptr));
  }
  CUcontext popped;
  driver_.cuCtxPopCurrent_v2(&popped);
  return closing;
}

// The caller holds mutex_, or is the last one.
void MemoryPools::CloseImport(CUmemoryPool pool, const slice::ExportName& name) {
  const LeasedDevice& device = *pools_.at(pool).device;
  device.ledger->CloseExport(name, device.account);
}

// Closes imported allocations that streams have freed. Whether there was one.
bool MemoryPools::CloseEnded() {
  std::lock_guard closing(closing_mutex_);
  std::vector<Closing> ended;
  {
    std::lock_guard lock(mutex_);
    ended = closing_;
  }
  std::erase_if(ended, [&](const Closing& each) {
    const CUresult result = each.event == nullptr ? CUDA_ERROR_NOT_READY : driver_.cuEventQuery(each.event);
    if (result == CUDA_SUCCESS) driver_.cuEventDestroy_v2(each.event);
    // An event that is there no more was one of a context that has ended, and waited for its work.
    return result != CUDA_SUCCESS && result != CUDA_ERROR_INVALID_HANDLE && result != CUDA_ERROR_CONTEXT_IS_DESTROYED;
  });
  std::lock_guard lock(mutex_);
  for (const Closing& each : ended) {
    const auto found = std::find_if(closing_.begin(), closing_.end(), [&](const Closing& other) {
      return other.event == each.event && other.name.key == each.name.key;
    });
    if (found == closing_.end()) continue;  // its context has ended
    CloseImport(found->pool, found->name);
    closing_.erase(found);
  }
  return !ended.empty();
}

void MemoryPools::ForgetContext(CUcontext context) {
  std::lock_guard lock(mutex_);
  std::erase_if(closing_, [&](const Closing& closing) {
    if (closing.context != context) return false;
    CloseImport(closing.pool, closing.name);
    return true;
  });
}

bool MemoryPools::Has(CUdeviceptr address) const {
  std::lock_guard lock(mutex_);
  return live_.count(address) != 0;
}

// end() is the driver's call; without a stream the memory is free when it returns.
template <class End>
CUresult MemoryPools::FreeBy(CUdeviceptr address, End end, std::optional<CUstream> stream) {
  Live live{};
  {
    // Out of the table first: once the driver has freed it, another thread may be given the same address.
    std::lock_guard lock(mutex_);
    const auto found = live_.find(address);
    if (found == live_.end()) return CUDA_ERROR_INVALID_VALUE;
    live = found->second;
    const Pool& its = pools_.at(live.pool);
    if (live.name && !its.is_imported && !MayEnd(*its.device, live)) return CUDA_ERROR_OUT_OF_MEMORY;
    live_.erase(found);
    if (!its.is_imported) live.name.reset();
  }
  const CUresult result = end();
  Closing closing{};
  if (result == CUDA_SUCCESS && live.name && stream) {
    closing = RecordBehind(*stream);
    if (closing.event == nullptr && driver_.cuStreamSynchronize(*stream) == CUDA_SUCCESS) stream.reset();
  }
  std::lock_guard lock(mutex_);
  Pool& its = pools_.at(live.pool);  // it has this allocation
  if (result == CUDA_SUCCESS) {
    its.live -= live.bytes;
    if (live.name && stream) {
      closing.pool = live.pool;
      closing.name = *live.name;
      closing_.push_back(closing);
    } else if (live.name) {
      CloseImport(live.pool, *live.name);
    }
    return result;
  }
  live_.emplace(address, live);
  return result;
}

CUresult MemoryPools::Free(CUdeviceptr address) {
  return FreeBy(
      address, [&] { return driver_.cuMemFree_v2(address); }, std::nullopt);
}

CUresult MemoryPools::FreeAsync(CUdeviceptr address, CUstream stream) {
  return FreeBy(
      address, [&] { return driver_.cuMemFreeAsync(address, stream); }, stream);
}

CUresult MemoryPools::SetAside(CUdeviceptr address, CUstream stream) {
  // Before it is freed: another thread may be given the same address at once.
  uint64_t bytes;
  {
    std::lock_guard lock(mutex_);
    const auto found = live_.find(address);
    if (found == live_.end()) return CUDA_ERROR_INVALID_VALUE;
    bytes = found->second.bytes;
  }
  if (!aside_.Add(address, bytes)) return CUDA_ERROR_OUT_OF_MEMORY;
  const CUresult result = FreeAsync(address, stream);
  if (result != CUDA_SUCCESS) aside_.Remove(address);
  return result;
}

void MemoryPools::Settle() {
  if (settling_.fetch_add(1) != 0) return;
  int seen;
  do {
    seen = settling_.load();
    SettleAll();
  } while (settling_.fetch_sub(seen) != seen);
}

void MemoryPools::SettleAll() {
  CloseEnded();
  for (const CUmemoryPool pool : InUse()) {
    {
      const User user(*this, pool);
      if (!user) continue;
      Correct(pool, 0, 0);
    }
    EndIfUnused(pool);
  }
}

// Ends a pool that the client has destroyed, when all of its memory is free.
void MemoryPools::EndIfUnused(CUmemoryPool pool) {
  const auto may_end = [&] {
    const auto found = pools_.find(pool);
    return found != pools_.end() && found->second.is_destroyed && found->second.users == 0;
  };
  bool is_imported;
  {
    std::lock_guard lock(mutex_);
    if (!may_end() || pools_.at(pool).live != 0) return;
    is_imported = pools_.at(pool).is_imported;
    if (std::any_of(closing_.begin(), closing_.end(), [&](const Closing& each) { return each.pool == pool; })) return;
  }
  // Only the thread that settles ends pools, so this one is still there.
  if (!is_imported) {
    cuuint64_t used = 0;
    const CUresult result = driver_.cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &used);
    if (result != CUDA_SUCCESS || used != 0) return;
  }
  Pool ended;
  {
    std::lock_guard lock(mutex_);
    if (!may_end()) return;
    ended = pools_.at(pool);
    pools_.erase(pool);
  }
  driver_.cuMemPoolDestroy(pool);
  if (ended.share) shares_.End(*ended.share);
  Refund(*ended.device, ended.charged);
}

bool MemoryPools::ReleaseUnused() {
  const bool any_closed = CloseEnded();
  const std::vector<CUmemoryPool> in_use = InUse();
  for (const CUmemoryPool pool : in_use) {
    const User user(*this, pool);
    if (!user || IsImported(pool)) continue;
    driver_.cuMemPoolTrimTo(pool, 0);
    Correct(pool, 0, 0);
  }
  return any_closed || !in_use.empty();
}

void MemoryPools::FreeAll() {
  std::vector<CUdeviceptr> addresses;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [address, live] : live_) addresses.push_back(address);
  }
  for (const CUdeviceptr address : addresses) Free(address);
  ReleaseUnused();
}

}  // namespace outboard::worker
