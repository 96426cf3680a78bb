#pragma once

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/slice.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/base/unique_fd.h"

namespace outboard::transport {

// A frame on its way out. Thread-compatible.
class OutgoingFrame {
 public:
  explicit OutgoingFrame(std::span<const std::byte> bytes);
  OutgoingFrame(OutgoingFrame&& other) noexcept : slice_(std::exchange(other.slice_, grpc_empty_slice())) {}
  OutgoingFrame& operator=(OutgoingFrame&& other) noexcept {
    std::swap(slice_, other.slice_);
    return *this;
  }
  ~OutgoingFrame() { grpc_slice_unref(slice_); }
  grpc_slice Release() { return std::exchange(slice_, grpc_empty_slice()); }

 private:
  grpc_slice slice_;
};

// One gRPC stream of raw frames over one connected socket, by gRPC's C interface, which costs less per message than the
// C++ one and needs no protobuf.
//
// Thread-safe with one restriction: of Next, frame and StartRead one runs at a time, and so of Write. gRPC works only
// while some thread is in Next.
class Stream {
 public:
  enum class Event : uintptr_t {
    kNothing,     // the time is up
    kFrame,       // frame() has one, or nothing more comes
    kWritten,     // the next Write may begin
    kHalfClosed,  // Finish went out
    kOver,        // outcome() says how it ended
    kWoken,       // by Wake, or something that concerns nobody
    kShutDown,    // after ShutDown everything is done
  };

  // Opens the stream and begins to read. Takes the socket. `probe`: look for a dead peer by pings.
  Stream(UniqueFd socket, bool probe);
  ~Stream();  // cancels what is under way and waits for gRPC to let go of it

  // The next event, waiting for at most `wait` (0: looks once; nullopt: for ever). gRPC rounds waits up to
  // milliseconds.
  Event Next(std::optional<std::chrono::nanoseconds> wait);
  // Makes a Next that waits, or the next one, return kWoken.
  void Wake();

  // After kFrame: the frame, in one piece and aligned to 8, until StartRead; nullopt when the stream has no more.
  std::optional<std::span<const std::byte>> frame();
  void StartRead();

  // Sends a frame; kWritten follows, and is the result when the socket took it at once: then no thread in Next is
  // disturbed. `more`: another follows at once, so both may go out together.
  Event Write(OutgoingFrame frame, bool more);
  // Says that no frame follows the last one.
  void Finish();

  // After kOver.
  bool ended_well() const { return status_ == GRPC_STATUS_OK; }
  std::string outcome() const;

 private:
  void Start(const grpc_op* operations, size_t count, Event event);

  grpc_completion_queue* cq_;
  grpc_channel* channel_;
  grpc_call* call_;
  grpc_byte_buffer* const outgoing_;  // gRPC empties it by the time of kWritten
  grpc_byte_buffer* incoming_ = nullptr;
  std::vector<uint64_t> assembled_;  // a frame that came in pieces or unaligned
  bool over_ = false;

  // Written by gRPC.
  grpc_metadata_array initial_metadata_, trailing_metadata_;
  grpc_status_code status_ = GRPC_STATUS_UNKNOWN;
  grpc_slice details_ = grpc_empty_slice();
};

}  // namespace outboard::transport
