#include "server/worker/output.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/limits.h"
#include "server/worker/copies.h"
#include "tests/unit/worker_custom/fake_driver.h"

namespace outboard::worker {
namespace {

class OutputTest : public testing::Test {
 protected:
  OutputTest()
      : file_(memfd_create("output", MFD_CLOEXEC)), output_(std::make_unique<Output>(UniqueFd(dup(file_.get())))) {}
  void Print(std::string_view text) {
    ASSERT_EQ(write(file_.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }

  UniqueFd file_;
  std::unique_ptr<Output> output_;
  std::string text_;
};

TEST_F(OutputTest, ReadsWhatIsNew) {
  EXPECT_FALSE(output_->Read(&text_));
  Print("one");
  Print(" two");
  ASSERT_TRUE(output_->Read(&text_));
  EXPECT_EQ(text_, "one two");
  EXPECT_FALSE(output_->Read(&text_));
  Print("three");
  ASSERT_TRUE(output_->Read(&text_));
  EXPECT_EQ(text_, "three");
}

TEST_F(OutputTest, MuchComesInPiecesAndIsNotKept) {
  const std::string much(kMaxPayloadBytes + 5, 'x');
  Print(much);
  ASSERT_TRUE(output_->Read(&text_));
  EXPECT_EQ(text_.size(), kMaxPayloadBytes);
  ASSERT_TRUE(output_->Read(&text_));
  EXPECT_EQ(text_.size(), 5u);
  struct stat info;
  ASSERT_EQ(fstat(file_.get(), &info), 0);
  EXPECT_LE(info.st_blocks * 512, 4096);
}

TEST_F(OutputTest, GoesBeforeTheReply) {
  FakeDriver driver;
  Sent sent;
  Copies copies(driver.table(), sent.sender());
  copies.SetOutput(std::move(output_));
  copies.LandCompleted();
  EXPECT_EQ(sent.size(), 0u);
  Print("hello");
  copies.LandCompleted();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent.At(0).control, wire::Control::kOutput);
  EXPECT_EQ(sent.At(0).Text(), "hello");
  copies.ReleaseAll();
}

}  // namespace
}  // namespace outboard::worker
