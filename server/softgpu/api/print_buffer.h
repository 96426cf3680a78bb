#pragma once

#include <cstddef>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>

namespace outboard::softgpu::api {

// Text that kernels printed and that no synchronising call has shown yet. As on hardware it holds so many bytes, and
// the oldest text is lost when it is full. Thread-safe.
class PrintBuffer {
 public:
  explicit PrintBuffer(size_t capacity) : capacity_(capacity) {}

  size_t capacity() const;
  void set_capacity(size_t bytes);

  void Append(std::string_view text);

  // Writes the text to the process's own stdout, in the order of Append even when several threads drain.
  void Drain();

  void Clear();

 private:
  mutable std::mutex mutex_;
  size_t capacity_;
  size_t bytes_ = 0;
  std::deque<std::string> texts_;
  std::mutex drain_mutex_;  // taken before mutex_
};

}  // namespace outboard::softgpu::api
