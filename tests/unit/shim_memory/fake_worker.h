#pragma once

#include <cuda.h>

#include <chrono>
#include <cstddef>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "client/shim/context_objects.h"
#include "client/shim/contexts.h"
#include "client/shim/link.h"
#include "client/shim/memory.h"
#include "client/shim/process.h"
#include "client/shim/thread_state.h"
#include "common/wire/codec.h"
#include "common/wire/op.h"
#include "tests/unit/session/fake_peer.h"

namespace outboard::shim {

// A worker that carries nothing out: it notes the commands that the shim sends and answers them as the test says. There
// is one for the process, whose shim is connected to it for good.
class FakeWorker {
 public:
  struct Seen {
    std::string name;
    bool waits;                   // the caller waits for the answer
    std::vector<std::byte> body;  // the arguments, as they travel

    // The whole number in the place of argument `index`, of those before the first array's bytes.
    uint64_t At(size_t index) const {
      uint64_t value;
      std::memcpy(&value, body.data() + 8 * index, sizeof value);
      return value;
    }
    std::string Text(size_t first_index) const {
      return std::string(reinterpret_cast<const char*>(body.data()) + 8 * first_index, body.size() - 8 * first_index);
    }
  };
  struct Answer {
    CUresult result = CUDA_SUCCESS;
    std::vector<std::byte> outputs;
    CUresult earlier = CUDA_SUCCESS;
  };

  static FakeWorker& Get() {
    static FakeWorker* const worker = new FakeWorker;
    return *worker;
  }

  // What the worker does on a command whose caller waits, before it answers with what this returns.
  void On(const std::string& name, std::function<Answer(const Seen&)> handler) { handlers_[name] = std::move(handler); }
  void Reset() {
    Sync();
    handlers_.clear();
    seen_.clear();
  }

  // Everything that was sent since the last call.
  std::vector<Seen> TakeSeen() {
    Sync();
    return std::exchange(seen_, {});
  }
  std::vector<std::string> TakeNames() {
    std::vector<std::string> names;
    for (const Seen& seen : TakeSeen()) names.push_back(seen.name + (seen.waits ? "?" : ""));
    return names;
  }

  void Land(const void* address, std::span<const std::byte> bytes) {
    peer_.Say(wire::Control::kLand,
              wire::LandHead{.host_address = reinterpret_cast<uint64_t>(address), .bytes = bytes.size()}, bytes);
  }
  void LandBox(const Box& to, const BoxExtent& extent, std::span<const std::byte> bytes) {
    peer_.Say(wire::Control::kLandBox, wire::LandBoxHead{.to = to, .extent = extent, .bytes = bytes.size()}, bytes);
  }
  client::FakePeer& peer() { return peer_; }
  CUresult init_result() const { return init_result_; }
  CUcontext context() const { return context_; }  // current in the thread that called Get first

  template <class... Values>
  static Answer With(const Values&... values) {
    Answer answer;
    answer.outputs.resize((size_t{0} + ... + wire::Padded(sizeof values)));
    wire::Writer writer(answer.outputs.data());
    (writer.Put(values), ...);
    return answer;
  }

 private:
  FakeWorker() {
    peer_.on_poll = [this] { AnswerAll(); };
    // It answers when it is polled, so whoever waits polls until then.
    SetLinkForTesting({.transport = peer_.transport(),
                       .lease = {.address = peer_.address()},
                       .session = {.spin = std::chrono::hours(1)}});
    std::thread hello([this] {
      peer_.Take();
      wire::WorkerHello words = client::WorkerHelloOf(wire::OpHashes());
      auto& attributes = words.devices[0].attributes;
      attributes.assign(CU_DEVICE_ATTRIBUTE_MAX - 1, 0);
      const auto set = [&](CUdevice_attribute attribute, int value) { attributes[attribute - 1] = value; };
      for (int i = 0; i < 3; ++i) {
        set(static_cast<CUdevice_attribute>(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X + i), 65535);
        set(static_cast<CUdevice_attribute>(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X + i), 1024);
      }
      set(CU_DEVICE_ATTRIBUTE_MAX_PITCH, 1 << 20);
      set(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 1024);
      set(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, 65536);
      peer_.Say(wire::Control::kHello, wire::Encode(words)).Deliver();
    });
    Process& process = Process::Get();
    init_result_ = process.Init();
    hello.join();
    context_ = reinterpret_cast<CUcontext>(wire::PrimaryContextHandle(0));
    process.contexts().SetActive(context_, true);
    process.session().ids().AddPrimaryContext(0);
    SetCurrentContext(context_);
  }

  // Takes what was sent, and answers those who wait.
  void AnswerAll() {
    const std::lock_guard lock(mutex_);
    while (auto frame = peer_.TakeIfSent()) {
      for (const wire::Command& command : frame->commands()) {
        const wire::OpInfo* const info = wire::FindOp(command.header.op);
        Seen seen{info != nullptr ? info->name : "control",
                  (command.header.flags & wire::kWantsReply) != 0,
                  {command.body.begin(), command.body.end()}};
        seen_.push_back(seen);
        if (!seen.waits) continue;
        const auto handler = handlers_.find(seen.name);
        const Answer answer = handler != handlers_.end() ? handler->second(seen) : Answer{};
        peer_.Reply(command.sequence, answer.result, answer.outputs, answer.earlier).Deliver();
      }
    }
  }

  void Sync() {
    Process::Get().session().Flush();
    AnswerAll();
  }

  client::FakePeer peer_;
  std::mutex mutex_;
  std::map<std::string, std::function<Answer(const Seen&)>> handlers_;
  std::vector<Seen> seen_;
  CUresult init_result_ = CUDA_SUCCESS;
  CUcontext context_ = nullptr;
};

}  // namespace outboard::shim
