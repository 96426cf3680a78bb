#include "client/shim/process.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <utility>

#include "client/shim/arrays.h"
#include "client/shim/context_objects.h"
#include "client/shim/contexts.h"
#include "client/shim/graph_model.h"
#include "client/shim/host_calls.h"
#include "client/shim/link.h"
#include "client/shim/memory.h"
#include "client/shim/memory_pools.h"
#include "client/shim/modules.h"
#include "client/shim/textures.h"
#include "client/shim/thread_state.h"
#include "common/base/env.h"
#include "common/base/log.h"

namespace outboard::shim {
namespace {

std::atomic<Process*> the_process{nullptr};

std::string ThisProgram() {
  return std::string(program_invocation_short_name) + " (pid " + std::to_string(getpid()) + ")";
}

std::shared_ptr<client::Trace> OpenTrace() {
  const auto path = GetEnv("OUTBOARD_TRACE");
  if (!path) return nullptr;
  auto trace = client::Trace::Open(*path);
  if (trace) return std::move(*trace);
  Log(LogLevel::kError, "%s", trace.error().message.c_str());
  return nullptr;
}

}  // namespace

Process& Process::Get() {
  Process* process = the_process.load(std::memory_order_acquire);
  while (process == nullptr ||
         (process->state_.load(std::memory_order_acquire) == State::kNew && !process->mark_.InMaker())) {
    auto* made = new Process;
    if (the_process.compare_exchange_strong(process, made)) return *made;
    delete made;
  }
  return *process;
}

Process::Process()
    : arrays_(std::make_unique<Arrays>()),
      context_objects_(std::make_unique<ContextObjects>()),
      contexts_(std::make_unique<Contexts>()),
      graph_model_(std::make_unique<GraphModel>(*this)),
      host_calls_(std::make_unique<HostCalls>([this](uint64_t call) { session_->HostFunctionDone(call); })),
      memory_(std::make_unique<Memory>(*this)),
      memory_pools_(std::make_unique<MemoryPools>()),
      modules_(std::make_unique<Modules>(*this)),
      textures_(std::make_unique<Textures>()) {}

Process::~Process() = default;

CUresult Process::Init() {
  if (IsForkedChild()) return WhyNotReady();
  std::call_once(init_once_, [this] { init_result_ = Open(); });
  return init_result_;
}

CUresult Process::Open() {
  Link link;
  std::optional<client::Session::OpenError> error = FindLink(&link);
  std::optional<std::vector<int32_t>> devices;
  if (!error) {
    const char* visible = getenv("CUDA_VISIBLE_DEVICES");
    devices = ChooseDevices(visible != nullptr ? std::optional<std::string_view>(visible) : std::nullopt, link.lease);
    if (devices && devices->empty()) return CUDA_ERROR_NO_DEVICE;
    wire::ClientHello hello;
    hello.major_version = wire::kMajorVersion;
    hello.abi = wire::kAbi;
    hello.ticket = link.lease.ticket;
    hello.client = ThisProgram();
    if (devices) hello.visible_devices = std::move(*devices);
    const Arena arena = memory_->MakeArena();
    hello.arena_begin = arena.begin;
    hello.arena_size = arena.size;
    link.session.trace = OpenTrace();
    session_ = std::make_unique<client::Session>(link.transport, this, link.session);
    error = session_->Open(link.lease.address, SessionPreamble(link.lease), hello);
  }
  if (error) {
    Log(LogLevel::kError, "%s", error->message.c_str());
    return error->result;
  }
  const auto count = static_cast<CUdevice>(worker().devices.size());
  if (count == 0) {
    session_->Close();
    return CUDA_ERROR_NO_DEVICE;
  }
  for (CUdevice device = 0; device < count; ++device) {
    const auto primary = reinterpret_cast<CUcontext>(wire::PrimaryContextHandle(device));
    contexts_->Add(primary, {.device = device, .is_primary = true, .is_active = false});
  }
  // After the plugin was loaded, so that this comes before the end of what is in it.
  atexit([] { Process::Get().Exit(); });
  // Children that call no CUDA function let go of the connection too. Those of vfork and clone are found by the mark.
  pthread_atfork(nullptr, nullptr, [] { Process::Get().AbandonSession(); });
  state_.store(State::kReady, std::memory_order_release);
  return CUDA_SUCCESS;
}

CUresult Process::Enter() const {
  if (state_.load(std::memory_order_acquire) != State::kReady || !mark_.InMaker()) return WhyNotReady();
  if (ThisThread().in_host_function) return CUDA_ERROR_NOT_PERMITTED;
  return session_->status();
}

CUresult Process::WhyNotReady() const {
  if (IsForkedChild()) const_cast<Process*>(this)->AbandonSession();
  const bool is_exiting = state_.load(std::memory_order_acquire) == State::kExiting && mark_.InMaker();
  return is_exiting ? CUDA_ERROR_DEINITIALIZED : CUDA_ERROR_NOT_INITIALIZED;
}

void Process::AbandonSession() {
  if (IsForkedChild() && !abandoned_.exchange(true)) session_->Abandon();
}

void Process::ForgetContext(CUcontext context) {
  graph_model_->graphs.captures.ContextDestroyed(context);
  for (const wire::HandleId object : context_objects_->Take(context)) {
    graph_model_->events.Recorded(reinterpret_cast<CUevent>(object));
    session_->ids().Release(object);
  }
  arrays_->ForgetContext(context);
  textures_->ForgetContext(context);
  memory_->ForgetContext(context);
  modules_->ForgetContext(context);
  session_->answers().Forget();
  interop::ContextDestroyed(context);
}

void Process::ForgetGreenContext(CUgreenCtx green, CUcontext context) {
  graph_model_->graphs.captures.ContextDestroyed(green);
  context_objects_->Take(green);
  session_->answers().Forget();
  interop::ContextDestroyed(context);
}

bool Process::FirstMention(const char* name) {
  std::lock_guard lock(mentioned_mutex_);
  return mentioned_.insert(name).second;
}

void Process::Exit() {
  if (!mark_.InMaker()) return AbandonSession();
  State ready = State::kReady;
  if (!state_.compare_exchange_strong(ready, State::kExiting)) return;
  session_->Close();
}

bool Process::Land(uint64_t host_address, std::span<const std::byte> bytes) {
  return memory_->Land(host_address, bytes);
}

bool Process::LandBox(const Box& to, const BoxExtent& extent, std::span<const std::byte> bytes) {
  return memory_->landings().LandBox(to, extent, bytes);
}

void Process::HostFunction(uint64_t call, CUresult status) { host_calls_->Run(call, status); }

void Process::Pull(uint64_t pull, uint64_t offset, uint64_t bytes) { memory_->Pull(pull, offset, bytes); }

// Into the streams that the program itself prints to, so that the order of lines is kept.
void Process::Output(std::string_view text) { fwrite(text.data(), 1, text.size(), stdout); }
void Process::ErrorOutput(std::string_view text) { fwrite(text.data(), 1, text.size(), stderr); }

}  // namespace outboard::shim
