#pragma once

#include <absl/synchronization/mutex.h>

namespace outboard {

// Has gRPC's mutexes lock and do nothing else. Debian builds Abseil with its search for deadlocks on, for which each
// lock in a thread that has one already takes a lock of the whole process (absl/synchronization/mutex.h,
// SetMutexDeadlockDetectionMode). To be called before there are threads; for sources that are linked with gRPC.
inline void OnlyLockGrpcLocks() { absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore); }

}  // namespace outboard
