#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "client/shim/graph_operation.h"
#include "common/graphs/graph.h"
#include "common/wire/graph.h"

namespace outboard::shim {

// The operations of the wire that a node is, by their numbers: one for most, and one for each piece of a copy from or
// to host memory.
using NodeNumbers = std::unordered_map<const graphs::Node*, std::vector<uint64_t>>;

// A node for which each launch says something, and the piece of it that is meant.
struct LaunchWord {
  graphs::Node* node;
  size_t piece;
};

// In pieces that travel on their own; one piece within the device.
std::vector<PlacedCopy> PiecesOf(const PlacedCopy& copy);

// Writes graphs as they travel (common/wire/graph.h). Thread-confined.
class GraphEncoder {
 public:
  // All nodes of a graph without cycles.
  void PutGraph(const graphs::Graph& graph);
  // New parameters for a node that has these numbers. False when it is in other pieces than before.
  [[nodiscard]] bool PutChange(const GraphOperation& operation, std::span<const uint64_t> numbers);
  // The changes that another encoder has.
  void Append(const GraphEncoder& changes);

  std::span<const std::byte> bytes() const { return bytes_; }
  NodeNumbers& numbers() { return numbers_; }
  std::vector<LaunchWord>& words() { return words_; }

 private:
  template <class T>
  void Put(const T& value) {
    PutBytes(&value, sizeof value);
  }
  template <class T>
  void PutArray(std::span<const T> values) {
    PutBytes(values.data(), values.size_bytes());
  }
  void PutBytes(const void* bytes, size_t size);
  // Returns how many nodes of the wire the graph has, those of graphs in it not counted.
  uint64_t PutNodes(const graphs::Graph& graph);
  // The same behind the number of the nodes.
  void PutInner(const graphs::Graph& graph);
  void PutHead(wire::GraphNodeKind kind, std::span<const uint32_t> dependencies);
  // The kinds of operations. begin(kind) writes what comes before each node of the wire, and says its word.
  template <class Begin>
  struct Putter;
  template <class Begin>
  void PutOperation(const GraphOperation& operation, Begin begin);

  std::vector<std::byte> bytes_;
  uint64_t next_ = 0;  // number
  NodeNumbers numbers_;
  std::vector<LaunchWord> words_;
};

}  // namespace outboard::shim
