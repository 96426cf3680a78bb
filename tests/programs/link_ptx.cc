// The driver's linker: PTX modules that call each other and point to each other's variables become one image, with what
// a static library of nvcc's holds.

#include <unistd.h>

#include <climits>
#include <cstring>
#include <string>

#include "driver_session.h"

namespace {

const char kCalling[] = R"(
.version 7.0
.target sm_75
.address_size 64

.extern .func (.param .b32 result) scaled(.param .b32 value);
.extern .global .align 4 .u32 factor;
.global .align 4 .u32 own[2] = {11, 13};
.visible .global .align 8 .u64 where[2] = {generic(factor), generic(own)+4};
.weak .func (.param .b32 result) chosen()
{
  st.param.b32 [result], 1;
  ret;
}

.visible .entry apply(.param .u64 apply_p, .param .u32 apply_v)
{
  .reg .b32 %r<3>;
  .reg .b64 %rd<3>;
  ld.param.u64 %rd1, [apply_p];
  cvta.to.global.u64 %rd2, %rd1;
  ld.param.u32 %r1, [apply_v];
  {
  .param .b32 param0;
  .param .b32 retval0;
  st.param.b32 [param0], %r1;
  call.uni (retval0), scaled, (param0);
  ld.param.b32 %r2, [retval0];
  }
  st.global.u32 [%rd2], %r2;
  ret;
}

// *p = what where[] points to, added, and a hundred times the result of chosen.
.visible .entry follow(.param .u64 follow_p)
{
  .reg .b32 %r<6>;
  .reg .b64 %rd<4>;
  ld.param.u64 %rd1, [follow_p];
  ld.global.u64 %rd2, [where];
  ld.u32 %r1, [%rd2];
  ld.global.u64 %rd3, [where+8];
  ld.u32 %r2, [%rd3];
  add.u32 %r3, %r1, %r2;
  {
  .param .b32 retval0;
  call.uni (retval0), chosen, ();
  ld.param.b32 %r4, [retval0];
  }
  mad.lo.u32 %r5, %r4, 100, %r3;
  st.global.u32 [%rd1], %r5;
  ret;
}
)";

const char kCalled[] = R"(
.version 7.0
.target sm_75
.address_size 64

.visible .global .align 4 .u32 factor = 6;
.visible .func (.param .b32 result) chosen()
{
  st.param.b32 [result], 2;
  ret;
}

.visible .func (.param .b32 result) scaled(.param .b32 value)
{
  .reg .b32 %r<4>;
  ld.param.u32 %r1, [value];
  ld.global.u32 %r2, [factor];
  mul.lo.u32 %r3, %r1, %r2;
  st.param.b32 [result], %r3;
  ret;
}
)";

CUresult Add(CUlinkState state, const char* text, const char* name) {
  return cuLinkAddData(state, CU_JIT_INPUT_PTX, const_cast<char*>(text), std::strlen(text) + 1, name, 0, nullptr,
                       nullptr);
}

// A link with a log, and what becomes of it.
class Link {
 public:
  Link() {
    CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    check::Ok(cuLinkCreate(2, options, values_, &state));
  }
  ~Link() { check::Ok(cuLinkDestroy(state)); }
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  CUmodule Load() {
    void* image = nullptr;
    size_t size = 0;
    check::Ok(cuLinkComplete(state, &image, &size));
    check::True("the image has a size", size > 0);
    CUmodule module = nullptr;
    check::Ok(cuModuleLoadData(&module, image));
    return module;
  }
  // Whether the log has all these words.
  bool Says(std::initializer_list<const char*> words) const {
    for (const char* word : words) {
      if (std::strstr(errors_, word) == nullptr) return false;
    }
    return true;
  }

  CUlinkState state = nullptr;

 private:
  char errors_[8192] = "";
  void* values_[2] = {errors_, reinterpret_cast<void*>(sizeof errors_)};
};

// A kernel's answer to *p, with whatever it takes beside p.
unsigned Run(CUmodule module, const char* kernel, unsigned before, unsigned* second = nullptr) {
  CUdeviceptr memory = 0;
  check::Ok(cuMemAlloc(&memory, 4));
  check::Ok(cuMemcpyHtoD(memory, &before, sizeof before));
  void* parameters[] = {&memory, second};
  check::Ok(cuLaunchKernel(GetFunction(module, kernel), 1, 1, 1, 1, 1, 1, 0, nullptr, parameters, nullptr));
  unsigned after = 0;
  check::Ok(cuMemcpyDtoH(&after, memory, sizeof after));
  check::Ok(cuMemFree(memory));
  return after;
}

// Of the archive beside this program.
std::string LibraryPath() {
  char path[PATH_MAX] = "";
  check::True("the program knows where it is", readlink("/proc/self/exe", path, sizeof path - 1) > 0);
  const std::string program = path;
  return program.substr(0, program.rfind('/')) + "/link_library.a";
}

void LinkTwoTexts() {
  Link link;
  check::Ok(Add(link.state, kCalling, "calling"));
  check::Ok(Add(link.state, kCalled, "called"));
  CUmodule module = link.Load();
  unsigned value = 7;
  check::Equal("what the linked function made of it", Run(module, "apply", 0, &value), 42u);
  check::Equal("what the pointers lead to, and the strong function", Run(module, "follow", 0), 6 + 13 + 200u);
  CUdeviceptr factor = 0;
  size_t size = 0;
  check::Ok(cuModuleGetGlobal(&factor, &size, module, "factor"));
  value = 10;
  check::Ok(cuMemcpyHtoD(factor, &value, sizeof value));
  check::Equal("after the variable of the other module was set", Run(module, "apply", 0, &value), 100u);
  check::Ok(cuModuleUnload(module));
}

void LinkALibrary() {
  Link link;
  check::Ok(Add(link.state, kCalled, "called"));
  check::Ok(cuLinkAddFile(link.state, CU_JIT_INPUT_LIBRARY, LibraryPath().c_str(), 0, nullptr, nullptr));
  CUmodule module = link.Load();
  check::Equal("what the library's kernel made of it", Run(module, "library_kernel", 5), 5 + 2 * 6u);
  check::Ok(cuModuleUnload(module));
}

// What is wrong is said by the code and by the log.
void LinkWhatDoesNotFit() {
  void* image = nullptr;
  size_t size = 0;
  Link link;
  check::Expect("adding what is no PTX", Add(link.state, ".version 7.0\n.target sm_75\nnonsense", "wrong"),
                CUDA_ERROR_INVALID_PTX);
  check::True("the log names the input", link.Says({"wrong"}));

  Link twice;
  check::Ok(Add(twice.state, kCalled, "called"));
  check::Expect("a second definition", Add(twice.state, kCalled, "again"), CUDA_ERROR_INVALID_SOURCE);
  check::True("the log names the symbol and both inputs", twice.Says({"scaled", "called", "again"}));

  Link open;
  check::Ok(Add(open.state, kCalling, "calling"));
  check::True("a name that nobody defines", cuLinkComplete(open.state, &image, &size) != CUDA_SUCCESS);
  check::True("the log names the symbol and the input", open.Says({"factor", "calling"}));
}

}  // namespace

int main() {
  DriverSession session;
  LinkTwoTexts();
  LinkALibrary();
  LinkWhatDoesNotFit();
  return check::Pass("link_ptx");
}
