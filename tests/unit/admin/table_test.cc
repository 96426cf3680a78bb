#include "client/admin/table.h"

#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/base/show_bytes.h"

namespace outboard::admin {
namespace {

constexpr int64_t kNow = 1'700'000'000'000;

Table ExampleTable() {
  return {
      "things",
      {{"name", "NAME"},
       {"memory_bytes", "MEMORY", Unit::kBytes},
       {"gpus", "GPUS", Unit::kGpus},
       {"busy_ratio", "BUSY", Unit::kRatio},
       {"since_ms", "AGE", Unit::kAge},
       {"until_ms", "ENDS IN", Unit::kUntil},
       {"usable", "USABLE"},
       {"hidden", ""},
       {"parts", "PARTS"}},
      {{"7e31", int64_t{3} << 29, 0.125, 0.5, kNow - 61'000, kNow + 7'200'000, true, "x",
        std::vector<std::string>{"a", "b"}},
       {"a longer name", int64_t{512} << 20, 12.0, 1.0, Cell(), kNow - 1, false, Cell(), std::vector<std::string>()}}};
}

TEST(AdminTable, PeopleSeeColumns) {
  EXPECT_EQ(AsText({ExampleTable()}, kNow),
            "NAME            MEMORY   GPUS  BUSY   AGE  ENDS IN  USABLE  PARTS\n"
            "7e31           1.5 GiB  0.125   50%  1min       2h  yes     a,b\n"
            "a longer name  512 MiB     12  100%     -  overdue  no      -\n");
}

TEST(AdminTable, TablesAreApartAndSayWhenThereIsNothing) {
  const Table none{"nodes", {{"node", "NODE"}}, {}};
  const Table one{"gpus", {{"gpu", "GPU"}}, {{int64_t{7}}}};
  EXPECT_EQ(AsText({none, one}, kNow), "no nodes\n\nGPU\n  7\n");
  EXPECT_EQ(AsJson({none, one}), "{\n  \"nodes\": [],\n  \"gpus\": [\n    {\n      \"gpu\": 7\n    }\n  ]\n}\n");
}

TEST(AdminTable, JsonHasEveryColumnAsItIs) {
  const nlohmann::json all = nlohmann::json::parse(AsJson({ExampleTable()}));
  ASSERT_EQ(all["things"].size(), 2u);
  const nlohmann::json& first = all["things"][0];
  EXPECT_EQ(first.size(), 9u);
  EXPECT_EQ(first["name"], "7e31");
  EXPECT_EQ(first["memory_bytes"], int64_t{3} << 29);
  EXPECT_EQ(first["gpus"], 0.125);
  EXPECT_EQ(first["since_ms"], kNow - 61'000);
  EXPECT_EQ(first["usable"], true);
  EXPECT_EQ(first["hidden"], "x");
  EXPECT_EQ(first["parts"], nlohmann::json({"a", "b"}));
  EXPECT_TRUE(all["things"][1]["since_ms"].is_null());
  EXPECT_EQ(all["things"][1]["parts"], nlohmann::json::array());
}

TEST(AdminTable, JsonTakesAnyText) {
  const std::string rude = "a \"quote\", a \\ and a \x01, and no UTF-8: \xff";
  const nlohmann::json all = nlohmann::json::parse(AsJson({{"texts", {{"text", ""}}, {{rude}}}}));
  EXPECT_EQ(all["texts"][0]["text"], "a \"quote\", a \\ and a \x01, and no UTF-8: \xef\xbf\xbd");
}

TEST(AdminTable, YamlIsReadAsJsonIs) {
  const YAML::Node all = YAML::Load(AsYaml({ExampleTable(), {"none", {}, {}}}));
  ASSERT_EQ(all["things"].size(), 2u);
  const YAML::Node first = all["things"][0];
  EXPECT_EQ(first.size(), 9u);
  EXPECT_EQ(first["name"].Tag(), "!");  // quoted: a text, although it looks like a number
  EXPECT_EQ(first["name"].Scalar(), "7e31");
  EXPECT_EQ(first["memory_bytes"].Tag(), "?");
  EXPECT_EQ(first["memory_bytes"].as<int64_t>(), int64_t{3} << 29);
  EXPECT_EQ(first["gpus"].Scalar(), "0.125");
  EXPECT_EQ(first["usable"].Tag(), "?");
  EXPECT_TRUE(first["usable"].as<bool>());
  EXPECT_EQ(first["parts"][1].Scalar(), "b");
  EXPECT_TRUE(all["things"][1]["since_ms"].IsNull());
  EXPECT_TRUE(all["none"].IsSequence());
}

TEST(AdminTable, SpansHaveTwoUnitsAtMost) {
  EXPECT_EQ(ShowSpan(-5), "0s");
  EXPECT_EQ(ShowSpan(59'999), "59s");
  EXPECT_EQ(ShowSpan(60'000), "1min");
  EXPECT_EQ(ShowSpan(3'600'000), "1h");
  EXPECT_EQ(ShowSpan(12'000'000), "3h 20min");
  EXPECT_EQ(ShowSpan(187'200'000), "2d 4h");
}

TEST(AdminTable, BytesAreInTheLargestUnit) {
  EXPECT_EQ(ShowBytes(0), "0 B");
  EXPECT_EQ(ShowBytes(1023), "1023 B");
  EXPECT_EQ(ShowBytes(int64_t{141} << 30), "141 GiB");
  EXPECT_EQ(ShowBytes(75'376'000'000), "70.2 GiB");
  EXPECT_EQ(ShowBytes(int64_t{5} << 50), "5120 TiB");
}

}  // namespace
}  // namespace outboard::admin
