#include <dlfcn.h>
#include <link.h>

#include <cstdint>

// The unwinder of g++ 12's libgcc asks glibc 2.35 for the object that an address lies in. This answers for it within
// the library, so that one build works where glibc is older. Exceptions are rare here: nothing depends on its speed.

#ifdef DLFO_EH_SEGMENT_TYPE

namespace {

struct Search {
  uintptr_t address;
  dl_find_object* result;
};

int Visit(dl_phdr_info* object, size_t, void* data) {
  auto& search = *static_cast<Search*>(data);
  bool is_here = false;
  uintptr_t begin = UINTPTR_MAX, end = 0;
  void* eh_frame = nullptr;
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const auto& segment = object->dlpi_phdr[i];
    const uintptr_t first = object->dlpi_addr + segment.p_vaddr, last = first + segment.p_memsz;
    if (segment.p_type == DLFO_EH_SEGMENT_TYPE) eh_frame = reinterpret_cast<void*>(first);
    if (segment.p_type != PT_LOAD) continue;
    is_here = is_here || (search.address >= first && search.address < last);
    begin = first < begin ? first : begin;
    end = last > end ? last : end;
  }
  if (!is_here || eh_frame == nullptr) return 0;
  *search.result = {};
  search.result->dlfo_map_start = reinterpret_cast<void*>(begin);
  search.result->dlfo_map_end = reinterpret_cast<void*>(end);
  search.result->dlfo_eh_frame = eh_frame;
  return 1;
}

}  // namespace

extern "C" int _dl_find_object(void* address, dl_find_object* result) noexcept {
  Search search{reinterpret_cast<uintptr_t>(address), result};
  return dl_iterate_phdr(&Visit, &search) == 1 ? 0 : -1;
}

#endif
