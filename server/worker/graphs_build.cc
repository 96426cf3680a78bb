#include <algorithm>
#include <span>
#include <utility>

#include "common/base/box.h"
#include "common/base/limits.h"
#include "server/worker/graphs_state.h"
#include "server/worker/launch_config.h"

// The half of Graphs that gives the driver what the client describes.

namespace outboard::worker {
namespace {

constexpr CUresult kMalformed = CUDA_ERROR_INVALID_VALUE;

CUDA_MEMCPY3D CopyOf(const BoxExtent& extent) {
  CUDA_MEMCPY3D copy{};
  copy.WidthInBytes = copy.srcPitch = copy.dstPitch = extent.width;
  copy.Height = copy.srcHeight = copy.dstHeight = extent.height;
  copy.Depth = extent.depth;
  return copy;
}

// Carries out `function`, which the driver may lack.
template <class Function, class... Args>
CUresult CallIf(Function function, Args... args) {
  return function == nullptr ? CUDA_ERROR_NOT_SUPPORTED : function(args...);
}

}  // namespace

// A context that ends with another, as a green context's does, is none that a node may name: the client names its home.
template <class T>
CUresult Graphs::Builder::Find(wire::HandleKind kind, wire::HandleId id, T* object) const {
  const bool is_context = kind == wire::HandleKind::kContext;
  wire::HandleId owner = 0;
  const auto found = state_.handles.Find(kind, id, &owner);
  if (!found || (is_context && owner != 0)) return is_context ? CUDA_ERROR_INVALID_CONTEXT : CUDA_ERROR_INVALID_HANDLE;
  *object = static_cast<T>(*found);
  return CUDA_SUCCESS;
}

CUresult Graphs::Builder::FindPlace(const wire::GraphPlace& given, DevicePlace* place) const {
  *place = given.box;
  if (given.array == 0) return CUDA_SUCCESS;
  place->place = given.place;
  return Find(wire::HandleKind::kArray, given.array, &place->array);
}

// `count` elements, null when the description ends before or there cannot be as many.
template <class T>
const T* Graphs::Builder::Take(uint64_t count) {
  if (count > kMaxPayloadBytes / sizeof(T)) return nullptr;
  return reinterpret_cast<const T*>(reader_.Take(count * sizeof(T)));
}

CUresult Graphs::Builder::Build() {
  wire::GraphHead head;
  if (!reader_.Get(&head)) return kMalformed;
  generation_.words = head.words;
  const CUresult result = AddNodes(head.nodes, graph_.graph, 0);
  return result == CUDA_SUCCESS && !reader_.AtEnd() ? kMalformed : result;
}

CUresult Graphs::Builder::AddNodes(uint64_t count, CUgraph into, uint32_t depth) {
  std::vector<CUgraphNode> last;  // by number in this graph
  for (uint64_t i = 0; i < count; ++i) {
    wire::GraphNodeHead head;
    if (!reader_.Get(&head)) return kMalformed;
    const auto* const dependencies = Take<uint32_t>(head.dependencies);
    if (dependencies == nullptr) return kMalformed;
    Place place{.into = into};
    for (uint32_t k = 0; k < head.dependencies; ++k) {
      if (dependencies[k] >= last.size()) return kMalformed;
      place.behind.push_back(last[dependencies[k]]);
    }
    const std::span behind(dependencies, head.dependencies);
    if (i != 0 && std::ranges::find(behind, i - 1) == behind.end()) generation_.is_chain = false;
    const size_t number = generation_.nodes.size();
    generation_.nodes.push_back({head.kind, nullptr, nullptr});
    Made made;
    if (CUresult result = Put(head.kind, place, depth, &made); result != CUDA_SUCCESS) return result;
    generation_.nodes[number] = {head.kind, made.node, made.step};
    last.push_back(made.last);
  }
  return CUDA_SUCCESS;
}

CUresult Graphs::Builder::Change() {
  while (!reader_.AtEnd()) {
    wire::GraphChange change;
    wire::GraphNodeHead head;
    if (!reader_.Get(&change) || !reader_.Get(&head) || head.dependencies != 0) return kMalformed;
    if (change.node >= generation_.nodes.size() || generation_.nodes[change.node].kind != head.kind) return kMalformed;
    Made made;
    const CUresult result = Put(head.kind, {.changed = &generation_.nodes[change.node]}, 0, &made);
    if (result != CUDA_SUCCESS) return result;
  }
  return CUDA_SUCCESS;
}

CUresult Graphs::Builder::Put(wire::GraphNodeKind kind, const Place& place, uint32_t depth, Made* made) {
  switch (kind) {
    case wire::GraphNodeKind::kKernel:
      return PutKernel(place, made);
    case wire::GraphNodeKind::kCopy:
      return PutCopy(place, made);
    case wire::GraphNodeKind::kFill:
      return PutFill(place, made);
    case wire::GraphNodeKind::kHostCall:
      return PutHostCall(place, made);
    case wire::GraphNodeKind::kGraph:
      return PutGraph(place, depth, made);
    case wire::GraphNodeKind::kEmpty:
      return PutEmpty(place, made);
    case wire::GraphNodeKind::kEventRecord:
      return PutEvent(place, true, made);
    case wire::GraphNodeKind::kEventWait:
      return PutEvent(place, false, made);
    case wire::GraphNodeKind::kMemoryOps:
      return PutMemoryOps(place, made);
    case wire::GraphNodeKind::kWrite:
      return PutWrite(place, made);
    case wire::GraphNodeKind::kRead:
      return PutRead(place, made);
    case wire::GraphNodeKind::kMemAlloc:
    case wire::GraphNodeKind::kMemFree:
      return PutMemory(place, made);
    case wire::GraphNodeKind::kConditional:
      return PutConditional(place, depth, made);
  }
  return kMalformed;
}

CUresult Graphs::Builder::PutKernel(const Place& place, Made* made) {
  wire::GraphKernel kernel;
  if (!reader_.Get(&kernel) || kernel.bytes > kMaxKernelParameterBytes) return kMalformed;
  const uint32_t count = kernel.shape.attribute_count;
  const auto* const attributes = Take<CUlaunchAttribute>(count);
  const auto* const bytes = Take<std::byte>(kernel.bytes);
  if (attributes == nullptr || bytes == nullptr) return kMalformed;
  if (!AreFlat({attributes, count})) return CUDA_ERROR_NOT_SUPPORTED;

  size_t size = kernel.bytes;
  // A pointer is wanted even for no bytes; the driver only reads.
  void* const buffer = size == 0 ? &size : const_cast<void*>(static_cast<const void*>(bytes));
  void* extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, buffer, CU_LAUNCH_PARAM_BUFFER_SIZE, &size, CU_LAUNCH_PARAM_END};
  CUDA_KERNEL_NODE_PARAMS_v2 params{};
  const auto& [grid, block, shared_bytes, attribute_count] = kernel.shape;
  params.gridDimX = grid[0];
  params.gridDimY = grid[1];
  params.gridDimZ = grid[2];
  params.blockDimX = block[0];
  params.blockDimY = block[1];
  params.blockDimZ = block[2];
  params.sharedMemBytes = shared_bytes;
  params.extra = extra;
  CUresult result;
  if (wire::KindOf(kernel.function) == wire::HandleKind::kKernel) {
    result = Find(wire::HandleKind::kKernel, kernel.function, &params.kern);
    if (result == CUDA_SUCCESS) result = Find(wire::HandleKind::kContext, kernel.context, &params.ctx);
  } else {
    result = Find(wire::HandleKind::kFunction, kernel.function, &params.func);
  }
  if (result != CUDA_SUCCESS) return result;
  if (place.changed != nullptr) {
    return CallIf(driver_.cuGraphExecKernelNodeSetParams_v2, graph_.exec, place.changed->node, &params);
  }
  result = CallIf(driver_.cuGraphAddKernelNode_v2, &made->node, place.into, place.behind.data(), place.behind.size(),
                  &params);
  made->last = made->node;
  for (uint32_t i = 0; i < count && result == CUDA_SUCCESS; ++i) {
    result = CallIf(driver_.cuGraphKernelNodeSetAttribute, made->node, attributes[i].id, &attributes[i].value);
  }
  return result;
}

CUresult Graphs::Builder::PutMemcpy(const Place& place, const CUDA_MEMCPY3D& copy, CUcontext context, Made* made) {
  if (place.changed != nullptr) {
    return CallIf(driver_.cuGraphExecMemcpyNodeSetParams, graph_.exec, place.changed->node, &copy, context);
  }
  const CUresult result = CallIf(driver_.cuGraphAddMemcpyNode, &made->node, place.into, place.behind.data(),
                                 place.behind.size(), &copy, context);
  made->last = made->node;
  return result;
}

CUresult Graphs::Builder::PutCopy(const Place& place, Made* made) {
  wire::GraphCopy copy;
  if (!reader_.Get(&copy)) return kMalformed;
  CUcontext context;
  if (CUresult result = Find(wire::HandleKind::kContext, copy.context, &context); result != CUDA_SUCCESS) return result;
  DevicePlace to, from;
  if (CUresult result = FindPlace(copy.to, &to); result != CUDA_SUCCESS) return result;
  if (CUresult result = FindPlace(copy.from, &from); result != CUDA_SUCCESS) return result;
  CUDA_MEMCPY3D params = CopyOf(copy.extent);
  from.SetSource(&params);
  to.SetDestination(&params);
  return PutMemcpy(place, params, context, made);
}

CUresult Graphs::Builder::PutFill(const Place& place, Made* made) {
  wire::GraphFill fill;
  if (!reader_.Get(&fill)) return kMalformed;
  CUcontext context;
  if (CUresult result = Find(wire::HandleKind::kContext, fill.context, &context); result != CUDA_SUCCESS) return result;
  const CUDA_MEMSET_NODE_PARAMS params{fill.address,       fill.pitch, fill.value,
                                       fill.element_bytes, fill.width, fill.height};
  if (place.changed != nullptr) {
    return CallIf(driver_.cuGraphExecMemsetNodeSetParams, graph_.exec, place.changed->node, &params, context);
  }
  const CUresult result = CallIf(driver_.cuGraphAddMemsetNode, &made->node, place.into, place.behind.data(),
                                 place.behind.size(), &params, context);
  made->last = made->node;
  return result;
}

CUresult Graphs::Builder::PutMemoryOps(const Place& place, Made* made) {
  wire::GraphMemoryOps ops;
  if (!reader_.Get(&ops)) return kMalformed;
  const auto* const operations = Take<CUstreamBatchMemOpParams>(ops.count);
  if (operations == nullptr) return kMalformed;
  CUDA_BATCH_MEM_OP_NODE_PARAMS params{};
  if (CUresult result = Find(wire::HandleKind::kContext, ops.context, &params.ctx); result != CUDA_SUCCESS)
    return result;
  params.count = static_cast<unsigned>(ops.count);
  params.paramArray = const_cast<CUstreamBatchMemOpParams*>(operations);
  if (place.changed != nullptr) {
    return CallIf(driver_.cuGraphExecBatchMemOpNodeSetParams, graph_.exec, place.changed->node, &params);
  }
  const CUresult result = CallIf(driver_.cuGraphAddBatchMemOpNode, &made->node, place.into, place.behind.data(),
                                 place.behind.size(), &params);
  made->last = made->node;
  return result;
}

CUresult Graphs::Builder::PutEvent(const Place& place, bool records, Made* made) {
  wire::GraphEvent given;
  if (!reader_.Get(&given)) return kMalformed;
  CUevent event;
  if (CUresult result = Find(wire::HandleKind::kEvent, given.event, &event); result != CUDA_SUCCESS) return result;
  if (place.changed != nullptr) {
    return CallIf(records ? driver_.cuGraphExecEventRecordNodeSetEvent : driver_.cuGraphExecEventWaitNodeSetEvent,
                  graph_.exec, place.changed->node, event);
  }
  const CUresult result = CallIf(records ? driver_.cuGraphAddEventRecordNode : driver_.cuGraphAddEventWaitNode,
                                 &made->node, place.into, place.behind.data(), place.behind.size(), event);
  made->last = made->node;
  return result;
}

CUresult Graphs::Builder::PutEmpty(const Place& place, Made* made) {
  if (place.changed != nullptr) return CUDA_SUCCESS;
  const CUresult result =
      CallIf(driver_.cuGraphAddEmptyNode, &made->node, place.into, place.behind.data(), place.behind.size());
  made->last = made->node;
  return result;
}

// The memory is there as long as the client has a use for it; only the node's place in the order means anything.
CUresult Graphs::Builder::PutMemory(const Place& place, Made* made) {
  wire::GraphMemory memory;
  if (!reader_.Get(&memory) || place.changed != nullptr) return kMalformed;
  generation_.memory.push_back(memory.memory);
  return PutEmpty(place, made);
}

// The driver copies the graph into the node, whose own nodes are then those that a change has to name.
CUresult Graphs::Builder::PutGraph(const Place& place, uint32_t depth, Made* made) {
  wire::GraphChild child;
  if (!reader_.Get(&child) || depth >= kMaxGraphDepth || place.changed != nullptr) return kMalformed;
  CUgraph empty;
  CUresult result = CallIf(driver_.cuGraphCreate, &empty, 0u);
  if (result != CUDA_SUCCESS) return result;
  result = CallIf(driver_.cuGraphAddChildGraphNode, &made->last, place.into, place.behind.data(), place.behind.size(),
                  empty);
  driver_.cuGraphDestroy(empty);
  CUgraph inner = nullptr;
  if (result == CUDA_SUCCESS) result = CallIf(driver_.cuGraphChildGraphNodeGetGraph, made->last, &inner);
  return result == CUDA_SUCCESS ? AddNodes(child.nodes, inner, depth + 1) : result;
}

// The driver makes the bodies, empty.
CUresult Graphs::Builder::PutConditional(const Place& place, uint32_t depth, Made* made) {
  wire::GraphConditional given;
  if (!reader_.Get(&given) || depth >= kMaxGraphDepth || place.changed != nullptr) return kMalformed;
  // The driver makes all of them before one is read of.
  if (given.bodies > bodies_left_) return kMalformed;
  bodies_left_ -= given.bodies;
  if (given.bodies > kMaxGraphBodies || given.type > CU_GRAPH_COND_TYPE_SWITCH) return kMalformed;
  if (std::ranges::find(graph_.conditions, given.handle) == graph_.conditions.end()) return kMalformed;
  CUgraphNodeParams params{};
  params.type = CU_GRAPH_NODE_TYPE_CONDITIONAL;
  params.conditional.handle = given.handle;
  params.conditional.type = static_cast<CUgraphConditionalNodeType>(given.type);
  params.conditional.size = given.bodies;
  CUresult result = Find(wire::HandleKind::kContext, given.context, &params.conditional.ctx);
  if (result != CUDA_SUCCESS) return result;
  result = CallIf(driver_.cuGraphAddNode_v2, &made->last, place.into, place.behind.data(), nullptr, place.behind.size(),
                  &params);
  for (uint32_t i = 0; i < given.bodies && result == CUDA_SUCCESS; ++i) {
    wire::GraphChild body;
    result = reader_.Get(&body) ? AddNodes(body.nodes, params.conditional.phGraph_out[i], depth + 1) : kMalformed;
  }
  return result;
}

CUresult Graphs::Builder::AddStep(const Place& place, wire::GraphNodeKind kind, uint64_t word,
                                  std::shared_ptr<const Form> form, Made* made) {
  if (word >= generation_.words) return kMalformed;
  auto step = std::make_unique<Step>(Step{generation_, kind, word, generation_.steps.size(), std::move(form)});
  const CUDA_HOST_NODE_PARAMS params{&Step::Run, step.get()};
  const CUresult result =
      CallIf(driver_.cuGraphAddHostNode, &made->last, place.into, place.behind.data(), place.behind.size(), &params);
  if (result != CUDA_SUCCESS) return result;
  made->step = step.get();
  generation_.steps.push_back(std::move(step));
  return CUDA_SUCCESS;
}

CUresult Graphs::Builder::PutHostCall(const Place& place, Made* made) {
  wire::GraphHostCall host_call;
  if (!reader_.Get(&host_call)) return kMalformed;
  if (place.changed != nullptr) return CUDA_SUCCESS;  // the client knows by the number which function to call
  return AddStep(place, wire::GraphNodeKind::kHostCall, host_call.word, nullptr, made);
}

CUresult Graphs::Builder::TakeBlock(CUcontext context, size_t bytes, Block** block) {
  const auto staging = state_.StagingOf(context);
  CUresult result = driver_.cuCtxPushCurrent_v2(context);
  if (result != CUDA_SUCCESS) return result;
  *block = staging->Take(bytes, true);
  result = driver_.cuCtxPopCurrent_v2(&context);
  if (*block == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
  std::lock_guard lock(state_.mutex);
  if (!state_.IsThere(staging)) return CUDA_ERROR_CONTEXT_IS_DESTROYED;  // meanwhile, and the block with it
  generation_.blocks.emplace_back(staging, *block);
  return result;
}

CUresult Graphs::Builder::MakeForm(const Place& place, CUcontext context, const Box& host, const BoxExtent& extent,
                                   std::shared_ptr<const Form>* form) {
  const auto bytes = PackedBytes(extent);
  if (!bytes || *bytes == 0 || *bytes > kCopyChunkBytes) return kMalformed;
  Form made{nullptr, 0, *bytes, host, extent};
  const Form* const before = place.changed != nullptr ? place.changed->step->form.get() : nullptr;
  if (before != nullptr && *bytes <= before->block_bytes) {
    made.block = before->block;
    made.block_bytes = before->block_bytes;
  } else {
    Block* block;
    if (CUresult result = TakeBlock(context, *bytes, &block); result != CUDA_SUCCESS) return result;
    made.block = block->bytes;
    made.block_bytes = block->size;
  }
  *form = std::make_shared<const Form>(made);
  return CUDA_SUCCESS;
}

void Graphs::Builder::SetForm(const Place& place, std::shared_ptr<const Form> form) {
  std::lock_guard lock(state_.mutex);
  place.changed->step->form = std::move(form);
}

// The step brings the bytes before they are copied.
CUresult Graphs::Builder::PutWrite(const Place& place, Made* made) {
  wire::GraphWrite write;
  if (!reader_.Get(&write)) return kMalformed;
  CUcontext context;
  DevicePlace to;
  CUresult result = Find(wire::HandleKind::kContext, write.context, &context);
  if (result == CUDA_SUCCESS) result = FindPlace(write.to, &to);
  if (result != CUDA_SUCCESS) return result;
  std::shared_ptr<const Form> form;
  result = MakeForm(place, context, {}, write.extent, &form);
  if (result != CUDA_SUCCESS) return result;
  CUDA_MEMCPY3D copy = CopyOf(write.extent);
  copy.srcMemoryType = CU_MEMORYTYPE_HOST;
  copy.srcHost = form->block;
  to.SetDestination(&copy);
  if (place.changed == nullptr) {
    result = AddStep(place, wire::GraphNodeKind::kWrite, write.word, std::move(form), made);
    if (result != CUDA_SUCCESS) return result;
    return PutMemcpy({.into = place.into, .behind = {made->last}}, copy, context, made);
  }
  result = PutMemcpy(place, copy, context, made);
  if (result == CUDA_SUCCESS) SetForm(place, std::move(form));
  return result;
}

// The step sends the bytes when they are copied.
CUresult Graphs::Builder::PutRead(const Place& place, Made* made) {
  wire::GraphRead read;
  if (!reader_.Get(&read)) return kMalformed;
  CUcontext context;
  DevicePlace from;
  CUresult result = Find(wire::HandleKind::kContext, read.context, &context);
  if (result == CUDA_SUCCESS) result = FindPlace(read.from, &from);
  if (result != CUDA_SUCCESS) return result;
  std::shared_ptr<const Form> form;
  result = MakeForm(place, context, read.host, read.extent, &form);
  if (result != CUDA_SUCCESS) return result;
  CUDA_MEMCPY3D copy = CopyOf(read.extent);
  from.SetSource(&copy);
  copy.dstMemoryType = CU_MEMORYTYPE_HOST;
  copy.dstHost = form->block;
  result = PutMemcpy(place, copy, context, made);
  if (result != CUDA_SUCCESS) return result;
  if (place.changed == nullptr) {
    return AddStep({.into = place.into, .behind = {made->last}}, wire::GraphNodeKind::kRead, read.word, std::move(form),
                   made);
  }
  SetForm(place, std::move(form));
  return CUDA_SUCCESS;
}

}  // namespace outboard::worker
