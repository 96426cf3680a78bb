#include "client/admin/table.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "common/base/show_bytes.h"

namespace outboard::admin {
namespace {

constexpr size_t kGap = 2;  // blanks between columns

std::string Format(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string Decimal(double value, int digits) {
  std::string text = Format(digits == 1 ? "%.1f" : digits == 2 ? "%.2f" : "%.3f", value);
  while (text.ends_with('0')) text.pop_back();
  if (text.ends_with('.')) text.pop_back();
  return text;
}

std::string ShowNumber(double value, Unit unit) {
  switch (unit) {
    case Unit::kRatio:
      return Format("%.0f%%", value * 100);
    case Unit::kGpuTime:
      return Format("%.2f", value / 3600);
    default:
      return Decimal(value, 3);
  }
}

std::string ShowNumber(int64_t value, Unit unit, int64_t now) {
  switch (unit) {
    case Unit::kBytes:
      return ShowBytes(static_cast<uint64_t>(value));
    case Unit::kAge:
      return ShowSpan(now - value);
    case Unit::kUntil:
      return value >= now ? ShowSpan(value - now) : "overdue";
    case Unit::kSpan:
      return ShowSpan(value);
    default:
      return std::to_string(value);
  }
}

std::string Show(const Cell& cell, Unit unit, int64_t now) {
  if (const bool* yes = std::get_if<bool>(&cell)) return *yes ? "yes" : "no";
  if (const auto* number = std::get_if<int64_t>(&cell)) return ShowNumber(*number, unit, now);
  if (const auto* number = std::get_if<double>(&cell)) return ShowNumber(*number, unit);
  std::string shown;
  if (const auto* text = std::get_if<std::string>(&cell)) shown = *text;
  if (const auto* texts = std::get_if<std::vector<std::string>>(&cell)) {
    for (const std::string& text : *texts) shown += (shown.empty() ? "" : ",") + text;
  }
  return shown.empty() ? "-" : shown;
}

bool IsNumber(const Cell& cell) {
  return std::holds_alternative<int64_t>(cell) || std::holds_alternative<double>(cell);
}

// Numbers are set to the right, so that they can be compared by a glance.
std::string AsText(const Table& table, int64_t now) {
  if (table.rows.empty()) return "no " + table.name + "\n";
  std::vector<size_t> shown;
  std::vector<size_t> widths;
  std::vector<bool> right;
  std::vector<std::vector<std::string>> lines(table.rows.size() + 1);
  for (size_t i = 0; i < table.columns.size(); ++i) {
    const Column& column = table.columns[i];
    if (column.title.empty()) continue;
    lines[0].push_back(column.title);
    widths.push_back(column.title.size());
    right.push_back(false);
    for (size_t row = 0; row < table.rows.size(); ++row) {
      const Cell& cell = table.rows[row][i];
      lines[row + 1].push_back(Show(cell, column.unit, now));
      widths.back() = std::max(widths.back(), lines[row + 1].back().size());
      if (IsNumber(cell)) right.back() = true;
    }
  }
  std::string text;
  for (const std::vector<std::string>& line : lines) {
    for (size_t i = 0; i < line.size(); ++i) {
      const std::string padding(widths[i] - line[i].size(), ' ');
      text += (i == 0 ? "" : std::string(kGap, ' ')) + (right[i] ? padding + line[i] : line[i] + padding);
    }
    while (text.ends_with(' ')) text.pop_back();
    text += '\n';
  }
  return text;
}

nlohmann::ordered_json ToJson(const Cell& cell) {
  return std::visit(
      [](const auto& value) -> nlohmann::ordered_json {
        if constexpr (std::is_same_v<decltype(value), const std::monostate&>)
          return nullptr;
        else
          return value;
      },
      cell);
}

void Emit(const nlohmann::ordered_json& value, YAML::Emitter* to) {
  if (value.is_array()) {
    *to << YAML::Flow << YAML::BeginSeq;
    for (const nlohmann::ordered_json& each : value) Emit(each, to);
    *to << YAML::EndSeq;
  } else if (value.is_string()) {
    // Quoted: a lease's name, 7e31 for example, would be read as a number.
    *to << YAML::DoubleQuoted << value.get<std::string>();
  } else if (value.is_null()) {
    *to << YAML::Null;
  } else if (value.is_boolean()) {
    *to << value.get<bool>();
  } else {
    *to << value.dump();
  }
}

}  // namespace

std::string ShowSpan(int64_t milliseconds) {
  const int64_t seconds = std::max<int64_t>(0, milliseconds) / 1000;
  const auto two = [](int64_t count, const char* unit, int64_t rest, const char* smaller) {
    return std::to_string(count) + unit + (rest == 0 ? "" : " " + std::to_string(rest) + smaller);
  };
  if (seconds < 60) return std::to_string(seconds) + "s";
  if (seconds < 3600) return std::to_string(seconds / 60) + "min";
  if (seconds < 24 * 3600) return two(seconds / 3600, "h", seconds / 60 % 60, "min");
  return two(seconds / 3600 / 24, "d", seconds / 3600 % 24, "h");
}

std::string AsText(const std::vector<Table>& tables, int64_t now) {
  std::string text;
  for (const Table& table : tables) text += (text.empty() ? "" : "\n") + AsText(table, now);
  return text;
}

std::string AsJson(const std::vector<Table>& tables) {
  nlohmann::ordered_json all = nlohmann::ordered_json::object();
  for (const Table& table : tables) {
    nlohmann::ordered_json& rows = all[table.name] = nlohmann::ordered_json::array();
    for (const std::vector<Cell>& cells : table.rows) {
      nlohmann::ordered_json row = nlohmann::ordered_json::object();
      for (size_t i = 0; i < cells.size(); ++i) row[table.columns[i].key] = ToJson(cells[i]);
      rows.push_back(std::move(row));
    }
  }
  // What is no UTF-8 is shown as such, instead of being refused.
  return all.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string AsYaml(const std::vector<Table>& tables) {
  YAML::Emitter all;
  all << YAML::BeginMap;
  for (const Table& table : tables) {
    all << YAML::Key << table.name << YAML::Value << YAML::BeginSeq;
    for (const std::vector<Cell>& cells : table.rows) {
      all << YAML::BeginMap;
      for (size_t i = 0; i < cells.size(); ++i) {
        all << YAML::Key << table.columns[i].key << YAML::Value;
        Emit(ToJson(cells[i]), &all);
      }
      all << YAML::EndMap;
    }
    all << YAML::EndSeq;
  }
  all << YAML::EndMap;
  return std::string(all.c_str()) + "\n";
}

}  // namespace outboard::admin
