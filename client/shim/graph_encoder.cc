#include "client/shim/graph_encoder.h"

#include <cstring>

#include "client/shim/copies.h"
#include "client/shim/graph_memory.h"
#include "common/wire/codec.h"

namespace outboard::shim {
namespace {

wire::HandleId IdOf(const void* handle) { return reinterpret_cast<wire::HandleId>(handle); }

// What each launch says something for.
bool NeedsWord(const GraphOperation& operation) {
  const auto* copy = std::get_if<CopyOperation>(&operation.what);
  if (copy != nullptr) return !copy->placed.to.is_device || !copy->placed.from.is_device;
  return std::holds_alternative<HostOperation>(operation.what);
}

wire::GraphPlace PlaceOf(const PlacedEnd& end) { return {end.box, IdOf(end.array), end.place}; }

}  // namespace

std::vector<PlacedCopy> PiecesOf(const PlacedCopy& copy) {
  if (copy.to.is_device && copy.from.is_device) return {copy};
  std::vector<PlacedCopy> pieces;
  static_cast<void>(InPieces(copy, [&](const PlacedEnd& to, const PlacedEnd& from, const BoxExtent& extent) {
    pieces.push_back({to, from, extent});
    return CUDA_SUCCESS;
  }));
  return pieces;
}

// Writes one operation after begin(kind), which gives the word of what follows.
template <class Begin>
struct GraphEncoder::Putter {
  GraphEncoder& out;
  Begin begin;
  using Kind = wire::GraphNodeKind;

  void operator()(const KernelOperation& op) const {
    begin(Kind::kKernel);
    out.Put(wire::GraphKernel{op.function->identity().handle, IdOf(op.context), op.shape, op.params.size()});
    out.PutArray(std::span<const CUlaunchAttribute>(op.attributes));
    out.PutArray(std::span<const std::byte>(op.params));
  }

  void operator()(const CopyOperation& op) const {
    for (const auto& [to, from, extent] : PiecesOf(op.placed)) {
      if (to.is_device && from.is_device) {
        begin(Kind::kCopy);
        out.Put(wire::GraphCopy{IdOf(op.context), PlaceOf(to), PlaceOf(from), extent});
      } else if (to.is_device) {
        const uint64_t word = begin(Kind::kWrite);
        out.Put(wire::GraphWrite{IdOf(op.context), PlaceOf(to), extent, word});
      } else {
        const uint64_t word = begin(Kind::kRead);
        const Box host{0, to.box.pitch, to.box.slice_rows};
        out.Put(wire::GraphRead{IdOf(op.context), PlaceOf(from), host, extent, word});
      }
    }
  }

  void operator()(const FillOperation& op) const {
    begin(Kind::kFill);
    const auto& p = op.params;
    out.Put(wire::GraphFill{IdOf(p.ctx), p.dst, p.pitch, p.value, p.elementSize, p.width, p.height});
  }

  void operator()(const HostOperation&) const {
    const uint64_t word = begin(Kind::kHostCall);
    out.Put(wire::GraphHostCall{word});
  }

  void operator()(const RecordOperation& op) const {
    begin(Kind::kEventRecord);
    out.Put(wire::GraphEvent{IdOf(op.event)});
  }

  void operator()(const WaitOperation& op) const {
    begin(Kind::kEventWait);
    out.Put(wire::GraphEvent{IdOf(op.event)});
  }

  void operator()(const MemoryOperations& op) const {
    begin(Kind::kMemoryOps);
    out.Put(wire::GraphMemoryOps{IdOf(op.context), op.operations.size()});
    out.PutArray(std::span<const CUstreamBatchMemOpParams>(op.operations));
  }

  void operator()(const AllocOperation& op) const {
    begin(Kind::kMemAlloc);
    out.Put(wire::GraphMemory{op.memory->number()});
  }

  void operator()(const FreeOperation& op) const {
    begin(Kind::kMemFree);
    out.Put(wire::GraphMemory{op.number});
  }

  void operator()(const EmptyOperation&) const { begin(Kind::kEmpty); }
};

template <class Begin>
void GraphEncoder::PutOperation(const GraphOperation& operation, Begin begin) {
  std::visit(Putter<Begin>{*this, begin}, operation.what);
}

void GraphEncoder::PutBytes(const void* bytes, size_t size) {
  const size_t at = bytes_.size();
  bytes_.resize(at + wire::Padded(size));
  wire::Writer(bytes_.data() + at).PutBytes(bytes, size);
}

void GraphEncoder::PutHead(wire::GraphNodeKind kind, std::span<const uint32_t> dependencies) {
  Put(wire::GraphNodeHead{kind, static_cast<uint32_t>(dependencies.size())});
  PutArray(dependencies);
}

void GraphEncoder::PutGraph(const graphs::Graph& graph) {
  Put(wire::GraphHead{});
  const wire::GraphHead head{PutNodes(graph), words_.size()};
  std::memcpy(bytes_.data(), &head, sizeof head);
}

uint64_t GraphEncoder::PutNodes(const graphs::Graph& graph) {
  std::unordered_map<const graphs::Node*, std::vector<uint32_t>> local;  // numbers within the graph
  uint32_t count = 0;
  graphs::Node* on_cycle = nullptr;
  const auto sorted = graph.Sorted(&on_cycle);
  if (!sorted) return 0;
  for (graphs::Node* const node : *sorted) {
    std::vector<uint32_t> dependencies;
    for (const graphs::Node* from : node->dependencies()) {
      dependencies.insert(dependencies.end(), local[from].begin(), local[from].end());
    }
    const auto begin = [&](wire::GraphNodeKind kind) -> uint64_t {
      PutHead(kind, dependencies);
      const size_t piece = local[node].size();
      local[node].push_back(count++);
      numbers_[node].push_back(next_++);
      if (node->operation() == nullptr || !NeedsWord(OperationOf(*node))) return 0;
      words_.push_back({node, piece});
      return words_.size() - 1;
    };
    if (const auto child = node->child()) {
      begin(wire::GraphNodeKind::kGraph);
      PutInner(*child);
    } else if (const graphs::Conditional* conditional = node->conditional()) {
      begin(wire::GraphNodeKind::kConditional);
      const graphs::Condition& condition = *conditional->condition;
      Put(wire::GraphConditional{condition.handle, IdOf(condition.params.context),
                                 static_cast<uint32_t>(conditional->type),
                                 static_cast<uint32_t>(conditional->bodies.size())});
      for (const auto& body : conditional->bodies) PutInner(*body);
    } else {
      PutOperation(OperationOf(*node), begin);
    }
  }
  return count;
}

void GraphEncoder::PutInner(const graphs::Graph& graph) {
  const size_t at = bytes_.size();
  Put(wire::GraphChild{});
  const wire::GraphChild head{PutNodes(graph)};
  std::memcpy(bytes_.data() + at, &head, sizeof head);
}

bool GraphEncoder::PutChange(const GraphOperation& operation, std::span<const uint64_t> numbers) {
  size_t piece = 0;
  PutOperation(operation, [&](wire::GraphNodeKind kind) -> uint64_t {
    if (piece < numbers.size()) Put(wire::GraphChange{numbers[piece]});
    PutHead(kind, {});
    ++piece;
    return 0;  // the word that the node has stays
  });
  return piece == numbers.size();
}

void GraphEncoder::Append(const GraphEncoder& changes) {
  bytes_.insert(bytes_.end(), changes.bytes_.begin(), changes.bytes_.end());
}

}  // namespace outboard::shim
