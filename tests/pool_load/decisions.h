#pragma once

#include <string>
#include <vector>

namespace outboard::pool_load {

// What the pool decides, with 1 000 nodes of 8 GPUs and 64 clients, each of which asks for a part of a GPU and gives it
// back, over and over. Prints lines of JSON, each with several samples: "decisions" per second, which are two calls
// each, and the 99th percentile of these calls, "p99", in seconds; then the same clients make calls that decide
// nothing: "calls", pairs of them per second, and "idle_seconds", their mean. "@store" among the arguments becomes the
// path of a new database. The pool runs on CPU 0.
int Decisions(const std::string& program, const std::vector<std::string>& pool_arguments);

// How long a pool that was killed and is started again takes until all nodes are back and it has their leases:
// "restart", in seconds, for "leases" of them; "empty" is a start with nothing. The pool runs on CPU 0.
int Restart(const std::string& program, int leases);

}  // namespace outboard::pool_load
