#include "server/softgpu/device/memory_object.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <vector>

#include "common/base/log.h"
#include "common/base/round_up.h"

namespace outboard::softgpu {
namespace {

// The first line of the file. Any change of the structures below changes it.
// Its number is in the name of the default folder, too (config.cc).
constexpr char kLayout[] = "outboard software GPU memory, layout 2\n";

constexpr uint64_t kChunk = 64 << 10;      // bytes of memory whose file space is reserved together
constexpr uint64_t kChunksAtOnce = 256;    // per system call, so that one that a signal interrupts has little to repeat
constexpr uint32_t kRecordsAtOnce = 1365;  // of the heap, about 64 KiB

struct Owner {
  uint32_t taken = 0;
  ProcessIdentity process;
};

template <class Call>
auto Retry(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

std::string Reason() { return std::strerror(errno); }

bool BelongsToUs(const struct stat& status) { return status.st_uid == geteuid() || status.st_uid == 0; }

std::string UuidText(const std::array<uint8_t, 16>& uuid) {
  std::string text = "GPU-";
  for (size_t i = 0; i < uuid.size(); ++i) {
    char digits[4];
    std::snprintf(digits, sizeof digits, "%02x", uuid[i]);
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += digits;
  }
  return text;
}

// Which boot of the machine this is; never all zeros.
std::array<char, 40> BootId() {
  std::array<char, 40> id{};
  const FileDescriptor file(open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
  if (file.number() < 0 || read(file.number(), id.data(), id.size()) <= 0) id = {'?'};
  return id;
}

Result<FileDescriptor> OpenDirectory(const std::string& path) {
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
    return Error{"Cannot make the folder " + path + ": " + Reason() + "."};
  FileDescriptor directory(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat status;
  if (directory.number() < 0 || fstat(directory.number(), &status) != 0) {
    const bool no_directory = errno == ENOTDIR || errno == ELOOP;
    const std::string reason = no_directory ? "it is a link or a file, and must be a folder" : Reason();
    return Error{"Cannot use " + path + " for device memory: " + reason + "."};
  }
  if (!BelongsToUs(status)) {
    return Error{"Cannot use " + path + " for device memory: it belongs to user " + std::to_string(status.st_uid) +
                 ", and must belong to user " + std::to_string(geteuid()) + " or root."};
  }
  return directory;
}

// While it lives, no other process makes or checks files in the folder. Unlocks explicitly, because a child forked
// meanwhile would keep the lock.
class DirectoryLock {
 public:
  explicit DirectoryLock(int directory) : directory_(directory) {
    locked_ = Retry([&] { return flock(directory_, LOCK_EX); }) == 0;
  }
  ~DirectoryLock() {
    if (locked_) flock(directory_, LOCK_UN);
  }
  bool locked() const { return locked_; }

 private:
  const int directory_;
  bool locked_;
};

}  // namespace

FileDescriptor::~FileDescriptor() {
  if (number_ >= 0) close(number_);
}

Mapping::~Mapping() {
  if (begin_ != nullptr) munmap(begin_, bytes_);
}

struct MemoryObject::Head {
  char text[512];
  DeviceFacts facts;
  std::array<char, 40> boot_id;
  pthread_mutex_t mutex;
  Owner owners[kMaxAttachments];
  BlockHeap::Head heap;

  // Where the parts lie that depend on the size of the memory, in bytes from the beginning of the file.
  struct Parts {
    explicit Parts(uint64_t memory_bytes)
        : reserved(RoundUp(sizeof(Head), kPageBytes)),
          records(reserved + RoundUp(RoundUp(memory_bytes, kChunk) / kChunk, kPageBytes)),
          memory(RoundUp(
              records + (uint64_t{BlockHeap::RecordsFor(memory_bytes / kGranule)} + 1) * sizeof(BlockHeap::Block),
              uint64_t{2} << 20)),
          end(memory + RoundUp(memory_bytes, kPageBytes)) {}
    uint64_t reserved;  // one byte per chunk: not 0 when its file space is reserved
    uint64_t records;   // the heap's
    uint64_t memory;
    uint64_t end;
  };

  Parts parts() const { return Parts(facts.memory_bytes); }
};

// Holds the mutex in the file, and repairs what its last owner left half done.
class MemoryObject::Lock {
 public:
  explicit Lock(MemoryObject& object) : mutex_(&object.head_->mutex) {
    int result = pthread_mutex_lock(mutex_);
    if (result == EOWNERDEAD) {
      if (object.heap_->Valid() || (object.heap_->Rebuild() && object.heap_->Valid())) {
        result = pthread_mutex_consistent(mutex_);
      } else {
        pthread_mutex_unlock(mutex_);  // from now on no process gets the lock
        result = ENOTRECOVERABLE;
      }
    }
    held_ = result == 0;
    if (!held_) Log(LogLevel::kError, "%s is damaged; remove it when no program uses it", object.path_.c_str());
  }
  ~Lock() {
    if (held_) pthread_mutex_unlock(mutex_);
  }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;
  bool held() const { return held_; }

 private:
  pthread_mutex_t* const mutex_;
  bool held_;
};

const DeviceFacts& MemoryObject::facts() const { return head_->facts; }

Result<std::unique_ptr<MemoryObject>> MemoryObject::Open(const std::string& directory, unsigned ordinal,
                                                         uint64_t memory_bytes, uint32_t sm_count) {
  DeviceFacts wanted{memory_bytes / kGranule * kGranule, sm_count, {}};
  if (wanted.memory_bytes == 0 || wanted.memory_bytes > kMaxSoftGpuMemory) {
    return Error{"A device cannot have " + std::to_string(memory_bytes) +
                 " bytes of memory; it needs 512 bytes to 1 TiB."};
  }
  Result<FileDescriptor> folder = OpenDirectory(directory);
  if (!folder) return folder.error();

  const std::string name = "gpu" + std::to_string(ordinal);
  std::unique_ptr<MemoryObject> object(new MemoryObject);
  object->self_ = ThisProcess();
  object->path_ = directory + "/" + name;
  {
    const DirectoryLock lock(folder->number());
    if (!lock.locked()) return Error{"Cannot lock the folder " + directory + ": " + Reason() + "."};
    if (std::optional<Error> error = object->OpenFile(folder->number(), name, wanted)) return *error;
  }
  const DeviceFacts& facts = object->facts();
  if (facts.memory_bytes != wanted.memory_bytes || facts.sm_count != wanted.sm_count) {
    Log(LogLevel::kWarn,
        "%s has %llu bytes and %u multiprocessors, not %llu and %u as configured; it goes on as it is until removed",
        object->path_.c_str(), static_cast<unsigned long long>(facts.memory_bytes), facts.sm_count,
        static_cast<unsigned long long>(wanted.memory_bytes), wanted.sm_count);
  }
  if (!object->ClaimOwner()) {
    return Error{object->path_ + " cannot take another process: " + std::to_string(kMaxAttachments) +
                 " are attached already, or it is damaged."};
  }
  return object;
}

std::optional<Error> MemoryObject::OpenFile(int directory, const std::string& name, const DeviceFacts& wanted) {
  const auto open_file = [&] {
    return FileDescriptor(openat(directory, name.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  };
  file_ = open_file();
  if (file_.number() < 0 && errno == ENOENT) {
    if (std::optional<Error> error = Create(directory, name, wanted)) return error;
    file_ = open_file();
  }
  if (file_.number() < 0) return Error{"Cannot open " + path_ + ": " + Reason() + "."};
  if (std::optional<Error> error = MapFile()) return error;
  if (head_->boot_id != BootId()) StartAnew();
  return std::nullopt;
}

// The file gets its name when it is complete, so nobody ever sees half of it.
std::optional<Error> MemoryObject::Create(int directory, const std::string& name, const DeviceFacts& wanted) const {
  const std::string draft_name = name + ".new";
  unlinkat(directory, draft_name.c_str(), 0);
  const FileDescriptor draft(
      openat(directory, draft_name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (draft.number() < 0) return Error{"Cannot make " + path_ + ": " + Reason() + "."};

  const auto fill = [&]() -> std::optional<Error> {
    const Head::Parts parts(wanted.memory_bytes);
    const uint32_t ready = std::min(kRecordsAtOnce, BlockHeap::RecordsFor(wanted.memory_bytes / kGranule));
    const uint64_t head_bytes = parts.records + (uint64_t{ready} + 1) * sizeof(BlockHeap::Block);
    if (ftruncate(draft.number(), static_cast<off_t>(parts.end)) != 0) {
      return Error{"Cannot make " + path_ + " " + std::to_string(parts.end) + " bytes long: " + Reason() + "."};
    }
    if (Retry([&] { return fallocate(draft.number(), 0, 0, static_cast<off_t>(head_bytes)); }) != 0) {
      const std::string advice = errno == EOPNOTSUPP ? " SOFTGPU_DIR must be a folder on tmpfs, ext4 or XFS." : "";
      return Error{"Cannot reserve " + std::to_string(head_bytes) + " bytes for " + path_ + ": " + Reason() + "." +
                   advice};
    }
    void* const begin = mmap(nullptr, parts.records, PROT_READ | PROT_WRITE, MAP_SHARED, draft.number(), 0);
    if (begin == MAP_FAILED) return Error{"Cannot map " + path_ + ": " + Reason() + "."};
    const Mapping mapping(begin, parts.records);
    Head* const head = reinterpret_cast<Head*>(mapping.begin());
    head->facts = wanted;
    if (Retry([&] { return getrandom(head->facts.uuid.data(), head->facts.uuid.size(), 0); }) != 16) {
      return Error{"Cannot get random numbers for " + path_ + ": " + Reason() + "."};
    }
    head->facts.uuid[6] =
        static_cast<uint8_t>((head->facts.uuid[6] & 0x0f) | 0x40);  // RFC 4122: made from random numbers
    head->facts.uuid[8] = static_cast<uint8_t>((head->facts.uuid[8] & 0x3f) | 0x80);
    head->heap.ready = ready;
    // The empty boot id makes whoever opens the file start it anew.
    std::snprintf(head->text, sizeof head->text, "%smemory %llu bytes\nmultiprocessors %u\nuuid %s\n", kLayout,
                  static_cast<unsigned long long>(wanted.memory_bytes), wanted.sm_count,
                  UuidText(head->facts.uuid).c_str());
    if (renameat(directory, draft_name.c_str(), directory, name.c_str()) != 0) {
      return Error{"Cannot name " + path_ + ": " + Reason() + "."};
    }
    return std::nullopt;
  };
  std::optional<Error> error = fill();
  if (error) unlinkat(directory, draft_name.c_str(), 0);
  return error;
}

std::optional<Error> MemoryObject::MapFile() {
  const Error foreign{path_ +
                      " is not a device memory that this version understands; remove it when no program uses it."};
  struct stat status;
  if (fstat(file_.number(), &status) != 0) return Error{"Cannot read the status of " + path_ + ": " + Reason() + "."};
  if (!S_ISREG(status.st_mode) || !BelongsToUs(status)) return foreign;

  Head copy;
  if (pread(file_.number(), &copy, sizeof copy, 0) != static_cast<ssize_t>(sizeof copy)) return foreign;
  const uint64_t bytes = copy.facts.memory_bytes;
  const bool known = std::memcmp(copy.text, kLayout, sizeof kLayout - 1) == 0;
  if (!known || bytes == 0 || bytes % kGranule != 0 || bytes > kMaxSoftGpuMemory || copy.facts.sm_count == 0)
    return foreign;
  const Head::Parts parts(bytes);
  if (static_cast<uint64_t>(status.st_size) != parts.end || copy.heap.ready == 0) return foreign;

  const auto map = [&](uint64_t offset, uint64_t length) {
    void* const begin = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file_.number(),
                             static_cast<off_t>(offset));
    return begin == MAP_FAILED ? Mapping() : Mapping(begin, length);
  };
  head_mapping_ = map(0, parts.memory);
  memory_ = map(parts.memory, parts.end - parts.memory);
  if (head_mapping_.begin() == nullptr || memory_.begin() == nullptr)
    return Error{"Cannot map " + path_ + ": " + Reason() + "."};
  head_ = reinterpret_cast<Head*>(head_mapping_.begin());
  heap_.emplace(&head_->heap, reinterpret_cast<BlockHeap::Block*>(head_mapping_.begin() + parts.records),
                bytes / kGranule);
  return std::nullopt;
}

// No process of this boot has used the file, so nothing in it is in use, whatever it says. The memory keeps its
// contents.
void MemoryObject::StartAnew() {
  std::fill(std::begin(head_->owners), std::end(head_->owners), Owner{});
  heap_->Reset(head_->heap.ready);
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  std::memset(&head_->mutex, 0, sizeof head_->mutex);
  pthread_mutex_init(&head_->mutex, &attributes);
  pthread_mutexattr_destroy(&attributes);
  head_->boot_id = BootId();
}

bool MemoryObject::ClaimOwner() {
  const Lock lock(*this);
  if (!lock.held()) return false;
  TakeBackFromEnded();
  for (uint32_t i = 0; i < kMaxAttachments; ++i) {
    Owner& owner = head_->owners[i];
    std::atomic_ref<uint32_t> taken(owner.taken);
    if (taken.load(std::memory_order_relaxed) != 0) continue;
    owner.process = self_;
    taken.store(1, std::memory_order_release);  // last, so that a kill before it leaves the place free
    owner_ = i;
    return true;
  }
  return false;
}

MemoryObject::~MemoryObject() {
  if (owner_ == kMaxAttachments || self_.pid != getpid()) return;
  const Lock lock(*this);
  if (!lock.held()) return;
  std::bitset<kMaxAttachments> mine;
  mine.set(owner_);
  heap_->ReleaseOwners(mine);
  std::atomic_ref<uint32_t>(head_->owners[owner_].taken).store(0, std::memory_order_release);
}

void MemoryObject::TakeBackFromEnded() {
  std::bitset<kMaxAttachments> ended;
  for (uint32_t i = 0; i < kMaxAttachments; ++i) {
    if (i != owner_ && head_->owners[i].taken != 0 && HasEnded(head_->owners[i].process, self_)) ended.set(i);
  }
  if (ended.none()) return;
  heap_->ReleaseOwners(ended);
  for (uint32_t i = 0; i < kMaxAttachments; ++i) {
    if (ended[i]) std::atomic_ref<uint32_t>(head_->owners[i].taken).store(0, std::memory_order_release);
  }
}

bool MemoryObject::ReserveRecords() {
  if (heap_->Available() >= 2) return true;
  const uint64_t begin = head_->parts().records + (uint64_t{heap_->ready()} + 1) * sizeof(BlockHeap::Block);
  const uint64_t end = std::min(begin + kRecordsAtOnce * sizeof(BlockHeap::Block), head_->parts().memory);
  if (Retry([&] { return fallocate(file_.number(), 0, static_cast<off_t>(begin), static_cast<off_t>(end - begin)); }) !=
      0)
    return false;
  heap_->AddReady(static_cast<uint32_t>((end - begin) / sizeof(BlockHeap::Block)));
  return heap_->Available() >= 2;
}

// Reserves file space for the bytes from `begin` to `end` of the memory. A failure leaves things as they were.
bool MemoryObject::ReserveMemory(uint64_t begin, uint64_t end) {
  const Head::Parts parts = head_->parts();
  uint8_t* const reserved = reinterpret_cast<uint8_t*>(head_mapping_.begin() + parts.reserved);
  const uint64_t first = begin / kChunk, last = (end + kChunk - 1) / kChunk;

  const uint64_t missing = static_cast<uint64_t>(std::count(reserved + first, reserved + last, 0));
  if (missing == 0) return true;
  struct statvfs space;
  // Filling the filesystem to its last page only to find out would take long and starve others. No blocks: no limit.
  if (fstatvfs(file_.number(), &space) == 0 && space.f_blocks != 0 &&
      missing * kChunk / space.f_frsize > space.f_bavail)
    return false;

  struct Run {
    uint64_t first, last;
  };
  std::vector<Run> done;
  for (uint64_t chunk = first; chunk < last;) {
    if (reserved[chunk] != 0) {
      ++chunk;
      continue;
    }
    Run run{chunk, chunk + 1};
    while (run.last < last && run.last - run.first < kChunksAtOnce && reserved[run.last] == 0) ++run.last;
    const uint64_t offset = parts.memory + run.first * kChunk;
    const uint64_t length = std::min(parts.memory + run.last * kChunk, parts.end) - offset;
    const auto reserve = [&] {
      return fallocate(file_.number(), 0, static_cast<off_t>(offset), static_cast<off_t>(length));
    };
    if (Retry(reserve) != 0) {
      for (const Run& undo : done) DropChunks(undo.first, undo.last);
      return false;
    }
    std::fill(reserved + run.first, reserved + run.last, 1);
    done.push_back(run);
    chunk = run.last;
  }
  return true;
}

// Gives the file space of chunks back, and what is in them.
void MemoryObject::DropChunks(uint64_t first, uint64_t last) {
  const Head::Parts parts = head_->parts();
  std::memset(head_mapping_.begin() + parts.reserved + first, 0, last - first);
  fallocate(file_.number(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
            static_cast<off_t>(parts.memory + first * kChunk), static_cast<off_t>((last - first) * kChunk));
}

void MemoryObject::DropResidue() {
  heap_->ForEachFree([this](uint64_t begin, uint64_t granules) {
    const uint64_t first = RoundUp(begin * kGranule, kChunk) / kChunk;
    const uint64_t last = (begin + granules) * kGranule / kChunk;
    if (first < last) DropChunks(first, last);
  });
}

std::optional<MemoryObject::Piece> MemoryObject::Place(uint64_t granules, uint64_t chaos, uint64_t alignment) {
  if (!ReserveRecords()) return std::nullopt;
  const uint64_t unit = alignment / kGranule;
  const auto skip_to_unit = [&](uint32_t block) { return (unit - heap_->Begin(block) % unit) % unit; };
  uint32_t block = heap_->Find(granules);
  if (block != BlockHeap::kNone && heap_->Granules(block) < skip_to_unit(block) + granules) {
    block = heap_->Find(granules + unit - 1);
  }
  if (block == BlockHeap::kNone) return std::nullopt;
  uint64_t skip = skip_to_unit(block);
  const uint64_t room = std::min<uint64_t>(heap_->Granules(block) - skip - granules, 128);
  if (chaos != 0) skip += chaos % (room / unit + 1) * unit;
  const uint64_t begin = (heap_->Begin(block) + skip) * kGranule, end = begin + granules * kGranule;
  if (!ReserveMemory(begin, end)) {
    DropResidue();
    if (!ReserveMemory(begin, end)) return std::nullopt;
  }
  return Piece{heap_->Take(block, skip, granules, owner_), begin};
}

std::optional<MemoryObject::Piece> MemoryObject::Allocate(uint64_t bytes, uint64_t chaos, uint64_t alignment) {
  if (bytes == 0 || bytes > facts().memory_bytes) return std::nullopt;
  const uint64_t granules = (bytes + kGranule - 1) / kGranule;
  const Lock lock(*this);
  if (!lock.held()) return std::nullopt;
  if (const std::optional<Piece> piece = Place(granules, chaos, alignment)) return piece;
  TakeBackFromEnded();
  return Place(granules, chaos, alignment);
}

bool MemoryObject::MapAt(std::byte* at, uint64_t offset, uint64_t bytes) const {
  return mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, file_.number(),
              static_cast<off_t>(head_->parts().memory + offset)) == at;
}

void MemoryObject::Free(uint32_t block) {
  const Lock lock(*this);
  if (lock.held()) heap_->Leave(block, owner_);
}

uint64_t MemoryObject::Share(uint32_t block) {
  const Lock lock(*this);
  return lock.held() ? heap_->Share(block) : 0;
}

std::optional<uint64_t> MemoryObject::FindShared(uint32_t block, uint64_t share, uint64_t bytes) {
  const Lock lock(*this);
  if (!lock.held() || !heap_->IsShared(block, share)) return std::nullopt;
  // Its maker may have had it with a granule more, that nobody uses (DeviceMemory::Allocate).
  const uint64_t spare = heap_->Granules(block) * kGranule - RoundUp(bytes, kGranule);
  if (spare != 0 && spare != kGranule) return std::nullopt;
  return heap_->Begin(block) * kGranule;
}

bool MemoryObject::Hold(uint32_t block, uint64_t share) {
  const Lock lock(*this);
  return lock.held() && heap_->IsShared(block, share) && heap_->AddHold(block, owner_);
}

uint64_t MemoryObject::FreeBytes() {
  const Lock lock(*this);
  if (!lock.held()) return 0;
  TakeBackFromEnded();
  return heap_->FreeGranules() * kGranule;
}

}  // namespace outboard::softgpu
