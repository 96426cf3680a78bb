// Conversions (PTX ISA, section 9.7.9.21, cvt) from and to f16, bf16 and their pairs, and formats of 8 bits and tf32.

#include "tests/instructions/exact_conversion.h"

namespace outboard::softgpu::testing {
namespace {

constexpr size_t kEvery = 1 << 16;  // operands of 16 bits

double ValueOf(double a) { return a; }
template <int kExponent, int kFraction>
double ValueOf(ShortFloat<kExponent, kFraction> a) {
  return a.Value();
}

// What .sat, .relu and .satfinite do to a result.
struct Limits {
  bool sat = false, relu = false, finite = false;
  std::string Text() const {
    return std::string(sat ? ".sat" : "") + (relu ? ".relu" : "") + (finite ? ".satfinite" : "");
  }
  double Of(double value, double highest) const {
    if (std::isnan(value)) return sat ? 0 : value;
    if (finite && std::fabs(value) > highest) value = std::copysign(highest, value);
    if (relu && std::signbit(value)) return 0;
    return Saturated(value, sat);
  }
};

// `a`, an integer or a double, in a format.
template <class T>
double Narrow(const Precision& format, double highest, T a, mpfr_rnd_t mode, Limits limits = {}) {
  return limits.Of(RoundedTo(format, mode, [a](mpfr_ptr r, mpfr_rnd_t m) { return Set(r, Number::Of(a), m); }),
                   highest);
}
template <class H, class T>
H ToShort(T a, mpfr_rnd_t mode, Limits limits = {}) {
  const double highest = H{H::kInfinity - 1}.Value();
  if constexpr (std::is_integral_v<T>) {
    return H::Of(Narrow(kPrecision<H>, highest, a, mode, limits));
  } else {
    return H::Of(Narrow(kPrecision<H>, highest, ValueOf(a), mode, limits));
  }
}

std::string Form(const RoundingMode& rounding, const std::string& modifiers, const std::string& types) {
  return std::string("cvt.") + rounding.name + modifiers + "." + types;
}

template <class H, class I>
void TestInteger(Machine& machine, int level) {
  for (const RoundingMode& rounding : kRoundingModes) {
    const mpfr_rnd_t mode = rounding.mode;
    for (const bool sat : {false, true}) {
      if (sat && !std::is_same_v<H, F16>) continue;
      const Limits limits{.sat = sat};
      ValueCase value_case = Exact(Form(rounding, limits.Text(), NameOf<H>() + "." + NameOf<I>()),
                                   [=](I a) { return ToShort<H>(a, mode, limits); });
      value_case.inputs = 512;
      RunValues(machine, level, value_case);
    }
    // f32 holds every value of H, so the result is that of the conversion from f32.
    ValueCase value_case = Exact(Form(rounding, "i", NameOf<I>() + "." + NameOf<H>()),
                                 [=](H a) { return ToInteger<I>(static_cast<float>(a.Value()), mode); });
    value_case.inputs = 512;
    RunValues(machine, level, value_case);
  }
}

template <class H>
void TestIntegers(Machine& machine, int level) {
  TestInteger<H, uint8_t>(machine, level);
  TestInteger<H, int8_t>(machine, level);
  TestInteger<H, uint16_t>(machine, level);
  TestInteger<H, int16_t>(machine, level);
  TestInteger<H, uint32_t>(machine, level);
  TestInteger<H, int32_t>(machine, level);
  TestInteger<H, uint64_t>(machine, level);
  TestInteger<H, int64_t>(machine, level);
}

// Of a NaN in f64 the sign and as much of its payload as there is room for are left, as on a GPU.
template <class H>
H Shortened(double nan) {
  const uint64_t bits = ToBits(nan);
  const uint32_t payload = static_cast<uint32_t>(bits >> (53 - H::kDigits)) & (H::kNan - H::kInfinity);
  return {payload | H::kInfinity | (H::kNan - H::kInfinity + 1) / 2 | (std::signbit(nan) ? H::kSign : 0)};
}

// From a wider format. As on a GPU, .ftz flushes the subnormal numbers of f32 for bf16 alone.
template <class H, class T>
void TestNarrowing(Machine& machine, int level) {
  const bool is_f16 = std::is_same_v<H, F16>;
  for (const RoundingMode& rounding : kRoundingModes) {
    const mpfr_rnd_t mode = rounding.mode;
    for (const bool ftz : {false, true}) {
      for (const bool sat : {false, true}) {
        if ((ftz && sizeof(T) == 8) || (sat && !is_f16)) continue;
        const Limits limits{.sat = sat};
        RunValues(machine, level,
                  Exact(Form(rounding, (ftz ? ".ftz" : "") + limits.Text(), NameOf<H>() + "." + NameOf<T>()),
                        [=](T a) {
                          if (sizeof(T) == 8 && std::isnan(a) && !sat) return Shortened<H>(a);
                          return ToShort<H>(Flushed(a, ftz && !is_f16), mode, limits);
                        }));
      }
    }
  }
}

template <class H, class V>
void TestPacking(Machine& machine, int level) {
  for (const RoundingMode& rounding : {kRoundingModes[0], kRoundingModes[1]}) {
    const mpfr_rnd_t mode = rounding.mode;
    for (const bool relu : {false, true}) {
      for (const bool finite : {false, true}) {
        const Limits limits{.relu = relu, .finite = finite};
        RunValues(machine, level, Exact(Form(rounding, limits.Text(), NameOf<V>() + ".f32"), [=](float a, float b) {
                    return V::Of(ToShort<H>(b, mode, limits), ToShort<H>(a, mode, limits));
                  }));
        if (!relu && !finite) continue;  // the scalar form is among those of TestNarrowing
        RunValues(machine, level, Exact(Form(rounding, limits.Text(), NameOf<H>() + ".f32"), [=](float a) {
                    return ToShort<H>(a, mode, limits);
                  }));
      }
    }
  }
}

// Exact but for the modifiers.
template <class T, class H>
void TestWidening(Machine& machine, int level, bool ftz, bool sat) {
  ValueCase value_case =
      Exact(std::string("cvt.") + (ftz ? "ftz." : "") + (sat ? "sat." : "") + NameOf<T>() + "." + NameOf<H>(),
            [=](H a) { return Saturated(Flushed(static_cast<T>(a.Value()), ftz), sat); });
  value_case.inputs = kEvery;
  RunValues(machine, level, value_case);
}

template <class H>
void TestSameFormat(Machine& machine, int level) {
  const std::string types = NameOf<H>() + "." + NameOf<H>();
  for (const bool sat : {false, true}) {
    if (sat && !std::is_same_v<H, F16>) continue;
    RunValues(machine, level, Exact(std::string("cvt.") + (sat ? "sat." : "") + types, [=](H a) {
                return H::Of(Saturated(a.Value(), sat));
              }));
    for (const RoundingMode& rounding : kRoundingModes) {
      const mpfr_rnd_t mode = rounding.mode;
      RunValues(machine, level,
                Exact(std::string("cvt.") + rounding.name + "i." + (sat ? "sat." : "") + types,
                      [=](H a) { return H::Of(Saturated(Integral(a.Value(), mode), sat)); }));
    }
  }
}

template <class H>
void TestFormat(Machine& machine, int level) {
  TestNarrowing<H, float>(machine, level);
  TestNarrowing<H, double>(machine, level);
  TestSameFormat<H>(machine, level);
  TestWidening<float, H>(machine, level, false, false);
  TestWidening<float, H>(machine, level, true, false);
  TestWidening<double, H>(machine, level, false, false);
}

// A format of 8 bits. f16 holds every one of its values.
struct EightBits {
  std::string name;
  Precision precision;
  double highest;
  uint32_t (*bits_of)(double value);
  double (*value_of)(uint32_t bits);

  uint32_t Narrowed(double value, Limits limits) const {
    return bits_of(Narrow(precision, highest, value, MPFR_RNDN, limits));
  }
};

// Its highest exponent has numbers and, as the last of them, NaN.
double ValueOfE4m3(uint32_t bits) {
  const uint32_t fraction = bits & 7, exponent = (bits >> 3) & 15;
  double value = exponent == 0 ? std::ldexp(fraction, -9) : std::ldexp(8 + fraction, static_cast<int>(exponent) - 10);
  if (exponent == 15 && fraction == 7) value = std::numeric_limits<double>::quiet_NaN();
  return bits & 0x80 ? -value : value;
}

const EightBits kEightBits[] = {
    {"e4m3x2", {4, -5, 9}, 448, [](double value) { return ShortFloat<4, 3>::Of(value).bits; }, ValueOfE4m3},
    {"e5m2x2", kPrecision<ShortFloat<5, 2>>, 57344, [](double value) { return ShortFloat<5, 2>::Of(value).bits; },
     [](uint32_t bits) { return ShortFloat<5, 2>{bits}.Value(); }}};

void TestEightBits(Machine& machine, int level, const EightBits& format, bool relu) {
  const Limits finite{.relu = relu, .finite = true}, plain{.relu = relu};
  const auto pack = [=](double high, double low) {
    return static_cast<uint16_t>(format.Narrowed(high, finite) << 8 | format.Narrowed(low, finite));
  };
  RunValues(machine, level,
            Exact("cvt.rn" + finite.Text() + "." + format.name + ".f32", [=](float a, float b) { return pack(a, b); }));
  RunValues(machine, level, Exact("cvt.rn" + finite.Text() + "." + format.name + ".f16x2", [=](F16x2 a) {
              return pack(a.high().Value(), a.low().Value());
            }));
  ValueCase back = Exact("cvt.rn" + plain.Text() + ".f16x2." + format.name, [=](uint16_t a) {
    return F16x2::Of(ToShort<F16>(format.value_of(a & 0xff), MPFR_RNDN, plain),
                     ToShort<F16>(format.value_of(a >> 8), MPFR_RNDN, plain));
  });
  back.inputs = kEvery;
  RunValues(machine, level, back);
}

// An f32 whose lower fraction bits are zero.
void TestTf32(Machine& machine, int level) {
  using Tf32 = ShortFloat<8, 10>;
  const double highest = Tf32{Tf32::kInfinity - 1}.Value();
  const auto narrowed = [=](float a, mpfr_rnd_t mode, Limits limits) {
    return Tf32::Of(Narrow(kPrecision<Tf32>, highest, static_cast<double>(a), mode, limits)).bits << 13;
  };
  for (const bool finite : {false, true}) {
    for (const RoundingMode& rounding : {kRoundingModes[0], kRoundingModes[1]}) {
      for (const bool relu : {false, true}) {
        const Limits limits{.relu = relu, .finite = finite};
        RunValues(machine, level, Exact(Form(rounding, limits.Text(), "tf32.f32"), [=](float a) {
                    return narrowed(a, rounding.mode, limits);
                  }));
      }
    }
    // To nearest, ties away from zero: half a unit of the last place outwards, then towards zero.
    RunValues(
        machine, level, Exact("cvt.rna" + Limits{.finite = finite}.Text() + ".tf32.f32", [=](float a) -> uint32_t {
          // Of a NaN the upper bits as they are, an infinity if no others are set; one less with .satfinite.
          if (std::isnan(a)) return (static_cast<uint32_t>(ToBits(a)) >> 13 << 13) - (finite ? 1u << 13 : 0);
          const auto half_unit = [](double value) {
            return std::ldexp(1.0, std::max(std::ilogb(value), Tf32::kMinExponent - 1) - Tf32::kDigits);
          };
          const double value = a;
          const bool is_number = std::isfinite(value) && value != 0;
          const double moved = is_number ? value + std::copysign(half_unit(value), value) : value;
          const double cut = RoundedTo(kPrecision<Tf32>, MPFR_RNDZ,
                                       [=](mpfr_ptr r, mpfr_rnd_t mode) { return Set(r, Number::Of(moved), mode); });
          const bool is_past = is_number && std::fabs(moved) >= std::ldexp(1.0, Tf32::kMaxExponent);
          return Tf32::Of(Limits{.finite = finite}.Of(is_past ? std::copysign(HUGE_VAL, a) : cut, highest)).bits << 13;
        }));
  }
}

class ConvertHalfForms : public LevelTest {};

TEST_P(ConvertHalfForms, Integers) {
  Machine machine(level());
  TestIntegers<F16>(machine, level());
  TestIntegers<BF16>(machine, level());
}

TEST_P(ConvertHalfForms, Floats) {
  Machine machine(level());
  TestFormat<F16>(machine, level());
  TestFormat<BF16>(machine, level());
  TestWidening<float, F16>(machine, level(), false, true);
  TestWidening<float, F16>(machine, level(), true, true);
  TestWidening<double, F16>(machine, level(), false, true);
  for (const RoundingMode& rounding : kRoundingModes) {
    const mpfr_rnd_t mode = rounding.mode;
    RunValues(machine, level(), Exact(Form(rounding, "", "f16.bf16"), [=](BF16 a) { return ToShort<F16>(a, mode); }));
    RunValues(machine, level(), Exact(Form(rounding, "", "bf16.f16"), [=](F16 a) { return ToShort<BF16>(a, mode); }));
  }
}

TEST_P(ConvertHalfForms, PackedAndClamped) {
  Machine machine(level());
  TestPacking<F16, F16x2>(machine, level());
  TestPacking<BF16, BF16x2>(machine, level());
}

TEST_P(ConvertHalfForms, EightBits) {
  Machine machine(level());
  for (const EightBits& format : kEightBits) {
    TestEightBits(machine, level(), format, false);
    TestEightBits(machine, level(), format, true);
  }
}

TEST_P(ConvertHalfForms, Tf32) {
  Machine machine(level());
  TestTf32(machine, level());
}

// Integers with more bits than double precision has, at a tie between two halves and just past it.
TEST_P(ConvertHalfForms, LongIntegersNearTies) {
  Machine machine(level());
  constexpr uint64_t kTie = 0x0101000000000000;  // 2^56 and half a unit of bf16's last place
  RunValues(machine, level(),
            Exact(
                "", [](uint64_t a) { return ToShort<BF16>(kTie + (a & 1), MPFR_RNDN); },
                "and.b64 $1, $1, 1; add.u64 $1, $1, 0x0101000000000000; cvt.rn.bf16.u64 $0, $1;"));
  RunValues(machine, level(),
            Exact(
                "", [](uint64_t a) { return ToShort<BF16>(-static_cast<int64_t>(kTie + (a & 1)), MPFR_RNDN); },
                "and.b64 $1, $1, 1; add.u64 $1, $1, 0x0101000000000000; neg.s64 $1, $1; cvt.rn.bf16.s64 $0, $1;"));
}

// Modifiers in another order, and those that mean nothing.
TEST_P(ConvertHalfForms, Synonyms) {
  Machine machine(level());
  const auto run = [&](const std::string& text, auto reference) {
    RunValues(machine, level(), Exact("", reference, "@G " + text));
  };
  const Limits both{.relu = true, .finite = true};
  run("cvt.rz.satfinite.relu.bf16.f32 $0, $1;", [=](float a) { return ToShort<BF16>(a, MPFR_RNDZ, both); });
  run("cvt.rni.sat.s16.f16 $0, $1;",
      [](F16 a) { return static_cast<int16_t>(ToInteger<int16_t>(static_cast<float>(a.Value()), MPFR_RNDN)); });
  run("cvt.rmi.sat.u32.f32 $0, $1;", [](float a) { return ToInteger<uint32_t>(a, MPFR_RNDD); });
  run("cvt.rp.f32.bf16 $0, $1;", [](BF16 a) { return static_cast<float>(a.Value()); });
  run("cvt.rz.ftz.f32.bf16 $0, $1;", [](BF16 a) { return Flushed(static_cast<float>(a.Value())); });
  run("cvt.rn.f64.bf16 $0, $1;", [](BF16 a) { return a.Value(); });
  run("cvt.bf16.f16 $0, $1;", [](F16 a) { return ToShort<BF16>(a, MPFR_RNDN); });
  run("cvt.f16.bf16 $0, $1;", [](BF16 a) { return ToShort<F16>(a, MPFR_RNDN); });
  // By way of a register of eight bits.
  RunValues(
      machine, level(),
      Exact(
          "", [](BF16 a) { return static_cast<int32_t>(ToInteger<int8_t>(static_cast<float>(a.Value()), MPFR_RNDZ)); },
          "{ .reg .b8 %q; cvt.rzi.s8.bf16 %q, $1; cvt.s32.s8 $0, %q; }"));
}

INSTANTIATE_TEST_SUITE_P(Levels, ConvertHalfForms, ::testing::ValuesIn(Levels()), LevelName);

}  // namespace
}  // namespace outboard::softgpu::testing
