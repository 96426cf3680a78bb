#include <dirent.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <fstream>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/limits.h"
#include "tests/unit/transport/client.h"
#include "tests/unit/transport/peer.h"

namespace outboard::transport_test {
namespace {

// Bytes that tell where they belong.
Bytes Pattern(size_t size, uint32_t seed) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>((i * 7 + i / 251 + seed) & 0xff);
  return bytes;
}

// A peer that sends every frame back.
std::unique_ptr<Peer> Echo(const Peer::Options& options = {}) {
  auto holder = std::make_shared<Peer*>(nullptr);
  auto peer = std::make_unique<Peer>(options, [holder](std::span<const std::byte> frame) {
    (*holder)->service().Send(frame);
    return true;
  });
  *holder = peer.get();
  return peer;
}

class EachKind : public testing::TestWithParam<Listener::Kind> {};
INSTANTIATE_TEST_SUITE_P(Transport, EachKind, testing::Values(Listener::Kind::kTcp, Listener::Kind::kUnix));

TEST_P(EachKind, FramesArriveWholeInOrderAndAligned) {
  const auto peer = Echo({.kind = GetParam()});
  Client client;
  ASSERT_TRUE(client.Open(peer->address())) << client.error();
  const std::vector<size_t> sizes = {32, 40, 1000, 8192, 65'536, 65'544, 1'048'608, kMaxFrameBytes, 32, 64};
  for (size_t i = 0; i < sizes.size(); ++i) client.Send(Pattern(sizes[i], i));
  client.WaitFor(sizes.size());
  ASSERT_EQ(client.frames(), sizes.size()) << client.reason();
  for (size_t i = 0; i < sizes.size(); ++i) EXPECT_EQ(client.frame(i), Pattern(sizes[i], i)) << i;
  EXPECT_TRUE(client.all_aligned());
}

TEST_P(EachKind, AManyThousandFramesDoNotOvertakeEachOther) {
  constexpr size_t kFrames = 20'000;
  const auto peer = Echo({.kind = GetParam()});
  Client client;
  ASSERT_TRUE(client.Open(peer->address())) << client.error();
  for (size_t i = 0; i < kFrames; ++i) client.Send(Pattern(32 + i % 400 * 8, i));
  client.PollFor(kFrames);
  ASSERT_EQ(client.frames(), kFrames) << client.reason();
  for (size_t i = 0; i < kFrames; ++i) ASSERT_EQ(client.frame(i), Pattern(32 + i % 400 * 8, i)) << i;
}

TEST_P(EachKind, TheNodeGetsThePreambleAndTheWorkerTheRest) {
  const std::string preamble = std::string("OUTBOARD\0\1\2", 11) + "ticket";
  const auto peer = Echo({.kind = GetParam(), .preamble_bytes = preamble.size(), .reads_ahead = true});
  Client client;
  ASSERT_TRUE(client.Open(peer->address(), preamble)) << client.error();
  client.Send(Pattern(64, 1));
  client.PollFor(1);
  EXPECT_EQ(client.frames(), 1u) << client.reason();
  client.Close();
  peer->Join();
  EXPECT_EQ(peer->preamble(), preamble);
}

TEST(Transport, OtherVersionsOfTheSeamAreRefused) {
  EXPECT_EQ(LoadPlugin(kOutboardTransportVersion + 1), nullptr);
  ASSERT_NE(LoadPlugin(), nullptr);
  EXPECT_EQ(LoadPlugin()->version, kOutboardTransportVersion);
}

TEST(Transport, SaysWhyItCannotConnect) {
  std::string unused;
  {
    const Listener gone(Listener::Kind::kTcp);
    unused = gone.address();
  }
  Client client;
  EXPECT_FALSE(client.Open(unused));
  EXPECT_NE(client.error().find(unused), std::string::npos) << client.error();
  EXPECT_NE(client.error().find("Connection refused"), std::string::npos) << client.error();
  EXPECT_FALSE(client.Open("unix:/nonexistent/socket"));
  EXPECT_NE(client.error().find("No such file"), std::string::npos) << client.error();
  EXPECT_FALSE(client.Open("unix:" + std::string(200, 'x')));
  EXPECT_NE(client.error().find("longer"), std::string::npos) << client.error();
  EXPECT_FALSE(client.Open("just-a-name"));
  EXPECT_NE(client.error().find("host:port"), std::string::npos) << client.error();
  EXPECT_FALSE(client.Open("unix:"));
}

TEST(Transport, AnErrorIsCutToItsBuffer) {
  const OutboardTransportEvents events{};
  char error[8];
  EXPECT_EQ(LoadPlugin()->open("unix:/nonexistent/socket", nullptr, 0, &events, error, sizeof error), nullptr);
  EXPECT_EQ(strlen(error), sizeof error - 1);
}

TEST(Transport, ANodeThatHangsUpIsReportedOnce) {
  Listener listener(Listener::Kind::kUnix);
  Client client;
  ASSERT_TRUE(client.Open(listener.address()));
  listener.Accept().Reset();
  client.WaitForEnd();
  EXPECT_NE(client.reason().find("before the session began"), std::string::npos) << client.reason();
  client.Send(Pattern(32, 0));  // does nothing, and does not hang
  client.transport()->poll(client.connection(), 1'000'000'000'000);
  client.Close();
  EXPECT_EQ(client.closings(), 1);
  EXPECT_FALSE(client.called_after_close());
}

TEST(Transport, WhatTheWorkerSentBeforeTheEndArrives) {
  constexpr size_t kFrames = 500;
  Peer* self = nullptr;
  Peer peer({}, [&](std::span<const std::byte>) {
    for (size_t i = 0; i < kFrames; ++i) self->service().Send(Pattern(4000, i));
    self->service().End();
    return false;
  });
  self = &peer;
  Client client;
  ASSERT_TRUE(client.Open(peer.address()));
  client.Send(Pattern(32, 0));
  client.WaitForEnd();
  EXPECT_EQ(client.reason(), "the worker ended the session");
  ASSERT_EQ(client.frames(), kFrames);
  for (size_t i = 0; i < kFrames; ++i) ASSERT_EQ(client.frame(i), Pattern(4000, i)) << i;
  EXPECT_EQ(client.closings(), 1);
  peer.Join();
  EXPECT_EQ(peer.closings(), 1);
}

TEST(Transport, CloseSendsWhatIsQueued) {
  constexpr size_t kFrames = 100;
  std::atomic<size_t> received{0}, bytes{0};
  Peer peer({.kind = Listener::Kind::kTcp}, [&](std::span<const std::byte> frame) {
    ++received;
    bytes += frame.size();
    return true;
  });
  Client client;
  ASSERT_TRUE(client.Open(peer.address()));
  for (size_t i = 0; i < kFrames; ++i) client.Send(Pattern(4096, i));
  client.Close();
  peer.Join();
  EXPECT_EQ(received, kFrames);
  EXPECT_EQ(bytes, kFrames * 4096);
  EXPECT_EQ(peer.closings(), 1);
  EXPECT_EQ(client.closings(), 0);
}

TEST(Transport, CloseDoesNotWaitForAWorkerThatIsBusy) {
  std::promise<void> busy, go_on;
  Peer peer({}, [&](std::span<const std::byte>) {
    busy.set_value();
    go_on.get_future().wait();
    return true;
  });
  Client client;
  ASSERT_TRUE(client.Open(peer.address()));
  client.Send(Pattern(32, 0));
  busy.get_future().wait();
  client.Close();  // returns
  go_on.set_value();
  peer.Join();
  EXPECT_EQ(peer.closings(), 1);
}

TEST(Transport, APollingThreadGetsItsFrameItself) {
  const auto peer = Echo();
  Client client;
  ASSERT_TRUE(client.Open(peer->address()));
  // The first ones may still come by way of the connection's own thread; and any one, on a machine that is busy.
  size_t sent = 0;
  while (client.last_thread() != std::this_thread::get_id() && sent < 10'000) {
    client.Send(Pattern(64, 0));
    client.PollFor(++sent);
  }
  EXPECT_EQ(client.last_thread(), std::this_thread::get_id());
}

TEST(Transport, WhoDoesNotPollIsServedToo) {
  const auto peer = Echo();
  Client client;
  ASSERT_TRUE(client.Open(peer->address()));
  for (size_t i = 1; i <= 200; ++i) {
    client.Send(Pattern(64, i));
    if (i % 2 == 0) client.transport()->poll(client.connection(), 1'000);  // sometimes too short to get anything
    client.WaitFor(i);
    ASSERT_EQ(client.frames(), i) << client.reason();
  }
}

// Of two that wait, one leads and the other is told; with both gone somebody must still look after the connection.
TEST(Transport, AFrameArrivesAfterAllThatPolledHaveGone) {
  constexpr uint64_t kLong = 30'000'000, kShort = 1'000'000;
  const auto peer = Echo();
  Client client;
  ASSERT_TRUE(client.Open(peer->address()));
  for (size_t i = 0; i < 50; ++i) {
    std::vector<std::thread> threads;
    for (int t = 0; t < 2; ++t) {
      threads.emplace_back([&] { client.transport()->poll(client.connection(), kLong); });
    }
    for (int t = 0; t < 3; ++t) client.transport()->poll(client.connection(), kShort);  // so that they wait by then
    const size_t before = client.frames();
    client.Send(Pattern(64, 1));
    client.WaitFor(before + 1);
    for (std::thread& thread : threads) thread.join();
    client.Send(Pattern(64, 2));
    client.WaitFor(before + 2);
    ASSERT_EQ(client.frames(), before + 2) << client.reason();
  }
}

TEST(Transport, ManyThreadsSendAndPollAtOnce) {
  constexpr size_t kThreads = 6, kRounds = 300;
  const auto peer = Echo({.kind = Listener::Kind::kTcp});
  Client client;
  ASSERT_TRUE(client.Open(peer->address()));
  std::atomic<size_t> sent{0};
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (size_t i = 0; i < kRounds; ++i) {
        const size_t number = ++sent;
        client.Send(Pattern(64, number));
        client.PollFor(number);  // at least as many as were sent before
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  client.PollFor(kThreads * kRounds);
  EXPECT_EQ(client.frames(), kThreads * kRounds);
}

TEST(Transport, PollReturnsWhenItsTimeIsUp) {
  const auto peer = Echo();
  Client client;
  ASSERT_TRUE(client.Open(peer->address()));
  for (const uint64_t time : {0, 1, 1'000, 100'000, 3'000'000}) client.transport()->poll(client.connection(), time);
  EXPECT_EQ(client.frames(), 0u);
}

TEST(Transport, ItsThreadsTakeNoSignals) {
  const auto tasks = [] {
    std::vector<std::string> found;
    DIR* folder = opendir("/proc/self/task");
    while (const dirent* entry = readdir(folder)) {
      if (entry->d_name[0] != '.') found.emplace_back(entry->d_name);
    }
    closedir(folder);
    return found;
  };
  Listener listener(Listener::Kind::kUnix);
  const std::vector<std::string> before = tasks();
  Client client;
  ASSERT_TRUE(client.Open(listener.address()));
  size_t started = 0;
  for (const std::string& task : tasks()) {
    if (std::find(before.begin(), before.end(), task) != before.end()) continue;
    ++started;
    std::ifstream status("/proc/self/task/" + task + "/status");
    uint64_t blocked = 0;
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("SigBlk:")) blocked = std::stoull(line.substr(7), nullptr, 16);
    }
    EXPECT_NE(blocked & (uint64_t{1} << (SIGUSR1 - 1)), 0u) << task;
    EXPECT_NE(blocked & (uint64_t{1} << (SIGTERM - 1)), 0u) << task;
  }
  EXPECT_GE(started, 1u);
  sigset_t own;
  sigemptyset(&own);
  pthread_sigmask(SIG_SETMASK, nullptr, &own);
  EXPECT_FALSE(sigismember(&own, SIGTERM));
}

// Of sockets, by what /proc/self/fd says.
size_t OpenSockets() {
  size_t count = 0;
  DIR* folder = opendir("/proc/self/fd");
  while (const dirent* entry = readdir(folder)) {
    char target[64] = {};
    if (readlinkat(dirfd(folder), entry->d_name, target, sizeof target - 1) > 0) {
      count += strncmp(target, "socket:", 7) == 0;
    }
  }
  closedir(folder);
  return count;
}

TEST(Transport, AForkedChildLetsGoWithoutDisturbingItsParent) {
  const auto peer = Echo();
  Client client;
  ASSERT_TRUE(client.Open(peer->address()));
  client.Send(Pattern(64, 1));
  client.PollFor(1);
  const pid_t child = fork();
  if (child == 0) {
    const size_t before = OpenSockets();
    client.transport()->abandon(client.connection());
    const size_t after = OpenSockets();
    client.transport()->abandon(client.connection());  // what it closed is not closed again
    _exit(before == after + 1 && OpenSockets() == after ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  client.Send(Pattern(64, 2));
  client.PollFor(2);
  EXPECT_EQ(client.frames(), 2u) << client.reason();
}

TEST(Service, AClientThatGoesAwayBeforeItBeginsEndsTheWorker) {
  int closings = 0;
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
  close(ends[0]);
  worker::StreamService service;
  service.Serve(UniqueFd(ends[1]), "",
                {.frame = [](std::span<const std::byte>) { return true; }, .closed = [&] { ++closings; }});
  EXPECT_EQ(closings, 1);
}

TEST(Service, AClientThatSpeaksSomethingElseEndsTheWorker) {
  int closings = 0;
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
  const std::string nonsense = "GET / HTTP/1.1\r\n\r\n";
  ASSERT_EQ(write(ends[0], nonsense.data(), nonsense.size()), static_cast<ssize_t>(nonsense.size()));
  std::thread worker([&] {
    worker::StreamService service;
    service.Serve(UniqueFd(ends[1]), "",
                  {.frame = [](std::span<const std::byte>) { return true; }, .closed = [&] { ++closings; }});
  });
  char byte;
  while (recv(ends[0], &byte, 1, 0) != 0 && (errno == EAGAIN || errno == EINTR || errno == 0)) errno = 0;
  close(ends[0]);
  worker.join();
  EXPECT_EQ(closings, 1);
}

TEST(Service, FramesFromManyThreadsAllArrive) {
  constexpr size_t kThreads = 4, kFrames = 500;
  Peer* self = nullptr;
  Peer peer({}, [&](std::span<const std::byte>) {
    std::vector<std::thread> lanes;
    for (size_t t = 0; t < kThreads; ++t) {
      lanes.emplace_back([&] {
        for (size_t i = 0; i < kFrames; ++i) self->service().Send(Pattern(256, 0));
      });
    }
    for (std::thread& lane : lanes) lane.join();
    return true;
  });
  self = &peer;
  Client client;
  ASSERT_TRUE(client.Open(peer.address()));
  client.Send(Pattern(32, 0));
  client.PollFor(kThreads * kFrames);
  EXPECT_EQ(client.frames(), kThreads * kFrames) << client.reason();
}

}  // namespace
}  // namespace outboard::transport_test
