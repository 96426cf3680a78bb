#include "tests/fakes/loopback.h"

#include <chrono>
#include <cstdio>
#include <cstring>
#include <utility>

namespace outboard::fakes {

Pipe::Pipe(std::function<bool(std::span<const std::byte>)> deliver, std::function<void()> ended)
    : deliver_(std::move(deliver)), ended_(std::move(ended)), thread_([this] { Run(); }) {}

Pipe::~Pipe() { Drop(); }

void Pipe::Send(std::span<const std::byte> frame) {
  Frame copy{std::vector<uint64_t>((frame.size() + 7) / 8), frame.size()};
  std::memcpy(copy.memory.data(), frame.data(), frame.size());
  const std::lock_guard lock(mutex_);
  if (ending_ || dropped_ || over_) return;
  frames_.push_back(std::move(copy));
  changed_.notify_all();
}

void Pipe::End() {
  const std::lock_guard lock(mutex_);
  ending_ = true;
  changed_.notify_all();
}

void Pipe::Cut() {
  const std::lock_guard lock(mutex_);
  frames_.clear();
  ending_ = true;
  changed_.notify_all();
}

void Pipe::Drop() {
  {
    const std::lock_guard lock(mutex_);
    dropped_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void Pipe::AwaitDelivery(uint64_t nanoseconds) {
  std::unique_lock lock(mutex_);
  const uint64_t before = deliveries_;
  changed_.wait_for(lock, std::chrono::nanoseconds(nanoseconds), [&] { return deliveries_ != before || over_; });
}

void Pipe::Drain() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return over_ || (frames_.empty() && !delivering_); });
}

void Pipe::Run() {
  std::unique_lock lock(mutex_);
  bool wanted = true;
  while (wanted) {
    changed_.wait(lock, [this] { return !frames_.empty() || ending_ || dropped_; });
    if (dropped_ || frames_.empty()) break;
    const Frame frame = std::move(frames_.front());
    frames_.pop_front();
    delivering_ = true;
    lock.unlock();
    wanted = deliver_(std::as_bytes(std::span(frame.memory)).first(frame.bytes));
    lock.lock();
    delivering_ = false;
    ++deliveries_;
    changed_.notify_all();
  }
  over_ = true;
  const bool tell = !dropped_ && wanted;
  changed_.notify_all();
  lock.unlock();
  if (tell) ended_();
}

Loopback::Loopback(worker::Session::Config config) : config_(std::move(config)) {}

Loopback::~Loopback() {
  to_worker_.reset();
  session_.reset();
}

const OutboardTransport* Loopback::transport() {
  static constexpr OutboardTransport kTransport = {kOutboardTransportVersion, &Loopback::Open,  &Loopback::Send,
                                                   &Loopback::Poll,           &Loopback::Close, &Loopback::Abandon};
  return &kTransport;
}

std::string Loopback::address() const {
  char text[64];
  std::snprintf(text, sizeof text, "loopback:%p", static_cast<const void*>(this));
  return text;
}

Loopback* Loopback::Find(const std::string& address) {
  void* object = nullptr;
  return std::sscanf(address.c_str(), "loopback:%p", &object) == 1 ? static_cast<Loopback*>(object) : nullptr;
}

OutboardConnection* Loopback::Open(const char* address, const void* preamble, size_t preamble_bytes,
                                   const OutboardTransportEvents* events, char* error, size_t error_bytes) {
  Loopback* const loopback = Find(address);
  if (loopback == nullptr) {
    std::snprintf(error, error_bytes, "%s is no loopback's address", address);
    return nullptr;
  }
  loopback->preamble_.assign(static_cast<const char*>(preamble), preamble_bytes);
  loopback->Connect(*events);
  return reinterpret_cast<OutboardConnection*>(loopback);
}

void Loopback::Connect(const OutboardTransportEvents& events) {
  to_worker_.reset();
  session_.reset();
  end_ = "the worker ended the session";
  to_client_ = std::make_unique<Pipe>(
      [events](std::span<const std::byte> frame) {
        events.frame(events.user, frame.data(), frame.size());
        return true;
      },
      [this, events] { events.closed(events.user, end_.c_str()); });
  session_ = std::make_unique<worker::Session>(config_, this);
  to_worker_ = std::make_unique<Pipe>(
      [this](std::span<const std::byte> frame) {
        const bool goes_on = session_->OnFrame(frame);
        if (!goes_on) session_->Finish();
        return goes_on;
      },
      [this] { session_->OnClosed(); });
}

void Loopback::Break() {
  end_ = "the connection to the worker broke";
  to_worker_->Drop();
  session_->OnClosed();
  to_client_->Cut();
}

void Loopback::Send(OutboardConnection* connection, const void* frame, size_t bytes) {
  reinterpret_cast<Loopback*>(connection)->to_worker_->Send({static_cast<const std::byte*>(frame), bytes});
}

void Loopback::Poll(OutboardConnection* connection, uint64_t nanoseconds) {
  reinterpret_cast<Loopback*>(connection)->to_client_->AwaitDelivery(nanoseconds);
}

void Loopback::Close(OutboardConnection* connection) {
  auto* const loopback = reinterpret_cast<Loopback*>(connection);
  loopback->to_worker_->Drain();
  loopback->to_client_->Drop();
  // As the worker's process ends: no thread of it is left.
  loopback->to_worker_.reset();
  loopback->session_.reset();
}

void Loopback::Abandon(OutboardConnection*) {}  // nothing here is shared with a child

}  // namespace outboard::fakes
