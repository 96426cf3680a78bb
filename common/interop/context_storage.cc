#include "common/interop/context_storage.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <utility>

namespace outboard::interop {
namespace {

struct Remembered {
  uint64_t version;  // 0: nothing yet
  CUcontext context;
  void* key;
  void* value;
};

constexpr int kRememberedBits = 3;

// Without a destructor, so that it still serves a runtime that calls from a thread's or the process's last handlers.
Remembered& Place(CUcontext context, void* key) {
  static thread_local std::array<Remembered, 1 << kRememberedBits> places;
  const uint64_t hash =
      (reinterpret_cast<uintptr_t>(context) * 31 + reinterpret_cast<uintptr_t>(key)) * 0x9e3779b97f4a7c15u;
  return places[hash >> (64 - kRememberedBits)];
}

uint64_t NextVersion() {
  static std::atomic<uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

}  // namespace

ContextStorage::ContextStorage() : version_(NextVersion()) {}

void ContextStorage::Changed() { version_.store(NextVersion(), std::memory_order_release); }

void ContextStorage::Put(CUcontext context, void* key, void* value, Destructor destructor) {
  const std::unique_lock lock(mutex_);
  std::vector<Entry>& entries = entries_[context];
  const auto found = std::ranges::find(entries, key, &Entry::key);
  if (found != entries.end()) {
    *found = {key, value, destructor};
  } else {
    entries.push_back({key, value, destructor});
  }
  Changed();
}

void ContextStorage::Delete(CUcontext context, void* key) {
  const std::unique_lock lock(mutex_);
  const auto found = entries_.find(context);
  if (found == entries_.end()) return;
  std::erase_if(found->second, [key](const Entry& entry) { return entry.key == key; });
  if (found->second.empty()) entries_.erase(found);
  Changed();
}

bool ContextStorage::Get(CUcontext context, void* key, void** value) const {
  Remembered& place = Place(context, key);
  if (place.version == version_.load(std::memory_order_acquire) && place.context == context && place.key == key) {
    *value = place.value;
    return true;
  }
  const std::shared_lock lock(mutex_);
  const auto found = entries_.find(context);
  if (found == entries_.end()) return false;
  const auto entry = std::ranges::find(found->second, key, &Entry::key);
  if (entry == found->second.end()) return false;
  place = {version_.load(std::memory_order_relaxed), context, key, entry->value};
  *value = entry->value;
  return true;
}

void ContextStorage::ContextDestroyed(CUcontext context) {
  std::vector<Entry> entries;
  {
    const std::unique_lock lock(mutex_);
    const auto found = entries_.find(context);
    if (found == entries_.end()) return;
    entries = std::move(found->second);
    entries_.erase(found);
    Changed();
  }
  for (const Entry& entry : entries) {
    if (entry.destructor != nullptr) entry.destructor(context, entry.key, entry.value);
  }
}

}  // namespace outboard::interop
