#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "client/shim/modules_function.h"

namespace outboard::shim {
namespace {

class FunctionTest : public testing::Test {
 protected:
  FunctionTest() {
    device_.attributes.assign(CU_DEVICE_ATTRIBUTE_MAX, 0);
    SetDevice(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X, 2147483647);
    SetDevice(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y, 65535);
    SetDevice(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z, 65535);
    SetDevice(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X, 1024);
    SetDevice(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y, 1024);
    SetDevice(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z, 64);
    SetDevice(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 1024);
    SetDevice(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, 100000);
    info_.attributes[CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK] = 1024;
    info_.attributes[CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES] = 49152;
  }

  void SetDevice(CUdevice_attribute attribute, int value) { device_.attributes[attribute - 1] = value; }

  std::unique_ptr<Function> Make() {
    return std::make_unique<Function>(Function::Identity{}, LaunchLimits(device_),
                                      std::make_shared<FunctionAttributes>(info_));
  }

  static OutboardLaunchShape Shape(uint32_t blocks, uint32_t threads, uint32_t shared = 0) {
    return {{blocks, 1, 1}, {threads, 1, 1}, shared, 0};
  }

  wire::DeviceInfo device_;
  OutboardFunctionInfo info_{};
};

TEST_F(FunctionTest, AcceptsWhatIsWithinAllLimits) {
  const auto function = Make();
  EXPECT_TRUE(function->Accepts(Shape(1, 1), {}));
  EXPECT_TRUE(function->Accepts(Shape(2147483647, 1024, 49152), {}));
  EXPECT_TRUE(function->Accepts({{1, 65535, 65535}, {1, 16, 64}, 0, 0}, {}));
}

TEST_F(FunctionTest, DoubtsWhatIsNot) {
  const auto function = Make();
  EXPECT_FALSE(function->Accepts(Shape(0, 1), {}));
  EXPECT_FALSE(function->Accepts(Shape(1, 0), {}));
  EXPECT_FALSE(function->Accepts(Shape(1, 2048), {}));
  EXPECT_FALSE(function->Accepts(Shape(2147483648u, 1), {}));
  EXPECT_FALSE(function->Accepts({{1, 65536, 1}, {1, 1, 1}, 0, 0}, {}));
  EXPECT_FALSE(function->Accepts({{1, 1, 1}, {1, 1, 65}, 0, 0}, {}));
  EXPECT_FALSE(function->Accepts({{1, 1, 1}, {32, 33, 1}, 0, 0}, {}));        // 1056 threads
  EXPECT_FALSE(function->Accepts({{1, 1, 1}, {65536, 65536, 1}, 0, 0}, {}));  // 0 threads in 32 bits
  EXPECT_FALSE(function->Accepts(Shape(1, 1, 49153), {}));
}

TEST_F(FunctionTest, CountsStaticSharedMemory) {
  info_.attributes[CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES] = 60000;
  const auto function = Make();
  EXPECT_TRUE(function->Accepts(Shape(1, 1, 40000), {}));
  EXPECT_FALSE(function->Accepts(Shape(1, 1, 40001), {}));
}

TEST_F(FunctionTest, AnAttributeThatWasSetCounts) {
  const auto function = Make();
  function->attributes()->Set(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 65536);
  EXPECT_TRUE(function->Accepts(Shape(1, 1, 65536), {}));
  function->attributes()->Set(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 1024);
  EXPECT_FALSE(function->Accepts(Shape(1, 1, 2048), {}));
}

// A bound on threads may be a demand (.reqntid) of which no attribute tells.
TEST_F(FunctionTest, ABoundedKernelIsProvenByExperience) {
  info_.attributes[CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK] = 256;
  const auto function = Make();
  EXPECT_FALSE(function->Accepts(Shape(1, 128), {}));
  function->NoteAccepted(Shape(1, 128), {});
  EXPECT_TRUE(function->Accepts(Shape(1, 128), {}));
  EXPECT_TRUE(function->Accepts(Shape(7, 128, 100), {}));  // the demand is on blocks
  EXPECT_FALSE(function->Accepts(Shape(1, 64), {}));
  EXPECT_FALSE(function->Accepts(Shape(0, 128), {}));
}

TEST_F(FunctionTest, RemembersSeveralShapes) {
  info_.attributes[CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK] = 256;
  const auto function = Make();
  for (const uint32_t threads : {32u, 64u, 128u, 256u}) function->NoteAccepted(Shape(1, threads), {});
  for (const uint32_t threads : {32u, 64u, 128u, 256u}) EXPECT_TRUE(function->Accepts(Shape(1, threads), {}));
}

TEST_F(FunctionTest, LaunchAttributesAreProvenByExperience) {
  const auto function = Make();
  CUlaunchAttribute serialization{}, cooperative{};
  serialization.id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
  serialization.value.programmaticStreamSerializationAllowed = 1;
  cooperative.id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
  cooperative.value.cooperative = 1;

  EXPECT_FALSE(function->Accepts(Shape(1, 32), {&serialization, 1}));
  function->NoteAccepted(Shape(1, 32), {&serialization, 1});
  EXPECT_TRUE(function->Accepts(Shape(2, 32), {&serialization, 1}));
  EXPECT_FALSE(function->Accepts(Shape(2, 32), {&cooperative, 1}));
  function->NoteAccepted(Shape(2, 32), {&cooperative, 1});
  EXPECT_TRUE(function->Accepts(Shape(2, 32), {&cooperative, 1}));
  EXPECT_FALSE(function->Accepts(Shape(3, 32), {&cooperative, 1}));  // may be more blocks than fit
}

TEST_F(FunctionTest, AKernelThatNeedsAClusterIsProvenByExperience) {
  info_.attributes[CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET] = 1;
  EXPECT_FALSE(Make()->Accepts(Shape(1, 32), {}));
}

TEST_F(FunctionTest, KnowsItsParametersOnceTheyAreSet) {
  const auto function = Make();
  EXPECT_FALSE(function->knows_params());
  function->SetParams({{0, 4}, {8, 8}});
  EXPECT_TRUE(function->knows_params());
  EXPECT_EQ(function->param_bytes(), 16u);
}

}  // namespace
}  // namespace outboard::shim
