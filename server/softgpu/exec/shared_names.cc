#include "server/softgpu/exec/shared_names.h"

#include <algorithm>

namespace outboard::softgpu {
namespace {

using ptx::Linkage;

bool IsWeak(Linkage linkage) { return linkage == Linkage::kWeak || linkage == Linkage::kCommon; }

const char* SpaceName(ptx::Space space) {
  switch (space) {
    case ptx::Space::kGlobal:
      return "global";
    case ptx::Space::kConst:
      return "constant";
    case ptx::Space::kShared:
      return "shared";
    default:
      return "other";
  }
}

bool HasSameSizes(const std::vector<ptx::Variable>& one, const std::vector<ptx::Variable>& other) {
  return std::equal(one.begin(), one.end(), other.begin(), other.end(),
                    [](const ptx::Variable& a, const ptx::Variable& b) { return a.size == b.size; });
}

}  // namespace

Definition DefinitionOf(const ptx::Function& function) {
  if (function.is_declaration) return Definition::kNone;
  return IsWeak(function.linkage) ? Definition::kWeak : Definition::kStrong;
}

Definition DefinitionOf(const ptx::Variable& variable) {
  if (variable.linkage == Linkage::kExtern) return Definition::kNone;
  if (variable.linkage == Linkage::kCommon) return Definition::kCommon;
  return variable.linkage == Linkage::kWeak ? Definition::kWeak : Definition::kStrong;
}

bool IsSharedName(const ptx::Variable& variable) {
  return variable.linkage != Linkage::kNone && !(variable.space == ptx::Space::kShared && variable.unsized_array);
}

void SharedNames::Meet(std::string_view name, const Name& now, std::vector<std::string>* errors, Before* before) {
  const auto [place, is_new] = names_.emplace(name, now);
  if (is_new && before) before->emplace_back(name, std::nullopt);
  if (is_new) return;
  Name& known = place->second;
  const auto say = [&](const std::string& what, const char* there) {
    errors->push_back(std::string(now.function ? "the function " : "the variable ") + std::string(name) + what +
                      now.module->name + there + known.module->name);
  };
  if ((now.function == nullptr) != (known.function == nullptr)) {
    return say(" is in ", now.function ? ", and a variable in " : ", and a function in ");
  }
  if (now.function && now.function->is_entry != known.function->is_entry) {
    say(now.function->is_entry ? " is a kernel in " : " is no kernel in ",
        now.function->is_entry ? ", and none in " : ", and one in ");
  } else if (now.function) {
    const bool agrees = now.module == known.module ||  // else that is its compiler's business
                        (HasSameSizes(now.function->returns, known.function->returns) &&
                         HasSameSizes(now.function->params, known.function->params));
    if (!agrees) {
      say(" has other parameters or results in ", " than in ");
    }
  } else if (now.variable->space != known.variable->space) {
    say(std::string(" is ") + SpaceName(now.variable->space) + " memory in ",
        (std::string(", and ") + SpaceName(known.variable->space) + " memory in ").c_str());
  } else {
    const uint64_t size = now.variable->size, known_size = known.variable->size;
    const bool both_say = !now.variable->unsized_array && !known.variable->unsized_array;
    const bool is_common = now.definition == Definition::kCommon || known.definition == Definition::kCommon;
    if (both_say && size != known_size && !is_common) {
      say(" has " + std::to_string(size) + " bytes in ",
          (", and " + std::to_string(known_size) + " bytes in ").c_str());
    }
  }
  if (now.definition == Definition::kStrong && known.definition == Definition::kStrong) {
    say(" is defined in ", ", and before in ");
  }
  if (now.definition <= known.definition) return;
  if (before) before->emplace_back(name, known);
  known = now;
}

std::vector<std::string> SharedNames::AddAll(std::span<const std::shared_ptr<const ptx::Module>> modules) {
  std::vector<std::string> errors;
  Before before;
  for (const auto& module : modules) {
    for (std::string& error : Add(*module, &before)) errors.push_back(std::move(error));
  }
  if (errors.empty()) return errors;
  for (auto change = before.rbegin(); change != before.rend(); ++change) {
    if (change->second) {
      names_.find(change->first)->second = *change->second;
    } else {
      names_.erase(change->first);
    }
  }
  return errors;
}

std::vector<std::string> SharedNames::Add(const ptx::Module& module, Before* before) {
  std::vector<std::string> errors;
  for (const ptx::Variable& variable : module.variables) {
    if (!IsSharedName(variable)) continue;
    Meet(variable.name, {&module, nullptr, &variable, DefinitionOf(variable)}, &errors, before);
  }
  for (const ptx::Function& function : module.functions) {
    if (function.linkage == Linkage::kNone) continue;
    Meet(function.name, {&module, &function, nullptr, DefinitionOf(function)}, &errors, before);
  }
  return errors;
}

std::string InOneLine(const std::vector<std::string>& sentences) {
  constexpr size_t kMost = 20;
  std::string line;
  for (size_t i = 0; i < std::min(sentences.size(), kMost); ++i) line += (i == 0 ? "" : "; ") + sentences[i];
  if (sentences.size() > kMost) line += "; and " + std::to_string(sentences.size() - kMost) + " more";
  return line;
}

}  // namespace outboard::softgpu
