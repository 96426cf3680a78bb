#include "server/worker/call.h"

#include <optional>

#include "common/base/log.h"
#include "server/worker/session.h"
#include "server/worker/session_state.h"

namespace outboard::worker {
namespace {

CUresult ErrorOfUnknown(wire::HandleKind kind) {
  switch (kind) {
    case wire::HandleKind::kContext:
    case wire::HandleKind::kGreenContext:
      return CUDA_ERROR_INVALID_CONTEXT;
    case wire::HandleKind::kPool:
    case wire::HandleKind::kAllocation:
    case wire::HandleKind::kResourceDesc:
      return CUDA_ERROR_INVALID_VALUE;
    default:
      return CUDA_ERROR_INVALID_HANDLE;
  }
}

const char* ErrorName(const driver::DriverTable& driver, CUresult result) {
  const char* name = nullptr;
  const bool is_known = driver.cuGetErrorName != nullptr && driver.cuGetErrorName(result, &name) == CUDA_SUCCESS;
  return is_known && name != nullptr ? name : "an unknown error";
}

}  // namespace

namespace internal {

Passage::Passage(Call& call, std::optional<CUstream> stream)
    : call_(call), stream_(stream), has_passed_(call.session().gate().Enter(call.passage())) {}

Passage::~Passage() {
  if (!has_passed_) return;
  slice::Gate& gate = call_.session().gate();
  if (stream_.has_value()) {
    gate.Leave(call_.passage(), *stream_);
  } else {
    gate.LeaveDone(call_.passage());
  }
}

void BeforeEndOf(Call& call, CUstream stream) { call.session().gate().ForgetStream(call.passage(), stream); }

}  // namespace internal

const driver::DriverTable& Call::driver() const { return session_.driver(); }

slice::Gate::Lane& Call::passage() { return lane_.passage; }

void Call::PassTurn() { session_.state_->lanes->PassTurn(lane_); }

std::byte* Call::BeginReply(CUresult result, size_t bytes) {
  Session::State& state = *session_.state_;
  if (!wants_reply()) {
    if (result != CUDA_SUCCESS) NoteRefusal(result);
    return nullptr;
  }
  wire::ReplyHead head = {.request = command_.sequence, .result = result, .earlier = CUDA_SUCCESS};
  // A caller that gets an error of its own hears of the earlier one next time.
  if (result == CUDA_SUCCESS && (command_.header.flags & wire::kTakesEarlier) != 0) {
    head.earlier = std::exchange(lane_.earlier, CUDA_SUCCESS);
  }
  {
    const Outbox::Hold together(state.outbox);
    state.copies.LandCompleted();
  }
  lane_.owes_reply = false;
  reply_.emplace(state.outbox, wire::Control::kReply, lane_.number, sizeof head + wire::Padded(bytes));
  if (reply_->body() == nullptr) return nullptr;
  std::memcpy(reply_->body(), &head, sizeof head);
  return reply_->body() + sizeof head;
}

void Call::EndReply() { reply_.reset(); }

void Call::NoteRefusal(CUresult result) {
  if (lane_.earlier != CUDA_SUCCESS) return;
  lane_.earlier = result;
  Log(LogLevel::kWarn, "session %llu: %s was sent without waiting and failed: %s (%d)",
      static_cast<unsigned long long>(session_.config_.number), session_.CallName(command_).c_str(),
      ErrorName(driver(), result), result);
}

void Call::Malformed(const char* why) {
  session_.End("the client breaks the protocol: " + session_.CallName(command_) + ": " + why);
}

CUresult Call::Find(wire::HandleKind kind, wire::HandleId id, void** object) {
  *object = nullptr;
  if (id == 0) return CUDA_SUCCESS;
  if (kind == wire::HandleKind::kStream && wire::IsBuiltInStream(id)) {
    *object = reinterpret_cast<void*>(id);
    return CUDA_SUCCESS;
  }
  const std::optional<void*> found = session_.handles().Find(kind, id);
  if (!found.has_value()) return ErrorOfUnknown(kind);
  *object = *found;
  return CUDA_SUCCESS;
}

bool Call::Add(wire::HandleKind kind, wire::HandleId id, void* object) {
  // Libraries and their kernels are every context's, and so is memory without one; contexts end by themselves.
  const bool is_owned = kind != wire::HandleKind::kContext && kind != wire::HandleKind::kLibrary &&
                        kind != wire::HandleKind::kKernel && kind != wire::HandleKind::kPool &&
                        kind != wire::HandleKind::kAllocation && kind != wire::HandleKind::kGreenContext &&
                        kind != wire::HandleKind::kResourceDesc;
  return session_.handles().Add(kind, id, object, is_owned ? command_.header.context : 0);
}

void Call::Remove(wire::HandleId id) { session_.handles().Remove(id); }

CUresult Call::FindDevice(CUdevice client, CUdevice* driver) {
  const LeasedDevice* device = session_.FindDevice(client);
  if (device == nullptr) return CUDA_ERROR_INVALID_DEVICE;
  *driver = device->ordinal;
  return CUDA_SUCCESS;
}

CUdevice Call::ClientDevice(CUdevice driver) { return session_.ClientDevice(driver); }

std::byte* Call::Allocate(size_t bytes) { return lane_.scratch.Allocate(bytes); }

}  // namespace outboard::worker
