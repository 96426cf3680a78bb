#include "client/shim/host_calls.h"

#include <gtest/gtest.h>

#include <future>
#include <vector>

#include "client/shim/thread_state.h"

namespace outboard::shim {
namespace {

class HostCallsTest : public testing::Test {
 protected:
  // The object's thread runs until the process ends.
  HostCallsTest() : calls_(*new HostCalls([this](uint64_t call) { Done(call); })) {}

  void Done(uint64_t call) {
    std::lock_guard lock(mutex_);
    done_.push_back(call);
    changed_.notify_all();
  }
  void AwaitDone(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return done_.size() >= count; });
  }

  HostCalls& calls_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<uint64_t> done_;
};

TEST_F(HostCallsTest, RunsWhatTheWorkerComesTo) {
  std::vector<int> order;
  struct Step {
    std::vector<int>* order;
    int number;
  };
  Step one{&order, 1}, two{&order, 2};
  const CUhostFn step = [](void* data) {
    static_cast<Step*>(data)->order->push_back(static_cast<Step*>(data)->number);
  };
  const uint64_t first = calls_.Add(step, &one), second = calls_.Add(step, &two);
  EXPECT_TRUE(calls_.outstanding());
  calls_.Run(second, CUDA_SUCCESS);  // the worker's order, not that of the launches
  calls_.Run(first, CUDA_SUCCESS);
  AwaitDone(2);
  EXPECT_EQ(order, (std::vector{2, 1}));
  EXPECT_EQ(done_, (std::vector{second, first}));
  EXPECT_FALSE(calls_.outstanding());
}

TEST_F(HostCallsTest, TellsCallbacksStreamAndStatus) {
  struct Seen {
    CUstream stream;
    CUresult status;
  } seen{};
  const auto stream = reinterpret_cast<CUstream>(0x77);
  const uint64_t call = calls_.Add(
      [](CUstream stream, CUresult status, void* data) {
        *static_cast<Seen*>(data) = {stream, status};
      },
      stream, &seen);
  calls_.Run(call, CUDA_ERROR_LAUNCH_FAILED);
  AwaitDone(1);
  EXPECT_EQ(seen.stream, stream);
  EXPECT_EQ(seen.status, CUDA_ERROR_LAUNCH_FAILED);
}

TEST_F(HostCallsTest, RunsThemWhereNoCallIsPermitted) {
  bool in_host_function = false;
  calls_.Run(
      calls_.Add([](void* data) { *static_cast<bool*>(data) = ThisThread().in_host_function; }, &in_host_function),
      CUDA_SUCCESS);
  AwaitDone(1);
  EXPECT_TRUE(in_host_function);
  EXPECT_FALSE(ThisThread().in_host_function);
}

TEST_F(HostCallsTest, ForgetsWhatTheWorkerRefused) {
  const uint64_t call = calls_.Add([](void*) { FAIL(); }, nullptr);
  calls_.Drop(call);
  EXPECT_FALSE(calls_.outstanding());
  calls_.Run(call, CUDA_SUCCESS);  // a stream that comes to it nevertheless does not wait for ever
  AwaitDone(1);
}

}  // namespace
}  // namespace outboard::shim
