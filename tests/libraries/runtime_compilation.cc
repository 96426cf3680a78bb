// CUDA C++ that NVRTC compiles to PTX while the program runs.

#include <nvrtc.h>

#include "tests/libraries/library_check.h"

namespace {

using check::Done;

constexpr char kSource[] = R"(
template <class T>
__global__ void Scale(const T* x, T* y, T factor, int count) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) y[i] = factor * x[i];
}
)";

std::string Compile(const char* instance, std::string* lowered) {
  nvrtcProgram program;
  Done(nvrtcCreateProgram(&program, kSource, "scale.cu", 0, nullptr, nullptr));
  Done(nvrtcAddNameExpression(program, instance));
  const char* const options[] = {"--gpu-architecture=compute_90", "--std=c++17"};
  const nvrtcResult result = nvrtcCompileProgram(program, 2, options);
  size_t size = 0;
  Done(nvrtcGetProgramLogSize(program, &size));
  std::string log(size, ' ');
  Done(nvrtcGetProgramLog(program, log.data()));
  if (result != NVRTC_SUCCESS) check::Fail(check::Where::Here(), "the program does not compile: " + log);
  const char* name = nullptr;
  Done(nvrtcGetLoweredName(program, instance, &name));
  *lowered = name;
  Done(nvrtcGetPTXSize(program, &size));
  std::string ptx(size, ' ');
  Done(nvrtcGetPTX(program, ptx.data()));
  Done(nvrtcDestroyProgram(&program));
  return ptx;
}

}  // namespace

int main() {
  std::string name;
  const std::string ptx = Compile("Scale<double>", &name);
  cudaLibrary_t library;
  check::Ok(cudaLibraryLoadData(&library, ptx.data(), nullptr, nullptr, 0, nullptr, nullptr, 0));
  cudaKernel_t kernel;
  check::Ok(cudaLibraryGetKernel(&kernel, library, name.c_str()));

  check::Random random(1);
  const auto x = random.Values<double>(5000, -1, 1);
  check::DeviceArray<double> device_x(x), device_y(x.size());
  double* from = device_x.get();
  double* to = device_y.get();
  double factor = 3;
  int count = static_cast<int>(x.size());
  void* parameters[] = {&from, &to, &factor, &count};
  check::Ok(cudaLaunchKernel(reinterpret_cast<void*>(kernel), dim3(4), dim3(128), parameters, 0, nullptr));
  check::Finished();
  std::vector<double> want(x);
  for (double& value : want) value *= factor;
  check::EqualAll("y", device_y.Read(), want);
  check::Ok(cudaLibraryUnload(library));
  return check::Pass("runtime_compilation", check::Compared());
}
