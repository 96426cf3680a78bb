// CUDA arrays: copies from and to every kind of memory, in the shapes that the runtime knows, and mipmapped arrays.

#include <algorithm>

#include "check_runtime.h"

using Bytes = std::vector<unsigned char>;

static Bytes Pattern(size_t count, uint64_t seed) {
  check::Random random(seed);
  Bytes bytes(count);
  for (unsigned char& byte : bytes) byte = random.Bits();
  return bytes;
}

static cudaArray_t MakeArray(const cudaChannelFormatDesc& format, size_t width, size_t height, unsigned flags = 0) {
  cudaArray_t array;
  check::Ok(cudaMallocArray(&array, &format, width, height, flags));
  return array;
}

static void Rectangles(check::Digest* digest) {
  constexpr size_t kWidth = 75, kHeight = 40, kBytes = kWidth * 4, kPitch = 320;
  const cudaChannelFormatDesc format = cudaCreateChannelDesc<uchar4>();
  cudaArray_t array = MakeArray(format, kWidth, kHeight), other = MakeArray(format, kWidth, kHeight);
  const Bytes source = Pattern(kPitch * kHeight, 1);
  check::Ok(cudaMemcpy2DToArray(array, 0, 0, source.data(), kPitch, kBytes, kHeight, cudaMemcpyHostToDevice));
  check::Ok(cudaMemcpy2DArrayToArray(other, 8, 2, array, 4, 1, 200, 30, cudaMemcpyDeviceToDevice));
  Bytes got(kPitch * kHeight, 0xee), want(got);
  check::Ok(cudaMemcpy2DFromArray(got.data(), kPitch, other, 8, 2, 200, 30, cudaMemcpyDeviceToHost));
  for (size_t y = 0; y < 30; ++y) std::copy_n(&source[(y + 1) * kPitch + 4], 200, &want[y * kPitch]);
  check::EqualAll("byte of the rectangle", got, want);
  digest->Add(got);

  check::DeviceArray<unsigned char> memory(kPitch * kHeight);
  memory.Fill(0x55);
  check::Ok(cudaMemcpy2DFromArray(memory.get() + 3, kPitch, array, 0, 0, kBytes, kHeight, cudaMemcpyDeviceToDevice));
  want.assign(want.size(), 0x55);
  for (size_t y = 0; y < kHeight; ++y) std::copy_n(&source[y * kPitch], kBytes, &want[y * kPitch + 3]);
  check::EqualAll("byte of device memory", memory.Read(), want);
  check::Ok(cudaMemcpy2DToArray(other, 0, 0, memory.get() + 3, kPitch, kBytes, kHeight, cudaMemcpyDeviceToDevice));
  check::Ok(cudaMemcpy2DFromArray(got.data(), kBytes, other, 0, 0, kBytes, kHeight, cudaMemcpyDeviceToHost));
  for (size_t y = 0; y < kHeight; ++y) {
    check::True("a row", std::equal(&source[y * kPitch], &source[y * kPitch] + kBytes, &got[y * kBytes]));
  }
  check::Expect("past the end",
                cudaMemcpy2DToArray(array, 8, 0, source.data(), kPitch, kBytes, kHeight, cudaMemcpyHostToDevice),
                cudaErrorInvalidValue);
  check::Ok(cudaFreeArray(other));
  check::Ok(cudaFreeArray(array));
}

// In a stream, from and to page-locked and pageable memory.
static void InStreams(check::Digest* digest) {
  constexpr size_t kWidth = 1000, kHeight = 700, kBytes = kWidth * 8;
  cudaArray_t array = MakeArray(cudaCreateChannelDesc<float2>(), kWidth, kHeight);
  cudaArray_t other = MakeArray(cudaCreateChannelDesc<int2>(), kWidth, kHeight);
  const Bytes source = Pattern(kBytes * kHeight, 2);
  check::PinnedArray<unsigned char> pinned(source.size());
  pinned.Fill(0);
  cudaStream_t stream;
  check::Ok(cudaStreamCreate(&stream));
  Bytes pageable = source;
  check::Ok(
      cudaMemcpy2DToArrayAsync(array, 0, 0, pageable.data(), kBytes, kBytes, kHeight, cudaMemcpyHostToDevice, stream));
  std::fill(pageable.begin(), pageable.end(), 0x44);  // it was read before the call returned
  check::Ok(
      cudaMemcpy2DFromArrayAsync(pinned.get(), kBytes, array, 0, 0, kBytes, kHeight, cudaMemcpyDeviceToHost, stream));
  check::Ok(
      cudaMemcpy2DToArrayAsync(other, 0, 0, pinned.get(), kBytes, kBytes, kHeight, cudaMemcpyHostToDevice, stream));
  check::Ok(cudaMemcpy2DFromArrayAsync(pageable.data(), kBytes, other, 0, 0, kBytes, kHeight, cudaMemcpyDeviceToHost,
                                       stream));
  check::EqualAll("byte that went through two arrays", pageable, source);
  check::Ok(cudaStreamSynchronize(stream));
  check::EqualAll("page-locked byte", pinned.Values(), source);
  digest->Add(pageable);
  check::Ok(cudaStreamDestroy(stream));
  check::Ok(cudaFreeArray(other));
  check::Ok(cudaFreeArray(array));
}

static void Boxes(check::Digest* digest) {
  const cudaChannelFormatDesc format = cudaCreateChannelDesc<short2>();
  const cudaExtent extent = make_cudaExtent(13, 11, 9);
  cudaArray_t box, layers;
  check::Ok(cudaMalloc3DArray(&box, &format, extent));
  check::Ok(cudaMalloc3DArray(&layers, &format, extent, cudaArrayLayered));
  const Bytes source = Pattern(16 * 4 * 12 * 10, 3);
  cudaMemcpy3DParms copy = {};
  copy.srcPtr = make_cudaPitchedPtr(const_cast<unsigned char*>(source.data()) + 4, 64, 64, 12);
  copy.srcPos = make_cudaPos(0, 1, 1);
  copy.dstArray = box;
  copy.dstPos = make_cudaPos(2, 1, 1);
  copy.extent = make_cudaExtent(11, 10, 8);
  copy.kind = cudaMemcpyHostToDevice;
  check::Ok(cudaMemcpy3D(&copy));
  cudaMemcpy3DParms between = {};
  between.srcArray = box;
  between.srcPos = make_cudaPos(2, 1, 1);
  between.dstArray = layers;
  between.dstPos = make_cudaPos(0, 0, 1);
  between.extent = make_cudaExtent(11, 10, 8);
  between.kind = cudaMemcpyDeviceToDevice;
  check::Ok(cudaMemcpy3D(&between));
  Bytes got(11 * 4 * 10 * 8), want(got.size());
  cudaMemcpy3DParms read = {};
  read.srcArray = layers;
  read.srcPos = make_cudaPos(0, 0, 1);
  read.dstPtr = make_cudaPitchedPtr(got.data(), 44, 44, 10);
  read.extent = make_cudaExtent(11, 10, 8);
  read.kind = cudaMemcpyDeviceToHost;
  check::Ok(cudaMemcpy3DAsync(&read, nullptr));
  for (size_t z = 0; z < 8; ++z) {
    for (size_t y = 0; y < 10; ++y) {
      std::copy_n(&source[((z + 1) * 12 + y + 1) * 64 + 4], 44, &want[(z * 10 + y) * 44]);
    }
  }
  check::EqualAll("byte of the box", got, want);
  digest->Add(got);
  cudaChannelFormatDesc its;
  cudaExtent size;
  unsigned flags;
  check::Ok(cudaArrayGetInfo(&its, &size, &flags, layers));
  check::True("what the array is", its.x == 16 && its.y == 16 && its.z == 0 && its.f == cudaChannelFormatKindSigned &&
                                       size.width == 13 && size.height == 11 && size.depth == 9 &&
                                       flags == cudaArrayLayered);
  check::Ok(cudaFreeArray(layers));
  check::Ok(cudaFreeArray(box));
}

static void Mipmaps(check::Digest* digest) {
  const cudaChannelFormatDesc format = cudaCreateChannelDesc<float>();
  cudaMipmappedArray_t mipmapped;
  check::Ok(cudaMallocMipmappedArray(&mipmapped, &format, make_cudaExtent(64, 16, 0), 10));
  std::vector<Bytes> sources;
  for (unsigned level = 0; level < 7; ++level) {
    cudaArray_t array;
    check::Ok(cudaGetMipmappedArrayLevel(&array, mipmapped, level));
    const size_t bytes = std::max(64u >> level, 1u) * 4, height = std::max(16u >> level, 1u);
    sources.push_back(Pattern(bytes * height, 10 + level));
    check::Ok(cudaMemcpy2DToArray(array, 0, 0, sources.back().data(), bytes, bytes, height, cudaMemcpyHostToDevice));
  }
  for (unsigned level = 0; level < 7; ++level) {
    cudaArray_t array;
    check::Ok(cudaGetMipmappedArrayLevel(&array, mipmapped, level));
    const size_t bytes = std::max(64u >> level, 1u) * 4, height = std::max(16u >> level, 1u);
    Bytes got(bytes * height);
    check::Ok(cudaMemcpy2DFromArray(got.data(), bytes, array, 0, 0, bytes, height, cudaMemcpyDeviceToHost));
    check::EqualAll("byte of level " + std::to_string(level), got, sources[level]);
    digest->Add(got);
  }
  cudaArray_t none;
  check::Expect("a level that is not there", cudaGetMipmappedArrayLevel(&none, mipmapped, 7), cudaErrorInvalidValue);
  check::Ok(cudaFreeMipmappedArray(mipmapped));
}

int main() {
  check::Digest digest;
  Rectangles(&digest);
  InStreams(&digest);
  Boxes(&digest);
  Mipmaps(&digest);
  return check::Pass("arrays", digest);
}
