#include "client/nvml/library.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "client/ask/ask_gpu_run.h"
#include "common/base/env.h"
#include "common/base/limits.h"
#include "common/base/log.h"

namespace outboard::nvml {
namespace {

constexpr std::string_view kQuestion = "outboard 1 gpus";
constexpr std::string_view kGood = "ok gpus\n";
constexpr std::string_view kBad = "error ";
constexpr std::chrono::milliseconds kLimit{kMaxGpusAnswerMilliseconds};
constexpr uint64_t kHandle = 0xb8ull << 56;  // no address of a process

// What Open learnt. Former facts stay where they are: other threads may read them. They differ only if more is known
// now, or if the process got another lease.
struct Learnt {
  wire::LeaseStatus facts;
  const Learnt* former;
};

// All that the library keeps. Without locks, so that every moment is a good one for a fork.
struct State {
  std::atomic<unsigned> users{0};
  std::atomic<const Learnt*> learnt{nullptr};
  std::atomic<bool> lost{false};  // which was said
};
constinit State state;

Result<wire::LeaseStatus> AskAnew() {
  const std::optional<std::string> path = GetEnv("OUTBOARD_RUN_SOCKET");
  if (!path) {
    return Error{
        "this process has no lease of a GPU, since it was not started by gpu-run (OUTBOARD_RUN_SOCKET is not set); "
        "start it with: gpu-run -- COMMAND"};
  }
  const Result<std::string> answer = client::AskGpuRun(*path, kQuestion, kMaxGpusAnswerBytes, kLimit);
  if (!answer) return answer.error();
  if (answer->starts_with(kGood)) {
    return wire::DecodeLeaseStatus(std::as_bytes(std::span(*answer)).subspan(kGood.size()));
  }
  if (answer->starts_with(kBad)) return Error{answer->substr(kBad.size())};
  return Error{"gpu-run's answer about the GPUs is not understood; gpu-run and the library differ"};
}

void SayOnce(const Error& error) {
  if (!state.lost.exchange(true)) Log(LogLevel::kWarn, "NVML: %s", error.message.c_str());
}

bool SameFacts(const wire::LeaseStatus& a, const wire::LeaseStatus& b) {
  if (a.driver_version != b.driver_version || a.gpus.size() != b.gpus.size()) return false;
  for (size_t i = 0; i < a.gpus.size(); ++i) {
    if (a.gpus[i].name != b.gpus[i].name || a.gpus[i].uuid != b.gpus[i].uuid) return false;
    const auto& figures = a.gpus[i].figures.values();
    if (!std::equal(figures.begin(), figures.begin() + wire::kConstantFigures, b.gpus[i].figures.values().begin())) {
      return false;
    }
  }
  return true;
}

void Keep(wire::LeaseStatus facts) {
  const Learnt* former = state.learnt.load();
  if (former != nullptr && SameFacts(former->facts, facts)) return;
  auto made = std::make_unique<Learnt>(Learnt{std::move(facts), former});
  // Should another thread be quicker, its facts are as good.
  if (state.learnt.compare_exchange_strong(former, made.get())) static_cast<void>(made.release());
}

}  // namespace

nvmlReturn_t Open() {
  if (state.users.load() == 0) {
    Result<wire::LeaseStatus> answer = AskAnew();
    if (!answer) {
      SayOnce(answer.error());
      return NVML_ERROR_DRIVER_NOT_LOADED;
    }
    state.lost = false;
    Keep(std::move(*answer));
  }
  ++state.users;
  return NVML_SUCCESS;
}

nvmlReturn_t Close() {
  unsigned users = state.users.load();
  do {
    if (users == 0) return NVML_ERROR_UNINITIALIZED;
  } while (!state.users.compare_exchange_weak(users, users - 1));
  return NVML_SUCCESS;
}

const wire::LeaseStatus* Facts() {
  const Learnt* const learnt = state.users.load() == 0 ? nullptr : state.learnt.load();
  return learnt != nullptr ? &learnt->facts : nullptr;
}

nvmlReturn_t Ask(wire::LeaseStatus* status) {
  Result<wire::LeaseStatus> answer = AskAnew();
  if (!answer) {
    SayOnce(answer.error());
    return NVML_ERROR_GPU_IS_LOST;
  }
  state.lost = false;
  *status = std::move(*answer);
  return NVML_SUCCESS;
}

nvmlDevice_t HandleOf(size_t index) { return reinterpret_cast<nvmlDevice_t>(kHandle + index); }

nvmlReturn_t IndexOf(nvmlDevice_t device, const wire::LeaseStatus& facts, size_t* index) {
  const uint64_t number = reinterpret_cast<uint64_t>(device) - kHandle;
  if (number >= facts.gpus.size()) return NVML_ERROR_INVALID_ARGUMENT;
  *index = number;
  return NVML_SUCCESS;
}

nvmlReturn_t GiveText(const char* text, char* to, unsigned length) {
  if (to == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  const size_t bytes = std::strlen(text) + 1;
  if (bytes > length) return NVML_ERROR_INSUFFICIENT_SIZE;
  std::memcpy(to, text, bytes);
  return NVML_SUCCESS;
}

}  // namespace outboard::nvml
