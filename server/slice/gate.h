#pragma once

namespace outboard::slice {

// Every call that gives a GPU work passes here first. Open for now: slices share the GPU's time as
// its driver shares it.
//
// Thread-safe.
class Gate {
 public:
  void Pass() {}
};

}  // namespace outboard::slice
