#include "server/pool/service_messages.h"

#include <algorithm>
#include <utility>

#include "common/base/printable.h"

namespace outboard::pool {
namespace {

constexpr size_t kMaxShownBytes = 200;   // of texts for people
constexpr size_t kMaxReasonBytes = 500;  // of a node's sentences
constexpr uint64_t kMostMilliseconds = uint64_t{100} * 365 * 24 * 3600 * 1000;

int64_t Milliseconds(Time time) { return time == Time::max() ? 0 : time.time_since_epoch().count(); }

template <class Gpus>
std::vector<LeasedGpu> ToLeasedGpus(const Gpus& gpus) {
  std::vector<LeasedGpu> result;
  for (const auto& gpu : gpus) {
    const auto share = static_cast<int>(std::min<uint32_t>(gpu.share(), kWholeGpu));
    result.push_back({Printable(gpu.uuid()), share, gpu.memory_bytes()});
  }
  return result;
}

void FillLease(const LeaseRecord& lease, PoolLease* to) {
  to->set_lease(Text(lease.id));
  to->set_node(lease.node);
  for (const LeasedGpu& gpu : lease.gpus) {
    PoolLease::Gpu* const each = to->add_gpus();
    each->set_uuid(gpu.uuid);
    each->set_share(static_cast<uint32_t>(gpu.share));
    each->set_memory_bytes(gpu.memory_bytes);
  }
  to->set_tenant(lease.tenant);
  to->set_user(lease.user);
  to->set_client(lease.client);
  to->set_pool(lease.pool);
  to->set_priority(lease.priority);
  to->set_granted_at_ms(Milliseconds(lease.granted_at));
  to->set_counted_at_ms(Milliseconds(lease.counted_at));
}

Ticket ToTicket(const LeaseRecord& lease) {
  Ticket ticket;
  ticket.set_lease(lease.id.number);
  ticket.set_epoch(lease.epoch);
  ticket.set_node(lease.node);
  for (const LeasedGpu& gpu : lease.gpus) {
    Ticket::Gpu* const each = ticket.add_gpus();
    each->set_uuid(gpu.uuid);
    each->set_share(static_cast<uint32_t>(gpu.share));
    each->set_memory_bytes(gpu.memory_bytes);
  }
  ticket.set_hard(lease.hard);
  ticket.set_tenant(lease.tenant);
  ticket.set_user(lease.user);
  ticket.set_client(lease.client);
  ticket.set_pool(lease.pool);
  ticket.set_priority(lease.priority);
  ticket.set_idle_release_ms(static_cast<uint64_t>(lease.idle_release.count()));
  ticket.set_longest_ms(lease.longest == kForever ? 0 : static_cast<uint64_t>(lease.longest.count()));
  return ticket;
}

LeaseRecord ToLease(const Ticket& ticket) {
  LeaseRecord lease;
  lease.id = {ticket.lease()};
  lease.epoch = ticket.epoch();
  lease.node = Printable(ticket.node());
  lease.gpus = ToLeasedGpus(ticket.gpus());
  lease.hard = ticket.hard();
  lease.tenant = Shown(ticket.tenant());
  lease.user = Shown(ticket.user());
  lease.client = Shown(ticket.client());
  lease.pool = Shown(ticket.pool());
  lease.priority = ticket.priority();
  lease.idle_release = ToDuration(ticket.idle_release_ms(), Duration::zero());
  lease.longest = ToDuration(ticket.longest_ms(), kForever);
  return lease;
}

}  // namespace

std::string Shown(const std::string& text) { return Printable(text.substr(0, kMaxShownBytes)); }

Duration ToDuration(uint64_t milliseconds, Duration zero) {
  return milliseconds == 0 ? zero : Duration(std::min(milliseconds, kMostMilliseconds));
}

Wish ToWish(const AllocateRequest& request) {
  Wish wish;
  wish.gpus = request.gpus();
  wish.share = request.share();
  wish.hard = request.hard();
  wish.memory_bytes = request.memory_bytes();
  wish.filters.assign(request.filters().begin(), request.filters().end());
  wish.pool = Shown(request.pool());
  if (request.has_priority()) wish.priority = request.priority();
  wish.wait = request.wait_forever() ? kForever : ToDuration(request.wait_ms(), Duration::zero());
  wish.idle_release = ToDuration(request.idle_release_ms(), Duration::zero());
  wish.longest = ToDuration(request.longest_ms(), kForever);
  wish.client = Shown(request.client());
  return wish;
}

NodeRecord ToNode(const NodeReport::Register& message) {
  NodeRecord node;
  node.name = message.name();
  node.address = Printable(message.address());
  for (const auto& [key, value] : message.labels()) node.labels[Shown(key)] = Shown(value);
  node.cuda_version = message.cuda_version();
  node.is_software = message.is_software();
  for (const NodeReport::Gpu& gpu : message.gpus()) {
    node.gpus.push_back({Printable(gpu.uuid()), Shown(gpu.name()), gpu.memory_bytes()});
  }
  return node;
}

std::vector<HeldLease> ToHeld(const google::protobuf::RepeatedPtrField<NodeReport::Held>& messages) {
  std::vector<HeldLease> held;
  for (const NodeReport::Held& message : messages) {
    HeldLease& lease = held.emplace_back();
    lease.lease = ToLease(message.ticket());
    lease.idle = ToDuration(message.idle_ms(), Duration::zero());
    lease.over_bytes.assign(message.over_bytes().begin(), message.over_bytes().end());
    lease.refused_epoch = message.refused_epoch();
    for (const outboard::SliceUse& use : message.use()) {
      lease.use.push_back({use.used_bytes(), use.context_bytes(), use.growth_bytes(), use.peak_bytes()});
    }
    lease.why_refused = Printable(message.why_refused().substr(0, kMaxReasonBytes));
  }
  return held;
}

std::vector<GpuReport> ToReports(const NodeReport::Heartbeat& message) {
  std::vector<GpuReport> reports;
  for (const NodeReport::GpuState& gpu : message.gpus()) {
    reports.push_back({gpu.usable(), Shown(gpu.why()), gpu.temperature_celsius(), gpu.utilization(), gpu.used_bytes()});
  }
  return reports;
}

NodeOrder ToOrder(const Action& action) {
  NodeOrder order;
  if (const auto* resize = std::get_if<ResizeAtNode>(&action)) {
    order.mutable_resize()->set_ticket(ToTicket(resize->lease).SerializeAsString());
    order.mutable_resize()->set_when_free(resize->when_free);
  } else {
    const EndAtNode& end = std::get<EndAtNode>(action);
    order.mutable_end()->set_lease(end.lease.number);
    order.mutable_end()->set_epoch(end.epoch);
    order.mutable_end()->set_reason(end.reason);
  }
  return order;
}

void Fill(const Granted& granted, PoolLease* to) {
  FillLease(granted.lease, to);
  to->set_address(granted.address);
  to->set_is_software(granted.is_software);
  for (int i = 0; i < to->gpus_size() && i < static_cast<int>(granted.models.size()); ++i) {
    to->mutable_gpus(i)->set_name(granted.models[static_cast<size_t>(i)]);
  }
  to->set_ticket(ToTicket(granted.lease).SerializeAsString());
  to->set_state("granted");
}

void Fill(const LeaseState& lease, const NodeState& node, PoolLease* to) {
  FillLease(lease.record, to);
  to->set_address(node.record.address);
  to->set_is_software(node.record.is_software);
  const std::vector<LeasedGpu> room = RoomOf(lease.record, lease.over_bytes);
  for (size_t i = 0; i < room.size(); ++i) {
    PoolLease::Gpu* const gpu = to->mutable_gpus(static_cast<int>(i));
    gpu->set_held_bytes(room[i].memory_bytes);
    if (i >= lease.use.size()) continue;
    gpu->mutable_use()->set_used_bytes(lease.use[i].used);
    gpu->mutable_use()->set_context_bytes(lease.use[i].context);
    gpu->mutable_use()->set_growth_bytes(lease.use[i].growth);
    gpu->mutable_use()->set_peak_bytes(lease.use[i].peak);
  }
  for (PoolLease::Gpu& gpu : *to->mutable_gpus()) {
    for (const GpuRecord& record : node.record.gpus) {
      if (record.uuid == gpu.uuid()) gpu.set_name(record.model);
    }
  }
  to->set_idle_ms(static_cast<uint64_t>(std::max<int64_t>(0, lease.idle.count())));
  switch (lease.phase) {
    case LeaseState::Phase::kGranted:
      to->set_state("granted");
      break;
    case LeaseState::Phase::kOpen:
      to->set_state("open");
      break;
    case LeaseState::Phase::kEnding:
      to->set_state("ending");
      to->set_why(lease.why_ended);
      break;
  }
  if (const std::optional<Warning> warning = Leases::NextWarning(lease)) {
    to->set_ends_at_ms(Milliseconds(warning->deadline));
    to->set_why(warning->text);
  }
}

void Fill(const NodeState& node, const Controller& pool, PoolNode* to) {
  const Cluster& cluster = pool.cluster();
  const NodeRecord& record = node.record;
  to->set_name(record.name);
  to->set_address(record.address);
  to->mutable_labels()->insert(record.labels.begin(), record.labels.end());
  to->set_cuda_version(record.cuda_version);
  to->set_is_software(record.is_software);
  to->set_up(node.up);
  to->set_cordoned(record.cordoned);
  if (record.drain) {
    to->set_draining(true);
    to->set_evict(record.drain->evict);
    to->set_drain_deadline_ms(Milliseconds(record.drain->deadline));
  }
  to->set_heard_at_ms(Milliseconds(node.heard));
  to->set_leases(static_cast<uint32_t>(pool.LeasesOn(record.name)));
  for (size_t i = 0; i < record.gpus.size(); ++i) {
    PoolNode::Gpu* const gpu = to->add_gpus();
    gpu->set_uuid(record.gpus[i].uuid);
    gpu->set_name(record.gpus[i].model);
    gpu->set_memory_bytes(record.gpus[i].memory_bytes);
    gpu->set_usable(true);
    if (i < node.reports.size()) {
      const GpuReport& report = node.reports[i];
      gpu->set_usable(report.usable);
      gpu->set_why(report.why);
      gpu->set_temperature_celsius(report.temperature_celsius);
      gpu->set_utilization(report.utilization);
      gpu->set_used_bytes(report.used_bytes);
    }
    gpu->set_free_share(static_cast<uint32_t>(cluster.free_share(node.number, static_cast<int>(i))));
    gpu->set_free_bytes(cluster.free_memory_bytes(node.number, static_cast<int>(i)));
  }
}

void Fill(const WaitingRequest& request, PoolRequest* to) {
  to->set_request(request.id);
  to->set_tenant(request.owner.tenant);
  to->set_user(request.owner.user);
  to->set_client(request.wish.client);
  to->set_gpus(request.wish.gpus);
  to->set_priority(request.wish.priority);
  to->set_asked_at_ms(Milliseconds(request.asked));
  to->set_pool(request.wish.pool);
}

void Fill(const Tenants::Account& account, PoolTenant* to) {
  to->set_name(account.record.name);
  to->set_quota(account.record.quota);
  to->set_weight(account.record.weight);
  if (account.record.maximum >= 0) to->set_maximum(account.record.maximum);
  to->set_used(account.used);
}

void Fill(const UsageRecord& usage, PoolUsage* to) {
  to->set_tenant(usage.tenant);
  to->set_user(usage.user);
  to->set_gpu_seconds(static_cast<double>(usage.gpu_microseconds) / 1e6);
  to->set_leases(usage.leases);
}

void Fill(const Notice& notice, LeaseNotice* to) {
  to->set_kind(notice.kind == Notice::Kind::kWarning    ? LeaseNotice::WARNING
               : notice.kind == Notice::Kind::kReprieve ? LeaseNotice::STANDS
               : notice.kind == Notice::Kind::kResized  ? LeaseNotice::RESIZED
                                                        : LeaseNotice::ENDED);
  to->set_text(notice.text);
  to->set_at_ms(Milliseconds(notice.deadline));
}

}  // namespace outboard::pool
