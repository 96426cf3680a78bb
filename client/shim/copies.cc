#include "client/shim/copies.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <tuple>

#include "client/shim/call.h"
#include "client/shim/captures.h"
#include "client/shim/host_calls.h"
#include "client/shim/memory.h"
#include "client/shim/remote.gen.h"
#include "common/base/limits.h"

namespace outboard::shim {
namespace {

// A copy whose ends are found.
struct Job {
  Process& process;
  const Current& current;
  CUstream stream;
  Form form;
  SourceOrder order;
  bool to_device, from_device;
  CUcontext to_context, from_context;  // of device memory
  Box to, from;
  uint64_t to_span, from_span;  // bytes from the first to the last
  BoxExtent extent;             // one row, if neither end has gaps

  Memory& memory() const { return process.memory(); }
  bool SyncsMemops() const { return memory().SyncsMemops(to.address) || memory().SyncsMemops(from.address); }
  // Whether the driver accepts the copy for sure.
  bool IsCertain() const {
    return IsOfCurrentContext(stream) && (!to_device || Has(to_context, to.address, to_span)) &&
           (!from_device || Has(from_context, from.address, from_span));
  }

 private:
  // Memory of a pool is one device's instead of one context's; of other contexts than the current the device is not
  // asked.
  bool Has(CUcontext context, uint64_t address, uint64_t bytes) const {
    const CUdevice device = context == current.context ? current.device : CU_DEVICE_INVALID;
    return memory().Has(context, device, address, bytes);
  }
};

// Whether work under way may still write host memory, read it, run on the host, or wait for the application: only then
// can a caller tell whether a call waited for its stream.
bool TouchesHost(Process& process) {
  Memory& memory = process.memory();
  return memory.landings().Any() || memory.pulls().Any() || process.host_calls().outstanding() ||
         memory.streams_may_wait();
}

// The same for a copy that is found.
template <class MovePiece>
CUresult InPieces(const Job& job, MovePiece move) {
  return shim::InPieces(job.to, job.from, job.extent, move);
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
  return InPieces(job, [&](const Box& to, const Box& from, const BoxExtent& piece) {
    const std::byte* const bytes = packing.Gather(from, piece);
    if (piece.IsOneRow()) return remote::outboardWrite(to.address, bytes, piece.width, job.stream, certain);
    return remote::outboardWriteBox(to, piece, bytes, *PackedBytes(piece), job.stream, certain);
  });
}

// Host to device, the bytes as they are when the stream gets there.
CUresult WritePulled(const Job& job, bool certain) {
  return InPieces(job, [&](const Box& to, const Box& from, const BoxExtent& piece) {
    const uint64_t pull = job.memory().pulls().Add(from, piece);
    if (!piece.IsOneRow()) return remote::outboardWriteBoxPulled(to, piece, from, pull, job.stream, certain);
    return remote::outboardWritePulled(to.address, piece.width, from.address, pull, job.stream, certain);
  });
}

// Device to host, without waiting for the bytes.
CUresult ReadAsync(const Job& job, bool certain) {
  Landings& landings = job.memory().landings();
  return InPieces(job, [&](const Box& to, const Box& from, const BoxExtent& piece) {
    if (piece.IsOneRow()) {
      landings.Expect(to.address, piece.width);
      return remote::outboardReadAsync(to.address, piece.width, from.address, job.stream, certain);
    }
    landings.ExpectBox(to, piece);
    return remote::outboardReadBoxAsync(to, from, piece, job.stream, certain);
  });
}

// Device to host; the bytes are there when it returns.
CUresult Read(const Job& job, bool certain) {
  if (*PackedBytes(job.extent) <= kCopyChunkBytes || !certain) {
    Packing packing;
    return InPieces(job, [&](const Box& to, const Box& from, const BoxExtent& piece) {
      std::byte* const room = packing.Room(to, piece);
      if (piece.IsOneRow()) return remote::outboardRead(room, piece.width, from.address, job.stream);
      const CUresult result = remote::outboardReadBox(room, *PackedBytes(piece), from, piece, job.stream);
      if (result == CUDA_SUCCESS) packing.Scatter(to, piece);
      return result;
    });
  }
  // All pieces under way at a time, and one wait: what the stream has done by then has landed.
  const CUresult result = ReadAsync(job, certain);
  return result == CUDA_SUCCESS ? remote::cuStreamSynchronize(job.stream) : result;
}

// What the driver says of a range that is not known to be memory. Asked before any byte of the host is touched: a wrong
// extent is more than the host's range has, too.
CUresult CheckRange(const Job& job, uint64_t address, uint64_t bytes, bool writes) {
  const auto range = job.memory().FindDevice(address);
  if (range.has_value() && range->Contains(address, bytes)) return CUDA_SUCCESS;
  if (job.memory().virtual_memory().Allows(job.current.device, address, bytes, writes)) return CUDA_SUCCESS;
  return remote::cuMemcpyDtoDAsync_v2(address, address, bytes, job.stream, false);
}

CUresult CopyToDevice(const Job& job) {
  Memory& memory = job.memory();
  const bool certain = job.IsCertain();
  if (!certain) {
    if (const CUresult refused = CheckRange(job, job.to.address, job.to_span, true); refused != CUDA_SUCCESS)
      return refused;
  }
  if (job.form == Form::kAsync) {
    const bool may_change = job.process.host_calls().outstanding() || memory.streams_may_wait() ||
                            memory.landings().MayWrite(job.from.address, job.from_span);
    const bool in_order = job.order == SourceOrder::kStream ||
                          (job.order == SourceOrder::kByMemory && memory.IsPinned(job.from.address, job.from_span));
    if (!may_change || !in_order) return Write(job, certain);
    const CUresult result = WritePulled(job, certain);
    // The result may be that of earlier work, with this copy under way all the same: then it is waited for.
    if (result != CUDA_SUCCESS) memory.DrainHost(job.from.address, job.from_span);
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
    const CUresult refused = CheckRange(job, job.from.address, job.from_span, false);
    if (refused != CUDA_SUCCESS) return refused;
  }
  const bool waits =
      job.form == Form::kSync || job.order == SourceOrder::kDuringCall || !memory.IsPinned(job.to.address, job.to_span);
  const CUresult result = waits ? Read(job, certain) : ReadAsync(job, certain);
  // As above: nothing may land unexpected.
  if (result != CUDA_SUCCESS) memory.DrainHost(job.to.address, job.to_span);
  return result;
}

CUresult CopyOnDevice(const Job& job) {
  const auto& [to, from, extent] = std::tie(job.to, job.from, job.extent);
  const bool certain = job.IsCertain();
  if (job.to_context == job.current.context && job.from_context == job.current.context) {
    if (!extent.IsOneRow()) return remote::outboardCopyBox(to, from, extent, job.stream, certain);
    return remote::cuMemcpyDtoDAsync_v2(to.address, from.address, extent.width, job.stream, certain);
  }
  if (job.form == Form::kSync) {
    if (!extent.IsOneRow()) return remote::outboardCopyBoxPeer(to, job.to_context, from, job.from_context, extent);
    return remote::cuMemcpyPeer(to.address, job.to_context, from.address, job.from_context, extent.width);
  }
  if (!extent.IsOneRow()) {
    return remote::outboardCopyBoxPeerAsync(to, job.to_context, from, job.from_context, extent, job.stream, certain);
  }
  return remote::cuMemcpyPeerAsync(to.address, job.to_context, from.address, job.from_context, extent.width, job.stream,
                                   certain);
}

CUresult CopyOnHost(const Job& job) {
  if (TouchesHost(job.process)) {
    if (const CUresult result = remote::cuStreamSynchronize(job.stream); result != CUDA_SUCCESS) return result;
  }
  CopyBox(job.to, job.from, job.extent);
  return CUDA_SUCCESS;
}

// A copy of no bytes does nothing, on any stream that there is.
CUresult CopyNothing(const Job& job) {
  const auto stream = reinterpret_cast<uint64_t>(job.stream);
  const bool exists = job.process.session().ids().IsLive(wire::HandleKind::kStream, stream);
  return exists ? CUDA_SUCCESS : remote::cuStreamQuery(job.stream);
}

// Whose memory an end is. A pointer that is to be host memory is refused where reading it here would fault.
CUresult FindSide(const Memory& memory, const CopyEnd& end, bool* is_device) {
  switch (end.kind) {
    case CopyEnd::Kind::kArray:
      return CUDA_ERROR_NOT_SUPPORTED;
    case CopyEnd::Kind::kDevice:
      *is_device = true;
      return CUDA_SUCCESS;
    default:
      *is_device = memory.IsDeviceAddress(end.box.address);
      const bool is_wrong = end.box.address == 0 || (*is_device && end.kind == CopyEnd::Kind::kHost);
      return is_wrong ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
  }
}

CUresult Find(const BoxCopy& copy, Job* job) {
  PlacedCopy placed;
  const CUresult result = PlaceCopy(job->process.memory(), copy, &placed);
  job->extent = placed.extent;
  job->to_device = placed.to_device;
  job->from_device = placed.from_device;
  job->to = placed.to;
  job->from = placed.from;
  job->to_span = placed.to_span;
  job->from_span = placed.from_span;
  job->to_context = copy.to.context.value_or(job->current.context);
  job->from_context = copy.from.context.value_or(job->current.context);
  return result;
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
    CUDA_MEMCPY3D& copy = params.memcpy.copyParams;
    copy.srcMemoryType = job.from_device ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST;
    copy.srcDevice = job.from_device ? job.from.address : 0;
    copy.srcHost = job.from_device ? nullptr : reinterpret_cast<const void*>(job.from.address);
    copy.srcPitch = job.from.pitch;
    copy.srcHeight = job.from.slice_rows;
    copy.dstMemoryType = job.to_device ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST;
    copy.dstDevice = job.to_device ? job.to.address : 0;
    copy.dstHost = job.to_device ? nullptr : reinterpret_cast<void*>(job.to.address);
    copy.dstPitch = job.to.pitch;
    copy.dstHeight = job.to.slice_rows;
    copy.WidthInBytes = job.extent.width;
    copy.Height = job.extent.height;
    copy.Depth = job.extent.depth;
    return MakeOperation(job.process, params, operation);
  });
}

CUresult CarryOut(const Job& job) {
  if (const auto captured = Capture(job)) return *captured;
  if (job.extent.IsEmpty()) return CopyNothing(job);
  if (job.to_device && !job.from_device) return CopyToDevice(job);
  if (!job.to_device && job.from_device) return CopyToHost(job);
  if (!job.to_device) return CopyOnHost(job);
  // No copy between devices makes the caller wait, but where the memory was given an attribute that says so.
  const CUresult result = CopyOnDevice(job);
  const bool waits = job.order == SourceOrder::kDuringCall || (job.form == Form::kSync && job.SyncsMemops());
  return waits && result == CUDA_SUCCESS ? remote::cuStreamSynchronize(job.stream) : result;
}

}  // namespace

CUresult PlaceCopy(const Memory& memory, const BoxCopy& copy, PlacedCopy* placed) {
  placed->extent = copy.extent;
  if (copy.extent.IsEmpty()) return CUDA_SUCCESS;
  if (const CUresult result = FindSide(memory, copy.to, &placed->to_device); result != CUDA_SUCCESS) return result;
  if (const CUresult result = FindSide(memory, copy.from, &placed->from_device); result != CUDA_SUCCESS) return result;
  const auto to_span = SpanOf(copy.to.box, copy.extent), from_span = SpanOf(copy.from.box, copy.extent);
  if (!to_span || !from_span || !PackedBytes(copy.extent)) return CUDA_ERROR_INVALID_VALUE;
  placed->to = copy.to.box;
  placed->from = copy.from.box;
  placed->to_span = *to_span;
  placed->from_span = *from_span;
  if (IsPacked(placed->to, copy.extent) && IsPacked(placed->from, copy.extent)) placed->extent = RowOf(*to_span);
  return CUDA_SUCCESS;
}

CUresult CopyInStream(Process& process, const Current& current, const BoxCopy& copy, CUstream stream, Form form) {
  Job job{process, current, stream, form, SourceOrder::kByMemory};
  const CUresult result = Find(copy, &job);
  return result == CUDA_SUCCESS ? CarryOut(job) : result;
}

CUresult CopyBatch(Process& process, const Current& current, const std::vector<OrderedCopy>& copies, CUstream stream,
                   size_t* failed) {
  *failed = SIZE_MAX;
  if (stream == CU_STREAM_LEGACY) return CUDA_ERROR_INVALID_VALUE;
  std::vector<Job> jobs;
  for (const OrderedCopy& ordered : copies) {
    jobs.push_back({process, current, stream, Form::kAsync, ordered.order});
    const CUresult result = Find(ordered.copy, &jobs.back());
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
