#include "common/image/host_object.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/image/image.h"
#include "tests/unit/image/image_builder.h"

namespace outboard::image {
namespace {

using testing::Append;
using testing::Archive;
using testing::ArchiveRow;
using testing::Bytes;
using testing::Exact;
using testing::FromText;

Bytes FatbinOf(const std::string& text) { return testing::Fatbin({{1, 75, FromText(text)}}); }

// The texts of the fatbins in an object.
std::vector<std::string> TextsIn(const Bytes& object) {
  const Exact exact(object);
  const auto fatbins = EmbeddedFatbins(exact);
  EXPECT_TRUE(fatbins) << fatbins.error().message;
  std::vector<std::string> texts;
  if (!fatbins) return texts;
  for (const ByteSpan fatbin : *fatbins) {
    const auto entries = Entries(fatbin);
    EXPECT_TRUE(entries) << entries.error().message;
    for (const Entry& entry : *entries) texts.push_back(testing::ToText(*Unpack(entry)));
  }
  return texts;
}

TEST(EmbeddedFatbins, AreThoseOfBothSections) {
  Bytes joined = FatbinOf("first");  // as ld -r puts them
  Append(joined, FatbinOf("second"));
  Bytes padded = FatbinOf("third");
  padded.resize(padded.size() + 24);
  const Bytes object = testing::CubinBuilder()
                           .Section(".nv_fatbin", joined)
                           .Section(".text", FatbinOf("none of them"))
                           .Section("__nv_relfatbin", padded)
                           .Build();
  EXPECT_EQ(TextsIn(object), (std::vector<std::string>{"first", "second", "third"}));
  EXPECT_EQ(TextsIn(testing::CubinBuilder().Build()), std::vector<std::string>{});
}

TEST(EmbeddedFatbins, RefusesWhatIsCutShort) {
  Bytes cut = FatbinOf("text");
  testing::Patch(cut, testing::at::kFatbinPayloadSize, uint64_t{cut.size()});
  EXPECT_FALSE(EmbeddedFatbins(Exact(testing::CubinBuilder().Section(".nv_fatbin", cut).Build())));
  EXPECT_FALSE(EmbeddedFatbins(Exact(FromText("text"))));
}

TEST(ArchiveMembers, HaveTheirNamesHoweverTheyAreWritten) {
  const Exact archive(Archive(
      {ArchiveRow("/", FromText("index")), ArchiveRow("//", FromText("a_very_long_name.o/\nanother_long.o/\n")),
       ArchiveRow("short.o/", FromText("one")), ArchiveRow("/0", FromText("two2")), ArchiveRow("/20", FromText("")),
       ArchiveRow("#1/8", FromText(std::string("bsd.o\0\0\0three", 13))), ArchiveRow("plain", FromText("4"))}));
  const auto members = ArchiveMembers(archive);
  ASSERT_TRUE(members) << members.error().message;
  std::string list;
  for (const ArchiveMember& member : *members) {
    list += std::string(member.name) + "=" + std::string(AsText(member.bytes)) + " ";
  }
  EXPECT_EQ(list, "short.o=one a_very_long_name.o=two2 another_long.o= bsd.o=three plain=4 ");
}

TEST(ArchiveMembers, RefusesWhatIsNoArchive) {
  const Bytes content = FromText("content");
  for (const Bytes& bad :
       {FromText("text"), FromText("!<thin>\n"), Archive({FromText("a")}), Archive({ArchiveRow("a/", content, "9")}),
        Archive({ArchiveRow("a/", content, "x")}), Archive({ArchiveRow("a/", content, "18446744073709551615")}),
        Archive({ArchiveRow("/7", content)}), Archive({ArchiveRow("#1/9", content)}),
        Archive({ArchiveRow("//", FromText("endless")), ArchiveRow("/0", content)}),
        Archive({ArchiveRow("//", FromText(std::string(5000, 'a') + "/\n")), ArchiveRow("/0", content)})}) {
    EXPECT_FALSE(ArchiveMembers(Exact(bad))) << testing::ToText(bad);
  }
  EXPECT_TRUE(ArchiveMembers(Exact(Archive({})))->empty());
}

}  // namespace
}  // namespace outboard::image
