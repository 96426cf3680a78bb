#include "client/session/trace.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/fakes/temporary_folder.h"
#include "tests/unit/session/fake_peer.h"

namespace outboard::client {
namespace {

struct Traced {
  uint32_t direction;
  std::string frame;
  bool operator==(const Traced&) const = default;
};

std::string TextOf(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

class TraceTest : public testing::Test {
 protected:
  fakes::TemporaryFolder folder_;
  const std::string path_ = folder_.path() + "/trace";

  std::unique_ptr<Trace> Open(const std::string& path) {
    auto trace = Trace::Open(path);
    EXPECT_TRUE(trace) << (trace ? "" : trace.error().message);
    return trace ? std::move(*trace) : nullptr;
  }
  static std::string Content(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::vector<Traced> Frames() {
    const std::string content = Content(path_);
    std::vector<Traced> frames;
    uint64_t magic = 0;
    std::memcpy(&magic, content.data(), std::min(sizeof magic, content.size()));
    EXPECT_EQ(magic, kTraceMagic);
    for (size_t at = sizeof magic; at < content.size();) {
      TraceRecord record;
      std::memcpy(&record, content.data() + at, sizeof record);
      frames.push_back({record.direction, content.substr(at + sizeof record, record.bytes)});
      at += sizeof record + record.bytes;
    }
    return frames;
  }
};

TEST_F(TraceTest, HoldsTheFramesOfBothDirectionsInTheirOrder) {
  OpenSession open({.flush_age = std::chrono::hours(1), .spin = std::chrono::seconds(0), .trace = Open(path_)});
  Lane lane;
  std::string asked, answered = "?";
  std::thread worker([&] {
    const SentFrame frame = open.peer.Take();
    asked = TextOf(frame.bytes);
    open.peer.Reply(frame.commands().back().sequence).Deliver();
  });
  EXPECT_EQ(open.Call(lane).result, CUDA_SUCCESS);
  worker.join();
  const std::vector<Traced> frames = Frames();
  ASSERT_EQ(frames.size(), 4u);  // two hellos, a call and its reply
  for (size_t i = 0; i < frames.size(); ++i) EXPECT_EQ(frames[i].direction, i % 2) << i;
  EXPECT_EQ(frames[2].frame, asked);
  const auto reply = wire::FrameReader::Open(std::as_bytes(std::span(frames[3].frame)));
  ASSERT_TRUE(reply);
}

TEST_F(TraceTest, IsWrittenOverAFormerOne) {
  std::ofstream(path_) << std::string(1000, 'x');
  const auto trace = Open(path_);
  EXPECT_EQ(Content(path_).size(), sizeof kTraceMagic);
}

TEST_F(TraceTest, AnotherWriterGetsAnotherFile) {
  const auto first = Open(path_), second = Open(path_);
  first->Write(Trace::Direction::kFromClient, std::as_bytes(std::span("first")));
  EXPECT_EQ(Frames().size(), 1u);
  EXPECT_EQ(Content(path_ + "." + std::to_string(getpid())).size(), sizeof kTraceMagic);
}

TEST_F(TraceTest, TheProcessNumberMayStandInItsName) {
  const auto trace = Open(path_ + "-%p-%p");
  const std::string number = std::to_string(getpid());
  EXPECT_EQ(Content(path_ + "-" + number + "-" + number).size(), sizeof kTraceMagic);
}

TEST_F(TraceTest, SaysWhyItCannotBeWritten) {
  const auto trace = Trace::Open(folder_.path() + "/none/trace");
  ASSERT_FALSE(trace);
  EXPECT_NE(trace.error().message.find("/none/trace"), std::string::npos) << trace.error().message;
  EXPECT_NE(trace.error().message.find("No such file"), std::string::npos) << trace.error().message;
}

TEST_F(TraceTest, EndsWhereItCannotBeWrittenAnyMore) {
  const auto trace = Open(path_);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small = {64, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::vector<std::byte> frame(100);
  trace->Write(Trace::Direction::kFromClient, frame);
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  trace->Write(Trace::Direction::kFromClient, frame);
  EXPECT_EQ(Content(path_).size(), 64u);
}

}  // namespace
}  // namespace outboard::client
