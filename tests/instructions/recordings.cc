#include "tests/instructions/recordings.h"

#include <cuda.h>
#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

namespace outboard::softgpu::testing {
namespace {

constexpr size_t kStored = 128;                                      // inputs per case
constexpr size_t kDataBytes = 8 << 20, kResultsAt = kDataBytes / 2;  // on the device
constexpr std::string_view kTitle = "results of instructions, format 1";

ValueObserver* g_observer = nullptr;

uint64_t HashOf(std::span<const std::byte> bytes) {  // FNV-1a
  uint64_t hash = 0xcbf29ce484222325;
  for (const std::byte byte : bytes) hash = (hash ^ static_cast<uint64_t>(byte)) * 0x100000001b3;
  return hash;
}

// A case's name in the file, which has it in one line.
std::string NameOf(const ValueRun& run) {
  std::string name = run.key;
  std::replace(name.begin(), name.end(), '\n', ' ');
  return name;
}

// The guard's is the first row of cells.
bool IsGuardTrue(const ValueRun& run, size_t input) {
  uint64_t guard = 0;
  std::memcpy(&guard, run.cells.data() + input * 8, 8);
  return guard != 0;
}

// The results of the inputs that are kept.
std::vector<uint64_t> Kept(std::span<const std::byte> results, size_t inputs) {
  std::vector<uint64_t> kept;
  const size_t rows = results.size() / 8 / inputs, stored = std::min(kStored, inputs);
  for (size_t i = 0; i < stored; ++i) {
    for (size_t row = 0; row < rows; ++row) {
      uint64_t value = 0;
      std::memcpy(&value, results.data() + (row * inputs + i * inputs / stored) * 8, 8);
      kept.push_back(value);
    }
  }
  return kept;
}

// Whether a driver refuses a program so, be it as late as at a launch. After other errors it may compute nothing.
bool IsRefusal(CUresult code) {
  switch (code) {
    case CUDA_ERROR_INVALID_IMAGE:
    case CUDA_ERROR_NO_BINARY_FOR_GPU:
    case CUDA_ERROR_INVALID_PTX:
    case CUDA_ERROR_JIT_COMPILER_NOT_FOUND:
    case CUDA_ERROR_UNSUPPORTED_PTX_VERSION:
    case CUDA_ERROR_INVALID_SOURCE:
    case CUDA_ERROR_NOT_SUPPORTED:
      return true;
    default:
      return false;
  }
}

std::string Hex(uint64_t value) {
  char text[20];
  std::snprintf(text, sizeof text, "%llx", static_cast<unsigned long long>(value));
  return text;
}

}  // namespace

void ObserveValues(ValueObserver* observer) { g_observer = observer; }
ValueObserver* ObserverOfValues() { return g_observer; }

struct Recorder::Driver {
  template <class F>
  bool Find(F** function, const char* name) {
    *function = reinterpret_cast<F*>(dlsym(library, name));
    return *function != nullptr;
  }
  // Whatever cuda.h calls the newest one, the symbols are these.
  bool FindAll() {
    return Find(&init, "cuInit") && Find(&get_version, "cuDriverGetVersion") && Find(&get_name, "cuDeviceGetName") &&
           Find(&get_attribute, "cuDeviceGetAttribute") && Find(&retain, "cuDevicePrimaryCtxRetain") &&
           Find(&set_current, "cuCtxSetCurrent") && Find(&load, "cuModuleLoadData") &&
           Find(&unload, "cuModuleUnload") && Find(&get_function, "cuModuleGetFunction") &&
           Find(&allocate, "cuMemAlloc_v2") && Find(&set, "cuMemsetD8_v2") && Find(&copy_in, "cuMemcpyHtoD_v2") &&
           Find(&copy_out, "cuMemcpyDtoH_v2") && Find(&launch, "cuLaunchKernel");
  }

  void* library = nullptr;  // stays open
  CUdeviceptr data = 0;     // kDataBytes
  CUresult (*init)(unsigned) = nullptr;
  CUresult (*get_version)(int*) = nullptr;
  CUresult (*get_name)(char*, int, CUdevice) = nullptr;
  CUresult (*get_attribute)(int*, CUdevice_attribute, CUdevice) = nullptr;
  CUresult (*retain)(CUcontext*, CUdevice) = nullptr;
  CUresult (*set_current)(CUcontext) = nullptr;
  CUresult (*load)(CUmodule*, const void*) = nullptr;
  CUresult (*unload)(CUmodule) = nullptr;
  CUresult (*get_function)(CUfunction*, CUmodule, const char*) = nullptr;
  CUresult (*allocate)(CUdeviceptr*, size_t) = nullptr;
  CUresult (*set)(CUdeviceptr, unsigned char, size_t) = nullptr;
  CUresult (*copy_in)(CUdeviceptr, const void*, size_t) = nullptr;
  CUresult (*copy_out)(void*, CUdeviceptr, size_t) = nullptr;
  CUresult (*launch)(CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, CUstream, void**,
                     void**) = nullptr;
};

Recorder::Recorder(std::unique_ptr<Driver> driver) : driver_(std::move(driver)) {}
Recorder::~Recorder() = default;

std::unique_ptr<Recorder> Recorder::Open(const std::string& path, std::string* error) {
  auto driver = std::make_unique<Driver>();
  driver->library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (driver->library == nullptr || !driver->FindAll()) {
    *error = dlerror();
    return nullptr;
  }
  int version = 0, major = 0, minor = 0;
  char name[256] = "";
  CUcontext context = nullptr;
  for (const auto& step :
       {driver->init(0), driver->get_version(&version), driver->get_name(name, sizeof name, 0),
        driver->get_attribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 0),
        driver->get_attribute(&minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 0), driver->retain(&context, 0),
        driver->set_current(context), driver->allocate(&driver->data, kDataBytes)}) {
    if (step == CUDA_SUCCESS) continue;
    *error = "the driver " + path + " has no device that can be used: CUresult " + std::to_string(step);
    return nullptr;
  }
  std::unique_ptr<Recorder> recorder(new Recorder(std::move(driver)));
  recorder->recording_ = {.device = name,
                          .driver = std::to_string(version),
                          .compute = std::to_string(major) + "." + std::to_string(minor),
                          .is_rehearsal = std::string_view(name).find("software") != std::string_view::npos,
                          .cases = {}};
  return recorder;
}

RecordedCase Recorder::RunCase(const ValueRun& run) {
  Driver& driver = *driver_;
  RecordedCase result{.inputs_hash = HashOf(run.cells), .refused = {}, .results = {}};
  if (run.cells.size() > kResultsAt || run.results.size() > kDataBytes - kResultsAt) std::abort();
  CUmodule module = nullptr;
  CUfunction function = nullptr;
  if (const CUresult code = driver.load(&module, run.ptx.c_str()); code != CUDA_SUCCESS) {
    result.refused = code;
    return result;
  }
  std::vector<std::byte> results(run.results.size());
  CUdeviceptr in = driver.data, out = driver.data + kResultsAt;
  void* params[] = {&in, &out};
  const auto blocks = static_cast<unsigned>(run.inputs / run.threads_per_block);
  for (const CUresult step :
       {driver.get_function(&function, module, "test"), driver.set(out, 0, run.results.size()),
        driver.copy_in(in, run.cells.data(), run.cells.size()),
        driver.launch(function, blocks, 1, 1, run.threads_per_block, 1, 1, 0, nullptr, params, nullptr),
        driver.copy_out(results.data(), out, results.size())}) {
    if (step != CUDA_SUCCESS && !result.refused) result.refused = step;
  }
  driver.unload(module);
  if (!result.refused) result.results = Kept(results, run.inputs);
  return result;
}

void Recorder::See(const ValueRun& run) {
  if (!failure_.empty()) return;
  RecordedCase result = RunCase(run);
  if (result.refused && !IsRefusal(static_cast<CUresult>(*result.refused))) {
    failure_ = recording_.device + " failed at " + NameOf(run) + " with CUresult " + std::to_string(*result.refused);
  }
  recording_.cases[NameOf(run)] = std::move(result);
}

bool WriteRecording(const Recording& recording, const std::string& path) {
  std::ofstream file(path);
  file << kTitle << "\ndevice " << recording.device << "\ndriver " << recording.driver << "\ncompute "
       << recording.compute << "\n";
  if (recording.is_rehearsal) file << "rehearsal\n";
  for (const auto& [key, value] : recording.cases) {
    file << "case " << key << "\ninputs " << Hex(value.inputs_hash) << "\n";
    if (value.refused) {
      file << "refused " << *value.refused << "\n";
      continue;
    }
    file << "results";
    for (const uint64_t result : value.results) file << " " << Hex(result);
    file << "\n";
  }
  return static_cast<bool>(file.flush());
}

std::optional<Recording> ReadRecording(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line) || line != kTitle) return std::nullopt;
  Recording recording;
  RecordedCase* current = nullptr;
  while (std::getline(file, line)) {
    const size_t blank = std::min(line.find(' '), line.size());
    const std::string word = line.substr(0, blank), rest = line.substr(std::min(blank + 1, line.size()));
    if (word == "device") {
      recording.device = rest;
    } else if (word == "driver") {
      recording.driver = rest;
    } else if (word == "compute") {
      recording.compute = rest;
    } else if (word == "rehearsal") {
      recording.is_rehearsal = true;
    } else if (word == "case") {
      current = &recording.cases[rest];
    } else if (current == nullptr) {
      return std::nullopt;
    } else if (word == "inputs") {
      current->inputs_hash = std::strtoull(rest.c_str(), nullptr, 16);
    } else if (word == "refused") {
      current->refused = std::atoi(rest.c_str());
    } else if (word == "results") {
      std::istringstream values(rest);
      for (std::string value; values >> value;) current->results.push_back(std::strtoull(value.c_str(), nullptr, 16));
    } else {
      return std::nullopt;
    }
  }
  return recording;
}

void Comparer::See(const ValueRun& run) {
  const auto found = recording_.cases.find(NameOf(run));
  if (found == recording_.cases.end()) {
    ++unrecorded_;
    return;
  }
  const RecordedCase& recorded = found->second;
  if (recorded.refused) {
    ++refused_;
    return;
  }
  ++compared_;
  if (recorded.inputs_hash != HashOf(run.cells)) {
    return Fail(run, "was recorded with other inputs: record it again, or take it out");
  }
  const std::vector<uint64_t> ours = Kept(run.results, run.inputs);
  if (ours.size() != recorded.results.size()) return Fail(run, "was recorded with another number of results");
  const size_t stored = std::min(kStored, run.inputs), rows = ours.size() / stored;
  const auto input_of = [&](size_t result) { return result / rows * run.inputs / stored; };
  size_t count = 0, first = ours.size();
  bool guarded = false;
  for (size_t i = ours.size(); i-- > 0;) {
    if (ours[i] == recorded.results[i]) continue;
    ++count;
    first = i;
    guarded = guarded || IsGuardTrue(run, input_of(i));
  }
  if (count == 0) return;
  Differ(run,
         std::to_string(count) + " of " + std::to_string(ours.size()) + " results differ; of input " +
             std::to_string(input_of(first)) + " it is " + Hex(ours[first]) + ", recorded is " +
             Hex(recorded.results[first]),
         guarded);
}

void Comparer::Differ(const ValueRun& run, const std::string& how, bool guarded) {
  for (const auto& [beginning, reason] : known_) {
    if (!run.key.starts_with(beginning) || (reason.unguarded && guarded)) continue;
    ++explained_;
    std::printf("known: %s: %s (%s)\n", NameOf(run).c_str(), how.c_str(), reason.why.c_str());
    return;
  }
  Fail(run, how);
}

void Comparer::Fail(const ValueRun& run, const std::string& how) {
  ++differences_;
  std::printf("DIFFERS: %s: %s\n", NameOf(run).c_str(), how.c_str());
}

bool Comparer::Finish() const {
  std::printf(
      "%s, driver %s%s: %zu cases compared, %zu known to differ, %zu differ; %zu refused there, %zu not recorded\n",
      recording_.device.c_str(), recording_.driver.c_str(), recording_.is_rehearsal ? " (rehearsal)" : "", compared_,
      explained_, differences_, refused_, unrecorded_);
  return compared_ > 0 && differences_ == 0;
}

std::optional<Comparer::Known> ReadKnownDifferences(const std::string& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  Comparer::Known known;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line.starts_with("#")) continue;
    const size_t colon = line.find(": ");
    if (colon == std::string::npos) return std::nullopt;
    constexpr std::string_view kUnguarded = " (unguarded)";
    std::string beginning = line.substr(0, colon);
    const bool unguarded = beginning.ends_with(kUnguarded);
    if (unguarded) beginning.resize(beginning.size() - kUnguarded.size());
    known[beginning] = {line.substr(colon + 2), unguarded};
  }
  return known;
}

}  // namespace outboard::softgpu::testing
