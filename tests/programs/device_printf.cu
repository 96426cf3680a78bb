// printf on the device. The text is compared with device_printf.stdout by run.py; what printf returns is compared here.

#include "check_runtime.h"

__device__ const char greeting[] = "from global memory";

__global__ void Integers() {
  printf("%d %i %d\n", 42, -42, INT32_MIN);
  printf("%u %u\n", 7u, 4294967295u);
  printf("%lld %llu %ld\n", -1234567890123456789ll, 18446744073709551615ull, -5l);
  printf("%x %X %#x %o %llx\n", 0xbeef, 0xbeef, 0xbeef, 8, 0x123456789abcdefull);
  printf("[%5d] [%-5d] [%05d] [%+d] [% d] [%.4d]\n", 42, 42, 42, 42, 42, 42);
  printf("%hd %hu [%*d]\n", 1234, 65535, 6, 42);
}

__global__ void FloatingPoint() {
  printf("%f %f\n", 3.25, -0.5f);
  printf("%e %E\n", 12345.678, 12345.678);
  printf("%g %g %g\n", 0.0001, 1e20, 100000.0);
  printf("[%10.3f] [%-10.2f] [%+.1f] [%.0f] [%08.3f]\n", 3.14159, 3.14159, 3.14159, 2.5, -3.14159);
  printf("%f %f\n", INFINITY, -INFINITY);
  printf("%a\n", 1.0);
}

__global__ void Text(const char* name) {
  printf("%s %s [%10s] [%-10s] [%.3s]\n", "a literal", greeting, "right", "left", "shortened");
  printf("%s|%c%c%c|%%\n", name, 'a', 'b', 'c');
  printf("%p\n", reinterpret_cast<void*>(0x1234abcdull));
  printf("no argument\n");
  printf("%s", "");
  printf("one line in ");
  printf("two parts\n");
}

// All in one record: more arguments than registers would hold.
__global__ void ManyArguments() {
  printf("%d %f %s %c %lld %d %d %d %d %d %g\n", 1, 2.0, "three", '4', 5ll, 6, 7, 8, 9, 10, 11.5);
}

__global__ void Loop(int count) {
  for (int i = 0; i < count; ++i) {
    if (i % 2 == 0) {
      printf("even %d\n", i);
    } else {
      printf("odd %d\n", i);
    }
  }
}

__global__ void Returned(int* results) {
  results[0] = printf("returned\n");
  results[1] = printf("returned %d\n", 1);
  results[2] = printf("returned %d %s %f\n", 1, "two", 3.0);
}

__global__ void EveryThread(int* calls) { atomicAdd(calls, printf("thread\n") == 0); }

int main() {
  std::vector<char> name = {'n', 'a', 'm', 'e', '\0'};
  check::DeviceArray<char> device_name(name);
  check::DeviceArray<int> results(3), calls(1);
  calls.Fill(0);

  Integers<<<1, 1>>>();
  FloatingPoint<<<1, 1>>>();
  check::Finished();
  Text<<<1, 1>>>(device_name.get());
  ManyArguments<<<1, 1>>>();
  Loop<<<1, 1>>>(4);
  Returned<<<1, 1>>>(results.get());
  EveryThread<<<2, 40>>>(calls.get());
  check::Finished();

  check::EqualAll<int>("what printf returned", results.Read(), {0, 1, 3});
  check::EqualAll<int>("threads that printed", calls.Read(), {80});
  return check::Pass("device_printf");
}
