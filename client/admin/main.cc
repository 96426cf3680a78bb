// gpu-admin: shows and changes what a pool of GPUs lends out.

#include <unistd.h>

#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "client/admin/changes.h"
#include "client/admin/options.h"
#include "client/admin/pool_client.h"
#include "client/admin/table.h"
#include "client/admin/top.h"
#include "client/admin/views.h"
#include "common/base/env.h"

namespace outboard::admin {
namespace {

int Fail(const std::string& message, int status = kExitFailed) {
  std::fprintf(stderr, "gpu-admin: %s\n", message.c_str());
  return status;
}

void Print(const std::string& text) { std::fputs(text.c_str(), stdout); }

std::string Printed(const std::vector<Table>& tables, Format format, int64_t now) {
  switch (format) {
    case Format::kJson:
      return AsJson(tables);
    case Format::kYaml:
      return AsYaml(tables);
    case Format::kTable:
      break;
  }
  return AsText(tables, now);
}

ListRequest WhatIsNeeded(Verb verb) {
  ListRequest request;
  const bool all = verb == Verb::kList || verb == Verb::kTop;
  request.set_nodes(all || verb == Verb::kNodes || verb == Verb::kGpus || verb == Verb::kHealth);
  request.set_leases(all || verb == Verb::kLeases || verb == Verb::kUsage || verb == Verb::kWhy);
  request.set_queue(all || verb == Verb::kQueue || verb == Verb::kWhy);
  request.set_tenants(verb == Verb::kQuota);
  request.set_usage(verb == Verb::kUsage);
  return request;
}

std::vector<Table> Tables(const Options& options, const ListReply& reply) {
  const Selection selection{options.node, options.tenant, options.user};
  switch (options.verb) {
    case Verb::kNodes:
      return {Nodes(reply)};
    case Verb::kGpus:
      return {Gpus(reply, selection)};
    case Verb::kLeases:
      return {Leases(reply, selection)};
    case Verb::kQueue:
      return {Queue(reply, selection)};
    case Verb::kQuota:
      return {Tenants(reply, selection)};
    case Verb::kUsage:
      return {Usage(reply, selection)};
    default:
      return {Nodes(reply), Leases(reply, selection), Queue(reply, selection)};
  }
}

int Show(const Options& options, PoolClient& pool) {
  const Result<ListReply> reply = pool.List(WhatIsNeeded(options.verb));
  if (!reply) return Fail(reply.error().message);
  Print(Printed(Tables(options, *reply), options.format, reply->now_ms()));
  return kExitDone;
}

int ShowWhy(const Options& options, PoolClient& pool) {
  const Result<ListReply> reply = pool.List(WhatIsNeeded(options.verb));
  if (!reply) return Fail(reply.error().message);
  for (const PoolLease& lease : reply->leases()) {
    if (lease.lease() != options.matter) continue;
    Print(Printed({Account(lease)}, options.format, reply->now_ms()));
    return kExitDone;
  }
  std::vector<uint64_t> requests;
  if (!options.matter.empty()) {
    const std::optional<uint64_t> request = ParseNumber(options.matter);
    if (!request) return Fail("there is no lease " + options.matter + ", and that is no number of a request.");
    requests.push_back(*request);
  } else {
    for (const PoolRequest& request : reply->queue()) requests.push_back(request.request());
  }
  std::vector<std::pair<uint64_t, WhyReply>> whys;
  for (const uint64_t request : requests) {
    Result<WhyReply> why = pool.Why(request);
    if (why) {
      whys.emplace_back(request, std::move(*why));
    } else if (!options.matter.empty()) {
      return Fail(why.error().message);
    }  // else it was answered meanwhile
  }
  Print(Printed({Reasons(whys)}, options.format, 0));
  return kExitDone;
}

int ShowHealth(const Options& options, PoolClient& pool) {
  const Result<ListReply> reply = pool.List(WhatIsNeeded(options.verb));
  if (!reply) return Fail(reply.error().message, kExitWrongUsage);
  const Health health = Examine(*reply);
  if (options.format == Format::kTable && health.status == kExitDone) {
    Print("all is well\n");
  } else {
    Print(Printed({health.findings}, options.format, 0));
  }
  return health.status;
}

// Whether top goes on and on.
bool IsForTerminal(const Options& options) {
  return options.verb == Verb::kTop && options.format == Format::kTable && isatty(STDOUT_FILENO);
}

int ShowPicture(const Options& options, PoolClient& pool) {
  if (options.format != Format::kTable) return Show(options, pool);
  if (IsForTerminal(options)) {
    Top(options, pool);
    return kExitDone;
  }
  const Result<ListReply> reply = pool.List(WhatIsNeeded(options.verb));
  if (!reply) return Fail(reply.error().message);
  Print(Picture(*reply));
  return kExitDone;
}

int DoChange(const Options& options, PoolClient& pool) {
  const Result<std::string> done = Change(options, pool);
  if (!done) return Fail(done.error().message);
  if (options.format == Format::kTable) Print(*done + "\n");
  return kExitDone;
}

int Run(const Options& options, PoolClient& pool) {
  switch (options.verb) {
    case Verb::kTop:
      return ShowPicture(options, pool);
    case Verb::kWhy:
      return ShowWhy(options, pool);
    case Verb::kHealth:
      return ShowHealth(options, pool);
    case Verb::kCordon:
    case Verb::kUncordon:
    case Verb::kDrain:
    case Verb::kUndrain:
    case Verb::kForget:
    case Verb::kRevoke:
    case Verb::kResize:
      return DoChange(options, pool);
    case Verb::kQuota:
      return options.quota || options.weight || options.maximum ? DoChange(options, pool) : Show(options, pool);
    default:
      return Show(options, pool);
  }
}

int Main(int argc, char** argv) {
  const std::variant<Options, Ending> parsed = ParseOptions(argc, argv);
  if (const auto* ending = std::get_if<Ending>(&parsed)) {
    std::fprintf(ending->status == kExitDone ? stdout : stderr, "%s\n", ending->text.c_str());
    return ending->status;
  }
  const Options& options = std::get<Options>(parsed);
  if (IsForTerminal(options)) KeepSignalsForTop();
  PoolClient pool(options.pool);
  return Run(options, pool);
}

}  // namespace
}  // namespace outboard::admin

int main(int argc, char** argv) { return outboard::admin::Main(argc, argv); }
