#pragma once

#include <cuda.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "client/session/ids.h"
#include "client/session/lane.h"
#include "client/session/query_cache.h"
#include "client/session/trace.h"
#include "client/session/waiter.h"
#include "client/transport/transport.h"
#include "common/base/box.h"
#include "common/base/limits.h"
#include "common/wire/codec.h"
#include "common/wire/frame.h"
#include "common/wire/hello.h"
#include "common/wire/op.h"

namespace outboard::client {

// What the session needs of the rest of the client. Called from the transport's threads: must not wait for anything
// that itself needs the transport, or nobody would be left to bring it.
class SessionEvents {
 public:
  // Bytes of a device-to-host copy are to be written to host memory, before any later reply is delivered. False when
  // `host_address` is in no range that such a copy was asked for; that ends the session.
  virtual bool Land(uint64_t host_address, std::span<const std::byte> bytes) = 0;
  // The same for a copy of a box. `bytes` are those of the extent, without gaps, and as many.
  virtual bool LandBox(const Box& to, const BoxExtent& extent, std::span<const std::byte> bytes) = 0;
  // The worker's stream has come to host function `call` and waits. To be run on the client's one thread for that;
  // Session::HostFunctionDone afterwards.
  virtual void HostFunction(uint64_t call, CUresult status) = 0;
  // A stream has come to a copy from pinned memory. To be answered with Session::SendPulled, at once or later.
  virtual void Pull(uint64_t pull, uint64_t offset, uint64_t bytes) = 0;
  // What kernels printed, for the process's stdout.
  virtual void Output(std::string_view text) = 0;
  // What the driver wrote to its standard error, as of failed assertions, for the process's stderr.
  virtual void ErrorOutput(std::string_view text) = 0;

 protected:
  ~SessionEvents() = default;
};

// Counters of one session; what `OUTBOARD_LOG=info` prints at its end.
struct SessionCounts {
  uint64_t commands = 0, frames = 0, round_trips = 0;  // round trips: commands whose caller waited
};

struct SessionOptions {
  std::chrono::nanoseconds flush_age{50'000};  // how long a command may lie about before it is sent
  std::chrono::nanoseconds spin{20'000};       // how long a waiting thread looks for its reply before it blocks
  std::chrono::milliseconds farewell{kMaxFarewellMilliseconds};  // how long Close waits for the worker's end
  std::shared_ptr<Trace> trace;                                  // gets all frames; null for none
};

// The client's half of a session: numbers commands, packs them into frames, sends these in good time, finds the reply
// for who waits. Knows no call by name and no gRPC.
//
// Order: the order of Begin calls is the order in which the worker begins the commands, across lanes. A frame is
// sent
//   - when somebody waits for a reply;
//   - at once while nothing is under way, and when the worker says that it has come to the end of what was sent;
//   - when it has a quarter of the bytes that are under way, or kLargestFlush, and kSmallestFlush at least;
//   - when a command is added and the first one is older than flush_age. For programs that fall silent a thread looks
//     after it: after flush_age when all was quiet before, else within 32 times that (it looks the less often the
//     longer the program's own threads send in time).
//
// A lost session stays lost: status() says so, waiting calls return, and one line went to stderr.
//
// Thread-safe. Never destroyed in an application, as calls may come from exit handlers; tests destroy it.
class Session {
 public:
  // `transport` and `events` outlive it.
  Session(const OutboardTransport* transport, SessionEvents* events, SessionOptions options = {});
  ~Session();  // closes, and joins its thread

  // Connects and exchanges hellos; fills in the client's version and operations itself. The error is a sentence for
  // stderr; its CUresult is what cuInit is to return. Once.
  struct OpenError {
    CUresult result;
    std::string message;
  };
  std::optional<OpenError> Open(const std::string& address, std::span<const std::byte> preamble,
                                const wire::ClientHello& hello);
  const wire::WorkerHello& worker() const { return worker_; }  // after Open

  // CUDA_SUCCESS, or what every call returns since: CUDA_ERROR_DEVICE_UNAVAILABLE when the session was lost,
  // CUDA_ERROR_DEINITIALIZED after Close, CUDA_ERROR_NOT_INITIALIZED after Abandon.
  CUresult status() const { return static_cast<CUresult>(status_.load(std::memory_order_acquire)); }
  // What a call begins with: status(), and a place for the thread; CUDA_ERROR_OUT_OF_MEMORY when kMaxLanes threads have
  // one.
  CUresult Admit(Lane& lane) {
    const CUresult now = status();
    return now != CUDA_SUCCESS || lane.numbers != nullptr ? now : AdmitFirst(lane);
  }
  // Whether both ends have the operation in the same form: prototype, class and rules.
  bool Has(wire::Op op) const;
  Ids& ids() { return ids_; }
  QueryCache& answers() { return answers_; }

  // A command on its way into the current frame; holds the session's lock from Begin to its destruction, so whoever has
  // one writes its body and calls nothing else.
  class Encoding {
   public:
    ~Encoding();
    Encoding(const Encoding&) = delete;
    Encoding& operator=(const Encoding&) = delete;
    wire::Writer body() { return wire::Writer(body_); }

   private:
    friend class Session;
    Encoding(Session* session, std::byte* body, bool wants_reply)
        : session_(session), body_(body), wants_reply_(wants_reply) {}
    Session* const session_;
    std::byte* const body_;
    const bool wants_reply_;
  };
  // `flags` as in wire::CommandHeader. `body_bytes` is exact, a multiple of 8, and little more than kMaxPayloadBytes at
  // most. With kWantsReply, Await must follow, on this thread. Waits while the credits are used up. When the session is
  // lost the body goes nowhere. The lane was admitted.
  Encoding Begin(Lane& lane, wire::Op op, uint16_t flags, size_t body_bytes);

  // Waits for the reply to the command that this thread began last with kWantsReply: spins a while, then blocks. The
  // bytes of all copies that the worker found complete by then have landed. A lost session is a reply with status().
  // Valid until the lane's next Begin with kWantsReply.
  const Reply& Await(Lane& lane);

  // For what the worker waits for: needs no credit and no turn, or the two could wait for each
  // other. At most kMaxPayloadBytes at once.
  void HostFunctionDone(uint64_t call);
  void SendPulled(uint64_t pull, uint64_t offset, std::span<const std::byte> bytes);

  // Sends what is gathered.
  void Flush();
  // The orderly end of a session: says goodbye, if there is still somebody to say it to, and waits until the worker has
  // carried out what was sent, freed the memory, and ended too. That is bounded by SessionOptions::farewell and about a
  // second for the transport; one line says when the worker did not get that far. Not from an event function.
  void Close();
  // In a forked child: forgets the connection without a byte to the peer. Takes no lock.
  void Abandon();

  SessionCounts counts() const;

 private:
  struct State;
  CUresult AdmitFirst(Lane& lane);

  std::unique_ptr<State> state_;
  wire::WorkerHello worker_;
  Ids ids_;
  QueryCache answers_;
  std::atomic<int> status_{CUDA_SUCCESS};
};

}  // namespace outboard::client
