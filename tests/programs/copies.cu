// Copies and fills: every direction, parts of buffers, rows with a pitch, and when the bytes are taken.

#include <algorithm>

#include "check_runtime.h"

__global__ void Increment(unsigned char* bytes, int count) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) ++bytes[i];
}

int main() {
  const int kCount = 70000;
  std::vector<unsigned char> bytes(kCount), back(kCount);
  check::Random random(12);
  for (unsigned char& byte : bytes) byte = random.Bits();
  check::DeviceArray<unsigned char> first(bytes), second(kCount);

  // The direction may be told by the addresses alone.
  check::Ok(cudaMemcpy(second.get(), first.get(), kCount, cudaMemcpyDefault));
  check::Ok(cudaMemcpy(back.data(), second.get(), kCount, cudaMemcpyDefault));
  check::EqualAll("byte, by default directions", back, bytes);
  check::Ok(cudaMemcpy(second.get() + 3, first.get() + 1000, 501, cudaMemcpyDeviceToDevice));
  check::Ok(cudaMemcpy(back.data() + 7, second.get() + 3, 501, cudaMemcpyDeviceToHost));
  std::vector<unsigned char> want = bytes;
  std::copy(bytes.begin() + 1000, bytes.begin() + 1501, want.begin() + 7);
  check::EqualAll("byte, parts", back, want);
  check::Ok(cudaMemcpy(first.get(), bytes.data(), 0, cudaMemcpyHostToDevice));

  check::Ok(cudaMemset(second.get(), 0xab, kCount));
  check::Ok(cudaMemset(second.get() + 10, 0, 5));
  want.assign(kCount, 0xab);
  std::fill_n(want.begin() + 10, 5, 0);
  check::EqualAll("filled byte", second.Read(), want);

  // From pageable memory the bytes are taken before the call returns, to pageable memory they are there when it
  // returns.
  cudaStream_t stream;
  check::Ok(cudaStreamCreate(&stream));
  std::vector<unsigned char> pageable = bytes;
  check::Ok(cudaMemcpyAsync(first.get(), pageable.data(), kCount, cudaMemcpyHostToDevice, stream));
  std::fill(pageable.begin(), pageable.end(), 0xee);
  Increment<<<(kCount + 255) / 256, 256, 0, stream>>>(first.get(), kCount);
  check::Ok(cudaMemcpyAsync(pageable.data(), first.get(), kCount, cudaMemcpyDeviceToHost, stream));
  want = bytes;
  for (unsigned char& byte : want) ++byte;
  check::EqualAll("incremented byte", pageable, want);
  check::Ok(cudaMemsetAsync(first.get(), 0x5a, kCount, stream));
  check::Ok(cudaStreamSynchronize(stream));
  check::Ok(cudaStreamDestroy(stream));
  check::EqualAll("byte of the asynchronous fill", first.Read(), std::vector<unsigned char>(kCount, 0x5a));

  // Registered memory is ordinary memory that was pinned later.
  check::Ok(cudaHostRegister(pageable.data(), kCount, cudaHostRegisterDefault));
  check::Ok(cudaMemcpy(first.get(), pageable.data(), kCount, cudaMemcpyHostToDevice));
  check::Ok(cudaHostUnregister(pageable.data()));
  check::EqualAll("byte of registered memory", first.Read(), want);

  check::Expect("a free of what was never allocated", cudaFree(reinterpret_cast<void*>(0x123456700ull)),
                cudaErrorInvalidValue);
  check::Expect("its error, read back", cudaGetLastError(), cudaErrorInvalidValue);
  check::Expect("the next error", cudaGetLastError(), cudaSuccess);
  check::Ok(cudaFree(nullptr));

  check::Digest digest;
  digest.Add(first.Read());
  return check::Pass("copies", digest);
}
