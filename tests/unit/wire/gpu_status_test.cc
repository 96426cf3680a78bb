#include "common/wire/gpu_status.h"

#include <gtest/gtest.h>

#include <cstring>

#include "common/base/limits.h"
#include "common/wire/message.h"

namespace outboard::wire {
namespace {

LeaseStatus TwoGpus() {
  LeaseStatus status;
  status.driver_version = "580.65.06";
  GpuStatus& first = status.gpus.emplace_back();
  first.name = "Test GPU";
  first.uuid = "GPU-1";
  first.total_bytes = 80ull << 30;
  first.used_bytes = 7;
  first.figures[Figure::kCelsius] = 41;
  first.figures[Figure::kEnergyMillijoules] = 1ull << 40;
  first.processes = {{4711, 7}, {4712, 0}};
  GpuStatus& second = status.gpus.emplace_back();
  second.name = "Other GPU";
  second.total_bytes = 1;
  second.used_bytes = 2;  // the slice was made smaller
  return status;
}

TEST(GpuStatus, ArrivesAsItWas) {
  const LeaseStatus sent = TwoGpus();
  const auto got = DecodeLeaseStatus(Encode(sent));
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got->driver_version, sent.driver_version);
  ASSERT_EQ(got->gpus.size(), 2u);
  EXPECT_EQ(got->gpus[0].name, "Test GPU");
  EXPECT_EQ(got->gpus[0].uuid, "GPU-1");
  EXPECT_EQ(got->gpus[0].total_bytes, 80ull << 30);
  EXPECT_EQ(got->gpus[0].used_bytes, 7u);
  EXPECT_EQ(got->gpus[0].figures.values(), sent.gpus[0].figures.values());
  ASSERT_EQ(got->gpus[0].processes.size(), 2u);
  EXPECT_EQ(got->gpus[0].processes[1].pid, 4712u);
  EXPECT_EQ(got->gpus[1].name, "Other GPU");
  EXPECT_EQ(got->gpus[1].figures[Figure::kCelsius], kNoFigure);
  EXPECT_TRUE(got->gpus[1].processes.empty());
}

TEST(GpuStatus, EveryPartIsRefused) {
  const std::vector<std::byte> whole = Encode(TwoGpus());
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    EXPECT_FALSE(DecodeLeaseStatus(std::span(whole).first(bytes)).ok()) << bytes;
  }
  std::vector<std::byte> longer = whole;
  longer.resize(whole.size() + 8);
  EXPECT_FALSE(DecodeLeaseStatus(longer).ok());
}

TEST(GpuStatus, MoreThanThereCanBeIsRefused) {
  LeaseStatus status = TwoGpus();
  status.gpus[0].processes.resize(kMaxWorkersPerLease + 1);
  EXPECT_FALSE(DecodeLeaseStatus(Encode(status)).ok());
  status.gpus.assign(kMaxDevices + 1, {});
  EXPECT_FALSE(DecodeLeaseStatus(Encode(status)).ok());
}

TEST(GpuStatus, ALengthThatWrapsAroundIsRefused) {
  for (const uint64_t length : {~uint64_t{0}, uint64_t{1} << 63, uint64_t{1} << 60, uint64_t{1} << 32}) {
    MessageWriter text;
    text.Put(length);  // of the driver's version
    text.Put(uint64_t{0});
    EXPECT_FALSE(DecodeLeaseStatus(text.Take()).ok()) << length;
    MessageWriter list;
    list.Put(std::string());
    list.Put(uint64_t{1});
    list.Put(std::string());
    list.Put(std::string());
    list.Put(uint64_t{0});
    list.Put(uint64_t{0});
    list.Put(length);  // of the figures
    list.Put(uint64_t{0});
    EXPECT_FALSE(DecodeLeaseStatus(list.Take()).ok()) << length;
  }
}

TEST(GpuStatus, FiguresThatAreNotKnownHereAreIgnored) {
  MessageWriter writer;
  writer.Put(std::string("1"));
  writer.Put(uint64_t{1});
  writer.Put(std::string("GPU"));
  writer.Put(std::string("GPU-1"));
  writer.Put(uint64_t{5});
  writer.Put(uint64_t{0});
  writer.Put(std::vector<uint64_t>(kFigures + 3, 17));
  writer.Put(std::vector<GpuProcess>{});
  const auto got = DecodeLeaseStatus(writer.Take());
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got->gpus[0].figures[Figure::kPendingEccMode], 17u);
}

TEST(Figures, TakesWhatTheOtherKnows) {
  Figures figures, other;
  figures[Figure::kBrand] = 1;
  figures[Figure::kCores] = 2;
  other[Figure::kCores] = 3;
  other[Figure::kCelsius] = 4;
  figures.Merge(other);
  EXPECT_EQ(figures[Figure::kBrand], 1u);
  EXPECT_EQ(figures[Figure::kCores], 3u);
  EXPECT_EQ(figures[Figure::kCelsius], 4u);
  EXPECT_EQ(figures[Figure::kPcieWidth], kNoFigure);
}

}  // namespace
}  // namespace outboard::wire
