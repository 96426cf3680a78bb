#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <utility>

#include "common/base/limits.h"
#include "common/wire/binder.h"
#include "common/wire/codec.h"
#include "common/wire/handle.h"

// How each kind of parameter travels. A call of the driver is a list of these rules, one per parameter in its order;
// the generator only names them, everything they mean is here.
//
// A request is the fixed parts of all parameters, then the tails of those that have one (strings, arrays). A length is
// said once: an array's is the parameter that counts it, so a peer cannot contradict itself. A reply holds the outputs
// of the parameters that have one, and only when the call succeeded. Null pointers travel as such: it is the driver
// that says what they are worth.
//
// Every rule has
//   Arg                    the parameter's C type
//   State                  what the client keeps between request and reply
//   kMakes                 whether the output is something that would be lost if the caller were not told of it
//   Bound                  what the worker keeps from decoding to the reply
// and, for the client,
//   Known(ids, arg)        whether the driver will accept this argument for sure, so that the call need not wait
//   OfThread(arg)          whether it means another thing on each thread, so that an answer is good for this one alone
//   Prepare(ids, arg, &state)
//   Fixed / PutFixed, Tail / PutTail, GetReply, Done(ids, state, succeeded)
// and for the worker
//   TakeFixed, TakeTail, Bind, Pass, ReplyBytes / PutReply, Commit.
// `I` is the parameter's place; functions that have it may look at the other parameters.

namespace outboard::wire {

struct Nothing {};

// What travels as it lies in memory. A pointer means nothing at the other end.
template <class T>
concept Flat = std::is_void_v<T> ||(std::is_trivially_copyable_v<T> && !std::is_pointer_v<T>);

// What most rules have in common: no tail, no reply, nothing to prepare or to commit.
template <class A>
struct Plain {
  using Arg = A;
  using State = Nothing;
  static constexpr bool kMakes = false;
  template <class Ids>
  static bool Known(Ids&, const Arg&) {
    return true;
  }
  static bool OfThread(const Arg&) { return false; }
  template <class Ids>
  static CUresult Prepare(Ids&, const Arg&, State&) {
    return CUDA_SUCCESS;
  }
  template <size_t I, class Args>
  static uint64_t Tail(const Args&) {
    return 0;
  }
  template <size_t I, class Args>
  static void PutTail(Writer&, const Args&) {}
  template <size_t I, class Args>
  static bool GetReply(Reader&, const Args&) {
    return true;
  }
  template <class Ids>
  static void Done(Ids&, const Arg&, const State&, bool) {}

  template <size_t I, class Bounds>
  static bool TakeTail(Reader&, Bounds&) {
    return true;
  }
  template <size_t I, class Bounds>
  static CUresult Bind(Binder&, Bounds&) {
    return CUDA_SUCCESS;
  }
  template <class Bound>
  static size_t ReplyBytes(const Bound&) {
    return 0;
  }
  template <class Bound>
  static void PutReply(Writer&, const Bound&, Binder&) {}
  template <class Bound>
  static bool Commit(Binder&, const Bound&) {
    return true;
  }
};

// A number, an enumeration or a flat struct by value.
template <Flat T>
struct Value : Plain<T> {
  struct Bound {
    T value{};
  };
  static constexpr size_t kFixed = Padded(sizeof(T));
  static void PutFixed(Writer& writer, const T& arg, const Nothing&) { writer.Put(arg); }
  static bool TakeFixed(Reader& reader, Bound& bound) { return reader.Get(&bound.value); }
  // What came may be none of an enumeration's values: that is for the driver to find.
  __attribute__((no_sanitize("enum"))) static T Pass(Bound& bound) { return bound.value; }
};

// Flags of which the driver takes those in kAccepted for sure. Others make the call wait for its answer.
template <class T, T kAccepted>
struct Flags : Value<T> {
  template <class Ids>
  static bool Known(Ids&, const T& arg) {
    return (arg & ~kAccepted) == 0;
  }
};

// A device, by the client's ordinal.
struct Device : Plain<CUdevice> {
  struct Bound {
    CUdevice client = 0, driver = 0;
  };
  static constexpr size_t kFixed = 8;
  static void PutFixed(Writer& writer, CUdevice arg, const Nothing&) { writer.Put(arg); }
  static bool TakeFixed(Reader& reader, Bound& bound) { return reader.Get(&bound.client); }
  template <size_t I, class Bounds>
  static CUresult Bind(Binder& binder, Bounds& bounds) {
    Bound& bound = std::get<I>(bounds);
    return binder.FindDevice(bound.client, &bound.driver);
  }
  static CUdevice Pass(Bound& bound) { return bound.driver; }
};

// An object of the driver.
template <class T>
struct Handle : Plain<T> {
  struct Bound {
    HandleId id = 0;
    void* object = nullptr;
  };
  static constexpr size_t kFixed = 8;
  template <class Ids>
  static bool Known(Ids& ids, const T& arg) {
    return ids.IsLive(kKindOf<T>, HandleCast<HandleId>(arg));
  }
  static bool OfThread(const T& arg) {
    if constexpr (std::is_same_v<T, CUstream>) return arg == CU_STREAM_PER_THREAD;
    return false;
  }
  static void PutFixed(Writer& writer, const T& arg, const Nothing&) { writer.Put(HandleCast<HandleId>(arg)); }
  static bool TakeFixed(Reader& reader, Bound& bound) { return reader.Get(&bound.id); }
  template <size_t I, class Bounds>
  static CUresult Bind(Binder& binder, Bounds& bounds) {
    auto& bound = std::get<I>(bounds);
    return binder.Find(kKindOf<T>, bound.id, &bound.object);
  }
  static T Pass(Bound& bound) { return HandleCast<T>(bound.object); }
};

// The same, and the object is gone when the call succeeds.
template <class T>
struct Destroys : Handle<T> {
  template <class Ids>
  static void Done(Ids& ids, const T& arg, const Nothing&, bool succeeded) {
    if (succeeded) ids.Release(HandleCast<HandleId>(arg));
  }
  static bool Commit(Binder& binder, const typename Handle<T>::Bound& bound) {
    binder.Remove(bound.id);
    return true;
  }
};

// A new object, whose handle the client chooses before it asks.
template <class T>
struct Creates : Plain<T*> {
  using State = HandleId;
  static constexpr bool kMakes = true;
  struct Bound {
    HandleId id = 0;
    T object{};
  };
  static constexpr size_t kFixed = 8;
  template <class Ids>
  static CUresult Prepare(Ids& ids, T* const& arg, State& state) {
    if (arg == nullptr) return CUDA_ERROR_INVALID_VALUE;
    state = ids.New(kKindOf<T>);
    return state == 0 ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
  }
  static void PutFixed(Writer& writer, T* const&, const State& state) { writer.Put(state); }
  template <class Ids>
  static void Done(Ids& ids, T* const& arg, const State& state, bool succeeded) {
    if (succeeded) {
      *arg = HandleCast<T>(state);
    } else if (state != 0) {
      ids.Release(state);
    }
  }
  static bool TakeFixed(Reader& reader, Bound& bound) { return reader.Get(&bound.id); }
  static T* Pass(Bound& bound) { return &bound.object; }
  static bool Commit(Binder& binder, const Bound& bound) {
    return binder.Add(kKindOf<T>, bound.id, HandleCast<void*>(bound.object));
  }
};

// A pointer to one value that the call reads.
template <Flat T>
struct In : Plain<const T*> {
  struct Bound {
    uint64_t present = 0;
    T value{};
  };
  static constexpr size_t kFixed = 8 + Padded(sizeof(T));
  static void PutFixed(Writer& writer, const T* const& arg, const Nothing&) {
    writer.Put(uint64_t{arg != nullptr});
    writer.Put(arg == nullptr ? T{} : *arg);
  }
  static bool TakeFixed(Reader& reader, Bound& bound) {
    return reader.Get(&bound.present) && reader.Get(&bound.value) && bound.present <= 1;
  }
  static const T* Pass(Bound& bound) { return bound.present ? &bound.value : nullptr; }
};

// A pointer to one value that the call writes.
template <Flat T>
struct Out : Plain<T*> {
  static constexpr bool kMakes = std::is_same_v<T, CUdeviceptr>;  // memory
  struct Bound {
    uint64_t present = 0;
    T value{};
  };
  static constexpr size_t kFixed = 8;
  static void PutFixed(Writer& writer, T* const& arg, const Nothing&) { writer.Put(uint64_t{arg != nullptr}); }
  template <size_t I, class Args>
  static bool GetReply(Reader& reader, const Args& args) {
    T* const to = std::get<I>(args);
    return to == nullptr || reader.Get(to);
  }
  static bool TakeFixed(Reader& reader, Bound& bound) { return reader.Get(&bound.present) && bound.present <= 1; }
  static T* Pass(Bound& bound) { return bound.present ? &bound.value : nullptr; }
  static size_t ReplyBytes(const Bound& bound) { return bound.present ? Padded(sizeof(T)) : 0; }
  static void PutReply(Writer& writer, const Bound& bound, Binder&) {
    if (bound.present) writer.Put(bound.value);
  }
};

// A pointer to one value that the call reads and writes.
template <Flat T>
struct InOut : Out<T> {
  static constexpr size_t kFixed = 8 + Padded(sizeof(T));
  static void PutFixed(Writer& writer, T* const& arg, const Nothing&) {
    writer.Put(uint64_t{arg != nullptr});
    writer.Put(arg == nullptr ? T{} : *arg);
  }
  static bool TakeFixed(Reader& reader, typename Out<T>::Bound& bound) {
    return reader.Get(&bound.present) && reader.Get(&bound.value) && bound.present <= 1;
  }
};

// A pointer to a device that the call writes.
struct OutDevice : Out<CUdevice> {
  static void PutReply(Writer& writer, const Bound& bound, Binder& binder) {
    if (bound.present) writer.Put(binder.ClientDevice(bound.value));
  }
};

// A string that ends with NUL.
struct CString : Plain<const char*> {
  struct Bound {
    uint64_t size = 0;  // with its NUL; 0 for null
    const char* text = nullptr;
  };
  static constexpr size_t kFixed = 8;
  static uint64_t Size(const char* text) { return text == nullptr ? 0 : std::strlen(text) + 1; }
  static void PutFixed(Writer& writer, const char* const& arg, const Nothing&) { writer.Put(Size(arg)); }
  template <size_t I, class Args>
  static uint64_t Tail(const Args& args) {
    return Padded(Size(std::get<I>(args)));
  }
  template <size_t I, class Args>
  static void PutTail(Writer& writer, const Args& args) {
    writer.PutBytes(std::get<I>(args), Size(std::get<I>(args)));
  }
  static bool TakeFixed(Reader& reader, Bound& bound) { return reader.Get(&bound.size); }
  template <size_t I, class Bounds>
  static bool TakeTail(Reader& reader, Bounds& bounds) {
    Bound& bound = std::get<I>(bounds);
    if (bound.size == 0) return true;
    const std::byte* text = bound.size > kMaxPayloadBytes ? nullptr : reader.Take(bound.size);
    if (text == nullptr || text[bound.size - 1] != std::byte{0}) return false;
    bound.text = reinterpret_cast<const char*>(text);
    return true;
  }
  static const char* Pass(Bound& bound) { return bound.text; }
};

template <class T>
inline constexpr size_t kElementBytes = sizeof(T);
template <>
inline constexpr size_t kElementBytes<void> = 1;

// Bytes of an array whose number of elements is `count`, or ~0 when that is more than may travel. A negative count is
// an empty array: the driver sees the count itself and says what it thinks.
template <class T, class Count>
constexpr uint64_t ArrayBytes(Count count) {
  if constexpr (std::is_signed_v<Count>) {
    if (count < 0) return 0;
  }
  const uint64_t elements = static_cast<uint64_t>(count);
  return elements > kMaxPayloadBytes / kElementBytes<T> ? ~uint64_t{0} : elements * kElementBytes<T>;
}

// An array that the call reads. Parameter kCount is the number of its elements (bytes for void).
template <Flat T, size_t kCount>
struct InArray : Plain<const T*> {
  struct Bound {
    uint64_t present = 0;
    const T* data = nullptr;
  };
  static constexpr size_t kFixed = 8;
  static void PutFixed(Writer& writer, const T* const& arg, const Nothing&) { writer.Put(uint64_t{arg != nullptr}); }
  template <size_t I, class Args>
  static uint64_t Tail(const Args& args) {
    const uint64_t bytes = std::get<I>(args) == nullptr ? 0 : ArrayBytes<T>(std::get<kCount>(args));
    return bytes > kMaxPayloadBytes ? bytes : Padded(bytes);
  }
  template <size_t I, class Args>
  static void PutTail(Writer& writer, const Args& args) {
    if (std::get<I>(args) != nullptr) writer.PutBytes(std::get<I>(args), ArrayBytes<T>(std::get<kCount>(args)));
  }
  static bool TakeFixed(Reader& reader, Bound& bound) { return reader.Get(&bound.present) && bound.present <= 1; }
  template <size_t I, class Bounds>
  static bool TakeTail(Reader& reader, Bounds& bounds) {
    auto& bound = std::get<I>(bounds);
    if (!bound.present) return true;
    const uint64_t bytes = ArrayBytes<T>(std::get<kCount>(bounds).value);
    if (bytes > kMaxPayloadBytes) return false;
    const std::byte* data = reader.Take(bytes);
    bound.data = reinterpret_cast<const T*>(data);
    return data != nullptr;
  }
  static const T* Pass(Bound& bound) { return bound.data; }
};

// An array that the call writes. Parameter kCount is the number of its elements (bytes for void); all of it travels
// back.
template <Flat T, size_t kCount>
struct OutArray : Plain<T*> {
  struct Bound {
    uint64_t present = 0;
    uint64_t bytes = 0;
    std::byte* data = nullptr;
  };
  static constexpr size_t kFixed = 8;
  static void PutFixed(Writer& writer, T* const& arg, const Nothing&) { writer.Put(uint64_t{arg != nullptr}); }
  template <size_t I, class Args>
  static uint64_t Tail(const Args& args) {
    // Nothing is sent; but what could not come back is refused before it is asked for.
    const bool too_much = std::get<I>(args) != nullptr && ArrayBytes<T>(std::get<kCount>(args)) > kMaxPayloadBytes;
    return too_much ? ~uint64_t{0} : 0;
  }
  template <size_t I, class Args>
  static bool GetReply(Reader& reader, const Args& args) {
    T* const to = std::get<I>(args);
    if (to == nullptr) return true;
    const uint64_t bytes = ArrayBytes<T>(std::get<kCount>(args));
    if (bytes == 0) return true;
    const std::byte* from = reader.Take(bytes);
    if (from == nullptr) return false;
    std::memcpy(to, from, bytes);
    return true;
  }
  static bool TakeFixed(Reader& reader, Bound& bound) { return reader.Get(&bound.present) && bound.present <= 1; }
  template <size_t I, class Bounds>
  static bool TakeTail(Reader&, Bounds& bounds) {
    auto& bound = std::get<I>(bounds);
    bound.bytes = bound.present ? ArrayBytes<T>(std::get<kCount>(bounds).value) : 0;
    return bound.bytes <= kMaxPayloadBytes;
  }
  template <size_t I, class Bounds>
  static CUresult Bind(Binder& binder, Bounds& bounds) {
    auto& bound = std::get<I>(bounds);
    if (bound.present) bound.data = binder.Allocate(bound.bytes);
    return bound.present && bound.data == nullptr ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
  }
  static T* Pass(Bound& bound) { return reinterpret_cast<T*>(bound.data); }
  static size_t ReplyBytes(const Bound& bound) { return Padded(bound.bytes); }
  static void PutReply(Writer& writer, const Bound& bound, Binder&) { writer.PutBytes(bound.data, bound.bytes); }
};

// All parameters of one call together.
template <class... Rules>
class Parameters {
  using Indices = std::index_sequence_for<Rules...>;

 public:
  static constexpr bool kMakes = (false || ... || Rules::kMakes);
  using Args = std::tuple<typename Rules::Arg...>;
  using States = std::tuple<typename Rules::State...>;
  using Bounds = std::tuple<typename Rules::Bound...>;

  // Client.
  template <class Ids>
  static bool Known(Ids& ids, const Args& args) {
    return [&]<size_t... I>(std::index_sequence<I...>) { return (Rules::Known(ids, std::get<I>(args)) && ...); }
    (Indices());
  }
  static bool OfThread(const Args& args) {
    return [&]<size_t... I>(std::index_sequence<I...>) { return (Rules::OfThread(std::get<I>(args)) || ...); }
    (Indices());
  }
  template <class Ids>
  static CUresult Prepare(Ids& ids, const Args& args, States* states) {
    CUresult result = CUDA_SUCCESS;
    [&]<size_t... I>(std::index_sequence<I...>) {
      static_cast<void>(
          (((result = Rules::Prepare(ids, std::get<I>(args), std::get<I>(*states))) == CUDA_SUCCESS) && ...));
    }
    (Indices());
    return result;
  }
  // Bytes of the request; more than kMaxPayloadBytes + kFixed when an array is too large to travel.
  static uint64_t RequestBytes(const Args& args) {
    return [&]<size_t... I>(std::index_sequence<I...>) {
      uint64_t tails = 0;
      bool fits = true;
      static_cast<void>(((fits = fits && Rules::template Tail<I>(args) <= kMaxPayloadBytes,
                          tails += fits ? Rules::template Tail<I>(args) : 0),
                         ...));
      return fits ? tails + (uint64_t{0} + ... + Rules::kFixed) : ~uint64_t{0};
    }
    (Indices());
  }
  static void PutRequest(Writer& writer, const Args& args, const States& states) {
    [&]<size_t... I>(std::index_sequence<I...>) {
      (Rules::PutFixed(writer, std::get<I>(args), std::get<I>(states)), ...);
      (Rules::template PutTail<I>(writer, args), ...);
    }
    (Indices());
  }
  // Writes the outputs. False when the reply is malformed.
  static bool GetReply(Reader& reader, const Args& args) {
    const bool all = [&]<size_t... I>(std::index_sequence<I...>) {
      return (Rules::template GetReply<I>(reader, args) && ...);
    }
    (Indices());
    return all && reader.AtEnd();
  }
  template <class Ids>
  static void Done(Ids& ids, const Args& args, const States& states, bool succeeded) {
    [&]<size_t... I>(std::index_sequence<I...>) {
      (Rules::Done(ids, std::get<I>(args), std::get<I>(states), succeeded), ...);
    }
    (Indices());
  }

  // Worker. False when the request is malformed; nothing of it may be carried out then.
  static bool Take(Reader& reader, Bounds* bounds) {
    const bool all = [&]<size_t... I>(std::index_sequence<I...>) {
      return (Rules::TakeFixed(reader, std::get<I>(*bounds)) && ...) &&
             (Rules::template TakeTail<I>(reader, *bounds) && ...);
    }
    (Indices());
    return all && reader.AtEnd();
  }
  static CUresult Bind(Binder& binder, Bounds* bounds) {
    CUresult result = CUDA_SUCCESS;
    [&]<size_t... I>(std::index_sequence<I...>) {
      static_cast<void>((((result = Rules::template Bind<I>(binder, *bounds)) == CUDA_SUCCESS) && ...));
    }
    (Indices());
    return result;
  }
  // Calls function(arguments...).
  template <class Function>
  static CUresult Apply(Function function, Bounds* bounds) {
    return [&]<size_t... I>(std::index_sequence<I...>) { return function(Rules::Pass(std::get<I>(*bounds))...); }
    (Indices());
  }
  // After success. False when the client's choice of an id was malformed.
  static bool Commit(Binder& binder, const Bounds& bounds) {
    return [&]<size_t... I>(std::index_sequence<I...>) { return (Rules::Commit(binder, std::get<I>(bounds)) && ...); }
    (Indices());
  }
  static size_t ReplyBytes(const Bounds& bounds) {
    return [&]<size_t... I>(std::index_sequence<I...>) {
      return (size_t{0} + ... + Rules::ReplyBytes(std::get<I>(bounds)));
    }
    (Indices());
  }
  static void PutReply(Writer& writer, const Bounds& bounds, Binder& binder) {
    [&]<size_t... I>(std::index_sequence<I...>) { (Rules::PutReply(writer, std::get<I>(bounds), binder), ...); }
    (Indices());
  }
};

}  // namespace outboard::wire
