#include "client/run/run_socket.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <atomic>
#include <vector>

#include "client/run/scratch_folder.h"
#include "common/base/limits.h"

namespace outboard::run {
namespace {

class RunSocketTest : public testing::Test {
 protected:
  RunSocketTest() : folder_(ScratchFolder::Make("/tmp")), path_(folder_->path() + "/run.sock") {
    const auto session = [this](pid_t pid) {
      pid_ = pid;
      return SessionAnswer("unix:/node", std::string("\x01\xff", 2) + std::to_string(++answers_));
    };
    const auto gpus = [this] { return gpus_; };
    Result<std::unique_ptr<RunSocket>> opened = RunSocket::Open(path_, {session, gpus});
    EXPECT_TRUE(opened);
    if (opened) socket_ = std::move(*opened);
  }

  UniqueFd Connect() const {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    path_.copy(name.sun_path, path_.size());
    UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET, 0));
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
    return fd;
  }
  static std::string Ask(const UniqueFd& fd, const std::string& request) {
    EXPECT_EQ(send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
    std::string answer(kMaxGpusAnswerBytes + 1, '\0');
    const ssize_t got = recv(fd.get(), answer.data(), answer.size(), 0);
    answer.resize(got > 0 ? static_cast<size_t>(got) : 0);
    return answer;
  }

  Result<ScratchFolder> folder_;
  const std::string path_;
  int answers_ = 0;  // of the socket's thread
  std::atomic<pid_t> pid_{0};
  std::string gpus_;  // not changed while somebody asks
  std::unique_ptr<RunSocket> socket_;
};

TEST_F(RunSocketTest, EachSessionGetsAnAnswerOfItsOwn) {
  EXPECT_EQ(Ask(Connect(), "outboard 1 session"), "ok unix:/node 01ff31");
  EXPECT_EQ(Ask(Connect(), "outboard 1 session"), "ok unix:/node 01ff32");
}

TEST_F(RunSocketTest, KnowsWhoOpensASession) {
  Ask(Connect(), "outboard 1 session");
  EXPECT_EQ(pid_, getpid());
  const pid_t child = fork();
  if (child == 0) {
    Ask(Connect(), "outboard 1 session");
    _exit(0);
  }
  EXPECT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_EQ(pid_, child);
}

TEST_F(RunSocketTest, TellsOfTheGpus) {
  gpus_ = "ok gpus\nmessage";
  EXPECT_EQ(Ask(Connect(), "outboard 1 gpus"), gpus_);
  EXPECT_EQ(pid_, 0) << "no session is opened by that";
}

TEST_F(RunSocketTest, ALongAnswerArrivesWhole) {
  gpus_.assign(kMaxGpusAnswerBytes, 'x');
  EXPECT_EQ(Ask(Connect(), "outboard 1 gpus").size(), gpus_.size());
}

TEST_F(RunSocketTest, OthersThatSayNothingKeepNobodyWaiting) {
  std::vector<UniqueFd> silent;
  for (int i = 0; i < 20; ++i) silent.push_back(Connect());
  EXPECT_EQ(Ask(Connect(), "outboard 1 session"), "ok unix:/node 01ff31");
  EXPECT_EQ(Ask(silent[7], "outboard 1 session"), "ok unix:/node 01ff32");
}

TEST_F(RunSocketTest, AnotherVersionGetsASentence) {
  const std::string answer = Ask(Connect(), "outboard 2 session");
  EXPECT_TRUE(answer.starts_with("error ")) << answer;
  EXPECT_TRUE(Ask(Connect(), std::string(4000, 'x')).starts_with("error "));
  EXPECT_EQ(Ask(Connect(), "outboard 1 session"), "ok unix:/node 01ff31");
}

TEST_F(RunSocketTest, EndsWhileOthersAreConnected) {
  const UniqueFd silent = Connect();
  socket_.reset();
  char byte;
  EXPECT_LE(recv(silent.get(), &byte, 1, 0), 0);
}

}  // namespace
}  // namespace outboard::run
