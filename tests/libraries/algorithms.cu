// Sorting, sums and reductions by Thrust and CUB.

#include <thrust/device_vector.h>
#include <thrust/host_vector.h>
#include <thrust/reduce.h>
#include <thrust/scan.h>
#include <thrust/sort.h>

#include <algorithm>
#include <cub/device/device_histogram.cuh>
#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_reduce.cuh>
#include <cub/device/device_scan.cuh>
#include <numeric>

#include "tests/libraries/library_check.h"

namespace {

constexpr size_t kCount = 50021;

template <class T>
std::vector<T> OnHost(const thrust::device_vector<T>& device) {
  std::vector<T> values(device.size());
  thrust::copy(device.begin(), device.end(), values.begin());
  return values;
}

std::vector<int> Numbers(uint32_t bound) {
  check::Random random(bound);
  std::vector<int> values(kCount);
  for (int& value : values) value = static_cast<int>(random.Bits() % bound);
  return values;
}

void CheckSort() {
  const std::vector<int> keys = Numbers(1 << 20);
  std::vector<int> places(kCount), want = keys;
  std::iota(places.begin(), places.end(), 0);
  thrust::device_vector<int> device_keys(keys.begin(), keys.end()), device_places(places.begin(), places.end());
  thrust::stable_sort_by_key(device_keys.begin(), device_keys.end(), device_places.begin());
  std::stable_sort(places.begin(), places.end(), [&](int a, int b) { return keys[a] < keys[b]; });
  std::sort(want.begin(), want.end());
  check::EqualAll("the sorted keys", OnHost(device_keys), want);
  check::EqualAll("the places of sorted keys", OnHost(device_places), places);

  // With a comparison of its own, Thrust merges instead of looking at bits.
  thrust::device_vector<int> device_down(keys.begin(), keys.end());
  thrust::sort(device_down.begin(), device_down.end(), thrust::greater<int>());
  std::reverse(want.begin(), want.end());
  check::EqualAll("the keys sorted downwards", OnHost(device_down), want);
}

void CheckScanAndReduce() {
  const std::vector<int> values = Numbers(100);
  thrust::device_vector<int> device(values.begin(), values.end()), sums(kCount);
  thrust::inclusive_scan(device.begin(), device.end(), sums.begin());
  std::vector<int> want(kCount);
  std::partial_sum(values.begin(), values.end(), want.begin());
  check::EqualAll("the partial sums", OnHost(sums), want);
  check::Equal("the sum", thrust::reduce(device.begin(), device.end()), want.back());
}

// Runs one of CUB's algorithms: once to learn how much memory it needs, once to use it.
template <class Algorithm>
void WithMemory(Algorithm algorithm) {
  size_t bytes = 0;
  check::Ok(algorithm(nullptr, bytes));
  check::DeviceArray<char> memory(bytes);
  check::Ok(algorithm(memory.get(), bytes));
  check::Finished();
}

void CheckReduceByKey() {
  std::vector<int> keys = Numbers(997);
  const std::vector<int> values = Numbers(50);
  std::sort(keys.begin(), keys.end());
  std::vector<int> want_keys, want_sums;
  for (size_t i = 0; i < kCount; ++i) {
    if (want_keys.empty() || want_keys.back() != keys[i]) {
      want_keys.push_back(keys[i]);
      want_sums.push_back(0);
    }
    want_sums.back() += values[i];
  }
  thrust::device_vector<int> device_keys(keys.begin(), keys.end()), device_values(values.begin(), values.end());
  thrust::device_vector<int> unique(kCount), sums(kCount);
  const auto ends = thrust::reduce_by_key(device_keys.begin(), device_keys.end(), device_values.begin(), unique.begin(),
                                          sums.begin());
  unique.resize(ends.first - unique.begin());
  sums.resize(ends.second - sums.begin());
  check::EqualAll("the keys of the sums", OnHost(unique), want_keys);
  check::EqualAll("the sums by key", OnHost(sums), want_sums);

  check::DeviceArray<int> cub_keys(keys), cub_values(values), cub_unique(kCount), cub_largest(kCount), runs(1);
  WithMemory([&](void* memory, size_t& bytes) {
    return cub::DeviceReduce::ReduceByKey(memory, bytes, cub_keys.get(), cub_unique.get(), cub_values.get(),
                                          cub_largest.get(), runs.get(), thrust::maximum<int>(), int(kCount));
  });
  const size_t count = want_keys.size();
  check::Equal("the number of CUB's keys", runs.Read()[0], int(count));
  std::vector<int> got_keys = cub_unique.Read(), got_largest = cub_largest.Read(), want_largest(count, -1);
  for (size_t i = 0, run = 0; i < kCount; ++i) {
    if (keys[i] != want_keys[run]) ++run;
    want_largest[run] = std::max(want_largest[run], values[i]);
  }
  got_keys.resize(count);
  got_largest.resize(count);
  check::EqualAll("the keys of CUB's runs", got_keys, want_keys);
  check::EqualAll("the largest by key", got_largest, want_largest);
}

void CheckCub() {
  check::Random random(3);
  const auto keys = random.Values<double>(kCount, -5, 5);
  check::DeviceArray<double> device_keys(keys), sorted(kCount);
  WithMemory([&](void* memory, size_t& bytes) {
    return cub::DeviceRadixSort::SortKeys(memory, bytes, device_keys.get(), sorted.get(), int(kCount));
  });
  std::vector<double> want = keys;
  std::sort(want.begin(), want.end());
  check::EqualAll("the sorted doubles", sorted.Read(), want);

  const std::vector<int> values = Numbers(1000);
  check::DeviceArray<int> device_values(values), sums(kCount);
  WithMemory([&](void* memory, size_t& bytes) {
    return cub::DeviceScan::ExclusiveSum(memory, bytes, device_values.get(), sums.get(), int(kCount));
  });
  std::vector<int> before(kCount);
  std::exclusive_scan(values.begin(), values.end(), before.begin(), 0);
  check::EqualAll("the sums of those before", sums.Read(), before);

  constexpr int kBins = 10;
  check::DeviceArray<int> bins(kBins);
  WithMemory([&](void* memory, size_t& bytes) {
    return cub::DeviceHistogram::HistogramEven(memory, bytes, device_keys.get(), bins.get(), kBins + 1, -5.0, 5.0,
                                               int(kCount));
  });
  std::vector<int> counts(kBins);
  for (const double key : keys) ++counts[static_cast<int>(key + 5)];
  check::EqualAll("the histogram", bins.Read(), counts);
}

}  // namespace

int main() {
  CheckSort();
  CheckScanAndReduce();
  CheckReduceByKey();
  CheckCub();
  return check::Pass("algorithms", check::Compared());
}
