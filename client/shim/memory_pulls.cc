#include "client/shim/memory_pulls.h"

namespace outboard::shim {

bool Pulls::Source::Meets(uint64_t begin, uint64_t size) const {
  const auto first = reinterpret_cast<uint64_t>(bytes.data());
  return first < begin + size && first + bytes.size() > begin;
}

uint64_t Pulls::Add(std::span<const std::byte> source) {
  std::lock_guard lock(mutex_);
  sources_.emplace(++last_, Source{source, source.size()});
  count_.store(sources_.size(), std::memory_order_release);
  return last_;
}

void Pulls::Forget(uint64_t begin, uint64_t size) {
  std::lock_guard lock(mutex_);
  std::erase_if(sources_, [&](const auto& entry) { return entry.second.Meets(begin, size); });
  count_.store(sources_.size(), std::memory_order_release);
}

std::optional<std::span<const std::byte>> Pulls::Find(uint64_t pull, uint64_t offset, uint64_t bytes) const {
  std::lock_guard lock(mutex_);
  const auto found = sources_.find(pull);
  if (found == sources_.end()) return std::nullopt;
  const Source& source = found->second;
  if (offset > source.bytes.size() || bytes > source.bytes.size() - offset || bytes > source.missing) {
    return std::nullopt;
  }
  return source.bytes.subspan(offset, bytes);
}

void Pulls::Sent(uint64_t pull, uint64_t bytes) {
  std::lock_guard lock(mutex_);
  const auto found = sources_.find(pull);
  if (found == sources_.end()) return;
  found->second.missing -= bytes;
  if (found->second.missing == 0) sources_.erase(found);
  count_.store(sources_.size(), std::memory_order_release);
}

bool Pulls::MayRead(uint64_t begin, uint64_t size) const {
  if (!Any()) return false;
  std::lock_guard lock(mutex_);
  for (const auto& [pull, source] : sources_) {
    if (source.Meets(begin, size)) return true;
  }
  return false;
}

}  // namespace outboard::shim
