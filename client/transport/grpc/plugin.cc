#include <grpc/grpc.h>
#include <signal.h>

#include <chrono>
#include <cstdio>
#include <exception>
#include <memory>
#include <string_view>
#include <utility>

#include "client/transport/grpc/connection.h"
#include "client/transport/grpc/socket.h"
#include "client/transport/transport.h"
#include "proto/grpc_locks.h"

// The plugin's one exported function and what it leads to: Connection behind the C interface of transport.h.

namespace outboard::transport {
namespace {

// Blocks all signals of this thread while it lives: threads started meanwhile, gRPC's among them, never take a signal
// that is meant for the application.
class WithoutSignals {
 public:
  WithoutSignals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~WithoutSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  WithoutSignals(const WithoutSignals&) = delete;
  WithoutSignals& operator=(const WithoutSignals&) = delete;

 private:
  sigset_t before_;
};

Connection& Of(OutboardConnection* connection) { return *reinterpret_cast<Connection*>(connection); }

OutboardConnection* Open(const char* address, const void* preamble, size_t preamble_bytes,
                         const OutboardTransportEvents* events, char* error, size_t error_bytes) {
  const WithoutSignals without_signals;
  const auto fail = [&](const char* why) {
    snprintf(error, error_bytes, "%s", why);
    return nullptr;
  };
  try {
    Result<Socket> socket = Connect(address, {static_cast<const char*>(preamble), preamble_bytes});
    if (!socket) return fail(socket.error().message.c_str());
    OnlyLockGrpcLocks();
    grpc_init();  // for good: a library that is still in use when the process exits must not be shut down
    return reinterpret_cast<OutboardConnection*>(std::make_unique<Connection>(std::move(*socket), *events).release());
  } catch (const std::exception& exception) {  // no memory, no thread
    return fail(exception.what());
  }
}

void Send(OutboardConnection* connection, const void* frame, size_t bytes) {
  Of(connection).Send({static_cast<const std::byte*>(frame), bytes});
}

void Poll(OutboardConnection* connection, uint64_t nanoseconds) {
  constexpr uint64_t kLongest = uint64_t{1} << 50;  // keeps clocks from wrapping
  Of(connection).Poll(std::chrono::nanoseconds(nanoseconds < kLongest ? nanoseconds : kLongest));
}

void Close(OutboardConnection* connection) {
  Of(connection).Close();
  delete &Of(connection);
}

void Abandon(OutboardConnection* connection) { Of(connection).Abandon(); }

constexpr OutboardTransport kTransport = {kOutboardTransportVersion, &Open, &Send, &Poll, &Close, &Abandon};

}  // namespace
}  // namespace outboard::transport

__attribute__((visibility("default"))) const OutboardTransport* OutboardTransportEntry(uint32_t version) {
  return version == kOutboardTransportVersion ? &outboard::transport::kTransport : nullptr;
}
