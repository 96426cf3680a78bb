// What a peer may send: the first byte chooses the decoder, the rest is its input.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "common/base/limits.h"
#include "common/wire/codec.h"
#include "common/wire/frame.h"
#include "common/wire/gpu_status.h"
#include "common/wire/hello.h"
#include "common/wire/rules.h"
#include "tests/unit/wire/test_binder.h"

namespace {

namespace wire = outboard::wire;

void Require(bool holds) {
  if (!holds) std::abort();
}

void ReadFrame(std::span<const std::byte> bytes) {
  auto reader = wire::FrameReader::Open(bytes);
  if (!reader) return;
  const std::byte* next = bytes.data() + sizeof(wire::FrameHeader);
  uint64_t sequence = reader->header().first;
  uint32_t count = 0;
  for (; const auto command = reader->Next(); ++count) {
    Require(command->sequence == sequence++);
    Require(command->body.data() == next + sizeof(wire::CommandHeader));
    Require(command->body.size() % 8 == 0);
    next = command->body.data() + command->body.size();
  }
  Require(count == reader->header().count);
  Require(next == bytes.data() + bytes.size());
}

// What is decoded is what was encoded: padding and all that nobody reads aside.
template <class Hello>
void ReadHello(std::span<const std::byte> bytes, outboard::Result<Hello> (*decode)(std::span<const std::byte>)) {
  const auto hello = decode(bytes);
  if (!hello || hello->major_version != wire::kMajorVersion) return;
  const std::vector<std::byte> again = wire::Encode(*hello);
  Require(again.size() == bytes.size());
  const auto second = decode(again);
  Require(second.ok());
  Require(wire::Encode(*second) == again);
}

// What a client has to say reaches the worker as it is, whatever texts it holds.
void SayHello(std::span<const std::byte> bytes) {
  wire::ClientHello hello;
  hello.major_version = wire::kMajorVersion;
  hello.abi = wire::kAbi;
  hello.ticket.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size() / 2);
  hello.client.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  for (const std::byte byte : bytes.first(bytes.size() / 4)) hello.visible_devices.push_back(static_cast<int>(byte));
  hello.op_hashes = wire::OpHashes();
  const std::vector<std::byte> said = wire::Encode(hello);
  const auto heard = wire::DecodeClientHello(said);
  Require(heard.ok() && heard->ticket == hello.ticket && heard->client == hello.client);
  Require(heard->visible_devices == hello.visible_devices && heard->op_hashes == hello.op_hashes);
  Require(wire::Encode(*heard) == said);
}

// Reads every byte, so that a sanitizer sees one that is not there.
void Touch(const void* bytes, size_t size) {
  volatile unsigned char sum = 0;
  for (size_t i = 0; i < size; ++i) sum = sum + static_cast<const unsigned char*>(bytes)[i];
}

struct Flat {
  uint32_t numbers[3];
};

// One call with a parameter of every kind.
using EveryRule =
    wire::Parameters<wire::Value<int>, wire::Flags<unsigned, 1u>, wire::Device, wire::Handle<CUstream>,
                     wire::Destroys<CUevent>, wire::Creates<CUevent>, wire::In<Flat>, wire::Out<int>,
                     wire::InOut<uint64_t>, wire::OutDevice, wire::CString, wire::InArray<Flat, 13>,
                     wire::OutArray<void, 14>, wire::Value<int>, wire::Value<size_t>, wire::InArray<void, 14>>;

void CarryOut(std::span<const std::byte> bytes) {
  EveryRule::Bounds bounds;
  wire::Reader reader(bytes);
  if (!EveryRule::Take(reader, &bounds)) return;
  wire::TestBinder binder;
  int object = 0;
  binder.objects[wire::MakeHandle(wire::HandleKind::kEvent, 1, 64)] = &object;
  if (EveryRule::Bind(binder, &bounds) != CUDA_SUCCESS) return;
  EveryRule::Apply(
      [&](int, unsigned, CUdevice, CUstream, CUevent, CUevent* made, const Flat* in, int* out, uint64_t* both,
          CUdevice* device, const char* text, const Flat* from, void* to, int count, size_t size, const void* blob) {
        *made = reinterpret_cast<CUevent>(&object);
        if (in != nullptr) Touch(in, sizeof *in);
        if (out != nullptr) *out = 1;
        if (both != nullptr) ++*both;
        if (device != nullptr) *device = 1;
        if (text != nullptr) Touch(text, std::strlen(text));
        if (from != nullptr && count > 0) Touch(from, static_cast<size_t>(count) * sizeof *from);
        if (to != nullptr) std::memset(to, 1, size);
        if (blob != nullptr) Touch(blob, size);
        return CUDA_SUCCESS;
      },
      &bounds);
  if (!EveryRule::Commit(binder, bounds)) return;
  std::vector<std::byte> reply(EveryRule::ReplyBytes(bounds));
  wire::Writer writer(reply.data());
  EveryRule::PutReply(writer, bounds, binder);
  Require(writer.at() == reply.data() + reply.size());
}

void ReadGpus(std::span<const std::byte> bytes) {
  const auto status = wire::DecodeLeaseStatus(bytes);
  if (!status) return;
  Require(status->gpus.size() <= outboard::kMaxDevices);
  // What was understood is encoded anew, without what is not known here, and understood again.
  Require(wire::DecodeLeaseStatus(wire::Encode(*status)).ok());
}

// A reply, for a client that has asked for a little of everything.
void TakeReply(std::span<const std::byte> bytes) {
  int out = 0;
  uint64_t both = 0;
  CUdevice device = 0;
  CUevent made = nullptr;
  std::byte to[24];
  const EveryRule::Args args{0,     0,       0,       nullptr, nullptr, &made, nullptr,   &out,
                             &both, &device, nullptr, nullptr, to,      0,     sizeof to, nullptr};
  wire::Reader reader(bytes);
  if (EveryRule::GetReply(reader, args)) Require(bytes.size() == 8 + 8 + 8 + sizeof to);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  // Aligned, as transports deliver it, and exactly as large as it is, so that a byte too far is seen.
  const auto copy = std::make_unique<std::byte[]>(size - 1);
  std::memcpy(copy.get(), data + 1, size - 1);
  const std::span<const std::byte> bytes(copy.get(), size - 1);
  switch (data[0]) {
    case 'f':
      ReadFrame(bytes);
      break;
    case 'c':
      ReadHello(bytes, wire::DecodeClientHello);
      break;
    case 'w':
      ReadHello(bytes, wire::DecodeWorkerHello);
      break;
    case 's':
      SayHello(bytes);
      break;
    case 'g':
      ReadGpus(bytes);
      break;
    case 'q':
      CarryOut(bytes);
      break;
    case 'r':
      TakeReply(bytes);
      break;
    default:
      break;
  }
  return 0;
}
