#pragma once

#include <cstdint>

#include "common/base/box.h"
#include "common/wire/handle.h"
#include "common/wire/private.h"

// How a graph travels (docs/wire.md, "Graphs").

namespace outboard::wire {

enum class GraphNodeKind : uint32_t {
  kKernel = 1,
  kCopy,      // within and between devices
  kFill,      // cuMemset*
  kHostCall,  // a function of the application
  kGraph,     // a graph of its own
  kEmpty,
  kEventRecord,
  kEventWait,
  kMemoryOps,  // cuStreamBatchMemOp
  kWrite,      // bytes of the client's memory: come with the launch, or are asked for (Control::kPull)
  kRead,       // bytes for the client's memory (Control::kLand, kLandBox)
  kMemAlloc,   // of memory that is there already (outboardGraphMemAlloc)
  kMemFree,
  kConditional,  // chooses one of several graphs, or repeats one
};

struct GraphHead {
  uint64_t nodes;  // in the outermost graph
  uint64_t words;  // that each launch brings
};

struct GraphNodeHead {
  GraphNodeKind kind;
  uint32_t
      dependencies;  // the numbers of as many earlier nodes of the same graph follow, 4 bytes each, padded at the end
};

// Behind it lie the attributes and the parameters.
struct GraphKernel {
  HandleId function;  // of a kernel or a function
  HandleId context;   // that a kernel runs in
  OutboardLaunchShape shape;
  uint64_t bytes;  // of the parameters
};

// Where on the device a copy begins.
struct GraphPlace {
  Box box{};           // of memory
  HandleId array = 0;  // 0 for memory
  ArrayPlace place{};  // of an array
};

struct GraphCopy {
  HandleId context;
  GraphPlace to, from;
  BoxExtent extent;
};

struct GraphFill {
  HandleId context;
  uint64_t address, pitch;
  uint32_t value, element_bytes;
  uint64_t width, height;  // elements and rows
};

struct GraphHostCall {
  uint64_t word;  // which of a launch's words is the client's number for the call; 0 there: nothing is called
};

struct GraphChild {
  uint64_t nodes;  // that follow
};

struct GraphEvent {
  HandleId event;
};

// Behind it lie the operations.
struct GraphMemoryOps {
  HandleId context;
  uint64_t count;
};

struct GraphWrite {
  HandleId context;
  GraphPlace to;
  BoxExtent extent;
  uint64_t word;  // which of a launch's words is the number of its pull; 0 there: nothing is asked for
};
// Added, in a launch's word, to where the bytes lie among those that came with the launch; then there is no pull.
inline constexpr uint64_t kWithLaunch = uint64_t{1} << 63;

struct GraphRead {
  HandleId context;
  GraphPlace from;
  Box host;  // host.address is not used
  BoxExtent extent;
  uint64_t word;  // which of a launch's words is the address in the client's memory; 0 there: nothing lands
};

// Behind it lie the bodies: for each a GraphChild and its nodes.
struct GraphConditional {
  uint64_t handle;  // as the driver gave it (outboardGraphConditionalHandleCreate) for this graph
  HandleId context;
  uint32_t type;  // CUgraphConditionalNodeType
  uint32_t bodies;
};

// Of both kinds. Whether the memory is allocated the client knows; a launch says that work under way may use it.
struct GraphMemory {
  uint64_t memory;  // the client's number; one that is not known, or no more, is passed over
};

// One of a list of changes; a node of the same kind, without dependencies, follows.
struct GraphChange {
  uint64_t node;  // its number: all nodes are numbered from 0 as they travel, those in graphs behind the graph's own
};

}  // namespace outboard::wire
