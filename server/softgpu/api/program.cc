#include "server/softgpu/api/program.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "server/softgpu/api/driver.h"
#include "server/softgpu/ptx/parser.h"

namespace outboard::softgpu::api {
namespace {

bool RunsOn(const image::Entry& entry, uint32_t compute_capability) {
  // Code for an architecture's own features runs there alone; code for a family's, in that family.
  if (entry.arch_specific) return entry.arch == compute_capability;
  if (entry.family_specific) return entry.arch / 10 == compute_capability / 10 && entry.arch <= compute_capability;
  return entry.arch <= compute_capability;
}

const image::Entry* BestPtx(const std::vector<image::Entry>& entries, uint32_t compute_capability) {
  const image::Entry* best = nullptr;
  for (const image::Entry& entry : entries) {
    if (entry.kind != image::EntryKind::kPtx || !RunsOn(entry, compute_capability)) continue;
    if (!best || entry.arch > best->arch) best = &entry;
  }
  return best;
}

std::string ArchName(const image::Entry& entry) {
  const char* prefix = entry.kind == image::EntryKind::kElf   ? "sm_"
                       : entry.kind == image::EntryKind::kPtx ? "compute_"
                                                              : "lto_";
  return prefix + std::to_string(entry.arch) + (entry.arch_specific ? "a" : entry.family_specific ? "f" : "");
}

// False when the entry holds device code that some call may ask for. What cannot be read counts as holding some.
bool IsEmpty(const image::Entry& entry, uint64_t max_bytes) {
  if (entry.kind != image::EntryKind::kElf) return false;
  const auto bytes = image::Unpack(entry, max_bytes);
  if (!bytes) return false;
  const auto kernels = image::KernelLayouts(entry.kind, *bytes);
  return kernels && kernels->empty();
}

Outcome Parse(const image::Entry& entry, std::string_view name, uint32_t compute_capability, Program* program,
              uint64_t* bytes_left) {
  auto bytes = image::Unpack(entry, *bytes_left);
  if (!bytes) return {CUDA_ERROR_INVALID_IMAGE, bytes.error().message};
  *bytes_left -= bytes->size();
  std::string module_name(name);
  if (name.empty() || entry.kind == image::EntryKind::kLinkedPtx) {  // of which an image has several
    if (!name.empty()) module_name += ":";
    module_name +=
        entry.name.empty() ? "PTX module " + std::to_string(program->modules.size() + 1) : std::string(entry.name);
  }
  return AddPtx(std::string(reinterpret_cast<const char*>(bytes->data()), bytes->size()), std::move(module_name),
                static_cast<int>(compute_capability), program);
}

}  // namespace

Outcome AddPtx(std::string text, std::string name, int compute_capability, Program* program) {
  auto module = ptx::ParseModule(std::move(text));
  if (!module) return {CUDA_ERROR_INVALID_PTX, name + ": " + module.error().message};
  (*module)->name = std::move(name);
  if ((*module)->target > static_cast<uint32_t>(compute_capability)) {
    return {CUDA_ERROR_INVALID_PTX, (*module)->name + " is for " + std::string((*module)->target_name) +
                                        ", which is newer than compute capability " +
                                        std::to_string(compute_capability / 10) + "." +
                                        std::to_string(compute_capability % 10) + ", which it is to run on."};
  }
  for (const ptx::Function& function : (*module)->functions) {
    if (function.is_declaration && (function.name == "malloc" || function.name == "free")) program->uses_heap = true;
  }
  program->modules.push_back(std::move(*module));
  return {};
}

void Append(const Program& more, Program* program) {
  program->modules.insert(program->modules.end(), more.modules.begin(), more.modules.end());
  program->uses_heap |= more.uses_heap;
}

uint64_t TextBytes(const Program& program) {
  uint64_t bytes = 0;
  for (const auto& module : program.modules) bytes += module->text.size();
  return bytes;
}

Outcome LoadProgram(std::span<const image::Extent> images, int compute_capability, Program* program,
                    std::string_view name, uint64_t max_bytes) {
  const auto capability = static_cast<uint32_t>(compute_capability);
  std::set<std::string> others;  // what the images hold instead of PTX that runs here
  for (const image::Extent& extent : images) {
    const auto entries = image::Entries(std::span(extent.data, extent.size));
    if (!entries) return {CUDA_ERROR_INVALID_IMAGE, entries.error().message};
    if (!entries->empty() && entries->front().kind == image::EntryKind::kLinkedPtx) {
      for (const image::Entry& entry : *entries) {
        if (Outcome outcome = Parse(entry, name, capability, program, &max_bytes); !outcome.ok()) return outcome;
      }
      continue;
    }
    if (const image::Entry* best = BestPtx(*entries, capability)) {
      if (Outcome outcome = Parse(*best, name, capability, program, &max_bytes); !outcome.ok()) return outcome;
      continue;
    }
    for (const image::Entry& entry : *entries) {
      if (!IsEmpty(entry, max_bytes)) others.insert(ArchName(entry));
    }
  }
  if (!program->modules.empty() || others.empty()) return {};
  std::string list;
  for (const std::string& other : others) list += (list.empty() ? "" : ", ") + other;
  return {CUDA_ERROR_NO_BINARY_FOR_GPU,
          std::string(name.empty() ? "The code image" : name) + " has no PTX for compute capability " +
              std::to_string(capability / 10) + "." + std::to_string(capability % 10) + " or older; it holds " + list +
              ". The software GPU runs PTX only: compile with -gencode arch=compute_75,code=compute_75 or the like."};
}

Outcome LinkProgram(const Program& program, std::shared_ptr<softgpu::Module>* linked) {
  constexpr uint32_t kGap = 64;  // when accesses are checked: what runs over one variable is not to hit another
  auto module = softgpu::Module::Link(program.modules, Driver::Get().config().checks.any() ? kGap : 0);
  if (!module) return {CUDA_ERROR_INVALID_SOURCE, "The PTX modules cannot be linked: " + module.error().message + "."};
  *linked = std::move(*module);
  return {};
}

}  // namespace outboard::softgpu::api
