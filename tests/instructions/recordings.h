#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// What a device of a driver makes of the value cases (values.h), kept in a file: made once where there is a GPU, and
// compared with the engine everywhere.
//
// The file is text: "device NAME", "driver VERSION" and "compute MAJOR.MINOR" of the device, "rehearsal" if that is no
// GPU, and for each case
//     case FORM AND TEXT             as values.h has them
//     inputs HASH                    of all that the kernel read
//     results HEX HEX ...            of kStored inputs, spread evenly; all results of one input together
// or, in place of the last line, "refused CODE", the driver's CUresult.

namespace outboard::softgpu::testing {

// What stands before every program of the tests.
std::string_view PtxHead();

// A value case, as it ran on the engine.
struct ValueRun {
  std::string key;                     // unique: its form and text
  std::string ptx;                     // a program with the kernel test(address of the cells, address of the results)
  std::span<const std::byte> cells;    // what it reads
  std::span<const std::byte> results;  // what the engine's wrote: rows of `inputs` cells of 8 bytes
  size_t inputs;
  uint32_t threads_per_block;
};

class ValueObserver {
 public:
  virtual ~ValueObserver() = default;
  virtual void See(const ValueRun& run) = 0;
};

// Who is told of each value case at the lowest CPU level from now on; null for nobody.
void ObserveValues(ValueObserver* observer);
ValueObserver* ObserverOfValues();

struct RecordedCase {
  uint64_t inputs_hash = 0;
  std::optional<int> refused;
  std::vector<uint64_t> results;
};
struct Recording {
  std::string device, driver, compute;
  bool is_rehearsal = false;
  std::map<std::string, RecordedCase> cases;
};

// Runs every case on device 0 of a driver as well.
class Recorder final : public ValueObserver {
 public:
  // `driver`: path of a libcuda.so.1. Null, and why in `error`, if it has no device.
  static std::unique_ptr<Recorder> Open(const std::string& driver, std::string* error);
  ~Recorder() override;
  void See(const ValueRun& run) override;
  const Recording& recording() const { return recording_; }
  // Which case the device failed at, other than by refusing its program: what it records is of no use then.
  const std::string& failure() const { return failure_; }

 private:
  struct Driver;
  explicit Recorder(std::unique_ptr<Driver> driver);
  RecordedCase RunCase(const ValueRun& run);

  const std::unique_ptr<Driver> driver_;
  Recording recording_;
  std::string failure_;
};

bool WriteRecording(const Recording& recording, const std::string& path);
std::optional<Recording> ReadRecording(const std::string& path);

// Compares every case with a recording. `known`: by the beginning of a form, or of a text without one, why its results
// differ.
class Comparer final : public ValueObserver {
 public:
  struct Reason {
    std::string why;
    bool unguarded;  // only where the guard is false
  };
  using Known = std::map<std::string, Reason>;
  Comparer(Recording recording, Known known) : recording_(std::move(recording)), known_(std::move(known)) {}
  void See(const ValueRun& run) override;
  // Prints what was compared. True when there were cases and all differences are known.
  bool Finish() const;

 private:
  // Which may be known. `guarded`: some of what differs is of an instruction whose guard was true.
  void Differ(const ValueRun& run, const std::string& how, bool guarded);
  void Fail(const ValueRun& run, const std::string& how);

  const Recording recording_;
  const Known known_;
  size_t compared_ = 0, refused_ = 0, unrecorded_ = 0, explained_ = 0, differences_ = 0;
};

// Lines "BEGINNING OF A FORM: why its results differ", or "BEGINNING OF A FORM (unguarded): ..."; empty ones and those
// with # are for readers.
std::optional<Comparer::Known> ReadKnownDifferences(const std::string& path);

}  // namespace outboard::softgpu::testing
