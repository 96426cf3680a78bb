#include "common/wire/rules.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <vector>

#include "common/wire/codec.h"
#include "tests/unit/wire/test_binder.h"

namespace outboard::wire {
namespace {

struct TestIds {
  HandleId New(HandleKind kind) {
    if (used_up) return 0;
    const HandleId id = MakeHandle(kind, 1, kFirstSlot + static_cast<uint32_t>(live.size()));
    live.insert(id);
    return id;
  }
  void Release(HandleId id) { live.erase(id); }
  bool IsLive(HandleKind kind, HandleId id) const { return KindOf(id) == kind && live.contains(id); }

  std::set<HandleId> live;
  bool used_up = false;
};

// One call's way to the worker and back. `driver` is what is called at the far end.
template <class... Rules>
struct Trip {
  using Call = Parameters<Rules...>;

  template <class Driver>
  CUresult Make(Driver driver, typename Rules::Arg... arguments) {
    const typename Call::Args args(arguments...);
    typename Call::States states{};
    if (const CUresult prepared = Call::Prepare(ids, args, &states); prepared != CUDA_SUCCESS) {
      Call::Done(ids, args, states, false);
      return prepared;
    }
    request.assign(Call::RequestBytes(args), std::byte{0xee});
    Writer writer(request.data());
    Call::PutRequest(writer, args, states);
    EXPECT_EQ(writer.at(), request.data() + request.size());

    // Nothing of a request that was cut is carried out.
    for (size_t size = 0; size < request.size(); size += 8) {
      typename Call::Bounds cut;
      Reader reader({request.data(), size});
      EXPECT_FALSE(Call::Take(reader, &cut)) << size;
    }
    typename Call::Bounds bounds;
    Reader reader(request);
    if (!Call::Take(reader, &bounds)) {
      ADD_FAILURE() << "the request is refused";
      return CUDA_ERROR_UNKNOWN;
    }
    CUresult result = Call::Bind(binder, &bounds);
    if (result == CUDA_SUCCESS) result = Call::Apply(driver, &bounds);
    if (result == CUDA_SUCCESS) {
      EXPECT_TRUE(Call::Commit(binder, bounds));
      reply.assign(Call::ReplyBytes(bounds), std::byte{0xee});
      Writer reply_writer(reply.data());
      Call::PutReply(reply_writer, bounds, binder);
      EXPECT_EQ(reply_writer.at(), reply.data() + reply.size());
      Reader reply_reader(reply);
      EXPECT_TRUE(Call::GetReply(reply_reader, args));
      for (size_t size = 0; size < reply.size(); size += 8) {
        Reader cut({reply.data(), size});
        EXPECT_FALSE(Call::GetReply(cut, args)) << size;
      }
    }
    Call::Done(ids, args, states, result == CUDA_SUCCESS);
    return result;
  }

  // Whether the worker takes these bytes as the call's arguments.
  static bool Accepts(std::initializer_list<uint64_t> words) {
    const std::vector<uint64_t> request(words);
    typename Call::Bounds bounds;
    Reader reader(std::as_bytes(std::span(request)));
    return Call::Take(reader, &bounds);
  }

  TestIds ids;
  TestBinder binder;
  std::vector<std::byte> request, reply;
};

struct Flat {
  uint32_t numbers[3];
};

TEST(Rules, ValuesArrive) {
  Trip<Value<int>, Value<Flat>, Value<uint8_t>> trip;
  EXPECT_EQ(trip.Make(
                [](int number, Flat flat, uint8_t small) {
                  EXPECT_EQ(number, -5);
                  EXPECT_EQ(flat.numbers[2], 3u);
                  EXPECT_EQ(small, 200);
                  return CUDA_ERROR_NOT_READY;
                },
                -5, Flat{{1, 2, 3}}, uint8_t{200}),
            CUDA_ERROR_NOT_READY);
  EXPECT_EQ(trip.request.size(), 8u + 16u + 8u);
}

TEST(Rules, FlagsAreKnownOrNot) {
  using OneFlag = Parameters<Flags<unsigned, 5u>>;
  TestIds ids;
  EXPECT_TRUE(OneFlag::Known(ids, {0u}));
  EXPECT_TRUE(OneFlag::Known(ids, {4u}));
  EXPECT_FALSE(OneFlag::Known(ids, {2u}));
}

TEST(Rules, DevicesAreCountedByEachSideItself) {
  Trip<Device, OutDevice> trip;
  CUdevice out = -1;
  EXPECT_EQ(trip.Make(
                [](CUdevice device, CUdevice* to) {
                  EXPECT_EQ(device, 1);
                  *to = 0;
                  return CUDA_SUCCESS;
                },
                0, &out),
            CUDA_SUCCESS);
  EXPECT_EQ(out, 1);
  EXPECT_EQ(trip.Make([](CUdevice, CUdevice*) { return CUDA_SUCCESS; }, 2, &out), CUDA_ERROR_INVALID_DEVICE);
}

TEST(Rules, HandlesStandForObjects) {
  Trip<Handle<CUevent>, Handle<CUstream>> trip;
  const HandleId event = trip.ids.New(HandleKind::kEvent);
  int object = 0;
  trip.binder.objects[event] = &object;
  const auto as_event = reinterpret_cast<CUevent>(event);
  const auto driver = [&](CUevent got, CUstream stream) {
    EXPECT_EQ(static_cast<void*>(got), &object);
    EXPECT_EQ(stream, CU_STREAM_LEGACY);
    return CUDA_SUCCESS;
  };
  EXPECT_EQ(trip.Make(driver, as_event, CU_STREAM_LEGACY), CUDA_SUCCESS);
  // Another kind.
  EXPECT_EQ(trip.Make(driver, as_event, reinterpret_cast<CUstream>(event)), CUDA_ERROR_INVALID_HANDLE);
  trip.binder.objects.clear();
  EXPECT_EQ(trip.Make(driver, as_event, CU_STREAM_LEGACY), CUDA_ERROR_INVALID_HANDLE);
}

TEST(Rules, ObjectsAreMadeUnderTheClientsHandles) {
  Trip<Creates<CUevent>, Value<unsigned>> trip;
  int object = 0;
  const auto driver = [&](CUevent* event, unsigned flags) {
    if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
    *event = reinterpret_cast<CUevent>(&object);
    return CUDA_SUCCESS;
  };
  CUevent event = nullptr;
  EXPECT_EQ(trip.Make(driver, &event, 0u), CUDA_SUCCESS);
  EXPECT_EQ(KindOf(reinterpret_cast<HandleId>(event)), HandleKind::kEvent);
  EXPECT_EQ(trip.binder.objects.at(reinterpret_cast<HandleId>(event)), &object);
  EXPECT_EQ(trip.ids.live.size(), 1u);

  CUevent none = nullptr;
  EXPECT_EQ(trip.Make(driver, &none, 1u), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(none, nullptr);
  EXPECT_EQ(trip.ids.live.size(), 1u) << "its handle is free again";
  EXPECT_EQ(trip.Make(driver, nullptr, 0u), CUDA_ERROR_INVALID_VALUE);
  trip.ids.used_up = true;
  EXPECT_EQ(trip.Make(driver, &none, 0u), CUDA_ERROR_OUT_OF_MEMORY);
}

// Memory without addresses is known by a number where others have a pointer.
TEST(Rules, NumbersStandForObjectsToo) {
  Trip<Creates<CUmemGenericAllocationHandle>> creates;
  static constexpr CUmemGenericAllocationHandle kOfDriver = 0xfedcba9876543210;
  CUmemGenericAllocationHandle memory = 0;
  const auto create = [](CUmemGenericAllocationHandle* made) {
    *made = kOfDriver;
    return CUDA_SUCCESS;
  };
  EXPECT_EQ(creates.Make(create, &memory), CUDA_SUCCESS);
  EXPECT_EQ(KindOf(memory), HandleKind::kAllocation);

  Trip<Destroys<CUmemGenericAllocationHandle>> destroys;
  destroys.ids = creates.ids;
  destroys.binder.objects = creates.binder.objects;
  const auto release = [](CUmemGenericAllocationHandle got) {
    EXPECT_EQ(got, kOfDriver);
    return CUDA_SUCCESS;
  };
  EXPECT_EQ(destroys.Make(release, memory), CUDA_SUCCESS);
  EXPECT_TRUE(destroys.ids.live.empty());
  EXPECT_EQ(destroys.Make(release, memory), CUDA_ERROR_INVALID_HANDLE);
}

TEST(Rules, AnObjectOfTheWrongKindIsMalformed) {
  using Create = Parameters<Creates<CUevent>>;
  TestBinder binder;
  const HandleId stream = MakeHandle(HandleKind::kStream, 1, 64), event = MakeHandle(HandleKind::kEvent, 1, 65);
  const auto commit = [&](HandleId id) {
    Create::Bounds bounds;
    Reader reader(std::as_bytes(std::span(&id, 1)));
    return Create::Take(reader, &bounds) && Create::Commit(binder, bounds);
  };
  EXPECT_FALSE(commit(stream));
  EXPECT_FALSE(commit(0));
  EXPECT_TRUE(commit(event));
  EXPECT_FALSE(commit(event)) << "it is in use";
}

TEST(Rules, ObjectsGoWhenTheirEndSucceeds) {
  Trip<Destroys<CUevent>> trip;
  const HandleId id = trip.ids.New(HandleKind::kEvent);
  int object = 0;
  trip.binder.objects[id] = &object;
  EXPECT_EQ(trip.Make([](CUevent) { return CUDA_ERROR_LAUNCH_FAILED; }, reinterpret_cast<CUevent>(id)),
            CUDA_ERROR_LAUNCH_FAILED);
  EXPECT_EQ(trip.binder.objects.size(), 1u);
  EXPECT_EQ(trip.ids.live.size(), 1u);
  EXPECT_EQ(trip.Make([](CUevent) { return CUDA_SUCCESS; }, reinterpret_cast<CUevent>(id)), CUDA_SUCCESS);
  EXPECT_TRUE(trip.binder.objects.empty());
  EXPECT_TRUE(trip.ids.live.empty());
}

TEST(Rules, PointersToOneValue) {
  Trip<In<Flat>, Out<int>, InOut<uint64_t>> trip;
  const Flat flat{{7, 8, 9}};
  int out = 0;
  uint64_t both = 40;
  EXPECT_EQ(trip.Make(
                [](const Flat* in, int* to, uint64_t* changes) {
                  *to = static_cast<int>(in->numbers[1]);
                  *changes += 2;
                  return CUDA_SUCCESS;
                },
                &flat, &out, &both),
            CUDA_SUCCESS);
  EXPECT_EQ(out, 8);
  EXPECT_EQ(both, 42u);
}

TEST(Rules, OutputsAreWrittenOnSuccessAlone) {
  Trip<Out<int>> trip;
  int out = 5;
  EXPECT_EQ(trip.Make(
                [](int* to) {
                  *to = 6;
                  return CUDA_ERROR_INVALID_VALUE;
                },
                &out),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(out, 5);
}

TEST(Rules, NullTravelsAsNull) {
  Trip<In<Flat>, Out<int>, InOut<int>, OutDevice, CString, InArray<int, 7>, OutArray<int, 7>, Value<size_t>> trip;
  EXPECT_EQ(trip.Make(
                [](const Flat* in, int* out, int* both, CUdevice* device, const char* text, const int* from, int* to,
                   size_t count) {
                  EXPECT_EQ(in, nullptr);
                  EXPECT_EQ(out, nullptr);
                  EXPECT_EQ(both, nullptr);
                  EXPECT_EQ(device, nullptr);
                  EXPECT_EQ(text, nullptr);
                  EXPECT_EQ(from, nullptr);
                  EXPECT_EQ(to, nullptr);
                  EXPECT_EQ(count, 3u);
                  return CUDA_SUCCESS;
                },
                nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, size_t{3}),
            CUDA_SUCCESS);
  EXPECT_TRUE(trip.reply.empty());
}

TEST(Rules, StringsEndWithNul) {
  using Text = Trip<CString>;
  for (const char* text : {"", "seven..", "eight...", "a longer one"}) {
    Text trip;
    EXPECT_EQ(trip.Make(
                  [&](const char* got) {
                    EXPECT_STREQ(got, text);
                    return CUDA_SUCCESS;
                  },
                  text),
              CUDA_SUCCESS);
  }
  const uint64_t without_nul = 0x4141414141414141;
  EXPECT_TRUE(Text::Accepts({8, without_nul >> 8}));
  EXPECT_FALSE(Text::Accepts({8, without_nul}));
  EXPECT_FALSE(Text::Accepts({9, without_nul >> 8}));
  EXPECT_FALSE(Text::Accepts({1, 0, 0}));
  EXPECT_FALSE(Text::Accepts({~uint64_t{0}, 0}));
}

TEST(Rules, ArraysHaveTheLengthOfTheirCount) {
  Trip<InArray<uint16_t, 2>, OutArray<uint16_t, 2>, Value<unsigned>> trip;
  const uint16_t in[] = {1, 2, 3, 4, 5};
  uint16_t out[6] = {9, 9, 9, 9, 9, 9};
  EXPECT_EQ(trip.Make(
                [](const uint16_t* from, uint16_t* to, unsigned count) {
                  for (unsigned i = 0; i < count; ++i) to[i] = from[count - 1 - i];
                  return CUDA_SUCCESS;
                },
                in, out, 5u),
            CUDA_SUCCESS);
  EXPECT_EQ((std::vector<uint16_t>(out, out + 6)), (std::vector<uint16_t>{5, 4, 3, 2, 1, 9}));
}

TEST(Rules, BytesAreCountedOneByOne) {
  Trip<InArray<void, 1>, Value<size_t>, OutArray<void, 3>, Value<size_t>> trip;
  char out[4] = "???";
  EXPECT_EQ(trip.Make(
                [](const void* from, size_t bytes, void* to, size_t room) {
                  EXPECT_EQ(bytes, 3u);
                  std::memcpy(to, from, room);
                  return CUDA_SUCCESS;
                },
                "abc", size_t{3}, out, size_t{2}),
            CUDA_SUCCESS);
  EXPECT_STREQ(out, "ab?");
}

TEST(Rules, EmptyArraysAreNoNullPointers) {
  Trip<InArray<int, 2>, OutArray<int, 2>, Value<size_t>> trip;
  int something = 0;
  EXPECT_EQ(trip.Make(
                [](const int* from, int* to, size_t) {
                  EXPECT_NE(from, nullptr);
                  EXPECT_NE(to, nullptr);
                  return CUDA_SUCCESS;
                },
                &something, &something, size_t{0}),
            CUDA_SUCCESS);
}

TEST(Rules, ANegativeCountIsForTheDriverToRefuse) {
  Trip<InArray<int, 1>, Value<int>> trip;
  const int something = 0;
  EXPECT_EQ(trip.Make([](const int*, int count) { return count < 0 ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS; },
                      &something, -1),
            CUDA_ERROR_INVALID_VALUE);
}

TEST(Rules, TooLargeArraysDoNotTravel) {
  using Bytes = Parameters<InArray<void, 1>, Value<size_t>>;
  using Outputs = Parameters<OutArray<uint64_t, 1>, Value<size_t>>;
  char something = 0;
  uint64_t number = 0;
  EXPECT_LE(Bytes::RequestBytes({&something, kMaxPayloadBytes}), kMaxPayloadBytes + 16);
  EXPECT_EQ(Bytes::RequestBytes({&something, kMaxPayloadBytes + 1}), ~uint64_t{0});
  EXPECT_EQ(Bytes::RequestBytes({&something, SIZE_MAX}), ~uint64_t{0});
  EXPECT_EQ(Outputs::RequestBytes({&number, kMaxPayloadBytes / 8}), 16u);
  EXPECT_EQ(Outputs::RequestBytes({&number, kMaxPayloadBytes / 8 + 1}), ~uint64_t{0});
  EXPECT_EQ(Outputs::RequestBytes({&number, (SIZE_MAX >> 3) + 2}), ~uint64_t{0}) << "times 8 that is 8";
}

TEST(Rules, TheWorkerBelievesNoLength) {
  using Bytes = Trip<InArray<void, 1>, Value<uint64_t>>;
  EXPECT_TRUE(Bytes::Accepts({1, 8, 0}));
  EXPECT_FALSE(Bytes::Accepts({1, 9, 0}));
  EXPECT_FALSE(Bytes::Accepts({1, 0, 0}));
  EXPECT_FALSE(Bytes::Accepts({1, ~uint64_t{0}, 0}));
  EXPECT_FALSE(Bytes::Accepts({2, 8, 0})) << "a pointer is there or not";
  using Outputs = Trip<OutArray<uint64_t, 1>, Value<uint64_t>>;
  EXPECT_TRUE(Outputs::Accepts({1, kMaxPayloadBytes / 8}));
  EXPECT_FALSE(Outputs::Accepts({1, kMaxPayloadBytes / 8 + 1}));
  EXPECT_FALSE(Outputs::Accepts({1, (uint64_t{1} << 61) + 1})) << "times 8 that is 8";
  EXPECT_FALSE(Trip<In<int>>::Accepts({2, 0}));
  EXPECT_FALSE(Trip<Out<int>>::Accepts({2}));
  EXPECT_FALSE((Trip<InOut<int>>::Accepts({2, 0})));
}

TEST(Rules, OutputsThatHaveNoRoomAreRefused) {
  using Call = Parameters<OutArray<void, 1>, Value<uint64_t>>;
  TestBinder binder;
  binder.room = 7;
  Call::Bounds bounds;
  const uint64_t request[] = {1, 8};
  Reader reader(std::as_bytes(std::span(request)));
  ASSERT_TRUE(Call::Take(reader, &bounds));
  EXPECT_EQ(Call::Bind(binder, &bounds), CUDA_ERROR_OUT_OF_MEMORY);
}

TEST(Rules, WhatWouldBeLostIsKnown) {
  static_assert(Parameters<Value<int>, Creates<CUevent>>::kMakes);
  static_assert(Parameters<Out<CUdeviceptr>, Value<size_t>>::kMakes);
  static_assert(!Parameters<Out<int>, Handle<CUevent>, OutArray<int, 0>>::kMakes);
}

}  // namespace
}  // namespace outboard::wire
