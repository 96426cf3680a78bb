#pragma once

#include <cuda.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/log.h"
#include "common/wire/frame.h"
#include "common/wire/hello.h"
#include "server/driver/driver_table.h"
#include "server/slice/gate.h"
#include "server/slice/ledger.h"
#include "server/slice/unseen_memory.h"
#include "server/worker/handle_table.h"

namespace outboard::worker {

class Allocations;     // device memory of the session, charged to the ledger
class Arrays;          // CUDA arrays of the session, charged to the ledger
class Contexts;        // contexts of the session, from their making to their end
class Copies;          // copies between host memory of the client and the device
class DevResources;    // what the client was told of GPUs' resources
class Exports;         // memory and events that the session shares with others of its lease
class GraphMemory;     // memory of graphs, charged to the ledger
class Graphs;          // executable graphs
class HostCalls;       // host functions that streams wait for
struct Lane;           // the worker's side of one thread of the client
class Linkers;         // of cuLinkCreate
class MemoryPools;     // the session's memory pools, charged to the ledger
class Shares;          // what the session shares with others of its lease by descriptors
class TextureObjects;  // texture and surface objects of the session
class Uploads;         // code images on their way in
class VirtualMemory;   // memory without addresses, charged to the ledger, and what is mapped where

// A GPU of the lease.
struct LeasedDevice {
  CUdevice ordinal;       // as the driver counts in this process
  slice::Ledger* ledger;  // shared by all workers of the lease
  uint32_t account;
};

// Where a session's frames go. Called by any thread of the session, one at a time and without a lock of the session;
// frames go out in the order of the calls.
class FrameSink {
 public:
  virtual ~FrameSink() = default;
  virtual void Send(std::span<const std::byte> frame) = 0;  // takes the bytes before it returns
  virtual void End() = 0;                                   // after the last frame
};

// The worker's half of a session: one client process. Decodes frames, carries commands out in the session's order, each
// on its lane's thread, and sends replies, landed bytes and calls back.
//
// The reader (OnFrame) never enters the driver and never waits: it queues commands for their lanes and delivers what
// streams wait for (Control) at once.
class Session {
 public:
  struct Config {
    const driver::DriverTable* driver;
    std::vector<LeasedDevice> devices;  // in the lease's order
    slice::Gate* gate;
    uint64_t number;  // for logs
    std::function<bool(const std::string& ticket)> ticket_is_good;
    slice::UnseenMemory* unseen = nullptr;  // null: the driver takes no memory by itself
    // Zeroes device memory before the client gets it; off only where the driver is known to do that.
    bool clears_memory = true;
  };
  // `sink` outlives it, and so does what `config` points to.
  Session(Config config, FrameSink* sink);
  // Ends everything: lanes are joined after waiting host functions and copies were released, then contexts are
  // destroyed and memory is refunded. Waits for the driver where a lane or a context is busy. The other functions have
  // returned.
  ~Session();

  // A frame of the client. Called by one thread. False when the session is over.
  bool OnFrame(std::span<const std::byte> frame);
  // The connection is gone.
  void OnClosed();
  // The orderly end, for which the client waits: carries out all that a client has sent before it said that it is done
  // (what a session that ended otherwise has not begun is dropped), destroys the contexts, gives their memory back to
  // the lease and says goodbye. After OnFrame has returned false, or OnClosed; once. Waits for the driver where a lane
  // or a context is busy; End meanwhile drops what has not begun, and takes leave with its own reason.
  void Finish();
  // Blocks until the session is over, and then until its lanes are done, for at most `grace` if there is one. False
  // when a lane is still in the driver by then: a kernel that does not end can only be stopped with the process.
  bool Wait(std::optional<std::chrono::milliseconds> grace = std::nullopt);

  // For what runs on lanes (Call, custom/).
  const driver::DriverTable& driver() const { return *config_.driver; }
  slice::Gate& gate() { return *config_.gate; }
  HandleTable& handles() { return handles_; }
  Allocations& allocations();
  Arrays& arrays();
  Contexts& contexts();
  MemoryPools& memory_pools();
  Copies& copies();
  DevResources& dev_resources();
  Exports& exports();
  GraphMemory& graph_memory();
  Graphs& graphs();
  HostCalls& host_calls();
  Linkers& linkers();
  TextureObjects& texture_objects();
  Uploads& uploads();
  VirtualMemory& virtual_memory();
  // After what may make the driver take memory by itself, or give it back: contexts, modules, limits.
  void LookForUnseenMemory() {
    if (config_.unseen != nullptr) config_.unseen->Look();
  }
  // Around the making of a context on a device, as the driver counts; see slice::UnseenMemory.
  bool MakeRoomForContext(CUdevice device);
  void EndRoomForContext(CUdevice device, bool is_made);
  // Refunds what the driver has given back: after calls with which the client synchronises, and before it is told what
  // is left. ReleaseUnusedMemory makes the driver give back what it can; false when there was nothing to be had.
  void SettleMemory();
  bool ReleaseUnusedMemory();
  const LeasedDevice* FindDevice(CUdevice client) const;  // null when it does not exist
  const LeasedDevice* DeviceOf(CUdevice driver) const;    // by the driver's ordinal
  CUdevice ClientDevice(CUdevice driver) const;           // -1 when it is not the session's

  // Sends one command of the worker, with `head` and then `bytes` as its body, at most 4 KiB and kMaxPayloadBytes. Does
  // nothing when the session is over.
  void Send(wire::Control control, uint32_t lane, std::span<const std::byte> head, std::span<const std::byte> bytes);
  template <class Head>
  void Send(wire::Control control, const Head& head, std::span<const std::byte> bytes = {}) {
    Send(control, 0, std::as_bytes(std::span(&head, 1)), bytes);
  }
  // Says why to the client and ends the session. Logged, by default as what it is for: a malformed command or frame, or
  // a fault of ours.
  void End(std::string reason, LogLevel level = LogLevel::kWarn);

 private:
  friend class Call;
  struct State;

  std::string TakeFrame(std::span<const std::byte> frame);
  std::string TakeHello(wire::FrameReader& reader);
  std::string CheckCommand(const wire::Command& command, uint32_t* lanes) const;
  std::string CheckControl(const wire::Command& command) const;
  std::string TakeControl(const wire::Command& command);

  void Execute(Lane& lane, const wire::Command& command);
  CUresult MakeCurrent(Lane& lane, wire::HandleId id);
  std::string CallName(const wire::Command& command) const;  // for messages
  void Release();
  void BeforeEnd(CUcontext context);
  void AfterEnd(CUcontext context);
  std::optional<size_t> PlaceOf(CUdevice device) const;
  void EndContexts();
  // Takes a green context out of the table, with what is kept of its streams. What the client is to see of their work
  // goes before, if it lives (Contexts::Ending).
  void ForgetGreen(CUgreenCtx green, CUcontext converted, bool lives);
  void ForgetGreenStreams(CUcontext converted);
  void EndGreenContexts();
  void EndGraphs();
  void FreePoolMemory();
  template <class Work>
  void InEachContext(Work work);

  Config config_;
  HandleTable handles_;
  std::unique_ptr<State> state_;
};

}  // namespace outboard::worker
