#include "server/pool/config.h"

#include <gtest/gtest.h>

namespace outboard::pool {
namespace {

TEST(Config, SaysEverything) {
  const Result<Config> config = ParseConfig(R"(
listen:
  - unix:/run/outboard/pool.sock
  - address: 127.0.0.1:7100
    tenant: vision
    for: [users, nodes]
store: /var/lib/outboard/pool.db
policy: fragmentation
shapes:
  - {weight: 3, gpus: 0.5}
  - {weight: 1, gpus: 2}
tenants:
  - name: vision
    quota: 2.5
    weight: 3
    maximum: 8
    users: [ann, bob]
  - name: speech
pools:
  - name: team
    tenants: [vision]
    gpus: [node-1, node-2/GPU-a]
  - name: big
    filters: [device.name=H200]
    maximum: 4
times:
  lost_after: 20s
  minimum_run: 10min
  grace: 500ms
  lease_time: 2h
queue_impossible: true
)",
                                            "pool.yaml");
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_EQ(config->listen.size(), 2u);
  EXPECT_EQ(config->listen[0].address, "unix:/run/outboard/pool.sock");
  EXPECT_TRUE(config->listen[0].admins);
  EXPECT_EQ(config->listen[1].tenant, "vision");
  EXPECT_TRUE(config->listen[1].nodes);
  EXPECT_FALSE(config->listen[1].admins);
  EXPECT_EQ(config->store, "/var/lib/outboard/pool.db");
  EXPECT_EQ(config->settings.policy, Policy::kFragmentation);
  ASSERT_EQ(config->settings.shapes.size(), 2u);
  EXPECT_EQ(config->settings.shapes[0].share, 500);
  EXPECT_EQ(config->settings.shapes[1].gpus, 2);
  EXPECT_EQ(config->tenants, (std::vector<TenantRecord>{{"vision", 2500, 3, 8000}, {"speech", 0, 1, -1}}));
  EXPECT_EQ(config->tenant_of.at("bob"), "vision");
  ASSERT_EQ(config->settings.pools.size(), 2u);
  EXPECT_EQ(config->settings.pools[0].gpus.size(), 2u);
  EXPECT_EQ(config->settings.pools[1].filter.device_name, "H200");
  EXPECT_EQ(config->settings.pools[1].maximum, 4000);
  EXPECT_EQ(config->settings.lost_after, std::chrono::seconds(20));
  EXPECT_EQ(config->settings.minimum_run, std::chrono::minutes(10));
  EXPECT_EQ(config->settings.grace, Duration(500));
  EXPECT_TRUE(config->settings.queue_impossible);
}

TEST(Config, MayBeEmpty) {
  EXPECT_TRUE(ParseConfig("", "pool.yaml"));
  EXPECT_TRUE(ParseConfig("# nothing\n", "pool.yaml"));
}

TEST(Config, WhatIsWrongIsSaidWithItsLine) {
  const struct {
    const char* text;
    const char* start;
    const char* part;
  } kCases[] = {
      {"store: x\nstroe: y\n", "pool.yaml:2: ", "no key \"stroe\""},
      {"tenants:\n  - name: a\n    quata: 3\n", "pool.yaml:3: ", "no key \"quata\" in tenants"},
      {"times:\n  grace: soon\n", "pool.yaml:2: ", "has to be a time"},
      {"times:\n\n  lost_after: 1ms\n", "pool.yaml:3: ", "three times"},
      {"tenants:\n  - name: a\n  - name: a\n", "pool.yaml:3: ", "twice"},
      {"tenants:\n  - name: a\n    users: [x]\n  - name: b\n    users: [x]\n", "pool.yaml:4: ", "one tenant"},
      {"tenants:\n  - name: a\n    quota: 4\n    maximum: 2\n", "pool.yaml:2: ", "below its quota"},
      {"tenants:\n  - name: a\n    weight: 0.5\n", "pool.yaml:3: ", "whole number"},
      {"tenants: a\n", "pool.yaml:1: ", "has to be a list"},
      {"listen: [0.0.0.0:7100]\n", "pool.yaml:1: ", "no authentication"},
      {"listen:\n  - address: 127.0.0.1:1\n    for: [guests]\n", "pool.yaml:3: ", "guests"},
      {"store: x\npolicy: fragmentation\n", "pool.yaml:2: ", "needs shapes"},
      {"pools:\n  - name: p\n    gpus: [n1]\n    filters: [device.name=a]\n", "pool.yaml:2: ", "gpus and filters"},
      {"pools:\n  - name: p\n    tenants: [nobody]\n", "pool.yaml:2: ", "no tenant nobody"},
      {"times:\n  open_within: 0s\n", "pool.yaml:2: ", "open_within"},
      {"times:\n  grace: 0s\n", "pool.yaml:2: ", "grace"},
      {"pools:\n  - name: t\xc3\xbc\n", "pool.yaml:2: ", "printable"},
      {"policy: best\n", "pool.yaml:1: ", "no policy \"best\""},
      {"pools:\n  - name: p\n    filters: [colour=red]\n", "pool.yaml:3: ", "no filter \"colour\""},
      {"pools:\n  - maximum: 3\n", "pool.yaml:2: ", "needs a name"},
      {"store: x\nstore: y\n", "pool.yaml:2: ", "twice"},
      {"store: [\n", "pool.yaml:", "no YAML"},
      {"- a\n", "pool.yaml:1: ", "mapping"},
      {"queue_impossible: perhaps\n", "pool.yaml:1: ", "true or false"},
  };
  for (const auto& each : kCases) {
    const Result<Config> config = ParseConfig(each.text, "pool.yaml");
    ASSERT_FALSE(config) << each.text;
    EXPECT_TRUE(config.error().message.starts_with(each.start)) << config.error().message;
    EXPECT_NE(config.error().message.find(each.part), std::string::npos) << config.error().message;
  }
}

TEST(Config, OnlyThisMachineIsListenedTo) {
  for (const char* address : {"unix:/run/x", "127.0.0.1:0", "localhost:7", "[::1]:7"}) EXPECT_TRUE(IsLocal(address));
  for (const char* address : {"0.0.0.0:7", "10.1.1.1:7", "example.com:7", "[::]:7", "7", "", "unix:", "127.0.0.1"}) {
    EXPECT_FALSE(IsLocal(address)) << address;
  }
}

}  // namespace
}  // namespace outboard::pool
