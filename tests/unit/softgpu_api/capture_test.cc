#include <functional>
#include <string>
#include <thread>

#include "tests/unit/softgpu_api/graph_fixture.h"

// Stream captures: what becomes a node, what depends on what, and what must not be done meanwhile. The rules are those
// of the manual's sections on stream capture and of the errors' descriptions.

namespace outboard::softgpu::api {
namespace {

class CaptureTest : public GraphFixture {};

void CUDA_CB CountCall(void* data) { ++*static_cast<int*>(data); }

TEST_F(CaptureTest, NothingRunsUntilTheGraphIsLaunched) {
  int calls = 0;
  words_[0] = words_[1] = 7;
  ASSERT_EQ(cuStreamBeginCapture_v2(stream_, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD32Async(Word(0), 5, 1, stream_), CUDA_SUCCESS);
  ASSERT_EQ(Store(1, 6, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyDtoHAsync_v2(words_, device_, 8, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuLaunchHostFunc(stream_, &CountCall, &calls), CUDA_SUCCESS);
  CUgraph graph = EndCapture(stream_);
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  EXPECT_EQ(Words(2), (std::vector<uint32_t>{0, 0}));
  EXPECT_EQ(words_[0], 7u);
  EXPECT_EQ(calls, 0);

  std::vector<CUgraphNodeType> types;
  CUgraphNode before = nullptr;
  for (CUgraphNode node : Nodes(graph)) {
    types.push_back(TypeOfNode(node));
    EXPECT_EQ(Dependencies(node), before ? std::vector{before} : std::vector<CUgraphNode>{});
    before = node;
  }
  EXPECT_EQ(types, (std::vector{CU_GRAPH_NODE_TYPE_MEMSET, CU_GRAPH_NODE_TYPE_KERNEL, CU_GRAPH_NODE_TYPE_MEMCPY,
                                CU_GRAPH_NODE_TYPE_HOST}));

  RunGraph(graph, 2);
  EXPECT_EQ(words_[0], 5u);
  EXPECT_EQ(words_[1], 6u);
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
}

TEST_F(CaptureTest, ArgumentsAreThoseOfTheCallAndHostBytesThoseOfTheLaunch) {
  uint32_t pageable = 1;
  words_[0] = 2;
  BeginRelaxed(stream_);
  {
    uint32_t value = 3;
    CUdeviceptr to = Word(2);
    void* params[] = {&to, &value};
    ASSERT_EQ(cuLaunchKernel(store_, 1, 1, 1, 1, 1, 1, 0, stream_, params, nullptr), CUDA_SUCCESS);
    value = 99;
    to = 0;
  }
  ASSERT_EQ(cuMemcpyHtoDAsync_v2(Word(0), &pageable, 4, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyAsync(Word(1), reinterpret_cast<CUdeviceptr>(words_), 4, stream_), CUDA_SUCCESS);
  CUgraph graph = EndCapture(stream_);
  CUgraphExec exec;
  ASSERT_EQ(cuGraphInstantiateWithFlags(&exec, graph, 0), CUDA_SUCCESS);
  for (uint32_t round : {10u, 20u}) {
    pageable = round;
    words_[0] = round + 1;
    ASSERT_EQ(cuGraphLaunch(exec, stream_), CUDA_SUCCESS);
    EXPECT_EQ(Words(3), (std::vector<uint32_t>{round, round + 1, 3}));
  }
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
}

TEST_F(CaptureTest, EventsForkAndJoinStreams) {
  CUevent done;
  ASSERT_EQ(cuEventCreate(&done, CU_EVENT_DISABLE_TIMING), CUDA_SUCCESS);
  BeginRelaxed(stream_);
  ASSERT_EQ(Store(0, 1, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuEventRecord(event_, stream_), CUDA_SUCCESS);
  EXPECT_EQ(Status(other_), CU_STREAM_CAPTURE_STATUS_NONE);
  ASSERT_EQ(cuStreamWaitEvent(other_, event_, 0), CUDA_SUCCESS);
  EXPECT_EQ(Status(other_), CU_STREAM_CAPTURE_STATUS_ACTIVE);
  ASSERT_EQ(Store(1, 2, other_), CUDA_SUCCESS);
  ASSERT_EQ(Store(2, 3, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuEventRecord(done, other_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWaitEvent(stream_, done, 0), CUDA_SUCCESS);
  ASSERT_EQ(Store(3, 4, stream_), CUDA_SUCCESS);
  CUgraph graph = EndCapture(stream_);
  EXPECT_EQ(Status(other_), CU_STREAM_CAPTURE_STATUS_NONE);

  const auto nodes = Nodes(graph);
  ASSERT_EQ(nodes.size(), 4u);  // events are no nodes
  EXPECT_EQ(Dependencies(nodes[1]), std::vector{nodes[0]});
  EXPECT_EQ(Dependencies(nodes[2]), std::vector{nodes[0]});
  EXPECT_EQ(Dependencies(nodes[3]), (std::vector{nodes[2], nodes[1]}));
  RunGraph(graph);
  EXPECT_EQ(Words(4), (std::vector<uint32_t>{1, 2, 3, 4}));
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
  EXPECT_EQ(cuEventDestroy_v2(done), CUDA_SUCCESS);
}

TEST_F(CaptureTest, AForkThatDoesNothingNeedsNoJoin) {
  BeginRelaxed(stream_);
  ASSERT_EQ(Store(0, 1, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuEventRecord(event_, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWaitEvent(other_, event_, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(EndCapture(stream_)), CUDA_SUCCESS);
}

TEST_F(CaptureTest, AForkThatIsNotJoinedFailsTheCapture) {
  BeginRelaxed(stream_);
  ASSERT_EQ(cuEventRecord(event_, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWaitEvent(other_, event_, 0), CUDA_SUCCESS);
  ASSERT_EQ(Store(0, 1, other_), CUDA_SUCCESS);
  CUgraph graph = reinterpret_cast<CUgraph>(1);
  EXPECT_EQ(cuStreamEndCapture(stream_, &graph), CUDA_ERROR_STREAM_CAPTURE_UNJOINED);
  EXPECT_EQ(graph, nullptr);
  EXPECT_EQ(Status(stream_), CU_STREAM_CAPTURE_STATUS_NONE);
  EXPECT_EQ(Status(other_), CU_STREAM_CAPTURE_STATUS_NONE);
  EXPECT_EQ(Words(1), (std::vector<uint32_t>{0}));
}

TEST_F(CaptureTest, ACaptureEndsInItsStream) {
  BeginRelaxed(stream_);
  ASSERT_EQ(cuEventRecord(event_, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWaitEvent(other_, event_, 0), CUDA_SUCCESS);
  CUgraph graph;
  EXPECT_EQ(cuStreamEndCapture(other_, &graph), CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
  ExpectBroken(stream_);
  EXPECT_EQ(Status(other_), CU_STREAM_CAPTURE_STATUS_NONE);
}

TEST_F(CaptureTest, ACaptureEndsInItsThreadUnlessItIsRelaxed) {
  const auto end_elsewhere = [&](CUgraph* graph) {
    CUresult result = CUDA_ERROR_UNKNOWN;
    std::thread([&] {
      EXPECT_EQ(cuCtxSetCurrent(context_), CUDA_SUCCESS);
      result = cuStreamEndCapture(stream_, graph);
    }).join();
    return result;
  };
  CUgraph graph;
  for (CUstreamCaptureMode mode : {CU_STREAM_CAPTURE_MODE_GLOBAL, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL}) {
    ASSERT_EQ(cuStreamBeginCapture_v2(stream_, mode), CUDA_SUCCESS);
    EXPECT_EQ(end_elsewhere(&graph), CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD);
    EXPECT_EQ(cuGraphDestroy(EndCapture(stream_)), CUDA_SUCCESS);
  }
  BeginRelaxed(stream_);
  ASSERT_EQ(end_elsewhere(&graph), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
}

TEST_F(CaptureTest, RefusesWrongBeginningsAndEnds) {
  CUgraph graph;
  EXPECT_EQ(cuStreamBeginCapture_v2(nullptr, CU_STREAM_CAPTURE_MODE_RELAXED), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EXPECT_EQ(cuStreamBeginCapture_v2(CU_STREAM_LEGACY, CU_STREAM_CAPTURE_MODE_RELAXED),
            CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EXPECT_EQ(cuStreamBeginCapture_v2(stream_, static_cast<CUstreamCaptureMode>(3)), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuStreamEndCapture(stream_, &graph), CUDA_ERROR_ILLEGAL_STATE);
  EXPECT_EQ(cuStreamUpdateCaptureDependencies(stream_, nullptr, 0, 0), CUDA_ERROR_ILLEGAL_STATE);
  BeginRelaxed(stream_);
  EXPECT_EQ(cuStreamBeginCapture_v2(stream_, CU_STREAM_CAPTURE_MODE_RELAXED), CUDA_ERROR_ILLEGAL_STATE);
  EXPECT_EQ(cuStreamEndCapture(stream_, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGraphDestroy(EndCapture(stream_)), CUDA_SUCCESS);
}

TEST_F(CaptureTest, APerThreadStreamCaptures) {
  ASSERT_EQ(cuStreamBeginCapture_v2_ptsz(nullptr, CU_STREAM_CAPTURE_MODE_RELAXED), CUDA_SUCCESS);
  EXPECT_EQ(Status(CU_STREAM_PER_THREAD), CU_STREAM_CAPTURE_STATUS_ACTIVE);
  ASSERT_EQ(Store(0, 9, CU_STREAM_PER_THREAD), CUDA_SUCCESS);
  CUgraph graph;
  ASSERT_EQ(cuStreamEndCapture_ptsz(nullptr, &graph), CUDA_SUCCESS);
  RunGraph(graph);
  EXPECT_EQ(Words(1), (std::vector<uint32_t>{9}));
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
}

// Calls beside a capture of `blocking_` by this thread in the given mode: their codes, and that they break the capture.
TEST_F(CaptureTest, WhatMustNotBeDoneMeanwhile) {
  CUevent captured, uncaptured;
  ASSERT_EQ(cuEventCreate(&captured, CU_EVENT_DEFAULT), CUDA_SUCCESS);
  ASSERT_EQ(cuEventCreate(&uncaptured, CU_EVENT_DEFAULT), CUDA_SUCCESS);
  ASSERT_EQ(cuEventRecord(uncaptured, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuEventSynchronize(uncaptured), CUDA_SUCCESS);
  CUdeviceptr memory;
  void* host;
  CUmodule module;
  float milliseconds;
  const auto relaxed = CU_STREAM_CAPTURE_MODE_RELAXED;
  const auto global = CU_STREAM_CAPTURE_MODE_GLOBAL;
  struct {
    const char* what;
    CUstreamCaptureMode mode;
    std::function<CUresult()> call;
    CUresult expected;
  } const rows[] = {
      {"synchronise the stream", relaxed, [&] { return cuStreamSynchronize(blocking_); },
       CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED},
      {"query the stream", relaxed, [&] { return cuStreamQuery(blocking_); }, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED},
      {"synchronise the context", relaxed, [&] { return cuCtxSynchronize(); }, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED},
      {"query a captured event", relaxed, [&] { return cuEventQuery(captured); }, CUDA_ERROR_CAPTURED_EVENT},
      {"synchronise a captured event", relaxed, [&] { return cuEventSynchronize(captured); },
       CUDA_ERROR_CAPTURED_EVENT},
      {"time a captured event", relaxed, [&] { return cuEventElapsedTime_v2(&milliseconds, uncaptured, captured); },
       CUDA_ERROR_CAPTURED_EVENT},
      {"wait for an uncaptured event", relaxed, [&] { return cuStreamWaitEvent(blocking_, uncaptured, 0); },
       CUDA_ERROR_STREAM_CAPTURE_ISOLATION},
      {"add a callback", relaxed,
       [&] {
         return cuStreamAddCallback(
             blocking_, [](CUstream, CUresult, void*) {}, nullptr, 0);
       },
       CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED},
      {"launch on the legacy stream", relaxed, [&] { return Store(0, 1, nullptr); },
       CUDA_ERROR_STREAM_CAPTURE_IMPLICIT},
      {"copy synchronously", relaxed, [&] { return cuMemcpyHtoD_v2(device_, words_, 4); },
       CUDA_ERROR_STREAM_CAPTURE_IMPLICIT},
      {"fill on the legacy stream", relaxed, [&] { return cuMemsetD8_v2(device_, 0, 4); },
       CUDA_ERROR_STREAM_CAPTURE_IMPLICIT},
      {"record on the legacy stream", relaxed, [&] { return cuEventRecord(uncaptured, nullptr); },
       CUDA_ERROR_STREAM_CAPTURE_IMPLICIT},
      {"let the legacy stream wait", relaxed, [&] { return cuStreamWaitEvent(nullptr, captured, 0); },
       CUDA_ERROR_STREAM_CAPTURE_IMPLICIT},
      {"synchronise the legacy stream", relaxed, [&] { return cuStreamSynchronize(nullptr); },
       CUDA_ERROR_STREAM_CAPTURE_IMPLICIT},
      {"allocate", global, [&] { return cuMemAlloc_v2(&memory, 4); }, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED},
      {"free", global, [&] { return cuMemFree_v2(device_); }, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED},
      {"allocate host memory", global, [&] { return cuMemHostAlloc(&host, 4, 0); },
       CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED},
      {"free host memory", global, [&] { return cuMemFreeHost(pinned_); }, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED},
      {"load a module", global, [&] { return cuModuleLoadData(&module, kTestPtx); },
       CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED},
      {"unload a module", global, [&] { return cuModuleUnload(module_); }, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED},
      {"query any event", global, [&] { return cuEventQuery(uncaptured); }, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.what);
    ASSERT_EQ(cuStreamBeginCapture_v2(blocking_, row.mode), CUDA_SUCCESS);
    ASSERT_EQ(cuEventRecord(captured, blocking_), CUDA_SUCCESS);
    EXPECT_EQ(row.call(), row.expected);
    ExpectBroken(blocking_);
  }
  EXPECT_EQ(cuEventDestroy_v2(captured), CUDA_SUCCESS);
  EXPECT_EQ(cuEventDestroy_v2(uncaptured), CUDA_SUCCESS);
}

TEST_F(CaptureTest, WhatMayBeDoneMeanwhile) {
  ASSERT_EQ(cuStreamBeginCapture_v2(stream_, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_SUCCESS);
  CUstream stream;
  CUevent event;
  size_t free, total;
  EXPECT_EQ(cuStreamCreate(&stream, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuEventCreate(&event, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuMemGetInfo_v2(&free, &total), CUDA_SUCCESS);
  EXPECT_EQ(Store(0, 4, stream), CUDA_SUCCESS);  // another stream works on, and so does the legacy stream, since no
  EXPECT_EQ(cuStreamSynchronize(stream), CUDA_SUCCESS);  // blocking stream captures
  EXPECT_EQ(cuMemcpyDtoH_v2(words_, device_, 4), CUDA_SUCCESS);
  EXPECT_EQ(words_[0], 4u);
  EXPECT_EQ(cuEventDestroy_v2(event), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamDestroy_v2(stream), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(EndCapture(stream_)), CUDA_SUCCESS);
}

TEST_F(CaptureTest, AskingTheLegacyStreamDoesNotBreakTheCapture) {
  BeginRelaxed(blocking_);
  CUstreamCaptureStatus status;
  EXPECT_EQ(cuStreamIsCapturing(nullptr, &status), CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
  EXPECT_EQ(cuStreamGetCaptureInfo(CU_STREAM_LEGACY, &status, nullptr), CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
  EXPECT_EQ(Status(blocking_), CU_STREAM_CAPTURE_STATUS_ACTIVE);
  EXPECT_EQ(cuGraphDestroy(EndCapture(blocking_)), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamIsCapturing(nullptr, &status), CUDA_SUCCESS);
}

// The table of cuThreadExchangeStreamCaptureMode: may a thread of a mode allocate beside a capture?
TEST_F(CaptureTest, ModesSayWhoMayDoWhatNoGraphKnowsOf) {
  constexpr auto kGlobal = CU_STREAM_CAPTURE_MODE_GLOBAL;
  constexpr auto kLocal = CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
  constexpr auto kRelaxed = CU_STREAM_CAPTURE_MODE_RELAXED;
  struct {
    CUstreamCaptureMode capture, thread;
    bool same_thread, allowed;
  } const rows[] = {
      {kGlobal, kGlobal, true, false},  {kGlobal, kLocal, true, false},  {kGlobal, kRelaxed, true, true},
      {kLocal, kGlobal, true, false},   {kLocal, kLocal, true, false},   {kLocal, kRelaxed, true, true},
      {kRelaxed, kGlobal, true, true},  {kRelaxed, kLocal, true, true},  {kRelaxed, kRelaxed, true, true},
      {kGlobal, kGlobal, false, false}, {kGlobal, kLocal, false, true},  {kGlobal, kRelaxed, false, true},
      {kLocal, kGlobal, false, true},   {kLocal, kLocal, false, true},   {kLocal, kRelaxed, false, true},
      {kRelaxed, kGlobal, false, true}, {kRelaxed, kLocal, false, true}, {kRelaxed, kRelaxed, false, true},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(testing::Message() << row.capture << " " << row.thread << " " << row.same_thread);
    ASSERT_EQ(cuStreamBeginCapture_v2(stream_, row.capture), CUDA_SUCCESS);
    const auto allocate = [&] {
      CUstreamCaptureMode mode = row.thread;
      ASSERT_EQ(cuThreadExchangeStreamCaptureMode(&mode), CUDA_SUCCESS);
      CUdeviceptr memory = 0;
      EXPECT_EQ(cuMemAlloc_v2(&memory, 4), row.allowed ? CUDA_SUCCESS : CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
      if (memory != 0) {
        EXPECT_EQ(cuMemFree_v2(memory), CUDA_SUCCESS);
      }
      EXPECT_EQ(cuThreadExchangeStreamCaptureMode(&mode), CUDA_SUCCESS);
    };
    if (row.same_thread) {
      allocate();
    } else {
      std::thread([&] {
        ASSERT_EQ(cuCtxSetCurrent(context_), CUDA_SUCCESS);
        allocate();
      }).join();
    }
    if (row.allowed) {
      EXPECT_EQ(cuGraphDestroy(EndCapture(stream_)), CUDA_SUCCESS);
    } else {
      ExpectBroken(stream_);
    }
  }
}

TEST_F(CaptureTest, TwoCapturesDoNotMerge) {
  BeginRelaxed(stream_);
  BeginRelaxed(other_);
  ASSERT_EQ(cuEventRecord(event_, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamWaitEvent(other_, event_, 0), CUDA_ERROR_STREAM_CAPTURE_MERGE);
  ExpectBroken(stream_);
  ExpectBroken(other_);
}

TEST_F(CaptureTest, ABrokenCaptureTakesNoStream) {
  BeginRelaxed(stream_);
  ASSERT_EQ(cuEventRecord(event_, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamQuery(stream_), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EXPECT_EQ(cuStreamWaitEvent(other_, event_, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(Status(other_), CU_STREAM_CAPTURE_STATUS_NONE);
  ExpectBroken(stream_);
}

TEST_F(CaptureTest, AnEventOfACaptureThatIsOver) {
  BeginRelaxed(stream_);
  ASSERT_EQ(cuEventRecord(event_, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(EndCapture(stream_)), CUDA_SUCCESS);
  EXPECT_EQ(cuEventQuery(event_), CUDA_ERROR_CAPTURED_EVENT);
  EXPECT_EQ(cuStreamWaitEvent(other_, event_, 0), CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
  ASSERT_EQ(cuEventRecord(event_, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cuEventSynchronize(event_), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamWaitEvent(other_, event_, 0), CUDA_SUCCESS);
}

TEST_F(CaptureTest, ExternalEventsBecomeNodes) {
  EXPECT_EQ(cuEventRecordWithFlags(event_, stream_, CU_EVENT_RECORD_EXTERNAL), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuStreamWaitEvent(stream_, event_, CU_EVENT_WAIT_EXTERNAL), CUDA_ERROR_INVALID_VALUE);
  CUevent gate;
  ASSERT_EQ(cuEventCreate(&gate, CU_EVENT_DISABLE_TIMING), CUDA_SUCCESS);
  BeginRelaxed(stream_);
  ASSERT_EQ(cuStreamWaitEvent(stream_, gate, CU_EVENT_WAIT_EXTERNAL), CUDA_SUCCESS);
  ASSERT_EQ(Store(0, 1, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuEventRecordWithFlags(event_, stream_, CU_EVENT_RECORD_EXTERNAL), CUDA_SUCCESS);
  CUgraph graph = EndCapture(stream_);
  const auto nodes = Nodes(graph);
  ASSERT_EQ(nodes.size(), 3u);
  EXPECT_EQ(TypeOfNode(nodes[0]), CU_GRAPH_NODE_TYPE_WAIT_EVENT);
  EXPECT_EQ(TypeOfNode(nodes[2]), CU_GRAPH_NODE_TYPE_EVENT_RECORD);
  CUevent event;
  ASSERT_EQ(cuGraphEventRecordNodeGetEvent(nodes[2], &event), CUDA_SUCCESS);
  EXPECT_EQ(event, event_);

  // The launch waits for what `gate` was recorded for before it, and its record of `event_` holds what waits for that.
  words_[0] = 0;
  const auto hold = reinterpret_cast<CUdeviceptr>(words_);
  ASSERT_EQ(cuStreamWaitValue32_v2(blocking_, hold, 1, CU_STREAM_WAIT_VALUE_EQ), CUDA_SUCCESS);
  ASSERT_EQ(cuEventRecord(gate, blocking_), CUDA_SUCCESS);
  CUgraphExec exec;
  ASSERT_EQ(cuGraphInstantiateWithFlags(&exec, graph, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphLaunch(exec, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cuEventQuery(event_), CUDA_ERROR_NOT_READY);
  ASSERT_EQ(cuStreamWaitEvent(other_, event_, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyDtoHAsync_v2(&words_[1], device_, 4, other_), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamQuery(other_), CUDA_ERROR_NOT_READY);
  std::atomic_ref(words_[0]).store(1);
  ASSERT_EQ(cuStreamSynchronize(other_), CUDA_SUCCESS);
  EXPECT_EQ(words_[1], 1u);
  EXPECT_EQ(cuEventSynchronize(event_), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
  EXPECT_EQ(cuEventDestroy_v2(gate), CUDA_SUCCESS);
}

TEST_F(CaptureTest, SaysWhatItCaptures) {
  CUstreamCaptureStatus status;
  cuuint64_t id = 0, second_id = 0;
  CUgraph graph = nullptr;
  const CUgraphNode* dependencies = nullptr;
  const CUgraphEdgeData* data = nullptr;
  size_t count = 9;
  ASSERT_EQ(cuStreamGetCaptureInfo_v3(stream_, &status, &id, &graph, &dependencies, &data, &count), CUDA_SUCCESS);
  EXPECT_EQ(status, CU_STREAM_CAPTURE_STATUS_NONE);
  BeginRelaxed(stream_);
  ASSERT_EQ(cuStreamGetCaptureInfo_v2(stream_, &status, &id, &graph, &dependencies, &count), CUDA_SUCCESS);
  EXPECT_EQ(status, CU_STREAM_CAPTURE_STATUS_ACTIVE);
  EXPECT_EQ(count, 0u);
  ASSERT_EQ(Store(0, 1, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamGetCaptureInfo_v3(stream_, &status, &id, &graph, &dependencies, &data, &count), CUDA_SUCCESS);
  ASSERT_EQ(count, 1u);
  EXPECT_EQ(dependencies[0], Nodes(graph)[0]);
  EXPECT_EQ(data[0].type, 0);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_ERROR_ILLEGAL_STATE);  // not while it is captured into
  EXPECT_EQ(cuGraphDestroyNode(dependencies[0]), CUDA_ERROR_ILLEGAL_STATE);
  CUgraphExec exec;
  EXPECT_EQ(cuGraphInstantiateWithFlags(&exec, graph, 0), CUDA_ERROR_ILLEGAL_STATE);
  EXPECT_EQ(EndCapture(stream_), graph);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
  BeginRelaxed(stream_);
  ASSERT_EQ(cuStreamGetCaptureInfo(stream_, &status, &second_id), CUDA_SUCCESS);
  EXPECT_NE(second_id, id);
  EXPECT_EQ(cuGraphDestroy(EndCapture(stream_)), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamGetCaptureInfo(stream_, nullptr, &id), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuStreamGetCaptureInfo_v3(stream_, &status, &id, &graph, nullptr, &data, &count), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(CaptureTest, DependenciesCanBeChanged) {
  BeginRelaxed(stream_);
  CUstreamCaptureStatus status;
  CUgraph graph;
  ASSERT_EQ(cuStreamGetCaptureInfo_v2(stream_, &status, nullptr, &graph, nullptr, nullptr), CUDA_SUCCESS);
  ASSERT_EQ(Store(0, 1, stream_), CUDA_SUCCESS);
  CUgraphNode first = Nodes(graph)[0];
  CUgraphNode added = AddStore(graph, 1, 2);
  ASSERT_EQ(cuStreamUpdateCaptureDependencies(stream_, &added, 1, CU_STREAM_ADD_CAPTURE_DEPENDENCIES), CUDA_SUCCESS);
  ASSERT_EQ(Store(2, 3, stream_), CUDA_SUCCESS);
  EXPECT_EQ(Dependencies(Nodes(graph)[2]), (std::vector{first, added}));
  ASSERT_EQ(cuStreamUpdateCaptureDependencies_v2(stream_, &first, nullptr, 1, CU_STREAM_SET_CAPTURE_DEPENDENCIES),
            CUDA_SUCCESS);
  ASSERT_EQ(Store(3, 4, stream_), CUDA_SUCCESS);
  EXPECT_EQ(Dependencies(Nodes(graph)[3]), std::vector{first});
  EXPECT_EQ(cuStreamUpdateCaptureDependencies(stream_, &first, 1, 2), CUDA_ERROR_INVALID_VALUE);
  CUgraph elsewhere;
  ASSERT_EQ(cuGraphCreate(&elsewhere, 0), CUDA_SUCCESS);
  CUgraphNode foreign = AddStore(elsewhere, 0, 0);
  EXPECT_EQ(cuStreamUpdateCaptureDependencies(stream_, &foreign, 1, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGraphDestroy(elsewhere), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(EndCapture(stream_)), CUDA_SUCCESS);
}

TEST_F(CaptureTest, CapturesIntoAGraphThatIsThere) {
  CUgraph graph;
  ASSERT_EQ(cuGraphCreate(&graph, 0), CUDA_SUCCESS);
  CUgraphNode first = AddStore(graph, 0, 1);
  const auto mode = CU_STREAM_CAPTURE_MODE_RELAXED;
  CUgraphNode twice[] = {first, first};
  EXPECT_EQ(cuStreamBeginCaptureToGraph(stream_, graph, twice, nullptr, 2, mode), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuStreamBeginCaptureToGraph(stream_, nullptr, nullptr, nullptr, 0, mode), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(cuStreamBeginCaptureToGraph(stream_, graph, &first, nullptr, 1, mode), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamBeginCaptureToGraph(other_, graph, nullptr, nullptr, 0, mode), CUDA_ERROR_ILLEGAL_STATE);
  ASSERT_EQ(Store(1, 2, stream_), CUDA_SUCCESS);
  EXPECT_EQ(EndCapture(stream_), graph);
  ASSERT_EQ(Nodes(graph).size(), 2u);
  EXPECT_EQ(Dependencies(Nodes(graph)[1]), std::vector{first});

  // A capture that fails leaves the graph to its owner.
  ASSERT_EQ(cuStreamBeginCaptureToGraph(stream_, graph, nullptr, nullptr, 0, mode), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamQuery(stream_), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  ExpectBroken(stream_);
  RunGraph(graph);
  EXPECT_EQ(Words(2), (std::vector<uint32_t>{1, 2}));
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
}

TEST_F(CaptureTest, ALaunchedGraphBecomesAChild) {
  CUgraph inner;
  ASSERT_EQ(cuGraphCreate(&inner, 0), CUDA_SUCCESS);
  AddStore(inner, 0, 8);
  CUgraphExec exec;
  ASSERT_EQ(cuGraphInstantiateWithFlags(&exec, inner, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphDestroy(inner), CUDA_SUCCESS);
  BeginRelaxed(stream_);
  ASSERT_EQ(cuGraphLaunch(exec, stream_), CUDA_SUCCESS);
  CUgraph graph = EndCapture(stream_);
  ASSERT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
  ASSERT_EQ(Nodes(graph).size(), 1u);
  EXPECT_EQ(TypeOfNode(Nodes(graph)[0]), CU_GRAPH_NODE_TYPE_GRAPH);
  RunGraph(graph);
  EXPECT_EQ(Words(1), (std::vector<uint32_t>{8}));
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
}

TEST_F(CaptureTest, ACaptureEndsWithItsStream) {
  CUstream origin;
  ASSERT_EQ(cuStreamCreate(&origin, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamBeginCapture_v2(origin, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_SUCCESS);
  ASSERT_EQ(cuEventRecord(event_, origin), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWaitEvent(other_, event_, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamDestroy_v2(origin), CUDA_SUCCESS);
  EXPECT_EQ(Status(other_), CU_STREAM_CAPTURE_STATUS_NONE);
  CUdeviceptr memory;
  ASSERT_EQ(cuMemAlloc_v2(&memory, 4), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree_v2(memory), CUDA_SUCCESS);
}

TEST_F(CaptureTest, ACaptureEndsWithItsContext) {
  CUcontext context;
  ASSERT_EQ(cuCtxCreate_v2(&context, 0, 0), CUDA_SUCCESS);
  CUstream stream;
  ASSERT_EQ(cuStreamCreate(&stream, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxDestroy_v2(context), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSetCurrent(context_), CUDA_SUCCESS);
  CUdeviceptr memory;
  ASSERT_EQ(cuMemAlloc_v2(&memory, 4), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree_v2(memory), CUDA_SUCCESS);
}

}  // namespace
}  // namespace outboard::softgpu::api
