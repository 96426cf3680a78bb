#include "client/transport/grpc/stream.h"

#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <grpc/slice_buffer.h>
#include <grpc/support/time.h>

#include <cstring>
#include <iterator>

#include "common/base/limits.h"

namespace outboard::transport {
namespace {

constexpr int kPingMilliseconds = 10'000, kPingTimeoutMilliseconds = 5'000;

grpc_arg Integer(const char* key, int value) {
  grpc_arg arg;
  arg.type = GRPC_ARG_INTEGER;
  arg.key = const_cast<char*>(key);
  arg.value.integer = value;
  return arg;
}

grpc_channel* MakeChannel(int socket, bool probe) {
  grpc_arg args[] = {
      Integer(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, kMaxFrameBytes),
      Integer(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0),  // as many as are wanted
      Integer(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
      Integer(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kPingTimeoutMilliseconds),
      Integer(GRPC_ARG_KEEPALIVE_TIME_MS, kPingMilliseconds),  // last: left out for who needs no pings
  };
  const grpc_channel_args all{std::size(args) - (probe ? 0 : 1), args};
  grpc_channel_credentials* credentials = grpc_insecure_credentials_create();
  grpc_channel* channel = grpc_channel_create_from_fd("outboard", socket, credentials, &all);
  grpc_channel_credentials_release(credentials);
  return channel;
}

grpc_op Operation(grpc_op_type type, uint32_t flags = 0) {
  grpc_op operation;
  memset(&operation, 0, sizeof operation);
  operation.op = type;
  operation.flags = flags;
  return operation;
}

void* Tag(Stream::Event event) { return reinterpret_cast<void*>(event); }

}  // namespace

OutgoingFrame::OutgoingFrame(std::span<const std::byte> bytes)
    : slice_(grpc_slice_from_copied_buffer(reinterpret_cast<const char*>(bytes.data()), bytes.size())) {}

Stream::Stream(UniqueFd socket, bool probe)
    : cq_(grpc_completion_queue_create_for_next(nullptr)),
      channel_(MakeChannel(socket.Release(), probe)),
      call_(grpc_channel_create_call(channel_, nullptr, GRPC_PROPAGATE_DEFAULTS, cq_,
                                     grpc_slice_from_static_string("/outboard.Session/Run"), nullptr,
                                     gpr_inf_future(GPR_CLOCK_REALTIME), nullptr)),
      outgoing_(grpc_raw_byte_buffer_create(nullptr, 0)) {
  grpc_metadata_array_init(&initial_metadata_);
  grpc_metadata_array_init(&trailing_metadata_);
  grpc_op begin[] = {Operation(GRPC_OP_SEND_INITIAL_METADATA), Operation(GRPC_OP_RECV_INITIAL_METADATA)};
  begin[1].data.recv_initial_metadata.recv_initial_metadata = &initial_metadata_;
  Start(begin, std::size(begin), Event::kWoken);
  grpc_op end = Operation(GRPC_OP_RECV_STATUS_ON_CLIENT);
  end.data.recv_status_on_client.trailing_metadata = &trailing_metadata_;
  end.data.recv_status_on_client.status = &status_;
  end.data.recv_status_on_client.status_details = &details_;
  Start(&end, 1, Event::kOver);
  StartRead();
}

Stream::~Stream() {
  if (!over_) grpc_call_cancel(call_, nullptr);
  grpc_completion_queue_shutdown(cq_);
  while (Next(std::nullopt) != Event::kShutDown) {
  }
  grpc_call_unref(call_);
  grpc_channel_destroy(channel_);
  grpc_completion_queue_destroy(cq_);
  grpc_byte_buffer_destroy(outgoing_);
  if (incoming_ != nullptr) grpc_byte_buffer_destroy(incoming_);
  grpc_metadata_array_destroy(&initial_metadata_);
  grpc_metadata_array_destroy(&trailing_metadata_);
  grpc_slice_unref(details_);
}

void Stream::Start(const grpc_op* operations, size_t count, Event event) {
  grpc_call_start_batch(call_, operations, count, Tag(event), nullptr);
}

Stream::Event Stream::Next(std::optional<std::chrono::nanoseconds> wait) {
  gpr_timespec deadline = gpr_inf_future(GPR_CLOCK_MONOTONIC);
  if (wait == std::chrono::nanoseconds(0)) {
    deadline = gpr_inf_past(GPR_CLOCK_MONOTONIC);
  } else if (wait) {
    deadline = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_nanos(wait->count(), GPR_TIMESPAN));
  }
  const grpc_event next = grpc_completion_queue_next(cq_, deadline, nullptr);
  if (next.type == GRPC_QUEUE_TIMEOUT) return Event::kNothing;
  if (next.type == GRPC_QUEUE_SHUTDOWN) return Event::kShutDown;
  const auto event = static_cast<Event>(reinterpret_cast<uintptr_t>(next.tag));
  if (event == Event::kOver) over_ = true;
  return event;
}

// An empty batch is complete at once.
void Stream::Wake() { Start(nullptr, 0, Event::kWoken); }

void Stream::StartRead() {
  if (incoming_ != nullptr) grpc_byte_buffer_destroy(std::exchange(incoming_, nullptr));
  grpc_op read = Operation(GRPC_OP_RECV_MESSAGE);
  read.data.recv_message.recv_message = &incoming_;
  Start(&read, 1, Event::kFrame);
}

std::optional<std::span<const std::byte>> Stream::frame() {
  if (incoming_ == nullptr) return std::nullopt;
  grpc_byte_buffer_reader reader;
  if (!grpc_byte_buffer_reader_init(&reader, incoming_)) return std::nullopt;
  const size_t bytes = grpc_byte_buffer_length(incoming_);
  std::span<const std::byte> whole;
  size_t at = 0;
  for (grpc_slice* piece; grpc_byte_buffer_reader_peek(&reader, &piece);) {
    const uint8_t* from = GRPC_SLICE_START_PTR(*piece);
    const size_t size = GRPC_SLICE_LENGTH(*piece);
    if (size == bytes && reinterpret_cast<uintptr_t>(from) % 8 == 0) {
      whole = std::as_bytes(std::span(from, size));
      break;
    }
    if (at == 0 && assembled_.size() * 8 < bytes) assembled_.resize((bytes + 7) / 8);
    memcpy(reinterpret_cast<std::byte*>(assembled_.data()) + at, from, size);
    at += size;
    whole = std::as_bytes(std::span(assembled_)).first(at);
  }
  grpc_byte_buffer_reader_destroy(&reader);
  return whole;
}

Stream::Event Stream::Write(OutgoingFrame frame, bool more) {
  grpc_slice_buffer_add(&outgoing_->data.raw.slice_buffer, frame.Release());
  grpc_op write = Operation(GRPC_OP_SEND_MESSAGE, more ? GRPC_WRITE_BUFFER_HINT : 0);
  write.data.send_message.send_message = outgoing_;
  // What is complete within this call is kept for this thread, instead of waking the one that waits in Next.
  grpc_completion_queue_thread_local_cache_init(cq_);
  Start(&write, 1, Event::kWritten);
  void* tag;
  int succeeded;
  if (grpc_completion_queue_thread_local_cache_flush(cq_, &tag, &succeeded) == 0) return Event::kNothing;
  const auto event = static_cast<Event>(reinterpret_cast<uintptr_t>(tag));
  if (event == Event::kWritten) return event;
  Start(nullptr, 0, event);  // not for this thread: back into the queue with it
  return Event::kNothing;
}

void Stream::Finish() {
  const grpc_op finish = Operation(GRPC_OP_SEND_CLOSE_FROM_CLIENT);
  Start(&finish, 1, Event::kHalfClosed);
}

std::string Stream::outcome() const {
  return std::string(reinterpret_cast<const char*>(GRPC_SLICE_START_PTR(details_)), GRPC_SLICE_LENGTH(details_));
}

}  // namespace outboard::transport
