// What a session does with the frames of its client. All of it runs on the reader's thread.

#include <cstring>
#include <exception>
#include <string>
#include <utility>

#include "common/base/limits.h"
#include "common/base/log.h"
#include "server/worker/greeting.h"
#include "server/worker/session_state.h"

namespace outboard::worker {
namespace {

// Runs are cut, so that commands are acknowledged in good time.
constexpr uint32_t kMaxRunCommands = 1024;

bool IsControl(const wire::Command& command) { return command.header.op >= wire::kFirstControl; }

// A frame's bytes, for as long as commands of it run.
std::shared_ptr<const std::byte[]> Keep(std::span<const std::byte> frame) {
  auto words = std::make_shared_for_overwrite<uint64_t[]>(frame.size() / sizeof(uint64_t));
  std::memcpy(words.get(), frame.data(), frame.size());
  const auto* bytes = reinterpret_cast<const std::byte*>(words.get());
  return {std::move(words), bytes};
}

// The head of a Control command and the bytes that follow it.
template <class Head>
bool Split(const wire::Command& command, Head* head, std::span<const std::byte>* rest) {
  if (command.body.size() < sizeof *head) return false;
  std::memcpy(head, command.body.data(), sizeof *head);
  *rest = command.body.subspan(sizeof *head);
  return true;
}

std::string Name(const wire::Command& command) { return "command " + std::to_string(command.sequence); }

}  // namespace

bool Session::OnFrame(std::span<const std::byte> frame) {
  if (state_->is_over) return false;
  try {
    if (std::string wrong = TakeFrame(frame); !wrong.empty()) End("the client breaks the protocol: " + wrong);
  } catch (const std::bad_alloc&) {
    End("the worker has no host memory left for a frame of " + std::to_string(frame.size()) + " bytes");
  } catch (const std::exception& exception) {
    End(std::string("the worker cannot start a thread: ") + exception.what());
  }
  return !state_->is_over;
}

// Looks at all of a frame before anything of it happens. What is wrong with it, or nothing.
std::string Session::TakeFrame(std::span<const std::byte> frame) {
  State& state = *state_;
  std::optional<wire::FrameReader> reader = wire::FrameReader::Open(frame);
  if (!reader.has_value()) return "a frame's lengths do not add up";
  const wire::FrameHeader& header = reader->header();
  if (header.first != state.last_received + 1) {
    return "a frame begins with command " + std::to_string(header.first) + " instead of " +
           std::to_string(state.last_received + 1);
  }
  if (header.acknowledged < state.last_acknowledged || header.acknowledged > state.outbox.sent()) {
    return "a frame acknowledges command " + std::to_string(header.acknowledged) +
           ", which is not one that waits for it";
  }
  state.last_acknowledged = header.acknowledged;
  if (!state.is_open) return TakeHello(*reader);

  uint64_t commands = 0, bytes = 0;
  uint32_t lanes = state.lanes->count();
  for (wire::FrameReader look = *reader; const auto command = look.Next();) {
    if (std::string wrong = IsControl(*command) ? CheckControl(*command) : CheckCommand(*command, &lanes);
        !wrong.empty()) {
      return wrong;
    }
    if (IsControl(*command)) continue;
    ++commands;
    bytes += command->header.bytes;
  }
  if (!state.credits.Take(commands, bytes)) return "it sends more than it has credit for";

  const std::shared_ptr<const std::byte[]> kept = commands == 0 ? nullptr : Keep(frame);
  state.runs.clear();
  Run* run = nullptr;  // that the next command may belong to
  while (const auto command = reader->Next()) {
    if (IsControl(*command)) {
      run = nullptr;
      if (std::string wrong = TakeControl(*command); !wrong.empty()) return wrong;
      if (state.is_over) break;
      continue;
    }
    Lane* lane = state.lanes->Get(command->header.lane);
    if (lane->owes_reply) return Name(*command) + " is of a lane that waits for a reply";
    lane->owes_reply = (command->header.flags & wire::kWantsReply) != 0;
    if (run == nullptr || run->lane != lane || run->count == kMaxRunCommands) {
      const size_t offset = command->body.data() - sizeof command->header - frame.data();
      run = &state.runs.emplace_back(
          Run{lane, kept, frame.size(), {kept.get() + offset, size_t{0}}, command->sequence, 0});
    }
    run->commands = {run->commands.data(), run->commands.size() + command->header.bytes};
    ++run->count;
  }
  state.last_received += header.count;
  state.lanes->Push(state.runs, state.last_received);
  state.runs.clear();
  return {};
}

std::string Session::TakeHello(wire::FrameReader& reader) {
  State& state = *state_;
  const std::optional<wire::Command> command = reader.Next();
  if (reader.header().count != 1 || command->header.op != static_cast<uint16_t>(wire::Control::kHello) ||
      command->header.flags != 0) {
    return "it does not begin with a hello alone";
  }
  const auto hello = wire::DecodeClientHello(command->body);
  if (!hello) return hello.error().message;
  state.last_received = 1;
  state.credits.Release(state.last_received, 0, 0);
  {
    const std::lock_guard lock(state.client_mutex);
    state.client_name = hello->client;
  }

  Greeting greeting = Greet(*hello, state.device_infos, state.driver_version, config_.number);
  if (greeting.hello.error.empty() && config_.ticket_is_good && !config_.ticket_is_good(hello->ticket)) {
    greeting = {};
    greeting.hello.major_version = wire::kMajorVersion;
    greeting.hello.result = CUDA_ERROR_NOT_PERMITTED;
    greeting.hello.error = "the ticket is not the one that the lease was given; start the program with gpu-run";
  }
  Send(wire::Control::kHello, 0, {}, wire::Encode(greeting.hello));
  if (!greeting.hello.error.empty()) {
    state.is_over = true;
    Log(LogLevel::kWarn, "session %llu of %s is refused: %s", static_cast<unsigned long long>(config_.number),
        hello->client.c_str(), greeting.hello.error.c_str());
    state.outbox.End();
    Release();
    state.lanes->Stop();
    return {};
  }
  state.visible = std::move(greeting.visible);
  for (size_t op = 0; op < state.entries.size() && op < hello->op_hashes.size(); ++op) {
    State::Entry& entry = state.entries[op];
    entry.same_at_client = entry.info != nullptr && entry.info->hash == hello->op_hashes[op];
  }
  state.is_open = true;
  return {};
}

std::string Session::CheckCommand(const wire::Command& command, uint32_t* lanes) const {
  const wire::CommandHeader& header = command.header;
  const State::Entry* entry = header.op < state_->entries.size() ? &state_->entries[header.op] : nullptr;
  if (entry == nullptr || entry->handler == nullptr || !entry->same_at_client) {
    return Name(command) + " is operation " + std::to_string(header.op) + ", which the two ends do not share";
  }
  const bool wants_reply = (header.flags & wire::kWantsReply) != 0;
  if (!wants_reply && (header.flags != 0 || entry->info->call_class != wire::Class::kAsync)) {
    return Name(command) + " (" + entry->info->name + ") does not ask for the reply that it needs";
  }
  if (header.lane == 0 || header.lane > *lanes + 1 || header.lane > kMaxLanes) {
    return Name(command) + " is of lane " + std::to_string(header.lane) + ", but there are " + std::to_string(*lanes);
  }
  if (header.lane > *lanes) *lanes = header.lane;
  return {};
}

std::string Session::CheckControl(const wire::Command& command) const {
  if (command.header.flags != 0) return Name(command) + " has flags that it cannot have";
  std::span<const std::byte> rest;
  bool is_good = false;
  switch (static_cast<wire::Control>(command.header.op)) {
    case wire::Control::kHostFunctionDone: {
      wire::CallHead head;
      is_good = Split(command, &head, &rest) && rest.empty();
      break;
    }
    case wire::Control::kPulled: {
      wire::PullHead head;
      is_good =
          Split(command, &head, &rest) && head.bytes <= kMaxPayloadBytes && rest.size() == wire::Padded(head.bytes);
      break;
    }
    case wire::Control::kEnd:
      is_good = true;
      break;
    default:
      break;
  }
  return is_good ? std::string() : Name(command) + " is none that a client sends, or its length is wrong";
}

std::string Session::TakeControl(const wire::Command& command) {
  std::span<const std::byte> rest;
  switch (static_cast<wire::Control>(command.header.op)) {
    case wire::Control::kHostFunctionDone: {
      wire::CallHead head;
      if (Split(command, &head, &rest) && state_->host_calls.OnDone(head.call)) return {};
      return Name(command) + " says that a host function is done for which no stream waits";
    }
    case wire::Control::kPulled: {
      wire::PullHead head;
      if (Split(command, &head, &rest) && state_->copies.OnPulled(head, rest.first(head.bytes))) return {};
      return Name(command) + " brings bytes that nobody asked for";
    }
    default:  // kEnd: the client is done, and waits for Finish
      state_->outbox.Mute();
      state_->is_over = true;
      Release();
      return {};
  }
}

}  // namespace outboard::worker
