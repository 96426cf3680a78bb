#include "checks.h"

// Wrong uses of conditional nodes of graphs.

namespace wrong_uses {

// A graph with a conditional node, and with what its bodies may not have.
void Checks::ConditionalNodes() {
  constexpr unsigned kDefault = CU_GRAPH_COND_ASSIGN_DEFAULT;
  constexpr char kOne[] =
      "cuGraphConditionalHandleCreate: the conditional handle must be associated with a conditional node in this "
      "graph "
      "or one of its children.";
  constexpr char kSize[] =
      "CUDA_CONDITIONAL_NODE_PARAMS: allowed values are 1 for CU_GRAPH_COND_TYPE_WHILE, 1 or 2 for "
      "CU_GRAPH_COND_TYPE_IF, or any value greater than zero for CU_GRAPH_COND_TYPE_SWITCH.";
  constexpr char kAllowed[] =
      "CUDA_CONDITIONAL_NODE_PARAMS: allowed node types are kernel nodes, empty nodes, child graphs, memsets, "
      "memcopies, and conditionals. This applies recursively to child graphs and conditional bodies.";
  CUgraph graph, other, clone;
  CUgraphNode node, whole, added;
  CUgraphExec exec, second;
  CUgraphConditionalHandle handle, unused, of_other, made;
  Do(cuGraphCreate(&graph, 0));
  Do(cuGraphCreate(&other, 0));
  Do(cuGraphConditionalHandleCreate(&handle, graph, context_, 1, kDefault));
  Do(cuGraphConditionalHandleCreate(&unused, graph, context_, 0, 0));
  Do(cuGraphConditionalHandleCreate(&of_other, other, context_, 0, 0));
  const auto add = [&](CUgraph to, CUgraphConditionalHandle given, CUgraphConditionalNodeType type, unsigned size,
                       CUgraph* body = nullptr) {
    CUgraphNodeParams params{};
    params.type = CU_GRAPH_NODE_TYPE_CONDITIONAL;
    params.conditional = {given, type, size, nullptr, context_};
    const CUresult result = cuGraphAddNode_v2(&added, to, nullptr, nullptr, 0, &params);
    if (body != nullptr && result == CUDA_SUCCESS) *body = params.conditional.phGraph_out[0];
    return result;
  };
  CUgraph body = nullptr;
  Do(add(graph, handle, CU_GRAPH_COND_TYPE_WHILE, 1, &body));
  node = added;
  const CUDA_HOST_NODE_PARAMS host{[](void*) {}, nullptr};
  const auto instantiate = [&] { return cuGraphInstantiateWithFlags(&exec, graph, 0); };
  Check("ConditionalNodes",
        {
            {"handle: null", [&] { return cuGraphConditionalHandleCreate(nullptr, graph, context_, 0, 0); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"handle: of no graph", [&] { return cuGraphConditionalHandleCreate(&made, nullptr, context_, 0, 0); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"handle: flags", [&] { return cuGraphConditionalHandleCreate(&made, graph, context_, 0, 2); },
             CUDA_ERROR_INVALID_VALUE,
             "cuGraphConditionalHandleCreate: flags currently must be CU_GRAPH_COND_ASSIGN_DEFAULT or 0."},
            {"handle: context",
             [&] { return cuGraphConditionalHandleCreate(&made, graph, Bogus<CUcontext>(0x1234), 0, 0); },
             CUDA_ERROR_INVALID_CONTEXT, kContext},
            {"node: no handle", [&] { return add(graph, 0x1234567, CU_GRAPH_COND_TYPE_IF, 1); },
             CUDA_ERROR_INVALID_VALUE, kOne},
            {"node: another graph's handle", [&] { return add(graph, of_other, CU_GRAPH_COND_TYPE_IF, 1); },
             CUDA_ERROR_INVALID_VALUE, kOne},
            {"node: a handle that has one", [&] { return add(graph, handle, CU_GRAPH_COND_TYPE_IF, 1); },
             CUDA_ERROR_INVALID_VALUE, kOne},
            {"node: if of three", [&] { return add(graph, unused, CU_GRAPH_COND_TYPE_IF, 3); },
             CUDA_ERROR_INVALID_VALUE, kSize},
            {"node: while of two", [&] { return add(graph, unused, CU_GRAPH_COND_TYPE_WHILE, 2); },
             CUDA_ERROR_INVALID_VALUE, kSize},
            {"node: switch of none", [&] { return add(graph, unused, CU_GRAPH_COND_TYPE_SWITCH, 0); },
             CUDA_ERROR_INVALID_VALUE, kSize},
            {"node: type", [&] { return add(graph, unused, CUgraphConditionalNodeType(3), 1); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"instantiate: a handle without a node", instantiate, CUDA_ERROR_INVALID_VALUE,
             "CUDA_GRAPH_INSTANTIATE_CONDITIONAL_HANDLE_UNUSED: one or more conditional handles are not associated "
             "with conditional nodes."},
            {"with a node", [&] { return add(body, unused, CU_GRAPH_COND_TYPE_SWITCH, 2); }, CUDA_SUCCESS, ""},
            {"clone", [&] { return cuGraphClone(&clone, graph); }, CUDA_ERROR_NOT_SUPPORTED,
             "CU_GRAPH_NODE_TYPE_CONDITIONAL: the graph cannot be cloned."},
            {"child", [&] { return cuGraphAddChildGraphNode(&whole, other, nullptr, 0, graph); },
             CUDA_ERROR_NOT_SUPPORTED, "CU_GRAPH_NODE_TYPE_CONDITIONAL: the graph cannot be used in a child node."},
            {"destroy: a body", [&] { return cuGraphDestroy(body); }, CUDA_ERROR_INVALID_VALUE,
             "CUDA_CONDITIONAL_NODE_PARAMS: valid for the lifetime of the conditional node."},
            {"body: a host function", [&] { return cuGraphAddHostNode(&added, body, nullptr, 0, &host); }, CUDA_SUCCESS,
             ""},
            {"instantiate: a host function in a body", instantiate, CUDA_ERROR_INVALID_VALUE, kAllowed},
            {"body: none any more", [&] { return cuGraphDestroyNode(added); }, CUDA_SUCCESS, ""},
            {"body: a record", [&] { return cuGraphAddEventRecordNode(&added, body, nullptr, 0, event_); },
             CUDA_SUCCESS, ""},
            {"instantiate: a record in a body", instantiate, CUDA_ERROR_INVALID_VALUE, kAllowed},
            {"body: no record any more", [&] { return cuGraphDestroyNode(added); }, CUDA_SUCCESS, ""},
            {"instantiate", instantiate, CUDA_SUCCESS, ""},
            {"instantiate: twice", [&] { return cuGraphInstantiateWithFlags(&second, graph, 0); },
             CUDA_ERROR_NOT_SUPPORTED,
             "CU_GRAPH_NODE_TYPE_CONDITIONAL: only one instantiation of the graph may exist at any point in time."},
            {"parameters",
             [&] {
               CUgraphNodeParams params{};
               params.type = CU_GRAPH_NODE_TYPE_CONDITIONAL;
               params.conditional = {handle, CU_GRAPH_COND_TYPE_WHILE, 1, nullptr, context_};
               return cuGraphExecNodeSetParams(exec, node, &params);
             },
             CUDA_ERROR_NOT_SUPPORTED,
             "cuGraphExecUpdate: conditional nodes: changing node parameters is not supported."},
        });
  Do(cuGraphExecDestroy(exec));
  Do(cuGraphDestroy(graph));
  Do(cuGraphDestroy(other));
}

}  // namespace wrong_uses
