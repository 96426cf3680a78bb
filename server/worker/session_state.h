#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/wire/op.h"
#include "server/worker/allocations.h"
#include "server/worker/arrays.h"
#include "server/worker/call.h"
#include "server/worker/contexts.h"
#include "server/worker/copies.h"
#include "server/worker/credits.h"
#include "server/worker/dev_resources.h"
#include "server/worker/exports.h"
#include "server/worker/graph_memory.h"
#include "server/worker/graphs.h"
#include "server/worker/host_calls.h"
#include "server/worker/lanes.h"
#include "server/worker/linkers.h"
#include "server/worker/memory_pools.h"
#include "server/worker/outbox.h"
#include "server/worker/own_memory.h"
#include "server/worker/session.h"
#include "server/worker/shares.h"
#include "server/worker/texture_objects.h"
#include "server/worker/uploads.h"
#include "server/worker/virtual_memory.h"

namespace outboard::worker {

// What a session consists of. For session*.cc and call.cc.
struct Session::State {
  State(Session& session, FrameSink* sink);

  // An operation by its number, and what this session knows of it.
  struct Entry {
    Handler handler = nullptr;
    const wire::OpInfo* info = nullptr;
    bool same_at_client = false;  // set by the hello
  };

  // Constant after construction.
  int32_t driver_version = 0;
  std::vector<wire::DeviceInfo> device_infos;  // of the lease

  // The reader's; constant once the hellos are exchanged, which is before the first lane.
  std::vector<Entry> entries;     // by operation number
  std::vector<uint32_t> visible;  // indices of the lease's devices, by the client's ordinals
  bool is_open = false;

  // The reader's.
  uint64_t last_received = 0;      // sequence number
  uint64_t last_acknowledged = 0;  // of the worker's commands, by the client
  std::vector<Run> runs;           // of the frame at hand

  std::atomic<bool> is_over{false};

  // Who the client says it is, for messages.
  std::string client() const {
    const std::lock_guard lock(client_mutex);
    return client_name;
  }
  mutable std::mutex client_mutex;
  std::string client_name = "a client that has not introduced itself";

  Credits credits;
  Outbox outbox;
  OwnMemory own_memory;
  Contexts contexts;
  AsideRanges aside;
  Allocations allocations;
  Arrays arrays;
  DevResources dev_resources;
  Exports exports;
  Shares shares;
  MemoryPools memory_pools;
  VirtualMemory virtual_memory;
  Copies copies;
  HostCalls host_calls;
  GraphMemory graph_memory;
  Graphs graphs;
  Uploads uploads;
  Linkers linkers;
  TextureObjects texture_objects;
  std::optional<Lanes> lanes;  // ends before everything that its threads use
};

}  // namespace outboard::worker
