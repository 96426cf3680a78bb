// make_image_corpus FOLDER     writes the seeds of tests/fuzz/corpus/image

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "tests/unit/image/image_builder.h"

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
  const std::map<std::string, Bytes> seeds = {
      {"ptx", ptx},
      {"ptx_parameters", parameters},
      {"cubin", cubin},
      {"cubin_abi7", CubinBuilder().Build(7, 0x5a055a)},
      {"fatbin_empty", Fatbin({})},
      {"fatbin_raw", Fatbin({{.kind = 2, .content = cubin}, {.kind = 1, .content = ptx, .name = "k.cu"}})},
      {"fatbin_lz4", Fatbin({{.kind = 1, .arch = 90, .content = ptx, .packing = Packing::kLz4, .flags = specific},
                             {.kind = 2, .content = cubin, .packing = Packing::kLz4}})},
      {"fatbin_zstd", Fatbin({{.kind = 1, .arch = 90, .content = parameters, .packing = Packing::kZstd},
                              {.kind = 2, .content = cubin, .packing = Packing::kZstd}})},
      {"fatbin_other_kinds", Fatbin({{.kind = 8, .content = Bytes(16)}, {.kind = 77, .content = Bytes(8)}})},
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
