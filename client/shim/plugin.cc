#include "client/shim/plugin.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>

#include <string>

#include "common/base/env.h"

namespace outboard::shim {
namespace {

// The folder of the file that this code came from; the empty string when that is unknown.
std::string OwnFolder() {
  Dl_info info;
  if (dladdr(reinterpret_cast<const void*>(&OwnFolder), &info) == 0 || info.dli_fname == nullptr) return "";
  char path[PATH_MAX];
  if (realpath(info.dli_fname, path) == nullptr) return "";
  const std::string file = path;
  return file.substr(0, file.rfind('/'));
}

// Whether libc's allocator serves the whole process, and no sanitizer watches it.
bool AllocatorIsLibcs() {
  for (const char* sanitizer : {"__asan_init", "__tsan_init", "__msan_init", "__hwasan_init"}) {
    if (dlsym(RTLD_DEFAULT, sanitizer) != nullptr) return false;
  }
  void* libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
  if (libc == nullptr) return false;
  bool is_libcs = true;
  for (const char* function : {"malloc", "free", "realloc", "calloc", "posix_memalign"}) {
    is_libcs = is_libcs && dlsym(RTLD_DEFAULT, function) == dlsym(libc, function);
  }
  dlclose(libc);
  return is_libcs;
}

}  // namespace

Result<const OutboardTransport*> LoadTransport() {
  const std::string path = GetEnv("OUTBOARD_TRANSPORT_PLUGIN").value_or(OwnFolder() + "/../liboutboard_grpc.so");
  const int flags = RTLD_NOW | RTLD_LOCAL | (AllocatorIsLibcs() ? RTLD_DEEPBIND : 0);
  void* plugin = dlopen(path.c_str(), flags);
  if (plugin == nullptr) {
    const char* why = dlerror();
    return Error{"the transport plugin cannot be loaded; install it again or set OUTBOARD_TRANSPORT_PLUGIN: " +
                 std::string(why != nullptr ? why : path)};
  }
  const auto entry = reinterpret_cast<decltype(&OutboardTransportEntry)>(dlsym(plugin, "OutboardTransportEntry"));
  const OutboardTransport* transport = entry == nullptr ? nullptr : entry(kOutboardTransportVersion);
  if (transport == nullptr || transport->version != kOutboardTransportVersion) {
    return Error{"the transport plugin " + path + " does not fit this library; install both from one release"};
  }
  return transport;
}

}  // namespace outboard::shim
