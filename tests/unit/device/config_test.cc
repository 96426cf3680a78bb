#include "server/softgpu/device/config.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace outboard::softgpu {
namespace {

class ConfigTest : public testing::Test {
 protected:
  ConfigTest() { Clear(); }
  ~ConfigTest() override { Clear(); }

  void Set(const std::string& name, const std::string& value) { setenv(name.c_str(), value.c_str(), 1); }

  std::string Complaint(const std::string& name, const std::string& value) {
    Set(name, value);
    const Result<Config> config = ConfigFromEnvironment();
    unsetenv(name.c_str());
    return config ? "" : config.error().message;
  }

 private:
  void Clear() {
    for (const char* name :
         {"DEVICES", "MEMORY", "SMS", "CC", "THREADS", "CPU", "CHAOS", "CHECK", "CHECK_COUNT", "DIR", "ARENA"}) {
      unsetenv((std::string("SOFTGPU_") + name).c_str());
      unsetenv((std::string("OUTBOARD_SOFTGPU_") + name).c_str());
    }
  }
};

TEST_F(ConfigTest, HasDefaults) {
  const Result<Config> config = ConfigFromEnvironment();
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->devices, 1u);
  EXPECT_EQ(config->memory_bytes, uint64_t{4} << 30);
  EXPECT_EQ(config->sm_count, 4u);
  EXPECT_EQ(config->cc_major, 13);
  EXPECT_EQ(config->cc_minor, 0);
  EXPECT_EQ(config->threads, 0u);
  EXPECT_EQ(config->cpu_level, 0);
  EXPECT_EQ(config->chaos, 0u);
  EXPECT_EQ(config->directory, "/dev/shm/outboard-softgpu-2-" + std::to_string(geteuid()));
  EXPECT_FALSE(config->arena_base.has_value());
}

TEST_F(ConfigTest, ReadsEveryVariable) {
  Set("SOFTGPU_DEVICES", "3");
  Set("SOFTGPU_MEMORY", "500MB");
  Set("SOFTGPU_SMS", "108");
  Set("SOFTGPU_CC", "8.9");
  Set("SOFTGPU_THREADS", "7");
  Set("SOFTGPU_CPU", "v3");
  Set("SOFTGPU_CHAOS", "0xffffffffffffffff");
  Set("SOFTGPU_DIR", "/some/folder");
  Set("SOFTGPU_ARENA", "0x200000000000");
  const Result<Config> config = ConfigFromEnvironment();
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->devices, 3u);
  EXPECT_EQ(config->memory_bytes, 500'000'000u);
  EXPECT_EQ(config->sm_count, 108u);
  EXPECT_EQ(config->cc_major, 8);
  EXPECT_EQ(config->cc_minor, 9);
  EXPECT_EQ(config->threads, 7u);
  EXPECT_EQ(config->cpu_level, 3);
  EXPECT_EQ(config->chaos, UINT64_MAX);
  EXPECT_EQ(config->directory, "/some/folder");
  EXPECT_EQ(config->arena_base, uint64_t{0x200000000000});
}

TEST_F(ConfigTest, ThePrefixedNameWins) {
  Set("SOFTGPU_DEVICES", "2");
  Set("OUTBOARD_SOFTGPU_DEVICES", "5");
  EXPECT_EQ(ConfigFromEnvironment()->devices, 5u);
  Set("SOFTGPU_DEVICES", "nonsense");
  EXPECT_TRUE(ConfigFromEnvironment().ok());
}

TEST_F(ConfigTest, AnEmptyVariableIsUnset) {
  Set("OUTBOARD_SOFTGPU_SMS", "");
  Set("SOFTGPU_SMS", "9");
  EXPECT_EQ(ConfigFromEnvironment()->sm_count, 9u);
}

TEST_F(ConfigTest, ComplaintsNameVariableValueAndWhatIsAccepted) {
  EXPECT_EQ(Complaint("SOFTGPU_DEVICES", "0"), "SOFTGPU_DEVICES is \"0\" but must be a whole number from 1 to 64.");
  EXPECT_EQ(Complaint("OUTBOARD_SOFTGPU_DEVICES", "65"),
            "OUTBOARD_SOFTGPU_DEVICES is \"65\" but must be a whole number from 1 to 64.");
  EXPECT_EQ(Complaint("SOFTGPU_MEMORY", "lots"),
            "SOFTGPU_MEMORY is \"lots\" but must be a number of bytes such as 4GiB, from 1MiB to 1TiB.");
  EXPECT_EQ(Complaint("SOFTGPU_CPU", "v5"), "SOFTGPU_CPU is \"v5\" but must be v2, v3 or v4.");
  EXPECT_EQ(Complaint("SOFTGPU_DIR", "relative"), "SOFTGPU_DIR is \"relative\" but must be an absolute path.");
}

TEST_F(ConfigTest, KnowsWhatToCheck) {
  EXPECT_FALSE(ConfigFromEnvironment()->checks.any());
  Set("SOFTGPU_CHECK", "memory");
  EXPECT_TRUE(ConfigFromEnvironment()->checks.memory);
  EXPECT_FALSE(ConfigFromEnvironment()->checks.watches());
  Set("SOFTGPU_CHECK", "races,uninitialised");
  EXPECT_TRUE(ConfigFromEnvironment()->checks.memory && ConfigFromEnvironment()->checks.races &&
              ConfigFromEnvironment()->checks.uninitialised);
  for (const char* value : {"x", "memory,", ",", "memory races", "all,x"}) {
    EXPECT_EQ(Complaint("SOFTGPU_CHECK", value),
              "SOFTGPU_CHECK is \"" + std::string(value) +
                  "\" but must be words of memory, uninitialised, races and all, with commas between.");
  }
}

TEST_F(ConfigTest, RefusesWhatItDoesNotUnderstand) {
  for (const char* value : {"-1", "1 ", " 1", "1.0", "0x", "99999999999999999999"}) {
    EXPECT_NE(Complaint("SOFTGPU_DEVICES", value), "") << value;
    EXPECT_NE(Complaint("SOFTGPU_CHAOS", value), "") << value;
  }
  for (const char* value : {"1023KiB", "1025GiB", "99999999999TiB", "4 GiB", "4GiBx", "-4GiB"}) {
    EXPECT_NE(Complaint("SOFTGPU_MEMORY", value), "") << value;
  }
  for (const char* value : {"13", "13.", ".0", "13.00", "13.10", "4.0", "100.0", "13.0a", "a.b", "13.0.0"}) {
    EXPECT_NE(Complaint("SOFTGPU_CC", value), "") << value;
  }
  for (const char* value : {"v1", "v", "3", "V3", "v33"}) EXPECT_NE(Complaint("SOFTGPU_CPU", value), "") << value;
  for (const char* value : {"0", "0x1000", "0x800000000000", "here"})
    EXPECT_NE(Complaint("SOFTGPU_ARENA", value), "") << value;
  EXPECT_NE(Complaint("SOFTGPU_SMS", "0"), "");
  EXPECT_NE(Complaint("SOFTGPU_SMS", "513"), "");
  EXPECT_NE(Complaint("SOFTGPU_THREADS", "1025"), "");
}

}  // namespace
}  // namespace outboard::softgpu
