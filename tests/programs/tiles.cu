// Parts of a warp as cooperative groups and CUB have them: tiles, and groups of the lanes that have something in
// common. Each is a group of its own in instructions that all lanes of the warp run together.

#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#include <cooperative_groups/scan.h>

#include <algorithm>
#include <cub/warp/warp_reduce.cuh>
#include <numeric>

#include "check_runtime.h"

namespace cg = cooperative_groups;

constexpr unsigned kThreads = 96;
constexpr unsigned kResults = 11;

// What a group of threads says of `value`.
template <class Group>
__device__ void Ask(const Group& group, int value, int* out) {
  out[0] = group.thread_rank();
  out[1] = group.any(value > 90);
  out[2] = group.all(value > 5);
  out[3] = __popc(group.ballot(value % 2 == 1));
  out[4] = __popc(group.match_any(value % 4));
  out[5] = group.shfl(value, group.size() - 1);
  out[6] = cg::reduce(group, value, cg::plus<int>());
  out[7] = cg::reduce(group, value, cg::less<int>());
  out[8] = cg::inclusive_scan(group, value);
  group.sync();
  int predicate = -1;
  out[9] = group.match_all(value / 50, predicate) != 0;
  out[10] = predicate != 0;
}

template <unsigned kSize>
__global__ void Tiles(const int* values, int* out) {
  const auto tile = cg::tiled_partition<kSize>(cg::this_thread_block());
  Ask(tile, values[threadIdx.x], out + threadIdx.x * kResults);
}

__global__ void Labels(const int* values, int* out) {
  const auto warp = cg::tiled_partition<32>(cg::this_thread_block());
  const auto group = cg::labeled_partition(warp, values[threadIdx.x] % 3);
  Ask(group, values[threadIdx.x], out + threadIdx.x * kResults);
}

__global__ void Halves(const int* values, int* out) {
  const auto warp = cg::tiled_partition<32>(cg::this_thread_block());
  const auto group = cg::binary_partition(warp, values[threadIdx.x] % 5 == 0);
  Ask(group, values[threadIdx.x], out + threadIdx.x * kResults);
}

template <int kSize>
__global__ void WarpSums(const int* values, int* out) {
  using Reduce = cub::WarpReduce<int, kSize>;
  __shared__ typename Reduce::TempStorage storage[kThreads / kSize];
  const int sum = Reduce(storage[threadIdx.x / kSize]).Sum(values[threadIdx.x]);
  out[threadIdx.x] = threadIdx.x % kSize == 0 ? sum : 0;
}

// What Ask is to say, of the threads of a warp that have the same label.
std::vector<int> Expected(const std::vector<int>& values, const std::vector<int>& labels) {
  std::vector<int> all;
  for (unsigned i = 0; i < kThreads; ++i) {
    std::vector<int> group;
    int rank = 0;
    for (unsigned j = i / 32 * 32; j < i / 32 * 32 + 32; ++j) {
      if (labels[j] != labels[i]) continue;
      rank += j < i;
      group.push_back(values[j]);
    }
    const auto count = [&](auto holds) { return static_cast<int>(std::count_if(group.begin(), group.end(), holds)); };
    const int size = static_cast<int>(group.size());
    const bool equal = count([&](int v) { return v / 50 == group[0] / 50; }) == size;
    all.insert(
        all.end(),
        {rank, count([](int v) { return v > 90; }) > 0, count([](int v) { return v > 5; }) == size,
         count([](int v) { return v % 2 == 1; }), count([&](int v) { return v % 4 == values[i] % 4; }), group.back(),
         std::accumulate(group.begin(), group.end(), 0), *std::min_element(group.begin(), group.end()),
         std::accumulate(group.begin(), group.begin() + rank + 1, 0), equal, equal});
  }
  return all;
}

template <class Label>
std::vector<int> LabelsOf(const std::vector<int>& values, Label label) {
  std::vector<int> labels;
  for (unsigned i = 0; i < kThreads; ++i) labels.push_back(label(i, values[i]));
  return labels;
}

int main() {
  std::vector<int> values(kThreads);
  for (unsigned i = 0; i < kThreads; ++i) values[i] = static_cast<int>(i * i * 7 % 101);
  check::Digest digest;
  check::DeviceArray<int> device_values(values), out(kThreads * kResults), sums(kThreads);
  const auto test = [&](const char* what, auto kernel, const std::vector<int>& labels) {
    out.Fill(0xee);
    kernel<<<1, kThreads>>>(device_values.get(), out.get());
    check::Finished();
    check::EqualAll(what, out.Read(), Expected(values, labels));
    digest.Add(out.Read());
  };
  const auto tile = [&](unsigned size) { return LabelsOf(values, [=](unsigned i, int) { return int(i / size); }); };
  test("of tiles of 2", Tiles<2>, tile(2));
  test("of tiles of 4", Tiles<4>, tile(4));
  test("of tiles of 8", Tiles<8>, tile(8));
  test("of tiles of 16", Tiles<16>, tile(16));
  test("of tiles of 32", Tiles<32>, tile(32));
  test("of labels", Labels, LabelsOf(values, [](unsigned, int value) { return value % 3; }));
  test("of halves", Halves, LabelsOf(values, [](unsigned, int value) { return int(value % 5 == 0); }));

  const auto test_sums = [&](const char* what, auto kernel, unsigned size) {
    kernel<<<1, kThreads>>>(device_values.get(), sums.get());
    check::Finished();
    std::vector<int> want(kThreads);
    for (unsigned i = 0; i < kThreads; ++i) want[i / size * size] += values[i];
    check::EqualAll(what, sums.Read(), want);
  };
  test_sums("sum of 16 lanes", WarpSums<16>, 16);
  test_sums("sum of 8 lanes", WarpSums<8>, 8);
  return check::Pass("tiles", digest);
}
