// What NVRTC and nvJitLink make at run time: PTX that is loaded as it is, PTX of two sources for the driver's linker,
// and PTX that nvJitLink made of two sources' LTO code.

#include <nvJitLink.h>
#include <nvrtc.h>

#include <algorithm>
#include <initializer_list>
#include <string>
#include <vector>

#include "driver_session.h"

namespace {

constexpr char kWhole[] = R"(
template <class T> __device__ T Cube(T x) { return x * x * x; }
extern "C" __global__ void answer(int* p) { *p = Cube(*p) + blockDim.x; }
)";
constexpr char kCalling[] = R"(
extern __device__ int scaled(int);
extern __constant__ int offsets[2];
extern "C" __global__ void answer(int* p) { *p = scaled(*p) + offsets[1]; }
)";
constexpr char kCalled[] = R"(
__constant__ int offsets[2] = {4, 5};
__device__ int scaled(int x) { return 10 * x; }
)";

void Ok(nvrtcResult result, check::Where where = check::Where::Here()) {
  if (result != NVRTC_SUCCESS) check::Fail(where, std::string("NVRTC: ") + nvrtcGetErrorString(result));
}

void Ok(nvJitLinkResult result, check::Where where = check::Where::Here()) {
  if (result != NVJITLINK_SUCCESS) check::Fail(where, "nvJitLink: result " + std::to_string(result));
}

// What NVRTC makes of a source: PTX, or with -dlto LTO code.
class Compiled {
 public:
  Compiled(const char* source, const std::string& arch, std::vector<const char*> options) {
    const std::string arch_option = "--gpu-architecture=" + arch;
    options.push_back(arch_option.c_str());
    const bool is_lto = std::find(options.begin(), options.end(), std::string("-dlto")) != options.end();
    nvrtcProgram program = nullptr;
    Ok(nvrtcCreateProgram(&program, source, "source.cu", 0, nullptr, nullptr));
    Ok(nvrtcCompileProgram(program, static_cast<int>(options.size()), options.data()));
    size_t size = 0;
    Ok(is_lto ? nvrtcGetLTOIRSize(program, &size) : nvrtcGetPTXSize(program, &size));
    code.resize(size);
    Ok(is_lto ? nvrtcGetLTOIR(program, code.data()) : nvrtcGetPTX(program, code.data()));
    Ok(nvrtcDestroyProgram(&program));
  }
  std::vector<char> code;
};

// The answer to 6 of a module.
int AnswerOf(const void* image) {
  CUmodule module = nullptr;
  check::Ok(cuModuleLoadData(&module, image));
  CUdeviceptr memory = 0;
  int value = 6;
  check::Ok(cuMemAlloc(&memory, sizeof value));
  check::Ok(cuMemcpyHtoD(memory, &value, sizeof value));
  void* parameters[] = {&memory};
  check::Ok(cuLaunchKernel(GetFunction(module, "answer"), 1, 1, 1, 1, 1, 1, 0, nullptr, parameters, nullptr));
  check::Ok(cuMemcpyDtoH(&value, memory, sizeof value));
  check::Ok(cuMemFree(memory));
  check::Ok(cuModuleUnload(module));
  return value;
}

void LinkByTheDriver(const std::string& arch) {
  Compiled calling(kCalling, arch, {"-rdc=true"}), called(kCalled, arch, {"-rdc=true"});
  CUlinkState state = nullptr;
  void* image = nullptr;
  size_t size = 0;
  check::Ok(cuLinkCreate(0, nullptr, nullptr, &state));
  for (Compiled* input : {&calling, &called}) {
    check::Ok(cuLinkAddData(state, CU_JIT_INPUT_PTX, input->code.data(), input->code.size(), "source.cu", 0, nullptr,
                            nullptr));
  }
  check::Ok(cuLinkComplete(state, &image, &size));
  check::Equal("the answer of two sources that the driver linked", AnswerOf(image), 65);
  check::Ok(cuLinkDestroy(state));
}

// Linked by nvJitLink, as PTX or as code for one architecture.
std::vector<char> JitLinked(std::initializer_list<const Compiled*> inputs, nvJitLinkInputType type, bool as_ptx,
                            const std::string& arch) {
  const std::string arch_option = "-arch=" + arch;
  std::vector<const char*> options = {arch_option.c_str()};
  if (as_ptx) options.insert(options.end(), {"-lto", "-ptx"});
  nvJitLinkHandle link = nullptr;
  Ok(nvJitLinkCreate(&link, static_cast<uint32_t>(options.size()), options.data()));
  for (const Compiled* input : inputs) {
    Ok(nvJitLinkAddData(link, type, input->code.data(), input->code.size(), "source.cu"));
  }
  Ok(nvJitLinkComplete(link));
  size_t size = 0;
  Ok(as_ptx ? nvJitLinkGetLinkedPtxSize(link, &size) : nvJitLinkGetLinkedCubinSize(link, &size));
  std::vector<char> code(size);
  Ok(as_ptx ? nvJitLinkGetLinkedPtx(link, code.data()) : nvJitLinkGetLinkedCubin(link, code.data()));
  Ok(nvJitLinkDestroy(&link));
  return code;
}

void LinkByNvJitLink(const std::string& arch) {
  const Compiled calling(kCalling, arch, {"-dlto", "-rdc=true"}), called(kCalled, arch, {"-dlto", "-rdc=true"});
  const std::vector<char> ptx = JitLinked({&calling, &called}, NVJITLINK_INPUT_LTOIR, true, arch);
  check::Equal("the answer of two sources that nvJitLink linked to PTX", AnswerOf(ptx.data()), 65);
}

// Code for one architecture is for devices of that alone, and none has this one here.
void LinkForAnotherDevice(int major) {
  const Compiled whole(kWhole, "compute_75", {});
  const std::vector<char> cubin = JitLinked({&whole}, NVJITLINK_INPUT_PTX, false, "sm_75");
  CUmodule module = nullptr;
  if (major != 7) {
    check::Expect("loading code for sm_75", cuModuleLoadData(&module, cubin.data()), CUDA_ERROR_NO_BINARY_FOR_GPU);
  }
}

}  // namespace

int main() {
  DriverSession session;
  int major = 0, minor = 0;
  check::Ok(cuDeviceGetAttribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, session.device()));
  check::Ok(cuDeviceGetAttribute(&minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, session.device()));
  // The newest that all releases of NVRTC from CUDA 12 on give PTX for.
  const std::string arch = "compute_" + std::to_string(std::min(10 * major + minor, 90));
  check::Equal("the answer of one source", AnswerOf(Compiled(kWhole, arch, {}).code.data()), 217);
  LinkByTheDriver(arch);
  LinkByNvJitLink(arch);
  LinkForAnotherDevice(major);
  return check::Pass("nvrtc");
}
