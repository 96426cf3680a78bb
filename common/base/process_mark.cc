#include "common/base/process_mark.h"

#include <sys/mman.h>
#include <unistd.h>

#include <new>

namespace outboard {

ProcessMark::ProcessMark() {
  const auto size = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* page = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) throw std::bad_alloc();
  madvise(page, size, MADV_WIPEONFORK);  // Linux 4.14; without it a child is taken for its parent
  *static_cast<unsigned char*>(page) = 1;
  page_ = static_cast<unsigned char*>(page);
}

}  // namespace outboard
