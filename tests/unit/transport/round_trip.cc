#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/transport/peer.h"

// Measures the transport and the worker's service, without a session, beside a blocking ping-pong over TCP: round trips
// of 64 bytes and the throughput of frames of 1 MiB. Client on one CPU, worker in another process on another CPU; pairs
// interleaved.
//
// usage: transport_round_trip [PAIRS [ROUNDS]]

namespace outboard::transport_test {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kFrame = 64, kBulkFrame = 1 << 20, kBulkFrames = 512;
// As a session's credits do: so many frames are under way at most, of which each kAnswered-th is answered.
constexpr size_t kUnderWay = 16, kAnswered = 4;

void PinTo(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  sched_setaffinity(0, sizeof set, &set);
}

// Runs `body` in another process on one CPU, which ends with this one.
template <class Body>
pid_t InOtherProcess(int cpu, Body body) {
  const pid_t child = fork();
  if (child != 0) return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  PinTo(cpu);
  body();
  _exit(0);
}

struct Figures {
  double median_us, p99_us;
};

template <class Round>
Figures Measure(size_t rounds, Round round) {
  for (size_t i = 0; i < rounds / 10; ++i) round();
  std::vector<double> times;
  for (size_t i = 0; i < rounds; ++i) {
    const auto begin = Clock::now();
    round();
    times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
  }
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times[times.size() * 99 / 100]};
}

void NoDelay(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

double MegabytesPerSecond(Clock::time_point begin) {
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  return static_cast<double>(kBulkFrame) * kBulkFrames / 1e6 / seconds;
}

class RawTcp {
 public:
  RawTcp() {
    Listener listener(Listener::Kind::kTcp);
    child_ = InOtherProcess(1, [&] {
      const UniqueFd peer = listener.Accept();
      NoDelay(peer.get());
      // A frame says in its first byte whether a large one, which is not answered unless it says so, follows.
      std::vector<char> bulk(kBulkFrame);
      char frame[kFrame];
      while (recv(peer.get(), frame, sizeof frame, MSG_WAITALL) == sizeof frame) {
        if (frame[0] != kPing && recv(peer.get(), bulk.data(), bulk.size(), MSG_WAITALL) <= 0) break;
        if (frame[0] != kBulk && send(peer.get(), frame, sizeof frame, MSG_NOSIGNAL) != sizeof frame) break;
      }
    });
    const std::string& address = listener.address();
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(static_cast<uint16_t>(std::atoi(address.c_str() + address.rfind(':') + 1)));
    socket_.Reset(socket(AF_INET, SOCK_STREAM, 0));
    if (connect(socket_.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) std::perror("connect");
    NoDelay(socket_.get());
  }
  ~RawTcp() {
    socket_.Reset();
    waitpid(child_, nullptr, 0);
  }
  void Round() {
    Send(kPing);
    Await();
  }
  double BulkMegabytesPerSecond() {
    const std::vector<char> bulk(kBulkFrame, 'x');
    const auto begin = Clock::now();
    for (size_t i = 0; i < kBulkFrames; ++i) {
      Send(i % kAnswered == kAnswered - 1 ? kAnsweredBulk : kBulk);
      if (send(socket_.get(), bulk.data(), bulk.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(bulk.size()))
        std::abort();
      if (i % kAnswered == kAnswered - 1 && i >= kUnderWay) Await();
    }
    for (size_t i = 0; i < kUnderWay / kAnswered; ++i) Await();
    return MegabytesPerSecond(begin);
  }

 private:
  static constexpr char kPing = 0, kBulk = 1, kAnsweredBulk = 2;
  void Send(char kind) {
    const char frame[kFrame] = {kind};
    if (send(socket_.get(), frame, sizeof frame, MSG_NOSIGNAL) != sizeof frame) std::abort();
  }
  void Await() {
    char frame[kFrame];
    if (recv(socket_.get(), frame, sizeof frame, MSG_WAITALL) != sizeof frame) std::abort();
  }
  pid_t child_;
  UniqueFd socket_;
};

// The worker sends small frames back and answers some of the large ones.
class OurPath {
 public:
  explicit OurPath(Listener::Kind kind) {
    int ends[2];
    if (pipe(ends) != 0) std::abort();
    child_ = InOtherProcess(1, [&] {
      worker::TuneAllocatorForFrames();
      size_t bulk = 0;
      Peer* self = nullptr;
      Peer peer({.kind = kind}, [&](std::span<const std::byte> frame) {
        if (frame.size() == kFrame || ++bulk % kAnswered == 0) self->service().Send(frame.first(kFrame));
        return true;
      });
      self = &peer;
      const std::string& address = peer.address();
      if (write(ends[1], address.c_str(), address.size() + 1) < 0) std::abort();
      peer.Join();
    });
    char address[128] = {};
    if (read(ends[0], address, sizeof address) <= 0) std::abort();
    close(ends[0]);
    close(ends[1]);
    const OutboardTransportEvents events{this, [](void* user, const void*, size_t) { ++Self(user).frames_; },
                                         [](void*, const char* reason) { std::fprintf(stderr, "%s\n", reason); }};
    char error[256];
    connection_ = transport_->open(address, nullptr, 0, &events, error, sizeof error);
    if (connection_ == nullptr) std::fprintf(stderr, "%s\n", error);
  }
  ~OurPath() {
    transport_->close(connection_);
    waitpid(child_, nullptr, 0);
  }
  void Round() {
    static const char frame[kFrame] = {};
    transport_->send(connection_, frame, sizeof frame);
    Await();
  }
  double BulkMegabytesPerSecond() {
    const size_t before = seen_;
    const auto begin = Clock::now();
    for (size_t i = 0; i < kBulkFrames; ++i) {
      transport_->send(connection_, bulk_.data(), bulk_.size());
      if (i % kAnswered == kAnswered - 1 && i >= kUnderWay) Await();
    }
    while (seen_ < before + kBulkFrames / kAnswered) Await();
    return MegabytesPerSecond(begin);
  }

 private:
  static OurPath& Self(void* user) { return *static_cast<OurPath*>(user); }
  void Await() {
    while (frames_ == seen_) transport_->poll(connection_, 50'000);
    ++seen_;
  }

  const OutboardTransport* const transport_ = LoadPlugin();
  const std::vector<char> bulk_ = std::vector<char>(kBulkFrame, 'x');
  pid_t child_;
  OutboardConnection* connection_ = nullptr;
  std::atomic<size_t> frames_{0};
  size_t seen_ = 0;
};

void MeasurePair(Listener::Kind kind, size_t rounds) {
  OurPath path(kind);  // first: its worker is forked off before gRPC runs here
  const Figures ours = Measure(rounds, [&] { path.Round(); });
  RawTcp tcp;
  const Figures raw = Measure(rounds, [&] { tcp.Round(); });
  std::printf(
      "%s: %.1f us (p99 %.1f), raw TCP %.1f us (p99 %.1f), ratio %.2f; frames of 1 MiB: %.0f MB/s, raw TCP %.0f MB/s\n",
      kind == Listener::Kind::kTcp ? "tcp " : "unix", ours.median_us, ours.p99_us, raw.median_us, raw.p99_us,
      ours.median_us / raw.median_us, path.BulkMegabytesPerSecond(), tcp.BulkMegabytesPerSecond());
  std::fflush(stdout);
}

int Main(int argc, char** argv) {
  const size_t pairs = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 5;
  const size_t rounds = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 5'000;
  for (size_t pair = 0; pair < pairs; ++pair) {
    for (const auto kind : {Listener::Kind::kTcp, Listener::Kind::kUnix}) {
      waitpid(InOtherProcess(0, [&] { MeasurePair(kind, rounds); }), nullptr, 0);
    }
  }
  return 0;
}

}  // namespace
}  // namespace outboard::transport_test

int main(int argc, char** argv) { return outboard::transport_test::Main(argc, argv); }
