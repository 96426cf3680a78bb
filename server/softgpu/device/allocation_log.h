#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "server/softgpu/exec/engine.h"

namespace outboard::softgpu {

// A piece of device memory that a report names.
struct LoggedPiece {
  uint64_t begin;
  uint64_t bytes;
  std::string what;  // "allocation", "variable K::x"
  bool is_freed = false;
};

// What of one device's memory programs may touch, to the byte, and what they could touch before: for Checks.
//
// Memory is allocated in blocks. A block that is divided is touched by its parts only: allocations of a pool, variables
// of a module. Parts may overlap while a stream has yet to get to the free of one whose place another has.
//
// Thread-safe.
class AllocationLog {
 public:
  void Add(uint64_t begin, uint64_t bytes);
  void Remove(uint64_t begin);  // with its parts
  void Name(uint64_t begin, std::string what);

  // The block that `address` is in.
  void Divide(uint64_t address);
  void AddPart(uint64_t begin, uint64_t bytes, std::string what, bool is_writable = true);
  void RemovePart(uint64_t begin, uint64_t bytes);

  // What kernels may touch, of all or of the block that `block` is in.
  std::shared_ptr<const ExtentTable> Extents(const std::function<std::byte*(uint64_t)>& to_host) const;
  void AppendBlock(uint64_t block, const std::function<std::byte*(uint64_t)>& to_host, ExtentTable* extents) const;

  // What the address was in last and is in no more; nullopt where something else has the place, or had it since, with
  // the rest of its last granule and the unused bytes behind.
  std::optional<LoggedPiece> FindFreed(uint64_t address) const;
  // What lies nearest to the address, which may be in it; nullopt when there is nothing.
  std::optional<LoggedPiece> FindNearest(uint64_t address) const;

 private:
  struct Part {
    uint64_t bytes;
    std::string what;
    bool is_writable;
  };
  struct Block {
    uint64_t bytes;
    std::string what = "allocation";
    bool is_divided = false;
    std::multimap<uint64_t, Part> parts;
  };
  using Blocks = std::map<uint64_t, Block>;
  static constexpr size_t kMaxFreed = 1 << 16;  // that are remembered

  Blocks::iterator BlockAt(uint64_t address);
  void Free(uint64_t begin, uint64_t bytes, const std::string& what);
  void Cover(uint64_t begin, uint64_t bytes, uint64_t beyond);
  static void Append(const Blocks::value_type& block, const std::function<std::byte*(uint64_t)>& to_host,
                     ExtentTable* extents);

  mutable std::mutex mutex_;
  Blocks blocks_;                                       // guarded by mutex_, as is what follows
  std::deque<LoggedPiece> freed_;                       // the last first, with what had the place since
  mutable std::shared_ptr<const ExtentTable> extents_;  // null when out of date
};

}  // namespace outboard::softgpu
