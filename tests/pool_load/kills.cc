#include "tests/pool_load/kills.h"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/fakes/temporary_folder.h"
#include "tests/pool_load/cluster.h"

namespace outboard::pool_load {
namespace {

constexpr int kFewNodes = 4, kFewClients = 12;
constexpr double kSizes[] = {0.1, 0.25, 0.5, 0.75, 1, 2, 4};
constexpr std::chrono::milliseconds kLongestLife{100}, kLongestUse{10}, kQuickReconnect{10};

std::chrono::microseconds UpTo(std::chrono::microseconds longest, std::mt19937& random) {
  return std::chrono::microseconds(random() % longest.count());
}

// Takes leases and gives them back, until it is told to stop; every third one without going to its node.
void UseLeases(const PoolProcess& pool, SimulatedCluster& cluster, GroundTruth& truth, uint32_t seed,
               const std::stop_token& stop) {
  std::mt19937 random(seed);
  const std::unique_ptr<Pool::Stub> stub = pool.Connect();
  for (uint32_t i = 0; !stop.stop_requested(); ++i) {
    const std::string name = "client " + std::to_string(seed) + ", request " + std::to_string(i);
    const Ticket ticket = Allocate(stub.get(), name, kSizes[random() % std::size(kSizes)]);
    truth.Granted(ticket);
    const bool has_node = random() % 3 != 0;
    if (has_node && !cluster.node(ticket.node()).Open(ticket)) continue;  // lost, and counted
    std::this_thread::sleep_for(UpTo(kLongestUse, random));
    truth.GivenBack(ticket.lease(), has_node);
    Release(stub.get(), NameOf(ticket.lease()));
  }
}

}  // namespace

bool Kills(const std::string& program, int rounds, uint32_t seed) {
  const fakes::TemporaryFolder folder;
  PoolProcess pool(program, folder.path() + "/pool.sock", {"--store", folder.path() + "/pool.db"}, kQuickReconnect);
  GroundTruth truth;
  pool.Start();
  int left = 0;
  {
    SimulatedCluster cluster(pool, kFewNodes, &truth);
    std::vector<std::jthread> clients;
    for (int i = 0; i < kFewClients; ++i) {
      clients.emplace_back([&, i](const std::stop_token& stop) { UseLeases(pool, cluster, truth, seed + i, stop); });
    }
    std::mt19937 random(seed);
    for (int round = 0; round < rounds; ++round) {
      std::this_thread::sleep_for(UpTo(kLongestLife, random));
      pool.Kill();
      pool.Start();
    }
    for (std::jthread& client : clients) client.request_stop();
    clients.clear();
    // All was given back; what the pool still has is on its way.
    const std::unique_ptr<Pool::Stub> stub = pool.Connect();
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    do {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      left = static_cast<int>(List(stub.get()).size());
    } while (left > 0 && std::chrono::steady_clock::now() < deadline);
  }
  const GroundTruth::Counts counts = truth.counts();
  std::printf("%d kills, %llu acknowledged, %llu lost, %llu doubled, %d left behind\n", rounds,
              static_cast<unsigned long long>(counts.acknowledged), static_cast<unsigned long long>(counts.lost),
              static_cast<unsigned long long>(counts.doubled), left);
  return counts.lost == 0 && counts.doubled == 0 && left == 0 && counts.acknowledged >= static_cast<uint64_t>(rounds);
}

}  // namespace outboard::pool_load
