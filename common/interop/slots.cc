#include "common/interop/slots.h"

#include "common/base/log.h"
#include "common/interop/uuid.h"

namespace outboard::interop {

void LogUnknownSlot(const CUuuid& table, size_t slot) {
  Log(LogLevel::kWarn, "slot %zu of private driver table %s was called and is refused: its meaning is not known", slot,
      UuidText(table).c_str());
}

}  // namespace outboard::interop
