#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace outboard::interop {

using Digest = std::array<uint8_t, 16>;

// The MD2 message digest (RFC 1319). Broken as cryptography; here only because the runtime's self-test is made of it.
//
// Thread-compatible.
class Md2 {
 public:
  void Add(std::span<const uint8_t> bytes);
  // To be called once, last.
  Digest Finish();

 private:
  void AddBlock();

  std::array<uint8_t, 48> state_{};
  Digest checksum_{};
  Digest block_{};
  size_t used_ = 0;  // bytes of block_
};

// HMAC (RFC 2104) with MD2, for a key of exactly one block.
Digest HmacMd2(const Digest& key, std::span<const uint8_t> message);

}  // namespace outboard::interop
