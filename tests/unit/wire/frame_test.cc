#include "common/wire/frame.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <vector>

#include "common/wire/codec.h"
#include "common/wire/handle.h"
#include "common/wire/preamble.h"

namespace outboard::wire {
namespace {

std::vector<std::byte> FromHex(std::string_view hex) {
  std::vector<std::byte> bytes;
  std::string digits;
  for (const char letter : hex) {
    if (letter == ' ') continue;
    digits += letter;
    if (digits.size() < 2) continue;
    bytes.push_back(static_cast<std::byte>(std::stoi(digits, nullptr, 16)));
    digits.clear();
  }
  return bytes;
}

// The frame of docs/wire.md: cuEventRecord without waiting, then cuCtxSynchronize.
std::vector<std::byte> DocumentedFrame() {
  return FromHex(
      "4f 42 46 31 60 00 00 00 02 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00 02 00 00 00 00 00 00 00"
      "28 00 00 00 0e 00 00 00 01 00 00 00 00 00 00 00 00 00 00 00 01 00 00 b1"
      "40 00 00 00 01 00 00 b3 01 00 00 00 00 00 00 00"
      "18 00 00 00 05 00 03 00 02 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00");
}

TEST(Frame, IsReadAsDocumented) {
  const auto frame = DocumentedFrame();
  auto reader = FrameReader::Open(frame);
  ASSERT_TRUE(reader);
  EXPECT_EQ(reader->header().first, 2u);
  EXPECT_EQ(reader->header().acknowledged, 1u);
  EXPECT_EQ(reader->header().count, 2u);
  const auto record = reader->Next();
  ASSERT_TRUE(record);
  EXPECT_EQ(record->sequence, 2u);
  EXPECT_EQ(record->header.op, 14u);
  EXPECT_EQ(record->header.flags, 0u);
  EXPECT_EQ(record->header.lane, 1u);
  EXPECT_EQ(record->header.context, PrimaryContextHandle(0));
  ASSERT_EQ(record->body.size(), 16u);
  Reader body(record->body);
  HandleId event = 0, stream = 0;
  EXPECT_TRUE(body.Get(&event) && body.Get(&stream) && body.AtEnd());
  EXPECT_EQ(event, MakeHandle(HandleKind::kEvent, 1, 64));
  EXPECT_EQ(stream, 1u);
  const auto waits = reader->Next();
  ASSERT_TRUE(waits);
  EXPECT_EQ(waits->sequence, 3u);
  EXPECT_EQ(waits->header.flags, kWantsReply | kTakesEarlier);
  EXPECT_TRUE(waits->body.empty());
  EXPECT_FALSE(reader->Next());
}

TEST(Frame, EveryCutIsMalformed) {
  const auto frame = DocumentedFrame();
  for (size_t size = 0; size < frame.size(); ++size) {
    EXPECT_FALSE(FrameReader::Open({frame.data(), size})) << size;
    // Also when the header agrees.
    auto cut = std::vector<std::byte>(frame.begin(), frame.begin() + static_cast<ptrdiff_t>(size));
    if (size < sizeof(FrameHeader)) continue;
    const auto bytes = static_cast<uint32_t>(size);
    std::memcpy(cut.data() + offsetof(FrameHeader, bytes), &bytes, sizeof bytes);
    EXPECT_FALSE(FrameReader::Open(cut)) << size;
  }
}

TEST(Frame, WhatDoesNotAddUpIsMalformed) {
  struct Fault {
    const char* name;
    size_t offset;
    uint32_t value;
  };
  const size_t command = sizeof(FrameHeader);
  const Fault faults[] = {
      {"magic", 0, 0x32464f42},
      {"bytes too few", offsetof(FrameHeader, bytes), 88},
      {"bytes too many", offsetof(FrameHeader, bytes), 104},
      {"numbered from 0", offsetof(FrameHeader, first), 0},
      {"count too small", offsetof(FrameHeader, count), 1},
      {"count too large", offsetof(FrameHeader, count), 3},
      {"reserved", offsetof(FrameHeader, reserved), 1},
      {"command shorter than its header", command, 16},
      {"command not a multiple of 8", command, 44},
      {"command past the end", command, 72},
      {"command's length wraps", command, 0xfffffff8},
      {"flag that is none", command + offsetof(CommandHeader, op), 14 | 4u << 16},
      {"command's reserved field", command + offsetof(CommandHeader, device), 1},
  };
  for (const Fault& fault : faults) {
    auto frame = DocumentedFrame();
    std::memcpy(frame.data() + fault.offset, &fault.value, sizeof fault.value);
    EXPECT_FALSE(FrameReader::Open(frame)) << fault.name;
  }
}

TEST(Frame, NumbersDoNotWrap) {
  auto frame = DocumentedFrame();
  const uint64_t last = UINT64_MAX - 1;
  std::memcpy(frame.data() + offsetof(FrameHeader, first), &last, sizeof last);
  EXPECT_FALSE(FrameReader::Open(frame));
}

TEST(Frame, MayOnlyAcknowledge) {
  const FrameHeader header{.magic = kFrameMagic, .bytes = sizeof(FrameHeader), .first = 5, .acknowledged = 9};
  auto reader = FrameReader::Open(std::as_bytes(std::span(&header, 1)));
  ASSERT_TRUE(reader);
  EXPECT_EQ(reader->header().acknowledged, 9u);
  EXPECT_FALSE(reader->Next());
}

TEST(Frame, HasALargestSize) {
  std::vector<std::byte> frame(kMaxFrameBytes + 8);
  const auto fits = [&](size_t size) {
    const FrameHeader header{.magic = kFrameMagic, .bytes = static_cast<uint32_t>(size), .first = 1, .count = 1};
    const CommandHeader command{.bytes = static_cast<uint32_t>(size - sizeof header)};
    std::memcpy(frame.data(), &header, sizeof header);
    std::memcpy(frame.data() + sizeof header, &command, sizeof command);
    return FrameReader::Open({frame.data(), size}).has_value();
  };
  EXPECT_TRUE(fits(kMaxFrameBytes));
  EXPECT_FALSE(fits(kMaxFrameBytes + 8));
}

TEST(Preamble, LiesAsDocumented) {
  const Preamble preamble{.kind = ConnectionKind::kSession, .ticket_bytes = 32};
  const auto bytes = std::as_bytes(std::span(&preamble, 1));
  EXPECT_EQ(std::vector<std::byte>(bytes.begin(), bytes.end()),
            FromHex("4f 55 54 42 4f 41 52 44 01 00 00 00 02 00 00 00 20 00 00 00 00 00 00 00"));
}

TEST(Codec, PadsWithZeros) {
  std::vector<std::byte> bytes(24, std::byte{0xee});
  Writer writer(bytes.data());
  writer.Put(uint32_t{0x01020304});
  writer.PutBytes("abcdefghi", 9);
  EXPECT_EQ(bytes, FromHex("04 03 02 01 00 00 00 00 61 62 63 64 65 66 67 68 69 00 00 00 00 00 00 00"));
  EXPECT_EQ(writer.at(), bytes.data() + 24);
}

TEST(Codec, AFailureToReadStays) {
  const std::vector<std::byte> bytes(16, std::byte{1});
  Reader reader(bytes);
  uint64_t value = 7;
  EXPECT_EQ(reader.Take(17), nullptr);
  EXPECT_FALSE(reader.Get(&value));
  EXPECT_EQ(value, 7u);
  EXPECT_FALSE(reader.ok());
  EXPECT_FALSE(reader.AtEnd());
}

TEST(Codec, PaddingHasToBeThere) {
  const std::vector<std::byte> bytes(12);
  Reader reader(bytes);
  EXPECT_NE(reader.Take(3), nullptr);
  EXPECT_EQ(reader.Take(3), nullptr);
  Reader huge(bytes);
  EXPECT_EQ(huge.Take(UINT64_MAX - 3), nullptr);
}

TEST(Handles, KeepKindGenerationAndSlot) {
  for (int kind = 1; kind < kHandleKinds; ++kind) {
    const HandleId id = MakeHandle(static_cast<HandleKind>(kind), kMaxGeneration, 0xfedcba98);
    EXPECT_EQ(KindOf(id), static_cast<HandleKind>(kind));
    EXPECT_EQ(GenerationOf(id), kMaxGeneration);
    EXPECT_EQ(SlotOf(id), 0xfedcba98u);
    // Not canonical: who follows it as a pointer faults.
    EXPECT_NE(static_cast<int64_t>(id << 16) >> 16, static_cast<int64_t>(id));
  }
  EXPECT_EQ(KindOf(0), HandleKind::kNone);
  EXPECT_EQ(KindOf(uint64_t{0xB0} << 56), HandleKind::kNone);
  EXPECT_EQ(KindOf(uint64_t{0xB0 + kHandleKinds} << 56), HandleKind::kNone);
}

}  // namespace
}  // namespace outboard::wire
