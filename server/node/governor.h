#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/base/unique_fd.h"
#include "server/node/loop.h"
#include "server/slice/turn_messages.h"
#include "server/slice/turns.h"

namespace outboard::node {

// Shares the time of this machine's GPUs between leases: tells the workers of a lease when it has a GPU's turn, and
// hears from them when it is done. The rule itself is slice::Turns. A worker that ends has given its turn back.
//
// Thread-confined to the loop's thread.
class Governor {
 public:
  // The loop outlives it.
  explicit Governor(Loop* loop, slice::Turns::Limits limits = {}) : loop_(loop), limits_(limits) {}
  ~Governor();
  Governor(const Governor&) = delete;
  Governor& operator=(const Governor&) = delete;

  // A lease has a part of a GPU; `share` of its time. A lease is joined once.
  void Join(const std::string& lease, unsigned gpu, double share, bool is_hard);
  // It has another share from its next turn on. One that is not known is ignored.
  void SetShare(const std::string& lease, double share, bool is_hard);
  // It has ended, and its workers with it. One that is not known is ignored.
  void Leave(const std::string& lease);

  // A session of the lease begins: the worker's end of its connection to the governor.
  Result<UniqueFd> Admit(const std::string& lease, uint64_t session);
  // The session's worker has ended. One that is not known is ignored.
  void End(const std::string& lease, uint64_t session);

 private:
  struct Member {
    UniqueFd connection;
    bool wants = false;
    uint64_t given = 0;        // number of what it was told last and has not given back; 0: it may give the GPU no work
    int64_t until = 0;         // of that
    slice::Turns::Time heard;  // when it last said something
  };
  struct Lease {
    unsigned gpu;
    uint64_t number;                     // for Turns
    std::map<uint64_t, Member> members;  // by session
    slice::Turns::Used used;             // by members that have given the turn back; first is max() when none has
  };
  struct Gpu {
    slice::Turns turns;
    uint64_t turn = 0;  // number of the one that members were told of
    uint64_t timer = 0;
  };

  void Read(const std::string& lease, uint64_t session);
  void Take(Lease& lease, Member& member, const slice::TurnAnswer& answer);
  void GiveBack(Lease& lease, Member& member, const slice::TurnAnswer& answer);
  void Forget(Member& member);
  void Update(unsigned gpu);
  bool Tell(Lease& lease, const slice::Turns::Turn& turn);
  void EndTurn(Gpu& gpu, Lease& lease);

  Loop* const loop_;
  const slice::Turns::Limits limits_;
  std::map<unsigned, Gpu> gpus_;
  std::map<std::string, Lease> leases_;
  uint64_t numbers_ = 0;  // of leases and of what members are told
};

}  // namespace outboard::node
