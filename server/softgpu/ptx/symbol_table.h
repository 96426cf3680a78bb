#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace outboard::softgpu::ptx {

// Names with scopes: the newest entry of a name hides older ones until it is dropped. Keeps views, not copies, of the
// names. Thread-confined.
class SymbolTable {
 public:
  struct Entry {
    std::string_view name;
    uint32_t depth = 0;  // of the scope that it belongs to
    uint8_t kind = 0;    // what the owner of the table says it is
    int32_t index = 0;   // likewise
    int32_t extra = 0;   // likewise
    int32_t next = -1;   // the older entry in the same bucket
  };

  // The newest entry of that name; null when there is none. Valid until the next Add or Drop.
  const Entry* Find(std::string_view name) const;

  void Add(const Entry& entry);

  // Forgets all entries of the scopes at `depth` and deeper. Precondition: no older entry is of a deeper scope.
  void Drop(uint32_t depth);

 private:
  void Grow();

  std::vector<Entry> entries_;
  std::vector<int32_t> buckets_;  // newest entry; their number is a power of two
};

}  // namespace outboard::softgpu::ptx
