#include "client/run/doctor.h"

#include <elf.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>

#include "client/run/scratch_folder.h"

namespace outboard::run {
namespace {

class DoctorTest : public testing::Test {
 protected:
  // A file of this content that may be run.
  std::string Write(const std::string& name, const std::string& content, mode_t mode = 0755) {
    const std::string path = folder_->path() + "/" + name;
    std::ofstream(path, std::ios::binary) << content;
    chmod(path.c_str(), mode);
    return path;
  }
  // The head of an ELF program; without an interpreter it is static.
  static std::string Elf(const std::string& interpreter) {
    Elf64_Ehdr header{};
    std::copy_n(ELFMAG, SELFMAG, header.e_ident);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_phoff = sizeof header;
    header.e_phnum = 1;
    Elf64_Phdr segment{};
    segment.p_type = interpreter.empty() ? PT_LOAD : PT_INTERP;
    segment.p_offset = sizeof header + sizeof segment;
    segment.p_filesz = interpreter.size() + 1;
    return std::string(reinterpret_cast<const char*>(&header), sizeof header) +
           std::string(reinterpret_cast<const char*>(&segment), sizeof segment) + interpreter + '\0';
  }

  Result<ScratchFolder> folder_ = ScratchFolder::Make("/tmp");
};

TEST_F(DoctorTest, ADynamicProgramIsGood) {
  EXPECT_TRUE(ExamineCommand(Write("a", Elf("/lib64/ld-linux-x86-64.so.2"))).good);
  EXPECT_TRUE(ExamineCommand("sh").good) << "found in PATH";
}

TEST_F(DoctorTest, ProgramsThatWouldMissOurDriverAreNot) {
  const struct {
    std::string path;
    const char* word;
  } cases[] = {
      {Write("static", Elf("")), "statically"},
      {Write("musl", Elf("/lib/ld-musl-x86_64.so.1")), "musl"},
      {Write("setuid", Elf("/lib64/ld-linux-x86-64.so.2"), 04755), "setuid"},
      {Write("text", "hello"), "no 64-bit ELF"},
      {Write("short", Elf("").substr(0, 20)), "no 64-bit ELF"},
      {Write("locked", Elf(""), 0644), "no program"},
      {"/no/such/program", "no program"},
  };
  for (const auto& each : cases) {
    const Finding finding = ExamineCommand(each.path);
    EXPECT_FALSE(finding.good) << finding.text;
    EXPECT_NE(finding.text.find(each.word), std::string::npos) << finding.text;
  }
}

TEST_F(DoctorTest, AScriptIsAsGoodAsItsInterpreter) {
  const std::string program = Write("static", Elf(""));
  EXPECT_FALSE(ExamineCommand(Write("script", "#!" + program + " -x\n")).good);
  EXPECT_TRUE(ExamineCommand(Write("other", "#!/usr/bin/env sh\n")).good);
}

TEST_F(DoctorTest, AScriptThatNamesItselfEnds) {
  const std::string path = folder_->path() + "/loop";
  EXPECT_FALSE(ExamineCommand(Write("loop", "#!" + path + "\n")).good);
}

TEST_F(DoctorTest, AnInstallationWithAHoleIsNotGood) {
  Installation installation;
  installation.shim = Write("shim", "");
  size_t bad = 0;
  for (const Finding& finding : ExamineInstallation(installation)) bad += finding.good ? 0 : 1;
  EXPECT_EQ(bad, 5u);
  installation.shim = Write("with space", "");
  EXPECT_EQ(ExamineInstallation(installation).size(), 7u);
}

}  // namespace
}  // namespace outboard::run
