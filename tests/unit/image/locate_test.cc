#include <gtest/gtest.h>

#include "common/image/image.h"
#include "tests/unit/image/image_builder.h"

namespace outboard::image {
namespace {

using testing::Bytes;
using testing::Exact;

struct Wrapper {
  uint32_t magic = 0x466243B1;
  uint32_t version = 1;
  const void* fatbin = nullptr;
  const void* extra = nullptr;
};

Bytes SmallFatbin(std::string_view ptx = testing::kTinyPtx) {
  return testing::Fatbin({{.kind = 1, .content = testing::FromText(ptx)}});
}

void ExpectOneImage(const Result<Located>& located, Form form, const void* data, size_t size) {
  ASSERT_TRUE(located) << located.error().message;
  EXPECT_EQ(located->form, form);
  ASSERT_EQ(located->images.size(), 1u);
  EXPECT_EQ(located->images[0].data, data);
  EXPECT_EQ(located->images[0].size, size);
}

TEST(Locate, RefusesWhatIsNoImage) {
  EXPECT_FALSE(Locate(nullptr));
  EXPECT_FALSE(Locate(""));
  EXPECT_FALSE(Locate("\x01garbage"));
  EXPECT_FALSE(Locate("\x80garbage"));
}

TEST(Locate, PtxEndsBehindItsNul) {
  Bytes text = testing::FromText(testing::kTinyPtx);
  text.push_back(std::byte{0});
  const Exact code(text);
  ExpectOneImage(Locate(code.data()), Form::kPtx, code.data(), testing::kTinyPtx.size() + 1);
}

TEST(Locate, TextShorterThanAMagicNumber) {
  for (const std::string text : {"/", "P", "\n\t", " .v"}) {
    const Exact code(testing::FromText(text + '\0'));
    ExpectOneImage(Locate(code.data()), Form::kPtx, code.data(), text.size() + 1);
  }
  const Exact almost_elf(testing::FromText(std::string("\177EL\0", 4)));
  EXPECT_FALSE(Locate(almost_elf.data()));
}

TEST(Locate, FatbinIsHeaderAndPayload) {
  const Bytes fatbin = SmallFatbin();
  const Exact code(fatbin);
  ExpectOneImage(Locate(code.data()), Form::kFatbin, code.data(), fatbin.size());
}

TEST(Locate, FatbinWithoutEntries) {
  const Exact code(testing::Fatbin({}));
  ExpectOneImage(Locate(code.data()), Form::kFatbin, code.data(), 16);
}

TEST(Locate, NothingNeedsAlignment) {
  Bytes shifted(1);
  testing::Append(shifted, SmallFatbin());
  const Exact code(shifted);
  ExpectOneImage(Locate(code.data() + 1), Form::kFatbin, code.data() + 1, shifted.size() - 1);
}

TEST(Locate, FatbinHeaderThatLies) {
  Bytes fatbin = SmallFatbin();
  testing::Patch(fatbin, testing::at::kFatbinPayloadSize, kMaxImageBytes - 16);
  const Result<Located> largest = Locate(fatbin.data());
  ASSERT_TRUE(largest);
  EXPECT_EQ(largest->images[0].size, kMaxImageBytes);
  for (const uint64_t payload : {kMaxImageBytes - 15, UINT64_MAX, UINT64_MAX - 15}) {
    testing::Patch(fatbin, testing::at::kFatbinPayloadSize, payload);
    EXPECT_FALSE(Locate(fatbin.data())) << payload;
  }

  fatbin = SmallFatbin();
  testing::Patch(fatbin, testing::at::kFatbinVersion, uint16_t{2});
  EXPECT_FALSE(Locate(fatbin.data()));
  fatbin = SmallFatbin();
  testing::Patch(fatbin, testing::at::kFatbinHeaderSize, uint16_t{15});
  EXPECT_FALSE(Locate(fatbin.data()));
}

TEST(Locate, WrapperVersion1LeadsToOneFatbin) {
  const Exact fatbin(SmallFatbin());
  const Wrapper wrapper{.fatbin = fatbin.data(), .extra = &fatbin};
  ExpectOneImage(Locate(&wrapper), Form::kWrapper, fatbin.data(), fatbin.size());
}

TEST(Locate, WrapperVersion2ListsPrelinkedFatbins) {
  const Exact linked(testing::Fatbin({}));
  const Exact first(SmallFatbin());
  const Exact second(SmallFatbin(".version 9.0"));
  const void* list[] = {first.data(), second.data(), nullptr};
  const Wrapper wrapper{.version = 2, .fatbin = linked.data(), .extra = list};
  const Result<Located> located = Locate(&wrapper);
  ASSERT_TRUE(located) << located.error().message;
  EXPECT_EQ(located->form, Form::kWrapper);
  ASSERT_EQ(located->images.size(), 3u);
  const Exact* expected[] = {&linked, &first, &second};
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(located->images[i].data, expected[i]->data());
    EXPECT_EQ(located->images[i].size, expected[i]->size());
  }
}

TEST(Locate, WrapperVersion2WithoutPrelinkedFatbins) {
  const Exact fatbin(SmallFatbin());
  const void* empty[] = {nullptr};
  const Wrapper with_list{.version = 2, .fatbin = fatbin.data(), .extra = empty};
  ExpectOneImage(Locate(&with_list), Form::kWrapper, fatbin.data(), fatbin.size());
  const Wrapper without{.version = 2, .fatbin = fatbin.data()};
  ExpectOneImage(Locate(&without), Form::kWrapper, fatbin.data(), fatbin.size());
}

TEST(Locate, WrapperThatLeadsNowhere) {
  const Exact fatbin(SmallFatbin());
  const Exact junk(Bytes(16, std::byte{0x55}));
  const void* list[] = {junk.data(), nullptr};
  for (const Wrapper& wrapper :
       {Wrapper{.fatbin = nullptr}, Wrapper{.fatbin = junk.data()}, Wrapper{.version = 0, .fatbin = fatbin.data()},
        Wrapper{.version = 3, .fatbin = fatbin.data()},
        Wrapper{.version = 2, .fatbin = fatbin.data(), .extra = list}}) {
    EXPECT_FALSE(Locate(&wrapper));
  }
}

TEST(Locate, WrapperListIsLimited) {
  const Exact fatbin(SmallFatbin());
  std::vector<const void*> list(kMaxPrelinkedImages, fatbin.data());
  list.push_back(nullptr);
  const Wrapper full{.version = 2, .fatbin = fatbin.data(), .extra = list.data()};
  const Result<Located> located = Locate(&full);
  ASSERT_TRUE(located) << located.error().message;
  EXPECT_EQ(located->images.size(), kMaxPrelinkedImages + 1);

  list.insert(list.begin(), fatbin.data());
  const Wrapper overfull{.version = 2, .fatbin = fatbin.data(), .extra = list.data()};
  EXPECT_FALSE(Locate(&overfull));
}

TEST(Locate, ElfEndsBehindItsSectionTable) {
  const Exact code(testing::TinyCubin());
  ExpectOneImage(Locate(code.data()), Form::kElf, code.data(), code.size());
}

TEST(Locate, ElfEndsBehindItsLastSection) {
  Bytes file = testing::CubinBuilder().Section("last", Bytes(24)).Build();
  const auto header = *reinterpret_cast<const Elf64_Ehdr*>(file.data());
  const size_t end = file.size();
  file.resize(end + 100);
  testing::Patch(file, header.e_shoff + 4 * sizeof(Elf64_Shdr) + offsetof(Elf64_Shdr, sh_offset), uint64_t{end});
  testing::Patch(file, header.e_shoff + 4 * sizeof(Elf64_Shdr) + offsetof(Elf64_Shdr, sh_size), uint64_t{100});
  const Exact code(file);
  ExpectOneImage(Locate(code.data()), Form::kElf, code.data(), end + 100);
}

TEST(Locate, ElfEndsBehindItsProgramHeaders) {
  Bytes file = testing::TinyCubin();
  testing::Patch(file, offsetof(Elf64_Ehdr, e_phoff), uint64_t{file.size()});
  testing::Patch(file, offsetof(Elf64_Ehdr, e_phnum), uint16_t{3});
  testing::Patch(file, offsetof(Elf64_Ehdr, e_phentsize), uint16_t{sizeof(Elf64_Phdr)});
  file.resize(file.size() + 3 * sizeof(Elf64_Phdr));
  const Exact code(file);
  ExpectOneImage(Locate(code.data()), Form::kElf, code.data(), file.size());
}

TEST(Locate, ElfWithoutSections) {
  Bytes file = testing::TinyCubin();
  testing::Patch(file, offsetof(Elf64_Ehdr, e_shoff), uint64_t{0});
  file.resize(sizeof(Elf64_Ehdr));
  const Exact code(file);
  ExpectOneImage(Locate(code.data()), Form::kElf, code.data(), sizeof(Elf64_Ehdr));
}

TEST(Locate, ElfWithItsSectionCountInSectionZero) {
  Bytes file = testing::TinyCubin();
  const auto header = *reinterpret_cast<const Elf64_Ehdr*>(file.data());
  testing::Patch(file, offsetof(Elf64_Ehdr, e_shnum), uint16_t{0});
  testing::Patch(file, header.e_shoff + offsetof(Elf64_Shdr, sh_size), uint64_t{header.e_shnum});
  const Exact code(file);
  ExpectOneImage(Locate(code.data()), Form::kElf, code.data(), file.size());
}

TEST(Locate, ElfThatLies) {
  const Bytes good = testing::TinyCubin();
  const auto header = *reinterpret_cast<const Elf64_Ehdr*>(good.data());
  const auto expect_refused = [&good](size_t offset, auto value) {
    Bytes file = good;
    testing::Patch(file, offset, value);
    EXPECT_FALSE(Locate(file.data())) << "offset " << offset;
  };
  expect_refused(EI_CLASS, uint8_t{ELFCLASS32});
  expect_refused(EI_DATA, uint8_t{ELFDATA2MSB});
  expect_refused(offsetof(Elf64_Ehdr, e_shentsize), uint16_t{63});
  expect_refused(offsetof(Elf64_Ehdr, e_shoff), UINT64_MAX - 8);
  expect_refused(offsetof(Elf64_Ehdr, e_shoff), kMaxImageBytes - 63);
  expect_refused(header.e_shoff + sizeof(Elf64_Shdr) + offsetof(Elf64_Shdr, sh_size), UINT64_MAX);
  expect_refused(header.e_shoff + sizeof(Elf64_Shdr) + offsetof(Elf64_Shdr, sh_offset), UINT64_MAX - 1);

  Bytes file = good;
  testing::Patch(file, offsetof(Elf64_Ehdr, e_phoff), UINT64_MAX);
  testing::Patch(file, offsetof(Elf64_Ehdr, e_phnum), uint16_t{1});
  testing::Patch(file, offsetof(Elf64_Ehdr, e_phentsize), uint16_t{56});
  EXPECT_FALSE(Locate(file.data()));

  file = good;
  testing::Patch(file, offsetof(Elf64_Ehdr, e_shnum), uint16_t{0});
  testing::Patch(file, header.e_shoff + offsetof(Elf64_Shdr, sh_size), UINT64_MAX / 64 + 2);
  EXPECT_FALSE(Locate(file.data()));
}

}  // namespace
}  // namespace outboard::image
