#include "server/softgpu/api/print_buffer.h"

#include <cstdio>
#include <utility>

namespace outboard::softgpu::api {

size_t PrintBuffer::capacity() const {
  std::lock_guard lock(mutex_);
  return capacity_;
}

void PrintBuffer::set_capacity(size_t bytes) {
  std::lock_guard lock(mutex_);
  capacity_ = bytes;
}

void PrintBuffer::Append(std::string_view text) {
  std::lock_guard lock(mutex_);
  if (text.size() > capacity_) return;
  while (bytes_ + text.size() > capacity_) {
    bytes_ -= texts_.front().size();
    texts_.pop_front();
  }
  texts_.emplace_back(text);
  bytes_ += text.size();
}

void PrintBuffer::Drain() {
  {
    std::lock_guard lock(mutex_);
    if (texts_.empty()) return;
  }
  std::lock_guard drain_lock(drain_mutex_);
  std::deque<std::string> texts;
  {
    std::lock_guard lock(mutex_);
    texts.swap(texts_);
    bytes_ = 0;
  }
  for (const std::string& text : texts) fwrite(text.data(), 1, text.size(), stdout);
  fflush(stdout);
}

void PrintBuffer::Clear() {
  std::lock_guard lock(mutex_);
  texts_.clear();
  bytes_ = 0;
}

}  // namespace outboard::softgpu::api
