// Seconds of loading a PTX text of some thousand lines (load.cu), in a process that has a context: the load alone, and
// with what it takes until one of its kernels has run. Unloading does not count.

#include "bench.h"
#include "empty_kernel.h"

namespace {

constexpr char kPtx[] =
#include "load.gen.h"
    ;

class LoadedText {
 public:
  void Load() { bench::Ok(cuModuleLoadData(&module_, kPtx)); }
  void RunFirst() {
    CUfunction first = nullptr;
    bench::Ok(cuModuleGetFunction(&first, module_, "First"));
    void* parameters[] = {&memory_};
    bench::Ok(cuLaunchKernel(first, 1, 1, 1, 32, 1, 1, 0, nullptr, parameters, nullptr));
    bench::Ok(cuStreamSynchronize(nullptr));
  }
  void Unload() { bench::Ok(cuModuleUnload(module_)); }

  LoadedText() { bench::Ok(cuMemAlloc(&memory_, 128)); }
  ~LoadedText() { bench::Ok(cuMemFree(memory_)); }
  LoadedText(const LoadedText&) = delete;
  LoadedText& operator=(const LoadedText&) = delete;

 private:
  CUmodule module_ = nullptr;
  CUdeviceptr memory_ = 0;
};

}  // namespace

int main() {
  const bench::EmptyKernel context;
  LoadedText text;
  std::vector<double> loads, with_run;
  for (int sample = 0; sample <= bench::Repetitions(); ++sample) {
    const double load = bench::Seconds([&] { text.Load(); });
    const double run = bench::Seconds([&] { text.RunFirst(); });
    text.Unload();
    if (sample == 0) continue;  // the first one is not warm
    loads.push_back(load);
    with_run.push_back(load + run);
  }
  bench::Print("load_only", loads);
  bench::Print("load", with_run);
  return 0;
}
