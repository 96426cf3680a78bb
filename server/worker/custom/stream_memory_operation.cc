#include <vector>

#include "server/worker/call.h"
#include "server/worker/custom.gen.h"

// Stream memory operations: batches, which travel without their twins and versions.

namespace outboard::worker::custom {

CUresult outboardStreamBatchMemOp(Call& call, CUstream stream, unsigned int version,
                                  const CUstreamBatchMemOpParams* operations, unsigned int count, unsigned int flags) {
  const driver::DriverTable& driver = call.driver();
  const auto run = version == 2 ? driver.cuStreamBatchMemOp_v2 : version == 1 ? driver.cuStreamBatchMemOp : nullptr;
  if (run == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  if (operations == nullptr) return run(stream, count, nullptr, flags);
  std::vector<CUstreamBatchMemOpParams> own(operations, operations + count);  // the driver may write into it
  return run(stream, count, own.data(), flags);
}

}  // namespace outboard::worker::custom
