#include "tests/unit/pool/world.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "tests/unit/pool/invariants.h"

namespace outboard::pool {
namespace {

constexpr Duration kBeat = 5 * kSecond;

}  // namespace

World::World(Settings settings, Time start) : settings_(std::move(settings)), now_(start) {
  pool_.emplace(settings_);
  Do(pool_->Restore({}, now_));
}

Effects World::Tell(const Event& event) {
  Effects effects = pool_->Handle(event, now_);
  const std::string broken = BrokenInvariant(*pool_);
  EXPECT_EQ(broken, "");
  if (++events_ % 16 == 0) {
    const std::string untrue = UntrueReason(*pool_);
    EXPECT_EQ(untrue, "");
  }
  Do(effects);
  return effects;
}

void World::Do(const Effects& effects) {
  store_.Commit(effects.changes);
  if (events_ % 16 == 0) {
    const std::string differs = StoredOtherwise(*pool_, stored());
    EXPECT_EQ(differs, "");
  }
  for (const Action& action : effects.actions) {
    if (const auto* answer = std::get_if<Answer>(&action)) {
      outcome_ = answer->outcome;
      outcome_text_ = answer->text;
      EXPECT_EQ(answer->text.empty(), answer->outcome == Outcome::kDone);
      EXPECT_TRUE(answers_.emplace(answer->asker, *answer).second) << "answered twice";
    } else if (const auto* granted = std::get_if<Granted>(&action)) {
      EXPECT_EQ(granted->models.size(), granted->lease.gpus.size());
      CheckTruth(granted->lease);
      granted_[granted->asker] = granted->lease;
      grants_[granted->lease.id] = granted->lease;
    } else if (const auto* refused = std::get_if<Refused>(&action)) {
      refused_[refused->asker] = *refused;
    } else if (const auto* queued = std::get_if<Queued>(&action)) {
      queued_[queued->asker] = queued->request;
    } else if (const auto* notice = std::get_if<Notice>(&action)) {
      notices_[notice->lease].push_back(*notice);
      CheckEnd(*notice);
    } else if (const auto* end = std::get_if<EndAtNode>(&action)) {
      const auto node = nodes_.find(end->node);
      if (node == nodes_.end() || node->second.silent) continue;
      if (node->second.hangs) {
        node->second.ending.insert(end->lease);
      } else {
        node->second.held.erase(end->lease);
        node->second.used.erase(end->lease);
        Tell(Over{next_asker(), NodeIdentity(), end->node, end->lease});
      }
    } else if (const auto* resize = std::get_if<ResizeAtNode>(&action)) {
      Obey(*resize);
    }
  }
}

// As gpu-node does it.
void World::Obey(const ResizeAtNode& order) {
  const auto found = nodes_.find(order.node);
  if (found == nodes_.end() || found->second.silent || found->second.loses_resizes) return;
  FakeNode& node = found->second;
  const LeaseId id = order.lease.id;
  const auto held = node.held.find(id);
  if (held == node.held.end() || node.ending.contains(id) || order.lease.epoch < held->second.epoch) return;
  bool fits = order.when_free;
  for (const LeasedGpu& gpu : order.lease.gpus) {
    EXPECT_LE(gpu.share, kWholeGpu);
    fits = fits || node.used[id] <= gpu.memory_bytes;
  }
  if (fits) {
    held->second.gpus = order.lease.gpus;
    held->second.epoch = order.lease.epoch;
    CheckTruth(held->second);
  } else {
    node.refused[id] = {order.lease.epoch, "it uses more."};
  }
  Beat(node);
}

void World::Use(LeaseId lease, uint64_t bytes) {
  for (auto& [name, node] : nodes_) {
    const auto held = node.held.find(lease);
    if (held == node.held.end()) continue;
    uint64_t& used = node.used[lease];
    used = std::min(bytes, std::max(used, held->second.gpus[0].memory_bytes));
  }
}

uint64_t World::OverBytes(const FakeNode& node, LeaseId lease, const LeasedGpu& gpu) {
  const auto used = node.used.find(lease);
  return used == node.used.end() ? 0 : used->second - std::min(used->second, gpu.memory_bytes);
}

// A lease whose place others take has had its time, and was warned.
void World::CheckEnd(const Notice& notice) {
  if (notice.kind != Notice::Kind::kEnded) return;
  const bool replaced =
      notice.text.find("takes its place") != std::string::npos || notice.text.find("takes back") != std::string::npos;
  if (!replaced) return;
  const LeaseRecord& lease = grants_.at(notice.lease);
  EXPECT_GE(now_ - lease.granted_at, settings_.minimum_run) << Text(lease.id);
  std::vector<Notice> before = notices_.at(notice.lease);
  before.pop_back();
  std::erase_if(before, [](const Notice& each) { return each.kind == Notice::Kind::kResized; });
  ASSERT_FALSE(before.empty());
  EXPECT_EQ(before.back().kind, Notice::Kind::kWarning);
  EXPECT_LE(before.back().deadline, now_);
}

// Its GPUs have room for it beside what runs on them, whatever the pool believes of that.
void World::CheckTruth(const LeaseRecord& lease) const {
  const FakeNode& node = nodes_.at(lease.node);
  for (const LeasedGpu& wanted : lease.gpus) {
    int share = wanted.share;
    uint64_t bytes = wanted.memory_bytes;
    for (const auto& [id, held] : node.held) {
      for (const LeasedGpu& gpu : held.gpus) {
        if (gpu.uuid != wanted.uuid || (id == lease.id && held.epoch == lease.epoch)) continue;
        share += gpu.share;
        bytes += gpu.memory_bytes + OverBytes(node, id, gpu);
      }
    }
    const auto gpu = std::find_if(node.record.gpus.begin(), node.record.gpus.end(),
                                  [&wanted](const GpuRecord& each) { return each.uuid == wanted.uuid; });
    ASSERT_NE(gpu, node.record.gpus.end());
    EXPECT_LE(share, kWholeGpu) << wanted.uuid << " is still in use, and given out again";
    EXPECT_LE(bytes, gpu->memory_bytes) << wanted.uuid << " is still in use, and given out again";
  }
}

void World::Pass(Duration duration) {
  const Time end = now_ + duration;
  for (;;) {
    Time next = pool_->NextDue().value_or(Time::max());
    for (const auto& [name, node] : nodes_) {
      if (!node.silent) next = std::min(next, node.next_beat);
    }
    if (next > end) break;
    now_ = std::max(now_, next);
    for (auto& [name, node] : nodes_) {
      if (!node.silent && node.next_beat <= now_) Beat(node);
    }
    if (pool_->NextDue() && *pool_->NextDue() <= now_) Tell(Tick{});
  }
  now_ = end;
}

std::vector<HeldLease> World::Held(const FakeNode& node) const {
  std::vector<HeldLease> held;
  for (const auto& [id, lease] : node.held) {
    const auto idle = idle_.find(id);
    HeldLease& each = held.emplace_back();
    each.lease = lease;
    each.idle = idle == idle_.end() ? Duration::zero() : idle->second;
    for (const LeasedGpu& gpu : lease.gpus) each.over_bytes.push_back(OverBytes(node, id, gpu));
    if (const auto refused = node.refused.find(id); refused != node.refused.end()) {
      std::tie(each.refused_epoch, each.why_refused) = refused->second;
    }
  }
  return held;
}

void World::Beat(FakeNode& node) {
  node.next_beat = now_ + kBeat;
  Tell(Heartbeat{next_asker(), NodeIdentity(), node.record.name, node.reports, Held(node)});
  if (outcome_ == Outcome::kNotFound) RegisterNode(node.record.name);
}

void World::AddNode(const std::string& name, int gpus, uint64_t memory_bytes, std::string model,
                    std::map<std::string, std::string> labels) {
  FakeNode& node = nodes_[name];
  node.record.name = name;
  node.record.address = name + ":7000";
  node.record.labels = std::move(labels);
  node.record.cuda_version = 13000;
  for (int i = 0; i < gpus; ++i) {
    node.record.gpus.push_back({"GPU-" + name + "-" + std::to_string(i), model, memory_bytes});
  }
  RegisterNode(name);
}

void World::RegisterNode(const std::string& name) {
  FakeNode& node = nodes_.at(name);
  node.next_beat = now_ + kBeat;
  node.reports.resize(node.record.gpus.size());
  uint64_t highest = 0;
  for (const auto& [id, lease] : node.held) highest = std::max(highest, lease.epoch);
  Tell(Register{next_asker(), NodeIdentity(), node.record, highest, Held(node)});
}

void World::Wake(const std::string& name) {
  nodes_.at(name).silent = false;
  RegisterNode(name);
}

void World::Reboot(const std::string& name) {
  nodes_.at(name).held.clear();
  nodes_.at(name).used.clear();
  nodes_.at(name).ending.clear();
  Wake(name);
}

void World::Finish(const std::string& name) {
  FakeNode& node = nodes_.at(name);
  for (const LeaseId lease : std::exchange(node.ending, {})) {
    node.held.erase(lease);
    node.used.erase(lease);
    Tell(Over{next_asker(), NodeIdentity(), name, lease});
  }
}

Asker World::Ask(Wish wish, const std::string& tenant, const std::string& user, const std::string& request) {
  const Asker asker = next_asker();
  Tell(pool::Ask{asker, User(tenant, user), request, std::move(wish)});
  return asker;
}

const LeaseRecord* World::granted(Asker asker) const {
  const auto found = granted_.find(asker);
  return found == granted_.end() ? nullptr : &found->second;
}

const Refused* World::refused(Asker asker) const {
  const auto found = refused_.find(asker);
  return found == refused_.end() ? nullptr : &found->second;
}

std::string World::why(Asker asker) {
  const std::optional<Why> why = pool_->WhyWaiting(request(asker));
  return why ? why->summary : "";
}

Outcome World::Open(LeaseId lease) {
  const LeaseRecord& record = grants_.at(lease);
  FakeNode& node = nodes_.at(record.node);
  Tell(pool::Open{next_asker(), NodeIdentity(), record.node, lease, record.epoch});
  if (outcome_ == Outcome::kDone) node.held[lease] = record;
  return outcome_;
}

Outcome World::Release(const LeaseRecord& lease) {
  Tell(pool::Release{next_asker(), User(lease.tenant, lease.user), lease.id});
  return outcome_;
}

Outcome World::Resize(LeaseId lease, std::optional<uint64_t> memory_bytes, std::optional<int> share, bool when_free) {
  return ResizeAs(Admin(), lease, memory_bytes, share, when_free);
}

// Until there is an answer.
Outcome World::ResizeAs(const Identity& who, LeaseId lease, std::optional<uint64_t> memory_bytes,
                        std::optional<int> share, bool when_free) {
  const Asker asker = next_asker();
  answers_.erase(asker);
  Tell(pool::Resize{asker, who, lease, memory_bytes, share, when_free});
  if (!answers_.contains(asker)) Pass(10 * kSecond);
  EXPECT_TRUE(answers_.contains(asker));
  const Answer& answer = answers_[asker];
  outcome_ = answer.outcome;
  outcome_text_ = answer.text;
  return outcome_;
}

void World::SetTenant(const std::string& name, double quota, int64_t weight, double maximum) {
  const auto amount = [](double gpus) { return gpus < 0 ? int64_t{-1} : static_cast<int64_t>(gpus * kWholeGpu); };
  Tell(pool::SetTenant{next_asker(), Admin(), {name, amount(quota), weight, amount(maximum)}});
}

bool World::is_live(LeaseId lease) const {
  const auto found = pool_->leases().find(lease);
  return found != pool_->leases().end() && found->second.phase != LeaseState::Phase::kEnding;
}

void World::Restart() { Restart(stored()); }

void World::Restart(const Snapshot& snapshot) {
  store_ = {};
  for (const NodeRecord& each : snapshot.nodes) store_.Commit(std::vector<Change>{each});
  for (const LeaseRecord& each : snapshot.leases) store_.Commit(std::vector<Change>{each});
  for (const TenantRecord& each : snapshot.tenants) store_.Commit(std::vector<Change>{each});
  for (const UsageRecord& each : snapshot.usage) store_.Commit(std::vector<Change>{each});
  store_.Commit(std::vector<Change>{snapshot.counter});
  pool_.emplace(settings_);
  Do(pool_->Restore(snapshot, now_));
}

}  // namespace outboard::pool
