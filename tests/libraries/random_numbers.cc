// Random numbers by cuRAND on the device, against those of its generators for the host.

#include <curand.h>

#include "tests/libraries/library_check.h"

namespace {

using check::DeviceArray;
using check::Done;

constexpr unsigned long long kSeed = 1234;

struct Kind {
  const char* name;
  curandRngType_t type;
  bool seeded;
};
// Not MT19937: to begin with, it keeps the software GPU busy for a minute.
constexpr Kind kKinds[] = {{"XORWOW", CURAND_RNG_PSEUDO_XORWOW, true},
                           {"Philox", CURAND_RNG_PSEUDO_PHILOX4_32_10, true},
                           {"MRG32k3a", CURAND_RNG_PSEUDO_MRG32K3A, true},
                           {"MTGP32", CURAND_RNG_PSEUDO_MTGP32, true},
                           {"Sobol", CURAND_RNG_QUASI_SOBOL32, false}};

class Generator {
 public:
  Generator(const Kind& kind, bool on_host) {
    Done(on_host ? curandCreateGeneratorHost(&generator_, kind.type) : curandCreateGenerator(&generator_, kind.type));
    if (kind.seeded) Done(curandSetPseudoRandomGeneratorSeed(generator_, kSeed));
  }
  Generator(const Generator&) = delete;
  Generator& operator=(const Generator&) = delete;
  ~Generator() { curandDestroyGenerator(generator_); }
  curandGenerator_t get() const { return generator_; }

 private:
  curandGenerator_t generator_ = nullptr;
};

void Compare(const Kind& kind, size_t count) {
  const std::string name = kind.name;
  const Generator device(kind, false), host(kind, true);
  DeviceArray<unsigned> device_bits(count);
  std::vector<unsigned> bits(count);
  Done(curandGenerate(device.get(), device_bits.get(), count));
  Done(curandGenerate(host.get(), bits.data(), count));
  check::EqualAll(name, device_bits.Read(), bits);

  DeviceArray<float> device_values(count);
  std::vector<float> values(count);
  Done(curandGenerateUniform(device.get(), device_values.get(), count));
  Done(curandGenerateUniform(host.get(), values.data(), count));
  check::EqualAll(name + ", uniform", device_values.Read(), values);

  Done(curandGenerateNormal(device.get(), device_values.get(), count, 1, 2));
  Done(curandGenerateNormal(host.get(), values.data(), count, 1, 2));
  check::NearAll(name + ", normal", device_values.Read(), values, 1e-5, 1e-5);
}

}  // namespace

int main() {
  for (const Kind& kind : kKinds) Compare(kind, 20000);
  return check::Pass("random_numbers", check::Compared());
}
