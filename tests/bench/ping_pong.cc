// The baseline of a round trip: 64 bytes there and back over TCP, both ends blocking in recv, NODELAY, on loopback. The
// client runs on the CPU of its first argument, the server on that of its second. Prints medians in seconds, and on
// stderr the congestion control in use.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

namespace {

constexpr int kBytes = 64, kRounds = 3000;

void Check(bool good, const char* what) {
  if (good) return;
  std::perror(what);
  std::exit(1);
}

void Pin(const char* cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(std::atoi(cpu), &set);
  Check(sched_setaffinity(0, sizeof set, &set) == 0, "sched_setaffinity");
}

void NoDelay(int socket) {
  const int one = 1;
  Check(setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0, "TCP_NODELAY");
}

bool Receive(int socket) {
  char bytes[kBytes];
  return recv(socket, bytes, sizeof bytes, MSG_WAITALL) == sizeof bytes;
}
void Send(int socket) {
  const char bytes[kBytes] = {};
  Check(send(socket, bytes, sizeof bytes, MSG_NOSIGNAL) == sizeof bytes, "send");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: ping_pong CLIENT_CPU SERVER_CPU\n");
    return 2;
  }
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  Check(bind(listener, reinterpret_cast<sockaddr*>(&address), size) == 0, "bind");
  Check(listen(listener, 1) == 0, "listen");
  Check(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) == 0, "getsockname");

  const pid_t server = fork();
  Check(server >= 0, "fork");
  if (server == 0) {
    Pin(argv[2]);
    const int peer = accept(listener, nullptr, nullptr);
    Check(peer >= 0, "accept");
    NoDelay(peer);
    while (Receive(peer)) Send(peer);
    _exit(0);
  }
  Pin(argv[1]);
  const int peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  Check(connect(peer, reinterpret_cast<sockaddr*>(&address), size) == 0, "connect");
  NoDelay(peer);
  char control[16] = "";
  socklen_t control_size = sizeof control - 1;
  Check(getsockopt(peer, IPPROTO_TCP, TCP_CONGESTION, control, &control_size) == 0, "TCP_CONGESTION");
  std::fprintf(stderr, "congestion control %s\n", control);

  std::vector<double> medians;
  for (int sample = 0; sample < bench::Repetitions(); ++sample) {
    std::vector<double> seconds;
    for (int i = 0; i < kRounds; ++i) {
      seconds.push_back(bench::Seconds([&] {
        Send(peer);
        Check(Receive(peer), "recv");
      }));
    }
    medians.push_back(bench::Median(seconds));
  }
  bench::Print("ping_pong", medians);
  close(peer);
  waitpid(server, nullptr, 0);
  return 0;
}
