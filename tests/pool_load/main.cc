// A load of simulated nodes and clients on a gpu-pool.

#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/pool_load/decisions.h"
#include "tests/pool_load/kills.h"

namespace outboard::pool_load {
namespace {

int Main(const std::vector<std::string>& arguments) {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  const size_t count = arguments.size();
  const std::string what = count < 2 ? "" : arguments[0];
  if (what == "kills" && count == 4)
    return Kills(arguments[1], std::atoi(arguments[2].c_str()), std::strtoul(arguments[3].c_str(), nullptr, 10)) ? 0
                                                                                                                 : 1;
  if (what == "decisions") return Decisions(arguments[1], {arguments.begin() + 2, arguments.end()});
  if (what == "restart" && count == 3) return Restart(arguments[1], std::atoi(arguments[2].c_str()));
  std::fprintf(stderr,
               "usage: pool_load kills GPU-POOL ROUNDS SEED\n"
               "       pool_load decisions GPU-POOL [ARGUMENT OF GPU-POOL...]   (\"@store\" is a new database)\n"
               "       pool_load restart GPU-POOL LEASES\n");
  return 2;
}

}  // namespace
}  // namespace outboard::pool_load

int main(int argc, char** argv) { return outboard::pool_load::Main({argv + 1, argv + argc}); }
