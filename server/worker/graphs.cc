#include "server/worker/graphs.h"

#include <chrono>
#include <cstring>
#include <utility>

#include "server/worker/graphs_state.h"

namespace outboard::worker {
namespace {

constexpr std::chrono::microseconds kDrainPause{500};

}  // namespace

Graphs::Graphs(const driver::DriverTable& driver, const HandleTable& handles, Copies& copies, HostCalls& host_calls)
    : state_(std::make_shared<State>(driver, handles, copies, host_calls)) {}

Graphs::~Graphs() = default;

// The driver's stream has come to the node; nothing of the driver's may be called.
void Graphs::Step::Run(void* raw) {
  Step& step = *static_cast<Step*>(raw);
  State& state = step.graph.state;
  std::unique_lock lock(state.mutex);
  Graph& graph = step.graph;
  if (graph.launches.empty()) return;
  const Graph::Launched& launched = graph.launches.front();  // stays while not all of its steps are done
  const uint64_t word = launched.words[step.word];
  const bool acts = word != 0 && !state.released;
  lock.unlock();
  if (acts) step.Act(word, launched.bytes);
  lock.lock();
  if (--graph.launches.front().steps_left == 0) graph.launches.pop_front();
  state.changed.notify_all();
}

void Graphs::Step::Act(uint64_t word, std::span<const std::byte> sent) {
  switch (kind) {
    case wire::GraphNodeKind::kHostCall:
      return graph.state.host_calls.Run(word);
    case wire::GraphNodeKind::kWrite:
      if ((word & wire::kWithLaunch) == 0) return graph.state.copies.PullNow(word, {block, bytes});
      if (const uint64_t at = word - wire::kWithLaunch; at <= sent.size() && bytes <= sent.size() - at)
        std::memcpy(block, sent.data() + at, bytes);
      return;
    case wire::GraphNodeKind::kRead: {
      Box to = host;
      to.address = word;
      return graph.state.copies.LandNow(to, extent, {block, bytes});
    }
    default:
      return;
  }
}

std::shared_ptr<Graphs::Graph> Graphs::State::Find(uint64_t number) {
  std::lock_guard lock(mutex);
  const auto found = graphs.find(number);
  return found != graphs.end() ? found->second : nullptr;
}

// Lets go of what the driver has for a graph. In the context that its blocks are of.
void Graphs::State::End(Graph& graph) {
  if (graph.exec != nullptr) driver.cuGraphExecDestroy(std::exchange(graph.exec, nullptr));
  if (graph.graph != nullptr) driver.cuGraphDestroy(std::exchange(graph.graph, nullptr));
  FreeBlocks(graph);
}

void Graphs::State::FreeBlocks(Graph& graph) {
  block_bytes.fetch_sub(std::exchange(graph.block_bytes, 0));
  if (graph.blocks.empty()) return;
  CUcontext popped;
  const bool is_current = driver.cuCtxPushCurrent_v2(graph.context) == CUDA_SUCCESS;
  for (void* block : graph.blocks) {
    if (is_current) driver.cuMemFreeHost(block);
  }
  if (is_current) driver.cuCtxPopCurrent_v2(&popped);
  graph.blocks.clear();
}

// Ends graphs that were destroyed and have come to the end of their launches.
void Graphs::State::Collect() {
  std::vector<std::shared_ptr<Graph>> ended;
  {
    std::lock_guard lock(mutex);
    std::erase_if(destroyed, [&](const auto& graph) {
      if (!graph->launches.empty()) return false;
      ended.push_back(graph);
      return true;
    });
  }
  for (const auto& graph : ended) End(*graph);
}

CUresult Graphs::Instantiate(uint64_t number, uint64_t flags, std::span<const std::byte> description) {
  const driver::DriverTable& driver = state_->driver;
  if (driver.cuGraphCreate == nullptr || driver.cuGraphInstantiateWithFlags == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  state_->Collect();
  {
    std::lock_guard lock(state_->mutex);
    if (state_->graphs.size() + state_->destroyed.size() >= kMaxGraphs) return CUDA_ERROR_OUT_OF_MEMORY;
  }
  auto graph = std::make_shared<Graph>(*state_);
  CUresult result = driver.cuGraphCreate(&graph->graph, 0);
  if (result == CUDA_SUCCESS) result = Builder(*state_, *graph, description).Build();
  if (result == CUDA_SUCCESS) result = driver.cuGraphInstantiateWithFlags(&graph->exec, graph->graph, flags);
  if (result == CUDA_SUCCESS) {
    std::lock_guard lock(state_->mutex);
    if (!state_->graphs.emplace(number, graph).second) result = CUDA_ERROR_INVALID_VALUE;
  }
  if (result != CUDA_SUCCESS) state_->End(*graph);
  return result;
}

CUresult Graphs::Launch(uint64_t number, CUstream stream, std::span<const unsigned long long> words,
                        std::span<const std::byte> bytes) {
  const auto graph = state_->Find(number);
  if (graph == nullptr || words.size() != graph->words) return CUDA_ERROR_INVALID_VALUE;
  if (graph->steps.empty()) return state_->driver.cuGraphLaunch(graph->exec, stream);
  // Held so that the words of launches are in the order in which the driver runs them. The steps do not take it.
  std::lock_guard order(graph->order);
  {
    std::lock_guard lock(state_->mutex);
    graph->launches.push_back({{words.begin(), words.end()}, {bytes.begin(), bytes.end()}, graph->steps.size()});
  }
  const CUresult result = state_->driver.cuGraphLaunch(graph->exec, stream);
  if (result != CUDA_SUCCESS) {
    std::lock_guard lock(state_->mutex);
    graph->launches.pop_back();
  }
  return result;
}

CUresult Graphs::Upload(uint64_t number, CUstream stream) {
  const auto graph = state_->Find(number);
  if (graph == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const auto upload = state_->driver.cuGraphUpload;
  return upload == nullptr ? CUDA_ERROR_NOT_SUPPORTED : upload(graph->exec, stream);
}

CUresult Graphs::Change(uint64_t number, std::span<const std::byte> changes) {
  const auto graph = state_->Find(number);
  return graph == nullptr ? CUDA_ERROR_INVALID_VALUE : Builder(*state_, *graph, changes).Change();
}

CUresult Graphs::SetEnabled(uint64_t number, uint64_t node, bool enabled) {
  const auto graph = state_->Find(number);
  if (graph == nullptr || node >= graph->nodes.size()) return CUDA_ERROR_INVALID_VALUE;
  const auto set = state_->driver.cuGraphNodeSetEnabled;
  return set == nullptr ? CUDA_ERROR_NOT_SUPPORTED : set(graph->exec, graph->nodes[node].node, enabled ? 1 : 0);
}

CUresult Graphs::Destroy(uint64_t number) {
  {
    std::lock_guard lock(state_->mutex);
    const auto found = state_->graphs.find(number);
    if (found == state_->graphs.end()) return CUDA_ERROR_INVALID_VALUE;
    state_->destroyed.push_back(std::move(found->second));
    state_->graphs.erase(found);
  }
  state_->Collect();
  return CUDA_SUCCESS;
}

void Graphs::Drain() {
  std::unique_lock lock(state_->mutex);
  const auto is_busy = [](const auto& graph) { return !graph->launches.empty(); };
  while (!state_->released) {
    bool busy = std::ranges::any_of(state_->destroyed, is_busy);
    for (const auto& [number, graph] : state_->graphs) busy = busy || is_busy(graph);
    if (!busy) return;
    state_->changed.wait_for(lock, kDrainPause);
    lock.unlock();
    // Nothing comes to its end where the context is broken.
    const CUresult result = state_->driver.cuStreamQuery(CU_STREAM_PER_THREAD);
    if (result != CUDA_SUCCESS && result != CUDA_ERROR_NOT_READY) return;
    lock.lock();
  }
}

void Graphs::ForgetContext(CUcontext context) {
  std::vector<std::shared_ptr<Graph>> its;
  {
    std::lock_guard lock(state_->mutex);
    for (const auto& [number, graph] : state_->graphs) {
      if (graph->context == context) its.push_back(graph);
    }
    for (const auto& graph : state_->destroyed) {
      if (graph->context == context) its.push_back(graph);
    }
  }
  for (const auto& graph : its) {
    // Its blocks end with the context, so nothing may run it any more.
    if (graph->exec != nullptr) state_->driver.cuGraphExecDestroy(std::exchange(graph->exec, nullptr));
    state_->FreeBlocks(*graph);
  }
}

void Graphs::ReleaseAll() {
  std::lock_guard lock(state_->mutex);
  state_->released = true;
  state_->changed.notify_all();
}

bool Graphs::empty() const {
  std::lock_guard lock(state_->mutex);
  return state_->graphs.empty() && state_->destroyed.empty();
}

void Graphs::EndAll() {
  std::vector<std::shared_ptr<Graph>> all;
  {
    std::lock_guard lock(state_->mutex);
    for (auto& [number, graph] : state_->graphs) all.push_back(std::move(graph));
    for (auto& graph : state_->destroyed) all.push_back(std::move(graph));
    state_->graphs.clear();
    state_->destroyed.clear();
  }
  for (const auto& graph : all) state_->End(*graph);
}

}  // namespace outboard::worker
