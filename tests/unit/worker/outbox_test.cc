#include "server/worker/outbox.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/limits.h"
#include "server/worker/session.h"

namespace outboard::worker {
namespace {

using wire::Control;

// Keeps frames, and does something in the middle of sending the next one.
class Sink final : public FrameSink {
 public:
  struct Frame {
    wire::FrameHeader header;
    std::vector<std::string> bodies;
  };
  void Send(std::span<const std::byte> bytes) override {
    EXPECT_FALSE(ended);
    std::optional<wire::FrameReader> reader = wire::FrameReader::Open(bytes);
    ASSERT_TRUE(reader.has_value());
    Frame& frame = frames.emplace_back(Frame{reader->header(), {}});
    while (const auto command = reader->Next()) {
      frame.bodies.emplace_back(reinterpret_cast<const char*>(command->body.data()), command->body.size());
    }
    if (const auto now = std::exchange(meanwhile, nullptr)) now();
  }
  void End() override { ended = true; }

  std::vector<Frame> frames;
  std::function<void()> meanwhile;
  bool ended = false;
};

class OutboxTest : public testing::Test {
 protected:
  void Send(const std::string& text) { Send(Control::kOutput, text); }
  bool Send(Control control, const std::string& text) {
    const Outbox::Encoding encoding(outbox_, control, 3, text.size());
    if (encoding.body() == nullptr) return false;
    std::memcpy(encoding.body(), text.data(), text.size());
    return true;
  }
  std::vector<std::string> Bodies(size_t frame) { return sink_.frames.at(frame).bodies; }

  Sink sink_;
  Credits credits_;
  Outbox outbox_{&sink_, &credits_};
};

using Texts = std::vector<std::string>;

TEST_F(OutboxTest, SendsEachCommandAtOnceAndNumbersThem) {
  Send("one     ");
  EXPECT_EQ(sink_.frames.size(), 1u);
  Send("two     ");
  ASSERT_EQ(sink_.frames.size(), 2u);
  EXPECT_EQ(Bodies(1), Texts{"two     "});
  EXPECT_EQ(sink_.frames[0].header.first, 1u);
  EXPECT_EQ(sink_.frames[1].header.first, 2u);
  EXPECT_EQ(outbox_.sent(), 2u);
}

TEST_F(OutboxTest, PacksWhatComesTogetherWhileAFrameIsBeingSent) {
  sink_.meanwhile = [this] {
    std::thread([this] { Send("two     "); }).join();
    std::thread([this] { Send("three   "); }).join();
    EXPECT_EQ(sink_.frames.size(), 1u) << "frames are sent by one thread at a time";
  };
  Send("one     ");
  ASSERT_EQ(sink_.frames.size(), 2u);
  EXPECT_EQ(Bodies(1), (Texts{"two     ", "three   "}));
  EXPECT_EQ(sink_.frames[1].header.first, 2u);
}

TEST_F(OutboxTest, HoldsBackWhatOneThreadAddsUntilItsLastCommand) {
  {
    const Outbox::Hold hold(outbox_);
    Send("land 1  ");
    Send("land 2  ");
    EXPECT_EQ(sink_.frames.size(), 0u);
  }
  EXPECT_EQ(sink_.frames.size(), 0u);
  Send("reply   ");
  ASSERT_EQ(sink_.frames.size(), 1u);
  EXPECT_EQ(Bodies(0), (Texts{"land 1  ", "land 2  ", "reply   "}));
}

TEST_F(OutboxTest, DoesNotHoldBackWhatOthersAdd) {
  const Outbox::Hold hold(outbox_);
  Send("land    ");
  std::thread([this] {
    const Outbox::Hold in_vain(outbox_);
    Send("reply   ");
  }).join();
  ASSERT_EQ(sink_.frames.size(), 1u);
  EXPECT_EQ(Bodies(0), (Texts{"land    ", "reply   "}));
  Send("land 2  ");
  EXPECT_EQ(sink_.frames.size(), 1u) << "the first thread still holds";
}

TEST_F(OutboxTest, BeginsAnotherFrameWhenOneIsFull) {
  const Outbox::Hold hold(outbox_);
  const std::string large(kMaxPayloadBytes, 'x');
  Send(large);
  EXPECT_EQ(sink_.frames.size(), 0u);
  Send(large);
  ASSERT_EQ(sink_.frames.size(), 1u);
  EXPECT_EQ(Bodies(0), Texts{large});
}

TEST_F(OutboxTest, EndsWithTheReasonAndNothingBehindIt) {
  sink_.meanwhile = [this] {
    EXPECT_TRUE(Send(Control::kOutput, "before  "));
    outbox_.End("a reason");
    EXPECT_FALSE(Send(Control::kOutput, "after   "));
    outbox_.End("another");
  };
  Send("first   ");
  ASSERT_EQ(sink_.frames.size(), 2u);
  EXPECT_EQ(Bodies(1), (Texts{"before  ", "a reason"}));
  EXPECT_TRUE(sink_.ended);
  EXPECT_FALSE(Send(Control::kOutput, "after   "));
  EXPECT_EQ(sink_.frames.size(), 2u);
}

TEST_F(OutboxTest, FindsRoomForTheReasonInAFullFrame) {
  const Outbox::Hold hold(outbox_);
  Send(std::string(kMaxPayloadBytes, 'x'));
  const size_t rest = kMaxFrameBytes - 1024 - sizeof(wire::FrameHeader) - 2 * sizeof(wire::CommandHeader);
  Send(std::string(rest - kMaxPayloadBytes, 'y'));
  ASSERT_EQ(sink_.frames.size(), 0u);
  outbox_.End(std::string(100'000, 'z'));
  ASSERT_EQ(sink_.frames.size(), 1u);
  EXPECT_EQ(Bodies(0).size(), 3u);
}

TEST_F(OutboxTest, IsSilentOnceItIsClosed) {
  sink_.meanwhile = [this] {
    Send("lost    ");
    outbox_.Close();
  };
  Send("first   ");
  EXPECT_FALSE(Send(Control::kOutput, "lost too"));
  outbox_.End("a reason");
  EXPECT_EQ(sink_.frames.size(), 1u);
  EXPECT_FALSE(sink_.ended);
}

TEST_F(OutboxTest, AcknowledgesWithTheNextFrameOrWhenItIsDue) {
  ASSERT_TRUE(credits_.Take(2, 100));
  credits_.Release(7, 1, 50);
  outbox_.AcknowledgeIfDue();
  EXPECT_EQ(sink_.frames.size(), 0u);
  Send("reply   ");
  EXPECT_EQ(sink_.frames.back().header.acknowledged, 7u);
  outbox_.Acknowledge();
  EXPECT_EQ(sink_.frames.size(), 1u) << "nothing new to tell";
  credits_.Release(9, 1, 50);
  outbox_.Acknowledge();
  ASSERT_EQ(sink_.frames.size(), 2u);
  EXPECT_EQ(sink_.frames.back().header.acknowledged, 9u);
  EXPECT_EQ(sink_.frames.back().header.count, 0u);
  EXPECT_EQ(sink_.frames.back().header.first, 2u);

  ASSERT_TRUE(credits_.Take(1, kCreditBytes / 4));
  credits_.Release(10, 1, kCreditBytes / 4);
  outbox_.AcknowledgeIfDue();
  EXPECT_EQ(sink_.frames.size(), 3u);
}

TEST(Credits, AreUsedUpByWhatIsNotAcknowledged) {
  Credits commands, bytes;
  EXPECT_TRUE(commands.Take(kCreditCommands, 0));
  EXPECT_FALSE(commands.Take(1, 0));
  EXPECT_TRUE(bytes.Take(1, kCreditBytes));
  EXPECT_FALSE(bytes.Take(1, 8));
}

TEST(Credits, ComeBackWhenTheClientIsTold) {
  Credits told, not_told;
  for (Credits* credits : {&told, &not_told}) {
    EXPECT_TRUE(credits->Take(kCreditCommands, kCreditBytes));
    credits->Release(10, 1, 24);
    EXPECT_TRUE(credits->HasNews());
    EXPECT_FALSE(credits->IsDue());
  }
  EXPECT_EQ(told.Acknowledge(), 10u);
  EXPECT_FALSE(told.HasNews());
  EXPECT_TRUE(told.Take(1, 24));
  EXPECT_FALSE(not_told.Take(1, 24)) << "the client cannot know that it has credit";
}

}  // namespace
}  // namespace outboard::worker
