#include "server/node/sensors.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <future>
#include <memory>
#include <string>

#include "server/node/nvml_reader.h"

namespace outboard::node {
namespace {

using std::chrono::milliseconds;
using wire::Figure;

constexpr milliseconds kLongForSensors{60'000};

Readings Numbered(int number) {
  Readings readings;
  readings.driver_version = std::to_string(number);
  return readings;
}

TEST(Sensors, AreReadWhenSomebodyAsks) {
  std::atomic<int> times{0};
  Sensors sensors([&] { return Numbered(++times); },
                  {.age = milliseconds(0), .patience = kLongForSensors, .first_patience = kLongForSensors});
  EXPECT_EQ(times, 0);
  EXPECT_EQ(sensors.Read().driver_version, "1");
  EXPECT_EQ(sensors.Read().driver_version, "2");
}

TEST(Sensors, AreNotReadAgainTooSoon) {
  std::atomic<int> times{0};
  Sensors sensors([&] { return Numbered(++times); }, {.age = kLongForSensors * 1000, .patience = kLongForSensors, .first_patience = kLongForSensors});
  EXPECT_EQ(sensors.Read().driver_version, "1");
  EXPECT_EQ(sensors.Read().driver_version, "1");
}

TEST(Sensors, WhoDoesNotWaitGetsWhatThereIs) {
  std::promise<void> asked, release;
  Sensors sensors(
      [&, released = release.get_future().share()] {
        asked.set_value();
        released.wait();
        return Numbered(1);
      },
      {.age = kLongForSensors * 1000, .patience = kLongForSensors, .first_patience = kLongForSensors});
  EXPECT_EQ(sensors.Latest().driver_version, "");
  asked.get_future().wait();
  EXPECT_EQ(sensors.Latest().driver_version, "");
  release.set_value();
  EXPECT_EQ(sensors.Read().driver_version, "1");
  EXPECT_EQ(sensors.Latest().driver_version, "1");
}

TEST(Sensors, ASourceThatHangsDelaysNobodyForLong) {
  std::promise<void> release;
  auto hangs = std::make_shared<std::shared_future<void>>(release.get_future());
  Sensors impatient(
      [hangs] {
        hangs->wait();
        return Numbered(9);
      },
      {.age = milliseconds(0), .patience = milliseconds(1), .first_patience = milliseconds(1)});
  EXPECT_EQ(impatient.Read().driver_version, "");
  EXPECT_EQ(impatient.Read().driver_version, "");
  release.set_value();
}

class NvmlReaderTest : public testing::Test {
 protected:
  ~NvmlReaderTest() override { unsetenv("FAKE_NVML"); }
};

TEST_F(NvmlReaderTest, ReadsWhatTheLibraryHas) {
  const auto reader = NvmlReader::Open(OUTBOARD_FAKE_NVML);
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_EQ((*reader)->driver_version(), "570.1");
  const wire::Figures figures = (*reader)->Read("GPU-1");
  EXPECT_EQ(figures[Figure::kPowerMilliwatts], 70'000u);
  EXPECT_EQ(figures[Figure::kCelsius], 41u);
  EXPECT_EQ(figures[Figure::kMemoryMegahertz], 1002u);
  EXPECT_EQ(figures[Figure::kMaxPowerLimitMilliwatts], 2u);
  EXPECT_EQ(figures[Figure::kEnergyMillijoules], 1ull << 40);
  EXPECT_EQ(figures[Figure::kBusyPercent], 50u);
  EXPECT_EQ(figures[Figure::kMemoryBusyPercent], 25u);
  EXPECT_EQ(figures[Figure::kPciDeviceId], 0x233010deu);
  EXPECT_EQ(figures[Figure::kFanPercent], wire::kNoFigure) << "the library has no such call";
}

TEST_F(NvmlReaderTest, WhatTheGpuDoesNotSupportIsNotKnown) {
  setenv("FAKE_NVML", "old", 1);
  const auto reader = NvmlReader::Open(OUTBOARD_FAKE_NVML);
  ASSERT_TRUE(reader);
  const wire::Figures figures = (*reader)->Read("GPU-1");
  EXPECT_EQ(figures[Figure::kPowerMilliwatts], wire::kNoFigure);
  EXPECT_EQ(figures[Figure::kMinPowerLimitMilliwatts], wire::kNoFigure);
  EXPECT_EQ((*reader)->Read("GPU-2").values(), wire::Figures().values()) << "a GPU that it does not know";
}

TEST_F(NvmlReaderTest, WithoutALibraryOneLineSaysSo) {
  setenv("FAKE_NVML", "refuse", 1);
  EXPECT_FALSE(NvmlReader::Open(OUTBOARD_FAKE_NVML));
  EXPECT_FALSE(NvmlReader::Open("/no/such/library"));
  const auto read = ReadByNvml("/no/such/library", {"GPU-1"});
  testing::internal::CaptureStderr();
  EXPECT_EQ(read().driver_version, "");
  EXPECT_TRUE(read().gpus.empty());
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1) << log;
  unsetenv("FAKE_NVML");
  const Readings readings = ReadByNvml(OUTBOARD_FAKE_NVML, {"GPU-1", "GPU-2"})();
  EXPECT_EQ(readings.driver_version, "570.1");
  EXPECT_EQ(readings.gpus.at("GPU-1")[Figure::kCelsius], 41u);
  EXPECT_TRUE(readings.lost.empty());
  setenv("FAKE_NVML", "lost", 1);
  EXPECT_EQ(ReadByNvml(OUTBOARD_FAKE_NVML, {"GPU-1"})().lost, std::set<std::string>{"GPU-1"});
}

}  // namespace
}  // namespace outboard::node
