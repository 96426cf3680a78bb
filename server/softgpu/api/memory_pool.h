#pragma once

#include "server/softgpu/api/cuda_api.h"

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "common/libcuda/handles.h"
#include "server/softgpu/api/device.h"
#include "server/softgpu/api/stream.h"
#include "server/softgpu/device/device_memory.h"
#include "server/softgpu/device/stream.h"
#include "server/softgpu/exec/engine.h"

namespace outboard::softgpu::api {

// What a descriptor holds that stands for a pool in other processes. A plain value.
struct ShareablePool {
  char magic[16] = "softgpu pool";
  CUuuid device;
  uint64_t number;  // random; the pool's
};

// What tells other processes where an allocation of a shared pool lies. A plain value.
struct PoolPointer {
  uint64_t pool;         // ShareablePool::number
  uint64_t bytes;        // of the allocation
  uint64_t offset;       // in the chunk that it is of
  uint64_t chunk_bytes;  // as what follows, what SharedAllocation says of the chunk
  uint64_t share;
  uint32_t block;
  uint32_t padding[5];
};
static_assert(sizeof(PoolPointer) == sizeof(CUmemPoolPtrExportData));

// A CUmemoryPool: memory of one device that is allocated and freed in the order of streams. An allocation's address is
// there at once; a free takes effect when its stream gets to it. The pool takes memory from its device in chunks, one
// for each allocation that finds no room in what was freed, and gives whole chunks back when it is trimmed.
//
// Thread-safe. Whoever has an allocation keeps the pool alive.
class MemoryPool : public Object, public std::enable_shared_from_this<MemoryPool> {
 public:
  static constexpr Kind kKind = Kind::kPool;

  enum class Role { kDefault, kPrivate, kShareable, kImported };
  // At most `max_bytes` are taken from the device. `number`: of one that processes share, else 0.
  MemoryPool(Device& device, Role role, uint64_t max_bytes, uint64_t number)
      : device(device), role(role), number(number), max_bytes_(max_bytes) {}
  // Gives the device back what was freed. Nothing else is left then.
  ~MemoryPool() override;

  Device& device;
  const Role role;
  const uint64_t number;

  // Memory that work submitted to `stream` from now on may use. Nullopt when there is not enough. May block while the
  // stream's queue is full.
  std::optional<uint64_t> Allocate(uint64_t bytes, Stream& stream);

  // Frees an allocation of so many bytes: when `stream` gets there, or at once, as nothing uses it any more.
  void FreeAsync(uint64_t address, uint64_t bytes, Stream& stream);
  void Free(uint64_t address, uint64_t bytes);

  // Where other processes find an allocation; nullopt for none of this pool, which is shareable.
  std::optional<PoolPointer> Export(uint64_t address, uint64_t bytes) const;
  // Makes such an allocation one of this pool, which is imported, until it is freed. Nullopt when it is gone.
  std::optional<uint64_t> Open(const PoolPointer& pointer);

  // The application has waited for a stream, an event or a context: gives back what is over the release threshold.
  void Synchronized();
  // Gives back what nobody uses, as long as `bytes` remain. Whether anything was given back.
  bool TrimTo(uint64_t bytes);
  // The application has destroyed the pool: keeps nothing from now on.
  void Retire();

  // Whether kernels of another device may touch the pool's memory; at first they may not.
  void SetAccess(const Device& other, bool may);
  bool HasAccess(const Device& other) const;
  // What the pool has taken from its device.
  void AppendTo(ExtentTable* extents) const;

  // cuMemPoolSetAttribute and cuMemPoolGetAttribute, with their errors. `value` is of the attribute's type, not null.
  CUresult Set(unsigned attribute, const void* value);
  CUresult Get(unsigned attribute, void* value) const;

 private:
  // One free, and what it tells of who may have the memory. Guarded by mutex_.
  struct FreeOperation {
    std::optional<Stream::Identity> stream;  // null when it was freed without one
    std::optional<Point> point;              // null until it is submitted
    uint64_t bytes;                          // that are not in use once it takes effect
    bool reached = false;                    // the stream has got there
    bool observed = false;                   // and the host knows
  };
  // Memory that was freed, or will be when the stream gets there.
  struct Piece {
    uint64_t bytes;
    std::shared_ptr<FreeOperation> freed;
  };
  using Pieces = std::map<uint64_t, Piece>;  // by address

  enum class Choice { kInOrder, kByDependency };

  bool MayReuse(const FreeOperation& freed, const Stream& stream, Choice choice) const;
  std::optional<uint64_t> Reuse(uint64_t bytes, const Stream& stream, Choice choice, std::vector<Point>* after);
  template <class MayUse>
  Pieces::iterator FindRoom(uint64_t bytes, MayUse may_use);
  void TakePieces(Pieces::iterator first, uint64_t bytes, std::vector<Point>* after);
  std::optional<uint64_t> Grow(uint64_t bytes);
  void Reached(FreeOperation& freed);
  void Close(uint64_t address);
  std::map<uint64_t, uint64_t>::const_iterator ChunkOf(uint64_t address) const;
  bool Trim(uint64_t bytes);
  bool IsUnused(uint64_t chunk, uint64_t bytes) const;
  void Use(uint64_t bytes);

  const uint64_t max_bytes_;

  mutable std::mutex mutex_;
  std::map<uint64_t, uint64_t> chunks_;  // guarded by mutex_, as is what follows; bytes by address
  std::map<uint64_t, unsigned> opened_;  // of an imported pool: allocations by chunk
  Pieces pieces_;                        // of chunks; the rest of them is allocated
  std::vector<const Device*> guests_;    // that have access, beside the pool's own
  bool retired_ = false;
  bool follows_events_ = true;
  bool is_opportunistic_ = true;
  bool adds_dependencies_ = true;
  uint64_t release_threshold_ = 0;
  // Bytes. What was freed is in use until its stream gets there.
  uint64_t reserved_ = 0, reserved_high_ = 0;
  uint64_t used_ = 0, used_high_ = 0;
};

}  // namespace outboard::softgpu::api
