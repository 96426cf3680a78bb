#include "client/admin/options.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <variant>
#include <vector>

namespace outboard::admin {
namespace {

using std::chrono::milliseconds;

std::variant<Options, Ending> Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "gpu-admin");
  return ParseOptions(static_cast<int>(arguments.size()), arguments.data());
}

Options Parsed(const std::vector<const char*>& arguments) {
  std::variant<Options, Ending> parsed = Parse(arguments);
  if (const auto* ending = std::get_if<Ending>(&parsed)) {
    ADD_FAILURE() << ending->text;
    return {};
  }
  return std::get<Options>(parsed);
}

std::string Refusal(const std::vector<const char*>& arguments) {
  std::variant<Options, Ending> parsed = Parse(arguments);
  const auto* ending = std::get_if<Ending>(&parsed);
  if (ending == nullptr) return "";
  EXPECT_EQ(ending->status, kExitWrongUsage);
  return ending->text;
}

TEST(AdminOptions, OptionsOfTheProgramStandAnywhere) {
  unsetenv("OUTBOARD_POOL");
  EXPECT_EQ(Parsed({"nodes"}).pool, kDefaultPool);
  EXPECT_EQ(Parsed({"nodes"}).format, Format::kTable);
  for (const Options& options : {Parsed({"--pool", "host:1", "-o", "json", "gpus", "--node", "n1"}),
                                 Parsed({"gpus", "--node", "n1", "--output", "json", "--pool", "host:1"})}) {
    EXPECT_EQ(options.verb, Verb::kGpus);
    EXPECT_EQ(options.pool, "host:1");
    EXPECT_EQ(options.format, Format::kJson);
    EXPECT_EQ(options.node, "n1");
  }
  EXPECT_EQ(Parsed({"usage", "-o", "yaml"}).format, Format::kYaml);
}

TEST(AdminOptions, TheEnvironmentNamesThePoolUnlessTheCommandLineDoes) {
  setenv("OUTBOARD_POOL", "unix:/of/environment", 1);
  EXPECT_EQ(Parsed({"list"}).pool, "unix:/of/environment");
  EXPECT_EQ(Parsed({"list", "--pool", "host:1"}).pool, "host:1");
  setenv("OUTBOARD_POOL", "", 1);
  EXPECT_EQ(Parsed({"list"}).pool, kDefaultPool);
  unsetenv("OUTBOARD_POOL");
}

TEST(AdminOptions, ADrainHasADeadlineAndMayEvict) {
  const Options plain = Parsed({"drain", "n1"});
  EXPECT_EQ(plain.verb, Verb::kDrain);
  EXPECT_EQ(plain.node, "n1");
  EXPECT_FALSE(plain.within);
  EXPECT_FALSE(plain.evict || plain.wait);
  const Options all = Parsed({"drain", "n1", "--deadline", "10min", "--evict", "--wait"});
  EXPECT_EQ(all.within, milliseconds(600'000));
  EXPECT_TRUE(all.evict && all.wait);
  EXPECT_NE(Refusal({"drain", "n1", "--evict"}).find("--deadline"), std::string::npos);  // would end nothing
  EXPECT_NE(Refusal({"drain"}), "");
}

TEST(AdminOptions, ARevocationHasAGrace) {
  const Options options = Parsed({"revoke", "7f3a", "--grace", "1.5s", "--reason", "the GPU is needed"});
  EXPECT_EQ(options.verb, Verb::kRevoke);
  EXPECT_EQ(options.lease, "7f3a");
  EXPECT_EQ(options.grace, milliseconds(1500));
  EXPECT_EQ(options.reason, "the GPU is needed");
  EXPECT_NE(Refusal({"revoke"}), "");
}

TEST(AdminOptions, AResizeSaysWhatChanges) {
  const Options all = Parsed({"resize", "7f3a", "--memory", "8GiB", "--share", "12.5%", "--when-free"});
  EXPECT_EQ(all.verb, Verb::kResize);
  EXPECT_EQ(all.lease, "7f3a");
  EXPECT_EQ(all.memory_bytes, uint64_t{8} << 30);
  EXPECT_EQ(all.share, 125);
  EXPECT_TRUE(all.when_free);
  const Options some = Parsed({"resize", "7f3a", "--share", "100"});
  EXPECT_EQ(some.share, 1000);
  EXPECT_FALSE(some.memory_bytes || some.when_free);
  EXPECT_NE(Refusal({"resize", "7f3a"}).find("--memory or --share"), std::string::npos);
  EXPECT_NE(Refusal({"resize", "--share", "5"}), "");
  EXPECT_NE(Refusal({"resize", "7f3a", "--share", "5", "--when-free"}), "");
  for (const char* wrong : {"0", "0.01", "100.1", "-5", "half", ""}) {
    EXPECT_NE(Refusal({"resize", "7f3a", "--share", wrong}), "") << wrong;
  }
  for (const char* wrong : {"0", "-1GiB", "8 bananas", ""}) {
    EXPECT_NE(Refusal({"resize", "7f3a", "--memory", wrong}), "") << wrong;
  }
}

TEST(AdminOptions, AQuotaIsInGpusAndKeepsWhatIsNotSaid) {
  const Options shown = Parsed({"quota"});
  EXPECT_FALSE(shown.quota || shown.maximum || shown.weight);
  const Options options = Parsed({"quota", "vision", "--quota", "2.5", "--maximum", "none", "--weight", "3"});
  EXPECT_EQ(options.tenant, "vision");
  EXPECT_EQ(options.quota, 2500);
  EXPECT_EQ(options.maximum, -1);
  EXPECT_EQ(options.weight, 3);
  EXPECT_EQ(Parsed({"quota", "vision", "--maximum", "0.125"}).maximum, 125);
  EXPECT_NE(Refusal({"quota", "--quota", "2"}), "");  // whose?
  for (const char* wrong : {"-1", "none", "many", "1e9", ""}) {
    EXPECT_NE(Refusal({"quota", "vision", "--quota", wrong}), "") << wrong;
  }
  for (const char* wrong : {"0", "1.5", "-2", "1000001"}) {
    EXPECT_NE(Refusal({"quota", "vision", "--weight", wrong}), "") << wrong;
  }
}

TEST(AdminOptions, WhyIsAskedOfARequestOrALease) {
  EXPECT_EQ(Parsed({"why"}).matter, "");
  EXPECT_EQ(Parsed({"why", "17"}).matter, "17");
  EXPECT_EQ(Parsed({"why", "7f3a"}).matter, "7f3a");
}

TEST(AdminOptions, WhatIsWrongIsSaid) {
  EXPECT_NE(Refusal({}), "");
  EXPECT_NE(Refusal({"lost"}), "");
  EXPECT_NE(Refusal({"nodes", "--evict"}), "");
  EXPECT_NE(Refusal({"nodes", "-o", "xml"}).find("xml is not a form that there is: table, json or yaml"),
            std::string::npos);
  EXPECT_NE(Refusal({"drain", "n1", "--deadline", "10"}).find("10 is not a time like 500ms, 15s, 5min, 2h or 1d"),
            std::string::npos);
}

TEST(AdminOptions, HelpAndVersionAreNoFailures) {
  for (const char* asked : {"--help", "--version"}) {
    std::variant<Options, Ending> parsed = Parse({asked});
    ASSERT_TRUE(std::holds_alternative<Ending>(parsed));
    EXPECT_EQ(std::get<Ending>(parsed).status, 0);
    EXPECT_NE(std::get<Ending>(parsed).text.find("gpu-admin"), std::string::npos);
  }
}

TEST(AdminOptions, TimesHaveUnits) {
  EXPECT_EQ(ParseTime("0s"), milliseconds(0));
  EXPECT_EQ(ParseTime("500ms"), milliseconds(500));
  EXPECT_EQ(ParseTime("1.5h"), milliseconds(5'400'000));
  EXPECT_EQ(ParseTime("2d"), milliseconds(172'800'000));
  for (const char* wrong : {"", "s", "5", "5 s", "-1s", "5m", "1e300d", "nan s", "infs", "5sx"}) {
    EXPECT_FALSE(ParseTime(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace outboard::admin
