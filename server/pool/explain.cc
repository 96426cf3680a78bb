#include <algorithm>
#include <cstdio>
#include <functional>
#include <optional>

#include "common/base/limits.h"
#include "server/pool/fit.h"
#include "server/pool/placement.h"

namespace outboard::pool {
namespace {

using GpuState = Cluster::GpuState;

std::optional<Shortage> LackOfKind(const Fit& fit, const Node& node) {
  const Filter& filter = fit.request().filter;
  if (!fit.IsAskedFor(node)) return Shortage{.lack = Lack::kNotAsked};
  if (const auto missing = fit.MissingLabel(node); missing != filter.labels.end()) {
    return Shortage{.lack = Lack::kLabel, .name = missing->first + "=" + missing->second};
  }
  if (node.cuda_version < filter.cuda_version) {
    return Shortage{.lack = Lack::kCudaVersion, .wanted = filter.cuda_version, .most = node.cuda_version};
  }
  return std::nullopt;
}

// The node's GPUs, of which one check after another leaves fewer.
class Sieve {
 public:
  Sieve(std::span<const GpuState> gpus, int wanted) : wanted_(wanted) {
    for (const GpuState& gpu : gpus) left_.push_back(&gpu);
  }

  bool IsShort() const { return static_cast<int>(left_.size()) < wanted_; }

  // Keeps those that pass; when too few are left, the shortage is `lack`.
  template <class Passes>
  std::optional<Shortage> Keep(Lack lack, Passes passes) {
    std::erase_if(left_, [&](const GpuState* gpu) { return !passes(*gpu); });
    return ShortageOf(lack);
  }

  // Keeps those that have as much as is needed of them.
  template <class Needed, class Had>
  std::optional<Shortage> Keep(Lack lack, Needed needed, Had had) {
    uint64_t most = 0;
    uint64_t wanted = 0;  // of the one that has the most
    for (const GpuState* gpu : left_) {
      const uint64_t has = had(*gpu);
      if (wanted != 0 && has <= most) continue;
      most = has;
      wanted = needed(*gpu);
    }
    std::optional<Shortage> shortage = Keep(lack, [&](const GpuState& gpu) { return had(gpu) >= needed(gpu); });
    if (shortage) {
      shortage->wanted = static_cast<int64_t>(wanted);
      shortage->most = static_cast<int64_t>(most);
    }
    return shortage;
  }

  std::optional<Shortage> ShortageOf(Lack lack) const {
    if (!IsShort()) return std::nullopt;
    return Shortage{.lack = lack, .gpus_wanted = wanted_, .gpus_fit = static_cast<int>(left_.size())};
  }

 private:
  const int wanted_;
  std::vector<const GpuState*> left_;
};

std::optional<Shortage> LackOfMachine(Lack lack, int64_t wanted, int64_t has) {
  if (has >= wanted) return std::nullopt;
  return Shortage{.lack = lack, .wanted = wanted, .most = has};
}

std::optional<Shortage> LackOfCondition(Condition condition) {
  switch (condition) {
    case Condition::kReady:
      return std::nullopt;
    case Condition::kCordoned:
      return Shortage{.lack = Lack::kCordoned};
    case Condition::kDraining:
      return Shortage{.lack = Lack::kDraining};
    case Condition::kLost:
      break;
  }
  return Shortage{.lack = Lack::kLost};
}

// In the order of Lack.
std::optional<Shortage> FirstLack(const Fit& fit, int number) {
  const Cluster& cluster = fit.cluster();
  const Node& node = cluster.node(number);
  const Request& request = fit.request();
  if (auto lack = LackOfKind(fit, node)) return lack;

  Sieve gpus(cluster.gpus(number), request.gpus);
  if (auto lack = gpus.ShortageOf(Lack::kGpus)) return lack;
  if (auto lack = gpus.Keep(Lack::kPool, [&](const GpuState& gpu) { return gpu.pool == request.pool; })) return lack;
  if (auto lack = gpus.Keep(Lack::kModel, [&](const GpuState& gpu) { return fit.TakesModel(gpu.model); })) return lack;
  const auto device_memory = [&](const GpuState& gpu) {
    return std::max(fit.MemoryOn(gpu), request.filter.device_memory_bytes);
  };
  if (auto lack = gpus.Keep(Lack::kDeviceMemory, device_memory, std::mem_fn(&GpuState::memory_bytes))) return lack;
  if (auto lack = LackOfMachine(Lack::kCpu, request.cpu_milli, node.cpu_milli)) return lack;
  if (auto lack = LackOfMachine(Lack::kMemory, request.memory_mib, node.memory_mib)) return lack;

  if (auto lack = LackOfCondition(node.condition)) return lack;
  if (auto lack = gpus.Keep(Lack::kUnhealthy, std::mem_fn(&GpuState::usable))) return lack;
  const auto share = [&](const GpuState&) { return request.share; };
  if (auto lack = gpus.Keep(Lack::kFreeShare, share, std::mem_fn(&GpuState::free_share))) return lack;
  const auto memory = [&](const GpuState& gpu) { return fit.MemoryOn(gpu); };
  if (auto lack = gpus.Keep(Lack::kFreeDeviceMemory, memory, std::mem_fn(&GpuState::free_memory_bytes))) return lack;
  if (auto lack = LackOfMachine(Lack::kFreeCpu, request.cpu_milli, cluster.free_cpu_milli(number))) return lack;
  if (auto lack = LackOfMachine(Lack::kFreeMemory, request.memory_mib, cluster.free_memory_mib(number))) return lack;
  if (cluster.state(number).taken < int{kMaxLeases}) return std::nullopt;
  return Shortage{.lack = Lack::kLeases};
}

std::string Gpus(int count) { return std::to_string(count) + (count == 1 ? " GPU" : " GPUs"); }

std::string Number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

std::string Thousandths(int64_t value) { return Number(static_cast<double>(value) / 1000); }

std::string Cpus(int64_t milli) { return Thousandths(milli) + (milli == 1000 ? " CPU" : " CPUs"); }

std::string Gibibytes(int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f GiB", static_cast<double>(bytes) / (1 << 30));
  return text;
}

std::string CudaVersion(int64_t version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

// Of GPUs that must have `what` each. `most` is what the best of them has.
std::string NeedOfEach(const Shortage& shortage, const std::string& what, const std::string& most) {
  const std::string need = "needs " + Gpus(shortage.gpus_wanted) + " with " + what;
  if (shortage.gpus_fit > 0) return need + " and has " + std::to_string(shortage.gpus_fit);
  return need + "; the most that one has is " + most;
}

}  // namespace

std::vector<Shortage> Explain(const Cluster& cluster, const Request& request) {
  const Fit fit(cluster, request);
  std::vector<Shortage> shortages;
  for (int node = 0; node < cluster.size(); ++node) {
    std::optional<Shortage> lack = FirstLack(fit, node);
    if (!lack) continue;
    lack->node = node;
    shortages.push_back(*std::move(lack));
  }
  return shortages;
}

bool MayPass(Lack lack) { return lack >= Lack::kCordoned; }

std::string Words(const Shortage& shortage, const Request& request) {
  const std::string wanted = Gpus(shortage.gpus_wanted);
  const std::string fit = shortage.gpus_fit == 0 ? "none" : std::to_string(shortage.gpus_fit);
  switch (shortage.lack) {
    case Lack::kNotAsked:
      return "is not among the nodes asked for";
    case Lack::kLabel:
      return "has no label " + shortage.name;
    case Lack::kCudaVersion:
      return "needs CUDA " + CudaVersion(shortage.wanted) + " and has " + CudaVersion(shortage.most);
    case Lack::kGpus:
      return "needs " + wanted + " and has " + fit;
    case Lack::kPool:
      return "needs " + wanted + " of the request's pool and has " + fit;
    case Lack::kModel:
      return "needs " + wanted + " named " + request.filter.device_name + " and has " + fit;
    case Lack::kDeviceMemory:
      return NeedOfEach(shortage, Gibibytes(shortage.wanted), Gibibytes(shortage.most));
    case Lack::kCpu:
      return "needs " + Cpus(shortage.wanted) + " and has " + Thousandths(shortage.most);
    case Lack::kMemory:
      return "needs " + std::to_string(shortage.wanted) + " MiB of memory and has " + std::to_string(shortage.most);
    case Lack::kCordoned:
      return "is cordoned";
    case Lack::kDraining:
      return "is being drained";
    case Lack::kLost:
      return "does not answer";
    case Lack::kUnhealthy:
      return "needs " + wanted + " in good health and has " + fit;
    case Lack::kFreeShare:
      if (shortage.wanted == kWholeGpu) return "needs " + wanted + " that nobody uses and has " + fit;
      return NeedOfEach(shortage, Thousandths(shortage.wanted) + " of the compute free", Thousandths(shortage.most));
    case Lack::kFreeDeviceMemory:
      return NeedOfEach(shortage, Gibibytes(shortage.wanted) + " free", Gibibytes(shortage.most));
    case Lack::kFreeCpu:
      return "needs " + Cpus(shortage.wanted) + " and has " + Thousandths(shortage.most) + " free";
    case Lack::kLeases:
      return "has " + std::to_string(kMaxLeases) + " leases, and a node may have no more";
    case Lack::kFreeMemory:
      break;
  }
  return "needs " + std::to_string(shortage.wanted) + " MiB of memory and has " + std::to_string(shortage.most) +
         " free";
}

}  // namespace outboard::pool
