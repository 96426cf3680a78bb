// Named pools, filters and what wishes mean.

#include <gtest/gtest.h>

#include <limits>

#include "common/base/limits.h"
#include "server/pool/wish.h"
#include "tests/unit/pool/world.h"

namespace outboard::pool {
namespace {

Settings WithPools(std::vector<PoolSpec> pools) {
  Settings settings;
  settings.pools = std::move(pools);
  return settings;
}

TEST(Pools, AStaticOneIsForItsTenantsAlone) {
  World world(WithPools({{.name = "team", .tenants = {"a"}, .gpus = {"n1", "n2/GPU-n2-1"}}}));
  world.AddNode("n1", 1);
  world.AddNode("n2", 2);
  EXPECT_EQ(world.granted(world.Ask({}, "a"))->gpus[0].uuid, "GPU-n2-0") << "without the name, of the common ones";
  const Asker other = world.Ask({.wait = kForever}, "b");
  EXPECT_TRUE(world.waits(other));
  EXPECT_NE(world.why(other).find("request's pool"), std::string::npos) << world.why(other);
  EXPECT_FALSE(world.refused(world.Ask({.pool = "team"}, "b"))->no_capacity);
  EXPECT_TRUE(world.granted(world.Ask({.pool = "team"}, "a")));
  EXPECT_TRUE(world.granted(world.Ask({.pool = "team"}, "a")));
  EXPECT_TRUE(world.refused(world.Ask({.pool = "team"}, "a"))->no_capacity);
  EXPECT_FALSE(world.refused(world.Ask({.pool = "nonsense"}, "a"))->no_capacity);
}

TEST(Pools, ADynamicOneLendsOutWhatPassesAndNoMoreThanItsMaximum) {
  PoolSpec pool{.name = "big", .maximum = 2 * kWholeGpu};
  pool.filter.device_name = "H200";
  World world(WithPools({pool}));
  world.AddNode("n1", 2, 80 * kGib, "NVIDIA A100");
  world.AddNode("n2", 4, 141 * kGib, "NVIDIA H200");
  EXPECT_EQ(world.granted(world.Ask({.pool = "big"}))->node, "n2");
  const LeaseRecord second = *world.granted(world.Ask({.pool = "big"}));
  const Asker third = world.Ask({.pool = "big", .wait = kForever});
  ASSERT_TRUE(world.waits(third));
  EXPECT_EQ(world.why(third), "the pool big has given out 2 of at most 2 GPUs, and 1 more would be too many.");
  EXPECT_FALSE(world.refused(world.Ask({.gpus = 3, .pool = "big", .wait = kForever}))->no_capacity);
  EXPECT_TRUE(world.granted(world.Ask({.filters = {"device.name=H200"}})));
  world.Release(second);
  EXPECT_TRUE(world.granted(third));
}

TEST(Filters, ChooseNodesAndGpus) {
  World world;
  world.AddNode("n1", 1, 80 * kGib, "NVIDIA A100", {{"zone", "a"}});
  world.AddNode("n2", 1, 141 * kGib, "NVIDIA H200", {{"zone", "b"}});
  for (const std::string filter :
       {"node.name=n2", "device.name=h200", "device.memory=100GiB", "node.label.zone=b", "cuda.version=13.0"}) {
    const Asker asker = world.Ask({.gpus = 0.1, .filters = {filter, "node.label.zone=b"}});
    ASSERT_TRUE(world.granted(asker)) << filter;
    EXPECT_EQ(world.granted(asker)->node, "n2");
  }
  EXPECT_FALSE(world.refused(world.Ask({.filters = {"cuda.version=13.1"}, .wait = kForever}))->no_capacity);
  EXPECT_FALSE(world.refused(world.Ask({.filters = {"node.label.zone=c"}, .wait = kForever}))->no_capacity);
}

TEST(Filters, AreRefusedWhenTheyAreWrong) {
  for (const std::vector<std::string>& filters :
       std::vector<std::vector<std::string>>{{"device.name"},
                                             {"device.name="},
                                             {"colour=red"},
                                             {"device.memory=much"},
                                             {"device.memory=-1GiB"},
                                             {"cuda.version=x"},
                                             {"cuda.version=13."},
                                             {"cuda.version=.1"},
                                             {"node.label.=x"},
                                             {"node.label.a=b", "node.label.a=c"},
                                             {"device.name=a", "device.name=b"}}) {
    EXPECT_FALSE(ParseFilters(filters)) << filters[0];
  }
  EXPECT_TRUE(ParseFilters(std::vector<std::string>(kMaxFilters, "node.name=a")));
  EXPECT_FALSE(ParseFilters(std::vector<std::string>(kMaxFilters + 1, "node.name=a")));
  const Result<Filter> filter =
      ParseFilters({"device.memory=1.5GB", "node.name=a", "node.name=b", "cuda.version=12.4"});
  ASSERT_TRUE(filter);
  EXPECT_EQ(filter->device_memory_bytes, 1'500'000'000u);
  EXPECT_EQ(filter->nodes, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(filter->cuda_version, 12040);
}

TEST(Filters, OfAPoolAndOfARequestBothCount) {
  PoolSpec pool{.name = "p"};
  pool.filter.device_name = "H200";
  pool.filter.nodes = {"n1", "n2"};
  pool.filter.labels = {{"zone", "a"}};
  const auto demand = [&pool](std::vector<std::string> filters) {
    return ToDemand({.filters = std::move(filters), .pool = "p"}, "t", {pool});
  };
  EXPECT_EQ(demand({"node.name=n2", "node.name=n3"})->request.filter.nodes, std::vector<std::string>{"n2"});
  EXPECT_EQ(demand({})->request.filter.device_name, "H200");
  EXPECT_EQ(demand({"node.label.rack=7"})->request.filter.labels.size(), 2u);
  EXPECT_FALSE(demand({"node.name=n3"}));
  EXPECT_FALSE(demand({"device.name=A100"}));
  EXPECT_FALSE(demand({"node.label.zone=b"}));
}

TEST(Wishes, MeanSlices) {
  const auto demand = [](const Wish& wish) { return ToDemand(wish, "t", {}); };
  EXPECT_EQ(demand({.gpus = 0.5})->request.share, 500);
  EXPECT_EQ(demand({.gpus = 0.5})->amount, 500);
  EXPECT_EQ(demand({.gpus = 1.0 / 3})->request.share, 333);
  EXPECT_EQ(demand({.gpus = 0.29})->request.share, 290) << "0.29 * 1000 is below 290 in binary";
  EXPECT_EQ(demand({.gpus = 4})->request.gpus, 4);
  EXPECT_EQ(demand({.gpus = 4})->amount, 4000);
  EXPECT_EQ(demand({.gpus = 0.5, .memory_bytes = kGib})->request.memory_bytes, kGib);
  EXPECT_EQ(demand({.gpus = 1, .share = 0.2, .memory_bytes = kGib})->request.share, 200);
  for (const Wish& wish :
       {Wish{.gpus = 0}, Wish{.gpus = -1}, Wish{.gpus = 1.5}, Wish{.gpus = 65}, Wish{.gpus = 0.0001},
        Wish{.gpus = std::numeric_limits<double>::quiet_NaN()}, Wish{.gpus = 1, .share = 2, .memory_bytes = kGib},
        Wish{.gpus = 1, .share = 0.5}, Wish{.priority = 10}, Wish{.priority = -1}}) {
    EXPECT_FALSE(demand(wish)) << wish.gpus;
  }
}

}  // namespace
}  // namespace outboard::pool
