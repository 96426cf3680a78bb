// Comparison and selection (PTX ISA, sections 9.7.6 and 9.7.7). The decoder makes the other forms of setp and set out
// of these.

#include "server/softgpu/exec/lanes/half.h"
#include "server/softgpu/exec/lanes/levels.h"

namespace outboard::softgpu {
namespace {

template <class T, bool kFtz = false>
void AddOrdered(FormTable& table, const char* type = kName<T>) {
  const char* ftz = kFtz ? "ftz." : "";
  AddMap(table, {"setp.eq.", ftz, type}, [](T a, T b) { return In<kFtz>(a) == In<kFtz>(b); });
  AddMap(table, {"setp.lt.", ftz, type}, [](T a, T b) { return In<kFtz>(a) < In<kFtz>(b); });
  AddMap(table, {"setp.le.", ftz, type}, [](T a, T b) { return In<kFtz>(a) <= In<kFtz>(b); });
  AddMap(table, {"setp.gt.", ftz, type}, [](T a, T b) { return In<kFtz>(a) > In<kFtz>(b); });
  AddMap(table, {"setp.ge.", ftz, type}, [](T a, T b) { return In<kFtz>(a) >= In<kFtz>(b); });
  if constexpr (!std::is_integral_v<T>) {
    // Ordered "not equal" is false for NaN; the comparisons ending in u are true for it.
    AddMap(table, {"setp.ne.", ftz, type},
           [](T a, T b) { return In<kFtz>(a) < In<kFtz>(b) || In<kFtz>(a) > In<kFtz>(b); });
    AddMap(table, {"setp.equ.", ftz, type},
           [](T a, T b) { return !(In<kFtz>(a) < In<kFtz>(b) || In<kFtz>(a) > In<kFtz>(b)); });
    AddMap(table, {"setp.neu.", ftz, type}, [](T a, T b) { return In<kFtz>(a) != In<kFtz>(b); });
    AddMap(table, {"setp.ltu.", ftz, type}, [](T a, T b) { return !(In<kFtz>(a) >= In<kFtz>(b)); });
    AddMap(table, {"setp.leu.", ftz, type}, [](T a, T b) { return !(In<kFtz>(a) > In<kFtz>(b)); });
    AddMap(table, {"setp.gtu.", ftz, type}, [](T a, T b) { return !(In<kFtz>(a) <= In<kFtz>(b)); });
    AddMap(table, {"setp.geu.", ftz, type}, [](T a, T b) { return !(In<kFtz>(a) < In<kFtz>(b)); });
    AddMap(table, {"setp.num.", ftz, type}, [](T a, T b) { return !__builtin_isunordered(In<kFtz>(a), In<kFtz>(b)); });
    AddMap(table, {"setp.nan.", ftz, type},
           [](T a, T b) { return __builtin_isunordered(In<kFtz>(a), In<kFtz>(b)) != 0; });
  } else {
    AddMap(table, {"setp.ne.", type}, [](T a, T b) { return a != b; });
  }
}

template <class T>
void AddSelect(FormTable& table, const char* type) {
  AddMap(table, {"selp.", type}, [](T a, T b, bool p) { return p ? a : b; });
  AddMap(table, {"slct.", type, ".s32"}, [](T a, T b, s32 c) { return c >= 0 ? a : b; });
  AddMap(table, {"slct.", type, ".f32"}, [](T a, T b, f32 c) { return c >= 0 ? a : b; });
  AddMap(table, {"slct.ftz.", type, ".f32"}, [](T a, T b, f32 c) { return Flush(c) >= 0 ? a : b; });
}

}  // namespace

template <>
void Lanes<OUTBOARD_CPU_LEVEL>::AddCompare(FormTable& table) {
  AddOrdered<u16>(table);
  AddOrdered<s16>(table);
  AddOrdered<u32>(table);
  AddOrdered<s32>(table);
  AddOrdered<u64>(table);
  AddOrdered<s64>(table);
  AddOrdered<f32>(table);
  AddOrdered<f32, true>(table);
  AddOrdered<f64>(table);
  AddOrdered<f16>(table);
  AddOrdered<f16, true>(table);
  AddOrdered<bf16>(table);
  AddSelect<u16>(table, "b16");
  AddSelect<u32>(table, "b32");
  AddSelect<u64>(table, "b64");
}

}  // namespace outboard::softgpu
