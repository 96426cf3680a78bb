#pragma once

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/support/byte_buffer.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/unique_fd.h"
#include "server/worker/session.h"

namespace outboard::worker {

// Keeps the memory of frames with the process: by default the allocator maps, and unmaps again, each buffer of a
// megabyte, which halves the throughput. To be called before there are other threads.
void TuneAllocatorForFrames();

// The gRPC edge of a worker: serves one stream of raw frames on one connection that somebody else accepted. Everything
// that takes time to set up is set up by the constructor, while no client waits yet.
//
// Send and End are thread-safe; the rest belongs to the thread that calls Serve, which is the session's reader.
class StreamService final : public FrameSink {
 public:
  struct Receiver {
    std::function<bool(std::span<const std::byte>)> frame;  // aligned to 8; false when the session is over
    std::function<void()> closed;                           // no frame follows; called once
  };

  StreamService();
  ~StreamService() override;

  // Serves the connection, whose first bytes are `read_ahead` if somebody has read them already, until End is called or
  // the client is gone. Takes the connection, a stream socket past its preamble.
  void Serve(UniqueFd connection, std::string_view read_ahead, const Receiver& receiver);

  // FrameSink. Before the stream began and after it ended, frames go nowhere.
  void Send(std::span<const std::byte> frame) override;
  void End() override;

 private:
  enum class Tag : uintptr_t { kBegun, kRead, kWritten, kFinished, kDone };
  using Clock = std::chrono::steady_clock;

  void Accept(UniqueFd connection, std::string_view read_ahead);
  // False when the client went away before it began.
  bool AwaitStream(int connection);
  void RunStream(const Receiver& receiver);
  // The next completion; looks for a while and then blocks.
  Tag Next(bool* ok);
  std::span<const std::byte> Assemble(const grpc::ByteBuffer& message);
  void StartRead();
  void Written(bool ok);
  // Gives the stream what it can take now: the next frame, or the end. May release the lock, of mutex_.
  void Advance(std::unique_lock<std::mutex>& lock);

  grpc::AsyncGenericService generic_;
  grpc::GenericServerContext context_;
  grpc::GenericServerAsyncReaderWriter stream_{&context_};
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  std::unique_ptr<grpc::Server> server_;

  // Of the reader.
  grpc::ByteBuffer incoming_;
  std::vector<grpc::Slice> pieces_;
  std::vector<uint64_t> assembled_;
  Clock::time_point spin_end_{};

  std::mutex mutex_;
  std::deque<grpc::ByteBuffer> outgoing_;
  size_t outgoing_bytes_ = 0;
  bool running_ = false;         // between the stream's begin and its end
  bool writing_ = false;         // until kWritten
  bool ending_ = false;          // Finish when all is written
  bool finishing_ = false;       // until kFinished
  bool reading_is_due_ = false;  // put off while too much is on its way out
};

}  // namespace outboard::worker
