#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

// Bounded access to bytes that came from outside. Everything in an image is little-endian and without alignment, as the
// hosts are that CUDA runs on.

namespace outboard::image {

using ByteSpan = std::span<const std::byte>;

// nullopt when it does not lie wholly within `bytes`, whatever the numbers are.
inline std::optional<ByteSpan> Slice(ByteSpan bytes, uint64_t offset, uint64_t size) {
  if (offset > bytes.size() || size > bytes.size() - offset) return std::nullopt;
  return bytes.subspan(offset, size);
}

template <class T>
std::optional<T> Load(ByteSpan bytes, uint64_t offset) {
  static_assert(std::is_trivially_copyable_v<T>);
  const std::optional<ByteSpan> source = Slice(bytes, offset, sizeof(T));
  if (!source) return std::nullopt;
  T value;
  std::memcpy(&value, source->data(), sizeof value);
  return value;
}

inline std::string_view AsText(ByteSpan bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

// The string at `offset` up to its NUL; nullopt when there is no NUL before the end.
inline std::optional<std::string_view> LoadString(ByteSpan bytes, uint64_t offset) {
  if (offset > bytes.size()) return std::nullopt;
  const std::string_view rest = AsText(bytes.subspan(offset));
  const size_t length = rest.find('\0');
  if (length == std::string_view::npos) return std::nullopt;
  return rest.substr(0, length);
}

// Keeps work on hostile tables linear. Pieces that do not overlap in an honest file may not add up to more than the
// file; a table whose thousand rows all name the same megabyte runs out here.
class Budget {
 public:
  explicit Budget(uint64_t bytes) : left_(bytes) {}

  // False, and nothing is taken, when less than `bytes` is left.
  [[nodiscard]] bool Take(uint64_t bytes) {
    if (bytes > left_) return false;
    left_ -= bytes;
    return true;
  }

 private:
  uint64_t left_;
};

}  // namespace outboard::image
