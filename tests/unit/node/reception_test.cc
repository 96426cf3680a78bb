#include "server/node/reception.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "common/base/limits.h"
#include "server/node/listener.h"
#include "tests/fakes/temporary_folder.h"

namespace outboard::node {
namespace {

// A reception at a Unix socket, on a loop that runs on a thread of its own.
class ReceptionTest : public testing::Test {
 protected:
  ReceptionTest() : listener_(Listener::Open("unix:" + folder_.path() + "/socket")) {
    reception_ = std::make_unique<Reception>(
        &loop_, listener_->fd(), [this](Visitor visitor) { visitors_[count_++].set_value(std::move(visitor)); });
    thread_ = std::thread([this] { loop_.Run(); });
  }
  ~ReceptionTest() override {
    loop_.Stop();
    thread_.join();
  }

  UniqueFd Connect() {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    const std::string path = folder_.path() + "/socket";
    path.copy(name.sun_path, path.size());
    UniqueFd fd(socket(AF_UNIX, SOCK_STREAM, 0));
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
    return fd;
  }
  UniqueFd Send(const std::string& bytes) {
    UniqueFd fd = Connect();
    EXPECT_EQ(send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
    return fd;
  }
  Visitor Next() { return visitors_[read_++].get_future().get(); }

  fakes::TemporaryFolder folder_;
  Result<Listener> listener_;
  Loop loop_;
  std::unique_ptr<Reception> reception_;
  std::promise<Visitor> visitors_[8];
  size_t count_ = 0;  // of the loop's thread
  size_t read_ = 0;
  std::thread thread_;
};

std::string Head(wire::ConnectionKind kind, uint32_t ticket_bytes) {
  wire::Preamble preamble;
  preamble.kind = kind;
  preamble.ticket_bytes = ticket_bytes;
  return std::string(reinterpret_cast<const char*>(&preamble), sizeof preamble);
}

// Whether the other end closed the connection without a word. Waits for that.
bool IsClosed(const UniqueFd& fd) {
  char byte;
  return recv(fd.get(), &byte, 1, 0) <= 0;
}

TEST_F(ReceptionTest, AdmitsWhoSaysWhatItIsFor) {
  const UniqueFd node = Send(Head(wire::ConnectionKind::kNode, 0));
  EXPECT_EQ(Next().kind, wire::ConnectionKind::kNode);
  const UniqueFd session = Send(Head(wire::ConnectionKind::kSession, 5) + "ABCDE");
  const Visitor visitor = Next();
  EXPECT_EQ(visitor.kind, wire::ConnectionKind::kSession);
  EXPECT_EQ(visitor.ticket, "ABCDE");
}

TEST_F(ReceptionTest, LeavesWhatFollowsToWhoGetsTheConnection) {
  const UniqueFd session = Send(Head(wire::ConnectionKind::kSession, 2) + "AB" + "rest");
  const Visitor visitor = Next();
  char bytes[8] = {};
  EXPECT_EQ(recv(visitor.connection.get(), bytes, sizeof bytes, 0), 4);
  EXPECT_STREQ(bytes, "rest");
}

TEST_F(ReceptionTest, OneThatSaysHalfKeepsNobodyWaiting) {
  const std::string whole = Head(wire::ConnectionKind::kSession, 3) + "ABC";
  std::vector<UniqueFd> slow;
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) slow.push_back(Send(whole.substr(0, bytes)));
  const UniqueFd quick = Send(Head(wire::ConnectionKind::kNode, 0));
  EXPECT_EQ(Next().kind, wire::ConnectionKind::kNode);
  // The rest may come later.
  EXPECT_EQ(send(slow[7].get(), whole.data() + 7, whole.size() - 7, 0), static_cast<ssize_t>(whole.size() - 7));
  EXPECT_EQ(Next().ticket, "ABC");
}

TEST_F(ReceptionTest, ClosesWhatIsWrong) {
  const auto changed = [](size_t at, char value) {
    std::string head = Head(wire::ConnectionKind::kSession, 0);
    head[at] = value;
    return head;
  };
  EXPECT_TRUE(IsClosed(Send(changed(0, 'o')))) << "magic";
  EXPECT_TRUE(IsClosed(Send(changed(8, 2)))) << "major version";
  EXPECT_TRUE(IsClosed(Send(changed(12, 0)))) << "kind";
  EXPECT_TRUE(IsClosed(Send(changed(12, 3)))) << "kind";
  EXPECT_TRUE(IsClosed(Send(changed(20, 1)))) << "reserved";
  EXPECT_TRUE(IsClosed(Send(Head(wire::ConnectionKind::kSession, kMaxTicketBytes + 1))));
  EXPECT_TRUE(IsClosed(Send(Head(wire::ConnectionKind::kNode, 4) + "ABCD")));
  const UniqueFd half = Send(Head(wire::ConnectionKind::kSession, 4) + "AB");
  shutdown(half.get(), SHUT_WR);
  EXPECT_TRUE(IsClosed(half));
  EXPECT_EQ(count_, 0u);
}

}  // namespace
}  // namespace outboard::node
