#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "client/shim/graph_encoder.h"
#include "common/graphs/exec.h"

namespace outboard::shim {

class Process;

// An executable graph, which the worker has too.
//
// Guarded by Graphs::mutex, but for Launch and Upload, which take it themselves.
class GraphExec final : public graphs::Exec {
 public:
  // `process` outlives this.
  GraphExec(Process& process, const graphs::Graph& graph, uint64_t flags) : Exec(graph, flags), process_(process) {}
  ~GraphExec() override;

  // Has the worker make it. After Prepare.
  CUresult Instantiate();

  // In a stream that does not capture.
  CUresult Launch(CUstream stream);
  CUresult Upload(CUstream stream);

  CUresult SetEnabled(graphs::Node& node, bool enabled) override;

 private:
  CUresult Apply(Changes changes) override;

  // What one launch says, and what has to be taken back when it is refused.
  struct Launched {
    std::vector<unsigned long long> words;
    std::vector<std::byte> bytes;  // of host memory
    std::vector<uint64_t> host_calls;
    std::vector<std::pair<uint64_t, uint64_t>> host_ranges;  // begin and bytes
    graphs::MemoryChanges memory;
  };
  CUresult Begin(Launched* launched);
  uint64_t WordOf(const LaunchWord& word, bool may_send, Launched* launched);
  bool OnlyReadsHostMemory() const;

  Process& process_;
  uint64_t number_ = 0;  // the worker's; 0 while it has none
  NodeNumbers numbers_;
  std::vector<LaunchWord> words_;
};

}  // namespace outboard::shim
