#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <thread>

#include "client/transport/transport.h"
#include "common/base/unique_fd.h"
#include "server/worker/service.h"

namespace outboard::transport_test {

// Loads the plugin that the build made, and asks it for its transport.
const OutboardTransport* LoadPlugin(uint32_t version = kOutboardTransportVersion);

// A socket that listens, as a node's does: a free port of the loopback device, or a file in the temporary folder.
class Listener {
 public:
  enum class Kind { kTcp, kUnix };
  explicit Listener(Kind kind);
  ~Listener();

  const std::string& address() const { return address_; }  // as OutboardTransport::open takes it
  UniqueFd Accept();

 private:
  UniqueFd socket_;
  std::string path_;  // of kUnix
  std::string address_;
};

// A worker without a session: accepts one connection, and lets `receiver` have its frames.
class Peer {
 public:
  struct Options {
    Listener::Kind kind = Listener::Kind::kUnix;
    size_t preamble_bytes = 0;  // read before gRPC has the connection
    bool reads_ahead = false;   // takes more than the preamble off the connection, as far as there is more
  };
  // Frame by frame; true to go on. Calls service() to answer.
  using OnFrame = std::function<bool(std::span<const std::byte>)>;
  Peer(const Options& options, OnFrame on_frame);
  ~Peer();  // waits until the connection has ended

  const std::string& address() const { return listener_.address(); }
  worker::StreamService& service() { return service_; }
  // After the connection has ended; waits for that.
  void Join();
  const std::string& preamble() const { return preamble_; }
  int closings() const { return closings_; }

 private:
  void Run(const Options& options);

  const OnFrame on_frame_;
  Listener listener_;
  worker::StreamService service_;
  std::string preamble_;
  int closings_ = 0;
  std::thread thread_;
};

}  // namespace outboard::transport_test
