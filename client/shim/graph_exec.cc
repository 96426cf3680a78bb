#include "client/shim/graph_exec.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "client/shim/call.h"
#include "client/shim/graph_condition.h"
#include "client/shim/graph_model.h"
#include "client/shim/host_calls.h"
#include "client/shim/memory.h"
#include "client/shim/memory_call.h"
#include "client/shim/remote.gen.h"
#include "common/base/limits.h"
#include "common/base/log.h"

namespace outboard::shim {

GraphExec::~GraphExec() {
  if (number_ != 0 && process_.Enter() == CUDA_SUCCESS) {
    static_cast<void>(remote::outboardGraphExecDestroy(number_, true));
  }
}

CUresult GraphExec::Instantiate() {
  GraphEncoder encoder;
  encoder.PutGraph(graph());
  const auto bytes = encoder.bytes();
  if (bytes.size() > kMaxPayloadBytes) {
    Log(LogLevel::kError, "a graph is %zu bytes large on its way to the worker, and at most %u travel; it is refused",
        bytes.size(), kMaxPayloadBytes);
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  numbers_ = std::move(encoder.numbers());
  words_ = std::move(encoder.words());
  const auto conditional = conditional_nodes();
  const uint64_t number =
      conditional.empty() ? process_.graph_model().NextExec() : ConditionOf(*conditional.front()).home->number;
  // What a launch frees first is decided here.
  constexpr uint64_t kOurs = CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH;
  CUresult result = remote::outboardGraphInstantiate(number, flags & ~kOurs, bytes.data(), bytes.size());
  if (result != CUDA_SUCCESS) {
    // It may be that of earlier work, with the graph there all the same.
    if (!NotCarriedOut(result)) static_cast<void>(remote::outboardGraphExecDestroy(number, true));
    return result;
  }
  number_ = number;
  // In the graph of a launch that was captured.
  for (graphs::Node* node : order()) {
    if (!node->enabled && result == CUDA_SUCCESS) result = SetEnabled(*node, false);
  }
  return result;
}

// Whether nothing in the graph can write host memory.
bool GraphExec::OnlyReadsHostMemory() const {
  return std::ranges::all_of(words_, [](const LaunchWord& word) {
    const auto* copy = std::get_if<CopyOperation>(&OperationOf(*word.node).what);
    return copy != nullptr && copy->placed.to.is_device;
  });
}

uint64_t GraphExec::WordOf(const LaunchWord& word, bool may_send, Launched* launched) {
  if (!word.node->enabled) return 0;
  const GraphOperation& operation = OperationOf(*word.node);
  if (const auto* host = std::get_if<HostOperation>(&operation.what)) {
    launched->host_calls.push_back(process_.host_calls().Add(host->params.fn, host->params.userData));
    return launched->host_calls.back();
  }
  const auto [to, from, extent] = PiecesOf(std::get<CopyOperation>(operation.what).placed)[word.piece];
  Memory& memory = process_.memory();
  if (to.is_device) {
    const uint64_t span = SpanOf(from.box, extent).value_or(0), bytes = PackedBytes(extent).value_or(0);
    const size_t at = launched->bytes.size();
    if (may_send && bytes <= kCopyChunkBytes - at && !memory.landings().MayWrite(from.box.address, span)) {
      launched->bytes.resize(at + bytes);
      CopyBox(PackedAt(launched->bytes.data() + at, extent), from.box, extent);
      return wire::kWithLaunch + at;
    }
    launched->host_ranges.emplace_back(from.box.address, span);
    return memory.pulls().Add(from.box, extent);
  }
  launched->host_ranges.emplace_back(to.box.address, SpanOf(to.box, extent).value_or(0));
  if (extent.IsOneRow()) {
    memory.landings().Expect(to.box.address, extent.width);
  } else {
    memory.landings().ExpectBox(to.box, extent);
  }
  return to.box.address;
}

CUresult GraphExec::Begin(Launched* launched) {
  std::lock_guard lock(process_.graph_model().graphs.mutex);
  if (CUresult result = ChangeMemory(&launched->memory); result != CUDA_SUCCESS) return result;
  // As of any copy (copies.cc): host memory is read now if nothing can write it before the stream gets there.
  const bool may_send =
      OnlyReadsHostMemory() && !process_.host_calls().outstanding() && !process_.memory().streams_may_wait();
  for (const LaunchWord& word : words_) launched->words.push_back(WordOf(word, may_send, launched));
  for (const graphs::Node* node : order()) {
    if (node->conditional() != nullptr) continue;  // bodies record nothing
    const auto* record = std::get_if<RecordOperation>(&OperationOf(*node).what);
    if (record != nullptr) process_.graph_model().events.Recorded(record->event);
  }
  return CUDA_SUCCESS;
}

CUresult GraphExec::Launch(CUstream stream) {
  Launched launched;
  if (CUresult refused = Begin(&launched); refused != CUDA_SUCCESS) return refused;
  const CUresult result =
      remote::outboardGraphLaunch(number_, stream, launched.words.data(), launched.words.size(), launched.bytes.data(),
                                  launched.bytes.size(), IsOfCurrentContext(stream));
  if (result == CUDA_SUCCESS) return result;
  // The result may be that of earlier work, with this launch under way all the same: then it is waited for.
  for (const auto& [begin, bytes] : launched.host_ranges) process_.memory().DrainHost(begin, bytes);
  for (const uint64_t call : launched.host_calls) process_.host_calls().Drop(call);
  std::lock_guard lock(process_.graph_model().graphs.mutex);
  launched.memory.TakeBack();
  return result;
}

CUresult GraphExec::Upload(CUstream stream) {
  return remote::outboardGraphUpload(number_, stream, IsOfCurrentContext(stream));
}

CUresult GraphExec::SetEnabled(graphs::Node& node, bool enabled) {
  for (const uint64_t number : numbers_[&node]) {
    const CUresult result = remote::outboardGraphNodeSetEnabled(number_, number, enabled ? 1 : 0);
    if (result != CUDA_SUCCESS) return result;
  }
  return Exec::SetEnabled(node, enabled);
}

CUresult GraphExec::Apply(Changes changes) {
  GraphEncoder now, before;  // of nodes that become something else for the worker, which knows no host functions
  for (const auto& [node, content] : changes) {
    const auto* operation = std::get_if<graphs::OperationPtr>(&content);
    if (operation == nullptr) return CUDA_ERROR_NOT_SUPPORTED;  // the condition of another graph of the worker
    const auto& numbers = numbers_[node];
    GraphEncoder after, until_now;
    if (!after.PutChange(static_cast<const GraphOperation&>(**operation), numbers) ||
        !until_now.PutChange(OperationOf(*node), numbers))
      return CUDA_ERROR_NOT_SUPPORTED;
    if (std::ranges::equal(after.bytes(), until_now.bytes())) continue;
    now.Append(after);
    before.Append(until_now);
  }
  if (!now.bytes().empty()) {
    const CUresult result = remote::outboardGraphChange(number_, now.bytes().data(), now.bytes().size());
    if (result != CUDA_SUCCESS) {
      // All or nothing: what the driver has accepted is taken back.
      static_cast<void>(remote::outboardGraphChange(number_, before.bytes().data(), before.bytes().size()));
      return result;
    }
  }
  return Exec::Apply(std::move(changes));
}

}  // namespace outboard::shim
