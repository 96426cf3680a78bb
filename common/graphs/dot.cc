#include <fstream>
#include <string>

#include "common/graphs/calls.h"
#include "common/graphs/object_call.h"

// Graph management: a picture of a graph, in the language of Graphviz.

namespace outboard::graphs {
namespace {

const char* NameOf(CUgraphNodeType type) {
  switch (type) {
    case CU_GRAPH_NODE_TYPE_KERNEL:
      return "KERNEL";
    case CU_GRAPH_NODE_TYPE_MEMCPY:
      return "MEMCPY";
    case CU_GRAPH_NODE_TYPE_MEMSET:
      return "MEMSET";
    case CU_GRAPH_NODE_TYPE_HOST:
      return "HOST";
    case CU_GRAPH_NODE_TYPE_GRAPH:
      return "GRAPH";
    case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
      return "WAIT_EVENT";
    case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
      return "EVENT_RECORD";
    case CU_GRAPH_NODE_TYPE_MEM_ALLOC:
      return "MEM_ALLOC";
    case CU_GRAPH_NODE_TYPE_MEM_FREE:
      return "MEM_FREE";
    case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP:
      return "BATCH_MEM_OP";
    case CU_GRAPH_NODE_TYPE_CONDITIONAL:
      return "CONDITIONAL";
    default:
      return "EMPTY";
  }
}

std::string IdOf(const Node& node) { return "node_" + std::to_string(node.id); }

std::string LabelOf(const Node& node) {
  if (const Operation* operation = node.operation()) return operation->label();
  const Conditional* conditional = node.conditional();
  if (!conditional) return {};
  constexpr const char* kNames[] = {"IF", "WHILE", "SWITCH"};
  return std::string(kNames[conditional->type]) + " " + std::to_string(conditional->condition->handle);
}

// One cluster for each graph; child graphs and bodies are clusters in the one that has them. A node's label begins with
// its place in its graph.
void Print(const Graph& graph, const std::string& name, std::ostream& out) {
  out << "subgraph \"cluster_" << name << "\" {\nlabel=\"" << name << "\"\n";
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = *graph.nodes()[i];
    out << '"' << IdOf(node) << "\" [shape=box label=\"" << i << "\\n" << NameOf(node.type());
    const std::string label = LabelOf(node);
    if (!label.empty()) out << "\\n" << label;
    out << "\"]\n";
    for (const Node* from : node.dependencies()) out << '"' << IdOf(*from) << "\" -> \"" << IdOf(node) << "\"\n";
    for (size_t k = 0; k < node.inner().size(); ++k) {
      const std::string place = name + "_" + std::to_string(i);
      Print(*node.inner()[k], node.child() ? place : place + "_" + std::to_string(k), out);
    }
  }
  out << "}\n";
}

}  // namespace

CUresult cuGraphDebugDotPrint(Graphs& graphs, CUgraph hGraph, const char* path, unsigned int) {
  return ObjectCall<Graph>(graphs, hGraph, [&](Graph& graph) -> CUresult {
    if (!path) return CUDA_ERROR_INVALID_VALUE;
    std::ofstream file(path);
    file << "digraph dot {\n";
    Print(graph, "graph", file);
    file << "}\n";
    file.close();
    return file ? CUDA_SUCCESS : CUDA_ERROR_OPERATING_SYSTEM;
  });
}

}  // namespace outboard::graphs
