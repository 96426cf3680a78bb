#include "server/worker/copies.h"

#include <signal.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "server/worker/copies_state.h"

namespace outboard::worker {
namespace {

// Blocks that the reads of one stream have at a time; further ones wait, in the stream, for the block of an earlier
// one.
constexpr size_t kReadWindowBytes = 32u << 20;
constexpr size_t kMaxStreams = 256;  // that are remembered while nothing is under way in them

// The bytes of a copy that goes through one block; 0 when it does not.
size_t BlockBytes(const BoxExtent& extent) {
  const auto bytes = PackedBytes(extent);
  return bytes && *bytes <= kCopyChunkBytes ? *bytes : 0;
}

// What the client's end of a copy reaches over; 0 when that is no range of addresses.
uint64_t HostSpan(const Box& host, const BoxExtent& extent) { return SpanOf(host, extent).value_or(0); }

// A copy of the driver's, whose two ends are packed until one of them is said to be a box.
CUDA_MEMCPY3D CopyOf(const BoxExtent& extent) {
  CUDA_MEMCPY3D copy{};
  copy.WidthInBytes = copy.srcPitch = copy.dstPitch = extent.width;
  copy.Height = copy.srcHeight = copy.dstHeight = extent.height;
  copy.Depth = extent.depth;
  return copy;
}

}  // namespace

CUresult Copies::State::ToDevice(const DevicePlace& to, const BoxExtent& extent, const void* bytes, CUstream stream) {
  if (to.array == nullptr && extent.IsOneRow()) {
    return driver.cuMemcpyHtoDAsync_v2(to.box.address, bytes, extent.width, stream);
  }
  if (driver.cuMemcpy3DAsync_v2 == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  CUDA_MEMCPY3D copy = CopyOf(extent);
  copy.srcMemoryType = CU_MEMORYTYPE_HOST;
  copy.srcHost = bytes;
  to.SetDestination(&copy);
  return driver.cuMemcpy3DAsync_v2(&copy, stream);
}

CUresult Copies::State::ToHost(void* bytes, const DevicePlace& from, const BoxExtent& extent, CUstream stream) {
  if (from.array == nullptr && extent.IsOneRow()) {
    return driver.cuMemcpyDtoHAsync_v2(bytes, from.box.address, extent.width, stream);
  }
  if (driver.cuMemcpy3DAsync_v2 == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  CUDA_MEMCPY3D copy = CopyOf(extent);
  from.SetSource(&copy);
  copy.dstMemoryType = CU_MEMORYTYPE_HOST;
  copy.dstHost = bytes;
  return driver.cuMemcpy3DAsync_v2(&copy, stream);
}

void StreamCopies::Set(Word word, uint64_t value) {
  auto* const at = reinterpret_cast<uint32_t*>(words->bytes + 64 * word);
  std::atomic_ref<uint32_t>(*at).store(static_cast<uint32_t>(value), std::memory_order_release);
}

CUresult Copies::State::Find(CUstream stream, std::shared_ptr<StreamCopies>* copies) {
  // The id, as the driver may use a destroyed stream's handle again while its work goes on, and as the default streams
  // have the same handle in every context and thread.
  unsigned long long id = 0;
  if (driver.cuStreamGetId == nullptr || driver.cuStreamGetCtx == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  if (const CUresult result = driver.cuStreamGetId(stream, &id); result != CUDA_SUCCESS) return result;
  bool is_crowded;
  {
    std::lock_guard lock(mutex);
    if (const auto found = streams.find(id); found != streams.end()) {
      *copies = found->second;
      return CUDA_SUCCESS;
    }
    is_crowded = streams.size() >= kMaxStreams;
  }
  CUcontext context = nullptr;
  if (const CUresult result = driver.cuStreamGetCtx(stream, &context); result != CUDA_SUCCESS) return result;
  if (is_crowded) ReclaimWrites();
  std::lock_guard lock(mutex);
  if (streams.size() >= kMaxStreams) ForgetIdleStreams();
  auto& staging = stagings[context];
  if (staging == nullptr) staging = std::make_shared<Staging>(driver, context, &staging_bytes);
  auto& found = streams[id];
  if (found == nullptr) found = std::make_shared<StreamCopies>(id, staging);
  *copies = found;
  return CUDA_SUCCESS;
}

void Copies::State::ForgetIdleStreams() {
  std::erase_if(streams, [this](auto& entry) {
    StreamCopies& copies = *entry.second;
    // One that somebody else refers to is about to be used.
    if (!copies.Idle() || entry.second.use_count() > 1) return false;
    Drop(copies, copies.words);
    return true;
  });
}

Block* Copies::State::TakeBlock(StreamCopies& copies, size_t bytes) {
  Block* block = copies.staging->Take(bytes, false);
  if (block != nullptr) return block;
  ReclaimWrites();
  return copies.staging->Take(bytes, true);
}

void Copies::State::Drop(StreamCopies& copies, Block* block) {
  if (block == nullptr || copies.dead) return;
  if (--block->users == 0) copies.staging->Give(block);
}

void Copies::State::ReclaimWrites() {
  std::unique_lock sweep(sweep_mutex, std::try_to_lock);
  if (!sweep) return;  // somebody looks already; the next copy finds more
  swept.clear();
  {
    std::lock_guard lock(mutex);
    for (const auto& [id, copies] : streams) {
      if (!copies->writes.empty()) swept.push_back(copies);
    }
  }
  Current current(driver);
  for (const auto& copies : swept) LookAtWrites(*copies, current);
  swept.clear();
}

CUresult Copies::State::NeedWords(StreamCopies& copies) {
  if (copies.words != nullptr) return CUDA_SUCCESS;
  Block* const block = copies.staging->Take(128, true);
  if (block == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
  std::lock_guard lock(mutex);
  copies.words = block;
  copies.Set(StreamCopies::kReady, copies.ready);
  copies.Set(StreamCopies::kLanded, copies.landed);
  return CUDA_SUCCESS;
}

CUresult Copies::State::WaitFor(StreamCopies& copies, StreamCopies::Word word, uint64_t value, CUstream stream) {
  const auto wait =
      driver.cuStreamWaitValue32_v2 != nullptr ? driver.cuStreamWaitValue32_v2 : driver.cuStreamWaitValue32;
  if (wait == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  return wait(stream, copies.Address(word), static_cast<cuuint32_t>(value), CU_STREAM_WAIT_VALUE_GEQ);
}

CUresult Copies::State::Record(StreamCopies& copies, CUstream stream, CUevent* event) {
  CUresult result;
  *event = copies.staging->TakeEvent(&result);
  if (*event == nullptr) return result;
  result = driver.cuEventRecord(*event, stream);
  if (result == CUDA_SUCCESS) return result;
  copies.staging->GiveEvent(std::exchange(*event, nullptr));
  return result;
}

void Copies::State::Began() {
  pending.fetch_add(1, std::memory_order_relaxed);
  if (!idle) return;
  idle = false;
  wake.notify_one();
}

// A block for the stream's next read. It may be that of an earlier one: then the stream has to wait until `wait_for`
// reads have landed.
Block* Copies::State::TakeReadBlock(StreamCopies& copies, size_t bytes, uint64_t* wait_for) {
  *wait_for = 0;
  Block* block = nullptr;
  bool is_full;
  {
    std::lock_guard lock(mutex);
    is_full = copies.read_bytes >= kReadWindowBytes;
  }
  if (!is_full) block = TakeBlock(copies, bytes);
  if (block == nullptr) {
    std::lock_guard lock(mutex);
    for (size_t i = 0; i < copies.reads.size(); ++i) {
      Block* const earlier = copies.reads[i].block;
      if (earlier->size < bytes || earlier->last_user != copies.landed + i) continue;  // promised to a later one
      *wait_for = earlier->last_user + 1;
      earlier->last_user = copies.next_read();
      ++earlier->users;
      return earlier;
    }
  }
  if (block == nullptr) block = TakeBlock(copies, bytes);  // the window holds smaller ones only
  if (block == nullptr) return nullptr;
  std::lock_guard lock(mutex);
  block->last_user = copies.next_read();
  copies.read_bytes += block->size;
  return block;
}

void Copies::State::GiveUpReadBlock(StreamCopies& copies, Block* block, uint64_t wait_for) {
  std::lock_guard lock(mutex);
  if (block->users == 1) {
    copies.read_bytes -= block->size;
  } else {
    block->last_user = wait_for - 1;
  }
  Drop(copies, block);
}

Block* Copies::State::TakePullBlock(StreamCopies& copies, size_t bytes) {
  {
    std::lock_guard lock(mutex);
    if (copies.pull_block != nullptr && copies.pull_block->size >= bytes) {
      ++copies.pull_block->users;
      return copies.pull_block;
    }
  }
  Block* const larger = TakeBlock(copies, bytes);
  if (larger == nullptr) return nullptr;
  std::lock_guard lock(mutex);
  Drop(copies, std::exchange(copies.pull_block, larger));
  ++larger->users;
  return larger;
}

// Gives the driver the copy's wait and the copy. Once the stream waits, the copy is in the queue, whatever else fails:
// the stream must be let go on.
CUresult Copies::State::QueuePulled(StreamCopies& copies, const DevicePlace& destination, const BoxExtent& extent,
                                    PulledCopy copy, CUstream stream) {
  CUresult result = NeedWords(copies);
  if (result != CUDA_SUCCESS) return result;
  copy.block = TakePullBlock(copies, copy.bytes);
  if (copy.block == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
  result = Record(copies, stream, &copy.reached);
  uint64_t number;
  {
    std::lock_guard lock(mutex);
    number = copies.next_pulled();
  }
  if (result == CUDA_SUCCESS) result = WaitFor(copies, StreamCopies::kReady, number + 1, stream);
  if (result != CUDA_SUCCESS) {
    std::lock_guard lock(mutex);
    Drop(copies, copy.block);
    if (copy.reached != nullptr) copies.staging->GiveEvent(copy.reached);
    return result;
  }
  result = ToDevice(destination, extent, copy.block->bytes, stream);
  const CUresult recorded = Record(copies, stream, &copy.done);

  std::lock_guard lock(mutex);
  if (copies.dead) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
  if (result != CUDA_SUCCESS || released) copy.state = PulledCopy::State::kReady;  // without its bytes
  copies.pulled.Push(copy);
  MakeReady(copies);
  Began();
  hurry = true;
  wake.notify_one();
  return result == CUDA_SUCCESS ? recorded : result;
}

std::shared_ptr<Staging> Copies::State::TakeStaging(CUcontext context) {
  const auto found = stagings.find(context);
  if (found == stagings.end()) return nullptr;
  const std::shared_ptr<Staging> staging = std::move(found->second);
  stagings.erase(found);
  const auto give = [&](CUevent event) {
    if (event != nullptr) staging->GiveEvent(event);
  };
  std::erase_if(streams, [&](auto& entry) {
    StreamCopies& copies = *entry.second;
    if (copies.staging != staging) return false;
    copies.dead = true;
    pending.fetch_sub(copies.reads.size() + copies.pulled.size(), std::memory_order_relaxed);
    while (!copies.writes.empty()) give(copies.writes.Pop().done);
    while (!copies.reads.empty()) give(copies.reads.Pop().done);
    while (!copies.pulled.empty()) {
      const PulledCopy copy = copies.pulled.Pop();
      pulls.erase(copy.pull);
      if (copy.state == PulledCopy::State::kAsked) {
        gate.Unhold(copies.id);
        direct_pulls[copy.pull] = nullptr;  // its answer may be on its way
      }
      give(copy.reached);
      give(copy.done);
    }
    return true;
  });
  return staging;
}

std::shared_ptr<Staging> Copies::State::TakeStagingWhenFilled(CUcontext context) {
  std::unique_lock lock(mutex);
  changed.wait(lock, [this] { return filling == 0; });
  const auto staging = TakeStaging(context);
  changed.notify_all();
  return staging;
}

Copies::Copies(const driver::DriverTable& driver, slice::Gate& gate, Sender send)
    : state_(std::make_unique<State>(driver, gate, std::move(send))) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  state_->helper = std::thread([state = state_.get()] { state->RunHelper(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Copies::~Copies() {
  {
    std::lock_guard lock(state_->mutex);
    state_->stop = true;
    state_->wake.notify_one();
  }
  state_->helper.join();
  State::Current current(state_->driver);
  while (!state_->stagings.empty()) {
    const auto staging = state_->TakeStaging(state_->stagings.begin()->first);
    if (current.Enter(staging->context())) staging->Destroy();
  }
}

CUresult Copies::Write(const DevicePlace& destination, const BoxExtent& extent, const void* bytes, CUstream stream) {
  const size_t count = BlockBytes(extent);
  if (bytes == nullptr || count == 0) return CUDA_ERROR_INVALID_VALUE;
  std::shared_ptr<StreamCopies> copies;
  if (const CUresult result = state_->Find(stream, &copies); result != CUDA_SUCCESS) return result;
  State::Current current(state_->driver);
  current.EnterAnother(copies->staging->context());
  std::lock_guard order(copies->order);
  Block* const block = state_->TakeBlock(*copies, count);
  // Without a block the driver does what it does for any memory that it does not know: it takes the bytes itself.
  if (block == nullptr) return state_->ToDevice(destination, extent, bytes, stream);
  std::memcpy(block->bytes, bytes, count);
  CUresult result = state_->ToDevice(destination, extent, block->bytes, stream);
  if (result != CUDA_SUCCESS) {
    std::lock_guard lock(state_->mutex);
    state_->Drop(*copies, block);
    return result;
  }
  CUevent event;
  result = state_->Record(*copies, stream, &event);
  if (result != CUDA_SUCCESS) return result;  // nobody can say when the block is free: it stays with its context
  std::lock_guard lock(state_->mutex);
  if (!copies->dead) copies->writes.Push({block, event});
  return CUDA_SUCCESS;
}

CUresult Copies::WritePulled(const DevicePlace& destination, const BoxExtent& extent, const Box& host, uint64_t pull,
                             CUstream stream) {
  PulledCopy copy;
  copy.pull = pull;
  copy.host_address = host.address;
  copy.host_span = HostSpan(host, extent);
  copy.bytes = BlockBytes(extent);
  if (copy.bytes == 0 || copy.host_span == 0) return CUDA_ERROR_INVALID_VALUE;
  std::shared_ptr<StreamCopies> copies;
  if (const CUresult result = state_->Find(stream, &copies); result != CUDA_SUCCESS) return result;
  State::Current current(state_->driver);
  current.EnterAnother(copies->staging->context());
  std::lock_guard order(copies->order);
  {
    std::lock_guard lock(state_->mutex);
    if (!state_->pulls.emplace(pull, copies).second) return CUDA_ERROR_INVALID_VALUE;
  }
  const CUresult result = state_->QueuePulled(*copies, destination, extent, copy, stream);
  if (result != CUDA_SUCCESS) {
    std::lock_guard lock(state_->mutex);
    state_->pulls.erase(pull);
  }
  return result;
}

CUresult Copies::Read(void* bytes, const DevicePlace& source, const BoxExtent& extent, CUstream stream) {
  const driver::DriverTable& driver = state_->driver;
  if (bytes == nullptr && !extent.IsEmpty()) return CUDA_ERROR_INVALID_VALUE;
  CUresult result = state_->ToHost(bytes, source, extent, stream);
  if (result != CUDA_SUCCESS || extent.IsEmpty() || driver.cuStreamQuery(stream) == CUDA_SUCCESS) return result;
  // Not the whole stream: others may have queued more behind this copy.
  std::shared_ptr<StreamCopies> copies;
  CUevent done = nullptr;
  result = state_->Find(stream, &copies);
  State::Current current(driver);
  if (result == CUDA_SUCCESS) {
    current.EnterAnother(copies->staging->context());
    result = state_->Record(*copies, stream, &done);
  }
  if (result != CUDA_SUCCESS) return driver.cuStreamSynchronize(stream);
  result = driver.cuEventSynchronize(done);
  copies->staging->GiveEvent(done);
  return result;
}

CUresult Copies::ReadAsync(const Box& host, const DevicePlace& source, const BoxExtent& extent, CUstream stream) {
  const size_t count = BlockBytes(extent);
  const uint64_t host_span = HostSpan(host, extent);
  if (count == 0 || host_span == 0) return CUDA_ERROR_INVALID_VALUE;
  std::shared_ptr<StreamCopies> copies;
  CUresult result = state_->Find(stream, &copies);
  if (result != CUDA_SUCCESS) return result;
  State::Current current(state_->driver);
  current.EnterAnother(copies->staging->context());
  std::lock_guard order(copies->order);
  uint64_t wait_for;
  Block* const block = state_->TakeReadBlock(*copies, count, &wait_for);
  if (block == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
  if (wait_for != 0) result = state_->NeedWords(*copies);
  if (wait_for != 0 && result == CUDA_SUCCESS) {
    result = state_->WaitFor(*copies, StreamCopies::kLanded, wait_for, stream);
  }
  if (result == CUDA_SUCCESS) result = state_->ToHost(block->bytes, source, extent, stream);
  if (result != CUDA_SUCCESS) {
    state_->GiveUpReadBlock(*copies, block, wait_for);
    return result;
  }
  CUevent done;
  result = state_->Record(*copies, stream, &done);
  if (result != CUDA_SUCCESS) return result;  // nobody can say when the block is free: it stays with its context
  std::lock_guard lock(state_->mutex);
  if (copies->dead) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
  copies->reads.Push({host, extent, host_span, state_->next_order++, block, done});
  state_->Began();
  return CUDA_SUCCESS;
}

void Copies::ForgetContext(CUcontext context) {
  State::Current current(state_->driver);
  const bool is_current = current.Enter(context);
  // The helper lands and asks meanwhile, so that nothing that the streams wait for fails to come.
  if (is_current) state_->driver.cuCtxSynchronize();
  LandCompleted();

  std::lock_guard sweep(state_->sweep_mutex);
  const auto staging = state_->TakeStagingWhenFilled(context);
  if (staging != nullptr) is_current ? staging->Destroy() : staging->Abandon();
}

void Copies::DropContext(CUcontext context) {
  {
    std::lock_guard lock(state_->mutex);
    if (!state_->stagings.contains(context)) return;
  }
  std::lock_guard sweep(state_->sweep_mutex);
  if (const auto staging = state_->TakeStagingWhenFilled(context)) staging->Abandon();
}

void Copies::SetOutput(std::unique_ptr<Output> output, std::unique_ptr<Output> errors) {
  std::lock_guard sweep(state_->sweep_mutex);
  state_->output = std::move(output);
  state_->errors = std::move(errors);
  state_->has_output = true;
}

}  // namespace outboard::worker
