#pragma once

#include <memory>
#include <string>

#include "server/pool/store.h"

namespace outboard::pool {

// A SQLite database: write-ahead log, each commit on the disk before it returns. One process at a time has it.
class SqliteStore final : public Store {
 public:
  // A file that does not exist is made, for this user alone.
  static Result<std::unique_ptr<SqliteStore>> Open(const std::string& path);
  ~SqliteStore() override;

  Result<Snapshot> Load() override;
  std::optional<Error> Commit(std::span<const Change> changes) override;

 private:
  class Tables;
  explicit SqliteStore(std::unique_ptr<Tables> tables);
  const std::unique_ptr<Tables> tables_;
};

}  // namespace outboard::pool
