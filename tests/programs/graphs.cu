// Graphs that are built node by node with the runtime's calls.

#include <algorithm>

#include "check_runtime.h"

__global__ void Scale(int* values, int by) { values[threadIdx.x] *= by; }
__global__ void Offset(int* values, int by) { values[threadIdx.x] += by; }

constexpr int kCount = 32;

cudaKernelNodeParams Kernel(void (*function)(int*, int), void** arguments) {
  cudaKernelNodeParams params{};
  params.func = reinterpret_cast<void*>(function);
  params.gridDim = dim3(1);
  params.blockDim = dim3(kCount);
  params.kernelParams = arguments;
  return params;
}

std::vector<int> Filled(int value) { return std::vector<int>(kCount, value); }

int main() {
  check::DeviceArray<int> values(kCount);
  check::PinnedArray<int> host(kCount);
  cudaStream_t stream;
  check::Ok(cudaStreamCreate(&stream));

  cudaGraph_t graph;
  check::Ok(cudaGraphCreate(&graph, 0));
  cudaMemsetParams fill{};
  fill.dst = values.get();
  fill.elementSize = 4;
  fill.value = 3;
  fill.width = kCount;
  fill.height = 1;
  cudaGraphNode_t filled, scaled, shifted, read, counted;
  check::Ok(cudaGraphAddMemsetNode(&filled, graph, nullptr, 0, &fill));
  int* pointer = values.get();
  int scale = 5, offset = 2;
  void* scale_arguments[] = {&pointer, &scale};
  void* offset_arguments[] = {&pointer, &offset};
  const auto scale_params = Kernel(Scale, scale_arguments);
  const auto offset_params = Kernel(Offset, offset_arguments);
  check::Ok(cudaGraphAddKernelNode(&scaled, graph, &filled, 1, &scale_params));
  check::Ok(cudaGraphAddKernelNode(&shifted, graph, &scaled, 1, &offset_params));
  check::Ok(cudaGraphAddMemcpyNode1D(&read, graph, &shifted, 1, host.get(), values.get(), host.bytes(),
                                     cudaMemcpyDeviceToHost));
  int calls = 0;
  cudaHostNodeParams call{};
  call.fn = [](void* count) { ++*static_cast<int*>(count); };
  call.userData = &calls;
  check::Ok(cudaGraphAddHostNode(&counted, graph, &read, 1, &call));

  cudaGraphNodeType type;
  check::Ok(cudaGraphNodeGetType(read, &type));
  check::Equal("type of the copy", type, cudaGraphNodeTypeMemcpy);
  cudaKernelNodeParams got;
  check::Ok(cudaGraphKernelNodeGetParams(scaled, &got));
  check::True("the kernel is known again", got.func == scale_params.func);
  check::Equal("its block", got.blockDim.x, unsigned{kCount});
  check::Equal("its argument", *static_cast<int*>(got.kernelParams[1]), 5);

  cudaGraphExec_t exec;
  check::Ok(cudaGraphInstantiate(&exec, graph, 0));
  check::Ok(cudaGraphUpload(exec, stream));
  check::Ok(cudaGraphLaunch(exec, stream));
  check::Ok(cudaStreamSynchronize(stream));
  check::EqualAll("result", host.Values(), Filled(17));
  check::Equal("calls", calls, 1);

  // Changes of the executable graph alone.
  scale = 7;
  check::Ok(cudaGraphExecKernelNodeSetParams(exec, scaled, &scale_params));
  fill.value = 1;
  check::Ok(cudaGraphExecMemsetNodeSetParams(exec, filled, &fill));
  check::Ok(cudaGraphNodeSetEnabled(exec, shifted, 0));
  check::Ok(cudaGraphLaunch(exec, stream));
  check::Ok(cudaStreamSynchronize(stream));
  check::EqualAll("result without the offset", host.Values(), Filled(7));
  std::vector<int> elsewhere(kCount);
  check::Ok(cudaGraphExecMemcpyNodeSetParams1D(exec, read, elsewhere.data(), values.get(), host.bytes(),
                                               cudaMemcpyDeviceToHost));
  check::Ok(cudaGraphNodeSetEnabled(exec, shifted, 1));
  check::Ok(cudaGraphExecKernelNodeSetParams(exec, shifted, &scale_params));  // another kernel
  check::Ok(cudaGraphLaunch(exec, stream));
  check::Ok(cudaStreamSynchronize(stream));
  check::EqualAll("result in pageable memory", elsewhere, Filled(49));

  // A graph in a graph, and rows of a matrix.
  cudaGraph_t outer, copy;
  check::Ok(cudaGraphCreate(&outer, 0));
  cudaGraphNode_t child, after, found;
  check::Ok(cudaGraphAddChildGraphNode(&child, outer, nullptr, 0, graph));
  cudaMemcpy3DParms rows{};
  rows.srcPtr = make_cudaPitchedPtr(values.get(), 8 * sizeof(int), 8, kCount / 8);
  rows.dstPtr = make_cudaPitchedPtr(elsewhere.data(), 4 * sizeof(int), 4, kCount / 4);
  rows.extent = make_cudaExtent(4 * sizeof(int), 2, 1);
  rows.kind = cudaMemcpyDeviceToHost;
  check::Ok(cudaGraphAddMemcpyNode(&after, outer, &child, 1, &rows));
  check::Ok(cudaGraphClone(&copy, outer));
  check::Ok(cudaGraphNodeFindInClone(&found, after, copy));
  check::Ok(cudaGraphDestroy(outer));
  check::Ok(cudaGraphDestroy(graph));
  check::Ok(cudaGraphExecDestroy(exec));
  check::Ok(cudaGraphInstantiate(&exec, copy, 0));
  check::Ok(cudaGraphLaunch(exec, stream));
  check::Ok(cudaStreamSynchronize(stream));
  std::vector<int> want = Filled(49);
  std::fill_n(want.begin(), 8, 17);
  check::EqualAll("rows", elsewhere, want);
  check::Equal("calls", calls, 4);

  check::Ok(cudaGraphExecDestroy(exec));
  check::Ok(cudaGraphDestroy(copy));
  check::Ok(cudaStreamDestroy(stream));
  check::Finished();
  return check::Pass("graphs");
}
