// make_image_corpus FOLDER     writes the seeds of tests/fuzz/corpus/image

#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "tests/unit/image/image_builder.h"

namespace {

using outboard::image::testing::Bytes;

// An image that says something else in one place.
template <class T>
Bytes With(Bytes bytes, size_t offset, T value) {
  outboard::image::testing::Patch(bytes, offset, value);
  return bytes;
}

// The place of a field in the row of a section.
size_t InRow(const Bytes& elf, size_t section, size_t field) {
  Elf64_Ehdr header;
  std::memcpy(&header, elf.data(), sizeof header);
  return header.e_shoff + section * sizeof(Elf64_Shdr) + field;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace outboard::image::testing;  // NOLINT(google-build-using-namespace)
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_image_corpus FOLDER\n");
    return 2;
  }
  const Bytes ptx = FromText(kTinyPtx);
  const Bytes parameters = FromText(
      ".version 9.0\n.target sm_90a\n.address_size 64\n"
      ".global .align 4 .b8 text[4] = {1, 2, 3};\n"
      ".func helper(.param .b64 a) { .pragma \"}\"; { ret; } }\n"
      ".extern .entry elsewhere(.param .f32 a);\n"
      ".visible .entry k(.param .u8 a, .param .align 64 .b8 b[0x80], .param .v4 .f32 c, /* ) */ .param .b16 d[2][3])\n"
      ".maxntid 256, 1, 1 .pragma \"nounroll\"; // {\n{ ret; }\n.entry none { ret; }\n");
  const Bytes cubin = TinyCubin();
  const uint64_t specific = 0x11 | kFlagArchSpecific;
  const Bytes raw = Fatbin({{.kind = 1, .content = ptx}});
  const Bytes lz4 = Fatbin({{.kind = 1, .content = ptx, .packing = Packing::kLz4}});
  const Bytes zstd = Fatbin({{.kind = 1, .content = ptx, .packing = Packing::kZstd}});
  const auto entry = [](size_t field) { return at::kFirstEntry + field; };
  const std::map<std::string, Bytes> seeds = {
      {"ptx", ptx},
      {"ptx_parameters", parameters},
      {"cubin", cubin},
      {"cubin_abi7", CubinBuilder().Build(7, 0x5a055a)},
      {"object", CubinBuilder().Section(".nv_fatbin", raw).Section("__nv_relfatbin", zstd).Build()},
      {"object_fatbin_cut",
       CubinBuilder().Section(".nv_fatbin", With(raw, at::kFatbinPayloadSize, uint64_t{raw.size()})).Build()},
      {"archive", Archive({ArchiveRow("/", FromText("index")), ArchiveRow("//", FromText("a_very_long_name.o/\n")),
                           ArchiveRow("odd.o/", FromText("1")), ArchiveRow("/0", cubin),
                           ArchiveRow("#1/8", FromText(std::string("bsd.o\0\0\0ptx", 11)))})},
      {"archive_size", Archive({ArchiveRow("a.o/", cubin, "18446744073709551615")})},
      {"archive_name", Archive({ArchiveRow("/99", cubin)})},
      {"fatbin_empty", Fatbin({})},
      {"fatbin_raw", Fatbin({{.kind = 2, .content = cubin}, {.kind = 1, .content = ptx, .name = "k.cu"}})},
      {"fatbin_lz4", Fatbin({{.kind = 1, .arch = 90, .content = ptx, .packing = Packing::kLz4, .flags = specific},
                             {.kind = 2, .content = cubin, .packing = Packing::kLz4}})},
      {"fatbin_zstd", Fatbin({{.kind = 1, .arch = 90, .content = parameters, .packing = Packing::kZstd},
                              {.kind = 2, .content = cubin, .packing = Packing::kZstd}})},
      {"fatbin_other_kinds", Fatbin({{.kind = 8, .content = Bytes(16)}, {.kind = 77, .content = Bytes(8)}})},
      // Each of the following is refused for another reason.
      {"elf_32_bits", With(cubin, EI_CLASS, uint8_t{ELFCLASS32})},
      {"elf_row_size", With(cubin, offsetof(Elf64_Ehdr, e_shentsize), uint16_t{40})},
      {"elf_rows_cut", With(cubin, offsetof(Elf64_Ehdr, e_shnum), uint16_t{0xfff0})},
      {"elf_segments_too_large", With(cubin, offsetof(Elf64_Ehdr, e_phoff), uint64_t{1} << 40)},
      {"elf_section_outside", With(cubin, InRow(cubin, 2, offsetof(Elf64_Shdr, sh_offset)), uint64_t{1} << 40)},
      {"elf_names_elsewhere", With(cubin, offsetof(Elf64_Ehdr, e_shstrndx), uint16_t{0x7f})},
      {"elf_name_without_end", With(cubin, InRow(cubin, 2, offsetof(Elf64_Shdr, sh_name)), 0xffffu)},
      {"cubin_other_abi", CubinBuilder().Build(9)},
      {"cubin_symbols_without_names", With(cubin, InRow(cubin, 3, offsetof(Elf64_Shdr, sh_link)), 0x7fu)},
      {"cubin_parameters_past_the_bank", CubinBuilder().Kernel("k", InfoBuilder().Param(0, 8, 8).BankSize(12)).Build()},
      {"cubin_kernel_without_records", CubinBuilder().Function("k", true).Build()},
      {"fatbin_version", With(raw, at::kFatbinVersion, uint16_t{2})},
      {"fatbin_too_large", With(raw, at::kFatbinPayloadSize, uint64_t{1} << 40)},
      {"fatbin_cut", Bytes(raw.begin(), raw.end() - 8)},
      {"fatbin_entry_version", With(raw, entry(at::kVersion), uint16_t{2})},
      {"fatbin_entry_header", With(raw, entry(at::kHeaderSize), 63u)},
      {"fatbin_entry_cut", With(raw, entry(at::kPayloadSize), uint64_t{1} << 20)},
      {"fatbin_entry_name", With(raw, entry(at::kNameSize), 1u << 20)},
      {"fatbin_packed_beyond_its_payload", With(lz4, entry(at::kCompressedSize), 1u << 20)},
      {"fatbin_other_packing", With(lz4, entry(at::kFlags), uint64_t{0x11})},
      {"fatbin_lz4_damaged", With(lz4, entry(64), uint64_t{0})},
      {"fatbin_zstd_damaged", With(zstd, entry(64), uint64_t{0})},
      {"fatbin_unpacks_to_too_much", With(lz4, entry(at::kUncompressedSize), uint64_t{1} << 40)},
      {"fatbin_cannot_unpack_to_that", With(lz4, entry(at::kUncompressedSize), uint64_t{1} << 19)},
      {"ptx_other_type", FromText(".entry k(.param .b7 a) {}")},
      {"ptx_array_without_length", FromText(".entry k(.param .b8 a[]) {}")},
      {"ptx_parameters_too_large", FromText(".entry k(.param .b8 a[32764], .param .b8 b) {}")},
      {"ptx_parameter_too_large", FromText(".entry k(.param .b8 a[65536][65536]) {}")},
      {"ptx_strings_and_divisions", FromText(".entry k() { a / b \"\\\"}\" /* } */ } \"")},
      {"ptx_without_end", FromText(".entry k() { \"")},
  };
  const std::filesystem::path folder = argv[1];
  std::filesystem::create_directories(folder);
  for (const auto& [name, bytes] : seeds) {
    std::ofstream file(folder / name, std::ios::binary);
    file << ToText(bytes);
    if (!file.flush()) {
      std::fprintf(stderr, "%s cannot be written\n", (folder / name).c_str());
      return 1;
    }
  }
  return 0;
}
