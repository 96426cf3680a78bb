// Pitched, two- and three-dimensional copies and fills: which bytes they write, gaps included, and when host memory is
// read and written.

#include <algorithm>

#include "check_runtime.h"

using Bytes = std::vector<unsigned char>;

// The part of an image that a test copies: `width` bytes in each of `height` rows.
struct Part {
  size_t offset, pitch;
};

static Bytes Expected(Bytes to, Part to_part, const Bytes& from, Part from_part, size_t width, size_t height) {
  for (size_t y = 0; y < height; ++y) {
    std::copy_n(from.begin() + from_part.offset + y * from_part.pitch, width,
                to.begin() + to_part.offset + y * to_part.pitch);
  }
  return to;
}

static Bytes Pattern(size_t count, uint64_t seed) {
  check::Random random(seed);
  Bytes bytes(count);
  for (unsigned char& byte : bytes) byte = random.Bits();
  return bytes;
}

__global__ void Increment(unsigned char* bytes, size_t pitch, int width, int height) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < width * height) ++bytes[i / width * pitch + i % width];
}

// In every direction, with the same strange shape; the last row ends where the image does.
static void Rectangles(check::Digest* digest) {
  constexpr size_t kWidth = 300, kHeight = 41, kHostPitch = 333, kBytes = 64 * 1024;
  const Bytes source = Pattern(kBytes, 1);
  unsigned char* image;
  size_t pitch;
  check::Ok(cudaMallocPitch(reinterpret_cast<void**>(&image), &pitch, kWidth, kHeight + 3));
  check::True("a pitch of at least a row", pitch >= kWidth && pitch % 256 == 0);
  const size_t image_bytes = pitch * (kHeight + 3);
  const Bytes empty(image_bytes, 0xee);
  check::Ok(cudaMemset(image, 0xee, image_bytes));
  check::Ok(cudaMemcpy2D(image + pitch, pitch, source.data() + 7, kHostPitch, kWidth, kHeight, cudaMemcpyHostToDevice));
  const Bytes on_device = Expected(empty, {pitch, pitch}, source, {7, kHostPitch}, kWidth, kHeight);
  Bytes got(image_bytes);
  check::Ok(cudaMemcpy(got.data(), image, image_bytes, cudaMemcpyDeviceToHost));
  check::EqualAll("byte of the image", got, on_device);

  check::DeviceArray<unsigned char> other(kBytes);
  other.Fill(0x11);
  check::Ok(
      cudaMemcpy2D(other.get() + 5, 401, image + pitch + 2, pitch, kWidth - 2, kHeight, cudaMemcpyDeviceToDevice));
  const Bytes moved = Expected(Bytes(kBytes, 0x11), {5, 401}, on_device, {pitch + 2, pitch}, kWidth - 2, kHeight);
  check::EqualAll("byte moved on the device", other.Read(), moved);

  Bytes back(kBytes, 0x22);
  check::Ok(cudaMemcpy2D(back.data() + 9, 350, other.get() + 5, 401, kWidth - 2, kHeight, cudaMemcpyDefault));
  check::EqualAll("byte read", back, Expected(Bytes(kBytes, 0x22), {9, 350}, moved, {5, 401}, kWidth - 2, kHeight));

  back.assign(kBytes, 0x33);
  check::Ok(cudaMemcpy2D(back.data() + 1, 500, source.data(), kHostPitch, kWidth, kHeight, cudaMemcpyHostToHost));
  check::EqualAll("byte copied on the host", back,
                  Expected(Bytes(kBytes, 0x33), {1, 500}, source, {0, kHostPitch}, kWidth, kHeight));
  check::Ok(cudaMemcpy(back.data(), source.data(), 1000, cudaMemcpyHostToHost));
  check::True("plain copy on the host", std::equal(back.begin(), back.begin() + 1000, source.begin()));

  check::Expect("a pitch below the width",
                cudaMemcpy2D(image, kWidth - 1, source.data(), kHostPitch, kWidth, 2, cudaMemcpyHostToDevice),
                cudaErrorInvalidPitchValue);
  check::Expect("its error, read back", cudaGetLastError(), cudaErrorInvalidPitchValue);
  digest->Add(got);
  check::Ok(cudaFree(image));
}

// Rows that are contiguous at one end, at both, and more of them than travel at once.
static void LargeRectangles() {
  constexpr size_t kWidth = 3000, kHeight = 1700, kPitch = 3072;
  const Bytes packed = Pattern(kWidth * kHeight, 2);
  check::DeviceArray<unsigned char> image(kPitch * kHeight);
  image.Fill(0xee);
  check::Ok(cudaMemcpy2D(image.get(), kPitch, packed.data(), kWidth, kWidth, kHeight, cudaMemcpyHostToDevice));
  check::EqualAll("byte of the large image", image.Read(),
                  Expected(Bytes(kPitch * kHeight, 0xee), {0, kPitch}, packed, {0, kWidth}, kWidth, kHeight));
  Bytes back(kWidth * kHeight);
  check::Ok(cudaMemcpy2D(back.data(), kWidth, image.get(), kPitch, kWidth, kHeight, cudaMemcpyDeviceToHost));
  check::EqualAll("byte of the large image, read", back, packed);
  back.assign(back.size(), 0);
  check::Ok(cudaMemcpy2D(image.get(), kWidth, packed.data(), kWidth, kWidth, kHeight, cudaMemcpyHostToDevice));
  check::Ok(cudaMemcpy(back.data(), image.get(), back.size(), cudaMemcpyDeviceToHost));
  check::EqualAll("byte without gaps", back, packed);
  // A row that is larger than what travels at once.
  const Bytes wide = Pattern((3 << 20) + 11, 3);
  check::DeviceArray<unsigned char> rows(wide.size() + 100);
  rows.Fill(0xee);
  const size_t width = wide.size() / 2;
  check::Ok(cudaMemcpy2D(rows.get() + 3, width + 40, wide.data(), width, width, 2, cudaMemcpyHostToDevice));
  check::EqualAll("byte of wide rows", rows.Read(),
                  Expected(Bytes(wide.size() + 100, 0xee), {3, width + 40}, wide, {0, width}, width, 2));
}

static void Fills() {
  constexpr size_t kPitch = 200, kRows = 10;
  check::DeviceArray<unsigned char> image(kPitch * kRows);
  image.Fill(0xee);
  check::Ok(cudaMemset2D(image.get() + 5, kPitch, 0x5a, 30, 4));
  check::Ok(cudaMemset2DAsync(image.get() + 6 * kPitch, kPitch, 0xa5, kPitch, 2, nullptr));
  Bytes want(kPitch * kRows, 0xee);
  for (size_t y = 0; y < 4; ++y) std::fill_n(want.begin() + 5 + y * kPitch, 30, 0x5a);
  std::fill_n(want.begin() + 6 * kPitch, 2 * kPitch, 0xa5);
  check::EqualAll("filled byte", image.Read(), want);

  cudaPitchedPtr box;
  check::Ok(cudaMalloc3D(&box, make_cudaExtent(100, 6, 4)));
  check::Ok(cudaMemset3D(box, 0x11, make_cudaExtent(100, 6, 4)));
  check::Ok(cudaMemset3D(box, 0x22, make_cudaExtent(50, 3, 2)));
  Bytes rows(100 * 6 * 4, 0);
  cudaMemcpy3DParms read = {};
  read.srcPtr = box;
  read.dstPtr = make_cudaPitchedPtr(rows.data(), 100, 100, 6);
  read.extent = make_cudaExtent(100, 6, 4);
  read.kind = cudaMemcpyDeviceToHost;
  check::Ok(cudaMemcpy3D(&read));
  want.assign(rows.size(), 0x11);
  for (size_t z = 0; z < 2; ++z) {
    for (size_t y = 0; y < 3; ++y) std::fill_n(want.begin() + (z * 6 + y) * 100, 50, 0x22);
  }
  check::EqualAll("byte of the filled box", rows, want);
  check::Ok(cudaFree(box.ptr));
}

static void Boxes() {
  constexpr size_t kWidth = 90, kHeight = 20, kDepth = 15;  // of the box that is copied
  const Bytes source = Pattern(128 * 32 * 24, 4);
  cudaPitchedPtr box;
  check::Ok(cudaMalloc3D(&box, make_cudaExtent(100, 25, 20)));
  check::Ok(cudaMemset(box.ptr, 0xee, box.pitch * 25 * 20));
  cudaMemcpy3DParms copy = {};
  copy.srcPtr = make_cudaPitchedPtr(const_cast<unsigned char*>(source.data()), 128, 128, 32);
  copy.srcPos = make_cudaPos(3, 5, 7);
  copy.dstPtr = box;
  copy.dstPos = make_cudaPos(10, 1, 2);
  copy.extent = make_cudaExtent(kWidth, kHeight, kDepth);
  copy.kind = cudaMemcpyHostToDevice;
  check::Ok(cudaMemcpy3D(&copy));
  Bytes got(box.pitch * 25 * 20), want(got.size(), 0xee);
  check::Ok(cudaMemcpy(got.data(), box.ptr, got.size(), cudaMemcpyDeviceToHost));
  for (size_t z = 0; z < kDepth; ++z) {
    want = Expected(want, {((2 + z) * 25 + 1) * box.pitch + 10, box.pitch}, source, {((7 + z) * 32 + 5) * 128 + 3, 128},
                    kWidth, kHeight);
  }
  check::EqualAll("byte of the box", got, want);

  check::PinnedArray<unsigned char> pinned(source.size());
  pinned.Fill(0x44);
  copy.dstPtr = make_cudaPitchedPtr(pinned.get(), 128, 128, 32);
  copy.dstPos = make_cudaPos(3, 5, 7);
  copy.srcPtr = box;
  copy.srcPos = make_cudaPos(10, 1, 2);
  copy.kind = cudaMemcpyDeviceToHost;
  cudaStream_t stream;
  check::Ok(cudaStreamCreate(&stream));
  check::Ok(cudaMemcpy3DAsync(&copy, stream));
  check::Ok(cudaStreamSynchronize(stream));
  want.assign(source.size(), 0x44);
  for (size_t z = 0; z < kDepth; ++z) {
    const Part part = {((7 + z) * 32 + 5) * 128 + 3, 128};
    want = Expected(want, part, source, part, kWidth, kHeight);
  }
  check::EqualAll("byte of the box, read", pinned.Values(), want);
  check::Ok(cudaStreamDestroy(stream));
  check::Ok(cudaFree(box.ptr));
}

// From pageable memory rows are taken before the call returns, to pageable memory they are there when it returns;
// pinned rows are read and written in the stream's order.
static void Times() {
  constexpr size_t kWidth = 2000, kHeight = 700, kPitch = 2048, kHostPitch = 2100, kHostBytes = kHostPitch * kHeight;
  const Bytes source = Pattern(kHostBytes, 5);
  check::DeviceArray<unsigned char> image(kPitch * kHeight), other(kPitch * kHeight);
  cudaStream_t stream;
  check::Ok(cudaStreamCreate(&stream));
  const auto increment = [&] {
    Increment<<<(kWidth * kHeight + 255) / 256, 256, 0, stream>>>(image.get(), kPitch, kWidth, kHeight);
    check::Ok(cudaGetLastError());
  };

  Bytes pageable = source;
  check::Ok(cudaMemcpy2DAsync(image.get(), kPitch, pageable.data(), kHostPitch, kWidth, kHeight, cudaMemcpyHostToDevice,
                              stream));
  std::fill(pageable.begin(), pageable.end(), 0x66);
  increment();
  check::Ok(cudaMemcpy2DAsync(pageable.data(), kHostPitch, image.get(), kPitch, kWidth, kHeight, cudaMemcpyDeviceToHost,
                              stream));
  Bytes added = source;
  for (unsigned char& byte : added) ++byte;
  const Part rows = {0, kHostPitch};
  check::EqualAll("pageable byte", pageable, Expected(Bytes(kHostBytes, 0x66), rows, added, rows, kWidth, kHeight));

  check::PinnedArray<unsigned char> pinned(kHostBytes);
  pinned.Fill(0x77);
  check::Ok(cudaMemsetAsync(other.get(), 0, kPitch * kHeight, stream));
  increment();
  check::Ok(cudaMemcpy2DAsync(pinned.get(), kHostPitch, image.get(), kPitch, kWidth, kHeight, cudaMemcpyDeviceToHost,
                              stream));
  check::Ok(cudaMemcpy2DAsync(other.get(), kPitch, pinned.get(), kHostPitch, kWidth, kHeight, cudaMemcpyHostToDevice,
                              stream));
  check::Ok(cudaStreamSynchronize(stream));
  for (unsigned char& byte : added) ++byte;
  check::EqualAll("pinned byte", pinned.Values(),
                  Expected(Bytes(kHostBytes, 0x77), rows, added, rows, kWidth, kHeight));
  check::EqualAll("byte that went through pinned memory", other.Read(),
                  Expected(Bytes(kPitch * kHeight, 0), {0, kPitch}, added, rows, kWidth, kHeight));
  check::Ok(cudaStreamDestroy(stream));
}

int main() {
  check::Digest digest;
  Rectangles(&digest);
  LargeRectangles();
  Fills();
  Boxes();
  Times();
  return check::Pass("copies_pitched", digest);
}
