#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "server/pool/controller.h"
#include "server/pool/memory_store.h"

namespace outboard::pool {

inline constexpr uint64_t kGib = uint64_t{1} << 30;
inline constexpr Duration kSecond = std::chrono::seconds(1);
inline constexpr Duration kMinute = std::chrono::minutes(1);

// A pool with users and honest nodes around it, and a clock that stands still unless it is told to go on. After each
// event it checks what must hold at all times (invariants.h), and that what is granted is not in use at its node.
class World {
 public:
  explicit World(Settings settings = {}, Time start = Time(std::chrono::hours(24 * 365 * 50)));

  Time now() const { return now_; }
  Controller& pool() { return *pool_; }

  // Hands an event over, and does what comes of it: nodes end leases when they are told to.
  Effects Tell(const Event& event);
  // Time goes on. What becomes due, heartbeats among it, happens in time.
  void Pass(Duration duration);

  // Nodes that beat every few seconds, from now on.
  void AddNode(const std::string& name, int gpus, uint64_t memory_bytes = 80 * kGib, std::string model = "GPU",
               std::map<std::string, std::string> labels = {});
  void Silence(const std::string& name) { nodes_.at(name).silent = true; }
  void Wake(const std::string& name);    // it beats again, with the leases that it had
  void Reboot(const std::string& name);  // it comes without any leases
  // From now on the node says that it is Over only when told so by Finish.
  void Hang(const std::string& name) { nodes_.at(name).hangs = true; }
  void Finish(const std::string& name);
  NodeRecord& record(const std::string& name) { return nodes_.at(name).record; }
  void RegisterNode(const std::string& name);
  std::vector<GpuReport>& reports(const std::string& name) { return nodes_.at(name).reports; }
  void SetIdle(LeaseId lease, Duration idle) { idle_[lease] = idle; }
  // The lease's programs use so much of each of its GPUs, as far as its node lets them.
  void Use(LeaseId lease, uint64_t bytes);
  // Orders to resize leases do not reach the node.
  void LoseResizes(const std::string& name) { nodes_.at(name).loses_resizes = true; }
  void HearResizes(const std::string& name) { nodes_.at(name).loses_resizes = false; }

  // Asks; the answer, if it came, is in granted() or refused().
  Asker Ask(Wish wish, const std::string& tenant = "t", const std::string& user = "u", const std::string& request = "");
  const LeaseRecord* granted(Asker asker) const;
  const Refused* refused(Asker asker) const;
  bool waits(Asker asker) const { return queued_.contains(asker) && !granted(asker) && !refused(asker); }
  RequestId request(Asker asker) const { return queued_.at(asker); }
  std::string why(Asker asker);
  // The lease's node gets it.
  Outcome Open(LeaseId lease);
  Outcome Release(const LeaseRecord& lease);
  // As an administrator, or as somebody else.
  Outcome Resize(LeaseId lease, std::optional<uint64_t> memory_bytes, std::optional<int> share, bool when_free = false);
  Outcome ResizeAs(const Identity& who, LeaseId lease, std::optional<uint64_t> memory_bytes, std::optional<int> share,
                   bool when_free = false);
  void SetTenant(const std::string& name, double quota, int64_t weight = 1, double maximum = -1);
  Outcome outcome() const { return outcome_; }  // of the last event that had an Answer
  const std::string& outcome_text() const { return outcome_text_; }

  // What holders of a lease were told, the last one last.
  const std::vector<Notice>& notices(LeaseId lease) { return notices_[lease]; }
  bool is_live(LeaseId lease) const;

  // Another process takes over with what was stored: the same pool, or one that knows only this.
  void Restart();
  void Restart(const Snapshot& snapshot);
  Snapshot stored() { return *store_.Load(); }

  static Identity User(const std::string& tenant, const std::string& user) { return {.user = user, .tenant = tenant}; }
  static Identity Admin() { return {.user = "admin", .tenant = "admins", .is_admin = true}; }
  static Identity NodeIdentity() { return {.user = "node", .tenant = "nodes", .is_node = true}; }
  Asker next_asker() { return ++askers_; }

 private:
  struct FakeNode {
    NodeRecord record;
    std::vector<GpuReport> reports;
    std::map<LeaseId, LeaseRecord> held;
    std::map<LeaseId, uint64_t> used;                             // of each of its GPUs
    std::map<LeaseId, std::pair<uint64_t, std::string>> refused;  // epochs, and why
    std::set<LeaseId> ending;                                     // that it was told to end, while it hangs
    Time next_beat;
    bool silent = false;
    bool hangs = false;
    bool loses_resizes = false;
  };

  void Do(const Effects& effects);
  void Beat(FakeNode& node);
  void Obey(const ResizeAtNode& order);
  static uint64_t OverBytes(const FakeNode& node, LeaseId lease, const LeasedGpu& gpu);
  std::vector<HeldLease> Held(const FakeNode& node) const;
  void CheckEnd(const Notice& notice);
  void CheckTruth(const LeaseRecord& lease) const;

  const Settings settings_;
  Time now_;
  std::optional<Controller> pool_;
  MemoryStore store_;
  std::map<std::string, FakeNode> nodes_;
  std::map<LeaseId, Duration> idle_;
  Asker askers_ = 0;
  std::map<Asker, Answer> answers_;
  std::map<Asker, LeaseRecord> granted_;
  std::map<Asker, Refused> refused_;
  std::map<Asker, RequestId> queued_;
  std::map<LeaseId, LeaseRecord> grants_;
  std::map<LeaseId, std::vector<Notice>> notices_;
  Outcome outcome_ = Outcome::kDone;
  std::string outcome_text_;
  int events_ = 0;
};

}  // namespace outboard::pool
