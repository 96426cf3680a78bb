#include "server/softgpu/api/operation.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <optional>
#include <string>
#include <tuple>

#include "common/base/box.h"
#include "common/base/number_of.h"
#include "common/graphs/graph.h"
#include "server/softgpu/api/array.h"
#include "server/softgpu/api/copies.h"
#include "server/softgpu/api/driver.h"
#include "server/softgpu/api/launch.h"
#include "server/softgpu/api/memory.h"
#include "server/softgpu/api/thread_state.h"

namespace outboard::softgpu::api {
namespace {

// The memory of a fill, in this process. Nullopt for memory that is not there and for rows that overlap.
std::optional<DeviceBytes> FindRows(const Context& context, const CUDA_MEMSET_NODE_PARAMS_v2& params) {
  size_t width;
  if (__builtin_mul_overflow(params.width, params.elementSize, &width)) return std::nullopt;
  if (params.height > 1 && (params.pitch < width || params.pitch > Device::kMaxPitchBytes)) return std::nullopt;
  const auto span = SpanOf({params.dst, params.pitch, 0}, {width, params.height, 1});
  return span ? FindDeviceBytes(context, params.dst, *span, true) : std::nullopt;
}

// Whose the device memory at an address is: a context's, for a pool's memory its device's, in an address range nobody's
// in particular. Null for host memory.
const void* OwnerOf(const Driver& driver, uint64_t address) {
  const auto range = driver.allocations.Find(address);
  if (!range) return driver.virtual_memory.IsReserved(address) ? &driver.virtual_memory : nullptr;
  return range->info.context ? static_cast<const void*>(range->info.context) : range->info.device;
}

// The same of an end of a copy.
const void* OwnerOf(const Driver& driver, const CopyEnd& end) {
  if (end.kind != CopyEnd::Kind::kArray) return OwnerOf(driver, end.box.address);
  const auto array = driver.handles.Find<Array>(end.array);
  return array ? &array->context : nullptr;
}

void ReportGone(Driver& driver, const char* what) {
  Fault fault{FaultKind::kIllegalAddress};
  fault.message = std::string("a graph's ") + what + " needs memory that is not allocated any more";
  driver.Report(fault);
}

struct Runner {
  const std::shared_ptr<const TextureTable>& textures;

  void operator()(const KernelOperation& op) const {
    if (!op.context->MayRun()) return;
    Launch launch = op.launch;
    launch.textures = textures;
    const auto memory = op.context->peers.Memory();
    const auto fault = op.context->driver.engine().Run(*op.kernel, launch, *memory, *op.context);
    if (fault) op.context->driver.Report(*fault);
  }

  void operator()(const CopyOperation& op) const {
    if (!op.context->MayRun()) return;
    PlacedCopy placed;
    if (PlaceCopy(*op.context, op.copy, &placed) != CUDA_SUCCESS) return ReportGone(op.context->driver, "copy");
    CopyBox(placed.to.box, placed.from.box, op.copy.extent);
  }

  void operator()(const FillOperation& op) const {
    if (!op.context->MayRun()) return;
    const auto& p = op.params;
    const auto rows = FindRows(*op.context, p);
    if (!rows) return ReportGone(op.context->driver, "memset");
    for (size_t y = 0; y < p.height; ++y) {
      std::byte* const row = rows->bytes + y * p.pitch;
      switch (p.elementSize) {
        case 1:
          std::memset(row, static_cast<uint8_t>(p.value), p.width);
          break;
        case 2:
          std::fill_n(reinterpret_cast<uint16_t*>(row), p.width, static_cast<uint16_t>(p.value));
          break;
        default:
          std::fill_n(reinterpret_cast<uint32_t*>(row), p.width, p.value);
      }
    }
  }

  void operator()(const HostOperation& op) const {
    if (op.driver.fault() != CUDA_SUCCESS) return;
    op.driver.host_thread.Run([&params = op.params] { params.fn(params.userData); });
  }

  void operator()(const RecordOperation&) const {}
  void operator()(const WaitOperation&) const {}
  void operator()(const EmptyOperation&) const {}
  void operator()(const AllocOperation&) const {}
  void operator()(const FreeOperation&) const {}

  void operator()(const MemOpsOperation& op) const {
    Driver& driver = op.context->driver;
    for (const CUstreamBatchMemOpParams& each : op.operations) {
      if (!op.context->MayRun()) return;
      MemOpWork work;
      if (MakeMemOp(*op.context, each, op.version, &work) != CUDA_SUCCESS)
        return ReportGone(driver, "memory operation");
      if (work) work();
    }
  }
};

// What may change, by the operation's kind.
struct Change {
  const Operation& after;

  CUgraphExecUpdateResult operator()(const KernelOperation& before) const {
    const auto& now = std::get<KernelOperation>(after.what);
    if (now.context != before.context) return CU_GRAPH_EXEC_UPDATE_ERROR_UNSUPPORTED_FUNCTION_CHANGE;
    return now.launch.cooperative == before.launch.cooperative ? CU_GRAPH_EXEC_UPDATE_SUCCESS
                                                               : CU_GRAPH_EXEC_UPDATE_ERROR_ATTRIBUTES_CHANGED;
  }

  CUgraphExecUpdateResult operator()(const CopyOperation& before) const {
    const auto& now = std::get<CopyOperation>(after.what);
    return now.to_owner == before.to_owner && now.from_owner == before.from_owner && now.context == before.context
               ? CU_GRAPH_EXEC_UPDATE_SUCCESS
               : CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED;
  }

  CUgraphExecUpdateResult operator()(const FillOperation& before) const {
    const auto& now = std::get<FillOperation>(after.what);
    const auto& a = before.params;
    const auto& b = now.params;
    const bool one_row = a.height == 1 && b.height == 1;
    const bool same_shape =
        a.height == b.height && a.width == b.width && a.elementSize == b.elementSize && a.pitch == b.pitch;
    return now.owner == before.owner && now.context == before.context && (one_row || same_shape)
               ? CU_GRAPH_EXEC_UPDATE_SUCCESS
               : CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED;
  }

  // Addresses, values and what a wait waits for.
  CUgraphExecUpdateResult operator()(const MemOpsOperation& before) const {
    const auto& now = std::get<MemOpsOperation>(after.what);
    const auto same_kind = [](const CUstreamBatchMemOpParams& a, const CUstreamBatchMemOpParams& b) {
      if (a.operation != b.operation) return false;
      const bool is_barrier = NumberOf(a.operation) == CU_STREAM_MEM_OP_BARRIER;
      return !is_barrier || a.memoryBarrier.flags == b.memoryBarrier.flags;
    };
    return now.context == before.context && std::ranges::equal(now.operations, before.operations, same_kind)
               ? CU_GRAPH_EXEC_UPDATE_SUCCESS
               : CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED;
  }

  CUgraphExecUpdateResult operator()(const AllocOperation& before) const {
    return std::get<AllocOperation>(after.what).memory == before.memory ? CU_GRAPH_EXEC_UPDATE_SUCCESS
                                                                        : CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED;
  }

  CUgraphExecUpdateResult operator()(const FreeOperation& before) const {
    return std::get<FreeOperation>(after.what).address == before.address
               ? CU_GRAPH_EXEC_UPDATE_SUCCESS
               : CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED;
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

  CUresult operator()(const KernelOperation& op) const { return If(op.context->cu() == context); }
  CUresult operator()(const FillOperation& op) const { return If(op.context->cu() == context); }
  // Of device memory and page-locked memory, not of arrays.
  CUresult operator()(const CopyOperation& op) const {
    if (op.context->cu() != context) return CUDA_ERROR_INVALID_VALUE;
    PlacedCopy placed;
    if (CUresult result = PlaceCopy(*op.context, op.copy, &placed); result != CUDA_SUCCESS) return result;
    const auto may_be = [](const CopyEnd& end, const api::PlacedEnd& place) {
      return end.kind != CopyEnd::Kind::kArray && place.kind != MemoryKind::kPageable;
    };
    return If(may_be(op.copy.to, placed.to) && may_be(op.copy.from, placed.from));
  }
  template <class Any>
  CUresult operator()(const Any&) const {
    return CUDA_SUCCESS;
  }
};

// A CUfunction may be a CUkernel too.
CUresult FindKernelFunction(Driver& driver, const CUDA_KERNEL_NODE_PARAMS_v3& params,
                            std::shared_ptr<Function>* function) {
  const void* const handle = params.func ? static_cast<const void*>(params.func) : params.kern;
  if (!handle) return CUDA_ERROR_INVALID_VALUE;
  if (const auto kernel = driver.handles.Find<Kernel>(handle)) {
    const auto context = NamedContext(driver, params.ctx);
    return context ? kernel->FunctionIn(*context, function) : CUDA_ERROR_INVALID_CONTEXT;
  }
  *function = driver.handles.Find<Function>(handle);
  return *function ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

// The CUkernel whose function this is; null for a function of a module of the application's own.
CUkernel KernelOf(const Driver& driver, const Function& function) {
  if (!driver.handles.Find<Function>(function.handle())) return nullptr;  // its module is gone
  Library* library = function.module.library;
  const auto kernel = library ? library->FindKernel(function.info.name) : nullptr;
  return kernel ? static_cast<CUkernel>(kernel->handle()) : nullptr;
}

template <class Make>
CUresult MakeOfEvent(Driver& driver, CUevent handle, OperationPtr* operation, Make make) {
  auto event = driver.handles.Find<Event>(handle);
  if (!event) return CUDA_ERROR_INVALID_VALUE;
  *operation = std::make_shared<const Operation>(make(std::move(event)));
  return CUDA_SUCCESS;
}

// Describes operations as cuGraphAddNode takes them.
struct Describer {
  graphs::Node& node;
  CUgraphNodeParams& params;

  void operator()(const KernelOperation& op) const {
    const Launch& launch = op.launch;
    auto* const bytes = const_cast<std::byte*>(launch.params.data());  // documented as not to be written to
    node.arguments.clear();
    if (op.packed) {
      node.packed_bytes = launch.params.size();
      node.arguments = {CU_LAUNCH_PARAM_BUFFER_POINTER, bytes, CU_LAUNCH_PARAM_BUFFER_SIZE, &node.packed_bytes,
                        CU_LAUNCH_PARAM_END};
    } else {
      for (const KernelParam& param : op.function->info.params) node.arguments.push_back(bytes + param.offset);
    }
    void** const arguments = node.arguments.data();
    params.kernel = {static_cast<CUfunction>(op.function->handle()),
                     launch.grid.x,
                     launch.grid.y,
                     launch.grid.z,
                     launch.block.x,
                     launch.block.y,
                     launch.block.z,
                     launch.dynamic_shared_bytes,
                     op.packed ? nullptr : arguments,
                     op.packed ? arguments : nullptr,
                     KernelOf(op.context->driver, *op.function),
                     op.context->cu()};
  }
  void operator()(const CopyOperation& op) const { params.memcpy = {0, 0, op.context->cu(), op.params}; }
  void operator()(const FillOperation& op) const {
    params.memset = op.params;
    params.memset.ctx = op.context->cu();
  }
  void operator()(const HostOperation& op) const { params.host = op.params; }
  void operator()(const RecordOperation& op) const { params.eventRecord.event = HandleOf(*op.event); }
  void operator()(const WaitOperation& op) const { params.eventWait.event = HandleOf(*op.event); }
  void operator()(const EmptyOperation&) const {}
  void operator()(const MemOpsOperation& op) const {
    auto* const operations = const_cast<CUstreamBatchMemOpParams*>(op.operations.data());  // as above
    params.memOp = {op.context->cu(), static_cast<unsigned>(op.operations.size()), operations, 0};
  }
  void operator()(const AllocOperation& op) const {
    const CUDA_MEM_ALLOC_NODE_PARAMS& alloc = op.memory->params();
    params.alloc = {alloc.poolProps, alloc.accessDescs, alloc.accessDescCount, alloc.bytesize, alloc.dptr};
  }
  void operator()(const FreeOperation& op) const { params.free.dptr = op.address; }

 private:
  static CUevent HandleOf(const Event& event) { return static_cast<CUevent>(event.handle()); }
};

}  // namespace

CUgraphNodeType Operation::type() const {
  constexpr CUgraphNodeType kTypes[] = {CU_GRAPH_NODE_TYPE_KERNEL,       CU_GRAPH_NODE_TYPE_MEMCPY,
                                        CU_GRAPH_NODE_TYPE_MEMSET,       CU_GRAPH_NODE_TYPE_HOST,
                                        CU_GRAPH_NODE_TYPE_EVENT_RECORD, CU_GRAPH_NODE_TYPE_WAIT_EVENT,
                                        CU_GRAPH_NODE_TYPE_EMPTY,        CU_GRAPH_NODE_TYPE_BATCH_MEM_OP,
                                        CU_GRAPH_NODE_TYPE_MEM_ALLOC,    CU_GRAPH_NODE_TYPE_MEM_FREE};
  static_assert(std::variant_size_v<decltype(what)> == std::size(kTypes));
  return kTypes[what.index()];
}

CUresult MakeCopy(Driver& driver, const CUDA_MEMCPY3D& params, CUcontext context, OperationPtr* operation) {
  auto in = NamedContext(driver, context);
  if (!in) return CUDA_ERROR_INVALID_CONTEXT;
  BoxCopy copy;
  if (CUresult result = outboard::ReadCopy(&params, Device::kMaxPitchBytes, &copy); result != CUDA_SUCCESS)
    return result;
  if (copy.extent.IsEmpty()) return CUDA_ERROR_INVALID_VALUE;
  PlacedCopy placed;
  if (CUresult result = PlaceCopy(*in, copy, &placed); result != CUDA_SUCCESS) return result;
  *operation = std::make_shared<const Operation>(
      Operation{CopyOperation{std::move(in), params, copy, OwnerOf(driver, copy.to), OwnerOf(driver, copy.from)}});
  return CUDA_SUCCESS;
}

CUresult MakeFill(Driver& driver, const CUDA_MEMSET_NODE_PARAMS_v2& params, OperationPtr* operation) {
  auto in = NamedContext(driver, params.ctx);
  if (!in) return CUDA_ERROR_INVALID_CONTEXT;
  const unsigned element = params.elementSize;
  if (element != 1 && element != 2 && element != 4) return CUDA_ERROR_INVALID_VALUE;
  if (params.width == 0 || params.height == 0 || params.dst % element != 0) return CUDA_ERROR_INVALID_VALUE;
  if (params.height > 1 && params.pitch % element != 0) return CUDA_ERROR_INVALID_VALUE;
  if (!FindRows(*in, params)) return CUDA_ERROR_INVALID_VALUE;
  const void* const owner = OwnerOf(driver, params.dst);
  *operation = std::make_shared<const Operation>(Operation{FillOperation{std::move(in), params, owner}});
  return CUDA_SUCCESS;
}

CUresult MakeMemOps(Driver& driver, const CUDA_BATCH_MEM_OP_NODE_PARAMS_v2& params, OperationPtr* operation) {
  auto in = NamedContext(driver, params.ctx);
  if (!in) return CUDA_ERROR_INVALID_CONTEXT;
  if (params.count == 0 || params.count > kMaxMemOps || !params.paramArray || params.flags != 0)
    return CUDA_ERROR_INVALID_VALUE;
  std::vector<CUstreamBatchMemOpParams> operations(params.paramArray, params.paramArray + params.count);
  for (const CUstreamBatchMemOpParams& each : operations) {
    MemOpWork work;
    const CUresult result = MakeMemOp(*in, each, MemOpVersion::kSecond, &work);
    if (result != CUDA_SUCCESS) return result;
  }
  *operation = std::make_shared<const Operation>(
      Operation{MemOpsOperation{std::move(in), std::move(operations), MemOpVersion::kSecond}});
  return CUDA_SUCCESS;
}

CUresult MakeKernel(Driver& driver, const CUDA_KERNEL_NODE_PARAMS_v3& params, OperationPtr* operation) {
  std::shared_ptr<Function> function;
  if (CUresult result = FindKernelFunction(driver, params, &function); result != CUDA_SUCCESS) return result;
  Context& context = function->module.context;
  KernelOperation kernel;
  const LaunchShape shape{{params.gridDimX, params.gridDimY, params.gridDimZ},
                          {params.blockDimX, params.blockDimY, params.blockDimZ},
                          params.sharedMemBytes};
  if (CUresult result =
          MakeLaunch(context, nullptr, std::move(function), shape, params.kernelParams, params.extra, &kernel);
      result != CUDA_SUCCESS)
    return result;
  *operation = std::make_shared<const Operation>(std::move(kernel));
  return CUDA_SUCCESS;
}

CUresult MakeHostCall(Driver& driver, const CUDA_HOST_NODE_PARAMS_v2& params, OperationPtr* operation) {
  if (!params.fn) return CUDA_ERROR_INVALID_VALUE;
  *operation = std::make_shared<const Operation>(HostOperation{driver, params});
  return CUDA_SUCCESS;
}

CUresult MakeRecord(Driver& driver, CUevent event, OperationPtr* operation) {
  return MakeOfEvent(driver, event, operation, [](auto found) { return RecordOperation{std::move(found)}; });
}

CUresult MakeWait(Driver& driver, CUevent event, OperationPtr* operation) {
  return MakeOfEvent(driver, event, operation, [](auto found) { return WaitOperation{std::move(found)}; });
}

CUresult MakeAlloc(Driver& driver, const CUDA_MEM_ALLOC_NODE_PARAMS& params, OperationPtr* operation) {
  std::shared_ptr<GraphMemory> memory;
  if (CUresult result = GraphMemory::Create(driver, params, &memory); result != CUDA_SUCCESS) return result;
  *operation = std::make_shared<const Operation>(Operation{AllocOperation{std::move(memory)}});
  return CUDA_SUCCESS;
}

CUresult MakeFree(Driver& driver, CUdeviceptr address, OperationPtr* operation) {
  const auto range = driver.allocations.Find(address);
  if (!range || range->begin != address || range->info.graph_memory.expired()) return CUDA_ERROR_INVALID_VALUE;
  *operation = std::make_shared<const Operation>(Operation{FreeOperation{address, range->info.graph_memory}});
  return CUDA_SUCCESS;
}

std::shared_ptr<Context> NamedContext(Driver& driver, CUcontext handle) {
  CurrentContext named;
  if (handle) {
    LookUpContext(driver, handle, &named);
  } else if (const auto& stack = ThisThread().contexts; !stack.empty()) {
    named = stack.back();
  }
  return named.context && named.active() ? named.context : nullptr;
}

CUresult MakeCopy(Context& context, const BoxCopy& copy, OperationPtr* operation) {
  Driver& driver = context.driver;
  PlacedCopy placed;
  if (CUresult result = PlaceCopy(context, copy, &placed); result != CUDA_SUCCESS) return result;
  CUDA_MEMCPY3D params{};
  if (copy.to.kind == CopyEnd::Kind::kArray) {
    params.dstMemoryType = CU_MEMORYTYPE_ARRAY;
    params.dstArray = copy.to.array;
  } else if (placed.to.kind == MemoryKind::kDevice) {
    params.dstMemoryType = CU_MEMORYTYPE_DEVICE;
    params.dstDevice = copy.to.box.address;
  } else {
    params.dstMemoryType = CU_MEMORYTYPE_HOST;
    params.dstHost = reinterpret_cast<void*>(copy.to.box.address);
  }
  if (copy.from.kind == CopyEnd::Kind::kArray) {
    params.srcMemoryType = CU_MEMORYTYPE_ARRAY;
    params.srcArray = copy.from.array;
  } else if (placed.from.kind == MemoryKind::kDevice) {
    params.srcMemoryType = CU_MEMORYTYPE_DEVICE;
    params.srcDevice = copy.from.box.address;
  } else {
    params.srcMemoryType = CU_MEMORYTYPE_HOST;
    params.srcHost = reinterpret_cast<const void*>(copy.from.box.address);
  }
  std::tie(params.dstXInBytes, params.dstY, params.dstZ) = std::tie(copy.to.place.x, copy.to.place.y, copy.to.place.z);
  std::tie(params.srcXInBytes, params.srcY, params.srcZ) =
      std::tie(copy.from.place.x, copy.from.place.y, copy.from.place.z);
  params.dstPitch = copy.to.box.pitch;
  params.dstHeight = copy.to.box.slice_rows;
  params.srcPitch = copy.from.box.pitch;
  params.srcHeight = copy.from.box.slice_rows;
  params.WidthInBytes = copy.extent.width;
  params.Height = copy.extent.height;
  params.Depth = copy.extent.depth;
  *operation = std::make_shared<const Operation>(Operation{
      CopyOperation{context.shared_from_this(), params, copy, OwnerOf(driver, copy.to), OwnerOf(driver, copy.from)}});
  return CUDA_SUCCESS;
}

void Run(const Operation& operation, const std::shared_ptr<const TextureTable>& textures) {
  std::visit(Runner{textures}, operation.what);
}

CUgraphExecUpdateResult Operation::MayBecome(const graphs::Operation& after) const {
  return std::visit(Change{static_cast<const Operation&>(after)}, what);
}

void Operation::Describe(graphs::Node& node, CUgraphNodeParams* params) const {
  std::visit(Describer{node, *params}, what);
}

CUresult Operation::MayRunInBody(CUcontext context) const { return std::visit(InBody{context}, what); }

std::string Operation::label() const {
  const auto* kernel = std::get_if<KernelOperation>(&what);
  return kernel ? kernel->function->info.name : std::string();
}

std::shared_ptr<graphs::Memory> Operation::allocates() const {
  const auto* alloc = std::get_if<AllocOperation>(&what);
  return alloc ? alloc->memory : nullptr;
}

std::shared_ptr<graphs::Memory> Operation::frees() const {
  const auto* free = std::get_if<FreeOperation>(&what);
  return free ? free->memory.lock() : nullptr;
}

}  // namespace outboard::softgpu::api
