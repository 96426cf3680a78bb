#include "server/worker/code_image.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "common/image/fatbin.h"
#include "tests/unit/image/image_builder.h"

namespace outboard::worker {
namespace {

std::string Fatbin(uint64_t payload) {
  const image::FatbinHeader header{image::kFatbinMagic, 1, sizeof header, payload};
  return std::string(reinterpret_cast<const char*>(&header), sizeof header) + std::string(payload, 'p');
}

Result<CodeImage> Make(std::string_view bytes, std::vector<size_t> sizes, int form) {
  return CodeImage::Make(std::as_bytes(std::span(bytes)), sizes, form);
}

TEST(CodeImageTest, TextEndsWithAZero) {
  const std::string text = ".version 8.0";
  const auto image = Make(text, {text.size()}, CodeImage::kOneImage);
  ASSERT_TRUE(image);
  EXPECT_STREQ(static_cast<const char*>(image->code()), text.c_str());
}

TEST(CodeImageTest, FatbinArrivesAsItIs) {
  const std::string fatbin = Fatbin(40);
  const auto image = Make(fatbin, {fatbin.size()}, CodeImage::kOneImage);
  ASSERT_TRUE(image);
  EXPECT_EQ(std::memcmp(image->code(), fatbin.data(), fatbin.size()), 0);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(image->code()) % 16, 0u);
}

TEST(CodeImageTest, SeveralFatbinsGetAWrapper) {
  const std::string first = Fatbin(3), second = Fatbin(5), third = Fatbin(8);
  const auto image =
      Make(first + second + third, {first.size(), second.size(), third.size()}, CodeImage::kSeveralFatbins);
  ASSERT_TRUE(image);
  struct {
    uint32_t magic, version;
    const char* fatbin;
    const char* const* prelinked;
  } wrapper;
  std::memcpy(&wrapper, image->code(), sizeof wrapper);
  EXPECT_EQ(wrapper.magic, 0x466243B1u);
  EXPECT_EQ(wrapper.version, 2u);
  EXPECT_EQ(std::string(wrapper.fatbin, first.size()), first);
  EXPECT_EQ(std::string(wrapper.prelinked[0], second.size()), second);
  EXPECT_EQ(std::string(wrapper.prelinked[1], third.size()), third);
  EXPECT_EQ(wrapper.prelinked[2], nullptr);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(wrapper.prelinked[0]) % 16, 0u);
}

TEST(CodeImageTest, RefusesWhatSaysMoreThanArrived) {
  const std::string fatbin = Fatbin(40);
  for (size_t size = 0; size < fatbin.size(); ++size) {
    if (size >= 4) {
      EXPECT_FALSE(Make(fatbin.substr(0, size), {size}, CodeImage::kOneImage)) << size;
    }
    EXPECT_FALSE(Make(fatbin.substr(0, size), {size}, CodeImage::kSeveralFatbins)) << size;
    EXPECT_FALSE(Make(fatbin.substr(0, size), {fatbin.size()}, CodeImage::kOneImage)) << size;
  }
  EXPECT_FALSE(Make(std::string("\x7f"
                                "ELF",
                                4) +
                        std::string(200, '\xff'),
                    {204}, CodeImage::kOneImage));
  EXPECT_FALSE(Make(Fatbin(uint64_t{1} << 40 >> 36), {16}, CodeImage::kOneImage));
}

// For the linker: what it takes out of them is as true.
TEST(CodeImageTest, LooksIntoObjectsAndArchives) {
  namespace build = image::testing;
  const auto takes = [](const build::Bytes& bytes) {
    return CodeImage::Make(bytes, std::vector{bytes.size()}, CodeImage::kOneImage).ok();
  };
  build::Bytes fatbin = build::Fatbin({{1, 75, build::FromText(".version 8.0")}});
  const auto object = [&] { return build::CubinBuilder().Section("__nv_relfatbin", fatbin).Build(); };
  const auto archive = [&] { return build::Archive({build::ArchiveRow("a.o/", object())}); };
  EXPECT_TRUE(takes(object()));
  EXPECT_TRUE(takes(archive()));
  EXPECT_FALSE(takes(build::Archive({build::ArchiveRow("a.o/", object(), "1000000")})));
  EXPECT_TRUE(takes(build::Archive({build::ArchiveRow("read.me/", build::FromText("what this is"))})));
  EXPECT_TRUE(takes(build::Archive({build::ArchiveRow("a.fatbin/", fatbin)})));
  EXPECT_FALSE(takes(build::Archive({build::ArchiveRow("a.a/", archive())})));
  const build::Bytes wrapper = build::FromText(std::string("\xb1\x43\x62\x46\x01\0\0\0", 8) + std::string(16, '\x41'));
  for (const char* name : {"a.fatbin/", "/", "//", "/SYM64/"})
    EXPECT_FALSE(takes(build::Archive({build::ArchiveRow(name, wrapper)}))) << name;
  for (const char* name : {"__.SYMDEF", "#1/8"})
    EXPECT_FALSE(takes(build::Archive({build::ArchiveRow(name, build::FromText("harmless"))}))) << name;
  EXPECT_FALSE(takes(build::FromText("!<thin>\n")));
  build::Patch(fatbin, build::at::kFatbinPayloadSize, uint64_t{1} << 20);
  EXPECT_FALSE(takes(object()));
  EXPECT_FALSE(takes(archive()));
  EXPECT_FALSE(takes(build::Archive({build::ArchiveRow("a.fatbin/", fatbin)})));
}

TEST(CodeImageTest, RefusesSizesThatDoNotAddUp) {
  const std::string fatbin = Fatbin(8);
  EXPECT_FALSE(Make(fatbin + "x", {fatbin.size()}, CodeImage::kOneImage));
  EXPECT_FALSE(Make(fatbin, {SIZE_MAX}, CodeImage::kOneImage));
  EXPECT_FALSE(Make(fatbin, {fatbin.size(), SIZE_MAX}, CodeImage::kSeveralFatbins));
  EXPECT_FALSE(Make(fatbin, {}, CodeImage::kSeveralFatbins));
  EXPECT_FALSE(Make(fatbin + fatbin, {fatbin.size(), fatbin.size()}, CodeImage::kOneImage));
  EXPECT_FALSE(Make(fatbin, {fatbin.size()}, 2));
  EXPECT_FALSE(Make("", {0}, CodeImage::kOneImage));
}

// Its pointers would be the client's choice.
TEST(CodeImageTest, RefusesWrappers) {
  const std::string wrapper = std::string("\xb1\x43\x62\x46\x01\0\0\0", 8) + std::string(16, '\x41');
  EXPECT_FALSE(Make(wrapper, {wrapper.size()}, CodeImage::kOneImage));
  EXPECT_FALSE(Make(wrapper, {wrapper.size()}, CodeImage::kSeveralFatbins));
}

}  // namespace
}  // namespace outboard::worker
