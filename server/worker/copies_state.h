#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "common/base/limits.h"
#include "server/worker/copies.h"
#include "server/worker/fifo.h"
#include "server/worker/output.h"
#include "server/worker/staging.h"

// What Copies is made of. Included by copies*.cc alone.

namespace outboard::worker {

// Host to device, with the bytes in `block`.
struct WriteCopy {
  Block* block = nullptr;
  CUevent done = nullptr;
};

// From the device to the client's memory.
struct ReadCopy {
  Box host{};
  BoxExtent extent{};
  uint64_t host_span = 0;  // bytes from the first to the last, in the client
  uint64_t order = 0;      // of all copies of the session: earlier ones land first
  Block* block = nullptr;
  CUevent done = nullptr;
  bool succeeded = false;  // once complete
};

// From the client's memory, whose bytes are asked for when the stream gets there.
struct PulledCopy {
  enum class State {
    kQueued,
    kAsked,    // the stream waits for the bytes
    kFilling,  // they are being copied into the block
    kReady,    // the stream may go on
  };
  uint64_t pull = 0;
  uint64_t host_address = 0, host_span = 0;  // bytes from the first to the last, in the client
  size_t bytes = 0;                          // that are asked for
  Block* block = nullptr;
  CUevent reached = nullptr;  // the stream has come to the copy
  CUevent done = nullptr;     // null when the driver refused to record it
  State state = State::kQueued;
};

// The copies of one stream of the driver, each kind in the order in which the stream does them.
struct StreamCopies {
  StreamCopies(unsigned long long id, std::shared_ptr<Staging> staging) : id(id), staging(std::move(staging)) {}

  const unsigned long long id;             // of the stream
  const std::shared_ptr<Staging> staging;  // of the stream's context

  // Held while the driver is given the work of one copy, so that the queues below have the stream's order. Never taken
  // by what must not wait for the driver.
  std::mutex order;

  // Guarded by Copies::State::mutex. Copies are numbered from 0 in each kind; those in the queue are the last ones.
  bool dead = false;  // its context was forgotten
  Block* words = nullptr;
  Fifo<WriteCopy> writes;

  Fifo<ReadCopy> reads;
  size_t complete = 0;    // of `reads`, from the front
  uint64_t landed = 0;    // ever; the stream waits for it at word kLanded
  size_t read_bytes = 0;  // of distinct blocks in `reads`

  Fifo<PulledCopy> pulled;
  uint64_t pulled_done = 0;     // ever
  uint64_t ready = 0;           // ever; the stream waits for it at word kReady
  Block* pull_block = nullptr;  // of all `pulled`: the stream does one at a time

  // Words that the stream waits on.
  enum Word { kReady, kLanded };
  CUdeviceptr Address(Word word) const { return reinterpret_cast<CUdeviceptr>(words->bytes) + 64 * word; }
  void Set(Word word, uint64_t value);
  uint64_t next_read() const { return landed + reads.size(); }
  uint64_t next_pulled() const { return pulled_done + pulled.size(); }
  bool Idle() const { return writes.empty() && reads.empty() && pulled.empty(); }
};

// Bytes that a graph waits for.
struct DirectPull {
  std::span<std::byte> bytes;
  bool is_done = false;
};

struct Copies::State {
  State(const driver::DriverTable& driver, slice::Gate& gate, Sender send)
      : driver(driver), gate(gate), send(std::move(send)) {}

  const driver::DriverTable& driver;
  slice::Gate& gate;  // held for each copy that is kAsked
  const Sender send;
  std::unique_ptr<Output> output, errors;  // set before the first command; used under sweep_mutex
  std::atomic<bool> has_output{false};
  std::atomic<uint64_t> staging_bytes{0};
  std::thread helper;

  // Held by who looks which copies are complete, lands them and asks for bytes: over cuEventQuery and Sender, but over
  // no call that gives the driver work. Taken before `mutex`.
  std::mutex sweep_mutex;
  std::vector<std::shared_ptr<StreamCopies>> swept;  // those with something to look at
  std::string output_text;

  // Guards all below and the queues of StreamCopies. Never held over a call of the driver or of Sender.
  std::mutex mutex;
  std::condition_variable changed;  // a copy came to its end, or an arrival did
  std::condition_variable wake;     // of the helper
  std::unordered_map<unsigned long long, std::shared_ptr<StreamCopies>> streams;  // by cuStreamGetId
  std::unordered_map<CUcontext, std::shared_ptr<Staging>> stagings;
  std::unordered_map<uint64_t, std::shared_ptr<StreamCopies>> pulls;  // under way, by the client's number
  std::unordered_map<uint64_t, DirectPull*> direct_pulls;  // the same of graphs; null: nobody wants it any more
  std::vector<std::function<void()>> tasks;
  bool runs_tasks = false;  // the helper does what was in `tasks`
  uint64_t next_order = 0;
  size_t filling = 0;  // copies in PulledCopy::State::kFilling
  bool idle = false;   // the helper sleeps until something begins
  bool hurry = false;  // something happened: the helper looks again soon
  bool stop = false;
  bool released = false;
  std::atomic<size_t> pending{0};  // reads and pulled copies under way

  // For lanes.
  CUresult Find(CUstream stream, std::shared_ptr<StreamCopies>* copies);
  Block* TakeBlock(StreamCopies& copies, size_t bytes);
  Block* TakeReadBlock(StreamCopies& copies, size_t bytes, uint64_t* wait_for);
  void GiveUpReadBlock(StreamCopies& copies, Block* block, uint64_t wait_for);
  Block* TakePullBlock(StreamCopies& copies, size_t bytes);
  CUresult NeedWords(StreamCopies& copies);
  CUresult WaitFor(StreamCopies& copies, StreamCopies::Word word, uint64_t value, CUstream stream);
  CUresult Record(StreamCopies& copies, CUstream stream, CUevent* event);
  CUresult QueuePulled(StreamCopies& copies, const DevicePlace& destination, const BoxExtent& extent, PulledCopy copy,
                       CUstream stream);
  CUresult ToDevice(const DevicePlace& to, const BoxExtent& extent, const void* bytes, CUstream stream);
  CUresult ToHost(void* bytes, const DevicePlace& from, const BoxExtent& extent, CUstream stream);
  void ReclaimWrites();

  // Under `mutex`.
  void ForgetIdleStreams();
  // Gives up the context's copies, and what they were staged in to who destroys it; null when there is none.
  std::shared_ptr<Staging> TakeStaging(CUcontext context);
  void Drop(StreamCopies& copies, Block* block);
  void Began();  // a read or a pulled copy is there to be watched
  void MakeReady(StreamCopies& copies);
  bool Touches(uint64_t host_address, uint64_t count) const;

  // Under sweep_mutex.
  std::shared_ptr<Staging> TakeStagingWhenFilled(CUcontext context);
  class Current;
  bool Sweep();  // whether anything came to an end
  void LookAtWrites(StreamCopies& copies, Current& current);
  bool LookAtReads(StreamCopies& copies, Current& current);
  bool LookAtPulled(StreamCopies& copies, Current& current);
  bool LandFirst();  // of those that are complete; false when there is none
  void SendLanded(const Box& host, const BoxExtent& extent, const std::byte* bytes);
  void AskFirst(StreamCopies& copies);
  void SendOutput(Output* from, wire::Control control);

  void RunHelper();
};

// Makes contexts current for a while, and puts the thread's own back. Thread-confined.
class Copies::State::Current {
 public:
  explicit Current(const driver::DriverTable& driver) : driver_(driver) {}
  ~Current() { Leave(); }
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;

  bool Enter(CUcontext context);
  // Unless it is current. If it cannot be made so, the driver refuses what is done with its streams and events.
  void EnterAnother(CUcontext context);
  void Leave();

 private:
  const driver::DriverTable& driver_;
  CUcontext context_ = nullptr;
};

}  // namespace outboard::worker
