#include "client/admin/changes.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>
#include <thread>
#include <utility>

#include "client/admin/pool_client.h"
#include "common/base/show_bytes.h"

namespace outboard::admin {
namespace {

constexpr std::chrono::milliseconds kBetweenLooks{500};

ChangeNodeRequest::What WhatOf(Verb verb) {
  switch (verb) {
    case Verb::kCordon:
      return ChangeNodeRequest::CORDON;
    case Verb::kUncordon:
      return ChangeNodeRequest::UNCORDON;
    case Verb::kDrain:
      return ChangeNodeRequest::DRAIN;
    case Verb::kUndrain:
      return ChangeNodeRequest::UNDRAIN;
    case Verb::kForget:
      return ChangeNodeRequest::FORGET;
    default:
      return ChangeNodeRequest::NOTHING;
  }
}

std::string WhatWasDone(const Options& options) {
  const std::string node = "node " + options.node + " ";
  switch (options.verb) {
    case Verb::kCordon:
      return node + "gets no more leases; those that it has go on.";
    case Verb::kUncordon:
      return node + "gets leases again, unless it is draining.";
    case Verb::kDrain:
      if (options.wait) return node + "is empty and gets no more leases.";
      if (!options.within) return node + "gets no more leases, and is empty when those that it has end.";
      return node + "gets no more leases; at the deadline those that are left " +
             (options.evict ? "end." : "are shown by gpu-admin health.");
    case Verb::kUndrain:
      return node + "gets leases again, unless it is cordoned.";
    default:
      return node + "is forgotten.";
  }
}

// Until the node has no lease. Says on stderr how many there are.
std::optional<Error> AwaitEmpty(const std::string& name, PoolClient& pool) {
  ListRequest request;
  request.set_nodes(true);
  for (uint32_t said = 0;;) {
    const Result<ListReply> reply = pool.List(request);
    if (!reply) return reply.error();
    const auto& nodes = reply->nodes();
    const auto node =
        std::find_if(nodes.begin(), nodes.end(), [&](const PoolNode& each) { return each.name() == name; });
    if (node == nodes.end() || node->leases() == 0) return std::nullopt;
    if (!node->draining()) return Error{"node " + name + " is not drained any more: somebody took that back."};
    if (const uint32_t left = node->leases(); std::exchange(said, left) != left) {
      std::fprintf(stderr, "gpu-admin: node %s has %u lease%s left.\n", name.c_str(), left, left == 1 ? "" : "s");
    }
    std::this_thread::sleep_for(kBetweenLooks);
  }
}

Result<std::string> ChangeNode(const Options& options, PoolClient& pool) {
  ChangeNodeRequest request;
  request.set_node(options.node);
  request.set_what(WhatOf(options.verb));
  // 0 would be no deadline at all.
  if (options.within) request.set_within_ms(static_cast<uint64_t>(std::max<int64_t>(1, options.within->count())));
  request.set_evict(options.evict);
  if (const std::optional<Error> error = pool.ChangeNode(request)) return *error;
  if (options.wait) {
    if (const std::optional<Error> error = AwaitEmpty(options.node, pool)) return *error;
  }
  return WhatWasDone(options);
}

Result<std::string> RevokeLease(const Options& options, PoolClient& pool) {
  RevokeRequest request;
  request.set_lease(options.lease);
  request.set_grace_ms(static_cast<uint64_t>(options.grace.count()));
  request.set_reason(options.reason);
  if (const std::optional<Error> error = pool.Revoke(request)) return *error;
  return "lease " + options.lease + (options.grace.count() == 0 ? " is over." : " ends after the time of grace.");
}

// What the lease has by now, and what its programs have beyond that.
Result<std::string> DescribeSize(const std::string& name, PoolClient& pool) {
  ListRequest request;
  request.set_leases(true);
  const Result<ListReply> reply = pool.List(request);
  if (!reply) return reply.error();
  const auto& leases = reply->leases();
  const auto lease =
      std::find_if(leases.begin(), leases.end(), [&](const PoolLease& each) { return each.lease() == name; });
  if (lease == leases.end() || lease->gpus().empty()) return Error{"lease " + name + " has ended meanwhile."};
  uint64_t over = 0;
  for (const PoolLease::Gpu& gpu : lease->gpus())
    over += gpu.held_bytes() - std::min(gpu.held_bytes(), gpu.memory_bytes());
  char share[32];
  std::snprintf(share, sizeof share, "%g", lease->gpus(0).share() / 10.0);
  const std::string of_each = lease->gpus_size() == 1 ? "" : " of each GPU";
  return "lease " + name + " has " + share + " % of the compute and " + ShowBytes(lease->gpus(0).memory_bytes()) +
         of_each + " now." +
         (over == 0 ? ""
                    : " Its programs still hold " + ShowBytes(over) + " more, and get nothing until they free that.");
}

Result<std::string> ResizeLease(const Options& options, PoolClient& pool) {
  ResizeRequest request;
  request.set_lease(options.lease);
  request.set_memory_bytes(options.memory_bytes.value_or(0));
  request.set_share(static_cast<uint32_t>(options.share.value_or(0)));
  request.set_when_free(options.when_free);
  if (const std::optional<Error> error = pool.Resize(request)) return *error;
  return DescribeSize(options.lease, pool);
}

// What is not said stays as it is.
Result<std::string> SetQuota(const Options& options, PoolClient& pool) {
  ListRequest request;
  request.set_tenants(true);
  const Result<ListReply> reply = pool.List(request);
  if (!reply) return reply.error();
  PoolTenant tenant;
  tenant.set_name(options.tenant);
  tenant.set_weight(1);
  for (const PoolTenant& each : reply->tenants()) {
    if (each.name() == options.tenant) tenant = each;
  }
  tenant.clear_used();
  if (options.quota) tenant.set_quota(*options.quota);
  if (options.weight) tenant.set_weight(*options.weight);
  if (options.maximum) {
    if (*options.maximum < 0) {
      tenant.clear_maximum();
    } else {
      tenant.set_maximum(*options.maximum);
    }
  }
  if (const std::optional<Error> error = pool.SetTenant(tenant)) return *error;
  return "tenant " + options.tenant + " is changed.";
}

}  // namespace

Result<std::string> Change(const Options& options, PoolClient& pool) {
  if (options.verb == Verb::kRevoke) return RevokeLease(options, pool);
  if (options.verb == Verb::kResize) return ResizeLease(options, pool);
  if (options.verb == Verb::kQuota) return SetQuota(options, pool);
  return ChangeNode(options, pool);
}

}  // namespace outboard::admin
