#include "client/shim/link.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <thread>

#include "common/base/limits.h"
#include "common/wire/preamble.h"

namespace outboard::shim {
namespace {

TEST(LeaseTest, TakesWhatGpuRunSays) {
  const auto lease = ParseLease("ok unix:/run/node.sock 00ff7A");
  ASSERT_TRUE(lease);
  EXPECT_EQ(lease->address, "unix:/run/node.sock");
  EXPECT_EQ(lease->ticket, std::string("\0\xffz", 3));
  EXPECT_TRUE(lease->uuids.empty());
}

TEST(LeaseTest, TakesALeaseWithoutATicket) {
  for (const char* answer : {"ok host:7000", "ok host:7000 ", "ok host:7000 -"}) {
    const auto lease = ParseLease(answer);
    ASSERT_TRUE(lease) << answer;
    EXPECT_EQ(lease->address, "host:7000");
    EXPECT_EQ(lease->ticket, "");
  }
}

TEST(LeaseTest, TakesTheUuids) {
  const auto lease =
      ParseLease("ok host:7000 aa GPU-00010203-0405-0607-0809-0a0b0c0d0e0f,GPU-ff000000-0000-0000-0000-000000000000");
  ASSERT_TRUE(lease);
  ASSERT_EQ(lease->uuids.size(), 2u);
  EXPECT_EQ(lease->uuids[0][15], 15);
  EXPECT_EQ(lease->uuids[1][0], 255);
  const auto parts = ParseLease("ok host:7000 aa MIG-0,GPU-00010203-0405-0607-0809-0a0b0c0d0e0f");
  ASSERT_TRUE(parts);
  ASSERT_EQ(parts->uuids.size(), 2u);  // a name of another form keeps its place
  EXPECT_EQ(parts->uuids[1][15], 15);
}

TEST(LeaseTest, PassesOnWhyThereIsNone) {
  const auto lease = ParseLease("error the lease has ended");
  ASSERT_FALSE(lease);
  EXPECT_EQ(lease.error().message, "the lease has ended");
}

TEST(LeaseTest, RefusesWhatItDoesNotUnderstand) {
  const std::string long_ticket(2 * kMaxTicketBytes + 2, 'a');
  std::string many_uuids;
  for (unsigned i = 0; i <= kMaxDevices; ++i) many_uuids += "GPU-00000000000000000000000000000000,";
  for (const std::string& answer :
       {std::string(""), std::string("ok"), std::string("ok "), std::string("okay host:1 aa"), std::string("error"),
        std::string("error "), std::string("ok host:1 a"), std::string("ok host:1 zz"), "ok host:1 " + long_ticket,
        "ok host:1 aa " + many_uuids}) {
    EXPECT_FALSE(ParseLease(answer)) << answer;
  }
}

// Stands for gpu-run: takes one packet, answers with another.
class RunSocketTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "/outboard-link-XXXXXX";
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
    path_ = folder_ + "/run";
    listener_ = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    ASSERT_LT(path_.size(), sizeof address.sun_path);
    std::memcpy(address.sun_path, path_.data(), path_.size());
    ASSERT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(listen(listener_, 1), 0);
  }
  void TearDown() override {
    if (server_.joinable()) server_.join();
    close(listener_);
    unlink(path_.c_str());
    rmdir(folder_.c_str());
  }
  void Answer(std::string answer) {
    server_ = std::thread([this, answer] {
      const int peer = accept(listener_, nullptr, nullptr);
      char question[100] = {};
      question_ = std::string(question, recv(peer, question, sizeof question, 0) > 0 ? std::strlen(question) : 0);
      if (!answer.empty()) send(peer, answer.data(), answer.size(), MSG_NOSIGNAL);
      close(peer);
    });
  }

  std::string folder_, path_, question_;
  int listener_ = -1;
  std::thread server_;
};

TEST_F(RunSocketTest, AsksInOnePacket) {
  Answer("ok host:1 0a");
  const auto lease = AskForLease(path_);
  server_.join();
  EXPECT_EQ(question_, "outboard 1 session");
  ASSERT_TRUE(lease) << lease.error().message;
  EXPECT_EQ(lease->ticket, "\n");
}

TEST_F(RunSocketTest, SaysThatGpuRunHungUp) {
  Answer("");
  const auto lease = AskForLease(path_);
  ASSERT_FALSE(lease);
  EXPECT_NE(lease.error().message.find("hung up"), std::string::npos) << lease.error().message;
}

TEST_F(RunSocketTest, SaysThatNobodyIsThere) {
  const auto absent = AskForLease(path_ + "-absent");
  ASSERT_FALSE(absent);
  EXPECT_NE(absent.error().message.find(path_ + "-absent"), std::string::npos) << absent.error().message;
  EXPECT_FALSE(AskForLease(std::string(200, 'x')));
}

TEST(PreambleTest, IsFollowedByTheTicket) {
  const auto bytes = SessionPreamble({.address = "host:1", .ticket = "abc"});
  ASSERT_EQ(bytes.size(), sizeof(wire::Preamble) + 3);
  wire::Preamble preamble;
  std::memcpy(&preamble, bytes.data(), sizeof preamble);
  EXPECT_EQ(std::memcmp(preamble.magic, "OUTBOARD", 8), 0);
  EXPECT_EQ(preamble.kind, wire::ConnectionKind::kSession);
  EXPECT_EQ(preamble.ticket_bytes, 3u);
  EXPECT_EQ(std::memcmp(bytes.data() + sizeof preamble, "abc", 3), 0);
}

using Ordinals = std::vector<int32_t>;

TEST(ChooseDevicesTest, ChoosesAmongTheLeasesDevices) {
  const Lease lease = {.address = "host:1", .ticket = "", .uuids = {{0x12}, {0x34}, {0x56}}};
  EXPECT_EQ(ChooseDevices(std::nullopt, lease), std::nullopt);
  EXPECT_EQ(ChooseDevices("", lease), Ordinals{});
  EXPECT_EQ(ChooseDevices("2,0", lease), (Ordinals{2, 0}));
  EXPECT_EQ(ChooseDevices("GPU-56,GPU-12", lease), (Ordinals{2, 0}));
  EXPECT_EQ(ChooseDevices("1,3,0", lease), Ordinals{1});
}

TEST(ChooseDevicesTest, TakesNumbersWithoutKnowingTheDevices) {
  const Lease lease = {.address = "host:1", .ticket = "", .uuids = {}};
  EXPECT_EQ(ChooseDevices("1,0", lease), (Ordinals{1, 0}));
  EXPECT_EQ(ChooseDevices("1,GPU-00,0", lease), Ordinals{1});
  EXPECT_EQ(ChooseDevices("-1", lease), Ordinals{});
}

}  // namespace
}  // namespace outboard::shim
