#include "server/worker/output.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "common/base/limits.h"
#include "server/worker/copies.h"
#include "server/worker/last_words.h"
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

TEST_F(OutputTest, WhatIsLeftGoesWhereItIsWanted) {
  Print("one");
  ASSERT_TRUE(output_->Read(&text_));
  const std::string rest(5000, 'x');
  Print(rest);
  const UniqueFd log(memfd_create("log", MFD_CLOEXEC));
  output_->WriteUnread(log.get());
  text_.resize(2 * rest.size());
  const ssize_t got = pread(log.get(), text_.data(), text_.size(), 0);
  EXPECT_EQ(text_.substr(0, got), rest);
}

TEST_F(OutputTest, AnAbortingWorkersLastWordsGoToItsLog) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        const int log = dup(STDERR_FILENO);
        const auto errors = Output::Take(STDERR_FILENO);
        SaveLastWords(errors->get(), log);
        std::fputs("Assertion `it is so' failed.\n", stderr);
        std::abort();
      },
      testing::KilledBySignal(SIGABRT), "Assertion `it is so' failed");
}

TEST_F(OutputTest, GoesBeforeTheReplyAndOfStandardErrorToo) {
  FakeDriver driver;
  slice::Gate gate;
  Sent sent;
  Copies copies(driver.table(), gate, sent.sender());
  const UniqueFd errors(memfd_create("errors", MFD_CLOEXEC));
  copies.SetOutput(std::move(output_), std::make_unique<Output>(UniqueFd(dup(errors.get()))));
  copies.LandCompleted();
  EXPECT_EQ(sent.size(), 0u);
  Print("hello");
  copies.LandCompleted();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent.At(0).control, wire::Control::kOutput);
  EXPECT_EQ(sent.At(0).Text(), "hello");
  ASSERT_EQ(write(errors.get(), "failed", 6), 6);
  copies.LandCompleted();
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent.At(1).control, wire::Control::kErrorOutput);
  EXPECT_EQ(sent.At(1).Text(), "failed");
  copies.ReleaseAll();
}

}  // namespace
}  // namespace outboard::worker
