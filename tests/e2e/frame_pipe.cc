// Frames between a worker and whoever has this program's pipes, under gpu-run: what comes on standard input is sent,
// what the worker says goes to standard output. Each frame stands behind its number of bytes (4, little-endian). The
// first bytes on standard output, in the same form, are the ticket that the hello has to show. It ends when either side
// does.

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "common/base/limits.h"
#include "tests/e2e/raw_connection.h"

namespace {

using outboard::e2e::Fail;
using outboard::e2e::RawConnection;

// False when standard input ends before.
bool ReadAll(std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t got = read(STDIN_FILENO, bytes.data(), bytes.size());
    if (got <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(got));
  }
  return true;
}

void Write(std::span<const std::byte> frame) {
  const auto size = static_cast<uint32_t>(frame.size());
  if (std::fwrite(&size, sizeof size, 1, stdout) != 1 ||
      std::fwrite(frame.data(), 1, frame.size(), stdout) != frame.size() || std::fflush(stdout) != 0) {
    std::_Exit(1);
  }
}

}  // namespace

int main() {
  RawConnection connection;
  Write(std::as_bytes(std::span(connection.ticket())));
  std::thread([&connection] {
    std::string reason;
    while (const auto frame = connection.Receive(&reason)) Write(*frame);
    std::fprintf(stderr, "frame_pipe: %s\n", reason.c_str());
    std::_Exit(0);
  }).detach();
  uint32_t size = 0;
  while (ReadAll(std::as_writable_bytes(std::span(&size, 1)))) {
    if (size > outboard::kMaxFrameBytes) Fail("a frame of " + std::to_string(size) + " bytes is none");
    std::vector<std::byte> frame(size);
    if (!ReadAll(frame)) Fail("standard input ends within a frame");
    connection.Send(frame);
  }
  std::_Exit(0);
}
