#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace outboard::fakes {

// A folder for one test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    if (mkdtemp(path_.data()) == nullptr) std::abort();
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }

  const std::string& path() const { return path_; }

 private:
  std::string path_ = "/tmp/outboard-test-XXXXXX";
};

}  // namespace outboard::fakes
