#include "common/interop/validity.h"

#include <gtest/gtest.h>

#include <set>

#if OUTBOARD_RUNTIME_INTEROP

namespace outboard::interop {
namespace {

constexpr uint32_t kVersion = 13002;
constexpr uint64_t kSeconds = 1700000000;

CUuuid UuidFrom(int first) {
  CUuuid id;
  for (int i = 0; i < 16; ++i) id.bytes[i] = static_cast<char>(first + i);
  return id;
}

ValidityFacts SomeFacts() {
  return {
      .driver_version = 13000,
      .process = 4711,
      .thread = 0xf7c01000,
      .cudart_table = reinterpret_cast<const void*>(0x7f0000001000),
      .validity_table = reinterpret_cast<const void*>(0x7f0000002000),
      .validity_function = reinterpret_cast<const void*>(0x7f0000003000),
      .devices = {{UuidFrom(0x10), 0, 3, 0}, {UuidFrom(0xf0), 1, 0x41, 2}},
  };
}

// Made with Python's hmac module over another implementation of MD2. That a runtime accepts such an answer is what
// every program of tests/programs shows.
TEST(Validity, GivesTheSameAnswerForTheSameFacts) {
  const ValidityAnswer expected = {0x81ed6b652dc1faca, 0x5baa996283e8bd5d};
  EXPECT_EQ(AnswerValidity(kVersion, kSeconds, SomeFacts()), expected);
  EXPECT_EQ(AnswerValidity(kVersion, kSeconds, SomeFacts()), expected);
}

TEST(Validity, ChangesWithEveryFact) {
  std::set<ValidityAnswer> answers = {AnswerValidity(kVersion, kSeconds, SomeFacts())};
  const auto expect_new = [&answers](const char* what, uint32_t version, uint64_t seconds, const ValidityFacts& facts) {
    EXPECT_TRUE(answers.insert(AnswerValidity(version, seconds, facts)).second) << what;
  };
  const auto expect_new_facts = [&](const char* what, auto change) {
    ValidityFacts facts = SomeFacts();
    change(facts);
    expect_new(what, kVersion, kSeconds, facts);
  };
  const auto other = reinterpret_cast<const void*>(0x7f0000001008);

  expect_new("version", kVersion + 10, kSeconds, SomeFacts());
  expect_new("seconds", kVersion, kSeconds + 1, SomeFacts());
  expect_new("seconds, high half", kVersion, kSeconds + (uint64_t{1} << 32), SomeFacts());
  expect_new_facts("driver version", [](ValidityFacts& facts) { facts.driver_version += 10; });
  expect_new_facts("process", [](ValidityFacts& facts) { ++facts.process; });
  expect_new_facts("thread", [](ValidityFacts& facts) { facts.thread ^= 0x80000000; });
  expect_new_facts("runtime's table", [&](ValidityFacts& facts) { facts.cudart_table = other; });
  expect_new_facts("own table", [&](ValidityFacts& facts) { facts.validity_table = other; });
  expect_new_facts("own function", [&](ValidityFacts& facts) { facts.validity_function = other; });
  expect_new_facts("UUID", [](ValidityFacts& facts) { facts.devices[0].uuid.bytes[15] ^= 1; });
  expect_new_facts("PCI domain", [](ValidityFacts& facts) { ++facts.devices[0].pci_domain; });
  expect_new_facts("PCI bus", [](ValidityFacts& facts) { ++facts.devices[0].pci_bus; });
  expect_new_facts("PCI device", [](ValidityFacts& facts) { ++facts.devices[0].pci_device; });
  expect_new_facts("second device", [](ValidityFacts& facts) { ++facts.devices[1].pci_bus; });
  expect_new_facts("order of devices", [](ValidityFacts& facts) { std::swap(facts.devices[0], facts.devices[1]); });
  expect_new_facts("one device", [](ValidityFacts& facts) { facts.devices.pop_back(); });
  expect_new_facts("no device", [](ValidityFacts& facts) { facts.devices.clear(); });
}

TEST(Validity, AnswersTheFirstTwoQuestionsWithoutFacts) {
  const ValidityAnswer first = AnswerValidity(13000, kSeconds, {});
  const ValidityAnswer second = AnswerValidity(13001, kSeconds, {});
  EXPECT_NE(first, second);
  EXPECT_EQ(AnswerValidity(13010, 0, SomeFacts()), first);
  EXPECT_EQ(AnswerValidity(13011, 0, SomeFacts()), second);
}

}  // namespace
}  // namespace outboard::interop

#endif
