#include "server/node/governor.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "common/base/log.h"

namespace outboard::node {
namespace {

using slice::TurnAnswer;
using slice::TurnGiven;
using slice::Turns;

constexpr int kMostAtOnce = 64;  // messages of a worker; who says much keeps nobody else waiting

int64_t Nanoseconds(Turns::Time time) {
  return time == Turns::Time::max() ? TurnGiven::kNoEnd : time.time_since_epoch() / std::chrono::nanoseconds(1);
}
Turns::Time ToTime(int64_t nanoseconds) { return Turns::Time(std::chrono::nanoseconds(nanoseconds)); }

Turns::Used Nothing() { return {.first = Turns::Time::max(), .last = Turns::Time::min()}; }

}  // namespace

Governor::~Governor() {
  for (auto& [name, lease] : leases_) {
    for (auto& [session, member] : lease.members) Forget(member);
  }
  for (const auto& [number, gpu] : gpus_) loop_->Cancel(gpu.timer);
}

void Governor::Join(const std::string& lease, unsigned gpu, double share, bool is_hard) {
  const uint64_t number = ++numbers_;
  leases_[lease] = {gpu, number, {}, Nothing()};
  gpus_.try_emplace(gpu, Gpu{Turns(limits_)}).first->second.turns.Join(number, share, is_hard, Turns::Clock::now());
}

void Governor::SetShare(const std::string& lease, double share, bool is_hard) {
  const auto found = leases_.find(lease);
  if (found == leases_.end()) return;
  const unsigned gpu = found->second.gpu;
  gpus_.at(gpu).turns.SetShare(found->second.number, share, is_hard, Turns::Clock::now());
  Update(gpu);
}

void Governor::Leave(const std::string& lease) {
  const auto found = leases_.find(lease);
  if (found == leases_.end()) return;
  for (auto& [session, member] : found->second.members) Forget(member);
  const unsigned gpu = found->second.gpu;
  gpus_.at(gpu).turns.Leave(found->second.number, Turns::Clock::now());
  leases_.erase(found);
  Update(gpu);
}

Result<UniqueFd> Governor::Admit(const std::string& lease, uint64_t session) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    return Error{std::string("no connection for a worker's turns could be made: ") + std::strerror(errno) +
                 ". Check the limit on open files."};
  }
  Member& member = leases_.at(lease).members[session];
  member.connection = UniqueFd(ends[0]);
  member.heard = Turns::Clock::now();
  loop_->Watch(ends[0], POLLIN, [this, lease, session](short) { Read(lease, session); });
  return UniqueFd(ends[1]);
}

void Governor::End(const std::string& lease, uint64_t session) {
  const auto found = leases_.find(lease);
  if (found == leases_.end()) return;
  const auto member = found->second.members.find(session);
  if (member == found->second.members.end()) return;
  // What it did with its turn it took with it: all of the time that counts is the lease's.
  const int64_t now = Nanoseconds(Turns::Clock::now());
  if (member->second.given != 0) {
    const bool is_counted = member->second.until != TurnGiven::kNoEnd;
    GiveBack(found->second, member->second, {.busy = is_counted ? INT64_MAX : 0, .first = 0, .last = now});
  }
  Forget(member->second);
  found->second.members.erase(member);
  Update(found->second.gpu);
}

void Governor::Forget(Member& member) {
  if (member.connection) loop_->Forget(member.connection.get());
  member.connection.Reset();
}

void Governor::Read(const std::string& name, uint64_t session) {
  Lease& lease = leases_.at(name);
  Member& member = lease.members.at(session);
  for (int i = 0; i < kMostAtOnce; ++i) {
    TurnAnswer answer;
    switch (slice::Receive(member.connection.get(), &answer)) {
      case slice::Received::kMessage:
        Take(lease, member, answer);
        continue;
      case slice::Received::kNothing:
        return Update(lease.gpu);
      case slice::Received::kMalformed:
        Log(LogLevel::kWarn,
            "lease %s: session %llu says of its turns what no gpu-worker of this version says, and gets none",
            name.c_str(), static_cast<unsigned long long>(session));
        [[fallthrough]];
      case slice::Received::kEnd:
        // Its turn ends when its process has: until then the GPU may be at work for it.
        Forget(member);
        return Update(lease.gpu);
    }
  }
  Update(lease.gpu);
}

void Governor::Take(Lease& lease, Member& member, const TurnAnswer& answer) {
  const Turns::Time now = Turns::Clock::now();
  // It cannot have used more time than there was.
  const auto overtime = std::min<Turns::Duration>(std::chrono::nanoseconds(answer.overtime), now - member.heard);
  member.heard = now;
  gpus_.at(lease.gpu).turns.Charge(lease.number, overtime);
  if (answer.kind == TurnAnswer::Kind::kWant) {
    member.wants = true;
  } else if (answer.turn == member.given && member.given != 0) {
    GiveBack(lease, member, answer);
  } else {
    member.wants = member.wants || answer.wants != 0;  // it was taken from it meanwhile
  }
  if (member.wants) gpus_.at(lease.gpu).turns.Want(lease.number);
}

void Governor::GiveBack(Lease& lease, Member& member, const TurnAnswer& answer) {
  member.given = 0;
  member.wants = answer.wants != 0;
  // Bounded by what the times can be: sums of it do not overflow.
  const auto now = Turns::Clock::now();
  lease.used.busy += std::min<Turns::Duration>(std::chrono::nanoseconds(answer.busy), now.time_since_epoch());
  lease.used.first = std::min(lease.used.first, ToTime(answer.first));
  lease.used.last = std::max(lease.used.last, ToTime(answer.last));
}

// The lease's members have all given the turn back.
void Governor::EndTurn(Gpu& gpu, Lease& lease) {
  lease.used.wants =
      std::any_of(lease.members.begin(), lease.members.end(), [](const auto& entry) { return entry.second.wants; });
  gpu.turns.Done(std::exchange(lease.used, Nothing()), Turns::Clock::now());
}

// Tells the lease's members that want it of the turn, and those that have it of its end. False when nobody has it.
bool Governor::Tell(Lease& lease, const Turns::Turn& turn) {
  const Turns::Time now = Turns::Clock::now();
  const int64_t until = Nanoseconds(turn.until);
  bool has_any = false;
  for (auto& [session, member] : lease.members) {
    if (!member.connection) {
      member.wants = false;
      has_any = has_any || member.given != 0;
      continue;
    }
    if (member.given == 0 && member.wants && now < turn.until) {
      member.given = ++numbers_;
      member.wants = false;
      member.until = until - 1;  // not what it was told
    }
    if (member.given == 0) continue;
    has_any = true;
    if (std::exchange(member.until, until) != until)
      slice::Send(member.connection.get(), TurnGiven{member.given, until});
  }
  return has_any;
}

void Governor::Update(unsigned number) {
  Gpu& gpu = gpus_.at(number);
  for (;;) {
    const std::optional<Turns::Turn> turn = gpu.turns.Decide(Turns::Clock::now());
    if (turn && turn->number != gpu.turn) {
      gpu.turn = turn->number;
      // One that was taken from its holder is nobody's any more.
      for (auto& [name, lease] : leases_) {
        if (lease.gpu != number) continue;
        lease.used = Nothing();
        for (auto& [session, member] : lease.members) member.given = 0;
      }
    }
    if (!turn) break;
    const auto holder = std::find_if(leases_.begin(), leases_.end(),
                                     [&](const auto& entry) { return entry.second.number == turn->lease; });
    if (Tell(holder->second, *turn)) break;
    EndTurn(gpu, holder->second);
  }
  loop_->Cancel(std::exchange(gpu.timer, 0));
  if (gpu.turns.due() != Turns::Time::max()) {
    gpu.timer = loop_->At(gpu.turns.due(), [this, number] { Update(number); });
  }
}

}  // namespace outboard::node
