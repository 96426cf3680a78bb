#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "common/wire/frame.h"
#include "common/wire/op.h"
#include "server/slice/gate.h"
#include "server/slice/ledger.h"
#include "server/worker/session.h"

namespace outboard::generated {

// The driver's ordinals of the client's devices 0 and 1.
inline constexpr CUdevice kOrdinals[] = {7, 5};

// A driver that knows contexts and nothing else.
driver::DriverTable DriverOfContexts();
// Whether the calling thread has a current context of such a driver.
bool HasCurrentContext();

// A session of a worker on a driver of the test, without a transport: frames go straight in, and a reply is waited for.
// One command at a time.
//
// Thread-confined.
class WorkerUnderTest {
 public:
  // `driver`, one of contexts and what the test adds, outlives it. The hellos are exchanged.
  explicit WorkerUnderTest(const driver::DriverTable* driver);

  // Where the test adds the driver's objects for the handles that it uses.
  worker::HandleTable& handles() { return session_.handles(); }

  struct Reply {
    CUresult result;
    std::vector<std::byte> outputs;
  };
  // nullopt when the worker ended the session instead.
  std::optional<Reply> Send(wire::Op op, std::span<const std::byte> body);

 private:
  // Keeps the reply to the last command, or that there will be none.
  class Sink final : public worker::FrameSink {
   public:
    void Send(std::span<const std::byte> frame) override;
    void End() override;
    std::optional<Reply> Wait();

   private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::optional<Reply> reply_;
    bool ended_ = false;
  };

  bool SendCommand(uint16_t op, uint16_t flags, uint32_t lane, std::span<const std::byte> body);

  slice::Ledger ledger_;
  slice::Gate gate_;
  Sink sink_;
  worker::Session session_;
  uint64_t sent_ = 0;
};

}  // namespace outboard::generated
