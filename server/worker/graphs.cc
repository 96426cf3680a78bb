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
               HostCalls& host_calls, GraphMemory& memory, size_t most)
    : state_(std::make_shared<State>(driver, gate, handles, copies, host_calls, memory, most)) {}

Graphs::~Graphs() = default;

Graphs::Generation::~Generation() {
  std::lock_guard lock(state.mutex);
  state.generations.erase(this);
  for (const auto& [staging, block] : blocks) {
    if (state.IsThere(staging)) staging->Give(block);
  }
  state.changed.notify_all();
}

// The driver's stream has come to the node; nothing of the driver's may be called.
void Graphs::Step::Run(void* raw) {
  Step& step = *static_cast<Step*>(raw);
  Generation& generation = step.generation;
  State& state = generation.state;
  std::unique_lock lock(state.mutex);
  if (generation.launches.empty()) return;
  const std::shared_ptr<Generation::Launched> launched = generation.launches.front();
  const uint64_t word = launched->words[step.word];
  const bool acts = word != 0 && !state.released;
  const unsigned has_block = step.kind != wire::GraphNodeKind::kHostCall;
  generation.acting += has_block;
  lock.unlock();
  if (acts) step.Act(*launched, word);
  lock.lock();
  generation.acting -= has_block;
  if (--launched->steps_left == 0 && !generation.launches.empty()) generation.launches.pop_front();
  state.changed.notify_all();
}

void Graphs::Step::Act(const Generation::Launched& launched, uint64_t word) {
  State& state = generation.state;
  const Form* const form = launched.forms[index].get();
  switch (kind) {
    case wire::GraphNodeKind::kHostCall:
      return state.host_calls.Run(word, launched.stream);
    case wire::GraphNodeKind::kWrite:
      if ((word & wire::kWithLaunch) == 0) {
        state.gate.Hold(launched.stream);
        state.copies.PullNow(word, {form->block, form->bytes}, generation.is_dead);
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
void Graphs::Ended::Run(void* ended) { delete static_cast<Ended*>(ended); }

std::shared_ptr<Graphs::Graph> Graphs::State::Find(uint64_t number) {
  std::lock_guard lock(mutex);
  const auto found = graphs.find(number);
  return found != graphs.end() ? found->second : nullptr;
}

CUresult Graphs::State::Add(uint64_t number, const std::shared_ptr<Graph>& graph) {
  std::lock_guard lock(mutex);
  if (graphs.size() >= most) return CUDA_ERROR_OUT_OF_MEMORY;
  return graphs.emplace(number, graph).second ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

std::shared_ptr<Graphs::Generation> Graphs::State::Begin() {
  auto generation = std::make_shared<Generation>(*this);
  std::lock_guard lock(mutex);
  if (generations.size() >= most) return nullptr;
  generations.insert(generation.get());
  return generation;
}

std::shared_ptr<Staging> Graphs::State::StagingOf(CUcontext context) {
  std::lock_guard lock(mutex);
  auto& staging = stagings[context];
  if (staging == nullptr) staging = std::make_shared<Staging>(driver, context, &staging_bytes);
  return staging;
}

std::shared_ptr<Staging> Graphs::State::TakeStaging(CUcontext context) {
  for (Generation* const generation : generations) generation->launched_in.erase(context);
  const auto found = stagings.find(context);
  if (found == stagings.end()) return nullptr;
  const std::shared_ptr<Staging> staging = std::move(found->second);
  stagings.erase(found);
  for (Generation* const generation : generations) {
    if (!generation->Uses(*staging)) continue;
    generation->is_dead = true;
    generation->launches.clear();
  }
  changed.notify_all();
  copies.WakePulls();
  return staging;
}

void Graphs::State::End(Graph& graph) {
  std::lock_guard order(graph.order);
  if (graph.exec != nullptr) driver.cuGraphExecDestroy(std::exchange(graph.exec, nullptr));
  if (graph.graph != nullptr) driver.cuGraphDestroy(std::exchange(graph.graph, nullptr));
  graph.kept = nullptr;  // went with the graph, which another lane may still have found
  graph.generation.reset();
}

bool Graphs::State::IsThere(const std::shared_ptr<Staging>& staging) const {
  const auto found = stagings.find(staging->context());
  return found != stagings.end() && found->second == staging;
}

void Graphs::State::EndStaging(Staging& staging) {
  CUcontext context = staging.context();
  // A context that has ended has taken its memory along.
  if (driver.cuCtxPushCurrent_v2(context) != CUDA_SUCCESS) return staging.Abandon();
  staging.Destroy();
  driver.cuCtxPopCurrent_v2(&context);
}

// Has the driver keep hold of the graph's generation, which has steps, until it has done with them.
CUresult Graphs::Keep(Graph& graph) {
  const driver::DriverTable& driver = state_->driver;
  if (driver.cuUserObjectCreate == nullptr || driver.cuGraphRetainUserObject == nullptr ||
      driver.cuGraphReleaseUserObject == nullptr)
    return CUDA_ERROR_NOT_SUPPORTED;
  auto ended = std::make_unique<Ended>(Ended{state_, graph.generation});
  CUuserObject object;
  CUresult result = driver.cuUserObjectCreate(&object, ended.get(), &Ended::Run, 1, CU_USER_OBJECT_NO_DESTRUCTOR_SYNC);
  if (result != CUDA_SUCCESS) return result;
  static_cast<void>(ended.release());  // the object's from here on
  result = driver.cuGraphRetainUserObject(graph.graph, object, 1, CU_GRAPH_USER_OBJECT_MOVE);
  if (result != CUDA_SUCCESS) {
    driver.cuUserObjectRelease(object, 1);
    return result;
  }
  graph.kept = object;
  return CUDA_SUCCESS;
}

// Builds the driver's graph, which has no nodes, as a new generation.
CUresult Graphs::BuildAnew(Graph& graph, std::span<const std::byte> description) {
  graph.generation = state_->Begin();
  if (graph.generation == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
  const CUresult result = Builder(*state_, graph, description).Build();
  return result == CUDA_SUCCESS && !graph.generation->steps.empty() ? Keep(graph) : result;
}

CUresult Graphs::CreateCondition(uint64_t number, CUcontext context, unsigned value, unsigned flags,
                                 CUgraphConditionalHandle* handle) {
  const driver::DriverTable& driver = state_->driver;
  if (driver.cuGraphCreate == nullptr || driver.cuGraphConditionalHandleCreate == nullptr)
    return CUDA_ERROR_NOT_SUPPORTED;
  auto graph = state_->Find(number);
  if (graph == nullptr) {
    graph = std::make_shared<Graph>();
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
  if (const auto graph = state_->Find(number)) return InstantiateAgain(*graph, flags, description);
  auto graph = std::make_shared<Graph>();
  CUresult result = driver.cuGraphCreate(&graph->graph, 0);
  if (result == CUDA_SUCCESS) result = BuildAnew(*graph, description);
  if (result == CUDA_SUCCESS) result = driver.cuGraphInstantiateWithFlags(&graph->exec, graph->graph, flags);
  if (result == CUDA_SUCCESS) result = state_->Add(number, graph);
  if (result != CUDA_SUCCESS) state_->End(*graph);
  return result;
}

// A graph with conditional handles. What it was built of is built again only where it has to be: whether a handle may
// have a second node after the first one is the driver's to say.
CUresult Graphs::InstantiateAgain(Graph& graph, uint64_t flags, std::span<const std::byte> description) {
  std::lock_guard order(graph.order);
  if (graph.graph == nullptr || graph.exec != nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (graph.generation == nullptr || !std::ranges::equal(graph.description, description)) {
    CUresult result = Clear(graph);
    if (result == CUDA_SUCCESS) result = BuildAnew(graph, description);
    if (result != CUDA_SUCCESS) {
      Clear(graph);
      return result;
    }
    graph.description.assign(description.begin(), description.end());
  }
  const CUresult result = state_->driver.cuGraphInstantiateWithFlags(&graph.exec, graph.graph, flags);
  if (result != CUDA_SUCCESS) EndExec(graph);
  return result;
}

// Ends the executable graph, if there is one, of a graph that stays. Steps are never another executable graph's:
// launches of this one may still take their words.
void Graphs::EndExec(Graph& graph) {
  const driver::DriverTable& driver = state_->driver;
  if (graph.exec != nullptr) driver.cuGraphExecDestroy(std::exchange(graph.exec, nullptr));
  if (graph.kept == nullptr) return;
  driver.cuGraphReleaseUserObject(graph.graph, std::exchange(graph.kept, nullptr), 1);
  graph.generation.reset();  // the driver has hold of it as long as launches are under way
}

// Takes all nodes out of a graph that is not executable.
CUresult Graphs::Clear(Graph& graph) {
  const driver::DriverTable& driver = state_->driver;
  EndExec(graph);
  graph.generation.reset();
  if (driver.cuGraphGetNodes == nullptr || driver.cuGraphDestroyNode == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  size_t count = 0;
  CUresult result = driver.cuGraphGetNodes(graph.graph, nullptr, &count);
  std::vector<CUgraphNode> nodes(count);
  if (result == CUDA_SUCCESS && count > 0) result = driver.cuGraphGetNodes(graph.graph, nodes.data(), &count);
  for (CUgraphNode node : nodes) {
    if (result == CUDA_SUCCESS) result = driver.cuGraphDestroyNode(node);
  }
  return result;
}

CUresult Graphs::Launch(uint64_t number, CUstream stream, std::span<const unsigned long long> words,
                        std::span<const std::byte> bytes) {
  const auto graph = state_->Find(number);
  if (graph == nullptr) return CUDA_ERROR_INVALID_VALUE;
  // Held so that the words of launches are in the order in which the driver runs them. The steps do not take it.
  std::lock_guard order(graph->order);
  if (graph->exec == nullptr || words.size() != graph->generation->words) return CUDA_ERROR_INVALID_VALUE;
  const CUresult result = graph->generation->steps.empty() ? state_->driver.cuGraphLaunch(graph->exec, stream)
                                                           : LaunchSteps(*graph, stream, words, bytes);
  if (result == CUDA_SUCCESS) state_->memory.Use(graph->generation->memory, stream);
  return result;
}

CUresult Graphs::LaunchSteps(Graph& graph, CUstream stream, std::span<const unsigned long long> words,
                             std::span<const std::byte> bytes) {
  Generation& generation = *graph.generation;
  const auto launched = std::make_shared<Generation::Launched>();
  const auto get_id = state_->driver.cuStreamGetId;
  // Beside a step of any other graph the device may be at work.
  const bool may_be_held = generation.is_chain && get_id != nullptr;
  if (!may_be_held || get_id(stream, &launched->stream) != CUDA_SUCCESS) launched->stream = 0;
  launched->words.assign(words.begin(), words.end());
  launched->bytes.assign(bytes.begin(), bytes.end());
  launched->steps_left = generation.steps.size();
  CUcontext context = nullptr;
  const auto get_context = state_->driver.cuStreamGetCtx;
  const bool is_known = get_context != nullptr && get_context(stream, &context) == CUDA_SUCCESS;
  {
    std::lock_guard lock(state_->mutex);
    if (generation.is_dead) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    if (is_known) generation.launched_in.insert(context);
    for (const auto& step : generation.steps) launched->forms.push_back(step->form);
    generation.launches.push_back(launched);
  }
  const CUresult result = state_->driver.cuGraphLaunch(graph.exec, stream);
  if (result != CUDA_SUCCESS) {
    std::lock_guard lock(state_->mutex);
    std::erase(generation.launches, launched);
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
  if (graph->exec == nullptr || node >= graph->generation->nodes.size()) return CUDA_ERROR_INVALID_VALUE;
  const CUgraphNode found = graph->generation->nodes[node].node;
  if (found == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const auto set = state_->driver.cuGraphNodeSetEnabled;
  return set == nullptr ? CUDA_ERROR_NOT_SUPPORTED : set(graph->exec, found, enabled ? 1 : 0);
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
  }
  state_->End(*graph);
  return CUDA_SUCCESS;
}

void Graphs::Drain() {
  State& state = *state_;
  std::unique_lock lock(state.mutex);
  const auto is_busy = [](const Generation* generation) { return !generation->launches.empty(); };
  while (!state.released && std::ranges::any_of(state.generations, is_busy)) {
    state.changed.wait_for(lock, kDrainPause);
    lock.unlock();
    // Nothing comes to its end where the context is broken.
    const CUresult result = [&] {
      const InHomeContext home(state.driver);  // a green context has no such stream
      return state.driver.cuStreamQuery(CU_STREAM_PER_THREAD);
    }();
    lock.lock();
    if (result != CUDA_SUCCESS && result != CUDA_ERROR_NOT_READY) return;
  }
}

void Graphs::ForgetContext(CUcontext context) {
  std::shared_ptr<Staging> staging;
  std::set<CUcontext> others;
  {
    std::unique_lock lock(state_->mutex);
    staging = state_->TakeStaging(context);
    if (staging == nullptr) return;
    state_->changed.wait(lock, [&] {
      return std::ranges::none_of(state_->generations, [&](const Generation* generation) {
        return generation->acting != 0 && generation->Uses(*staging);
      });
    });
    for (const Generation* const generation : state_->generations) {
      if (generation->Uses(*staging)) others.insert(generation->launched_in.begin(), generation->launched_in.end());
    }
  }
  // Behind a step the driver copies.
  for (CUcontext other : others) {
    if (state_->driver.cuCtxPushCurrent_v2(other) != CUDA_SUCCESS) continue;
    state_->driver.cuCtxSynchronize();
    state_->driver.cuCtxPopCurrent_v2(&other);
  }
  state_->EndStaging(*staging);
}

void Graphs::DropContext(CUcontext context) {
  std::lock_guard lock(state_->mutex);
  if (const auto staging = state_->TakeStaging(context)) staging->Abandon();
}

void Graphs::ReleaseAll() {
  std::lock_guard lock(state_->mutex);
  state_->released = true;
  state_->changed.notify_all();
}

bool Graphs::empty() const {
  std::lock_guard lock(state_->mutex);
  return state_->graphs.empty() && state_->generations.empty() && state_->stagings.empty();
}

void Graphs::EndAll() {
  std::vector<std::shared_ptr<Graph>> all;
  std::vector<std::shared_ptr<Staging>> kept;
  {
    std::lock_guard lock(state_->mutex);
    for (auto& [number, graph] : state_->graphs) all.push_back(std::move(graph));
    for (auto& [context, staging] : state_->stagings) kept.push_back(std::move(staging));
    state_->graphs.clear();
    state_->stagings.clear();
  }
  for (const auto& graph : all) state_->End(*graph);
  for (const auto& staging : kept) state_->EndStaging(*staging);
}

}  // namespace outboard::worker
