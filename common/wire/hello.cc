#include "common/wire/hello.h"

#include "common/base/limits.h"
#include "common/wire/codec.h"
#include "common/wire/frame.h"
#include "common/wire/message.h"
#include "common/wire/op.h"

namespace outboard::wire {
namespace {

// The fields of each struct in the order in which they travel, for writing and for reading.
template <class Hello, class Visit>
void VisitClient(Hello& hello, Visit visit) {
  visit(hello.major_version);
  visit(hello.abi);
  visit(hello.ticket);
  visit(hello.client);
  visit(hello.visible_devices);
  visit(hello.arena_begin);
  visit(hello.arena_size);
  visit(hello.op_hashes);
}

template <class Info, class Visit>
void VisitDevice(Info& info, Visit visit) {
  visit(info.name);
  visit(info.uuid);
  visit(info.total_memory);
  visit(info.pci_bus_id);
  visit(info.attributes);
}

template <class Hello, class Visit>
void VisitWorkerBeforeDevices(Hello& hello, Visit visit) {
  visit(hello.major_version);
  visit(hello.result);
  visit(hello.error);
  visit(hello.driver_version);
}

template <class Hello, class Visit>
void VisitWorkerAfterDevices(Hello& hello, Visit visit) {
  visit(hello.session);
  visit(hello.resume_secret);
  visit(hello.op_hashes);
}

// The version of a hello when it is not ours: nothing else of it can be read.
std::optional<uint32_t> OtherVersion(std::span<const std::byte> body) {
  Reader reader(body);
  uint32_t version = 0;
  if (!reader.Get(&version) || version == kMajorVersion) return std::nullopt;
  return version;
}

}  // namespace

std::vector<uint64_t> OpHashes() {
  std::vector<uint64_t> hashes;
  for (const OpInfo& info : Ops()) {
    const auto number = static_cast<size_t>(info.op);
    if (number >= hashes.size()) hashes.resize(number + 1);
    hashes[number] = info.hash;
  }
  return hashes;
}

std::vector<std::byte> Encode(const ClientHello& hello) {
  MessageWriter writer;
  VisitClient(hello, [&](const auto& field) { writer.Put(field); });
  return writer.Take();
}

std::vector<std::byte> Encode(const WorkerHello& hello) {
  MessageWriter writer;
  const auto put = [&](const auto& field) { writer.Put(field); };
  VisitWorkerBeforeDevices(hello, put);
  writer.Put(uint64_t{hello.devices.size()});
  for (const DeviceInfo& device : hello.devices) VisitDevice(device, put);
  VisitWorkerAfterDevices(hello, put);
  return writer.Take();
}

Result<ClientHello> DecodeClientHello(std::span<const std::byte> body) {
  ClientHello hello;
  if (const auto other = OtherVersion(body)) {
    hello.major_version = *other;
    return hello;
  }
  MessageReader reader(body);
  VisitClient(hello, [&](auto& field) { reader.Get(&field); });
  if (!reader.AtEnd())
    return Error{"the client's first message is malformed: it is no Outboard client, or a damaged one"};
  return hello;
}

Result<WorkerHello> DecodeWorkerHello(std::span<const std::byte> body) {
  WorkerHello hello;
  if (const auto other = OtherVersion(body)) {
    hello.major_version = *other;
    return hello;
  }
  MessageReader reader(body);
  const auto get = [&](auto& field) { reader.Get(&field); };
  VisitWorkerBeforeDevices(hello, get);
  uint64_t devices = 0;
  reader.Get(&devices);
  if (devices > kMaxDevices)
    return Error{"the worker's first message is malformed: it lists more devices than there can be"};
  for (uint64_t i = 0; i < devices && reader.ok(); ++i) VisitDevice(hello.devices.emplace_back(), get);
  VisitWorkerAfterDevices(hello, get);
  if (!reader.AtEnd())
    return Error{"the worker's first message is malformed: it is no Outboard worker, or a damaged one"};
  return hello;
}

}  // namespace outboard::wire
