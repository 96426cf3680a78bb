#include "client/session/session.h"

#include <algorithm>
#include <cstring>
#include <thread>
#include <utility>

#include "client/session/session_state.h"
#include "common/base/log.h"

namespace outboard::client {
namespace {

using std::chrono::nanoseconds;
using std::chrono::steady_clock;

// The look-out looks the less often the longer others send in time, down to this.
constexpr int kLongestLookInterval = 32;  // times SessionOptions::flush_age
// For what should take microseconds, at the end of a process of whose threads some may not run any more.
constexpr std::chrono::milliseconds kPatience{200};

// Whether `is_so` within kPatience.
template <class Condition>
bool Becomes(Condition is_so) {
  const auto end = steady_clock::now() + kPatience;
  while (!is_so()) {
    if (steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  return true;
}

template <class Head>
std::span<const std::byte> BytesOf(const Head& head) {
  return std::as_bytes(std::span(&head, 1));
}

}  // namespace

Session::State::State(Session& owner, const OutboardTransport* carrier, SessionEvents* client_events,
                      SessionOptions chosen)
    : session(owner),
      transport(carrier),
      events(client_events),
      options(chosen),
      transport_events{
          .user = this,
          .frame =
              [](void* user, const void* data, size_t bytes) {
                static_cast<State*>(user)->OnFrame({static_cast<const std::byte*>(data), bytes});
              },
          .closed = [](void* user, const char* reason) { static_cast<State*>(user)->OnClosed(reason); },
      },
      background([this] { return LookAfterAge(); }) {}

Session::Session(const OutboardTransport* transport, SessionEvents* events, SessionOptions options)
    : state_(std::make_unique<State>(*this, transport, events, options)) {}

Session::~Session() { Close(); }

CUresult Session::AdmitFirst(Lane& lane) {
  if (!state_->lane_numbers->Reserve()) return CUDA_ERROR_OUT_OF_MEMORY;
  lane.numbers = state_->lane_numbers;
  return CUDA_SUCCESS;
}

bool Session::Has(wire::Op op) const {
  const auto number = static_cast<size_t>(op);
  return number < state_->available.size() && state_->available[number];
}

// Sending.

void Session::State::WaitForCredits(std::unique_lock<std::mutex>& lock, size_t command_bytes) {
  while (!credits.Allow(command_bytes, outbox.credit_bytes(), outbox.credit_commands()) &&
         session.status() == CUDA_SUCCESS) {
    if (!outbox.empty()) SendFrame();
    credits_returned.wait(lock);
  }
}

void Session::State::SendFrame() {
  OutboardConnection* const to = connection.load(std::memory_order_relaxed);
  const bool goes_out = to != nullptr && session.status() == CUDA_SUCCESS;
  last_sent = outbox.last();
  if (goes_out) credits.Sent(last_sent, outbox.credit_bytes(), outbox.credit_commands());
  acknowledged_bytes = received_bytes.load(std::memory_order_relaxed);
  acknowledged = received.load(std::memory_order_acquire);
  const std::span<const std::byte> frame = outbox.Seal(acknowledged.load(std::memory_order_relaxed));
  if (!goes_out) return;
  ++counts.frames;
  if (options.trace) options.trace->Write(Trace::Direction::kFromClient, frame);
  transport->send(to, frame.data(), frame.size());
}

Session::Encoding Session::Begin(Lane& lane, wire::Op op, uint16_t flags, size_t body_bytes) {
  State& state = *state_;
  const bool wants_reply = (flags & wire::kWantsReply) != 0;
  const size_t command_bytes = sizeof(wire::CommandHeader) + body_bytes;
  std::unique_lock lock(state.mutex);
  state.WaitForCredits(lock, command_bytes);
  state.outbox.Reserve(command_bytes);
  ++state.counts.commands;
  if (lane.number == 0) lane.number = lane.numbers->Take();
  if (wants_reply) {
    ++state.counts.round_trips;
    lane.waiter.Start();
    if (!state.waiters.Add(state.outbox.last() + 1, &lane.waiter)) lane.waiter.Finish(status(), CUDA_SUCCESS, {});
  }
  std::byte* const body = state.outbox.Append(
      {.op = static_cast<uint16_t>(op), .flags = flags, .lane = lane.number, .context = lane.context}, body_bytes,
      true);
  lock.release();  // until ~Encoding
  return Encoding(this, body, wants_reply);
}

Session::Encoding::~Encoding() {
  State& state = *session_->state_;
  state.CommandDone(wants_reply_, std::unique_lock(state.mutex, std::adopt_lock));
}

void Session::State::CommandDone(bool wants_reply, std::unique_lock<std::mutex> lock) {
  if (wants_reply || credits.nothing_under_way() ||
      outbox.bytes() >= std::clamp(credits.bytes() / 4, kSmallestFlush, kLargestFlush)) {
    return SendFrame();
  }
  const uint64_t now = Ticks::Now();
  if (outbox.has_one()) gathering_since = now;
  if (now - gathering_since >= flush_ticks) return SendFrame();
  if (!std::exchange(wake_background, false)) return;
  lock.unlock();
  background.Wake();
}

void Session::Flush() {
  const std::lock_guard lock(state_->mutex);
  if (!state_->outbox.empty()) state_->SendFrame();
}

void Session::State::AppendControl(wire::Control control, std::span<const std::byte> head,
                                   std::span<const std::byte> bytes) {
  wire::Writer body(outbox.Append({.op = static_cast<uint16_t>(control)},
                                  wire::Padded(head.size()) + wire::Padded(bytes.size()), false));
  body.PutBytes(head.data(), head.size());
  body.PutBytes(bytes.data(), bytes.size());
}

void Session::State::SendControl(wire::Control control, std::span<const std::byte> head,
                                 std::span<const std::byte> bytes) {
  const std::lock_guard lock(mutex);
  AppendControl(control, head, bytes);
  SendFrame();
}

void Session::HostFunctionDone(uint64_t call) {
  state_->SendControl(wire::Control::kHostFunctionDone, BytesOf(wire::CallHead{.call = call}), {});
}

void Session::SendPulled(uint64_t pull, uint64_t offset, std::span<const std::byte> bytes) {
  state_->SendControl(wire::Control::kPulled,
                      BytesOf(wire::PullHead{.pull = pull, .offset = offset, .bytes = bytes.size()}), bytes);
}

std::optional<nanoseconds> Session::State::LookAfterAge() {
  const std::lock_guard lock(mutex);
  const bool has_new_frame = outbox.frames_begun() != std::exchange(seen_frames, outbox.frames_begun());
  if (!has_new_frame && outbox.empty()) {
    wake_background = true;
    look_interval = nanoseconds(0);
    return std::nullopt;
  }
  if (!has_new_frame) {
    SendFrame();
    look_interval = options.flush_age;
  } else if (look_interval == nanoseconds(0)) {
    look_interval = options.flush_age;
  } else {
    look_interval = std::min(2 * look_interval, kLongestLookInterval * options.flush_age);
  }
  return look_interval;
}

// Waiting.

void Session::State::Poll(nanoseconds at_most) {
  polling.fetch_add(1);
  if (OutboardConnection* const with = connection.load()) {
    transport->poll(with, static_cast<uint64_t>(at_most.count()));
  }
  polling.fetch_sub(1);
}

const Reply& Session::Await(Lane& lane) {
  const auto end = steady_clock::now() + state_->options.spin;
  while (!lane.waiter.done()) {
    const nanoseconds left = end - steady_clock::now();
    if (left <= nanoseconds(0)) {
      lane.waiter.Block();
      break;
    }
    state_->Poll(left);
  }
  return lane.waiter.reply();
}

// Opening and ending.

std::optional<Session::OpenError> Session::Open(const std::string& address, std::span<const std::byte> preamble,
                                                const wire::ClientHello& hello) {
  State& state = *state_;
  wire::ClientHello own = hello;
  own.major_version = wire::kMajorVersion;
  own.abi = wire::kAbi;
  own.op_hashes = wire::OpHashes();
  const std::vector<std::byte> body = wire::Encode(own);

  char error[512] = "";
  OutboardConnection* const connection = state.transport->open(address.c_str(), preamble.data(), preamble.size(),
                                                               &state.transport_events, error, sizeof error);
  if (connection == nullptr) return OpenError{CUDA_ERROR_DEVICE_UNAVAILABLE, error};
  state.connection = connection;
  state.SendControl(wire::Control::kHello, {}, body);
  std::unique_lock lock(state.opening_mutex);
  state.opening_changed.wait(lock, [&] { return state.opening != State::Opening::kWaiting; });
  std::string failure = state.open_failure;
  lock.unlock();

  CUresult result = CUDA_ERROR_DEVICE_UNAVAILABLE;
  if (failure.empty() && worker_.major_version != wire::kMajorVersion) {
    failure = "the worker speaks version " + std::to_string(worker_.major_version) +
              " of the protocol and this client version " + std::to_string(wire::kMajorVersion) +
              ": install the same release of Outboard on both machines";
    result = CUDA_ERROR_SYSTEM_DRIVER_MISMATCH;
  } else if (failure.empty() && (worker_.result != CUDA_SUCCESS || !worker_.error.empty())) {
    failure = worker_.error.empty() ? "the worker's driver does not initialize" : worker_.error;
    if (worker_.result != CUDA_SUCCESS) result = static_cast<CUresult>(worker_.result);
  }
  if (!failure.empty()) {
    state.End(CUDA_ERROR_DEVICE_UNAVAILABLE, State::Goodbye::kNone, {});
    Close();
    return OpenError{result, failure};
  }

  const std::vector<uint64_t>& theirs = worker_.op_hashes;
  state.available.resize(own.op_hashes.size());
  for (size_t op = 0; op < own.op_hashes.size() && op < theirs.size(); ++op) {
    state.available[op] = own.op_hashes[op] != 0 && own.op_hashes[op] == theirs[op];
  }
  state.flush_ticks = state.ticks.In(state.options.flush_age);
  return std::nullopt;
}

bool Session::State::End(CUresult result, Goodbye goodbye, std::string_view reason) {
  // A call that exit() interrupted on this very thread may hold the mutex for good: then without it.
  const bool has_mutex = Becomes([this] { return mutex.try_lock(); });
  if (has_mutex && goodbye == Goodbye::kSend && session.status() == CUDA_SUCCESS) {
    AppendControl(wire::Control::kEnd, {}, std::as_bytes(std::span(reason)));
    SendFrame();
    said_goodbye = true;
  }
  int running = CUDA_SUCCESS;
  const bool ended = session.status_.compare_exchange_strong(running, result);
  if (has_mutex) mutex.unlock();
  if (!ended) return false;
  waiters.Close(result);
  credits_returned.notify_all();
  return true;
}

void Session::State::Lose(Goodbye goodbye, const std::string& reason) {
  if (!End(CUDA_ERROR_DEVICE_UNAVAILABLE, goodbye, reason)) return;
  {
    const std::lock_guard lock(opening_mutex);
    if (opening == Opening::kWaiting) {
      opening = Opening::kFailed;
      open_failure = reason;
      opening_changed.notify_all();
      return;
    }
  }
  Log(LogLevel::kError, "the connection to the GPU is lost: %s; every CUDA call of this process fails from now on",
      reason.c_str());
}

void Session::Close() {
  State& state = *state_;
  if (state.connection.load() == nullptr) return;
  const bool ended = state.End(CUDA_ERROR_DEINITIALIZED, State::Goodbye::kSend, {});
  OutboardConnection* const connection = state.connection.exchange(nullptr);
  if (connection == nullptr) return;
  // Whoever is about to send has the mutex, and whoever comes later finds no connection.
  if (!Becomes([&] { return state.mutex.try_lock(); })) return;
  const SessionCounts all = state.counts;
  const bool said_goodbye = ended && state.said_goodbye;
  state.mutex.unlock();
  if (ended) {
    Log(LogLevel::kInfo, "session %llx: %llu commands in %llu frames, %llu round trips",
        static_cast<unsigned long long>(worker_.session), static_cast<unsigned long long>(all.commands),
        static_cast<unsigned long long>(all.frames), static_cast<unsigned long long>(all.round_trips));
  }
  if (!Becomes([&] { return state.polling.load() == 0; })) return;
  if (said_goodbye) state.AwaitWorkersEnd(connection);
  state.transport->close(connection);
}

void Session::State::AwaitWorkersEnd(OutboardConnection* on) {
  const auto end = steady_clock::now() + options.farewell;
  transport->poll(on, static_cast<uint64_t>(options.spin.count()));
  std::unique_lock lock(ending_mutex);
  if (!ending_changed.wait_until(lock, end, [this] { return workers_end.has_value(); })) {
    Log(LogLevel::kWarn,
        "the worker does not confirm the end of this process within %lld ms; the memory that it used on the GPU may be "
        "taken for some time yet",
        static_cast<long long>(options.farewell.count()));
  } else if (!workers_end->empty()) {
    Log(LogLevel::kWarn, "%s", workers_end->c_str());
  }
}

void Session::State::NoteWorkersEnd(std::string_view reason) {
  const std::lock_guard lock(ending_mutex);
  if (workers_end) return;
  workers_end = reason;
  ending_changed.notify_all();
}

void Session::Abandon() {
  OutboardConnection* const connection = state_->connection.exchange(nullptr);
  status_ = CUDA_ERROR_NOT_INITIALIZED;
  if (connection != nullptr) state_->transport->abandon(connection);
}

SessionCounts Session::counts() const {
  const std::lock_guard lock(state_->mutex);
  return state_->counts;
}

}  // namespace outboard::client
