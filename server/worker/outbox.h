#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>

#include "common/wire/codec.h"
#include "common/wire/frame.h"
#include "server/worker/credits.h"

namespace outboard::worker {

class FrameSink;

// Bytes of a frame that grows. Thread-compatible.
class FrameBuffer {
 public:
  size_t size() const { return size_; }
  std::byte* data() { return bytes_.get(); }
  // Room for `bytes` more at the end, uninitialised; valid until the next call.
  std::byte* Extend(size_t bytes);
  // Empty again. Keeps its memory, unless that is much.
  void Clear();

 private:
  std::unique_ptr<std::byte[]> bytes_;
  size_t size_ = 0, capacity_ = 0;
};

// The way out of a session: numbers the worker's commands, packs them into frames and hands these to the sink. What is
// added while a frame is being sent goes into the next one; nothing waits longer than that.
//
// Thread-safe. The sink is entered by one thread at a time, without a lock.
class Outbox {
 public:
  // Both outlive it.
  Outbox(FrameSink* sink, Credits* credits) : sink_(sink), credits_(credits) {}

  // While it lives, what this thread adds is kept back, so that it goes out together with what the thread adds after it
  // or when another thread sends. One thread at a time can have that; for others it does nothing.
  class Hold {
   public:
    explicit Hold(Outbox& outbox);
    ~Hold() { Release(); }
    void Release();  // idempotent; the kept bytes go out with the next command or Flush
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    Outbox& outbox_;
    bool holds_;
  };

  // A command that is being written, in place. Keeps everyone else out of the outbox: whoever has one writes its body
  // and does nothing else. It goes out when it ends.
  class Encoding {
   public:
    // `body_bytes`: exact, a multiple of 8, at most kMaxFrameBytes less 2 KiB. May wait for the frame that is being
    // sent.
    Encoding(Outbox& outbox, wire::Control control, uint32_t lane, size_t body_bytes);
    ~Encoding();
    Encoding(const Encoding&) = delete;
    Encoding& operator=(const Encoding&) = delete;
    // Null when the session has ended, and the command goes nowhere.
    std::byte* body() const { return body_; }

   private:
    Outbox& outbox_;
    std::unique_lock<std::mutex> lock_;
    std::byte* body_ = nullptr;
  };

  // Sends what there is to acknowledge: in any case, or if it is much.
  void Acknowledge();
  void AcknowledgeIfDue();

  // The client has ended: of what is added from now on, only the end goes out.
  void Mute();
  // Says goodbye to the client and ends the sink; nothing is sent afterwards. The first call counts: then true.
  bool End(const std::string& reason);
  // As End, after a hello that refuses: without goodbye.
  void End();
  // The connection is gone: nothing is sent any more.
  void Close();

  // Of the last command that was sent.
  uint64_t sent() const;

 private:
  bool takes_commands() const { return !muted_ && !ending_ && !closed_; }
  void MakeRoom(std::unique_lock<std::mutex>& lock, size_t bytes);
  std::byte* Append(wire::Control control, uint32_t lane, size_t body_bytes);
  void Flush(std::unique_lock<std::mutex>& lock);

  FrameSink* const sink_;
  Credits* const credits_;

  mutable std::mutex mutex_;
  std::condition_variable sent_one_;
  FrameBuffer next_;       // with room for its header at the beginning
  uint32_t count_ = 0;     // commands in next_
  uint64_t sequence_ = 0;  // of the last command in next_, or sent
  bool acknowledge_ = false;
  FrameBuffer out_;  // being sent, while sending_
  bool sending_ = false;
  bool muted_ = false, ending_ = false, ended_ = false, closed_ = false;
  std::thread::id holder_;
};

}  // namespace outboard::worker
