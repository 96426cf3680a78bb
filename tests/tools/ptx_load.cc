// ptx_load LIBRARY_OR_FOLDER...     loads every kernel of every PTX entry in the fatbins of libraries, or of the PTX
//                                   texts (*.ptx) in a folder, as the software GPU does when a program asks for it:
//                                   parsed, linked, decoded
//
// Prints for each library how many of its entry kernels load, and names the others, by what keeps them from it; the
// last line is for all together: "N of M entry kernels load, at least P % of each". Relocatable code is linked, all
// that is for one architecture. A kernel that calls functions which only the program that uses the library supplies is
// loaded with empty ones in their place, and counted as such besides.
// Exit status: 0 when every fatbin and entry could be read, else 1; 2 for a wrong command line.

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/image/bytes.h"
#include "common/image/image.h"
#include "server/softgpu/exec/engine.h"
#include "server/softgpu/ptx/parser.h"
#include "tests/tools/fatbins.h"

namespace {

namespace image = outboard::image;
namespace softgpu = outboard::softgpu;

// Stands for memory that nothing is run in.
constexpr uint64_t kVariablesAt = uint64_t{1} << 40;

struct Tally {
  uint64_t entries = 0, kernels = 0, loaded = 0;
  uint64_t completed = 0;               // of the loaded ones, those with functions in place of a program's
  std::vector<std::string> unreadable;  // entries, and why
  std::map<std::string, std::vector<std::string>> missing;  // kernels, by what keeps them from being loaded

  double Percent() const {
    return kernels == 0 ? 0 : 100.0 * static_cast<double>(loaded) / static_cast<double>(kernels);
  }
};

// Numbers stand for lines and registers; what they are does not make a reason another one.
std::string WithoutPlaces(std::string_view message) {
  std::string text;
  for (size_t i = 0; i < message.size(); ++i) {
    const bool is_number = std::isdigit(static_cast<unsigned char>(message[i])) &&
                           (i == 0 || message[i - 1] == ' ' || message[i - 1] == '_' || message[i - 1] == 'r');
    if (!is_number) {
      text += message[i];
      continue;
    }
    text += '#';
    while (i + 1 < message.size() && std::isdigit(static_cast<unsigned char>(message[i + 1]))) ++i;
  }
  return text;
}

// The reasons that an error of Module::Prepare lists: "kernel K cannot run on the software GPU: REASON (function F, PTX
// line N); REASON ...".
std::set<std::string> ReasonsIn(std::string_view message) {
  constexpr std::string_view kBegin = "software GPU: ", kPlace = " (function ", kNext = "); ";
  if (const size_t begin = message.find(kBegin); begin != message.npos) message.remove_prefix(begin + kBegin.size());
  std::set<std::string> reasons;
  while (!message.empty()) {
    const size_t place = message.find(kPlace);
    reasons.emplace(place == message.npos ? WithoutPlaces(message) : std::string(message.substr(0, place)));
    const size_t next = place == message.npos ? message.npos : message.find(kNext, place);
    message = next == message.npos ? std::string_view() : message.substr(next + kNext.size());
  }
  return reasons;
}

using Text = std::shared_ptr<const softgpu::ptx::Module>;

std::string Parameters(const char* name, const std::vector<softgpu::ptx::Variable>& variables) {
  std::string text;
  for (const softgpu::ptx::Variable& variable : variables) {
    text += (text.empty() ? ".param .align " : ", .param .align ") + std::to_string(variable.align) + " .b8 " + name +
            std::to_string(&variable - variables.data()) + "[" + std::to_string(variable.size) + "]";
  }
  return text;
}

// An empty function for each of these that `module` only declares; takes their names out of `names`.
std::string EmptyFunctions(const softgpu::ptx::Module& module, std::set<std::string>* names) {
  std::string text;
  for (const softgpu::ptx::Function& function : module.functions) {
    if (!function.is_declaration || names->erase(std::string(function.name)) == 0) continue;
    const std::string results = Parameters("result", function.returns);
    text += ".visible .func " + (results.empty() ? "" : "(" + results + ") ") + std::string(function.name) + "(" +
            Parameters("argument", function.params) + ") { ret; }\n";
  }
  return text;
}

// Of one library.
class Loader {
 public:
  explicit Loader(const softgpu::Engine& engine) : engine_(engine) {}

  // Loads the entry's kernels, but for those of relocatable code.
  void Load(std::string_view section, const image::Entry& entry) {
    if (entry.kind != image::EntryKind::kPtx) return;
    ++tally_.entries;
    const std::string target = outboard::tools::TargetName(entry);
    const bool is_text = section.ends_with(".ptx");
    Linked one = {
        is_text ? std::string(section) : "PTX entry " + std::to_string(tally_.entries) + ", " + target, {}, {}};
    Linked& linked = section == outboard::tools::kRelocatableSection ? relocatable_[target] : one;
    if (linked.where.empty()) linked.where = "relocatable code, " + target;
    const auto bytes = image::Unpack(entry);
    if (!bytes) return tally_.unreadable.push_back(one.where + ": " + bytes.error().message);
    const auto layouts = image::KernelLayouts(entry.kind, *bytes);
    if (!layouts) return tally_.unreadable.push_back(one.where + ": " + layouts.error().message);
    tally_.kernels += layouts->size();
    auto parsed = softgpu::ptx::ParseModule(std::string(image::AsText(*bytes)));
    for (const image::KernelLayout& layout : *layouts) {
      if (parsed) {
        linked.kernels.push_back(layout.name);
      } else {
        Miss(parsed.error().message, layout.name, one.where);
      }
    }
    if (!parsed) return;
    linked.texts.push_back(std::move(*parsed));
    if (&linked == &one) LoadAll(one);
  }

  // Loads the relocatable code; to be called once, last.
  const Tally& Finish() {
    for (const auto& [target, linked] : relocatable_) LoadAll(linked);
    return tally_;
  }

 private:
  static constexpr std::string_view kUndefined = "a call of the undefined function ";

  // What is linked to one program.
  struct Linked {
    std::string where;
    std::vector<Text> texts;
    std::vector<std::string> kernels;
  };
  using Reasons = std::map<std::string, std::set<std::string>>;  // by kernel

  void LoadAll(const Linked& linked) {
    Reasons failed = Try(linked.texts, linked.kernels);
    for (const std::string& kernel : linked.kernels) tally_.loaded += !failed.contains(kernel);

    std::set<std::string> undefined;
    std::vector<std::string> kernels;
    for (const auto& [kernel, reasons] : failed) {
      kernels.push_back(kernel);
      for (const std::string& reason : reasons) {
        if (reason.starts_with(kUndefined)) undefined.insert(reason.substr(kUndefined.size()));
      }
    }
    std::string added;
    for (const Text& text : linked.texts) added += EmptyFunctions(*text, &undefined);
    if (!added.empty()) {
      auto functions = softgpu::ptx::ParseModule(".version 9.0\n.target sm_75\n.address_size 64\n" + added);
      if (functions) {
        std::vector<Text> texts = linked.texts;
        texts.push_back(std::move(*functions));
        failed = Try(std::move(texts), kernels);
        tally_.loaded += kernels.size() - failed.size();
        tally_.completed += kernels.size() - failed.size();
      }
    }
    for (const auto& [kernel, reasons] : failed) {
      for (const std::string& reason : reasons) Miss(reason, kernel, linked.where);
    }
  }

  // The kernels that do not load.
  Reasons Try(std::vector<Text> texts, const std::vector<std::string>& kernels) const {
    Reasons failed;
    const auto module = softgpu::Module::Link(std::move(texts));
    if (!module) {
      for (const std::string& kernel : kernels) failed[kernel] = {module.error().message};
      return failed;
    }
    std::vector<std::byte> variables((*module)->variable_bytes());
    (*module)->Place(kVariablesAt, variables.data());
    for (const std::string& kernel : kernels) {
      const auto prepared = (*module)->Prepare(kernel, engine_);
      if (!prepared) failed[kernel] = ReasonsIn(prepared.error().message);
    }
    return failed;
  }

  void Miss(std::string_view reason, const std::string& kernel, const std::string& where) {
    tally_.missing[WithoutPlaces(reason)].push_back(kernel + " in " + where);
  }

  const softgpu::Engine& engine_;
  Tally tally_;
  std::map<std::string, Linked> relocatable_;  // by target
};

void Print(const char* name, const Tally& tally) {
  const auto number = [](uint64_t count) { return static_cast<unsigned long long>(count); };
  std::printf("%s: %llu PTX entries\n", name, number(tally.entries));
  if (tally.completed > 0)
    std::printf("  %llu kernels load with empty functions in place of a program's\n", number(tally.completed));
  std::printf("  %llu of %llu entry kernels load (%.3f %%)\n", number(tally.loaded), number(tally.kernels),
              tally.Percent());
  for (const std::string& entry : tally.unreadable) std::printf("  cannot be read: %s\n", entry.c_str());
  for (const auto& [reason, kernels] : tally.missing) {
    std::printf("  %zu do not load: %s\n", kernels.size(), reason.c_str());
    for (const std::string& kernel : kernels) std::printf("    %s\n", kernel.c_str());
  }
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: ptx_load LIBRARY_OR_FOLDER...\n");
    return 2;
  }
  const softgpu::Engine engine(1, softgpu::Engine::HighestCpuLevel());
  uint64_t kernels = 0, loaded = 0;
  double least = 100;
  bool readable = true;
  for (int i = 1; i < argc; ++i) {
    Loader loader(engine);
    const auto found = outboard::tools::WalkFatbins(
        argv[i], [&](std::string_view section, const image::Entry& entry) { loader.Load(section, entry); });
    if (!found) {
      std::fprintf(stderr, "%s\n", found.error().message.c_str());
      readable = false;
      continue;
    }
    for (const std::string& error : found->errors) std::fprintf(stderr, "%s: %s\n", argv[i], error.c_str());
    const Tally& tally = loader.Finish();
    Print(argv[i], tally);
    readable = readable && found->errors.empty() && tally.unreadable.empty();
    kernels += tally.kernels;
    loaded += tally.loaded;
    least = std::min(least, tally.Percent());
  }
  std::printf("%llu of %llu entry kernels load, at least %.3f %% of each\n", static_cast<unsigned long long>(loaded),
              static_cast<unsigned long long>(kernels), least);
  return readable && kernels > 0 ? 0 : 1;
}
