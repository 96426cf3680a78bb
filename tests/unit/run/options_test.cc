#include "client/run/options.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace outboard::run {
namespace {

std::variant<Options, Ending> Parse(std::vector<const char*> arguments) {
  unsetenv("OUTBOARD_NODE");
  unsetenv("OUTBOARD_POOL");
  arguments.insert(arguments.begin(), "gpu-run");
  return ParseOptions(static_cast<int>(arguments.size()), arguments.data());
}

Options Good(const std::vector<const char*>& arguments) {
  const auto parsed = Parse(arguments);
  if (const auto* ending = std::get_if<Ending>(&parsed)) {
    ADD_FAILURE() << ending->text;
    return {};
  }
  return std::get<Options>(parsed);
}

using Command = std::vector<std::string>;

TEST(RunOptions, TheCommandBeginsAtTheFirstWordThatIsNoOption) {
  const Options options = Good({"-n", "0.5", "-q", "python3", "train.py", "-n", "3", "--version"});
  EXPECT_EQ(options.gpus, 0.5);
  EXPECT_TRUE(options.quiet);
  EXPECT_EQ(options.command, (Command{"python3", "train.py", "-n", "3", "--version"}));
}

TEST(RunOptions, AShareIsHardIfSaid) {
  EXPECT_FALSE(Good({"-n", "0.5", "a"}).hard);
  EXPECT_TRUE(Good({"-n", "0.5", "--hard", "a"}).hard);
}

TEST(RunOptions, TwoDashesEndTheOptions) {
  EXPECT_EQ(Good({"--", "-x", "--", "y"}).command, (Command{"-x", "--", "y"}));
  EXPECT_EQ(Good({"a", "--", "b"}).command, (Command{"a", "--", "b"}));
}

TEST(RunOptions, DoctorIsACommandOfOurs) {
  EXPECT_TRUE(Good({"doctor"}).doctor);
  EXPECT_EQ(Good({"--node", "h:1", "doctor", "python3"}).command, Command{"python3"});
  const Options program = Good({"--", "doctor"});
  EXPECT_FALSE(program.doctor);
  EXPECT_EQ(program.command, Command{"doctor"});
}

TEST(RunOptions, MemoryHasAUnit) {
  EXPECT_EQ(Good({"-m", "8GiB", "a"}).memory_bytes, uint64_t{8} << 30);
  EXPECT_EQ(Good({"--memory=500MB", "a"}).memory_bytes, 500'000'000u);
}

TEST(RunOptions, TheNodeComesFromTheEnvironmentToo) {
  setenv("OUTBOARD_NODE", "host:1", 1);
  const char* const plain[] = {"gpu-run", "a"};
  EXPECT_EQ(std::get<Options>(ParseOptions(2, plain)).node, "host:1");
  const char* const given[] = {"gpu-run", "--node", "other:2", "a"};
  EXPECT_EQ(std::get<Options>(ParseOptions(4, given)).node, "other:2");
  unsetenv("OUTBOARD_NODE");
  EXPECT_EQ(Good({"a"}).node, "");
}

TEST(RunOptions, WhatToCheckIsToldBehindAnEqualsSign) {
  EXPECT_EQ(Good({"a"}).check, "");
  const Options plain = Good({"--check", "memory", "x"});
  EXPECT_EQ(plain.check, "memory");
  EXPECT_EQ(plain.command, (Command{"memory", "x"}));
  EXPECT_EQ(Good({"--check=races,uninitialised", "a"}).check, "memory,races,uninitialised");
  const Options schedule = Good({"--check=schedule", "a"});
  EXPECT_TRUE(schedule.shuffles);
  EXPECT_EQ(schedule.check, "memory");
  EXPECT_FALSE(plain.shuffles);
}

TEST(RunOptions, OnlyThisMachinesSoftwareGpuIsChecked) {
  const Ending refused = std::get<Ending>(Parse({"--check", "--node", "h:1", "a"}));
  EXPECT_EQ(refused.status, kExitFailure);
  EXPECT_EQ(refused.text,
            "gpu-run: --check works on the software GPU of this machine and cannot look into the node h:1. Leave out "
            "--node and --pool, and unset OUTBOARD_NODE and OUTBOARD_POOL.");
  setenv("OUTBOARD_POOL", "p:1", 1);
  const char* const from_environment[] = {"gpu-run", "--check", "a"};
  EXPECT_TRUE(std::holds_alternative<Ending>(ParseOptions(3, from_environment)));
  unsetenv("OUTBOARD_POOL");
}

TEST(RunOptions, WhatIsWantedOfAPool) {
  const Options options = Good(
      {"--pool",         "h:1",          "-n",     "0.5",    "--share",    "25%",    "--filter",  "device.name=H200",
       "--filter",       "node.name=n1", "--wait", "5min",   "--priority", "7",      "--timeout", "2h",
       "--idle-release", "90",           "--from", "vision", "a",          "--wait", "x"});
  EXPECT_EQ(options.pool, "h:1");
  EXPECT_EQ(options.share, 0.25);
  EXPECT_EQ(options.filters, (std::vector<std::string>{"device.name=H200", "node.name=n1"}));
  EXPECT_EQ(options.wait, std::chrono::minutes(5));
  EXPECT_EQ(options.priority, 7);
  EXPECT_EQ(options.from, "vision");
  EXPECT_EQ(options.longest, std::chrono::hours(2));
  EXPECT_EQ(options.idle_release, std::chrono::seconds(90));
  EXPECT_EQ(options.command, (Command{"a", "--wait", "x"}));
  EXPECT_EQ(Good({"--pool", "h:1", "--wait", "0", "a"}).wait, std::chrono::milliseconds(0));
  EXPECT_EQ(Good({"--pool", "h:1", "a"}).wait, std::nullopt);
}

TEST(RunOptions, ANodeOrAPool) {
  setenv("OUTBOARD_POOL", "pool:1", 1);
  const auto parse = [](std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "gpu-run");
    return std::get<Options>(ParseOptions(static_cast<int>(arguments.size()), arguments.data()));
  };
  EXPECT_EQ(parse({"a"}).pool, "pool:1");
  EXPECT_EQ(parse({"--pool", "other:1", "a"}).pool, "other:1");
  EXPECT_EQ(parse({"--node", "node:1", "a"}).pool, "");
  setenv("OUTBOARD_NODE", "node:2", 1);
  EXPECT_EQ(parse({"a"}).pool, "");
  EXPECT_EQ(parse({"a"}).node, "node:2");
  EXPECT_EQ(parse({"--pool", "other:1", "a"}).node, "");
  unsetenv("OUTBOARD_NODE");
  unsetenv("OUTBOARD_POOL");
}

TEST(RunOptions, WrongUsageIsOneLineAndStatus125) {
  const std::vector<std::vector<const char*>> wrong = {{},
                                                       {"--"},
                                                       {"-n"},
                                                       {"-n", "0", "a"},
                                                       {"-n", "1.5", "a"},
                                                       {"-n", "-1", "a"},
                                                       {"-n", "nan", "a"},
                                                       {"-n", "0.5x", "a"},
                                                       {"-n", "65", "a"},
                                                       {"-m", "0", "a"},
                                                       {"-m", "8 GiB", "a"},
                                                       {"-m", "lots", "a"},
                                                       {"-x", "a"},
                                                       {"--nodes", "a"},
                                                       {"--pool", "h:1", "--node", "h:2", "a"},
                                                       {"--wait", "5min", "a"},
                                                       {"--pool", "h:1", "--wait", "soon", "a"},
                                                       {"--pool", "h:1", "--wait", "-1s", "a"},
                                                       {"--pool", "h:1", "--priority", "10", "a"},
                                                       {"--pool", "h:1", "--share", "101", "a"},
                                                       {"--check=bugs", "a"},
                                                       {"--check=memory,", "a"},
                                                       {"-q", "-v", "a"}};
  for (const std::vector<const char*>& arguments : wrong) {
    const auto parsed = Parse(arguments);
    const auto* ending = std::get_if<Ending>(&parsed);
    ASSERT_NE(ending, nullptr) << (arguments.empty() ? "" : arguments[0]);
    EXPECT_EQ(ending->status, kExitFailure);
    EXPECT_TRUE(ending->text.starts_with("gpu-run: ")) << ending->text;
    EXPECT_EQ(ending->text.find('\n'), std::string::npos) << ending->text;
  }
}

TEST(RunOptions, HelpAndVersionGoWell) {
  EXPECT_EQ(std::get<Ending>(Parse({"--version"})).text, "gpu-run 0.1.0");
  const Ending help = std::get<Ending>(Parse({"--help"}));
  EXPECT_EQ(help.status, 0);
  EXPECT_NE(help.text.find("--gpus"), std::string::npos);
}

}  // namespace
}  // namespace outboard::run
