#pragma once

#include <string>

#include "client/admin/options.h"
#include "proto/pool.pb.h"

namespace outboard::admin {

class PoolClient;

// One picture of the pool: what there is, then each GPU, then the leases.
std::string Picture(const ListReply& reply);

// The part of a text that a terminal of that size can show, each line cleared to its end.
std::string Clip(const std::string& text, size_t lines, size_t columns);

// The signals that end Top, and the one that says that the terminal has another size, are for Top alone from now on. To
// be called before the process has other threads, which would take them.
void KeepSignalsForTop();

// Shows the pool on the terminal of the standard output again and again, until SIGINT, SIGTERM or SIGHUP. While the
// pool does not answer it says so, and goes on asking. The terminal is afterwards as it was.
void Top(const Options& options, PoolClient& pool);

}  // namespace outboard::admin
