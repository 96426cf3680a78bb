#include "server/slice/ledger.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <limits>
#include <new>
#include <string>
#include <utility>

#include "common/base/limits.h"

namespace outboard::slice {
namespace {

constexpr uint64_t kMagic = 0x3552474c424f;  // "OBLGR5"
constexpr uint64_t kOpen = uint64_t{1} << 63;
constexpr uint32_t kBusy = UINT32_MAX;
constexpr int64_t kAtWork = std::numeric_limits<int64_t>::max();
constexpr int kBusyBits = 35;  // of nanoseconds, half a minute; above them is the period's number, for 17 years
constexpr uint64_t kMostBusy = (uint64_t{1} << kBusyBits) - 1;
constexpr size_t kBusyPeriods = 3;  // the present one, the one before and one that both are safe from
// Nobody changes the size under a process that has mapped the page: it would fault.
constexpr int kSeals = F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;

Error SystemError(const std::string& what) {
  return Error{what + ": " + std::strerror(errno) + ". Check the limits on open files and on shared memory."};
}

int64_t Now() { return Ledger::Clock::now().time_since_epoch().count(); }

uint64_t PeriodOf(Ledger::Clock::time_point now) {
  return static_cast<uint64_t>(now.time_since_epoch() / Ledger::kBusyPeriod);
}

}  // namespace

// Where an export is. Who has a part in it, who exported it and who opened it, counts in `holders`; the last one to
// leave gives back what is nobody's and frees the place. Who is killed in between counts for ever, so that the place
// and its bytes stay taken: the safe side.
struct Ledger::Place {
  std::atomic<uint32_t> holders;  // 0: free. kBusy: one process alone is at it
  std::atomic<uint32_t> owner;    // account + 1 that exported it; 0 once that has ended its part
  std::atomic<uint64_t> key;      // 0 while there is none
  std::atomic<uint64_t> nobodys;  // bytes that are taken and in no account
  std::atomic<uint64_t> opened[kMaxWorkersPerLease / 64];  // by which accounts
  Export what;                                             // constant while there is a key

  // False when the account is already marked, or not.
  bool Mark(uint32_t account) {
    const uint64_t bit = uint64_t{1} << account % 64;
    return (opened[account / 64].fetch_or(bit) & bit) == 0;
  }
  bool Unmark(uint32_t account) {
    const uint64_t bit = uint64_t{1} << account % 64;
    return (opened[account / 64].fetch_and(~bit) & bit) != 0;
  }
};

// An account is 0 while it is free, else kOpen plus its bytes. What is taken leaves `free` before it counts in the
// account, and what is given back leaves the account first: whenever a process dies, `free` errs on the safe side.
//
// One word decides whether there is room, so a charge and another limit never see half of each other. It is below zero
// where the limit is lower than what was taken before. The limit itself is there to be told, and is gpu-node's to
// write.
struct Ledger::Page {
  uint64_t magic;
  std::atomic<uint64_t> limit;
  std::atomic<int64_t> free;
  std::atomic<uint32_t> changes;  // of the limit: odd while one is made
  std::atomic<uint64_t> peak;     // of what is taken; misses what is charged in the very moment of such a change
  std::atomic<uint64_t> accounts[kMaxWorkersPerLease];
  std::atomic<uint64_t> contexts[kMaxWorkersPerLease];  // of these bytes, as what follows: Unseen
  std::atomic<uint64_t> growths[kMaxWorkersPerLease];
  Place exports[kMaxExportsPerLedger];
  int64_t made;                                     // by Clock, as what follows
  std::atomic<int64_t> rests[kMaxWorkersPerLease];  // kAtWork, or since when; stays when an account is closed
  std::atomic<uint64_t> busy[kBusyPeriods];         // of the periods, by their numbers

  static_assert(std::atomic<uint64_t>::is_always_lock_free);
};

Result<Ledger> Ledger::Create(uint64_t limit) {
  const int fd = memfd_create("outboard-ledger", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return SystemError("the ledger of a lease cannot be made");
  if (ftruncate(fd, sizeof(Page)) != 0 || fcntl(fd, F_ADD_SEALS, kSeals) != 0) {
    const Error error = SystemError("the ledger of a lease cannot be made");
    close(fd);
    return error;
  }
  void* at = mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) {
    const Error error = SystemError("the ledger of a lease cannot be mapped");
    close(fd);
    return error;
  }
  Page* page = new (at) Page();
  page->magic = kMagic;
  page->limit.store(limit);
  page->free.store(static_cast<int64_t>(limit));
  page->made = Now();
  return Ledger(fd, page);
}

Result<Ledger> Ledger::Map(int fd) {
  struct stat status;
  const int seals = fcntl(fd, F_GET_SEALS);
  if (fstat(fd, &status) != 0 || status.st_size != sizeof(Page) || seals < 0 || (seals & F_SEAL_SHRINK) == 0) {
    close(fd);
    return Error{
        "a descriptor that was handed over as a lease's ledger is none. Use gpu-node and gpu-worker of one version."};
  }
  void* at = mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) {
    const Error error = SystemError("the ledger of a lease cannot be mapped");
    close(fd);
    return error;
  }
  Ledger ledger(fd, static_cast<Page*>(at));
  if (ledger.page_->magic != kMagic) {
    return Error{
        "a page that was handed over as a lease's ledger is none. Use gpu-node and gpu-worker of one version."};
  }
  return ledger;
}

Ledger::Ledger(Ledger&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), page_(std::exchange(other.page_, nullptr)) {}

Ledger& Ledger::operator=(Ledger&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(page_, other.page_);
  return *this;
}

Ledger::~Ledger() {
  if (page_ != nullptr) munmap(page_, sizeof(Page));
  if (fd_ >= 0) close(fd_);
}

uint64_t Ledger::limit() const { return page_->limit.load(); }
uint64_t Ledger::free() const { return static_cast<uint64_t>(std::max(int64_t{0}, page_->free.load())); }
uint64_t Ledger::used() const {
  return static_cast<uint64_t>(std::max(int64_t{0}, static_cast<int64_t>(limit()) - page_->free.load()));
}
uint64_t Ledger::peak() const { return page_->peak.load(); }
Unseen Ledger::unseen() const {
  Unseen all;
  for (uint32_t i = 0; i < kMaxWorkersPerLease; ++i) {
    all.context += page_->contexts[i].load();
    all.growth += page_->growths[i].load();
  }
  return all;
}
uint64_t Ledger::used(uint32_t account) const {
  return account < kMaxWorkersPerLease ? page_->accounts[account].load() & ~kOpen : 0;
}

bool Ledger::SetLimit(uint64_t limit, bool accepted) {
  const int64_t more = static_cast<int64_t>(limit) - static_cast<int64_t>(page_->limit.load());
  page_->changes.fetch_add(1);
  int64_t free = page_->free.load();
  bool may = false;
  do {
    may = more >= 0 || free + more >= 0 || accepted;
  } while (may && !page_->free.compare_exchange_weak(free, free + more));
  if (may) page_->limit.store(limit);
  page_->changes.fetch_add(1);
  return may;
}

// After a charge that left so much free, and began when the limit had had so many changes.
void Ledger::NotePeak(int64_t free, uint32_t changes) {
  const uint64_t limit = page_->limit.load();
  if (changes % 2 != 0 || page_->changes.load() != changes) return;
  const auto used = static_cast<uint64_t>(std::max(int64_t{0}, static_cast<int64_t>(limit) - free));
  uint64_t peak = page_->peak.load();
  while (peak < used && !page_->peak.compare_exchange_weak(peak, used)) {
  }
}

std::optional<uint32_t> Ledger::OpenAccount() {
  for (uint32_t i = 0; i < kMaxWorkersPerLease; ++i) {
    uint64_t free = 0;
    if (page_->accounts[i].compare_exchange_strong(free, kOpen)) return i;
  }
  return std::nullopt;
}

void Ledger::Settle(uint32_t account) {
  if (account >= kMaxWorkersPerLease) return;
  for (Place& place : page_->exports) {
    EndPart(place, account);
    if (place.Unmark(account)) Leave(place);
  }
  if (page_->rests[account].load() == kAtWork) page_->rests[account].store(Now());
  page_->contexts[account].store(0);
  page_->growths[account].store(0);
  GiveBack(page_->accounts[account].exchange(0) & ~kOpen);

  // With no account open nothing is taken. Whoever opens one and charges meanwhile changes `free`.
  int64_t rest = page_->free.load();
  const bool any_open = std::any_of(std::begin(page_->accounts), std::end(page_->accounts),
                                    [](const std::atomic<uint64_t>& other) { return other.load() != 0; });
  if (any_open) return;
  page_->free.compare_exchange_strong(rest, static_cast<int64_t>(limit()));
  for (Place& place : page_->exports) {
    place.key.store(0);
    place.nobodys.store(0);
    place.holders.store(0);
  }
}

void Ledger::AddBusy(Clock::duration busy, Clock::time_point now) {
  const Clock::duration in_this = std::min(busy, now.time_since_epoch() % kBusyPeriod);
  AddBusyOf(PeriodOf(now), in_this);
  AddBusyOf(PeriodOf(now) - 1, std::min(busy - in_this, kBusyPeriod));
}

void Ledger::AddBusyOf(uint64_t period, Clock::duration busy) {
  if (busy <= Clock::duration(0)) return;
  std::atomic<uint64_t>& word = page_->busy[period % kBusyPeriods];
  const uint64_t empty = period << kBusyBits;
  uint64_t has = word.load();
  uint64_t now;
  do {
    if ((has & ~kMostBusy) > empty) return;
    const uint64_t before = (has & ~kMostBusy) == empty ? has & kMostBusy : 0;
    now = empty | std::min(kMostBusy, before + static_cast<uint64_t>(busy.count()));
  } while (!word.compare_exchange_weak(has, now));
}

Ledger::Clock::duration Ledger::busy(Clock::time_point now) const {
  const uint64_t period = PeriodOf(now) - 1;
  const uint64_t has = page_->busy[period % kBusyPeriods].load();
  if ((has & ~kMostBusy) != period << kBusyBits) return Clock::duration(0);
  return std::min(kBusyPeriod, Clock::duration(static_cast<int64_t>(has & kMostBusy)));
}

bool Ledger::Charge(uint32_t account, uint64_t bytes) {
  if (account >= kMaxWorkersPerLease) return false;
  const uint32_t changes = page_->changes.load();
  int64_t free = page_->free.load();
  do {
    if (free < 0 || bytes > static_cast<uint64_t>(free)) return false;
  } while (!page_->free.compare_exchange_weak(free, free - static_cast<int64_t>(bytes)));

  uint64_t has = page_->accounts[account].load();
  do {
    if ((has & kOpen) == 0) {
      GiveBack(bytes);
      return false;
    }
  } while (!page_->accounts[account].compare_exchange_weak(has, has + bytes));
  NotePeak(free - static_cast<int64_t>(bytes), changes);
  return true;
}

bool Ledger::ChargeContext(uint32_t account, uint64_t bytes) {
  if (!Charge(account, bytes)) return false;
  page_->contexts[account].fetch_add(bytes);
  return true;
}

void Ledger::SetUnseen(uint32_t account, Unseen unseen) {
  if (account >= kMaxWorkersPerLease || (page_->accounts[account].load() & kOpen) == 0) return;
  const uint64_t before = page_->contexts[account].load() + page_->growths[account].load();
  const uint64_t now = unseen.context + unseen.growth;
  if (now > before) {
    const uint64_t bytes = now - before;
    const uint32_t changes = page_->changes.load();
    const int64_t free = page_->free.fetch_sub(static_cast<int64_t>(bytes)) - static_cast<int64_t>(bytes);
    page_->accounts[account].fetch_add(bytes);
    NotePeak(free, changes);
  } else {
    Refund(account, before - now);
  }
  page_->contexts[account].store(unseen.context);
  page_->growths[account].store(unseen.growth);
}

void Ledger::Refund(uint32_t account, uint64_t bytes) { GiveBack(TakeOut(account, bytes)); }

// Out of the account, and still taken. Returns how many it had of these bytes.
uint64_t Ledger::TakeOut(uint32_t account, uint64_t bytes) {
  if (account >= kMaxWorkersPerLease) return 0;
  uint64_t has = page_->accounts[account].load();
  uint64_t taken;
  do {
    taken = std::min(bytes, has & ~kOpen);
  } while (!page_->accounts[account].compare_exchange_weak(has, has - taken));
  return taken;
}

std::optional<ExportName> Ledger::AddExport(uint32_t account, const Export& what) {
  if (account >= kMaxWorkersPerLease) return std::nullopt;
  ExportName name{};
  while (name.key == 0) {
    if (getrandom(&name.key, sizeof name.key, 0) != ssize_t{sizeof name.key}) return std::nullopt;
  }
  for (; name.place < kMaxExportsPerLedger; ++name.place) {
    Place& place = page_->exports[name.place];
    if (place.holders.load(std::memory_order_relaxed) != 0) continue;
    uint32_t free = 0;
    if (!place.holders.compare_exchange_strong(free, kBusy)) continue;
    place.what = what;
    place.owner.store(account + 1);
    place.key.store(name.key);
    place.holders.store(1);
    return name;
  }
  return std::nullopt;
}

// Null for what no account can name.
Ledger::Place* Ledger::Find(const ExportName& name, uint32_t account) const {
  const bool may_be = name.place < kMaxExportsPerLedger && name.key != 0 && account < kMaxWorkersPerLease;
  return may_be ? &page_->exports[name.place] : nullptr;
}

std::optional<Export> Ledger::OpenExport(const ExportName& name, ExportKind kind, uint32_t account) {
  Place* const place = Find(name, account);
  if (place == nullptr) return std::nullopt;
  uint32_t holders = place->holders.load();
  do {
    if (holders == 0 || holders == kBusy) return std::nullopt;
  } while (!place->holders.compare_exchange_weak(holders, holders + 1));
  // From here on the place keeps what it has.
  const uint32_t owner = place->owner.load();
  const bool is_meant = place->key.load() == name.key && place->what.kind == kind;
  if (is_meant && owner != 0 && owner != account + 1 && place->Mark(account)) return place->what;
  Leave(*place);
  return std::nullopt;
}

void Ledger::CloseExport(const ExportName& name, uint32_t account) {
  Place* const place = Find(name, account);
  if (place != nullptr && place->key.load() == name.key && place->Unmark(account)) Leave(*place);
}

void Ledger::EndExport(const ExportName& name, uint32_t account) {
  if (IsExportOf(name, account)) EndPart(*Find(name, account), account);
}

bool Ledger::WithdrawExport(const ExportName& name, uint32_t account) {
  if (!IsExportOf(name, account)) return true;
  Place& place = *Find(name, account);
  uint32_t alone = 1;
  if (!place.holders.compare_exchange_strong(alone, kBusy)) return false;
  place.key.store(0);
  place.owner.store(0);
  place.holders.store(0);
  return true;
}

bool Ledger::IsExportOf(const ExportName& name, uint32_t account) const {
  const Place* const place = Find(name, account);
  return place != nullptr && place->key.load() == name.key && place->owner.load() == account + 1;
}

void Ledger::EndPart(Place& place, uint32_t account) {
  // Only the account's own process comes here, or the node once that is gone.
  if (place.owner.load() != account + 1) return;
  // Before its part ends: who is killed in between leaves too much taken, not too little.
  place.nobodys.store(TakeOut(account, place.what.charged));
  place.owner.store(0);
  Leave(place);
}

void Ledger::Leave(Place& place) {
  uint32_t holders = place.holders.load();
  do {
    if (holders == 0 || holders == kBusy) return;
  } while (!place.holders.compare_exchange_weak(holders, holders == 1 ? kBusy : holders - 1));
  if (holders != 1) return;
  place.key.store(0);
  GiveBack(place.nobodys.exchange(0));
  place.holders.store(0);
}

void Ledger::SetAtWork(uint32_t account, bool is_at_work) {
  if (account >= kMaxWorkersPerLease) return;
  page_->rests[account].store(is_at_work ? kAtWork : Now(), std::memory_order_relaxed);
}

std::optional<Ledger::Clock::time_point> Ledger::at_rest_since() const {
  int64_t latest = page_->made;
  for (const std::atomic<int64_t>& rests : page_->rests) {
    latest = std::max(latest, rests.load(std::memory_order_relaxed));
  }
  if (latest == kAtWork) return std::nullopt;
  return Clock::time_point(Clock::duration(latest));
}

void Ledger::GiveBack(uint64_t bytes) { page_->free.fetch_add(static_cast<int64_t>(bytes)); }

}  // namespace outboard::slice
