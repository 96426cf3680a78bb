#pragma once

#include <pthread.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "common/base/result.h"
#include "server/softgpu/device/block_heap.h"
#include "server/softgpu/device/device_memory.h"
#include "server/softgpu/device/process_identity.h"

namespace outboard::softgpu {

inline constexpr uint64_t kPageBytes = 4096;  // of the host: what memory is mapped by

// A file descriptor that is closed with its owner.
class FileDescriptor {
 public:
  explicit FileDescriptor(int number = -1) : number_(number) {}
  FileDescriptor(FileDescriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~FileDescriptor();
  int number() const { return number_; }

 private:
  int number_;
};

// A mapping that ends with its owner.
class Mapping {
 public:
  Mapping() = default;
  Mapping(void* begin, size_t bytes) : begin_(static_cast<std::byte*>(begin)), bytes_(bytes) {}
  Mapping(Mapping&& other) noexcept : begin_(std::exchange(other.begin_, nullptr)), bytes_(other.bytes_) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(begin_, other.begin_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Mapping();
  std::byte* begin() const { return begin_; }

 private:
  std::byte* begin_ = nullptr;
  size_t bytes_ = 0;
};

// The file <directory>/gpu<ordinal> that is one device's memory, as one attached process sees it. It begins with a few
// lines of text for people; then come the structures, then the memory, which is sparse until it is first allocated.
// From then on it keeps its pages and what is in them: the next owner finds the residue, as on hardware, unless the
// filesystem gets full. The file's space is reserved before memory is handed out, so that a full filesystem is an
// allocation that fails, never a SIGBUS.
//
// The structures stay usable when a process is killed at any moment: the mutex is robust, and its next owner repairs
// the heap. A file that an earlier boot of the machine left counts as memory without owners.
//
// Thread-safe and process-safe by the mutex in the file. In a forked child nothing may be called but the destructor,
// which then leaves the parent's allocations alone.
class MemoryObject {
 public:
  // Makes the file, with these facts, when it is not there. `memory_bytes` is rounded down to the granule.
  static Result<std::unique_ptr<MemoryObject>> Open(const std::string& directory, unsigned ordinal,
                                                    uint64_t memory_bytes, uint32_t sm_count);
  // Frees what this object allocated, unless others hold it.
  ~MemoryObject();
  MemoryObject(const MemoryObject&) = delete;
  MemoryObject& operator=(const MemoryObject&) = delete;

  struct Piece {
    uint32_t block;
    uint64_t offset;  // bytes from the beginning of the memory
  };

  // Takes memory back from processes that have ended before it gives up. With `chaos` not 0 the place varies with it.
  // The piece begins at a multiple of `alignment`, itself a multiple of kGranule.
  std::optional<Piece> Allocate(uint64_t bytes, uint64_t chaos, uint64_t alignment = kGranule);
  // Ends this object's part in a block that it allocated or holds; who has the last one frees it.
  void Free(uint32_t block);
  // Sharing with other processes: from now on they find the block, by its number and this one. 0 when the file is
  // damaged.
  uint64_t Share(uint32_t block);
  // Where a shared block of so many bytes begins; nullopt when it is gone, or another.
  std::optional<uint64_t> FindShared(uint32_t block, uint64_t share, uint64_t bytes);
  // Keeps it until Free. False when it is gone, this object has a part in it already, or there are too many holds.
  [[nodiscard]] bool Hold(uint32_t block, uint64_t share);
  // Maps bytes of the memory at `at` once more, in place of what this process has there. All three are multiples of
  // kPageBytes.
  [[nodiscard]] bool MapAt(std::byte* at, uint64_t offset, uint64_t bytes) const;
  // Takes memory back from processes that have ended.
  uint64_t FreeBytes();

  const DeviceFacts& facts() const;
  const ProcessIdentity& process() const { return self_; }
  const std::string& path() const { return path_; }
  std::byte* memory() const { return memory_.begin(); }

 private:
  struct Head;
  class Lock;

  MemoryObject() = default;
  std::optional<Error> OpenFile(int directory, const std::string& name, const DeviceFacts& wanted);
  std::optional<Error> Create(int directory, const std::string& name, const DeviceFacts& facts) const;
  std::optional<Error> MapFile();
  void StartAnew();
  bool ClaimOwner();
  void TakeBackFromEnded();
  bool ReserveRecords();
  bool ReserveMemory(uint64_t begin, uint64_t end);
  void DropChunks(uint64_t first, uint64_t last);
  void DropResidue();
  std::optional<Piece> Place(uint64_t granules, uint64_t chaos, uint64_t alignment);

  ProcessIdentity self_;
  std::string path_;
  FileDescriptor file_;
  Mapping head_mapping_;
  Mapping memory_;
  Head* head_ = nullptr;
  std::optional<BlockHeap> heap_;
  uint32_t owner_ = kMaxAttachments;  // number in the head's table
};

}  // namespace outboard::softgpu
