// Single precision on the device beside double precision on the host, within the errors that CUDA documents.

#include "check_runtime.h"

// clang-format off
enum Function {
  kExp, kExp2, kLog, kLog2, kSin, kCos, kTan, kTanh, kErf, kCbrt, kPow, kRsqrt, kSqrt, kReciprocal, kDivide,
  kFastExp, kFastLog, kFastSin, kFastCos, kFastDivide, kFunctions
};
// clang-format on

__global__ void Apply(const float* x, float* out, int count) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  float value = x[i], positive = fabsf(value) + 1e-3f;
  float results[kFunctions];
  results[kExp] = expf(value);
  results[kExp2] = exp2f(value);
  results[kLog] = logf(positive);
  results[kLog2] = log2f(positive);
  results[kSin] = sinf(value * 1000);  // far enough for the slow reduction of the argument in a part of the lanes
  results[kCos] = cosf(value);
  results[kTan] = tanf(value / 16);
  results[kTanh] = tanhf(value);
  results[kErf] = erff(value);
  results[kCbrt] = cbrtf(value);
  results[kPow] = powf(positive, 1.7f);
  results[kRsqrt] = rsqrtf(positive);
  results[kSqrt] = sqrtf(positive);
  results[kReciprocal] = 1.0f / value;
  results[kDivide] = value / 3.7f;
  results[kFastExp] = __expf(value);
  results[kFastLog] = __logf(positive + 2);
  results[kFastSin] = __sinf(value / 8);
  results[kFastCos] = __cosf(value / 8);
  results[kFastDivide] = __fdividef(value, 3.7f);
  for (int function = 0; function < kFunctions; ++function) out[function * count + i] = results[function];
}

// fma with and without flushing of denormals is a matter of compilation; this program is built without.
__global__ void Denormals(const float* x, float* out) {
  int i = threadIdx.x;
  out[i * 3] = x[i] * 0.5f;
  out[i * 3 + 1] = x[i] + x[i];
  out[i * 3 + 2] = fmaf(x[i], 3.0f, x[i]);
}

int main() {
  const int kCount = 4096;
  std::vector<float> x = check::Random(9).Values<float>(kCount, -20, 20);
  x[0] = 150;  // reduced slowly
  x[1] = -8000;
  x[2] = 1e-30f;
  check::DeviceArray<float> device_x(x), device_out(kFunctions * kCount);
  Apply<<<kCount / 128, 128>>>(device_x.get(), device_out.get(), kCount);
  check::Finished();
  const std::vector<float> out = device_out.Read();

  auto compare = [&](const char* name, Function function, double relative, double absolute, auto on_host) {
    std::vector<float> got(out.begin() + function * kCount, out.begin() + (function + 1) * kCount), want(kCount);
    for (int i = 0; i < kCount; ++i) want[i] = float(on_host(x[i], double(std::fabs(x[i]) + 1e-3f)));
    check::NearAll(name, got, want, relative, absolute);
  };
  const double kUlp = 0x1p-23;
  compare("expf", kExp, 3 * kUlp, 1e-44, [](float x, double) { return std::exp(double(x)); });
  compare("exp2f", kExp2, 3 * kUlp, 1e-44, [](float x, double) { return std::exp2(double(x)); });
  compare("logf", kLog, 2 * kUlp, 1e-7, [](float, double p) { return std::log(p); });
  compare("log2f", kLog2, 2 * kUlp, 1e-7, [](float, double p) { return std::log2(p); });
  compare("sinf", kSin, 3 * kUlp, 1e-9, [](float x, double) { return std::sin(double(x * 1000)); });
  compare("cosf", kCos, 3 * kUlp, 1e-9, [](float x, double) { return std::cos(double(x)); });
  compare("tanf", kTan, 5 * kUlp, 1e-9, [](float x, double) { return std::tan(double(x / 16)); });
  compare("tanhf", kTanh, 3 * kUlp, 0, [](float x, double) { return std::tanh(double(x)); });
  compare("erff", kErf, 3 * kUlp, 0, [](float x, double) { return std::erf(double(x)); });
  compare("cbrtf", kCbrt, 2 * kUlp, 0, [](float x, double) { return std::cbrt(double(x)); });
  compare("powf", kPow, 6 * kUlp, 0, [](float, double p) { return std::pow(p, double(1.7f)); });
  compare("rsqrtf", kRsqrt, 3 * kUlp, 0, [](float, double p) { return 1 / std::sqrt(p); });
  compare("sqrtf", kSqrt, 0, 0, [](float, double p) { return std::sqrt(float(p)); });
  compare("1 / x", kReciprocal, 0, 0, [](float x, double) { return 1 / x; });
  compare("x / 3.7", kDivide, 0, 0, [](float x, double) { return x / 3.7f; });
  compare("__expf", kFastExp, 40 * kUlp, 1e-37, [](float x, double) { return std::exp(double(x)); });
  compare("__logf", kFastLog, 5 * kUlp, 1e-6, [](float, double p) { return std::log(double(float(p) + 2)); });
  compare("__fdividef", kFastDivide, 3 * kUlp, 0, [](float x, double) { return x / double(3.7f); });
  // The fast sine and cosine are described for arguments from -pi to pi.
  std::vector<float> got, want;
  for (int i = 3; i < kCount; ++i) {
    got.insert(got.end(), {out[kFastSin * kCount + i], out[kFastCos * kCount + i]});
    want.insert(want.end(), {float(std::sin(double(x[i] / 8))), float(std::cos(double(x[i] / 8)))});
  }
  check::NearAll("__sinf and __cosf", got, want, 0, 5e-7);

  const std::vector<float> tiny = {1.4e-45f, 1e-39f, -1e-40f, 1.17549435e-38f, -1.5e-38f};
  check::DeviceArray<float> device_tiny(tiny), device_products(tiny.size() * 3);
  Denormals<<<1, int(tiny.size())>>>(device_tiny.get(), device_products.get());
  check::Finished();
  want.clear();
  for (float value : tiny) want.insert(want.end(), {value * 0.5f, value + value, std::fma(value, 3.0f, value)});
  check::EqualAll("product with a denormal", device_products.Read(), want);

  check::Digest digest;
  digest.Add(out);
  return check::Pass("math_float", digest);
}
