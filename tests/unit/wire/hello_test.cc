#include "common/wire/hello.h"

#include <gtest/gtest.h>

#include <cstring>

#include "common/base/limits.h"
#include "common/wire/codec.h"
#include "common/wire/frame.h"
#include "common/wire/op.h"

namespace outboard::wire {
namespace {

ClientHello SomeClient() {
  return {.major_version = kMajorVersion,
          .abi = kAbi,
          .ticket = std::string("t\0cket", 6),
          .client = "python3 (pid 4711)",
          .visible_devices = {1, 0, 2},
          .arena_begin = 0x7000'0000'0000,
          .arena_size = 1ull << 40,
          .op_hashes = {0, 17, 0, 18}};
}

WorkerHello SomeWorker() {
  DeviceInfo device{
      .name = "Test GPU", .total_memory = 80ull << 30, .pci_bus_id = "0000:3b:00.0", .attributes = {1024, 1024, 64}};
  std::memset(device.uuid.bytes, 0x5a, sizeof device.uuid.bytes);
  DeviceInfo other = device;
  other.name = "Other GPU";
  other.attributes = {};
  return {.major_version = kMajorVersion,
          .driver_version = 13000,
          .devices = {device, other},
          .session = 9,
          .resume_secret = "secret",
          .op_hashes = {0, 17}};
}

// Every strict prefix of a hello is refused.
template <class Decode>
void ExpectCutsRefused(const std::vector<std::byte>& body, Decode decode) {
  for (size_t size = 0; size < body.size(); ++size) {
    const std::vector<std::byte> cut(body.begin(), body.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_FALSE(decode(cut).ok()) << size;
  }
  std::vector<std::byte> longer = body;
  longer.resize(longer.size() + 8);
  EXPECT_FALSE(decode(longer).ok());
}

TEST(Hello, TheClientsArrives) {
  const ClientHello sent = SomeClient();
  const auto got = DecodeClientHello(Encode(sent));
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got->major_version, sent.major_version);
  EXPECT_EQ(got->abi, sent.abi);
  EXPECT_EQ(got->ticket, sent.ticket);
  EXPECT_EQ(got->client, sent.client);
  EXPECT_EQ(got->visible_devices, sent.visible_devices);
  EXPECT_EQ(got->arena_begin, sent.arena_begin);
  EXPECT_EQ(got->arena_size, sent.arena_size);
  EXPECT_EQ(got->op_hashes, sent.op_hashes);
  ExpectCutsRefused(Encode(sent), DecodeClientHello);
}

TEST(Hello, TheWorkersArrives) {
  const WorkerHello sent = SomeWorker();
  const auto got = DecodeWorkerHello(Encode(sent));
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got->result, sent.result);
  EXPECT_EQ(got->error, sent.error);
  EXPECT_EQ(got->driver_version, sent.driver_version);
  ASSERT_EQ(got->devices.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(got->devices[i].name, sent.devices[i].name);
    EXPECT_EQ(std::memcmp(&got->devices[i].uuid, &sent.devices[i].uuid, sizeof(CUuuid)), 0);
    EXPECT_EQ(got->devices[i].total_memory, sent.devices[i].total_memory);
    EXPECT_EQ(got->devices[i].pci_bus_id, sent.devices[i].pci_bus_id);
    EXPECT_EQ(got->devices[i].attributes, sent.devices[i].attributes);
  }
  EXPECT_EQ(got->session, sent.session);
  EXPECT_EQ(got->resume_secret, sent.resume_secret);
  EXPECT_EQ(got->op_hashes, sent.op_hashes);
  ExpectCutsRefused(Encode(sent), DecodeWorkerHello);
}

TEST(Hello, OfAnotherVersionOnlyTheVersionIsRead) {
  std::vector<std::byte> body(24, std::byte{0xff});
  Writer(body.data()).Put(uint32_t{kMajorVersion + 1});
  const auto client = DecodeClientHello(body);
  ASSERT_TRUE(client.ok());
  EXPECT_EQ(client->major_version, kMajorVersion + 1u);
  const auto worker = DecodeWorkerHello(body);
  ASSERT_TRUE(worker.ok());
  EXPECT_EQ(worker->major_version, kMajorVersion + 1u);
}

TEST(Hello, ALengthThatLiesTakesNoMemory) {
  // The ticket's length, then that of the devices' list, then that of the visible devices.
  for (const uint64_t lie : {~uint64_t{0}, uint64_t{1} << 62, uint64_t{1} << 32, uint64_t{4096}}) {
    auto client = Encode(SomeClient());
    std::memcpy(client.data() + 16, &lie, sizeof lie);
    EXPECT_FALSE(DecodeClientHello(client).ok()) << lie;
    auto worker = Encode(WorkerHello{.major_version = kMajorVersion});
    std::memcpy(worker.data() + 32, &lie, sizeof lie);
    EXPECT_FALSE(DecodeWorkerHello(worker).ok()) << lie;
    auto without_names = Encode(ClientHello{.major_version = kMajorVersion, .abi = kAbi});
    std::memcpy(without_names.data() + 32, &lie, sizeof lie);
    EXPECT_FALSE(DecodeClientHello(without_names).ok()) << lie;
  }
}

TEST(Hello, DevicesHaveAnEnd) {
  WorkerHello hello{.major_version = kMajorVersion, .devices = std::vector<DeviceInfo>(kMaxDevices)};
  EXPECT_TRUE(DecodeWorkerHello(Encode(hello)).ok());
  hello.devices.emplace_back();
  EXPECT_FALSE(DecodeWorkerHello(Encode(hello)).ok());
}

TEST(Hello, HashesAreFoundByNumber) {
  const std::vector<uint64_t> hashes = OpHashes();
  ASSERT_FALSE(Ops().empty());
  for (const OpInfo& info : Ops()) EXPECT_EQ(hashes.at(static_cast<size_t>(info.op)), info.hash);
  EXPECT_EQ(hashes.at(0), 0u);
}

}  // namespace
}  // namespace outboard::wire
