#include "server/node/gpus.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <string_view>

#include "common/base/env.h"
#include "common/base/limits.h"
#include "common/base/printable.h"

namespace outboard::node {
namespace {

constexpr uint64_t kMaxCudaVersion = 1'000'000;

// Takes the first line off a text; nullopt when no line's end is there.
std::optional<std::string> TakeLine(std::string_view* text) {
  const size_t end = text->find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  std::string line(text->substr(0, end));
  text->remove_prefix(end + 1);
  return line;
}

// The figures that are known, as "number=value number=value".
std::string EncodeFigures(const wire::Figures& figures) {
  std::string text;
  for (size_t i = 0; i < wire::kFigures; ++i) {
    const uint64_t value = figures.values()[i];
    if (value == wire::kNoFigure) continue;
    text += (text.empty() ? "" : " ") + std::to_string(i) + "=" + std::to_string(value);
  }
  return text;
}

std::optional<wire::Figures> DecodeFigures(std::string_view text) {
  wire::Figures figures;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(word.size() == text.size() ? word.size() : word.size() + 1);
    const size_t sign = word.find('=');
    if (sign == std::string_view::npos) return std::nullopt;
    const std::optional<uint64_t> number = ParseNumber(word.substr(0, sign)),
                                  value = ParseNumber(word.substr(sign + 1));
    if (!number || !value) return std::nullopt;
    figures.Set(*number, *value);
  }
  return figures;
}

void WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written < 0 && errno != EINTR) return;
    if (written > 0) text.remove_prefix(static_cast<size_t>(written));
  }
}

}  // namespace

std::string EncodeProbeAnswer(const Result<std::vector<Gpu>>& answer) {
  if (!answer) return "error\n" + Printable(answer.error().message) + "\n";
  std::string text = "gpus\n" + std::to_string(answer->size()) + "\n";
  for (const Gpu& gpu : *answer) {
    text += Printable(gpu.name) + "\n" + Printable(gpu.uuid) + "\n" + std::to_string(gpu.memory_bytes) + "\n" +
            EncodeFigures(gpu.figures) + "\n" + std::to_string(gpu.cuda_version) + "\n" +
            std::to_string(gpu.context_bytes) + "\n";
  }
  return text;
}

Result<std::vector<Gpu>> DecodeProbeAnswer(const std::string& text) {
  const Error broken{"the driver ended the process that asked it for its GPUs"};
  std::string_view rest = text;
  const std::optional<std::string> kind = TakeLine(&rest);
  const std::optional<std::string> second = TakeLine(&rest);
  if (!kind || !second) return broken;
  if (*kind == "error" && rest.empty()) return Error{*second};
  const std::optional<uint64_t> count = ParseNumber(*second);
  if (*kind != "gpus" || !count || *count > kMaxDevices) return broken;
  std::vector<Gpu> gpus;
  while (gpus.size() < *count) {
    const std::optional<std::string> name = TakeLine(&rest);
    const std::optional<std::string> uuid = TakeLine(&rest);
    const std::optional<std::string> memory = TakeLine(&rest);
    const std::optional<uint64_t> bytes = memory ? ParseNumber(*memory) : std::nullopt;
    const std::optional<std::string> line = TakeLine(&rest);
    const std::optional<wire::Figures> figures = line ? DecodeFigures(*line) : std::nullopt;
    const std::optional<std::string> version = TakeLine(&rest);
    const uint64_t cuda_version = (version ? ParseNumber(*version) : std::nullopt).value_or(kMaxCudaVersion + 1);
    const std::optional<std::string> context = TakeLine(&rest);
    const std::optional<uint64_t> context_bytes = context ? ParseNumber(*context) : std::nullopt;
    if (!name || !uuid || !bytes || !figures || cuda_version > kMaxCudaVersion || !context_bytes) return broken;
    gpus.push_back({*name, *uuid, *bytes, *figures, static_cast<int>(cuda_version), *context_bytes});
  }
  if (!rest.empty()) return broken;
  return gpus;
}

Probe::Probe(const std::function<Result<std::vector<Gpu>>()>& ask) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return;
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent) WriteAll(ends[1], EncodeProbeAnswer(ask()));
    _exit(0);
  }
  close(ends[1]);
  answers_ = ends[0];
}

Probe::~Probe() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  if (answers_ >= 0) close(answers_);
}

Result<std::vector<Gpu>> Probe::Wait(std::chrono::milliseconds limit) {
  if (pid_ < 0) return Error{std::string("no process could be started to ask the driver: ") + std::strerror(errno)};
  const auto end = std::chrono::steady_clock::now() + limit;
  std::string text;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    pollfd waiting = {answers_, POLLIN, 0};
    const int ready = left.count() <= 0 ? 0 : poll(&waiting, 1, static_cast<int>(left.count()));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return Error{"the driver did not answer in " + std::to_string(limit.count() / 1000) + " s"};
    char piece[4096];
    const ssize_t got = read(answers_, piece, sizeof piece);
    if (got < 0 && errno == EINTR) continue;
    if (got > 0) text.append(piece, static_cast<size_t>(got));
    if (got <= 0 || text.size() > kMaxProbeAnswerBytes) return DecodeProbeAnswer(text);
  }
}

}  // namespace outboard::node
