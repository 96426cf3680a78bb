#include "server/softgpu/device/stream.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "common/base/limits.h"

namespace outboard::softgpu {
namespace {

void WaitFor(const std::atomic<bool>& flag) {
  while (!flag) std::this_thread::yield();
}

// Whether a thread of this process sleeps in the kernel.
bool IsAsleep(pid_t thread) {
  std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/stat");
  std::string text;
  std::getline(file, text);
  const size_t name_end = text.rfind(')');
  return name_end != std::string::npos && text[name_end + 2] == 'S';
}

TEST(Stream, RunsWorkInOrder) {
  for (const uint64_t chaos : {0, 42}) {
    std::vector<int> order;
    Stream stream(chaos);
    for (int i = 0; i < 300; ++i) stream.Submit([&order, i] { order.push_back(i); });
    stream.Last().Wait();
    std::vector<int> expected(300);
    std::iota(expected.begin(), expected.end(), 0);
    EXPECT_EQ(order, expected);
  }
}

TEST(Stream, ADefaultPointAndAnUnusedStreamAreReached) {
  EXPECT_TRUE(Point().Reached());
  Point().Wait();
  Stream stream(0);
  EXPECT_TRUE(stream.Last().Reached());
  stream.Last().Wait();
}

TEST(Stream, APointIsReachedAfterItsWorkAndNotBefore) {
  std::atomic<bool> gate = false;
  Stream stream(0);
  const Point first = stream.Submit([] {});
  const Point second = stream.Submit([&] { WaitFor(gate); });
  const Point third = stream.Submit([] {});
  first.Wait();
  EXPECT_FALSE(second.Reached());
  EXPECT_FALSE(third.Reached());
  EXPECT_FALSE(stream.Last().Reached());
  gate = true;
  third.Wait();
  EXPECT_TRUE(first.Reached() && second.Reached() && third.Reached() && stream.Last().Reached());
}

TEST(Stream, WorkIsGoneBeforeItsPointIsReached) {
  Stream stream(0);
  for (int i = 0; i < 100; ++i) {
    auto owned = std::make_shared<int>(1);
    const std::weak_ptr<int> watch = owned;
    stream.Submit([owned = std::move(owned)] {}).Wait();
    ASSERT_TRUE(watch.expired());
  }
}

TEST(Stream, WorkWaitsForPointsOfOtherStreams) {
  for (const uint64_t chaos : {0, 1, 2}) {
    std::atomic<bool> gate = false;
    int value = 0;  // ordered by the points alone
    Stream first(chaos), second(chaos), third(chaos);
    const Point a = first.Submit([&] {
      WaitFor(gate);
      value = 1;
    });
    const Point b = second.Submit([&] { value = value * 10 + 2; }, {a});
    const Point c = third.Submit([&] { value = value * 10 + 3; }, {Point(), a, b});
    const Point d = first.Submit([&] { value = value * 10 + 4; }, {c});
    EXPECT_FALSE(b.Reached() || c.Reached() || d.Reached());
    gate = true;
    d.Wait();
    EXPECT_EQ(value, 1234);
  }
}

TEST(Stream, AStreamThatWaitsDoesNotHoldOthersUp) {
  std::atomic<bool> gate = false;
  Stream blocker(0), waiter(0), other(0);
  const Point blocked = blocker.Submit([&] { WaitFor(gate); });
  const Point waiting = waiter.Submit([] {}, {blocked});
  other.Submit([] {}).Wait();
  EXPECT_FALSE(waiting.Reached());
  gate = true;
  waiting.Wait();
}

TEST(Stream, PointsOfADestroyedStreamStayReached) {
  Point point;
  {
    Stream stream(0);
    point = stream.Submit([] {});
  }
  EXPECT_TRUE(point.Reached());
  point.Wait();
  int runs = 0;
  Stream other(0);
  other.Submit([&] { ++runs; }, {point}).Wait();
  EXPECT_EQ(runs, 1);
}

TEST(Stream, DestructionWaitsForAllWork) {
  for (const uint64_t chaos : {0, 9}) {
    int done = 0;
    {
      Stream stream(chaos);
      for (int i = 0; i < 200; ++i) stream.Submit([&] { ++done; });
    }
    EXPECT_EQ(done, 200);
  }
}

TEST(Stream, SubmitBlocksWhenTheQueueIsFull) {
  std::atomic<bool> started = false, gate = false;
  std::atomic<uint32_t> submitted = 0;
  std::atomic<pid_t> submitter = 0;
  uint32_t done = 0;
  Stream stream(0);
  stream.Submit([&] {
    started = true;
    WaitFor(gate);
  });
  WaitFor(started);
  std::thread thread([&] {
    submitter = gettid();
    for (uint32_t i = 0; i < 2 * kMaxStreamQueue; ++i) {
      stream.Submit([&] { ++done; });
      ++submitted;
    }
  });
  while (submitted < kMaxStreamQueue) std::this_thread::yield();
  while (!IsAsleep(submitter)) std::this_thread::yield();
  EXPECT_EQ(submitted, kMaxStreamQueue);
  gate = true;
  thread.join();
  stream.Last().Wait();
  EXPECT_EQ(done, 2 * kMaxStreamQueue);
}

TEST(Stream, ManyThreadsMaySubmit) {
  constexpr int kThreads = 8, kEach = 1000;
  Stream stream(0);
  std::vector<std::vector<int>> seen(kThreads);  // touched by the stream's thread alone
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        const Point point = stream.Submit([&seen, t, i] { seen[t].push_back(i); });
        if (i % 100 == 0) point.Wait();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  stream.Last().Wait();
  for (const std::vector<int>& order : seen) {
    ASSERT_EQ(order.size(), static_cast<size_t>(kEach));
    for (int i = 0; i < kEach; ++i) ASSERT_EQ(order[i], i);
  }
}

TEST(Stream, ManyThreadsMayWaitForOnePoint) {
  for (int round = 0; round < 20; ++round) {
    std::atomic<bool> gate = false;
    Stream stream(0);
    const Point point = stream.Submit([&] { WaitFor(gate); });
    std::vector<std::thread> threads;
    for (int t = 0; t < 6; ++t) threads.emplace_back([point] { point.Wait(); });
    gate = true;
    for (std::thread& thread : threads) thread.join();
    EXPECT_TRUE(point.Reached());
  }
}

TEST(Stream, WakesAThreadThatHasGoneToSleep) {
  std::atomic<pid_t> runner = 0;
  Stream stream(0);
  for (int i = 0; i < 50; ++i) {
    stream.Submit([&] { runner = gettid(); }).Wait();
    while (!IsAsleep(runner)) std::this_thread::yield();
  }
  stream.Submit([] {}).Wait();
}

TEST(Stream, ItsThreadBlocksSignalsAndHasAName) {
  sigset_t mask;
  std::string name;
  Stream stream(0);
  stream
      .Submit([&] {
        pthread_sigmask(SIG_SETMASK, nullptr, &mask);
        char buffer[16];
        pthread_getname_np(pthread_self(), buffer, sizeof buffer);
        name = buffer;
      })
      .Wait();
  for (const int signal_number : {SIGINT, SIGTERM, SIGALRM, SIGPROF, SIGCHLD, SIGUSR1})
    EXPECT_EQ(sigismember(&mask, signal_number), 1);
  EXPECT_EQ(name, "softgpu-stream");
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  EXPECT_EQ(sigismember(&mask, SIGINT), 0);
}

TEST(Stream, MayBeDestroyedByItsOwnWork) {
  std::atomic<bool> done = false;
  auto stream = std::make_shared<Stream>(0);
  std::atomic<bool> gate = false;
  Stream* const raw = stream.get();
  raw->Submit([&gate, stream = std::move(stream)]() mutable {
    WaitFor(gate);
    stream.reset();
  });
  const Point last = raw->Submit([&] { done = true; });
  gate = true;
  last.Wait();
  EXPECT_TRUE(done);
}

TEST(Stream, AForkedChildMayDestroyIt) {
  auto stream = std::make_unique<Stream>(0);
  stream->Submit([] {}).Wait();
  const pid_t child = fork();
  if (child == 0) {
    stream.reset();
    _exit(0);
  }
  int status;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST(Stream, RunsWorkInTheSubmitterWhenNoThreadCanBeStarted) {
  pthread_attr_t before, impossible;
  ASSERT_EQ(pthread_getattr_default_np(&before), 0);
  ASSERT_EQ(pthread_getattr_default_np(&impossible), 0);
  pthread_attr_setstacksize(&impossible, size_t{1} << 47);
  ASSERT_EQ(pthread_setattr_default_np(&impossible), 0);
  std::vector<pid_t> runners;
  {
    Stream stream(0);
    stream.Submit([&] { runners.push_back(gettid()); }).Wait();
    stream.Submit([&] { runners.push_back(gettid()); }).Wait();
    EXPECT_EQ(runners, std::vector<pid_t>(2, gettid()));
    pthread_setattr_default_np(&before);
    stream.Submit([&] { runners.push_back(gettid()); }).Wait();
  }
  ASSERT_EQ(runners.size(), 3u);
  EXPECT_NE(runners[2], gettid());
  pthread_attr_destroy(&impossible);
  pthread_attr_destroy(&before);
}

TEST(Signal, IsReachedWhenItsOwnerSaysSoOrIsGone) {
  Signal said;
  auto gone = std::make_unique<Signal>();
  const Point first = said.point(), second = gone->point();
  std::atomic<bool> waited = false;
  Stream stream(0);
  stream.Submit([&] { waited = true; }, {first, second});
  EXPECT_FALSE(first.Reached());
  said.Reach();
  EXPECT_TRUE(first.Reached());
  EXPECT_FALSE(second.Reached());
  EXPECT_FALSE(waited);
  gone.reset();
  second.Wait();
  stream.Last().Wait();
  EXPECT_TRUE(waited);
}

}  // namespace
}  // namespace outboard::softgpu
