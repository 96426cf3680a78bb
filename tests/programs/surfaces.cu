// Surface objects: kernels that read and write CUDA arrays of every shape, what they do outside of them, and arrays
// that are a surface and a texture.

#include "textures.h"

static constexpr int kWidth = 20, kHeight = 12, kDepth = 6;

template <class T>
__global__ void Transform1D(cudaSurfaceObject_t surface, int width) {
  const int x = threadIdx.x;
  if (x >= width) return;
  T value = surf1Dread<T>(surface, x * sizeof(T));
  value.x = value.x * 3 + 1;
  surf1Dwrite(value, surface, x * sizeof(T));
}

__global__ void Transform2D(cudaSurfaceObject_t from, cudaSurfaceObject_t to) {
  const int x = threadIdx.x, y = threadIdx.y;
  surf2Dwrite(surf2Dread<float>(from, x * 4, y) + 10 * y, to, (kWidth - 1 - x) * 4, y);
}

__global__ void Transform3D(cudaSurfaceObject_t surface) {
  const int x = threadIdx.x, y = threadIdx.y, z = blockIdx.x;
  short2 value;
  surf3Dread(&value, surface, x * static_cast<int>(sizeof(short2)), y, z);
  surf3Dwrite(make_short2(value.y, value.x + z), surface, x * static_cast<int>(sizeof(short2)), y, z);
}

__global__ void TransformLayers(cudaSurfaceObject_t lines, cudaSurfaceObject_t pages, cudaSurfaceObject_t cube) {
  const int x = threadIdx.x, layer = blockIdx.x;
  surf1DLayeredwrite(surf1DLayeredread<int>(lines, x * 4, layer) + layer, lines, x * 4, layer);
  for (int y = 0; y < kHeight; ++y) {
    surf2DLayeredwrite(surf2DLayeredread<int>(pages, x * 4, y, layer) * 2, pages, x * 4, y, layer);
  }
  if (x >= 8) return;
  for (int y = 0; y < 8; ++y) {
    surfCubemapwrite(surfCubemapread<int>(cube, x * 4, y, layer) + 100 * layer, cube, x * 4, y, layer);
  }
}

// What is read outside, and which writes come to nothing.
__global__ void Outside(cudaSurfaceObject_t surface, int* results) {
  results[0] = surf1Dread<int>(surface, -4, cudaBoundaryModeZero);
  results[1] = surf1Dread<int>(surface, -4, cudaBoundaryModeClamp);
  results[2] = surf1Dread<int>(surface, 400, cudaBoundaryModeClamp);
  surf1Dwrite(77, surface, 400, cudaBoundaryModeZero);
  surf1Dwrite(78, surface, -4, cudaBoundaryModeZero);
}

__global__ void Blur(cudaTextureObject_t from, cudaSurfaceObject_t to) {
  const int x = threadIdx.x, y = threadIdx.y;
  const float sum = tex2D<float>(from, x - 1 + 0.5f, y + 0.5f) + tex2D<float>(from, x + 1 + 0.5f, y + 0.5f) +
                    tex2D<float>(from, x + 0.5f, y - 1 + 0.5f) + tex2D<float>(from, x + 0.5f, y + 1 + 0.5f);
  surf2Dwrite(sum / 4, to, x * 4, y);
}

static std::vector<int> Ints(size_t count, uint64_t seed) {
  check::Random random(seed);
  std::vector<int> values(count);
  for (int& value : values) value = static_cast<int>(random.Bits() % 100000);
  return values;
}

template <class T>
static void OneDimension() {
  std::vector<T> values(kWidth);
  for (int i = 0; i < kWidth; ++i) values[i].x = static_cast<decltype(values[i].x)>(i + 5);
  check::Array<T> array(make_cudaExtent(kWidth, 0, 0), cudaArraySurfaceLoadStore, values);
  const check::SurfaceObject surface(array.get());
  Transform1D<T><<<1, 32>>>(surface.get(), kWidth);
  check::Finished();
  const std::vector<T> got = array.Read();
  for (int i = 0; i < kWidth; ++i) {
    values[i].x = static_cast<decltype(values[i].x)>(values[i].x * 3 + 1);
    check::True("an element of one dimension", std::memcmp(&got[i], &values[i], sizeof(T)) == 0);
  }
}

static void TwoDimensions(check::Digest* digest) {
  const std::vector<float> values = check::Random(1).Values<float>(kWidth * kHeight, -1, 1);
  check::Array<float> from(make_cudaExtent(kWidth, kHeight, 0), cudaArraySurfaceLoadStore, values);
  check::Array<float> to(make_cudaExtent(kWidth, kHeight, 0), cudaArraySurfaceLoadStore);
  const check::SurfaceObject read(from.get()), written(to.get());
  Transform2D<<<1, dim3(kWidth, kHeight)>>>(read.get(), written.get());
  check::Finished();
  std::vector<float> want(values.size());
  for (int y = 0; y < kHeight; ++y) {
    for (int x = 0; x < kWidth; ++x) want[y * kWidth + kWidth - 1 - x] = values[y * kWidth + x] + 10 * y;
  }
  const auto got = to.Read();
  check::EqualAll("element of two dimensions", got, want);
  digest->Add(got);
}

static void ThreeDimensions() {
  std::vector<short2> values(kWidth * kHeight * kDepth);
  for (size_t i = 0; i < values.size(); ++i) values[i] = make_short2(i, i * 3);
  check::Array<short2> array(make_cudaExtent(kWidth, kHeight, kDepth), cudaArraySurfaceLoadStore, values);
  const check::SurfaceObject surface(array.get());
  Transform3D<<<kDepth, dim3(kWidth, kHeight)>>>(surface.get());
  check::Finished();
  const auto got = array.Read();
  for (size_t i = 0; i < values.size(); ++i) {
    const int z = static_cast<int>(i) / (kWidth * kHeight);
    const short2 want = make_short2(values[i].y, values[i].x + z);
    check::True("an element of three dimensions", got[i].x == want.x && got[i].y == want.y);
  }
}

static void Layers(check::Digest* digest) {
  const auto rows = Ints(kWidth * kDepth, 2), images = Ints(kWidth * kHeight * kDepth, 3), faces = Ints(8 * 8 * 6, 4);
  constexpr unsigned kFlags = cudaArraySurfaceLoadStore | cudaArrayLayered;
  check::Array<int> lines(make_cudaExtent(kWidth, 0, kDepth), kFlags, rows);
  check::Array<int> pages(make_cudaExtent(kWidth, kHeight, kDepth), kFlags, images);
  check::Array<int> cube(make_cudaExtent(8, 8, 6), cudaArraySurfaceLoadStore | cudaArrayCubemap, faces);
  const check::SurfaceObject line(lines.get()), page(pages.get()), face(cube.get());
  TransformLayers<<<kDepth, kWidth>>>(line.get(), page.get(), face.get());
  check::Finished();
  auto want = rows;
  for (size_t i = 0; i < want.size(); ++i) want[i] += static_cast<int>(i) / kWidth;
  check::EqualAll("element of a layered line", lines.Read(), want);
  want = images;
  for (int& value : want) value *= 2;
  check::EqualAll("element of a layered image", pages.Read(), want);
  want = faces;
  for (size_t i = 0; i < want.size(); ++i) want[i] += 100 * (static_cast<int>(i) / 64);
  check::EqualAll("element of a cube", cube.Read(), want);
  digest->Add(want);
}

static void Edges() {
  const auto values = Ints(100, 5);
  check::Array<int> array(make_cudaExtent(100, 0, 0), cudaArraySurfaceLoadStore, values);
  const check::SurfaceObject surface(array.get());
  check::DeviceArray<int> results(3);
  Outside<<<1, 1>>>(surface.get(), results.get());
  check::Finished();
  check::EqualAll("read outside", results.Read(), {0, values.front(), values.back()});
  check::EqualAll("element that stays", array.Read(), values);
}

// What one kernel writes as a surface the next one reads as a texture.
static void Turns(check::Digest* digest) {
  auto values = check::Random(6).Values<float>(kWidth * kHeight, 0, 1);
  check::Array<float> one(make_cudaExtent(kWidth, kHeight, 0), cudaArraySurfaceLoadStore, values);
  check::Array<float> other(make_cudaExtent(kWidth, kHeight, 0), cudaArraySurfaceLoadStore);
  const check::TextureObject read_one(check::Resource(one.get()), check::Reading());
  const check::TextureObject read_other(check::Resource(other.get()), check::Reading());
  const check::SurfaceObject write_one(one.get()), write_other(other.get());
  for (int turn = 0; turn < 4; ++turn) {
    Blur<<<1, dim3(kWidth, kHeight)>>>(read_one.get(), write_other.get());
    Blur<<<1, dim3(kWidth, kHeight)>>>(read_other.get(), write_one.get());
  }
  check::Finished();
  for (int turn = 0; turn < 8; ++turn) {
    const auto at = [&](int x, int y) {
      return values[std::min(std::max(y, 0), kHeight - 1) * kWidth + std::min(std::max(x, 0), kWidth - 1)];
    };
    std::vector<float> next(values.size());
    for (int y = 0; y < kHeight; ++y) {
      for (int x = 0; x < kWidth; ++x) {
        next[y * kWidth + x] = (((at(x - 1, y) + at(x + 1, y)) + at(x, y - 1)) + at(x, y + 1)) / 4;
      }
    }
    values = next;
  }
  const auto got = one.Read();
  check::EqualAll("blurred element", got, values);
  digest->Add(got);
}

int main() {
  check::Digest digest;
  OneDimension<uchar1>();
  OneDimension<char2>();
  OneDimension<uchar4>();
  OneDimension<ushort1>();
  OneDimension<short4>();
  OneDimension<int1>();
  OneDimension<float2>();
  OneDimension<uint4>();
  TwoDimensions(&digest);
  ThreeDimensions();
  Layers(&digest);
  Edges();
  Turns(&digest);
  return check::Pass("surfaces", digest);
}
