#pragma once

#include "server/softgpu/api/cuda_api.h"

#include "server/softgpu/exec/engine.h"

namespace outboard::softgpu::api {

// What the attributes of a launch ask for beyond an ordinary launch. Those that are hints, or allow what never happens
// here, ask for nothing.
struct LaunchAttributes {
  bool cooperative = false;
  bool has_cluster = false;
  Dim3 cluster, preferred_cluster;

  // Whether they ask for clusters of more than one block, which the device does not have.
  bool asks_for_clusters() const { return cluster.Count() != 1 || preferred_cluster.Count() != 1; }
};

// CUDA_ERROR_INVALID_VALUE for what is no attribute of launches, CUDA_ERROR_NOT_SUPPORTED for those of events and
// graphs.
CUresult ReadAttributes(const CUlaunchConfig& config, LaunchAttributes* attributes);

}  // namespace outboard::softgpu::api
