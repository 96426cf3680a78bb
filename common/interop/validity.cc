#include "common/interop/validity.h"

#include <cstring>

#include "common/interop/md2.h"

namespace outboard::interop {
namespace {

constexpr Digest kKey = {0x14, 0x6a, 0xdd, 0xae, 0x53, 0xa9, 0xa7, 0x52,
                         0xaa, 0x08, 0x41, 0x36, 0x0b, 0xf5, 0x5a, 0x9f};

// A runtime asks three times, with its version plus 0, 1 and 2. The first two answers are fixed.
constexpr ValidityAnswer kFirstAnswer = {0x3341181c03cb675c, 0x8ed383aa1f4cd1e8};
constexpr ValidityAnswer kSecondAnswer = {0x1841181c03cb675c, 0x8ed383aa1f4cd1e8};

template <class T>
void Append(std::vector<uint8_t>* message, const T& value) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&value);
  message->insert(message->end(), bytes, bytes + sizeof value);
}

}  // namespace

ValidityAnswer AnswerValidity(uint32_t version, uint64_t seconds, const ValidityFacts& facts) {
  if (version % 10 == 0) return kFirstAnswer;
  if (version % 10 == 1) return kSecondAnswer;

  std::vector<uint8_t> message;
  Append(&message, facts.driver_version);
  Append(&message, version);
  Append(&message, facts.process);
  Append(&message, facts.thread);
  Append(&message, facts.cudart_table);
  Append(&message, facts.validity_table);
  Append(&message, facts.validity_function);
  Append(&message, seconds);
  for (const DeviceIdentity& device : facts.devices) {
    Append(&message, device.uuid);
    Append(&message, device.pci_domain);
    Append(&message, device.pci_bus);
    Append(&message, device.pci_device);
  }
  const Digest digest = HmacMd2(kKey, message);
  ValidityAnswer answer;
  static_assert(sizeof answer == sizeof digest);
  std::memcpy(answer.data(), digest.data(), sizeof answer);
  return answer;
}

}  // namespace outboard::interop
