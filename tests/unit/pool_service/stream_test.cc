#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "server/pool/service_stream.h"

namespace outboard::pool {
namespace {

// gRPC's part: the write that is under way, and how the call was finished.
class FakeReactor {
 public:
  virtual ~FakeReactor() = default;
  virtual void OnCancel() = 0;
  virtual void OnWriteDone(bool ok) = 0;
  virtual void OnDone() = 0;
  void StartWrite(const std::string* reply) { sent_ = *reply; }
  void Finish(const grpc::Status& status) { finished_ = status; }

  std::string sent_;
  std::optional<grpc::Status> finished_;
};

class Stream final : public ReplyStream<FakeReactor, std::string> {
 public:
  void Begin() { Start(); }
  void Written() override { ++written_; }
  void Ended() override {}
  size_t MostWaiting() const override { return 3; }
  int written_ = 0;
};

TEST(ReplyStream, SaysOneAfterTheOther) {
  const auto stream = std::make_shared<Stream>();
  stream->Begin();
  EXPECT_TRUE(stream->Say("a"));
  EXPECT_TRUE(stream->Say("b"));
  EXPECT_EQ(stream->sent_, "a");
  stream->OnWriteDone(true);
  EXPECT_EQ(stream->sent_, "b");
  EXPECT_EQ(stream->written_, 0);
  stream->OnWriteDone(true);
  EXPECT_EQ(stream->written_, 1);
  EXPECT_TRUE(stream->End(grpc::Status::OK));
  EXPECT_TRUE(stream->finished_->ok());
  EXPECT_FALSE(stream->Say("c"));
  stream->OnDone();
}

TEST(ReplyStream, EndsWhenNobodyReads) {
  const auto stream = std::make_shared<Stream>();
  stream->Begin();
  for (const char* reply : {"a", "b", "c", "d"}) EXPECT_TRUE(stream->Say(reply));
  EXPECT_FALSE(stream->Say("e"));
  EXPECT_FALSE(stream->finished_) << "the first one is being sent";
  stream->OnWriteDone(true);
  ASSERT_TRUE(stream->finished_);
  EXPECT_EQ(stream->finished_->error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(stream->sent_, "a") << "nothing behind it";
  EXPECT_EQ(stream->written_, 0);
  stream->OnDone();
}

}  // namespace
}  // namespace outboard::pool
