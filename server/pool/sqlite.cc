#include "server/pool/sqlite.h"

namespace outboard::pool {

Statement::Statement(sqlite3* database, const char* sql) {
  sqlite3_stmt* statement = nullptr;
  Note(sqlite3_prepare_v3(database, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr));
  statement_.reset(statement);
}

void Statement::Note(int result) {
  if (failure_ == SQLITE_OK && result != SQLITE_OK && result != SQLITE_ROW && result != SQLITE_DONE) failure_ = result;
}

void Statement::Reset() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_.get());  // repeats the failure of the run before
  failure_ = SQLITE_OK;
}

bool Statement::Step() {
  if (failure_ != SQLITE_OK) return false;
  const int result = sqlite3_step(statement_.get());
  Note(result);
  if (result != SQLITE_ROW) sqlite3_reset(statement_.get());
  return result == SQLITE_ROW;
}

void Statement::BindOne(int place, std::string_view text) {
  // Not null even when empty.
  Note(sqlite3_bind_text(statement_.get(), place, text.empty() ? "" : text.data(), static_cast<int>(text.size()),
                         SQLITE_TRANSIENT));
}

std::string Statement::Text(int column) {
  const auto* const text = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  if (text == nullptr) return "";
  return std::string(text, static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column)));
}

}  // namespace outboard::pool
