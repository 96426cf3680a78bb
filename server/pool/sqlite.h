#pragma once

#include <sqlite3.h>

#include <concepts>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/result.h"

// What the store needs of SQLite.

namespace outboard::pool {

// A statement with parameters ?1, ?2, ... After the first failure nothing is done any more, and Done says so.
// Thread-confined, like its database, which outlives it.
class Statement {
 public:
  Statement() = default;
  Statement(sqlite3* database, const char* sql);

  template <class... Values>
  bool Run(const Values&... values) {  // a statement without rows
    Bind(values...);
    return !Step() && Done();
  }
  template <class... Values>
  void Bind(const Values&... values) {
    Reset();
    int place = 0;
    (BindOne(++place, values), ...);
  }
  bool Step();  // true: there is a row
  bool Done() const { return failure_ == SQLITE_OK; }

  int64_t Integer(int column) { return sqlite3_column_int64(statement_.get(), column); }
  uint64_t Unsigned(int column) { return static_cast<uint64_t>(Integer(column)); }
  std::string Text(int column);

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  void Reset();
  template <std::integral Value>
  void BindOne(int place, Value value) {
    Note(sqlite3_bind_int64(statement_.get(), place, static_cast<int64_t>(value)));
  }
  void BindOne(int place, std::string_view text);
  void Note(int result);

  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  int failure_ = SQLITE_OK;
};

}  // namespace outboard::pool
