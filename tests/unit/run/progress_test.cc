#include "client/run/progress.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "common/base/unique_fd.h"

namespace outboard::run {
namespace {

std::string SaidWhen(bool is_quiet, const std::vector<std::string>& sentences) {
  int ends[2];
  EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd from(ends[0]);
  UniqueFd to(ends[1]);
  Progress progress(is_quiet, to.get());
  for (const std::string& sentence : sentences) progress.Say(sentence);
  progress.Clear();
  to.Reset();
  char text[4096];
  const ssize_t got = read(from.get(), text, sizeof text);
  return std::string(text, got > 0 ? static_cast<size_t>(got) : 0);
}

TEST(RunProgress, IsALineNowAndThenWhereThereIsNoTerminal) {
  EXPECT_EQ(SaidWhen(false, {"others have it.", "others have it.", "others still have it."}),
            "outboard: waits: others have it.\n");
}

TEST(RunProgress, QuietIsQuiet) { EXPECT_EQ(SaidWhen(true, {"others have it."}), ""); }

}  // namespace
}  // namespace outboard::run
