#include "server/softgpu/exec/builtins.h"

#include <cstdio>
#include <cstring>
#include <utility>

#include "server/softgpu/exec/memory.h"

namespace outboard::softgpu {
namespace {

constexpr size_t kMaxStringBytes = 1 << 16;

class LaneArguments final : public PrintArguments {
 public:
  LaneArguments(WarpContext& context, uint32_t lane, uint64_t list) : context_(context), lane_(lane), list_(list) {}

  std::optional<uint64_t> Next(uint32_t bytes) override {
    offset_ = (offset_ + bytes - 1) / bytes * bytes;
    const std::byte* place =
        ResolveLane(context_, MemorySpace::kGeneric, list_ + offset_, bytes, lane_, AccessKind::kRead);
    if (place == nullptr) return std::nullopt;
    uint64_t value = 0;
    std::memcpy(&value, place, bytes);
    offset_ += bytes;
    return value;
  }

  std::optional<std::string> String(uint64_t address) override {
    if (address == 0) return "(null)";
    std::string text;
    while (text.size() < kMaxStringBytes) {
      const std::byte* place =
          ResolveLane(context_, MemorySpace::kGeneric, address + text.size(), 1, lane_, AccessKind::kRead);
      if (place == nullptr) return std::nullopt;
      if (*place == std::byte{0}) break;
      text += static_cast<char>(*place);
    }
    return text;
  }

 private:
  WarpContext& context_;
  const uint32_t lane_;
  const uint64_t list_;
  uint64_t offset_ = 0;
};

// Appends what printf makes of one conversion.
template <class T>
void Append(std::string* text, const std::string& conversion, T value) {
  char small[128];
  const int length = std::snprintf(small, sizeof small, conversion.c_str(), value);
  if (length < 0) return;
  if (static_cast<size_t>(length) < sizeof small) {
    *text += small;
    return;
  }
  std::string large(std::min<size_t>(static_cast<size_t>(length), kMaxStringBytes) + 1, '\0');
  std::snprintf(large.data(), large.size(), conversion.c_str(), value);
  large.pop_back();
  *text += large;
}

}  // namespace

std::optional<std::string> FormatPrint(const std::string& format, PrintArguments& arguments, uint32_t* conversions) {
  std::string text;
  *conversions = 0;
  for (size_t i = 0; i < format.size();) {
    if (format[i] != '%') {
      text += format[i++];
      continue;
    }
    if (i + 1 < format.size() && format[i + 1] == '%') {
      text += '%';
      i += 2;
      continue;
    }
    std::string conversion = "%";
    size_t k = i + 1;
    const auto number = [&] {
      if (k < format.size() && format[k] == '*') {
        const std::optional<uint64_t> value = arguments.Next(4);
        if (!value) return false;
        conversion += std::to_string(std::min(static_cast<int>(static_cast<int32_t>(*value)), 4096));
        ++k;
        return true;
      }
      while (k < format.size() && format[k] >= '0' && format[k] <= '9' && conversion.size() < 16)
        conversion += format[k++];
      return true;
    };
    while (k < format.size() && std::strchr("-+ #0", format[k]) != nullptr && conversion.size() < 8)
      conversion += format[k++];
    if (!number()) return std::nullopt;
    if (k < format.size() && format[k] == '.') {
      conversion += format[k++];
      if (!number()) return std::nullopt;
    }
    int longs = 0, shorts = 0;
    for (; k < format.size() && std::strchr("lhjztL", format[k]) != nullptr; ++k) {
      if (format[k] == 'h') {
        ++shorts;
      } else {
        ++longs;
      }
    }
    const char kind = k < format.size() ? format[k] : '\0';
    const std::string length = shorts == 1 ? "h" : shorts > 1 ? "hh" : "";
    std::optional<uint64_t> value;
    switch (kind) {
      case 'd':
      case 'i':
        if (!(value = arguments.Next(longs > 0 ? 8 : 4))) return std::nullopt;
        if (longs > 0) {
          Append(&text, conversion + "lld", static_cast<long long>(*value));
        } else {
          Append(&text, conversion + length + "d", static_cast<int>(static_cast<uint32_t>(*value)));
        }
        break;
      case 'u':
      case 'x':
      case 'X':
      case 'o':
        if (!(value = arguments.Next(longs > 0 ? 8 : 4))) return std::nullopt;
        if (longs > 0) {
          Append(&text, conversion + "ll" + kind, static_cast<unsigned long long>(*value));
        } else {
          Append(&text, conversion + length + kind, static_cast<unsigned>(*value));
        }
        break;
      case 'c':
        if (!(value = arguments.Next(4))) return std::nullopt;
        Append(&text, conversion + 'c', static_cast<int>(static_cast<uint32_t>(*value)));
        break;
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
      case 'a':
      case 'A':
        if (!(value = arguments.Next(8))) return std::nullopt;
        Append(&text, conversion + kind, __builtin_bit_cast(double, *value));
        break;
      case 'p':
        if (!(value = arguments.Next(8))) return std::nullopt;
        Append(&text, conversion + 'p', reinterpret_cast<void*>(*value));
        break;
      case 's': {
        if (!(value = arguments.Next(8))) return std::nullopt;
        const std::optional<std::string> argument = arguments.String(*value);
        if (!argument) return std::nullopt;
        Append(&text, conversion + 's', argument->c_str());
        break;
      }
      default:  // not a conversion: printed as it stands
        text += format.substr(i, k - i);
        i = k;
        continue;
    }
    ++*conversions;
    i = k + 1;
  }
  return text;
}

uint64_t BuiltinCall::Argument(size_t index) const {
  uint64_t value = 0;
  if (index < site.params.size()) {
    std::memcpy(&value, local + site.params[index].offset, std::min<uint32_t>(site.params[index].size, 8));
  }
  return value;
}

void BuiltinCall::SetResult(uint64_t value) {
  if (site.returns.empty()) return;
  std::memcpy(local + site.returns[0].offset, &value, std::min<uint32_t>(site.returns[0].size, 8));
}

std::optional<std::string> BuiltinCall::ReadString(uint64_t address) {
  return LaneArguments(context, lane, 0).String(address);
}

std::optional<std::string> BuiltinCall::Print() {
  const std::optional<std::string> format = ReadString(Argument(0));
  if (!format) return "";
  LaneArguments arguments(context, lane, Argument(1));
  uint32_t conversions = 0;
  const std::optional<std::string> text = FormatPrint(*format, arguments, &conversions);
  if (!text) return "";
  runtime.Print(*text);
  SetResult(conversions);
  return std::nullopt;
}

std::optional<std::string> BuiltinCall::Assert() {
  // void __assertfail(const char* message, const char* file, unsigned line, const char* function, size_t char_size)
  const std::optional<std::string> message = ReadString(Argument(0));
  const std::optional<std::string> file = ReadString(Argument(1));
  const std::optional<std::string> function = ReadString(Argument(3));
  if (!message || !file || !function) return "";
  const auto triple = [](uint32_t x, uint32_t y, uint32_t z) {
    return "[" + std::to_string(x) + "," + std::to_string(y) + "," + std::to_string(z) + "]";
  };
  return *file + ":" + std::to_string(static_cast<uint32_t>(Argument(2))) + ": " + *function +
         ": block: " + triple(context.ctaid[0], context.ctaid[1], context.ctaid[2]) +
         ", thread: " + triple(context.tid[0][lane], context.tid[1][lane], context.tid[2][lane]) + " Assertion `" +
         *message + "` failed.";
}

Builtin BuiltinOf(std::string_view name) {
  constexpr std::pair<std::string_view, Builtin> kBuiltins[] = {{"vprintf", Builtin::kVprintf},
                                                                {"__assertfail", Builtin::kAssertFail},
                                                                {"malloc", Builtin::kMalloc},
                                                                {"free", Builtin::kFree},
                                                                {"cudaGraphSetConditional", Builtin::kSetConditional}};
  for (const auto& [builtin_name, builtin] : kBuiltins) {
    if (name == builtin_name) return builtin;
  }
  return Builtin::kNone;
}

bool IsOfDriver(std::string_view name) { return name.starts_with("__cuda_syscall_"); }

std::string RefusalOfCall(std::string_view name) {
  // The second generation of the runtime, which current compilers call, has a prefix of its own.
  constexpr std::string_view kPrefix = "__cudaCDP2";
  const std::string call =
      name.starts_with(kPrefix) ? "cuda" + std::string(name.substr(kPrefix.size())) : std::string(name);
  if (call.starts_with("cudaLaunchDevice") || call.starts_with("cudaGetParameterBuffer"))
    return "kernels that launch kernels (dynamic parallelism) are not supported: a call of " + call;
  if (IsOfDriver(name)) return "what the device's runtime asks of a driver is not supported: a call of " + call;
  return "";
}

std::optional<std::string> BuiltinCall::Run() {
  switch (site.builtin) {
    case Builtin::kVprintf:
      return Print();
    case Builtin::kAssertFail:
      return Assert();
    case Builtin::kMalloc:
      SetResult(runtime.Malloc(Argument(0)));
      return std::nullopt;
    case Builtin::kFree:
      if (Argument(0) != 0 && !runtime.Free(Argument(0)))
        return "free() of " + std::to_string(Argument(0)) + ", which malloc() did not return";
      return std::nullopt;
    case Builtin::kSetConditional:
      if (runtime.SetConditional(Argument(0), static_cast<uint32_t>(Argument(1)))) return std::nullopt;
      context.fault = {AccessError::kIllegal, lane, Argument(0)};
      return "";
    case Builtin::kNone:
      break;
  }
  return "a call of no function";
}

}  // namespace outboard::softgpu
