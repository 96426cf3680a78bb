#include "server/softgpu/ptx/special_registers.h"

#include <algorithm>
#include <charconv>

namespace outboard::softgpu::ptx {
namespace {

constexpr std::string_view kVectors[] = {"tid",       "ntid",       "ctaid",         "nctaid",
                                         "clusterid", "nclusterid", "cluster_ctaid", "cluster_nctaid"};

constexpr std::string_view kScalars[] = {"laneid",
                                         "warpid",
                                         "nwarpid",
                                         "smid",
                                         "nsmid",
                                         "gridid",
                                         "is_explicit_cluster",
                                         "cluster_ctarank",
                                         "cluster_nctarank",
                                         "lanemask_eq",
                                         "lanemask_le",
                                         "lanemask_lt",
                                         "lanemask_ge",
                                         "lanemask_gt",
                                         "clock",
                                         "clock_hi",
                                         "clock64",
                                         "globaltimer",
                                         "globaltimer_lo",
                                         "globaltimer_hi",
                                         "reserved_smem_offset_begin",
                                         "reserved_smem_offset_end",
                                         "reserved_smem_offset_cap",
                                         "reserved_smem_offset_0",
                                         "reserved_smem_offset_1",
                                         "total_smem_size",
                                         "aggr_smem_size",
                                         "dynamic_smem_size",
                                         "current_graph_exec"};

template <class List>
bool Contains(const List& list, std::string_view name) {
  return std::find(std::begin(list), std::end(list), name) != std::end(list);
}

// `prefix` and a number from 0 to count - 1 without leading zeros.
bool IsNumbered(std::string_view name, std::string_view prefix, unsigned count) {
  if (!name.starts_with(prefix)) return false;
  name.remove_prefix(prefix.size());
  unsigned number = 0;
  const auto [stop, failure] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (failure != std::errc() || stop != name.data() + name.size() || number >= count) return false;
  return name.size() == 1 || name[0] != '0';
}

}  // namespace

bool IsSpecialRegister(std::string_view name) {
  if (!name.starts_with('%')) return false;
  name.remove_prefix(1);
  if (Contains(kScalars, name) || Contains(kVectors, name)) return true;
  const size_t dot = name.find('.');
  if (dot != std::string_view::npos) {
    const std::string_view component = name.substr(dot + 1);
    return component.size() == 1 && component[0] >= 'w' && component[0] <= 'z' &&
           Contains(kVectors, name.substr(0, dot));
  }
  if (IsNumbered(name, "envreg", 32) || IsNumbered(name, "pm", 8)) return true;
  return name.ends_with("_64") && IsNumbered(name.substr(0, name.size() - 3), "pm", 8);
}

}  // namespace outboard::softgpu::ptx
