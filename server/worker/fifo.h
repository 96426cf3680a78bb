#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace outboard::worker {

// A queue that keeps its memory: once it has been as long as it gets, nothing is allocated any more. Thread-compatible.
template <class T>
class Fifo {
 public:
  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }
  // Precondition for these: the element exists. References are good until the next Push or Pop.
  T& operator[](size_t index) { return items_[(first_ + index) & (items_.size() - 1)]; }
  const T& operator[](size_t index) const { return items_[(first_ + index) & (items_.size() - 1)]; }
  T& front() { return (*this)[0]; }
  T& back() { return (*this)[size_ - 1]; }

  void Push(T item) {
    if (size_ == items_.size()) Grow();
    ++size_;
    back() = std::move(item);
  }
  T Pop() {
    T item = std::move(front());
    first_ = (first_ + 1) & (items_.size() - 1);
    --size_;
    return item;
  }

 private:
  void Grow() {
    std::vector<T> larger(items_.empty() ? 8 : items_.size() * 2);
    for (size_t i = 0; i < size_; ++i) larger[i] = std::move((*this)[i]);
    items_ = std::move(larger);
    first_ = 0;
  }

  std::vector<T> items_;  // a power of two of them
  size_t first_ = 0;
  size_t size_ = 0;
};

}  // namespace outboard::worker
