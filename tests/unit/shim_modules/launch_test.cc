#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "client/shim/modules_launch.h"
#include "common/base/limits.h"

namespace outboard::shim {
namespace {

std::unique_ptr<Function> FunctionWith(std::vector<OutboardParam> params) {
  auto function = std::make_unique<Function>(Function::Identity{}, LaunchLimits(wire::DeviceInfo{}),
                                             std::make_shared<FunctionAttributes>(OutboardFunctionInfo{}));
  function->SetParams(std::move(params));
  return function;
}

TEST(PackedParams, LaysParametersOutAndClearsTheGaps) {
  const auto function = FunctionWith({{0, 1}, {8, 8}, {16, 4}});
  char small = 7;
  uint64_t wide = 0x1122334455667788;
  uint32_t last = 9;
  void* values[] = {&small, &wide, &last};
  PackedParams params;
  ASSERT_EQ(params.Pack(*function, values, nullptr), CUDA_SUCCESS);
  std::array<std::byte, 20> expected{};
  expected[0] = std::byte{7};
  std::memcpy(&expected[8], &wide, sizeof wide);
  std::memcpy(&expected[16], &last, sizeof last);
  ASSERT_EQ(params.bytes().size(), expected.size());
  EXPECT_EQ(std::memcmp(params.bytes().data(), expected.data(), expected.size()), 0);
}

TEST(PackedParams, TakesLargeParameters) {
  const auto function = FunctionWith({{0, 30000}});
  const std::vector<std::byte> value(30000, std::byte{5});
  void* values[] = {const_cast<std::byte*>(value.data())};
  PackedParams params;
  ASSERT_EQ(params.Pack(*function, values, nullptr), CUDA_SUCCESS);
  EXPECT_TRUE(std::equal(value.begin(), value.end(), params.bytes().begin(), params.bytes().end()));
}

TEST(PackedParams, MissesParameters) {
  const auto function = FunctionWith({{0, 4}, {4, 4}});
  int value = 1;
  void* values[] = {&value, nullptr};
  PackedParams params;
  EXPECT_EQ(params.Pack(*function, nullptr, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(params.Pack(*function, values, nullptr), CUDA_ERROR_INVALID_VALUE);
}

TEST(PackedParams, AKernelWithoutParametersNeedsNone) {
  const auto function = FunctionWith({});
  PackedParams params;
  EXPECT_EQ(params.Pack(*function, nullptr, nullptr), CUDA_SUCCESS);
  EXPECT_TRUE(params.bytes().empty());
}

TEST(PackedParams, TakesABufferOfTheRightSize) {
  const auto function = FunctionWith({{0, 4}, {8, 8}});
  std::array<std::byte, 24> buffer{};
  size_t size = buffer.size();
  void* extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, buffer.data(), CU_LAUNCH_PARAM_BUFFER_SIZE, &size,
                   CU_LAUNCH_PARAM_END};
  PackedParams params;
  ASSERT_EQ(params.Pack(*function, nullptr, extra), CUDA_SUCCESS);
  EXPECT_EQ(params.bytes().data(), buffer.data());
  EXPECT_EQ(params.bytes().size(), 16u);
  size = 15;
  EXPECT_EQ(params.Pack(*function, nullptr, extra), CUDA_ERROR_INVALID_VALUE);
}

TEST(PackedParams, RefusesBothWaysAtOnceAndUnknownMarks) {
  const auto function = FunctionWith({{0, 4}});
  int value = 1, other = 0;
  void* values[] = {&value};
  void* end[] = {CU_LAUNCH_PARAM_END};
  void* unknown[] = {&other, &other, CU_LAUNCH_PARAM_END};
  PackedParams params;
  EXPECT_EQ(params.Pack(*function, values, end), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(params.Pack(*function, nullptr, end), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(params.Pack(*function, nullptr, unknown), CUDA_ERROR_INVALID_VALUE);
}

TEST(PackedParams, TheBufferOfAnUnknownLayoutTravelsAsItIs) {
  Function function(Function::Identity{}, LaunchLimits(wire::DeviceInfo{}),
                    std::make_shared<FunctionAttributes>(OutboardFunctionInfo{}));
  std::array<std::byte, 12> buffer{};
  size_t size = buffer.size();
  void* extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, buffer.data(), CU_LAUNCH_PARAM_BUFFER_SIZE, &size,
                   CU_LAUNCH_PARAM_END};
  PackedParams params;
  ASSERT_EQ(params.Pack(function, nullptr, extra), CUDA_SUCCESS);
  EXPECT_EQ(params.bytes().size(), 12u);
  size = kMaxKernelParameterBytes + 1;
  EXPECT_EQ(params.Pack(function, nullptr, extra), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(params.Pack(function, nullptr, nullptr), CUDA_ERROR_NOT_SUPPORTED);
}

TEST(FlatAttributes, KeepsValuesAndClearsTheRest) {
  CUlaunchAttribute given[2];
  std::memset(given, 0xff, sizeof given);
  given[0].id = CU_LAUNCH_ATTRIBUTE_IGNORE;
  given[1].id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
  given[1].value.clusterDim = {2, 1, 1};
  FlatAttributes flat;
  ASSERT_EQ(flat.Flatten(given, 2), CUDA_SUCCESS);
  ASSERT_EQ(flat.get().size(), 1u);
  CUlaunchAttribute expected;
  std::memset(&expected, 0, sizeof expected);
  expected.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
  expected.value.clusterDim = {2, 1, 1};
  EXPECT_EQ(std::memcmp(&flat.get()[0], &expected, sizeof expected), 0);
}

TEST(FlatAttributes, RefusesWhatLeadsElsewhereOrDoesNotExist) {
  const auto flatten = [](int id) {
    CUlaunchAttribute attribute{};
    std::memcpy(&attribute.id, &id, sizeof id);
    return FlatAttributes().Flatten(&attribute, 1);
  };
  EXPECT_EQ(flatten(CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(flatten(CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(flatten(CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(flatten(CU_LAUNCH_ATTRIBUTE_MAX), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(flatten(-1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(FlatAttributes().Flatten(nullptr, 1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(FlatAttributes().Flatten(nullptr, 0), CUDA_SUCCESS);
}

TEST(FlatAttributes, HasAnEnd) {
  std::vector<CUlaunchAttribute> given(1000);
  for (CUlaunchAttribute& attribute : given) attribute.id = CU_LAUNCH_ATTRIBUTE_PRIORITY;
  EXPECT_EQ(FlatAttributes().Flatten(given.data(), 1000), CUDA_ERROR_INVALID_VALUE);
}

}  // namespace
}  // namespace outboard::shim
