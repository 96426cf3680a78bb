#include "server/worker/own_memory.h"

#include <algorithm>

#include "server/worker/session.h"

namespace outboard::worker {

OwnMemory::OwnMemory(const driver::DriverTable& driver, std::span<const LeasedDevice> devices) : devices_(devices) {
  const void* table = nullptr;
  if (driver.cuGetExportTable == nullptr ||
      driver.cuGetExportTable(&table, &interop::kOwnMemoryTable) != CUDA_SUCCESS || table == nullptr) {
    return;
  }
  table_ = static_cast<const interop::OwnMemoryTable*>(table);
  const interop::OwnMemoryAccount account{this, &Take, &GiveBack};
  table_->keep(&account);
}

OwnMemory::~OwnMemory() {
  if (table_ != nullptr) table_->keep(nullptr);
}

const LeasedDevice* OwnMemory::FindDevice(int ordinal) const {
  const auto found = std::find_if(devices_.begin(), devices_.end(),
                                  [&](const LeasedDevice& leased) { return leased.ordinal == ordinal; });
  return found == devices_.end() ? nullptr : &*found;
}

bool OwnMemory::Take(void* user, int device, uint64_t bytes) {
  const LeasedDevice* const leased = static_cast<const OwnMemory*>(user)->FindDevice(device);
  return leased != nullptr && leased->ledger->Charge(leased->account, bytes);
}

void OwnMemory::GiveBack(void* user, int device, uint64_t bytes) {
  const LeasedDevice* const leased = static_cast<const OwnMemory*>(user)->FindDevice(device);
  if (leased != nullptr) leased->ledger->Refund(leased->account, bytes);
}

}  // namespace outboard::worker
