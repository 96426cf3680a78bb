#include "server/node/gpus.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>

namespace outboard::node {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLong{60'000};

Result<std::vector<Gpu>> TwoGpus() {
  std::vector<Gpu> gpus = {{"Outboard software GPU", "GPU-1", 1 << 30}, {"end", "GPU-2", 7}};
  gpus[0].figures[wire::Figure::kComputeCapabilityMajor] = 9;
  gpus[0].figures[wire::Figure::kPciDevice] = 0;
  gpus[0].cuda_version = 13000;
  gpus[0].context_bytes = 512;
  return gpus;
}

TEST(ProbeAnswer, GpusComeBackAsTheyWere) {
  const auto decoded = DecodeProbeAnswer(EncodeProbeAnswer(TwoGpus()));
  ASSERT_TRUE(decoded);
  ASSERT_EQ(decoded->size(), 2u);
  EXPECT_EQ((*decoded)[0].name, "Outboard software GPU");
  EXPECT_EQ((*decoded)[0].figures.values(), (*TwoGpus())[0].figures.values());
  EXPECT_EQ((*decoded)[0].cuda_version, 13000);
  EXPECT_EQ((*decoded)[0].context_bytes, 512u);
  EXPECT_EQ((*decoded)[1].figures.values(), wire::Figures().values());
  EXPECT_EQ((*decoded)[1].name, "end");
  EXPECT_EQ((*decoded)[1].uuid, "GPU-2");
  EXPECT_EQ((*decoded)[1].memory_bytes, 7u);
}

TEST(ProbeAnswer, ErrorsComeBackOnOneLine) {
  const auto decoded = DecodeProbeAnswer(EncodeProbeAnswer(Error{"no\ndriver"}));
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().message, "no?driver");
}

TEST(ProbeAnswer, EveryPartOfAnAnswerIsRefused) {
  const std::string whole = EncodeProbeAnswer(TwoGpus());
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    EXPECT_FALSE(DecodeProbeAnswer(whole.substr(0, bytes))) << bytes;
  }
}

TEST(ProbeAnswer, MoreGpusThanThereMayBeAreRefused) {
  EXPECT_FALSE(DecodeProbeAnswer(EncodeProbeAnswer(std::vector<Gpu>(65, {"a", "b", 1}))));
}

TEST(Probe, AsksInAnotherProcess) {
  const pid_t us = getpid();
  const auto answer = Probe([us]() -> Result<std::vector<Gpu>> {
                        return std::vector<Gpu>{{getpid() == us ? "here" : "elsewhere", "", 1}};
                      }).Wait(kLong);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->at(0).name, "elsewhere");
}

TEST(Probe, ADriverThatKillsItsProcessIsAnError) {
  const auto answer = Probe([]() -> Result<std::vector<Gpu>> {
                        raise(SIGKILL);
                        return TwoGpus();
                      }).Wait(kLong);
  ASSERT_FALSE(answer);
  EXPECT_NE(answer.error().message.find("ended the process"), std::string::npos) << answer.error().message;
}

TEST(Probe, ADriverThatHangsIsGivenUp) {
  const auto answer = Probe([]() -> Result<std::vector<Gpu>> {
                        for (;;) pause();
                      }).Wait(milliseconds(0));
  ASSERT_FALSE(answer);
  EXPECT_NE(answer.error().message.find("did not answer"), std::string::npos) << answer.error().message;
}

}  // namespace
}  // namespace outboard::node
