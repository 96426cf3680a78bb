#include "tests/pool_load/cluster.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>

namespace outboard::pool_load {
namespace {

constexpr std::chrono::seconds kBetweenBeats{4};

}  // namespace

SimulatedCluster::SimulatedCluster(const PoolProcess& pool, int nodes, GroundTruth* truth) {
  for (int i = 0; i < nodes; ++i) {
    const std::string name = "n" + std::to_string(i);
    nodes_[name] = std::make_unique<SimulatedNode>(name, kGpusPerNode, truth);
    nodes_[name]->Join(pool.Connect());
  }
  AwaitWelcomes();
  beating_ = std::jthread([this](const std::stop_token& stop) { Beat(stop); });
}

void SimulatedCluster::ForgetWelcomes() {
  for (const auto& [name, node] : nodes_) node->ForgetWelcome();
}

void SimulatedCluster::AwaitWelcomes() {
  for (const auto& [name, node] : nodes_) node->AwaitWelcome();
}

// One after the other, so that the pool hears of them all the time.
void SimulatedCluster::Beat(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any changed;
  const auto pause = kBetweenBeats / nodes_.size();
  while (!stop.stop_requested()) {
    for (const auto& [name, node] : nodes_) {
      std::unique_lock lock(mutex);
      if (changed.wait_for(lock, stop, pause, [] { return false; }) || stop.stop_requested()) return;
      node->Beat();
    }
  }
}

Ticket Allocate(Pool::Stub* stub, const std::string& name, double gpus) {
  AllocateRequest request;
  request.set_request(name);
  request.set_gpus(gpus);
  request.set_wait_forever(true);
  request.set_client("a simulated client");
  for (;;) {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    const auto stream = stub->Allocate(&context, request);
    AllocateReply reply;
    while (stream->Read(&reply)) {
      if (reply.has_refused()) {
        std::fprintf(stderr, "the pool refused %s: %s\n", name.c_str(), reply.refused().reason().c_str());
        std::exit(1);
      }
      if (!reply.has_granted()) continue;
      Ticket ticket;
      ticket.ParseFromString(reply.granted().ticket());
      context.TryCancel();
      stream->Finish();
      return ticket;
    }
    stream->Finish();
  }
}

void Release(Pool::Stub* stub, const std::string& lease) {
  LeaseName name;
  name.set_lease(lease);
  for (;;) {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    Done done;
    const grpc::Status status = stub->Release(&context, name, &done);
    if (status.ok() || status.error_code() == grpc::StatusCode::NOT_FOUND) return;
  }
}

std::string NameOf(uint64_t lease) {
  char name[17];
  std::snprintf(name, sizeof name, "%04llx", static_cast<unsigned long long>(lease));
  return name;
}

std::map<std::string, std::string> List(Pool::Stub* stub) {
  ListRequest request;
  request.set_leases(true);
  std::map<std::string, std::string> leases;
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  const auto stream = stub->List(&context, request);
  ListReply reply;
  while (stream->Read(&reply)) {
    for (const PoolLease& lease : reply.leases()) leases[lease.lease()] = lease.state();
  }
  if (!stream->Finish().ok()) leases.clear();
  return leases;
}

}  // namespace outboard::pool_load
