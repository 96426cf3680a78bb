#pragma once

#include <map>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "server/pool/identity.h"
#include "server/pool/records.h"
#include "server/pool/settings.h"

namespace outboard::pool {

// A socket, and what those who come in by it may do.
struct Listening {
  std::string address;  // unix:/PATH, or HOST:PORT on loopback
  std::string tenant;   // of all of them; empty: as Config::tenant_of says
  bool users = true;
  bool nodes = true;
  bool admins = true;
};

struct Config {
  Settings settings;
  std::vector<Listening> listen;
  std::string store;    // path of the database; empty: what is decided ends with the process
  std::string metrics;  // HOST:PORT on loopback where metrics are told; empty: nowhere
  // As they are at each start, whatever was said of them before; others are as an administrator left them.
  std::vector<TenantRecord> tenants;
  std::map<std::string, std::string> tenant_of;  // by user
};

// gpu-pool's configuration, in YAML. `name` is what the text is called in errors, which say the
// line: "pool.yaml:12: ...".
Result<Config> ParseConfig(const std::string& text, const std::string& name);
Result<Config> ReadConfig(const std::string& path);

// Whether only this machine can reach it. `address` is as Listening has it.
bool IsLocal(const std::string& address);

}  // namespace outboard::pool
