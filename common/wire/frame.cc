#include "common/wire/frame.h"

#include <cstring>

namespace outboard::wire {

std::optional<FrameReader> FrameReader::Open(std::span<const std::byte> frame) {
  FrameHeader header;
  if (frame.size() < sizeof header || frame.size() > kMaxFrameBytes) return std::nullopt;
  std::memcpy(&header, frame.data(), sizeof header);
  if (header.magic != kFrameMagic || header.bytes != frame.size() || header.reserved != 0) return std::nullopt;
  if (header.first == 0 || header.first > UINT64_MAX - header.count) return std::nullopt;
  // All lengths are checked before the first command is looked at, so that none of a bad frame is carried out.
  std::span<const std::byte> rest = frame.subspan(sizeof header);
  for (uint32_t i = 0; i < header.count; ++i) {
    CommandHeader command;
    if (rest.size() < sizeof command) return std::nullopt;
    std::memcpy(&command, rest.data(), sizeof command);
    if (command.bytes < sizeof command || command.bytes % 8 != 0 || command.bytes > rest.size()) return std::nullopt;
    if ((command.flags & ~(kWantsReply | kTakesEarlier)) != 0 || command.device != 0) return std::nullopt;
    rest = rest.subspan(command.bytes);
  }
  if (!rest.empty()) return std::nullopt;
  return FrameReader(header, frame.subspan(sizeof header));
}

std::optional<Command> FrameReader::Next() {
  if (done_ == header_.count) return std::nullopt;
  Command command;
  std::memcpy(&command.header, rest_.data(), sizeof command.header);
  command.sequence = header_.first + done_++;
  command.body = rest_.subspan(sizeof command.header, command.header.bytes - sizeof command.header);
  rest_ = rest_.subspan(command.header.bytes);
  return command;
}

}  // namespace outboard::wire
