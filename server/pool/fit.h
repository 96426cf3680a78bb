#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "server/pool/cluster.h"
#include "server/pool/placement.h"

namespace outboard::pool {

// The one authority on where a request fits: the request made ready for one cluster. Refers to both, and is void once
// the cluster has changed its inventory.
class Fit {
 public:
  Fit(const Cluster& cluster, const Request& request);

  // The whole request, now.
  bool Fits(int node) const;
  // Quickly: false says that it does not fit there, true says nothing.
  bool MayFit(const Cluster::NodeState& state) const {
    return state.most_free_share >= least_on_one_ && state.free_share >= least_on_node_;
  }

  // Its part of a GPU, now.
  bool FitsGpu(const Cluster::GpuState& gpu) const {
    return gpu.usable && gpu.pool == request_.pool && gpu.free_share >= request_.share &&
           MemoryOn(gpu) <= gpu.free_memory_bytes && IsOfKind(gpu);
  }
  // Whether the filter takes the GPU, whatever is free of it.
  bool IsOfKind(const Cluster::GpuState& gpu) const {
    return takes_model_[gpu.model] && gpu.memory_bytes >= request_.filter.device_memory_bytes;
  }
  // Bytes that the request takes of the GPU.
  uint64_t MemoryOn(const Cluster::GpuState& gpu) const;

  // What the request counts as (AmountOf), by the smallest of the GPUs that it could ever have; where there is none
  // yet, as whole GPUs if it asks for memory by the byte.
  int64_t Amount() const;

  bool IsAskedFor(const Node& node) const;                          // filter.nodes
  bool TakesModel(int model) const { return takes_model_[model]; }  // filter.device_name
  // The first label of the filter that the node has not; the end of filter.labels if it has all.
  std::map<std::string, std::string>::const_iterator MissingLabel(const Node& node) const;

  const Cluster& cluster() const { return cluster_; }
  const Request& request() const { return request_; }

 private:
  const Cluster& cluster_;
  const Request& request_;
  int least_on_one_ = 0;           // free share of a node's freest GPU
  int least_on_node_ = 0;          // free share of all its GPUs
  std::vector<char> takes_model_;  // by model
};

// Whether `wanted` are words of `name`, in order and without gap, whatever their case. Words end where letters and
// digits do.
bool HasWords(std::string_view name, std::string_view wanted);

}  // namespace outboard::pool
