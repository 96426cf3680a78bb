#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <utility>

#include "common/base/limits.h"
#include "common/image/kernels.h"
#include "common/image/ptx_scanner.h"

namespace outboard::image {
namespace {

constexpr std::pair<std::string_view, uint32_t> kTypeBytes[] = {
    {".b8", 1},    {".u8", 1},  {".s8", 1},                                               //
    {".b16", 2},   {".u16", 2}, {".s16", 2}, {".f16", 2}, {".bf16", 2},                   //
    {".b32", 4},   {".u32", 4}, {".s32", 4}, {".f32", 4}, {".f16x2", 4}, {".bf16x2", 4},  //
    {".b64", 8},   {".u64", 8}, {".s64", 8}, {".f64", 8},                                 //
    {".b128", 16},
};

constexpr std::pair<std::string_view, uint32_t> kVectorLengths[] = {{".v2", 2}, {".v4", 4}};

// Where a pointer parameter points to: says nothing about the parameter itself.
constexpr std::string_view kPointeeSpaces[] = {".const", ".global", ".local", ".shared", ".param"};

template <size_t n>
std::optional<uint32_t> Find(const std::pair<std::string_view, uint32_t> (&table)[n], std::string_view key) {
  for (const auto& [name, value] : table) {
    if (name == key) return value;
  }
  return std::nullopt;
}

// A PTX integer constant: decimal, 0x, 0b or octal, perhaps with the suffix U.
std::optional<uint64_t> ParseInteger(std::string_view text) {
  if (text.ends_with('U')) text.remove_suffix(1);
  int base = 10;
  if (text.starts_with("0x") || text.starts_with("0X")) base = 16;
  if (text.starts_with("0b") || text.starts_with("0B")) base = 2;
  if (base != 10) text.remove_prefix(2);
  if (base == 10 && text.starts_with('0')) base = 8;
  uint64_t value = 0;
  const auto [stop, failure] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (failure != std::errc() || stop != text.data() + text.size()) return std::nullopt;
  return value;
}

// One declaration of a parameter list, while it is read.
struct Declaration {
  uint64_t element_bytes = 0;
  uint64_t vector_length = 1;
  uint64_t elements = 1;
  uint64_t alignment = 1;  // as written; never less than the natural one in the end
  bool is_pointer = false;
};

// Reads the .entry heads of a text. Thread-confined.
class EntryReader {
 public:
  explicit EntryReader(std::string_view text) : scanner_(text) {}

  Result<std::vector<KernelLayout>> Run() {
    std::vector<KernelLayout> kernels;
    for (std::string_view token = scanner_.Next(); !token.empty(); token = scanner_.Next()) {
      if (token == "{" && !scanner_.SkipBlock()) return Unexpected({}, "}");
      if (token != ".entry") continue;
      Result<std::optional<KernelLayout>> kernel = ReadEntry();
      if (!kernel) return kernel.error();
      if (*kernel) kernels.push_back(**std::move(kernel));
    }
    return kernels;
  }

 private:
  // What follows ".entry". nullopt for a declaration without a body.
  Result<std::optional<KernelLayout>> ReadEntry() {
    std::string_view token = scanner_.Next();
    if (!IsIdentifier(token)) return Unexpected(token, "the name of a kernel");
    KernelLayout kernel{.name = std::string(token), .params = {}};
    token = scanner_.Next();
    if (token == "(") {
      if (auto error = ReadParams(kernel.params)) return *error;
      token = scanner_.Next();
    }
    for (; token != "{"; token = scanner_.Next()) {
      if (token.empty()) return Unexpected(token, "the body of a kernel");
      if (token == ";") return std::optional<KernelLayout>();
      if (token != ".pragma") continue;
      while (token != ";" && !token.empty()) token = scanner_.Next();
    }
    if (!scanner_.SkipBlock()) return Unexpected({}, "}");
    return std::optional(std::move(kernel));
  }

  // What follows "(", to the closing ")".
  std::optional<Error> ReadParams(std::vector<Param>& params) {
    std::string_view token = scanner_.Next();
    if (token == ")") return std::nullopt;
    uint64_t end = 0;
    for (;; token = scanner_.Next()) {
      if (token != ".param") return Unexpected(token, ".param");
      Declaration declaration;
      if (auto error = ReadDeclaration(declaration, token)) return error;
      if (auto error = Place(declaration, end, params)) return error;
      if (token == ")") return std::nullopt;
      if (token != ",") return Unexpected(token, "',' or ')'");
    }
  }

  // What follows ".param"; `token` becomes the one behind the declaration.
  std::optional<Error> ReadDeclaration(Declaration& declaration, std::string_view& token) {
    for (token = scanner_.Next(); token.starts_with('.'); token = scanner_.Next()) {
      if (token == ".align") {
        token = scanner_.Next();
        const std::optional<uint64_t> bytes = ParseInteger(token);
        if (!bytes || *bytes == 0 || (*bytes & (*bytes - 1)) != 0) return Unexpected(token, "a power of two");
        if (!declaration.is_pointer) declaration.alignment = *bytes;
      } else if (token == ".ptr") {
        declaration.is_pointer = true;
      } else if (const auto length = Find(kVectorLengths, token)) {
        declaration.vector_length = *length;
      } else if (const auto bytes = Find(kTypeBytes, token)) {
        declaration.element_bytes = *bytes;
      } else if (!declaration.is_pointer || !std::count(std::begin(kPointeeSpaces), std::end(kPointeeSpaces), token)) {
        return Unexpected(token, "a type");
      }
    }
    if (declaration.element_bytes == 0) return Unexpected(token, "a type");
    if (!IsIdentifier(token)) return Unexpected(token, "the name of a parameter");

    for (token = scanner_.Next(); token == "["; token = scanner_.Next()) {
      token = scanner_.Next();
      const std::optional<uint64_t> count = ParseInteger(token);
      if (!count || *count == 0 || __builtin_mul_overflow(declaration.elements, *count, &declaration.elements)) {
        return Unexpected(token, "the length of an array");
      }
      token = scanner_.Next();
      if (token != "]") return Unexpected(token, "]");
    }
    return std::nullopt;
  }

  // Appends the parameter behind byte `end` and moves `end` behind it.
  std::optional<Error> Place(const Declaration& declaration, uint64_t& end, std::vector<Param>& params) {
    const uint64_t element = declaration.element_bytes * declaration.vector_length;
    const uint64_t alignment = std::max(declaration.alignment, element);
    uint64_t size = 0;
    if (alignment > kMaxKernelParameterBytes || __builtin_mul_overflow(element, declaration.elements, &size) ||
        size > kMaxKernelParameterBytes) {
      return TooLarge();
    }
    const uint64_t offset = (end + alignment - 1) & ~(alignment - 1);
    end = offset + size;
    if (end > kMaxKernelParameterBytes) return TooLarge();
    params.push_back({static_cast<uint32_t>(offset), static_cast<uint32_t>(size)});
    return std::nullopt;
  }

  Error Unexpected(std::string_view found, std::string_view wanted) const {
    constexpr size_t kMostShown = 80;
    const std::string what = found.empty() ? "the end of the text" : std::string(found.substr(0, kMostShown));
    return {"PTX line " + std::to_string(scanner_.Line()) + " has " + what + " where " + std::string(wanted) +
            " is expected."};
  }

  Error TooLarge() const {
    return {"PTX line " + std::to_string(scanner_.Line()) + " declares kernel parameters beyond the limit of " +
            std::to_string(kMaxKernelParameterBytes) + " bytes."};
  }

  PtxScanner scanner_;
};

}  // namespace

Result<std::vector<KernelLayout>> PtxKernels(std::string_view text) {
  return EntryReader(text.substr(0, text.find('\0'))).Run();
}

}  // namespace outboard::image
