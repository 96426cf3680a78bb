#include <gtest/gtest.h>

#include "common/image/fatbin.h"
#include "common/image/image.h"
#include "tests/unit/image/image_builder.h"

namespace outboard::image {
namespace {

using testing::Bytes;
using testing::EntrySpec;
using testing::Exact;
using testing::Packing;

Bytes AllForms() {
  const Bytes ptx = testing::FromText(testing::kTinyPtx);
  const Bytes elf = testing::TinyCubin();
  return testing::Fatbin(
      {{.kind = 2, .arch = 75, .content = elf},
       {.kind = 1,
        .arch = 90,
        .content = ptx,
        .packing = Packing::kZstd,
        .name = "kernels.cu",
        .flags = 0x11 | testing::kFlagArchSpecific},
       {.kind = 2, .arch = 100, .content = elf, .packing = Packing::kLz4, .flags = 0x11 | testing::kFlagFamilySpecific},
       {.kind = 8, .arch = 75, .content = Bytes(9)},
       {.kind = 77, .arch = 1, .content = Bytes(8)}});
}

TEST(Entries, TellWhatTheHeadersSay) {
  const Exact image(AllForms());
  const auto entries = Entries(image);
  ASSERT_TRUE(entries) << entries.error().message;
  ASSERT_EQ(entries->size(), 5u);

  const Entry& raw = (*entries)[0];
  EXPECT_EQ(raw.kind, EntryKind::kElf);
  EXPECT_EQ(raw.arch, 75u);
  EXPECT_EQ(raw.ptx_major, 0u) << "the field means something else for ELF";
  EXPECT_EQ(raw.name, "");
  EXPECT_FALSE(raw.arch_specific);
  EXPECT_FALSE(raw.family_specific);
  EXPECT_EQ(raw.compression, Entry::Compression::kNone);
  EXPECT_EQ(raw.size, raw.payload.size());

  const Entry& zstd = (*entries)[1];
  EXPECT_EQ(zstd.kind, EntryKind::kPtx);
  EXPECT_EQ(zstd.arch, 90u);
  EXPECT_EQ(zstd.ptx_major, 9u);
  EXPECT_EQ(zstd.ptx_minor, 3u);
  EXPECT_EQ(zstd.name, "kernels.cu");
  EXPECT_TRUE(zstd.arch_specific);
  EXPECT_FALSE(zstd.family_specific);
  EXPECT_EQ(zstd.compression, Entry::Compression::kZstd);
  EXPECT_EQ(zstd.size, testing::kTinyPtx.size());
  EXPECT_LT(zstd.payload.size(), zstd.size);

  const Entry& lz4 = (*entries)[2];
  EXPECT_EQ(lz4.arch, 100u);
  EXPECT_FALSE(lz4.arch_specific);
  EXPECT_TRUE(lz4.family_specific);
  EXPECT_EQ(lz4.compression, Entry::Compression::kLz4);
  EXPECT_EQ(lz4.size, testing::TinyCubin().size());

  EXPECT_EQ((*entries)[3].kind, EntryKind::kLto);
  EXPECT_EQ((*entries)[3].size, 16u) << "padding belongs to an uncompressed entry";
  EXPECT_EQ(static_cast<int>((*entries)[4].kind), 77) << "unknown kinds are told, not refused";
}

TEST(Entries, BytesBehindTheFatbinAreIgnored) {
  Bytes image = AllForms();
  image.resize(image.size() + 5, std::byte{0xff});
  const auto entries = Entries(Exact(image));
  ASSERT_TRUE(entries) << entries.error().message;
  EXPECT_EQ(entries->size(), 5u);
}

TEST(Entries, EmptyFatbinHasNone) {
  const auto entries = Entries(Exact(testing::Fatbin({})));
  ASSERT_TRUE(entries) << entries.error().message;
  EXPECT_TRUE(entries->empty());
}

TEST(Entries, EveryTruncationIsRefused) {
  const Bytes image = AllForms();
  for (size_t size = 4; size < image.size(); ++size) {
    EXPECT_FALSE(Entries(Exact(image, size))) << size << " of " << image.size() << " bytes";
  }
  EXPECT_FALSE(Entries({}));
}

TEST(Entries, EveryTruncationWithAHeaderThatMatchesIsRefused) {
  const Bytes image = testing::Fatbin({{.kind = 1, .content = Bytes(24), .name = "name"}});
  for (size_t size = testing::at::kFirstEntry + 1; size < image.size(); ++size) {
    Bytes shorter(image.begin(), image.begin() + size);
    testing::Patch(shorter, testing::at::kFatbinPayloadSize, uint64_t{size - testing::at::kFirstEntry});
    EXPECT_FALSE(Entries(Exact(shorter))) << size << " of " << image.size() << " bytes";
  }
}

template <class T>
void ExpectRefused(size_t offset_in_entry, T value) {
  Bytes image = testing::Fatbin(
      {{.kind = 1, .content = testing::FromText(testing::kTinyPtx), .packing = Packing::kLz4, .name = "name"}});
  ASSERT_TRUE(Entries(Exact(image)));
  testing::Patch(image, testing::at::kFirstEntry + offset_in_entry, value);
  const auto entries = Entries(Exact(image));
  ASSERT_FALSE(entries) << "offset " << offset_in_entry << " value " << value;
  EXPECT_NE(entries.error().message.find("Entry 0"), std::string::npos) << entries.error().message;
}

TEST(Entries, LyingSizesAreRefused) {
  for (const uint32_t size : {0u, 63u, 1u << 20, UINT32_MAX}) ExpectRefused(testing::at::kHeaderSize, size);
  for (const uint64_t size : {uint64_t{1} << 20, UINT64_MAX, UINT64_MAX - 71, UINT64_MAX - 63}) {
    ExpectRefused(testing::at::kPayloadSize, size);
  }
  for (const uint32_t size : {4096u, UINT32_MAX}) ExpectRefused(testing::at::kCompressedSize, size);
  for (const uint32_t offset : {69u, 73u, UINT32_MAX, UINT32_MAX - 3}) ExpectRefused(testing::at::kNameOffset, offset);
  for (const uint32_t size : {9u, UINT32_MAX}) ExpectRefused(testing::at::kNameSize, size);
  ExpectRefused(testing::at::kVersion, uint16_t{0x0201});
}

TEST(Entries, HeaderTooSmallForItsFieldsIsRefused) {
  for (const uint32_t size : {0u, 8u, 63u}) {
    Bytes image = testing::Fatbin({{.kind = 1, .content = Bytes(64)}});
    testing::Patch(image, testing::at::kFirstEntry + testing::at::kHeaderSize, size);
    testing::Patch(image, testing::at::kFirstEntry + testing::at::kPayloadSize, uint64_t{128 - size});
    EXPECT_FALSE(Entries(Exact(image))) << size;
  }
}

TEST(Entries, UnknownCompressionIsToldNotRefused) {
  for (const uint64_t flags : {uint64_t{0x11}, testing::kFlagLz4 | testing::kFlagZstd}) {
    Bytes image = testing::Fatbin({{.kind = 1, .content = Bytes(100), .packing = Packing::kLz4}});
    testing::Patch(image, testing::at::kFirstEntry + testing::at::kFlags, flags);
    const auto entries = Entries(image);
    ASSERT_TRUE(entries) << entries.error().message;
    EXPECT_EQ((*entries)[0].compression, Entry::Compression::kUnknown);
  }
}

TEST(Entries, TheirNumberIsLimited) {
  std::vector<EntrySpec> specs(kMaxFatbinEntries, {.kind = 1, .content = {}});
  EXPECT_TRUE(Entries(testing::Fatbin(specs)));
  specs.push_back(specs[0]);
  EXPECT_FALSE(Entries(testing::Fatbin(specs)));
}

TEST(Entries, BareElfIsOne) {
  for (const auto& [abi, flags] : {std::pair<uint8_t, uint32_t>{7, 0x5a055a}, {8, 0x06005a04}}) {
    const Exact image(testing::CubinBuilder().Build(abi, flags));
    const auto entries = Entries(image);
    ASSERT_TRUE(entries) << entries.error().message;
    ASSERT_EQ(entries->size(), 1u);
    EXPECT_EQ((*entries)[0].kind, EntryKind::kElf);
    EXPECT_EQ((*entries)[0].arch, 90u);
    EXPECT_EQ((*entries)[0].payload.data(), image.data());
    EXPECT_EQ((*entries)[0].size, image.size());
    EXPECT_EQ((*entries)[0].compression, Entry::Compression::kNone);
  }
}

TEST(Entries, BareElfThatDoesNotSayItsArchitecture) {
  EXPECT_EQ((*Entries(testing::CubinBuilder().Build(9, 0x5a5a5a5a)))[0].arch, 0u);
  Bytes host = testing::CubinBuilder().Build();
  testing::Patch(host, offsetof(Elf64_Ehdr, e_machine), uint16_t{EM_X86_64});
  EXPECT_EQ((*Entries(host))[0].arch, 0u);
  EXPECT_EQ((*Entries(Exact(host, 10)))[0].arch, 0u);
}

TEST(Entries, BarePtxIsOne) {
  struct Case {
    const char* text;
    uint32_t major, minor, arch;
    bool arch_specific, family_specific;
  };
  for (const Case& expected :
       {Case{".version 8.7\n.target sm_90a\n", 8, 7, 90, true, false},
        Case{"// made by hand\n.version 9.0 .target sm_120f, debug", 9, 0, 120, false, true},
        Case{"/**/.version 7.0\n.target compute_75", 7, 0, 75, false, false}, Case{".version 9", 9, 0, 0, false, false},
        Case{".version 9.1 .entry", 9, 1, 0, false, false}, Case{"hello", 0, 0, 0, false, false}}) {
    const Exact image(testing::FromText(expected.text));
    const auto entries = Entries(image);
    ASSERT_TRUE(entries) << entries.error().message;
    ASSERT_EQ(entries->size(), 1u);
    const Entry& entry = (*entries)[0];
    EXPECT_EQ(entry.kind, EntryKind::kPtx);
    EXPECT_EQ(entry.ptx_major, expected.major) << expected.text;
    EXPECT_EQ(entry.ptx_minor, expected.minor) << expected.text;
    EXPECT_EQ(entry.arch, expected.arch) << expected.text;
    EXPECT_EQ(entry.arch_specific, expected.arch_specific) << expected.text;
    EXPECT_EQ(entry.family_specific, expected.family_specific) << expected.text;
    EXPECT_EQ(entry.payload.size(), image.size());
  }
}

TEST(Entries, OfALinkedFatbinAreItsTexts) {
  const NamedText texts[] = {{"a.ptx", "first"}, {"", "the second text"}, {"library.a:member.o", ""}};
  const auto image = MakeLinkedFatbin(texts);
  const auto located = Locate(image.data());
  ASSERT_TRUE(located) << located.error().message;
  ASSERT_EQ(located->images.size(), 1u);
  EXPECT_EQ(located->images[0].size, image.size());
  const auto entries = Entries(image);
  ASSERT_TRUE(entries) << entries.error().message;
  ASSERT_EQ(entries->size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ((*entries)[i].kind, EntryKind::kLinkedPtx);
    EXPECT_EQ((*entries)[i].name, texts[i].name);
    const auto bytes = Unpack((*entries)[i]);
    ASSERT_TRUE(bytes) << bytes.error().message;
    EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(bytes->data()), bytes->size()), texts[i].text);
  }
}

}  // namespace
}  // namespace outboard::image
