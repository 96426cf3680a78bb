#pragma once

#include <cstddef>
#include <cstdint>

// Every cap on what comes from outside, in one place.

namespace outboard {

inline constexpr uint64_t kMaxImageBytes = uint64_t{1} << 30;     // one code image, packed or unpacked
inline constexpr uint32_t kMaxFatbinEntries = 1u << 16;           // entries of one fatbin
inline constexpr uint32_t kMaxPrelinkedImages = 1u << 12;         // fatbins listed by one version-2 wrapper
inline constexpr uint32_t kMaxKernelParameterBytes = 32764;       // parameters of one kernel, as PTX limits them
inline constexpr uint32_t kMaxPtxNesting = 64;                    // scopes and bracketed operands of PTX text
inline constexpr uint32_t kMaxPtxRegisters = 1u << 20;            // registers declared in one function
inline constexpr uint64_t kMaxPtxVariableBytes = uint64_t{1} << 32;
inline constexpr uint32_t kMaxStreamQueue = 1024;                 // operations waiting in one stream before a launch blocks
inline constexpr uint32_t kMaxDevices = 64;                       // software GPUs of one machine

}  // namespace outboard
