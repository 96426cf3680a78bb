#include <pthread.h>
#include <unistd.h>

#include <algorithm>

#include "common/interop/host.h"
#include "common/interop/slots.h"
#include "common/interop/tables.h"
#include "common/interop/validity.h"

namespace outboard::interop {
namespace {

CUresult Validity(uint32_t version, uint64_t seconds, uint64_t* answer) {
  if (answer == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return WithoutThrowing([&] {
    const ValidityFacts facts = {
        .driver_version = static_cast<uint32_t>(InstalledHost()->DriverVersion()),
        .process = static_cast<uint32_t>(getpid()),
        .thread = static_cast<uint32_t>(pthread_self()),
        .cudart_table = CudartInterface(),
        .validity_table = IntegrityCheck(),
        .validity_function = FunctionSlot(&Validity),
        .devices = InstalledHost()->Devices(),
    };
    std::ranges::copy(AnswerValidity(version, seconds, facts), answer);
    return CUDA_SUCCESS;
  });
}

}  // namespace

const void* IntegrityCheck() {
  static const auto table = [] {
    auto slots = SizedTable<kIntegrityCheck, 3>();
    slots[1] = FunctionSlot(&Validity);
    return slots;
  }();
  return table.data();
}

}  // namespace outboard::interop
