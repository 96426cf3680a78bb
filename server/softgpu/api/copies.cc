#include "server/softgpu/api/copies.h"

#include <memory>
#include <optional>
#include <utility>

#include "server/softgpu/api/array.h"
#include "server/softgpu/api/operation.h"
#include "server/softgpu/api/thread_state.h"

namespace outboard::softgpu::api {
namespace {

// Pageable bytes of an asynchronous copy that are set aside at the call; a larger copy waits instead.
constexpr size_t kMaxStagedBytes = 64 << 20;

std::optional<Place> FindPlaceOf(const Context& context, CopyEnd::Kind kind, uint64_t address, uint64_t span,
                                 bool writes) {
  if (kind == CopyEnd::Kind::kDevice) {
    auto found = FindDeviceBytes(context, address, span, writes);
    if (!found) return std::nullopt;
    return Place{MemoryKind::kDevice, found->bytes, context.driver.SyncsMemops(address), std::move(found->keeper)};
  }
  if (address == 0) return std::nullopt;
  return kind == CopyEnd::Kind::kHost ? FindHostPlace(context.driver, reinterpret_cast<const void*>(address), span)
                                      : FindPlace(context, address, span, writes);
}

// Whether memory of an end that names a context is its device's, or, in an address range, there for it.
bool IsOf(const Context& context, uint64_t address) {
  const auto allocation = context.driver.allocations.Find(address);
  return allocation ? allocation->info.device == &context.device : context.driver.virtual_memory.IsReserved(address);
}

CUresult FindArrayEnd(Driver& driver, const CopyEnd& end, const BoxExtent& extent, PlacedEnd* placed) {
  const auto array = driver.handles.Find<Array>(end.array);
  if (!array) return CUDA_ERROR_INVALID_HANDLE;
  const auto& [x, y, z] = end.place;
  if (!FitsInto(array->descriptor, end.place, extent)) return CUDA_ERROR_INVALID_VALUE;
  placed->kind = MemoryKind::kDevice;
  placed->keeper = array->memory;
  placed->box = array->box.From(x, y, z);
  placed->element_bytes = ElementBytes(array->descriptor);
  return CUDA_SUCCESS;
}

CUresult FindEnd(Context& current, const CopyEnd& end, const BoxExtent& extent, bool writes, PlacedEnd* placed) {
  if (end.kind == CopyEnd::Kind::kArray) return FindArrayEnd(current.driver, end, extent, placed);
  const auto span = SpanOf(end.box, extent);
  if (!span) return CUDA_ERROR_INVALID_VALUE;
  CurrentContext named_context;
  if (end.context) LookUpContext(current.driver, *end.context, &named_context);
  const auto& named = named_context.context;
  const auto place = FindPlaceOf(named ? *named : current, end.kind, end.box.address, *span, writes);
  if (!place) return CUDA_ERROR_INVALID_VALUE;
  placed->kind = place->kind;
  placed->sync_memops = place->sync_memops;
  placed->keeper = place->keeper;
  placed->box = {reinterpret_cast<uint64_t>(place->bytes), end.box.pitch, end.box.slice_rows};
  if (!end.context || place->kind != MemoryKind::kDevice) return CUDA_SUCCESS;
  placed->context = named;
  if (!placed->context || !placed->context->active()) return CUDA_ERROR_INVALID_CONTEXT;
  return IsOf(*placed->context, end.box.address) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

// A copy in a capturing stream; nullopt when it is to be done. Its bytes are read and written when the graph runs,
// wherever they are.
std::optional<CUresult> CaptureCopy(Context& context, Stream& stream, const BoxCopy& copy, Blocking blocking) {
  if (copy.extent.IsEmpty()) return std::nullopt;
  if (blocking == Blocking::kSync) {
    const CUresult refused = context.driver.graphs.captures.RefuseOn(stream);
    return refused != CUDA_SUCCESS ? std::optional(refused) : std::nullopt;
  }
  if (!context.driver.graphs.captures.any()) return std::nullopt;
  OperationPtr operation;
  if (CUresult result = MakeCopy(context, copy, &operation); result != CUDA_SUCCESS) return result;
  return stream.CaptureInstead([&] { return operation; });
}

CUresult CopyOnStream(Context& context, Stream& stream, const PlacedCopy& copy, Blocking blocking) {
  const auto& [to, from, extent, order] = copy;
  if (extent.IsEmpty()) return CUDA_SUCCESS;
  const bool between_devices = to.kind == MemoryKind::kDevice && from.kind == MemoryKind::kDevice;
  const bool during_call =
      from.kind != MemoryKind::kDevice &&
      (order == SourceOrder::kDuringCall || (order == SourceOrder::kByMemory && from.kind == MemoryKind::kPageable));
  const auto bytes = PackedBytes(extent);
  if (blocking == Blocking::kAsync && during_call && to.kind != MemoryKind::kPageable && bytes &&
      *bytes <= kMaxStagedBytes) {
    auto staged = std::make_shared<std::vector<std::byte>>(*bytes);
    const Box packed = PackedAt(staged->data(), extent);
    CopyBox(packed, from.box, extent);
    stream.Submit([to = to.box, keeper = to.keeper, packed, extent = extent, staged] { CopyBox(to, packed, extent); });
    return CUDA_SUCCESS;
  }
  const bool waits = blocking == Blocking::kSync
                         ? !between_devices || to.sync_memops || from.sync_memops
                         : to.kind == MemoryKind::kPageable || during_call || order == SourceOrder::kDuringCall;
  if (waits && context.driver.config().chaos == 0 && stream.Pending().empty()) {
    // Nothing to queue behind: no need to wake the stream's thread.
    CopyBox(to.box, from.box, extent);
    return context.Settle();
  }
  const Point done = stream.Submit([to = to.box, from = from.box, keepers = std::pair(to.keeper, from.keeper),
                                    extent = extent] { CopyBox(to, from, extent); });
  return waits ? context.Await({done}) : CUDA_SUCCESS;
}

// A synchronous copy of another context's memory is in order with all that was given to that context before, and over
// before anything that comes later.
CUresult CopyInOrder(Context& context, Stream& stream, const PlacedCopy& copy) {
  for (const PlacedEnd* end : {&copy.to, &copy.from}) {
    if (end->context) end->context->Wait();
  }
  const CUresult result = CopyOnStream(context, stream, copy, Blocking::kSync);
  return result == CUDA_SUCCESS ? context.Await({stream.Last()}) : result;
}

}  // namespace

CUresult PlaceCopy(Context& context, const BoxCopy& copy, PlacedCopy* placed) {
  placed->extent = copy.extent;
  if (copy.extent.IsEmpty()) return CUDA_SUCCESS;
  if (const CUresult result = FindEnd(context, copy.to, copy.extent, true, &placed->to); result != CUDA_SUCCESS) {
    return result;
  }
  if (const CUresult result = FindEnd(context, copy.from, copy.extent, false, &placed->from); result != CUDA_SUCCESS) {
    return result;
  }
  const uint64_t to_element = placed->to.element_bytes, from_element = placed->from.element_bytes;
  const bool are_alike = to_element == 0 || from_element == 0 || to_element == from_element;
  return are_alike ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult CopyInStream(Context& current, const BoxCopy& copy, CUstream hStream, DefaultStream null_means,
                      Blocking blocking) {
  std::shared_ptr<Stream> stream;
  if (CUresult result = FindStream(current, hStream, null_means, &stream); result != CUDA_SUCCESS) return result;
  const auto kept = stream->context.shared_from_this();
  Context& context = *kept;
  PlacedCopy placed;
  if (const CUresult result = PlaceCopy(context, copy, &placed); result != CUDA_SUCCESS) return result;
  if (const auto captured = CaptureCopy(context, *stream, copy, blocking)) return *captured;
  const auto is_elsewhere = [&](const PlacedEnd& end) { return end.context && end.context.get() != &context; };
  if (blocking == Blocking::kSync && (is_elsewhere(placed.to) || is_elsewhere(placed.from))) {
    return CopyInOrder(context, *stream, placed);
  }
  return CopyOnStream(context, *stream, placed, blocking);
}

CUresult CopyBatch(Context& current, const std::vector<OrderedCopy>& copies, CUstream hStream, DefaultStream null_means,
                   size_t* failed) {
  *failed = SIZE_MAX;
  std::shared_ptr<Stream> stream;
  if (CUresult result = FindStream(current, hStream, null_means, &stream); result != CUDA_SUCCESS) return result;
  const auto kept = stream->context.shared_from_this();
  Context& context = *kept;
  if (stream->role == Stream::Role::kLegacy) return CUDA_ERROR_INVALID_VALUE;
  std::vector<PlacedCopy> placed(copies.size());
  for (size_t i = 0; i < copies.size(); ++i) {
    placed[i].order = copies[i].order;
    const CUresult result = PlaceCopy(context, copies[i].copy, &placed[i]);
    if (result == CUDA_SUCCESS) continue;
    *failed = i;
    return result;
  }
  for (size_t i = 0; i < copies.size(); ++i) {
    const auto captured = CaptureCopy(context, *stream, copies[i].copy, Blocking::kAsync);
    const CUresult result = captured ? *captured : CopyOnStream(context, *stream, placed[i], Blocking::kAsync);
    if (result != CUDA_SUCCESS) return result;
  }
  return CUDA_SUCCESS;
}

}  // namespace outboard::softgpu::api
