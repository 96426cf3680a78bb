#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "common/interop/interop.h"

// The answer to the runtime's self-test of the driver (cudaErrorSoftwareValidityNotEstablished when it fails).
//
// The runtime and the driver each compute a keyed digest over the same facts about this process and this driver; the
// runtime compares. A wrong figure anywhere, such as a device that reports another UUID than the one digested, is
// thereby found. The facts, their order and the key were published by ZLUDA (github.com/vosen/ZLUDA, dark_api; MIT or
// Apache-2.0), and lupinemachines/lupine uses the same. Written anew from those facts: the digest is HMAC (RFC 2104)
// over MD2 (RFC 1319). NVIDIA documents none of this, and any release of the runtime may change it.

namespace outboard::interop {

// Every field is what the runtime can see for itself. `devices` in the order of their ordinals.
struct ValidityFacts {
  uint32_t driver_version = 0;  // as cuDriverGetVersion
  uint32_t process = 0;         // getpid()
  uint32_t thread = 0;          // low half of pthread_self()
  const void* cudart_table = nullptr;
  const void* validity_table = nullptr;
  const void* validity_function = nullptr;
  std::vector<DeviceIdentity> devices;
};

using ValidityAnswer = std::array<uint64_t, 2>;

// `version` and `seconds` (since 1970) as the runtime passed them.
ValidityAnswer AnswerValidity(uint32_t version, uint64_t seconds, const ValidityFacts& facts);

}  // namespace outboard::interop
