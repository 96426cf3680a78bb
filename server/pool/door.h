#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/base/result.h"
#include "common/base/unique_fd.h"
#include "server/node/listener.h"
#include "server/pool/config.h"
#include "server/pool/identity.h"

namespace outboard::pool {

// Accepts connections and says whose they are: on a Unix socket the kernel knows the user, on loopback nobody does.
class Door {
 public:
  using Admit = std::function<void(UniqueFd connection, const Identity& peer)>;

  // `admit` is called on the door's thread.
  static Result<std::unique_ptr<Door>> Open(const Config& config, Admit admit);
  ~Door();

  std::vector<std::string> addresses() const;  // with the ports that were chosen

 private:
  struct Entry {
    node::Listener listener;
    Listening rules;
  };
  Door(std::vector<Entry> entries, std::map<std::string, std::string> tenant_of, Admit admit);
  void Run();
  void Accept(const Entry& entry);

  std::vector<Entry> entries_;
  const std::map<std::string, std::string> tenant_of_;
  const Admit admit_;
  UniqueFd ending_;  // an eventfd
  std::thread thread_;
};

// Who is at the other end, by the rules of the socket that it came by. nullopt: on a Unix socket it cannot be found
// out, and nobody is to be taken for somebody else.
std::optional<Identity> PeerOf(int connection, const Listening& rules,
                               const std::map<std::string, std::string>& tenant_of);

}  // namespace outboard::pool
