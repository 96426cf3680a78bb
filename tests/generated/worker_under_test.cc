#include "tests/generated/worker_under_test.h"

#include <gtest/gtest.h>

#include <cstring>
#include <stdexcept>
#include <utility>

#include "common/wire/codec.h"
#include "common/wire/hello.h"

namespace outboard::generated {
namespace {

thread_local bool has_current_context = false;

slice::Ledger NewLedger() {
  Result<slice::Ledger> ledger = slice::Ledger::Create(1 << 20);
  if (!ledger) throw std::runtime_error(ledger.error().message);
  return std::move(*ledger);
}

// The current context of every command: one that is not in the tests' way.
constexpr wire::HandleId kContext = wire::PrimaryContextHandle(0);

std::vector<std::byte> Hello() {
  wire::ClientHello hello;
  hello.major_version = wire::kMajorVersion;
  hello.abi = wire::kAbi;
  hello.client = "a generated test";
  for (const wire::OpInfo& info : wire::Ops()) {
    hello.op_hashes.resize(static_cast<size_t>(info.op) + 1);
    hello.op_hashes.back() = info.hash;
  }
  return wire::Encode(hello);
}

}  // namespace

driver::DriverTable DriverOfContexts() {
  driver::DriverTable driver;
  driver.cuCtxSetCurrent = [](CUcontext context) {
    has_current_context = context != nullptr;
    return CUDA_SUCCESS;
  };
  driver.cuDevicePrimaryCtxReset_v2 = [](CUdevice) { return CUDA_SUCCESS; };
  driver.cuCtxDestroy_v2 = [](CUcontext) { return CUDA_SUCCESS; };
  return driver;
}

bool HasCurrentContext() { return has_current_context; }

WorkerUnderTest::WorkerUnderTest(const driver::DriverTable* driver)
    : ledger_(NewLedger()),
      session_({.driver = driver,
                .devices = {{kOrdinals[0], &ledger_, 0}, {kOrdinals[1], &ledger_, 0}},
                .gate = &gate_,
                .number = 1},
               &sink_) {
  if (!SendCommand(static_cast<uint16_t>(wire::Control::kHello), 0, 0, Hello())) {
    throw std::runtime_error("the worker refuses the hello");
  }
  if (!handles().Add(wire::HandleKind::kContext, kContext, this)) throw std::runtime_error("no context");
}

std::optional<WorkerUnderTest::Reply> WorkerUnderTest::Send(wire::Op op, std::span<const std::byte> body) {
  SendCommand(static_cast<uint16_t>(op), wire::kWantsReply, 1, body);
  return sink_.Wait();
}

bool WorkerUnderTest::SendCommand(uint16_t op, uint16_t flags, uint32_t lane, std::span<const std::byte> body) {
  const uint32_t command_bytes = sizeof(wire::CommandHeader) + wire::Padded(body.size());
  const uint32_t frame_bytes = sizeof(wire::FrameHeader) + command_bytes;
  std::vector<std::byte> frame(frame_bytes);
  wire::Writer writer(frame.data());
  writer.Put(wire::FrameHeader{.magic = wire::kFrameMagic, .bytes = frame_bytes, .first = ++sent_, .count = 1});
  writer.Put(wire::CommandHeader{
      .bytes = command_bytes, .op = op, .flags = flags, .lane = lane, .context = lane == 0 ? 0 : kContext});
  writer.PutBytes(body.data(), body.size());
  return session_.OnFrame(frame);
}

void WorkerUnderTest::Sink::Send(std::span<const std::byte> frame) {
  std::optional<wire::FrameReader> reader = wire::FrameReader::Open(frame);
  ASSERT_TRUE(reader.has_value()) << "the worker sends a malformed frame";
  while (const std::optional<wire::Command> command = reader->Next()) {
    if (command->header.op != static_cast<uint16_t>(wire::Control::kReply)) continue;
    wire::ReplyHead head;
    ASSERT_GE(command->body.size(), sizeof head);
    std::memcpy(&head, command->body.data(), sizeof head);
    EXPECT_EQ(head.earlier, CUDA_SUCCESS);
    const std::span<const std::byte> outputs = command->body.subspan(sizeof head);
    const std::lock_guard lock(mutex_);
    reply_ = Reply{static_cast<CUresult>(head.result), {outputs.begin(), outputs.end()}};
    changed_.notify_one();
  }
}

void WorkerUnderTest::Sink::End() {
  const std::lock_guard lock(mutex_);
  ended_ = true;
  changed_.notify_one();
}

std::optional<WorkerUnderTest::Reply> WorkerUnderTest::Sink::Wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return reply_.has_value() || ended_; });
  return std::exchange(reply_, std::nullopt);
}

}  // namespace outboard::generated
