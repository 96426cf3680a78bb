#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "server/driver/driver_table.h"

namespace outboard::worker {

class Allocations;

// Memory of the client's graphs, by the numbers that the client chose. To the driver it is memory of a context like any
// other, there from the making of the allocation node until the client releases it; in the driver's graphs the nodes
// that allocate and free it are empty. So its address is known before any graph can be launched, the same in all
// launches, and the lease is charged for it before the driver is asked, to the byte.
//
// It is given back when all work is over that may use it: launches of graphs that allocate or free it, and what was in
// the streams in which it was freed. For that each context has a stream that waits for all of this; nobody waits for
// it. Only then is the driver asked to free it: a graph may look for the memory of its nodes when it comes to them, and
// would not find what a later call has freed, although in the order of the streams that comes behind it.
//
// Thread-safe. No lock is held while the driver runs.
class GraphMemory {
 public:
  // Both outlive this.
  GraphMemory(const driver::DriverTable& driver, Allocations* allocations)
      : driver_(driver), allocations_(*allocations) {}

  // Zeroed, in the calling thread's current context. CUDA_ERROR_OUT_OF_MEMORY past the slice.
  CUresult Allocate(CUdeviceptr* address, uint64_t number, size_t bytes);
  // Gives it back, and gives out no address of it again.
  CUresult SetAside(uint64_t number);
  // What is in the stream by now, which is of the current context, may use the memory. Numbers that are not known are
  // passed over.
  void Use(std::span<const uint64_t> numbers, CUstream stream);
  // Whether it is there, released or not: then no other call may free it.
  bool Has(CUdeviceptr address) const;
  // Nothing that comes later uses it.
  CUresult Release(uint64_t number);
  // Frees what was released and is not used any more, so that Allocations can refund it.
  void FreeReleased();

  // The context was destroyed, and the memory of it with it.
  void ForgetContext(CUcontext context);

 private:
  struct Block {
    CUdeviceptr address;
    CUcontext context;
    bool stays = false;  // with its context: who uses it is not known
  };
  struct Released {
    CUevent over;  // all work that uses it
    Block block;
  };

  CUresult EndStream(CUcontext context, CUstream* stream);
  CUresult Await(std::span<const CUcontext> contexts, CUstream stream);
  bool FreeIfOver(const Released& released);

  const driver::DriverTable& driver_;
  Allocations& allocations_;

  mutable std::mutex mutex_;
  std::unordered_map<uint64_t, Block> blocks_;           // guarded by mutex_, as is what follows
  std::unordered_map<CUcontext, CUstream> end_streams_;  // that wait for its users
  std::vector<Released> released_;
  std::unordered_map<CUdeviceptr, CUcontext> addresses_;  // of both
};

}  // namespace outboard::worker
