#include "server/softgpu/api/memory_pool.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

#include "server/softgpu/device/allocation_log.h"
#include "server/softgpu/device/block_heap.h"
#include "server/softgpu/device/device_memory.h"

namespace outboard::softgpu::api {
namespace {

// Every block is whole granules, so this is what a device gives for so many bytes.
uint64_t WholeGranules(uint64_t bytes) { return (bytes + kGranule - 1) / kGranule * kGranule; }

template <class T>
T Read(const void* value) {
  T read;
  std::memcpy(&read, value, sizeof read);
  return read;
}

template <class T>
CUresult Write(void* value, T written) {
  std::memcpy(value, &written, sizeof written);
  return CUDA_SUCCESS;
}

// A high-water mark can only be set to 0, and begins anew from what there is.
CUresult Reset(uint64_t* high, uint64_t current, const void* value) {
  if (Read<uint64_t>(value) != 0) return CUDA_ERROR_INVALID_VALUE;
  *high = current;
  return CUDA_SUCCESS;
}

}  // namespace

MemoryPool::~MemoryPool() {
  if (role == Role::kImported) return;  // who has an allocation keeps the pool
  for (const auto& [address, bytes] : chunks_) device.memory->Free(address);
}

std::optional<uint64_t> MemoryPool::Allocate(uint64_t bytes, Stream& stream) {
  if (bytes > UINT64_MAX - kGranule) return std::nullopt;
  const uint64_t asked = bytes;
  bytes = WholeGranules(bytes);
  std::optional<uint64_t> address;
  std::vector<Point> after;
  {
    std::lock_guard lock(mutex_);
    address = Reuse(bytes, stream, Choice::kInOrder, nullptr);
    if (!address) address = Grow(bytes);
    if (!address && adds_dependencies_) address = Reuse(bytes, stream, Choice::kByDependency, &after);
  }
  if (AllocationLog* const log = device.memory->log(); log != nullptr && address)
    log->AddPart(*address, asked, "allocation of a pool");
  // Under no lock, since it may have to wait for the stream, and streams that free need the lock.
  if (!after.empty()) stream.Submit([] {}, std::move(after));
  return address;
}

// Whether memory that was freed may be used by what is submitted to `stream` from now on, if need be after the free.
bool MemoryPool::MayReuse(const FreeOperation& freed, const Stream& stream, Choice choice) const {
  if (freed.observed || (freed.reached && is_opportunistic_)) return true;
  if (!freed.stream || !freed.point) return false;
  if (choice == Choice::kByDependency) return true;
  if (freed.stream->id == stream.id) return true;
  return follows_events_ && (stream.ComesAfter(*freed.stream) || stream.WaitsFor(*freed.point));
}

// Memory that was freed. `after` gets what must be waited for before it is used. Of what other processes may have whole
// chunks alone: they keep all of one, for which somebody is to pay.
std::optional<uint64_t> MemoryPool::Reuse(uint64_t bytes, const Stream& stream, Choice choice,
                                          std::vector<Point>* after) {
  const auto first = FindRoom(bytes, [&](const Piece& piece) {
    return (role != Role::kShareable || piece.bytes == bytes) && MayReuse(*piece.freed, stream, choice);
  });
  if (first == pieces_.end()) return std::nullopt;
  const uint64_t address = first->first;
  TakePieces(first, bytes, after);
  return address;
}

// The beginning of the smallest room of at least so many bytes that pieces of one chunk make, or the end.
template <class MayUse>
MemoryPool::Pieces::iterator MemoryPool::FindRoom(uint64_t bytes, MayUse may_use) {
  auto best = pieces_.end();
  uint64_t best_bytes = UINT64_MAX;
  for (auto it = pieces_.begin(); it != pieces_.end();) {
    const auto first = it;
    uint64_t room = 0;
    // As far as pieces follow one behind the other in the same chunk.
    while (it != pieces_.end() && it->first == first->first + room && may_use(it->second) &&
           (it == first || chunks_.count(it->first) == 0)) {
      room += it->second.bytes;
      ++it;
    }
    if (room >= bytes && room < best_bytes) {
      best = first;
      best_bytes = room;
    }
    if (it == first) ++it;
  }
  return best;
}

void MemoryPool::TakePieces(Pieces::iterator first, uint64_t bytes, std::vector<Point>* after) {
  for (auto it = first; bytes > 0; it = pieces_.erase(it)) {
    const auto [address, piece] = *it;
    const uint64_t taken = std::min(bytes, piece.bytes);
    if (piece.freed->reached) {
      Use(taken);
    } else {
      piece.freed->bytes -= taken;  // stays in use
      if (after != nullptr) after->push_back(*piece.freed->point);
    }
    if (taken < piece.bytes) pieces_.emplace(address + taken, Piece{piece.bytes - taken, piece.freed});
    bytes -= taken;
  }
}

// Takes a chunk from the device, if need be after giving back what nobody uses.
std::optional<uint64_t> MemoryPool::Grow(uint64_t bytes) {
  const auto fits = [&] { return bytes <= max_bytes_ && reserved_ <= max_bytes_ - bytes; };
  if (!fits()) Trim(0);
  if (!fits()) return std::nullopt;
  auto address = device.memory->Allocate(bytes);
  if (!address && Trim(0)) address = device.memory->Allocate(bytes);
  if (!address) return std::nullopt;
  if (AllocationLog* const log = device.memory->log()) log->Divide(*address);
  chunks_.emplace(*address, bytes);
  reserved_ += bytes;
  reserved_high_ = std::max(reserved_high_, reserved_);
  Use(bytes);
  return address;
}

void MemoryPool::Use(uint64_t bytes) {
  used_ += bytes;
  used_high_ = std::max(used_high_, used_);
}

void MemoryPool::FreeAsync(uint64_t address, uint64_t bytes, Stream& stream) {
  if (role == Role::kImported) {
    stream.SubmitAlways([pool = shared_from_this(), address] { pool->Close(address); });
    return;
  }
  const uint64_t asked = bytes;
  bytes = WholeGranules(bytes);
  const auto freed = std::make_shared<FreeOperation>(FreeOperation{.stream = stream.identity(), .bytes = bytes});
  {
    std::lock_guard lock(mutex_);
    pieces_.emplace(address, Piece{bytes, freed});
  }
  // Never skipped: the memory is free also when a kernel has failed.
  Point point = stream.SubmitAlways([pool = shared_from_this(), freed, address, asked] {
    if (AllocationLog* const log = pool->device.memory->log()) log->RemovePart(address, asked);
    std::lock_guard lock(pool->mutex_);
    pool->Reached(*freed);
  });
  std::lock_guard lock(mutex_);
  freed->point = std::move(point);
}

void MemoryPool::Free(uint64_t address, uint64_t bytes) {
  if (role == Role::kImported) return Close(address);
  if (AllocationLog* const log = device.memory->log()) log->RemovePart(address, bytes);
  bytes = WholeGranules(bytes);
  const auto freed = std::make_shared<FreeOperation>(FreeOperation{.bytes = bytes, .observed = true});
  std::lock_guard lock(mutex_);
  pieces_.emplace(address, Piece{bytes, freed});
  Reached(*freed);
}

void MemoryPool::Reached(FreeOperation& freed) {
  freed.reached = true;
  used_ -= freed.bytes;
  if (retired_) Trim(0);
}

void MemoryPool::Synchronized() {
  std::lock_guard lock(mutex_);
  for (auto& [address, piece] : pieces_) piece.freed->observed = piece.freed->reached;
  Trim(release_threshold_);
}

bool MemoryPool::TrimTo(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  return Trim(bytes);
}

void MemoryPool::Retire() {
  std::lock_guard lock(mutex_);
  retired_ = true;
  Trim(0);
}

bool MemoryPool::Trim(uint64_t bytes) {
  if (role == Role::kImported) return false;
  bool any = false;
  for (auto chunk = chunks_.begin(); chunk != chunks_.end();) {
    const auto [address, size] = *chunk;
    if (reserved_ < bytes || reserved_ - bytes < size || !IsUnused(address, size)) {
      ++chunk;
      continue;
    }
    pieces_.erase(pieces_.find(address), pieces_.lower_bound(address + size));
    chunk = chunks_.erase(chunk);
    reserved_ -= size;
    device.memory->Free(address);
    any = true;
  }
  return any;
}

bool MemoryPool::IsUnused(uint64_t chunk, uint64_t bytes) const {
  uint64_t address = chunk;
  for (auto it = pieces_.find(chunk); it != pieces_.end() && it->first == address && it->second.freed->reached; ++it) {
    address += it->second.bytes;
    if (address == chunk + bytes) return true;
  }
  return false;
}

// The chunk that has the address, or the end. The caller holds mutex_.
std::map<uint64_t, uint64_t>::const_iterator MemoryPool::ChunkOf(uint64_t address) const {
  const auto after = chunks_.upper_bound(address);
  if (after == chunks_.begin()) return chunks_.end();
  const auto chunk = std::prev(after);
  return address - chunk->first < chunk->second ? chunk : chunks_.end();
}

std::optional<PoolPointer> MemoryPool::Export(uint64_t address, uint64_t bytes) const {
  std::lock_guard lock(mutex_);
  const auto chunk = ChunkOf(address);
  if (role != Role::kShareable || chunk == chunks_.end()) return std::nullopt;
  const auto shared = device.memory->Share(chunk->first);
  if (!shared) return std::nullopt;
  return PoolPointer{number, bytes, address - chunk->first, shared->bytes, shared->share, shared->block, {}};
}

std::optional<uint64_t> MemoryPool::Open(const PoolPointer& pointer) {
  if (role != Role::kImported || pointer.pool != number || pointer.bytes == 0) return std::nullopt;
  if (pointer.offset > pointer.chunk_bytes || pointer.bytes > pointer.chunk_bytes - pointer.offset) return std::nullopt;
  std::lock_guard lock(mutex_);
  const auto chunk = device.memory->Open({{}, pointer.block, 0, pointer.share, pointer.chunk_bytes});
  if (!chunk) return std::nullopt;
  chunks_.emplace(*chunk, pointer.chunk_bytes);
  ++opened_[*chunk];
  return *chunk + pointer.offset;
}

void MemoryPool::Close(uint64_t address) {
  std::lock_guard lock(mutex_);
  const uint64_t chunk = ChunkOf(address)->first;
  if (--opened_[chunk] == 0) {
    opened_.erase(chunk);
    chunks_.erase(chunk);
  }
  device.memory->Free(chunk);
}

void MemoryPool::SetAccess(const Device& other, bool may) {
  std::lock_guard lock(mutex_);
  std::erase(guests_, &other);
  if (may) guests_.push_back(&other);
}

bool MemoryPool::HasAccess(const Device& other) const {
  std::lock_guard lock(mutex_);
  return std::ranges::find(guests_, &other) != guests_.end();
}

void MemoryPool::AppendTo(ExtentTable* extents) const {
  std::lock_guard lock(mutex_);
  const auto to_host = [this](uint64_t address) { return device.memory->ToHost(address); };
  const AllocationLog* const log = device.memory->log();
  for (const auto& [address, bytes] : chunks_) {
    if (log != nullptr) {
      log->AppendBlock(address, to_host, extents);
    } else {
      extents->push_back({address, address + bytes, to_host(address)});
    }
  }
}

CUresult MemoryPool::Set(unsigned attribute, const void* value) {
  std::lock_guard lock(mutex_);
  switch (attribute) {
    case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
      follows_events_ = Read<int>(value) != 0;
      return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
      is_opportunistic_ = Read<int>(value) != 0;
      return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
      adds_dependencies_ = Read<int>(value) != 0;
      return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
      release_threshold_ = Read<uint64_t>(value);
      return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
      return Reset(&reserved_high_, reserved_, value);
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
      return Reset(&used_high_, used_, value);
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

CUresult MemoryPool::Get(unsigned attribute, void* value) const {
  std::lock_guard lock(mutex_);
  switch (attribute) {
    case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
      return Write<int>(value, follows_events_);
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
      return Write<int>(value, is_opportunistic_);
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
      return Write<int>(value, adds_dependencies_);
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
      return Write(value, release_threshold_);
    case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT:
      return Write(value, reserved_);
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
      return Write(value, reserved_high_);
    case CU_MEMPOOL_ATTR_USED_MEM_CURRENT:
      return Write(value, used_);
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
      return Write(value, used_high_);
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

}  // namespace outboard::softgpu::api
