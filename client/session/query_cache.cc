#include "client/session/query_cache.h"

#include <functional>
#include <mutex>
#include <utility>

namespace outboard::client {
namespace {

// A program that asks for more than this asks for something new each time.
constexpr size_t kMostAnswers = 1 << 14;

std::string_view Key(std::span<const std::byte> request) {
  return {reinterpret_cast<const char*>(request.data()), request.size()};
}

}  // namespace

std::shared_ptr<const Reply> QueryCache::Find(std::span<const std::byte> request) const {
  const std::shared_lock lock(mutex_);
  const auto found = answers_.find(Key(request));
  return found == answers_.end() ? nullptr : found->second;
}

uint64_t QueryCache::epoch() const {
  const std::shared_lock lock(mutex_);
  return epoch_;
}

void QueryCache::Keep(std::span<const std::byte> request, std::shared_ptr<const Reply> answer, uint64_t epoch) {
  const std::lock_guard lock(mutex_);
  if (epoch != epoch_) return;
  if (answers_.size() >= kMostAnswers) answers_.clear();
  answers_.insert_or_assign(std::string(Key(request)), std::move(answer));
}

void QueryCache::Forget() {
  const std::lock_guard lock(mutex_);
  ++epoch_;
  answers_.clear();
}

}  // namespace outboard::client
