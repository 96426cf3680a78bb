#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "server/pool/cluster.h"

namespace outboard::pool {

// Which nodes and GPUs a request may have. What is empty or 0 asks nothing.
struct Filter {
  std::string device_name;           // words of the model, whatever their case: "h200" fits "NVIDIA H200", not "H2000"
  uint64_t device_memory_bytes = 0;  // a GPU's in total, at least
  int cuda_version = 0;              // the node's, at least; 13000 is 13.0
  std::vector<std::string> nodes;    // names, one of them
  std::map<std::string, std::string> labels;  // of the node, all of them
  bool operator==(const Filter&) const = default;
};

struct Request {
  int gpus = 1;               // all on one node; 0 only for work that needs CPU and memory alone
  int share = kWholeGpu;      // of each, 1 to kWholeGpu
  uint64_t memory_bytes = 0;  // of each; 0: the share's part of the GPU's memory, rounded down
  Filter filter;
  int pool = 0;           // only GPUs of this number
  int64_t cpu_milli = 0;  // of the machine
  int64_t memory_mib = 0;
  bool operator==(const Request&) const = default;
};

// A kind of request as it is typical here, by which kFragmentation judges what is left over.
struct Shape {
  double weight = 0;  // how often it comes; only the ratios between shapes count
  int gpus = 1;
  int share = kWholeGpu;
  int64_t cpu_milli = 0;
  int64_t memory_mib = 0;
};

enum class Policy : uint8_t {
  kBestFit,        // where the least is left over
  kSpread,         // where the most is left over
  kFragmentation,  // where the least becomes useless for the shapes: fragmentation gradient descent
};

// Decides where requests go. Its answer depends on nothing but policy, shapes, cluster and request; what it keeps
// between calls only makes it quicker, so one may serve any number of clusters. Thread-compatible.
class Placer {
 public:
  // The shapes are for kFragmentation alone.
  explicit Placer(Policy policy, std::vector<Shape> shapes = {});

  // Takes nothing; Cluster::Take does. nullopt: it fits nowhere now, and Explain says why.
  std::optional<Placement> Place(const Cluster& cluster, const Request& request);
};

// The first thing that a request lacks on a node. Those before kCordoned stay as long as the inventory does; the others
// pass when the node comes back or leases end.
enum class Lack : uint8_t {
  kNotAsked,      // the node is none of filter.nodes
  kLabel,         // filter.labels
  kCudaVersion,   // filter.cuda_version
  kGpus,          // the node has fewer GPUs, whatever they are
  kPool,          // fewer GPUs of the request's pool
  kModel,         // fewer of them of the model
  kDeviceMemory,  // fewer of them with so much memory in total
  kCpu,           // the machine is too small
  kMemory,
  kCordoned,
  kDraining,
  kLost,
  kUnhealthy,         // fewer GPUs that are usable
  kFreeShare,         // fewer of them with so much compute free
  kFreeDeviceMemory,  // fewer of them with so much memory free
  kFreeCpu,
  kFreeMemory,
};

// What a request lacks on one node. For lacks of GPUs: so many were wanted and so many are left, counting only those
// that pass this check and all before it; `most` is the most of what is counted that one GPU has which passed the checks
// before it.
struct Shortage {
  int node = 0;
  Lack lack = Lack::kNotAsked;
  int gpus_wanted = 0;
  int gpus_fit = 0;
  int64_t wanted = 0;  // thousandths, bytes, milli-CPUs, MiB or a CUDA version, as the lack says
  int64_t most = 0;
  std::string name;  // the label that is missing, "key=value"
};

// For each node of the cluster what the request lacks there, the first thing in the order of Lack; nodes where it fits
// are not in it.
std::vector<Shortage> Explain(const Cluster& cluster, const Request& request);

// Whether it can pass without a change of the inventory.
bool MayPass(Lack lack);

// "needs 0.5 of a GPU; the most that one has free is 0.25": without the node's name.
std::string Words(const Shortage& shortage, const Request& request);

// Of the compute that is idle, the part that is useless for the shapes: 0 to 1; 0 for a cluster with nothing idle.
double Fragmentation(const Cluster& cluster, std::span<const Shape> shapes);

}  // namespace outboard::pool
