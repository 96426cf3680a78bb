#include "server/metrics/endpoint.h"

#include <prometheus/exposer.h>

#include <exception>
#include <optional>
#include <utility>
#include <vector>

#include "common/base/env.h"

namespace outboard::metrics {
namespace {

struct Place {
  std::string host;  // a number, as the HTTP server looks no name up
  std::string port;
};

std::optional<Place> OnLoopback(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) return std::nullopt;
  Place place{address.substr(0, colon), address.substr(colon + 1)};
  if (place.host == "localhost") place.host = "127.0.0.1";
  const std::optional<uint64_t> port = ParseNumber(place.port);
  if (!port || *port > 0xffff || (place.host != "127.0.0.1" && place.host != "[::1]")) return std::nullopt;
  return place;
}

}  // namespace

Result<std::unique_ptr<Endpoint>> Endpoint::Open(const std::string& address,
                                                 std::shared_ptr<prometheus::Collectable> source) {
  const std::optional<Place> place = OnLoopback(address);
  if (!place) {
    return Error{"cannot tell metrics at " + address +
                 ": it is no HOST:PORT on loopback (127.0.0.1, [::1], localhost), and metrics are for this machine " +
                 "alone. Let a Prometheus on this machine scrape them."};
  }
  try {
    auto exposer = std::make_unique<prometheus::Exposer>(place->host + ":" + place->port, /*num_threads=*/2);
    const std::vector<int> ports = exposer->GetListeningPorts();
    exposer->RegisterCollectable(source);
    const std::string port = ports.empty() ? place->port : std::to_string(ports[0]);
    return std::unique_ptr<Endpoint>(new Endpoint(std::move(exposer), place->host + ":" + port, std::move(source)));
  } catch (const std::exception& failure) {
    return Error{"cannot tell metrics at " + address + ": " + failure.what() + ". Another process may have that port."};
  }
}

Endpoint::Endpoint(std::unique_ptr<prometheus::Exposer> exposer, std::string address,
                   std::shared_ptr<prometheus::Collectable> source)
    : source_(std::move(source)), exposer_(std::move(exposer)), address_(std::move(address)) {}
Endpoint::~Endpoint() = default;

}  // namespace outboard::metrics
