#pragma once

#include <cuda.h>

#include <cstddef>
#include <optional>
#include <span>

#include "common/wire/binder.h"
#include "common/wire/frame.h"
#include "common/wire/op.h"
#include "common/wire/rules.h"
#include "server/driver/driver_table.h"
#include "server/slice/gate.h"
#include "server/worker/outbox.h"

namespace outboard::worker {

struct Lane;
class Session;

// One command while it is carried out, on the thread of its lane. Thread-confined.
class Call final : public wire::Binder {
 public:
  // All outlive it.
  Call(Session& session, Lane& lane, const wire::Command& command)
      : session_(session), lane_(lane), command_(command) {}

  Session& session() { return session_; }
  const driver::DriverTable& driver() const;
  const wire::Command& command() const { return command_; }
  std::span<const std::byte> body() const { return command_.body; }
  slice::Gate::Lane& passage();  // the lane's way through the gate
  bool wants_reply() const { return (command_.header.flags & wire::kWantsReply) != 0; }

  // Lets the session's next command begin. Called once the arguments are bound, before the driver is
  // entered, by calls whose caller waits for the reply: the caller cannot have sent anything that depends on it.
  // Otherwise the turn passes on when the command is done. Idempotent.
  void PassTurn();

  // Says what came of it, with outputs written by put(writer), which writes exactly `bytes`. Before the reply goes the
  // bytes of all finished device-to-host copies. Without kWantsReply a refusal is kept for the lane.
  template <class Put>
  void Finish(CUresult result, size_t bytes, Put put) {
    std::byte* outputs = BeginReply(result, bytes);
    if (outputs != nullptr && bytes != 0) {
      wire::Writer writer(outputs);
      put(writer);
    }
    EndReply();
  }
  void Finish(CUresult result) {
    Finish(result, 0, [](wire::Writer&) {});
  }

  // The command cannot have come from a client that keeps to the protocol: ends the session.
  void Malformed(const char* why);

  // wire::Binder.
  CUresult Find(wire::HandleKind kind, wire::HandleId id, void** object) override;
  bool Add(wire::HandleKind kind, wire::HandleId id, void* object) override;
  void Remove(wire::HandleId id) override;
  CUresult FindDevice(CUdevice client, CUdevice* driver) override;
  CUdevice ClientDevice(CUdevice driver) override;
  std::byte* Allocate(size_t bytes) override;

 private:
  std::byte* BeginReply(CUresult result, size_t bytes);  // null when nobody waits
  void EndReply();
  void NoteRefusal(CUresult result);

  Session& session_;
  Lane& lane_;
  const wire::Command& command_;
  std::optional<Outbox::Encoding> reply_;  // while it is written
};

using Handler = void (*)(Call& call);

// Carries out one regular call: decodes, binds, calls the driver, replies. kFunction is the call's member of
// DriverTable, or a function CUresult(Call&, arguments...) where the worker's half is written by hand (custom/).
// kSubmits: it gives the GPU work, and passes the gate first.
template <auto kFunction, bool kSubmits, class... Rules>
void Handle(Call& call);

struct Operation {
  wire::Op op;
  Handler handler;
};
// By number. (Generated.)
std::span<const Operation> Operations();

}  // namespace outboard::worker

#include "server/worker/handle_call.h"
