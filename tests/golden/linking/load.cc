// What the worker finds in a driver, and what it says of libraries that are none.
//
// usage: load DRIVER

#include <cstdio>
#include <cstring>
#include <set>
#include <string>

#include "server/driver/driver_table.h"

namespace {

int failures = 0;

void Expect(bool holds, const char* what) {
  if (holds) return;
  std::printf("failed: %s\n", what);
  ++failures;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const auto symbols = outboard::driver::Symbols();
  std::set<size_t> offsets;
  for (const auto& symbol : symbols) offsets.insert(symbol.offset);
  Expect(offsets.size() == sizeof(outboard::driver::DriverTable) / sizeof(void*), "every member has its symbol");

  const auto driver = outboard::driver::Load(argv[1]);
  Expect(driver.ok(), "the driver loads");
  if (driver.ok()) {
    Expect((*driver)->cuInit != nullptr && (*driver)->cuInit(0) == CUDA_SUCCESS, "cuInit is the driver's");
    Expect((*driver)->cuGetProcAddress_v2 != nullptr, "cuGetProcAddress_v2 is found");
    Expect((*driver)->cuMemAlloc_v2 == nullptr, "a call that the driver lacks is null");
  }

  const auto none = outboard::driver::Load("/nowhere/libcuda.so.1");
  Expect(!none.ok() && none.error().message.find("/nowhere/libcuda.so.1") != std::string::npos,
         "a library that does not exist is named");
  const auto other = outboard::driver::Load("libc.so.6");
  Expect(!other.ok() && other.error().message.find("cuInit") != std::string::npos, "libc is no driver");
  return failures == 0 ? 0 : 1;
}
