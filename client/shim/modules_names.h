#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstring>
#include <string>

#include "common/base/limits.h"

namespace outboard::shim {

// The name that `ask(text, room)` brings, a remote call that cuts it to the room that it is given.
template <class Ask>
CUresult AskName(std::string* name, Ask ask) {
  for (size_t room = 256;; room *= 4) {
    name->resize(room);
    const CUresult result = ask(name->data(), room);
    if (result != CUDA_SUCCESS) return result;
    name->resize(strnlen(name->data(), room));
    if (name->size() + 1 < room || room > kMaxPayloadBytes / 4) return CUDA_SUCCESS;
  }
}

}  // namespace outboard::shim
