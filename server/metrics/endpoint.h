#pragma once

#include <prometheus/collectable.h>

#include <memory>
#include <string>

#include "common/base/result.h"

namespace prometheus {
class Exposer;
}

namespace outboard::metrics {

// Tells Prometheus what a program counts and measures, at http://ADDRESS/metrics. For this machine alone: the HTTP
// server is the metrics library's own and is not made for networks. Thread-safe.
class Endpoint {
 public:
  // `address`: HOST:PORT on loopback (127.0.0.1, [::1], localhost), port 0: one that is free. `source` is asked at each
  // scrape, on a thread of the endpoint.
  static Result<std::unique_ptr<Endpoint>> Open(const std::string& address,
                                                std::shared_ptr<prometheus::Collectable> source);
  ~Endpoint();  // waits for scrapes that are under way

  const std::string& address() const { return address_; }  // with the port that was chosen

 private:
  Endpoint(std::unique_ptr<prometheus::Exposer> exposer, std::string address,
           std::shared_ptr<prometheus::Collectable> source);

  const std::shared_ptr<prometheus::Collectable> source_;
  const std::unique_ptr<prometheus::Exposer> exposer_;  // asks the source
  const std::string address_;
};

}  // namespace outboard::metrics
