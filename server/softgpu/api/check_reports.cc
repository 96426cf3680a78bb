#include "server/softgpu/api/check_reports.h"

#include <fcntl.h>
#include <unistd.h>

#include <optional>
#include <string>

#include "common/base/unique_fd.h"
#include "server/softgpu/api/driver.h"
#include "server/softgpu/device/allocation_log.h"
#include "server/softgpu/exec/memory.h"
#include "server/softgpu/exec/report.h"

namespace outboard::softgpu::api {
namespace {

constexpr size_t kMostFindings = 100;
constexpr uint64_t kNullBytes = 64 << 10;  // no memory is so close to a null pointer

struct Surroundings {
  std::optional<LoggedPiece> freed, nearest;
  bool is_inside = false;  // of the nearest
};

Surroundings Survey(const std::vector<std::unique_ptr<Device>>& devices, uint64_t address) {
  Surroundings all;
  uint64_t least = UINT64_MAX;
  for (const auto& device : devices) {
    const AllocationLog* const log = device->memory->log();
    if (log == nullptr) continue;
    if (!all.freed) all.freed = log->FindFreed(address);
    const std::optional<LoggedPiece> piece = log->FindNearest(address);
    if (!piece) continue;
    const uint64_t end = piece->begin + piece->bytes;
    const uint64_t distance = address < piece->begin ? piece->begin - address : address < end ? 0 : address - end;
    if (all.nearest && distance >= least) continue;
    least = distance;
    all.nearest = piece;
    all.is_inside = distance == 0;
  }
  return all;
}

std::string Relation(uint64_t address, uint32_t bytes, const LoggedPiece& piece) {
  return "\n" + RelationText(address, bytes, piece.begin, piece.bytes, (piece.is_freed ? "freed " : "") + piece.what);
}

// "out of bounds: " and the like before what happened, and behind it what memory the address has to do with.
std::string OfDeviceMemory(const Fault& fault, const std::vector<std::unique_ptr<Device>>& devices) {
  const Surroundings all = Survey(devices, fault.address);
  std::string kind = "out of bounds: ", what;
  if (all.nearest) what = Relation(fault.address, fault.bytes, *all.nearest);
  if (!all.nearest) what = "\nno device memory is allocated";
  if (fault.address < kNullBytes) what += "\nthe pointer is a null pointer, or one computed from it";
  if (fault.kind == FaultKind::kMisalignedAddress) {
    kind = "misaligned: ";
  } else if (!all.is_inside && all.freed) {
    kind = "use after free: ";
    what = Relation(fault.address, fault.bytes, *all.freed);
  } else if (all.is_inside && fault.address + fault.bytes <= all.nearest->begin + all.nearest->bytes) {
    kind = fault.is_read ? "no access: " : "read-only: ";
  }
  return kind + fault.report + what;
}

}  // namespace

void CheckReports::Tell(const Fault& fault) {
  if (fault.report.empty()) return;
  const bool is_access = fault.kind == FaultKind::kIllegalAddress || fault.kind == FaultKind::kMisalignedAddress;
  if (!is_access) return Write(fault.report);
  if (fault.space == MemorySpace::kGlobal || fault.space == MemorySpace::kGeneric)
    return Write(OfDeviceMemory(fault, driver_.attached()));
  Write((fault.kind == FaultKind::kMisalignedAddress ? "misaligned: " : "out of bounds: ") + fault.report);
}

void CheckReports::Tell(const Finding& finding) {
  {
    const std::lock_guard lock(mutex_);
    if (told_.size() > kMostFindings || !told_.insert(finding.key).second) return;
    if (told_.size() > kMostFindings)
      return Write("more was found than " + std::to_string(kMostFindings) + " places, and is not told");
  }
  std::string text = finding.text;
  if (finding.address != 0) {
    const Surroundings all = Survey(driver_.attached(), finding.address);
    if (all.nearest) text += Relation(finding.address, finding.bytes, *all.nearest);
  }
  Write(text);
}

void CheckReports::Write(const std::string& text) {
  std::string lines = "outboard: check: ";
  for (const char letter : text) {
    lines += letter;
    if (letter == '\n') lines += "outboard: check:   ";
  }
  lines += '\n';
  [[maybe_unused]] ssize_t written = write(STDERR_FILENO, lines.data(), lines.size());
  const std::string& path = driver_.config().check_count;
  if (path.empty()) return;
  const UniqueFd file(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (file) written = write(file.get(), "!", 1);
}

}  // namespace outboard::softgpu::api
