#include "client/shim/memory_pulls.h"

namespace outboard::shim {

bool Pulls::Source::Meets(uint64_t begin, uint64_t size) const {
  return box.address < begin + size && box.address + span > begin;
}

uint64_t Pulls::Add(const Box& source, const BoxExtent& extent) {
  const uint64_t span = SpanOf(source, extent).value_or(0), bytes = PackedBytes(extent).value_or(0);
  std::lock_guard lock(mutex_);
  sources_.emplace(++last_, Source{source, extent, span, bytes});
  count_.store(sources_.size(), std::memory_order_release);
  return last_;
}

void Pulls::Forget(uint64_t begin, uint64_t size) {
  std::lock_guard lock(mutex_);
  std::erase_if(sources_, [&](const auto& entry) { return entry.second.Meets(begin, size); });
  count_.store(sources_.size(), std::memory_order_release);
}

std::optional<std::span<const std::byte>> Pulls::Find(uint64_t pull, uint64_t offset, uint64_t bytes,
                                                      std::vector<std::byte>* gathered) const {
  std::unique_lock lock(mutex_);
  const auto found = sources_.find(pull);
  if (found == sources_.end()) return std::nullopt;
  const Source source = found->second;
  lock.unlock();
  if (bytes > source.missing) return std::nullopt;
  if (source.extent.IsOneRow()) {
    if (offset > source.span || bytes > source.span - offset) return std::nullopt;
    return std::span(reinterpret_cast<const std::byte*>(source.box.address) + offset, bytes);
  }
  if (offset != 0 || bytes != PackedBytes(source.extent)) return std::nullopt;
  gathered->resize(bytes);
  CopyBox(PackedAt(gathered->data(), source.extent), source.box, source.extent);
  return *gathered;
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
