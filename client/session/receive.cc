#include <cstring>
#include <exception>
#include <utility>

#include "client/session/session_state.h"
#include "common/base/log.h"

// The worker's frames. Everything here runs on a thread of the transport or of a caller that polls; one at a time.

namespace outboard::client {
namespace {

using wire::Control;

// The head of a body, and the bytes behind it, of which there are `head.bytes`.
template <class Head>
std::optional<std::span<const std::byte>> SplitBody(std::span<const std::byte> body, Head* head) {
  wire::Reader reader(body);
  if (!reader.Get(head)) return std::nullopt;
  const std::byte* const bytes = reader.Take(head->bytes);
  if (bytes == nullptr || !reader.AtEnd()) return std::nullopt;
  return std::span(bytes, head->bytes);
}

std::string_view TextOf(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Of Control::kEnd.
std::string_view ReasonOf(const wire::Command& command) {
  const std::string_view text = TextOf(command.body);
  return text.substr(0, text.find('\0'));
}

// What is wrong with what the worker sent, for the log.
constexpr const char* kMalformed = "the worker sent a malformed command";
constexpr const char* kUnasked = "the worker answers a call that nobody waits for";
constexpr const char* kOutside = "the worker sent bytes for host memory that was not asked for";

}  // namespace

void Session::State::OnFrame(std::span<const std::byte> frame) {
  try {
    if (options.trace) options.trace->Write(Trace::Direction::kFromWorker, frame);
    if (session.status() != CUDA_SUCCESS) return LookForEnd(frame);
    if (const char* failure = Receive(frame)) Lose(Goodbye::kSend, failure);
  } catch (const std::exception& exception) {  // there is no memory
    Lose(Goodbye::kSend, exception.what());
  }
}

void Session::State::OnClosed(const std::string& reason) {
  NoteWorkersEnd({});
  Lose(Goodbye::kNone, reason);
}

void Session::State::LookForEnd(std::span<const std::byte> frame) {
  auto reader = wire::FrameReader::Open(frame);
  if (!reader) return;
  while (const auto command = reader->Next()) {
    if (static_cast<Control>(command->header.op) == Control::kEnd) NoteWorkersEnd(ReasonOf(*command));
  }
}

const char* Session::State::Receive(std::span<const std::byte> frame) {
  auto reader = wire::FrameReader::Open(frame);
  if (!reader) return "the worker sent a malformed frame";
  const wire::FrameHeader& header = reader->header();
  const uint64_t before = received.load(std::memory_order_relaxed);
  if (header.count != 0 && header.first != before + 1) return "the worker's commands are not numbered in order";
  if (const char* failure = OnAcknowledged(header.acknowledged)) return failure;
  while (const auto command = reader->Next()) {
    if (const char* failure = Execute(*command)) return failure;
    received.store(command->sequence, std::memory_order_release);
  }
  const uint64_t bytes = received_bytes.load(std::memory_order_relaxed) + frame.size();
  received_bytes.store(bytes, std::memory_order_relaxed);
  // Frames to the worker tell it by the way; this is for when there are none.
  if (bytes - acknowledged_bytes >= kCreditBytes / 4 ||
      received.load(std::memory_order_relaxed) - acknowledged >= kCreditCommands / 4) {
    const std::lock_guard lock(mutex);
    SendFrame();
  }
  return nullptr;
}

const char* Session::State::OnAcknowledged(uint64_t last) {
  const std::lock_guard lock(mutex);
  if (last > last_sent) return "the worker acknowledges what was never sent";
  if (credits.nothing_under_way()) return nullptr;
  credits.Acknowledged(last);
  if (credits.nothing_under_way() && !outbox.empty()) SendFrame();
  credits_returned.notify_all();
  return nullptr;
}

const char* Session::State::Execute(const wire::Command& command) {
  if (command.header.flags != 0) return kMalformed;
  const auto control = static_cast<Control>(command.header.op);
  if (!greeted) return control == Control::kHello ? OnHello(command.body) : "the worker did not introduce itself";
  wire::Reader reader(command.body);
  switch (control) {
    case Control::kReply: {
      wire::ReplyHead head;
      if (!reader.Get(&head)) return kMalformed;
      const bool found = waiters.Finish(head.request, static_cast<CUresult>(head.result),
                                        static_cast<CUresult>(head.earlier), command.body.subspan(sizeof head));
      return found || session.status() != CUDA_SUCCESS ? nullptr : kUnasked;
    }
    case Control::kLand: {
      wire::LandHead head;
      const auto bytes = SplitBody(command.body, &head);
      if (!bytes) return kMalformed;
      return events->Land(head.host_address, *bytes) ? nullptr : kOutside;
    }
    case Control::kLandBox: {
      wire::LandBoxHead head;
      const auto bytes = SplitBody(command.body, &head);
      if (!bytes || PackedBytes(head.extent) != bytes->size()) return kMalformed;
      return events->LandBox(head.to, head.extent, *bytes) ? nullptr : kOutside;
    }
    case Control::kHostFunction: {
      wire::CallHead head;
      if (!reader.Get(&head) || !reader.AtEnd()) return kMalformed;
      events->HostFunction(head.call, static_cast<CUresult>(head.status));
      return nullptr;
    }
    case Control::kPull: {
      wire::PullHead head;
      if (!reader.Get(&head) || !reader.AtEnd() || head.bytes > kMaxPayloadBytes) return kMalformed;
      events->Pull(head.pull, head.offset, head.bytes);
      return nullptr;
    }
    case Control::kOutput:
    case Control::kErrorOutput: {
      wire::TextHead head;
      const auto text = SplitBody(command.body, &head);
      if (!text) return kMalformed;
      control == Control::kOutput ? events->Output(TextOf(*text)) : events->ErrorOutput(TextOf(*text));
      return nullptr;
    }
    case Control::kEnd: {
      const std::string reason(ReasonOf(command));
      NoteWorkersEnd(reason);
      Lose(Goodbye::kNone, reason.empty() ? "the worker ended the session" : reason);
      return nullptr;
    }
    default:
      return kMalformed;
  }
}

const char* Session::State::OnHello(std::span<const std::byte> body) {
  auto hello = wire::DecodeWorkerHello(body);
  if (!hello) return "the worker's first message is malformed";
  session.worker_ = std::move(*hello);
  greeted = true;
  const std::lock_guard lock(opening_mutex);
  opening = Opening::kGreeted;
  opening_changed.notify_all();
  return nullptr;
}

}  // namespace outboard::client
