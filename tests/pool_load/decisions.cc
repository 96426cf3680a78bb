#include "tests/pool_load/decisions.h"

#include <grpcpp/grpcpp.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <functional>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <thread>
#include <utility>

#include "tests/bench/bench.h"
#include "tests/fakes/temporary_folder.h"
#include "tests/pool_load/cluster.h"

namespace outboard::pool_load {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kNodes = 1000, kClients = 64, kSamples = 6;
constexpr std::chrono::seconds kSample{2}, kReconnect{1};
constexpr double kGpus = 0.25;
constexpr int kPoolCpu = 0;

// Ends this process from one of gRPC's threads, where exit would run into the others.
[[noreturn]] void Fail(const char* what, const grpc::Status& status) {
  std::fprintf(stderr, "%s failed: %d %s\n", what, status.error_code(), status.error_message().c_str());
  _exit(1);
}

// A client that has one call under way at any time, until it is told to stop.
class Client {
 public:
  Client(const PoolProcess& pool, int number) : stub_(pool.Connect()), name_("client " + std::to_string(number)) {}
  ~Client() {
    std::unique_lock lock(mutex_);
    is_ending_ = true;
    changed_.wait(lock, [this] { return is_idle_; });
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // `asks`: for leases; else for nothing.
  void Begin(bool asks) {
    std::lock_guard lock(mutex_);
    is_idle_ = false;
    asks ? Ask() : AskNothing();
  }

  // Seconds of the calls since the last time, and how many rounds of two calls there were.
  std::vector<double> Take(double* rounds) {
    std::lock_guard lock(mutex_);
    *rounds = static_cast<double>(seconds_.size()) / 2;
    return std::exchange(seconds_, {});
  }

 private:
  // One allocation; it goes on with the release.
  class Allocation : public grpc::ClientReadReactor<AllocateReply> {
   public:
    Allocation(Client* client, const AllocateRequest& request) : client_(client) {
      client->stub_->async()->Allocate(&context_, &request, this);
      StartRead(&reply_);
      StartCall();
    }

   private:
    void OnReadDone(bool ok) override {
      if (!ok) return;
      if (reply_.has_granted()) lease_ = reply_.granted().lease();
      StartRead(&reply_);
    }
    void OnDone(const grpc::Status& status) override {
      if (!status.ok() || lease_.empty()) Fail("an allocation", status);
      client_->OnGranted(lease_);
      delete this;
    }

    Client* const client_;
    grpc::ClientContext context_;
    AllocateReply reply_;
    std::string lease_;
  };

  void Ask() {
    request_.set_gpus(kGpus);
    request_.set_wait_forever(true);
    request_.set_client(name_);
    began_ = Clock::now();
    new Allocation(this, request_);
  }
  void OnGranted(const std::string& lease) {
    std::lock_guard lock(mutex_);
    Note();
    lease_.set_lease(lease);
    context_.emplace();
    stub_->async()->Release(&*context_, &lease_, &done_, [this](const grpc::Status& status) {
      if (!status.ok()) Fail("a release", status);
      std::lock_guard lock(mutex_);
      Note();
      if (GoesOn()) Ask();
    });
  }
  void AskNothing() {
    lease_.set_lease("1");  // no lease's
    began_ = Clock::now();
    context_.emplace();
    stub_->async()->Renew(&*context_, &lease_, &done_, [this](const grpc::Status&) {
      std::lock_guard lock(mutex_);
      Note();
      if (GoesOn()) AskNothing();
    });
  }
  void Note() {
    const auto now = Clock::now();
    seconds_.push_back(std::chrono::duration<double>(now - began_).count());
    began_ = now;
  }
  bool GoesOn() {
    if (!is_ending_) return true;
    is_idle_ = true;
    changed_.notify_all();
    return false;
  }

  const std::unique_ptr<Pool::Stub> stub_;
  const std::string name_;
  AllocateRequest request_;
  std::optional<grpc::ClientContext> context_;
  LeaseName lease_;
  Done done_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  Clock::time_point began_;
  std::vector<double> seconds_;
  bool is_ending_ = false, is_idle_ = true;
};

// Of several samples.
struct Measured {
  std::vector<double> rates;  // rounds of two calls, per second
  std::vector<double> means;  // of the calls, in seconds
  std::vector<double> p99;    // their 99th percentile
};

Measured Measure(const PoolProcess& pool, bool asks) {
  Measured measured;
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < kClients; ++i) clients.push_back(std::make_unique<Client>(pool, i));
  for (const auto& client : clients) client->Begin(asks);
  std::this_thread::sleep_for(kSample);
  double rounds = 0;
  for (const auto& client : clients) client->Take(&rounds);
  for (int i = 0; i < kSamples; ++i) {
    const auto begin = Clock::now();
    std::this_thread::sleep_for(kSample);
    std::vector<double> calls;
    double all = 0;
    for (const auto& client : clients) {
      const std::vector<double> some = client->Take(&rounds);
      calls.insert(calls.end(), some.begin(), some.end());
      all += rounds;
    }
    if (calls.empty()) bench::Fail("calls", 0, 1);
    measured.rates.push_back(all / std::chrono::duration<double>(Clock::now() - begin).count());
    measured.means.push_back(std::accumulate(calls.begin(), calls.end(), 0.0) / calls.size());
    std::ranges::sort(calls);
    measured.p99.push_back(calls[calls.size() * 99 / 100]);
  }
  return measured;
}

}  // namespace

int Decisions(const std::string& program, const std::vector<std::string>& pool_arguments) {
  // What is measured is the pool: the clients' threads do not interrupt each other.
  const sched_param none = {};
  sched_setscheduler(0, SCHED_BATCH, &none);
  const fakes::TemporaryFolder folder;
  std::vector<std::string> arguments;
  for (const std::string& each : pool_arguments) arguments.push_back(each == "@store" ? folder.path() + "/db" : each);
  PoolProcess pool(program, folder.path() + "/pool.sock", arguments, kReconnect, kPoolCpu);
  pool.Start();
  GroundTruth truth;
  const SimulatedCluster cluster(pool, kNodes, &truth);
  const Measured idle = Measure(pool, false), deciding = Measure(pool, true);
  bench::Print("decisions", deciding.rates);
  bench::Print("p99", deciding.p99);
  bench::Print("calls", idle.rates);
  bench::Print("idle_seconds", idle.means);
  return 0;
}

int Restart(const std::string& program, int leases) {
  const fakes::TemporaryFolder folder;
  PoolProcess pool(program, folder.path() + "/pool.sock", {"--store", folder.path() + "/pool.db"}, kReconnect,
                   kPoolCpu);
  const double empty = bench::Seconds([&pool] { pool.Start(); });
  GroundTruth truth;
  SimulatedCluster cluster(pool, kNodes, &truth);
  {
    std::vector<std::jthread> clients;
    for (int i = 0; i < kClients; ++i) {
      const int count = leases / kClients + (i < leases % kClients ? 1 : 0);
      clients.emplace_back([&, i, count] {
        const std::unique_ptr<Pool::Stub> stub = pool.Connect();
        for (int k = 0; k < count; ++k) {
          const Ticket ticket = Allocate(stub.get(), std::to_string(i) + "." + std::to_string(k), kGpus);
          truth.Granted(ticket);
          cluster.node(ticket.node()).Open(ticket);
        }
      });
    }
  }
  pool.Kill();
  cluster.ForgetWelcomes();
  const std::unique_ptr<Pool::Stub> stub = pool.Connect();
  const auto begin = Clock::now();
  pool.Start();
  cluster.AwaitWelcomes();
  const std::map<std::string, std::string> listed = List(stub.get());
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  for (const auto& [number, ticket] : truth.standing()) {
    const auto found = listed.find(NameOf(number));
    if (found == listed.end() || found->second != "open") truth.Missed(number);
  }
  const GroundTruth::Counts counts = truth.counts();
  if (counts.lost + counts.doubled != 0) bench::Fail("leases lost or doubled", counts.lost + counts.doubled, 0);
  bench::Print("restart", {seconds});
  bench::Print("empty", {empty});
  bench::Print("leases", {static_cast<double>(listed.size())});
  return 0;
}

}  // namespace outboard::pool_load
