#include "server/worker/call.h"
#include "server/worker/custom.gen.h"
#include "server/worker/session.h"

// Stream management.

namespace outboard::worker::custom {

CUresult cuStreamSynchronize(Call& call, CUstream hStream) {
  const CUresult result = call.driver().cuStreamSynchronize(hStream);
  call.session().SettleMemory();
  return result;
}

}  // namespace outboard::worker::custom
