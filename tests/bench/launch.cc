// Seconds of launches of an empty kernel through the driver API: the call alone, and the call with the wait for its
// end. Each sample is the median over many.

#include <cuda.h>

#include "bench.h"

namespace {

const char kEmptyKernel[] =
    ".version 7.0\n"
    ".target sm_75\n"
    ".address_size 64\n"
    ".visible .entry Empty() { ret; }\n";

constexpr int kRounds = 40, kPerRound = 200;  // fewer in a round than a queue holds, so that no launch waits for room

void Ok(CUresult result, int line = __builtin_LINE()) {
  if (result == CUDA_SUCCESS) return;
  const char* name = nullptr;
  if (cuGetErrorName(result, &name) != CUDA_SUCCESS) name = "an unknown result";
  std::printf("line %d: %s\n", line, name);
  std::exit(1);
}

}  // namespace

int main() {
  CUdevice device = 0;
  CUcontext context = nullptr;
  CUmodule module = nullptr;
  CUfunction empty = nullptr;
  Ok(cuInit(0));
  Ok(cuDeviceGet(&device, 0));
  Ok(cuDevicePrimaryCtxRetain(&context, device));
  Ok(cuCtxSetCurrent(context));
  Ok(cuModuleLoadData(&module, kEmptyKernel));
  Ok(cuModuleGetFunction(&empty, module, "Empty"));
  CUstream stream = nullptr;
  Ok(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));

  auto launch = [&] { Ok(cuLaunchKernel(empty, 1, 1, 1, 1, 1, 1, 0, stream, nullptr, nullptr)); };
  auto launch_and_wait = [&] {
    launch();
    Ok(cuStreamSynchronize(stream));
  };
  launch_and_wait();
  std::vector<double> launches, with_wait;
  for (int sample = 0; sample < bench::kRepetitions; ++sample) {
    std::vector<double> seconds;
    for (int round = 0; round < kRounds; ++round) {
      for (int i = 0; i < kPerRound; ++i) seconds.push_back(bench::Seconds(launch));
      Ok(cuStreamSynchronize(stream));
    }
    launches.push_back(bench::Median(seconds));
    seconds.clear();
    for (int i = 0; i < 2000; ++i) seconds.push_back(bench::Seconds(launch_and_wait));
    with_wait.push_back(bench::Median(seconds));
  }
  bench::Print("launch", launches);
  bench::Print("launch_sync", with_wait);
  Ok(cuStreamDestroy(stream));
  Ok(cuModuleUnload(module));
  Ok(cuDevicePrimaryCtxRelease(device));
  return 0;
}
