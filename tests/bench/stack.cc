// What calls cost a program: seconds of launches, of waits, and of a loop of both, through whatever libcuda.so.1 it
// finds, and the most memory that the process had. With the name of a figure as its argument it measures that one.

#include <cstring>
#include <fstream>
#include <string>

#include "bench.h"
#include "empty_kernel.h"

namespace {

constexpr int kLaunches = 1000;

// The most memory that this program has had; getrusage would count what the process was before it.
double PeakBytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    double kib;
    if (word == "VmHWM:" && status >> kib) return kib * 1024;
  }
  std::printf("/proc/self/status has no VmHWM\n");
  std::exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  bench::EmptyKernel kernel;
  const auto launch = [&] { kernel.Launch(); };
  const auto wait = [&] { kernel.Wait(); };
  const auto wanted = [&](const char* name) { return argc < 2 || std::strcmp(argv[1], name) == 0; };
  if (wanted("launch_async")) {
    // The median of few at a time, so that no launch waits for room in a queue.
    std::vector<double> medians;
    for (int sample = 0; sample < bench::Repetitions(); ++sample) {
      std::vector<double> seconds;
      for (int round = 0; round < 100; ++round) {
        for (int i = 0; i < 20; ++i) seconds.push_back(bench::Seconds(launch));
        wait();
      }
      medians.push_back(bench::Median(seconds));
    }
    bench::Print("launch_async", medians);
  }
  if (wanted("launch_loop")) {
    bench::Print("launch_loop", bench::Repeat([&] {
                   for (int i = 0; i < kLaunches; ++i) launch();
                   wait();
                 }));
  }
  if (wanted("sync")) {
    std::vector<double> medians;
    for (int sample = 0; sample < bench::Repetitions(); ++sample) {
      std::vector<double> seconds;
      for (int i = 0; i < 3000; ++i) seconds.push_back(bench::Seconds(wait));
      medians.push_back(bench::Median(seconds));
    }
    bench::Print("sync", medians);
  }
  bench::Print("rss", {PeakBytes()});
  return 0;
}
