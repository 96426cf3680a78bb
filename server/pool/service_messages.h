#pragma once

#include "proto/pool.pb.h"
#include "server/pool/controller.h"

// Between the pool's own words and those of proto/pool.proto. What comes from outside is bounded here.

namespace outboard::pool {

Wish ToWish(const AllocateRequest& request);
NodeRecord ToNode(const NodeReport::Register& message);
std::vector<HeldLease> ToHeld(const google::protobuf::RepeatedPtrField<NodeReport::Held>& messages);
std::vector<GpuReport> ToReports(const NodeReport::Heartbeat& message);

// Of EndAtNode or ResizeAtNode.
NodeOrder ToOrder(const Action& action);

void Fill(const Granted& granted, PoolLease* to);
void Fill(const LeaseState& lease, const NodeState& node, PoolLease* to);
void Fill(const NodeState& node, const Controller& pool, PoolNode* to);
void Fill(const WaitingRequest& request, PoolRequest* to);
void Fill(const Tenants::Account& account, PoolTenant* to);
void Fill(const UsageRecord& usage, PoolUsage* to);
void Fill(const Notice& notice, LeaseNotice* to);

// A text for people as it may be kept and shown.
std::string Shown(const std::string& text);

// A number of milliseconds, 0 standing for `zero`.
Duration ToDuration(uint64_t milliseconds, Duration zero);

}  // namespace outboard::pool
