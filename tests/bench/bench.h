#pragma once

// What the benchmarks share: repeated timing, and figures as one line of JSON that scripts/bench reads.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace bench {

// How many samples a program takes, of which the best or the median counts.
inline int Repetitions() {
  const char* const wanted = std::getenv("BENCH_REPETITIONS");
  return wanted == nullptr ? 6 : std::atoi(wanted);
}

// Seconds that one call of `work` takes.
template <class Work>
double Seconds(Work work) {
  auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Seconds of each of Repetitions() calls, after one that does not count.
template <class Work>
std::vector<double> Repeat(Work work) {
  work();
  std::vector<double> seconds;
  for (int i = 0; i < Repetitions(); ++i) seconds.push_back(Seconds(work));
  return seconds;
}

inline double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

inline void Print(const char* name, const std::vector<double>& samples) {
  std::printf("{\"name\": \"%s\", \"samples\": [", name);
  for (size_t i = 0; i < samples.size(); ++i) std::printf("%s%.9g", i == 0 ? "" : ", ", samples[i]);
  std::printf("]}\n");
}

[[noreturn]] inline void Fail(const char* what, double got, double want) {
  std::printf("%s is %.9g, expected %.9g\n", what, got, want);
  std::exit(1);
}

}  // namespace bench
