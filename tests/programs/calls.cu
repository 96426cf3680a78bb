// Calls that are real calls: recursion, virtual functions, function pointers from tables in device memory and from the
// host.

#include "check_runtime.h"

__device__ __noinline__ int Fibonacci(int n) { return n < 2 ? n : Fibonacci(n - 1) + Fibonacci(n - 2); }

__device__ bool IsOdd(int n);
__device__ __noinline__ bool IsEven(int n) { return n == 0 || IsOdd(n - 1); }
__device__ __noinline__ bool IsOdd(int n) { return n != 0 && IsEven(n - 1); }

// Every lane goes to another depth.
__global__ void Recursion(int* fibonacci, int* even) {
  int i = threadIdx.x;
  fibonacci[i] = Fibonacci(i % 13);
  even[i] = IsEven(i);
}

class Shape {
 public:
  __device__ virtual ~Shape() {}
  __device__ virtual int Area() const = 0;
  __device__ virtual int Corners() const { return 4; }
};
class Rectangle : public Shape {
 public:
  __device__ Rectangle(int width, int height) : width_(width), height_(height) {}
  __device__ int Area() const override { return width_ * height_; }

 private:
  int width_, height_;
};
class Triangle : public Shape {
 public:
  __device__ explicit Triangle(int side) : side_(side) {}
  __device__ int Area() const override { return side_ * side_ / 2; }
  __device__ int Corners() const override { return 3; }

 private:
  int side_;
};

__global__ void MakeShapes(Shape** shapes) {
  int i = threadIdx.x;
  if (i % 3 == 0) {
    shapes[i] = new Triangle(i);
  } else {
    shapes[i] = new Rectangle(i, i + 1);
  }
}
__global__ void MeasureShapes(Shape** shapes, int* area, int* corners) {
  int i = threadIdx.x;
  area[i] = shapes[i]->Area();
  corners[i] = shapes[i]->Corners();
}
__global__ void DeleteShapes(Shape** shapes) { delete shapes[threadIdx.x]; }

using Operation = int (*)(int, int);
__device__ __noinline__ int Add(int a, int b) { return a + b; }
__device__ __noinline__ int Subtract(int a, int b) { return a - b; }
__device__ __noinline__ int Multiply(int a, int b) { return a * b; }
__device__ Operation operations[3] = {Add, Subtract, Multiply};
__device__ Operation chosen = Multiply;

__global__ void CallTable(int* results) {
  int i = threadIdx.x;
  results[i] = operations[i % 3](i, 10);
}
__global__ void CallFromHost(Operation operation, int* results) { results[threadIdx.x] = operation(threadIdx.x, 7); }

int main() {
  const int kThreads = 64;
  check::Ok(cudaDeviceSetLimit(cudaLimitStackSize, 16384));
  size_t stack = 0;
  check::Ok(cudaDeviceGetLimit(&stack, cudaLimitStackSize));
  check::True("the stack limit is at least what was asked for", stack >= 16384);

  check::DeviceArray<int> first(kThreads), second(kThreads);
  std::vector<int> want_first(kThreads), want_second(kThreads);
  check::Digest digest;

  const int kFibonacci[13] = {0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144};
  Recursion<<<1, kThreads>>>(first.get(), second.get());
  check::Finished();
  for (int i = 0; i < kThreads; ++i) {
    want_first[i] = kFibonacci[i % 13];
    want_second[i] = i % 2 == 0;
  }
  check::EqualAll("Fibonacci", first.Read(), want_first);
  check::EqualAll("IsEven", second.Read(), want_second);
  digest.Add(first.Read());

  check::DeviceArray<Shape*> shapes(kThreads);
  MakeShapes<<<1, kThreads>>>(shapes.get());
  MeasureShapes<<<1, kThreads>>>(shapes.get(), first.get(), second.get());
  DeleteShapes<<<1, kThreads>>>(shapes.get());
  check::Finished();
  for (int i = 0; i < kThreads; ++i) {
    want_first[i] = i % 3 == 0 ? i * i / 2 : i * (i + 1);
    want_second[i] = i % 3 == 0 ? 3 : 4;
  }
  check::EqualAll("area", first.Read(), want_first);
  check::EqualAll("corners", second.Read(), want_second);
  digest.Add(first.Read());

  CallTable<<<1, kThreads>>>(first.get());
  Operation on_device = nullptr;
  check::Ok(cudaMemcpyFromSymbol(&on_device, chosen, sizeof(on_device)));
  CallFromHost<<<1, kThreads>>>(on_device, second.get());
  check::Finished();
  for (int i = 0; i < kThreads; ++i) {
    want_first[i] = i % 3 == 0 ? i + 10 : i % 3 == 1 ? i - 10 : i * 10;
    want_second[i] = i * 7;
  }
  check::EqualAll("function from a table", first.Read(), want_first);
  check::EqualAll("function from the host", second.Read(), want_second);
  digest.Add(first.Read());
  return check::Pass("calls", digest);
}
