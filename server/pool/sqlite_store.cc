#include "server/pool/sqlite_store.h"

#include <fcntl.h>
#include <sqlite3.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <utility>

#include "common/base/unique_fd.h"
#include "server/pool/sqlite.h"

namespace outboard::pool {
namespace {

constexpr int kVersion = 2;  // of the tables

// Times and durations are in milliseconds, the largest number being no limit; shares and amounts in thousandths.
constexpr const char* kSchema = R"(
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
  idle_release INTEGER NOT NULL, longest INTEGER NOT NULL, granted_at INTEGER NOT NULL, amount INTEGER NOT NULL,
  counted_at INTEGER NOT NULL, resizing INTEGER NOT NULL, resizing_when_free INTEGER NOT NULL,
  revoked INTEGER NOT NULL, revoked_at INTEGER NOT NULL, revoked_why TEXT NOT NULL
);
CREATE TABLE slices (
  lease INTEGER NOT NULL, place INTEGER NOT NULL, uuid TEXT NOT NULL, share INTEGER NOT NULL,
  memory_bytes INTEGER NOT NULL, wanted_share INTEGER NOT NULL, wanted_memory_bytes INTEGER NOT NULL,
  PRIMARY KEY (lease, place)
) WITHOUT ROWID;
CREATE TABLE tenants (
  name TEXT PRIMARY KEY, quota INTEGER NOT NULL, weight INTEGER NOT NULL, maximum INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE usage (
  tenant TEXT NOT NULL, user TEXT NOT NULL, gpu_microseconds INTEGER NOT NULL, leases INTEGER NOT NULL,
  PRIMARY KEY (tenant, user)
) WITHOUT ROWID;
)";

// From the tables of version 1. `resizing` is the epoch of that, 0 without any.
constexpr const char* kFromVersion1 = R"(
ALTER TABLE leases ADD COLUMN counted_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE leases ADD COLUMN resizing INTEGER NOT NULL DEFAULT 0;
ALTER TABLE leases ADD COLUMN resizing_when_free INTEGER NOT NULL DEFAULT 0;
ALTER TABLE leases ADD COLUMN revoked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE leases ADD COLUMN revoked_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE leases ADD COLUMN revoked_why TEXT NOT NULL DEFAULT '';
ALTER TABLE slices ADD COLUMN wanted_share INTEGER NOT NULL DEFAULT 0;
ALTER TABLE slices ADD COLUMN wanted_memory_bytes INTEGER NOT NULL DEFAULT 0;
UPDATE leases SET counted_at = granted_at;
)";

int64_t Milliseconds(Time time) { return time.time_since_epoch().count(); }

struct Close {
  void operator()(sqlite3* database) const { sqlite3_close(database); }
};
using Database = std::unique_ptr<sqlite3, Close>;

bool Execute(sqlite3* database, const std::string& sql) {
  return sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK;
}

Error Failed(sqlite3* database, const std::string& path, const std::string& what) {
  const int code = sqlite3_errcode(database);
  std::string advice = "Look at the file and its disk.";
  if (code == SQLITE_FULL) advice = "Make room on its disk.";
  if (code == SQLITE_BUSY) advice = "Another gpu-pool has it; a database is for one.";
  if (code == SQLITE_CANTOPEN || code == SQLITE_READONLY || code == SQLITE_PERM) {
    advice = "Its folder has to exist and be writable for this user.";
  }
  if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB) advice = "Put back a copy of it, or move it out of the way.";
  return Error{"cannot " + what + " the pool's database " + path + ": " + sqlite3_errmsg(database) + ". " + advice};
}

}  // namespace

class SqliteStore::Tables {
 public:
  Tables(Database database, std::string path) : database_(std::move(database)), path_(std::move(path)) {}

  sqlite3* database() const { return database_.get(); }
  Error Fails(const std::string& what) const { return Failed(database_.get(), path_, what); }

  bool Load(Snapshot* to) { return LoadNodes(to) && LoadLeases(to) && LoadRest(to); }

  bool Apply(const NodeRecord& node) {
    const Drain drain = node.drain.value_or(Drain{});
    bool done = put_node_.Run(node.name, node.address, node.cuda_version, node.is_software, node.cordoned,
                              node.drain.has_value(), Milliseconds(drain.deadline), drain.evict) &&
                erase_labels_.Run(node.name) && erase_gpus_.Run(node.name);
    for (const auto& [name, value] : node.labels) done = done && put_label_.Run(node.name, name, value);
    for (size_t i = 0; i < node.gpus.size(); ++i) {
      const GpuRecord& gpu = node.gpus[i];
      done = done && put_gpu_.Run(node.name, i, gpu.uuid, gpu.model, gpu.memory_bytes);
    }
    return done;
  }
  bool Apply(const LeaseRecord& lease) {
    const Revocation revoked = lease.revoked.value_or(Revocation{});
    bool done =
        put_lease_.Run(lease.id.number, lease.epoch, lease.request, lease.tenant, lease.user, lease.client, lease.node,
                       lease.pool, lease.priority, lease.hard, lease.idle_release.count(), lease.longest.count(),
                       Milliseconds(lease.granted_at), lease.amount, Milliseconds(lease.counted_at),
                       lease.resizing ? lease.resizing->epoch : 0, lease.resizing && lease.resizing->when_free,
                       lease.revoked.has_value(), Milliseconds(revoked.deadline), revoked.text);
    for (size_t i = 0; i < lease.gpus.size(); ++i) {
      const LeasedGpu& gpu = lease.gpus[i];
      const LeasedGpu& wanted = lease.resizing ? lease.resizing->gpus[i] : gpu;
      done = done && put_slice_.Run(lease.id.number, i, gpu.uuid, gpu.share, gpu.memory_bytes, wanted.share,
                                    wanted.memory_bytes);
    }
    return done;
  }
  bool Apply(const TenantRecord& tenant) {
    return put_tenant_.Run(tenant.name, tenant.quota, tenant.weight, tenant.maximum);
  }
  bool Apply(const UsageRecord& usage) {
    return put_usage_.Run(usage.tenant, usage.user, usage.gpu_microseconds, usage.leases);
  }
  bool Apply(const CounterRecord& counter) { return put_counter_.Run(counter.last); }
  bool Apply(const EraseNode& erase) {
    return erase_node_.Run(erase.name) && erase_labels_.Run(erase.name) && erase_gpus_.Run(erase.name);
  }
  bool Apply(const EraseLease& erase) {
    return erase_lease_.Run(erase.id.number) && erase_slices_.Run(erase.id.number);
  }

 private:
  Statement Prepare(const char* sql) { return Statement(database_.get(), sql); }

  bool LoadNodes(Snapshot* to) {
    std::map<std::string, size_t> places;
    Statement nodes = Prepare("SELECT * FROM nodes ORDER BY name");
    while (nodes.Step()) {
      NodeRecord node;
      node.name = nodes.Text(0);
      node.address = nodes.Text(1);
      node.cuda_version = static_cast<int>(nodes.Integer(2));
      node.is_software = nodes.Integer(3) != 0;
      node.cordoned = nodes.Integer(4) != 0;
      if (nodes.Integer(5) != 0) node.drain = Drain{Time(Duration(nodes.Integer(6))), nodes.Integer(7) != 0};
      places[node.name] = to->nodes.size();
      to->nodes.push_back(std::move(node));
    }
    if (!nodes.Done()) return false;  // before another statement hides why
    Statement labels = Prepare("SELECT * FROM labels");
    while (labels.Step()) {
      const auto place = places.find(labels.Text(0));
      if (place != places.end()) to->nodes[place->second].labels[labels.Text(1)] = labels.Text(2);
    }
    if (!labels.Done()) return false;
    Statement gpus = Prepare("SELECT * FROM gpus ORDER BY node, place");
    while (gpus.Step()) {
      const auto place = places.find(gpus.Text(0));
      if (place == places.end()) continue;
      to->nodes[place->second].gpus.push_back({gpus.Text(2), gpus.Text(3), gpus.Unsigned(4)});
    }
    return gpus.Done();
  }
  bool LoadLeases(Snapshot* to) {
    std::map<uint64_t, size_t> places;
    Statement leases = Prepare("SELECT * FROM leases ORDER BY number");
    while (leases.Step()) {
      LeaseRecord lease;
      lease.id = {leases.Unsigned(0)};
      lease.epoch = leases.Unsigned(1);
      lease.request = leases.Text(2);
      lease.tenant = leases.Text(3);
      lease.user = leases.Text(4);
      lease.client = leases.Text(5);
      lease.node = leases.Text(6);
      lease.pool = leases.Text(7);
      lease.priority = static_cast<int>(leases.Integer(8));
      lease.hard = leases.Integer(9) != 0;
      lease.idle_release = Duration(leases.Integer(10));
      lease.longest = Duration(leases.Integer(11));
      lease.granted_at = Time(Duration(leases.Integer(12)));
      lease.amount = leases.Integer(13);
      lease.counted_at = Time(Duration(leases.Integer(14)));
      if (leases.Unsigned(15) != 0) lease.resizing = Resizing{leases.Unsigned(15), {}, leases.Integer(16) != 0};
      if (leases.Integer(17) != 0) lease.revoked = Revocation{Time(Duration(leases.Integer(18))), leases.Text(19)};
      places[lease.id.number] = to->leases.size();
      to->leases.push_back(std::move(lease));
    }
    if (!leases.Done()) return false;
    Statement slices = Prepare("SELECT * FROM slices ORDER BY lease, place");
    while (slices.Step()) {
      const auto place = places.find(slices.Unsigned(0));
      if (place == places.end()) continue;
      LeaseRecord& lease = to->leases[place->second];
      const auto add = [&slices](std::vector<LeasedGpu>* gpus, int share, int bytes) {
        gpus->push_back({slices.Text(2), static_cast<int>(slices.Integer(share)), slices.Unsigned(bytes)});
      };
      add(&lease.gpus, 3, 4);
      if (lease.resizing) add(&lease.resizing->gpus, 5, 6);
    }
    return slices.Done();
  }
  bool LoadRest(Snapshot* to) {
    Statement tenants = Prepare("SELECT * FROM tenants ORDER BY name");
    while (tenants.Step()) {
      to->tenants.push_back({tenants.Text(0), tenants.Integer(1), tenants.Integer(2), tenants.Integer(3)});
    }
    if (!tenants.Done()) return false;
    Statement usage = Prepare("SELECT * FROM usage ORDER BY tenant, user");
    while (usage.Step()) {
      to->usage.push_back({usage.Text(0), usage.Text(1), usage.Unsigned(2), usage.Unsigned(3)});
    }
    if (!usage.Done()) return false;
    Statement counter = Prepare("SELECT last FROM counter");
    if (counter.Step()) to->counter.last = counter.Unsigned(0);
    return counter.Done();
  }

  const Database database_;
  const std::string path_;

 public:
  Statement begin = Prepare("BEGIN IMMEDIATE");
  Statement commit = Prepare("COMMIT");

 private:
  Statement put_node_ = Prepare("INSERT OR REPLACE INTO nodes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)");
  Statement put_label_ = Prepare("INSERT INTO labels VALUES (?1, ?2, ?3)");
  Statement put_gpu_ = Prepare("INSERT INTO gpus VALUES (?1, ?2, ?3, ?4, ?5)");
  Statement put_lease_ = Prepare(
      "INSERT OR REPLACE INTO leases VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, "
      "?15, ?16, ?17, ?18, ?19, ?20)");
  Statement put_slice_ = Prepare("INSERT OR REPLACE INTO slices VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
  Statement put_tenant_ = Prepare("INSERT OR REPLACE INTO tenants VALUES (?1, ?2, ?3, ?4)");
  Statement put_usage_ = Prepare("INSERT OR REPLACE INTO usage VALUES (?1, ?2, ?3, ?4)");
  Statement put_counter_ = Prepare("INSERT OR REPLACE INTO counter VALUES (1, ?1)");
  Statement erase_node_ = Prepare("DELETE FROM nodes WHERE name = ?1");
  Statement erase_labels_ = Prepare("DELETE FROM labels WHERE node = ?1");
  Statement erase_gpus_ = Prepare("DELETE FROM gpus WHERE node = ?1");
  Statement erase_lease_ = Prepare("DELETE FROM leases WHERE number = ?1");
  Statement erase_slices_ = Prepare("DELETE FROM slices WHERE lease = ?1");
};

SqliteStore::SqliteStore(std::unique_ptr<Tables> tables) : tables_(std::move(tables)) {}
SqliteStore::~SqliteStore() = default;

Result<std::unique_ptr<SqliteStore>> SqliteStore::Open(const std::string& path) {
  // Made here, as SQLite would make it readable for all; its other files get the same mode. Closed before SQLite opens
  // it: a process that closes a file loses its locks on it.
  if (!UniqueFd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600))) {
    return Error{"cannot open the pool's database " + path + ": " + std::strerror(errno) +
                 ". Its folder has to exist and be writable for this user."};
  }
  sqlite3* opened = nullptr;
  const int result = sqlite3_open_v2(path.c_str(), &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  Database database(opened);
  if (result != SQLITE_OK) return Failed(opened, path, "open");
  // EXCLUSIVE before WAL: the index of the log is then this process's memory, and a second process is refused.
  if (!Execute(opened, "PRAGMA locking_mode = EXCLUSIVE") || !Execute(opened, "PRAGMA journal_mode = WAL") ||
      !Execute(opened, "PRAGMA synchronous = FULL")) {
    return Failed(opened, path, "open");
  }
  int64_t version = 0;
  {
    Statement ask(opened, "PRAGMA user_version");
    if (!ask.Step()) return Failed(opened, path, "read");
    version = ask.Integer(0);
  }
  if (version > kVersion) {
    return Error{"the pool's database " + path + " is of version " + std::to_string(version) + ", and this gpu-pool " +
                 "knows " + std::to_string(kVersion) + ". Use a newer gpu-pool."};
  }
  // Takes the lock in any case.
  std::string schema = version == 0 ? kSchema : version == 1 ? kFromVersion1 : "";
  if (version != kVersion) schema += "PRAGMA user_version = " + std::to_string(kVersion) + ";";
  if (!Execute(opened, "BEGIN IMMEDIATE;" + schema + "COMMIT;")) return Failed(opened, path, "write");
  return std::unique_ptr<SqliteStore>(new SqliteStore(std::make_unique<Tables>(std::move(database), path)));
}

Result<Snapshot> SqliteStore::Load() {
  Snapshot snapshot;
  if (!tables_->Load(&snapshot)) return tables_->Fails("read");
  return snapshot;
}

std::optional<Error> SqliteStore::Commit(std::span<const Change> changes) {
  if (changes.empty()) return std::nullopt;
  bool done = tables_->begin.Run();
  for (const Change& change : changes) {
    done = done && std::visit([this](const auto& each) { return tables_->Apply(each); }, change);
  }
  if (done && tables_->commit.Run()) return std::nullopt;
  Error error = tables_->Fails("write");
  // Some failures have ended the transaction already.
  if (sqlite3_get_autocommit(tables_->database()) == 0) Execute(tables_->database(), "ROLLBACK");
  return error;
}

}  // namespace outboard::pool
