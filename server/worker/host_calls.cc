#include "server/worker/host_calls.h"

#include <condition_variable>
#include <mutex>
#include <unordered_map>
#include <utility>

namespace outboard::worker {

struct HostCalls::State {
  State(const driver::DriverTable& driver, Copies& copies, slice::Gate& gate, Sender send)
      : driver(driver), copies(copies), gate(gate), send(std::move(send)) {}

  // One function that a stream holds; it ends itself when the stream has come to it.
  struct Record {
    std::shared_ptr<State> state;
    uint64_t call;
    unsigned long long stream;  // its id; 0 when it is not known
  };
  static void OnFunction(void* record) { Run(static_cast<Record*>(record), CUDA_SUCCESS); }
  static void OnCallback(CUstream, CUresult status, void* record) { Run(static_cast<Record*>(record), status); }
  static void Run(Record* record, CUresult status);
  static void Run(const std::shared_ptr<State>& shared, uint64_t call, unsigned long long stream, CUresult status);
  // `give` hands the record to the driver.
  template <class Give>
  static CUresult Queue(const std::shared_ptr<State>& state, uint64_t call, CUstream stream, Give give);

  const driver::DriverTable& driver;
  Copies& copies;
  slice::Gate& gate;
  const Sender send;

  std::mutex mutex;
  std::condition_variable changed;
  std::unordered_map<uint64_t, bool> waiting;  // the calls that streams have come to, and whether they are done
  bool released = false;
  size_t running = 0;  // Run is between its two locks, where it uses `copies` and `send`
};

void HostCalls::State::Run(Record* raw, CUresult status) {
  const std::unique_ptr<Record> record(raw);
  Run(record->state, record->call, record->stream, status);
}

void HostCalls::State::Run(const std::shared_ptr<State>& shared, uint64_t call, unsigned long long stream,
                           CUresult status) {
  State& state = *shared;
  std::unique_lock lock(state.mutex);
  // A number that is in use already: the client contradicts itself, and has the stream go on.
  if (state.released || !state.waiting.emplace(call, false).second) return;
  ++state.running;
  state.gate.Hold(stream);
  lock.unlock();
  // The driver permits no calls here, so the copies that are complete land from another thread.
  state.copies.LandThen([self = shared, call, status] {
    const wire::CallHead head{call, status, 0};
    self->send(wire::Control::kHostFunction, std::as_bytes(std::span(&head, 1)), {});
  });
  lock.lock();
  state.changed.wait(lock, [&] { return state.released || state.waiting.at(call); });
  state.waiting.erase(call);
  state.gate.Unhold(stream);
  --state.running;
  state.changed.notify_all();
}

template <class Give>
CUresult HostCalls::State::Queue(const std::shared_ptr<State>& state, uint64_t call, CUstream stream, Give give) {
  auto record = std::make_unique<Record>(Record{state, call, 0});
  const auto get_id = state->driver.cuStreamGetId;
  if (get_id != nullptr && get_id(stream, &record->stream) != CUDA_SUCCESS) record->stream = 0;
  const CUresult result = give(record.get());
  if (result == CUDA_SUCCESS) static_cast<void>(record.release());
  return result;
}

HostCalls::HostCalls(const driver::DriverTable& driver, Copies& copies, slice::Gate& gate, Sender send)
    : state_(std::make_shared<State>(driver, copies, gate, std::move(send))) {}

HostCalls::~HostCalls() {
  ReleaseAll();
  std::unique_lock lock(state_->mutex);
  state_->changed.wait(lock, [this] { return state_->running == 0; });
}

CUresult HostCalls::Launch(CUstream stream, uint64_t call) {
  const auto launch = state_->driver.cuLaunchHostFunc;
  if (launch == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  return State::Queue(state_, call, stream, [&](void* record) { return launch(stream, &State::OnFunction, record); });
}

CUresult HostCalls::AddCallback(CUstream stream, uint64_t call) {
  const auto add = state_->driver.cuStreamAddCallback;
  if (add == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  return State::Queue(state_, call, stream, [&](void* record) { return add(stream, &State::OnCallback, record, 0); });
}

void HostCalls::Run(uint64_t call, unsigned long long stream) { State::Run(state_, call, stream, CUDA_SUCCESS); }

bool HostCalls::OnDone(uint64_t call) {
  std::lock_guard lock(state_->mutex);
  if (state_->released) return true;  // too late to matter
  const auto found = state_->waiting.find(call);
  if (found == state_->waiting.end() || found->second) return false;
  found->second = true;
  state_->changed.notify_all();
  return true;
}

void HostCalls::ReleaseAll() {
  std::lock_guard lock(state_->mutex);
  state_->released = true;
  state_->changed.notify_all();
}

}  // namespace outboard::worker
