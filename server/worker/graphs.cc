#include "server/worker/graphs.h"

#include <chrono>
#include <cstring>
#include <utility>

#include "server/worker/graphs_state.h"
#include "server/worker/home_context.h"

namespace outboard::worker {
namespace {

constexpr std::chrono::microseconds kDrainPause{500};

}  // namespace

Graphs::Graphs(const driver::DriverTable& driver, slice::Gate& gate, const HandleTable& handles, Copies& copies,
               HostCalls& host_calls, GraphMemory& memory)
    : state_(std::make_shared<State>(driver, gate, handles, copies, host_calls, memory)) {}

Graphs::~Graphs() = default;

// The driver's stream has come to the node; nothing of the driver's may be called.
void Graphs::Step::Run(void* raw) {
  Step& step = *static_cast<Step*>(raw);
  Graph& graph = step.graph;
  State& state = graph.state;
  std::unique_lock lock(state.mutex);
  if (graph.launches.empty()) return;
  const std::shared_ptr<Graph::Launched> launched = graph.launches.front();
  const uint64_t word = launched->words[step.word];
  const bool acts = word != 0 && !state.released;
  lock.unlock();
  if (acts) step.Act(*launched, word);
  lock.lock();
  if (--launched->steps_left == 0 && !graph.launches.empty()) graph.launches.pop_front();
  state.changed.notify_all();
}

void Graphs::Step::Act(const Graph::Launched& launched, uint64_t word) {
  State& state = graph.state;
  const Form* const form = launched.forms[index].get();
  switch (kind) {
    case wire::GraphNodeKind::kHostCall:
      return state.host_calls.Run(word, launched.stream);
    case wire::GraphNodeKind::kWrite:
      if ((word & wire::kWithLaunch) == 0) {
        state.gate.Hold(launched.stream);
        state.copies.PullNow(word, {form->block, form->bytes});
        return state.gate.Unhold(launched.stream);
      }
      if (const uint64_t at = word - wire::kWithLaunch;
          at <= launched.bytes.size() && form->bytes <= launched.bytes.size() - at)
        std::memcpy(form->block, launched.bytes.data() + at, form->bytes);
      return;
    case wire::GraphNodeKind::kRead: {
      Box to = form->host;
      to.address = word;
      return state.copies.LandNow(to, form->extent, {form->block, form->bytes});
    }
    default:
      return;
  }
}

// On a thread of the driver's, which permits no calls.
void Graphs::Ended::Run(void* raw) {
  const std::unique_ptr<Ended> ended(static_cast<Ended*>(raw));
  State& state = *ended->state;
  std::lock_guard lock(state.mutex);
  ended->graph->is_kept = false;
  ended->graph->launches.clear();
  state.GiveBlocks(*ended->graph);
  std::erase(state.destroyed, ended->graph);
  state.changed.notify_all();
}

std::shared_ptr<Graphs::Graph> Graphs::State::Find(uint64_t number) {
  std::lock_guard lock(mutex);
  const auto found = graphs.find(number);
  return found != graphs.end() ? found->second : nullptr;
}

CUresult Graphs::State::Add(uint64_t number, const std::shared_ptr<Graph>& graph) {
  std::lock_guard lock(mutex);
  if (graphs.size() + destroyed.size() >= kMaxGraphs) return CUDA_ERROR_OUT_OF_MEMORY;
  return graphs.emplace(number, graph).second ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

std::shared_ptr<Staging> Graphs::State::StagingOf(CUcontext context) {
  std::lock_guard lock(mutex);
  auto& staging = stagings[context];
  if (staging == nullptr) staging = std::make_shared<Staging>(driver, context, &staging_bytes);
  return staging;
}

void Graphs::State::End(Graph& graph) {
  std::lock_guard order(graph.order);
  if (graph.exec != nullptr) driver.cuGraphExecDestroy(std::exchange(graph.exec, nullptr));
  if (graph.graph != nullptr) driver.cuGraphDestroy(std::exchange(graph.graph, nullptr));
}

void Graphs::State::GiveBlocks(Graph& graph) {
  for (const auto& [staging, block] : graph.blocks) {
    const auto found = stagings.find(staging->context());
    if (found != stagings.end() && found->second == staging) staging->Give(block);
  }
  graph.blocks.clear();
}

void Graphs::State::EndStaging(Staging& staging) {
  CUcontext context = staging.context();
  // A context that has ended has taken its memory along.
  if (driver.cuCtxPushCurrent_v2(context) != CUDA_SUCCESS) return staging.Abandon();
  staging.Destroy();
  driver.cuCtxPopCurrent_v2(&context);
}

template <class Busy>
void Graphs::State::WaitWhile(std::unique_lock<std::mutex>& lock, Busy busy) {
  while (!released && busy()) {
    changed.wait_for(lock, kDrainPause);
    lock.unlock();
    // Nothing comes to its end where the context is broken.
    const CUresult result = [&] {
      const InHomeContext home(driver);  // a green context has no such stream
      return driver.cuStreamQuery(CU_STREAM_PER_THREAD);
    }();
    lock.lock();
    if (result != CUDA_SUCCESS && result != CUDA_ERROR_NOT_READY) return;
  }
}

// Has the driver tell when it has done with a graph that has steps, and keeps them until then.
CUresult Graphs::Keep(const std::shared_ptr<Graph>& graph) {
  const driver::DriverTable& driver = state_->driver;
  if (driver.cuUserObjectCreate == nullptr || driver.cuGraphRetainUserObject == nullptr)
    return CUDA_ERROR_NOT_SUPPORTED;
  auto ended = std::make_unique<Ended>(Ended{state_, graph});
  CUuserObject object;
  CUresult result = driver.cuUserObjectCreate(&object, ended.get(), &Ended::Run, 1, CU_USER_OBJECT_NO_DESTRUCTOR_SYNC);
  if (result != CUDA_SUCCESS) return result;
  static_cast<void>(ended.release());  // the object's from here on
  result = driver.cuGraphRetainUserObject(graph->graph, object, 1, CU_GRAPH_USER_OBJECT_MOVE);
  if (result != CUDA_SUCCESS) {
    driver.cuUserObjectRelease(object, 1);
    return result;
  }
  graph->kept = object;
  std::lock_guard lock(state_->mutex);
  graph->is_kept = true;
  return CUDA_SUCCESS;
}

CUresult Graphs::CreateCondition(uint64_t number, CUcontext context, unsigned value, unsigned flags,
                                 CUgraphConditionalHandle* handle) {
  const driver::DriverTable& driver = state_->driver;
  if (driver.cuGraphCreate == nullptr || driver.cuGraphConditionalHandleCreate == nullptr)
    return CUDA_ERROR_NOT_SUPPORTED;
  auto graph = state_->Find(number);
  if (graph == nullptr) {
    graph = std::make_shared<Graph>(*state_);
    if (CUresult result = driver.cuGraphCreate(&graph->graph, 0); result != CUDA_SUCCESS) return result;
    if (CUresult result = state_->Add(number, graph); result != CUDA_SUCCESS) {
      state_->End(*graph);
      return result;
    }
  }
  std::lock_guard order(graph->order);
  const bool is_ordinary = graph->exec != nullptr && graph->conditions.empty();
  if (graph->graph == nullptr || is_ordinary) return CUDA_ERROR_INVALID_VALUE;
  if (graph->conditions.size() >= kMaxGraphConditions) return CUDA_ERROR_OUT_OF_MEMORY;
  const CUresult result = driver.cuGraphConditionalHandleCreate(handle, graph->graph, context, value, flags);
  if (result == CUDA_SUCCESS) graph->conditions.push_back(*handle);
  return result;
}

CUresult Graphs::Instantiate(uint64_t number, uint64_t flags, std::span<const std::byte> description) {
  const driver::DriverTable& driver = state_->driver;
  if (driver.cuGraphCreate == nullptr || driver.cuGraphInstantiateWithFlags == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  if (const auto graph = state_->Find(number)) return InstantiateAgain(graph, flags, description);
  auto graph = std::make_shared<Graph>(*state_);
  CUresult result = driver.cuGraphCreate(&graph->graph, 0);
  if (result == CUDA_SUCCESS) result = Builder(*state_, *graph, description).Build();
  if (result == CUDA_SUCCESS && !graph->steps.empty()) result = Keep(graph);
  if (result == CUDA_SUCCESS) result = driver.cuGraphInstantiateWithFlags(&graph->exec, graph->graph, flags);
  if (result == CUDA_SUCCESS) result = state_->Add(number, graph);
  if (result == CUDA_SUCCESS) return result;
  {
    std::lock_guard lock(state_->mutex);
    state_->GiveBlocks(*graph);  // it has never run
  }
  state_->End(*graph);
  return result;
}

// A graph with conditional handles. What it was built of is built again only where it has to be: whether a handle may
// have a second node after the first one is the driver's to say.
CUresult Graphs::InstantiateAgain(const std::shared_ptr<Graph>& graph, uint64_t flags,
                                  std::span<const std::byte> description) {
  std::lock_guard order(graph->order);
  if (graph->graph == nullptr || graph->exec != nullptr) return CUDA_ERROR_INVALID_VALUE;
  const bool is_built = !graph->description.empty() && std::ranges::equal(graph->description, description);
  if (!is_built || !graph->steps.empty()) {
    CUresult result = Clear(*graph);
    if (result == CUDA_SUCCESS) result = Builder(*state_, *graph, description).Build();
    if (result == CUDA_SUCCESS && !graph->steps.empty()) result = Keep(graph);
    if (result != CUDA_SUCCESS) {
      Clear(*graph);
      return result;
    }
    graph->description.assign(description.begin(), description.end());
  }
  const CUresult result = state_->driver.cuGraphInstantiateWithFlags(&graph->exec, graph->graph, flags);
  if (result != CUDA_SUCCESS) EndExec(*graph);
  return result;
}

// Ends the executable graph, if there is one, of a graph that stays.
void Graphs::EndExec(Graph& graph) {
  const driver::DriverTable& driver = state_->driver;
  if (graph.exec != nullptr) driver.cuGraphExecDestroy(std::exchange(graph.exec, nullptr));
  // What the driver has under way has hold of the object, too.
  CUuserObject kept = std::exchange(graph.kept, nullptr);
  if (kept != nullptr && driver.cuGraphReleaseUserObject != nullptr)
    driver.cuGraphReleaseUserObject(graph.graph, kept, 1);
}

// Takes all nodes out of a graph that is not executable, once its launches have ended.
CUresult Graphs::Clear(Graph& graph) {
  const driver::DriverTable& driver = state_->driver;
  if (driver.cuGraphGetNodes == nullptr || driver.cuGraphDestroyNode == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  {
    std::unique_lock lock(state_->mutex);
    state_->WaitWhile(lock, [&] { return graph.is_kept; });
    if (graph.is_kept) return CUDA_ERROR_INVALID_CONTEXT;  // where nothing can be waited for: the driver still has them
    state_->GiveBlocks(graph);  // of one that was never kept
    graph.is_dead = false;
  }
  size_t count = 0;
  CUresult result = driver.cuGraphGetNodes(graph.graph, nullptr, &count);
  std::vector<CUgraphNode> nodes(count);
  if (result == CUDA_SUCCESS && count > 0) result = driver.cuGraphGetNodes(graph.graph, nodes.data(), &count);
  for (CUgraphNode node : nodes) {
    if (result == CUDA_SUCCESS) result = driver.cuGraphDestroyNode(node);
  }
  graph.description.clear();
  graph.nodes.clear();
  graph.memory.clear();
  graph.is_chain = true;
  if (result == CUDA_SUCCESS) graph.steps.clear();
  return result;
}

CUresult Graphs::Launch(uint64_t number, CUstream stream, std::span<const unsigned long long> words,
                        std::span<const std::byte> bytes) {
  const auto graph = state_->Find(number);
  if (graph == nullptr) return CUDA_ERROR_INVALID_VALUE;
  // Held so that the words of launches are in the order in which the driver runs them. The steps do not take it.
  std::lock_guard order(graph->order);
  if (graph->exec == nullptr || words.size() != graph->words) return CUDA_ERROR_INVALID_VALUE;
  const CUresult result = graph->steps.empty() ? state_->driver.cuGraphLaunch(graph->exec, stream)
                                               : LaunchSteps(*graph, stream, words, bytes);
  if (result == CUDA_SUCCESS) state_->memory.Use(graph->memory, stream);
  return result;
}

CUresult Graphs::LaunchSteps(Graph& graph, CUstream stream, std::span<const unsigned long long> words,
                             std::span<const std::byte> bytes) {
  const auto launched = std::make_shared<Graph::Launched>();
  const auto get_id = state_->driver.cuStreamGetId;
  // Beside a step of any other graph the device may be at work.
  const bool may_be_held = graph.is_chain && get_id != nullptr;
  if (!may_be_held || get_id(stream, &launched->stream) != CUDA_SUCCESS) launched->stream = 0;
  launched->words.assign(words.begin(), words.end());
  launched->bytes.assign(bytes.begin(), bytes.end());
  launched->steps_left = graph.steps.size();
  {
    std::lock_guard lock(state_->mutex);
    if (graph.is_dead) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    for (const auto& step : graph.steps) launched->forms.push_back(step->form);
    graph.launches.push_back(launched);
  }
  const CUresult result = state_->driver.cuGraphLaunch(graph.exec, stream);
  if (result != CUDA_SUCCESS) {
    std::lock_guard lock(state_->mutex);
    std::erase(graph.launches, launched);
  }
  return result;
}

CUresult Graphs::Upload(uint64_t number, CUstream stream) {
  const auto graph = state_->Find(number);
  if (graph == nullptr) return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard order(graph->order);
  if (graph->exec == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const auto upload = state_->driver.cuGraphUpload;
  return upload == nullptr ? CUDA_ERROR_NOT_SUPPORTED : upload(graph->exec, stream);
}

CUresult Graphs::Change(uint64_t number, std::span<const std::byte> changes) {
  const auto graph = state_->Find(number);
  if (graph == nullptr) return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard order(graph->order);
  if (graph->exec == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return Builder(*state_, *graph, changes).Change();
}

CUresult Graphs::SetEnabled(uint64_t number, uint64_t node, bool enabled) {
  const auto graph = state_->Find(number);
  if (graph == nullptr) return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard order(graph->order);
  if (graph->exec == nullptr || node >= graph->nodes.size() || graph->nodes[node].node == nullptr)
    return CUDA_ERROR_INVALID_VALUE;
  const auto set = state_->driver.cuGraphNodeSetEnabled;
  return set == nullptr ? CUDA_ERROR_NOT_SUPPORTED : set(graph->exec, graph->nodes[node].node, enabled ? 1 : 0);
}

CUresult Graphs::Destroy(uint64_t number) {
  const auto graph = state_->Find(number);
  if (graph == nullptr) return CUDA_SUCCESS;
  {
    std::lock_guard order(graph->order);
    if (!graph->conditions.empty()) {
      EndExec(*graph);
      return CUDA_SUCCESS;
    }
  }
  return Release(number);
}

CUresult Graphs::Release(uint64_t number) {
  std::shared_ptr<Graph> graph;
  {
    std::lock_guard lock(state_->mutex);
    const auto found = state_->graphs.find(number);
    if (found == state_->graphs.end()) return CUDA_SUCCESS;
    graph = std::move(found->second);
    state_->graphs.erase(found);
    if (graph->is_kept) {
      state_->destroyed.push_back(graph);
    } else {
      state_->GiveBlocks(*graph);
    }
  }
  state_->End(*graph);
  return CUDA_SUCCESS;
}

void Graphs::Drain() {
  std::unique_lock lock(state_->mutex);
  const auto is_busy = [](const auto& graph) { return !graph->launches.empty(); };
  state_->WaitWhile(lock, [&] {
    bool busy = std::ranges::any_of(state_->destroyed, is_busy);
    for (const auto& [number, graph] : state_->graphs) busy = busy || is_busy(graph);
    return busy;
  });
}

void Graphs::ForgetContext(CUcontext context) {
  std::shared_ptr<Staging> staging;
  {
    std::lock_guard lock(state_->mutex);
    const auto found = state_->stagings.find(context);
    if (found == state_->stagings.end()) return;
    staging = std::move(found->second);
    state_->stagings.erase(found);
    const auto end_if_its = [&](Graph& graph) {
      const auto is_its = [&](const auto& each) { return each.first == staging; };
      if (!std::ranges::any_of(graph.blocks, is_its)) return;
      graph.is_dead = true;
      graph.launches.clear();
    };
    for (const auto& [number, graph] : state_->graphs) end_if_its(*graph);
    for (const auto& graph : state_->destroyed) end_if_its(*graph);
    state_->changed.notify_all();
  }
  state_->EndStaging(*staging);
}

void Graphs::ReleaseAll() {
  std::lock_guard lock(state_->mutex);
  state_->released = true;
  state_->changed.notify_all();
}

bool Graphs::empty() const {
  std::lock_guard lock(state_->mutex);
  return state_->graphs.empty() && state_->destroyed.empty() && state_->stagings.empty();
}

void Graphs::EndAll() {
  std::vector<std::shared_ptr<Graph>> all;
  std::vector<std::shared_ptr<Staging>> kept;
  {
    std::lock_guard lock(state_->mutex);
    for (auto& [number, graph] : state_->graphs) all.push_back(std::move(graph));
    for (auto& [context, staging] : state_->stagings) kept.push_back(std::move(staging));
    state_->graphs.clear();
    state_->destroyed.clear();  // the driver has them already
    state_->stagings.clear();
  }
  for (const auto& graph : all) state_->End(*graph);
  for (const auto& staging : kept) state_->EndStaging(*staging);
}

}  // namespace outboard::worker
