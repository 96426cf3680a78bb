#include <gtest/gtest.h>

#include <thread>

#include "client/shim/contexts.h"
#include "client/shim/thread_state.h"

namespace outboard::shim {
namespace {

CUcontext Context(uint64_t number) { return reinterpret_cast<CUcontext>(number); }

// Each test runs in a thread of its own, and so with an empty stack.
template <class Body>
void InNewThread(Body body) {
  std::thread(body).join();
}

TEST(ContextStackTest, BeginsEmptyInEveryThread) {
  PushContext(Context(1));
  InNewThread([] {
    EXPECT_EQ(CurrentContext(), nullptr);
    EXPECT_EQ(ThisThread().lane.context, 0u);
    EXPECT_EQ(PopContext(), nullptr);
  });
  EXPECT_EQ(PopContext(), Context(1));
}

TEST(ContextStackTest, PushesAndPops) {
  InNewThread([] {
    PushContext(Context(1));
    PushContext(Context(2));
    EXPECT_EQ(CurrentContext(), Context(2));
    EXPECT_EQ(ThisThread().lane.context, 2u);
    EXPECT_EQ(PopContext(), Context(2));
    EXPECT_EQ(ThisThread().lane.context, 1u);
    EXPECT_EQ(PopContext(), Context(1));
    EXPECT_EQ(ThisThread().lane.context, 0u);
  });
}

TEST(ContextStackTest, SetReplacesTheTopAlone) {
  InNewThread([] {
    SetCurrentContext(Context(1));  // pushes onto an empty stack
    PushContext(Context(2));
    SetCurrentContext(Context(3));
    EXPECT_EQ(PopContext(), Context(3));
    EXPECT_EQ(CurrentContext(), Context(1));
  });
}

TEST(ContextStackTest, SetToNothingPops) {
  InNewThread([] {
    PushContext(Context(1));
    PushContext(Context(2));
    SetCurrentContext(nullptr);
    EXPECT_EQ(CurrentContext(), Context(1));
    SetCurrentContext(nullptr);
    SetCurrentContext(nullptr);
    EXPECT_EQ(CurrentContext(), nullptr);
    EXPECT_EQ(ThisThread().lane.context, 0u);
  });
}

class ContextsTest : public testing::Test {
 protected:
  CUresult Resolve(CUcontext context) { return contexts_.Resolve(&context, &info_); }

  Contexts contexts_;
  Contexts::Info info_;
};

TEST_F(ContextsTest, TellsStrangersFromTheDestroyed) {
  contexts_.Add(Context(1), {.device = 3});
  InNewThread([&] {
    EXPECT_EQ(Resolve(Context(1)), CUDA_SUCCESS);
    EXPECT_EQ(info_.device, 3);
    EXPECT_EQ(Resolve(Context(2)), CUDA_ERROR_INVALID_CONTEXT);
    EXPECT_EQ(Resolve(nullptr), CUDA_ERROR_INVALID_CONTEXT);  // none is current
    PushContext(Context(1));
    EXPECT_EQ(Resolve(nullptr), CUDA_SUCCESS);
    contexts_.Remove(Context(1));
    EXPECT_EQ(Resolve(nullptr), CUDA_ERROR_CONTEXT_IS_DESTROYED);
    EXPECT_EQ(Resolve(Context(1)), CUDA_ERROR_INVALID_CONTEXT);
  });
}

TEST_F(ContextsTest, AGreenContextIsAtHomeInItsPrimaryContext) {
  const auto green = reinterpret_cast<CUgreenCtx>(uintptr_t{7});
  CUcontext found = nullptr;
  contexts_.Add(Context(1), {.is_primary = true});
  contexts_.Add(Context(2), {.green = green, .home = Context(1)});
  EXPECT_EQ(contexts_.FindGreen(green, &found), CUDA_SUCCESS);
  EXPECT_EQ(found, Context(2));
  EXPECT_EQ(contexts_.HomeOf(Context(2)), Context(1));
  EXPECT_EQ(contexts_.HomeOf(Context(1)), Context(1));
  InNewThread([&] {
    PushContext(Context(2), Context(1));
    EXPECT_EQ(CurrentContext(), Context(2));
    EXPECT_EQ(CurrentHome(), Context(1));
    EXPECT_EQ(ThisThread().lane.context, 2u);
  });
  // It does not come back with its primary context.
  contexts_.SetActive(Context(1), false);
  contexts_.SetActive(Context(1), true);
  EXPECT_EQ(contexts_.FindGreen(green, &found), CUDA_ERROR_CONTEXT_IS_DESTROYED);
  contexts_.Remove(Context(2));
  EXPECT_EQ(contexts_.FindGreen(green, &found), CUDA_ERROR_INVALID_CONTEXT);
}

TEST_F(ContextsTest, APrimaryContextComesAndGoes) {
  contexts_.Add(Context(1), {.is_primary = true, .is_active = false});
  EXPECT_EQ(Resolve(Context(1)), CUDA_ERROR_CONTEXT_IS_DESTROYED);
  contexts_.SetActive(Context(1), true);
  EXPECT_EQ(Resolve(Context(1)), CUDA_SUCCESS);
  EXPECT_TRUE(info_.is_primary);
}

TEST_F(ContextsTest, AcceptsWorkInActiveContextsAlone) {
  ThreadState thread;
  EXPECT_FALSE(contexts_.Accepts(thread));
  contexts_.Add(Context(1), {});
  contexts_.Add(Context(2), {.is_active = false});
  thread.lane.context = 1;
  EXPECT_TRUE(contexts_.Accepts(thread));
  thread.lane.context = 2;
  EXPECT_FALSE(contexts_.Accepts(thread));
  contexts_.SetActive(Context(2), true);
  EXPECT_TRUE(contexts_.Accepts(thread));
  contexts_.Remove(Context(2));
  EXPECT_FALSE(contexts_.Accepts(thread));
}

TEST_F(ContextsTest, KeepsTheFirstStickyError) {
  ThreadState thread;
  contexts_.Add(Context(1), {});
  thread.lane.context = 1;
  contexts_.Note(CUDA_ERROR_INVALID_VALUE);
  contexts_.Note(CUDA_ERROR_NOT_READY);
  EXPECT_TRUE(contexts_.healthy());
  contexts_.Note(CUDA_ERROR_ILLEGAL_ADDRESS);
  contexts_.Note(CUDA_ERROR_LAUNCH_FAILED);
  EXPECT_EQ(contexts_.error(), CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_FALSE(contexts_.Accepts(thread));
}

TEST(ContextUsersTest, AContextEndsWithItsLastUser) {
  Contexts contexts;
  contexts.Add(Context(5), {});
  EXPECT_FALSE(contexts.Detach(Context(5))) << "who made it is the last";
  EXPECT_TRUE(contexts.Attach(Context(5)));
  EXPECT_TRUE(contexts.Attach(Context(5)));
  EXPECT_TRUE(contexts.Detach(Context(5)));
  EXPECT_TRUE(contexts.Detach(Context(5)));
  EXPECT_FALSE(contexts.Detach(Context(5)));
  EXPECT_FALSE(contexts.Attach(Context(6)));
  EXPECT_FALSE(contexts.Detach(Context(6)));
}

}  // namespace
}  // namespace outboard::shim
