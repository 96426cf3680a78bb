#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "common/base/box.h"
#include "common/base/limits.h"

// Frames, as docs/wire.md lays them down byte by byte: what one transport message carries, in both directions. A frame
// holds whole commands, and a stream of frames is ordered.

namespace outboard::wire {

inline constexpr uint32_t kFrameMagic = 0x3146424f;  // "OBF1"
inline constexpr uint16_t kMajorVersion = 1;         // must be equal on both ends

struct FrameHeader {
  uint32_t magic;
  uint32_t bytes;         // of the frame with this header: a multiple of 8, at most kMaxFrameBytes
  uint64_t first;         // sequence number of the first command; the others follow. Starts at 1 in each direction
  uint64_t acknowledged;  // the peer's commands up to this one had their turn: they need not be kept for a resume and
                          // hold no credit. One that had its turn may still be waiting for the device
  uint32_t count;         // commands, may be 0 (then the frame only acknowledges)
  uint32_t reserved;      // 0
};
static_assert(sizeof(FrameHeader) == 32);

// Commands of the client name an operation of the spec; those of the worker, and what the client sends because the
// worker waits for it, are of these kinds. The two ranges do not meet.
enum class Control : uint16_t {
  kReply = 0xff00,             // worker: lane; ReplyHead, outputs
  kLand = 0xff01,              // worker: LandHead, bytes of a device-to-host copy that is complete
  kHostFunction = 0xff02,      // worker: CallHead; the stream waits for kHostFunctionDone
  kPull = 0xff03,              // worker: PullHead; the stream waits for bytes of pinned memory: kPulled
  kOutput = 0xff04,            // worker: TextHead, bytes that kernels printed
  kEnd = 0xff05,               // either, the last command: why the session is over, NUL-padded; empty when as planned
  kHostFunctionDone = 0xff06,  // client: CallHead
  kPulled = 0xff07,            // client: PullHead, bytes
  kHello = 0xff08,             // either, the first command of each direction (hello.h)
  kErrorOutput = 0xff09,       // worker: TextHead, bytes that the driver wrote to standard error: failed assertions
  kLandBox = 0xff0a,           // worker: LandBoxHead, bytes of a device-to-host copy of a box that is complete
};
inline constexpr uint16_t kFirstControl = 0xff00;

// CommandHeader::flags. kTakesEarlier, with kWantsReply only: the reply may tell of a refused earlier call of this
// lane.
inline constexpr uint16_t kWantsReply = 1, kTakesEarlier = 2;

struct CommandHeader {
  uint32_t bytes;    // of the command with this header: a multiple of 8
  uint16_t op;       // wire::Op or Control
  uint16_t flags;    // other bits are 0
  uint32_t lane;     // the client's thread, numbered from 1 in order of appearance; 0 for Control commands of none
  uint32_t device;   // reserved, 0
  uint64_t context;  // the thread's current context (a handle), 0 for none
};
static_assert(sizeof(CommandHeader) == 24);

struct ReplyHead {
  uint64_t request;  // sequence number of the command that this answers
  int32_t result;    // CUresult of the call
  int32_t earlier;   // CUresult of a call of this lane that was sent without waiting and that the driver refused; or 0
};
static_assert(sizeof(ReplyHead) == 16);

struct LandHead {
  uint64_t host_address;  // in the client
  uint64_t bytes;         // that follow
};
struct LandBoxHead {
  Box to;            // in the client
  BoxExtent extent;  // its bytes follow, without gaps
  uint64_t bytes;    // that follow: as many as the extent has
};
struct CallHead {
  uint64_t call;   // the client's number of the host function or stream callback
  int32_t status;  // what a stream callback is told
  uint32_t reserved;
};
struct PullHead {
  uint64_t pull;    // the client's number of the copy
  uint64_t offset;  // bytes into the copy
  uint64_t bytes;   // asked for, or following
};
struct TextHead {
  uint64_t bytes;  // that follow, without the padding
};

// One command of a frame.
struct Command {
  CommandHeader header;
  uint64_t sequence;
  std::span<const std::byte> body;
};

// Walks through the commands of one frame. The frame must stay alive. Hostile input is safe: a frame whose lengths do
// not add up exactly is malformed as a whole, and ends the session.
//
// Thread-compatible.
class FrameReader {
 public:
  // nullopt when the frame is malformed.
  static std::optional<FrameReader> Open(std::span<const std::byte> frame);

  const FrameHeader& header() const { return header_; }
  // The next command; nullopt after the last.
  std::optional<Command> Next();

 private:
  FrameReader(const FrameHeader& header, std::span<const std::byte> rest) : header_(header), rest_(rest) {}

  FrameHeader header_;
  std::span<const std::byte> rest_;
  uint32_t done_ = 0;
};

}  // namespace outboard::wire
