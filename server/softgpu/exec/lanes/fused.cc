// Several records run by the handler of the first, for what compilers make of inner products: two loads and the
// product that takes what they load, for it alone (FunctionDecoder::FuseProduct). The values go from memory into the
// product without a row in between. Only a whole warp's even accesses do; else the first load is a load like others.

#include "server/softgpu/exec/lanes/float_ops.h"
#include "server/softgpu/exec/lanes/levels.h"
#include "server/softgpu/exec/lanes/load.h"

namespace outboard::softgpu {
namespace {

// Values of a warp in memory: one for all lanes, or one behind the other.
template <class T>
struct Repeated {
  explicit Repeated(const std::byte* from) : value(LoadFrom<T>(from)) {}
  T operator[](u32) const { return value; }
  T value;
};
template <class T>
struct Contiguous {
  explicit Contiguous(const std::byte* from) : from(from) {}
  T operator[](u32 lane) const { return LoadFrom<T>(from + lane * sizeof(T)); }
  const std::byte* from;
};

struct EvenValues {
  const std::byte* from = nullptr;
  bool is_contiguous = false;
};

// Null in `from` when TryEvenly fails.
template <class T>
[[gnu::always_inline]] inline EvenValues FindEvenValues(const Inst& load, WarpContext& warp) {
  EvenValues values;
  const auto uniform = [&](auto, const std::byte* from) __attribute__((always_inline)) { values = {from, false}; };
  const auto contiguous = [&](auto, const std::byte* from) __attribute__((always_inline)) { values = {from, true}; };
  TryEvenly<AccessKind::kRead>(load, warp, sizeof(T), uniform, contiguous);
  return values;
}

// Calls use(values) with Repeated or Contiguous.
template <class T, class Use>
[[gnu::always_inline]] inline void WithValues(const EvenValues& values, Use use) {
  if (values.is_contiguous) {
    use(Contiguous<T>(values.from));
  } else {
    use(Repeated<T>(values.from));
  }
}

// Two loads and their product, each as often as it follows, by one handler.
template <bool kFtz, class T>
void MultiplyLoaded(const Inst& inst, WarpContext& warp, u32 mask) {
  using Word = std::conditional_t<sizeof(T) == 8, u64, u32>;
  constexpr u32 kRecords = 3;
  u32 ran = 0;
  if (mask == kAllLanes) {
    do {
      const Inst& first = (&inst)[ran];
      const Inst& second = (&inst)[ran + 1];
      const Inst& product = (&inst)[ran + 2];
      EvenValues a = FindEvenValues<T>(first, warp);
      if (a.from == nullptr) break;
      EvenValues b = FindEvenValues<T>(second, warp);
      if (b.from == nullptr) break;
      if (product.a != first.dst) std::swap(a, b);
      const T* const c = Row<const T>(warp, product.c);
      WithValues<T>(
          a, [&](auto as) __attribute__((always_inline)) {
            WithValues<T>(
                b, [&](auto bs) __attribute__((always_inline)) {
                  StoreLanes<T>(warp, product.dst, kAllLanes,
                                [&](u32 lane) { return MultiplyAdd<kFtz, false>(as[lane], bs[lane], c[lane]); });
                });
          });
      ran += kRecords;
    } while ((&inst)[ran].run == MultiplyLoaded<kFtz, T>);
  }
  if (ran == 0) {
    Load<Word>(inst, warp, mask);
    ran = 1;
  }
  warp.ran_ahead = ran - 1;
}

template <bool kFtz, class T>
void AddProduct(FormTable& table, const char* product) {
  AddForm(table, {"ld.ld.", product}, "", MultiplyLoaded<kFtz, T>, Control::kFused);
}

}  // namespace

template <>
void Lanes<OUTBOARD_CPU_LEVEL>::AddFused(FormTable& table) {
  AddProduct<false, f32>(table, "fma.rn.f32");
  AddProduct<true, f32>(table, "fma.rn.ftz.f32");
  AddProduct<false, f64>(table, "fma.rn.f64");
}

}  // namespace outboard::softgpu
