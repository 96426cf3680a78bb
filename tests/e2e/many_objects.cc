// Many threads, calls, streams, events and modules of one process, with right results; all is released again. Does so
// as often as it reads a line, and says "done" each time.
//
// usage: many_objects_driver THREADS CALLS STREAMS EVENTS MODULES     CALLS: of each thread, of all kinds

#include <array>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "tests/programs/driver_session.h"

namespace {

constexpr unsigned kCount = 512;  // ints that each thread works on

// What one thread owns. Every number that it reads back is one that it has computed here too.
class Worker {
 public:
  Worker(CUcontext context, CUmodule module, unsigned seed) : random_(seed) {
    check::Ok(cuCtxSetCurrent(context));
    affine_ = GetFunction(module, "Affine");
    check::Ok(cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING));
    check::Ok(cuMemAlloc(&from_, kBytes));
    check::Ok(cuMemAlloc(&to_, kBytes));
    check::Ok(cuMemAllocHost(reinterpret_cast<void**>(&pinned_), kBytes));
    for (CUevent& event : events_) check::Ok(cuEventCreate(&event, 0));
    for (unsigned i = 0; i < kCount; ++i) values_[i] = static_cast<int>(random_.Bits() % 1000);
    Write();
  }
  ~Worker() {
    for (CUevent event : events_) check::Ok(cuEventDestroy(event));
    check::Ok(cuMemFreeHost(pinned_));
    check::Ok(cuMemFree(to_));
    check::Ok(cuMemFree(from_));
    check::Ok(cuStreamDestroy(stream_));
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void Run(unsigned calls) {
    while (calls_ < calls) {
      switch (random_.Bits() % 16) {
        case 0:
          ReadBack();
          break;
        case 1:
          Write();
          break;
        case 2:
          Temporary();
          break;
        case 3:
          Events();
          break;
        default:
          Launch();
          break;
      }
    }
    ReadBack();
  }

 private:
  static constexpr size_t kBytes = kCount * sizeof(int);

  void Count(CUresult result) {
    check::Ok(result);
    ++calls_;
  }

  // values = values * factor + 10, here and there. Small, so that nothing overflows before the next reading.
  void Launch() {
    int factor = static_cast<int>(random_.Bits() % 3) - 1;
    unsigned count = kCount;
    void* parameters[] = {&from_, &to_, &factor, &count};
    Count(cuLaunchKernel(affine_, (kCount + 127) / 128, 1, 1, 128, 1, 1, 0, stream_, parameters, nullptr));
    Count(cuMemcpyDtoDAsync(from_, to_, kBytes, stream_));
    for (int& value : values_) value = value * factor + 10;
  }

  void ReadBack() {
    const bool pinned = random_.Bits() % 2 == 0;
    std::array<int, kCount> pageable;
    Count(cuMemcpyDtoHAsync(pinned ? pinned_ : pageable.data(), from_, kBytes, stream_));
    Count(cuStreamSynchronize(stream_));
    const int* got = pinned ? pinned_ : pageable.data();
    for (unsigned i = 0; i < kCount; ++i) check::Equal("value " + std::to_string(i), got[i], values_[i]);
  }

  void Write() {
    std::array<int, kCount> bytes = values_;
    Count(cuMemcpyHtoDAsync(from_, bytes.data(), kBytes, stream_));
    bytes.fill(-1);  // the call has taken them
  }

  void Temporary() {
    const size_t bytes = 4 * (1 + random_.Bits() % 4096);
    const unsigned value = random_.Bits();
    CUdeviceptr memory = 0;
    unsigned last = 0;
    Count(cuMemAlloc(&memory, bytes));
    Count(cuMemsetD32Async(memory, value, bytes / 4, stream_));
    Count(cuStreamSynchronize(stream_));
    Count(cuMemcpyDtoH(&last, memory + bytes - 4, sizeof last));
    check::Equal("last word", last, value);
    Count(cuMemFree(memory));
  }

  void Events() {
    CUevent first = events_[0], second = events_[1];
    float milliseconds = -1;
    Count(cuEventRecord(first, stream_));
    Launch();
    Count(cuEventRecord(second, stream_));
    Count(cuStreamWaitEvent(stream_, second, 0));
    Count(cuEventSynchronize(second));
    Count(cuEventQuery(first));
    Count(cuEventElapsedTime(&milliseconds, first, second));
    check::True("time does not go back", milliseconds >= 0);
  }

  check::Random random_;
  unsigned calls_ = 0;
  CUfunction affine_ = nullptr;
  CUstream stream_ = nullptr;
  CUdeviceptr from_ = 0, to_ = 0;
  int* pinned_ = nullptr;
  std::array<CUevent, 2> events_{};
  std::array<int, kCount> values_{};
};

void Threads(CUcontext context, CUmodule module, unsigned count, unsigned calls) {
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < count; ++i) {
    threads.emplace_back([=] { Worker(context, module, i + 1).Run(calls); });
  }
  for (std::thread& thread : threads) thread.join();
}

// Each stream stores a number of its own, and each event is recorded behind one.
void StreamsAndEvents(CUmodule module, unsigned stream_count, unsigned event_count) {
  CUfunction store = GetFunction(module, "Store");
  std::vector<CUstream> streams(stream_count);
  std::vector<CUevent> events(event_count);
  CUdeviceptr words = 0;
  check::Ok(cuMemAlloc(&words, stream_count * sizeof(unsigned)));
  for (CUstream& stream : streams) check::Ok(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  for (CUevent& event : events) check::Ok(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
  for (unsigned i = 0; i < stream_count; ++i) {
    CUdeviceptr word = words + i * sizeof(unsigned);
    unsigned value = 3 * i + 1;
    void* parameters[] = {&word, &value};
    check::Ok(cuLaunchKernel(store, 1, 1, 1, 1, 1, 1, 0, streams[i], parameters, nullptr));
  }
  for (unsigned i = 0; i < event_count; ++i) check::Ok(cuEventRecord(events[i], streams[i % stream_count]));
  for (CUevent event : events) check::Ok(cuEventSynchronize(event));
  std::vector<unsigned> got(stream_count);
  check::Ok(cuMemcpyDtoH(got.data(), words, stream_count * sizeof(unsigned)));
  for (unsigned i = 0; i < stream_count; ++i) check::Equal("number of a stream", got[i], 3 * i + 1);
  for (CUevent event : events) check::Ok(cuEventDestroy(event));
  for (CUstream stream : streams) check::Ok(cuStreamDestroy(stream));
  check::Ok(cuMemFree(words));
}

// All at a time, each with a variable of its own.
void Modules(unsigned count) {
  std::vector<CUmodule> modules(count);
  for (unsigned i = 0; i < count; ++i) {
    const std::string ptx =
        ".version 7.0\n.target sm_75\n.address_size 64\n.visible .global .align 4 .u32 number = " + std::to_string(i) +
        ";\n";
    check::Ok(cuModuleLoadData(&modules[i], ptx.c_str()));
  }
  for (unsigned i = 0; i < count; ++i) {
    CUdeviceptr address = 0;
    size_t bytes = 0;
    unsigned number = 0;
    check::Ok(cuModuleGetGlobal(&address, &bytes, modules[i], "number"));
    check::Ok(cuMemcpyDtoH(&number, address, sizeof number));
    check::Equal("number of a module", number, i);
  }
  for (CUmodule module : modules) check::Ok(cuModuleUnload(module));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::cerr << "usage: many_objects_driver THREADS CALLS STREAMS EVENTS MODULES\n";
    return 2;
  }
  std::array<unsigned, 5> counts;
  for (size_t i = 0; i < counts.size(); ++i) counts[i] = static_cast<unsigned>(std::stoul(argv[i + 1]));
  const auto [threads, calls, streams, events, modules] = counts;
  DriverSession session;
  CUmodule module = LoadDriverKernels();
  for (std::string line; std::getline(std::cin, line);) {
    Threads(session.context(), module, threads, calls);
    StreamsAndEvents(module, streams, events);
    Modules(modules);
    std::cout << "done" << std::endl;
  }
  return check::Pass("many_objects");
}
