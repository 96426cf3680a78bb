#include "server/node/node.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <string_view>
#include <system_error>

#include "common/base/limits.h"
#include "tests/fakes/temporary_folder.h"

namespace outboard::node {
namespace {

constexpr uint64_t kNodeGib = uint64_t{1} << 30;

// A node whose workers leave their assignment, and with it the session's connection, in their control socket.
class NodeTest : public testing::Test {
 protected:
  NodeTest() {
    const std::string program = folder_.path() + "/worker";
    std::ofstream(program) << "#!/bin/sh\nexec sleep 1000000\n";
    chmod(program.c_str(), 0700);
    node_ = std::make_unique<Node>(&loop_, std::vector<Gpu>{{"GPU", "GPU-0", 16 * kNodeGib}},
                                   Workers::Config{program, "driver", {}, /*keep_spare=*/true});
  }

  // Runs the loop until `done` says so after some event.
  void RunUntil(std::function<bool()> done) {
    std::function<void()> look = [&] {
      if (done()) return loop_.Stop();
      loop_.At(Loop::Clock::now(), look);
    };
    loop_.Post(look);
    loop_.Run();
  }

  std::string Open(const Wish& wish) {
    const std::variant<Grant, Refusal> answer = node_->OpenLease(wish);
    const auto* grant = std::get_if<Grant>(&answer);
    return grant != nullptr ? grant->lease : "";
  }

  // The application's end of a session's connection.
  UniqueFd Visit(const std::string& ticket) {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    node_->Admit({UniqueFd(ends[0]), wire::ConnectionKind::kSession, ticket});
    return UniqueFd(ends[1]);
  }

  static bool IsClosed(const UniqueFd& fd) {
    char byte;
    return recv(fd.get(), &byte, 1, MSG_DONTWAIT) == 0;
  }

  fakes::TemporaryFolder folder_;
  Loop loop_;
  std::unique_ptr<Node> node_;
};

TEST_F(NodeTest, ASessionWithoutAValidTicketIsClosed) {
  const std::string lease = Open({0.5});
  const std::string ticket = node_->NewTicket(lease);
  EXPECT_TRUE(IsClosed(Visit("")));
  EXPECT_TRUE(IsClosed(Visit(std::string(kTicketBytes, 'x'))));
  const UniqueFd good = Visit(ticket);
  EXPECT_FALSE(IsClosed(good));
  EXPECT_TRUE(IsClosed(Visit(ticket))) << "a ticket is good for one session";
}

wire::Figures Utilisation(uint64_t busy, uint64_t memory) {
  wire::Figures figures;
  figures[wire::Figure::kBusyPercent] = busy;
  figures[wire::Figure::kMemoryBusyPercent] = memory;
  figures[wire::Figure::kCelsius] = 41;
  return figures;
}

TEST(FiguresOfSlice, UtilisationIsTheLeasesOwnPerCentOfItsShare) {
  constexpr uint64_t kNone = wire::kNoFigure;
  const auto told = [](wire::Figures whole, double share, std::optional<double> busy) {
    return FiguresOfSlice(std::move(whole), share, busy).values();
  };
  EXPECT_EQ(told(Utilisation(kNone, kNone), 0.25, 0.1), Utilisation(40, 0).values()) << "on the software GPU";
  EXPECT_EQ(told(Utilisation(100, 60), 0.25, 0.25), Utilisation(100, 60).values()) << "beside others";
  EXPECT_EQ(told(Utilisation(100, 60), 0.5, 0.25), Utilisation(50, 30).values());
  EXPECT_EQ(told(Utilisation(80, 40), 0.5, 0.8), Utilisation(100, 80).values()) << "alone";
  EXPECT_EQ(told(Utilisation(100, 60), 0.25, 0), Utilisation(0, 0).values()) << "idle beside one that is not";
  EXPECT_EQ(told(Utilisation(0, 0), 0.5, 0.25), Utilisation(50, 0).values()) << "a sensor that is late";
  EXPECT_EQ(told(Utilisation(100, 60), 0.5, std::nullopt), Utilisation(kNone, kNone).values()) << "not governed";
  EXPECT_EQ(told(Utilisation(90, 60), 1, 0.5), Utilisation(90, 60).values()) << "all that the GPU does";
  EXPECT_EQ(told(Utilisation(90, 60), 1, std::nullopt), Utilisation(90, 60).values());
  EXPECT_EQ(told(Utilisation(kNone, kNone), 1, std::nullopt), Utilisation(kNone, kNone).values());
  EXPECT_EQ(told(Utilisation(kNone, kNone), 1, 0.5), Utilisation(50, 0).values());
}

TEST_F(NodeTest, OnlyWhoHasTurnsIsMetered) {
  EXPECT_EQ(node_->Use(Open({0.25}))->busy, 0.0);
  EXPECT_EQ(node_->Use(Open({0.25}))->share, 0.25);
  Node ungoverned(&loop_, {{"GPU", "GPU-0", kNodeGib}}, Workers::Config{"worker", "driver", {}, false}, false);
  EXPECT_EQ(ungoverned.Use(std::get<Grant>(ungoverned.OpenLease({0.5})).lease)->busy, std::nullopt);
}

TEST_F(NodeTest, MemoryIsFreeAgainWhenTheWorkersAreGone) {
  const std::string lease = Open({1});
  const UniqueFd one = Visit(node_->NewTicket(lease));
  const UniqueFd two = Visit(node_->NewTicket(lease));
  EXPECT_FALSE(IsClosed(one));
  node_->EndLease(lease);
  EXPECT_EQ(Open({1}), "") << "workers of the lease may still hold memory";
  EXPECT_TRUE(IsClosed(Visit(node_->NewTicket(lease))));
  std::string next;
  RunUntil([&] { return !(next = Open({1})).empty(); });
  EXPECT_NE(next, lease);
  siginfo_t left{};
  EXPECT_EQ(waitid(P_ALL, 0, &left, WEXITED | WNOHANG | WNOWAIT), 0);
  EXPECT_EQ(left.si_pid, 0) << "a worker that ended was not reaped";
}

TEST_F(NodeTest, AnEndedSessionLeavesRoomForAnother) {
  // Its workers end as soon as they have their assignment.
  const std::string program = folder_.path() + "/brief";
  std::ofstream(program) << "#!/bin/sh\nexec dd bs=1 count=1 <&3 >/dev/null 2>&1\n";
  chmod(program.c_str(), 0700);
  Node node(&loop_, {{"GPU", "GPU-0", 16 * kNodeGib}}, Workers::Config{program, "driver", {}, /*keep_spare=*/false});
  const std::string lease = std::get<Grant>(node.OpenLease({1})).lease;
  testing::internal::CaptureStderr();
  UniqueFd session;
  uint32_t sessions = 0;
  RunUntil([&] {
    if (session && !IsClosed(session)) return false;
    if (sessions++ > kMaxWorkersPerLease) return true;
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    session = UniqueFd(ends[1]);
    node.Admit({UniqueFd(ends[0]), wire::ConnectionKind::kSession, node.NewTicket(lease)});
    return false;
  });
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_EQ(log.find("as many sessions as it may have"), std::string::npos) << log;
}

TEST_F(NodeTest, AWorkerIsToldWhatAContextTakes) {
  const std::string program = folder_.path() + "/written", told = folder_.path() + "/assignment";
  // A session that dd reads with the rest is closed before dd has written anything.
  std::ofstream(program) << "#!/bin/sh\nfile=" << told
                         << "\ndd bs=8192 count=1 <&3 of=$file.part 2>/dev/null; mv $file.part $file\n";
  chmod(program.c_str(), 0700);
  constexpr uint64_t kContext = 0x12345678;
  Node node(&loop_, {{"GPU", "GPU-0", 16 * kNodeGib, {}, 0, kContext}},
            Workers::Config{program, "driver", {}, /*keep_spare=*/false});
  EXPECT_TRUE(std::holds_alternative<Refusal>(node.OpenLease({0.5, kContext - 1})));
  const std::string lease = std::get<Grant>(node.OpenLease({0.5})).lease;
  EXPECT_TRUE(node.Resize({lease, 0.5, {{0, kContext - 1}}}, true));
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const UniqueFd session(ends[1]);
  node.Admit({UniqueFd(ends[0]), wire::ConnectionKind::kSession, node.NewTicket(lease)});
  RunUntil([&] { return std::filesystem::exists(told); });
  std::ifstream file(told, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  EXPECT_NE(bytes.find(std::string_view(reinterpret_cast<const char*>(&kContext), sizeof kContext)), std::string::npos)
      << bytes.size();
}

TEST_F(NodeTest, ALeaseWithoutSessionsEndsAtOnce) {
  const std::string lease = Open({1});
  node_->EndLease(lease);
  node_->EndLease(lease);
  EXPECT_NE(Open({1}), "");
}

TEST_F(NodeTest, SaysWhenThePartsOfALeaseAreFree) {
  const std::string lease = Open({1});
  const UniqueFd session = Visit(node_->NewTicket(lease));
  std::string next;
  bool ended = false;
  node_->EndLease(lease, [&] {
    ended = true;
    next = Open({1});
  });
  EXPECT_FALSE(ended);  // the session's worker is still there
  RunUntil([&] { return ended; });
  EXPECT_NE(next, "");
  bool unknown_ended = false;
  node_->EndLease(lease, [&] { unknown_ended = true; });
  EXPECT_TRUE(unknown_ended);
}

TEST_F(NodeTest, SaysHowALeaseIs) {
  const std::string lease = Open({0.5}), other = Open({0.25});
  const std::string ticket = node_->NewTicket(lease), unused = node_->NewTicket(lease);
  const UniqueFd session = Visit(ticket);
  const UniqueFd its_session = Visit(node_->NewTicket(other));
  const std::optional<LeaseUse> use = node_->Use(lease);
  ASSERT_TRUE(use);
  ASSERT_EQ(use->slices.size(), 1u);
  EXPECT_EQ(use->slices[0].memory_bytes, 8 * kNodeGib);
  EXPECT_EQ(use->used_bytes, std::vector<uint64_t>{0});
  ASSERT_EQ(use->sessions.size(), 1u) << "neither what may come nor another lease's";
  EXPECT_EQ(use->sessions[0].ticket, ticket);
  EXPECT_EQ(use->sessions[0].used_bytes, std::vector<uint64_t>{0});
  EXPECT_FALSE(node_->Use("none"));
  node_->EndLease(lease);
  RunUntil([&] { return !node_->Use(lease); });
}

// The ledger that was made last but so many, as a worker has it.
slice::Ledger NewestLedger(size_t but = 0) {
  std::vector<int> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const std::string target = std::filesystem::read_symlink(entry.path(), gone).string();
    if (target.starts_with("/memfd:outboard-ledger")) found.push_back(std::stoi(entry.path().filename()));
  }
  std::sort(found.begin(), found.end());
  Result<slice::Ledger> ledger = slice::Ledger::Map(dup(found.at(found.size() - 1 - but)));
  EXPECT_TRUE(ledger) << ledger.error().message;
  return std::move(*ledger);
}

TEST_F(NodeTest, ALeaseHasAnotherSizeWhileItsWorkersRun) {
  const std::string lease = Open({0.25});
  slice::Ledger worker = NewestLedger();
  const std::string other = Open({0.25});
  const UniqueFd session = Visit(node_->NewTicket(lease));
  ASSERT_TRUE(worker.Charge(0, 3 * kGib));
  const auto resize = [&](uint64_t bytes, double share, bool when_free = false) {
    const std::optional<Refusal> refusal = node_->Resize({lease, share, {{0, bytes}}}, when_free);
    return refusal ? refusal->reason : "";
  };
  EXPECT_EQ(resize(12 * kGib, 0.75), "");
  EXPECT_EQ(worker.limit(), 12 * kGib);
  EXPECT_EQ(node_->Use(lease)->slices[0].memory_bytes, 12 * kGib);
  EXPECT_EQ(Open({0.1}), "") << "all is given out";
  EXPECT_NE(resize(12 * kGib + 1, 0.75), "");
  EXPECT_NE(resize(12 * kGib, 0.76), "");

  const std::string why = resize(2 * kGib, 0.25);
  EXPECT_NE(why.find("uses 3 GiB (" + std::to_string(3 * kGib) + " bytes) of GPU-0, more than the 2 GiB"),
            std::string::npos)
      << why;
  EXPECT_EQ(worker.limit(), 12 * kGib);
  EXPECT_EQ(Open({0.1}), "") << "nothing has changed";

  EXPECT_EQ(resize(2 * kGib, 0.25, /*when_free=*/true), "");
  EXPECT_EQ(node_->OverBytes(lease), std::vector<uint64_t>{kGib});
  EXPECT_FALSE(worker.Charge(0, 1));
  EXPECT_EQ(Open({0.1, 10 * kGib}), "") << "what is in use is not free";
  EXPECT_NE(Open({0.1, 9 * kGib}), "");
  worker.Refund(0, 2 * kGib);
  EXPECT_EQ(node_->OverBytes(lease), std::vector<uint64_t>{0});
  EXPECT_TRUE(worker.Charge(0, kGib));
  EXPECT_NE(Open({0.1, kGib}), "") << "it was freed";
  EXPECT_EQ(Open({0.1, 1}), "");

  EXPECT_NE(node_->Resize({"none", 0.5, {{0, kGib}}}, false)->reason, "");
  node_->EndLease(lease);
  EXPECT_NE(resize(kGib, 0.25), "") << "it is being ended";
  EXPECT_TRUE(node_->OverBytes("none").empty());
}

// Where one of several GPUs cannot, none does.
TEST_F(NodeTest, SeveralGpusGetAnotherSizeTogether) {
  Node node(&loop_, {{"GPU", "GPU-0", 16 * kGib}, {"GPU", "GPU-1", 16 * kGib}},
            Workers::Config{folder_.path() + "/worker", "driver", {}, /*keep_spare=*/false});
  const std::string lease = std::get<Grant>(node.OpenLease({2})).lease;
  slice::Ledger first = NewestLedger(1);
  slice::Ledger second = NewestLedger(1);  // behind what was just opened
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const UniqueFd session(ends[1]);
  node.Admit({UniqueFd(ends[0]), wire::ConnectionKind::kSession, node.NewTicket(lease)});
  ASSERT_TRUE(second.Charge(0, 9 * kGib));
  EXPECT_TRUE(node.Resize({lease, 1, {{0, 8 * kGib}, {1, 8 * kGib}}}, false));
  EXPECT_EQ(node.Use(lease)->slices[0].memory_bytes, 16 * kGib);
  EXPECT_EQ(first.limit(), 16 * kGib);
  EXPECT_EQ(second.limit(), 16 * kGib);
  EXPECT_FALSE(node.Resize({lease, 1, {{0, 8 * kGib}, {1, 9 * kGib}}}, false));
  EXPECT_EQ(first.limit(), 8 * kGib);
  EXPECT_EQ(second.limit(), 9 * kGib);
  node.EndLease(lease);
}

TEST_F(NodeTest, AnotherLeaseIsNotTouched) {
  const std::string lease = Open({0.5});
  const std::string other = Open({0.5});
  const UniqueFd session = Visit(node_->NewTicket(lease));
  const UniqueFd its_session = Visit(node_->NewTicket(other));
  node_->EndLease(lease);
  RunUntil([&] { return IsClosed(session); });
  EXPECT_FALSE(IsClosed(its_session));
}

TEST_F(NodeTest, AWorkerThatDoesNotStartLeavesNothingBehind) {
  Loop loop;
  Node node(&loop, {{"GPU", "GPU-0", 16 * kNodeGib}}, Workers::Config{"/no/such/program", "driver", {}, false});
  const std::string lease = std::get<Grant>(node.OpenLease({1})).lease;
  for (uint32_t i = 0; i < 2 * kMaxWorkersPerLease; ++i) {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    const UniqueFd peer(ends[1]);
    node.Admit({UniqueFd(ends[0]), wire::ConnectionKind::kSession, node.NewTicket(lease)});
    ASSERT_TRUE(IsClosed(peer));
  }
  node.EndLease(lease);
  EXPECT_TRUE(std::holds_alternative<Grant>(node.OpenLease({1}))) << "accounts and sessions were given back";
}

}  // namespace
}  // namespace outboard::node
