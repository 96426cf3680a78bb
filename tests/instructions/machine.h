#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/softgpu/exec/engine.h"
#include "server/softgpu/exec/texture.h"

// The engine on a bench: PTX text in, bytes of made-up device memory out.

namespace outboard::softgpu::testing {

// Made-up device addresses; where the bytes lie in this process is another matter.
inline constexpr uint64_t kDataAddress = 0x10'0000'0000;
inline constexpr uint64_t kVariableAddress = 0x20'0000'0000;
inline constexpr uint64_t kHeapAddress = 0x30'0000'0000;
inline constexpr size_t kDataBytes = 4 << 20;
inline constexpr size_t kHeapBytes = 64 << 10;

// The CPU levels that this machine can run, from 2 up.
std::vector<int> Levels();

// A test that runs once per CPU level, which is its parameter.
class LevelTest : public ::testing::TestWithParam<int> {
 protected:
  int level() const { return GetParam(); }
};
std::string LevelName(const ::testing::TestParamInfo<int>& info);

// A kernel's parameter buffer.
class Params {
 public:
  // Appends `value` at the next multiple of its size.
  template <class T>
  Params& Add(T value) {
    bytes_.resize((bytes_.size() + sizeof value - 1) / sizeof value * sizeof value + sizeof value);
    std::memcpy(bytes_.data() + bytes_.size() - sizeof value, &value, sizeof value);
    return *this;
  }
  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

// An engine with one program and one extent of data. Thread-compatible, but print, malloc and free may come from engine
// threads one at a time only: kernels that use them run on one thread.
class Machine final : public DeviceRuntime {
 public:
  explicit Machine(int level, unsigned threads = 1);

  // Replaces the program by `ptx`, which starts after .version, .target and .address_size. False, and a test failure,
  // if it is refused.
  bool Load(std::string_view ptx);

  // Why the program loaded last cannot run `kernel`; empty when it can.
  std::string Refusal(std::string_view kernel);

  std::optional<Fault> Run(std::string_view kernel, Dim3 grid, Dim3 block, const Params& params,
                           uint32_t dynamic_shared_bytes = 0, uint64_t chaos = 0, bool cooperative = false);

  // As Run, and a test failure if the kernel faults. False then.
  bool RunWell(std::string_view kernel, Dim3 grid, Dim3 block, const Params& params, uint32_t dynamic_shared_bytes = 0);

  // How many of the kernel's records run others along with themselves (Control::kFused).
  size_t FusedRecords(std::string_view kernel);

  // The line, as faults report it, on which `text` first stands in the program; a test failure if nowhere.
  uint32_t LineOf(std::string_view text) const;

  // The textures and surfaces of the launches from now on.
  void SetTextures(TextureTable table) { textures_ = std::make_shared<const TextureTable>(std::move(table)); }

  // How many blocks of the launches from now on can wait for each other.
  void SetResidents(uint64_t residents) { residents_ = residents; }

  std::byte* data() { return data_.data(); }
  template <class T>
  T Read(size_t offset) const {
    T value;
    std::memcpy(&value, data_.data() + offset, sizeof value);
    return value;
  }
  template <class T>
  void Write(size_t offset, T value) {
    std::memcpy(data_.data() + offset, &value, sizeof value);
  }
  void Fill(uint8_t value) { std::memset(data_.data(), value, data_.size()); }

  const std::string& printed() const { return printed_; }
  size_t live_allocations() const { return heap_live_.size(); }
  Module& module() { return *module_; }

 private:
  void Print(std::string_view text) override { printed_ += text; }
  uint64_t Malloc(uint64_t bytes) override;
  bool Free(uint64_t address) override;
  bool SetConditional(uint64_t, uint32_t) override { return false; }

  void RecordRun(std::string_view kernel);

  Engine engine_;
  std::string text_;
  std::shared_ptr<const ptx::Module> parsed_;
  std::set<std::string, std::less<>> kernels_run_;  // of this program
  std::unique_ptr<Module> module_;
  std::vector<std::byte> data_, variables_, heap_;
  std::shared_ptr<const TextureTable> textures_;
  uint64_t residents_ = 1;
  std::vector<uint64_t> heap_live_;
  uint64_t heap_next_ = 0;
  std::string printed_;
};

// Says that `form` was compared with its reference on inputs at this CPU level, in this process.
void RecordTested(const std::string& form, int level);

// Forms as PTX writes them (tests/tools/opcodes.h), of all kernels that were run at every level of Levels() in this
// process, those among them that are to fault, in alphabetical order.
std::vector<std::string> WrittenFormsRun();

// The forms recorded at every level of Levels(), in alphabetical order.
std::vector<std::string> TestedForms();

// Expects the bytes to be the same as those that came first under this key, at another level.
void ExpectSameAtEveryLevel(const std::string& key, int level, const void* bytes, size_t size);

}  // namespace outboard::softgpu::testing
