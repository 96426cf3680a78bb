#include "client/run/gpus_answer.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <set>

#include "common/base/limits.h"

namespace outboard::run {
namespace {

constexpr std::string_view kGood = "ok gpus\n";

wire::LeaseStatus Decode(const std::string& answer) {
  EXPECT_TRUE(answer.starts_with(kGood)) << answer;
  std::vector<std::byte> bytes(answer.size() - kGood.size());
  std::memcpy(bytes.data(), answer.data() + kGood.size(), bytes.size());
  const auto decoded = wire::DecodeLeaseStatus(bytes);
  EXPECT_TRUE(decoded);
  return decoded ? *decoded : wire::LeaseStatus();
}

NodeStatus TwoGpus() {
  NodeStatus status;
  status.lease.driver_version = "1";
  for (const char* uuid : {"GPU-0", "GPU-1"}) {
    wire::GpuStatus& gpu = status.lease.gpus.emplace_back();
    gpu.uuid = uuid;
    gpu.total_bytes = 1000;
  }
  return status;
}

bool Always(pid_t) { return true; }

TEST(GpusAnswer, ListsProcessesWhereTheyHaveMemory) {
  TicketHolders holders(Always);
  holders.Add("one", 11);
  holders.Add("two", 22);
  holders.Add("waits", 33);  // has not opened its session yet
  NodeStatus status = TwoGpus();
  status.sessions = {{"two", {0, 7}}, {"one", {5, 6}}, {"of gpu-run before", {1, 1}}};
  const wire::LeaseStatus got = Decode(GpusAnswer(status, holders));
  ASSERT_EQ(got.gpus.size(), 2u);
  EXPECT_EQ(got.gpus[1].uuid, "GPU-1");
  ASSERT_EQ(got.gpus[0].processes.size(), 1u);
  EXPECT_EQ(got.gpus[0].processes[0].pid, 11u);
  EXPECT_EQ(got.gpus[0].processes[0].used_bytes, 5u);
  ASSERT_EQ(got.gpus[1].processes.size(), 2u);
  EXPECT_EQ(got.gpus[1].processes[0].pid, 22u);
  EXPECT_EQ(got.gpus[1].processes[1].pid, 11u);
}

TEST(GpusAnswer, ANodeThatCountsOtherwiseDoesNoHarm) {
  TicketHolders holders(Always);
  holders.Add("one", 11);
  NodeStatus status = TwoGpus();
  status.sessions = {{"one", {1, 2, 3}}, {"one", {}}};
  EXPECT_EQ(Decode(GpusAnswer(status, holders)).gpus.size(), 2u);
}

TEST(GpusAnswer, PassesOnWhyThereIsNone) {
  EXPECT_EQ(GpusAnswer(Error{"the node is gone."}, TicketHolders(Always)), "error the node is gone.");
}

TEST(GpusAnswer, TheLongestIsNoLongerThanTheLibraryTakes) {
  TicketHolders holders(Always);
  NodeStatus status;
  status.lease.gpus.resize(kMaxDevices);
  for (wire::GpuStatus& gpu : status.lease.gpus) {
    gpu.name = std::string(96, 'n');
    gpu.uuid = std::string(96, 'u');
  }
  for (uint32_t i = 0; i < kMaxWorkersPerLease; ++i) {
    holders.Add(std::to_string(i), static_cast<pid_t>(i + 1));
    status.sessions.push_back({std::to_string(i), std::vector<uint64_t>(kMaxDevices, 1)});
  }
  EXPECT_LE(GpusAnswer(status, holders).size(), kMaxGpusAnswerBytes);
}

TEST(TicketHolders, ForgetsWhoIsGoneAndThenTheOldest) {
  std::set<pid_t> alive;
  TicketHolders holders([&](pid_t pid) { return alive.contains(pid); });
  alive = {1, 2};
  for (pid_t pid = 1; pid <= static_cast<pid_t>(kMaxTicketHolders); ++pid) holders.Add(std::to_string(pid), pid);
  EXPECT_EQ(holders.Find("3"), 3) << "nobody is forgotten while there is room";
  holders.Add("new", 9);
  EXPECT_EQ(holders.Find("1"), 1);
  EXPECT_EQ(holders.Find("3"), std::nullopt);
  EXPECT_EQ(holders.Find("new"), 9);

  TicketHolders full(Always);
  for (pid_t pid = 1; pid <= static_cast<pid_t>(kMaxTicketHolders) + 1; ++pid) full.Add(std::to_string(pid), pid);
  EXPECT_EQ(full.Find("1"), std::nullopt);
  EXPECT_EQ(full.Find("2"), 2);
}

TEST(TicketHolders, AProcessIsAliveUntilItIsGone) {
  EXPECT_TRUE(IsAlive(getpid()));
  const pid_t child = fork();
  if (child == 0) _exit(0);
  EXPECT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_FALSE(IsAlive(child));
}

}  // namespace
}  // namespace outboard::run
