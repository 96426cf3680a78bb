#include <gtest/gtest.h>

#include <thread>

#include "tests/unit/session/fake_peer.h"

namespace outboard::client {
namespace {

// Opens a session while the peer answers the hello with `answer`.
std::optional<Session::OpenError> OpenWith(FakePeer& peer, Session& session, const std::function<void()>& answer,
                                           const wire::ClientHello& hello = {}) {
  std::thread worker([&] {
    peer.Take();
    answer();
  });
  const std::byte preamble[] = {std::byte{1}, std::byte{2}};
  const auto error = session.Open(peer.address(), preamble, hello);
  worker.join();
  return error;
}

struct Opening : testing::Test {
  FakePeer peer;
  RecordedEvents events;
  Session session{peer.transport(), &events};

  std::optional<Session::OpenError> OpenAnswered(const wire::WorkerHello& hello) {
    return OpenWith(peer, session, [&] { peer.Say(wire::Control::kHello, wire::Encode(hello)).Deliver(); });
  }
};

TEST_F(Opening, TheClientIntroducesItselfFirst) {
  std::thread worker([&] {
    const SentFrame frame = peer.Take();
    const auto commands = frame.commands();
    ASSERT_EQ(commands.size(), 1u);
    EXPECT_EQ(commands[0].sequence, 1u);
    EXPECT_EQ(commands[0].header.op, static_cast<uint16_t>(wire::Control::kHello));
    const auto hello = wire::DecodeClientHello(commands[0].body);
    ASSERT_TRUE(hello.ok());
    EXPECT_EQ(hello->major_version, wire::kMajorVersion);
    EXPECT_EQ(hello->abi, wire::kAbi);
    EXPECT_EQ(hello->client, "test (pid 1)");
    EXPECT_EQ(hello->op_hashes, wire::OpHashes());
    peer.Say(wire::Control::kHello, wire::Encode(WorkerHelloOf())).Deliver();
  });
  const std::byte preamble[] = {std::byte{1}, std::byte{2}};
  const auto error = session.Open(peer.address(), preamble, {.client = "test (pid 1)"});
  worker.join();
  ASSERT_FALSE(error.has_value());
  EXPECT_EQ(peer.preamble(), (std::vector<std::byte>{std::byte{1}, std::byte{2}}));
  EXPECT_EQ(session.worker().devices.at(0).name, "Test GPU");
  EXPECT_EQ(session.status(), CUDA_SUCCESS);
}

TEST_F(Opening, TheTransportSaysWhyItCannotConnect) {
  peer.refusal = "nobody listens on unix:/nowhere";
  const auto error = session.Open(peer.address(), {}, {});
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->result, CUDA_ERROR_DEVICE_UNAVAILABLE);
  EXPECT_EQ(error->message, "nobody listens on unix:/nowhere");
}

TEST_F(Opening, TheWorkerSaysWhyItRefuses) {
  const auto error = OpenAnswered(
      {.major_version = wire::kMajorVersion, .result = CUDA_ERROR_NO_DEVICE, .error = "the lease has no GPU"});
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->result, CUDA_ERROR_NO_DEVICE);
  EXPECT_EQ(error->message, "the lease has no GPU");
  EXPECT_TRUE(peer.closed());
  EXPECT_NE(session.status(), CUDA_SUCCESS);
}

TEST_F(Opening, AnotherMajorVersionIsNamed) {
  const auto error = OpenAnswered({.major_version = wire::kMajorVersion + 1});
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->result, CUDA_ERROR_SYSTEM_DRIVER_MISMATCH);
  EXPECT_NE(error->message.find("version 2 of the protocol"), std::string::npos) << error->message;
}

TEST_F(Opening, AConnectionThatEndsIsNoHang) {
  const auto error = OpenWith(peer, session, [&] { peer.Break("the node closed the connection"); });
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->message, "the node closed the connection");
  EXPECT_TRUE(peer.closed());
}

TEST_F(Opening, AMalformedHelloIsRefused) {
  const auto error = OpenWith(peer, session, [&] {
    const std::byte nothing[8] = {std::byte{1}};
    peer.Say(wire::Control::kHello, std::span<const std::byte>(nothing)).Deliver();
  });
  ASSERT_TRUE(error.has_value());
}

TEST_F(Opening, NothingComesBeforeTheHello) {
  const auto error = OpenWith(peer, session, [&] { peer.Reply(1).Deliver(); });
  ASSERT_TRUE(error.has_value());
}

TEST_F(Opening, AnOperationIsThereWhenBothEndsHaveItInOneForm) {
  std::vector<uint64_t> hashes = wire::OpHashes();
  hashes[static_cast<size_t>(wire::Op::kcuEventRecord)] += 1;
  hashes.resize(static_cast<size_t>(wire::Op::koutboardLaunch));
  ASSERT_FALSE(OpenAnswered(WorkerHelloOf(hashes)).has_value());
  EXPECT_TRUE(session.Has(wire::Op::kcuEventQuery));
  EXPECT_FALSE(session.Has(wire::Op::kcuEventRecord));
  EXPECT_FALSE(session.Has(wire::Op::koutboardLaunch));
}

}  // namespace
}  // namespace outboard::client
