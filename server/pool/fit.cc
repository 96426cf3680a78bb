#include "server/pool/fit.h"

#include <algorithm>
#include <cctype>

#include "common/base/limits.h"

namespace outboard::pool {
namespace {

bool IsWordCharacter(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

bool EqualIgnoringCase(char one, char other) {
  return std::tolower(static_cast<unsigned char>(one)) == std::tolower(static_cast<unsigned char>(other));
}

// Whether the name has the words of one of the alternatives, which "|" separates. Nothing asked fits everything; an
// empty alternative beside others fits nothing.
bool IsOneOf(std::string_view name, std::string_view alternatives) {
  if (alternatives.empty()) return true;
  while (!alternatives.empty()) {
    const size_t end = std::min(alternatives.find('|'), alternatives.size());
    if (end != 0 && HasWords(name, alternatives.substr(0, end))) return true;
    alternatives.remove_prefix(std::min(end + 1, alternatives.size()));
  }
  return false;
}

}  // namespace

bool HasWords(std::string_view name, std::string_view wanted) {
  if (wanted.empty()) return true;
  for (size_t start = 0; start + wanted.size() <= name.size(); ++start) {
    const size_t end = start + wanted.size();
    const bool starts_word = start == 0 || !IsWordCharacter(name[start - 1]) || !IsWordCharacter(wanted.front());
    const bool ends_word = end == name.size() || !IsWordCharacter(name[end]) || !IsWordCharacter(wanted.back());
    if (starts_word && ends_word && std::equal(wanted.begin(), wanted.end(), name.begin() + start, EqualIgnoringCase)) {
      return true;
    }
  }
  return false;
}

Fit::Fit(const Cluster& cluster, const Request& request) : cluster_(cluster), request_(request) {
  if (request.gpus > 0) {
    least_on_one_ = request.share;
    least_on_node_ = request.gpus * request.share;
  }
  for (const std::string& model : cluster.models()) {
    takes_model_.push_back(IsOneOf(model, request.filter.device_name) ? 1 : 0);
  }
}

bool Fit::Fits(int node) const {
  const Cluster::NodeState& state = cluster_.state(node);
  if (state.condition != Condition::kReady || !MayFit(state)) return false;
  if (state.taken >= int{kMaxLeases}) return false;
  if (state.free_cpu_milli < request_.cpu_milli || state.free_memory_mib < request_.memory_mib) return false;
  int missing = request_.gpus;
  for (const Cluster::GpuState& gpu : cluster_.gpus(node)) {
    if (missing <= 0) break;
    missing -= FitsGpu(gpu) ? 1 : 0;
  }
  if (missing > 0) return false;
  const Node& facts = cluster_.node(node);
  return facts.cuda_version >= request_.filter.cuda_version && IsAskedFor(facts) &&
         MissingLabel(facts) == request_.filter.labels.end();
}

uint64_t Fit::MemoryOn(const Cluster::GpuState& gpu) const {
  if (request_.memory_bytes != 0) return request_.memory_bytes;
  // The quotient first: no product may pass 64 bits.
  const auto share = static_cast<uint64_t>(request_.share);
  return gpu.memory_bytes / kWholeGpu * share + gpu.memory_bytes % kWholeGpu * share / kWholeGpu;
}

int64_t Fit::Amount() const {
  int each = request_.memory_bytes == 0 ? request_.share : 0;
  for (int node = 0; node < cluster_.size() && request_.memory_bytes != 0; ++node) {
    const Node& facts = cluster_.node(node);
    if (!IsAskedFor(facts) || MissingLabel(facts) != request_.filter.labels.end()) continue;
    for (const Cluster::GpuState& gpu : cluster_.gpus(node)) {
      if (gpu.pool != request_.pool || !IsOfKind(gpu) || request_.memory_bytes > gpu.memory_bytes) continue;
      each = std::max(each, AmountOf({0, request_.share, request_.memory_bytes}, gpu.memory_bytes));
    }
  }
  return int64_t{request_.gpus} * (each == 0 ? kWholeGpu : each);
}

bool Fit::IsAskedFor(const Node& node) const {
  const std::vector<std::string>& names = request_.filter.nodes;
  return names.empty() || std::find(names.begin(), names.end(), node.name) != names.end();
}

std::map<std::string, std::string>::const_iterator Fit::MissingLabel(const Node& node) const {
  const auto& wanted = request_.filter.labels;
  return std::find_if(wanted.begin(), wanted.end(), [&](const auto& label) {
    const auto found = node.labels.find(label.first);
    return found == node.labels.end() || found->second != label.second;
  });
}

}  // namespace outboard::pool
