#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "server/pool/cluster.h"

namespace outboard::pool {

// Which nodes and GPUs a request may have. What is empty or 0 asks nothing.
struct Filter {
  std::string device_name;  // words of the model, whatever their case: "h20" fits "NVIDIA H20", not "NVIDIA H200";
                            // "H20|H200" fits both
  uint64_t device_memory_bytes = 0;           // a GPU's in total, at least
  int cuda_version = 0;                       // the node's, at least; 13000 is 13.0
  std::vector<std::string> nodes;             // names, one of them
  std::map<std::string, std::string> labels;  // of the node, all of them
  auto operator<=>(const Filter&) const = default;
};

struct Request {
  int gpus = 1;               // all on one node; 0 only for work that needs CPU and memory alone
  int share = kWholeGpu;      // of each, 1 to kWholeGpu
  uint64_t memory_bytes = 0;  // of each; 0: the share's part of the GPU's memory, rounded down
  Filter filter;
  int pool = 0;           // only GPUs of this number
  int64_t cpu_milli = 0;  // of the machine
  int64_t memory_mib = 0;
  auto operator<=>(const Request&) const = default;
};

// A kind of request as it is typical here, by which kFragmentation judges what is left over.
struct Shape {
  double weight = 0;  // how often it comes; only the ratios between shapes count
  int gpus = 1;
  int share = kWholeGpu;
  int64_t cpu_milli = 0;
  int64_t memory_mib = 0;
};

// What is left over of a node: the part of the largest machine's CPUs and the part of the largest node's compute that
// would still be free on it, added up. Of nodes that are as good the request gets the first, and of GPUs too.
enum class Policy : uint8_t {
  // The node where the least is left over; of its GPUs those with the least compute free, then the least memory.
  kBestFit,
  // The GPUs with the most compute free, where of several the least free one counts; then the node where the most is
  // left over.
  kSpread,
  // The node and GPU where the least becomes useless for the shapes: fragmentation gradient descent. When a node's
  // useless compute falls by that of x GPUs, the whole number floor(100 / (1 + exp(-x))) counts, so that falls which
  // differ by less are as good. Which of a node's GPUs make up several is decided as by kBestFit.
  kFragmentation,
};

class Fit;
class Judge;

// Decides where requests go. Its answer depends on nothing but policy, shapes, cluster and request; what it keeps
// between calls only makes it quicker, so one may serve any number of clusters. Thread-compatible.
class Placer {
 public:
  // The shapes are for kFragmentation alone, which without any is kBestFit.
  explicit Placer(Policy policy, const std::vector<Shape>& shapes = {});
  Placer(Placer&&) noexcept;
  Placer& operator=(Placer&&) noexcept;
  ~Placer();

  // Takes nothing; Cluster::Take does. nullopt: it fits nowhere now, and Explain says why. Precondition: the request is
  // as its fields' comments say.
  std::optional<Placement> Place(const Cluster& cluster, const Request& request);

  // How many of its decisions so far were between nodes that were as good.
  uint64_t ties() const { return ties_; }

 private:
  std::optional<Placement> BestFit(const Fit& fit);
  std::optional<Placement> Spread(const Fit& fit);
  std::optional<Placement> LeastFragmented(const Fit& fit);

  Policy policy_;
  std::unique_ptr<Judge> judge_;  // of kFragmentation
  uint64_t ties_ = 0;
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
  kLeases,  // the node has as many as one may have
};

// What a request lacks on one node. For lacks of GPUs: so many were wanted and so many are left, counting only those
// that pass this check and all before it; `most` is the most of what is counted that one GPU has which passed the
// checks before it.
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

// Whether it can pass without a change of inventories, filters and pools.
bool MayPass(Lack lack);

// To follow the node's name: "needs 1 GPU with 0.5 of the compute free; the most that one has is 0.25".
std::string Words(const Shortage& shortage, const Request& request);

// Of the compute that is idle, the part that is useless for the shapes: 0 to 1; 0 for a cluster with nothing idle.
double Fragmentation(const Cluster& cluster, std::span<const Shape> shapes);

}  // namespace outboard::pool
