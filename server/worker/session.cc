#include "server/worker/session.h"

#include <algorithm>
#include <exception>
#include <new>
#include <utility>

#include "common/base/log.h"
#include "server/worker/greeting.h"
#include "server/worker/session_state.h"

namespace outboard::worker {

Session::State::State(Session& session, FrameSink* sink)
    : device_infos(DescribeDevices(session.driver(), session.config_.devices)),
      outbox(sink, &credits),
      own_memory(session.driver(), session.config_.devices),
      contexts(session.driver(), session.config_.devices,
               {.before = [&session](CUcontext context) { session.BeforeEnd(context); },
                .after = [&session](CUcontext context) { session.AfterEnd(context); },
                .green = [&session](CUgreenCtx green, CUcontext converted,
                                    bool lives) { session.ForgetGreen(green, converted, lives); }},
               {.make = [&session](CUdevice device) { return session.MakeRoomForContext(device); },
                .end = [&session](CUdevice device, bool is_made) { session.EndRoomForContext(device, is_made); }}),
      allocations(session.driver(), session.config_.devices, &aside, session.config_.clears_memory),
      arrays(session.driver(), session.config_.devices, &allocations, session.config_.clears_memory),
      exports(session.driver(), session.config_.devices, &allocations),
      shares(session.config_.devices),
      memory_pools(session.driver(), session.config_.devices, &aside, &shares, session.config_.clears_memory),
      virtual_memory(session.driver(), session.config_.devices, &contexts, &shares, session.config_.clears_memory),
      copies(session.driver(), session.gate(),
             [&session](wire::Control control, std::span<const std::byte> head, std::span<const std::byte> bytes) {
               session.Send(control, 0, head, bytes);
             }),
      host_calls(session.driver(), copies, session.gate(),
                 [&session](wire::Control control, std::span<const std::byte> head, std::span<const std::byte> bytes) {
                   session.Send(control, 0, head, bytes);
                 }),
      graph_memory(session.driver(), &allocations),
      graphs(session.driver(), session.gate(), session.handles(), copies, host_calls, graph_memory),
      linkers(session.driver()),
      texture_objects(session.driver()) {
  if (session.driver().cuDriverGetVersion != nullptr) session.driver().cuDriverGetVersion(&driver_version);
  for (const wire::OpInfo& info : wire::Ops()) {
    entries.resize(static_cast<size_t>(info.op) + 1);
    entries.back().info = &info;
  }
  for (const Operation& operation : Operations())
    entries.at(static_cast<size_t>(operation.op)).handler = operation.handler;
  lanes.emplace(&credits,
                Lanes::Work{
                    .execute = [&session](Lane& lane, const wire::Command& command) { session.Execute(lane, command); },
                    .after_run = [this] { outbox.AcknowledgeIfDue(); },
                    .before_sleep = [&session](Lane& lane) { session.gate().Settle(lane.passage); },
                    .when_idle = [this] { outbox.Acknowledge(); },
                    .at_work =
                        [&devices = session.config_.devices](bool are_at_work) {
                          for (const LeasedDevice& device : devices)
                            device.ledger->SetAtWork(device.account, are_at_work);
                        },
                });
}

Session::Session(Config config, FrameSink* sink)
    : config_(std::move(config)), state_(std::make_unique<State>(*this, sink)) {}

Session::~Session() {
  OnClosed();
  state_->lanes.reset();
  EndContexts();
}

void Session::Finish() {
  state_->lanes->Finish();
  EndContexts();
  state_->outbox.End({});
}

// What the client is to see of its work goes before.
void Session::BeforeEnd(CUcontext context) {
  const wire::HandleId handle = handles_.HandleOf(wire::HandleKind::kContext, context);
  handles_.ForEach(wire::HandleKind::kContext, [&](wire::HandleId id, void* object) {
    if (handle == 0 || handles_.OwnerOf(id) != handle) return;
    ForgetGreenStreams(static_cast<CUcontext>(object));
  });
  state_->copies.ForgetContext(context);  // which waits for its work
  state_->allocations.RefundFreed();
  state_->graphs.ForgetContext(context);
  gate().ForgetContext(context);
}

void Session::AfterEnd(CUcontext context) {
  state_->copies.DropContext(context);
  state_->graphs.DropContext(context);
  state_->graph_memory.ForgetContext(context);
  state_->allocations.ForgetContext(context);
  state_->arrays.ForgetContext(context);
  state_->exports.ForgetContext(context);
  state_->memory_pools.ForgetContext(context);
  state_->texture_objects.ForgetContext(context);
  const wire::HandleId handle = handles_.HandleOf(wire::HandleKind::kContext, context);
  if (handle != 0) state_->uploads.Forget(handles_.RemoveOwned(handle));
}

// With their contexts, the driver's objects go.
void Session::EndContexts() {
  EndGraphs();
  FreePoolMemory();
  const driver::DriverTable& driver = *config_.driver;
  EndGreenContexts();
  handles_.ForEach(wire::HandleKind::kContext, [&](wire::HandleId id, void* object) {
    handles_.Remove(id);
    const auto context = static_cast<CUcontext>(object);
    BeforeEnd(context);
    if (!IsPrimaryContext(id)) {
      driver.cuCtxDestroy_v2(context);
    } else if (const LeasedDevice* device = FindDevice(static_cast<CUdevice>(wire::SlotOf(id)))) {
      driver.cuDevicePrimaryCtxReset_v2(device->ordinal);
    }
    AfterEnd(context);  // only now: whoever is promised this memory must be able to get it
  });
  // No context's; the work that used it has ended with the contexts.
  state_->virtual_memory.FreeAll();
}

void Session::ForgetGreenStreams(CUcontext converted) {
  state_->copies.ForgetContext(converted);
  state_->graphs.ForgetContext(converted);
  gate().ForgetContext(converted);
}

void Session::ForgetGreen(CUgreenCtx green, CUcontext converted, bool lives) {
  handles_.Remove(handles_.HandleOf(wire::HandleKind::kGreenContext, green));
  handles_.Remove(handles_.HandleOf(wire::HandleKind::kContext, converted));
  if (lives) return ForgetGreenStreams(converted);
  state_->copies.DropContext(converted);
  state_->graphs.DropContext(converted);
}

// Before the primary contexts that they are of.
void Session::EndGreenContexts() {
  handles_.ForEach(wire::HandleKind::kContext, [&](wire::HandleId id, void* object) {
    if (handles_.OwnerOf(id) == 0) return;
    handles_.Remove(id);
    ForgetGreenStreams(static_cast<CUcontext>(object));
  });
  handles_.ForEach(wire::HandleKind::kGreenContext, [&](wire::HandleId id, void* object) {
    handles_.Remove(id);
    if (driver().cuGreenCtxDestroy != nullptr) driver().cuGreenCtxDestroy(static_cast<CUgreenCtx>(object));
  });
}

// Runs work() in each context of the session.
template <class Work>
void Session::InEachContext(Work work) {
  const driver::DriverTable& driver = *config_.driver;
  handles_.ForEach(wire::HandleKind::kContext, [&](wire::HandleId, void* object) {
    CUcontext context = static_cast<CUcontext>(object);
    if (driver.cuCtxPushCurrent_v2(context) != CUDA_SUCCESS) return;
    work();
    driver.cuCtxPopCurrent_v2(&context);
  });
}

// After all work, which comes to steps of ours in graphs.
void Session::EndGraphs() {
  if (state_->graphs.empty()) return;
  InEachContext([&] { config_.driver->cuCtxSynchronize(); });
  state_->graphs.EndAll();
}

// The memory of pools does not end with a context, but to free it takes one. After all work, as that waits for none.
void Session::FreePoolMemory() {
  if (state_->memory_pools.empty()) return;
  InEachContext([&] { config_.driver->cuCtxSynchronize(); });
  InEachContext([&] { state_->memory_pools.FreeAll(); });
  if (state_->memory_pools.empty()) return;
  // The client has left no context that lives.
  for (const LeasedDevice& device : config_.devices) {
    CUcontext context;
    if (state_->contexts.RetainPrimary(&context, device.ordinal) != CUDA_SUCCESS) continue;
    if (config_.driver->cuCtxPushCurrent_v2(context) == CUDA_SUCCESS) {
      state_->memory_pools.FreeAll();
      config_.driver->cuCtxPopCurrent_v2(&context);
    }
    state_->contexts.ReleasePrimary(device.ordinal);
  }
}

// Carries one command out, on its lane's thread and in its context.
void Session::Execute(Lane& lane, const wire::Command& command) {
  try {
    Call call(*this, lane, command);
    // What it waits for is to be seen to end.
    const bool is_seen = call.wants_reply() && gate().is_limited();
    if (is_seen) gate().Settle(lane.passage);
    if (const CUresult result = MakeCurrent(lane, command.header.context); result != CUDA_SUCCESS) {
      call.Finish(result);
    } else {
      state_->entries[command.header.op].handler(call);
    }
    if (is_seen) gate().HasWaited();
  } catch (const std::bad_alloc&) {
    End("the worker has no host memory left for " + CallName(command));
  } catch (const std::exception& exception) {
    End("the worker failed in " + CallName(command) + ": " + exception.what());
  }
}

CUresult Session::MakeCurrent(Lane& lane, wire::HandleId id) {
  const uint64_t changes = handles_.context_changes();
  if (lane.context == id && (id == 0 || lane.context_changes == changes)) return CUDA_SUCCESS;
  // One that does not exist, any more or yet (a primary context has its handle before it is retained), is like none:
  // calls that need no context go on, and the driver refuses the others.
  void* const object = id == 0 ? nullptr : handles_.Find(wire::HandleKind::kContext, id).value_or(nullptr);
  gate().Settle(lane.passage);
  const CUresult result = driver().cuCtxSetCurrent(static_cast<CUcontext>(object));
  if (result != CUDA_SUCCESS) return result;
  lane.context = id;
  lane.context_changes = changes;
  return CUDA_SUCCESS;
}

std::string Session::CallName(const wire::Command& command) const {
  return std::string(state_->entries[command.header.op].info->name) + " (command " + std::to_string(command.sequence) +
         " of lane " + std::to_string(command.header.lane) + ")";
}

void Session::Send(wire::Control control, uint32_t lane, std::span<const std::byte> head,
                   std::span<const std::byte> bytes) {
  const Outbox::Encoding encoding(state_->outbox, control, lane,
                                  wire::Padded(head.size()) + wire::Padded(bytes.size()));
  if (encoding.body() == nullptr) return;
  wire::Writer writer(encoding.body());
  writer.PutBytes(head.data(), head.size());
  writer.PutBytes(bytes.data(), bytes.size());
}

void Session::End(std::string reason, LogLevel level) {
  state_->is_over = true;
  if (state_->outbox.End(reason)) {
    Log(level, "session %llu of %s ends: %s", static_cast<unsigned long long>(config_.number), state_->client().c_str(),
        reason.c_str());
  }
  Release();
  gate().Close();
  state_->lanes->Stop();
}

void Session::OnClosed() {
  state_->is_over = true;
  state_->outbox.Close();
  Release();
  gate().Close();
  state_->lanes->Stop();
}

// Lets go of everything that waits for the client. Before the lanes are stopped: whoever waits for that finds all the
// rest done.
void Session::Release() {
  state_->graphs.ReleaseAll();
  state_->host_calls.ReleaseAll();
  state_->copies.ReleaseAll();
}

bool Session::Wait(std::optional<std::chrono::milliseconds> grace) { return state_->lanes->Wait(grace); }

Allocations& Session::allocations() { return state_->allocations; }
Arrays& Session::arrays() { return state_->arrays; }
TextureObjects& Session::texture_objects() { return state_->texture_objects; }
Contexts& Session::contexts() { return state_->contexts; }
MemoryPools& Session::memory_pools() { return state_->memory_pools; }
Copies& Session::copies() { return state_->copies; }
DevResources& Session::dev_resources() { return state_->dev_resources; }
Exports& Session::exports() { return state_->exports; }
GraphMemory& Session::graph_memory() { return state_->graph_memory; }
Graphs& Session::graphs() { return state_->graphs; }
HostCalls& Session::host_calls() { return state_->host_calls; }
Linkers& Session::linkers() { return state_->linkers; }
Uploads& Session::uploads() { return state_->uploads; }
VirtualMemory& Session::virtual_memory() { return state_->virtual_memory; }

// In the lease, of a device as the driver counts; nullopt where nobody knows what the driver takes.
std::optional<size_t> Session::PlaceOf(CUdevice device) const {
  const auto found = std::ranges::find(config_.devices, device, &LeasedDevice::ordinal);
  if (config_.unseen == nullptr || found == config_.devices.end()) return std::nullopt;
  return found - config_.devices.begin();
}

bool Session::MakeRoomForContext(CUdevice device) {
  const std::optional<size_t> place = PlaceOf(device);
  if (!place || config_.unseen->MakeRoom(*place)) return true;
  if (ReleaseUnusedMemory() && config_.unseen->MakeRoom(*place)) return true;
  const slice::Ledger& ledger = *config_.devices[*place].ledger;
  Log(LogLevel::kWarn,
      "session %llu of %s gets no context: the driver needs more memory for it than the %llu bytes that the lease has "
      "left of its %llu; let other processes of the lease free some, or ask for more",
      static_cast<unsigned long long>(config_.number), state_->client().c_str(),
      static_cast<unsigned long long>(ledger.free()), static_cast<unsigned long long>(ledger.limit()));
  return false;
}

void Session::EndRoomForContext(CUdevice device, bool is_made) {
  if (const std::optional<size_t> place = PlaceOf(device)) config_.unseen->EndRoom(*place, is_made);
}

void Session::SettleMemory() {
  state_->graph_memory.FreeReleased();
  state_->memory_pools.Settle();
  state_->allocations.RefundFreed();
}

bool Session::ReleaseUnusedMemory() {
  state_->graph_memory.FreeReleased();
  const bool refunded = state_->allocations.RefundFreed();
  return state_->memory_pools.ReleaseUnused() || refunded;
}

const LeasedDevice* Session::FindDevice(CUdevice client) const {
  if (client < 0 || static_cast<size_t>(client) >= state_->visible.size()) return nullptr;
  return &config_.devices[state_->visible[client]];
}

CUdevice Session::ClientDevice(CUdevice driver) const {
  for (CUdevice client = 0; const LeasedDevice* device = FindDevice(client); ++client) {
    if (device->ordinal == driver) return client;
  }
  return -1;
}

const LeasedDevice* Session::DeviceOf(CUdevice driver) const { return FindDevice(ClientDevice(driver)); }

}  // namespace outboard::worker
