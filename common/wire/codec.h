#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

// How values lie in a message: little-endian, each one padded with zeros to a multiple of 8 bytes, so that everything
// is aligned. Both ends are 64-bit little-endian with the same struct layouts; the hello says so (hello.h).

namespace outboard::wire {

inline constexpr size_t Padded(size_t bytes) { return (bytes + 7) & ~size_t{7}; }

// Writes into a buffer that is large enough: whoever reserves it has added up the sizes first. Thread-compatible.
class Writer {
 public:
  explicit Writer(std::byte* at) : at_(at) {}

  template <class T>
  void Put(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    if constexpr (sizeof(T) % 8 != 0) std::memset(at_ + sizeof(T) / 8 * 8, 0, 8);
    std::memcpy(at_, &value, sizeof value);
    at_ += Padded(sizeof value);
  }
  void PutBytes(const void* bytes, size_t size) {
    if (size % 8 != 0) std::memset(at_ + size / 8 * 8, 0, 8);
    if (size != 0) std::memcpy(at_, bytes, size);
    at_ += Padded(size);
  }
  std::byte* at() const { return at_; }

 private:
  std::byte* at_;
};

// Reads what Writer wrote, from bytes that nobody vouches for. Failure is sticky: once something did not fit, every
// further read fails and leaves its output alone. Thread-compatible.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : rest_(bytes) {}

  template <class T>
  [[nodiscard]] bool Get(T* value) {
    static_assert(std::is_trivially_copyable_v<T>);
    const std::byte* from = Take(sizeof(T));
    if (from == nullptr) return false;
    std::memcpy(value, from, sizeof(T));
    return true;
  }
  // The next `size` bytes, as alive as the message; null when there are fewer. Aligned to 8 if the message is.
  [[nodiscard]] const std::byte* Take(uint64_t size) {
    if (failed_ || size > rest_.size() || Padded(size) > rest_.size()) {
      failed_ = true;
      return nullptr;
    }
    const std::byte* from = rest_.data();
    rest_ = rest_.subspan(Padded(size));
    return from;
  }
  bool ok() const { return !failed_; }
  // Whether everything was read, and nothing failed. A message is consumed exactly.
  bool AtEnd() const { return !failed_ && rest_.empty(); }

 private:
  std::span<const std::byte> rest_;
  bool failed_ = false;
};

}  // namespace outboard::wire
