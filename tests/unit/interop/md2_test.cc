#include "common/interop/md2.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#if OUTBOARD_RUNTIME_INTEROP

namespace outboard::interop {
namespace {

std::span<const uint8_t> Bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

std::string Hex(const Digest& digest) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const uint8_t byte : digest) text += {kDigits[byte >> 4], kDigits[byte & 15]};
  return text;
}

std::string DigestOf(std::string_view text) {
  Md2 md2;
  md2.Add(Bytes(text));
  return Hex(md2.Finish());
}

// RFC 1319, appendix A.5.
TEST(Md2, GivesTheDigestsOfItsStandard) {
  EXPECT_EQ(DigestOf(""), "8350e5a3e24c153df2275c9f80692773");
  EXPECT_EQ(DigestOf("a"), "32ec01ec4a6dac72c0ab96fb34c0b5d1");
  EXPECT_EQ(DigestOf("abc"), "da853b0d3f88d99b30283a69e6ded6bb");
  EXPECT_EQ(DigestOf("message digest"), "ab4f496bfb2a530b219ff33031fe06b0");
  EXPECT_EQ(DigestOf("abcdefghijklmnopqrstuvwxyz"), "4e8ddff3650292ab5a4108c3aa47940b");
  EXPECT_EQ(DigestOf("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"),
            "da33def2a42df13975352846c30338cd");
  EXPECT_EQ(DigestOf("12345678901234567890123456789012345678901234567890123456789012345678901234567890"),
            "d5976f79d83d3a0dc9806c3c66f3efd8");
}

TEST(Md2, DoesNotDependOnHowTheMessageIsCut) {
  const std::string text = "twenty-six bytes and twenty";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    Md2 md2;
    md2.Add(Bytes(text.substr(0, cut)));
    md2.Add(Bytes(text.substr(cut)));
    EXPECT_EQ(Hex(md2.Finish()), DigestOf(text)) << cut;
  }
}

// Made with Python's hmac module over another implementation of MD2.
TEST(Md2, MakesAKeyedDigest) {
  Digest key;
  std::string_view text = "0123456789abcdef";
  std::copy(text.begin(), text.end(), key.begin());
  EXPECT_EQ(Hex(HmacMd2(key, Bytes("what do ya want for nothing?"))), "b38e69d3bf3aaa8069e54da78294f026");
}

}  // namespace
}  // namespace outboard::interop

#endif
