#include <gtest/gtest.h>

#include <map>

#include "common/image/image.h"
#include "tests/unit/image/image_builder.h"

namespace outboard::image {
namespace {

using testing::Bytes;
using testing::CubinBuilder;
using testing::Exact;
using testing::InfoBuilder;
using Layouts = std::map<std::string, std::vector<std::pair<uint32_t, uint32_t>>>;

Result<std::vector<KernelLayout>> Read(const Bytes& file) { return KernelLayouts(EntryKind::kElf, Exact(file)); }

Layouts ToMap(const std::vector<KernelLayout>& kernels) {
  Layouts map;
  for (const KernelLayout& kernel : kernels) {
    auto& params = map[kernel.name];
    for (const Param& param : kernel.params) params.emplace_back(param.offset, param.size);
  }
  return map;
}

void ExpectRefused(const Bytes& file, std::string_view reason) {
  const auto kernels = Read(file);
  ASSERT_FALSE(kernels);
  EXPECT_NE(kernels.error().message.find(reason), std::string::npos) << kernels.error().message;
}

TEST(ElfKernels, BothRecordVersionsAndNoParameters) {
  const auto kernels = Read(testing::TinyCubin());
  ASSERT_TRUE(kernels) << kernels.error().message;
  EXPECT_EQ(ToMap(*kernels),
            (Layouts{{"add_one", {{0, 8}, {8, 4}}}, {"large", {{0, 20000}, {20000, 8}}}, {"nothing", {}}}));
}

TEST(ElfKernels, ParametersMayLeaveHoles) {
  const auto kernels =
      Read(CubinBuilder().Kernel("k", InfoBuilder().Param(0, 0, 1).Param(1, 48, 128).BankSize(176)).Build());
  ASSERT_TRUE(kernels) << kernels.error().message;
  EXPECT_EQ(ToMap(*kernels), (Layouts{{"k", {{0, 1}, {48, 128}}}}));
}

TEST(ElfKernels, NoSymbolsNoKernels) {
  const auto kernels = Read(CubinBuilder().Section(".nv.info.k", InfoBuilder().Param(0, 0, 8)).Build());
  ASSERT_TRUE(kernels) << kernels.error().message;
  EXPECT_TRUE(kernels->empty());
}

TEST(ElfKernels, KernelOfAnotherFileIsNone) {
  const auto kernels = Read(CubinBuilder().Function("elsewhere", true, SHN_UNDEF).Build());
  ASSERT_TRUE(kernels) << kernels.error().message;
  EXPECT_TRUE(kernels->empty());
}

TEST(ElfKernels, RecordsThatContradictThemselvesAreRefused) {
  const auto cubin = [](const InfoBuilder& records) { return CubinBuilder().Kernel("k", records).Build(); };
  ExpectRefused(cubin(InfoBuilder().Param(0, 0, 8).BankSize(9)), "buffer of 9");
  ExpectRefused(cubin(InfoBuilder().Param(0, 0, 8).BankSize(8).Bank(4)), "buffer of 4");
  ExpectRefused(cubin(InfoBuilder().BankSize(8)), "buffer of 8");
  ExpectRefused(cubin(InfoBuilder().Param(0, 0, 8)), "does not give the size");
  ExpectRefused(cubin(InfoBuilder().Param(0, 0, 8).Param(2, 8, 8).BankSize(16)), "gap");
  ExpectRefused(cubin(InfoBuilder().Param(1, 0, 8).BankSize(8)), "gap");
  ExpectRefused(cubin(InfoBuilder().Param(0, 0, 8).Param(0, 8, 8).BankSize(16)), "twice");
  ExpectRefused(cubin(InfoBuilder().Param(0, 0, 8).Param(1, 7, 1).BankSize(8)), "overlap");
  ExpectRefused(cubin(InfoBuilder().ParamV2(0, 0, UINT32_MAX).ParamV2(1, 4, 8).BankSize(12)), "overlap");
}

TEST(ElfKernels, EveryTruncationOfTheRecordsIsRefused) {
  const Bytes records = InfoBuilder().Param(1, 8, 4).ParamV2(0, 0, 8).BankSize(12).Bank(12);
  ASSERT_TRUE(Read(CubinBuilder().Kernel("k", records).Build()));
  for (size_t size = 1; size < records.size(); ++size) {
    // Without its last record the list is still a proper one.
    if (size == records.size() - 12) continue;
    EXPECT_FALSE(Read(CubinBuilder().Kernel("k", Bytes(records.begin(), records.begin() + size)).Build())) << size;
  }
}

TEST(ElfKernels, RecordsTooSmallForTheirAttributeAreRefused) {
  for (const uint8_t attribute : {0x0a, 0x17, 0x45}) {
    Bytes records = InfoBuilder().Record(4, attribute, 4);
    testing::Append(records, uint32_t{0});
    ExpectRefused(CubinBuilder().Kernel("k", records).Build(), "damaged");
  }
}

TEST(ElfKernels, KernelWithoutRecordsIsRefused) {
  ExpectRefused(CubinBuilder().Function("k", true).Build(), "without its parameter records");
}

TEST(ElfKernels, SecondSectionOfOneKernelIsIgnored) {
  const auto kernels = Read(CubinBuilder()
                                .Kernel("k", InfoBuilder().Param(0, 0, 8).BankSize(8))
                                .Section(".nv.info.k", InfoBuilder().Param(0, 0, 4).BankSize(4))
                                .Build());
  ASSERT_TRUE(kernels) << kernels.error().message;
  EXPECT_EQ(ToMap(*kernels), (Layouts{{"k", {{0, 8}}}}));
}

TEST(ElfKernels, EveryTruncationOfTheFileIsRefused) {
  const Bytes file = testing::TinyCubin();
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_FALSE(KernelLayouts(EntryKind::kElf, Exact(file, size))) << size << " of " << file.size();
  }
}

TEST(ElfKernels, EveryDamagedByteIsSafe) {
  const Bytes good = testing::TinyCubin();
  size_t refused = 0;
  for (size_t i = 0; i < good.size(); ++i) {
    Bytes file = good;
    file[i] ^= std::byte{0xff};
    refused += !Read(file);
  }
  EXPECT_GT(refused, good.size() / 4);
}

TEST(ElfKernels, TablesThatLieAreRefused) {
  const Bytes good = testing::TinyCubin();
  const auto header = *reinterpret_cast<const Elf64_Ehdr*>(good.data());
  const auto expect_refused = [&good](size_t offset, auto value) {
    Bytes file = good;
    testing::Patch(file, offset, value);
    EXPECT_FALSE(Read(file)) << "offset " << offset << " value " << value;
  };
  expect_refused(0, uint32_t{0});
  expect_refused(EI_CLASS, uint8_t{ELFCLASS32});
  expect_refused(EI_DATA, uint8_t{ELFDATA2MSB});
  expect_refused(offsetof(Elf64_Ehdr, e_shoff), UINT64_MAX);
  expect_refused(offsetof(Elf64_Ehdr, e_shoff), uint64_t{good.size() - 63});
  expect_refused(offsetof(Elf64_Ehdr, e_shnum), uint16_t{0xffff});
  expect_refused(offsetof(Elf64_Ehdr, e_shentsize), uint16_t{65});
  expect_refused(offsetof(Elf64_Ehdr, e_shstrndx), header.e_shnum);
  const size_t symbols = header.e_shoff + 3 * sizeof(Elf64_Shdr);
  expect_refused(symbols + offsetof(Elf64_Shdr, sh_link), uint32_t{header.e_shnum});
  expect_refused(symbols + offsetof(Elf64_Shdr, sh_offset), UINT64_MAX);
  expect_refused(symbols + offsetof(Elf64_Shdr, sh_size), UINT64_MAX);
  expect_refused(symbols + offsetof(Elf64_Shdr, sh_name), UINT32_MAX);
  Bytes file = good;
  testing::Patch(file, offsetof(Elf64_Ehdr, e_shnum), uint16_t{0});
  testing::Patch(file, header.e_shoff + offsetof(Elf64_Shdr, sh_size), UINT64_MAX / 64 + 2);
  EXPECT_FALSE(Read(file));
}

TEST(ElfKernels, ManySectionsAreCountedInSectionZero) {
  Bytes file = testing::TinyCubin();
  const auto header = *reinterpret_cast<const Elf64_Ehdr*>(file.data());
  testing::Patch(file, offsetof(Elf64_Ehdr, e_shnum), uint16_t{0});
  testing::Patch(file, offsetof(Elf64_Ehdr, e_shstrndx), uint16_t{SHN_XINDEX});
  testing::Patch(file, header.e_shoff + offsetof(Elf64_Shdr, sh_size), uint64_t{header.e_shnum});
  testing::Patch(file, header.e_shoff + offsetof(Elf64_Shdr, sh_link), uint32_t{1});
  const auto kernels = Read(file);
  ASSERT_TRUE(kernels) << kernels.error().message;
  EXPECT_EQ(kernels->size(), 3u);
}

// 16 MiB whose 20 000 sections would all be named by the same 8 MiB.
TEST(ElfKernels, NamesThatShareBytesDoNotMultiplyTheWork) {
  CubinBuilder builder;
  builder.Section(std::string(8 << 20, 'n'), {});
  for (int i = 0; i < 20000; ++i) builder.Section("", {});
  Bytes file = builder.Build();
  const auto header = *reinterpret_cast<const Elf64_Ehdr*>(file.data());
  const size_t rows = header.e_shoff + 4 * sizeof(Elf64_Shdr);
  uint32_t shared = 0;
  std::memcpy(&shared, file.data() + rows, sizeof shared);
  for (int i = 0; i < 20000; ++i) testing::Patch(file, rows + i * sizeof(Elf64_Shdr), shared);
  ExpectRefused(file, "no proper name");
}

TEST(KernelLayouts, OtherKindsAreRefused) {
  EXPECT_FALSE(KernelLayouts(EntryKind::kLto, Exact(Bytes(8))));
  EXPECT_FALSE(KernelLayouts(static_cast<EntryKind>(77), Exact(Bytes(8))));
}

}  // namespace
}  // namespace outboard::image
