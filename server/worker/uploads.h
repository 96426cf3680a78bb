#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace outboard::worker {

// What the compiler said in a load.
struct LoadLog {
  std::string info, error;
};

// Code of one session: images on their way in, what the compiler said of them, and what belongs to what was loaded.
// Thread-safe.
class Uploads {
 public:
  // Adds bytes to upload number `upload`, which begins with its first bytes. CUDA_ERROR_INVALID_VALUE unless `offset`
  // is where it ends; CUDA_ERROR_OUT_OF_MEMORY when all uploads together pass kMaxUploadBytes.
  CUresult Append(uint64_t upload, size_t offset, std::span<const std::byte> bytes);

  // Ends the upload and gives its bytes out; empty when there is none of this number.
  std::vector<std::byte> Take(uint64_t upload);

  // The log of a lane's last load.
  void SetLog(uint32_t lane, LoadLog log);
  LoadLog Log(uint32_t lane) const;

  // Notes that `child` (a function, kernel or module of the driver) ends with `parent` (a module or library). A child
  // of a child ends with the same parent.
  void NoteChild(void* parent, void* child);
  // Forgets objects that have ended otherwise: the driver may give their addresses to others.
  void Forget(std::span<void* const> objects);
  // All children of what is unloaded; forgets them.
  std::unordered_set<void*> TakeChildren(void* parent);

 private:
  mutable std::mutex mutex_;
  std::unordered_map<uint64_t, std::vector<std::byte>> uploads_;
  uint64_t charged_ = 0;  // for uploads_
  std::unordered_map<uint32_t, LoadLog> logs_;
  std::unordered_map<void*, std::unordered_set<void*>> children_;
  std::unordered_map<void*, void*> parents_;  // by child
};

}  // namespace outboard::worker
