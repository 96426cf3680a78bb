#include "server/pool/wish.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include "common/base/limits.h"

namespace outboard::pool {
namespace {

// 0.3333 of a GPU three times, or 0.1 ten times, is one GPU: what is lost in writing a fraction down is not asked for.
constexpr double kRounding = 1e-6;

std::string Number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

// "8GiB", "500MB", "1024": bytes.
std::optional<uint64_t> ParseSize(std::string_view text) {
  double number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc() || !(number > 0)) return std::nullopt;
  const std::string_view unit = text.substr(static_cast<size_t>(end - text.data()));
  constexpr std::pair<std::string_view, double> kUnits[] = {
      {"", 1},      {"B", 1},        {"kB", 1e3},       {"MB", 1e6},    {"GB", 1e9},       {"TB", 1e12},
      {"K", 0x400}, {"M", 0x100000}, {"G", 0x40000000}, {"KiB", 0x400}, {"MiB", 0x100000}, {"GiB", 0x40000000}};
  for (const auto& [name, bytes] : kUnits) {
    if (unit == name && number * bytes < 0x1p62) return static_cast<uint64_t>(number * bytes);
  }
  return std::nullopt;
}

// "13.0": 13000.
std::optional<int> ParseCudaVersion(std::string_view text) {
  const auto part = [](std::string_view digits) -> std::optional<int> {
    int number = 0;
    const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (failure != std::errc() || end != digits.data() + digits.size() || number < 0 || number > 99) {
      return std::nullopt;
    }
    return number;
  };
  const size_t dot = text.find('.');
  const std::optional<int> major = part(text.substr(0, dot));
  const std::optional<int> minor = dot == std::string_view::npos ? 0 : part(text.substr(dot + 1));
  if (!major || !minor) return std::nullopt;
  return *major * 1000 + *minor * 10;
}

Error Contradicts(const std::string& what, const PoolSpec& pool) {
  return Error{"the filter for " + what + " contradicts that of the pool " + pool.name +
               ": no GPU passes both. Leave one of them out."};
}

// What passes both filters.
Result<Filter> Join(Filter wanted, const PoolSpec& pool) {
  const Filter& given = pool.filter;
  if (wanted.device_name.empty()) {
    wanted.device_name = given.device_name;
  } else if (!given.device_name.empty() && given.device_name != wanted.device_name) {
    return Contradicts("device.name", pool);
  }
  wanted.device_memory_bytes = std::max(wanted.device_memory_bytes, given.device_memory_bytes);
  wanted.cuda_version = std::max(wanted.cuda_version, given.cuda_version);
  if (wanted.nodes.empty()) {
    wanted.nodes = given.nodes;
  } else if (!given.nodes.empty()) {
    std::erase_if(wanted.nodes, [&given](const std::string& node) {
      return std::find(given.nodes.begin(), given.nodes.end(), node) == given.nodes.end();
    });
    if (wanted.nodes.empty()) return Contradicts("node.name", pool);
  }
  for (const auto& [key, value] : given.labels) {
    if (wanted.labels.emplace(key, value).first->second != value) return Contradicts("node.label." + key, pool);
  }
  return wanted;
}

}  // namespace

std::string GpusText(int64_t amount) { return Number(static_cast<double>(amount) / kWholeGpu); }

Result<Filter> ParseFilters(const std::vector<std::string>& filters) {
  constexpr std::string_view kLabel = "node.label.";
  Filter result;
  if (filters.size() > kMaxFilters) {
    return Error{std::to_string(filters.size()) + " filters were given, and there may be " +
                 std::to_string(kMaxFilters) + " at most. A label that all wanted nodes have takes the place of many."};
  }
  for (const std::string& filter : filters) {
    const size_t equals = filter.find('=');
    const std::string key = filter.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : filter.substr(equals + 1);
    if (value.empty()) return Error{"the filter \"" + filter + "\" has no value; write KEY=VALUE."};
    if (key == "device.name") {
      if (!result.device_name.empty()) return Error{"there are two filters for device.name; a GPU has one name."};
      result.device_name = value;
    } else if (key == "device.memory") {
      const std::optional<uint64_t> bytes = ParseSize(value);
      if (!bytes) return Error{"the filter \"" + filter + "\" has no size; write device.memory=40GiB, for example."};
      result.device_memory_bytes = std::max(result.device_memory_bytes, *bytes);
    } else if (key == "node.name") {
      result.nodes.push_back(value);
    } else if (key.starts_with(kLabel) && key.size() > kLabel.size()) {
      if (result.labels.emplace(key.substr(kLabel.size()), value).first->second != value) {
        return Error{"there are two values for " + key + "; a node has one."};
      }
    } else if (key == "cuda.version") {
      const std::optional<int> version = ParseCudaVersion(value);
      if (!version) return Error{"the filter \"" + filter + "\" has no version; write cuda.version=13.0, for example."};
      result.cuda_version = std::max(result.cuda_version, *version);
    } else {
      return Error{"there is no filter \"" + key +
                   "\"; there are device.name, device.memory, node.name, node.label.KEY and cuda.version."};
    }
  }
  return result;
}

Result<Demand> ToDemand(const Wish& wish, const std::string& tenant, const std::vector<PoolSpec>& pools) {
  if (!(wish.gpus > 0) || wish.gpus > kMaxDevices || (wish.gpus > 1 && wish.gpus != std::floor(wish.gpus))) {
    return Error{"a lease is a fraction below 1 of one GPU or a whole number of GPUs, and " + Number(wish.gpus) +
                 " was asked for."};
  }
  if (!(wish.share >= 0) || wish.share > 1) {
    return Error{"the share of a GPU's compute is above 0 and at most 1, and " + Number(wish.share) +
                 " was asked for."};
  }
  if (wish.share != 0 && wish.memory_bytes == 0) {
    return Error{"a share of its own was asked for and no memory; say how much memory as well."};
  }
  if (wish.priority < 0 || wish.priority > kMaxPriority) {
    return Error{"priorities are from 0 to " + std::to_string(kMaxPriority) + ", and " + std::to_string(wish.priority) +
                 " was asked for."};
  }
  const double share = wish.share != 0 ? wish.share : std::min(wish.gpus, 1.0);
  Demand demand;
  demand.request.gpus = static_cast<int>(std::ceil(wish.gpus));
  demand.request.share = static_cast<int>(std::floor(share * kWholeGpu + kRounding));
  demand.request.memory_bytes = wish.memory_bytes;
  if (demand.request.share == 0) {
    return Error{"the smallest slice is 0.001 of a GPU, and " + Number(share) + " was asked for."};
  }
  demand.amount = int64_t{demand.request.gpus} * demand.request.share;

  Result<Filter> filter = ParseFilters(wish.filters);
  if (!filter) return filter.error();
  demand.request.filter = std::move(*filter);
  if (wish.pool.empty()) return demand;

  const PoolSpec* const pool = FindPool(pools, wish.pool);
  const bool admitted =
      pool != nullptr &&
      (pool->tenants.empty() || std::find(pool->tenants.begin(), pool->tenants.end(), tenant) != pool->tenants.end());
  if (!admitted) return Error{"there is no pool " + wish.pool + " for the tenant " + tenant + "."};
  if (!pool->gpus.empty()) demand.request.pool = static_cast<int>(pool - pools.data()) + 1;
  Result<Filter> joined = Join(std::move(demand.request.filter), *pool);
  if (!joined) return joined.error();
  demand.request.filter = std::move(*joined);
  return demand;
}

const PoolSpec* FindPool(const std::vector<PoolSpec>& pools, const std::string& name) {
  for (const PoolSpec& pool : pools) {
    if (pool.name == name) return &pool;
  }
  return nullptr;
}

int PoolNumber(const std::vector<PoolSpec>& pools, const std::string& node, const std::string& uuid) {
  const std::string one = node + "/" + uuid;
  for (size_t i = 0; i < pools.size(); ++i) {
    for (const std::string& gpu : pools[i].gpus) {
      if (gpu == node || gpu == one) return static_cast<int>(i) + 1;
    }
  }
  return 0;
}

}  // namespace outboard::pool
