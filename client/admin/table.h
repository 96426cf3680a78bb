#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace outboard::admin {

// How a column's values are shown to people. Programs get them as they are, in the unit that the column's key says.
enum class Unit {
  kPlain,    // a text, a number, or whether it is so
  kBytes,    // int64_t
  kRatio,    // double, 1 is all
  kGpus,     // double
  kGpuTime,  // double, in GPU-seconds
  kAge,      // int64_t, milliseconds since 1970: how long ago
  kUntil,    // int64_t, milliseconds since 1970: in how long
  kSpan,     // int64_t, milliseconds
};

struct Column {
  std::string key;    // for programs: "memory_bytes"
  std::string title;  // for people: "MEMORY"; empty: they do not see it
  Unit unit = Unit::kPlain;
};

// monostate: there is none.
using Cell = std::variant<std::monostate, bool, int64_t, double, std::string, std::vector<std::string>>;

// What was asked for: rows, each with a cell for each column.
struct Table {
  std::string name;  // "nodes"
  std::vector<Column> columns;
  std::vector<std::vector<Cell>> rows;
};

// For people: each table's columns under their titles, an empty line between tables. Ages count to `now`, in
// milliseconds since 1970.
std::string AsText(const std::vector<Table>& tables, int64_t now);

// For programs: an object with the list of each table's rows by its name; each row is an object with every column's
// key, null where there is no value. A newline at the end.
std::string AsJson(const std::vector<Table>& tables);
std::string AsYaml(const std::vector<Table>& tables);

// "45s", "12min", "3h 20min", "2d 4h".
std::string ShowSpan(int64_t milliseconds);

}  // namespace outboard::admin
