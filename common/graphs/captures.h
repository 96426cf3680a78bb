#pragma once

#include <cuda.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "common/graphs/operation.h"

namespace outboard::graphs {

class Graphs;

// What of a stream matters for captures.
struct StreamId {
  uint64_t id;                  // of this process's streams
  const void* context;          // compared, never dereferenced
  bool is_legacy;               // the default stream that other streams wait for
  bool is_blocking;             // one of these others
  const void* green = nullptr;  // the green context that it is of; null for none. Compared, never dereferenced
};

// An event as captures see it. Thread-safe.
class CapturableEvent {
 public:
  // What a record in a capturing stream makes it mean: these nodes of the capture's graph.
  struct Captured {
    uint64_t capture;  // its id
    std::vector<std::shared_ptr<Node>> nodes;
  };
  virtual void BecomeCaptured(Captured captured) = 0;
  virtual std::optional<Captured> captured() const = 0;  // nullopt unless the last record was captured

 protected:
  ~CapturableEvent() = default;
};

// The stream captures under way in this process: which streams take part, what their next nodes depend on, and what
// must not be done meanwhile. What breaks a rule of stream capture invalidates the captures that it concerns.
//
// Thread-safe by Graphs::mutex, which its calls take; the caller holds no lock. While there is no capture, the
// questions of the submitting calls cost one load.
class Captures {
 public:
  explicit Captures(Graphs& graphs) : graphs_(graphs) {}

  bool any() const { return count_.load(std::memory_order_acquire) > 0; }

  // cuStreamBeginCapture and cuStreamBeginCaptureToGraph.
  CUresult Begin(const StreamId& stream, CUstreamCaptureMode mode);
  CUresult BeginTo(const StreamId& stream, CUstreamCaptureMode mode, CUgraph into,
                   std::span<const CUgraphNode> dependencies);

  // cuStreamEndCapture. `graph` may be null where the program knows the graph: it has captured to it.
  CUresult End(const StreamId& stream, CUgraph* graph);

  // What cuStreamIsCapturing and cuStreamGetCaptureInfo say of a stream.
  struct Info {
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
    uint64_t id = 0;
    CUgraph graph = nullptr;
    std::span<const CUgraphNode> dependencies;  // valid until the next call on the stream, as is their edges' data
    std::span<const CUgraphEdgeData> data;
  };
  CUresult Query(const StreamId& stream, Info* info);

  // cuStreamUpdateCaptureDependencies.
  CUresult SetDependencies(const StreamId& stream, std::span<const CUgraphNode> nodes, bool replace);

  // For work that is to be queued in `stream`: nullopt when it may be; else it became a node, or an error says why not.
  // `make` gives the node, or its error, with Graphs::mutex held.
  using MakeNode = std::function<CUresult(Content* content)>;
  std::optional<CUresult> Add(const StreamId& stream, const MakeNode& make);

  // The same for cuEventRecord and cuStreamWaitEvent. With the flag that makes a node, `external` gives it, else it is
  // empty.
  std::optional<CUresult> Record(const StreamId& stream, CapturableEvent& event, const MakeNode& external);
  std::optional<CUresult> Wait(const StreamId& stream, const CapturableEvent& event, const MakeNode& external);

  // For what cannot be captured: the error when `stream` captures, or is the legacy stream of blocking ones that do.
  CUresult RefuseOn(const StreamId& stream);
  // For what concerns all streams of a context, or of a green one.
  CUresult RefuseIn(const void* context);
  // For what asks about an event.
  CUresult RefuseEvent(const CapturableEvent& event);
  // For what no graph would know of, such as cuMemAlloc, by the rules for the calling thread's capture mode.
  CUresult RefuseUnsafe();

  // A stream that began a capture is gone, or a context with its streams: nobody could end the captures any more.
  void StreamDestroyed(const StreamId& stream);
  void ContextDestroyed(const void* context);

 private:
  using Nodes = std::vector<std::shared_ptr<Node>>;

  struct Capture {
    uint64_t id;
    CUstreamCaptureMode mode;
    std::thread::id thread;  // that began it
    uint64_t origin;         // the stream in which it began
    std::shared_ptr<Graph> graph;
    bool owns_graph;
    bool valid = true;
  };

  // A stream that takes part in a capture.
  struct Branch {
    std::shared_ptr<Capture> capture;
    StreamId stream;
    bool Is(const void* context) const { return stream.context == context || stream.green == context; }
    Nodes tips;                      // what its next node depends on
    std::vector<CUgraphNode> shown;  // their handles, as Query gave them out, and the data of the edges to them
    std::vector<CUgraphEdgeData> shown_data;
  };

  Branch* Find(const StreamId& stream);
  CUresult RefuseBegin(const StreamId& stream);
  CUresult RefuseLegacy(const StreamId& stream, bool invalidate);
  void Start(const StreamId& stream, CUstreamCaptureMode mode, std::shared_ptr<Graph> graph, bool owns_graph,
             Nodes tips);
  CUresult AddNode(Branch& branch, const MakeNode& make);
  static void Join(Branch& branch, const Nodes& nodes);
  bool Joined(const Branch& origin) const;
  void Finish(const std::shared_ptr<Capture>& capture, bool discard);

  Graphs& graphs_;
  std::atomic<unsigned> count_{0};
  std::map<uint64_t, Branch> branches_;  // by the stream's id
};

}  // namespace outboard::graphs
