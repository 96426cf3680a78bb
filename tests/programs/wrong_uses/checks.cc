#include "checks.h"

namespace wrong_uses {

Checks::Checks(const Report& report) : report_(report) {
  Do(cuInit(0));
  Do(cuDeviceGetCount(&count_));
  Do(cuDevicePrimaryCtxRetain(&context_, 0));
  Do(cuCtxSetCurrent(context_));
  Do(cuMemAlloc_v2(&memory_, 1000));
  Do(cuStreamCreate(&stream_, 0));
  Do(cuStreamCreate(&stale_stream_, 0));
  Do(cuStreamDestroy_v2(stale_stream_));
  Do(cuEventCreate(&event_, 0));
  Do(cuEventCreate(&stale_event_, 0));
  Do(cuEventDestroy_v2(stale_event_));
  Do(cuModuleLoadData(&module_, kPtx));
  Do(cuModuleGetFunction(&store_, module_, "store"));
  Do(cuModuleGetFunction(&with_bounds_, module_, "with_bounds"));
}

Checks::~Checks() {
  Do(cuModuleUnload(module_));
  Do(cuEventDestroy_v2(event_));
  Do(cuStreamDestroy_v2(stream_));
  Do(cuMemFree_v2(memory_));
  Do(cuDevicePrimaryCtxRelease_v2(0));
  Do(cuCtxSetCurrent(nullptr));
}

void Checks::Check(const char* about, std::initializer_list<Row> rows) {
  for (const Row& row : rows) report_({about, row.what, row.call(), row.expected, row.manual});
}

CUresult Checks::Launch(CUfunction f, unsigned grid, unsigned block, unsigned shared, CUstream stream) {
  CUdeviceptr p = memory_;
  uint32_t v = 1;
  void* params[] = {&p, &v};
  return cuLaunchKernel(f, grid, 1, 1, block, 1, 1, shared, stream, params, nullptr);
}

void BeforeInit(const Report& report) {
  int count;
  CUcontext context;
  CUdeviceptr address;
  const auto check = [&](const char* what, CUresult got) {
    report({"BeforeInit", what, got, CUDA_ERROR_NOT_INITIALIZED, kInit});
  };
  check("count", cuDeviceGetCount(&count));
  check("count: null too", cuDeviceGetCount(nullptr));
  check("retain", cuDevicePrimaryCtxRetain(&context, 0));
  check("create", cuCtxCreate_v2(&context, 0, 0));
  check("alloc", cuMemAlloc_v2(&address, 4));
  check("stream", cuStreamSynchronize(nullptr));
  report({"BeforeInit", "version", cuDriverGetVersion(&count), CUDA_SUCCESS,
          "cuInit: any function from the driver API except cuDriverGetVersion needs it."});
}

void AfterInit(const Report& report) {
  Checks checks(report);
  checks.Devices();
  checks.Contexts();
  checks.Memory();
  checks.Rectangles();
  checks.Boxes();
  checks.Arrays();
  checks.TexturesAndSurfaces();
  checks.MemoryPools();
  checks.SharingBetweenProcesses();
  checks.VirtualMemory();
  checks.HostMemory();
  checks.StreamsAndEvents();
  checks.Code();
  checks.Linking();
  checks.ConditionalNodes();
  checks.Launches();
  checks.SmallCalls();
  checks.PeerAccess();
  checks.Resources();
  checks.GreenContexts();
  checks.WithoutAContext();
  checks.WhatBelongsToAnotherContext();
}

}  // namespace wrong_uses
