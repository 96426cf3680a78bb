#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <span>
#include <stdexcept>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "client/session/ids.h"
#include "common/wire/codec.h"
#include "common/wire/op.h"
#include "common/wire/rules.h"
#include "server/driver/driver_table.h"
#include "tests/generated/samples.h"
#include "tests/generated/worker_under_test.h"

// The test that every regular call gets: from the client's encoder through a worker's session to a driver that looks at
// what arrives, and back. The generated part only registers it, once per entry of the spec.

namespace outboard::generated {

// A driver that has one call beside contexts; on a thread that has a current context it runs a function of the test's.
// (The worker's own threads, which never have one here, make calls too.) Thread-compatible; one per call at a time.
template <auto kMember>
class OneCallDriver;

template <class... Arguments, CUresult (*driver::DriverTable::*kMember)(Arguments...)>
class OneCallDriver<kMember> {
 public:
  enum class Has { kCall, kNothing };  // kNothing: the driver lacks even this one
  OneCallDriver(std::function<CUresult(Arguments...)> run, Has has) : table_(DriverOfContexts()) {
    run_ = std::move(run);
    if (has == Has::kNothing) return;
    table_.*kMember = [](Arguments... arguments) { return HasCurrentContext() ? run_(arguments...) : CUDA_SUCCESS; };
  }
  const driver::DriverTable* table() const { return &table_; }

 private:
  inline static std::function<CUresult(Arguments...)> run_;
  driver::DriverTable table_;
};

inline wire::Op FindOpByName(std::string_view name) {
  for (const wire::OpInfo& info : wire::Ops()) {
    if (name == info.name) return info.op;
  }
  throw std::invalid_argument("no such operation");
}

template <auto kMember, class... Rules>
class CallTest : public testing::Test {
 public:
  explicit CallTest(const char* name) : op_(FindOpByName(name)) {}

 private:
  using Parameters = wire::Parameters<Rules...>;
  using Indices = std::index_sequence_for<Rules...>;
  template <class>
  struct SamplesOf;
  template <size_t... I>
  struct SamplesOf<std::index_sequence<I...>> {
    using Type = std::tuple<Sample<Rules, I>...>;
  };
  using Samples = typename SamplesOf<Indices>::Type;

  // One call: the application's side of it, the worker, the driver, and what became of it.
  struct Exchange {
    using Has = typename OneCallDriver<kMember>::Has;
    explicit Exchange(Has has = Has::kCall)
        : driver([this](auto... arguments) { return Run(arguments...); }, has), worker(driver.table()) {
      EachSample([this](auto& sample) { sample.SetUp(ids, worker); });
      EachSample([this](auto& sample) { sample.Join(samples); });
    }

    template <class Visit>
    void EachSample(Visit visit) {
      std::apply([&](auto&... sample) { (visit(sample), ...); }, samples);
    }

    CUresult Run(typename Rules::Arg... arguments) {
      arrived = true;
      return Drive(samples, driver_result, arguments...);
    }

    // What the client does before it sends; false when it refuses by itself.
    bool Encode() {
      args.emplace(
          std::apply([](auto&... sample) { return typename Parameters::Args(sample.Argument()...); }, samples));
      client_result = Parameters::Prepare(ids, *args, &states);
      if (client_result != CUDA_SUCCESS) {
        Parameters::Done(ids, *args, states, false);
        return false;
      }
      request.resize(Parameters::RequestBytes(*args));
      wire::Writer writer(request.data());
      Parameters::PutRequest(writer, *args, states);
      EXPECT_EQ(writer.at(), request.data() + request.size()) << "RequestBytes and PutRequest differ";
      return true;
    }

    // The whole call, as the application sees it.
    void Make(wire::Op op) {
      ASSERT_TRUE(Encode());
      const std::optional<WorkerUnderTest::Reply> reply = worker.Send(op, request);
      ASSERT_TRUE(reply.has_value()) << "the worker ends the session";
      client_result = reply->result;
      wire::Reader reader(reply->outputs);
      if (client_result == CUDA_SUCCESS) {
        EXPECT_TRUE(Parameters::GetReply(reader, *args)) << "malformed reply";
      } else {
        EXPECT_TRUE(reader.AtEnd()) << "a call that failed has outputs";
      }
      Parameters::Done(ids, *args, states, client_result == CUDA_SUCCESS);
    }

    void ExpectReturned() {
      EachSample([this](auto& sample) { sample.Returned(ids, worker); });
    }
    void ExpectUntouched() {
      EachSample([this](auto& sample) { sample.Untouched(ids, worker); });
    }

    client::Ids ids;
    Samples samples;
    CUresult driver_result = CUDA_SUCCESS;
    bool arrived = false;
    OneCallDriver<kMember> driver;
    WorkerUnderTest worker;

    std::optional<typename Parameters::Args> args;
    typename Parameters::States states{};
    std::vector<std::byte> request;
    CUresult client_result = CUDA_SUCCESS;
  };

  void TestBody() override {
    ArgumentsArriveAndOutputsReturn();
    ErrorsOfTheDriverReturn();
    CallsThatTheDriverLacksAreNotSupported();
    EachParameter([this]<size_t I>() { NullPointersArriveAsSuch<I>(); });
    EachParameter([this]<size_t I>() { BadArgumentsAreRefused<I>(); });
    RequestsOfAnotherLengthAreMalformed();
  }

  template <class Visit>
  static void EachParameter(Visit visit) {
    [&]<size_t... I>(std::index_sequence<I...>) { (visit.template operator()<I>(), ...); }
    (Indices());
  }

  void ArgumentsArriveAndOutputsReturn() {
    SCOPED_TRACE("a call that succeeds");
    Exchange exchange;
    exchange.Make(op_);
    EXPECT_TRUE(exchange.arrived);
    EXPECT_EQ(exchange.client_result, CUDA_SUCCESS);
    exchange.ExpectReturned();
  }

  void ErrorsOfTheDriverReturn() {
    SCOPED_TRACE("a call that the driver refuses");
    Exchange exchange;
    exchange.driver_result = CUDA_ERROR_ILLEGAL_STATE;
    exchange.Make(op_);
    EXPECT_TRUE(exchange.arrived);
    EXPECT_EQ(exchange.client_result, CUDA_ERROR_ILLEGAL_STATE);
    exchange.ExpectUntouched();
  }

  void CallsThatTheDriverLacksAreNotSupported() {
    SCOPED_TRACE("a call that the driver does not have");
    Exchange exchange(Exchange::Has::kNothing);
    exchange.Make(op_);
    EXPECT_EQ(exchange.client_result, CUDA_ERROR_NOT_SUPPORTED);
    exchange.ExpectUntouched();
  }

  template <size_t I>
  void NullPointersArriveAsSuch() {
    if constexpr (std::tuple_element_t<I, Samples>::kIsPointer) {
      SCOPED_TRACE(testing::Message() << "parameter " << I << " is null");
      Exchange exchange;
      std::get<I>(exchange.samples).null = true;
      if constexpr (std::tuple_element_t<I, Samples>::kMustNotBeNull) {
        EXPECT_FALSE(exchange.Encode());
        EXPECT_EQ(exchange.client_result, CUDA_ERROR_INVALID_VALUE);
        exchange.ExpectUntouched();
      } else {
        exchange.Make(op_);
        EXPECT_TRUE(exchange.arrived);
        EXPECT_EQ(exchange.client_result, CUDA_SUCCESS);
        exchange.ExpectReturned();
      }
    }
  }

  template <size_t I>
  void BadArgumentsAreRefused() {
    for (int number = 0;; ++number) {
      Exchange exchange;
      const std::optional<Bad> bad = std::get<I>(exchange.samples).MakeBad(number, exchange.ids, exchange.worker);
      if (!bad.has_value()) return;
      SCOPED_TRACE(testing::Message() << "parameter " << I << " is " << bad->what << ", case " << number);
      exchange.Make(op_);
      EXPECT_FALSE(exchange.arrived) << "the driver is asked";
      EXPECT_EQ(exchange.client_result, bad->expected);
    }
  }

  void RequestsOfAnotherLengthAreMalformed() {
    Exchange first;
    ASSERT_TRUE(first.Encode());
    for (size_t size = 0; size < first.request.size(); ++size) {
      typename Parameters::Bounds bounds;
      wire::Reader reader(std::span(first.request).first(size));
      EXPECT_FALSE(Parameters::Take(reader, &bounds)) << "of " << size << " bytes";
    }
    for (size_t size = 0; size <= first.request.size() + 8; size += 8) {
      if (size == first.request.size()) continue;
      SCOPED_TRACE(testing::Message() << "a request of " << size << " bytes instead of " << first.request.size());
      Exchange exchange;
      ASSERT_TRUE(exchange.Encode());
      exchange.request.resize(size);
      EXPECT_FALSE(exchange.worker.Send(op_, exchange.request).has_value()) << "the worker answers";
      EXPECT_FALSE(exchange.arrived) << "the driver is asked";
    }
  }

  const wire::Op op_;
};

// Called by generated code, once for each regular call.
template <auto kMember, bool kSubmits, class... Rules>
bool Register(const char* name) {
  testing::RegisterTest("generated", name, nullptr, nullptr, __FILE__, __LINE__,
                        [name]() -> testing::Test* { return new CallTest<kMember, Rules...>(name); });
  return true;
}

}  // namespace outboard::generated
