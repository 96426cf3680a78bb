#include "server/worker/call.h"
#include "server/worker/custom.gen.h"
#include "server/worker/exports.h"
#include "server/worker/session.h"

// Event management.

namespace outboard::worker::custom {

CUresult cuEventDestroy(Call& call, CUevent hEvent) { return cuEventDestroy_v2(call, hEvent); }

CUresult cuEventDestroy_v2(Call& call, CUevent hEvent) {
  call.session().exports().ForgetEvent(hEvent);  // before: another thread may be given the same one at once
  return call.driver().cuEventDestroy_v2(hEvent);
}

CUresult cuEventSynchronize(Call& call, CUevent hEvent) {
  const CUresult result = call.driver().cuEventSynchronize(hEvent);
  call.session().SettleMemory();
  return result;
}

}  // namespace outboard::worker::custom
