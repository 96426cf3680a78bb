// A client that is not the shim: speaks docs/wire.md over the transport plugin, one command at a time, and knows
// nothing of slices. Under gpu-run, with OUTBOARD_TRANSPORT_PLUGIN naming the plugin.
//
// usage: raw_client take N      what `session_program.py take N` does
//        raw_client cheat N     waits for a line, lies about memory in all ways, takes blocks of N bytes until memory
//        is
//                               out, says "taken" and waits for another line
//        raw_client twice N     opens a session and then another one with the same ticket; says whether it is refused

#include <cstdlib>
#include <cstring>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "common/wire/codec.h"
#include "common/wire/frame.h"
#include "common/wire/handle.h"
#include "common/wire/hello.h"
#include "common/wire/op.h"
#include "tests/e2e/raw_connection.h"

namespace {

using namespace outboard;
using e2e::Fail;
using Bytes = std::vector<std::byte>;

// One session, used by one thread.
class Session {
 public:
  Session() {
    wire::ClientHello hello;
    hello.major_version = wire::kMajorVersion;
    hello.abi = wire::kAbi;
    hello.ticket = connection_.ticket();
    hello.client = "raw_client";
    hello.visible_devices = {0};
    hello.op_hashes = wire::OpHashes();
    Send({.op = static_cast<uint16_t>(wire::Control::kHello)}, wire::Encode(hello));
    const Bytes body = Receive(wire::Control::kHello);
    const auto answer = wire::DecodeWorkerHello(body);
    if (!answer || !answer->error.empty()) Fail("the worker does not open the session");
  }

  // Says goodbye.
  ~Session() { Send({.op = static_cast<uint16_t>(wire::Control::kEnd)}, {}); }

  const std::string& ticket() const { return connection_.ticket(); }

  // The result of an operation in the first device's primary context, and what it returned.
  std::pair<CUresult, Bytes> Call(wire::Op op, const std::vector<uint64_t>& parameters) {
    const auto* bytes = reinterpret_cast<const std::byte*>(parameters.data());
    Send({.op = static_cast<uint16_t>(op),
          .flags = wire::kWantsReply,
          .lane = 1,
          .context = wire::PrimaryContextHandle(0)},
         Bytes(bytes, bytes + parameters.size() * sizeof(uint64_t)));
    const Bytes body = Receive(wire::Control::kReply);
    wire::ReplyHead head;
    if (body.size() < sizeof head) Fail("a reply is too short");
    std::memcpy(&head, body.data(), sizeof head);
    if (head.request != sent_) Fail("a reply is not to the last command");
    return {static_cast<CUresult>(head.result), Bytes(body.begin() + sizeof head, body.end())};
  }

 private:
  void Send(wire::CommandHeader command, const Bytes& body) {
    command.bytes = static_cast<uint32_t>(sizeof command + body.size());
    const wire::FrameHeader header{.magic = wire::kFrameMagic,
                                   .bytes = static_cast<uint32_t>(sizeof header + command.bytes),
                                   .first = ++sent_,
                                   .acknowledged = received_,
                                   .count = 1};
    Bytes frame(header.bytes);
    wire::Writer writer(frame.data());
    writer.Put(header);
    writer.Put(command);
    writer.PutBytes(body.data(), body.size());
    connection_.Send(frame);
  }

  // The body of the worker's next command, which must be of this kind.
  Bytes Receive(wire::Control wanted) {
    for (;;) {
      std::string reason;
      const std::optional<Bytes> frame = connection_.Receive(&reason);
      if (!frame) Fail(reason);
      auto reader = wire::FrameReader::Open(*frame);
      if (!reader) Fail("the worker sent a malformed frame");
      const auto command = reader->Next();
      if (!command) continue;  // it only acknowledges
      received_ = command->sequence;
      if (command->header.op != static_cast<uint16_t>(wanted) || reader->Next()) Fail("the worker sent something else");
      return Bytes(command->body.begin(), command->body.end());
    }
  }

  e2e::RawConnection connection_;
  uint64_t sent_ = 0, received_ = 0;  // the last command of each direction
};

uint64_t Number(const Bytes& bytes, size_t index) {
  uint64_t number;
  if (bytes.size() < (index + 1) * sizeof number) Fail("a reply is too short");
  std::memcpy(&number, bytes.data() + index * sizeof number, sizeof number);
  return number;
}

// The address, or nothing when there is no memory.
std::optional<uint64_t> Allocate(Session& session, uint64_t bytes) {
  const auto [result, outputs] = session.Call(wire::Op::kcuMemAlloc_v2, {1, bytes});
  if (result == CUDA_SUCCESS) return Number(outputs, 0);
  if (result != CUDA_ERROR_OUT_OF_MEMORY) Fail("cuMemAlloc_v2 returned " + std::to_string(result));
  return std::nullopt;
}

Bytes Ok(Session& session, wire::Op op, const std::vector<uint64_t>& parameters) {
  auto [result, outputs] = session.Call(op, parameters);
  if (result != CUDA_SUCCESS) {
    Fail(std::string(wire::FindOp(static_cast<uint16_t>(op))->name) + " returned " + std::to_string(result));
  }
  return outputs;
}

void Say(const std::string& what) { std::cout << what << std::endl; }

void WaitForLine() {
  std::string line;
  std::getline(std::cin, line);
}

void Take(Session& session, uint64_t block) {
  Say("ready");
  WaitForLine();
  std::vector<uint64_t> addresses;
  while (const auto address = Allocate(session, block)) addresses.push_back(*address);
  Ok(session, wire::Op::kcuCtxSynchronize, {});
  Say("took " + std::to_string(addresses.size() * block));
  WaitForLine();
  for (const uint64_t address : addresses) Ok(session, wire::Op::kcuMemFree_v2, {address});
  Say("free " + std::to_string(Number(Ok(session, wire::Op::kcuMemGetInfo_v2, {1, 1}), 1)));
}

// Gives back what it has not, twice what it has, and what it has by calls that are for other memory; most of it is
// refused, and nothing of it makes room.
void Lie(Session& session, uint64_t block) {
  constexpr uint64_t kStream = 1;  // CU_STREAM_LEGACY
  const auto try_all = [&](uint64_t address, uint64_t number) {
    for (int i = 0; i < 2; ++i) {
      session.Call(wire::Op::koutboardGraphMemFree, {number, kStream});
      session.Call(wire::Op::koutboardGraphMemRelease, {number});
      if (number % 100 == 1) {  // not too often, since it is its own addresses that are lost
        session.Call(wire::Op::koutboardGraphMemSetAside, {number});
        session.Call(wire::Op::koutboardSetAside, {address});
        session.Call(wire::Op::koutboardMemPoolSetAside, {address, 1u << 30, kStream});
      }
      session.Call(wire::Op::kcuMemFreeAsync, {address, kStream});
      session.Call(wire::Op::kcuMemFree_v2, {address});
      session.Call(wire::Op::kcuIpcCloseMemHandle, {address});
    }
  };
  for (uint64_t number = 1; number <= 8; ++number) {
    if (const auto address = Allocate(session, block)) try_all(*address, 100 + number);
    auto [result, outputs] = session.Call(wire::Op::koutboardGraphMemAlloc, {1, number, block});
    if (result == CUDA_SUCCESS) try_all(Number(outputs, 0), number);
    std::tie(result, outputs) = session.Call(wire::Op::kcuMemAllocAsync, {1, block, kStream});
    if (result == CUDA_SUCCESS) try_all(Number(outputs, 0), number);
    session.Call(wire::Op::kcuDevicePrimaryCtxReset_v2, {0});
    session.Call(wire::Op::kcuDevicePrimaryCtxRelease_v2, {0});
    Ok(session, wire::Op::koutboardPrimaryCtxRetain, {0});
  }
}

void Cheat(Session& session, uint64_t block) {
  Say("ready");
  WaitForLine();
  Lie(session, block);
  while (Allocate(session, block)) {
  }
  Ok(session, wire::Op::kcuCtxSynchronize, {});
  Say("taken");
  WaitForLine();
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view action = argc == 3 ? argv[1] : "";
  const uint64_t block = argc == 3 ? std::stoull(argv[2]) : 0;
  Session session;
  Ok(session, wire::Op::koutboardPrimaryCtxRetain, {0});
  if (action == "take") {
    Take(session, block);
  } else if (action == "cheat") {
    Cheat(session, block);
  } else if (action == "twice") {
    e2e::RawConnection again(session.ticket());
    std::string reason;
    Say(again.Receive(&reason) ? "opened" : "refused");
  } else {
    Fail("usage: raw_client take|cheat|twice N");
  }
}
