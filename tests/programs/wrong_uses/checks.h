#pragma once

#include <cstdint>
#include <cstdlib>
#include <initializer_list>

#include "wrong_uses.h"

namespace wrong_uses {

// What tests pass where a handle is wanted.
template <class Handle>
Handle Bogus(uint64_t value) {
  return reinterpret_cast<Handle>(value);
}

inline constexpr char kNull[] =
    "CUDA_ERROR_INVALID_VALUE: one or more of the parameters passed to the API call is not within an acceptable range "
    "of values.";
inline constexpr char kHandle[] = "CUDA_ERROR_INVALID_HANDLE: a resource handle passed to the API call was not valid.";
inline constexpr char kContext[] =
    "CUDA_ERROR_INVALID_CONTEXT: most frequently there is no context bound to the current thread; also returned if the "
    "context passed is not a valid handle.";
inline constexpr char kInit[] =
    "CUDA_ERROR_NOT_INITIALIZED: the CUDA driver has not been initialized with cuInit() or that initialization has "
    "failed.";
inline constexpr char kDevice[] =
    "CUDA_ERROR_INVALID_DEVICE: the device ordinal supplied by the user does not correspond to a valid CUDA device.";

// store(p, v) writes v to *p; with_bounds is for at most 64 threads.
inline constexpr char kPtx[] = R"(
.version 8.0
.target sm_75
.address_size 64

.global .align 4 .u32 answer = 42;

.visible .entry store(.param .u64 store_p, .param .u32 store_v)
{
  .reg .b32 %r<2>;
  .reg .b64 %rd<3>;
  ld.param.u64 %rd1, [store_p];
  ld.param.u32 %r1, [store_v];
  cvta.to.global.u64 %rd2, %rd1;
  st.global.u32 [%rd2], %r1;
  ret;
}

.visible .entry with_bounds(.param .u64 with_bounds_p)
.maxntid 64, 1, 1
{
  ret;
}
)";

// What has to work for the rest to mean something.
inline void Do(CUresult result) {
  if (result != CUDA_SUCCESS) std::abort();
}

// Wrong uses in the primary context of device 0, by area, and what they are tried on.
class Checks {
 public:
  explicit Checks(const Report& report);
  ~Checks();
  Checks(const Checks&) = delete;
  Checks& operator=(const Checks&) = delete;

  void Devices();
  void Contexts();
  void Memory();
  void Rectangles();
  void Boxes();
  void Arrays();
  void TexturesAndSurfaces();
  void MemoryPools();
  void SharingBetweenProcesses();
  void VirtualMemory();
  void HostMemory();
  void StreamsAndEvents();
  void Code();
  void Linking();
  void ConditionalNodes();
  void Launches();
  void SmallCalls();
  void PeerAccess();
  void Resources();
  void GreenContexts();
  void WithoutAContext();
  void WhatBelongsToAnotherContext();

 private:
  // A call of a row, which lives as long as the row does: there are hundreds, and of std::function each takes long to
  // compile.
  class Call {
   public:
    template <class Function>
    Call(const Function& function)  // NOLINT
        : function_(&function), call_([](const void* it) { return (*static_cast<const Function*>(it))(); }) {}
    CUresult operator()() const { return call_(function_); }

   private:
    const void* function_;
    CUresult (*call_)(const void* function);
  };
  struct Row {
    const char* what;
    Call call;
    CUresult expected;
    const char* manual;
  };

  void Check(const char* about, std::initializer_list<Row> rows);
  CUresult Launch(CUfunction f, unsigned grid, unsigned block, unsigned shared, CUstream stream);

  const Report& report_;
  int count_ = 0;  // of devices
  CUcontext context_ = nullptr;
  CUdeviceptr memory_ = 0;
  CUstream stream_ = nullptr, stale_stream_ = nullptr;
  CUevent event_ = nullptr, stale_event_ = nullptr;
  CUmodule module_ = nullptr;
  CUfunction store_ = nullptr, with_bounds_ = nullptr;
  char host_[1024] = {};
};

}  // namespace wrong_uses
