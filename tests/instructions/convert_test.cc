// Conversions (PTX ISA, section 9.7.9.21, cvt).

#include "tests/instructions/exact_conversion.h"
#include "tests/instructions/values.h"

namespace outboard::softgpu::testing {
namespace {

template <class D, class S>
void TestIntegers(Machine& machine, int level) {
  const std::string types = NameOf<D>() + "." + NameOf<S>();
  RunValues(machine, level, Exact("cvt." + types, [](S a) { return Extended(static_cast<D>(a)); }));
  RunValues(machine, level, Exact("cvt.sat." + types, [](S a) { return Extended(Clamped<D>(Wide{a})); }));
  if constexpr (sizeof(D) < 8) {
    // Into a register of 64 bits.
    using Long = std::conditional_t<std::is_signed_v<D>, int64_t, uint64_t>;
    ValueCase wide = Exact(
        "", [](S a) { return static_cast<Long>(static_cast<D>(a)); }, "@G cvt." + types + " $0, $1;");
    wide.inputs = 256;
    RunValues(machine, level, wide);
  }
}

template <class T, class S>
void TestFromInteger(Machine& machine, int level) {
  for (const RoundingMode& rounding : kRoundingModes) {
    const mpfr_rnd_t mode = rounding.mode;
    RunValues(machine, level,
              Exact(std::string("cvt.") + rounding.name + "." + NameOf<T>() + "." + NameOf<S>(), [mode](S a) {
                return Rounded<T>(mode, [a](mpfr_ptr r, mpfr_rnd_t m) { return Set(r, Number::Of(a), m); });
              }));
  }
}

template <class D, class T>
void TestToInteger(Machine& machine, int level) {
  for (const RoundingMode& rounding : kRoundingModes) {
    const mpfr_rnd_t mode = rounding.mode;
    for (const bool ftz : {false, true}) {
      if (ftz && sizeof(T) == 8) continue;
      const std::string form =
          std::string("cvt.") + rounding.name + (ftz ? "i.ftz." : "i.") + NameOf<D>() + "." + NameOf<T>();
      RunValues(machine, level, Exact(form, [=](T a) { return ToInteger<D>(Flushed(a, ftz), mode); }));
    }
  }
}

// Within one floating-point type: no rounding, or to a whole number.
template <class T>
void TestSameWidth(Machine& machine, int level) {
  for (const bool ftz : {false, true}) {
    if (ftz && sizeof(T) == 8) continue;
    for (const bool sat : {false, true}) {
      const std::string suffix = std::string(ftz ? "ftz." : "") + (sat ? "sat." : "") + NameOf<T>() + "." + NameOf<T>();
      RunValues(machine, level, Exact("cvt." + suffix, [=](T a) { return Saturated(Flushed(a, ftz), sat); }));
      for (const RoundingMode& rounding : kRoundingModes) {
        const mpfr_rnd_t mode = rounding.mode;
        RunValues(machine, level, Exact(std::string("cvt.") + rounding.name + "i." + suffix, [=](T a) {
                    return Saturated(Integral(Flushed(a, ftz), mode), sat);
                  }));
      }
    }
  }
}

void TestBetweenWidths(Machine& machine, int level) {
  for (const bool ftz : {false, true}) {
    for (const bool sat : {false, true}) {
      const std::string flags = std::string(ftz ? "ftz." : "") + (sat ? "sat." : "");
      RunValues(machine, level, Exact("cvt." + flags + "f64.f32", [=](float a) {
                  return Saturated(static_cast<double>(Flushed(a, ftz)), sat);
                }));
      for (const RoundingMode& rounding : kRoundingModes) {
        const mpfr_rnd_t mode = rounding.mode;
        RunValues(machine, level, Exact(std::string("cvt.") + rounding.name + "." + flags + "f32.f64", [=](double a) {
                    const float value =
                        Rounded<float>(mode, [a](mpfr_ptr r, mpfr_rnd_t m) { return Set(r, Number::Of(a), m); });
                    return Saturated(Flushed(value, ftz), sat);
                  }));
      }
    }
  }
}

template <class I>
void TestIntegerType(Machine& machine, int level) {
  TestIntegers<uint8_t, I>(machine, level);
  TestIntegers<int8_t, I>(machine, level);
  TestIntegers<uint16_t, I>(machine, level);
  TestIntegers<int16_t, I>(machine, level);
  TestIntegers<uint32_t, I>(machine, level);
  TestIntegers<int32_t, I>(machine, level);
  TestIntegers<uint64_t, I>(machine, level);
  TestIntegers<int64_t, I>(machine, level);
  TestFromInteger<float, I>(machine, level);
  TestFromInteger<double, I>(machine, level);
  TestToInteger<I, float>(machine, level);
  TestToInteger<I, double>(machine, level);
}

// Two numbers, clamped to so many bits, become the low bits of the result; a third one is above them (section
// 9.7.9.22, cvt.pack). They are shifted first, so that some need no clamping.
void TestPack(Machine& machine, int level, int bits, bool is_signed) {
  const int shift = 30 - bits;
  const Wide lowest = is_signed ? -(Wide{1} << (bits - 1)) : 0, highest = lowest + (Wide{1} << bits) - 1;
  const auto pack = [=](int32_t a, int32_t b, uint32_t c) {
    const auto clamped = [=](int32_t value) {
      const Wide small = value >> shift;
      return static_cast<uint32_t>(small < lowest ? lowest : small > highest ? highest : small) & ((1u << bits) - 1);
    };
    return clamped(b) + (clamped(a) << bits) + static_cast<uint32_t>(uint64_t{c} << (2 * bits));
  };
  const std::string form = std::string("cvt.pack.sat.") + (is_signed ? "s" : "u") + std::to_string(bits) + ".s32";
  const std::string by = std::to_string(shift);
  const std::string before = "shr.s32 $1, $1, " + by + "; shr.s32 $2, $2, " + by + "; @G ";
  if (bits == 16) {
    RunValues(machine, level,
              Exact(
                  form, [=](int32_t a, int32_t b) { return pack(a, b, 0); }, before + form + " $0, $1, $2;"));
  } else {
    RunValues(machine, level, Exact(form + ".b32", pack, before + form + ".b32 $0, $1, $2, $3;"));
  }
}

class ConvertForms : public LevelTest {};

TEST_P(ConvertForms, BytesAndShorts) {
  Machine machine(level());
  TestIntegerType<uint8_t>(machine, level());
  TestIntegerType<int8_t>(machine, level());
  TestIntegerType<uint16_t>(machine, level());
  TestIntegerType<int16_t>(machine, level());
}

TEST_P(ConvertForms, WordsAndLongs) {
  Machine machine(level());
  TestIntegerType<uint32_t>(machine, level());
  TestIntegerType<int32_t>(machine, level());
  TestIntegerType<uint64_t>(machine, level());
  TestIntegerType<int64_t>(machine, level());
}

TEST_P(ConvertForms, Packed) {
  Machine machine(level());
  for (const int bits : {2, 4, 8, 16}) {
    for (const bool is_signed : {false, true}) TestPack(machine, level(), bits, is_signed);
  }
}

TEST_P(ConvertForms, Floats) {
  Machine machine(level());
  TestSameWidth<float>(machine, level());
  TestSameWidth<double>(machine, level());
  TestBetweenWidths(machine, level());
}

INSTANTIATE_TEST_SUITE_P(Levels, ConvertForms, ::testing::ValuesIn(Levels()), LevelName);

}  // namespace
}  // namespace outboard::softgpu::testing
