#include "server/pool/config.h"

#include <yaml-cpp/yaml.h>

#include <charconv>
#include <cmath>
#include <fstream>
#include <functional>
#include <limits>
#include <set>
#include <sstream>
#include <utility>

#include "common/base/printable.h"
#include "server/pool/tenants.h"
#include "server/pool/wish.h"

namespace outboard::pool {
namespace {

constexpr size_t kMaxNameBytes = 200;

// What is wrong with the text, and where. Leaves this file as an Error.
struct Wrong {
  int line;  // from 1; 0: unknown
  std::string what;
};

[[noreturn]] void Fail(const YAML::Node& node, std::string what) {
  const YAML::Mark mark = node.Mark();
  throw Wrong{mark.is_null() ? 0 : mark.line + 1, std::move(what)};
}

std::string Text(const YAML::Node& node, const std::string& key) {
  if (!node.IsScalar() || node.Scalar().empty()) Fail(node, key + " has to be a text.");
  return node.Scalar();
}

std::vector<std::string> Texts(const YAML::Node& node, const std::string& key) {
  if (!node.IsSequence()) Fail(node, key + " has to be a list.");
  std::vector<std::string> texts;
  for (const YAML::Node& each : node) texts.push_back(Text(each, "what is in " + key));
  return texts;
}

bool YesOrNo(const YAML::Node& node, const std::string& key) {
  const std::string text = Text(node, key);
  if (text != "true" && text != "false") Fail(node, key + " has to be true or false.");
  return text == "true";
}

double Number(const YAML::Node& node, const std::string& key) {
  const std::string text = Text(node, key);
  double number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc() || end != text.data() + text.size() || !(number >= 0) || number > 1e6) {
    Fail(node, key + " has to be a number from 0 to 1000000, and is \"" + text + "\".");
  }
  return number;
}

int64_t WholeNumber(const YAML::Node& node, const std::string& key) {
  const double number = Number(node, key);
  if (number != std::floor(number)) Fail(node, key + " has to be a whole number.");
  return static_cast<int64_t>(number);
}

// In GPUs; the result in thousandths.
int64_t Amount(const YAML::Node& node, const std::string& key) {
  return static_cast<int64_t>(std::llround(Number(node, key) * kWholeGpu));
}

Duration ReadTime(const YAML::Node& node, const std::string& key) {
  const std::string text = Text(node, key);
  double number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string unit(end, text.data() + text.size());
  constexpr std::pair<const char*, double> kUnits[] = {
      {"ms", 1}, {"s", 1e3}, {"min", 60e3}, {"h", 3600e3}, {"d", 24 * 3600e3}};
  if (failure == std::errc() && number >= 0) {
    for (const auto& [name, milliseconds] : kUnits) {
      if (unit == name && number * milliseconds < 1e12) {
        return Duration(std::llround(number * milliseconds));
      }
    }
  }
  Fail(node, key + " has to be a time like 500ms, 15s, 5min, 2h or 1d, and is \"" + text + "\".");
}

using Readers = std::map<std::string, std::function<void(const YAML::Node&, const std::string&)>>;

// Hands each value of a mapping to its key's reader. A key without one, or that comes twice, is an error.
void ReadKeys(const YAML::Node& node, const std::string& what, const Readers& readers) {
  if (!node.IsMap()) Fail(node, what + " has to be a mapping of keys to values.");
  std::set<std::string> seen;
  for (const auto& each : node) {
    const std::string key = Text(each.first, "a key");
    const auto reader = readers.find(key);
    if (reader == readers.end()) {
      std::string known;
      for (const auto& [name, read] : readers) known += (known.empty() ? "" : ", ") + name;
      Fail(each.first, "there is no key \"" + key + "\" in " + what + "; there are " + known + ".");
    }
    if (!seen.insert(key).second) Fail(each.first, "the key \"" + key + "\" is there twice.");
    reader->second(each.second, key);
  }
}

void ForEach(const YAML::Node& node, const std::string& key, const std::function<void(const YAML::Node&)>& read) {
  if (!node.IsSequence()) Fail(node, key + " has to be a list.");
  for (const YAML::Node& each : node) read(each);
}

auto To(std::string* to) {
  return [to](const YAML::Node& node, const std::string& key) { *to = Text(node, key); };
}
auto To(std::vector<std::string>* to) {
  return [to](const YAML::Node& node, const std::string& key) { *to = Texts(node, key); };
}
auto To(bool* to) {
  return [to](const YAML::Node& node, const std::string& key) { *to = YesOrNo(node, key); };
}
auto To(Duration* to) {
  return [to](const YAML::Node& node, const std::string& key) { *to = ReadTime(node, key); };
}
auto ToAmount(int64_t* to) {
  return [to](const YAML::Node& node, const std::string& key) { *to = Amount(node, key); };
}

Listening ReadListening(const YAML::Node& node) {
  Listening listening;
  if (node.IsScalar()) {
    listening.address = Text(node, "an address");
  } else {
    ReadKeys(node, "listen",
             {{"address", To(&listening.address)},
              {"tenant", To(&listening.tenant)},
              {"for", [&listening](const YAML::Node& list, const std::string& key) {
                 listening.users = listening.nodes = listening.admins = false;
                 for (const std::string& who : Texts(list, key)) {
                   bool* const may = who == "users"    ? &listening.users
                                     : who == "nodes"  ? &listening.nodes
                                     : who == "admins" ? &listening.admins
                                                       : nullptr;
                   if (may == nullptr) Fail(list, "for is a list of users, nodes and admins, not of " + who + ".");
                   *may = true;
                 }
               }}});
  }
  if (!IsLocal(listening.address)) {
    Fail(node, "\"" + listening.address +
                   "\" is neither unix:/PATH nor HOST:PORT on loopback (127.0.0.1, [::1], localhost). There is no "
                   "authentication yet, so gpu-pool listens to this machine alone.");
  }
  return listening;
}

// What requests name comes as such a text.
void CheckName(const YAML::Node& node, const std::string& name) {
  if (name.size() <= kMaxNameBytes && Printable(name) == name) return;
  Fail(node, "the name \"" + Printable(name) + "\" is longer than 200 bytes, or not in printable ASCII.");
}

TenantRecord ReadTenant(const YAML::Node& node, std::map<std::string, std::string>* tenant_of) {
  TenantRecord tenant;
  std::vector<std::string> users;
  ReadKeys(
      node, "tenants",
      {{"name", To(&tenant.name)},
       {"quota", ToAmount(&tenant.quota)},
       {"maximum", ToAmount(&tenant.maximum)},
       {"weight", [&](const YAML::Node& weight, const std::string& key) { tenant.weight = WholeNumber(weight, key); }},
       {"users", To(&users)}});
  if (const std::string complaint = Complaint(tenant); !complaint.empty()) Fail(node, complaint);
  CheckName(node, tenant.name);
  for (const std::string& user : users) {
    const auto [known, is_new] = tenant_of->emplace(user, tenant.name);
    if (!is_new) Fail(node, "user " + user + " is of tenant " + known->second + " already; a user has one tenant.");
  }
  return tenant;
}

PoolSpec ReadPool(const YAML::Node& node) {
  PoolSpec pool;
  ReadKeys(node, "pools",
           {{"name", To(&pool.name)},
            {"tenants", To(&pool.tenants)},
            {"gpus", To(&pool.gpus)},
            {"maximum", ToAmount(&pool.maximum)},
            {"filters", [&pool](const YAML::Node& filters, const std::string& key) {
               Result<Filter> filter = ParseFilters(Texts(filters, key));
               if (!filter) Fail(filters, filter.error().message);
               pool.filter = *filter;
             }}});
  if (pool.name.empty()) Fail(node, "a pool needs a name.");
  CheckName(node, pool.name);
  if (node["gpus"] && node["filters"]) {
    Fail(node, "pool " + pool.name + " has gpus and filters; it is made of these GPUs, or of all that pass.");
  }
  return pool;
}

Shape ReadShape(const YAML::Node& node) {
  Shape shape;
  double gpus = 0;
  ReadKeys(node, "shapes",
           {{"weight", [&](const YAML::Node& value, const std::string& key) { shape.weight = Number(value, key); }},
            {"gpus", [&](const YAML::Node& value, const std::string& key) { gpus = Number(value, key); }}});
  const Result<Demand> demand = ToDemand({.gpus = gpus}, "", {});
  if (!demand) Fail(node, demand.error().message);
  shape.gpus = demand->request.gpus;
  shape.share = demand->request.share;
  return shape;
}

Policy ReadPolicy(const YAML::Node& node, const std::string& key) {
  const std::string text = Text(node, key);
  if (text == "best-fit") return Policy::kBestFit;
  if (text == "spread") return Policy::kSpread;
  if (text == "fragmentation") return Policy::kFragmentation;
  Fail(node, "there is no policy \"" + text + "\"; there are best-fit, spread and fragmentation.");
}

void ReadTimes(const YAML::Node& node, Settings* settings) {
  ReadKeys(node, "times",
           {{"lost_after", To(&settings->lost_after)},
            {"lease_time", To(&settings->lease_time)},
            {"open_within", To(&settings->open_within)},
            {"minimum_run", To(&settings->minimum_run)},
            {"grace", To(&settings->grace)},
            {"idle_warning", To(&settings->idle_warning)},
            {"keep_room_after", To(&settings->keep_room_after)},
            {"priority_step", To(&settings->priority_step)}});
  if (settings->lost_after < Duration(1000)) {
    Fail(node, "lost_after is less than a second; nodes have to be heard of three times in it.");
  }
  if (settings->lease_time < settings->lost_after) Fail(node, "lease_time is less than lost_after.");
  if (settings->open_within < Duration(1000)) {
    Fail(node, "open_within is less than a second; a node needs some time to get a lease.");
  }
  if (settings->grace <= Duration::zero()) {
    Fail(node, "grace is 0; who loses a lease to others needs some time to end.");
  }
}

// What can only be seen of the whole.
void Check(const Config& config, const YAML::Node& root) {
  const Settings& settings = config.settings;
  if (settings.policy == Policy::kFragmentation && settings.shapes.empty()) {
    Fail(root["policy"], "the policy fragmentation needs shapes, by which it judges what is left over.");
  }
  std::set<std::string> tenants{kDefaultTenant};
  for (const TenantRecord& tenant : config.tenants) tenants.insert(tenant.name);
  for (const Listening& listening : config.listen) tenants.insert(listening.tenant);
  for (size_t i = 0; i < settings.pools.size(); ++i) {
    for (const std::string& tenant : settings.pools[i].tenants) {
      if (!tenants.contains(tenant)) {
        Fail(root["pools"][i], "there is no tenant " + tenant + " for the pool " + settings.pools[i].name + ".");
      }
    }
  }
}

Config Read(const YAML::Node& root) {
  Config config;
  if (root.IsNull()) return config;
  Settings& settings = config.settings;
  ReadKeys(
      root, "the configuration",
      {{"listen",
        [&](const YAML::Node& node, const std::string& key) {
          ForEach(node, key, [&](const YAML::Node& each) { config.listen.push_back(ReadListening(each)); });
        }},
       {"store", To(&config.store)},
       {"metrics", To(&config.metrics)},
       {"policy", [&](const YAML::Node& node, const std::string& key) { settings.policy = ReadPolicy(node, key); }},
       {"shapes",
        [&](const YAML::Node& node, const std::string& key) {
          ForEach(node, key, [&](const YAML::Node& each) { settings.shapes.push_back(ReadShape(each)); });
        }},
       {"tenants",
        [&](const YAML::Node& node, const std::string& key) {
          ForEach(node, key, [&](const YAML::Node& each) {
            config.tenants.push_back(ReadTenant(each, &config.tenant_of));
            for (size_t i = 0; i + 1 < config.tenants.size(); ++i) {
              if (config.tenants[i].name == config.tenants.back().name) {
                Fail(each, "tenant " + config.tenants[i].name + " is there twice.");
              }
            }
          });
        }},
       {"pools",
        [&](const YAML::Node& node, const std::string& key) {
          ForEach(node, key, [&](const YAML::Node& each) {
            settings.pools.push_back(ReadPool(each));
            for (size_t i = 0; i + 1 < settings.pools.size(); ++i) {
              if (settings.pools[i].name == settings.pools.back().name) {
                Fail(each, "pool " + settings.pools[i].name + " is there twice.");
              }
            }
          });
        }},
       {"times", [&](const YAML::Node& node, const std::string&) { ReadTimes(node, &settings); }},
       {"queue_impossible", To(&settings.queue_impossible)}});
  Check(config, root);
  return config;
}

}  // namespace

bool IsLocal(const std::string& address) {
  if (address.starts_with("unix:/")) return true;
  const std::string host = address.substr(0, address.rfind(':'));
  return address.find(':') != std::string::npos && (host == "127.0.0.1" || host == "[::1]" || host == "localhost");
}

Result<Config> ParseConfig(const std::string& text, const std::string& name) {
  const auto error = [&name](int line, const std::string& what) {
    return Error{name + ":" + (line == 0 ? "" : std::to_string(line) + ":") + " " + what};
  };
  try {
    return Read(YAML::Load(text));
  } catch (const Wrong& wrong) {
    return error(wrong.line, wrong.what);
  } catch (const YAML::Exception& broken) {
    return error(broken.mark.is_null() ? 0 : broken.mark.line + 1, "this is no YAML: " + broken.msg + ".");
  }
}

Result<Config> ReadConfig(const std::string& path) {
  const std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file || !text) {
    return Error{"cannot read the configuration " + path + "; it has to exist and be readable for this user."};
  }
  return ParseConfig(text.str(), path);
}

}  // namespace outboard::pool
