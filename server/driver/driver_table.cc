#include "server/driver/driver_table.h"

#include <dlfcn.h>

#include <cstring>
#include <utility>

namespace outboard::driver {

Result<std::unique_ptr<const DriverTable>> Load(const std::string& path) {
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return Error{"the CUDA driver does not load: " + std::string(dlerror()) + "; install it, or name another one"};
  }
  auto table = std::make_unique<DriverTable>();
  for (const Symbol& symbol : Symbols()) {
    void* const address = dlsym(library, symbol.name);
    std::memcpy(reinterpret_cast<std::byte*>(table.get()) + symbol.offset, &address, sizeof address);
  }
  if (table->cuInit == nullptr)
    return Error{path + " is no CUDA driver, as it does not export cuInit; name another one"};
  return std::unique_ptr<const DriverTable>(std::move(table));
}

}  // namespace outboard::driver
