#include <optional>
#include <type_traits>

#include "client/shim/call.h"
#include "client/shim/captures.h"
#include "client/shim/custom.gen.h"
#include "client/shim/device_attribute.h"
#include "client/shim/memory.h"
#include "client/shim/memory_call.h"
#include "client/shim/remote.gen.h"
#include "common/base/number_of.h"

// Stream memory operations: a stream waits for a value in device memory, or writes one. Page-locked memory is the
// client's, where no stream can look, so it is refused as memory that is not mapped.

namespace outboard::custom {

using namespace shim;

namespace {

// What the current context's device lets these operations be, in the first version of the calls (1) or the second.
class Abilities {
 public:
  Abilities(Process& process, const Current& current, unsigned version)
      : device_(process.worker().devices[static_cast<size_t>(current.device)]), is_first_(version == 1) {}

  // Whether the driver takes words of so many bytes for sure.
  bool Takes(size_t bytes) const {
    if (is_first_ && !Has(CU_DEVICE_ATTRIBUTE_CAN_USE_STREAM_MEM_OPS_V1)) return false;
    return bytes == 4 || Has(is_first_ ? CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS_V1
                                       : CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS);
  }

  // The same of the flags of a wait,
  bool WaitsBy(unsigned flags) const {
    if (flags != CU_STREAM_WAIT_VALUE_NOR) return flags < CU_STREAM_WAIT_VALUE_NOR;
    return Has(is_first_ ? CU_DEVICE_ATTRIBUTE_CAN_USE_STREAM_WAIT_VALUE_NOR_V1
                         : CU_DEVICE_ATTRIBUTE_CAN_USE_STREAM_WAIT_VALUE_NOR);
  }
  // and of a write.
  static bool WritesBy(unsigned flags) { return flags == CU_STREAM_WRITE_VALUE_DEFAULT; }

 private:
  bool Has(CUdevice_attribute attribute) const { return AttributeOf(device_, attribute) != 0; }

  const wire::DeviceInfo& device_;
  const bool is_first_;
};

// Whether the driver takes a word of so many bytes at the address for sure. The address is device memory.
bool IsWord(const Memory& memory, const Current& current, const Abilities& abilities, CUdeviceptr address,
            size_t bytes) {
  return address % bytes == 0 && memory.Has(current.context, current.device, address, bytes) && abilities.Takes(bytes);
}

enum class Kind { kWait, kWrite };

// What a capture makes of a batch; nullopt when it is to be done.
std::optional<CUresult> Capture(Process& process, const Current& current, CUstream stream,
                                const CUstreamBatchMemOpParams* operations, unsigned count, unsigned flags) {
  return CaptureInstead(process, stream, [&](graphs::OperationPtr* operation) {
    CUgraphNodeParams params{};
    params.type = CU_GRAPH_NODE_TYPE_BATCH_MEM_OP;
    params.memOp = {current.context, count, const_cast<CUstreamBatchMemOpParams*>(operations), flags};
    return MakeOperation(process, &params, operation);
  });
}

template <class T>
CUstreamBatchMemOpType OperationOf(Kind kind) {
  if (kind == Kind::kWait) return sizeof(T) == 4 ? CU_STREAM_MEM_OP_WAIT_VALUE_32 : CU_STREAM_MEM_OP_WAIT_VALUE_64;
  return sizeof(T) == 4 ? CU_STREAM_MEM_OP_WRITE_VALUE_32 : CU_STREAM_MEM_OP_WRITE_VALUE_64;
}

// Flags of a write that mean nothing for a node; the second version has lost them.
unsigned FreeFlags(unsigned version) { return version == 1 ? unsigned{CU_STREAM_WRITE_VALUE_NO_MEMORY_BARRIER} : 0; }

template <class T>
using Operation = CUresult (*)(CUstream, CUdeviceptr, T, unsigned, bool certain);

template <class T>
CUresult Operate(Kind kind, unsigned version, Operation<T> operation, CUstream stream, CUdeviceptr address,
                 std::type_identity_t<T> value, unsigned flags) {
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  Memory& memory = process.memory();
  if (!memory.IsDeviceMemory(address)) return CUDA_ERROR_INVALID_VALUE;
  if (CapturesOf(process).any()) {
    CUstreamBatchMemOpParams given{};
    given.operation = OperationOf<T>(kind);
    // Waits and writes have these members at the same places.
    given.waitValue.address = address;
    given.waitValue.value64 = value;
    given.waitValue.flags = kind == Kind::kWait ? flags : flags & ~FreeFlags(version);
    if (const auto captured = Capture(process, current, stream, &given, 1, 0)) return *captured;
  }
  const Abilities abilities(process, current, version);
  const bool flags_are_good = kind == Kind::kWait ? abilities.WaitsBy(flags) : Abilities::WritesBy(flags);
  const bool certain =
      flags_are_good && IsOfCurrentContext(stream) && IsWord(memory, current, abilities, address, sizeof(T));
  if (kind == Kind::kWait) memory.NoteStreamWait();
  return operation(stream, address, value, flags, certain);
}

// One operation of a batch.
struct Step {
  Kind kind;
  size_t bytes;  // of its word; 0 for one without
};

// Nullopt for what is no operation.
std::optional<Step> StepOf(const CUstreamBatchMemOpParams& parameters) {
  switch (NumberOf(parameters.operation)) {
    case CU_STREAM_MEM_OP_WAIT_VALUE_32:
      return Step{Kind::kWait, 4};
    case CU_STREAM_MEM_OP_WAIT_VALUE_64:
      return Step{Kind::kWait, 8};
    case CU_STREAM_MEM_OP_WRITE_VALUE_32:
      return Step{Kind::kWrite, 4};
    case CU_STREAM_MEM_OP_WRITE_VALUE_64:
      return Step{Kind::kWrite, 8};
    case CU_STREAM_MEM_OP_BARRIER:
    case CU_STREAM_MEM_OP_FLUSH_REMOTE_WRITES:
      return Step{Kind::kWrite, 0};
    default:
      return std::nullopt;
  }
}

CUresult Batch(unsigned version, CUstream stream, unsigned count, const CUstreamBatchMemOpParams* operations,
               unsigned flags) {
  constexpr unsigned kMost = 255;  // as the manual says
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  if (count > kMost || (operations == nullptr && count != 0)) return CUDA_ERROR_INVALID_VALUE;
  if (const auto captured = Capture(process, current, stream, operations, count, flags)) return *captured;
  Memory& memory = process.memory();
  const Abilities abilities(process, current, version);
  bool certain = IsOfCurrentContext(stream) && flags == 0 && count != 0, waits = false;
  for (unsigned i = 0; i < count; ++i) {
    const std::optional<Step> step = StepOf(operations[i]);
    if (!step) return CUDA_ERROR_INVALID_VALUE;
    // Waits and writes have these members at the same places.
    const auto& word = operations[i].waitValue;
    if (step->bytes != 0 && !memory.IsDeviceMemory(word.address)) return CUDA_ERROR_INVALID_VALUE;
    const bool flags_are_good =
        step->kind == Kind::kWait ? abilities.WaitsBy(word.flags) : Abilities::WritesBy(word.flags);
    certain =
        certain && step->bytes != 0 && flags_are_good && IsWord(memory, current, abilities, word.address, step->bytes);
    waits = waits || step->kind == Kind::kWait;
  }
  if (waits) memory.NoteStreamWait();
  return remote::outboardStreamBatchMemOp(stream, version, operations, count, flags, certain);
}

}  // namespace

CUresult cuStreamWaitValue32(CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags) {
  return Operate(Kind::kWait, 1, &remote::cuStreamWaitValue32, stream, addr, value, flags);
}

CUresult cuStreamWaitValue32_v2(CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags) {
  return Operate(Kind::kWait, 2, &remote::cuStreamWaitValue32_v2, stream, addr, value, flags);
}

CUresult cuStreamWaitValue64(CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags) {
  return Operate(Kind::kWait, 1, &remote::cuStreamWaitValue64, stream, addr, value, flags);
}

CUresult cuStreamWaitValue64_v2(CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags) {
  return Operate(Kind::kWait, 2, &remote::cuStreamWaitValue64_v2, stream, addr, value, flags);
}

CUresult cuStreamWriteValue32(CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags) {
  return Operate(Kind::kWrite, 1, &remote::cuStreamWriteValue32, stream, addr, value, flags);
}

CUresult cuStreamWriteValue32_v2(CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags) {
  return Operate(Kind::kWrite, 2, &remote::cuStreamWriteValue32_v2, stream, addr, value, flags);
}

CUresult cuStreamWriteValue64(CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags) {
  return Operate(Kind::kWrite, 1, &remote::cuStreamWriteValue64, stream, addr, value, flags);
}

CUresult cuStreamWriteValue64_v2(CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags) {
  return Operate(Kind::kWrite, 2, &remote::cuStreamWriteValue64_v2, stream, addr, value, flags);
}

CUresult cuStreamBatchMemOp(CUstream stream, unsigned int count, CUstreamBatchMemOpParams* paramArray,
                            unsigned int flags) {
  return Batch(1, stream, count, paramArray, flags);
}

CUresult cuStreamBatchMemOp_v2(CUstream stream, unsigned int count, CUstreamBatchMemOpParams* paramArray,
                               unsigned int flags) {
  return Batch(2, stream, count, paramArray, flags);
}

}  // namespace outboard::custom
