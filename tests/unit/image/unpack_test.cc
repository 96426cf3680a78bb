#include <gtest/gtest.h>

#include "common/image/image.h"
#include "tests/unit/image/image_builder.h"

namespace outboard::image {
namespace {

using testing::Bytes;
using testing::Exact;
using testing::Packing;

constexpr Packing kPackings[] = {Packing::kRaw, Packing::kLz4, Packing::kZstd};

// Unpacks the only entry of a fatbin.
Result<Bytes> UnpackOnly(const Bytes& fatbin, uint64_t max_bytes = kMaxImageBytes) {
  const Exact image(fatbin);
  const auto entries = Entries(image);
  if (!entries) return entries.error();
  return Unpack(entries->at(0), max_bytes);
}

TEST(Unpack, PtxComesWithoutTrailingNuls) {
  for (const Packing packing : kPackings) {
    for (const size_t nuls : {0, 1, 9}) {
      Bytes content = testing::FromText(testing::kTinyPtx);
      content.resize(content.size() + nuls);
      const auto text = UnpackOnly(testing::Fatbin({{.kind = 1, .content = content, .packing = packing}}));
      ASSERT_TRUE(text) << text.error().message;
      EXPECT_EQ(testing::ToText(*text), testing::kTinyPtx);
    }
  }
}

TEST(Unpack, ElfComesAsItIs) {
  Bytes content = testing::TinyCubin();
  content.resize((content.size() + 15) / 8 * 8);
  for (const Packing packing : kPackings) {
    const auto elf = UnpackOnly(testing::Fatbin({{.kind = 2, .content = content, .packing = packing}}));
    ASSERT_TRUE(elf) << elf.error().message;
    EXPECT_EQ(*elf, content);
  }
}

TEST(Unpack, LongAndEmptyContents) {
  Bytes large(3 << 20);
  for (size_t i = 0; i < large.size(); ++i) large[i] = static_cast<std::byte>((i * i) >> 7);
  for (const Packing packing : kPackings) {
    const auto same = UnpackOnly(testing::Fatbin({{.kind = 2, .content = large, .packing = packing}}));
    ASSERT_TRUE(same) << same.error().message;
    EXPECT_EQ(*same, large);
    const auto empty = UnpackOnly(testing::Fatbin({{.kind = 1, .content = {}, .packing = packing}}));
    ASSERT_TRUE(empty) << empty.error().message;
    EXPECT_TRUE(empty->empty());
  }
}

TEST(Unpack, LimitIsExact) {
  const Bytes content(1000, std::byte{7});
  for (const Packing packing : kPackings) {
    const Bytes fatbin = testing::Fatbin({{.kind = 2, .content = content, .packing = packing}});
    EXPECT_TRUE(UnpackOnly(fatbin, 1000));
    EXPECT_FALSE(UnpackOnly(fatbin, 999));
  }
}

TEST(Unpack, SizeThatLiesIsRefused) {
  const Bytes content = testing::FromText(testing::kTinyPtx);
  for (const Packing packing : {Packing::kLz4, Packing::kZstd}) {
    for (const uint64_t size :
         {uint64_t{0}, content.size() - 1, content.size() + 1, kMaxImageBytes, kMaxImageBytes + 1, UINT64_MAX}) {
      Bytes fatbin = testing::Fatbin({{.kind = 1, .content = content, .packing = packing}});
      testing::Patch(fatbin, testing::at::kFirstEntry + testing::at::kUncompressedSize, size);
      EXPECT_FALSE(UnpackOnly(fatbin)) << size;
    }
  }
}

TEST(Unpack, ImpossibleSizeIsRefusedBeforeItGetsMemory) {
  Bytes fatbin = testing::Fatbin({{.kind = 1, .content = Bytes(100), .packing = Packing::kLz4}});
  testing::Patch(fatbin, testing::at::kFirstEntry + testing::at::kUncompressedSize, kMaxImageBytes);
  const auto text = UnpackOnly(fatbin);
  ASSERT_FALSE(text);
  EXPECT_NE(text.error().message.find("cannot unpack"), std::string::npos) << text.error().message;
}

TEST(Unpack, EveryTruncationOfThePayloadIsRefused) {
  const Bytes content = testing::FromText(testing::kTinyPtx);
  for (const Packing packing : {Packing::kLz4, Packing::kZstd}) {
    const uint32_t packed_size = static_cast<uint32_t>(testing::Pack(content, packing).size());
    for (uint32_t size = 1; size < packed_size; ++size) {
      Bytes fatbin = testing::Fatbin({{.kind = 1, .content = content, .packing = packing}});
      testing::Patch(fatbin, testing::at::kFirstEntry + testing::at::kCompressedSize, size);
      EXPECT_FALSE(UnpackOnly(fatbin)) << size << " of " << packed_size;
    }
  }
}

TEST(Unpack, EveryDamagedByteIsSafe) {
  const Bytes content = testing::FromText(testing::kTinyPtx);
  for (const Packing packing : {Packing::kLz4, Packing::kZstd}) {
    const Bytes good = testing::Fatbin({{.kind = 1, .content = content, .packing = packing}});
    size_t refused = 0;
    for (size_t i = testing::at::kFirstEntry + 64; i < good.size(); ++i) {
      Bytes fatbin = good;
      fatbin[i] ^= std::byte{0xff};
      refused += !UnpackOnly(fatbin);
    }
    EXPECT_GT(refused, 0u);
  }
}

// A payload that really unpacks to very much is only stopped by the limit.
TEST(Unpack, BombIsStoppedByTheLimit) {
  const Bytes zeros(64 << 20);
  for (const Packing packing : {Packing::kLz4, Packing::kZstd}) {
    const Bytes fatbin = testing::Fatbin({{.kind = 2, .content = zeros, .packing = packing}});
    EXPECT_LT(fatbin.size(), zeros.size() / 100);
    EXPECT_FALSE(UnpackOnly(fatbin, 1 << 20));
    const auto all = UnpackOnly(fatbin);
    ASSERT_TRUE(all) << all.error().message;
    EXPECT_EQ(all->size(), zeros.size());
  }
}

TEST(Unpack, UnknownCompressionIsRefused) {
  Bytes fatbin = testing::Fatbin({{.kind = 1, .content = Bytes(100), .packing = Packing::kLz4}});
  testing::Patch(fatbin, testing::at::kFirstEntry + testing::at::kFlags, uint64_t{0x11});
  EXPECT_FALSE(UnpackOnly(fatbin));
}

TEST(Unpack, WrongCompressionIsRefused) {
  Bytes fatbin = testing::Fatbin({{.kind = 1, .content = Bytes(100), .packing = Packing::kLz4}});
  testing::Patch(fatbin, testing::at::kFirstEntry + testing::at::kFlags, testing::kFlagZstd);
  EXPECT_FALSE(UnpackOnly(fatbin));
}

}  // namespace
}  // namespace outboard::image
