#include "client/shim/copies.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <tuple>

#include "client/shim/arrays.h"
#include "client/shim/call.h"
#include "client/shim/captures.h"
#include "client/shim/host_calls.h"
#include "client/shim/memory.h"
#include "client/shim/remote.gen.h"
#include "common/base/limits.h"

namespace outboard::shim {
namespace {

// A copy whose ends are found, and how it is to be done.
struct Job : PlacedCopy {
  Process& process;
  const Current& current;
  CUstream stream;
  Form form;
  SourceOrder order;

  Memory& memory() const { return process.memory(); }
  bool SyncsMemops() const { return memory().SyncsMemops(to.box.address) || memory().SyncsMemops(from.box.address); }
  // Whether the driver accepts the copy for sure.
  bool IsCertain() const {
    return IsOfCurrentContext(stream) && (!to.is_device || Has(to)) && (!from.is_device || Has(from));
  }

 private:
  // Memory of a pool is one device's instead of one context's; of other contexts than the current the device is not
  // asked.
  bool Has(const PlacedEnd& end) const {
    const bool is_current = end.context == current.context;
    if (end.array != nullptr) return is_current && end.is_known;
    return memory().Has(end.context, is_current ? current.device : CU_DEVICE_INVALID, end.box.address, end.span);
  }
};

// Whether work under way may still write host memory, read it, run on the host, or wait for the application: only then
// can a caller tell whether a call waited for its stream.
bool TouchesHost(Process& process) {
  Memory& memory = process.memory();
  return memory.landings().Any() || memory.pulls().Any() || process.host_calls().outstanding() ||
         memory.streams_may_wait();
}

// Pieces of host memory without their gaps, one at a time: the memory itself where it has none.
class Packing {
 public:
  std::byte* Room(const Box& host, const BoxExtent& piece) {
    if (IsPacked(host, piece)) return reinterpret_cast<std::byte*>(host.address);
    if (room_ == nullptr) room_ = std::make_unique_for_overwrite<std::byte[]>(kCopyChunkBytes);
    return room_.get();
  }
  const std::byte* Gather(const Box& host, const BoxExtent& piece) {
    std::byte* const room = Room(host, piece);
    if (room == room_.get()) CopyBox(PackedAt(room, piece), host, piece);
    return room;
  }
  void Scatter(const Box& host, const BoxExtent& piece) {
    if (!IsPacked(host, piece)) CopyBox(host, PackedAt(room_.get(), piece), piece);
  }

 private:
  std::unique_ptr<std::byte[]> room_;
};

// Host to device, the bytes as they are now.
CUresult Write(const Job& job, bool certain) {
  Packing packing;
  return InPieces(job, [&](const PlacedEnd& to, const PlacedEnd& from, const BoxExtent& piece) {
    const std::byte* const bytes = packing.Gather(from.box, piece);
    const uint64_t count = *PackedBytes(piece);
    if (to.array != nullptr) {
      return remote::outboardWriteArray(to.array, to.place, piece, bytes, count, job.stream, certain);
    }
    if (piece.IsOneRow()) return remote::outboardWrite(to.box.address, bytes, count, job.stream, certain);
    return remote::outboardWriteBox(to.box, piece, bytes, count, job.stream, certain);
  });
}

// Host to device, the bytes as they are when the stream gets there.
CUresult WritePulled(const Job& job, bool certain) {
  return InPieces(job, [&](const PlacedEnd& to, const PlacedEnd& from, const BoxExtent& piece) {
    const uint64_t pull = job.memory().pulls().Add(from.box, piece);
    if (to.array != nullptr) {
      return remote::outboardWriteArrayPulled(to.array, to.place, piece, from.box, pull, job.stream, certain);
    }
    if (!piece.IsOneRow()) return remote::outboardWriteBoxPulled(to.box, piece, from.box, pull, job.stream, certain);
    return remote::outboardWritePulled(to.box.address, piece.width, from.box.address, pull, job.stream, certain);
  });
}

// Device to host, without waiting for the bytes.
CUresult ReadAsync(const Job& job, bool certain) {
  Landings& landings = job.memory().landings();
  return InPieces(job, [&](const PlacedEnd& to, const PlacedEnd& from, const BoxExtent& piece) {
    if (piece.IsOneRow()) {
      landings.Expect(to.box.address, piece.width);
    } else {
      landings.ExpectBox(to.box, piece);
    }
    if (from.array != nullptr) {
      return remote::outboardReadArrayAsync(to.box, from.array, from.place, piece, job.stream, certain);
    }
    if (!piece.IsOneRow()) return remote::outboardReadBoxAsync(to.box, from.box, piece, job.stream, certain);
    return remote::outboardReadAsync(to.box.address, piece.width, from.box.address, job.stream, certain);
  });
}

CUresult ReadPiece(void* room, const PlacedEnd& from, const BoxExtent& piece, CUstream stream) {
  const uint64_t count = *PackedBytes(piece);
  if (from.array != nullptr) {
    return remote::outboardReadArray(room, count, from.array, from.place, piece, stream);
  }
  if (piece.IsOneRow()) return remote::outboardRead(room, count, from.box.address, stream);
  return remote::outboardReadBox(room, count, from.box, piece, stream);
}

// Device to host; the bytes are there when it returns.
CUresult Read(const Job& job, bool certain) {
  if (*PackedBytes(job.extent) <= kCopyChunkBytes || !certain) {
    Packing packing;
    return InPieces(job, [&](const PlacedEnd& to, const PlacedEnd& from, const BoxExtent& piece) {
      const CUresult result = ReadPiece(packing.Room(to.box, piece), from, piece, job.stream);
      if (result == CUDA_SUCCESS) packing.Scatter(to.box, piece);
      return result;
    });
  }
  // All pieces under way at a time, and one wait: what the stream has done by then has landed.
  const CUresult result = ReadAsync(job, certain);
  return result == CUDA_SUCCESS ? remote::cuStreamSynchronize(job.stream) : result;
}

// What the driver says of a range that is not known to be memory. Asked before any byte of the host is touched: a wrong
// extent is more than the host's range has, too. Of an array it is known.
CUresult CheckRange(const Job& job, const PlacedEnd& end, bool writes) {
  if (end.array != nullptr) return CUDA_SUCCESS;
  const uint64_t address = end.box.address;
  const auto range = job.memory().FindDevice(address);
  if (range.has_value() && range->Contains(address, end.span)) return CUDA_SUCCESS;
  if (job.memory().virtual_memory().Allows(job.current.device, address, end.span, writes)) return CUDA_SUCCESS;
  return remote::cuMemcpyDtoDAsync_v2(address, address, end.span, job.stream, false);
}

CUresult CopyToDevice(const Job& job) {
  Memory& memory = job.memory();
  const bool certain = job.IsCertain();
  if (!certain) {
    if (const CUresult refused = CheckRange(job, job.to, true); refused != CUDA_SUCCESS) return refused;
  }
  if (job.form == Form::kAsync) {
    const bool may_change = job.process.host_calls().outstanding() || memory.streams_may_wait() ||
                            memory.landings().MayWrite(job.from.box.address, job.from.span);
    const bool in_order = job.order == SourceOrder::kStream ||
                          (job.order == SourceOrder::kByMemory && memory.IsPinned(job.from.box.address, job.from.span));
    if (!may_change || !in_order) return Write(job, certain);
    const CUresult result = WritePulled(job, certain);
    // The result may be that of earlier work, with this copy under way all the same: then it is waited for.
    if (result != CUDA_SUCCESS) memory.DrainHost(job.from.box.address, job.from.span);
    return result;
  }
  const bool waits = TouchesHost(job.process) || job.SyncsMemops();
  const CUresult result = Write(job, certain);
  if (result != CUDA_SUCCESS) return result;
  return waits ? remote::cuStreamSynchronize(job.stream) : remote::outboardFinishWrite(job.stream, certain);
}

CUresult CopyToHost(const Job& job) {
  Memory& memory = job.memory();
  const bool certain = job.IsCertain();
  if (!certain) {
    const CUresult refused = CheckRange(job, job.from, false);
    if (refused != CUDA_SUCCESS) return refused;
  }
  const bool waits = job.form == Form::kSync || job.order == SourceOrder::kDuringCall ||
                     !memory.IsPinned(job.to.box.address, job.to.span);
  const CUresult result = waits ? Read(job, certain) : ReadAsync(job, certain);
  // As above: nothing may land unexpected.
  if (result != CUDA_SUCCESS) memory.DrainHost(job.to.box.address, job.to.span);
  return result;
}

CUresult CopyWithArray(const Job& job, bool certain) {
  const auto& [to, from, extent] = std::tie(job.to, job.from, job.extent);
  if (from.array == nullptr) {
    return remote::outboardCopyToArray(to.array, to.place, from.box, extent, job.stream, certain);
  }
  if (to.array == nullptr) {
    return remote::outboardCopyFromArray(to.box, from.array, from.place, extent, job.stream, certain);
  }
  return remote::outboardCopyArrays(to.array, to.place, from.array, from.place, extent, job.stream, certain);
}

CUresult CopyOnDevice(const Job& job) {
  const bool certain = job.IsCertain();
  if (job.to.array != nullptr || job.from.array != nullptr) return CopyWithArray(job, certain);
  const auto& [to, from, extent] = std::tie(job.to.box, job.from.box, job.extent);
  const CUcontext to_context = job.to.context, from_context = job.from.context;
  if (to_context == job.current.context && from_context == job.current.context) {
    if (!extent.IsOneRow()) return remote::outboardCopyBox(to, from, extent, job.stream, certain);
    return remote::cuMemcpyDtoDAsync_v2(to.address, from.address, extent.width, job.stream, certain);
  }
  if (job.form == Form::kSync) {
    if (!extent.IsOneRow()) return remote::outboardCopyBoxPeer(to, to_context, from, from_context, extent);
    return remote::cuMemcpyPeer(to.address, to_context, from.address, from_context, extent.width);
  }
  if (!extent.IsOneRow()) {
    return remote::outboardCopyBoxPeerAsync(to, to_context, from, from_context, extent, job.stream, certain);
  }
  return remote::cuMemcpyPeerAsync(to.address, to_context, from.address, from_context, extent.width, job.stream,
                                   certain);
}

CUresult CopyOnHost(const Job& job) {
  if (TouchesHost(job.process)) {
    if (const CUresult result = remote::cuStreamSynchronize(job.stream); result != CUDA_SUCCESS) return result;
  }
  CopyBox(job.to.box, job.from.box, job.extent);
  return CUDA_SUCCESS;
}

// A copy of no bytes does nothing, on any stream that there is.
CUresult CopyNothing(const Job& job) {
  const auto stream = reinterpret_cast<uint64_t>(job.stream);
  const bool exists = job.process.session().ids().IsLive(wire::HandleKind::kStream, stream);
  return exists ? CUDA_SUCCESS : remote::cuStreamQuery(job.stream);
}

CUresult FindArray(Process& process, const CopyEnd& given, const BoxExtent& extent, PlacedEnd* end) {
  const auto info = process.arrays().Find(given.array);
  if (!info) return CUDA_ERROR_INVALID_HANDLE;
  // What the client cannot count in, the driver checks.
  end->is_known = ElementBytes(info->descriptor) != 0;
  if (end->is_known && !FitsInto(info->descriptor, given.place, extent)) return CUDA_ERROR_INVALID_VALUE;
  end->is_device = true;
  end->context = info->context;
  end->array = given.array;
  end->place = given.place;
  return CUDA_SUCCESS;
}

// Whose memory an end is. A pointer that is to be host memory is refused where reading it here would fault.
CUresult FindEnd(Process& process, const Current& current, const CopyEnd& given, const BoxExtent& extent,
                 PlacedEnd* end) {
  if (given.kind == CopyEnd::Kind::kArray) return FindArray(process, given, extent, end);
  const auto span = SpanOf(given.box, extent);
  if (!span) return CUDA_ERROR_INVALID_VALUE;
  end->box = given.box;
  end->span = *span;
  end->context = given.context ? process.contexts().HomeOf(*given.context) : current.context;
  end->is_device = given.kind == CopyEnd::Kind::kDevice;
  if (end->is_device) return CUDA_SUCCESS;
  end->is_device = process.memory().IsDeviceAddress(given.box.address);
  const bool is_wrong = given.box.address == 0 || (end->is_device && given.kind == CopyEnd::Kind::kHost);
  return is_wrong ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

CUmemorytype TypeOf(const PlacedEnd& end) {
  if (end.array != nullptr) return CU_MEMORYTYPE_ARRAY;
  return end.is_device ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST;
}

// A copy as the parameters of a node say it.
CUDA_MEMCPY3D ParamsOf(const PlacedCopy& placed) {
  const auto& [to, from, extent] = placed;
  CUDA_MEMCPY3D copy{};
  copy.srcMemoryType = TypeOf(from);
  copy.srcDevice = from.is_device ? from.box.address : 0;
  copy.srcHost = from.is_device ? nullptr : reinterpret_cast<const void*>(from.box.address);
  copy.srcArray = from.array;
  std::tie(copy.srcXInBytes, copy.srcY, copy.srcZ) = std::tie(from.place.x, from.place.y, from.place.z);
  copy.srcPitch = from.box.pitch;
  copy.srcHeight = from.box.slice_rows;
  copy.dstMemoryType = TypeOf(to);
  copy.dstDevice = to.is_device ? to.box.address : 0;
  copy.dstHost = to.is_device ? nullptr : reinterpret_cast<void*>(to.box.address);
  copy.dstArray = to.array;
  std::tie(copy.dstXInBytes, copy.dstY, copy.dstZ) = std::tie(to.place.x, to.place.y, to.place.z);
  copy.dstPitch = to.box.pitch;
  copy.dstHeight = to.box.slice_rows;
  copy.WidthInBytes = extent.width;
  copy.Height = extent.height;
  copy.Depth = extent.depth;
  return copy;
}

// In a capturing stream the copy becomes a node, whose bytes are read and written when the graph runs, wherever they
// are; nullopt when it is to be done.
std::optional<CUresult> Capture(const Job& job) {
  if (!CapturesOf(job.process).any() || job.extent.IsEmpty()) return std::nullopt;
  if (job.form == Form::kSync) {
    const CUresult refused = RefuseOn(job.process, job.stream);
    return refused != CUDA_SUCCESS ? std::optional(refused) : std::nullopt;
  }
  return CaptureInstead(job.process, job.stream, [&](graphs::OperationPtr* operation) {
    CUgraphNodeParams params{};
    params.type = CU_GRAPH_NODE_TYPE_MEMCPY;
    params.memcpy.copyCtx = job.current.context;
    params.memcpy.copyParams = ParamsOf(job);
    return MakeOperation(job.process, &params, operation);
  });
}

CUresult CarryOut(const Job& job) {
  if (const auto captured = Capture(job)) return *captured;
  if (job.extent.IsEmpty()) return CopyNothing(job);
  if (job.to.is_device && !job.from.is_device) return CopyToDevice(job);
  if (!job.to.is_device && job.from.is_device) return CopyToHost(job);
  if (!job.to.is_device) return CopyOnHost(job);
  // No copy between devices makes the caller wait, but where the memory was given an attribute that says so.
  const CUresult result = CopyOnDevice(job);
  const bool waits = job.order == SourceOrder::kDuringCall || (job.form == Form::kSync && job.SyncsMemops());
  return waits && result == CUDA_SUCCESS ? remote::cuStreamSynchronize(job.stream) : result;
}

}  // namespace

CUresult PlaceCopy(Process& process, const Current& current, const BoxCopy& copy, PlacedCopy* placed) {
  auto& [to, from, extent] = *placed;
  extent = copy.extent;
  if (extent.IsEmpty()) return CUDA_SUCCESS;
  if (!PackedBytes(extent)) return CUDA_ERROR_INVALID_VALUE;
  if (CUresult result = FindEnd(process, current, copy.to, extent, &to); result != CUDA_SUCCESS) return result;
  if (CUresult result = FindEnd(process, current, copy.from, extent, &from); result != CUDA_SUCCESS) return result;
  if (to.array != nullptr && from.array != nullptr) {
    const auto to_info = process.arrays().Find(to.array), from_info = process.arrays().Find(from.array);
    const bool differ =
        to_info && from_info && ElementBytes(to_info->descriptor) != ElementBytes(from_info->descriptor);
    return differ ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
  }
  if (to.array != nullptr || from.array != nullptr) return CUDA_SUCCESS;
  if (IsPacked(to.box, extent) && IsPacked(from.box, extent)) extent = RowOf(to.span);
  return CUDA_SUCCESS;
}

CUresult CopyInStream(Process& process, const Current& current, const BoxCopy& copy, CUstream stream, Form form) {
  Job job{{}, process, current, stream, form, SourceOrder::kByMemory};
  const CUresult result = PlaceCopy(process, current, copy, &job);
  return result == CUDA_SUCCESS ? CarryOut(job) : result;
}

CUresult CopyBatch(Process& process, const Current& current, const std::vector<OrderedCopy>& copies, CUstream stream,
                   size_t* failed) {
  *failed = SIZE_MAX;
  if (stream == CU_STREAM_LEGACY) return CUDA_ERROR_INVALID_VALUE;
  std::vector<Job> jobs;
  for (const OrderedCopy& ordered : copies) {
    jobs.push_back({{}, process, current, stream, Form::kAsync, ordered.order});
    const CUresult result = PlaceCopy(process, current, ordered.copy, &jobs.back());
    if (result == CUDA_SUCCESS) continue;
    *failed = jobs.size() - 1;
    return result;
  }
  for (const Job& job : jobs) {
    const CUresult result = CarryOut(job);
    if (result == CUDA_SUCCESS) continue;
    *failed = &job - jobs.data();
    return result;
  }
  return CUDA_SUCCESS;
}

}  // namespace outboard::shim
