#pragma once

#include <cstdint>
#include <memory>

#include "client/session/session.h"
#include "common/wire/rules.h"

namespace outboard::client {

// Whether the driver can still be expected to accept what it would accept of a healthy context. The shim clears it when
// a sticky error was seen; calls then wait for the driver's own answer.
struct Confidence {
  bool healthy = true;
};

// Carries a call out in the worker: the one way in which any call crosses the wire. `certain`: the caller's own proof
// that the driver accepts the call, beside what the rules know; matters for kAsync only: what is not certain waits for
// the driver's answer.
template <wire::Op kOp, wire::Class kClass, bool kChangesQueries, class... Rules>
CUresult Remote(Session& session, Lane& lane, bool certain, typename Rules::Arg... arguments) {
  using Call = wire::Parameters<Rules...>;
  const typename Call::Args args(arguments...);
  if (const CUresult admitted = session.Admit(lane); admitted != CUDA_SUCCESS) return admitted;
  if (!session.Has(kOp)) return CUDA_ERROR_NOT_SUPPORTED;
  const uint64_t bytes = Call::RequestBytes(args);
  if (bytes > kMaxPayloadBytes) return CUDA_ERROR_INVALID_VALUE;

  typename Call::States states{};
  // Not for kQuery: what is kept is found again by the request, so it holds no id.
  CUresult result = Call::Prepare(session.ids(), args, &states);
  if (result != CUDA_SUCCESS) {
    Call::Done(session.ids(), args, states, false);
    return result;
  }

  if constexpr (kClass == wire::Class::kAsync) {
    if (certain && lane.context != 0 && Call::Known(session.ids(), args)) {
      {
        auto encoding = session.Begin(lane, kOp, 0, bytes);
        wire::Writer writer = encoding.body();
        Call::PutRequest(writer, args, states);
      }
      Call::Done(session.ids(), args, states, true);
      if constexpr (kChangesQueries) session.answers().Forget();
      return session.status();
    }
  }

  uint64_t epoch = 0;
  [[maybe_unused]] const bool keeps = !Call::OfThread(args);
  if constexpr (kClass == wire::Class::kQuery) {
    // The answer may depend on the current context.
    lane.request.resize(16 + bytes);
    wire::Writer writer(lane.request.data());
    writer.Put(kOp);
    writer.Put(lane.context);
    Call::PutRequest(writer, args, states);
    if (const auto answer = keeps ? session.answers().Find(lane.request) : nullptr) {
      wire::Reader reader(answer->outputs);
      return Call::GetReply(reader, args) ? CUDA_SUCCESS : CUDA_ERROR_UNKNOWN;
    }
    epoch = session.answers().epoch();
  }

  {
    // What a call sent without waiting met with is told by the next that waits and makes nothing that would be lost.
    const uint16_t flags = wire::kWantsReply | (Call::kMakes ? 0 : wire::kTakesEarlier);
    auto encoding = session.Begin(lane, kOp, flags, bytes);
    wire::Writer writer = encoding.body();
    Call::PutRequest(writer, args, states);
  }
  const Reply& reply = session.Await(lane);
  result = reply.result;
  if (result == CUDA_SUCCESS) {
    wire::Reader reader(reply.outputs);
    if (!Call::GetReply(reader, args)) result = CUDA_ERROR_UNKNOWN;
  }
  Call::Done(session.ids(), args, states, result == CUDA_SUCCESS);
  if constexpr (kChangesQueries) session.answers().Forget();
  if constexpr (kClass == wire::Class::kQuery) {
    if (keeps && result == CUDA_SUCCESS) {
      session.answers().Keep(lane.request, std::make_shared<const Reply>(reply), epoch);
    }
  }
  return result == CUDA_SUCCESS ? reply.earlier : result;
}

}  // namespace outboard::client
