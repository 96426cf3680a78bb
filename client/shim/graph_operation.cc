#include "client/shim/graph_operation.h"

#include <algorithm>
#include <iterator>
#include <optional>

#include "client/shim/contexts.h"
#include "client/shim/copies.h"
#include "client/shim/graph_memory.h"
#include "client/shim/memory.h"
#include "client/shim/memory_call.h"
#include "client/shim/modules.h"
#include "client/shim/modules_launch.h"
#include "client/shim/process.h"
#include "client/shim/thread_state.h"
#include "common/base/log.h"
#include "common/base/number_of.h"
#include "common/graphs/graph.h"
#include "common/libcuda/copy_calls.h"

namespace outboard::shim {
namespace {

using graphs::OperationPtr;

// The context that a description names, null meaning the current one; of a green one its primary context, as nodes run
// on the whole device.
CUresult FindNamed(Process& process, CUcontext named, Current* current) {
  current->context = named;
  Contexts::Info info;
  if (process.contexts().Resolve(&current->context, &info) != CUDA_SUCCESS) return CUDA_ERROR_INVALID_CONTEXT;
  *current = {info.home, info.device};
  return CUDA_SUCCESS;
}

// Whose the memory is, a context's, a device's or, in an address range, nobody's in particular, if all of it lies in
// one piece of it or in what is mapped for the device.
std::optional<const void*> OwnerOf(Process& process, const Current& current, uint64_t address, uint64_t bytes,
                                   bool writes) {
  const auto range = process.memory().FindDevice(address);
  if (!range) {
    const VirtualMemory& mapped = process.memory().virtual_memory();
    return mapped.Allows(current.device, address, bytes, writes) ? std::optional(&mapped) : std::nullopt;
  }
  if (!range->Contains(address, bytes)) return std::nullopt;
  if (range->info.context != nullptr) return range->info.context;
  return &process.worker().devices[static_cast<size_t>(range->info.device)];
}

// The same of an end of a copy.
std::optional<const void*> OwnerOf(Process& process, const Current& current, const PlacedEnd& end, bool writes) {
  if (!end.is_device) return nullptr;
  if (end.array != nullptr) return end.context;
  return OwnerOf(process, current, end.box.address, end.span, writes);
}

template <class What>
CUresult Done(What what, OperationPtr* operation) {
  *operation = std::make_shared<const GraphOperation>(std::move(what));
  return CUDA_SUCCESS;
}

CUresult Make(Process& process, const CUDA_KERNEL_NODE_PARAMS_v3& params, OperationPtr* operation) {
  const auto handle = params.func != nullptr ? params.func : reinterpret_cast<CUfunction>(params.kern);
  if (handle == nullptr) return CUDA_ERROR_INVALID_VALUE;
  auto function = process.modules().FindToLaunch(handle);
  if (!function) return CUDA_ERROR_INVALID_HANDLE;
  Current current{function->identity().context, function->identity().device};
  if (current.context == nullptr) {
    if (CUresult result = FindNamed(process, params.ctx, &current); result != CUDA_SUCCESS) return result;
  }
  const OutboardLaunchShape shape{{params.gridDimX, params.gridDimY, params.gridDimZ},
                                  {params.blockDimX, params.blockDimY, params.blockDimZ},
                                  params.sharedMemBytes,
                                  0};
  return MakeKernel(std::move(function), current.context, shape, {}, params.kernelParams, params.extra, operation);
}

CUresult Make(Process& process, const CUDA_MEMCPY_NODE_PARAMS& params, OperationPtr* operation) {
  Current current;
  if (CUresult result = FindNamed(process, params.copyCtx, &current); result != CUDA_SUCCESS) return result;
  BoxCopy copy;
  CUresult result = ReadCopy(&params.copyParams, MaxPitch(process, current), &copy);
  if (result != CUDA_SUCCESS) return result;
  if (copy.extent.IsEmpty()) return CUDA_ERROR_INVALID_VALUE;
  PlacedCopy placed;
  if (result = PlaceCopy(process, current, copy, &placed); result != CUDA_SUCCESS) return result;
  if (!placed.to.is_device && !placed.from.is_device) return CUDA_ERROR_NOT_SUPPORTED;  // no GPU sees either end
  const auto to_owner = OwnerOf(process, current, placed.to, true);
  const auto from_owner = OwnerOf(process, current, placed.from, false);
  if (!to_owner || !from_owner) return CUDA_ERROR_INVALID_VALUE;
  return Done(CopyOperation{current.context, params.copyParams, placed, *to_owner, *from_owner}, operation);
}

CUresult Make(Process& process, const CUDA_MEMSET_NODE_PARAMS_v2& params, OperationPtr* operation) {
  Current current;
  if (CUresult result = FindNamed(process, params.ctx, &current); result != CUDA_SUCCESS) return result;
  const unsigned element = params.elementSize;
  if (element != 1 && element != 2 && element != 4) return CUDA_ERROR_INVALID_VALUE;
  if (params.width == 0 || params.height == 0 || params.dst % element != 0) return CUDA_ERROR_INVALID_VALUE;
  size_t width;
  if (__builtin_mul_overflow(params.width, params.elementSize, &width)) return CUDA_ERROR_INVALID_VALUE;
  if (params.height > 1 &&
      (params.pitch % element != 0 || params.pitch < width || params.pitch > MaxPitch(process, current)))
    return CUDA_ERROR_INVALID_VALUE;
  const auto span = SpanOf({params.dst, params.pitch, 0}, {width, params.height, 1});
  const auto owner = span ? OwnerOf(process, current, params.dst, *span, true) : std::nullopt;
  if (!owner) return CUDA_ERROR_INVALID_VALUE;
  FillOperation fill{params, *owner};
  fill.params.ctx = current.context;
  return Done(fill, operation);
}

CUresult Make(Process&, const CUDA_HOST_NODE_PARAMS_v2& params, OperationPtr* operation) {
  return params.fn == nullptr ? CUDA_ERROR_INVALID_VALUE : Done(HostOperation{params}, operation);
}

template <class Kind>
CUresult MakeOfEvent(Process& process, CUevent event, OperationPtr* operation) {
  const auto id = reinterpret_cast<wire::HandleId>(event);
  if (!process.session().ids().IsLive(wire::HandleKind::kEvent, id)) return CUDA_ERROR_INVALID_VALUE;
  return Done(Kind{event}, operation);
}

// Addresses are device memory: no stream of the worker can look at the client's.
CUresult Make(Process& process, const CUDA_BATCH_MEM_OP_NODE_PARAMS_v2& params, OperationPtr* operation) {
  constexpr unsigned kMost = 255;
  Current current;
  if (CUresult result = FindNamed(process, params.ctx, &current); result != CUDA_SUCCESS) return result;
  if (params.count == 0 || params.count > kMost || params.paramArray == nullptr || params.flags != 0)
    return CUDA_ERROR_INVALID_VALUE;
  MemoryOperations made{current.context, {params.paramArray, params.paramArray + params.count}};
  bool waits = false;
  for (const CUstreamBatchMemOpParams& each : made.operations) {
    const unsigned kind = NumberOf(each.operation);
    const bool is_wait = kind == CU_STREAM_MEM_OP_WAIT_VALUE_32 || kind == CU_STREAM_MEM_OP_WAIT_VALUE_64;
    const bool is_long = kind == CU_STREAM_MEM_OP_WAIT_VALUE_64 || kind == CU_STREAM_MEM_OP_WRITE_VALUE_64;
    switch (kind) {
      case CU_STREAM_MEM_OP_WAIT_VALUE_32:
      case CU_STREAM_MEM_OP_WAIT_VALUE_64:
      case CU_STREAM_MEM_OP_WRITE_VALUE_32:
      case CU_STREAM_MEM_OP_WRITE_VALUE_64: {
        // Waits and writes have these members at the same places.
        const size_t bytes = is_long ? 8 : 4;
        const auto& word = each.waitValue;
        if (word.address % bytes != 0) return CUDA_ERROR_INVALID_VALUE;
        if (!OwnerOf(process, current, word.address, bytes, !is_wait)) return CUDA_ERROR_INVALID_VALUE;
        break;
      }
      case CU_STREAM_MEM_OP_BARRIER:
        break;
      case CU_STREAM_MEM_OP_FLUSH_REMOTE_WRITES:
        return CUDA_ERROR_NOT_SUPPORTED;
      default:
        return CUDA_ERROR_INVALID_VALUE;
    }
    waits = waits || is_wait;
  }
  if (waits) process.memory().NoteStreamWait();
  return Done(std::move(made), operation);
}

CUresult Make(Process& process, CUDA_MEM_ALLOC_NODE_PARAMS_v2* params, OperationPtr* operation) {
  const CUDA_MEM_ALLOC_NODE_PARAMS given{params->poolProps, params->accessDescs, params->accessDescCount,
                                         params->bytesize, 0};
  std::shared_ptr<GraphMemory> memory;
  if (CUresult result = GraphMemory::Create(process, given, &memory); result != CUDA_SUCCESS) return result;
  params->dptr = memory->params().dptr;
  return Done(AllocOperation{std::move(memory)}, operation);
}

CUresult Make(Process& process, const CUDA_MEM_FREE_NODE_PARAMS& params, OperationPtr* operation) {
  const auto memory = process.memory().FindOfGraph(params.dptr);
  if (!memory) return CUDA_ERROR_INVALID_VALUE;
  return Done(FreeOperation{params.dptr, memory->number(), memory}, operation);
}

// What may change, by the operation's kind.
struct Change {
  const GraphOperation& after;

  static CUgraphExecUpdateResult If(bool may) {
    return may ? CU_GRAPH_EXEC_UPDATE_SUCCESS : CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED;
  }

  CUgraphExecUpdateResult operator()(const KernelOperation& before) const {
    const auto& now = std::get<KernelOperation>(after.what);
    if (now.context != before.context) return CU_GRAPH_EXEC_UPDATE_ERROR_UNSUPPORTED_FUNCTION_CHANGE;
    const auto same = [](const CUlaunchAttribute& a, const CUlaunchAttribute& b) {
      return std::equal(reinterpret_cast<const char*>(&a), reinterpret_cast<const char*>(&a + 1),
                        reinterpret_cast<const char*>(&b));
    };
    return std::ranges::equal(now.attributes, before.attributes, same) ? CU_GRAPH_EXEC_UPDATE_SUCCESS
                                                                       : CU_GRAPH_EXEC_UPDATE_ERROR_ATTRIBUTES_CHANGED;
  }

  CUgraphExecUpdateResult operator()(const CopyOperation& before) const {
    const auto& now = std::get<CopyOperation>(after.what);
    return If(now.to_owner == before.to_owner && now.from_owner == before.from_owner && now.context == before.context);
  }

  CUgraphExecUpdateResult operator()(const FillOperation& before) const {
    const auto& now = std::get<FillOperation>(after.what);
    const auto& a = before.params;
    const auto& b = now.params;
    const bool one_row = a.height == 1 && b.height == 1;
    const bool same_shape =
        a.height == b.height && a.width == b.width && a.elementSize == b.elementSize && a.pitch == b.pitch;
    return If(now.owner == before.owner && b.ctx == a.ctx && (one_row || same_shape));
  }

  CUgraphExecUpdateResult operator()(const MemoryOperations& before) const {
    const auto& now = std::get<MemoryOperations>(after.what);
    const auto same_kind = [](const CUstreamBatchMemOpParams& a, const CUstreamBatchMemOpParams& b) {
      if (a.operation != b.operation) return false;
      const bool is_barrier = NumberOf(a.operation) == CU_STREAM_MEM_OP_BARRIER;
      return !is_barrier || a.memoryBarrier.flags == b.memoryBarrier.flags;
    };
    return If(now.context == before.context && std::ranges::equal(now.operations, before.operations, same_kind));
  }

  CUgraphExecUpdateResult operator()(const AllocOperation& before) const {
    return If(std::get<AllocOperation>(after.what).memory == before.memory);
  }

  CUgraphExecUpdateResult operator()(const FreeOperation& before) const {
    return If(std::get<FreeOperation>(after.what).number == before.number);
  }

  template <class Any>
  CUgraphExecUpdateResult operator()(const Any&) const {
    return CU_GRAPH_EXEC_UPDATE_SUCCESS;
  }
};

// Whether a conditional node of the context may do it.
struct InBody {
  CUcontext context;

  static CUresult If(bool may) { return may ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE; }

  CUresult operator()(const KernelOperation& op) const { return If(op.context == context); }
  CUresult operator()(const FillOperation& op) const { return If(op.params.ctx == context); }
  CUresult operator()(const CopyOperation& op) const {
    const auto& [to, from, extent] = op.placed;
    if (op.context != context || to.array != nullptr || from.array != nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (to.is_device && from.is_device) return CUDA_SUCCESS;
    // It would need a host node (docs/architecture.md, "Graphs"), which bodies must not have.
    if (Process::Get().FirstMention("a copy of host memory in a conditional body"))
      Log(LogLevel::kWarn,
          "a body of a conditional node copies from or to host memory; this is not supported: copy within the device "
          "there, and between device and host memory outside of the conditional node");
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  template <class Any>
  CUresult operator()(const Any&) const {
    return CUDA_SUCCESS;
  }
};

// Describes operations as cuGraphAddNode takes them.
struct Describer {
  graphs::Node& node;
  CUgraphNodeParams& params;

  void operator()(const KernelOperation& op) const {
    auto* const bytes = const_cast<std::byte*>(op.params.data());  // documented as not to be written to
    node.arguments.clear();
    if (op.is_buffer) {
      node.packed_bytes = op.params.size();
      node.arguments = {CU_LAUNCH_PARAM_BUFFER_POINTER, bytes, CU_LAUNCH_PARAM_BUFFER_SIZE, &node.packed_bytes,
                        CU_LAUNCH_PARAM_END};
    } else {
      for (const OutboardParam& param : op.function->params()) node.arguments.push_back(bytes + param.offset);
    }
    void** const arguments = node.arguments.data();
    const Function::Identity& identity = op.function->identity();
    const bool is_kernel = identity.context == nullptr;
    auto& [grid, block, shared_bytes, count] = op.shape;
    params.kernel = {reinterpret_cast<CUfunction>(identity.handle),
                     grid[0],
                     grid[1],
                     grid[2],
                     block[0],
                     block[1],
                     block[2],
                     shared_bytes,
                     op.is_buffer ? nullptr : arguments,
                     op.is_buffer ? arguments : nullptr,
                     reinterpret_cast<CUkernel>(is_kernel ? identity.handle : identity.kernel),
                     op.context};
  }
  void operator()(const CopyOperation& op) const { params.memcpy = {0, 0, op.context, op.params}; }
  void operator()(const FillOperation& op) const { params.memset = op.params; }
  void operator()(const HostOperation& op) const { params.host = op.params; }
  void operator()(const RecordOperation& op) const { params.eventRecord.event = op.event; }
  void operator()(const WaitOperation& op) const { params.eventWait.event = op.event; }
  void operator()(const MemoryOperations& op) const {
    auto* const operations = const_cast<CUstreamBatchMemOpParams*>(op.operations.data());  // as above
    params.memOp = {op.context, static_cast<unsigned>(op.operations.size()), operations, 0};
  }
  void operator()(const AllocOperation& op) const {
    const CUDA_MEM_ALLOC_NODE_PARAMS& alloc = op.memory->params();
    params.alloc = {alloc.poolProps, alloc.accessDescs, alloc.accessDescCount, alloc.bytesize, alloc.dptr};
  }
  void operator()(const FreeOperation& op) const { params.free.dptr = op.address; }
  void operator()(const EmptyOperation&) const {}
};

}  // namespace

CUgraphNodeType GraphOperation::type() const {
  constexpr CUgraphNodeType kTypes[] = {CU_GRAPH_NODE_TYPE_KERNEL,       CU_GRAPH_NODE_TYPE_MEMCPY,
                                        CU_GRAPH_NODE_TYPE_MEMSET,       CU_GRAPH_NODE_TYPE_HOST,
                                        CU_GRAPH_NODE_TYPE_EVENT_RECORD, CU_GRAPH_NODE_TYPE_WAIT_EVENT,
                                        CU_GRAPH_NODE_TYPE_BATCH_MEM_OP, CU_GRAPH_NODE_TYPE_MEM_ALLOC,
                                        CU_GRAPH_NODE_TYPE_MEM_FREE,     CU_GRAPH_NODE_TYPE_EMPTY};
  static_assert(std::variant_size_v<What> == std::size(kTypes));
  return kTypes[what.index()];
}

CUgraphExecUpdateResult GraphOperation::MayBecome(const graphs::Operation& after) const {
  return std::visit(Change{static_cast<const GraphOperation&>(after)}, what);
}

void GraphOperation::Describe(graphs::Node& node, CUgraphNodeParams* params) const {
  std::visit(Describer{node, *params}, what);
}

CUresult GraphOperation::MayRunInBody(CUcontext context) const { return std::visit(InBody{context}, what); }

std::string GraphOperation::label() const {
  const auto* kernel = std::get_if<KernelOperation>(&what);
  return kernel != nullptr ? kernel->function->identity().name : std::string();
}

std::shared_ptr<graphs::Memory> GraphOperation::allocates() const {
  const auto* alloc = std::get_if<AllocOperation>(&what);
  return alloc != nullptr ? alloc->memory : nullptr;
}

std::shared_ptr<graphs::Memory> GraphOperation::frees() const {
  const auto* free = std::get_if<FreeOperation>(&what);
  return free != nullptr ? free->memory.lock() : nullptr;
}

const GraphOperation& OperationOf(const graphs::Node& node) {
  return static_cast<const GraphOperation&>(*node.operation());
}

CUresult MakeOperation(Process& process, CUgraphNodeParams* params, OperationPtr* operation) {
  switch (NumberOf(params->type)) {
    case CU_GRAPH_NODE_TYPE_KERNEL:
      return Make(process, params->kernel, operation);
    case CU_GRAPH_NODE_TYPE_MEMCPY:
      return Make(process, params->memcpy, operation);
    case CU_GRAPH_NODE_TYPE_MEMSET:
      return Make(process, params->memset, operation);
    case CU_GRAPH_NODE_TYPE_HOST:
      return Make(process, params->host, operation);
    case CU_GRAPH_NODE_TYPE_EMPTY:
      return Done(EmptyOperation{}, operation);
    case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
      return MakeOfEvent<WaitOperation>(process, params->eventWait.event, operation);
    case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
      return MakeOfEvent<RecordOperation>(process, params->eventRecord.event, operation);
    case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP:
      return Make(process, params->memOp, operation);
    case CU_GRAPH_NODE_TYPE_MEM_ALLOC:
      return Make(process, &params->alloc, operation);
    case CU_GRAPH_NODE_TYPE_MEM_FREE:
      return Make(process, params->free, operation);
    case CU_GRAPH_NODE_TYPE_EXT_SEMAS_SIGNAL:
    case CU_GRAPH_NODE_TYPE_EXT_SEMAS_WAIT:
      return CUDA_ERROR_NOT_SUPPORTED;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

CUresult MakeKernel(std::shared_ptr<Function> function, CUcontext context, const OutboardLaunchShape& shape,
                    std::vector<CUlaunchAttribute> attributes, void** kernel_params, void** extra,
                    OperationPtr* operation) {
  if (!function->FitsLimits(shape)) return CUDA_ERROR_INVALID_VALUE;
  PackedParams params;
  if (CUresult result = params.Pack(*function, kernel_params, extra); result != CUDA_SUCCESS) return result;
  // Of a launch in a stream, which a node has no way to keep.
  std::erase_if(attributes, [](const CUlaunchAttribute& attribute) {
    return attribute.id == CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION ||
           attribute.id == CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY;
  });
  KernelOperation kernel{std::move(function), context, shape, std::move(attributes), {}, extra != nullptr};
  kernel.shape.attribute_count = static_cast<uint32_t>(kernel.attributes.size());
  kernel.params.assign(params.bytes().begin(), params.bytes().end());
  return Done(std::move(kernel), operation);
}

}  // namespace outboard::shim
