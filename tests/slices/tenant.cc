// Keeps a GPU busy with kernels of one length, and tells how much device time it got.
//
// usage: tenant MICROSECONDS SECONDS AHEAD GRAPH [clock]
// AHEAD: so many milliseconds of kernels are given ahead; 0: each kernel is waited for. GRAPH: they are launched as
// graphs of so many kernels, one behind the other; 0: one by one. "clock": the driver is the one of tests/bench, whose
// kernels take their time by their shape; else the kernel looks at the device's clock.
//
// Prints "ready", waits for a line, runs for that long, and prints the seconds of its kernels that were done by then.

#include <cuda.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

constexpr unsigned kThreads = 200;             // of a block, on the driver that works by the clock
constexpr uint64_t kBlockMicroseconds = 1000;  // that they take there
constexpr int64_t kBatchMicroseconds = 2000;   // of kernels between two events

constexpr char kPtx[] = R"(
.version 7.0
.target sm_75
.address_size 64
.visible .entry Spin(.param .u64 nanoseconds) {
  .reg .u64 %r<4>;
  .reg .pred %p;
  ld.param.u64 %r1, [nanoseconds];
  mov.u64 %r2, %globaltimer;
  add.u64 %r1, %r1, %r2;
again:
  mov.u64 %r3, %globaltimer;
  setp.lt.u64 %p, %r3, %r1;
  @%p bra again;
  ret;
}
)";

void Ok(CUresult result, int line = __builtin_LINE()) {
  if (result == CUDA_SUCCESS) return;
  const char* name = nullptr;
  cuGetErrorName(result, &name);
  std::fprintf(stderr, "tenant: line %d: %s\n", line, name != nullptr ? name : "an unknown error");
  std::exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) {
    std::fprintf(stderr, "usage: tenant MICROSECONDS SECONDS AHEAD GRAPH [clock]\n");
    return 2;
  }
  const int64_t microseconds = std::atoll(argv[1]), ahead = 1000 * std::atoll(argv[3]), in_graph = std::atoll(argv[4]);
  const auto time = std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(std::atof(argv[2])));
  const bool by_shape = argc > 5 && std::strcmp(argv[5], "clock") == 0;

  CUdevice device;
  CUcontext context;
  CUmodule module;
  CUfunction function;
  CUstream stream;
  Ok(cuInit(0));
  Ok(cuDeviceGet(&device, 0));
  Ok(cuDevicePrimaryCtxRetain(&context, device));
  Ok(cuCtxSetCurrent(context));
  Ok(cuModuleLoadData(&module, kPtx));
  Ok(cuModuleGetFunction(&function, module, "Spin"));
  Ok(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  const auto launch_kernel = [&] {
    uint64_t nanoseconds = static_cast<uint64_t>(microseconds) * 1000;
    void* parameters[] = {&nanoseconds};
    const unsigned threads = !by_shape ? 1 : microseconds < 1000 ? static_cast<unsigned>(microseconds / 5) : kThreads;
    const unsigned blocks =
        by_shape ? static_cast<unsigned>(std::max<int64_t>(1, microseconds / kBlockMicroseconds)) : 1;
    Ok(cuLaunchKernel(function, blocks, 1, 1, threads, 1, 1, 0, stream, parameters, nullptr));
  };
  CUgraphExec graph = nullptr;
  if (in_graph > 0) {
    CUgraph captured;
    Ok(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
    for (int64_t i = 0; i < in_graph; ++i) launch_kernel();
    Ok(cuStreamEndCapture(stream, &captured));
    Ok(cuGraphInstantiate(&graph, captured, 0));
  }
  const int64_t microseconds_each = microseconds * std::max<int64_t>(1, in_graph);
  const auto launch = [&] { graph == nullptr ? launch_kernel() : Ok(cuGraphLaunch(graph, stream)); };
  const int64_t per_batch = ahead == 0 ? 1 : std::max<int64_t>(1, kBatchMicroseconds / microseconds_each);
  std::vector<CUevent> events(
      ahead == 0 ? 1 : static_cast<size_t>(std::max<int64_t>(2, ahead / (per_batch * microseconds_each))));
  for (CUevent& event : events) Ok(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
  launch();
  Ok(cuStreamSynchronize(stream));

  std::puts("ready");
  std::fflush(stdout);
  if (std::getchar() == EOF) return 1;
  const Clock::time_point end = Clock::now() + time;
  int64_t done = 0;
  for (size_t batch = 0; Clock::now() < end; ++batch) {
    CUevent& event = events[batch % events.size()];
    if (batch >= events.size()) {
      Ok(cuEventSynchronize(event));
      if (Clock::now() > end) break;
      done += per_batch;
    }
    for (int64_t i = 0; i < per_batch; ++i) launch();
    Ok(cuEventRecord(event, stream));
  }
  std::printf("%.6f\n", static_cast<double>(done * microseconds_each) / 1e6);
  std::fflush(stdout);
  std::_Exit(0);  // what was given ahead is of no interest
}
