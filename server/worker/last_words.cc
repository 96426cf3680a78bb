#include "server/worker/last_words.h"

#include <signal.h>

#include <atomic>

#include "server/worker/output.h"

namespace outboard::worker {
namespace {

// A signal handler gets nothing passed.
struct {
  std::atomic<const Output*> errors{nullptr};
  std::atomic<int> log{-1};
} last_words;

}  // namespace

void SaveLastWords(const Output* errors, int log) {
  last_words.log = log;
  last_words.errors = errors;
  struct sigaction action {};
  action.sa_handler = [](int) { last_words.errors.load()->WriteUnread(last_words.log.load()); };
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGABRT, &action, nullptr);
}

}  // namespace outboard::worker
