#include "tests/instructions/machine.h"

#include <algorithm>
#include <map>
#include <set>

#include "server/softgpu/exec/kernel.h"
#include "server/softgpu/ptx/parser.h"
#include "tests/instructions/recordings.h"
#include "tests/tools/opcodes.h"

namespace outboard::softgpu::testing {
namespace {

constexpr std::string_view kHead = ".version 9.0\n.target sm_90\n.address_size 64\n";

// What has been tested so far in this process.
struct Record {
  using Levels = std::map<std::string, std::set<int>>;
  Levels levels_of_form, levels_of_written_form;
  struct Bytes {
    int level;
    std::vector<std::byte> bytes;
  };
  std::map<std::string, Bytes> outputs;
};
Record& RecordOfProcess() {
  static Record record;
  return record;
}

std::vector<std::string> AtEveryLevel(const Record::Levels& levels_of) {
  std::vector<std::string> forms;
  const size_t levels = Levels().size();
  for (const auto& [form, tested] : levels_of) {
    if (tested.size() == levels) forms.push_back(form);
  }
  return forms;
}

}  // namespace

std::vector<int> Levels() {
  std::vector<int> levels;
  for (int level = 2; level <= Engine::HighestCpuLevel(); ++level) levels.push_back(level);
  return levels;
}

std::string LevelName(const ::testing::TestParamInfo<int>& info) { return "v" + std::to_string(info.param); }

Machine::Machine(int level, unsigned threads) : engine_(threads, level), data_(kDataBytes), heap_(kHeapBytes) {}

std::string_view PtxHead() { return kHead; }

bool Machine::Load(std::string_view ptx) {
  text_ = std::string(kHead) + std::string(ptx);
  module_.reset();
  Result<std::unique_ptr<ptx::Module>> parsed = ptx::ParseModule(text_);
  if (!parsed) {
    ADD_FAILURE() << parsed.error().message << "\n" << text_;
    return false;
  }
  parsed_ = std::move(*parsed);
  kernels_run_.clear();
  Result<std::unique_ptr<Module>> linked = Module::Link({parsed_});
  if (!linked) {
    ADD_FAILURE() << linked.error().message << "\n" << text_;
    return false;
  }
  module_ = std::move(*linked);
  variables_.assign(module_->variable_bytes() + 256, std::byte{0});
  module_->Place(kVariableAddress, variables_.data());
  return true;
}

std::string Machine::Refusal(std::string_view kernel) {
  const Result<const Kernel*> prepared = module_->Prepare(kernel, engine_);
  return prepared ? "" : prepared.error().message;
}

std::optional<Fault> Machine::Run(std::string_view kernel, Dim3 grid, Dim3 block, const Params& params,
                                  uint32_t dynamic_shared_bytes, uint64_t chaos, bool cooperative) {
  if (module_ == nullptr) return Fault{.kind = FaultKind::kIllegalInstruction, .message = "no program"};
  const Result<const Kernel*> prepared = module_->Prepare(kernel, engine_);
  if (!prepared) {
    ADD_FAILURE() << prepared.error().message << "\n" << text_;
    return Fault{.kind = FaultKind::kIllegalInstruction, .message = prepared.error().message};
  }
  RecordRun(kernel);
  const ExtentTable memory = {{kDataAddress, kDataAddress + data_.size(), data_.data()},
                              {kVariableAddress, kVariableAddress + variables_.size(), variables_.data()},
                              {kHeapAddress, kHeapAddress + heap_.size(), heap_.data()}};
  Launch launch{.grid = grid,
                .block = block,
                .dynamic_shared_bytes = dynamic_shared_bytes,
                .params = params.bytes(),
                .sm_count = 3,
                .chaos = chaos,
                .textures = textures_,
                .residents = residents_,
                .cooperative = cooperative};
  EXPECT_EQ(launch.params.size(), InfoOf(**prepared).param_bytes);
  return engine_.Run(**prepared, launch, memory, *this);
}

bool Machine::RunWell(std::string_view kernel, Dim3 grid, Dim3 block, const Params& params,
                      uint32_t dynamic_shared_bytes) {
  const std::optional<Fault> fault = Run(kernel, grid, block, params, dynamic_shared_bytes);
  if (fault) ADD_FAILURE() << fault->message << "\n" << text_;
  return !fault;
}

size_t Machine::FusedRecords(std::string_view kernel) {
  const Result<const Kernel*> prepared = module_->Prepare(kernel, engine_);
  EXPECT_TRUE(prepared) << (prepared ? "" : prepared.error().message);
  if (!prepared) return 0;
  const std::vector<Inst>& code = (*prepared)->code;
  return static_cast<size_t>(
      std::count_if(code.begin(), code.end(), [](const Inst& inst) { return inst.control == Control::kFused; }));
}

uint32_t Machine::LineOf(std::string_view text) const {
  const size_t place = text_.find(text);
  if (place == std::string::npos) {
    ADD_FAILURE() << "the program does not contain " << text;
    return 0;
  }
  return 1 + static_cast<uint32_t>(std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(place), '\n'));
}

uint64_t Machine::Malloc(uint64_t bytes) {
  const uint64_t size = (bytes + 15) / 16 * 16;
  if (bytes > heap_.size() || heap_next_ + size > heap_.size()) return 0;
  const uint64_t address = kHeapAddress + heap_next_;
  heap_next_ += std::max<uint64_t>(size, 16);
  heap_live_.push_back(address);
  return address;
}

bool Machine::Free(uint64_t address) { return std::erase(heap_live_, address) == 1; }

// The kernel's forms, and those of all functions of its program.
void Machine::RecordRun(std::string_view kernel) {
  if (!kernels_run_.emplace(kernel).second) return;
  for (const ptx::Function& function : parsed_->functions) {
    if (function.is_entry && function.name != kernel) continue;
    const auto forms = tools::FormsOf(*parsed_, function);
    if (!forms) continue;  // of a function that no kernel which ran can call
    for (const std::string& form : *forms) {
      RecordOfProcess().levels_of_written_form[form].insert(engine_.cpu_level());
    }
  }
}

void RecordTested(const std::string& form, int level) { RecordOfProcess().levels_of_form[form].insert(level); }

std::vector<std::string> TestedForms() { return AtEveryLevel(RecordOfProcess().levels_of_form); }
std::vector<std::string> WrittenFormsRun() { return AtEveryLevel(RecordOfProcess().levels_of_written_form); }

void ExpectSameAtEveryLevel(const std::string& key, int level, const void* bytes, size_t size) {
  const auto* begin = static_cast<const std::byte*>(bytes);
  const auto [place, is_new] = RecordOfProcess().outputs.try_emplace(key, Record::Bytes{level, {begin, begin + size}});
  if (is_new || place->second.level == level) return;
  const std::vector<std::byte>& first = place->second.bytes;
  ASSERT_EQ(first.size(), size) << key;
  const auto differ = std::mismatch(first.begin(), first.end(), begin).first;
  EXPECT_TRUE(differ == first.end()) << key << ": level v" << level << " and level v" << place->second.level
                                     << " differ first at byte " << differ - first.begin() << " of the results";
}

}  // namespace outboard::softgpu::testing
