#include "server/pool/inventory.h"

#include <algorithm>
#include <cctype>
#include <set>

#include "common/base/limits.h"
#include "common/base/printable.h"

namespace outboard::pool {
namespace {

constexpr uint64_t kMaxGpuMemoryBytes = uint64_t{1} << 50;
constexpr size_t kMaxNameBytes = 253;
constexpr size_t kMaxLabels = 64;

bool IsName(const std::string& name) {
  return !name.empty() && name.size() <= kMaxNameBytes && std::all_of(name.begin(), name.end(), [](unsigned char each) {
    return std::isgraph(each) != 0 && each != '/';
  });
}

std::string ComplaintAboutGpus(const NodeRecord& node) {
  std::set<std::string> uuids;
  for (const GpuRecord& gpu : node.gpus) {
    if (!IsName(gpu.uuid) || !uuids.insert(gpu.uuid).second) {
      return "node " + node.name + " names two GPUs \"" + ShownName(gpu.uuid) + "\", or gives one no name.";
    }
    if (gpu.memory_bytes == 0 || gpu.memory_bytes > kMaxGpuMemoryBytes) {
      return "node " + node.name + " says that GPU " + gpu.uuid + " has " + std::to_string(gpu.memory_bytes) +
             " bytes of memory, which no GPU has.";
    }
  }
  return "";
}

}  // namespace

std::string ShownName(const std::string& name) { return Printable(name.substr(0, kMaxNameBytes)); }

std::string ComplaintAbout(const NodeRecord& node) {
  if (!IsName(node.name)) {
    return "a node's name is 1 to 253 printable characters without spaces and slashes, and \"" + ShownName(node.name) +
           "\" is not.";
  }
  if (node.address.empty() || node.address.size() > kMaxNameBytes) {
    return "node " + node.name + " says no address at which gpu-run finds it.";
  }
  if (node.labels.size() > kMaxLabels) {
    return "node " + node.name + " has more labels than " + std::to_string(kMaxLabels) + ".";
  }
  if (node.gpus.size() > kMaxDevices) {
    return "node " + node.name + " says it has " + std::to_string(node.gpus.size()) + " GPUs, and a node has " +
           std::to_string(kMaxDevices) + " at most.";
  }
  return ComplaintAboutGpus(node);
}

bool SameInventory(const NodeRecord& one, const NodeRecord& other) {
  return one.gpus == other.gpus && one.labels == other.labels && one.cuda_version == other.cuda_version;
}

}  // namespace outboard::pool
