// What a client may send to a worker on the software GPU: frames one behind the other, as scripts/trace --client-frames
// takes them from a trace. The hellos are exchanged before, unless the input begins with one. The frames' sequence
// numbers are set right, so that an input from which frames were taken still says something; kernels do not run, as
// they may not end.

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <queue>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/wire/codec.h"
#include "common/wire/frame.h"
#include "common/wire/hello.h"
#include "server/driver/driver_table.h"
#include "server/slice/gate.h"
#include "server/slice/ledger.h"
#include "server/worker/session.h"
#include "tests/fakes/software_gpu.h"

namespace {

using namespace outboard;

constexpr uint64_t kSliceBytes = 32u << 20;

void Require(bool holds) {
  if (!holds) std::abort();
}

// Where the traces of the corpus have device memory as well.
constexpr char kArena[] = "0x200000000000";
constexpr CUdeviceptr kArenaBegin = 0x200000000000, kArenaEnd = kArenaBegin + (64u << 20);

bool IsDeviceMemory(CUdeviceptr address) { return address >= kArenaBegin && address < kArenaEnd; }

// Of the driver; set before they are used.
decltype(&cuStreamWaitValue32_v2) wait_value = nullptr;
decltype(&cuGraphConditionalHandleCreate) create_condition = nullptr;

const driver::DriverTable& Driver() {
  static const driver::DriverTable& driver = []() -> const driver::DriverTable& {
#ifndef __SANITIZE_THREAD__  // which keeps that range for itself
    setenv("OUTBOARD_SOFTGPU_ARENA", kArena, 1);
#endif
    fakes::ConfigureSoftwareGpu("1");
    auto loaded = driver::Load(OUTBOARD_SOFTGPU_CUDA);
    Require(loaded.ok() && (*loaded)->cuInit(0) == CUDA_SUCCESS);
    auto& table = *new driver::DriverTable(**loaded);
    table.cuLaunchKernel = [](auto...) { return CUDA_SUCCESS; };
    table.cuLaunchKernelEx = [](auto...) { return CUDA_SUCCESS; };
    // The worker itself has streams wait for words of its own host memory.
    wait_value = table.cuStreamWaitValue32_v2;
    table.cuStreamWaitValue32_v2 = [](CUstream stream, CUdeviceptr address, cuuint32_t value, unsigned flags) {
      return IsDeviceMemory(address) ? CUDA_SUCCESS : wait_value(stream, address, value, flags);
    };
    table.cuStreamWaitValue32 = [](auto...) { return CUDA_SUCCESS; };
    table.cuStreamWaitValue64 = [](auto...) { return CUDA_SUCCESS; };
    table.cuStreamWaitValue64_v2 = [](auto...) { return CUDA_SUCCESS; };
    // No graph repeats its body for ever.
    create_condition = table.cuGraphConditionalHandleCreate;
    table.cuGraphConditionalHandleCreate = [](CUgraphConditionalHandle* handle, CUgraph graph, CUcontext context,
                                              unsigned,
                                              unsigned) { return create_condition(handle, graph, context, 0, 0); };
    table.cuStreamBatchMemOp = [](auto...) { return CUDA_SUCCESS; };
    table.cuStreamBatchMemOp_v2 = [](auto...) { return CUDA_SUCCESS; };
    return table;
  }();
  return driver;
}

std::vector<std::byte> Frame(uint64_t first, wire::Control control, std::span<const std::byte> body) {
  const auto command = static_cast<uint32_t>(sizeof(wire::CommandHeader) + wire::Padded(body.size()));
  const auto bytes = static_cast<uint32_t>(sizeof(wire::FrameHeader) + command);
  std::vector<std::byte> frame(bytes);
  wire::Writer writer(frame.data());
  writer.Put(wire::FrameHeader{.magic = wire::kFrameMagic, .bytes = bytes, .first = first, .count = 1});
  writer.Put(wire::CommandHeader{.bytes = command, .op = static_cast<uint16_t>(control)});
  writer.PutBytes(body.data(), body.size());
  return frame;
}

std::vector<std::byte> Hello() {
  wire::ClientHello hello;
  hello.major_version = wire::kMajorVersion;
  hello.abi = wire::kAbi;
  hello.client = "fuzzer";
  hello.op_hashes = wire::OpHashes();
  return Frame(1, wire::Control::kHello, wire::Encode(hello));
}

// The client's end of a session. Every frame of the worker is a good one.
class Client final : public worker::FrameSink {
 public:
  void Send(std::span<const std::byte> frame) override {
    auto reader = wire::FrameReader::Open(frame);
    const std::lock_guard lock(mutex_);
    Require(reader.has_value() && reader->header().first == received_ + 1);
    received_ += reader->header().count;
    while (const auto command = reader->Next()) Take(*command);
    changed_.notify_one();
  }
  void End() override {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_one();
  }

  // Sends a frame of the input, of whatever it consists, and gives the worker what it waits for until every reply is
  // here. False when the session is over.
  bool Converse(worker::Session& session, std::vector<std::byte> frame) {
    uint32_t replies = 0;
    if (auto reader = wire::FrameReader::Open(frame)) {
      next_ += reader->header().count;
      while (const auto command = reader->Next()) replies += command->header.flags & wire::kWantsReply;
    }
    {
      const std::lock_guard lock(mutex_);
      due_ += replies;
    }
    if (!session.OnFrame(frame)) return false;
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return ended_ || due_ == 0 || !answers_.empty(); });
      if (ended_) return false;
      if (answers_.empty()) return true;
      const auto [control, body] = std::move(answers_.front());
      answers_.pop();
      lock.unlock();
      if (!session.OnFrame(Frame(next_++, control, body))) return false;
      lock.lock();
    }
  }

  uint64_t next() const { return next_; }  // sequence number of the next command

 private:
  void Take(const wire::Command& command) {
    switch (static_cast<wire::Control>(command.header.op)) {
      case wire::Control::kReply:
        --due_;
        break;
      case wire::Control::kHostFunction:
        answers_.emplace(wire::Control::kHostFunctionDone,
                         std::vector<std::byte>(command.body.begin(), command.body.end()));
        break;
      case wire::Control::kPull: {
        wire::PullHead head;
        Require(command.body.size() == sizeof head);
        std::memcpy(&head, command.body.data(), sizeof head);
        std::vector<std::byte> body(sizeof head + head.bytes);
        std::memcpy(body.data(), &head, sizeof head);
        answers_.emplace(wire::Control::kPulled, std::move(body));
        break;
      }
      default:
        break;
    }
  }

  uint64_t next_ = 1;
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t received_ = 0;
  uint64_t due_ = 0;  // replies
  std::queue<std::pair<wire::Control, std::vector<std::byte>>> answers_;
  bool ended_ = false;
};

bool BeginsWithHello(std::span<const std::byte> bytes) {
  wire::CommandHeader command;
  if (bytes.size() < sizeof(wire::FrameHeader) + sizeof command) return false;
  std::memcpy(&command, bytes.data() + sizeof(wire::FrameHeader), sizeof command);
  return command.op == static_cast<uint16_t>(wire::Control::kHello);
}

// The input's next frame, by the length that it gives itself, or what is left. `bytes` is not empty.
std::vector<std::byte> TakeFrame(std::span<const std::byte>* bytes, uint64_t first) {
  wire::FrameHeader header;
  size_t size = bytes->size();
  if (size >= sizeof header) {
    std::memcpy(&header, bytes->data(), sizeof header);
    size = std::clamp<size_t>(header.bytes, sizeof header, size);
  }
  std::vector<std::byte> frame(bytes->begin(), bytes->begin() + static_cast<ptrdiff_t>(size));
  *bytes = bytes->subspan(size);
  if (size >= sizeof header && header.first != 0) {
    header.first = first;
    std::memcpy(frame.data(), &header, sizeof header);
  }
  return frame;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static slice::Ledger& ledger = *new slice::Ledger(std::move(*slice::Ledger::Create(kSliceBytes)));
  static const uint32_t account = *ledger.OpenAccount();
  slice::Gate gate;
  Client client;
  worker::Session session({.driver = &Driver(),
                           .devices = {{0, &ledger, account}},
                           .gate = &gate,
                           .number = 1,
                           .ticket_is_good = [](const std::string& ticket) { return ticket.empty(); }},
                          &client);
  std::span<const std::byte> rest(reinterpret_cast<const std::byte*>(data), size);
  if (!BeginsWithHello(rest)) Require(client.Converse(session, Hello()));
  bool goes_on = true;
  while (goes_on && !rest.empty()) goes_on = client.Converse(session, TakeFrame(&rest, client.next()));
  if (goes_on) session.OnFrame(Frame(client.next(), wire::Control::kEnd, {}));
  session.Finish();
  return 0;
}
