#pragma once

#include <cuda.h>

#include <span>

namespace outboard::shim {

// An attribute of devices about which the shim does not repeat what the worker's driver says, because it does not keep
// what that would promise (semantics: docs/compatibility.md, "What a device claims").
struct Claim {
  CUdevice_attribute attribute;
  int value;        // what the application is told
  const char* why;  // what would be needed, in a few words
  int kept = 0;     // bits of what the driver says that the application is told, too
};

// In order of their numbers. Nothing here changes at run time.
std::span<const Claim> Claims();

// What the application is told of attribute number `attribute`, of which the driver says `value`.
int ClaimedValue(unsigned attribute, int value);

}  // namespace outboard::shim
