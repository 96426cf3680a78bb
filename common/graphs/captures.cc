#include "common/graphs/captures.h"

#include <algorithm>
#include <mutex>
#include <unordered_set>
#include <utility>

#include "common/graphs/graph.h"
#include "common/graphs/graphs.h"

namespace outboard::graphs {

CUresult Captures::Begin(const StreamId& stream, CUstreamCaptureMode mode) {
  std::lock_guard lock(graphs_.mutex);
  if (CUresult refused = RefuseBegin(stream); refused != CUDA_SUCCESS) return refused;
  const auto graph = std::make_shared<Graph>(graphs_);
  graph->Publish();
  Start(stream, mode, graph, true, {});
  return CUDA_SUCCESS;
}

CUresult Captures::BeginTo(const StreamId& stream, CUstreamCaptureMode mode, CUgraph into,
                           std::span<const CUgraphNode> dependencies) {
  std::lock_guard lock(graphs_.mutex);
  if (CUresult refused = RefuseBegin(stream); refused != CUDA_SUCCESS) return refused;
  const auto graph = graphs_.handles.Find<Graph>(into);
  if (!graph) return CUDA_ERROR_INVALID_VALUE;
  if (graph->capturing) return CUDA_ERROR_ILLEGAL_STATE;
  const auto tips = graph->FindNodes(dependencies);
  if (!tips) return CUDA_ERROR_INVALID_VALUE;
  Start(stream, mode, graph, false, *tips);
  return CUDA_SUCCESS;
}

CUresult Captures::End(const StreamId& stream, CUgraph* graph) {
  std::lock_guard lock(graphs_.mutex);
  const Branch* branch = Find(stream);
  if (!graph && (!branch || branch->capture->owns_graph)) return CUDA_ERROR_INVALID_VALUE;
  if (!branch) return CUDA_ERROR_ILLEGAL_STATE;
  const auto capture = branch->capture;
  if (capture->origin != stream.id) {
    capture->valid = false;
    return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
  }
  if (capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED && capture->thread != std::this_thread::get_id())
    return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
  const CUresult result = !capture->valid    ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED
                          : !Joined(*branch) ? CUDA_ERROR_STREAM_CAPTURE_UNJOINED
                                             : CUDA_SUCCESS;
  Finish(capture, result != CUDA_SUCCESS);
  if (result == CUDA_SUCCESS && graph) *graph = static_cast<CUgraph>(capture->graph->handle());
  return result;
}

CUresult Captures::Query(const StreamId& stream, Info* info) {
  *info = {};
  if (!any()) return CUDA_SUCCESS;
  std::lock_guard lock(graphs_.mutex);
  if (CUresult refused = RefuseLegacy(stream, false); refused != CUDA_SUCCESS) return refused;
  Branch* branch = Find(stream);
  if (!branch) return CUDA_SUCCESS;
  info->status = branch->capture->valid ? CU_STREAM_CAPTURE_STATUS_ACTIVE : CU_STREAM_CAPTURE_STATUS_INVALIDATED;
  info->id = branch->capture->id;
  info->graph = static_cast<CUgraph>(branch->capture->graph->handle());
  branch->shown.clear();
  for (const auto& node : branch->tips) branch->shown.push_back(static_cast<CUgraphNode>(node->handle()));
  branch->shown_data.assign(branch->shown.size(), CUgraphEdgeData{});
  info->dependencies = branch->shown;
  info->data = branch->shown_data;
  return CUDA_SUCCESS;
}

CUresult Captures::SetDependencies(const StreamId& stream, std::span<const CUgraphNode> nodes, bool replace) {
  std::lock_guard lock(graphs_.mutex);
  Branch* branch = Find(stream);
  if (!branch) return CUDA_ERROR_ILLEGAL_STATE;
  if (!branch->capture->valid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  const auto found = branch->capture->graph->FindNodes(nodes);
  if (!found) return CUDA_ERROR_INVALID_VALUE;
  if (replace) branch->tips.clear();
  Join(*branch, *found);
  return CUDA_SUCCESS;
}

std::optional<CUresult> Captures::Add(const StreamId& stream, const MakeNode& make) {
  if (!any()) return std::nullopt;
  std::lock_guard lock(graphs_.mutex);
  if (CUresult refused = RefuseLegacy(stream, true); refused != CUDA_SUCCESS) return refused;
  Branch* branch = Find(stream);
  if (!branch) return std::nullopt;
  if (!branch->capture->valid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  return AddNode(*branch, make);
}

std::optional<CUresult> Captures::Record(const StreamId& stream, CapturableEvent& event, const MakeNode& external) {
  if (!any()) return std::nullopt;
  std::lock_guard lock(graphs_.mutex);
  if (CUresult refused = RefuseLegacy(stream, true); refused != CUDA_SUCCESS) return refused;
  Branch* branch = Find(stream);
  if (!branch) return std::nullopt;
  if (!branch->capture->valid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  if (external) {
    return AddNode(*branch, external);
  }
  event.BecomeCaptured({branch->capture->id, branch->tips});
  return CUDA_SUCCESS;
}

std::optional<CUresult> Captures::Wait(const StreamId& stream, const CapturableEvent& event, const MakeNode& external) {
  const auto captured = event.captured();
  if (!any() && !captured) return std::nullopt;
  std::lock_guard lock(graphs_.mutex);
  if (CUresult refused = RefuseLegacy(stream, true); refused != CUDA_SUCCESS) return refused;
  Branch* mine = Find(stream);
  if (mine && !mine->capture->valid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  if (external) {
    if (!mine) return std::nullopt;
    return AddNode(*mine, external);
  }
  if (!captured && !mine) return std::nullopt;
  const auto theirs = std::ranges::find_if(
      branches_, [&](const auto& each) { return captured && each.second.capture->id == captured->capture; });
  if (theirs == branches_.end()) {  // uncaptured work, or a capture that is over
    if (mine) mine->capture->valid = false;
    return CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
  }
  const auto capture = theirs->second.capture;
  if (mine && mine->capture != capture) {
    mine->capture->valid = false;
    capture->valid = false;
    return CUDA_ERROR_STREAM_CAPTURE_MERGE;
  }
  if (!capture->valid) return CUDA_ERROR_INVALID_VALUE;
  if (stream.is_legacy) {
    capture->valid = false;
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  }
  if (!mine) {
    branches_.emplace(stream.id, Branch{capture, stream, captured->nodes, {}, {}});
    return CUDA_SUCCESS;
  }
  Join(*mine, captured->nodes);
  return CUDA_SUCCESS;
}

CUresult Captures::RefuseOn(const StreamId& stream) {
  if (!any()) return CUDA_SUCCESS;
  std::lock_guard lock(graphs_.mutex);
  if (CUresult refused = RefuseLegacy(stream, true); refused != CUDA_SUCCESS) return refused;
  const Branch* branch = Find(stream);
  if (!branch) return CUDA_SUCCESS;
  return std::exchange(branch->capture->valid, false) ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED
                                                      : CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
}

CUresult Captures::RefuseIn(const void* context) {
  if (!any()) return CUDA_SUCCESS;
  std::lock_guard lock(graphs_.mutex);
  CUresult result = CUDA_SUCCESS;
  for (const auto& [id, branch] : branches_) {
    if (!branch.Is(context)) continue;
    branch.capture->valid = false;
    result = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  }
  return result;
}

CUresult Captures::RefuseEvent(const CapturableEvent& event) {
  const auto captured = event.captured();
  if (!captured) return CUDA_SUCCESS;
  std::lock_guard lock(graphs_.mutex);
  for (const auto& [id, branch] : branches_) {
    if (branch.capture->id == captured->capture) branch.capture->valid = false;
  }
  return CUDA_ERROR_CAPTURED_EVENT;
}

CUresult Captures::RefuseUnsafe() {
  if (!any()) return CUDA_SUCCESS;
  const CUstreamCaptureMode mode = graphs_.host.capture_mode();
  if (mode == CU_STREAM_CAPTURE_MODE_RELAXED) return CUDA_SUCCESS;
  std::lock_guard lock(graphs_.mutex);
  CUresult result = CUDA_SUCCESS;
  for (const auto& [id, branch] : branches_) {
    Capture& capture = *branch.capture;
    const bool prohibits = capture.thread == std::this_thread::get_id()
                               ? capture.mode != CU_STREAM_CAPTURE_MODE_RELAXED
                               : mode == CU_STREAM_CAPTURE_MODE_GLOBAL && capture.mode == CU_STREAM_CAPTURE_MODE_GLOBAL;
    if (!prohibits) continue;
    capture.valid = false;
    result = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  }
  return result;
}

void Captures::StreamDestroyed(const StreamId& stream) {
  if (!any()) return;
  std::lock_guard lock(graphs_.mutex);
  const Branch* branch = Find(stream);
  if (branch && branch->capture->origin == stream.id) Finish(std::shared_ptr(branch->capture), true);
}

void Captures::ContextDestroyed(const void* context) {
  if (!any()) return;
  std::lock_guard lock(graphs_.mutex);
  for (;;) {
    const auto found = std::ranges::find_if(branches_, [&](const auto& each) { return each.second.Is(context); });
    if (found == branches_.end()) return;
    Finish(std::shared_ptr(found->second.capture), true);
  }
}

Captures::Branch* Captures::Find(const StreamId& stream) {
  const auto found = branches_.find(stream.id);
  return found != branches_.end() ? &found->second : nullptr;
}

CUresult Captures::RefuseBegin(const StreamId& stream) {
  if (stream.is_legacy) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  return Find(stream) ? CUDA_ERROR_ILLEGAL_STATE : CUDA_SUCCESS;
}

void Captures::Start(const StreamId& stream, CUstreamCaptureMode mode, std::shared_ptr<Graph> graph, bool owns_graph,
                     Nodes tips) {
  graph->capturing = true;
  auto capture = std::make_shared<Capture>(
      Capture{graphs_.NextId(), mode, std::this_thread::get_id(), stream.id, std::move(graph), owns_graph});
  branches_.emplace(stream.id, Branch{std::move(capture), stream, std::move(tips), {}, {}});
  count_.fetch_add(1, std::memory_order_release);
}

// Work on the legacy stream would depend on the blocking streams that capture.
CUresult Captures::RefuseLegacy(const StreamId& stream, bool invalidate) {
  if (!stream.is_legacy) return CUDA_SUCCESS;
  CUresult result = CUDA_SUCCESS;
  for (const auto& [id, branch] : branches_) {
    const StreamId& other = branch.stream;
    if (!other.is_blocking || other.context != stream.context || other.green != stream.green) continue;
    if (invalidate) branch.capture->valid = false;
    result = CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
  }
  return result;
}

CUresult Captures::AddNode(Branch& branch, const MakeNode& make) {
  Content content;
  if (CUresult result = make(&content); result != CUDA_SUCCESS) return result;
  if (CUresult refused = branch.capture->graph->MayAdd(content); refused != CUDA_SUCCESS) return refused;
  std::vector<Node*> dependencies;
  for (const auto& node : branch.tips) dependencies.push_back(node.get());
  branch.tips = {branch.capture->graph->Add(std::move(content), dependencies)};
  return CUDA_SUCCESS;
}

void Captures::Join(Branch& branch, const Nodes& nodes) {
  for (const auto& node : nodes) {
    if (std::ranges::count(branch.tips, node) == 0) branch.tips.push_back(node);
  }
}

// Everything that the other streams captured last comes before what `origin` captured last.
bool Captures::Joined(const Branch& origin) const {
  std::unordered_set<const Node*> before;
  std::vector<const Node*> to_visit;
  const auto visit = [&](const Node* node) {
    if (before.insert(node).second) to_visit.push_back(node);
  };
  for (const auto& node : origin.tips) visit(node.get());
  while (!to_visit.empty()) {
    const Node* node = to_visit.back();
    to_visit.pop_back();
    for (const Node* from : node->dependencies()) visit(from);
  }
  return std::ranges::all_of(branches_, [&](const auto& each) {
    return each.second.capture != origin.capture ||
           std::ranges::all_of(each.second.tips, [&](const auto& node) { return before.contains(node.get()); });
  });
}

// Takes all streams out of the capture. A graph that belongs to it ends with it when nobody gets it.
void Captures::Finish(const std::shared_ptr<Capture>& capture, bool discard) {
  std::erase_if(branches_, [&](const auto& each) { return each.second.capture == capture; });
  capture->graph->capturing = false;
  if (discard && capture->owns_graph) capture->graph->Withdraw();
  count_.fetch_sub(1, std::memory_order_release);
}

}  // namespace outboard::graphs
