#include "client/admin/views.h"

#include <gtest/gtest.h>

#include <string>

#include "client/admin/top.h"

namespace outboard::admin {
namespace {

constexpr int64_t kViewedAt = 1'700'000'000'000;
constexpr uint64_t kGib = uint64_t{1} << 30;

PoolNode* AddNode(ListReply* reply, const std::string& name, int gpus) {
  PoolNode* const node = reply->add_nodes();
  node->set_name(name);
  node->set_up(true);
  node->set_heard_at_ms(kViewedAt - 3000);
  for (int i = 0; i < gpus; ++i) {
    PoolNode::Gpu* const gpu = node->add_gpus();
    gpu->set_uuid("GPU-" + name + "-" + std::to_string(i));
    gpu->set_name("NVIDIA H200");
    gpu->set_usable(true);
    gpu->set_memory_bytes(100 * kGib);
    gpu->set_free_bytes(100 * kGib);
    gpu->set_free_share(1000);
  }
  return node;
}

PoolLease* AddLease(ListReply* reply, const std::string& name, const std::string& node, const std::string& user) {
  PoolLease* const lease = reply->add_leases();
  lease->set_lease(name);
  lease->set_node(node);
  lease->set_state("open");
  lease->set_tenant("vision");
  lease->set_user(user);
  lease->set_granted_at_ms(kViewedAt - 9'000'000);
  lease->set_counted_at_ms(kViewedAt - 7'200'000);  // it has been resized
  PoolLease::Gpu* const gpu = lease->add_gpus();
  gpu->set_uuid("GPU-" + node + "-0");
  gpu->set_share(500);
  gpu->set_memory_bytes(50 * kGib);
  gpu->set_held_bytes(60 * kGib);
  return lease;
}

// The cell of a row, by its column's key.
Cell At(const Table& table, size_t row, const std::string& key) {
  for (size_t i = 0; i < table.columns.size(); ++i) {
    if (table.columns[i].key == key) return table.rows.at(row).at(i);
  }
  ADD_FAILURE() << "there is no column " << key;
  return {};
}

void ExpectWhole(const Table& table) {
  for (const auto& row : table.rows) EXPECT_EQ(row.size(), table.columns.size()) << table.name;
}

TEST(AdminViews, EveryRowHasEveryColumn) {
  ListReply reply;
  reply.set_now_ms(kViewedAt);
  AddNode(&reply, "n1", 2);
  AddLease(&reply, "7f3a", "n1", "ann");
  reply.add_queue()->set_request(1);
  reply.add_tenants()->set_name("vision");
  reply.add_usage()->set_tenant("vision");
  for (const Table& table :
       {Nodes(reply), Gpus(reply, {}), Leases(reply, {}), Queue(reply, {}), Tenants(reply, {}), Usage(reply, {})}) {
    EXPECT_FALSE(table.rows.empty()) << table.name;
    ExpectWhole(table);
  }
}

TEST(AdminViews, ANodeAddsUpItsGpus) {
  ListReply reply;
  PoolNode* const node = AddNode(&reply, "n1", 3);
  node->mutable_gpus(0)->set_free_share(500);
  node->mutable_gpus(0)->set_free_bytes(50 * kGib);
  node->mutable_gpus(1)->set_usable(false);  // nobody gets anything of it
  node->set_cuda_version(13000);
  (*node->mutable_labels())["zone"] = "b";
  (*node->mutable_labels())["rack"] = "7";
  const Table table = Nodes(reply);
  EXPECT_EQ(At(table, 0, "state"), Cell("ready"));
  EXPECT_EQ(At(table, 0, "gpus"), Cell(int64_t{3}));
  EXPECT_EQ(At(table, 0, "free_gpus"), Cell(1.5));
  EXPECT_EQ(At(table, 0, "memory_bytes"), Cell(static_cast<int64_t>(300 * kGib)));
  EXPECT_EQ(At(table, 0, "free_bytes"), Cell(static_cast<int64_t>(250 * kGib)));
  EXPECT_EQ(At(table, 0, "cuda_version"), Cell("13.0"));
  EXPECT_EQ(At(table, 0, "labels"), Cell(std::vector<std::string>{"rack=7", "zone=b"}));
  EXPECT_EQ(At(table, 0, "drain_deadline_ms"), Cell());
}

TEST(AdminViews, ANodesStateNamesAllThatHolds) {
  ListReply reply;
  PoolNode* const node = AddNode(&reply, "n1", 1);
  node->set_up(false);
  node->set_draining(true);
  node->set_cordoned(true);
  EXPECT_EQ(At(Nodes(reply), 0, "state"), Cell("lost, draining, cordoned"));
}

TEST(AdminViews, WhatIsLeasedOfAGpu) {
  ListReply reply;
  AddNode(&reply, "n1", 1);
  PoolNode::Gpu* const gpu = AddNode(&reply, "n2", 1)->mutable_gpus(0);
  gpu->set_free_share(250);
  gpu->set_free_bytes(40 * kGib);
  gpu->set_utilization(0.5);
  const Table table = Gpus(reply, {.node = "n2"});
  ASSERT_EQ(table.rows.size(), 1u);
  EXPECT_EQ(At(table, 0, "leased_ratio"), Cell(0.75));
  EXPECT_EQ(At(table, 0, "leased_bytes"), Cell(static_cast<int64_t>(60 * kGib)));
  EXPECT_EQ(At(table, 0, "utilization_ratio"), Cell(0.5));
  EXPECT_EQ(At(table, 0, "temperature_celsius"), Cell());  // the node has said none
}

TEST(AdminViews, AnAccountSaysWhatMemoryIsFor) {
  ListReply reply;
  PoolLease* const lease = AddLease(&reply, "0001", "n1", "ann");
  SliceUse* const use = lease->mutable_gpus(0)->mutable_use();
  use->set_used_bytes(40);
  use->set_context_bytes(10);
  use->set_growth_bytes(5);
  use->set_peak_bytes(45);
  const Table table = Account(*lease);
  ASSERT_EQ(table.rows.size(), 1u);
  ExpectWhole(table);
  EXPECT_EQ(At(table, 0, "gpu"), Cell("GPU-n1-0"));
  EXPECT_EQ(At(table, 0, "share"), Cell(0.5));
  EXPECT_EQ(At(table, 0, "asked_bytes"), Cell(static_cast<int64_t>(50 * kGib)));
  EXPECT_EQ(At(table, 0, "allocations_bytes"), Cell(int64_t{25}));
  EXPECT_EQ(At(table, 0, "context_bytes"), Cell(int64_t{10}));
  EXPECT_EQ(At(table, 0, "growth_bytes"), Cell(int64_t{5}));
  EXPECT_EQ(At(table, 0, "used_bytes"), Cell(int64_t{40}));
  EXPECT_EQ(At(table, 0, "free_bytes"), Cell(static_cast<int64_t>(50 * kGib - 40)));
  EXPECT_EQ(At(table, 0, "peak_bytes"), Cell(int64_t{45}));
  EXPECT_EQ(At(table, 0, "held_bytes"), Cell(static_cast<int64_t>(60 * kGib)));
  use->set_used_bytes(60 * kGib);  // of before it was made smaller
  EXPECT_EQ(At(Account(*lease), 0, "free_bytes"), Cell(int64_t{0}));
}

TEST(AdminViews, LeasesOfOneOwnerOrNode) {
  ListReply reply;
  AddLease(&reply, "0001", "n1", "ann");
  AddLease(&reply, "0002", "n2", "ann");
  AddLease(&reply, "0003", "n2", "bob");
  EXPECT_EQ(Leases(reply, {}).rows.size(), 3u);
  EXPECT_EQ(Leases(reply, {.node = "n2"}).rows.size(), 2u);
  EXPECT_EQ(Leases(reply, {.tenant = "speech"}).rows.size(), 0u);
  const Table table = Leases(reply, {.node = "n2", .tenant = "vision", .user = "ann"});
  ASSERT_EQ(table.rows.size(), 1u);
  EXPECT_EQ(At(table, 0, "lease"), Cell("0002"));
  EXPECT_EQ(At(table, 0, "gpus"), Cell(0.5));
  EXPECT_EQ(At(table, 0, "memory_bytes"), Cell(static_cast<int64_t>(50 * kGib)));
  EXPECT_EQ(At(table, 0, "held_bytes"), Cell(static_cast<int64_t>(60 * kGib)));
}

TEST(AdminViews, UsageAddsWhatLastsToWhatHasEnded) {
  ListReply reply;
  reply.set_now_ms(kViewedAt);
  PoolUsage* const ended = reply.add_usage();
  ended->set_tenant("vision");
  ended->set_user("ann");
  ended->set_gpu_seconds(100);
  ended->set_leases(4);
  AddLease(&reply, "0001", "n1", "ann");
  AddLease(&reply, "0002", "n1", "ann")->set_state("ending");  // is among those that have ended
  AddLease(&reply, "0003", "n1", "bob")->set_counted_at_ms(kViewedAt + 5);
  const Table table = Usage(reply, {});
  ASSERT_EQ(table.rows.size(), 2u);
  EXPECT_EQ(At(table, 0, "gpu_seconds"), Cell(100.0));
  EXPECT_EQ(At(table, 0, "leases"), Cell(int64_t{4}));
  EXPECT_EQ(At(table, 0, "running_gpu_seconds"), Cell(3600.0));
  EXPECT_EQ(At(table, 0, "running_leases"), Cell(int64_t{1}));
  EXPECT_EQ(At(table, 1, "running_gpu_seconds"), Cell(0.0));
  EXPECT_EQ(Usage(reply, {.user = "bob"}).rows.size(), 1u);
}

TEST(AdminViews, ATenantWithoutAMaximumHasNone) {
  ListReply reply;
  PoolTenant* const tenant = reply.add_tenants();
  tenant->set_name("vision");
  tenant->set_quota(2500);
  tenant->set_used(500);
  EXPECT_EQ(At(Tenants(reply, {}), 0, "quota_gpus"), Cell(2.5));
  EXPECT_EQ(At(Tenants(reply, {}), 0, "maximum_gpus"), Cell());
  tenant->set_maximum(0);
  EXPECT_EQ(At(Tenants(reply, {}), 0, "maximum_gpus"), Cell(0.0));
}

TEST(AdminViews, AllIsWell) {
  ListReply reply;
  reply.set_now_ms(kViewedAt);
  AddNode(&reply, "n1", 1);
  PoolNode* const away = AddNode(&reply, "n2", 1);  // as an administrator wants it
  away->set_draining(true);
  away->set_leases(1);
  away->set_drain_deadline_ms(kViewedAt + 1000);
  const Health health = Examine(reply);
  EXPECT_EQ(health.status, 0);
  EXPECT_TRUE(health.findings.rows.empty());
}

TEST(AdminViews, SomethingNeedsAttention) {
  ListReply reply;
  reply.set_now_ms(kViewedAt);
  AddNode(&reply, "n1", 1);
  AddNode(&reply, "n2", 1)->set_up(false);
  PoolNode::Gpu* const gpu = AddNode(&reply, "n3", 2)->mutable_gpus(1);
  gpu->set_usable(false);
  gpu->set_why("Xid 79");
  PoolNode* const late = AddNode(&reply, "n4", 1);
  late->set_draining(true);
  late->set_leases(2);
  late->set_drain_deadline_ms(kViewedAt - 1);
  const Health health = Examine(reply);
  EXPECT_EQ(health.status, 1);
  const Table& findings = health.findings;
  ExpectWhole(findings);
  ASSERT_EQ(findings.rows.size(), 3u);
  EXPECT_EQ(At(findings, 0, "what"), Cell("n2"));
  EXPECT_EQ(At(findings, 1, "what"), Cell("n3 GPU-n3-1"));
  EXPECT_EQ(At(findings, 1, "finding"), Cell("is not usable: Xid 79"));
  EXPECT_EQ(At(findings, 2, "finding"), Cell("should be empty and still has 2 leases"));
}

TEST(AdminViews, NothingCanBeGivenOut) {
  EXPECT_EQ(Examine(ListReply()).status, 2);
  ListReply reply;
  AddNode(&reply, "n1", 1)->set_cordoned(true);
  AddNode(&reply, "n2", 1)->set_up(false);
  AddNode(&reply, "n3", 1)->mutable_gpus(0)->set_usable(false);
  const Health health = Examine(reply);
  EXPECT_EQ(health.status, 2);
  EXPECT_EQ(At(health.findings, health.findings.rows.size() - 1, "severity"), Cell("critical"));
}

TEST(AdminViews, APictureOfThePool) {
  ListReply reply;
  reply.set_now_ms(kViewedAt);
  AddNode(&reply, "n1", 2)->mutable_gpus(0)->set_free_share(500);
  AddNode(&reply, "n2", 1)->set_up(false);
  AddLease(&reply, "7f3a", "n1", "ann");
  const std::string picture = Picture(reply);
  EXPECT_EQ(picture.substr(0, picture.find('\n')),
            "1 of 2 nodes up, 2 GPUs, 0.50 of them leased [#####...............], 1 leases, 0 requests wait");
  EXPECT_NE(picture.find("[##########..........]"), std::string::npos) << picture;
  EXPECT_NE(picture.find("7f3a"), std::string::npos) << picture;
}

TEST(AdminViews, APictureIsCutToItsScreen) {
  EXPECT_EQ(Clip("one\ntwo\nthree\n", 2, 2), "on\033[K\r\ntw\033[K");
  EXPECT_EQ(Clip("one\n\ntwo\n", 9, 9), "one\033[K\r\n\033[K\r\ntwo\033[K");
  EXPECT_EQ(Clip("", 9, 9), "");
}

}  // namespace
}  // namespace outboard::admin
