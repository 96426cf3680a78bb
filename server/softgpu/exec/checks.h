#pragma once

namespace outboard::softgpu {

// What is looked for while kernels run, beyond what ends them anyway. Chosen when the driver starts: a kernel is
// decoded for it, so that what is not asked for costs nothing.
struct Checks {
  bool memory = false;         // accesses are held against allocations, to the byte; reports are long
  bool uninitialised = false;  // reads of what nobody wrote
  bool races = false;          // of a block's threads, in its shared memory

  bool any() const { return memory || uninitialised || races; }
  // Whether accesses have to be looked at one by one.
  bool watches() const { return uninitialised || races; }
};

}  // namespace outboard::softgpu
