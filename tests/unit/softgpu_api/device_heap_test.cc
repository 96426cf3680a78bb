#include "server/softgpu/api/device_heap.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

namespace outboard::softgpu::api {
namespace {

TEST(DeviceHeap, HasNothingBeforeItIsPlaced) {
  DeviceHeap heap(4096);
  EXPECT_FALSE(heap.placed());
  EXPECT_EQ(heap.Allocate(16), 0u);
  EXPECT_TRUE(heap.set_limit(8192));
  heap.Place(1 << 20);
  EXPECT_FALSE(heap.set_limit(4096));
  EXPECT_EQ(heap.limit(), 8192u);
}

TEST(DeviceHeap, GivesAlignedPiecesUntilItIsFull) {
  DeviceHeap heap(64);
  heap.Place(0x1000);
  EXPECT_EQ(heap.Allocate(1), 0x1000u);
  EXPECT_EQ(heap.Allocate(17), 0x1010u);
  EXPECT_EQ(heap.Allocate(16), 0x1030u);
  EXPECT_EQ(heap.Allocate(1), 0u);
}

TEST(DeviceHeap, RefusesSizesThatWouldOverflow) {
  DeviceHeap heap(64);
  heap.Place(0x1000);
  EXPECT_EQ(heap.Allocate(0), 0u);
  EXPECT_EQ(heap.Allocate(~uint64_t{0}), 0u);
  EXPECT_EQ(heap.Allocate(~uint64_t{0} - 8), 0u);
}

TEST(DeviceHeap, RefusesToFreeWhatIsNotLive) {
  DeviceHeap heap(64);
  heap.Place(0x1000);
  const uint64_t piece = heap.Allocate(32);
  EXPECT_FALSE(heap.Free(0));
  EXPECT_FALSE(heap.Free(piece + 16));
  EXPECT_TRUE(heap.Free(piece));
  EXPECT_FALSE(heap.Free(piece));
}

TEST(DeviceHeap, MergesNeighboursSoThatAllComesBack) {
  DeviceHeap heap(4096);
  heap.Place(0x10000);
  std::mt19937 random(1);
  std::map<uint64_t, uint64_t> live;
  for (int i = 0; i < 5000; ++i) {
    if (random() % 2 == 0) {
      const uint64_t size = 1 + random() % 200;
      const uint64_t piece = heap.Allocate(size);
      if (piece == 0) continue;
      ASSERT_GE(piece, 0x10000u);
      ASSERT_LE(piece + size, 0x10000u + 4096);
      const auto next = live.lower_bound(piece);
      if (next != live.end()) {
        ASSERT_LE(piece + size, next->first);
      }
      if (next != live.begin()) {
        ASSERT_LE(std::prev(next)->first + std::prev(next)->second, piece);
      }
      live.emplace(piece, size);
    } else if (!live.empty()) {
      const auto victim = std::next(live.begin(), random() % live.size());
      ASSERT_TRUE(heap.Free(victim->first));
      live.erase(victim);
    }
  }
  for (const auto& [piece, size] : live) ASSERT_TRUE(heap.Free(piece));
  EXPECT_EQ(heap.Allocate(4096), 0x10000u);
}

}  // namespace
}  // namespace outboard::softgpu::api
