// Green contexts: a GPU's multiprocessors are split, kernels of two green contexts run on their own, and streams,
// events, memory and modules are whose the documentation says they are.

#include <algorithm>
#include <set>
#include <vector>

#include "driver_session.h"

namespace {

// where(p): p[block] is the multiprocessor that the block ran on.
constexpr char kWhere[] = R"(
.version 7.0
.target sm_75
.address_size 64

.visible .entry where(.param .u64 p)
{
  .reg .b32 %r<3>;
  .reg .b64 %rd<3>;
  ld.param.u64 %rd1, [p];
  mov.u32 %r1, %ctaid.x;
  mul.wide.u32 %rd2, %r1, 4;
  add.s64 %rd1, %rd1, %rd2;
  mov.u32 %r2, %smid;
  st.global.u32 [%rd1], %r2;
  ret;
}
)";
constexpr unsigned kBlocks = 256;

struct Green {
  CUgreenCtx green = nullptr;
  CUcontext context = nullptr;
  CUstream stream = nullptr;
};

Green Create(CUdevice device, std::vector<CUdevResource> resources) {
  Green made;
  CUdevResourceDesc desc = nullptr;
  check::Ok(cuDevResourceGenerateDesc(&desc, resources.data(), static_cast<unsigned>(resources.size())));
  check::Ok(cuGreenCtxCreate(&made.green, desc, device, CU_GREEN_CTX_DEFAULT_STREAM));
  check::Ok(cuCtxFromGreenCtx(&made.context, made.green));
  check::Ok(cuGreenCtxStreamCreate(&made.stream, made.green, CU_STREAM_NON_BLOCKING, 0));
  return made;
}

void Destroy(const Green& green) {
  check::Ok(cuStreamDestroy(green.stream));
  check::Ok(cuGreenCtxDestroy(green.green));
}

CUcontext Current() {
  CUcontext context = nullptr;
  check::Ok(cuCtxGetCurrent(&context));
  return context;
}

class Test {
 public:
  explicit Test(const DriverSession& session) : device_(session.device()), primary_(session.context()) {
    check::Ok(cuModuleLoadData(&module_, kWhere));
    where_ = GetFunction(module_, "where");
    check::Ok(cuMemAlloc(&memory_, kBlocks * sizeof(unsigned)));
    check::Ok(cuMemAlloc(&word_, sizeof(unsigned)));
  }

  void Split() {
    CUdevResource whole = {};
    check::Ok(cuDeviceGetDevResource(device_, &whole, CU_DEV_RESOURCE_TYPE_SM));
    int sms = 0;
    check::Ok(cuDeviceGetAttribute(&sms, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, device_));
    check::Equal("multiprocessors of the device", whole.sm.smCount, static_cast<unsigned>(sms));
    const unsigned least = whole.sm.minSmPartitionSize;
    check::True("a device has room for two groups", least > 0 && 2 * least <= whole.sm.smCount);
    unsigned possible = 0;
    check::Ok(cuDevSmResourceSplitByCount(nullptr, &possible, &whole, nullptr, 0, 1));
    // As many as there is room for, or fewer where the GPU's clusters of multiprocessors leave some over.
    check::True("two groups can be, and no more than there is room for",
                possible >= 2 && possible <= whole.sm.smCount / least);
    groups_.resize(2);
    unsigned made = 2;
    check::Ok(cuDevSmResourceSplitByCount(groups_.data(), &made, &whole, &rest_, 0, 1));
    check::Equal("groups", made, 2u);
    for (const CUdevResource& group : groups_) {
      check::True("a group is of multiprocessors", group.type == CU_DEV_RESOURCE_TYPE_SM);
      check::Equal("multiprocessors of a group", group.sm.smCount, least);
    }
    const unsigned left = rest_.type == CU_DEV_RESOURCE_TYPE_SM ? rest_.sm.smCount : 0;
    check::Equal("what is left", left, whole.sm.smCount - 2 * least);
    check::Ok(cuCtxGetDevResource(primary_, &whole, CU_DEV_RESOURCE_TYPE_SM));
    check::Equal("multiprocessors of the primary context", whole.sm.smCount, static_cast<unsigned>(sms));
  }

  void CreateTwo() {
    first_ = Create(device_, {groups_[0]});
    second_ = Create(device_, {groups_[1]});
    check::True("each has a context of its own", first_.context != second_.context && first_.context != primary_);
    check::True("none is current", Current() == primary_);
    CUdevResource own = {};
    check::Ok(cuGreenCtxGetDevResource(first_.green, &own, CU_DEV_RESOURCE_TYPE_SM));
    check::Equal("multiprocessors of a green context", own.sm.smCount, groups_[0].sm.smCount);
    check::Ok(cuCtxGetDevResource(first_.context, &own, CU_DEV_RESOURCE_TYPE_SM));
    check::Equal("multiprocessors of its context", own.sm.smCount, groups_[0].sm.smCount);
    unsigned long long id = 0, other = 0;
    check::Ok(cuGreenCtxGetId(first_.green, &id));
    check::Ok(cuGreenCtxGetId(second_.green, &other));
    check::True("each has an id of its own", id != other);
    // What a green context has can be split again, what a split gives cannot.
    unsigned groups = 0;
    check::Ok(cuDevSmResourceSplitByCount(nullptr, &groups, &own, nullptr, 0, 0));
    check::Equal("groups of one group", groups, 1u);
  }

  // In the primary context, in which the streams of green ones can be used.
  void Kernels() {
    const std::set<unsigned> first = Where(first_.stream), second = Where(second_.stream);
    check::True("a kernel runs on no more than it has", first.size() <= groups_[0].sm.smCount);
    check::True("and so does the other", second.size() <= groups_[1].sm.smCount);
    std::vector<unsigned> both;
    std::set_intersection(first.begin(), first.end(), second.begin(), second.end(), std::back_inserter(both));
    check::True("they share none", both.empty());
    const Green all = Create(device_, groups_);
    CUdevResource own = {};
    check::Ok(cuGreenCtxGetDevResource(all.green, &own, CU_DEV_RESOURCE_TYPE_SM));
    check::Equal("multiprocessors of two groups together", own.sm.smCount, 2 * groups_[0].sm.smCount);
    Destroy(all);
  }

  void Streams() {
    CheckOwner("a green context's stream", first_.stream, first_.context, first_.green);
    CheckOwner("the default stream", nullptr, primary_, nullptr);
    CUstream plain = nullptr, made = nullptr;
    check::Ok(cuStreamCreate(&plain, CU_STREAM_NON_BLOCKING));
    CheckOwner("the primary context's stream", plain, primary_, nullptr);
    check::Ok(cuCtxPushCurrent(second_.context));
    check::True("a green context can be current", Current() == second_.context);
    unsigned long long id = 0, current = 0;
    check::Ok(cuGreenCtxGetId(second_.green, &id));
    check::Ok(cuGreenCtxGetId(nullptr, &current));
    check::True("it is the current one's id", id == current);
    check::Ok(cuStreamCreate(&made, CU_STREAM_NON_BLOCKING));
    CheckOwner("a stream made in a green context", made, second_.context, second_.green);
    CheckOwner("a green context's default stream", nullptr, second_.context, second_.green);
    CheckOwner("another's stream", first_.stream, first_.context, first_.green);
    CUcontext context = nullptr;
    CUgreenCtx green = nullptr;
    check::Expect("the per-thread stream in a green context", cuStreamGetCtx_v2(CU_STREAM_PER_THREAD, &context, &green),
                  CUDA_ERROR_INVALID_HANDLE);
    const std::set<unsigned> in_default = Where(nullptr), in_stream = Where(second_.stream);
    check::True("the default stream has what the green context has", in_default == in_stream);
    check::Ok(cuStreamDestroy(made));
    check::Ok(cuCtxPopCurrent(nullptr));
    check::Ok(cuStreamDestroy(plain));
  }

  // Memory and modules are the primary context's, whichever is current.
  void Memory() {
    check::Ok(cuCtxPushCurrent(first_.context));
    CUdeviceptr memory = 0;
    CUmodule module = nullptr;
    CUcontext owner = nullptr;
    check::Ok(cuMemAlloc(&memory, kBlocks * sizeof(unsigned)));
    check::Ok(cuModuleLoadData(&module, kWhere));
    const CUfunction where = GetFunction(module, "where");
    check::Ok(cuPointerGetAttribute(&owner, CU_POINTER_ATTRIBUTE_CONTEXT, memory));
    check::True("memory is the primary context's", owner == primary_);
    check::Ok(cuCtxPopCurrent(nullptr));
    void* parameters[] = {&memory};
    check::Ok(cuLaunchKernel(where, kBlocks, 1, 1, 1, 1, 1, 0, nullptr, parameters, nullptr));
    check::Ok(cuMemcpyDtoDAsync(memory_, memory, kBlocks * sizeof(unsigned), second_.stream));
    check::Ok(cuCtxSynchronize());
    check::Ok(cuMemFree(memory));
    check::Ok(cuModuleUnload(module));
  }

  void Events() {
    CUevent event = nullptr, later = nullptr;
    check::Ok(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
    check::Ok(cuEventCreate(&later, CU_EVENT_DISABLE_TIMING));
    // An event of one green context does not know of the other's work; the primary context's knows of all.
    Hold(first_.stream);
    check::Ok(cuGreenCtxRecordEvent(second_.green, event));
    check::Ok(cuEventSynchronize(event));
    check::Ok(cuCtxRecordEvent(second_.context, event));
    check::Ok(cuEventSynchronize(event));
    check::Ok(cuGreenCtxRecordEvent(first_.green, event));
    check::Expect("an event behind held work", cuEventQuery(event), CUDA_ERROR_NOT_READY);
    check::Ok(cuCtxRecordEvent(primary_, later));
    check::Expect("the primary context's event", cuEventQuery(later), CUDA_ERROR_NOT_READY);
    // A green context that waits for it holds its own streams alone.
    check::Ok(cuGreenCtxWaitEvent(second_.green, event));
    void* parameters[] = {&memory_};
    check::Ok(cuLaunchKernel(where_, kBlocks, 1, 1, 1, 1, 1, 0, second_.stream, parameters, nullptr));
    check::Expect("a stream of a green context that waits", cuStreamQuery(second_.stream), CUDA_ERROR_NOT_READY);
    CUstream free = nullptr;
    check::Ok(cuStreamCreate(&free, CU_STREAM_NON_BLOCKING));
    check::Ok(cuMemsetD32Async(memory_, 0, 1, free));
    check::Ok(cuStreamSynchronize(free));
    LetGo(free);
    check::Ok(cuEventSynchronize(event));
    check::Ok(cuEventSynchronize(later));
    check::Ok(cuStreamSynchronize(second_.stream));
    check::Ok(cuStreamDestroy(free));
    check::Ok(cuEventDestroy(event));
    check::Ok(cuEventDestroy(later));
  }

  // Streams are to be destroyed before their green context; what is left of one is good for nothing.
  void End() {
    CUstream left = nullptr;
    check::Ok(cuGreenCtxStreamCreate(&left, first_.green, CU_STREAM_NON_BLOCKING, 0));
    unsigned got = 0;
    Clear();
    for (unsigned i = 1; i <= 200; ++i) check::Ok(cuMemsetD32Async(word_, i, 1, left));
    Destroy(first_);
    constexpr auto kGone = CUDA_ERROR_CONTEXT_IS_DESTROYED;
    check::Expect("a query of its stream", cuStreamQuery(left), kGone);
    check::Expect("work in its stream", cuMemsetD32Async(word_, 0, 1, left), kGone);
    CUcontext context = nullptr;
    check::Expect("whose its stream is", cuStreamGetCtx(left, &context), kGone);
    check::Expect("the end of its stream", cuStreamDestroy(left), kGone);
    check::True("its second end is refused", cuGreenCtxDestroy(first_.green) != CUDA_SUCCESS);
    check::Ok(cuMemcpyDtoH(&got, word_, sizeof got));
    check::Equal("outstanding work was done", got, 200u);
    Where(second_.stream);
    Destroy(second_);
    Where(Create(device_, {groups_[0]}).stream);  // the process's end is its end
    check::Ok(cuMemFree(memory_));
    check::Ok(cuMemFree(word_));
    check::Ok(cuModuleUnload(module_));
  }

 private:
  // The multiprocessors that a kernel in the stream runs on.
  std::set<unsigned> Where(CUstream stream) {
    std::vector<unsigned> sms(kBlocks, ~0u);
    void* parameters[] = {&memory_};
    check::Ok(cuLaunchKernel(where_, kBlocks, 1, 1, 1, 1, 1, 0, stream, parameters, nullptr));
    check::Ok(cuMemcpyDtoHAsync(sms.data(), memory_, kBlocks * sizeof(unsigned), stream));
    check::Ok(cuStreamSynchronize(stream));
    return {sms.begin(), sms.end()};
  }

  void CheckOwner(const std::string& what, CUstream stream, CUcontext context, CUgreenCtx green) {
    CUcontext got = nullptr, primary = nullptr;
    CUgreenCtx got_green = nullptr, again = nullptr;
    check::Ok(cuStreamGetCtx(stream, &got));
    check::Ok(cuStreamGetCtx_v2(stream, &primary, &got_green));
    check::Ok(cuStreamGetGreenCtx(stream, &again));
    check::True(what + ": context", got == context);
    check::True(what + ": primary context", primary == primary_);
    check::True(what + ": green context", got_green == green && again == green);
  }

  void Clear() {
    check::Ok(cuMemsetD32(word_, 0, 1));
    check::Ok(cuStreamSynchronize(nullptr));
  }

  // Holds a stream until LetGo.
  void Hold(CUstream stream) {
    Clear();
    check::Ok(cuStreamWaitValue32(stream, word_, 1, CU_STREAM_WAIT_VALUE_EQ));
  }
  void LetGo(CUstream by) { check::Ok(cuStreamWriteValue32(by, word_, 1, 0)); }

  const CUdevice device_;
  const CUcontext primary_;
  CUmodule module_ = nullptr;
  CUfunction where_ = nullptr;
  CUdeviceptr memory_ = 0, word_ = 0;
  std::vector<CUdevResource> groups_;
  CUdevResource rest_ = {};
  Green first_, second_;
};

}  // namespace

int main() {
  const DriverSession session;
  Test test(session);
  test.Split();
  test.CreateTwo();
  test.Kernels();
  test.Streams();
  test.Memory();
  test.Events();
  test.End();
  return check::Pass("green_contexts");
}
