#pragma once

#include "client/transport/transport.h"
#include "common/base/result.h"

namespace outboard::shim {

// Opens the transport plugin: OUTBOARD_TRANSPORT_PLUGIN, else liboutboard_grpc.so in the folder above this library's.
// Never closed.
//
// Its symbols stay its own (RTLD_LOCAL), and where the process's allocator is libc's it sees its own libraries first
// (RTLD_DEEPBIND), since applications bring their own copies of the same ones. With another allocator that would free
// memory of the one with the other.
Result<const OutboardTransport*> LoadTransport();

}  // namespace outboard::shim
