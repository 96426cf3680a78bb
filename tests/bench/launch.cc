// Seconds of launches of an empty kernel through the driver API: the call alone, and the call with the wait for its
// end. Each sample is the median over many.

#include "bench.h"
#include "empty_kernel.h"

namespace {

constexpr int kRounds = 40, kPerRound = 200;  // fewer in a round than a queue holds, so that no launch waits for room

}  // namespace

int main() {
  bench::EmptyKernel kernel;
  const auto launch = [&] { kernel.Launch(); };
  const auto launch_and_wait = [&] {
    kernel.Launch();
    kernel.Wait();
  };
  std::vector<double> launches, with_wait;
  for (int sample = 0; sample < bench::Repetitions(); ++sample) {
    std::vector<double> seconds;
    for (int round = 0; round < kRounds; ++round) {
      for (int i = 0; i < kPerRound; ++i) seconds.push_back(bench::Seconds(launch));
      kernel.Wait();
    }
    launches.push_back(bench::Median(seconds));
    seconds.clear();
    for (int i = 0; i < 2000; ++i) seconds.push_back(bench::Seconds(launch_and_wait));
    with_wait.push_back(bench::Median(seconds));
  }
  bench::Print("launch", launches);
  bench::Print("launch_sync", with_wait);
  return 0;
}
