// What calls cost a program: seconds of launches, of waits, and of a loop of both, through whatever libcuda.so.1 it
// finds, and the most memory that the process had. With the name of a figure as its argument it measures that one.

#include <cuda.h>

#include <cstring>
#include <fstream>
#include <string>

#include "bench.h"

namespace {

const char kEmptyKernel[] =
    ".version 7.0\n"
    ".target sm_75\n"
    ".address_size 64\n"
    ".visible .entry Empty() { ret; }\n";

constexpr int kLaunches = 1000;

void Ok(CUresult result, int line = __builtin_LINE()) {
  if (result == CUDA_SUCCESS) return;
  std::printf("line %d: CUDA error %d\n", line, static_cast<int>(result));
  std::exit(1);
}

// The most memory that this program has had; getrusage would count what the process was before it.
double PeakBytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    double kib;
    if (word == "VmHWM:" && status >> kib) return kib * 1024;
  }
  std::printf("/proc/self/status has no VmHWM\n");
  std::exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  CUdevice device = 0;
  CUcontext context = nullptr;
  CUmodule module = nullptr;
  CUfunction empty = nullptr;
  CUstream stream = nullptr;
  Ok(cuInit(0));
  Ok(cuDeviceGet(&device, 0));
  Ok(cuDevicePrimaryCtxRetain(&context, device));
  Ok(cuCtxSetCurrent(context));
  Ok(cuModuleLoadData(&module, kEmptyKernel));
  Ok(cuModuleGetFunction(&empty, module, "Empty"));
  Ok(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));

  const auto launch = [&] { Ok(cuLaunchKernel(empty, 1, 1, 1, 1, 1, 1, 0, stream, nullptr, nullptr)); };
  const auto wait = [&] { Ok(cuStreamSynchronize(stream)); };
  const auto wanted = [&](const char* name) { return argc < 2 || std::strcmp(argv[1], name) == 0; };
  launch();
  wait();
  if (wanted("launch_async")) {
    // The median of few at a time, so that no launch waits for room in a queue.
    std::vector<double> medians;
    for (int sample = 0; sample < bench::kRepetitions; ++sample) {
      std::vector<double> seconds;
      for (int round = 0; round < 100; ++round) {
        for (int i = 0; i < 20; ++i) seconds.push_back(bench::Seconds(launch));
        wait();
      }
      medians.push_back(bench::Median(seconds));
    }
    bench::Print("launch_async", medians);
  }
  if (wanted("launch_loop")) {
    bench::Print("launch_loop", bench::Repeat([&] {
                   for (int i = 0; i < kLaunches; ++i) launch();
                   wait();
                 }));
  }
  if (wanted("sync")) {
    std::vector<double> medians;
    for (int sample = 0; sample < bench::kRepetitions; ++sample) {
      std::vector<double> seconds;
      for (int i = 0; i < 3000; ++i) seconds.push_back(bench::Seconds(wait));
      medians.push_back(bench::Median(seconds));
    }
    bench::Print("sync", medians);
  }
  bench::Print("rss", {PeakBytes()});
  return 0;
}
