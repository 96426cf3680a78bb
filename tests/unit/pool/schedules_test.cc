// What holds for whatever happens in whatever order. World checks after each event that nothing is given out twice and
// no maximum is exceeded, after each end that minimum runs were honoured, and now and then that every reason is true.

#include <gtest/gtest.h>

#include <cmath>
#include <deque>
#include <random>

#include "tests/unit/pool/invariants.h"
#include "tests/unit/pool/world.h"

namespace outboard::pool {
namespace {

class RandomSchedule {
 public:
  // One that `loses_stores` restarts without its store or with an old copy of it; nothing is said of maxima, which
  // what it takes over may exceed.
  explicit RandomSchedule(uint32_t seed, bool loses_stores = false)
      : random_(seed), loses_stores_(loses_stores), world_(RandomSettings()) {
    const size_t nodes = 1 + Below(4);
    for (size_t i = 0; i < nodes; ++i) {
      names_.push_back("n" + std::to_string(i));
      world_.AddNode(names_.back(), 1 << Below(4), (20 + 20 * Below(3)) * kGib);
    }
    for (const char* tenant : {"a", "b", "c"}) {
      maxima_[tenant] = loses_stores || Below(2) == 0 ? -1 : 8 + static_cast<double>(Below(4));
      SetTenant(tenant);
    }
  }

  void Run(int steps) {
    for (int i = 0; i < steps && !::testing::Test::HasFailure(); ++i) Step();
  }

  // No more requests, nodes are all right, and leases end one after the other: whoever waits gets his turn.
  void DrainQueue() {
    for (const std::string& name : names_) {
      world_.Tell(Cordon{world_.next_asker(), World::Admin(), name, false});
      world_.Tell(StopDrain{world_.next_asker(), World::Admin(), name});
      for (GpuReport& report : world_.reports(name)) report.usable = true;
      world_.Wake(name);
    }
    if (loses_stores_) {
      // A pool that knew no node yet has let wait what no node could ever give.
      for (const Asker asker : askers_) world_.Tell(Withdraw{asker});
    }
    for (int i = 0; i < 500 && !(world_.pool().requests().empty() && world_.pool().leases().empty()); ++i) {
      EXPECT_EQ(UntrueReason(world_.pool()), "");
      for (const std::string& name : names_) world_.Finish(name);
      ReleaseOne();
      world_.Pass(kSecond * static_cast<int>(1 + Below(15)));
    }
    EXPECT_TRUE(world_.pool().requests().empty()) << world_.pool().WhyWaiting(world_.pool().Order()[0])->summary;
    EXPECT_TRUE(world_.pool().leases().empty());
    EXPECT_TRUE(world_.pool().strays().empty());
    for (int node = 0; node < world_.pool().cluster().size(); ++node) {
      for (int gpu = 0; gpu < static_cast<int>(world_.pool().cluster().node(node).gpus.size()); ++gpu) {
        EXPECT_EQ(world_.pool().cluster().free_share(node, gpu), kWholeGpu);
      }
    }
    for (const auto& [name, account] : world_.pool().ledger().tenants().all()) {
      EXPECT_EQ(account.used, 0) << name;
      EXPECT_EQ(account.promised, 0) << name;
      EXPECT_EQ(account.condemned, 0) << name;
    }
  }

 private:
  size_t Below(size_t bound) { return random_() % bound; }

  Settings RandomSettings() {
    Settings settings;
    settings.policy = static_cast<Policy>(Below(3));
    settings.minimum_run = kMinute * static_cast<int>(Below(4));
    settings.grace = kSecond * static_cast<int>(Below(40));
    settings.keep_room_after = kSecond * static_cast<int>(Below(200));
    settings.queue_impossible = false;
    if (!loses_stores_ && Below(2) == 0) settings.pools.push_back({.name = "few", .maximum = 2 * kWholeGpu});
    has_pool_ = !settings.pools.empty();
    return settings;
  }

  void SetTenant(const std::string& tenant) {
    const double used = static_cast<double>(world_.pool().ledger().tenants().Of(tenant).used) / kWholeGpu;
    // What it has stays allowed, so that World can check that no more is given out.
    const double maximum = maxima_.at(tenant) < 0 ? -1 : std::max(std::ceil(used), maxima_.at(tenant) - Below(4));
    world_.SetTenant(tenant, static_cast<double>(Below(4)), 1 + static_cast<int64_t>(Below(3)), maximum);
  }

  void Ask() {
    constexpr double kSizes[] = {0.1, 0.25, 0.5, 0.5, 1, 1, 2, 4, 8};
    Wish wish{.gpus = kSizes[Below(std::size(kSizes))]};
    if (Below(5) == 0) wish.memory_bytes = (1 + Below(30)) * kGib;
    if (Below(6) == 0) wish.filters = {"node.name=" + names_[Below(names_.size())]};
    if (has_pool_ && Below(4) == 0) wish.pool = "few";
    wish.priority = static_cast<int>(Below(10));
    wish.wait = Below(4) == 0 ? Duration(0) : Below(4) == 0 ? kMinute : kForever;
    wish.idle_release = Below(8) == 0 ? kMinute : Duration(0);
    const std::string tenant(1, static_cast<char>('a' + Below(4)));
    askers_.push_back(world_.Ask(wish, tenant, "u" + std::to_string(Below(2)), std::to_string(Below(200))));
  }

  void ReleaseOne() {
    for (const auto& [id, lease] : world_.pool().leases()) {
      if (lease.phase == LeaseState::Phase::kEnding) continue;
      const LeaseRecord record = lease.record;
      world_.Release(record);
      return;
    }
  }

  const LeaseRecord* SomeLease() {
    if (askers_.empty()) return nullptr;
    const LeaseRecord* const lease = world_.granted(askers_[Below(askers_.size())]);
    return lease != nullptr && world_.is_live(lease->id) ? lease : nullptr;
  }

  void DisturbNode() {
    const std::string& name = names_[Below(names_.size())];
    switch (Below(10)) {
      case 0:
        return world_.Silence(name);
      case 1:
      case 2:
        return world_.Wake(name);
      case 3:
        return world_.Reboot(name);
      case 4:
        world_.Tell(Cordon{world_.next_asker(), World::Admin(), name, Below(2) == 0});
        return;
      case 5:
        world_.Tell(StartDrain{world_.next_asker(), World::Admin(), name, kMinute, Below(2) == 0});
        return;
      case 6:
        world_.Tell(StopDrain{world_.next_asker(), World::Admin(), name});
        return;
      case 7:
        return world_.Hang(name);
      case 8:
        return world_.Finish(name);
      default:
        world_.reports(name)[0].usable = Below(2) == 0;
    }
  }

  void Restart() {
    if (!loses_stores_) return world_.Restart();
    if (Below(3) == 0) copy_ = {};
    // Some nodes come back later.
    for (const std::string& name : names_) {
      if (Below(2) == 0) world_.Silence(name);
    }
    world_.Restart(copy_);
  }

  void ResizeSome() {
    const LeaseRecord* const lease = SomeLease();
    if (lease == nullptr) return;
    if (Below(3) == 0) world_.Use(lease->id, Below(60) * kGib);
    const auto memory = Below(4) == 0 ? std::nullopt : std::optional<uint64_t>(1 + Below(60) * kGib);
    const auto share =
        Below(2) == 0 || lease->gpus.size() > 1 ? std::nullopt : std::optional<int>(1 + Below(kWholeGpu));
    world_.Tell(Resize{world_.next_asker(), World::Admin(), lease->id, memory, share, Below(2) == 0});
  }

  void Step() {
    switch (Below(13)) {
      case 12:
        return ResizeSome();
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
        return Ask();
      case 5:
      case 6:
        if (const LeaseRecord* const lease = SomeLease()) world_.Open(lease->id);
        return;
      case 7:
        if (const LeaseRecord* const lease = SomeLease()) world_.Release(LeaseRecord(*lease));
        return;
      case 8:
        if (!askers_.empty()) world_.Tell(Withdraw{askers_[Below(askers_.size())]});
        return;
      case 9:
        if (Below(5) == 0) return SetTenant(std::string(1, static_cast<char>('a' + Below(3))));
        return DisturbNode();
      case 10:
        if (Below(10) == 0) Restart();
        if (loses_stores_ && Below(5) == 0) copy_ = world_.stored();
        [[fallthrough]];
      default:
        return world_.Pass(kSecond * static_cast<int>(Below(90)));
    }
  }

  std::mt19937 random_;
  const bool loses_stores_;
  Snapshot copy_;  // of the store, as it was some time before
  bool has_pool_ = false;
  World world_;
  std::vector<std::string> names_;
  std::map<std::string, double> maxima_;  // the highest ones of tenants; -1: none
  std::vector<Asker> askers_;
};

// The sanitizers' builds take a part of them: they look for other faults, and all would take them minutes.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr uint32_t kEach = 16;
#else
constexpr uint32_t kEach = 125;
#endif

class Schedules : public ::testing::TestWithParam<uint32_t> {};

TEST_P(Schedules, NothingIsGivenOutTwiceAndEveryGangGetsItsTurn) {
  for (uint32_t seed = GetParam() * kEach; seed < (GetParam() + 1) * kEach; ++seed) {
    SCOPED_TRACE(seed);
    RandomSchedule schedule(seed);
    schedule.Run(80);
    schedule.DrainQueue();
    ASSERT_FALSE(HasFailure());
  }
}

TEST(LostStores, NothingIsGivenOutTwice) {
  for (uint32_t seed = 0; seed < kEach / 2; ++seed) {
    SCOPED_TRACE(seed);
    RandomSchedule schedule(seed, /*loses_stores=*/true);
    schedule.Run(160);
    schedule.DrainQueue();
    ASSERT_FALSE(HasFailure());
  }
}

INSTANTIATE_TEST_SUITE_P(AThousand, Schedules, ::testing::Range(0u, 8u));

// A stream of requests that never ends, so many that there is never room for all of them; each lease runs for a while.
class Stream {
 public:
  Stream(World* world, Wish wish, std::string tenant, Duration run)
      : world_(world), wish_(std::move(wish)), tenant_(std::move(tenant)), run_(run) {
    for (int i = 0; i < 30; ++i) askers_.push_back(world_->Ask(wish_, tenant_));
  }
  void Step() {
    for (size_t i = 0; i < askers_.size(); ++i) {
      const LeaseRecord* const lease = world_->granted(askers_[i]);
      if (lease == nullptr) continue;
      world_->Open(lease->id);
      running_.push_back(*lease);
      askers_[i] = world_->Ask(wish_, tenant_);
    }
    while (!running_.empty() && running_.front().granted_at + run_ <= world_->now()) {
      world_->Release(running_.front());
      running_.pop_front();
    }
  }

 private:
  World* const world_;
  const Wish wish_;
  const std::string tenant_;
  const Duration run_;
  std::vector<Asker> askers_;
  std::deque<LeaseRecord> running_;
};

// How long a request waits beside the streams; three hours at most are waited for it.
Duration WaitBeside(World& world, std::vector<Stream> streams, const Wish& wish, const std::string& tenant) {
  const auto go_on = [&] {
    for (Stream& stream : streams) stream.Step();
    world.Pass(7 * kSecond);
  };
  for (int i = 0; i < 100; ++i) go_on();
  const Asker asker = world.Ask(wish, tenant);
  const Time start = world.now();
  while (!world.granted(asker) && world.now() < start + std::chrono::hours(3)) go_on();
  return world.now() - start;
}

TEST(Starvation, ABigRequestGetsItsTurnBesideSmallOnes) {
  World world;
  world.AddNode("n1", 4);
  world.AddNode("n2", 4);
  std::vector<Stream> streams;
  streams.emplace_back(&world, Wish{.gpus = 0.5, .wait = kForever}, "t", 3 * kMinute);
  streams.emplace_back(&world, Wish{.gpus = 1, .wait = kForever}, "s", 2 * kMinute);
  EXPECT_LT(WaitBeside(world, std::move(streams), {.gpus = 4, .wait = kForever}, "t"), 30 * kMinute);
}

TEST(Starvation, ALowPriorityGetsItsTurnBesideHighOnesOfTheSameTenant) {
  World world;
  world.AddNode("n1", 2);
  std::vector<Stream> streams;
  streams.emplace_back(&world, Wish{.gpus = 1, .priority = 9, .wait = kForever}, "t", 2 * kMinute);
  EXPECT_LT(WaitBeside(world, std::move(streams), {.priority = 6, .wait = kForever}, "t"), 100 * kMinute);
}

TEST(Starvation, ALowPriorityGetsItsTurnBesideHighOnesOfAnotherTenant) {
  World world;
  world.AddNode("n1", 2);
  std::vector<Stream> streams;
  streams.emplace_back(&world, Wish{.gpus = 1, .priority = 9, .wait = kForever}, "t", 2 * kMinute);
  EXPECT_LT(WaitBeside(world, std::move(streams), {.priority = 4, .wait = kForever}, "s"), 70 * kMinute);
}

TEST(Starvation, ABigRequestGetsItsTurnBesideSmallOnesWithinTheirQuota) {
  World world;
  world.AddNode("n1", 4);
  world.SetTenant("t", 2);
  std::vector<Stream> streams;
  streams.emplace_back(&world, Wish{.gpus = 1, .wait = kForever}, "t", 3 * kMinute);
  EXPECT_LT(WaitBeside(world, std::move(streams), {.gpus = 4, .wait = kForever}, "s"), 30 * kMinute);
}

TEST(Starvation, RoomIsNotKeptForEverWhereNothingEnds) {
  World world;
  world.AddNode("n1", 8);
  world.AddNode("n2", 8);
  const LeaseRecord endless = *world.granted(world.Ask({.filters = {"node.name=n1"}}));
  ASSERT_EQ(world.Open(endless.id), Outcome::kDone);
  std::vector<Stream> streams;
  streams.emplace_back(&world, Wish{.gpus = 1, .filters = {"node.name=n2"}, .wait = kForever}, "t", 2 * kMinute);
  EXPECT_LT(WaitBeside(world, std::move(streams), {.gpus = 8, .wait = kForever}, "s"), 60 * kMinute);
}

// One node gets no leases, and on another one nothing ends.
TEST(Starvation, RequestsThatNothingHelpsAreInNobodysWay) {
  World world;
  world.AddNode("n1", 4);
  world.AddNode("n2", 4);
  world.AddNode("n3", 4);
  world.Tell(Cordon{world.next_asker(), World::Admin(), "n2", true});
  const LeaseRecord endless = *world.granted(world.Ask({.gpus = 4, .filters = {"node.name=n3"}, .priority = 9}, "y"));
  ASSERT_EQ(world.Open(endless.id), Outcome::kDone);
  for (int i = 0; i < 25; ++i) {
    world.Ask({.filters = {"node.name=n2"}, .priority = 9, .wait = kForever}, "x");
    world.Ask({.filters = {"node.name=n3"}, .priority = 9, .wait = kForever}, "x");
  }
  std::vector<Stream> streams;
  streams.emplace_back(&world, Wish{.gpus = 0.5, .wait = kForever}, "t", 3 * kMinute);
  EXPECT_LT(WaitBeside(world, std::move(streams), {.gpus = 4, .wait = kForever}, "t"), 30 * kMinute);
  const Asker urgent = world.Ask({.gpus = 1, .priority = 8, .wait = kForever}, "t");
  world.Pass(10 * kMinute);
  EXPECT_TRUE(world.granted(urgent));
}

TEST(Starvation, ABigRequestGetsItsTurnUnderItsTenantsMaximum) {
  World world;
  world.AddNode("n1", 8);
  world.SetTenant("t", 0, 1, 4);
  std::vector<Stream> streams;
  streams.emplace_back(&world, Wish{.gpus = 0.5, .wait = kForever}, "t", 3 * kMinute);
  EXPECT_LT(WaitBeside(world, std::move(streams), {.gpus = 4, .wait = kForever}, "t"), 30 * kMinute);
}

}  // namespace
}  // namespace outboard::pool
