#include "common/libcuda/copy_calls.h"

#include "common/base/number_of.h"

namespace outboard {
namespace {

// One end, as the structures of 2D and 3D copies say it.
struct GivenEnd {
  size_t x, y, z;
  unsigned type;  // NumberOf what the program gave
  const void* host;
  CUdeviceptr device;
  size_t pitch, height;
  std::optional<CUcontext> context;
  CUarray array;
};

// Everything but whether it was specified is the same for pitches and heights: at least what the copy needs of it.
bool IsEnough(size_t given, size_t offset, uint64_t extent, bool is_needed) {
  size_t end;
  if (given == 0) return !is_needed;
  return !__builtin_add_overflow(offset, extent, &end) && end <= given;
}

CUresult ReadEnd(const GivenEnd& given, const BoxExtent& extent, uint64_t max_pitch, CopyEnd* end) {
  size_t address = given.device;
  switch (given.type) {
    case CU_MEMORYTYPE_HOST:
      end->kind = CopyEnd::Kind::kHost;
      address = reinterpret_cast<size_t>(given.host);
      break;
    case CU_MEMORYTYPE_DEVICE:
      end->kind = CopyEnd::Kind::kDevice;
      break;
    case CU_MEMORYTYPE_UNIFIED:
      end->kind = CopyEnd::Kind::kUnified;
      break;
    case CU_MEMORYTYPE_ARRAY:
      end->kind = CopyEnd::Kind::kArray;
      end->array = given.array;
      end->place = {given.x, given.y, given.z};
      return CUDA_SUCCESS;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
  if (given.pitch > max_pitch) return CUDA_ERROR_INVALID_VALUE;
  if (!IsEnough(given.pitch, given.x, extent.width, !extent.IsOneRow())) return CUDA_ERROR_INVALID_VALUE;
  if (!IsEnough(given.height, given.y, extent.height, extent.depth > 1)) return CUDA_ERROR_INVALID_VALUE;
  size_t offset;
  if (__builtin_mul_overflow(given.z, given.height, &offset) || __builtin_add_overflow(offset, given.y, &offset) ||
      __builtin_mul_overflow(offset, given.pitch, &offset) || __builtin_add_overflow(offset, given.x, &offset) ||
      // Null stays null, for whoever looks where the address leads.
      (address != 0 && __builtin_add_overflow(address, offset, &address))) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  end->box = {address, given.pitch, given.height};
  end->context = given.context;
  return SpanOf(end->box, extent) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult ReadEnds(const GivenEnd& to, const GivenEnd& from, const BoxExtent& extent, uint64_t max_pitch,
                  BoxCopy* copy) {
  *copy = {};
  if (extent.IsEmpty()) return CUDA_SUCCESS;
  copy->extent = extent;
  if (const CUresult result = ReadEnd(to, extent, max_pitch, &copy->to); result != CUDA_SUCCESS) return result;
  return ReadEnd(from, extent, max_pitch, &copy->from);
}

template <class Copy3D>
CUresult Read3D(const Copy3D& given, std::optional<CUcontext> to_context, std::optional<CUcontext> from_context,
                uint64_t max_pitch, BoxCopy* copy) {
  if (given.srcLOD != 0 || given.dstLOD != 0) return CUDA_ERROR_INVALID_VALUE;
  const GivenEnd to = {given.dstXInBytes, given.dstY,      given.dstZ,     NumberOf(given.dstMemoryType),
                       given.dstHost,     given.dstDevice, given.dstPitch, given.dstHeight,
                       to_context,        given.dstArray};
  const GivenEnd from = {given.srcXInBytes, given.srcY,      given.srcZ,     NumberOf(given.srcMemoryType),
                         given.srcHost,     given.srcDevice, given.srcPitch, given.srcHeight,
                         from_context,      given.srcArray};
  return ReadEnds(to, from, {given.WidthInBytes, given.Height, given.Depth}, max_pitch, copy);
}

std::optional<SourceOrder> ReadOrder(const CUmemcpySrcAccessOrder& order, unsigned flags) {
  if ((flags & ~unsigned{CU_MEMCPY_FLAG_PREFER_OVERLAP_WITH_COMPUTE}) != 0) return std::nullopt;
  switch (NumberOf(order)) {
    case CU_MEMCPY_SRC_ACCESS_ORDER_STREAM:
      return SourceOrder::kStream;
    case CU_MEMCPY_SRC_ACCESS_ORDER_DURING_API_CALL:
      return SourceOrder::kDuringCall;
    case CU_MEMCPY_SRC_ACCESS_ORDER_ANY:
      return SourceOrder::kByMemory;
    default:
      return std::nullopt;
  }
}

// Bytes of what the copy counts in.
CUresult ReadElement(const CUmemcpy3DOperand& given, const FindArray& find_array, uint64_t* bytes) {
  if (NumberOf(given.type) != CU_MEMCPY_OPERAND_TYPE_ARRAY) return CUDA_SUCCESS;
  const auto array = find_array(given.op.array.array);
  if (!array) return CUDA_ERROR_INVALID_HANDLE;
  *bytes = ElementBytes(*array);
  return *bytes != 0 ? CUDA_SUCCESS : CUDA_ERROR_NOT_SUPPORTED;
}

// `extent` in elements of so many bytes.
CUresult ReadOperand(const CUmemcpy3DOperand& given, const BoxExtent& extent, uint64_t element, CopyEnd* end) {
  if (NumberOf(given.type) == CU_MEMCPY_OPERAND_TYPE_ARRAY) {
    const CUoffset3D& offset = given.op.array.offset;
    end->kind = CopyEnd::Kind::kArray;
    end->array = given.op.array.array;
    end->place = {0, offset.y, offset.z};
    return __builtin_mul_overflow(offset.x, element, &end->place.x) ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
  }
  if (NumberOf(given.type) != CU_MEMCPY_OPERAND_TYPE_POINTER) return CUDA_ERROR_INVALID_VALUE;
  const auto& pointer = given.op.ptr;
  if (!IsEnough(pointer.rowLength, 0, extent.width, false) || !IsEnough(pointer.layerHeight, 0, extent.height, false)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  end->kind = CopyEnd::Kind::kUnified;
  end->box = {pointer.ptr, 0, pointer.layerHeight != 0 ? pointer.layerHeight : extent.height};
  const uint64_t row = pointer.rowLength != 0 ? pointer.rowLength : extent.width;
  return __builtin_mul_overflow(row, element, &end->box.pitch) ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

CUresult ReadOperation(const CUDA_MEMCPY3D_BATCH_OP& given, const FindArray& find_array, OrderedCopy* ordered) {
  BoxCopy& copy = ordered->copy;
  const auto order = ReadOrder(given.srcAccessOrder, given.flags);
  const BoxExtent elements = {given.extent.width, given.extent.height, given.extent.depth};
  if (!order || elements.IsEmpty()) return CUDA_ERROR_INVALID_VALUE;
  ordered->order = *order;
  uint64_t element = 1;
  for (const CUmemcpy3DOperand* operand : {&given.dst, &given.src}) {
    const CUresult result = ReadElement(*operand, find_array, &element);
    if (result != CUDA_SUCCESS) return result;
  }
  if (const CUresult result = ReadOperand(given.dst, elements, element, &copy.to); result != CUDA_SUCCESS) {
    return result;
  }
  if (const CUresult result = ReadOperand(given.src, elements, element, &copy.from); result != CUDA_SUCCESS) {
    return result;
  }
  copy.extent = elements;
  const bool wraps = __builtin_mul_overflow(elements.width, element, &copy.extent.width);
  return !wraps && SpanOf(copy.to.box, copy.extent) && SpanOf(copy.from.box, copy.extent) ? CUDA_SUCCESS
                                                                                          : CUDA_ERROR_INVALID_VALUE;
}

}  // namespace

CUresult ReadCopy(const CUDA_MEMCPY2D* given, uint64_t max_pitch, BoxCopy* copy) {
  if (given == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const GivenEnd to = {given->dstXInBytes,
                       given->dstY,
                       0,
                       NumberOf(given->dstMemoryType),
                       given->dstHost,
                       given->dstDevice,
                       given->dstPitch,
                       0,
                       std::nullopt,
                       given->dstArray};
  const GivenEnd from = {given->srcXInBytes,
                         given->srcY,
                         0,
                         NumberOf(given->srcMemoryType),
                         given->srcHost,
                         given->srcDevice,
                         given->srcPitch,
                         0,
                         std::nullopt,
                         given->srcArray};
  return ReadEnds(to, from, {given->WidthInBytes, given->Height, 1}, max_pitch, copy);
}

CUresult ReadCopy(const CUDA_MEMCPY3D* given, uint64_t max_pitch, BoxCopy* copy) {
  if (given == nullptr || given->reserved0 != nullptr || given->reserved1 != nullptr) return CUDA_ERROR_INVALID_VALUE;
  return Read3D(*given, std::nullopt, std::nullopt, max_pitch, copy);
}

CUresult ReadCopy(const CUDA_MEMCPY3D_PEER* given, uint64_t max_pitch, BoxCopy* copy) {
  if (given == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return Read3D(*given, given->dstContext, given->srcContext, max_pitch, copy);
}

CUresult ReadBatch(const CUdeviceptr* to, const CUdeviceptr* from, const size_t* sizes, size_t count,
                   const CUmemcpyAttributes* attributes, const size_t* first_of_attributes, size_t attribute_count,
                   size_t* failed, std::vector<OrderedCopy>* copies) {
  *failed = SIZE_MAX;
  if (count == 0 || to == nullptr || from == nullptr || sizes == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (attribute_count == 0 || attribute_count > count || attributes == nullptr || first_of_attributes == nullptr ||
      first_of_attributes[0] != 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  for (size_t k = 0; k < attribute_count; ++k) {
    const size_t begin = first_of_attributes[k];
    const size_t end = k + 1 < attribute_count ? first_of_attributes[k + 1] : count;
    if (begin >= end || end > count) return CUDA_ERROR_INVALID_VALUE;
    const auto order = ReadOrder(attributes[k].srcAccessOrder, attributes[k].flags);
    if (!order) {
      *failed = begin;
      return CUDA_ERROR_INVALID_VALUE;
    }
    for (size_t i = begin; i < end; ++i) {
      copies->push_back({RowCopy(CopyEnd::Kind::kUnified, to[i], CopyEnd::Kind::kUnified, from[i], sizes[i]), *order});
    }
  }
  return CUDA_SUCCESS;
}

CUresult ReadBatch(const CUDA_MEMCPY3D_BATCH_OP* given, size_t count, unsigned long long flags,
                   const FindArray& find_array, size_t* failed, std::vector<OrderedCopy>* copies) {
  *failed = SIZE_MAX;
  if (count == 0 || given == nullptr || flags != 0) return CUDA_ERROR_INVALID_VALUE;
  for (size_t i = 0; i < count; ++i) {
    const CUresult result = ReadOperation(given[i], find_array, &copies->emplace_back());
    if (result == CUDA_SUCCESS) continue;
    *failed = i;
    return result;
  }
  return CUDA_SUCCESS;
}

CUresult PitchFor(size_t width, size_t height, unsigned element_bytes, uint64_t max_pitch, size_t* pitch,
                  size_t* bytes) {
  constexpr size_t kAlignment = 512;
  if (width == 0 || height == 0 || width > max_pitch) return CUDA_ERROR_INVALID_VALUE;
  if (element_bytes != 4 && element_bytes != 8 && element_bytes != 16) return CUDA_ERROR_INVALID_VALUE;
  *pitch = (width + kAlignment - 1) / kAlignment * kAlignment;
  if (*pitch > max_pitch) return CUDA_ERROR_INVALID_VALUE;
  return __builtin_mul_overflow(*pitch, height, bytes) ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
}

}  // namespace outboard
