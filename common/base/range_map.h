#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <utility>
#include <vector>

namespace outboard {

// A range of addresses with what is known about it.
template <class T>
struct Range {
  uint64_t begin;
  uint64_t size;  // bytes, > 0
  T info;

  bool Contains(uint64_t address, uint64_t bytes) const {
    return address >= begin && address - begin <= size && bytes <= size - (address - begin);
  }
};

// Ranges of addresses that do not overlap. Thread-safe; lookups copy the entry out.
template <class T>
class RangeMap {
 public:
  // False when the range overlaps another.
  bool Add(uint64_t begin, uint64_t size, T info) {
    std::unique_lock lock(mutex_);
    auto next = ranges_.lower_bound(begin);
    if (next != ranges_.end() && next->first - begin < size) return false;
    if (next != ranges_.begin()) {
      const auto& before = std::prev(next)->second;
      if (begin - before.begin < before.size) return false;
    }
    ranges_.emplace_hint(next, begin, Range<T>{begin, size, std::move(info)});
    return true;
  }

  std::optional<Range<T>> Find(uint64_t address) const {
    std::shared_lock lock(mutex_);
    auto next = ranges_.upper_bound(address);
    if (next == ranges_.begin()) return std::nullopt;
    const Range<T>& range = std::prev(next)->second;
    if (address - range.begin >= range.size) return std::nullopt;
    return range;
  }

  // Calls change(&info) with what is known of the range that `address` is in. False when there is none.
  template <class Change>
  bool Update(uint64_t address, Change change) {
    std::unique_lock lock(mutex_);
    auto next = ranges_.upper_bound(address);
    if (next == ranges_.begin()) return false;
    Range<T>& range = std::prev(next)->second;
    if (address - range.begin >= range.size) return false;
    change(&range.info);
    return true;
  }

  // Removes the range that begins at `begin` if `wanted(range)` holds.
  template <class Predicate>
  std::optional<Range<T>> Take(uint64_t begin, Predicate wanted) {
    std::unique_lock lock(mutex_);
    auto found = ranges_.find(begin);
    if (found == ranges_.end() || !wanted(found->second)) return std::nullopt;
    Range<T> range = std::move(found->second);
    ranges_.erase(found);
    return range;
  }

  // Removes every range for which `wanted(range)` holds.
  template <class Predicate>
  std::vector<Range<T>> TakeAll(Predicate wanted) {
    std::vector<Range<T>> taken;
    std::unique_lock lock(mutex_);
    for (auto it = ranges_.begin(); it != ranges_.end();) {
      if (wanted(it->second)) {
        taken.push_back(std::move(it->second));
        it = ranges_.erase(it);
      } else {
        ++it;
      }
    }
    return taken;
  }

 private:
  mutable std::shared_mutex mutex_;
  std::map<uint64_t, Range<T>> ranges_;
};

}  // namespace outboard
