#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "common/base/result.h"

namespace outboard::softgpu {

// An event that several processes know: which record of it was the last, and which was reached. A file in the folder of
// the devices; it goes with who made it, or, if that was killed, when the next one is made. Others that have opened it
// go on with what they have.
//
// Records are numbered from 1, over all processes. One whose process ends before it was reached counts as reached.
//
// Thread-safe, and never waits for another process but in Wait.
class SharedEvent {
 public:
  using Name = std::array<uint8_t, 16>;  // random; the file's

  // The folder must be there.
  static Result<std::shared_ptr<SharedEvent>> Make(const std::string& directory);
  // One that another process has made. Null when it is gone, or as many processes as can be have opened it.
  static std::shared_ptr<SharedEvent> Open(const std::string& directory, const Name& name);
  ~SharedEvent();
  SharedEvent(const SharedEvent&) = delete;
  SharedEvent& operator=(const SharedEvent&) = delete;

  const Name& name() const;
  bool made_here() const;  // by this process, perhaps by another object

  uint64_t Record();                    // the number of a new record
  void Reach(uint64_t record);          // that this process has made
  uint64_t last() const;                // record; 0 before the first
  bool Reached(uint64_t record) const;  // of 0 too
  void Wait(uint64_t record);

 private:
  struct State;
  explicit SharedEvent(std::unique_ptr<State> state);
  const std::unique_ptr<State> state_;
};

}  // namespace outboard::softgpu
