#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include "client/session/ids.h"
#include "common/wire/rules.h"
#include "tests/generated/worker_under_test.h"

// What the application passes for a parameter of each rule, what the driver must see of it and what comes back.
//
// Every sample has
//   SetUp(ids, worker)       the objects that it needs at both ends
//   Argument()               what the application passes
//   Arrived(argument)        the driver's view of it: expects what was passed
//   Write(argument)          the driver's outputs
//   Returned(ids, worker)    expects the outputs of a call that succeeded
//   Untouched(ids, worker)   expects that a call that failed had no effect
// and kIsPointer, with which `null` may be set, and MakeBad, whose errors the worker must find.

namespace outboard::generated {

// A value that differs from place to place.
template <class T>
T Pattern(size_t seed) {
  if constexpr (std::is_enum_v<T>) {
    return static_cast<T>(1 + seed % 2);  // a value of any enumeration
  } else {
    std::array<unsigned char, sizeof(T)> bytes;
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<unsigned char>(seed * 37 + i * 11 + 1);
    T value;
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }
}

template <class T>
void ExpectSameBytes(const T& found, const T& expected) {
  EXPECT_EQ(std::memcmp(&found, &expected, sizeof(T)), 0);
}

// Seeds of what the driver writes, and of what is there before it does.
inline constexpr size_t kWritten = 65, kBefore = 130;

// Something that the worker must refuse without asking the driver.
struct Bad {
  std::string what;
  CUresult expected;
};

struct PlainSample {
  static constexpr bool kIsPointer = false;
  static constexpr bool kMustNotBeNull = false;
  bool null = false;
  void SetUp(client::Ids&, WorkerUnderTest&) {}
  template <class Samples>
  void Join(Samples&) {}
  template <class Argument>
  void Write(Argument) {}
  void Returned(client::Ids&, WorkerUnderTest&) {}
  void Untouched(client::Ids&, WorkerUnderTest&) {}
  // The `number`-th way to be wrong; nullopt past the last.
  std::optional<Bad> MakeBad(int, client::Ids&, WorkerUnderTest&) { return std::nullopt; }
};

template <class Rule, size_t I>
struct Sample;

template <class T, size_t I>
struct Sample<wire::Value<T>, I> : PlainSample {
  T value = Pattern<T>(I);
  T Argument() { return value; }
  void Arrived(T argument) { ExpectSameBytes(argument, value); }
};

template <class T, T kAccepted, size_t I>
struct Sample<wire::Flags<T, kAccepted>, I> : Sample<wire::Value<T>, I> {};

template <size_t I>
struct Sample<wire::Device, I> : PlainSample {
  CUdevice client = 1;
  CUdevice Argument() { return client; }
  void Arrived(CUdevice argument) { EXPECT_EQ(argument, kOrdinals[client]); }
  std::optional<Bad> MakeBad(int number, client::Ids&, WorkerUnderTest&) {
    constexpr CUdevice kNone[] = {-1, std::size(kOrdinals), kOrdinals[0]};
    if (number >= std::ssize(kNone)) return std::nullopt;
    client = kNone[number];
    return Bad{"no device", CUDA_ERROR_INVALID_DEVICE};
  }
};

template <class T, size_t I>
struct Sample<wire::Handle<T>, I> : PlainSample {
  static constexpr wire::HandleKind kKind = wire::kKindOf<T>;
  wire::HandleId id = 0;
  T object = Pattern<T>(I);

  void SetUp(client::Ids& ids, WorkerUnderTest& worker) {
    id = ids.New(kKind);
    ASSERT_TRUE(worker.handles().Add(kKind, id, object));
  }
  T Argument() { return reinterpret_cast<T>(id); }
  void Arrived(T argument) { EXPECT_EQ(argument, object); }
  void Returned(client::Ids& ids, WorkerUnderTest& worker) { ExpectLive(ids, worker); }
  void Untouched(client::Ids& ids, WorkerUnderTest& worker) { ExpectLive(ids, worker); }

  std::optional<Bad> MakeBad(int number, client::Ids& ids, WorkerUnderTest& worker) {
    constexpr CUresult kExpected = kKind == wire::HandleKind::kContext        ? CUDA_ERROR_INVALID_CONTEXT
                                   : kKind == wire::HandleKind::kGreenContext ? CUDA_ERROR_INVALID_CONTEXT
                                   : kKind == wire::HandleKind::kPool         ? CUDA_ERROR_INVALID_VALUE
                                                                              : CUDA_ERROR_INVALID_HANDLE;
    constexpr auto kOther = kKind == wire::HandleKind::kEvent ? wire::HandleKind::kStream : wire::HandleKind::kEvent;
    switch (number) {
      case 0:
        worker.handles().Remove(id);
        return Bad{"a stale handle", kExpected};
      case 1:
        id = ids.New(kKind);
        return Bad{"an unknown handle", kExpected};
      case 2:
        id = ids.New(kOther);
        EXPECT_TRUE(worker.handles().Add(kOther, id, object));
        return Bad{"a handle of another kind", kExpected};
      case 3:
        id = reinterpret_cast<wire::HandleId>(object);
        return Bad{"no handle", kExpected};
      default:
        return std::nullopt;
    }
  }

 protected:
  void ExpectLive(client::Ids& ids, WorkerUnderTest& worker) {
    EXPECT_TRUE(ids.IsLive(kKind, id));
    EXPECT_EQ(worker.handles().Find(kKind, id), object);
  }
};

template <class T, size_t I>
struct Sample<wire::Destroys<T>, I> : Sample<wire::Handle<T>, I> {
  void Returned(client::Ids& ids, WorkerUnderTest& worker) {
    EXPECT_FALSE(ids.IsLive(this->kKind, this->id));
    EXPECT_EQ(worker.handles().Find(this->kKind, this->id), std::nullopt);
  }
};

template <class T, size_t I>
struct Sample<wire::Creates<T>, I> : PlainSample {
  static constexpr bool kIsPointer = true;
  static constexpr bool kMustNotBeNull = true;  // refused by the client: there would be nowhere to put the handle
  static constexpr wire::HandleKind kKind = wire::kKindOf<T>;
  T made = nullptr;
  T* Argument() { return null ? nullptr : &made; }
  void Arrived(T* argument) { ASSERT_NE(argument, nullptr); }
  void Write(T* argument) { *argument = Pattern<T>(I); }
  void Returned(client::Ids& ids, WorkerUnderTest& worker) {
    const auto id = reinterpret_cast<wire::HandleId>(made);
    EXPECT_TRUE(ids.IsLive(kKind, id));
    EXPECT_EQ(worker.handles().Find(kKind, id), Pattern<T>(I));
  }
  void Untouched(client::Ids&, WorkerUnderTest& worker) {
    EXPECT_EQ(made, nullptr);
    EXPECT_EQ(worker.handles().HandleOf(kKind, Pattern<T>(I)), 0);
  }
};

template <class T, size_t I>
struct Sample<wire::In<T>, I> : PlainSample {
  static constexpr bool kIsPointer = true;
  T value = Pattern<T>(I);
  const T* Argument() { return null ? nullptr : &value; }
  void Arrived(const T* argument) {
    ASSERT_EQ(argument == nullptr, null);
    if (argument != nullptr) ExpectSameBytes(*argument, value);
  }
};

template <class T, size_t I>
struct Sample<wire::Out<T>, I> : PlainSample {
  static constexpr bool kIsPointer = true;
  T value = Pattern<T>(I + kBefore);
  T* Argument() { return null ? nullptr : &value; }
  void Arrived(T* argument) { EXPECT_EQ(argument == nullptr, null); }
  void Write(T* argument) {
    if (argument != nullptr) *argument = Pattern<T>(I + kWritten);
  }
  void Returned(client::Ids&, WorkerUnderTest&) { ExpectSameBytes(value, Pattern<T>(I + (null ? kBefore : kWritten))); }
  void Untouched(client::Ids&, WorkerUnderTest&) { ExpectSameBytes(value, Pattern<T>(I + kBefore)); }
};

template <class T, size_t I>
struct Sample<wire::InOut<T>, I> : Sample<wire::Out<T>, I> {
  void Arrived(T* argument) {
    ASSERT_EQ(argument == nullptr, this->null);
    if (argument != nullptr) ExpectSameBytes(*argument, Pattern<T>(I + kBefore));
  }
};

template <size_t I>
struct Sample<wire::OutDevice, I> : PlainSample {
  static constexpr bool kIsPointer = true;
  CUdevice device = -2;
  CUdevice* Argument() { return null ? nullptr : &device; }
  void Arrived(CUdevice* argument) { EXPECT_EQ(argument == nullptr, null); }
  void Write(CUdevice* argument) {
    if (argument != nullptr) *argument = kOrdinals[1];
  }
  void Returned(client::Ids&, WorkerUnderTest&) { EXPECT_EQ(device, null ? -2 : 1); }
  void Untouched(client::Ids&, WorkerUnderTest&) { EXPECT_EQ(device, -2); }
};

template <size_t I>
struct Sample<wire::CString, I> : PlainSample {
  static constexpr bool kIsPointer = true;
  std::string text = "\xc3\xa9t\xc3\xa9 " + std::to_string(I);
  const char* Argument() { return null ? nullptr : text.c_str(); }
  void Arrived(const char* argument) {
    ASSERT_EQ(argument == nullptr, null);
    if (argument != nullptr) {
      EXPECT_EQ(argument, text);
    }
  }
};

// Arrays of so many elements: odd, so that they end within a word.
inline constexpr int kElements = 3;
template <class T>
using Array = std::array<std::conditional_t<std::is_void_v<T>, std::byte, T>, kElements>;

template <class T, size_t kCount, size_t I>
struct Sample<wire::InArray<T, kCount>, I> : PlainSample {
  static constexpr bool kIsPointer = true;
  Array<T> values = Pattern<Array<T>>(I);
  template <class Samples>
  void Join(Samples& samples) {
    auto& count = std::get<kCount>(samples).value;
    count = static_cast<std::remove_reference_t<decltype(count)>>(kElements);
  }
  const T* Argument() { return null ? nullptr : values.data(); }
  void Arrived(const T* argument) {
    ASSERT_EQ(argument == nullptr, null);
    if (argument != nullptr) {
      EXPECT_EQ(std::memcmp(argument, &values, sizeof values), 0);
    }
  }
};

template <class T, size_t kCount, size_t I>
struct Sample<wire::OutArray<T, kCount>, I> : PlainSample {
  static constexpr bool kIsPointer = true;
  Array<T> values = Pattern<Array<T>>(I + kBefore);
  template <class Samples>
  void Join(Samples& samples) {
    auto& count = std::get<kCount>(samples).value;
    count = static_cast<std::remove_reference_t<decltype(count)>>(kElements);
  }
  T* Argument() { return null ? nullptr : values.data(); }
  void Arrived(T* argument) { EXPECT_EQ(argument == nullptr, null); }
  void Write(T* argument) {
    const auto written = Pattern<Array<T>>(I + kWritten);
    if (argument != nullptr) std::memcpy(argument, &written, sizeof written);
  }
  void Returned(client::Ids&, WorkerUnderTest&) {
    ExpectSameBytes(values, Pattern<Array<T>>(I + (null ? kBefore : kWritten)));
  }
  void Untouched(client::Ids&, WorkerUnderTest&) { ExpectSameBytes(values, Pattern<Array<T>>(I + kBefore)); }
};

// What the driver does with a call: looks at its arguments and, when it is to succeed, writes its outputs.
template <class... Samples, class... Arguments>
CUresult Drive(std::tuple<Samples...>& samples, CUresult result, Arguments... arguments) {
  [&]<size_t... I>(std::index_sequence<I...>) {
    (std::get<I>(samples).Arrived(arguments), ...);
    if (result == CUDA_SUCCESS) (std::get<I>(samples).Write(arguments), ...);
  }
  (std::index_sequence_for<Samples...>());
  return result;
}

}  // namespace outboard::generated
