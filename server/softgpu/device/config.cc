#include "server/softgpu/device/config.h"

#include <unistd.h>

#include <string_view>

#include "common/base/env.h"
#include "common/base/limits.h"

namespace outboard::softgpu {
namespace {

// A variable as it was found: under which name, and its text.
struct Variable {
  std::string name;
  std::string text;
};

std::optional<Variable> Lookup(const char* name) {
  for (const std::string& full_name : {std::string("OUTBOARD_") + name, std::string(name)}) {
    if (std::optional<std::string> text = GetEnv(full_name.c_str())) return Variable{full_name, *text};
  }
  return std::nullopt;
}

// Reads variables one after the other and keeps the first complaint.
class Reader {
 public:
  template <class T>
  void Number(const char* name, uint64_t least, uint64_t most, T& out) {
    const std::optional<Variable> variable = Lookup(name);
    if (!variable) return;
    const std::optional<uint64_t> value = ParseNumber(variable->text);
    if (!value || *value < least || *value > most) {
      Complain(*variable, "a whole number from " + std::to_string(least) + " to " + std::to_string(most));
      return;
    }
    out = static_cast<T>(*value);
  }

  void Memory(uint64_t& out) {
    const std::optional<Variable> variable = Lookup("SOFTGPU_MEMORY");
    if (!variable) return;
    const std::optional<uint64_t> value = ParseBytes(variable->text);
    if (!value || *value < kMinSoftGpuMemory || *value > kMaxSoftGpuMemory) {
      Complain(*variable, "a number of bytes such as 4GiB, from 1MiB to 1TiB");
      return;
    }
    out = *value;
  }

  void ComputeCapability(int& major, int& minor) {
    const std::optional<Variable> variable = Lookup("SOFTGPU_CC");
    if (!variable) return;
    const std::string_view text = variable->text;
    const size_t dot = text.find('.');
    std::optional<uint64_t> before, after;
    if (dot != std::string_view::npos) {
      before = ParseNumber(text.substr(0, dot));
      after = ParseNumber(text.substr(dot + 1));
    }
    if (!before || !after || text.size() != dot + 2 || *before < 5 || *before > 99) {
      Complain(*variable, "a compute capability such as 13.0, from 5.0 to 99.9");
      return;
    }
    major = static_cast<int>(*before);
    minor = static_cast<int>(*after);
  }

  void CpuLevel(int& out) {
    const std::optional<Variable> variable = Lookup("SOFTGPU_CPU");
    if (!variable) return;
    const std::string& text = variable->text;
    if (text != "v2" && text != "v3" && text != "v4") {
      Complain(*variable, "v2, v3 or v4");
      return;
    }
    out = text[1] - '0';
  }

  void WhatToCheck(Checks& out) {
    const std::optional<Variable> variable = Lookup("SOFTGPU_CHECK");
    if (!variable) return;
    std::string_view rest = variable->text;
    for (bool is_last = false; !is_last;) {
      const size_t comma = rest.find(',');
      const std::string_view word = rest.substr(0, comma);
      is_last = comma == std::string_view::npos;
      if (!is_last) rest.remove_prefix(comma + 1);
      out.memory = true;
      if (word == "uninitialised" || word == "all") out.uninitialised = true;
      if (word == "races" || word == "all") out.races = true;
      if (word != "memory" && word != "uninitialised" && word != "races" && word != "all")
        return Complain(*variable, "words of memory, uninitialised, races and all, with commas between");
    }
  }

  void Path(const char* name, std::string& out) {
    const std::optional<Variable> variable = Lookup(name);
    if (!variable) return;
    if (variable->text.front() != '/') {
      Complain(*variable, "an absolute path");
      return;
    }
    out = variable->text;
  }

  void Arena(std::optional<uint64_t>& out) {
    const std::optional<Variable> variable = Lookup("SOFTGPU_ARENA");
    if (!variable) return;
    const std::optional<uint64_t> value = ParseNumber(variable->text);
    if (!value || *value % kArenaAlignment != 0 || *value == 0 || *value >= kHostAddressEnd) {
      Complain(*variable, "an address such as 0x200000000000, a multiple of 0x200000 below 0x800000000000");
      return;
    }
    out = *value;
  }

  std::optional<Error>& complaint() { return complaint_; }

 private:
  static constexpr uint64_t kMinSoftGpuMemory = uint64_t{1} << 20;
  static constexpr uint64_t kArenaAlignment = uint64_t{1} << 21;
  static constexpr uint64_t kHostAddressEnd = uint64_t{1} << 47;

  void Complain(const Variable& variable, const std::string& accepted) {
    if (!complaint_) complaint_ = Error{variable.name + " is \"" + variable.text + "\" but must be " + accepted + "."};
  }

  std::optional<Error> complaint_;
};

}  // namespace

Result<Config> ConfigFromEnvironment() {
  Config config;
  // With the files' layout (memory_object.cc): those that another version left lie elsewhere.
  config.directory = "/dev/shm/outboard-softgpu-2-" + std::to_string(geteuid());
  Reader reader;
  reader.Number("SOFTGPU_DEVICES", 1, kMaxDevices, config.devices);
  reader.Memory(config.memory_bytes);
  reader.Number("SOFTGPU_SMS", 1, kMaxSms, config.sm_count);
  reader.ComputeCapability(config.cc_major, config.cc_minor);
  reader.Number("SOFTGPU_THREADS", 0, 1024, config.threads);
  reader.CpuLevel(config.cpu_level);
  reader.Number("SOFTGPU_CHAOS", 0, UINT64_MAX, config.chaos);
  reader.WhatToCheck(config.checks);
  reader.Path("SOFTGPU_CHECK_COUNT", config.check_count);
  reader.Path("SOFTGPU_DIR", config.directory);
  reader.Arena(config.arena_base);
  if (reader.complaint()) return *reader.complaint();
  return config;
}

}  // namespace outboard::softgpu
