#pragma once

#include "server/softgpu/api/cuda_api.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "server/softgpu/api/content.h"

namespace outboard::softgpu::api {

class Context;
class Driver;
class Event;
class Node;
class Stream;

// The stream captures under way in this process: which streams take part, what their next nodes depend on, and what
// must not be done meanwhile. What breaks a rule of stream capture invalidates the captures that it concerns.
//
// Thread-safe by Driver::graph_mutex, which its calls take; the caller holds no lock. While there is no capture, the
// questions of the submitting calls cost one load.
class Captures {
 public:
  explicit Captures(Driver& driver) : driver_(driver) {}

  bool any() const { return count_.load(std::memory_order_acquire) > 0; }

  // cuStreamBeginCapture and cuStreamBeginCaptureToGraph.
  CUresult Begin(const Stream& stream, CUstreamCaptureMode mode);
  CUresult BeginTo(const Stream& stream, CUstreamCaptureMode mode, CUgraph into,
                   std::span<const CUgraphNode> dependencies);

  // cuStreamEndCapture.
  CUresult End(const Stream& stream, CUgraph* graph);

  // What cuStreamIsCapturing and cuStreamGetCaptureInfo say of a stream.
  struct Info {
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
    uint64_t id = 0;
    CUgraph graph = nullptr;
    std::span<const CUgraphNode> dependencies;  // valid until the next call on the stream, as is their edges' data
    std::span<const CUgraphEdgeData> data;
  };
  CUresult Query(const Stream& stream, Info* info);

  // cuStreamUpdateCaptureDependencies.
  CUresult SetDependencies(const Stream& stream, std::span<const CUgraphNode> nodes, bool replace);

  // For work that is to be queued in `stream`: nullopt when it may be; else it became a node, or an error says why not.
  // `make` gives the node, or its error, with Driver::graph_mutex held.
  using MakeNode = std::function<CUresult(Content* content)>;
  std::optional<CUresult> Add(const Stream& stream, const MakeNode& make);

  // The same for cuEventRecord and cuStreamWaitEvent.
  std::optional<CUresult> Record(const Stream& stream, const std::shared_ptr<Event>& event, bool external);
  std::optional<CUresult> Wait(const Stream& stream, const std::shared_ptr<Event>& event, bool external);

  // For what cannot be captured: the error when `stream` captures, or is the legacy stream of blocking ones that do.
  CUresult RefuseOn(const Stream& stream);
  // For what concerns all streams of a context.
  CUresult RefuseIn(const Context& context);
  // For what asks about an event.
  CUresult RefuseEvent(const Event& event);
  // For what no graph would know of, such as cuMemAlloc, by the rules for the calling thread's capture mode.
  CUresult RefuseUnsafe();

  // A stream that began a capture is gone, or a context with its streams: nobody could end the captures any more.
  void StreamDestroyed(const Stream& stream);
  void ContextDestroyed(const Context& context);

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
    const Context* context;
    bool blocking;
    Nodes tips;                      // what its next node depends on
    std::vector<CUgraphNode> shown;  // their handles, as Query gave them out, and the data of the edges to them
    std::vector<CUgraphEdgeData> shown_data;
  };

  Branch* Find(const Stream& stream);
  CUresult RefuseBegin(const Stream& stream);
  CUresult RefuseLegacy(const Stream& stream, bool invalidate);
  void Start(const Stream& stream, CUstreamCaptureMode mode, std::shared_ptr<Graph> graph, bool owns_graph, Nodes tips);
  void AddNode(Branch& branch, Content content);
  static void Join(Branch& branch, const Nodes& nodes);
  bool Joined(const Branch& origin) const;
  void Finish(const std::shared_ptr<Capture>& capture, bool discard);

  Driver& driver_;
  std::atomic<unsigned> count_{0};
  std::map<uint64_t, Branch> branches_;  // by the stream's id
};

}  // namespace outboard::softgpu::api
