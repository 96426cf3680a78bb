// The same problems in plain C++: what this machine does without a device between.
// usage: baseline matmul|vecadd|launch|load

#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <string_view>
#include <thread>

#include "bench.h"
#include "problem.h"

namespace {

using bench::kMatrixSide;
using bench::kTile;
using bench::kVectorLength;

std::vector<float> Elements(size_t count, unsigned salt) {
  std::vector<float> elements(count);
  for (size_t i = 0; i < count; ++i) elements[i] = bench::Element(i, salt);
  return elements;
}

// The loops of matmul.cu, one block after another.
void MatMul(const float* a, const float* b, float* c) {
  std::fill_n(c, kMatrixSide * kMatrixSide, 0.0f);
  for (int top = 0; top < kMatrixSide; top += kTile) {
    for (int left = 0; left < kMatrixSide; left += kTile) {
      for (int start = 0; start < kMatrixSide; start += kTile) {
        for (int row = top; row < top + kTile; ++row) {
          for (int column = left; column < left + kTile; ++column) {
            float sum = c[row * kMatrixSide + column];
            for (int k = start; k < start + kTile; ++k) sum += a[row * kMatrixSide + k] * b[k * kMatrixSide + column];
            c[row * kMatrixSide + column] = sum;
          }
        }
      }
    }
  }
}

void BenchMatMul() {
  std::vector<float> a = Elements(kMatrixSide * kMatrixSide, 1), b = Elements(a.size(), 2), c(a.size());
  bench::Print("matmul", bench::Repeat([&] { MatMul(a.data(), b.data(), c.data()); }));
}

void VectorAdd(const float* a, const float* b, float* c, int count) {
  for (int i = 0; i < count; ++i) c[i] = a[i] + b[i];
}

void BenchVecAdd() {
  std::vector<float> a = Elements(kVectorLength, 3), b = Elements(kVectorLength, 4), c(kVectorLength);
  bench::Print("vecadd", bench::Repeat([&] { VectorAdd(a.data(), b.data(), c.data(), kVectorLength); }));
}

// A queue of work and a thread that does it: the least that an asynchronous launch can be.
class Worker {
 public:
  ~Worker() {
    Add(nullptr);
    thread_.join();
  }
  void Add(void (*work)()) {
    std::lock_guard<std::mutex> lock(mutex_);
    queue_.push_back(work);
    added_.notify_one();
  }
  void Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    idle_.wait(lock, [this] { return queue_.empty(); });
  }

 private:
  void Run() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      added_.wait(lock, [this] { return !queue_.empty(); });
      void (*work)() = queue_.front();
      if (work == nullptr) return;
      lock.unlock();
      work();
      lock.lock();
      queue_.pop_front();
      if (queue_.empty()) idle_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable added_, idle_;
  std::deque<void (*)()> queue_;
  std::thread thread_{&Worker::Run, this};
};

void BenchLaunch() {
  Worker worker;
  auto launch = [&] { worker.Add([] {}); };
  auto launch_and_wait = [&] {
    launch();
    worker.Wait();
  };
  std::vector<double> launches, with_wait;
  for (int sample = 0; sample < bench::Repetitions(); ++sample) {
    std::vector<double> seconds;
    for (int round = 0; round < 40; ++round) {
      for (int i = 0; i < 200; ++i) seconds.push_back(bench::Seconds(launch));
      worker.Wait();
    }
    launches.push_back(bench::Median(seconds));
    seconds.clear();
    for (int i = 0; i < 2000; ++i) seconds.push_back(bench::Seconds(launch_and_wait));
    with_wait.push_back(bench::Median(seconds));
  }
  bench::Print("launch", launches);
  bench::Print("launch_sync", with_wait);
}

constexpr char kPtx[] =
#include "load.gen.h"
    ;

// The least that reading a text is: cutting it into words. Gives their number.
int CountWords(std::string_view text) {
  int words = 0;
  bool is_inside = false;
  for (const char c : text) {
    const bool is_word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    words += is_word && !is_inside;
    is_inside = is_word;
  }
  return words;
}

void BenchLoad() {
  const volatile size_t length = sizeof kPtx - 1;  // so that nothing is counted before it runs
  volatile int words = 0;
  bench::Print("load", bench::Repeat([&] { words = CountWords({kPtx, length}); }));
}

}  // namespace

int main(int argc, char** argv) {
  const char* what = argc == 2 ? argv[1] : "";
  if (std::strcmp(what, "matmul") == 0) {
    BenchMatMul();
  } else if (std::strcmp(what, "vecadd") == 0) {
    BenchVecAdd();
  } else if (std::strcmp(what, "launch") == 0) {
    BenchLaunch();
  } else if (std::strcmp(what, "load") == 0) {
    BenchLoad();
  } else {
    std::fprintf(stderr, "usage: baseline matmul|vecadd|launch|load\n");
    return 2;
  }
  return 0;
}
