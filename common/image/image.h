#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/limits.h"
#include "common/base/result.h"

// Code images as they reach a CUDA driver: the argument of cuModuleLoadData and cuLibraryLoadData, which comes without
// a size. Four forms: fatbin wrapper (versions 1 and 2), fatbin, ELF (cubin), PTX text. All functions are thread-safe.

namespace outboard::image {

enum class Form { kWrapper, kFatbin, kElf, kPtx };

// One contiguous piece of memory that belongs to an image.
struct Extent {
  const std::byte* data;
  size_t size;  // bytes
};

// The images that `code` leads to: for a wrapper its fatbin and, for version 2, the fatbins of its prelinked list in
// their order. Reads only what headers announce; sizes are checked against kMaxImageBytes. `code` must be readable up
// to the end that its own headers give: this is the one function here that trusts its input, because the driver API
// gives no size. The extents are as alive as the memory behind `code`.
struct Located {
  Form form;
  std::vector<Extent> images;  // fatbins, one ELF, or one PTX text (its NUL included); never a wrapper
};
Result<Located> Locate(const void* code);

// kLinkedPtx is of the software GPU alone: one of the PTX modules that it linked into the image (MakeLinkedFatbin).
enum class EntryKind : uint16_t { kPtx = 1, kElf = 2, kLto = 8, kLinkedPtx = 0x4f42 };

// One entry of a fatbin, or a bare ELF or PTX text seen as one. `name` and `payload` point into the image.
struct Entry {
  EntryKind kind;                      // as stored: a value that has no name above may occur
  uint32_t arch;                       // 75 for sm_75 or compute_75; 0 when the image does not say
  bool arch_specific;                  // sm_90a; a bare ELF does not say
  bool family_specific;                // sm_100f; a bare ELF does not say
  uint32_t ptx_major, ptx_minor;       // of the PTX ISA; 0.0 for ELF and when the image does not say
  std::string_view name;               // source file name, may be empty
  std::span<const std::byte> payload;  // as stored: compressed without padding, or uncompressed with padding
  enum class Compression { kNone, kLz4, kZstd, kUnknown } compression;
  uint64_t size;  // bytes once unpacked, padding included
};

// All entries of one image of Located::images. Bytes after the end that a fatbin's header gives are ignored. Hostile
// input is safe.
Result<std::vector<Entry>> Entries(std::span<const std::byte> image);

// The entry's bytes, unpacked; more than `max_bytes` is an error. For PTX, without trailing NULs. Hostile input is
// safe.
Result<std::vector<std::byte>> Unpack(const Entry& entry, uint64_t max_bytes = kMaxImageBytes);

// Where a kernel's parameters lie in its parameter buffer.
struct Param {
  uint32_t offset;  // bytes
  uint32_t size;    // bytes
};
struct KernelLayout {
  std::string name;
  std::vector<Param> params;
};

// The kernels of an unpacked ELF (from .nv.info.<kernel>: KPARAM_INFO or KPARAM_INFO_V2, checked against
// CBANK_PARAM_SIZE) or of a PTX text (from its .entry heads, by natural alignment; no instruction is read; an .entry
// without a body is none). Hostile input is safe. Sizes are the same in every entry that has the kernel; offsets are
// not always: before sm_100 an ELF aligns a parameter of more than 16 bytes' alignment by its place in the constant
// bank.
Result<std::vector<KernelLayout>> KernelLayouts(EntryKind kind, std::span<const std::byte> unpacked);

}  // namespace outboard::image
