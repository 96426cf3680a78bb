#include "server/pool/door.h"

#include <poll.h>
#include <pwd.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <utility>
#include <vector>

#include "common/base/log.h"
#include "server/pool/settings.h"

namespace outboard::pool {
namespace {

constexpr int kPauseMilliseconds = 100;  // when no more descriptors are to be had

// A user without a name is called by the number. nullopt: whether there is a name cannot be found out now.
std::optional<std::string> UserName(uid_t uid) {
  constexpr size_t kMaxEntryBytes = 1 << 20;
  for (size_t size = 4096; size <= kMaxEntryBytes; size *= 4) {
    passwd entry{};
    passwd* found = nullptr;
    std::vector<char> buffer(size);
    const int failure = getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found);
    if (failure == ERANGE) continue;
    if (found != nullptr) return found->pw_name;
    if (failure == 0 || failure == ENOENT || failure == ESRCH) return "uid" + std::to_string(uid);
    break;
  }
  return std::nullopt;
}

}  // namespace

std::optional<Identity> PeerOf(int connection, const Listening& rules,
                               const std::map<std::string, std::string>& tenant_of) {
  Identity peer;
  peer.user = "loopback";
  if (rules.address.starts_with("unix:")) {
    ucred credentials{};
    socklen_t size = sizeof credentials;
    if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return std::nullopt;
    std::optional<std::string> name = UserName(credentials.uid);
    if (!name) return std::nullopt;
    peer.user = *std::move(name);
  }
  const auto known = tenant_of.find(peer.user);
  peer.tenant = !rules.tenant.empty() ? rules.tenant : known != tenant_of.end() ? known->second : kDefaultTenant;
  peer.is_user = rules.users;
  peer.is_node = rules.nodes;
  peer.is_admin = rules.admins;
  return peer;
}

Result<std::unique_ptr<Door>> Door::Open(const Config& config, Admit admit) {
  std::vector<Entry> entries;
  for (const Listening& rules : config.listen) {
    Result<node::Listener> listener = node::Listener::Open(rules.address);
    if (!listener) return listener.error();
    entries.push_back({std::move(*listener), rules});
  }
  return std::unique_ptr<Door>(new Door(std::move(entries), config.tenant_of, std::move(admit)));
}

Door::Door(std::vector<Entry> entries, std::map<std::string, std::string> tenant_of, Admit admit)
    : entries_(std::move(entries)),
      tenant_of_(std::move(tenant_of)),
      admit_(std::move(admit)),
      ending_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      thread_(&Door::Run, this) {}

Door::~Door() {
  eventfd_write(ending_.get(), 1);
  thread_.join();
}

std::vector<std::string> Door::addresses() const {
  std::vector<std::string> result;
  for (const Entry& entry : entries_) result.push_back(entry.listener.address());
  return result;
}

void Door::Run() {
  std::vector<pollfd> watched{{ending_.get(), POLLIN, 0}};
  for (const Entry& entry : entries_) watched.push_back({entry.listener.fd(), POLLIN, 0});
  for (;;) {
    if (poll(watched.data(), watched.size(), -1) < 0) {
      if (errno != EINTR) poll(nullptr, 0, kPauseMilliseconds);  // too little memory
      continue;
    }
    if (watched[0].revents != 0) return;
    for (size_t i = 0; i < entries_.size(); ++i) {
      if (watched[i + 1].revents != 0) Accept(entries_[i]);
    }
  }
}

void Door::Accept(const Entry& entry) {
  UniqueFd connection(accept4(entry.listener.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (connection) {
    const std::optional<Identity> peer = PeerOf(connection.get(), entry.rules, tenant_of_);
    if (peer) return admit_(std::move(connection), *peer);
    Log(LogLevel::kWarn, "closes a connection at %s: the system does not say whose it is. Look at its user database.",
        entry.rules.address.c_str());
    return;
  }
  if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
    Log(LogLevel::kWarn, "cannot accept a connection: too many files are open, or too little memory is left");
    poll(nullptr, 0, kPauseMilliseconds);
  }
}

}  // namespace outboard::pool
