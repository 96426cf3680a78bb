#pragma once

#include <cstdint>

namespace outboard::softgpu {

// Who a process is, so that another process can tell later whether it still runs. A plain value; lies in shared memory.
struct ProcessIdentity {
  int32_t pid = 0;
  uint32_t pid_namespace = 0;  // inode number; 0 = unknown
  uint64_t start_time = 0;     // clock ticks since boot; 0 = unknown
  uint64_t program = 0;        // differs after execve, which keeps the rest

  bool operator==(const ProcessIdentity&) const = default;
};

// Reads /proc; to be asked anew after fork.
ProcessIdentity ThisProcess();

// True only when `other` has certainly ended, as a program or as a process. One whose process ids this process cannot
// see (another pid namespace) counts as running.
bool HasEnded(const ProcessIdentity& other, const ProcessIdentity& self);

}  // namespace outboard::softgpu
