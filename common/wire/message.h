#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/base/limits.h"
#include "common/wire/codec.h"

// Messages that grow as they are written: values, texts and lists. A text is the number of its bytes and the bytes; a
// list is the number of its elements and the elements one behind the other.

namespace outboard::wire {

// Thread-compatible.
class MessageWriter {
 public:
  template <class T>
  void Put(const T& value) {
    Writer(Grow(Padded(sizeof value))).Put(value);
  }
  void Put(const std::string& text) { PutList(text.data(), text.size()); }
  template <class T>
  void Put(const std::vector<T>& list) {
    PutList(list.data(), list.size());
  }
  std::vector<std::byte> Take() { return std::move(bytes_); }

 private:
  template <class T>
  void PutList(const T* elements, size_t count) {
    Put(uint64_t{count});
    const size_t bytes = count * sizeof(T);
    Writer(Grow(Padded(bytes))).PutBytes(elements, bytes);
  }
  std::byte* Grow(size_t bytes) {
    bytes_.resize(bytes_.size() + bytes);
    return bytes_.data() + bytes_.size() - bytes;
  }

  std::vector<std::byte> bytes_;
};

// Reads what MessageWriter wrote, from bytes that nobody vouches for, aligned to 8. Failure is sticky and leaves what
// is to be read empty or as it was. Thread-compatible.
class MessageReader {
 public:
  explicit MessageReader(std::span<const std::byte> body) : reader_(body) {}

  template <class T>
  void Get(T* value) {
    static_cast<void>(reader_.Get(value));
  }
  void Get(std::string* text) {
    const auto bytes = TakeList<char>();
    text->assign(bytes.data(), bytes.size());
  }
  template <class T>
  void Get(std::vector<T>* list) {
    const auto elements = TakeList<T>();
    list->assign(elements.begin(), elements.end());
  }
  bool AtEnd() const { return reader_.AtEnd(); }
  bool ok() const { return reader_.ok(); }

 private:
  // No memory is taken before the elements are known to be there.
  template <class T>
  std::span<const T> TakeList() {
    uint64_t count = 0;
    if (!reader_.Get(&count)) return {};
    const uint64_t bytes = count > kMaxPayloadBytes / sizeof(T) ? ~uint64_t{0} : count * sizeof(T);
    const std::byte* from = reader_.Take(bytes);
    if (from == nullptr) return {};
    return {reinterpret_cast<const T*>(from), count};
  }

  Reader reader_;
};

}  // namespace outboard::wire
