// The service as its callers have it, over real sockets.

#include "server/pool/service.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <optional>
#include <string>

#include "proto/pool.grpc.pb.h"
#include "server/pool/desk.h"
#include "server/pool/door.h"
#include "server/pool/engine.h"
#include "server/pool/memory_store.h"
#include "server/pool/metrics.h"

namespace outboard::pool {
namespace {

constexpr uint64_t kGib = uint64_t{1} << 30;
constexpr std::chrono::minutes kGenerous{1};

class ServiceTest : public ::testing::Test {
 protected:
  ServiceTest() {
    char name[] = "/tmp/outboard-pool-XXXXXX";
    folder_ = mkdtemp(name);
    Config config;
    config.listen = {{"unix:" + (folder_ / "all").string(), "", true, true, true},
                     {"unix:" + (folder_ / "a").string(), "a", true, false, false},
                     {"unix:" + (folder_ / "b").string(), "b", true, false, false},
                     {"127.0.0.1:0", "", false, true, false}};
    engine_ = std::move(
        *Engine::Start({}, std::make_unique<MemoryStore>(), [this](const Action& action) { desk_.Perform(action); }));
    service_.emplace(engine_.get(), &desk_, &meters_);
    door_ = std::move(*Door::Open(
        config, [this](UniqueFd connection, const Identity& peer) { service_->Serve(std::move(connection), peer); }));
    all_ = Connect("all");
    a_ = Connect("a");
    b_ = Connect("b");
    loopback_ = Pool::NewStub(grpc::CreateChannel(door_->addresses()[3], grpc::InsecureChannelCredentials()));
  }
  ~ServiceTest() override {
    door_.reset();
    service_->Shutdown();
    service_.reset();
    engine_.reset();
    std::filesystem::remove_all(folder_);
  }

  std::unique_ptr<Pool::Stub> Connect(const std::string& name) {
    return Pool::NewStub(grpc::CreateChannel("unix:" + (folder_ / name).string(), grpc::InsecureChannelCredentials()));
  }

  // A node's stream.
  struct FakeNode {
    explicit FakeNode(Pool::Stub* stub) : stream(stub->Join(&context)) {}
    ~FakeNode() {
      context.TryCancel();
      stream->Finish();
    }
    NodeOrder Say(const NodeReport& report) {
      stream->Write(report);
      return Read();
    }
    NodeOrder Read() {
      NodeOrder order;
      if (!stream->Read(&order)) ADD_FAILURE() << "the stream is over";
      return order;
    }
    NodeOrder Register(const std::string& name, int gpus, const std::string& instance = "") {
      NodeReport report;
      NodeReport::Register* const registration = report.mutable_registration();
      registration->set_instance(instance);
      registration->set_name(name);
      registration->set_address(name + ":7000");
      for (int i = 0; i < gpus; ++i) {
        NodeReport::Gpu* const gpu = registration->add_gpus();
        gpu->set_uuid("GPU-" + name + "-" + std::to_string(i));
        gpu->set_name("NVIDIA H200");
        gpu->set_memory_bytes(141 * kGib);
      }
      return Say(report);
    }
    NodeOrder Open(const PoolLease& lease) {
      Ticket ticket;
      ticket.ParseFromString(lease.ticket());
      NodeReport report;
      report.mutable_open()->set_lease(ticket.lease());
      report.mutable_open()->set_epoch(ticket.epoch());
      return Say(report);
    }
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReaderWriter<NodeReport, NodeOrder>> stream;
  };

  struct Allocation {
    Allocation(Pool::Stub* stub, const AllocateRequest& request) {
      context.set_deadline(std::chrono::system_clock::now() + kGenerous);
      stream = stub->Allocate(&context, request);
    }
    ~Allocation() {
      context.TryCancel();
      stream->Finish();
    }
    AllocateReply Read() {
      AllocateReply reply;
      if (!stream->Read(&reply)) ADD_FAILURE() << "no reply";
      return reply;
    }
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<AllocateReply>> stream;
  };

  static AllocateRequest Whole(bool wait = false) {
    AllocateRequest request;
    request.set_gpus(1);
    request.set_wait_forever(wait);
    request.set_client("a test");
    return request;
  }
  static PoolLease Take(Pool::Stub* stub, const AllocateRequest& request = Whole()) {
    Allocation allocation(stub, request);
    AllocateReply reply = allocation.Read();
    while (reply.has_waiting()) reply = allocation.Read();
    EXPECT_TRUE(reply.has_granted()) << reply.refused().reason();
    return reply.granted();
  }
  static grpc::StatusCode Release(Pool::Stub* stub, const std::string& lease) {
    grpc::ClientContext context;
    LeaseName name;
    name.set_lease(lease);
    Done done;
    return stub->Release(&context, name, &done).error_code();
  }
  static ListReply List(Pool::Stub* stub) {
    grpc::ClientContext context;
    ListRequest request;
    request.set_nodes(true);
    request.set_leases(true);
    request.set_queue(true);
    request.set_tenants(true);
    request.set_usage(true);
    const auto stream = stub->List(&context, request);
    ListReply all;
    for (ListReply part; stream->Read(&part);) all.MergeFrom(part);
    EXPECT_TRUE(stream->Finish().ok());
    return all;
  }

  std::filesystem::path folder_;
  Desk desk_;
  Meters meters_;
  std::unique_ptr<Engine> engine_;
  std::optional<Service> service_;
  std::unique_ptr<Door> door_;
  std::unique_ptr<Pool::Stub> all_, a_, b_, loopback_;
};

TEST_F(ServiceTest, ALeaseFromGrantToEnd) {
  FakeNode node(all_.get());
  EXPECT_EQ(node.Register("n1", 1).welcome().heartbeat_ms(), 5000u);
  const PoolLease lease = Take(a_.get());
  EXPECT_EQ(lease.node(), "n1");
  EXPECT_EQ(lease.address(), "n1:7000");
  ASSERT_EQ(lease.gpus_size(), 1);
  EXPECT_EQ(lease.gpus(0).name(), "NVIDIA H200");
  EXPECT_EQ(lease.gpus(0).memory_bytes(), 141 * kGib);
  EXPECT_EQ(lease.tenant(), "a");
  EXPECT_TRUE(node.Open(lease).opened().may());

  grpc::ClientContext watching;
  LeaseName name;
  name.set_lease(lease.lease());
  const auto watch = a_->Watch(&watching, name);
  LeaseNotice notice;
  ASSERT_TRUE(watch->Read(&notice));
  EXPECT_EQ(notice.kind(), LeaseNotice::STANDS);

  EXPECT_EQ(Release(a_.get(), lease.lease()), grpc::StatusCode::OK);
  ASSERT_TRUE(watch->Read(&notice));
  EXPECT_EQ(notice.kind(), LeaseNotice::ENDED);
  EXPECT_FALSE(watch->Read(&notice));
  EXPECT_TRUE(watch->Finish().ok());

  const NodeOrder order = node.Read();
  ASSERT_TRUE(order.has_end());
  EXPECT_EQ(List(all_.get()).leases(0).state(), "ending");
  NodeReport report;
  report.mutable_over()->set_lease(order.end().lease());
  node.stream->Write(report);
  const PoolLease next = Take(a_.get(), Whole(true));  // waits for the node's word
  EXPECT_NE(next.lease(), lease.lease());
}

TEST_F(ServiceTest, WhoWaitsHearsWhyAndGetsItsTurn) {
  FakeNode node(all_.get());
  node.Register("n1", 1);
  const PoolLease lease = Take(a_.get());
  const AllocateReply refused = Allocation(b_.get(), Whole()).Read();
  EXPECT_TRUE(refused.refused().no_capacity());
  Allocation waiting(b_.get(), Whole(true));
  const AllocateReply reply = waiting.Read();
  EXPECT_EQ(reply.waiting().reason(), "node n1 needs 1 GPU that nobody uses and has none.");
  grpc::ClientContext context;
  WhyRequest request;
  request.set_request(reply.waiting().request());
  WhyReply why;
  ASSERT_TRUE(all_->Why(&context, request, &why).ok());
  EXPECT_EQ(why.summary(), reply.waiting().reason());
  ASSERT_EQ(why.nodes_size(), 1);
  EXPECT_EQ(why.nodes(0).node(), "n1");
  const ListReply all = List(all_.get());
  EXPECT_EQ(all.queue_size(), 1);
  EXPECT_GE(all.now_ms(), all.queue(0).asked_at_ms());
  EXPECT_LT(all.now_ms(), all.queue(0).asked_at_ms() + 3600 * 1000);
  EXPECT_EQ(Release(a_.get(), lease.lease()), grpc::StatusCode::OK);
  EXPECT_TRUE(waiting.Read().has_granted());
}

TEST_F(ServiceTest, WhoLeavesTheQueueIsForgotten) {
  FakeNode node(all_.get());
  node.Register("n1", 1);
  const PoolLease lease = Take(a_.get());
  {
    Allocation waiting(b_.get(), Whole(true));
    EXPECT_TRUE(waiting.Read().has_waiting());
  }
  while (List(all_.get()).queue_size() != 0) {
  }
  EXPECT_EQ(Release(a_.get(), lease.lease()), grpc::StatusCode::OK);
  EXPECT_EQ(List(all_.get()).leases_size(), 0);
}

TEST_F(ServiceTest, OwnersAreWhoTheirConnectionsSay) {
  FakeNode node(all_.get());
  node.Register("n1", 2);
  const PoolLease lease = Take(a_.get());
  EXPECT_EQ(Release(b_.get(), lease.lease()), grpc::StatusCode::NOT_FOUND);
  LeaseName name;
  name.set_lease(lease.lease());
  Done done;
  {
    grpc::ClientContext context;
    EXPECT_EQ(b_->Renew(&context, name, &done).error_code(), grpc::StatusCode::NOT_FOUND);
  }
  {
    grpc::ClientContext context;
    RevokeRequest request;
    request.set_lease(lease.lease());
    EXPECT_EQ(b_->Revoke(&context, request, &done).error_code(), grpc::StatusCode::NOT_FOUND);
  }
  {
    grpc::ClientContext context;
    const auto watch = b_->Watch(&context, name);
    LeaseNotice notice;
    EXPECT_FALSE(watch->Read(&notice));
    EXPECT_EQ(watch->Finish().error_code(), grpc::StatusCode::NOT_FOUND);
  }
  {
    grpc::ClientContext context;
    ChangeNodeRequest request;
    request.set_node("n1");
    request.set_what(ChangeNodeRequest::CORDON);
    EXPECT_EQ(a_->ChangeNode(&context, request, &done).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  }
  {
    grpc::ClientContext context;
    PoolTenant tenant;
    tenant.set_name("a");
    tenant.set_weight(1000);
    EXPECT_EQ(a_->SetTenant(&context, tenant, &done).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  }
  {
    FakeNode no_node(a_.get());
    EXPECT_TRUE(no_node.Register("n2", 1).has_refused());
    FakeNode one(loopback_.get());
    EXPECT_TRUE(one.Register("n2", 1).has_welcome());
  }
  EXPECT_FALSE(Allocation(loopback_.get(), Whole()).Read().refused().no_capacity());
  EXPECT_EQ(Release(a_.get(), lease.lease()), grpc::StatusCode::OK);
}

TEST_F(ServiceTest, AdministratorsChangeThings) {
  FakeNode node(all_.get());
  node.Register("n1", 1);
  const PoolLease lease = Take(a_.get());
  Done done;
  {
    grpc::ClientContext context;
    ChangeNodeRequest request;
    request.set_node("n1");
    request.set_what(ChangeNodeRequest::CORDON);
    EXPECT_TRUE(all_->ChangeNode(&context, request, &done).ok());
  }
  {
    grpc::ClientContext context;
    PoolTenant tenant;
    tenant.set_name("a");
    tenant.set_quota(2000);
    tenant.set_weight(3);
    EXPECT_TRUE(all_->SetTenant(&context, tenant, &done).ok());
  }
  {
    grpc::ClientContext context;
    RevokeRequest request;
    request.set_lease(lease.lease());
    EXPECT_TRUE(all_->Revoke(&context, request, &done).ok());
  }
  const ListReply list = List(all_.get());
  EXPECT_TRUE(list.nodes(0).cordoned());
  EXPECT_EQ(list.nodes(0).gpus(0).free_share(), 1000u);
  EXPECT_EQ(list.leases_size(), 0);
  bool found = false;
  for (const PoolTenant& tenant : list.tenants()) found = found || (tenant.name() == "a" && tenant.weight() == 3);
  EXPECT_TRUE(found);
  EXPECT_EQ(list.usage_size(), 1);
}

TEST_F(ServiceTest, ANodeThatComesByAnotherConnectionReplacesItself) {
  FakeNode first(all_.get());
  first.Register("n1", 1);
  FakeNode second(all_.get());
  EXPECT_TRUE(second.Register("n1", 1).has_welcome());
  NodeOrder order;
  EXPECT_FALSE(first.stream->Read(&order));
  const PoolLease lease = Take(a_.get());
  EXPECT_TRUE(second.Open(lease).opened().may());
  EXPECT_EQ(Release(a_.get(), lease.lease()), grpc::StatusCode::OK);
  EXPECT_TRUE(second.Read().has_end());
}

TEST_F(ServiceTest, AStreamSpeaksForOneNode) {
  FakeNode node(all_.get());
  node.Register("n1", 1);
  EXPECT_TRUE(node.Register("n1", 2).has_welcome());
  NodeReport report;
  report.mutable_registration()->set_name("n2");
  report.mutable_registration()->set_address("n2:7000");
  node.stream->Write(report);
  NodeOrder order;
  EXPECT_FALSE(node.stream->Read(&order));
  EXPECT_EQ(List(all_.get()).nodes_size(), 1);
}

TEST_F(ServiceTest, WhatMeansSomethingIsNotCutShort) {
  for (const std::string& filter :
       {"node.label.zone=" + std::string(200, 'a'), std::string("node.label.zone=\xc3\xbc")}) {
    AllocateRequest request = Whole();
    request.add_filters(filter);
    Allocation allocation(a_.get(), request);
    AllocateReply reply;
    EXPECT_FALSE(allocation.stream->Read(&reply)) << filter;
  }
  Done done;
  grpc::ClientContext context;
  ChangeNodeRequest nothing;
  nothing.set_node("n1");
  EXPECT_EQ(all_->ChangeNode(&context, nothing, &done).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(ServiceTest, AnotherNodeOfTheSameNameIsRefused) {
  {
    FakeNode first(all_.get());
    first.Register("n1", 1, "one");
    const PoolLease lease = Take(a_.get());
    EXPECT_TRUE(first.Open(lease).opened().may());
    FakeNode second(all_.get());
    EXPECT_NE(second.Register("n1", 1, "two").refused().reason().find("n1:7000"), std::string::npos);
    EXPECT_EQ(List(all_.get()).leases(0).state(), "open");
    EXPECT_TRUE(first.Register("n1", 1, "one").has_welcome());
  }
  // Its connection is gone: whoever has the name now has it.
  for (;;) {
    FakeNode second(all_.get());
    if (second.Register("n1", 1, "two").has_welcome()) break;
  }
}

TEST_F(ServiceTest, AReportOutOfTurnIsRefused) {
  FakeNode node(all_.get());
  NodeReport report;
  report.mutable_heartbeat();
  EXPECT_TRUE(node.Say(report).refused().register_again());
  node.Register("n1", 1);
  EXPECT_TRUE(node.Say(report).refused().register_again()) << "it said nothing of its GPU";
  report.mutable_heartbeat()->add_gpus()->set_usable(true);
  EXPECT_TRUE(node.Say(report).has_heard());
  report.mutable_open()->set_lease(12345);
  EXPECT_FALSE(node.Say(report).opened().may());
}

TEST_F(ServiceTest, ManyEntriesComeInParts) {
  FakeNode node(all_.get());
  node.Register("n1", 2);
  for (int i = 0; i < 1100; ++i) {
    AllocateRequest request = Whole();
    request.set_gpus(0.001);
    Take(a_.get(), request);
  }
  EXPECT_EQ(List(all_.get()).leases_size(), 1100);
}

TEST_F(ServiceTest, WhoDoesNotReadIsNotSentMoreAndMore) {
  std::vector<std::unique_ptr<FakeNode>> nodes;
  for (int i = 0; i < 60; ++i) {
    NodeReport report;
    report.mutable_registration()->set_name("n" + std::to_string(i));
    report.mutable_registration()->set_address("n:7000");
    for (int label = 0; label < 64; ++label) {
      const std::string key = std::to_string(label) + std::string(190, 'k');
      (*report.mutable_registration()->mutable_labels())[key] = std::string(200, 'v');
    }
    nodes.push_back(std::make_unique<FakeNode>(all_.get()));
    ASSERT_TRUE(nodes.back()->Say(report).has_welcome());
  }
  // A connection that takes in little before it is read.
  grpc::ChannelArguments small;
  small.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  small.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 1 << 16);
  const auto slow = Pool::NewStub(
      grpc::CreateCustomChannel("unix:" + (folder_ / "all").string(), grpc::InsecureChannelCredentials(), small));
  ListRequest request;
  request.set_nodes(true);
  struct Unread {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<ListReply>> stream;
  };
  std::vector<std::unique_ptr<Unread>> unread;
  for (int i = 0; i < 16; ++i) {  // more than one peer may have
    unread.push_back(std::make_unique<Unread>());
    unread.back()->stream = slow->List(&unread.back()->context, request);
    unread.back()->stream->WaitForInitialMetadata();
  }
  const auto try_to_list = [&] {
    grpc::ClientContext context;
    const auto stream = all_->List(&context, request);
    for (ListReply part; stream->Read(&part);) {
    }
    return stream->Finish().error_code();
  };
  EXPECT_EQ(try_to_list(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  for (const auto& each : unread) each->context.TryCancel();
  for (const auto& each : unread) each->stream->Finish();
  while (try_to_list() != grpc::StatusCode::OK) {
  }
  EXPECT_EQ(List(all_.get()).nodes_size(), 60);
}

TEST_F(ServiceTest, TheEndOfALeaseIsNotAnswered) {
  FakeNode node(all_.get());
  node.Register("n1", 1);
  NodeReport report;
  report.mutable_over()->set_lease(12345);
  for (int i = 0; i < 10; ++i) node.stream->Write(report);
  report.mutable_heartbeat()->add_gpus()->set_usable(true);
  EXPECT_TRUE(node.Say(report).has_heard());
}

}  // namespace
}  // namespace outboard::pool
