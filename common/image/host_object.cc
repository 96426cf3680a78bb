#include "common/image/host_object.h"

#include <charconv>
#include <optional>
#include <string>

#include "common/image/elf.h"
#include "common/image/fatbin.h"

namespace outboard::image {
namespace {

// One file of an archive: `name` as stored, and the offset of the file behind it. ar(5): numbers are decimal text, and
// files begin at even offsets.
struct Row {
  ArchiveMember member;
  uint64_t next;
};

constexpr uint64_t kRowHead = 60;
// A longer name is none that a compiler writes; each is looked for anew, so that all of a table for each would be much.
constexpr uint64_t kMaxLongName = 4096;

std::string_view TrimRight(std::string_view text) { return text.substr(0, text.find_last_not_of(' ') + 1); }

std::optional<uint64_t> Number(std::string_view text) {
  text = TrimRight(text);
  uint64_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<Row> ReadRow(ByteSpan archive, uint64_t at) {
  const std::optional<ByteSpan> raw = Slice(archive, at, kRowHead);
  if (!raw) return std::nullopt;
  const std::string_view head = AsText(*raw);
  const std::optional<uint64_t> size = Number(head.substr(48, 10));
  if (!size || head.substr(58) != "`\n") return std::nullopt;
  const std::optional<ByteSpan> bytes = Slice(archive, at + kRowHead, *size);
  if (!bytes) return std::nullopt;
  const uint64_t end = at + kRowHead + *size;
  return Row{{TrimRight(head.substr(0, 16)), *bytes}, end + end % 2};
}

// The name that a row stands for: "name/", "/17" for what the table of long names has there, or "#1/20" before a name
// of so many bytes that the file begins with.
std::optional<ArchiveMember> Named(ArchiveMember member, std::string_view long_names) {
  std::string_view& name = member.name;
  if (name.starts_with("#1/")) {
    const std::optional<uint64_t> size = Number(name.substr(3));
    if (!size || *size > member.bytes.size()) return std::nullopt;
    name = AsText(member.bytes.first(*size));
    name = name.substr(0, name.find('\0'));
    member.bytes = member.bytes.subspan(*size);
  } else if (name.starts_with('/')) {
    const std::optional<uint64_t> offset = Number(name.substr(1));
    if (!offset || *offset >= long_names.size()) return std::nullopt;
    name = long_names.substr(*offset, kMaxLongName);
    const size_t end = name.find("/\n");
    if (end == name.npos) return std::nullopt;
    name = name.substr(0, end);
  } else if (name.ends_with('/')) {
    name.remove_suffix(1);
  }
  return member;
}

}  // namespace

Result<std::vector<ByteSpan>> EmbeddedFatbins(ByteSpan object) {
  const Result<std::vector<ElfSection>> sections = ElfSections(object);
  if (!sections) return sections.error();
  std::vector<ByteSpan> fatbins;
  Budget budget(object.size());
  for (const ElfSection& section : *sections) {
    if (section.name != ".nv_fatbin" && section.name != "__nv_relfatbin") continue;
    // Several of them where objects were joined (ld -r), each at a multiple of 8.
    for (uint64_t at = 0; at < section.bytes.size();) {
      const ByteSpan rest = section.bytes.subspan(at);
      const std::optional<FatbinHeader> header = Load<FatbinHeader>(rest, 0);
      if (!header || header->magic == 0) break;  // padding
      const Result<uint64_t> bytes = FatbinBytes(*header);
      if (!bytes) return bytes.error();
      if (*bytes > rest.size() || !budget.Take(*bytes)) {
        return Error{"A fatbin in the section " + std::string(section.name) + " is cut short."};
      }
      fatbins.push_back(rest.first(*bytes));
      at += (*bytes + 7) / 8 * 8;
    }
  }
  return fatbins;
}

Result<std::vector<ArchiveMember>> ArchiveRows(ByteSpan archive) {
  if (!AsText(archive).starts_with(kArchiveMagic)) {
    return Error{"It does not begin as an archive of ar does (\"!<arch>\"; thin archives hold no files)."};
  }
  std::vector<ArchiveMember> rows;
  for (uint64_t at = kArchiveMagic.size(); at < archive.size();) {
    const std::optional<Row> row = ReadRow(archive, at);
    if (!row) return Error{"The archive has no proper file at byte " + std::to_string(at) + "."};
    at = row->next;
    rows.push_back(row->member);
  }
  return rows;
}

Result<std::vector<ArchiveMember>> ArchiveMembers(ByteSpan archive) {
  const Result<std::vector<ArchiveMember>> rows = ArchiveRows(archive);
  if (!rows) return rows.error();
  std::vector<ArchiveMember> members;
  std::string_view long_names;
  for (const ArchiveMember& row : *rows) {
    const std::string_view name = row.name;
    if (name == "//") long_names = AsText(row.bytes);
    if (name == "//" || name == "/" || name == "/SYM64/") continue;
    const std::optional<ArchiveMember> member = Named(row, long_names);
    if (!member) return Error{"A file of the archive has no proper name: " + std::string(name) + "."};
    if (!member->name.starts_with("__.SYMDEF")) members.push_back(*member);
  }
  return members;
}

}  // namespace outboard::image
