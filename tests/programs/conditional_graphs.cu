// Graphs whose kernels decide what of them runs: IF and ELSE, WHILE, SWITCH, one in the other, and captured bodies.

#include <tuple>

#include "check_runtime.h"

__global__ void Choose(const unsigned* value, cudaGraphConditionalHandle handle) {
  cudaGraphSetConditional(handle, *value);
}

__global__ void Add(int* value, int by) { *value += by; }

// The threads of one block count down together; one of them says when to stop.
__global__ void CountDown(unsigned* left, int* rounds, cudaGraphConditionalHandle handle) {
  atomicAdd(rounds, 1);
  __syncthreads();
  if (threadIdx.x == 0) cudaGraphSetConditional(handle, --*left);
}

class Graph {
 public:
  Graph() { check::Ok(cudaGraphCreate(&graph_, 0)); }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph() { check::Ok(cudaGraphDestroy(graph_)); }

  cudaGraph_t get() const { return graph_; }

 private:
  cudaGraph_t graph_ = nullptr;
};

cudaGraphConditionalHandle Handle(cudaGraph_t graph) {
  cudaGraphConditionalHandle handle = 0;
  check::Ok(cudaGraphConditionalHandleCreate(&handle, graph));
  return handle;
}

cudaGraphConditionalHandle Handle(cudaGraph_t graph, unsigned value) {
  cudaGraphConditionalHandle handle = 0;
  check::Ok(cudaGraphConditionalHandleCreate(&handle, graph, value, cudaGraphCondAssignDefault));
  return handle;
}

using Nodes = std::vector<cudaGraphNode_t>;

cudaGraphNode_t AddNode(cudaGraph_t graph, cudaGraphNodeParams* params, const Nodes& after) {
  cudaGraphNode_t node = nullptr;
  check::Ok(cudaGraphAddNode(&node, graph, after.data(), nullptr, after.size(), params));
  return node;
}

template <class... Parameters, class... Arguments>
cudaGraphNode_t AddKernel(cudaGraph_t graph, const Nodes& after, unsigned threads, void (*kernel)(Parameters...),
                          Arguments... given) {
  std::tuple<Parameters...> arguments(given...);
  cudaGraphNodeParams params{};
  params.type = cudaGraphNodeTypeKernel;
  params.kernel.func = reinterpret_cast<void*>(kernel);
  params.kernel.gridDim = dim3(1);
  params.kernel.blockDim = dim3(threads);
  std::vector<void*> pointers;
  std::apply([&](auto&... each) { pointers = {&each...}; }, arguments);
  params.kernel.kernelParams = pointers.data();
  return AddNode(graph, &params, after);
}

struct Conditional {
  cudaGraphNode_t node;
  std::vector<cudaGraph_t> bodies;
};

Conditional AddConditional(cudaGraph_t graph, const Nodes& after, cudaGraphConditionalHandle handle,
                           cudaGraphConditionalNodeType type, unsigned size) {
  cudaGraphNodeParams params{};
  params.type = cudaGraphNodeTypeConditional;
  params.conditional.handle = handle;
  params.conditional.type = type;
  params.conditional.size = size;
  const auto node = AddNode(graph, &params, after);
  return {node, {params.conditional.phGraph_out, params.conditional.phGraph_out + size}};
}

// The words of the device that the graphs work on: what decides, and what is counted.
class Board {
 public:
  Board() : input_(1), counts_(4), read_(4) {
    check::Ok(cudaStreamCreate(&stream_));
    counts_.Fill(0);
  }
  ~Board() { check::Ok(cudaStreamDestroy(stream_)); }

  unsigned* input() const { return input_.get(); }
  int* count(int index) const { return counts_.get() + index; }
  cudaStream_t stream() const { return stream_; }

  // What one launch adds to the counts.
  void Launch(const std::string& what, cudaGraphExec_t exec, unsigned value, const std::vector<int>& expected) {
    counts_.Fill(0);
    check::Ok(cudaMemcpyAsync(input_.get(), &value, sizeof value, cudaMemcpyHostToDevice, stream_));
    check::Ok(cudaGraphLaunch(exec, stream_));
    check::Ok(cudaMemcpyAsync(read_.get(), counts_.get(), read_.bytes(), cudaMemcpyDeviceToHost, stream_));
    check::Ok(cudaStreamSynchronize(stream_));
    check::EqualAll(what + " of " + std::to_string(value), read_.Values(), expected);
  }

 private:
  check::DeviceArray<unsigned> input_;
  check::DeviceArray<int> counts_;
  check::PinnedArray<int> read_;
  cudaStream_t stream_ = nullptr;
};

cudaGraphExec_t Instantiate(const Graph& graph) {
  cudaGraphExec_t exec = nullptr;
  check::Ok(cudaGraphInstantiate(&exec, graph.get(), 0));
  return exec;
}

void IfAndElse(Board& board) {
  Graph graph;
  const auto handle = Handle(graph.get());
  const auto choice = AddKernel(graph.get(), {}, 1, Choose, board.input(), handle);
  const auto either = AddConditional(graph.get(), {choice}, handle, cudaGraphCondTypeIf, 2);
  AddKernel(either.bodies[0], {}, 1, Add, board.count(0), 1);
  AddKernel(either.bodies[1], {}, 1, Add, board.count(1), 1);
  AddKernel(graph.get(), {either.node}, 1, Add, board.count(2), 1);
  cudaGraphNodeType type;
  check::Ok(cudaGraphNodeGetType(either.node, &type));
  check::Equal("type of the node", type, cudaGraphNodeTypeConditional);
  const auto exec = Instantiate(graph);
  board.Launch("if", exec, 1, {1, 0, 1, 0});
  board.Launch("if", exec, 0, {0, 1, 1, 0});
  check::Ok(cudaGraphExecDestroy(exec));
}

void While(Board& board) {
  Graph graph;
  const auto handle = Handle(graph.get(), 1);
  const auto loop = AddConditional(graph.get(), {}, handle, cudaGraphCondTypeWhile, 1);
  const auto first = AddKernel(loop.bodies[0], {}, 1, Add, board.count(1), 2);
  AddKernel(loop.bodies[0], {first}, 64, CountDown, board.input(), board.count(0), handle);
  const auto exec = Instantiate(graph);
  board.Launch("while", exec, 1, {64, 2, 0, 0});
  board.Launch("while", exec, 50, {50 * 64, 100, 0, 0});
  check::Ok(cudaGraphExecDestroy(exec));
}

void Switch(Board& board) {
  Graph graph;
  const auto handle = Handle(graph.get());
  const auto choice = AddKernel(graph.get(), {}, 1, Choose, board.input(), handle);
  const auto cases = AddConditional(graph.get(), {choice}, handle, cudaGraphCondTypeSwitch, 4);
  for (int i = 0; i < 4; ++i) AddKernel(cases.bodies[i], {}, 1, Add, board.count(i), i + 1);
  const auto exec = Instantiate(graph);
  board.Launch("switch", exec, 0, {1, 0, 0, 0});
  board.Launch("switch", exec, 3, {0, 0, 0, 4});
  board.Launch("switch", exec, 2, {0, 0, 3, 0});
  board.Launch("switch", exec, 4, {0, 0, 0, 0});
  check::Ok(cudaGraphExecDestroy(exec));
}

// A loop in whose body a kernel chooses between a memset and a child graph, by how much is left.
void Nested(Board& board) {
  Graph graph, addition;
  AddKernel(addition.get(), {}, 1, Add, board.count(1), 1);
  const auto again = Handle(graph.get(), 1);
  const auto loop = AddConditional(graph.get(), {}, again, cudaGraphCondTypeWhile, 1);
  const auto which = Handle(loop.bodies[0]);
  const auto counted = AddKernel(loop.bodies[0], {}, 1, CountDown, board.input(), board.count(0), again);
  const auto choice = AddKernel(loop.bodies[0], {counted}, 1, Choose, board.input(), which);
  const auto either = AddConditional(loop.bodies[0], {choice}, which, cudaGraphCondTypeIf, 2);
  cudaGraphNode_t child, filled;
  check::Ok(cudaGraphAddChildGraphNode(&child, either.bodies[0], nullptr, 0, addition.get()));
  cudaMemsetParams fill{};
  fill.dst = board.count(2);
  fill.value = 77;
  fill.elementSize = 4;
  fill.width = fill.height = 1;
  check::Ok(cudaGraphAddMemsetNode(&filled, either.bodies[1], nullptr, 0, &fill));
  const auto exec = Instantiate(graph);
  board.Launch("nested", exec, 6, {6, 5, 77, 0});
  board.Launch("nested", exec, 1, {1, 0, 77, 0});
  check::Ok(cudaGraphExecDestroy(exec));
}

// A capture that a loop is added to, and whose body is another capture.
void Captured(Board& board) {
  cudaStream_t stream;
  check::Ok(cudaStreamCreate(&stream));
  check::Ok(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  Add<<<1, 1, 0, stream>>>(board.count(2), 1);
  cudaStreamCaptureStatus status;
  cudaGraph_t graph;
  const cudaGraphNode_t* last;
  size_t count;
  check::Ok(cudaStreamGetCaptureInfo(stream, &status, nullptr, &graph, &last, nullptr, &count));
  const auto handle = Handle(graph, 1);
  const auto loop = AddConditional(graph, Nodes(last, last + count), handle, cudaGraphCondTypeWhile, 1);
  check::Ok(cudaStreamUpdateCaptureDependencies(stream, const_cast<cudaGraphNode_t*>(&loop.node), nullptr, 1,
                                                cudaStreamSetCaptureDependencies));
  Add<<<1, 1, 0, stream>>>(board.count(2), 10);
  check::Ok(cudaStreamEndCapture(stream, &graph));
  check::Ok(
      cudaStreamBeginCaptureToGraph(stream, loop.bodies[0], nullptr, nullptr, 0, cudaStreamCaptureModeThreadLocal));
  Add<<<1, 1, 0, stream>>>(board.count(1), 1);
  CountDown<<<1, 32, 0, stream>>>(board.input(), board.count(0), handle);
  check::Ok(cudaStreamEndCapture(stream, nullptr));
  cudaGraphExec_t exec;
  check::Ok(cudaGraphInstantiate(&exec, graph, 0));
  check::Ok(cudaGraphDestroy(graph));
  board.Launch("captured", exec, 8, {8 * 32, 8, 11, 0});
  check::Ok(cudaGraphExecDestroy(exec));
  check::Ok(cudaStreamDestroy(stream));
}

int main() {
  {
    Board board;
    IfAndElse(board);
    While(board);
    Switch(board);
    Nested(board);
    Captured(board);
  }
  check::Finished();
  return check::Pass("conditional_graphs");
}
