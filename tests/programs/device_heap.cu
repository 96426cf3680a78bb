// malloc and free, new and delete, in kernels.

#include "check_runtime.h"

struct Node {
  int value;
  Node* next;
};

// Every thread builds a list of its own and keeps it for the next kernel.
__global__ void Build(Node** lists, int* failures) {
  int thread = blockIdx.x * blockDim.x + threadIdx.x;
  Node* head = nullptr;
  for (int i = 0; i < thread % 5 + 1; ++i) {
    Node* node = static_cast<Node*>(malloc(sizeof(Node)));
    if (node == nullptr || reinterpret_cast<size_t>(node) % 16 != 0) {
      atomicAdd(failures, 1);
      break;
    }
    node->value = thread * 10 + i;
    node->next = head;
    head = node;
  }
  lists[thread] = head;
}

__global__ void SumAndFree(Node** lists, int* sums) {
  int thread = blockIdx.x * blockDim.x + threadIdx.x;
  int sum = 0;
  for (Node* node = lists[thread]; node != nullptr;) {
    Node* next = node->next;
    sum += node->value;
    free(node);
    node = next;
  }
  sums[thread] = sum;
}

// More in total than the heap holds: freed memory is used again.
__global__ void Churn(int* failures) {
  for (int i = 0; i < 200; ++i) {
    int* block = new int[1024];
    if (block == nullptr) {
      atomicAdd(failures, 1);
      continue;
    }
    block[0] = i;
    block[1023] = threadIdx.x;
    if (block[0] != i || block[1023] != int(threadIdx.x)) atomicAdd(failures, 1);
    delete[] block;
  }
  free(nullptr);
}

__global__ void TooMuch(size_t bytes, int* refused) { *refused = malloc(bytes) == nullptr; }

int main() {
  size_t heap = 0;
  check::Ok(cudaDeviceGetLimit(&heap, cudaLimitMallocHeapSize));
  check::True("the default heap has at least 8 MB", heap >= 8000000);

  const int kBlocks = 4, kThreads = 96, kTotal = kBlocks * kThreads;
  check::DeviceArray<Node*> lists(kTotal);
  check::DeviceArray<int> sums(kTotal), failures(1), refused(1);
  failures.Fill(0);
  Build<<<kBlocks, kThreads>>>(lists.get(), failures.get());
  SumAndFree<<<kBlocks, kThreads>>>(lists.get(), sums.get());
  Churn<<<1, 32>>>(failures.get());
  TooMuch<<<1, 1>>>(heap * 2, refused.get());
  check::Finished();

  std::vector<int> want(kTotal);
  for (int thread = 0; thread < kTotal; ++thread) {
    for (int i = 0; i < thread % 5 + 1; ++i) want[thread] += thread * 10 + i;
  }
  check::Equal("failed allocations", failures.Read()[0], 0);
  check::EqualAll("sum of a list", sums.Read(), want);
  check::Equal("malloc of twice the heap is refused", refused.Read()[0], 1);
  check::Digest digest;
  digest.Add(sums.Read());
  return check::Pass("device_heap", digest);
}
