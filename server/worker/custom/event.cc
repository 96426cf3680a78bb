#include "server/worker/call.h"
#include "server/worker/custom.gen.h"
#include "server/worker/session.h"

// Event management.

namespace outboard::worker::custom {

CUresult cuEventSynchronize(Call& call, CUevent hEvent) {
  const CUresult result = call.driver().cuEventSynchronize(hEvent);
  call.session().SettleMemory();
  return result;
}

}  // namespace outboard::worker::custom
