#pragma once

// Checks and owners for programs that use the CUDA runtime.

#include <cuda_runtime.h>

#include <string>
#include <vector>

#include "check.h"

namespace check {

inline std::string Text(cudaError_t error) {
  return std::string(cudaGetErrorName(error)) + " (" + std::to_string(static_cast<int>(error)) + ")";
}

inline void Expect(const std::string& what, cudaError_t got, cudaError_t want, Where where = Where::Here()) {
  if (got != want) Fail(where, what + " is " + Text(got) + ", expected " + Text(want));
}

inline void Ok(cudaError_t got, Where where = Where::Here()) {
  if (got != cudaSuccess) Fail(where, Text(got) + ": " + cudaGetErrorString(got));
}

// After a launch: it was accepted, and it and everything before it on this device has run without an error.
inline void Finished(Where where = Where::Here()) {
  Ok(cudaGetLastError(), where);
  Ok(cudaDeviceSynchronize(), where);
}

// An array in device memory. Errors end the program, except that of a free after the device is lost.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t count, Where where = Where::Here()) : count_(count) {
    Ok(cudaMalloc(reinterpret_cast<void**>(&data_), count * sizeof(T)), where);
  }
  explicit DeviceArray(const std::vector<T>& values, Where where = Where::Here()) : DeviceArray(values.size(), where) {
    Write(values, where);
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { (void)cudaFree(data_); }

  T* get() const { return data_; }
  size_t count() const { return count_; }
  size_t bytes() const { return count_ * sizeof(T); }

  void Write(const std::vector<T>& values, Where where = Where::Here()) {
    Ok(cudaMemcpy(data_, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice), where);
  }
  void Fill(int byte, Where where = Where::Here()) { Ok(cudaMemset(data_, byte, bytes()), where); }

  // Waits for the legacy default stream first, as cudaMemcpy does.
  std::vector<T> Read(Where where = Where::Here()) const {
    std::vector<T> values(count_);
    Ok(cudaMemcpy(values.data(), data_, bytes(), cudaMemcpyDeviceToHost), where);
    return values;
  }

 private:
  T* data_ = nullptr;
  size_t count_;
};

// An array in pinned host memory.
template <class T>
class PinnedArray {
 public:
  explicit PinnedArray(size_t count, Where where = Where::Here()) : count_(count) {
    Ok(cudaHostAlloc(reinterpret_cast<void**>(&data_), count * sizeof(T), cudaHostAllocDefault), where);
  }
  PinnedArray(const PinnedArray&) = delete;
  PinnedArray& operator=(const PinnedArray&) = delete;
  ~PinnedArray() { (void)cudaFreeHost(data_); }

  T* get() const { return data_; }
  T& operator[](size_t i) const { return data_[i]; }
  size_t bytes() const { return count_ * sizeof(T); }
  std::vector<T> Values() const { return std::vector<T>(data_, data_ + count_); }
  void Fill(T value) {
    for (size_t i = 0; i < count_; ++i) data_[i] = value;
  }

 private:
  T* data_ = nullptr;
  size_t count_;
};

}  // namespace check
