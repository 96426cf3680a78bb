// Integer instructions that C++ has no operator for, and division and shifts at their edges.

#include <algorithm>
#include <climits>

#include "check_runtime.h"

constexpr int kResults32 = 22, kResults64 = 12;

__global__ void Integers32(const int* x, const int* y, int* out, int count) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  int a = x[i], b = y[i];
  unsigned ua = a, ub = b;
  int results[kResults32] = {
      __mulhi(a, b),
      int(__umulhi(ua, ub)),
      __mul24(a, b),
      __clz(a),
      __popc(ua),
      int(__brev(ua)),
      __ffs(a),
      int(__byte_perm(ua, ub, 0x3526)),
      int(__byte_perm(ua, ub, ub & 0x7777)),
      int(__funnelshift_l(ua, ub, ub)),
      int(__funnelshift_r(ua, ub, ua)),
      int(__funnelshift_lc(ua, ub, ub % 64)),
      int(__funnelshift_rc(ua, ub, ua % 64)),
      int(__sad(a, b, 5)),
      int(__usad(ua, ub, 5)),
      __hadd(a, b),
      __rhadd(a, b),
      __dp4a(a, b, 100),
      a / b,
      a % b,
      int(ua / ub),
      int(ua % ub),
  };
  for (int k = 0; k < kResults32; ++k) out[i * kResults32 + k] = results[k];
}

__global__ void Integers64(const long long* x, const long long* y, long long* out, int count) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  long long a = x[i], b = y[i];
  unsigned long long ua = a, ub = b;
  long long results[kResults64] = {
      __mul64hi(a, b),
      static_cast<long long>(__umul64hi(ua, ub)),
      __clzll(a),
      __popcll(ua),
      static_cast<long long>(__brevll(ua)),
      __ffsll(a),
      a / b,
      a % b,
      static_cast<long long>(ua / ub),
      static_cast<long long>(ua % ub),
      a >> (ub & 63),
      static_cast<long long>(ua * ub + (ua << (ub & 63)) - (ua >> (ub & 63))),
  };
  for (int k = 0; k < kResults64; ++k) out[i * kResults64 + k] = results[k];
}

// Narrow types wrap and extend as in C++.
__global__ void Narrow(const int* x, int* out, int count) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  signed char c = static_cast<signed char>(x[i]);
  unsigned char uc = static_cast<unsigned char>(x[i]);
  short s = static_cast<short>(x[i]);
  out[i] = c * 3 + uc * 5 + (s >> 2) + static_cast<unsigned short>(s + 1);
}

template <class T>
T ReverseBits(T value) {
  T reversed = 0;
  for (unsigned bit = 0; bit < sizeof(T) * 8; ++bit) reversed |= (value >> bit & 1) << (sizeof(T) * 8 - 1 - bit);
  return reversed;
}

unsigned Permute(unsigned x, unsigned y, unsigned selector) {
  uint64_t bytes = uint64_t(y) << 32 | x;
  unsigned result = 0;
  for (int i = 0; i < 4; ++i) result |= unsigned(bytes >> (selector >> 4 * i & 7) * 8 & 0xff) << 8 * i;
  return result;
}

int Low24(int value) { return int(unsigned(value) << 8) >> 8; }

std::vector<int> Expected32(int a, int b) {
  unsigned ua = a, ub = b;
  uint64_t both = uint64_t(ub) << 32 | ua;  // funnel shifts see the second argument above the first
  auto left = [&](unsigned by) { return int(by == 0 ? ub : by == 32 ? ua : unsigned((both << by) >> 32)); };
  auto right = [&](unsigned by) { return int(unsigned(by == 32 ? ub : both >> by)); };
  int dot = 100;
  for (int k = 0; k < 4; ++k) dot += static_cast<signed char>(a >> 8 * k) * static_cast<signed char>(b >> 8 * k);
  return {int(int64_t(a) * b >> 32),
          int(uint64_t(ua) * ub >> 32),
          int(int64_t(Low24(a)) * Low24(b)),
          a == 0 ? 32 : __builtin_clz(ua),
          __builtin_popcount(ua),
          int(ReverseBits(ua)),
          __builtin_ffs(a),
          int(Permute(ua, ub, 0x3526)),
          int(Permute(ua, ub, ub)),
          left(ub & 31),
          right(ua & 31),
          left(std::min(ub % 64, 32u)),
          right(std::min(ua % 64, 32u)),
          int(uint64_t(std::llabs(int64_t(a) - b)) + 5),
          int((ua > ub ? ua - ub : ub - ua) + 5),
          int((int64_t(a) + b) >> 1),
          int((int64_t(a) + b + 1) >> 1),
          dot,
          a / b,
          a % b,
          int(ua / ub),
          int(ua % ub)};
}

std::vector<long long> Expected64(long long a, long long b) {
  unsigned long long ua = a, ub = b;
  return {static_cast<long long>(static_cast<__int128>(a) * b >> 64),
          static_cast<long long>(static_cast<unsigned __int128>(ua) * ub >> 64),
          a == 0 ? 64 : __builtin_clzll(ua),
          __builtin_popcountll(ua),
          static_cast<long long>(ReverseBits(ua)),
          __builtin_ffsll(a),
          a / b,
          a % b,
          static_cast<long long>(ua / ub),
          static_cast<long long>(ua % ub),
          a >> (ub & 63),
          static_cast<long long>(ua * ub + (ua << (ub & 63)) - (ua >> (ub & 63)))};
}

// Random numbers of every length and all pairs of edge values, without the divisions that C++ leaves undefined.
template <class T>
void MakePairs(const std::vector<T>& edges, int count, std::vector<T>* x, std::vector<T>* y) {
  check::Random random(11);
  auto draw = [&] { return static_cast<T>(random.Bits64()) >> random.Bits() % (sizeof(T) * 8); };
  for (int i = 0; i < count; ++i) {
    x->push_back(draw());
    T divisor = draw();
    y->push_back(divisor == 0 || divisor == -1 ? 3 : divisor);
  }
  for (T a : edges) {
    for (T b : edges) {
      if (b == 0 || b == -1) continue;
      x->push_back(a);
      y->push_back(b);
    }
  }
}

int main() {
  check::Digest digest;
  std::vector<int> x, y, want;
  MakePairs<int>({0, 1, -1, 2, -7, 7, INT_MAX, INT_MIN, INT_MIN + 1, 0x00ff00ff}, 1000, &x, &y);
  const int count = int(x.size()), blocks = (count + 127) / 128;
  check::DeviceArray<int> device_x(x), device_y(y), out(count * kResults32), narrow(count);
  Integers32<<<blocks, 128>>>(device_x.get(), device_y.get(), out.get(), count);
  Narrow<<<blocks, 128>>>(device_x.get(), narrow.get(), count);
  check::Finished();
  std::vector<int> want_narrow;
  for (int i = 0; i < count; ++i) {
    std::vector<int> results = Expected32(x[i], y[i]);
    want.insert(want.end(), results.begin(), results.end());
    short s = static_cast<short>(x[i]);
    want_narrow.push_back(static_cast<signed char>(x[i]) * 3 + static_cast<unsigned char>(x[i]) * 5 + (s >> 2) +
                          static_cast<unsigned short>(s + 1));
  }
  check::EqualAll("32-bit result (" + std::to_string(kResults32) + " for each pair)", out.Read(), want);
  check::EqualAll("result of narrow types", narrow.Read(), want_narrow);
  digest.Add(out.Read());

  std::vector<long long> wide_x, wide_y, want_wide;
  MakePairs<long long>({0, 1, -1, 10, -10, INT_MAX, INT_MIN, LLONG_MAX, LLONG_MIN, LLONG_MIN + 1}, 1000, &wide_x,
                       &wide_y);
  const int wide_count = int(wide_x.size());
  check::DeviceArray<long long> device_wide_x(wide_x), device_wide_y(wide_y), wide_out(wide_count * kResults64);
  Integers64<<<(wide_count + 127) / 128, 128>>>(device_wide_x.get(), device_wide_y.get(), wide_out.get(), wide_count);
  check::Finished();
  for (int i = 0; i < wide_count; ++i) {
    std::vector<long long> results = Expected64(wide_x[i], wide_y[i]);
    want_wide.insert(want_wide.end(), results.begin(), results.end());
  }
  check::EqualAll("64-bit result (" + std::to_string(kResults64) + " for each pair)", wide_out.Read(), want_wide);
  digest.Add(wide_out.Read());
  return check::Pass("integer_ops", digest);
}
