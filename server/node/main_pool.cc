#include "server/node/main_pool.h"

#include <unistd.h>

#include <chrono>
#include <future>
#include <map>
#include <utility>

namespace outboard::node {
namespace {

constexpr std::chrono::seconds kTimeToLeave{3};

Result<std::map<std::string, std::string>> ParseLabels(const std::vector<std::string>& labels) {
  std::map<std::string, std::string> parsed;
  for (const std::string& label : labels) {
    const size_t equals = label.find('=');
    if (equals == 0 || equals == std::string::npos || equals + 1 == label.size()) {
      return Error{"--label " + label + " is not written as KEY=VALUE."};
    }
    if (!parsed.emplace(label.substr(0, equals), label.substr(equals + 1)).second) {
      return Error{"--label " + label.substr(0, equals) + " is given twice."};
    }
  }
  return parsed;
}

}  // namespace

std::string HostName() {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  return name;
}

std::string Advertised(const std::string& listens, const std::string& host) {
  for (const std::string any : {"0.0.0.0:", "[::]:"}) {
    if (listens.starts_with(any)) return host + ":" + listens.substr(any.size());
  }
  return listens;
}

Result<std::unique_ptr<PoolMember>> PoolMember::Make(const PoolOptions& options, const std::string& listens,
                                                     bool is_software, Loop* loop, Node* node, Sensors* sensors) {
  Result<std::map<std::string, std::string>> labels = ParseLabels(options.labels);
  if (!labels) return labels.error();
  if (options.name.find('/') != std::string::npos || options.name.starts_with('.')) {
    return Error{"--name " + options.name + " has a slash, or begins with a dot; a node's name has no such thing."};
  }
  Result<NodeState> state = NodeState::Open(options.state.empty() ? DefaultStateFolder(options.name) : options.state);
  if (!state) return state.error();
  std::unique_ptr<PoolMember> member(
      new PoolMember(loop, node, std::move(*state), {options.name, options.pool, Membership::Limits()}));
  member->link_.emplace(
      loop, node, sensors, &member->membership_,
      PoolLink::Config{options.pool, options.name,
                       options.advertise.empty() ? Advertised(listens, HostName()) : options.advertise,
                       std::move(*labels), is_software, member->state_.instance()});
  return member;
}

PoolMember::PoolMember(Loop* loop, Node* node, NodeState state, Membership::Config config)
    : loop_(loop), state_(std::move(state)), membership_(loop, node, &state_, std::move(config)) {}

void PoolMember::Finish() {
  const auto finished = std::make_shared<std::promise<void>>();
  loop_->Post([this, finished] { membership_.Finish([finished] { finished->set_value(); }); });
  finished->get_future().wait_for(kTimeToLeave);
}

}  // namespace outboard::node
