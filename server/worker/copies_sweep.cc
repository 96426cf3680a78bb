#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "server/worker/copies_state.h"

// The half of Copies that finds out what came to its end: it sends bytes that landed, asks for bytes that streams wait
// for, and takes those in.

namespace outboard::worker {
namespace {

// The helper looks again after this time, and after ever longer while nothing happens.
constexpr std::chrono::microseconds kFirstPause{20}, kLongestPause{500};

}  // namespace

bool Copies::State::Current::Enter(CUcontext context) {
  if (context_ == context) return true;
  Leave();
  if (driver_.cuCtxPushCurrent_v2 == nullptr || driver_.cuCtxPushCurrent_v2(context) != CUDA_SUCCESS) return false;
  context_ = context;
  return true;
}

void Copies::State::Current::EnterAnother(CUcontext context) {
  CUcontext now = nullptr;
  if (driver_.cuCtxGetCurrent == nullptr || driver_.cuCtxGetCurrent(&now) != CUDA_SUCCESS || now == context) return;
  Enter(context);
}

void Copies::State::Current::Leave() {
  CUcontext popped;
  if (context_ != nullptr) driver_.cuCtxPopCurrent_v2(&popped);
  context_ = nullptr;
}

// A copy that depends on another, in whatever stream, is complete only after it. So once a whole round finds nothing
// new, what was found holds every earlier copy that its copies depend on, and may land.
bool Copies::State::Sweep() {
  swept.clear();
  {
    std::lock_guard lock(mutex);
    for (const auto& [id, copies] : streams) {
      if (!copies->reads.empty() || !copies->pulled.empty()) swept.push_back(copies);
    }
  }
  bool found = false;
  Current current(driver);
  for (bool found_now = true; found_now;) {
    found_now = false;
    for (const auto& copies : swept) {
      found_now |= LookAtReads(*copies, current);
      found_now |= LookAtPulled(*copies, current);
    }
    found |= found_now;
  }
  current.Leave();
  while (LandFirst()) {
  }
  for (const auto& copies : swept) AskFirst(*copies);
  swept.clear();
  return found;
}

void Copies::State::LookAtWrites(StreamCopies& copies, Current& current) {
  while (true) {
    CUevent done;
    {
      std::lock_guard lock(mutex);
      if (copies.writes.empty()) return;
      done = copies.writes.front().done;
    }
    if (current.Enter(copies.staging->context()) && driver.cuEventQuery(done) == CUDA_ERROR_NOT_READY) return;
    std::lock_guard lock(mutex);
    Drop(copies, copies.writes.Pop().block);
    copies.staging->GiveEvent(done);
  }
}

bool Copies::State::LookAtReads(StreamCopies& copies, Current& current) {
  bool found = false;
  while (true) {
    CUevent done;
    {
      std::lock_guard lock(mutex);
      if (copies.complete == copies.reads.size()) return found;
      done = copies.reads[copies.complete].done;
    }
    const CUresult result = current.Enter(copies.staging->context()) ? driver.cuEventQuery(done) : CUDA_ERROR_UNKNOWN;
    if (result == CUDA_ERROR_NOT_READY) return found;
    std::lock_guard lock(mutex);
    copies.reads[copies.complete++].succeeded = result == CUDA_SUCCESS;
    found = true;
  }
}

bool Copies::State::LookAtPulled(StreamCopies& copies, Current& current) {
  bool found = false;
  while (true) {
    PulledCopy copy;
    {
      std::lock_guard lock(mutex);
      if (copies.pulled.empty()) return found;
      copy = copies.pulled.front();
    }
    const bool is_ready = copy.state == PulledCopy::State::kReady;
    const CUevent event = is_ready ? copy.done : copy.reached;
    if (event == nullptr && !is_ready) return found;  // its bytes are on their way
    CUresult result = CUDA_SUCCESS;
    if (event != nullptr) {
      result = current.Enter(copies.staging->context()) ? driver.cuEventQuery(event) : CUDA_ERROR_UNKNOWN;
    }
    if (result == CUDA_ERROR_NOT_READY) return found;
    found = true;
    std::lock_guard lock(mutex);
    if (!is_ready) {
      PulledCopy& first = copies.pulled.front();
      copies.staging->GiveEvent(std::exchange(first.reached, nullptr));
      if (result == CUDA_SUCCESS) continue;
      first.state = PulledCopy::State::kReady;  // the context is broken: nothing comes of the bytes
      MakeReady(copies);
      continue;
    }
    copies.pulled.Pop();
    ++copies.pulled_done;
    MakeReady(copies);
    if (copy.reached != nullptr) copies.staging->GiveEvent(copy.reached);
    if (copy.done != nullptr) copies.staging->GiveEvent(copy.done);
    Drop(copies, copy.block);
    if (copies.pulled.empty()) Drop(copies, std::exchange(copies.pull_block, nullptr));
    pulls.erase(copy.pull);
    pending.fetch_sub(1, std::memory_order_release);
    changed.notify_all();
  }
}

bool Copies::State::LandFirst() {
  StreamCopies* copies = nullptr;
  ReadCopy copy;
  bool lands;
  {
    std::lock_guard lock(mutex);
    for (const auto& candidate : swept) {
      if (candidate->complete == 0) continue;
      if (copies == nullptr || candidate->reads.front().order < copies->reads.front().order) copies = candidate.get();
    }
    if (copies == nullptr) return false;
    copy = copies->reads.front();
    lands = copy.succeeded && !released;
  }
  if (lands) SendLanded(copy.host, copy.extent, copy.block->bytes);
  std::lock_guard lock(mutex);
  copies->reads.Pop();
  --copies->complete;
  copies->staging->GiveEvent(copy.done);
  if (copy.block->last_user == copies->landed) copies->read_bytes -= copy.block->size;
  ++copies->landed;
  if (copies->words != nullptr) copies->Set(StreamCopies::kLanded, copies->landed);
  Drop(*copies, copy.block);
  pending.fetch_sub(1, std::memory_order_release);
  changed.notify_all();
  return true;
}

void Copies::State::SendLanded(const Box& host, const BoxExtent& extent, const std::byte* bytes) {
  const auto send_as = [&](wire::Control control, const auto& head) {
    send(control, std::as_bytes(std::span(&head, 1)), {bytes, head.bytes});
  };
  if (extent.IsOneRow()) {
    send_as(wire::Control::kLand, wire::LandHead{host.address, extent.width});
  } else {
    send_as(wire::Control::kLandBox, wire::LandBoxHead{host, extent, *PackedBytes(extent)});
  }
}

void Copies::State::AskFirst(StreamCopies& copies) {
  wire::PullHead head;
  {
    std::lock_guard lock(mutex);
    if (copies.pulled.empty() || released) return;
    PulledCopy& first = copies.pulled.front();
    if (first.state != PulledCopy::State::kQueued || first.reached != nullptr) return;
    first.state = PulledCopy::State::kAsked;
    gate.Hold(copies.id);
    head = {first.pull, 0, first.bytes};
  }
  send(wire::Control::kPull, std::as_bytes(std::span(&head, 1)), {});
}

void Copies::State::SendOutput(Output* from, wire::Control control) {
  while (from != nullptr && from->Read(&output_text)) {
    const wire::TextHead head{output_text.size()};
    send(control, std::as_bytes(std::span(&head, 1)), std::as_bytes(std::span(output_text)));
  }
}

// Lets the stream go on as far as it may.
void Copies::State::MakeReady(StreamCopies& copies) {
  size_t ready = 0;
  while (ready < copies.pulled.size() && copies.pulled[ready].state == PulledCopy::State::kReady) ++ready;
  copies.ready = copies.pulled_done + ready;
  copies.Set(StreamCopies::kReady, copies.ready);
}

bool Copies::State::Touches(uint64_t host_address, uint64_t count) const {
  const auto overlaps = [&](uint64_t address, uint64_t bytes) {
    return address < host_address ? host_address - address < bytes : address - host_address < count;
  };
  for (const auto& [id, copies] : streams) {
    for (size_t i = 0; i < copies->reads.size(); ++i) {
      if (overlaps(copies->reads[i].host.address, copies->reads[i].host_span)) return true;
    }
    for (size_t i = 0; i < copies->pulled.size(); ++i) {
      const PulledCopy& copy = copies->pulled[i];
      if (copy.state != PulledCopy::State::kReady && overlaps(copy.host_address, copy.host_span)) return true;
    }
  }
  return false;
}

void Copies::State::RunHelper() {
  CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
  if (driver.cuThreadExchangeStreamCaptureMode != nullptr) driver.cuThreadExchangeStreamCaptureMode(&mode);
  std::vector<std::function<void()>> now;
  auto pause = kFirstPause;
  std::unique_lock lock(mutex);
  while (!stop) {
    if (tasks.empty() && pending.load(std::memory_order_relaxed) == 0) {
      idle = true;
      wake.wait(lock, [this] { return !idle || stop || !tasks.empty(); });
      idle = false;
      pause = kFirstPause;
    }
    if (tasks.empty() && !stop) {
      if (std::exchange(hurry, false)) pause = kFirstPause;
      wake.wait_for(lock, pause, [this] { return stop || hurry || !tasks.empty(); });
    }
    now.swap(tasks);
    if (released) now.clear();
    runs_tasks = !now.empty();
    lock.unlock();
    bool found;
    {
      std::lock_guard sweep(sweep_mutex);
      found = Sweep();
    }
    for (const auto& task : now) task();
    now.clear();
    pause = found ? kFirstPause : std::min(pause * 2, kLongestPause);
    lock.lock();
    if (std::exchange(runs_tasks, false)) changed.notify_all();
  }
}

void Copies::LandCompleted() {
  if (state_->pending.load(std::memory_order_acquire) == 0 && !state_->has_output.load(std::memory_order_relaxed))
    return;
  std::lock_guard sweep(state_->sweep_mutex);
  if (state_->pending.load(std::memory_order_acquire) != 0) state_->Sweep();
  state_->SendOutput(state_->output.get(), wire::Control::kOutput);
  state_->SendOutput(state_->errors.get(), wire::Control::kErrorOutput);
}

void Copies::LandThen(std::function<void()> then) {
  std::lock_guard lock(state_->mutex);
  if (state_->released || state_->stop) return;
  state_->tasks.push_back(std::move(then));
  state_->wake.notify_one();
}

void Copies::PullNow(uint64_t pull, std::span<std::byte> bytes, const std::atomic<bool>& is_over) {
  DirectPull wanted{bytes};
  {
    std::lock_guard lock(state_->mutex);
    // A number that is in use already: the client contradicts itself, and has the graph go on.
    if (state_->released || !state_->direct_pulls.emplace(pull, &wanted).second) return;
  }
  // Behind what the client has still to write into the memory that it is asked for.
  LandThen([state = state_.get(), head = wire::PullHead{pull, 0, bytes.size()}] {
    state->send(wire::Control::kPull, std::as_bytes(std::span(&head, 1)), {});
  });
  std::unique_lock lock(state_->mutex);
  state_->changed.wait(lock, [&] { return wanted.is_done || state_->released || is_over; });
  if (wanted.is_done) {
    state_->direct_pulls.erase(pull);
  } else {
    state_->direct_pulls[pull] = nullptr;  // its answer may be on its way
  }
}

void Copies::WakePulls() {
  std::lock_guard lock(state_->mutex);
  state_->changed.notify_all();
}

void Copies::LandNow(const Box& host, const BoxExtent& extent, std::span<const std::byte> bytes) {
  bool is_done = false;
  LandThen([&, state = state_.get()] {
    state->SendLanded(host, extent, bytes.data());
    std::lock_guard lock(state->mutex);
    is_done = true;
    state->changed.notify_all();
  });
  std::unique_lock lock(state_->mutex);
  // What the helper has begun when the client goes it ends.
  state_->changed.wait(lock, [&] { return is_done || (state_->released && !state_->runs_tasks); });
}

bool Copies::OnPulled(const wire::PullHead& head, std::span<const std::byte> bytes) {
  std::unique_lock lock(state_->mutex);
  if (state_->released) return true;  // too late to matter
  const auto found = state_->pulls.find(head.pull);
  if (found == state_->pulls.end()) {
    const auto direct = state_->direct_pulls.find(head.pull);
    if (direct == state_->direct_pulls.end()) return false;
    if (direct->second == nullptr) return state_->direct_pulls.erase(head.pull) == 1;
    if (direct->second->is_done) return false;
    DirectPull& wanted = *direct->second;
    if (head.offset != 0 || head.bytes != wanted.bytes.size() || bytes.size() != wanted.bytes.size()) return false;
    // Under the lock, so that the graph does not go on meanwhile, whatever happens.
    std::memcpy(wanted.bytes.data(), bytes.data(), bytes.size());
    wanted.is_done = true;
    state_->changed.notify_all();
    return true;
  }
  const std::shared_ptr<StreamCopies> copies = found->second;
  // A stream does one copy at a time: what is asked for is the first.
  if (copies->pulled.empty() || copies->pulled.front().pull != head.pull) return false;
  PulledCopy& copy = copies->pulled.front();
  if (copy.state != PulledCopy::State::kAsked) return false;
  if (head.offset != 0 || head.bytes != copy.bytes || bytes.size() != copy.bytes) return false;
  copy.state = PulledCopy::State::kFilling;
  state_->gate.Unhold(copies->id);
  std::byte* const to = copy.block->bytes;
  ++state_->filling;
  lock.unlock();
  std::memcpy(to, bytes.data(), bytes.size());
  lock.lock();
  --state_->filling;
  // Nobody takes a copy away, or its block, that is being filled.
  copies->pulled.front().state = PulledCopy::State::kReady;
  state_->MakeReady(*copies);
  state_->hurry = true;
  state_->wake.notify_one();
  state_->changed.notify_all();
  return true;
}

void Copies::DrainHost(uint64_t host_address, uint64_t count) {
  while (true) {
    LandCompleted();
    std::unique_lock lock(state_->mutex);
    if (state_->released || !state_->Touches(host_address, count)) return;
    state_->changed.wait_for(lock, kLongestPause);
  }
}

void Copies::ReleaseAll() {
  std::lock_guard lock(state_->mutex);
  if (std::exchange(state_->released, true)) return;
  for (const auto& [id, copies] : state_->streams) {
    for (size_t i = 0; i < copies->pulled.size(); ++i) {
      PulledCopy& copy = copies->pulled[i];
      if (copy.state == PulledCopy::State::kAsked) state_->gate.Unhold(copies->id);
      if (copy.state != PulledCopy::State::kFilling) copy.state = PulledCopy::State::kReady;
    }
    if (!copies->pulled.empty()) state_->MakeReady(*copies);
  }
  state_->hurry = true;
  state_->wake.notify_one();
  state_->changed.notify_all();
}

}  // namespace outboard::worker
