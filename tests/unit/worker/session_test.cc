#include "server/worker/session.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/base/limits.h"
#include "common/wire/handle.h"
#include "server/worker/copies.h"
#include "server/worker/output.h"
#include "server/worker/scratch.h"
#include "tests/unit/worker/fake_client.h"
#include "tests/unit/worker/fake_driver.h"

namespace outboard::worker {
namespace {

using wire::Control;
using wire::HandleKind;
using wire::Op;

constexpr uint64_t kStream = 1;  // CU_STREAM_LEGACY
constexpr uint64_t kFirstEvent = 10, kLastEvent = 40;

wire::HandleId Event(uint64_t number) { return wire::MakeHandle(HandleKind::kEvent, 1, static_cast<uint32_t>(number)); }
wire::HandleId Context(uint32_t number) { return wire::MakeHandle(HandleKind::kContext, 1, 1000 + number); }
uint16_t Number(Op op) { return static_cast<uint16_t>(op); }

Outgoing Record(uint32_t lane, uint64_t event, uint16_t flags = 0) {
  return {Number(Op::kcuEventRecord), lane, flags, {Event(event), kStream}};
}
Outgoing Query(uint32_t lane, uint64_t stream, uint16_t flags = kAsksAll) {
  return {Number(Op::kcuStreamQuery), lane, flags, {stream}};
}
Outgoing Synchronize(uint32_t lane) { return {Number(Op::kcuStreamSynchronize), lane, kAsksAll, {kStream}}; }
std::string Recorded(uint64_t event) { return "cuEventRecord " + std::to_string(event) + " 1"; }

class SessionTest : public testing::Test {
 protected:
  SessionTest() {
    Session::Config config;
    config.driver = &driver_.table;
    config.devices = {{5, &*ledger_, 0}, {0, &*ledger_, 0}, {2, &*ledger_, 0}};
    config.gate = &gate_;
    config.number = 4711;
    config.ticket_is_good = [](const std::string& ticket) { return ticket == "good ticket"; };
    session_.emplace(std::move(config), &client_);
    for (uint64_t event = kFirstEvent; event < kLastEvent; ++event) {
      EXPECT_TRUE(session_->handles().Add(HandleKind::kEvent, Event(event), reinterpret_cast<void*>(event)));
    }
  }
  // A driver call that waits until it is let go.
  void Block(const std::string& call) {
    driver_.On(call, [this] {
      entered_.Happen();
      let_go_.Wait();
      return CUDA_SUCCESS;
    });
  }
  uint64_t Send(const std::vector<Outgoing>& commands) { return client_.Send(*session_, commands); }

  FakeDriver driver_;
  Result<slice::Ledger> ledger_ = slice::Ledger::Create(2500);
  slice::Gate gate_;
  FakeClient client_;
  Occasion entered_, let_go_;
  std::optional<Session> session_;
};

TEST_F(SessionTest, GreetsWithItsDevicesInTheClientsOrder) {
  wire::ClientHello hello = GoodHello();
  hello.visible_devices = {2, 0, 7, 1};
  const wire::WorkerHello answer = client_.Greet(*session_, hello);
  EXPECT_EQ(answer.error, "");
  EXPECT_EQ(answer.result, CUDA_SUCCESS);
  EXPECT_EQ(answer.driver_version, 13000);
  EXPECT_EQ(answer.session, 4711u);
  EXPECT_EQ(answer.op_hashes, GoodHello().op_hashes);
  ASSERT_EQ(answer.devices.size(), 2u) << "the list ends where it names none";
  EXPECT_EQ(answer.devices[0].name, "Fake 2");
  EXPECT_EQ(answer.devices[1].name, "Fake 5");
  EXPECT_EQ(answer.devices[0].pci_bus_id, "2");
  EXPECT_EQ(answer.devices[0].uuid.bytes[0], 2);
  EXPECT_EQ(answer.devices[0].total_memory, 2500u) << "of the slice";
  ASSERT_EQ(answer.devices[0].attributes.size(), size_t{CU_DEVICE_ATTRIBUTE_MAX} - 1);
  EXPECT_EQ(answer.devices[1].attributes[0], 5001);
  EXPECT_EQ(answer.devices[0].attributes[CU_DEVICE_ATTRIBUTE_MAX - 3], 2000 + CU_DEVICE_ATTRIBUTE_MAX - 2);
  EXPECT_EQ(answer.devices[0].attributes[16], 0) << "unknown to the driver";

  EXPECT_EQ(session_->FindDevice(0)->ordinal, 2);
  EXPECT_EQ(session_->FindDevice(2), nullptr);
  EXPECT_EQ(session_->FindDevice(-1), nullptr);
  EXPECT_EQ(session_->ClientDevice(5), 1);
  EXPECT_EQ(session_->ClientDevice(0), -1) << "of the lease, but not visible";
  EXPECT_EQ(session_->DeviceOf(5)->ordinal, 5);
  EXPECT_EQ(session_->DeviceOf(0), nullptr);
}

TEST_F(SessionTest, ShowsAllDevicesOfTheLeaseAndNoMoreMemoryThanTheyHave) {
  const wire::WorkerHello answer = client_.Greet(*session_);
  ASSERT_EQ(answer.devices.size(), 3u);
  EXPECT_EQ(answer.devices[0].total_memory, 2500u);
  EXPECT_EQ(answer.devices[1].total_memory, 1000u);
}

TEST_F(SessionTest, RefusesWhoMayNotOpenIt) {
  struct Case {
    const char* what;
    std::function<void(wire::ClientHello&)> change;
    CUresult result;
  };
  const Case cases[] = {
      {"ticket", [](auto& hello) { hello.ticket = "forged"; }, CUDA_ERROR_NOT_PERMITTED},
      {"version", [](auto& hello) { ++hello.major_version; }, CUDA_ERROR_SYSTEM_DRIVER_MISMATCH},
      {"lay out", [](auto& hello) { ++hello.abi; }, CUDA_ERROR_SYSTEM_DRIVER_MISMATCH},
      {"visible", [](auto& hello) { hello.visible_devices = {3}; }, CUDA_ERROR_NO_DEVICE},
      {"visible",
       [](auto& hello) {
         hello.visible_devices = {0, -1, 0};
         hello.visible_devices[1] = 0;
       },
       CUDA_ERROR_NO_DEVICE},
  };
  for (const Case& one : cases) {
    FakeClient client;
    Session::Config config{&driver_.table, {{5, &*ledger_, 0}}, &gate_, 1, [](const std::string& ticket) {
                             return ticket == "good ticket";
                           }};
    Session session(std::move(config), &client);
    wire::ClientHello hello = GoodHello();
    one.change(hello);
    const wire::WorkerHello answer = client.Greet(session, hello);
    EXPECT_NE(answer.error.find(one.what), std::string::npos) << answer.error;
    EXPECT_EQ(answer.result, one.result);
    EXPECT_TRUE(answer.devices.empty());
    EXPECT_EQ(client.AwaitEnd(), "");
    EXPECT_FALSE(session.OnFrame(MakeFrame(2, 1, {Query(1, kStream)})));
    EXPECT_TRUE(session.Wait());
  }
  EXPECT_TRUE(driver_.calls().empty());
}

TEST_F(SessionTest, CarriesCommandsOutInOrderAndReplies) {
  client_.Greet(*session_);
  const uint64_t first = Send({Record(1, 10), Record(1, 11), Query(1, 2)});
  EXPECT_EQ(client_.ResultOf(first + 2), CUDA_SUCCESS);
  EXPECT_EQ(client_.Await(first + 2)->acknowledged, first + 2) << "with the reply";
  const uint64_t timed = Send({{Number(Op::kcuEventElapsedTime), 1, kAsksAll, {1, Event(10), Event(11)}}});
  const auto answer = client_.Await(timed);
  ASSERT_TRUE(answer.has_value());
  ASSERT_EQ(answer->outputs.size(), 8u);
  float time;
  std::memcpy(&time, answer->outputs.data(), sizeof time);
  EXPECT_EQ(time, 2.5f);
  EXPECT_EQ(driver_.calls(),
            (std::vector<std::string>{Recorded(10), Recorded(11), "cuStreamQuery 2", "cuEventElapsedTime 10 11"}));
}

TEST_F(SessionTest, AnswersWithTheDriversErrorAndWithoutOutputs) {
  driver_.On("cuEventElapsedTime", [] { return CUDA_ERROR_NOT_READY; });
  client_.Greet(*session_);
  const uint64_t sent = Send({{Number(Op::kcuEventElapsedTime), 1, kAsksAll, {1, Event(10), Event(11)}}});
  EXPECT_EQ(client_.ResultOf(sent), CUDA_ERROR_NOT_READY);
  EXPECT_TRUE(client_.Await(sent)->outputs.empty());
}

TEST_F(SessionTest, RefusesHandlesThatItDoesNotKnow) {
  client_.Greet(*session_);
  for (const wire::HandleId id : {Event(999), wire::MakeHandle(HandleKind::kEvent, 2, 10),
                                  wire::MakeHandle(HandleKind::kStream, 1, 10), wire::HandleId{7}}) {
    EXPECT_EQ(client_.ResultOf(Send({{Number(Op::kcuEventQuery), 1, kAsksAll, {id}}})), CUDA_ERROR_INVALID_HANDLE);
  }
  EXPECT_TRUE(driver_.calls().empty());
  EXPECT_EQ(client_.ResultOf(Send({{Number(Op::kcuEventQuery), 1, kAsksAll, {0}}})), CUDA_SUCCESS);
  EXPECT_EQ(driver_.calls(), std::vector<std::string>{"cuEventQuery 0"}) << "a null handle is the driver's business";
}

TEST_F(SessionTest, KeepsTheOrderOverLanesAndRunsEachOnItsOwnThread) {
  client_.Greet(*session_);
  std::vector<std::string> expected;
  std::vector<uint32_t> lanes;
  for (int frame = 0; frame < 50; ++frame) {
    std::vector<Outgoing> commands;
    for (uint32_t i = 0; i < 12; ++i) {
      const uint32_t lane = frame == 0 ? i / 4 + 1 : (i * 7 + frame) % 3 + 1;
      const uint64_t event = kFirstEvent + (i * 5 + frame) % (kLastEvent - kFirstEvent);
      commands.push_back(Record(lane, event));
      expected.push_back(Recorded(event));
      lanes.push_back(lane);
    }
    Send(commands);
  }
  EXPECT_EQ(client_.ResultOf(Send({Query(2, kStream)})), CUDA_SUCCESS);
  const std::vector<FakeDriver::Asked> asked = driver_.asked();
  ASSERT_EQ(asked.size(), expected.size() + 1);
  std::map<uint32_t, std::set<std::thread::id>> threads;
  std::set<std::thread::id> all;
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(asked[i].call, expected[i]) << i;
    threads[lanes[i]].insert(asked[i].thread);
    all.insert(asked[i].thread);
  }
  for (const auto& [lane, ids] : threads) EXPECT_EQ(ids.size(), 1u) << "lane " << lane;
  EXPECT_EQ(all.size(), 3u);
  EXPECT_EQ(all.count(std::this_thread::get_id()), 0u) << "the reader never enters the driver";
}

TEST_F(SessionTest, LetsOthersRunWhileOneWaitsForTheDevice) {
  Block("cuStreamSynchronize");
  client_.Greet(*session_);
  const uint64_t waits = Send({Record(1, 10), Synchronize(1)}) + 1;
  entered_.Wait();
  EXPECT_EQ(client_.ResultOf(Send({Record(2, 11), Query(2, kStream)}) + 1), CUDA_SUCCESS);
  client_.AwaitAcknowledgement(waits);
  let_go_.Happen();
  EXPECT_EQ(client_.ResultOf(waits), CUDA_SUCCESS);
}

TEST_F(SessionTest, LetsNobodyOvertakeACallThatNobodyWaitsFor) {
  std::atomic<bool> has_left{false}, overtaken{false};
  driver_.On(Recorded(10), [&] {
    entered_.Happen();
    let_go_.Wait();
    for (int i = 0; i < 1000; ++i) sched_yield();  // lane 2 has every chance
    has_left = true;
    return CUDA_SUCCESS;
  });
  driver_.On("cuStreamQuery", [&] {
    overtaken = !has_left;
    return CUDA_SUCCESS;
  });
  client_.Greet(*session_);
  Send({Record(1, 10)});
  entered_.Wait();
  const uint64_t query = Send({Query(2, kStream)});
  let_go_.Happen();
  EXPECT_EQ(client_.ResultOf(query), CUDA_SUCCESS);
  EXPECT_FALSE(overtaken);
}

TEST_F(SessionTest, UnderstandsArgumentsBeforeTheNextCommandBegins) {
  client_.Greet(*session_);
  for (uint32_t round = 0; round < 50; ++round) {
    const wire::HandleId stream = wire::MakeHandle(HandleKind::kStream, 1, 500 + round);
    // The output's memory is made before the stream is looked up, and takes longer than the other lane's command.
    const uint64_t read = Send({{Number(Op::koutboardRead), 1, kAsksAll, {1, kMaxPayloadBytes, 0x1000, stream}},
                                {Number(Op::kcuStreamCreate), 2, 0, {stream, 0}}});
    ASSERT_EQ(client_.ResultOf(read), CUDA_ERROR_INVALID_HANDLE) << "of a stream that is made after it";
  }
}

TEST_F(SessionTest, SendsWhatKernelsPrintedBeforeTheReply) {
  const UniqueFd file(memfd_create("output", MFD_CLOEXEC));
  session_->copies().SetOutput(std::make_unique<Output>(UniqueFd(dup(file.get()))), nullptr);
  driver_.On("cuStreamSynchronize", [&file] {
    EXPECT_EQ(write(file.get(), "hello", 5), 5);
    return CUDA_SUCCESS;
  });
  client_.Greet(*session_);
  EXPECT_EQ(client_.ResultOf(Send({Synchronize(1)})), CUDA_SUCCESS);
  EXPECT_EQ(client_.controls(), (std::vector{Control::kHello, Control::kOutput, Control::kReply}));
}

TEST_F(SessionTest, TellsOfARefusedCallOnceAndOnlyItsOwnLane) {
  driver_.On(Recorded(10), [] { return CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES; });
  driver_.On(Recorded(11), [] { return CUDA_ERROR_INVALID_VALUE; });
  driver_.On("cuStreamQuery 2", [] { return CUDA_ERROR_NOT_READY; });
  client_.Greet(*session_);
  Send({Record(1, 10), Record(1, 11)});

  const auto other = client_.Await(Send({Query(2, kStream)}));
  EXPECT_EQ(other->earlier, CUDA_SUCCESS) << "another lane";
  const auto unasked = client_.Await(Send({Query(1, kStream, kAsks)}));
  EXPECT_EQ(unasked->earlier, CUDA_SUCCESS) << "its caller would lose what it made";
  const auto failed = client_.Await(Send({Query(1, 2)}));
  EXPECT_EQ(failed->result, CUDA_ERROR_NOT_READY);
  EXPECT_EQ(failed->earlier, CUDA_SUCCESS) << "its caller hears of one error at a time";
  const auto told = client_.Await(Send({Query(1, kStream)}));
  EXPECT_EQ(told->result, CUDA_SUCCESS);
  EXPECT_EQ(told->earlier, CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES) << "the first one";
  const auto after = client_.Await(Send({Query(1, kStream)}));
  EXPECT_EQ(after->earlier, CUDA_SUCCESS) << "once";
}

TEST_F(SessionTest, MakesTheCommandsContextCurrent) {
  ASSERT_TRUE(session_->handles().Add(HandleKind::kContext, Context(1), reinterpret_cast<void*>(1)));
  ASSERT_TRUE(session_->handles().Add(HandleKind::kContext, Context(2), reinterpret_cast<void*>(2)));
  client_.Greet(*session_);
  const auto query = [&](uint32_t lane, uint64_t context) {
    Outgoing command = Query(lane, kStream);
    command.context = context;
    return client_.ResultOf(Send({command}));
  };
  const std::string ask = "cuStreamQuery 1";
  EXPECT_EQ(query(1, 0), CUDA_SUCCESS);
  EXPECT_EQ(query(1, Context(1)), CUDA_SUCCESS);
  EXPECT_EQ(query(1, Context(1)), CUDA_SUCCESS);
  EXPECT_EQ(query(2, Context(1)), CUDA_SUCCESS);
  EXPECT_EQ(query(1, Context(3)), CUDA_SUCCESS) << "no context is current: the driver says what that means";
  EXPECT_EQ(query(1, Context(2)), CUDA_SUCCESS);
  EXPECT_EQ(query(1, 0), CUDA_SUCCESS);
  EXPECT_EQ(driver_.calls(),
            (std::vector<std::string>{ask, "cuCtxSetCurrent 1", ask, ask, "cuCtxSetCurrent 1", ask, "cuCtxSetCurrent 0",
                                      ask, "cuCtxSetCurrent 2", ask, "cuCtxSetCurrent 0", ask}));
  ASSERT_TRUE(session_->handles().Remove(Context(1)));
  EXPECT_EQ(query(2, Context(1)), CUDA_SUCCESS);
  EXPECT_EQ(driver_.calls().at(driver_.calls().size() - 2), "cuCtxSetCurrent 0") << "though it was current";
}

TEST_F(SessionTest, LooksAContextUpAgainWhenContextsChanged) {
  const wire::HandleId primary = wire::PrimaryContextHandle(0);
  ASSERT_TRUE(session_->handles().Add(HandleKind::kContext, primary, reinterpret_cast<void*>(1)));
  client_.Greet(*session_);
  Outgoing query = Query(1, kStream);
  query.context = primary;
  EXPECT_EQ(client_.ResultOf(Send({query})), CUDA_SUCCESS);
  ASSERT_TRUE(session_->handles().Add(HandleKind::kContext, primary, reinterpret_cast<void*>(9)));
  EXPECT_EQ(client_.ResultOf(Send({query})), CUDA_SUCCESS);
  EXPECT_EQ(driver_.calls()[2], "cuCtxSetCurrent 9");
}

TEST_F(SessionTest, CarriesNothingOutWhoseContextTheDriverRefuses) {
  driver_.On("cuCtxSetCurrent 1", [] { return CUDA_ERROR_CONTEXT_IS_DESTROYED; });
  ASSERT_TRUE(session_->handles().Add(HandleKind::kContext, Context(1), reinterpret_cast<void*>(1)));
  client_.Greet(*session_);
  Outgoing record = Record(1, 10);
  record.context = Context(1);
  Send({record});
  EXPECT_EQ(client_.Await(Send({Query(1, kStream)}))->earlier, CUDA_ERROR_CONTEXT_IS_DESTROYED);
  EXPECT_EQ(driver_.calls(), (std::vector<std::string>{"cuCtxSetCurrent 1", "cuStreamQuery 1"}));
}

TEST_F(SessionTest, NotesObjectsUnderTheClientsHandles) {
  client_.Greet(*session_);
  const wire::HandleId id = wire::MakeHandle(HandleKind::kStream, 1, 500);
  Send({{Number(Op::kcuStreamCreate), 1, 0, {id, 0}}});
  EXPECT_EQ(client_.ResultOf(Send({Query(1, id)})), CUDA_SUCCESS);
  EXPECT_EQ(driver_.calls()[1], "cuStreamQuery 77");
}

TEST_F(SessionTest, AcknowledgesWhenItHasNothingMoreToDo) {
  client_.Greet(*session_);
  const uint64_t sent = Send({Record(1, 10), Record(1, 11)}) + 1;
  client_.AwaitAcknowledgement(sent);
  EXPECT_EQ(client_.frames(), 2u) << "the hello, and this";
}

TEST_F(SessionTest, DoesNotAcknowledgeWhatHasTheTurnOrWaitsForIt) {
  Occasion record_entered, record_let_go;
  Block("cuStreamSynchronize");
  driver_.On(Recorded(10), [&] {
    record_entered.Happen();
    record_let_go.Wait();
    return CUDA_SUCCESS;
  });
  client_.Greet(*session_);
  const uint64_t waits = Send({Synchronize(1)});
  entered_.Wait();
  Send({Record(2, 10)});
  record_entered.Wait();
  const uint64_t last = Send({Record(2, 11)});
  let_go_.Happen();
  EXPECT_EQ(client_.Await(waits)->acknowledged, waits);
  record_let_go.Happen();
  client_.AwaitAcknowledgement(last);
}

TEST_F(SessionTest, DoesNotAcknowledgeWhatBeginsWhenATurnIsOver) {
  Occasion first_entered, first_let_go, second_entered, second_let_go;
  Block("cuStreamSynchronize");
  driver_.On(Recorded(10), [&] {
    first_entered.Happen();
    first_let_go.Wait();
    return CUDA_SUCCESS;
  });
  driver_.On(Recorded(11), [&] {
    second_entered.Happen();
    second_let_go.Wait();
    return CUDA_SUCCESS;
  });
  client_.Greet(*session_);
  const uint64_t waits = Send({Synchronize(1)});
  entered_.Wait();
  const uint64_t first = Send({Record(2, 10)});
  first_entered.Wait();
  const uint64_t second = Send({Record(2, 11)});
  first_let_go.Happen();
  second_entered.Wait();
  let_go_.Happen();
  EXPECT_EQ(client_.Await(waits)->acknowledged, first);
  second_let_go.Happen();
  client_.AwaitAcknowledgement(second);
}

TEST_F(SessionTest, AcknowledgesAQuarterOfTheWindowAtATime) {
  client_.Greet(*session_);
  // All is queued behind one call, so that no lane is idle in between.
  Block(Recorded(10));
  const uint64_t first = Send({Record(1, 10)});
  for (uint32_t i = 1; i < kCreditCommands; i += 1024) {
    Send(std::vector<Outgoing>(std::min(1024u, kCreditCommands - i), Record(1, 11)));
  }
  let_go_.Happen();
  client_.AwaitAcknowledgement(first + kCreditCommands - 1);
  EXPECT_GE(client_.frames(), 5u);
  EXPECT_EQ(client_.ResultOf(Send({Query(1, kStream)})), CUDA_SUCCESS);
}

TEST_F(SessionTest, EndsWhenTheClientSendsWithoutCredit) {
  client_.Greet(*session_);
  Block(Recorded(10));
  Send({Record(1, 10)});
  entered_.Wait();
  for (uint32_t i = 1; i < kCreditCommands; i += 1024) {
    Send(std::vector<Outgoing>(std::min(1024u, kCreditCommands - i), Record(1, 11)));
  }
  EXPECT_TRUE(session_->OnFrame(MakeFrame(client_.next(), 0, {})));
  Send({Record(1, 11)});
  EXPECT_NE(client_.AwaitEnd().find("credit"), std::string::npos);
  let_go_.Happen();
  EXPECT_TRUE(session_->Wait());
}

// One frame that a good client does not send, and a word of what it is told.
struct Bad {
  const char* what;
  std::function<std::vector<std::byte>(uint64_t next)> frame;
};

template <class T>
std::vector<std::byte> Changed(std::vector<std::byte> frame, size_t offset, T value) {
  std::memcpy(frame.data() + offset, &value, sizeof value);
  return frame;
}
std::function<std::vector<std::byte>(uint64_t)> Commands(std::vector<Outgoing> commands) {
  return [commands](uint64_t next) { return MakeFrame(next, 0, commands); };
}
Outgoing Tell(Control control, std::vector<uint64_t> body, uint16_t flags = 0) {
  return {static_cast<uint16_t>(control), 0, flags, std::move(body)};
}

constexpr size_t kCommandAt = sizeof(wire::FrameHeader);

const Bad kBadFrames[] = {
    {"lengths", [](uint64_t) { return std::vector<std::byte>(); }},
    {"lengths", [](uint64_t next) { return Changed(MakeFrame(next, 0, {Record(1, 10)}), 0, uint32_t{7}); }},
    {"lengths", [](uint64_t next) { return Changed(MakeFrame(next, 0, {Record(1, 10)}), 4, uint32_t{64}); }},
    {"lengths", [](uint64_t next) { return Changed(MakeFrame(next, 0, {Record(1, 10)}), 24, uint32_t{2}); }},
    {"lengths", [](uint64_t next) { return Changed(MakeFrame(next, 0, {Record(1, 10)}), 24, uint32_t{0}); }},
    {"lengths", [](uint64_t next) { return Changed(MakeFrame(next, 0, {Record(1, 10)}), 28, uint32_t{1}); }},
    {"lengths", [](uint64_t next) { return Changed(MakeFrame(next, 0, {Record(1, 10)}), kCommandAt, uint32_t{48}); }},
    {"lengths",
     [](uint64_t next) { return Changed(MakeFrame(next, 0, {Record(1, 10)}), kCommandAt + 6, uint16_t{4}); }},
    {"lengths",
     [](uint64_t next) { return Changed(MakeFrame(next, 0, {Record(1, 10)}), kCommandAt + 12, uint32_t{1}); }},
    {"lengths", [](uint64_t next) { return Changed(MakeFrame(next, 0, {}), 8, uint64_t{0}); }},
    {"instead of", [](uint64_t next) { return MakeFrame(next + 1, 0, {Record(1, 10)}); }},
    {"instead of", [](uint64_t next) { return MakeFrame(next - 1, 0, {Record(1, 10)}); }},
    {"acknowledges", [](uint64_t next) { return MakeFrame(next, 99, {Record(1, 10)}); }},
    {"operation 0,", Commands({Record(1, 10), {0, 1, 0, {}}})},
    {"operation 999,", Commands({Record(1, 10), {999, 1, 0, {}}})},
    {"operation 16383,", Commands({Record(1, 10), {0x3fff, 1, 0, {}}})},
    {"operation 65279,", Commands({Record(1, 10), {0xfeff, 1, 0, {}}})},
    {"lane 0", Commands({Record(1, 10), Record(0, 11)})},
    {"lane 3", Commands({Record(1, 10), Record(3, 11)})},
    {"lane 4294967295", Commands({Record(1, 10), Record(0xffffffff, 11)})},
    {"reply that it needs", Commands({Record(1, 10), Query(1, kStream, 0)})},
    {"reply that it needs", Commands({Record(1, 10, wire::kTakesEarlier)})},
    {"waits for a reply", Commands({Record(1, 10), Query(1, kStream), Record(1, 11)})},
    {"none that a client sends", Commands({Record(1, 10), Tell(Control::kHello, {1, 2, 3})})},
    {"none that a client sends", Commands({Record(1, 10), Tell(Control::kReply, {1, 2, 3})})},
    {"none that a client sends", Commands({Record(1, 10), Tell(Control::kLand, {1, 2, 3})})},
    {"none that a client sends", Commands({Record(1, 10), Tell(static_cast<Control>(0xffff), {})})},
    {"none that a client sends", Commands({Record(1, 10), Tell(Control::kHostFunctionDone, {1})})},
    {"none that a client sends", Commands({Record(1, 10), Tell(Control::kHostFunctionDone, {1, 0, 0})})},
    {"none that a client sends", Commands({Record(1, 10), Tell(Control::kPulled, {1, 0})})},
    {"none that a client sends", Commands({Record(1, 10), Tell(Control::kPulled, {1, 0, 9, 0})})},
    {"none that a client sends", Commands({Record(1, 10), Tell(Control::kPulled, {1, 0, 0, 0})})},
    {"none that a client sends", Commands({Record(1, 10), Tell(Control::kPulled, {1, 0, ~uint64_t{0}, 0})})},
    {"flags", Commands({Record(1, 10), Tell(Control::kHostFunctionDone, {1, 0}, wire::kWantsReply)})},
    {"no stream waits", Commands({Record(1, 10), Tell(Control::kHostFunctionDone, {1, 0})})},
    {"nobody asked for", Commands({Record(1, 10), Tell(Control::kPulled, {1, 0, 8, 5})})},
};

TEST_F(SessionTest, EndsOnABadFrameAndCarriesNothingOfItOut) {
  for (const Bad& bad : kBadFrames) {
    FakeClient client;
    Session::Config config{&driver_.table, {{5, &*ledger_, 0}}, &gate_, 1, nullptr};
    Session session(std::move(config), &client);
    ASSERT_TRUE(session.handles().Add(HandleKind::kEvent, Event(10), reinterpret_cast<void*>(10)));
    client.Greet(session);
    EXPECT_FALSE(session.OnFrame(bad.frame(client.next())));
    const std::string reason = client.AwaitEnd();
    EXPECT_NE(reason.find(bad.what), std::string::npos) << "\"" << reason << "\" instead of " << bad.what;
    EXPECT_TRUE(session.Wait());
    EXPECT_FALSE(session.OnFrame(MakeFrame(client.next(), 0, {Query(1, kStream)}))) << "over for good";
  }
  EXPECT_TRUE(driver_.calls().empty()) << driver_.calls()[0];
}

TEST_F(SessionTest, EndsOnOperationsThatTheTwoEndsDoNotShare) {
  wire::ClientHello hello = GoodHello();
  ++hello.op_hashes[Number(Op::kcuEventRecord)];
  hello.op_hashes.resize(Number(Op::kcuStreamQuery));
  client_.Greet(*session_, hello);
  EXPECT_TRUE(session_->OnFrame(MakeFrame(2, 0, {{Number(Op::kcuEventQuery), 1, kAsksAll, {0}}})));
  EXPECT_EQ(client_.ResultOf(2), CUDA_SUCCESS);
  EXPECT_FALSE(session_->OnFrame(MakeFrame(3, 0, {Record(1, 10)})));
  EXPECT_NE(client_.AwaitEnd().find("do not share"), std::string::npos);
  EXPECT_EQ(driver_.calls(), std::vector<std::string>{"cuEventQuery 0"});
}

TEST_F(SessionTest, EndsWhenItDoesNotBeginWithAHello) {
  const std::vector<std::byte> good = wire::Encode(GoodHello());
  std::vector<uint64_t> body((good.size() + 7) / 8);
  std::memcpy(body.data(), good.data(), good.size());
  const Outgoing hello = Tell(Control::kHello, body);
  Outgoing cut = hello, longer = hello;
  cut.body.resize(cut.body.size() - 1);
  longer.body.push_back(0);
  for (const std::vector<Outgoing>& commands :
       {std::vector<Outgoing>{Record(1, 10)}, std::vector<Outgoing>{}, std::vector<Outgoing>{hello, Record(1, 10)},
        std::vector<Outgoing>{cut}, std::vector<Outgoing>{longer}, std::vector<Outgoing>{Tell(Control::kHello, {})}}) {
    FakeClient client;
    Session session({&driver_.table, {{5, &*ledger_, 0}}, &gate_, 1, nullptr}, &client);
    EXPECT_FALSE(session.OnFrame(MakeFrame(1, 0, commands)));
    EXPECT_NE(client.AwaitEnd(), "");
  }
  EXPECT_TRUE(driver_.calls().empty());
}

TEST_F(SessionTest, EndsOnBadArgumentsAndCarriesOutNothingBehindThem) {
  const wire::HandleId stream = wire::MakeHandle(HandleKind::kStream, 1, 500);
  const Outgoing bad_commands[] = {
      {Number(Op::kcuEventRecord), 1, 0, {Event(10)}},
      {Number(Op::kcuEventRecord), 1, 0, {}},
      {Number(Op::kcuEventRecord), 1, 0, {Event(10), kStream, 0}},
      {Number(Op::kcuEventElapsedTime), 1, kAsksAll, {2, Event(10), Event(10)}},
      {Number(Op::kcuStreamCreate), 1, 0, {Event(10), 0}},
      {Number(Op::kcuStreamCreate), 1, 0, {0, 0}},
      {Number(Op::kcuStreamCreate), 1, 0, {stream, 0}},
  };
  for (const Outgoing& bad : bad_commands) {
    FakeClient client;
    Session session({&driver_.table, {{5, &*ledger_, 0}}, &gate_, 1, nullptr}, &client);
    ASSERT_TRUE(session.handles().Add(HandleKind::kStream, stream, reinterpret_cast<void*>(1)));
    client.Greet(session);
    client.Send(session, {bad, Query(2, kStream)});
    EXPECT_NE(client.AwaitEnd().find("cu"), std::string::npos);
    EXPECT_TRUE(session.Wait());
  }
  for (const std::string& call : driver_.calls()) EXPECT_EQ(call, "cuStreamCreate");
}

TEST_F(SessionTest, ItsLeaseIsAtWorkAsLongAsAnyCommandRuns) {
  Block("cuStreamSynchronize");
  client_.Greet(*session_);
  EXPECT_TRUE(ledger_->at_rest_since());
  Send({Synchronize(1)});
  entered_.Wait();
  EXPECT_EQ(client_.ResultOf(Send({Query(2, kStream)})), CUDA_SUCCESS);
  EXPECT_FALSE(ledger_->at_rest_since());
  let_go_.Happen();
  Send({Tell(Control::kEnd, {})});
  session_->Finish();
  EXPECT_TRUE(ledger_->at_rest_since());
}

TEST_F(SessionTest, EndsQuietlyWhenTheClientSaysSo) {
  client_.Greet(*session_);
  EXPECT_EQ(client_.ResultOf(Send({Query(1, kStream)})), CUDA_SUCCESS);
  Send({Tell(Control::kEnd, {})});
  session_->Finish();
  EXPECT_EQ(client_.AwaitEnd(), "");
  EXPECT_TRUE(session_->Wait());
}

TEST_F(SessionTest, CarriesOutWhatWasSentBeforeTheEndAndDestroysContextsBeforeItSaysGoodbye) {
  ASSERT_TRUE(session_->handles().Add(HandleKind::kContext, Context(1), reinterpret_cast<void*>(2)));
  Block("cuEventRecord");
  std::atomic<bool> said_goodbye{false};
  driver_.On("cuCtxDestroy_v2", [&] {
    said_goodbye = client_.ended();
    return CUDA_SUCCESS;
  });
  client_.Greet(*session_);
  Send({Record(1, 10)});
  entered_.Wait();
  const uint64_t query = Send({Record(2, 11), Query(2, kStream), Tell(Control::kEnd, {})}) + 1;
  EXPECT_FALSE(session_->OnFrame(MakeFrame(client_.next(), 0, {Record(1, 12)}))) << "it is over";
  let_go_.Happen();
  session_->Finish();
  EXPECT_EQ(client_.AwaitEnd(), "");
  EXPECT_FALSE(client_.Await(query).has_value()) << "a client that has ended is told of nothing but the end";
  EXPECT_FALSE(said_goodbye);
  const std::vector<std::string> calls = driver_.calls();
  const auto last = std::find(calls.begin(), calls.end(), "cuStreamQuery 1");
  EXPECT_NE(last, calls.end());
  EXPECT_LT(last, std::find(calls.begin(), calls.end(), "cuCtxDestroy_v2 2"));
  EXPECT_EQ(std::count(calls.begin(), calls.end(), Recorded(12)), 0);
  session_.reset();
  const std::vector<std::string> all = driver_.calls();
  EXPECT_EQ(std::count(all.begin(), all.end(), "cuCtxDestroy_v2 2"), 1);
}

TEST_F(SessionTest, AnEndThatTakesTooLongIsCutShortWithAReason) {
  Block("cuStreamSynchronize");
  Block("cuEventRecord");
  client_.Greet(*session_);
  Send({Synchronize(1)});
  entered_.Wait();
  Send({Synchronize(2), Record(3, 10), Record(3, 11), Tell(Control::kEnd, {})});
  std::thread finish([this] { session_->Finish(); });
  session_->End("it takes too long");
  EXPECT_EQ(client_.AwaitEnd(), "it takes too long");
  let_go_.Happen();
  finish.join();
  const std::vector<std::string> calls = driver_.calls();
  EXPECT_EQ(std::count(calls.begin(), calls.end(), Recorded(11)), 0) << "what had not begun is dropped";
}

TEST_F(SessionTest, WaitsForALaneThatIsInTheDriverWhenItIsClosed) {
  Block("cuStreamSynchronize");
  client_.Greet(*session_);
  Send({Synchronize(1)});
  entered_.Wait();
  Send({Record(2, 10), Synchronize(2)});
  std::thread close([this] { session_->OnClosed(); });
  close.join();
  EXPECT_FALSE(session_->Wait(std::chrono::milliseconds(0)));
  EXPECT_FALSE(session_->OnFrame(MakeFrame(client_.next(), 0, {Record(1, 10)})));
  let_go_.Happen();
  EXPECT_TRUE(session_->Wait());
}

TEST_F(SessionTest, DestroysContextsAtItsEnd) {
  ASSERT_TRUE(session_->handles().Add(HandleKind::kContext, wire::PrimaryContextHandle(0), reinterpret_cast<void*>(1)));
  ASSERT_TRUE(session_->handles().Add(HandleKind::kContext, Context(1), reinterpret_cast<void*>(2)));
  client_.Greet(*session_);
  session_.reset();
  const std::vector<std::string> calls = driver_.calls();
  const auto created = std::find(calls.begin(), calls.end(), "cuCtxDestroy_v2 2");
  const auto primary = std::find(calls.begin(), calls.end(), "cuDevicePrimaryCtxReset_v2 5");
  EXPECT_NE(created, calls.end());
  EXPECT_NE(primary, calls.end());
  EXPECT_LT(created, primary) << "the newest first";
  EXPECT_EQ(std::count(calls.begin(), calls.end(), "cuCtxDestroy_v2 1"), 0);
}

TEST(Scratch, GivesZeroedMemoryUpToAPayload) {
  Scratch scratch;
  for (int round = 0; round < 2; ++round) {
    std::byte* small = scratch.Allocate(24);
    std::byte* next = scratch.Allocate(1);
    std::byte* large = scratch.Allocate(1 << 20);
    ASSERT_NE(large, nullptr);
    for (std::byte* at : {small, next, large}) EXPECT_EQ(reinterpret_cast<uintptr_t>(at) % 16, 0u);
    EXPECT_TRUE(std::all_of(small, small + 24, [](std::byte byte) { return byte == std::byte{0}; }));
    EXPECT_EQ(*next, std::byte{0});
    EXPECT_EQ(large[(1 << 20) - 1], std::byte{0});
    std::memset(small, 1, 24);
    *next = std::byte{1};
    EXPECT_EQ(scratch.Allocate(kMaxPayloadBytes), nullptr) << "more than may be out at once";
    EXPECT_EQ(scratch.Allocate(SIZE_MAX), nullptr);
    EXPECT_NE(scratch.Allocate(kMaxPayloadBytes - (1 << 20) - 25), nullptr);
    scratch.Reset();
  }
}

}  // namespace
}  // namespace outboard::worker
