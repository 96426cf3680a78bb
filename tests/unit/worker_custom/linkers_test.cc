#include "server/worker/linkers.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "common/base/limits.h"

namespace outboard::worker {
namespace {

std::vector<CUlinkState>& Destroyed() {
  static std::vector<CUlinkState> destroyed;
  return destroyed;
}

class LinkersTest : public testing::Test {
 protected:
  LinkersTest() {
    Destroyed().clear();
    driver_.cuLinkDestroy = [](CUlinkState state) {
      Destroyed().push_back(state);
      return CUDA_SUCCESS;
    };
  }

  static CUlinkState State(uint64_t number) { return reinterpret_cast<CUlinkState>(number); }
  static std::shared_ptr<Linker> MakeLinker(uint64_t number) {
    auto linker = std::make_shared<Linker>();
    linker->state = State(number);
    return linker;
  }

  driver::DriverTable driver_;
};

TEST_F(LinkersTest, ANumberIsOneLinker) {
  Linkers linkers(driver_);
  ASSERT_EQ(linkers.Add(7, MakeLinker(70)), CUDA_SUCCESS);
  EXPECT_EQ(linkers.Add(7, MakeLinker(71)), CUDA_ERROR_INVALID_VALUE);
  ASSERT_NE(linkers.Find(7), nullptr);
  EXPECT_EQ(linkers.Find(7)->state, State(70));
  EXPECT_EQ(linkers.Find(8), nullptr);
  EXPECT_EQ(linkers.Destroy(7), CUDA_SUCCESS);
  EXPECT_EQ(linkers.Destroy(7), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(linkers.Find(7), nullptr);
  EXPECT_EQ(Destroyed(), (std::vector{State(70)}));
}

TEST_F(LinkersTest, WhatIsLeftEndsWithTheSession) {
  {
    Linkers linkers(driver_);
    ASSERT_EQ(linkers.Add(1, MakeLinker(10)), CUDA_SUCCESS);
    ASSERT_EQ(linkers.Add(2, MakeLinker(20)), CUDA_SUCCESS);
    linkers.Forget(2);  // which the driver did not make
  }
  EXPECT_EQ(Destroyed(), (std::vector{State(10)}));
}

TEST_F(LinkersTest, AnImageIsGoneWithItsLinker) {
  Linkers linkers(driver_);
  const auto linker = MakeLinker(10);
  linker->image = reinterpret_cast<const std::byte*>("image");
  ASSERT_EQ(linkers.Add(1, linker), CUDA_SUCCESS);
  ASSERT_EQ(linkers.Destroy(1), CUDA_SUCCESS);
  EXPECT_EQ(linker->image, nullptr) << "for a call that still holds it";
  EXPECT_EQ(linker->state, nullptr);
}

TEST_F(LinkersTest, TheirNumberIsLimited) {
  Linkers linkers(driver_);
  for (uint64_t i = 0; i < kMaxLinkers; ++i) ASSERT_EQ(linkers.Add(i, std::make_shared<Linker>()), CUDA_SUCCESS);
  EXPECT_EQ(linkers.Add(kMaxLinkers, std::make_shared<Linker>()), CUDA_ERROR_OUT_OF_MEMORY);
}

}  // namespace
}  // namespace outboard::worker
