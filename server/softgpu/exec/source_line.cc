#include "server/softgpu/exec/source_line.h"

#include <charconv>
#include <optional>
#include <vector>

namespace outboard::softgpu {
namespace {

constexpr std::string_view kBlanks = " \t\r";

std::string_view Trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(kBlanks);
  return first == std::string_view::npos ? std::string_view() : text.substr(first);
}

// Takes a number from the beginning of `text`.
std::optional<uint32_t> TakeNumber(std::string_view* text) {
  *text = Trimmed(*text);
  uint32_t number = 0;
  const auto [end, failure] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (failure != std::errc()) return std::nullopt;
  text->remove_prefix(static_cast<size_t>(end - text->data()));
  return number;
}

// What follows a directive at the beginning of a line.
std::optional<std::string_view> After(std::string_view line, std::string_view directive) {
  line = Trimmed(line);
  if (!line.starts_with(directive)) return std::nullopt;
  line.remove_prefix(directive.size());
  if (line.empty() || kBlanks.find(line.front()) == std::string_view::npos) return std::nullopt;
  return line;
}

// .file number "name"
std::string FileName(std::string_view text, uint32_t wanted) {
  while (!text.empty()) {
    const size_t end = text.find('\n');
    if (std::optional<std::string_view> rest = After(text.substr(0, end), ".file")) {
      const std::optional<uint32_t> number = TakeNumber(&*rest);
      const size_t open = rest->find('"');
      const size_t close = open == std::string_view::npos ? open : rest->find('"', open + 1);
      if (number == wanted && close != std::string_view::npos)
        return std::string(rest->substr(open + 1, close - open - 1));
    }
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return "file " + std::to_string(wanted);
}

// Takes "file line" from the beginning of `rest`, and gives "file.cu:12".
std::optional<std::string> TakePlace(std::string_view text, std::string_view* rest) {
  const std::optional<uint32_t> file = TakeNumber(rest), line = TakeNumber(rest);
  if (!file || !line) return std::nullopt;
  return FileName(text, *file) + ":" + std::to_string(*line);
}

// Whether a location is that of `call`, which it begins with.
bool IsAt(std::string_view location, std::string_view call) {
  if (!location.starts_with(call)) return false;
  return location.size() == call.size() || location[call.size()] == ',';
}

}  // namespace

std::string SourceOfLine(std::string_view text, uint32_t begin, uint32_t line) {
  // .loc file line column[, ...]
  std::vector<std::string_view> locations;
  std::string_view rest = text;
  for (uint32_t number = 1; number <= line; ++number) {
    const size_t end = rest.find('\n');
    if (number >= begin) {
      if (const std::optional<std::string_view> found = After(rest.substr(0, end), ".loc"))
        locations.push_back(Trimmed(*found));
    }
    if (end == std::string_view::npos) break;
    rest.remove_prefix(end + 1);
  }
  if (locations.empty()) return "";
  std::string_view last = locations.back();
  const std::optional<std::string> place = TakePlace(text, &last);
  if (!place) return "";
  // The call may be inlined itself: then a location before says so, in the same words.
  constexpr std::string_view kCaller = "inlined_at";
  std::string outermost;
  for (size_t next = locations.size() - 1;;) {
    const size_t caller = locations[next].find(kCaller);
    if (caller == std::string_view::npos) break;
    const std::string_view call = Trimmed(locations[next].substr(caller + kCaller.size()));
    std::string_view call_rest = call;
    const std::optional<std::string> call_place = TakePlace(text, &call_rest);
    if (!call_place) break;
    outermost = ", inlined at " + *call_place;
    do {
      if (next == 0) return *place + outermost;
      --next;
    } while (!IsAt(locations[next], call));
  }
  return *place + outermost;
}

}  // namespace outboard::softgpu
