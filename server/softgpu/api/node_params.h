#pragma once

#include "server/softgpu/api/graph.h"

namespace outboard::softgpu::api {

// What the calls' descriptions of nodes mean, with the calls' errors. Null descriptions are CUDA_ERROR_INVALID_VALUE.
// The caller holds Driver::graph_mutex.

CUresult ReadKernel(Driver& driver, const CUDA_KERNEL_NODE_PARAMS_v1* params, Content* content);
CUresult ReadKernel(Driver& driver, const CUDA_KERNEL_NODE_PARAMS_v2* params, Content* content);
CUresult ReadCopy(Driver& driver, const CUDA_MEMCPY3D* params, CUcontext context, Content* content);
CUresult ReadFill(Driver& driver, const CUDA_MEMSET_NODE_PARAMS* params, CUcontext context, Content* content);
CUresult ReadHostCall(Driver& driver, const CUDA_HOST_NODE_PARAMS* params, Content* content);
CUresult ReadMemOps(Driver& driver, const CUDA_BATCH_MEM_OP_NODE_PARAMS* params, Content* content);
CUresult ReadAlloc(Driver& driver, const CUDA_MEM_ALLOC_NODE_PARAMS* params, Content* content);
CUresult ReadFree(Driver& driver, CUdeviceptr address, Content* content);
CUresult ReadRecord(Driver& driver, CUevent event, Content* content);
CUresult ReadWait(Driver& driver, CUevent event, Content* content);
Content EmptyContent();
// A copy of the graph.
CUresult ReadChild(Driver& driver, CUgraph graph, Content* content);
// A node of any type. A child graph that is to be moved is, and cannot be moved again.
CUresult ReadNode(Driver& driver, const CUgraphNodeParams* params, Content* content);

// The description of a kernel node, with arrays that the node keeps.
void WriteKernel(Node& node, const KernelOperation& kernel, CUDA_KERNEL_NODE_PARAMS_v1* params);
void WriteKernel(Node& node, const KernelOperation& kernel, CUDA_KERNEL_NODE_PARAMS_v2* params);
// That of a batch of memory operations, with the operation's own array.
CUDA_BATCH_MEM_OP_NODE_PARAMS Describe(const MemOpsOperation& mem_ops);

}  // namespace outboard::softgpu::api
