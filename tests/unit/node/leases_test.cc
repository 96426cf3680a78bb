#include "server/node/leases.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <random>

#include "common/base/limits.h"

namespace outboard::node {
namespace {

constexpr uint64_t kGib = uint64_t{1} << 30;

std::vector<Gpu> Gpus(std::initializer_list<uint64_t> gibibytes) {
  std::vector<Gpu> gpus;
  for (const uint64_t each : gibibytes) gpus.push_back({"GPU", "GPU-" + std::to_string(gpus.size()), each * kGib});
  return gpus;
}

Grant Granted(const std::variant<Grant, Refusal>& answer) {
  if (const auto* refusal = std::get_if<Refusal>(&answer)) {
    ADD_FAILURE() << refusal->reason;
    return {};
  }
  return std::get<Grant>(answer);
}

Refusal Refused(const std::variant<Grant, Refusal>& answer) {
  if (std::holds_alternative<Grant>(answer)) {
    ADD_FAILURE() << "was granted";
    return {};
  }
  return std::get<Refusal>(answer);
}

TEST(Leases, HalvesFillAGpuAndAThirdMustWait) {
  Leases leases(Gpus({16}));
  const Grant first = Granted(leases.Take({0.5}));
  ASSERT_EQ(first.slices.size(), 1u);
  EXPECT_EQ(first.slices[0].memory_bytes, 8 * kGib);
  EXPECT_EQ(first.share, 0.5);
  const Grant second = Granted(leases.Take({0.5}));
  EXPECT_NE(first.lease, second.lease);
  EXPECT_TRUE(Refused(leases.Take({0.001})).no_capacity);
  leases.End(first.lease);
  EXPECT_EQ(Granted(leases.Take({0.5})).slices[0].memory_bytes, 8 * kGib);
}

TEST(Leases, ThirdsFitThreeTimes) {
  Leases leases(Gpus({12}));
  for (int i = 0; i < 3; ++i) Granted(leases.Take({1.0 / 3}));
  EXPECT_TRUE(Refused(leases.Take({0.01})).no_capacity);
}

TEST(Leases, WholeNumbersTakeGpusThatNobodyUses) {
  Leases leases(Gpus({16, 16, 16}));
  Granted(leases.Take({0.25}));
  const Grant two = Granted(leases.Take({2}));
  ASSERT_EQ(two.slices.size(), 2u);
  EXPECT_EQ(two.slices[0].gpu, 1u);
  EXPECT_EQ(two.slices[1].gpu, 2u);
  EXPECT_EQ(two.share, 1);
  EXPECT_TRUE(Refused(leases.Take({1})).no_capacity);
  EXPECT_FALSE(Refused(leases.Take({4})).no_capacity);
}

TEST(Leases, AFractionGoesWhereItLeavesLeastUnused) {
  Leases leases(Gpus({16, 8, 16}));
  EXPECT_EQ(Granted(leases.Take({0.5, 4 * kGib})).slices[0].gpu, 1u);
  EXPECT_EQ(Granted(leases.Take({0.5, 4 * kGib})).slices[0].gpu, 1u);
  EXPECT_EQ(Granted(leases.Take({0.5, 4 * kGib})).slices[0].gpu, 0u);
}

TEST(Leases, MemoryThatNoGpuHasIsNeverGranted) {
  Leases leases(Gpus({16}));
  const Refusal refusal = Refused(leases.Take({0.5, 900 * kGib}));
  EXPECT_FALSE(refusal.no_capacity);
  EXPECT_NE(refusal.reason.find("900.0 GiB"), std::string::npos) << refusal.reason;
  EXPECT_EQ(Granted(leases.Take({0.5, 16 * kGib})).slices[0].memory_bytes, 16 * kGib);
  EXPECT_TRUE(Refused(leases.Take({0.5, 1})).no_capacity);
}

TEST(Leases, ASliceHasRoomForTheContextOfAProcess) {
  std::vector<Gpu> gpus = Gpus({16, 4});
  for (Gpu& gpu : gpus) gpu.context_bytes = kGib / 2;
  Leases leases(gpus);
  const auto too_small = [&](const Refusal& refusal) {
    EXPECT_FALSE(refusal.no_capacity);
    EXPECT_NE(refusal.reason.find(std::to_string(kGib / 2)), std::string::npos) << refusal.reason;
  };
  too_small(Refused(leases.Take({0.5, kGib / 2 - 1})));
  too_small(Refused(leases.Take({0.01})));
  too_small(Refused(leases.Take({.decided = Grant{"7f3a", 0.5, {{0, kGib / 2 - 1}}}})));
  EXPECT_EQ(Granted(leases.Take({0.1})).slices[0].gpu, 0u) << "0.4 GiB of the other one";
  EXPECT_EQ(Granted(leases.Take({0.5, kGib / 2})).slices[0].gpu, 1u);
  EXPECT_TRUE(leases.WhyTooSmall({"7f3a", 0.5, {{1, kGib / 2 - 1}}}));
  EXPECT_FALSE(leases.WhyTooSmall({"7f3a", 0.5, {{1, kGib / 2}, {7, 1}}}));
}

TEST(Leases, NumbersThatMeanNothingAreRefused) {
  Leases leases(Gpus({16, 16}));
  for (const double gpus : {0.0, 1e-8, -1.0, 1.5, 1e300, std::numeric_limits<double>::quiet_NaN(),
                            std::numeric_limits<double>::infinity()}) {
    EXPECT_FALSE(Refused(leases.Take({gpus})).no_capacity) << gpus;
  }
}

TEST(Leases, TheSumNeverPassesAGpu) {
  const std::vector<Gpu> gpus = Gpus({16, 24, 8});
  Leases leases(gpus);
  std::mt19937 random(7);
  std::map<std::string, Grant> held;
  int granted = 0, refused = 0;
  for (int step = 0; step < 5000; ++step) {
    if (random() % 3 == 0 && !held.empty()) {
      const auto any = std::next(held.begin(), random() % held.size());
      leases.End(any->first);
      held.erase(any);
    } else {
      const Wish wish{random() % 4 == 0 ? 1 + random() % 3 : (1 + random() % 20) / 20.0,
                      random() % 2 * (random() % 26 * kGib)};
      const auto answer = leases.Take(wish);
      if (const auto* grant = std::get_if<Grant>(&answer)) {
        EXPECT_TRUE(held.emplace(grant->lease, *grant).second);
        ++granted;
      } else {
        ++refused;
      }
    }
    std::vector<uint64_t> bytes(gpus.size());
    std::vector<double> shares(gpus.size());
    for (const auto& [name, grant] : held) {
      for (const Slice& slice : grant.slices) {
        bytes.at(slice.gpu) += slice.memory_bytes;
        shares.at(slice.gpu) += grant.share;
      }
    }
    for (size_t i = 0; i < gpus.size(); ++i) {
      ASSERT_LE(bytes[i], gpus[i].memory_bytes);
      ASSERT_LE(shares[i], 1 + 1e-6);
    }
  }
  EXPECT_GT(granted, 500);
  EXPECT_GT(refused, 500);
}

TEST(Leases, AnotherSizeHasToBeFreeBesideTheOthers) {
  Leases leases(Gpus({16, 16}));
  Grant lease = Granted(leases.Take({0.5}));
  Granted(leases.Take({0.25, 6 * kGib}));
  const unsigned gpu = lease.slices[0].gpu;
  lease.slices[0].memory_bytes = 10 * kGib;
  lease.share = 0.75;
  EXPECT_FALSE(leases.Resize(lease));
  EXPECT_TRUE(leases.Resize({lease.lease, 0.76, {{gpu, kGib}}}));
  EXPECT_TRUE(leases.Resize({lease.lease, 0.1, {{gpu, 10 * kGib + 1}}}));
  EXPECT_TRUE(leases.Resize({lease.lease, 0.1, {{1 - gpu, kGib}}})) << "it is on the other one";
  EXPECT_TRUE(leases.Resize({lease.lease, 0.1, {{gpu, kGib}, {1 - gpu, kGib}}}));
  EXPECT_TRUE(leases.Resize({"none", 0.1, {{gpu, kGib}}}));
  EXPECT_FALSE(leases.Resize({lease.lease, 0.1, {{gpu, kGib}}}));
  EXPECT_EQ(Granted(leases.Take({0.65, 9 * kGib})).slices[0].gpu, gpu) << "what it had is free";
  leases.End(lease.lease);
  EXPECT_EQ(Granted(leases.Take({0.1, kGib})).slices[0].gpu, gpu) << "and what it has had last, once";
  EXPECT_EQ(Granted(leases.Take({0.1, 1})).slices[0].gpu, 1 - gpu);
}

TEST(Leases, ATicketOpensOneSessionOfItsLease) {
  Leases leases(Gpus({16}));
  const std::string one = Granted(leases.Take({0.5})).lease;
  const std::string two = Granted(leases.Take({0.5})).lease;
  const std::string ticket = leases.NewTicket(one);
  const std::string other = leases.NewTicket(two);
  EXPECT_EQ(ticket.size(), kTicketBytes);
  EXPECT_NE(ticket, other);
  EXPECT_EQ(leases.UseTicket(other), two);
  EXPECT_EQ(leases.UseTicket(ticket), one);
  EXPECT_EQ(leases.UseTicket(ticket), std::nullopt);
}

TEST(Leases, WrongTicketsOpenNothing) {
  Leases leases(Gpus({16}));
  const std::string lease = Granted(leases.Take({1})).lease;
  const std::string ticket = leases.NewTicket(lease);
  EXPECT_EQ(leases.UseTicket(""), std::nullopt);
  EXPECT_EQ(leases.UseTicket(ticket.substr(1)), std::nullopt);
  EXPECT_EQ(leases.UseTicket(ticket + '\0'), std::nullopt);
  for (size_t bit = 0; bit < ticket.size() * 8; ++bit) {
    std::string wrong = ticket;
    wrong[bit / 8] = static_cast<char>(wrong[bit / 8] ^ (1 << bit % 8));
    EXPECT_EQ(leases.UseTicket(wrong), std::nullopt) << bit;
  }
  leases.End(lease);
  EXPECT_EQ(leases.UseTicket(ticket), std::nullopt);
  EXPECT_EQ(leases.NewTicket(lease), "");
}

TEST(Leases, TicketsAreBounded) {
  Leases leases(Gpus({16}));
  const std::string lease = Granted(leases.Take({1})).lease;
  const std::string first = leases.NewTicket(lease);
  const std::string second = leases.NewTicket(lease);
  for (size_t i = 1; i < kMaxTicketsPerLease; ++i) leases.NewTicket(lease);
  EXPECT_EQ(leases.UseTicket(first), std::nullopt);
  EXPECT_EQ(leases.UseTicket(second), lease);
}

}  // namespace
}  // namespace outboard::node
