#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "client/session/background.h"
#include "client/session/credits.h"
#include "client/session/outbox.h"
#include "client/session/session.h"
#include "client/session/ticks.h"

namespace outboard::client {

inline constexpr size_t kSmallestFlush = 4 << 10, kLargestFlush = 64 << 10;

// The insides of a Session. session.cc sends, receive.cc receives.
//
// No lock is held while somebody else is waited for, or while an event function runs.
struct Session::State {
  State(Session& session, const OutboardTransport* transport, SessionEvents* events, SessionOptions options);

  // With `mutex` held.
  void WaitForCredits(std::unique_lock<std::mutex>& lock, size_t command_bytes);
  void CommandDone(bool wants_reply, std::unique_lock<std::mutex> lock);
  void AppendControl(wire::Control control, std::span<const std::byte> head, std::span<const std::byte> bytes);
  void SendFrame();  // what is gathered, and how far the worker's commands were dealt with

  void SendControl(wire::Control control, std::span<const std::byte> head, std::span<const std::byte> bytes);
  std::optional<std::chrono::nanoseconds> LookAfterAge();
  void Poll(std::chrono::nanoseconds at_most);

  // The session is over: calls return `result` from now on. False when it was over before. The peer is told why, unless
  // it knows.
  enum class Goodbye { kSend, kNone };
  bool End(CUresult result, Goodbye goodbye, std::string_view reason);
  // It is over by no will of ours.
  void Lose(Goodbye goodbye, const std::string& reason);

  // After a goodbye: waits for the worker's end, and says so if it does not come or has a reason.
  void AwaitWorkersEnd(OutboardConnection* on);
  void NoteWorkersEnd(std::string_view reason);

  // Called by the transport.
  void OnFrame(std::span<const std::byte> frame);
  void OnClosed(const std::string& reason);
  // Parts of OnFrame. Null when all is well, else what is wrong with what the worker sent.
  const char* Receive(std::span<const std::byte> frame);
  const char* OnAcknowledged(uint64_t last);
  const char* Execute(const wire::Command& command);
  const char* OnHello(std::span<const std::byte> body);
  // The frames that come after the session's end: only the worker's is of interest.
  void LookForEnd(std::span<const std::byte> frame);

  Session& session;
  const OutboardTransport* const transport;
  SessionEvents* const events;
  const SessionOptions options;
  const OutboardTransportEvents transport_events;
  const Ticks ticks;
  const std::shared_ptr<LaneNumbers> lane_numbers = std::make_shared<LaneNumbers>();

  // Set by Open, before any call.
  std::vector<bool> available;  // operations, by number
  uint64_t flush_ticks = 0;

  // Null before Open and after Close. Sent to with `mutex` held; who polls is counted, so that Close can wait for them.
  std::atomic<OutboardConnection*> connection{nullptr};
  std::atomic<uint32_t> polling{0};

  Waiters waiters;

  // Written by event functions, of which one runs at a time: the worker's commands that were dealt with, the bytes of
  // their frames, and whether its hello was among them.
  std::atomic<uint64_t> received{0}, received_bytes{0};
  bool greeted = false;
  // Written with `mutex` held: what of that the worker was told.
  std::atomic<uint64_t> acknowledged{0}, acknowledged_bytes{0};

  std::mutex opening_mutex;
  std::condition_variable opening_changed;
  enum class Opening { kWaiting, kGreeted, kFailed } opening = Opening::kWaiting;
  std::string open_failure;  // after kFailed

  std::mutex ending_mutex;
  std::condition_variable ending_changed;
  std::optional<std::string> workers_end;  // the worker's reason; empty when it ended as planned or is gone

  mutable std::mutex mutex;  // the order of commands. Guards what follows
  std::condition_variable credits_returned;
  Outbox outbox;
  Credits credits;
  uint64_t gathering_since = 0;  // Ticks::Now() when the first of the commands came that are not sent yet
  uint64_t last_sent = 0;
  bool said_goodbye = false;
  SessionCounts counts;
  // For LookAfterAge.
  std::chrono::nanoseconds look_interval{0};  // 0 while nobody looks
  uint64_t seen_frames = 0;
  bool wake_background = true;  // nobody looks, and nobody was told to

  Background background;  // last: it looks at all of this
};

}  // namespace outboard::client
