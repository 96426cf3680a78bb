#pragma once

// The body of worker::Handle. Included by call.h alone.

namespace outboard::worker {

namespace internal {

// Lets a call pass the gate of the session's slice.
void PassGate(Call& call);

}  // namespace internal

template <auto kFunction, bool kSubmits, class... Rules>
void Handle(Call& call) {
  using Parameters = wire::Parameters<Rules...>;
  typename Parameters::Bounds bounds;
  wire::Reader reader(call.body());
  if (!Parameters::Take(reader, &bounds)) return call.Malformed("its arguments do not add up");
  if (const CUresult bound = Parameters::Bind(call, &bounds); bound != CUDA_SUCCESS) return call.Finish(bound);
  if (call.wants_reply()) call.PassTurn();
  if constexpr (kSubmits) internal::PassGate(call);

  const CUresult result = Parameters::Apply(
      [&](auto... arguments) {
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
