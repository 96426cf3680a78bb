#include "server/softgpu/ptx/symbol_table.h"

#include <algorithm>
#include <cstring>

namespace outboard::softgpu::ptx {
namespace {

// Names are short, so eight bytes at a time and one multiplication each.
size_t Hash(std::string_view name) {
  uint64_t hash = name.size();
  const char* cursor = name.data();
  size_t left = name.size();
  while (left >= 8) {
    uint64_t part;
    std::memcpy(&part, cursor, 8);
    hash = (hash ^ part) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
    cursor += 8;
    left -= 8;
  }
  uint64_t part = 0;
  for (size_t i = 0; i < left; ++i) part = part << 8 | static_cast<uint8_t>(cursor[i]);
  hash = (hash ^ part) * 0x9E3779B97F4A7C15u;
  return static_cast<size_t>(hash ^ hash >> 32);
}

}  // namespace

const SymbolTable::Entry* SymbolTable::Find(std::string_view name) const {
  if (buckets_.empty()) return nullptr;
  for (int32_t i = buckets_[Hash(name) & (buckets_.size() - 1)]; i >= 0; i = entries_[i].next) {
    if (entries_[i].name == name) return &entries_[i];
  }
  return nullptr;
}

void SymbolTable::Add(const Entry& entry) {
  if (entries_.size() >= buckets_.size()) Grow();
  int32_t& bucket = buckets_[Hash(entry.name) & (buckets_.size() - 1)];
  entries_.push_back(entry);
  entries_.back().next = bucket;
  bucket = static_cast<int32_t>(entries_.size() - 1);
}

void SymbolTable::Drop(uint32_t depth) {
  while (!entries_.empty() && entries_.back().depth >= depth) {
    buckets_[Hash(entries_.back().name) & (buckets_.size() - 1)] = entries_.back().next;
    entries_.pop_back();
  }
}

void SymbolTable::Grow() {
  buckets_.assign(std::max<size_t>(64, buckets_.size() * 4), -1);
  for (size_t i = 0; i < entries_.size(); ++i) {
    int32_t& bucket = buckets_[Hash(entries_[i].name) & (buckets_.size() - 1)];
    entries_[i].next = bucket;
    bucket = static_cast<int32_t>(i);
  }
}

}  // namespace outboard::softgpu::ptx
