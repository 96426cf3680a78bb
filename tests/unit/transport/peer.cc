#include "tests/unit/transport/peer.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace outboard::transport_test {
namespace {

void Check(bool good, const char* what) {
  if (!good) throw std::runtime_error(std::string(what) + ": " + strerror(errno));
}

}  // namespace

const OutboardTransport* LoadPlugin(uint32_t version) {
  void* plugin = dlopen(OUTBOARD_TRANSPORT_PLUGIN_FILE, RTLD_NOW | RTLD_LOCAL);
  if (plugin == nullptr) throw std::runtime_error(dlerror());
  const auto entry = reinterpret_cast<decltype(&OutboardTransportEntry)>(dlsym(plugin, "OutboardTransportEntry"));
  return entry(version);
}

Listener::Listener(Kind kind) {
  if (kind == Kind::kTcp) {
    socket_.Reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    Check(bind(socket_.get(), reinterpret_cast<sockaddr*>(&at), size) == 0, "bind");
    Check(getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&at), &size) == 0, "getsockname");
    address_ = "127.0.0.1:" + std::to_string(ntohs(at.sin_port));
  } else {
    socket_.Reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    char folder[] = "/tmp/outboard_transport_XXXXXX";
    Check(mkdtemp(folder) != nullptr, "mkdtemp");
    path_ = std::string(folder) + "/node";
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    memcpy(at.sun_path, path_.data(), path_.size());
    Check(bind(socket_.get(), reinterpret_cast<sockaddr*>(&at), sizeof at) == 0, "bind");
    address_ = "unix:" + path_;
  }
  Check(listen(socket_.get(), 8) == 0, "listen");
}

Listener::~Listener() {
  if (path_.empty()) return;
  unlink(path_.c_str());
  rmdir(path_.substr(0, path_.rfind('/')).c_str());
}

UniqueFd Listener::Accept() { return UniqueFd(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC)); }

Peer::Peer(const Options& options, OnFrame on_frame) : on_frame_(std::move(on_frame)), listener_(options.kind) {
  thread_ = std::thread([this, options] { Run(options); });
}

Peer::~Peer() { Join(); }

void Peer::Join() {
  if (thread_.joinable()) thread_.join();
}

void Peer::Run(const Options& options) {
  UniqueFd connection = listener_.Accept();
  preamble_.resize(options.preamble_bytes);
  if (recv(connection.get(), preamble_.data(), preamble_.size(), MSG_WAITALL) !=
      static_cast<ssize_t>(options.preamble_bytes)) {
    return;
  }
  std::string read_ahead;
  if (options.reads_ahead) {
    read_ahead.resize(4096);
    const ssize_t more = recv(connection.get(), read_ahead.data(), read_ahead.size(), 0);
    read_ahead.resize(more > 0 ? static_cast<size_t>(more) : 0);
  }
  fcntl(connection.get(), F_SETFL, O_NONBLOCK);
  service_.Serve(std::move(connection), read_ahead, {.frame = on_frame_, .closed = [this] {
                                                       ++closings_;
                                                       service_.End();
                                                     }});
}

}  // namespace outboard::transport_test
