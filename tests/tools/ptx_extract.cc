// ptx_extract FILE FOLDER     writes every PTX entry of the fatbins in FILE, unpacked, as FOLDER/00000_sm_75.ptx, ...
// ptx_extract --count FILE    prints how many entries of each kind and architecture there are
// ptx_extract --check FILE    unpacks every PTX and ELF entry and lays out its kernels' parameters; prints how many
//
// FILE is an ELF executable or shared library. Exit status: 0 when every fatbin could be read (and, but for --count,
// every entry unpacked and understood), else 1; 2 for a wrong command line.

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <string_view>

#include "common/image/bytes.h"
#include "common/image/image.h"
#include "tests/tools/fatbins.h"

namespace {

namespace image = outboard::image;
using outboard::tools::TargetName;

std::string KindName(image::EntryKind kind) {
  switch (kind) {
    case image::EntryKind::kPtx:
      return "ptx";
    case image::EntryKind::kElf:
      return "elf";
    case image::EntryKind::kLto:
      return "lto";
    case image::EntryKind::kLinkedPtx:
      return "linked_ptx";
  }
  return "kind_" + std::to_string(static_cast<int>(kind));
}

// What the three modes do with each entry, and what they have to say at the end.
class Visitor {
 public:
  virtual ~Visitor() = default;
  virtual void Visit(const image::Entry& entry) = 0;
  virtual void Summarize() const = 0;
  uint64_t failures() const { return failures_; }

 protected:
  void Fail(const image::Entry& entry, const std::string& reason) {
    std::fprintf(stderr, "%s %s: %s\n", KindName(entry.kind).c_str(), TargetName(entry).c_str(), reason.c_str());
    ++failures_;
  }

 private:
  uint64_t failures_ = 0;
};

class Count : public Visitor {
 public:
  void Visit(const image::Entry& entry) override { ++counts_[KindName(entry.kind) + " " + TargetName(entry)]; }
  void Summarize() const override {
    for (const auto& [what, count] : counts_) std::printf("%s %llu\n", what.c_str(), count);
  }

 private:
  std::map<std::string, unsigned long long> counts_;
};

class Extract : public Visitor {
 public:
  explicit Extract(std::filesystem::path folder) : folder_(std::move(folder)) {
    std::filesystem::create_directories(folder_);
  }

  void Visit(const image::Entry& entry) override {
    if (entry.kind != image::EntryKind::kPtx) return;
    const auto text = image::Unpack(entry);
    if (!text) return Fail(entry, text.error().message);
    char number[16];
    std::snprintf(number, sizeof number, "%05llu", written_);
    std::ofstream file(folder_ / (std::string(number) + "_" + TargetName(entry) + ".ptx"), std::ios::binary);
    file << image::AsText(*text);
    if (!file.flush()) return Fail(entry, "The file cannot be written.");
    ++written_;
  }
  void Summarize() const override { std::printf("written %llu\n", written_); }

 private:
  const std::filesystem::path folder_;
  unsigned long long written_ = 0;
};

class Check : public Visitor {
 public:
  void Visit(const image::Entry& entry) override {
    if (entry.kind != image::EntryKind::kPtx && entry.kind != image::EntryKind::kElf) return;
    Figures& figures = figures_[KindName(entry.kind)];
    const auto bytes = image::Unpack(entry);
    if (!bytes) return Fail(entry, bytes.error().message);
    const auto kernels = image::KernelLayouts(entry.kind, *bytes);
    if (!kernels) return Fail(entry, kernels.error().message);
    ++figures.entries;
    figures.bytes += bytes->size();
    figures.kernels += kernels->size();
    for (const image::KernelLayout& kernel : *kernels) figures.params += kernel.params.size();
  }
  void Summarize() const override {
    for (const auto& [kind, f] : figures_) {
      std::printf("%s entries %llu bytes %llu kernels %llu parameters %llu\n", kind.c_str(), f.entries, f.bytes,
                  f.kernels, f.params);
    }
  }

 private:
  struct Figures {
    unsigned long long entries = 0, bytes = 0, kernels = 0, params = 0;
  };
  std::map<std::string, Figures> figures_;
};

int Run(const char* path, Visitor& visitor) {
  const auto found = outboard::tools::WalkFatbins(
      path, [&visitor](std::string_view, const image::Entry& entry) { visitor.Visit(entry); });
  if (!found) {
    std::fprintf(stderr, "%s\n", found.error().message.c_str());
    return 1;
  }
  for (const auto& [section, fatbins] : found->counts) {
    std::printf("%s fatbins %llu\n", section.c_str(), static_cast<unsigned long long>(fatbins));
  }
  for (const std::string& error : found->errors) std::fprintf(stderr, "%s\n", error.c_str());
  visitor.Summarize();
  return found->errors.empty() && visitor.failures() == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == "--count") {
    Count count;
    return Run(argv[2], count);
  }
  if (argc == 3 && std::string_view(argv[1]) == "--check") {
    Check check;
    return Run(argv[2], check);
  }
  if (argc != 3) {
    std::fprintf(stderr, "usage: ptx_extract FILE FOLDER | --count FILE | --check FILE\n");
    return 2;
  }
  Extract extract(argv[2]);
  return Run(argv[1], extract);
}
