#include "client/admin/views.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace outboard::admin {
namespace {

constexpr double kWholeGpu = 1000;  // shares and amounts come in thousandths

bool Matches(const std::string& wanted, const std::string& is) { return wanted.empty() || wanted == is; }

// 0: there is none.
Cell Moment(int64_t milliseconds) { return milliseconds == 0 ? Cell() : Cell(milliseconds); }
Cell Signed(uint64_t bytes) { return static_cast<int64_t>(bytes); }
Cell Gpus(int64_t thousandths) { return static_cast<double>(thousandths) / kWholeGpu; }

// "lost, draining", "ready".
std::string StateOf(const PoolNode& node) {
  std::string state = node.up() ? "" : "lost";
  const auto add = [&state](const char* word) { state += (state.empty() ? "" : ", ") + std::string(word); };
  if (node.draining()) add("draining");
  if (node.cordoned()) add("cordoned");
  return state.empty() ? "ready" : state;
}

// "13.0".
Cell CudaVersion(int32_t version) {
  if (version == 0) return {};
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

int64_t Amount(const PoolLease& lease) {
  int64_t thousandths = 0;
  for (const PoolLease::Gpu& gpu : lease.gpus()) thousandths += gpu.share();
  return thousandths;
}

// What it has had since it is as large as it is, in GPU-seconds. What it had before is in the pool's usage.
double GpuSeconds(const PoolLease& lease, int64_t now) {
  const double milliseconds = static_cast<double>(std::max<int64_t>(0, now - lease.counted_at_ms()));
  return milliseconds / 1000 * static_cast<double>(Amount(lease)) / kWholeGpu;
}

}  // namespace

Table Nodes(const ListReply& reply) {
  Table table{"nodes",
              {{"node", "NODE"},
               {"state", "STATE"},
               {"gpus", "GPUS"},
               {"free_gpus", "FREE", Unit::kGpus},
               {"memory_bytes", "MEMORY", Unit::kBytes},
               {"free_bytes", "FREE", Unit::kBytes},
               {"leases", "LEASES"},
               {"heard_at_ms", "HEARD", Unit::kAge},
               {"drain_deadline_ms", "EMPTY IN", Unit::kUntil},
               {"evict", ""},
               {"address", "ADDRESS"},
               {"cuda_version", "CUDA"},
               {"is_software", ""},
               {"labels", "LABELS"}},
              {}};
  for (const PoolNode& node : reply.nodes()) {
    int64_t free = 0;
    uint64_t bytes = 0;
    uint64_t free_bytes = 0;
    for (const PoolNode::Gpu& gpu : node.gpus()) {
      if (gpu.usable()) free += gpu.free_share();
      bytes += gpu.memory_bytes();
      free_bytes += gpu.free_bytes();
    }
    const std::map<std::string, std::string> sorted(node.labels().begin(), node.labels().end());
    std::vector<std::string> labels;
    for (const auto& [key, value] : sorted) labels.push_back(key + "=" + value);
    table.rows.push_back({node.name(), StateOf(node), int64_t{node.gpus_size()}, Gpus(free), Signed(bytes),
                          Signed(free_bytes), int64_t{node.leases()}, Moment(node.heard_at_ms()),
                          Moment(node.draining() ? node.drain_deadline_ms() : 0), node.evict(), node.address(),
                          CudaVersion(node.cuda_version()), node.is_software(), labels});
  }
  return table;
}

Table Gpus(const ListReply& reply, const Selection& selection) {
  Table table{"gpus",
              {{"node", "NODE"},
               {"index", "GPU"},
               {"name", "NAME"},
               {"leased_ratio", "LEASED", Unit::kRatio},
               {"memory_bytes", "MEMORY", Unit::kBytes},
               {"leased_bytes", "LEASED", Unit::kBytes},
               {"used_bytes", "USED", Unit::kBytes},
               {"utilization_ratio", "BUSY", Unit::kRatio},
               {"temperature_celsius", "TEMP"},
               {"usable", "USABLE"},
               {"why", "WHY NOT"},
               {"uuid", "UUID"}},
              {}};
  for (const PoolNode& node : reply.nodes()) {
    if (!Matches(selection.node, node.name())) continue;
    for (int i = 0; i < node.gpus_size(); ++i) {
      const PoolNode::Gpu& gpu = node.gpus(i);
      table.rows.push_back({node.name(), int64_t{i}, gpu.name(), 1 - gpu.free_share() / kWholeGpu,
                            Signed(gpu.memory_bytes()), Signed(gpu.memory_bytes() - gpu.free_bytes()),
                            Signed(gpu.used_bytes()), gpu.utilization(), Moment(gpu.temperature_celsius()),
                            gpu.usable(), gpu.why(), gpu.uuid()});
    }
  }
  return table;
}

Table Leases(const ListReply& reply, const Selection& selection) {
  Table table{"leases",
              {{"lease", "LEASE"},
               {"state", "STATE"},
               {"node", "NODE"},
               {"gpus", "GPUS", Unit::kGpus},
               {"memory_bytes", "MEMORY", Unit::kBytes},
               {"held_bytes", "HELD", Unit::kBytes},
               {"tenant", "TENANT"},
               {"user", "USER"},
               {"priority", ""},
               {"pool", ""},
               {"granted_at_ms", "AGE", Unit::kAge},
               {"idle_ms", "IDLE", Unit::kSpan},
               {"ends_at_ms", "ENDS IN", Unit::kUntil},
               {"client", "CLIENT"},
               {"gpu_uuids", ""},
               {"why", "WHY IT ENDS"}},
              {}};
  for (const PoolLease& lease : reply.leases()) {
    if (!Matches(selection.node, lease.node()) || !Matches(selection.tenant, lease.tenant()) ||
        !Matches(selection.user, lease.user())) {
      continue;
    }
    uint64_t bytes = 0, held = 0;
    std::vector<std::string> uuids;
    for (const PoolLease::Gpu& gpu : lease.gpus()) {
      bytes += gpu.memory_bytes();
      held += gpu.held_bytes();
      uuids.push_back(gpu.uuid());
    }
    table.rows.push_back({lease.lease(), lease.state(), lease.node(), Gpus(Amount(lease)), Signed(bytes), Signed(held),
                          lease.tenant(), lease.user(), int64_t{lease.priority()}, lease.pool(),
                          Moment(lease.granted_at_ms()), Signed(lease.idle_ms()), Moment(lease.ends_at_ms()),
                          lease.client(), uuids, lease.why()});
  }
  return table;
}

Table Queue(const ListReply& reply, const Selection& selection) {
  Table table{"queue",
              {{"request", "REQUEST"},
               {"tenant", "TENANT"},
               {"user", "USER"},
               {"gpus", "GPUS", Unit::kGpus},
               {"priority", "PRIORITY"},
               {"pool", "POOL"},
               {"asked_at_ms", "WAITS", Unit::kAge},
               {"client", "CLIENT"}},
              {}};
  for (const PoolRequest& request : reply.queue()) {
    if (!Matches(selection.tenant, request.tenant()) || !Matches(selection.user, request.user())) continue;
    table.rows.push_back({Signed(request.request()), request.tenant(), request.user(), request.gpus(),
                          int64_t{request.priority()}, request.pool(), Moment(request.asked_at_ms()),
                          request.client()});
  }
  return table;
}

Table Tenants(const ListReply& reply, const Selection& selection) {
  Table table{"tenants",
              {{"tenant", "TENANT"},
               {"used_gpus", "USED", Unit::kGpus},
               {"quota_gpus", "QUOTA", Unit::kGpus},
               {"maximum_gpus", "MAXIMUM", Unit::kGpus},
               {"weight", "WEIGHT"}},
              {}};
  for (const PoolTenant& tenant : reply.tenants()) {
    if (!Matches(selection.tenant, tenant.name())) continue;
    table.rows.push_back({tenant.name(), Gpus(tenant.used()), Gpus(tenant.quota()),
                          tenant.has_maximum() ? Gpus(tenant.maximum()) : Cell(), tenant.weight()});
  }
  return table;
}

Table Usage(const ListReply& reply, const Selection& selection) {
  struct Sums {
    double ended = 0;
    double running = 0;
    int64_t leases = 0;
    int64_t running_leases = 0;
  };
  std::map<std::pair<std::string, std::string>, Sums> all;  // by tenant and user
  for (const PoolUsage& usage : reply.usage()) {
    Sums& sums = all[{usage.tenant(), usage.user()}];
    sums.ended += usage.gpu_seconds();
    sums.leases += static_cast<int64_t>(usage.leases());
  }
  for (const PoolLease& lease : reply.leases()) {
    if (lease.state() == "ending") continue;  // which counts as ended already
    Sums& sums = all[{lease.tenant(), lease.user()}];
    sums.running += GpuSeconds(lease, reply.now_ms());
    ++sums.running_leases;
  }
  Table table{"usage",
              {{"tenant", "TENANT"},
               {"user", "USER"},
               {"gpu_seconds", "GPU HOURS", Unit::kGpuTime},
               {"leases", "LEASES"},
               {"running_gpu_seconds", "RUNNING", Unit::kGpuTime},
               {"running_leases", "LEASES"}},
              {}};
  for (const auto& [who, sums] : all) {
    if (!Matches(selection.tenant, who.first) || !Matches(selection.user, who.second)) continue;
    table.rows.push_back({who.first, who.second, sums.ended, sums.leases, sums.running, sums.running_leases});
  }
  return table;
}

Table Reasons(const std::vector<std::pair<uint64_t, WhyReply>>& whys) {
  Table table{"reasons", {{"request", "REQUEST"}, {"node", "NODE"}, {"reason", "REASON"}}, {}};
  for (const auto& [request, why] : whys) {
    table.rows.push_back({Signed(request), Cell(), why.summary()});
    for (const WhyReply::Node& node : why.nodes()) table.rows.push_back({Signed(request), node.node(), node.lack()});
  }
  return table;
}

Table Account(const PoolLease& lease) {
  Table table{"account",
              {{"gpu", "GPU"},
               {"share", "SHARE", Unit::kGpus},
               {"asked_bytes", "ASKED", Unit::kBytes},
               {"allocations_bytes", "ALLOCATIONS", Unit::kBytes},
               {"context_bytes", "CONTEXTS", Unit::kBytes},
               {"growth_bytes", "HIDDEN GROWTH", Unit::kBytes},
               {"used_bytes", "CHARGED", Unit::kBytes},
               {"free_bytes", "FREE", Unit::kBytes},
               {"peak_bytes", "PEAK", Unit::kBytes},
               {"held_bytes", "HELD", Unit::kBytes}},
              {}};
  for (const PoolLease::Gpu& gpu : lease.gpus()) {
    const SliceUse& use = gpu.use();
    const uint64_t unseen = use.context_bytes() + use.growth_bytes();
    const uint64_t left = gpu.memory_bytes() - std::min(gpu.memory_bytes(), use.used_bytes());
    table.rows.push_back({gpu.uuid(), Gpus(gpu.share()), Signed(gpu.memory_bytes()),
                          Signed(use.used_bytes() - std::min(use.used_bytes(), unseen)), Signed(use.context_bytes()),
                          Signed(use.growth_bytes()), Signed(use.used_bytes()), Signed(left), Signed(use.peak_bytes()),
                          Signed(gpu.held_bytes())});
  }
  return table;
}

Health Examine(const ListReply& reply) {
  Health health{0, {"findings", {{"severity", "SEVERITY"}, {"what", "WHAT"}, {"finding", "FINDING"}}, {}}};
  const auto find = [&health](int status, const std::string& what, const std::string& finding) {
    health.status = std::max(health.status, status);
    health.findings.rows.push_back({status == 2 ? "critical" : "warning", what, finding});
  };
  bool any_takes_leases = false;
  std::set<std::string> overdue;
  for (const PoolNode& node : reply.nodes()) {
    if (!node.up()) {
      find(1, node.name(),
           "is silent: start its gpu-node again; if it will not come back, gpu-admin forget " + node.name());
    }
    const bool is_late = node.draining() && node.drain_deadline_ms() != 0 && node.drain_deadline_ms() < reply.now_ms();
    if (is_late && node.leases() > 0) {
      find(1, node.name(),
           "should be empty and still has " + std::to_string(node.leases()) +
               (node.leases() == 1 ? " lease" : " leases"));
    }
    bool any_usable = false;
    for (const PoolNode::Gpu& gpu : node.gpus()) {
      if (gpu.usable()) {
        any_usable = true;
      } else {
        find(1, node.name() + " " + gpu.uuid(), "is not usable: " + gpu.why());
      }
    }
    if (node.up() && any_usable && !node.draining() && !node.cordoned()) any_takes_leases = true;
  }
  if (!any_takes_leases) find(2, "pool", "no node takes leases");
  return health;
}

}  // namespace outboard::admin
