// ptx_opcodes LIBRARY_OR_FOLDER...     prints the forms of instructions in the PTX of libraries' fatbins, or of the
//                                      texts (*.ptx) in a folder, as they are written, each with its number:
//                                      "1234 ld.global.nc.f32"
//
// Special registers that are read are forms as well. Exit status: 0 when everything could be read, else 1; 2 for a
// wrong command line.

#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <string_view>

#include "common/image/bytes.h"
#include "common/image/image.h"
#include "tests/tools/fatbins.h"
#include "tests/tools/opcodes.h"

namespace {

namespace image = outboard::image;
namespace ptx = outboard::softgpu::ptx;

class Counter {
 public:
  void Add(const char* path) {
    const auto found = outboard::tools::WalkFatbins(
        path, [this](std::string_view where, const image::Entry& entry) { AddEntry(std::string(where), entry); });
    if (!found) return Fail(path, found.error().message);
    for (const std::string& error : found->errors) Fail(path, error);
  }

  bool Print() const {
    for (const auto& [form, count] : counts_) {
      std::printf("%llu %s\n", static_cast<unsigned long long>(count), form.c_str());
    }
    return !failed_;
  }

 private:
  void AddEntry(const std::string& where, const image::Entry& entry) {
    if (entry.kind != image::EntryKind::kPtx) return;
    const auto bytes = image::Unpack(entry);
    if (!bytes) return Fail(where, bytes.error().message);
    const auto module = ptx::ParseModule(std::string(image::AsText(*bytes)));
    if (!module) return Fail(where, module.error().message);
    for (const ptx::Function& function : (*module)->functions) {
      const auto forms = outboard::tools::FormsOf(**module, function);
      if (!forms) {
        Fail(where + ", " + std::string(function.name), forms.error().message);
        continue;
      }
      for (const std::string& form : *forms) ++counts_[form];
    }
  }

  void Fail(const std::string& name, const std::string& reason) {
    std::fprintf(stderr, "%s: %s\n", name.c_str(), reason.c_str());
    failed_ = true;
  }

  std::map<std::string, uint64_t> counts_;
  bool failed_ = false;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: ptx_opcodes LIBRARY_OR_FOLDER...\n");
    return 2;
  }
  Counter counter;
  for (int i = 1; i < argc; ++i) counter.Add(argv[i]);
  return counter.Print() ? 0 : 1;
}
