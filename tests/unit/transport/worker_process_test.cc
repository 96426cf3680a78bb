#include <cuda.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "common/base/spawn.h"
#include "common/wire/frame.h"
#include "common/wire/hello.h"
#include "server/slice/ledger.h"
#include "server/worker/control.h"
#include "tests/unit/transport/client.h"
#include "tests/unit/transport/peer.h"

// The program gpu-worker, with the test as its node and its client.

namespace outboard::transport_test {
namespace {

constexpr uint64_t kMemory = 64 << 20;
constexpr int kControl = 3;

class Worker {
 public:
  explicit Worker(const std::string& driver = OUTBOARD_SOFTGPU_FILE) {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    control_.Reset(ends[0]);
    const UniqueFd its(ends[1]);
    Program program;
    program.arguments = {OUTBOARD_WORKER_FILE, "--driver", driver, "--control-fd", std::to_string(kControl)};
    program.environment = {"SOFTGPU_DEVICES=1"};
    program.descriptors = {{its.get(), kControl}};
    program.signal_at_our_end = SIGKILL;
    sigemptyset(&program.signal_mask);
    const auto started = Spawn(program);
    if (const pid_t* pid = std::get_if<pid_t>(&started)) pid_ = *pid;
    EXPECT_GT(pid_, 0);
  }
  ~Worker() { Kill(); }
  int control() const { return control_.get(); }
  void CloseControl() { control_.Reset(); }
  worker::Ready Ready() {
    Result<std::optional<worker::Ready>> ready = worker::ReceiveReady(control());
    EXPECT_TRUE(ready && ready->has_value());
    return ready && *ready ? **ready : worker::Ready{};
  }
  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    Wait();
  }
  // As waitpid says it.
  int Wait() {
    int status = -1;
    waitpid(std::exchange(pid_, 0), &status, 0);
    return status;
  }

 private:
  UniqueFd control_;
  pid_t pid_ = 0;
};

// A frame of one command.
Bytes Frame(uint64_t sequence, wire::Control control, std::span<const std::byte> body) {
  const size_t body_bytes = (body.size() + 7) / 8 * 8;
  wire::CommandHeader command{};
  command.bytes = static_cast<uint32_t>(sizeof command + body_bytes);
  command.op = static_cast<uint16_t>(control);
  wire::FrameHeader header{};
  header.magic = wire::kFrameMagic;
  header.bytes = static_cast<uint32_t>(sizeof header + command.bytes);
  header.first = sequence;
  header.count = 1;
  Bytes frame(header.bytes);
  std::memcpy(frame.data(), &header, sizeof header);
  std::memcpy(frame.data() + sizeof header, &command, sizeof command);
  std::memcpy(frame.data() + sizeof header + sizeof command, body.data(), body.size());
  return frame;
}

class WorkerProcessTest : public testing::Test {
 protected:
  // Connects a client and hands its connection to the worker, as a node does.
  void Attach() {
    ASSERT_EQ(worker_.Ready().error, "");
    Listener listener(Listener::Kind::kUnix);
    ASSERT_TRUE(client_.Open(listener.address()));
    Result<slice::Ledger> ledger = slice::Ledger::Create(kMemory);
    ASSERT_TRUE(ledger);
    worker::Assignment assignment;
    assignment.session = 7;
    assignment.ticket = "ticket";
    assignment.connection = listener.Accept();
    fcntl(assignment.connection.get(), F_SETFL, O_NONBLOCK);
    assignment.devices.push_back({0, ledger->OpenAccount().value(), UniqueFd(dup(ledger->fd()))});
    ASSERT_FALSE(worker::SendAssignment(worker_.control(), assignment));
  }
  void SayHello(const std::string& ticket) {
    wire::ClientHello hello;
    hello.major_version = wire::kMajorVersion;
    hello.abi = wire::kAbi;
    hello.ticket = ticket;
    hello.client = "test";
    client_.Send(Frame(1, wire::Control::kHello, wire::Encode(hello)));
  }
  // The first thing that the worker said.
  std::optional<wire::WorkerHello> Answer() {
    client_.WaitFor(1);
    if (client_.frames() == 0) return std::nullopt;
    const Bytes frame = client_.frame(0);
    auto reader = wire::FrameReader::Open(frame);
    const auto command = reader ? reader->Next() : std::nullopt;
    if (!command || command->header.op != static_cast<uint16_t>(wire::Control::kHello)) return std::nullopt;
    Result<wire::WorkerHello> hello = wire::DecodeWorkerHello(command->body);
    return hello ? std::optional(*hello) : std::nullopt;
  }

  Worker worker_;
  Client client_;
};

TEST(WorkerProcess, ASpareOneIsReadyAndEndsWithItsNode) {
  Worker worker;
  const worker::Ready ready = worker.Ready();
  EXPECT_EQ(ready.result, CUDA_SUCCESS);
  EXPECT_EQ(ready.error, "");
  EXPECT_GE(ready.driver_version, 12000);
  worker.CloseControl();
  EXPECT_EQ(worker.Wait(), 0);
}

TEST(WorkerProcess, SaysWhyItHasNoDriver) {
  Worker worker("/nonexistent/libcuda.so.1");
  const worker::Ready ready = worker.Ready();
  EXPECT_EQ(ready.result, CUDA_ERROR_SHARED_OBJECT_INIT_FAILED);
  EXPECT_NE(ready.error.find("/nonexistent/libcuda.so.1"), std::string::npos) << ready.error;
  const int status = worker.Wait();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 1) << status;
}

TEST_F(WorkerProcessTest, ServesOneSessionAndExits) {
  ASSERT_NO_FATAL_FAILURE(Attach());
  SayHello("ticket");
  const auto hello = Answer();
  ASSERT_TRUE(hello) << client_.reason();
  EXPECT_EQ(hello->error, "");
  EXPECT_EQ(hello->session, 7u);
  ASSERT_EQ(hello->devices.size(), 1u);
  EXPECT_EQ(hello->devices[0].total_memory, kMemory);
  client_.Close();
  EXPECT_EQ(worker_.Wait(), 0);
}

TEST_F(WorkerProcessTest, AnswersAGoodbyeByItsOwn) {
  ASSERT_NO_FATAL_FAILURE(Attach());
  SayHello("ticket");
  ASSERT_TRUE(Answer()) << client_.reason();
  client_.Send(Frame(2, wire::Control::kEnd, {}));
  client_.WaitForEnd();
  EXPECT_EQ(client_.reason(), "the worker ended the session");
  const Bytes last = client_.frame(client_.frames() - 1);
  const auto command = wire::FrameReader::Open(last)->Next();
  ASSERT_TRUE(command);
  EXPECT_EQ(command->header.op, static_cast<uint16_t>(wire::Control::kEnd));
  EXPECT_TRUE(command->body.empty()) << "as planned";
  EXPECT_EQ(worker_.Wait(), 0);
}

TEST_F(WorkerProcessTest, AnotherTicketOpensNothing) {
  ASSERT_NO_FATAL_FAILURE(Attach());
  SayHello("another");
  const auto hello = Answer();
  ASSERT_TRUE(hello) << client_.reason();
  EXPECT_NE(hello->error, "");
  client_.WaitForEnd();
  EXPECT_EQ(worker_.Wait(), 0);
}

TEST_F(WorkerProcessTest, NonsenseEndsTheSessionInAnOrderlyWay) {
  ASSERT_NO_FATAL_FAILURE(Attach());
  client_.Send(Bytes(64, std::byte{0x5a}));
  client_.WaitForEnd();
  EXPECT_EQ(client_.reason(), "the worker ended the session");
  EXPECT_EQ(worker_.Wait(), 0);
}

TEST_F(WorkerProcessTest, EndsWhenTheNodeIsGone) {
  ASSERT_NO_FATAL_FAILURE(Attach());
  SayHello("ticket");
  ASSERT_TRUE(Answer()) << client_.reason();
  worker_.CloseControl();
  client_.WaitForEnd();
  EXPECT_EQ(worker_.Wait(), 0);
}

TEST_F(WorkerProcessTest, AKilledWorkerIsReportedToItsClient) {
  ASSERT_NO_FATAL_FAILURE(Attach());
  SayHello("ticket");
  ASSERT_TRUE(Answer()) << client_.reason();
  worker_.Kill();
  client_.WaitForEnd();
  EXPECT_NE(client_.reason().find("broke"), std::string::npos) << client_.reason();
}

// What the worker writes to its standard error.
struct CapturedStderr {
  CapturedStderr() { testing::internal::CaptureStderr(); }
};
class WorkerLogTest : CapturedStderr, public WorkerProcessTest {
 protected:
  std::string Log() {
    EXPECT_EQ(worker_.Wait(), 0);
    return testing::internal::GetCapturedStderr();
  }
};

TEST_F(WorkerLogTest, IsWrittenWhereItWasWhileTheClientHasStandardError) {
  ASSERT_NO_FATAL_FAILURE(Attach());
  client_.Send(Bytes(64, std::byte{0x5a}));
  client_.WaitForEnd();
  const std::string log = Log();
  EXPECT_TRUE(log.starts_with("outboard: warn: session 7 of ")) << log;
}

TEST_F(WorkerLogTest, SaysNothingOfTheEndOfALease) {
  ASSERT_NO_FATAL_FAILURE(Attach());
  SayHello("ticket");
  ASSERT_TRUE(Answer()) << client_.reason();
  worker_.CloseControl();
  client_.WaitForEnd();
  EXPECT_EQ(Log(), "");
}

}  // namespace
}  // namespace outboard::transport_test
