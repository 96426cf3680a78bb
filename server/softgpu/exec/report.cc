#include "server/softgpu/exec/report.h"

#include <cxxabi.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "server/softgpu/exec/memory.h"
#include "server/softgpu/exec/source_line.h"

namespace outboard::softgpu {
namespace {

std::string Hex(uint64_t value) {
  char text[32];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

std::string Bytes(uint64_t count) { return std::to_string(count) + (count == 1 ? " byte" : " bytes"); }

const char* VerbOf(AccessVerb kind) {
  switch (kind) {
    case AccessVerb::kRead:
      return "read";
    case AccessVerb::kWrite:
      return "write";
    case AccessVerb::kAtomic:
      return "atomic";
  }
  return "";
}

const char* TitleOf(MemorySpace space) {
  switch (space) {
    case MemorySpace::kShared:
      return "shared";
    case MemorySpace::kLocal:
      return "local";
    case MemorySpace::kParam:
      return "parameter";
    case MemorySpace::kGeneric:
    case MemorySpace::kGlobal:
      break;
  }
  return "global";
}

// Code lies function after function.
const FunctionCode& FunctionOf(const Kernel& kernel, const Inst& inst) {
  const auto pc = static_cast<uint32_t>(&inst - kernel.code.data());
  const auto after = std::upper_bound(kernel.functions.begin() + 1, kernel.functions.end(), pc,
                                      [](uint32_t place, const FunctionCode& code) { return place < code.entry; });
  return *(after - 1);
}

}  // namespace

std::string Demangled(std::string_view name) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(
      abi::__cxa_demangle(std::string(name).c_str(), nullptr, nullptr, &status), &std::free);
  return status == 0 && text != nullptr ? text.get() : std::string(name);
}

std::string SourceOf(const Kernel& kernel, const Inst& inst) {
  const FunctionCode& function = FunctionOf(kernel, inst);
  const std::string line = "PTX line " + std::to_string(inst.line);
  const std::string source = SourceOfLine(function.text, function.first_line, inst.line);
  return source.empty() ? line : source + " (" + line + ")";
}

std::string Triple(const uint32_t (&value)[3]) {
  return "(" + std::to_string(value[0]) + "," + std::to_string(value[1]) + "," + std::to_string(value[2]) + ")";
}

std::string PlaceOf(const Kernel& kernel, const Inst& inst, const uint32_t (&block)[3], const uint32_t (&thread)[3]) {
  return "kernel " + Demangled(kernel.info.name) + ", block " + Triple(block) + ", thread " + Triple(thread) + ", at " +
         SourceOf(kernel, inst);
}

MemorySpace SpaceOf(MemorySpace named, uint64_t* address) {
  const uint64_t window = *address & kWindowMask;
  MemorySpace space = named;
  if (named == MemorySpace::kGeneric || named == MemorySpace::kGlobal) {
    space = window == kSharedWindow  ? MemorySpace::kShared
            : window == kLocalWindow ? MemorySpace::kLocal
            : window == kParamWindow ? MemorySpace::kParam
                                     : MemorySpace::kGlobal;
  }
  // Below the first address is where a negative index leads.
  if (space != MemorySpace::kGlobal) *address = static_cast<uint64_t>(int64_t{static_cast<int32_t>(*address)});
  return space;
}

std::string AccessText(AccessVerb kind, uint32_t bytes, MemorySpace space, uint64_t address) {
  space = SpaceOf(space, &address);
  return std::string(VerbOf(kind)) + (bytes == 0 ? "" : " of " + Bytes(bytes)) + " at " + Hex(address) + " in " +
         TitleOf(space) + " memory";
}

std::string RelationText(uint64_t address, uint32_t bytes, uint64_t begin, uint64_t size, std::string_view what) {
  const uint64_t end = begin + size;
  const auto is_below = [&](uint64_t bound) { return static_cast<int64_t>(address) < static_cast<int64_t>(bound); };
  std::string relation;
  if (!is_below(end)) {
    relation = Bytes(address - end) + " past the end of ";
  } else if (is_below(begin)) {
    relation = Bytes(begin - address) + " before the start of ";
  } else if (end - address < bytes) {
    relation = Bytes(address - begin) + " into, and " + Bytes(bytes - (end - address)) + " over the end of, ";
  } else {
    relation = Bytes(address - begin) + " into ";
  }
  return relation + std::string(what) + " " + Hex(begin) + " of " + Bytes(size);
}

std::string NearestVariable(const Kernel& kernel, const Inst& inst, MemorySpace space, uint64_t address, uint32_t bytes,
                            uint32_t local_base) {
  const bool is_shared = space == MemorySpace::kShared;
  if (!is_shared && space != MemorySpace::kLocal) return "";
  const std::vector<NamedPlace>& variables = is_shared ? kernel.shared_variables : FunctionOf(kernel, inst).variables;
  const NamedPlace* nearest = nullptr;
  uint64_t nearest_begin = 0, nearest_distance = UINT64_MAX;
  for (const NamedPlace& variable : variables) {
    const uint64_t begin = variable.offset + (is_shared ? 0 : local_base), end = begin + variable.size;
    const auto to_begin = static_cast<int64_t>(begin - address), to_end = static_cast<int64_t>(address - end);
    const auto distance = static_cast<uint64_t>(std::max({to_begin, to_end + 1, int64_t{0}}));
    if (distance >= nearest_distance) continue;
    nearest = &variable;
    nearest_begin = begin;
    nearest_distance = distance;
  }
  if (nearest == nullptr) return "";
  return RelationText(address, bytes, nearest_begin, nearest->size, "variable " + Demangled(nearest->name) + " at");
}

}  // namespace outboard::softgpu
