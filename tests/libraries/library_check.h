#pragma once

// Checks for programs that use a library of the CUDA toolkit.

#include <string>

#include "tests/programs/check_runtime.h"

namespace check {

// The libraries agree in this: 0 is success.
template <class Status>
void Done(Status status, Where where = Where::Here()) {
  if (static_cast<int>(status) != 0)
    Fail(where, "the library returns status " + std::to_string(static_cast<int>(status)));
}

// Small whole numbers, of which sums and products are exact in every type.
template <class T>
std::vector<T> WholeNumbers(Random* random, size_t count, int most) {
  std::vector<T> values(count);
  for (T& value : values) value = static_cast<T>(static_cast<int>(random->Bits() % (2 * most + 1)) - most);
  return values;
}

}  // namespace check
