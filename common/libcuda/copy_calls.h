#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "common/base/box.h"
#include "common/libcuda/arrays.h"

// What calls that copy are asked for, in one form for all of them.

namespace outboard {

// One end of a copy, as the call names it.
struct CopyEnd {
  enum class Kind {
    kHost,
    kDevice,
    kUnified,  // the address tells which of the two
    kArray,    // a CUDA array
  };
  Kind kind;
  Box box;                           // where the copy begins; of memory
  std::optional<CUcontext> context;  // whose memory it is, where the call says so; counts for device memory only
  CUarray array = nullptr;           // of kArray, and where in it the copy begins
  ArrayPlace place = {};
};

struct BoxCopy {
  CopyEnd to, from;
  BoxExtent extent;
};

// A copy of bytes that lie one behind the other.
inline BoxCopy RowCopy(CopyEnd::Kind to_kind, uint64_t to, CopyEnd::Kind from_kind, uint64_t from, uint64_t bytes) {
  return {{to_kind, RowAt(to), {}}, {from_kind, RowAt(from), {}}, RowOf(bytes)};
}

// An end in the first row of an array, so many bytes from its beginning.
inline CopyEnd ArrayEnd(CUarray array, uint64_t offset) {
  return {CopyEnd::Kind::kArray, {}, {}, array, {offset, 0, 0}};
}

// When the source of an asynchronous copy is read.
enum class SourceOrder {
  kByMemory,    // pageable memory before the call returns, everything else when the stream gets there
  kStream,      // when the stream gets there
  kDuringCall,  // before the call returns
};

struct OrderedCopy {
  BoxCopy copy;
  SourceOrder order;
};

// Reads the structure of a call, with the checks that the manual has for it: known memory types, reserved members 0,
// pitches of at least a row and at most `max_pitch` bytes, heights of at least a slice, and no sum or product beyond 64
// bits. A pitch or height of 0 is not specified, and leads to no further row or slice. An empty extent is a copy of
// nothing, whatever else is said. CUDA_ERROR_INVALID_VALUE otherwise, and for null.
CUresult ReadCopy(const CUDA_MEMCPY2D* given, uint64_t max_pitch, BoxCopy* copy);
CUresult ReadCopy(const CUDA_MEMCPY3D* given, uint64_t max_pitch, BoxCopy* copy);
CUresult ReadCopy(const CUDA_MEMCPY3D_PEER* given, uint64_t max_pitch, BoxCopy* copy);

// What an array of the program's is; nullopt for what is none.
using FindArray = std::function<std::optional<CUDA_ARRAY3D_DESCRIPTOR>(CUarray)>;

// The same for cuMemcpyBatchAsync and cuMemcpy3DBatchAsync. `failed` becomes the number of the copy with which
// something is wrong, or SIZE_MAX where it is none of them. Copies of arrays count in elements of theirs.
CUresult ReadBatch(const CUdeviceptr* to, const CUdeviceptr* from, const size_t* sizes, size_t count,
                   const CUmemcpyAttributes* attributes, const size_t* first_of_attributes, size_t attribute_count,
                   size_t* failed, std::vector<OrderedCopy>* copies);
CUresult ReadBatch(const CUDA_MEMCPY3D_BATCH_OP* given, size_t count, unsigned long long flags,
                   const FindArray& find_array, size_t* failed, std::vector<OrderedCopy>* copies);

// cuMemAllocPitch: rows begin at multiples of 512 bytes, which is enough for every access and for texture references.
// The pitch, and the bytes of all rows.
CUresult PitchFor(size_t width, size_t height, unsigned element_bytes, uint64_t max_pitch, size_t* pitch,
                  size_t* bytes);

// A structure of the time of 32-bit sizes and device addresses, as one of today.
template <class Narrow>
CUDA_MEMCPY2D Widen2D(const Narrow& from) {
  CUDA_MEMCPY2D to{};
  to.srcXInBytes = from.srcXInBytes;
  to.srcY = from.srcY;
  to.srcMemoryType = from.srcMemoryType;
  to.srcHost = from.srcHost;
  to.srcDevice = from.srcDevice;
  to.srcArray = from.srcArray;
  to.srcPitch = from.srcPitch;
  to.dstXInBytes = from.dstXInBytes;
  to.dstY = from.dstY;
  to.dstMemoryType = from.dstMemoryType;
  to.dstHost = from.dstHost;
  to.dstDevice = from.dstDevice;
  to.dstArray = from.dstArray;
  to.dstPitch = from.dstPitch;
  to.WidthInBytes = from.WidthInBytes;
  to.Height = from.Height;
  return to;
}

template <class Narrow>
CUDA_MEMCPY3D Widen3D(const Narrow& from) {
  CUDA_MEMCPY3D to{};
  to.srcXInBytes = from.srcXInBytes;
  to.srcY = from.srcY;
  to.srcZ = from.srcZ;
  to.srcLOD = from.srcLOD;
  to.srcMemoryType = from.srcMemoryType;
  to.srcHost = from.srcHost;
  to.srcDevice = from.srcDevice;
  to.srcArray = from.srcArray;
  to.reserved0 = from.reserved0;
  to.srcPitch = from.srcPitch;
  to.srcHeight = from.srcHeight;
  to.dstXInBytes = from.dstXInBytes;
  to.dstY = from.dstY;
  to.dstZ = from.dstZ;
  to.dstLOD = from.dstLOD;
  to.dstMemoryType = from.dstMemoryType;
  to.dstHost = from.dstHost;
  to.dstDevice = from.dstDevice;
  to.dstArray = from.dstArray;
  to.reserved1 = from.reserved1;
  to.dstPitch = from.dstPitch;
  to.dstHeight = from.dstHeight;
  to.WidthInBytes = from.WidthInBytes;
  to.Height = from.Height;
  to.Depth = from.Depth;
  return to;
}

}  // namespace outboard
