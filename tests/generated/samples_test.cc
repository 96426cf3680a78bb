// The rules that no regular call has yet: that their samples, and so the tests of the first call that has one, are
// right.

#include "tests/generated/samples.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "common/wire/codec.h"

namespace outboard::generated {
namespace {

// Enough of a worker for parameters that are neither handles nor devices.
class MemoryBinder final : public wire::Binder {
 public:
  CUresult Find(wire::HandleKind, wire::HandleId, void**) override { return CUDA_ERROR_INVALID_HANDLE; }
  bool Add(wire::HandleKind, wire::HandleId, void*) override { return false; }
  void Remove(wire::HandleId) override {}
  CUresult FindDevice(CUdevice, CUdevice*) override { return CUDA_ERROR_INVALID_DEVICE; }
  CUdevice ClientDevice(CUdevice) override { return -1; }
  std::byte* Allocate(size_t bytes) override {
    memory_.emplace_back(std::make_unique<std::byte[]>(bytes));
    return memory_.back().get();
  }

 private:
  std::vector<std::unique_ptr<std::byte[]>> memory_;
};

// One call of these rules there and back, without a session. `null`: what pointers are.
template <class... Rules>
void RoundTrip(bool null) {
  using Parameters = wire::Parameters<Rules...>;
  const driver::DriverTable driver = DriverOfContexts();
  WorkerUnderTest worker(&driver);
  client::Ids ids;
  [&]<size_t... I>(std::index_sequence<I...>) {
    std::tuple<Sample<Rules, I>...> samples;
    ((std::get<I>(samples).null = null), ...);
    (std::get<I>(samples).Join(samples), ...);
    const typename Parameters::Args args(std::get<I>(samples).Argument()...);
    const typename Parameters::States states{};
    std::vector<std::byte> request(Parameters::RequestBytes(args));
    wire::Writer writer(request.data());
    Parameters::PutRequest(writer, args, states);

    MemoryBinder binder;
    typename Parameters::Bounds bounds;
    wire::Reader reader(request);
    ASSERT_TRUE(Parameters::Take(reader, &bounds));
    ASSERT_EQ(Parameters::Bind(binder, &bounds), CUDA_SUCCESS);
    Parameters::Apply([&](auto... arguments) { return Drive(samples, CUDA_SUCCESS, arguments...); }, &bounds);
    (std::get<I>(samples).Untouched(ids, worker), ...);

    std::vector<std::byte> reply(Parameters::ReplyBytes(bounds));
    wire::Writer reply_writer(reply.data());
    Parameters::PutReply(reply_writer, bounds, binder);
    wire::Reader reply_reader(reply);
    EXPECT_TRUE(Parameters::GetReply(reply_reader, args));
    (std::get<I>(samples).Returned(ids, worker), ...);
  }
  (std::index_sequence_for<Rules...>());
}

TEST(SamplesTest, ArraysAndStructuresGoThereAndBack) {
  for (const bool null : {false, true}) {
    SCOPED_TRACE(null ? "null" : "not null");
    RoundTrip<wire::InArray<void, 1>, wire::Value<size_t>, wire::InArray<unsigned short, 3>, wire::Value<int>,
              wire::OutArray<void, 5>, wire::Value<unsigned>, wire::OutArray<double, 5>, wire::In<CUuuid>>(null);
  }
}

}  // namespace
}  // namespace outboard::generated
