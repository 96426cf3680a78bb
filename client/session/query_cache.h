#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <shared_mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "client/session/waiter.h"

namespace outboard::client {

// Answers to queries, by the request that brought them. Thread-safe.
class QueryCache {
 public:
  // Null when it was not asked yet.
  std::shared_ptr<const Reply> Find(std::span<const std::byte> request) const;

  // Names what is true now. To be read before a query is sent: an answer that crossed a change is not kept.
  uint64_t epoch() const;
  void Keep(std::span<const std::byte> request, std::shared_ptr<const Reply> answer, uint64_t epoch);

  // Something changed that queries ask for.
  void Forget();

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view request) const { return std::hash<std::string_view>()(request); }
  };

  mutable std::shared_mutex mutex_;
  uint64_t epoch_ = 0;
  std::unordered_map<std::string, std::shared_ptr<const Reply>, Hash, std::equal_to<>> answers_;
};

}  // namespace outboard::client
