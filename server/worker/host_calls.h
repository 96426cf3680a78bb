#pragma once

#include <cuda.h>

#include <cstdint>
#include <memory>

#include "server/driver/driver_table.h"
#include "server/slice/gate.h"
#include "server/worker/copies.h"
#include "server/worker/sender.h"

namespace outboard::worker {

// Host functions and stream callbacks: the driver's stream comes to a function of ours, which tells the client
// (Control::kHostFunction) and waits until the client has run the application's (kHostFunctionDone). The bytes of all
// copies that are complete by then are sent first, because the function may read them.
//
// Thread-safe. May be destroyed while streams still hold such functions: these then return without a word.
class HostCalls {
 public:
  // `driver`, `copies`, `gate` and what `send` refers to outlive this.
  HostCalls(const driver::DriverTable& driver, Copies& copies, slice::Gate& gate, Sender send);
  ~HostCalls();  // ReleaseAll, and waits for functions that are running
  HostCalls(const HostCalls&) = delete;
  HostCalls& operator=(const HostCalls&) = delete;

  // cuLaunchHostFunc and cuStreamAddCallback. `call` is the client's number for it.
  CUresult Launch(CUstream stream, uint64_t call);
  CUresult AddCallback(CUstream stream, uint64_t call);

  // The driver has come to call number `call` of a graph, in the stream of this id (0: it is not known): has the client
  // run it. Returns when it has. Called by the driver's own threads.
  void Run(uint64_t call, unsigned long long stream);

  // The client has run it. Called by the reader; never waits or enters the driver. False when no stream waits for this
  // call: the client does not keep to the protocol.
  [[nodiscard]] bool OnDone(uint64_t call);

  // The client is gone: no stream waits for it any more, now or later. Idempotent.
  void ReleaseAll();

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared with the functions that streams hold
};

}  // namespace outboard::worker
