#include "tests/bench/placement/trace.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <utility>

namespace outboard::bench {
namespace {

[[noreturn]] void End(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::exit(1);
}

// A file of values separated by commas, none of them quoted; the first line names the columns.
class Table {
 public:
  explicit Table(const std::string& path) : path_(path), file_(path) {
    if (!file_) End(path_ + ": " + std::strerror(errno) + ": give the path of a file of the trace");
    if (!NextRow()) Fail("the line with the columns' names is missing");
    for (size_t i = 0; i < row_.size(); ++i) columns_[row_[i]] = i;
  }

  bool NextRow() {
    std::string line;
    do {
      if (!std::getline(file_, line)) return false;
      ++line_;
      if (line.ends_with('\r')) line.pop_back();
    } while (line.empty());
    row_.clear();
    for (size_t start = 0; start <= line.size();) {
      const size_t end = std::min(line.find(',', start), line.size());
      row_.push_back(line.substr(start, end - start));
      start = end + 1;
    }
    return true;
  }

  bool Has(const std::string& column) const { return columns_.contains(column); }

  const std::string& Text(const std::string& column) const {
    const auto found = columns_.find(column);
    if (found == columns_.end()) End(path_ + ": there is no column " + column + ": give a file of the trace");
    if (found->second >= row_.size()) Fail("there is no value of " + column);
    return row_[found->second];
  }

  int64_t Number(const std::string& column, int64_t smallest, int64_t largest) const {
    const std::string& text = Text(column);
    int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size() || number < smallest || number > largest) {
      Fail(column + " is " + text + ", and a whole number from " + std::to_string(smallest) + " to " +
           std::to_string(largest) + " is expected");
    }
    return number;
  }

 private:
  [[noreturn]] void Fail(const std::string& what) const { End(path_ + ":" + std::to_string(line_) + ": " + what); }

  const std::string path_;
  std::ifstream file_;
  int line_ = 0;
  std::vector<std::string> row_;
  std::map<std::string, size_t> columns_;
};

constexpr int64_t kLargest = 1'000'000'000;
constexpr int64_t kMostGpus = 64;

}  // namespace

std::vector<pool::Node> ReadNodes(const std::string& path) {
  Table table(path);
  std::vector<pool::Node> nodes;
  while (table.NextRow()) {
    pool::Node node{.name = table.Text("sn"),
                    .cpu_milli = table.Number("cpu_milli", 0, kLargest),
                    .memory_mib = table.Number("memory_mib", 0, kLargest)};
    node.gpus.resize(table.Number("gpu", 0, kMostGpus), {.model = table.Text("model")});
    nodes.push_back(std::move(node));
  }
  const auto has_gpus = [](const pool::Node& node) { return !node.gpus.empty(); };
  if (std::none_of(nodes.begin(), nodes.end(), has_gpus)) End(path + ": no node has a GPU: give the trace's nodes");
  return nodes;
}

std::vector<pool::Request> ReadTasks(const std::string& path) {
  Table table(path);
  std::vector<pool::Request> tasks;
  while (table.NextRow()) {
    pool::Request task{.gpus = static_cast<int>(table.Number("num_gpu", 0, kMostGpus)),
                       .cpu_milli = table.Number("cpu_milli", 0, kLargest),
                       .memory_mib = table.Number("memory_mib", 0, kLargest)};
    if (task.gpus > 0) task.share = static_cast<int>(table.Number("gpu_milli", 1, pool::kWholeGpu));
    if (table.Has("gpu_spec")) task.filter.device_name = table.Text("gpu_spec");
    tasks.push_back(std::move(task));
  }
  const auto asks = [](const pool::Request& task) { return task.gpus > 0; };
  if (std::none_of(tasks.begin(), tasks.end(), asks)) End(path + ": no task asks for a GPU: give the trace's tasks");
  return tasks;
}

}  // namespace outboard::bench
