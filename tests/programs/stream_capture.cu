// Streams are captured into graphs, which are launched again and again, and updated from a new capture.

#include "gate.h"

__global__ void Add(int* value, int by) { *value += by; }
__global__ void Sum(const int* a, const int* b, int* sum) { *sum = *a + *b; }

// The nodes of a capture of `work` in `stream`.
template <class Work>
cudaGraph_t Capture(cudaStream_t stream, cudaStreamCaptureMode mode, Work work) {
  check::Ok(cudaStreamBeginCapture(stream, mode));
  work();
  cudaGraph_t graph = nullptr;
  check::Ok(cudaStreamEndCapture(stream, &graph));
  return graph;
}

size_t NodesOf(cudaGraph_t graph) {
  size_t count = 0;
  check::Ok(cudaGraphGetNodes(graph, nullptr, &count));
  return count;
}

cudaStreamCaptureStatus StatusOf(cudaStream_t stream) {
  cudaStreamCaptureStatus status;
  check::Ok(cudaStreamIsCapturing(stream, &status));
  return status;
}

int main() {
  cudaStream_t stream, side;
  check::Ok(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  check::Ok(cudaStreamCreateWithFlags(&side, cudaStreamNonBlocking));
  cudaEvent_t fork, join;
  check::Ok(cudaEventCreateWithFlags(&fork, cudaEventDisableTiming));
  check::Ok(cudaEventCreateWithFlags(&join, cudaEventDisableTiming));
  check::DeviceArray<int> values(3);
  check::PinnedArray<int> input(2), output(1);
  values.Fill(0);
  check::Finished();

  // Two branches and what comes of both; one of the kernels is launched here for the first time.
  int calls = 0;
  int by = 10;
  const auto work = [&] {
    check::Ok(cudaMemcpyAsync(values.get(), input.get(), input.bytes(), cudaMemcpyHostToDevice, stream));
    check::Ok(cudaEventRecord(fork, stream));
    check::Ok(cudaStreamWaitEvent(side, fork, 0));
    Add<<<1, 1, 0, stream>>>(values.get(), by);
    Add<<<1, 1, 0, side>>>(values.get() + 1, by * 2);
    check::Ok(cudaEventRecord(join, side));
    check::Ok(cudaStreamWaitEvent(stream, join, 0));
    Sum<<<1, 1, 0, stream>>>(values.get(), values.get() + 1, values.get() + 2);
    check::Ok(cudaMemcpyAsync(output.get(), values.get() + 2, sizeof(int), cudaMemcpyDeviceToHost, stream));
    check::Ok(cudaLaunchHostFunc(
        stream, [](void* count) { ++*static_cast<int*>(count); }, &calls));
    check::Ok(cudaGetLastError());
  };
  cudaGraph_t graph = Capture(stream, cudaStreamCaptureModeGlobal, work);
  check::Equal<size_t>("number of nodes", NodesOf(graph), 6);
  check::Equal("status after the capture", StatusOf(side), cudaStreamCaptureStatusNone);
  check::Equal("calls before a launch", calls, 0);
  cudaGraphExec_t exec;
  check::Ok(cudaGraphInstantiate(&exec, graph, 0));
  check::Ok(cudaGraphDestroy(graph));
  for (int round = 1; round <= 5; ++round) {
    input[0] = round;
    input[1] = 100 * round;
    check::Ok(cudaGraphLaunch(exec, stream));
    check::Ok(cudaStreamSynchronize(stream));
    check::Equal("sum", output[0], 101 * round + 30);
    check::Equal("calls", calls, round);
  }

  // The same work with other arguments.
  by = 1000;
  graph = Capture(stream, cudaStreamCaptureModeThreadLocal, work);
  cudaGraphExecUpdateResultInfo info;
  check::Ok(cudaGraphExecUpdate(exec, graph, &info));
  check::Equal("result of the update", info.result, cudaGraphExecUpdateSuccess);
  check::Ok(cudaGraphDestroy(graph));
  check::Ok(cudaGraphLaunch(exec, side));
  check::Ok(cudaStreamSynchronize(side));
  check::Equal("sum after the update", output[0], 505 + 3000);

  // Other work does not fit.
  graph = Capture(stream, cudaStreamCaptureModeRelaxed, [&] { Add<<<1, 1, 0, stream>>>(values.get(), 1); });
  check::Expect("update to less work", cudaGraphExecUpdate(exec, graph, &info), cudaErrorGraphExecUpdateFailure);
  check::Equal("its result", info.result, cudaGraphExecUpdateErrorTopologyChanged);
  (void)cudaGetLastError();
  check::Ok(cudaGraphDestroy(graph));

  // Launches queue behind what is in their stream, and in order.
  values.Fill(0);
  check::Finished();
  graph = Capture(stream, cudaStreamCaptureModeRelaxed, [&] { Add<<<1, 1, 0, stream>>>(values.get(), 1); });
  cudaGraphExec_t counting;
  check::Ok(cudaGraphInstantiate(&counting, graph, 0));
  check::Ok(cudaGraphDestroy(graph));
  Gate gate;
  gate.Hold(stream);
  for (int i = 0; i < 100; ++i) check::Ok(cudaGraphLaunch(counting, i % 2 ? stream : side));
  check::Expect("query of a stream whose graph waits", cudaStreamQuery(stream), cudaErrorNotReady);
  (void)cudaGetLastError();
  gate.Open();
  check::Ok(cudaStreamSynchronize(stream));
  check::Ok(cudaStreamSynchronize(side));
  check::Equal("launches", values.Read()[0], 100);

  // What must not be done in a capture ends it, and is forgotten afterwards.
  check::Ok(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  void* memory = nullptr;
  check::Expect("cudaMalloc in a capture", cudaMalloc(&memory, 4), cudaErrorStreamCaptureUnsupported);
  check::Equal("status of the broken capture", StatusOf(stream), cudaStreamCaptureStatusInvalidated);
  check::Expect("its end", cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
  check::True("there is no graph", graph == nullptr);
  (void)cudaGetLastError();
  check::Ok(cudaMalloc(&memory, 4));
  check::Ok(cudaFree(memory));

  check::Ok(cudaGraphExecDestroy(exec));
  check::Ok(cudaGraphExecDestroy(counting));
  check::Ok(cudaEventDestroy(fork));
  check::Ok(cudaEventDestroy(join));
  check::Ok(cudaStreamDestroy(stream));
  check::Ok(cudaStreamDestroy(side));
  check::Finished();
  return check::Pass("stream_capture");
}
