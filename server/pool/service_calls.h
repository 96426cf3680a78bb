#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "proto/pool.grpc.pb.h"
#include "server/pool/desk.h"
#include "server/pool/engine.h"
#include "server/pool/identity.h"

// The calls of the service whose answers come later or in several parts. Each lives until gRPC is done with it.

namespace outboard::pool {

struct Meters;

// What a call needs; outlives every call.
struct Office {
  Engine* engine;
  Desk* desk;
  Meters* meters;
  // Calls it at once and then about once a second, on the engine's thread, with the pool, as long as it returns true.
  // Where many wait, their turns come less often.
  std::function<void(std::function<bool(Controller&)>)> each_second;
};

grpc::Status ToStatus(const Answer& answer);

grpc::ServerWriteReactor<AllocateReply>* StartAllocate(const Office& office, const Identity& peer,
                                                       const AllocateRequest& request);
grpc::ServerWriteReactor<LeaseNotice>* StartWatch(const Office& office, const Identity& peer, const LeaseName& request);
// `lists` counts the peer's lists that are being sent; it outlives them.
grpc::ServerWriteReactor<ListReply>* StartList(const Office& office, std::atomic<int>* lists,
                                               const ListRequest& request);
grpc::ServerBidiReactor<NodeReport, NodeOrder>* StartJoin(const Office& office, const Identity& peer);

}  // namespace outboard::pool
