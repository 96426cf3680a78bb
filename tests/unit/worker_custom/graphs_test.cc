#include "server/worker/graphs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <functional>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/box.h"
#include "common/base/limits.h"
#include "common/wire/codec.h"
#include "common/wire/graph.h"
#include "server/worker/allocations.h"
#include "server/worker/graph_memory.h"
#include "tests/unit/worker_custom/fake_driver.h"

namespace outboard::worker {
namespace {

using wire::GraphNodeKind;

// Graphs of a driver: a list of what nodes do, in the order in which they were added.
struct FakeGraphs {
  struct Node {
    CUgraph graph;
    std::function<void()> what;
  };
  std::vector<Node> nodes;                          // destroyed ones as well
  std::map<CUgraph, std::vector<size_t>> nodes_of;  // without them
  std::vector<size_t> dependencies;                 // how many each node has
  std::vector<const void*> sources;                 // of copies from host memory
  std::vector<CUDA_MEMCPY3D> copies;                // as they were given
  int alive = 0;
  uint64_t last_handle = 0;
  CUgraph latest = nullptr;  // of cuGraphCreate
  CUgraph bodies[4] = {};    // of the latest conditional node

  // A user object, which belongs to a graph and its executable graphs.
  struct Object {
    CUhostFn destroy;
    void* data;
    int references;
  };
  std::vector<Object> objects;
  std::map<CUgraph, size_t> object_of;

  struct Exec {
    std::vector<size_t> nodes;
    std::optional<size_t> object;
    int launches = 0;  // that have not run
    bool destroyed = false;
  };
  std::map<CUgraphExec, Exec> execs;
  std::deque<CUgraphExec> launched;

  void Drop(size_t object) {
    if (--objects[object].references == 0) objects[object].destroy(objects[object].data);
  }
  void DropIfDone(const Exec& exec) {
    if (exec.destroyed && exec.launches == 0 && exec.object) Drop(*exec.object);
  }

  // The launch of this number among those that have not run, in a thread of the driver's; its first nodes alone where
  // their context ends.
  void Run(size_t number = 0, size_t most = SIZE_MAX) {
    Exec& exec = execs.at(launched.at(number));
    launched.erase(launched.begin() + number);
    for (const size_t node : exec.nodes) {
      if (most == 0) break;
      nodes[node].what();
      --most;
    }
    --exec.launches;
    DropIfDone(exec);
  }
};
FakeGraphs* fake;

CUgraphNode NewNode(CUgraph graph, std::function<void()> what, size_t dependencies) {
  fake->nodes_of[graph].push_back(fake->nodes.size());
  fake->nodes.push_back({graph, std::move(what)});
  fake->dependencies.push_back(dependencies);
  return reinterpret_cast<CUgraphNode>(fake->nodes.size());
}

std::function<void()> Copying(const CUDA_MEMCPY3D& copy) {
  const auto end = [](CUmemorytype type, const void* host, CUdeviceptr device, size_t pitch, size_t height) {
    return Box{type == CU_MEMORYTYPE_HOST ? reinterpret_cast<uint64_t>(host) : device, pitch, height};
  };
  const Box to = end(copy.dstMemoryType, copy.dstHost, copy.dstDevice, copy.dstPitch, copy.dstHeight);
  const Box from = end(copy.srcMemoryType, copy.srcHost, copy.srcDevice, copy.srcPitch, copy.srcHeight);
  if (copy.srcMemoryType == CU_MEMORYTYPE_HOST) fake->sources.push_back(copy.srcHost);
  return [to, from, extent = BoxExtent{copy.WidthInBytes, copy.Height, copy.Depth}] { CopyBox(to, from, extent); };
}

void AddGraphs(driver::DriverTable* table) {
  table->cuGraphCreate = [](CUgraph* graph, unsigned) {
    ++fake->alive;
    *graph = fake->latest = reinterpret_cast<CUgraph>(++fake->last_handle);
    return CUDA_SUCCESS;
  };
  table->cuGraphDestroy = [](CUgraph graph) {
    --fake->alive;
    if (const auto found = fake->object_of.find(graph); found != fake->object_of.end()) fake->Drop(found->second);
    return CUDA_SUCCESS;
  };
  table->cuGraphInstantiateWithFlags = [](CUgraphExec* exec, CUgraph graph, unsigned long long) {
    ++fake->alive;
    *exec = reinterpret_cast<CUgraphExec>(++fake->last_handle);
    FakeGraphs::Exec& made = fake->execs[*exec];
    made.nodes = fake->nodes_of[graph];
    if (const auto found = fake->object_of.find(graph); found != fake->object_of.end()) {
      made.object = found->second;
      ++fake->objects[found->second].references;
    }
    return CUDA_SUCCESS;
  };
  table->cuGraphExecDestroy = [](CUgraphExec exec) {
    --fake->alive;
    FakeGraphs::Exec& ended = fake->execs.at(exec);
    ended.destroyed = true;
    fake->DropIfDone(ended);
    return CUDA_SUCCESS;
  };
  table->cuUserObjectCreate = [](CUuserObject* object, void* data, CUhostFn destroy, unsigned references, unsigned) {
    fake->objects.push_back({destroy, data, static_cast<int>(references)});
    *object = reinterpret_cast<CUuserObject>(fake->objects.size());
    return CUDA_SUCCESS;
  };
  table->cuGraphRetainUserObject = [](CUgraph graph, CUuserObject object, unsigned, unsigned flags) {
    if (flags != CU_GRAPH_USER_OBJECT_MOVE) return CUDA_ERROR_INVALID_VALUE;
    fake->object_of[graph] = reinterpret_cast<size_t>(object) - 1;
    return CUDA_SUCCESS;
  };
  table->cuGraphLaunch = [](CUgraphExec exec, CUstream) {
    ++fake->execs.at(exec).launches;
    fake->launched.push_back(exec);
    return CUDA_SUCCESS;
  };
  table->cuGraphAddEmptyNode = [](CUgraphNode* node, CUgraph graph, const CUgraphNode*, size_t count) {
    *node = NewNode(
        graph, [] {}, count);
    return CUDA_SUCCESS;
  };
  table->cuGraphAddHostNode = [](CUgraphNode* node, CUgraph graph, const CUgraphNode*, size_t count,
                                 const CUDA_HOST_NODE_PARAMS* params) {
    *node = NewNode(
        graph, [call = *params] { call.fn(call.userData); }, count);
    return CUDA_SUCCESS;
  };
  table->cuGraphAddMemcpyNode = [](CUgraphNode* node, CUgraph graph, const CUgraphNode*, size_t count,
                                   const CUDA_MEMCPY3D* params, CUcontext) {
    fake->copies.push_back(*params);
    *node = NewNode(graph, Copying(*params), count);
    return CUDA_SUCCESS;
  };
  table->cuGraphExecMemcpyNodeSetParams = [](CUgraphExec, CUgraphNode node, const CUDA_MEMCPY3D* params, CUcontext) {
    fake->nodes.at(reinterpret_cast<size_t>(node) - 1).what = Copying(*params);
    return CUDA_SUCCESS;
  };
  table->cuGraphNodeSetEnabled = [](CUgraphExec, CUgraphNode node, unsigned) {
    return node != nullptr ? CUDA_SUCCESS : CUDA_ERROR_LAUNCH_FAILED;
  };
  table->cuGraphReleaseUserObject = [](CUgraph graph, CUuserObject object, unsigned) {
    if (fake->object_of.erase(graph) == 0) return CUDA_ERROR_INVALID_VALUE;
    fake->Drop(reinterpret_cast<size_t>(object) - 1);
    return CUDA_SUCCESS;
  };
  table->cuGraphConditionalHandleCreate = [](CUgraphConditionalHandle* handle, CUgraph, CUcontext, unsigned, unsigned) {
    *handle = 1000 + ++fake->last_handle;
    return CUDA_SUCCESS;
  };
  table->cuGraphAddNode_v2 = [](CUgraphNode* node, CUgraph graph, const CUgraphNode*, const CUgraphEdgeData*,
                                size_t count, CUgraphNodeParams* params) {
    if (params->conditional.size > std::size(fake->bodies)) return CUDA_ERROR_OUT_OF_MEMORY;
    for (CUgraph& body : fake->bodies) body = reinterpret_cast<CUgraph>(++fake->last_handle);
    params->conditional.phGraph_out = fake->bodies;
    *node = NewNode(
        graph, [] {}, count);
    return CUDA_SUCCESS;
  };
  table->cuGraphGetNodes = [](CUgraph graph, CUgraphNode* nodes, size_t* count) {
    const auto& found = fake->nodes_of[graph];
    *count = found.size();
    for (size_t i = 0; nodes != nullptr && i < *count; ++i) nodes[i] = reinterpret_cast<CUgraphNode>(found[i] + 1);
    return CUDA_SUCCESS;
  };
  table->cuGraphDestroyNode = [](CUgraphNode node) {
    const size_t number = reinterpret_cast<size_t>(node) - 1;
    std::erase(fake->nodes_of[fake->nodes.at(number).graph], number);
    return CUDA_SUCCESS;
  };
  table->cuGraphAddChildGraphNode = [](CUgraphNode* node, CUgraph graph, const CUgraphNode*, size_t count, CUgraph) {
    *node = NewNode(
        graph, [] {}, count);
    return CUDA_SUCCESS;
  };
  table->cuGraphChildGraphNodeGetGraph = [](CUgraphNode node, CUgraph* graph) {
    *graph = reinterpret_cast<CUgraph>(1 << 20 | reinterpret_cast<size_t>(node));
    return CUDA_SUCCESS;
  };
}

class Encoded {
 public:
  std::span<const std::byte> bytes() const { return bytes_; }

 protected:
  template <class T>
  void Put(const T& value) {
    PutBytes(&value, sizeof value);
  }
  void PutBytes(const void* bytes, size_t size) {
    const size_t at = bytes_.size();
    bytes_.resize(at + wire::Padded(size));
    wire::Writer(bytes_.data() + at).PutBytes(bytes, size);
  }

 private:
  std::vector<std::byte> bytes_;
};

// A description in the making.
class Description : public Encoded {
 public:
  Description(uint64_t nodes, uint64_t words) { Put(wire::GraphHead{nodes, words}); }

  template <class Details>
  Description& Node(GraphNodeKind kind, const std::vector<uint32_t>& dependencies, const Details& details) {
    Head(kind, dependencies);
    Put(details);
    return *this;
  }
  // What a graph in a graph begins with.
  Description& Nodes(uint64_t count) {
    Put(wire::GraphChild{count});
    return *this;
  }
  Description& Head(GraphNodeKind kind, const std::vector<uint32_t>& dependencies) {
    Put(wire::GraphNodeHead{kind, static_cast<uint32_t>(dependencies.size())});
    PutBytes(dependencies.data(), dependencies.size() * sizeof(uint32_t));
    return *this;
  }
};

// Changes in the making.
class Changes : public Encoded {
 public:
  template <class Details>
  void Node(uint64_t number, GraphNodeKind kind, const Details& details) {
    Put(wire::GraphChange{number});
    Put(wire::GraphNodeHead{kind, 0});
    Put(details);
  }
};

class GraphsTest : public testing::Test {
 protected:
  static constexpr wire::HandleId kContext = wire::MakeHandle(wire::HandleKind::kContext, 1, wire::kFirstSlot);

  GraphsTest() : copies_(driver_.table(), gate_, sent_.sender()) {
    fake = &fake_;
    FakeDriver::MakeCurrent(FakeDriver::Context(1));
    EXPECT_TRUE(handles_.Add(wire::HandleKind::kContext, kContext, FakeDriver::Context(1)));
    table_ = driver_.table();
    AddGraphs(&table_);
    calls_.emplace(table_, copies_, gate_, sent_.sender());
    graphs_.emplace(table_, gate_, handles_, copies_, *calls_, memory_);
  }
  ~GraphsTest() override {
    graphs_->ReleaseAll();
    copies_.ReleaseAll();
    graphs_->EndAll();
    EXPECT_EQ(fake_.alive, 0);
  }

  uint64_t Address(std::string& memory) { return reinterpret_cast<uint64_t>(memory.data()); }

  FakeGraphs fake_;
  FakeDriver driver_;
  slice::Gate gate_;
  Sent sent_;
  Copies copies_;
  HandleTable handles_;
  driver::DriverTable table_;
  AsideRanges aside_;
  Allocations allocations_{table_, {}, &aside_};
  GraphMemory memory_{table_, &allocations_};
  std::optional<HostCalls> calls_;
  std::optional<Graphs> graphs_;
  const CUstream stream_ = FakeDriver::Stream(11);
};

TEST_F(GraphsTest, WhatDoesNotAddUpIsRefused) {
  std::string device(8, '.');
  Description good(4, 2);
  good.Head(GraphNodeKind::kEmpty, {})
      .Node(GraphNodeKind::kHostCall, {0}, wire::GraphHostCall{0})
      .Node(GraphNodeKind::kGraph, {0, 1}, wire::GraphChild{1})
      .Head(GraphNodeKind::kEmpty, {})
      .Node(GraphNodeKind::kWrite, {2}, wire::GraphWrite{kContext, {RowAt(Address(device))}, RowOf(8), 1});
  for (size_t bytes = 0; bytes < good.bytes().size(); bytes += 8) {
    EXPECT_EQ(graphs_->Instantiate(1, 0, good.bytes().first(bytes)), CUDA_ERROR_INVALID_VALUE) << bytes;
  }
  EXPECT_EQ(fake_.alive, 0);
  EXPECT_EQ(graphs_->Instantiate(1, 0, Description(1, 0).Head(GraphNodeKind::kEmpty, {0}).bytes()),
            CUDA_ERROR_INVALID_VALUE)
      << "behind itself";
  EXPECT_EQ(
      graphs_->Instantiate(1, 0, Description(1, 1).Node(GraphNodeKind::kHostCall, {}, wire::GraphHostCall{1}).bytes()),
      CUDA_ERROR_INVALID_VALUE)
      << "a word that no launch brings";
  EXPECT_EQ(graphs_->Instantiate(1, 0, Description(1, 0).Head(static_cast<GraphNodeKind>(99), {}).bytes()),
            CUDA_ERROR_INVALID_VALUE);
  fake_.dependencies.clear();
  ASSERT_EQ(graphs_->Instantiate(1, 0, good.bytes()), CUDA_SUCCESS);
  EXPECT_EQ(fake_.dependencies, (std::vector<size_t>{0, 1, 2, 0, 1, 1}));  // of a write: the host node, then the copy
  EXPECT_EQ(graphs_->Instantiate(1, 0, good.bytes()), CUDA_ERROR_INVALID_VALUE) << "the number is taken";
  const unsigned long long words[] = {0, 0, 0};
  EXPECT_EQ(graphs_->Launch(1, stream_, {words, 3}, {}), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(graphs_->Launch(2, stream_, {words, 2}, {}), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(graphs_->SetEnabled(1, 5, true), CUDA_ERROR_INVALID_VALUE) << "there is no such node";
  EXPECT_EQ(graphs_->SetEnabled(1, 1, true), CUDA_ERROR_INVALID_VALUE) << "a host function";
  EXPECT_EQ(graphs_->Destroy(2), CUDA_SUCCESS);  // it may have been refused
}

TEST_F(GraphsTest, MemoryThatIsNotKnownIsPassedOver) {
  Description good(2, 0);
  good.Node(GraphNodeKind::kMemAlloc, {}, wire::GraphMemory{5})
      .Node(GraphNodeKind::kMemFree, {0}, wire::GraphMemory{5});
  for (size_t bytes = 0; bytes < good.bytes().size(); bytes += 8) {
    EXPECT_EQ(graphs_->Instantiate(1, 0, good.bytes().first(bytes)), CUDA_ERROR_INVALID_VALUE) << bytes;
  }
  ASSERT_EQ(graphs_->Instantiate(1, 0, good.bytes()), CUDA_SUCCESS);
  EXPECT_EQ(graphs_->Launch(1, stream_, {}, {}), CUDA_SUCCESS);
  Changes changes;
  changes.Node(0, GraphNodeKind::kMemAlloc, wire::GraphMemory{6});
  EXPECT_EQ(graphs_->Change(1, changes.bytes()), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(memory_.SetAside(5), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(memory_.Release(5), CUDA_SUCCESS);
}

TEST_F(GraphsTest, NoWordOfADescriptionIsBelieved) {
  std::string device(8, '.');
  Description good(3, 3);
  good.Node(GraphNodeKind::kHostCall, {}, wire::GraphHostCall{0})
      .Node(GraphNodeKind::kWrite, {0}, wire::GraphWrite{kContext, {RowAt(Address(device))}, RowOf(8), 1})
      .Node(GraphNodeKind::kRead, {0, 1}, wire::GraphRead{kContext, {RowAt(Address(device))}, RowAt(0), RowOf(8), 2});
  std::vector<std::byte> bytes(good.bytes().begin(), good.bytes().end());
  for (size_t at = 0; at < bytes.size(); at += sizeof(uint64_t)) {
    uint64_t word;
    std::memcpy(&word, &bytes[at], sizeof word);
    for (const uint64_t other : {uint64_t{0}, word + 1, word + (uint64_t{1} << 32), uint64_t{1} << 40, ~uint64_t{0}}) {
      std::memcpy(&bytes[at], &other, sizeof other);
      graphs_->Instantiate(at, 0, bytes);
      EXPECT_EQ(graphs_->Destroy(at), CUDA_SUCCESS);
    }
    std::memcpy(&bytes[at], &word, sizeof word);
  }
  EXPECT_EQ(fake_.alive, 0);
}

TEST_F(GraphsTest, GraphsInGraphsComeToAnEnd) {
  const auto nested = [](uint32_t depth) {
    Description graphs(1, 0);
    for (uint32_t i = 0; i < depth; ++i) graphs.Node(GraphNodeKind::kGraph, {}, wire::GraphChild{1});
    graphs.Head(GraphNodeKind::kEmpty, {});
    return graphs;
  };
  EXPECT_EQ(graphs_->Instantiate(1, 0, nested(kMaxGraphDepth).bytes()), CUDA_SUCCESS);
  EXPECT_EQ(graphs_->Instantiate(2, 0, nested(kMaxGraphDepth + 1).bytes()), CUDA_ERROR_INVALID_VALUE);
}

// IF [ empty ] ELSE [ ], and behind it more.
Description Choice(uint64_t handle, wire::HandleId context, bool more = false) {
  Description description(more ? 2 : 1, 0);
  description.Node(GraphNodeKind::kConditional, {}, wire::GraphConditional{handle, context, CU_GRAPH_COND_TYPE_IF, 2})
      .Nodes(1)
      .Head(GraphNodeKind::kEmpty, {})
      .Nodes(0);
  if (more) description.Head(GraphNodeKind::kEmpty, {0});
  return description;
}

TEST_F(GraphsTest, ConditionalHandlesAreTheGraphsOfTheirNumber) {
  CUgraphConditionalHandle handle = 0, other = 0;
  ASSERT_EQ(graphs_->CreateCondition(1, FakeDriver::Context(1), 1, 1, &handle), CUDA_SUCCESS);
  ASSERT_EQ(graphs_->CreateCondition(2, FakeDriver::Context(1), 1, 1, &other), CUDA_SUCCESS);
  EXPECT_EQ(fake_.alive, 2);
  EXPECT_EQ(graphs_->Launch(1, stream_, {}, {}), CUDA_ERROR_INVALID_VALUE) << "it is not executable yet";
  EXPECT_EQ(graphs_->Instantiate(1, 0, Choice(other, kContext).bytes()), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(graphs_->Instantiate(3, 0, Choice(handle, kContext).bytes()), CUDA_ERROR_INVALID_VALUE);
  const Description good = Choice(handle, kContext);
  for (size_t bytes = 0; bytes < good.bytes().size(); bytes += 8) {
    EXPECT_EQ(graphs_->Instantiate(1, 0, good.bytes().first(bytes)), CUDA_ERROR_INVALID_VALUE) << bytes;
  }
  std::vector<std::byte> bytes(good.bytes().begin(), good.bytes().end());
  for (size_t at = 0; at < bytes.size(); at += sizeof(uint64_t)) {
    uint64_t word;
    std::memcpy(&word, &bytes[at], sizeof word);
    for (const uint64_t wrong : {word + 1, word + (uint64_t{1} << 32), uint64_t{1} << 40, ~uint64_t{0}}) {
      std::memcpy(&bytes[at], &wrong, sizeof wrong);
      graphs_->Instantiate(1, 0, bytes);
      EXPECT_EQ(graphs_->Destroy(1), CUDA_SUCCESS);
    }
    std::memcpy(&bytes[at], &word, sizeof word);
  }
  EXPECT_EQ(graphs_->Release(2), CUDA_SUCCESS);
  EXPECT_EQ(graphs_->Release(1), CUDA_SUCCESS);
  EXPECT_EQ(fake_.alive, 0);
}

TEST_F(GraphsTest, AGraphWithConditionalHandlesStaysUntilItIsReleased) {
  CUgraphConditionalHandle handle = 0;
  ASSERT_EQ(graphs_->CreateCondition(1, FakeDriver::Context(1), 1, 1, &handle), CUDA_SUCCESS);
  const Description description = Choice(handle, kContext), more = Choice(handle, kContext, true);
  ASSERT_EQ(graphs_->Instantiate(1, 0, description.bytes()), CUDA_SUCCESS);
  EXPECT_EQ(fake_.nodes.size(), 2u);
  EXPECT_EQ(graphs_->Instantiate(1, 0, description.bytes()), CUDA_ERROR_INVALID_VALUE) << "one at a time";
  EXPECT_EQ(graphs_->Launch(1, stream_, {}, {}), CUDA_SUCCESS);
  EXPECT_EQ(graphs_->Destroy(1), CUDA_SUCCESS);
  EXPECT_EQ(graphs_->Launch(1, stream_, {}, {}), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(fake_.alive, 1);
  ASSERT_EQ(graphs_->Instantiate(1, 0, description.bytes()), CUDA_SUCCESS);
  EXPECT_EQ(fake_.nodes.size(), 2u) << "it was built already";
  EXPECT_EQ(graphs_->Destroy(1), CUDA_SUCCESS);
  ASSERT_EQ(graphs_->Instantiate(1, 0, more.bytes()), CUDA_SUCCESS);
  EXPECT_EQ(fake_.nodes_of[fake_.latest].size(), 2u) << "of the former none is left";
  EXPECT_EQ(graphs_->Release(1), CUDA_SUCCESS);
  EXPECT_EQ(fake_.alive, 0);
  // A graph without handles gets none.
  ASSERT_EQ(graphs_->Instantiate(1, 0, Description(1, 0).Head(GraphNodeKind::kEmpty, {}).bytes()), CUDA_SUCCESS);
  EXPECT_EQ(graphs_->CreateCondition(1, FakeDriver::Context(1), 1, 1, &handle), CUDA_ERROR_INVALID_VALUE);
}

// Nobody waits for the launches of the former executable graph, which take their own words and use their own memory.
TEST_F(GraphsTest, AGraphIsBuiltAgainWhileItsLaunchesRun) {
  std::string device(5, '.');
  CUgraphConditionalHandle handle = 0;
  ASSERT_EQ(graphs_->CreateCondition(1, FakeDriver::Context(1), 1, 1, &handle), CUDA_SUCCESS);
  Description description(1, 1);
  description.Node(GraphNodeKind::kWrite, {}, wire::GraphWrite{kContext, {RowAt(Address(device))}, RowOf(5), 0});
  const std::string bytes[] = {"first", "other", "third"};
  const auto launch = [&](size_t number) {
    const unsigned long long word = wire::kWithLaunch;
    ASSERT_EQ(graphs_->Launch(1, stream_, {&word, 1}, std::as_bytes(std::span(bytes[number]))), CUDA_SUCCESS);
  };
  for (size_t number : {0, 1}) {
    ASSERT_EQ(graphs_->Instantiate(1, 0, description.bytes()), CUDA_SUCCESS);
    launch(number);
    EXPECT_EQ(graphs_->Destroy(1), CUDA_SUCCESS);
  }
  ASSERT_EQ(graphs_->Instantiate(1, 0, description.bytes()), CUDA_SUCCESS);
  EXPECT_NE(fake_.sources[1], fake_.sources[0]);
  EXPECT_NE(fake_.sources[2], fake_.sources[0]);
  EXPECT_NE(fake_.sources[2], fake_.sources[1]);
  launch(2);
  fake_.Run(1);  // in another stream than the first
  EXPECT_EQ(device, bytes[1]);
  fake_.Run();
  EXPECT_EQ(device, bytes[0]);
  fake_.Run();
  EXPECT_EQ(device, bytes[2]);
  // Of the generations that have ended the memory is used again.
  EXPECT_EQ(graphs_->Destroy(1), CUDA_SUCCESS);
  ASSERT_EQ(graphs_->Instantiate(1, 0, description.bytes()), CUDA_SUCCESS);
  EXPECT_NE(std::find(&fake_.sources[0], &fake_.sources[3], fake_.sources[3]), &fake_.sources[3]);
  EXPECT_EQ(graphs_->Release(1), CUDA_SUCCESS);
}

TEST_F(GraphsTest, AGenerationEndsWithItsContext) {
  std::string device(5, '.');
  CUgraphConditionalHandle handle = 0;
  ASSERT_EQ(graphs_->CreateCondition(1, FakeDriver::Context(1), 1, 1, &handle), CUDA_SUCCESS);
  Description description(1, 1);
  description.Node(GraphNodeKind::kWrite, {}, wire::GraphWrite{kContext, {RowAt(Address(device))}, RowOf(5), 0});
  const unsigned long long word = 42;
  for (int round = 0; round < 2; ++round) {
    ASSERT_EQ(graphs_->Instantiate(1, 0, description.bytes()), CUDA_SUCCESS);
    ASSERT_EQ(graphs_->Launch(1, stream_, {&word, 1}, {}), CUDA_SUCCESS);
    if (round == 0) {
      EXPECT_EQ(graphs_->Destroy(1), CUDA_SUCCESS);
    }
  }
  graphs_->ForgetContext(FakeDriver::Context(1));
  graphs_->Drain();  // no launch is left
  fake_.Run(0, 1);
  fake_.Run(0, 1);
  EXPECT_EQ(sent_.size(), 0u) << "nothing is asked for";
  EXPECT_EQ(graphs_->Launch(1, stream_, {&word, 1}, {}), CUDA_ERROR_CONTEXT_IS_DESTROYED);
  EXPECT_EQ(graphs_->Release(1), CUDA_SUCCESS);
  EXPECT_TRUE(graphs_->empty());
}

// In a stream of another context; the client may answer when nobody wants it any more.
TEST_F(GraphsTest, NoStepUsesMemoryOfAContextThatHasEnded) {
  std::string device(5, '.');
  const wire::GraphWrite write{kContext, {RowAt(Address(device))}, RowOf(5), 0};
  ASSERT_EQ(graphs_->Instantiate(1, 0, Description(1, 1).Node(GraphNodeKind::kWrite, {}, write).bytes()), CUDA_SUCCESS);
  const unsigned long long word = 42;
  FakeDriver::MakeCurrent(FakeDriver::Context(2));
  ASSERT_EQ(graphs_->Launch(1, stream_, {&word, 1}, {}), CUDA_SUCCESS);
  std::thread stream([&] { fake_.Run(0, 1); });
  EXPECT_EQ(sent_.At(0).control, wire::Control::kPull);
  graphs_->ForgetContext(FakeDriver::Context(1));
  EXPECT_EQ(driver_.host_bytes, 0u);
  EXPECT_TRUE(copies_.OnPulled({42, 0, 4}, std::as_bytes(std::span("late")).first(4))) << "somebody waits still";
  copies_.ReleaseAll();
  stream.join();
}

// A copy of a stream's, of the same kind.
TEST_F(GraphsTest, BytesForAContextThatHasEndedAreDropped) {
  std::string device(5, '.');
  ASSERT_EQ(copies_.WritePulled(Address(device), 5, 0x1000, 42, stream_), CUDA_SUCCESS);
  EXPECT_FALSE(driver_.Run(stream_));
  EXPECT_EQ(sent_.At(0).control, wire::Control::kPull);
  copies_.DropContext(FakeDriver::Context(1));
  EXPECT_TRUE(copies_.OnPulled({42, 0, 5}, std::as_bytes(std::span("late.")).first(5)));
  EXPECT_FALSE(copies_.OnPulled({42, 0, 5}, std::as_bytes(std::span("late.")).first(5)));
}

// Another lane has looked the context up before it ended.
TEST_F(GraphsTest, MemoryTakenWhileTheContextEndsGoesWithIt) {
  std::string device(5, '.');
  const wire::GraphWrite write{kContext, {RowAt(Address(device))}, RowOf(5), 0};
  graphs_->ForgetContext(FakeDriver::Context(1));
  ASSERT_EQ(graphs_->Instantiate(1, 0, Description(1, 1).Node(GraphNodeKind::kWrite, {}, write).bytes()), CUDA_SUCCESS);
  driver_.destroyed.insert(FakeDriver::Context(1));
  graphs_->DropContext(FakeDriver::Context(1));
  const unsigned long long word = 42;
  EXPECT_EQ(graphs_->Launch(1, stream_, {&word, 1}, {}), CUDA_ERROR_CONTEXT_IS_DESTROYED);
  EXPECT_EQ(graphs_->Release(1), CUDA_SUCCESS);
  EXPECT_TRUE(graphs_->empty());
}

TEST_F(GraphsTest, ContextsOfGreenOnesAreNamedByTheirHome) {
  constexpr wire::HandleId kGreen = wire::MakeHandle(wire::HandleKind::kContext, 1, wire::kFirstSlot + 1);
  ASSERT_TRUE(handles_.Add(wire::HandleKind::kContext, kGreen, FakeDriver::Context(2), kContext));
  std::string device(5, '.');
  const wire::GraphWrite write{kGreen, {RowAt(Address(device))}, RowOf(5), 0};
  EXPECT_EQ(graphs_->Instantiate(1, 0, Description(1, 1).Node(GraphNodeKind::kWrite, {}, write).bytes()),
            CUDA_ERROR_INVALID_CONTEXT);
}

// Each keeps memory, and the driver something.
TEST_F(GraphsTest, GenerationsAreLimited) {
  constexpr size_t kMost = 64;
  graphs_.emplace(table_, gate_, handles_, copies_, *calls_, memory_, kMost);
  CUgraphConditionalHandle handle = 0;
  ASSERT_EQ(graphs_->CreateCondition(1, FakeDriver::Context(1), 1, 1, &handle), CUDA_SUCCESS);
  Description description(1, 1);
  description.Node(GraphNodeKind::kHostCall, {}, wire::GraphHostCall{0});
  const unsigned long long word = 0;
  for (size_t i = 0; i < kMost; ++i) {
    ASSERT_EQ(graphs_->Instantiate(1, 0, description.bytes()), CUDA_SUCCESS);
    ASSERT_EQ(graphs_->Launch(1, stream_, {&word, 1}, {}), CUDA_SUCCESS);
    ASSERT_EQ(graphs_->Destroy(1), CUDA_SUCCESS);
  }
  EXPECT_EQ(graphs_->Instantiate(1, 0, description.bytes()), CUDA_ERROR_OUT_OF_MEMORY);
  fake_.Run();
  EXPECT_EQ(graphs_->Instantiate(1, 0, description.bytes()), CUDA_SUCCESS);
  EXPECT_EQ(graphs_->Release(1), CUDA_SUCCESS);
  while (!fake_.launched.empty()) fake_.Run();
  EXPECT_TRUE(graphs_->empty());
}

TEST_F(GraphsTest, LaunchesTakeTheirWordsInOrder) {
  ASSERT_EQ(
      graphs_->Instantiate(1, 0, Description(1, 1).Node(GraphNodeKind::kHostCall, {}, wire::GraphHostCall{0}).bytes()),
      CUDA_SUCCESS);
  for (unsigned long long call : {7, 8}) ASSERT_EQ(graphs_->Launch(1, stream_, {&call, 1}, {}), CUDA_SUCCESS);
  EXPECT_EQ(graphs_->Destroy(1), CUDA_SUCCESS);
  std::thread stream([&] {
    fake_.Run();
    fake_.Run();
  });
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(sent_.At(i).control, wire::Control::kHostFunction);
    EXPECT_EQ(sent_.At(i).As<wire::CallHead>().call, 7 + i);
    EXPECT_TRUE(calls_->OnDone(7 + i));
  }
  stream.join();
}

TEST_F(GraphsTest, BytesAreAskedForOrComeWithTheLaunch) {
  std::string device(5, '.');
  const wire::GraphWrite write{kContext, {RowAt(Address(device))}, RowOf(5), 0};
  ASSERT_EQ(graphs_->Instantiate(1, 0, Description(1, 1).Node(GraphNodeKind::kWrite, {}, write).bytes()), CUDA_SUCCESS);
  const std::string pulled = "asked", with_launch = "...comes";
  unsigned long long word = 42;
  ASSERT_EQ(graphs_->Launch(1, stream_, {&word, 1}, {}), CUDA_SUCCESS);
  std::thread stream([&] { fake_.Run(); });
  EXPECT_EQ(sent_.At(0).control, wire::Control::kPull);
  EXPECT_EQ(sent_.At(0).As<wire::PullHead>().pull, 42u);
  EXPECT_FALSE(copies_.OnPulled({42, 0, 4}, std::as_bytes(std::span(pulled)).first(4)));
  EXPECT_TRUE(copies_.OnPulled({42, 0, 5}, std::as_bytes(std::span(pulled))));
  stream.join();
  EXPECT_EQ(device, pulled);

  word = wire::kWithLaunch + 3;
  ASSERT_EQ(graphs_->Launch(1, stream_, {&word, 1}, std::as_bytes(std::span(with_launch))), CUDA_SUCCESS);
  fake_.Run();
  EXPECT_EQ(device, "comes");
  word = wire::kWithLaunch + 4;  // past the end: what is copied is undefined, and nothing else happens
  ASSERT_EQ(graphs_->Launch(1, stream_, {&word, 1}, std::as_bytes(std::span(with_launch))), CUDA_SUCCESS);
  fake_.Run();
}

TEST_F(GraphsTest, BytesLandWhenTheyAreCopied) {
  std::string device = "value";
  const wire::GraphRead read{kContext, {RowAt(Address(device))}, RowAt(0), RowOf(5), 0};
  ASSERT_EQ(graphs_->Instantiate(1, 0, Description(1, 1).Node(GraphNodeKind::kRead, {}, read).bytes()), CUDA_SUCCESS);
  unsigned long long word = 0x1000;
  ASSERT_EQ(graphs_->Launch(1, stream_, {&word, 1}, {}), CUDA_SUCCESS);
  fake_.Run();
  EXPECT_EQ(sent_.At(0).control, wire::Control::kLand);
  EXPECT_EQ(sent_.At(0).As<wire::LandHead>().host_address, 0x1000u);
  word = 0;
  ASSERT_EQ(graphs_->Launch(1, stream_, {&word, 1}, {}), CUDA_SUCCESS);
  fake_.Run();
  graphs_->Drain();  // no launch is left
}

// A launch under way is done with, as far as the client's memory is concerned, before its last copy has read the block.
TEST_F(GraphsTest, PageLockedMemoryIsUsedAgainWhenTheDriverHasDoneWithTheGraph) {
  std::string device(5, '.');
  Description writes(1, 1);
  writes.Node(GraphNodeKind::kWrite, {}, wire::GraphWrite{kContext, {RowAt(Address(device))}, RowOf(5), 0});
  const unsigned long long word = 0;
  const auto launch_and_destroy = [&](uint64_t number) {
    ASSERT_EQ(graphs_->Instantiate(number, 0, writes.bytes()), CUDA_SUCCESS);
    ASSERT_EQ(graphs_->Launch(number, stream_, {&word, 1}, {}), CUDA_SUCCESS);
    ASSERT_EQ(graphs_->Destroy(number), CUDA_SUCCESS);
  };
  launch_and_destroy(1);
  const size_t host_bytes = driver_.host_bytes;
  EXPECT_GT(host_bytes, 0u) << "nothing is given back, which might wait for the stream";
  launch_and_destroy(2);
  EXPECT_NE(fake_.sources[1], fake_.sources[0]);
  fake_.Run();
  fake_.Run();
  launch_and_destroy(3);
  EXPECT_TRUE(fake_.sources[2] == fake_.sources[0] || fake_.sources[2] == fake_.sources[1]);
  EXPECT_EQ(driver_.host_bytes, host_bytes);
  fake_.Run();
}

TEST_F(GraphsTest, PageLockedMemoryIsOfTheContextOfTheCopy) {
  std::string device(5, '.');
  FakeDriver::MakeCurrent(FakeDriver::Context(2));
  const wire::GraphWrite write{kContext, {RowAt(Address(device))}, RowOf(5), 0};
  ASSERT_EQ(graphs_->Instantiate(1, 0, Description(1, 1).Node(GraphNodeKind::kWrite, {}, write).bytes()), CUDA_SUCCESS);
  const unsigned long long word = 0;
  graphs_->ForgetContext(FakeDriver::Context(2));
  ASSERT_EQ(graphs_->Launch(1, stream_, {&word, 1}, {}), CUDA_SUCCESS);
  fake_.Run();
  graphs_->ForgetContext(FakeDriver::Context(1));
  EXPECT_EQ(driver_.host_bytes, 0u);
  EXPECT_EQ(graphs_->Launch(1, stream_, {&word, 1}, {}), CUDA_ERROR_CONTEXT_IS_DESTROYED);
  graphs_->Drain();  // no launch is left
}

TEST_F(GraphsTest, CopiesThatAreChangedHaveAnotherSizeAndPlace) {
  std::string device = "abcdefgh";
  Description graph(2, 2);
  graph.Node(GraphNodeKind::kRead, {}, wire::GraphRead{kContext, {RowAt(Address(device))}, RowAt(0), RowOf(5), 0})
      .Node(GraphNodeKind::kWrite, {}, wire::GraphWrite{kContext, {RowAt(Address(device))}, RowOf(2), 1});
  ASSERT_EQ(graphs_->Instantiate(1, 0, graph.bytes()), CUDA_SUCCESS);
  const unsigned long long words[] = {0x1000, wire::kWithLaunch};
  const std::string sent(8000, 'x');
  ASSERT_EQ(graphs_->Launch(1, stream_, {words, 2}, std::as_bytes(std::span(sent))), CUDA_SUCCESS);

  std::string large(8000, '.');
  Changes changes;
  changes.Node(0, GraphNodeKind::kRead,
               wire::GraphRead{kContext, {Box{Address(device), 2, 2}}, Box{0, 3, 2}, BoxExtent{2, 2, 1}, 0});
  changes.Node(1, GraphNodeKind::kWrite, wire::GraphWrite{kContext, {RowAt(Address(large))}, RowOf(8000), 1});
  ASSERT_EQ(graphs_->Change(1, changes.bytes()), CUDA_SUCCESS);
  ASSERT_EQ(graphs_->Launch(1, stream_, {words, 2}, std::as_bytes(std::span(sent))), CUDA_SUCCESS);
  fake_.Run();  // in this driver the changes are in force at once; the bytes are still those of the launch
  EXPECT_EQ(sent_.At(0).control, wire::Control::kLand);
  EXPECT_EQ(sent_.At(0).As<wire::LandHead>().bytes, 5u);
  fake_.Run();
  EXPECT_EQ(sent_.At(1).control, wire::Control::kLandBox);
  EXPECT_EQ(sent_.At(1).Text(), "abcd");
  EXPECT_EQ(sent_.At(1).As<wire::LandBoxHead>().to.pitch, 3u);
  EXPECT_EQ(large, sent);
}

TEST_F(GraphsTest, CopiesNameArraysByTheirHandles) {
  const wire::HandleId id = wire::MakeHandle(wire::HandleKind::kArray, 1, wire::kFirstSlot + 1);
  const auto array = reinterpret_cast<CUarray>(0x7700);
  ASSERT_TRUE(handles_.Add(wire::HandleKind::kArray, id, array));
  const wire::GraphPlace memory{{0x1000, 64, 2}}, place{{}, id, {4, 3, 2}};
  const BoxExtent extent{8, 2, 1};
  ASSERT_EQ(
      graphs_->Instantiate(1, 0,
                           Description(3, 2)
                               .Node(GraphNodeKind::kCopy, {}, wire::GraphCopy{kContext, place, memory, extent})
                               .Node(GraphNodeKind::kWrite, {}, wire::GraphWrite{kContext, place, extent, 0})
                               .Node(GraphNodeKind::kRead, {}, wire::GraphRead{kContext, place, {0, 32, 0}, extent, 1})
                               .bytes()),
      CUDA_SUCCESS);
  ASSERT_EQ(fake_.copies.size(), 3u);
  for (size_t i : {0, 1}) {
    const CUDA_MEMCPY3D& to = fake_.copies[i];
    EXPECT_EQ(to.dstMemoryType, CU_MEMORYTYPE_ARRAY);
    EXPECT_EQ(to.dstArray, array);
    EXPECT_EQ(to.dstXInBytes, 4u);
    EXPECT_EQ(to.dstY, 3u);
    EXPECT_EQ(to.dstZ, 2u);
  }
  EXPECT_EQ(fake_.copies[0].srcMemoryType, CU_MEMORYTYPE_DEVICE);
  EXPECT_EQ(fake_.copies[0].srcDevice, 0x1000u);
  EXPECT_EQ(fake_.copies[0].srcPitch, 64u);
  EXPECT_EQ(fake_.copies[2].srcMemoryType, CU_MEMORYTYPE_ARRAY);
  EXPECT_EQ(fake_.copies[2].srcArray, array);
  EXPECT_EQ(fake_.copies[2].srcY, 3u);
  EXPECT_EQ(fake_.copies[2].dstMemoryType, CU_MEMORYTYPE_HOST);

  handles_.Remove(id);
  EXPECT_EQ(
      graphs_->Instantiate(
          2, 0,
          Description(1, 0).Node(GraphNodeKind::kCopy, {}, wire::GraphCopy{kContext, memory, place, extent}).bytes()),
      CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(GraphsTest, NothingWaitsForAClientThatIsGone) {
  std::string device(5, '.');
  const wire::GraphWrite write{kContext, {RowAt(Address(device))}, RowOf(5), 0};
  ASSERT_EQ(graphs_->Instantiate(1, 0, Description(1, 1).Node(GraphNodeKind::kWrite, {}, write).bytes()), CUDA_SUCCESS);
  const unsigned long long word = 42;
  ASSERT_EQ(graphs_->Launch(1, stream_, {&word, 1}, {}), CUDA_SUCCESS);
  std::thread stream([&] { fake_.Run(); });
  EXPECT_EQ(sent_.At(0).control, wire::Control::kPull);
  graphs_->ReleaseAll();
  copies_.ReleaseAll();
  stream.join();
}

TEST_F(GraphsTest, HostMemoryOfAllGraphsIsLimited) {
  std::string device(8, '.');
  const uint32_t count = kMaxStagingBytes / kCopyChunkBytes + 1;
  Description many(count, 1);
  for (uint32_t i = 0; i < count; ++i) {
    many.Node(GraphNodeKind::kRead, {},
              wire::GraphRead{kContext, {RowAt(Address(device))}, RowAt(0), RowOf(kCopyChunkBytes), 0});
  }
  EXPECT_EQ(graphs_->Instantiate(1, 0, many.bytes()), CUDA_ERROR_OUT_OF_MEMORY);
}

}  // namespace
}  // namespace outboard::worker
