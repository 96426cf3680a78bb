#include "server/softgpu/device/shared_event.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "server/softgpu/device/memory_object.h"
#include "server/softgpu/device/process_identity.h"

namespace outboard::softgpu {
namespace {

constexpr char kMagic[16] = "outboard event1";
constexpr std::string_view kPrefix = "event-";
constexpr uint32_t kMaxProcesses = 64;          // that know one event
constexpr uint32_t kProcessBits = 8;            // of a record's word: whose it is
constexpr long kLookNanoseconds = 100'000'000;  // after so long who waits looks whether the other process lives

std::string PathOf(const std::string& directory, const SharedEvent::Name& name) {
  std::string path = directory + "/" + std::string(kPrefix);
  for (const uint8_t byte : name) {
    constexpr char kDigits[] = "0123456789abcdef";
    path += kDigits[byte >> 4];
    path += kDigits[byte & 15];
  }
  return path;
}

}  // namespace

struct SharedEvent::State {
  // What the file holds. A place is taken while its word is not 0.
  struct Page {
    char magic[sizeof kMagic];
    ProcessIdentity maker;
    std::atomic<uint64_t> last;     // number of the last record << kProcessBits | place of the process that made it
    std::atomic<uint64_t> reached;  // the highest number
    std::atomic<uint32_t> changes;  // of `reached`, for who waits
    std::atomic<uint32_t> taken[kMaxProcesses];
    ProcessIdentity processes[kMaxProcesses];
  };
  static_assert(std::atomic<uint64_t>::is_always_lock_free && std::atomic<uint32_t>::is_always_lock_free);

  Page& page() const { return *reinterpret_cast<Page*>(mapping.begin()); }

  bool Map(int file) {
    void* const at = mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (at == MAP_FAILED) return false;
    mapping = Mapping(at, sizeof(Page));
    return true;
  }

  void Reach(uint64_t record) {
    uint64_t reached = page().reached.load();
    while (reached < record && !page().reached.compare_exchange_weak(reached, record)) {
    }
    page().changes.fetch_add(1);
    syscall(SYS_futex, &page().changes, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
  }

  // Whose record is the last counts, if that process has ended.
  void ReachForTheDead() {
    const uint64_t last = page().last.load();
    const uint32_t at = last & ((1u << kProcessBits) - 1);
    if (last != 0 && at < kMaxProcesses && HasEnded(page().processes[at], self)) Reach(last >> kProcessBits);
  }

  bool TakePlace() {
    for (uint32_t i = 0; i < kMaxProcesses; ++i) {
      uint32_t times = page().taken[i].load();
      if (times != 0 && !HasEnded(page().processes[i], self)) continue;
      ReachForTheDead();
      if (!page().taken[i].compare_exchange_strong(times, times + 1)) continue;
      page().processes[i] = self;
      place = i;
      return true;
    }
    return false;
  }

  const ProcessIdentity self = ThisProcess();
  Name name{};
  std::string path;  // empty unless this object has made the file
  Mapping mapping;
  std::optional<uint32_t> place;
};

namespace {

// Removes what processes that were killed have left.
void Sweep(const std::string& directory, const ProcessIdentity& self) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
    if (!entry.path().filename().string().starts_with(kPrefix)) continue;
    const FileDescriptor file(open(entry.path().c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    ProcessIdentity maker;
    const bool is_read =
        file.number() >= 0 && pread(file.number(), &maker, sizeof maker, sizeof kMagic) == ssize_t{sizeof maker};
    if (is_read && HasEnded(maker, self)) unlink(entry.path().c_str());
  }
}

}  // namespace

SharedEvent::SharedEvent(std::unique_ptr<State> state) : state_(std::move(state)) {}

SharedEvent::~SharedEvent() {
  if (state_->self.pid != getpid()) return;  // in a forked child, to which nothing belongs
  if (state_->place) state_->page().taken[*state_->place].store(0);
  if (!state_->path.empty()) unlink(state_->path.c_str());
}

Result<std::shared_ptr<SharedEvent>> SharedEvent::Make(const std::string& directory) {
  auto state = std::make_unique<State>();
  Sweep(directory, state->self);
  const auto failed = [&](const std::string& what) {
    return Error{"Cannot make an event for several processes in " + directory + ": " + what + ": " +
                 std::strerror(errno) + "."};
  };
  if (getrandom(state->name.data(), state->name.size(), 0) != static_cast<ssize_t>(state->name.size()))
    return failed("no random numbers");
  const std::string path = PathOf(directory, state->name);
  const FileDescriptor file(open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (file.number() < 0) return failed("no file");
  state->path = path;  // from here on it goes with the object
  std::shared_ptr<SharedEvent> event(new SharedEvent(std::move(state)));
  State& its = *event->state_;
  errno = posix_fallocate(file.number(), 0, sizeof(State::Page));
  if (errno != 0 || !its.Map(file.number())) return failed("no room");
  its.page().maker = its.self;
  std::memcpy(its.page().magic, kMagic, sizeof kMagic);
  its.TakePlace();
  return event;
}

std::shared_ptr<SharedEvent> SharedEvent::Open(const std::string& directory, const Name& name) {
  auto state = std::make_unique<State>();
  state->name = name;
  const FileDescriptor file(open(PathOf(directory, name).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  struct stat status;
  if (file.number() < 0 || fstat(file.number(), &status) != 0 || status.st_size != sizeof(State::Page)) return nullptr;
  if (!state->Map(file.number()) || std::memcmp(state->page().magic, kMagic, sizeof kMagic) != 0) return nullptr;
  if (!state->TakePlace()) return nullptr;
  return std::shared_ptr<SharedEvent>(new SharedEvent(std::move(state)));
}

const SharedEvent::Name& SharedEvent::name() const { return state_->name; }
bool SharedEvent::made_here() const { return state_->page().maker == state_->self; }

uint64_t SharedEvent::Record() {
  std::atomic<uint64_t>& last = state_->page().last;
  uint64_t before = last.load(), number;
  do {
    number = (before >> kProcessBits) + 1;
  } while (!last.compare_exchange_weak(before, number << kProcessBits | *state_->place));
  return number;
}

void SharedEvent::Reach(uint64_t record) { state_->Reach(record); }
uint64_t SharedEvent::last() const { return state_->page().last.load() >> kProcessBits; }
bool SharedEvent::Reached(uint64_t record) const { return state_->page().reached.load() >= record; }

void SharedEvent::Wait(uint64_t record) {
  State::Page& page = state_->page();
  while (true) {
    const uint32_t changes = page.changes.load();
    if (Reached(record)) return;
    const timespec look{0, kLookNanoseconds};
    const long result = syscall(SYS_futex, &page.changes, FUTEX_WAIT, changes, &look, nullptr, 0);
    if (result != 0 && errno == ETIMEDOUT) state_->ReachForTheDead();
  }
}

}  // namespace outboard::softgpu
