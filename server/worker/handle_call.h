#pragma once

#include <optional>
#include <type_traits>

// The body of worker::Handle. Included by call.h alone.

namespace outboard::worker {

namespace internal {

// A call's way through the gate of the session's slice, while it lives; false when the session is over. `stream` is
// what the call gives work to; nullopt: it waits for its work itself.
class Passage {
 public:
  Passage(Call& call, std::optional<CUstream> stream);
  ~Passage();
  Passage(const Passage&) = delete;
  Passage& operator=(const Passage&) = delete;
  explicit operator bool() const { return has_passed_; }

 private:
  Call& call_;
  const std::optional<CUstream> stream_;
  const bool has_passed_;
};

// The stream among a call's arguments.
template <class... Arguments>
std::optional<CUstream> StreamAmong(const Arguments&... arguments) {
  std::optional<CUstream> stream;
  [[maybe_unused]] const auto look = [&](const auto& argument) {
    if constexpr (std::is_same_v<std::decay_t<decltype(argument)>, CUstream>) stream = argument;
  };
  (look(arguments), ...);
  return stream;
}

// What the stream has to do is known before it is destroyed.
void BeforeEndOf(Call& call, CUstream stream);

}  // namespace internal

template <auto kFunction, bool kSubmits, class... Rules>
void Handle(Call& call) {
  using Parameters = wire::Parameters<Rules...>;
  typename Parameters::Bounds bounds;
  wire::Reader reader(call.body());
  if (!Parameters::Take(reader, &bounds)) return call.Malformed("its arguments do not add up");
  if (const CUresult bound = Parameters::Bind(call, &bounds); bound != CUDA_SUCCESS) return call.Finish(bound);
  if (call.wants_reply()) call.PassTurn();

  const CUresult result = Parameters::Apply(
      [&](auto... arguments) -> CUresult {
        std::optional<internal::Passage> passage;
        if constexpr (kSubmits) {
          if (!passage.emplace(call, internal::StreamAmong(arguments...))) return CUDA_ERROR_DEVICE_UNAVAILABLE;
        }
        if constexpr ((std::is_same_v<Rules, wire::Destroys<CUstream>> || ...)) {
          internal::BeforeEndOf(call, *internal::StreamAmong(arguments...));
        }
        if constexpr (std::is_member_object_pointer_v<decltype(kFunction)>) {
          const auto function = call.driver().*kFunction;
          return function == nullptr ? CUDA_ERROR_NOT_SUPPORTED : function(arguments...);
        } else {
          return kFunction(call, arguments...);
        }
      },
      &bounds);
  if (result != CUDA_SUCCESS) return call.Finish(result);
  if (!Parameters::Commit(call, bounds)) return call.Malformed("it names a new object wrongly");
  call.Finish(result, Parameters::ReplyBytes(bounds),
              [&](wire::Writer& writer) { Parameters::PutReply(writer, bounds, call); });
}

}  // namespace outboard::worker
