#include <fcntl.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>
#include <set>

#include "server/pool/memory_store.h"
#include "server/pool/sqlite_store.h"

namespace outboard::pool {
namespace {

namespace fs = std::filesystem;

LeaseRecord SomeLease(uint64_t number) {
  return {.id = {number},
          .epoch = number + 7,
          .request = "request " + std::to_string(number),
          .tenant = "t",
          .user = "u'; DROP TABLE leases;--",
          .client = "",
          .node = "n1",
          .pool = "p",
          .gpus = {{"GPU-b", 250, uint64_t{1} << 40}, {"GPU-a", 1000, 5}},
          .amount = 1700,
          .counted_at = Time(Duration(1'700'000'000'001)),
          .priority = 3,
          .hard = true,
          .idle_release = Duration(5),
          .granted_at = Time(Duration(1'700'000'000'000))};
}

Snapshot Everything() {
  Snapshot all;
  all.nodes.push_back({.name = "n1",
                       .address = "n1:7000",
                       .labels = {{"zone", "a"}, {"rack", ""}},
                       .cuda_version = 13000,
                       .is_software = true,
                       .gpus = {{"GPU-b", "NVIDIA H200", std::numeric_limits<uint64_t>::max()}, {"GPU-a", "", 1}},
                       .cordoned = true,
                       .drain = Drain{Time::max(), true}});
  all.nodes.push_back({.name = "n2", .address = "n2:7000"});
  all.leases = {SomeLease(5), SomeLease(std::numeric_limits<int64_t>::max())};
  all.leases[1].longest = Duration(77);
  all.leases[1].resizing = Resizing{9, {{"GPU-b", 1, 2}, {"GPU-a", 3, std::numeric_limits<uint64_t>::max()}}, true};
  all.leases[1].revoked = Revocation{Time(Duration(5)), "it's mine"};
  all.tenants = {{"a", 1500, 2, -1}, {"b", 0, 1, 3000}};
  all.usage = {{"a", "u", std::numeric_limits<uint64_t>::max(), 3}, {"a", "v", 0, 0}};
  all.counter = {1234};
  return all;
}

std::vector<Change> AsChanges(const Snapshot& snapshot) {
  std::vector<Change> changes;
  for (const NodeRecord& each : snapshot.nodes) changes.push_back(each);
  for (const LeaseRecord& each : snapshot.leases) changes.push_back(each);
  for (const TenantRecord& each : snapshot.tenants) changes.push_back(each);
  for (const UsageRecord& each : snapshot.usage) changes.push_back(each);
  changes.push_back(snapshot.counter);
  return changes;
}

class Stores : public ::testing::Test {
 protected:
  Stores() {
    char name[] = "/tmp/outboard-pool-store-XXXXXX";
    folder_ = mkdtemp(name);
  }
  ~Stores() override { fs::remove_all(folder_); }
  std::string path() const { return folder_ / "pool.db"; }
  std::unique_ptr<SqliteStore> Open() const {
    Result<std::unique_ptr<SqliteStore>> store = SqliteStore::Open(path());
    if (!store) {
      ADD_FAILURE() << store.error().message;
      return nullptr;
    }
    return std::move(*store);
  }
  fs::path folder_;
};

TEST_F(Stores, KeepEverything) {
  const Snapshot all = Everything();
  MemoryStore memory;
  EXPECT_FALSE(memory.Commit(AsChanges(all)));
  EXPECT_EQ(*memory.Load(), all);
  EXPECT_EQ(*Open()->Load(), Snapshot{});
  EXPECT_FALSE(Open()->Commit(AsChanges(all)));
  EXPECT_EQ(*Open()->Load(), all);
}

TEST_F(Stores, ReplaceAndErase) {
  Snapshot all = Everything();
  MemoryStore memory;
  const std::unique_ptr<SqliteStore> sqlite = Open();
  for (Store* store : std::initializer_list<Store*>{&memory, sqlite.get()}) {
    ASSERT_FALSE(store->Commit(AsChanges(all)));
    NodeRecord node = all.nodes[0];
    node.gpus.pop_back();
    node.labels = {{"zone", "b"}};
    node.drain.reset();
    TenantRecord tenant = all.tenants[0];
    tenant.maximum = 7;
    ASSERT_FALSE(store->Commit(std::vector<Change>{node, EraseNode{"n2"}, EraseLease{{5}}, tenant, CounterRecord{9}}));
    const Snapshot now = *store->Load();
    EXPECT_EQ(now.nodes, std::vector<NodeRecord>{node});
    ASSERT_EQ(now.leases.size(), 1u);
    EXPECT_EQ(now.leases[0], all.leases[1]);
    EXPECT_EQ(now.tenants[0].maximum, 7);
    EXPECT_EQ(now.counter.last, 9u);
    EXPECT_EQ(now.usage, all.usage);
  }
}

// Of the pool before leases could be resized.
constexpr const char* kVersion1 = R"(
CREATE TABLE counter (id INTEGER PRIMARY KEY CHECK (id = 1), last INTEGER NOT NULL);
CREATE TABLE nodes (
  name TEXT PRIMARY KEY, address TEXT NOT NULL, cuda_version INTEGER NOT NULL, is_software INTEGER NOT NULL,
  cordoned INTEGER NOT NULL, draining INTEGER NOT NULL, drain_deadline INTEGER NOT NULL, drain_evict INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE labels (
  node TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (node, name)
) WITHOUT ROWID;
CREATE TABLE gpus (
  node TEXT NOT NULL, place INTEGER NOT NULL, uuid TEXT NOT NULL, model TEXT NOT NULL, memory_bytes INTEGER NOT NULL,
  PRIMARY KEY (node, place)
) WITHOUT ROWID;
CREATE TABLE leases (
  number INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, request TEXT NOT NULL, tenant TEXT NOT NULL, user TEXT NOT NULL,
  client TEXT NOT NULL, node TEXT NOT NULL, pool TEXT NOT NULL, priority INTEGER NOT NULL, hard INTEGER NOT NULL,
  idle_release INTEGER NOT NULL, longest INTEGER NOT NULL, granted_at INTEGER NOT NULL, amount INTEGER NOT NULL
);
CREATE TABLE slices (
  lease INTEGER NOT NULL, place INTEGER NOT NULL, uuid TEXT NOT NULL, share INTEGER NOT NULL,
  memory_bytes INTEGER NOT NULL, PRIMARY KEY (lease, place)
) WITHOUT ROWID;
CREATE TABLE tenants (
  name TEXT PRIMARY KEY, quota INTEGER NOT NULL, weight INTEGER NOT NULL, maximum INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE usage (
  tenant TEXT NOT NULL, user TEXT NOT NULL, gpu_microseconds INTEGER NOT NULL, leases INTEGER NOT NULL,
  PRIMARY KEY (tenant, user)
) WITHOUT ROWID;
INSERT INTO leases VALUES (5, 12, 'request 5', 't', 'u''; DROP TABLE leases;--', '', 'n1', 'p', 3, 1, 5,
                           9223372036854775807, 1700000000000, 1700);
INSERT INTO slices VALUES (5, 0, 'GPU-b', 250, 1099511627776), (5, 1, 'GPU-a', 1000, 5);
PRAGMA user_version = 1;
)";

TEST_F(Stores, OfTheFirstVersionAreTakenOver) {
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(path().c_str(), &database), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(database, kVersion1, nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(database);
  sqlite3_close(database);
  LeaseRecord lease = SomeLease(5);
  lease.counted_at = lease.granted_at;
  for (int times = 0; times < 2; ++times) {
    const Snapshot snapshot = *Open()->Load();
    ASSERT_EQ(snapshot.leases.size(), 1u);
    EXPECT_EQ(snapshot.leases[0], lease);
  }
  lease.resizing = Resizing{99, lease.gpus, false};
  EXPECT_FALSE(Open()->Commit(std::vector<Change>{lease}));
  EXPECT_EQ(Open()->Load()->leases[0], lease);
}

TEST_F(Stores, AreForOneProcessAndThisUser) {
  const std::unique_ptr<SqliteStore> first = Open();
  const Result<std::unique_ptr<SqliteStore>> second = SqliteStore::Open(path());
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find("Another gpu-pool has it"), std::string::npos) << second.error().message;
  const pid_t child = fork();
  if (child == 0) _exit(SqliteStore::Open(path()) ? 1 : 0);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << "another process got it as well";
  for (const fs::directory_entry& file : fs::directory_iterator(folder_)) {
    struct stat found;
    ASSERT_EQ(stat(file.path().c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 0777, 0600u) << file.path();
  }
}

TEST_F(Stores, WhatIsNoDatabaseOfThePoolIsRefused) {
  EXPECT_FALSE(SqliteStore::Open(folder_ / "no/such/folder/pool.db"));
  std::ofstream(path()) << std::string(8192, 'x');
  const Result<std::unique_ptr<SqliteStore>> store = SqliteStore::Open(path());
  ASSERT_FALSE(store);
  EXPECT_NE(store.error().message.find(path()), std::string::npos) << store.error().message;
}

TEST_F(Stores, ADamagedTableIsSaid) {
  int page = 0;
  for (const char* table : {"nodes", "labels", "gpus", "leases", "slices", "tenants", "usage", "counter"}) {
    fs::remove(path());
    EXPECT_FALSE(Open()->Commit(AsChanges(Everything())));
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open(path().c_str(), &database), SQLITE_OK);
    const std::string sql = std::string("SELECT rootpage FROM sqlite_master WHERE name = '") + table + "'";
    const auto read = [](void* to, int, char** values, char**) {
      *static_cast<int*>(to) = std::atoi(values[0]);
      return 0;
    };
    ASSERT_EQ(sqlite3_exec(database, sql.c_str(), read, &page, nullptr), SQLITE_OK);
    sqlite3_close(database);
    std::fstream file(path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp((page - 1) * 4096);
    file << std::string(4096, 'x');
    file.close();
    const Result<Snapshot> snapshot = Open()->Load();
    ASSERT_FALSE(snapshot) << table;
    EXPECT_NE(snapshot.error().message.find("malformed"), std::string::npos)
        << table << ": " << snapshot.error().message;
    EXPECT_NE(snapshot.error().message.find("Put back a copy"), std::string::npos) << snapshot.error().message;
  }
}

// A commit that cannot be written leaves nothing behind, and the next one works when there is room.
TEST_F(Stores, AFullDiskIsSaidAndLosesNothing) {
  const std::unique_ptr<SqliteStore> store = Open();
  ASSERT_FALSE(store->Commit(std::vector<Change>{SomeLease(1)}));
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit full = before;
  full.rlim_cur = 64 << 10;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &full), 0);
  std::vector<Change> many;
  for (uint64_t number = 2; number < 3000; ++number) many.push_back(SomeLease(number));
  const std::optional<Error> error = store->Commit(many);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  ASSERT_TRUE(error);
  EXPECT_NE(error->message.find(path()), std::string::npos) << error->message;
  EXPECT_EQ(store->Load()->leases.size(), 1u);
  EXPECT_FALSE(store->Commit(many));
  EXPECT_EQ(store->Load()->leases.size(), 2999u);
}

// A process that gives out and takes back leases until it is killed: what it acknowledges, it writes to the pipe.
[[noreturn]] void GiveOutLeases(const std::string& path, int acknowledged, uint64_t first) {
  Result<std::unique_ptr<SqliteStore>> store = SqliteStore::Open(path);
  if (!store) _exit(1);
  for (uint64_t number = first;; ++number) {
    std::vector<Change> changes{SomeLease(number)};
    if (number % 3 == 0) changes.push_back(EraseLease{{number - 1}});  // taken back
    if ((*store)->Commit(changes)) _exit(1);
    if (write(acknowledged, &number, sizeof number) != sizeof number) _exit(1);
  }
}

TEST_F(Stores, WhatWasAcknowledgedOutlivesAKill) {
  std::mt19937 random(7);
  uint64_t first = 3;
  std::set<uint64_t> expected;
  for (int round = 0; round < 25; ++round) {
    int acknowledged[2];
    ASSERT_EQ(pipe(acknowledged), 0);
    const pid_t child = fork();
    if (child == 0) {
      close(acknowledged[0]);
      GiveOutLeases(path(), acknowledged[1], first);
    }
    close(acknowledged[1]);
    uint64_t last = 0;
    for (uint32_t i = 0, some = 1 + random() % 40; i < some; ++i) {
      ASSERT_EQ(read(acknowledged[0], &last, sizeof last), static_cast<ssize_t>(sizeof last));
    }
    kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    uint64_t more = 0;
    while (read(acknowledged[0], &more, sizeof more) == sizeof more) last = more;
    close(acknowledged[0]);
    for (uint64_t number = first; number <= last; ++number) {
      expected.insert(number);
      if (number % 3 == 0) expected.erase(number - 1);
    }
    const Snapshot snapshot = *Open()->Load();
    std::set<uint64_t> found;
    for (const LeaseRecord& lease : snapshot.leases) {
      EXPECT_TRUE(found.insert(lease.id.number).second) << "twice";
      EXPECT_EQ(lease, SomeLease(lease.id.number));
    }
    // The next one may have been stored without having been acknowledged.
    if (found.contains(last + 1)) {
      ++last;
      expected.insert(last);
      if (last % 3 == 0) expected.erase(last - 1);
    }
    ASSERT_EQ(found, expected) << "round " << round;
    first = last + 1;
  }
}

}  // namespace
}  // namespace outboard::pool
