#include "client/run/doctor.h"

#include <elf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <string_view>

namespace outboard::run {
namespace {

constexpr int kMaxInterpreters = 4;  // as many as Linux follows

bool IsProgram(const std::string& path) {
  struct stat found;
  return stat(path.c_str(), &found) == 0 && S_ISREG(found.st_mode) && access(path.c_str(), X_OK) == 0;
}

std::optional<std::string> FindInPath(const std::string& command) {
  if (command.find('/') != std::string::npos) return IsProgram(command) ? std::optional(command) : std::nullopt;
  const char* const path = std::getenv("PATH");
  std::string_view rest = path != nullptr ? path : "/usr/bin:/bin";
  for (;;) {
    const size_t end = rest.find(':');
    std::string candidate(rest.substr(0, end));
    candidate += (candidate.empty() ? "./" : "/") + command;
    if (IsProgram(candidate)) return candidate;
    if (end == std::string_view::npos) return std::nullopt;
    rest.remove_prefix(end + 1);
  }
}

// What the dynamic linker of an ELF program is; empty for a static one, nullopt for what is no 64-bit ELF program.
std::optional<std::string> ReadInterpreter(std::ifstream& file) {
  Elf64_Ehdr header;
  if (!file.seekg(0).read(reinterpret_cast<char*>(&header), sizeof header) ||
      std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64) {
    return std::nullopt;
  }
  for (int i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    file.seekg(static_cast<std::streamoff>(header.e_phoff + i * sizeof segment));
    if (!file.read(reinterpret_cast<char*>(&segment), sizeof segment)) return std::nullopt;
    if (segment.p_type != PT_INTERP) continue;
    char name[256] = {};
    file.seekg(static_cast<std::streamoff>(segment.p_offset));
    file.read(name, static_cast<std::streamsize>(std::min<uint64_t>(segment.p_filesz, sizeof name - 1)));
    return std::string(name);
  }
  return std::string();
}

// `interpreters`: how many scripts may still run each other.
Finding Examine(const std::string& command, int interpreters) {
  const std::optional<std::string> path = FindInPath(command);
  if (!path) return {false, command + " is no program, or not in PATH"};
  struct stat facts;
  if (stat(path->c_str(), &facts) == 0 && (facts.st_mode & (S_ISUID | S_ISGID)) != 0) {
    return {false, *path +
                       " is setuid or setgid: the dynamic linker ignores LD_PRELOAD for it, so it does not see our "
                       "driver"};
  }
  std::ifstream file(*path, std::ios::binary);
  char start[2] = {};
  file.read(start, sizeof start);
  if (start[0] == '#' && start[1] == '!') {
    std::string interpreter;
    file >> interpreter;
    if (interpreter == "/usr/bin/env") file >> interpreter;
    if (interpreters == 0) return {false, *path + " is a script of a script of a script, and so on"};
    Finding finding = Examine(interpreter, interpreters - 1);
    finding.text = *path + " is a script of " + interpreter + "; " + finding.text;
    return finding;
  }
  const std::optional<std::string> interpreter = ReadInterpreter(file);
  if (!interpreter) return {false, *path + " is no 64-bit ELF program"};
  if (interpreter->empty()) {
    return {false, *path + " is linked statically: it loads no driver library, so it does not see ours"};
  }
  if (interpreter->find("musl") != std::string::npos) {
    return {false, *path + " is made for the C library musl (" + *interpreter + "); our driver is made for glibc"};
  }
  return {true, *path + " is a dynamic program of " + *interpreter};
}

}  // namespace

std::vector<Finding> ExamineInstallation(const Installation& installation) {
  std::vector<Finding> findings;
  for (const std::string& path : {installation.shim, installation.nvml, installation.plugin, installation.node,
                                  installation.worker, installation.softgpu}) {
    const bool there = access(path.c_str(), R_OK) == 0;
    findings.push_back({there, path + (there ? " is there" : " is missing: the installation is not whole")});
  }
  if (installation.shim.find_first_of(": ;") != std::string::npos) {
    findings.push_back({false, installation.shim +
                                   " has a space, colon or semicolon in its path, which LD_PRELOAD cannot "
                                   "hold: move the installation"});
  }
  return findings;
}

Finding ExamineCommand(const std::string& command) { return Examine(command, kMaxInterpreters); }

}  // namespace outboard::run
