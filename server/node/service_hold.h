#pragma once

#include <grpcpp/grpcpp.h>

#include <cstddef>
#include <optional>
#include <string>

#include "proto/node.grpc.pb.h"
#include "server/node/loop.h"
#include "server/node/membership.h"
#include "server/node/node.h"

namespace outboard::node {

constexpr size_t kMaxBytesOfClientShown = 200;  // of its name, in logs and lists

// One lease of a node that belongs to a pool: lives as long as its stream, unless the pool ends it before. All pointers
// outlive the call.
grpc::ServerBidiReactor<HoldRequest, HoldReply>* StartPoolHold(Loop* loop, Node* node, Membership* membership,
                                                               const std::string& node_name, bool is_software,
                                                               const std::string& pool);

// What a pool's ticket says; nullopt: it is none.
std::optional<PoolTicket> ParseTicket(const std::string& message);

}  // namespace outboard::node
