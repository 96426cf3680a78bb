#include "server/node/membership.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <fstream>
#include <functional>
#include <memory>

#include "tests/fakes/temporary_folder.h"

namespace outboard::node {
namespace {

using Kind = PoolReport::Kind;

constexpr uint64_t kMemberGib = uint64_t{1} << 30;
constexpr std::chrono::milliseconds kLongForMember{600'000};

// A node whose workers do nothing, and what it says to its pool.
class MembershipTest : public testing::Test {
 protected:
  MembershipTest() {
    const std::string program = folder_.path() + "/worker";
    std::ofstream(program) << "#!/bin/sh\nexec sleep 1000000\n";
    chmod(program.c_str(), 0700);
    node_ = std::make_unique<Node>(&loop_, std::vector<Gpu>{{"GPU", "GPU-0", 16 * kMemberGib}, {"GPU", "GPU-1", 16 * kMemberGib}},
                                   Workers::Config{program, "driver", {}, /*keep_spare=*/false});
    state_ = std::make_unique<NodeState>(std::move(*NodeState::Open(folder_.path() + "/state")));
    Make({});
  }

  void Make(Membership::Limits limits) {
    member_ =
        std::make_unique<Membership>(&loop_, node_.get(), state_.get(), Membership::Config{"n1", "pool:1", limits});
  }

  // What happened to who came with a ticket.
  struct Visit {
    uint64_t number = 0;
    std::string lease, refused, ended;
    bool no_capacity = false;
  };

  static PoolTicket Ticket(uint64_t lease, uint64_t epoch, uint32_t share = 500, const std::string& gpu = "GPU-0") {
    return {lease, epoch, "n1", {{gpu, share, share * 16 * kMemberGib / 1000}}, false, "ticket " + std::to_string(lease)};
  }
  std::unique_ptr<Visit> Come(PoolTicket ticket) {
    auto visit = std::make_unique<Visit>();
    Visit* const to = visit.get();
    visit->number = member_->Admit(std::move(ticket), {.granted = [to](const Grant& grant) { to->lease = grant.lease; },
                                                       .refused =
                                                           [to](const Refusal& refusal) {
                                                             to->refused = refusal.reason;
                                                             to->no_capacity = refusal.no_capacity;
                                                           },
                                                       .ended = [to](const std::string& why) { to->ended = why; }});
    return visit;
  }

  void Connect() {
    member_->Connected(
        {.send = [this](const PoolReport& report) { said_.push_back(report); }, .hang_up = [this] { ++hung_up_; }});
  }
  // Connects, and is welcome. The heartbeat that follows is answered.
  void Join() {
    Connect();
    member_->Welcome(kLongForMember);
    member_->Heard();
    said_.clear();
  }
  std::unique_ptr<Visit> Open(uint64_t lease, uint64_t epoch, const std::string& gpu = "GPU-0") {
    auto visit = Come(Ticket(lease, epoch, 500, gpu));
    member_->Opened(true, "");
    EXPECT_EQ(visit->lease, LeaseName(lease)) << visit->refused;
    said_.clear();
    return visit;
  }

  std::vector<Kind> Said() {
    std::vector<Kind> kinds;
    for (const PoolReport& report : said_) kinds.push_back(report.kind);
    said_.clear();
    return kinds;
  }
  static std::vector<std::string> Tickets(const PoolReport& report) {
    std::vector<std::string> tickets;
    for (const HeldLease& held : report.held) tickets.push_back(held.ticket);
    return tickets;
  }

  // The application's end of a session's connection.
  UniqueFd StartSession(const std::string& lease) {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    node_->Admit({UniqueFd(ends[0]), wire::ConnectionKind::kSession, node_->NewTicket(lease)});
    return UniqueFd(ends[1]);
  }

  void RunUntil(std::function<bool()> done) {
    std::function<void()> look = [&] {
      if (done()) return loop_.Stop();
      loop_.At(Loop::Clock::now(), look);
    };
    loop_.Post(look);
    loop_.Run();
  }

  fakes::TemporaryFolder folder_;
  Loop loop_;
  std::unique_ptr<Node> node_;
  std::unique_ptr<NodeState> state_;
  std::unique_ptr<Membership> member_;
  std::vector<PoolReport> said_;
  int hung_up_ = 0;
};

TEST_F(MembershipTest, ALeaseIsAskedForBeforeItBegins) {
  Join();
  const auto visit = Come(Ticket(0x7f3a, 9));
  ASSERT_EQ(said_.size(), 1u);
  EXPECT_EQ(said_[0].kind, Kind::kOpen);
  EXPECT_EQ(said_[0].lease, 0x7f3au);
  EXPECT_EQ(said_[0].epoch, 9u);
  EXPECT_EQ(visit->lease, "");
  EXPECT_EQ(state_->highest_epoch(), 0u) << "anybody can write a ticket";
  member_->Opened(true, "");
  EXPECT_EQ(visit->lease, "7f3a");
  EXPECT_EQ(state_->highest_epoch(), 9u);
  const std::optional<LeaseUse> use = node_->Use("7f3a");
  ASSERT_TRUE(use);
  EXPECT_EQ(use->slices[0].memory_bytes, 8 * kMemberGib);
}

TEST_F(MembershipTest, WhatThePoolDeniesDoesNotBegin) {
  Join();
  const auto visit = Come(Ticket(1, 1));
  member_->Opened(false, "lease 0001 is over.");
  EXPECT_NE(visit->refused.find("lease 0001 is over."), std::string::npos);
  EXPECT_FALSE(node_->Use("0001"));
  EXPECT_EQ(Said(), std::vector<Kind>{Kind::kOpen});
}

TEST_F(MembershipTest, TicketsOfOthersAreNotEvenAskedFor) {
  Join();
  PoolTicket of_other_node = Ticket(1, 1);
  of_other_node.node = "n2";
  PoolTicket twice = Ticket(2, 1);
  twice.gpus.push_back(twice.gpus[0]);
  PoolTicket of_nothing = Ticket(3, 1);
  of_nothing.gpus.clear();
  for (const PoolTicket& ticket : {of_other_node, twice, of_nothing, Ticket(4, 1, 0), Ticket(5, 1, 1001),
                                   Ticket(6, 1, 500, "GPU-9"), Ticket(0, 1)}) {
    EXPECT_NE(Come(ticket)->refused, "") << ticket.lease;
  }
  EXPECT_TRUE(said_.empty());
}

TEST_F(MembershipTest, ATicketIsGoodForOne) {
  Join();
  const auto first = Open(1, 1);
  EXPECT_NE(Come(Ticket(1, 1))->refused.find("opened already"), std::string::npos);
  EXPECT_TRUE(said_.empty());
}

TEST_F(MembershipTest, TwoLeasesNeverHaveTheSamePart) {
  Join();
  const auto first = Open(1, 1);
  PoolTicket of_compute = Ticket(2, 2, 501);
  of_compute.gpus[0].memory_bytes = kMemberGib;
  const auto second = Come(of_compute);
  member_->Opened(true, "");
  EXPECT_NE(second->refused.find("does not fit"), std::string::npos) << second->refused;
  EXPECT_TRUE(second->no_capacity);
  EXPECT_EQ(Said(), (std::vector<Kind>{Kind::kOpen, Kind::kOver, Kind::kHeartbeat}));
  member_->Heard();
  PoolTicket of_memory = Ticket(3, 3, 1);
  of_memory.gpus[0].memory_bytes = 9 * kMemberGib;
  const auto third = Come(of_memory);
  member_->Opened(true, "");
  EXPECT_NE(third->refused.find("does not fit"), std::string::npos) << third->refused;
}

TEST_F(MembershipTest, OneReportWaitsForItsAnswerAtATime) {
  Connect();
  EXPECT_EQ(Said(), std::vector<Kind>{Kind::kRegister});
  const auto first = Come(Ticket(1, 1, 100)), second = Come(Ticket(2, 2, 100));
  EXPECT_EQ(Said(), std::vector<Kind>{});
  member_->Welcome(kLongForMember);
  EXPECT_EQ(Said(), std::vector<Kind>{Kind::kOpen});
  member_->Opened(true, "");
  EXPECT_EQ(Said(), std::vector<Kind>{Kind::kOpen});
  member_->Opened(true, "");
  ASSERT_EQ(said_.size(), 1u);
  EXPECT_EQ(Tickets(said_[0]), (std::vector<std::string>{"ticket 1", "ticket 2"}));
  EXPECT_EQ(Said(), std::vector<Kind>{Kind::kHeartbeat});
}

TEST_F(MembershipTest, WhoLeavesIsOverWhenItsPartsAreFreeAndThePoolKnows) {
  Join();
  const auto visit = Open(1, 1);
  const UniqueFd session = StartSession("0001");
  bool has_left = false;
  member_->Leave(visit->number, [&] { has_left = true; });
  EXPECT_TRUE(said_.empty()) << "its worker is still there";
  RunUntil([&] { return !said_.empty(); });
  EXPECT_EQ(Said(), (std::vector<Kind>{Kind::kOver, Kind::kHeartbeat}));
  EXPECT_FALSE(has_left);
  member_->Heard();
  EXPECT_TRUE(has_left);
  EXPECT_EQ(visit->ended, "");
}

TEST_F(MembershipTest, WhoLeavesWhileItIsAskedForIsNotTakenIn) {
  Join();
  const auto visit = Come(Ticket(1, 1));
  bool has_left = false;
  member_->Leave(visit->number, [&] { has_left = true; });
  EXPECT_TRUE(has_left);
  EXPECT_EQ(Said(), (std::vector<Kind>{Kind::kOpen, Kind::kOver}));
  const auto again = Come(Ticket(1, 1));
  member_->Opened(true, "");  // to the first
  EXPECT_FALSE(node_->Use("0001"));
  EXPECT_EQ(again->lease, "");
  EXPECT_EQ(Said(), std::vector<Kind>{Kind::kOpen});
}

TEST_F(MembershipTest, AnOrderEndsALease) {
  Join();
  const auto visit = Open(1, 5), other = Open(2, 6);
  member_->End(1, 8, "somebody revoked it.");
  EXPECT_EQ(visit->ended, "somebody revoked it.");
  EXPECT_FALSE(node_->Use("0001"));
  EXPECT_TRUE(node_->Use("0002"));
  EXPECT_EQ(state_->highest_epoch(), 8u);
  EXPECT_EQ(Said(), (std::vector<Kind>{Kind::kOver, Kind::kHeartbeat}));
  member_->End(1, 8, "somebody revoked it.");
  EXPECT_EQ(Said(), std::vector<Kind>{Kind::kOver}) << "the pool did not hear of it the first time";
}

TEST_F(MembershipTest, AnOrderThatIsOlderThanTheLeaseIsNotObeyed) {
  Join();
  const auto visit = Open(1, 5);
  testing::internal::CaptureStderr();
  member_->End(1, 4, "of former times");
  EXPECT_NE(testing::internal::GetCapturedStderr().find("lease 0001"), std::string::npos);
  EXPECT_TRUE(node_->Use("0001"));
  EXPECT_EQ(visit->ended, "");
}

TEST_F(MembershipTest, LeasesOutliveThePoolAndAreReportedToTheNext) {
  Join();
  const auto visit = Open(1, 5), gone = Open(4, 8, "GPU-1");
  const auto asking = Come(Ticket(2, 6)), later = Come(Ticket(3, 7, 10, "GPU-1"));
  member_->Disconnected();
  bool has_left = false;
  member_->Leave(gone->number, [&] { has_left = true; });
  EXPECT_TRUE(has_left) << "there is no pool to wait for";
  EXPECT_TRUE(node_->Use("0001"));
  said_.clear();
  Connect();
  ASSERT_EQ(said_.size(), 1u);
  EXPECT_EQ(said_[0].kind, Kind::kRegister);
  EXPECT_EQ(said_[0].epoch, state_->highest_epoch());
  EXPECT_EQ(Tickets(said_[0]), (std::vector<std::string>{"ticket 1", "ticket 2"}))
      << "whether the pool heard the question is not known";
  said_.clear();
  member_->Welcome(kLongForMember);
  member_->Opened(true, "");
  member_->Opened(true, "");
  EXPECT_EQ(asking->lease, "0002");
  EXPECT_EQ(later->lease, "0003");
  EXPECT_EQ(visit->ended, "");
}

TEST_F(MembershipTest, WhoComesWhileThePoolIsAwayIsToldSo) {
  Make({.for_answer = kLongForMember, .for_pool = std::chrono::milliseconds(1)});
  const auto visit = Come(Ticket(1, 1));
  RunUntil([&] { return !visit->refused.empty(); });
  EXPECT_NE(visit->refused.find("pool:1 does not answer"), std::string::npos) << visit->refused;
  EXPECT_TRUE(visit->no_capacity);
}

TEST_F(MembershipTest, APoolThatDoesNotAnswerIsHungUpOn) {
  Make({.for_answer = std::chrono::milliseconds(1), .for_pool = kLongForMember});
  Connect();
  testing::internal::CaptureStderr();
  RunUntil([&] { return hung_up_ != 0; });
  EXPECT_NE(testing::internal::GetCapturedStderr().find("does not answer"), std::string::npos);
  EXPECT_FALSE(member_->is_registered());
}

TEST_F(MembershipTest, ARefusalIsSaidOnceAndTriedAgain) {
  testing::internal::CaptureStderr();
  for (int i = 1; i <= 3; ++i) {
    Connect();
    member_->Refused("there is another n1.", false);
    EXPECT_EQ(hung_up_, i);
  }
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1) << log;
}

TEST_F(MembershipTest, RegistersAgainWhenThePoolWantsIt) {
  Join();
  const auto visit = Open(1, 1), asking = Come(Ticket(2, 2));
  said_.clear();
  member_->Refused("there is no node n1; it has to register first.", true);
  EXPECT_EQ(Said(), std::vector<Kind>{Kind::kRegister});
  member_->Welcome(kLongForMember);
  EXPECT_EQ(Said(), std::vector<Kind>{Kind::kOpen});
  member_->Opened(true, "");
  EXPECT_EQ(asking->lease, "0002");
}

TEST_F(MembershipTest, ANodeThatEndsSaysThatItsLeasesAreOver) {
  Join();
  const auto visit = Open(1, 1);
  bool has_finished = false;
  member_->Finish([&] { has_finished = true; });
  ASSERT_EQ(said_.size(), 1u);
  EXPECT_TRUE(said_[0].is_leaving);
  member_->Heard();
  EXPECT_FALSE(has_finished);
  EXPECT_NE(Come(Ticket(2, 2))->refused, "");
  member_->Leave(visit->number, [] {});
  member_->Heard();
  EXPECT_TRUE(has_finished);
}

TEST_F(MembershipTest, ANodeThatEndsDoesNotWaitForAPoolThatIsAway) {
  bool has_finished = false;
  member_->Finish([&] { has_finished = true; });
  EXPECT_TRUE(has_finished);
}

TEST_F(MembershipTest, WhoLeavesWhileThePoolEndsTheLeaseIsToldWhy) {
  Join();
  const auto visit = Open(1, 1);
  const UniqueFd session = StartSession("0001");
  member_->End(1, 2, "it was taken away.");
  bool left = false;
  member_->Leave(visit->number, [&] { left = true; });
  RunUntil([&] { return !visit->ended.empty(); });
  EXPECT_EQ(visit->ended, "it was taken away.");
  member_->Heard();
  EXPECT_TRUE(left);
}

// --- other sizes -----------------------------------------------------------------------------------------------------

TEST_F(MembershipTest, ALeaseIsResizedAndSaidToBeSoAtOnce) {
  Join();
  const auto visit = Open(1, 1);
  PoolTicket larger = Ticket(1, 5, 750);
  larger.message = "larger";
  member_->Resize(larger, false);
  EXPECT_EQ(node_->Use("0001")->slices[0].memory_bytes, 12 * kGib);
  EXPECT_EQ(state_->highest_epoch(), 5u);
  ASSERT_EQ(said_.size(), 1u);
  EXPECT_EQ(said_[0].kind, Kind::kHeartbeat);
  EXPECT_EQ(Tickets(said_[0]), std::vector<std::string>{"larger"});
  EXPECT_EQ(said_[0].held[0].refused_epoch, 0u);
  EXPECT_EQ(said_[0].held[0].over_bytes, std::vector<uint64_t>{0});
  member_->Resize(larger, false);  // the pool was restarted, and says it again
  member_->Heard();
  EXPECT_EQ(Said().size(), 2u);
  EXPECT_EQ(node_->Use("0001")->slices[0].memory_bytes, 12 * kGib);
}

TEST_F(MembershipTest, WhatCannotBeIsRefusedWithTheReason) {
  Join();
  const auto visit = Open(1, 1), other = Open(2, 2);
  member_->Resize(Ticket(1, 5, 501), false);
  ASSERT_EQ(said_.size(), 1u);
  const HeldLease& held = said_[0].held[0];
  EXPECT_EQ(held.ticket, "ticket 1");
  EXPECT_EQ(held.refused_epoch, 5u);
  EXPECT_NE(held.why_refused.find("does not fit"), std::string::npos) << held.why_refused;
  EXPECT_EQ(node_->Use("0001")->slices[0].memory_bytes, 8 * kGib);
  member_->Heard();
  member_->Resize(Ticket(1, 6, 500, "GPU-1"), false);
  EXPECT_EQ(said_.back().held[0].refused_epoch, 6u);
  member_->Heard();
  // Epoch 5 was refused, and is no newer than what the lease has: it may be said again.
  member_->Resize(Ticket(1, 7, 250), false);
  EXPECT_EQ(node_->Use("0001")->slices[0].memory_bytes, 4 * kGib);
}

TEST_F(MembershipTest, AnOlderSizeIsNotObeyed) {
  Join();
  const auto visit = Open(1, 7);
  member_->Resize(Ticket(1, 6, 250), false);
  EXPECT_TRUE(said_.empty());
  EXPECT_EQ(node_->Use("0001")->slices[0].memory_bytes, 8 * kGib);
}

TEST_F(MembershipTest, ALeaseThatIsNotThereHasNoOtherSize) {
  Join();
  member_->Resize(Ticket(9, 9), false);
  EXPECT_EQ(Said(), (std::vector<Kind>{Kind::kOver, Kind::kHeartbeat}));
  member_->Heard();
  const auto asking = Come(Ticket(1, 1));
  member_->Resize(Ticket(1, 5, 250), false);
  member_->Opened(true, "");
  ASSERT_EQ(Said(), (std::vector<Kind>{Kind::kOpen, Kind::kHeartbeat}));
  EXPECT_EQ(node_->Use("0001")->slices[0].memory_bytes, 8 * kGib);
}

}  // namespace
}  // namespace outboard::node
