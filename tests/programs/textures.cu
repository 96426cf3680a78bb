// Texture objects: every kind of resource and every way of reading it, against what the programming guide says that
// they give. Filtered values may differ by what weights with 8 bits of fraction cannot say.

#include <algorithm>

#include "textures.h"

static constexpr int kCount = 512;  // places that a test reads

template <class T, class Read>
__global__ void ReadAll(const float4* at, T* results, int count, Read read) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) results[i] = read(at[i]);
}

template <class T, class Read>
static std::vector<T> ReadAt(const std::vector<float4>& places, Read read) {
  check::DeviceArray<float4> at(places);
  check::DeviceArray<T> results(places.size());
  ReadAll<<<(places.size() + 127) / 128, 128>>>(at.get(), results.get(), static_cast<int>(places.size()), read);
  check::Finished();
  return results.Read();
}

// What is read at a place (x, y, z, layer or level). Device functions, as lambdas need an option of nvcc.
struct Fetch1D {
  cudaTextureObject_t texture;
  __device__ float operator()(float4 at) const { return tex1Dfetch<float>(texture, static_cast<int>(at.x)); }
};
struct Fetch1DInt2 {
  cudaTextureObject_t texture;
  __device__ int2 operator()(float4 at) const { return tex1Dfetch<int2>(texture, static_cast<int>(at.x)); }
};
struct Read1D {
  cudaTextureObject_t texture;
  __device__ float operator()(float4 at) const { return tex1D<float>(texture, at.x); }
};
struct Read2D {
  cudaTextureObject_t texture;
  __device__ float operator()(float4 at) const { return tex2D<float>(texture, at.x, at.y); }
};
struct Read2DBytes {
  cudaTextureObject_t texture;
  __device__ uchar4 operator()(float4 at) const { return tex2D<uchar4>(texture, at.x, at.y); }
};
struct Read2DPromoted {
  cudaTextureObject_t texture;
  __device__ float4 operator()(float4 at) const { return tex2D<float4>(texture, at.x, at.y); }
};
struct Read3D {
  cudaTextureObject_t texture;
  __device__ float operator()(float4 at) const { return tex3D<float>(texture, at.x, at.y, at.z); }
};
struct Read1DLayered {
  cudaTextureObject_t texture;
  __device__ float operator()(float4 at) const { return tex1DLayered<float>(texture, at.x, static_cast<int>(at.w)); }
};
struct Read2DLayered {
  cudaTextureObject_t texture;
  __device__ float operator()(float4 at) const {
    return tex2DLayered<float>(texture, at.x, at.y, static_cast<int>(at.w));
  }
};
struct ReadCube {
  cudaTextureObject_t texture;
  __device__ float operator()(float4 at) const { return texCubemap<float>(texture, at.x, at.y, at.z); }
};
struct ReadCubeLayered {
  cudaTextureObject_t texture;
  __device__ float operator()(float4 at) const {
    return texCubemapLayered<float>(texture, at.x, at.y, at.z, static_cast<int>(at.w));
  }
};
struct Read2DLevel {
  cudaTextureObject_t texture;
  __device__ float operator()(float4 at) const { return tex2DLod<float>(texture, at.x, at.y, at.w); }
};
struct Read2DGradient {
  cudaTextureObject_t texture;
  __device__ float operator()(float4 at) const {
    return tex2DGrad<float>(texture, at.x, at.y, make_float2(at.w, 0), make_float2(0, at.w / 2));
  }
};
template <int kChannel>
struct Gather {
  cudaTextureObject_t texture;
  __device__ uint4 operator()(float4 at) const { return tex2Dgather<uint4>(texture, at.x, at.y, kChannel); }
};

static std::vector<float> Values(size_t count, uint64_t seed) { return check::Random(seed).Values<float>(count, 0, 1); }

// From outside of the texture on one side to outside on the other.
static std::vector<float4> Places(float width, float height, float depth, uint64_t seed) {
  check::Random random(seed);
  std::vector<float4> places(kCount);
  for (float4& at : places) {
    const auto in = [&](float size) { return static_cast<float>(random.Between(-1.2 * size, 2.2 * size)); };
    at = make_float4(in(width), in(height), in(depth), static_cast<float>(random.Bits() % 5));
  }
  return places;
}

static int Clamp(int i, int size) { return std::min(std::max(i, 0), size - 1); }

// The element that the guide's address modes mean, -1 for the border.
static int Address(cudaTextureAddressMode mode, int i, int size) {
  switch (mode) {
    case cudaAddressModeWrap:
      return (i % size + size) % size;
    case cudaAddressModeMirror: {
      const int turn = (i % (2 * size) + 2 * size) % (2 * size);
      return turn < size ? turn : 2 * size - 1 - turn;
    }
    case cudaAddressModeBorder:
      return i < 0 || i >= size ? -1 : i;
    default:
      return Clamp(i, size);
  }
}

// The mean of the eight elements around a place, or of fewer in fewer dimensions: tex(x) of the guide.
template <class At>
static float Filtered(const float* place, int dimensions, At at) {
  int low[3] = {0, 0, 0};
  float part[3] = {0, 0, 0};
  for (int d = 0; d < dimensions; ++d) {
    low[d] = static_cast<int>(std::floor(place[d] - 0.5f));
    part[d] = place[d] - 0.5f - low[d];
  }
  float sum = 0;
  for (int corner = 0; corner < 1 << dimensions; ++corner) {
    float weight = 1;
    int element[3];
    for (int d = 0; d < 3; ++d) {
      const bool upper = (corner >> d & 1) != 0;
      element[d] = low[d] + upper;
      if (d < dimensions) weight *= upper ? part[d] : 1 - part[d];
    }
    sum += weight * at(element[0], element[1], element[2]);
  }
  return sum;
}

constexpr double kWeightError = 3.0 / 256;  // of values from 0 to 1, in three dimensions

static void LinearMemory(check::Digest* digest) {
  const std::vector<float> values = Values(1000, 1);
  check::DeviceArray<float> memory(values);
  cudaResourceDesc resource = {};
  resource.resType = cudaResourceTypeLinear;
  resource.res.linear.devPtr = memory.get();
  resource.res.linear.desc = cudaCreateChannelDesc<float>();
  resource.res.linear.sizeInBytes = memory.bytes();
  const check::TextureObject texture(resource, check::Reading());
  std::vector<float4> places(1000);
  for (size_t i = 0; i < places.size(); ++i) places[i].x = static_cast<float>(i);
  const auto got = ReadAt<float>(places, Fetch1D{texture.get()});
  check::EqualAll("fetched element", got, values);
  digest->Add(got);

  // Two channels of the same memory.
  resource.res.linear.desc = cudaCreateChannelDesc<int2>();
  const check::TextureObject pairs(resource, check::Reading());
  places.resize(500);
  const auto ints = ReadAt<int2>(places, Fetch1DInt2{pairs.get()});
  for (size_t i = 0; i < 500; ++i) {
    check::True("bits of a pair", std::memcmp(&ints[i], &values[2 * i], sizeof(int2)) == 0);
  }
}

static void PitchedMemory(check::Digest* digest) {
  constexpr int kWidth = 37, kHeight = 21;
  const std::vector<float> values = Values(kWidth * kHeight, 2);
  float* memory;
  size_t pitch;
  check::Ok(cudaMallocPitch(reinterpret_cast<void**>(&memory), &pitch, kWidth * sizeof(float), kHeight));
  check::Ok(cudaMemcpy2D(memory, pitch, values.data(), kWidth * sizeof(float), kWidth * sizeof(float), kHeight,
                         cudaMemcpyHostToDevice));
  cudaResourceDesc resource = {};
  resource.resType = cudaResourceTypePitch2D;
  resource.res.pitch2D.devPtr = memory;
  resource.res.pitch2D.desc = cudaCreateChannelDesc<float>();
  resource.res.pitch2D.width = kWidth;
  resource.res.pitch2D.height = kHeight;
  resource.res.pitch2D.pitchInBytes = pitch;
  cudaTextureDesc reading = check::Reading();
  const auto places = Places(kWidth, kHeight, 1, 3);
  const auto at = [&](int x, int y, int) { return values[Clamp(y, kHeight) * kWidth + Clamp(x, kWidth)]; };
  for (const bool filters : {false, true}) {
    reading.filterMode = filters ? cudaFilterModeLinear : cudaFilterModePoint;
    const check::TextureObject texture(resource, reading);
    const auto got = ReadAt<float>(places, Read2D{texture.get()});
    std::vector<float> want;
    for (const float4& place : places) {
      const float xy[2] = {place.x, place.y};
      want.push_back(filters ? Filtered(xy, 2, at)
                             : at(static_cast<int>(std::floor(place.x)), static_cast<int>(std::floor(place.y)), 0));
    }
    check::NearAll("pitched element", got, want, 0, filters ? kWeightError : 0);
    digest->Add(got);
  }
  check::Ok(cudaFree(memory));
}

// Arrays of one, two and three dimensions in every address mode, with and without filters and normalised coordinates.
static void Arrays(check::Digest* digest) {
  constexpr int kSizes[3] = {24, 13, 7};
  for (int dimensions = 1; dimensions <= 3; ++dimensions) {
    const int height = dimensions > 1 ? kSizes[1] : 1, depth = dimensions > 2 ? kSizes[2] : 1;
    const std::vector<float> values = Values(size_t(kSizes[0]) * height * depth, 10 + dimensions);
    const check::Array<float> array(
        make_cudaExtent(kSizes[0], dimensions > 1 ? kSizes[1] : 0, dimensions > 2 ? kSizes[2] : 0), 0, values);
    for (int variant = 0; variant < 16; ++variant) {
      cudaTextureDesc reading = check::Reading();
      const bool filters = (variant & 4) != 0, is_normalized = (variant & 8) != 0;
      const auto mode = static_cast<cudaTextureAddressMode>(variant & 3);
      const bool repeats = mode == cudaAddressModeWrap || mode == cudaAddressModeMirror;
      if (repeats && !is_normalized) continue;  // not defined
      // A GPU filters the one row of an array of one dimension by the mode of the second.
      for (int d = 0; d < dimensions; ++d) reading.addressMode[d] = mode;
      reading.filterMode = filters ? cudaFilterModeLinear : cudaFilterModePoint;
      reading.normalizedCoords = is_normalized;
      const check::TextureObject texture(check::Resource(array.get()), reading);
      auto places = Places(kSizes[0], kSizes[1], kSizes[2], 20 + variant);
      const auto at = [&](int x, int y, int z) {
        const int i = Address(mode, x, kSizes[0]), j = dimensions > 1 ? Address(mode, y, kSizes[1]) : 0;
        const int k = dimensions > 2 ? Address(mode, z, kSizes[2]) : 0;
        return i < 0 || j < 0 || k < 0 ? 0.f : values[(size_t(k) * height + j) * kSizes[0] + i];
      };
      std::vector<float> want;
      for (const float4& place : places) {
        const float xyz[3] = {place.x, place.y, place.z};
        want.push_back(filters ? Filtered(xyz, dimensions, at)
                               : at(static_cast<int>(std::floor(place.x)), static_cast<int>(std::floor(place.y)),
                                    static_cast<int>(std::floor(place.z))));
      }
      if (is_normalized) {
        for (float4& place : places)
          place = make_float4(place.x / kSizes[0], place.y / kSizes[1], place.z / kSizes[2], 0);
      }
      std::vector<float> got;
      if (dimensions == 1) got = ReadAt<float>(places, Read1D{texture.get()});
      if (dimensions == 2) got = ReadAt<float>(places, Read2D{texture.get()});
      if (dimensions == 3) got = ReadAt<float>(places, Read3D{texture.get()});
      check::NearAll("element in " + std::to_string(dimensions) + " dimensions, variant " + std::to_string(variant),
                     got, want, 0, filters ? kWeightError : 0);
      digest->Add(got);
    }
  }
}

static void Bytes(check::Digest* digest) {
  constexpr int kWidth = 19, kHeight = 11;
  check::Random random(30);
  std::vector<uchar4> values(kWidth * kHeight);
  for (uchar4& value : values) {
    const unsigned bits = random.Bits();
    value = make_uchar4(bits, bits >> 8, bits >> 16, bits >> 24);
  }
  const check::Array<uchar4> array(make_cudaExtent(kWidth, kHeight, 0), 0, values);
  const auto places = Places(kWidth, kHeight, 1, 31);
  const check::TextureObject elements(check::Resource(array.get()), check::Reading());
  const auto got = ReadAt<uchar4>(places, Read2DBytes{elements.get()});
  cudaTextureDesc reading = check::Reading();
  reading.readMode = cudaReadModeNormalizedFloat;
  const check::TextureObject promoted(check::Resource(array.get()), reading);
  const auto floats = ReadAt<float4>(places, Read2DPromoted{promoted.get()});
  for (size_t i = 0; i < places.size(); ++i) {
    const int x = Clamp(static_cast<int>(std::floor(places[i].x)), kWidth);
    const int y = Clamp(static_cast<int>(std::floor(places[i].y)), kHeight);
    const uchar4& want = values[y * kWidth + x];
    check::True("bytes of an element", std::memcmp(&got[i], &want, sizeof want) == 0);
    check::True("promoted bytes",
                std::fabs(floats[i].x - want.x / 255.f) < 1e-6f && std::fabs(floats[i].w - want.w / 255.f) < 1e-6f);
  }
  digest->Add(floats);

  const auto corners = ReadAt<uint4>(places, Gather<1>{elements.get()});
  for (size_t i = 0; i < places.size(); ++i) {
    const float x = places[i].x - 0.5f, y = places[i].y - 0.5f;
    // Where rounding to 8 bits may go either way, it is not tested.
    if (std::fabs(x - std::round(x)) < 0.01f || std::fabs(y - std::round(y)) < 0.01f) continue;
    const int left = static_cast<int>(std::floor(x)), top = static_cast<int>(std::floor(y));
    const auto at = [&](int dx, int dy) {
      return unsigned{values[Clamp(top + dy, kHeight) * kWidth + Clamp(left + dx, kWidth)].y};
    };
    check::Equal("gathered, lower left", corners[i].x, at(0, 1));
    check::Equal("gathered, lower right", corners[i].y, at(1, 1));
    check::Equal("gathered, upper right", corners[i].z, at(1, 0));
    check::Equal("gathered, upper left", corners[i].w, at(0, 0));
  }
}

static void Layers(check::Digest* digest) {
  constexpr int kWidth = 16, kHeight = 9, kLayers = 4;
  const std::vector<float> rows = Values(kWidth * kLayers, 40), images = Values(kWidth * kHeight * kLayers, 41);
  const check::Array<float> lines(make_cudaExtent(kWidth, 0, kLayers), cudaArrayLayered, rows);
  const check::Array<float> pages(make_cudaExtent(kWidth, kHeight, kLayers), cudaArrayLayered, images);
  const check::TextureObject line_texture(check::Resource(lines.get()), check::Reading());
  const check::TextureObject page_texture(check::Resource(pages.get()), check::Reading());
  const auto places = Places(kWidth, kHeight, 1, 42);
  const auto line = ReadAt<float>(places, Read1DLayered{line_texture.get()});
  const auto page = ReadAt<float>(places, Read2DLayered{page_texture.get()});
  std::vector<float> want_line, want_page;
  for (const float4& place : places) {
    const int x = Clamp(static_cast<int>(std::floor(place.x)), kWidth),
              layer = Clamp(static_cast<int>(place.w), kLayers);
    const int y = Clamp(static_cast<int>(std::floor(place.y)), kHeight);
    want_line.push_back(rows[layer * kWidth + x]);
    want_page.push_back(images[(layer * kHeight + y) * kWidth + x]);
  }
  check::EqualAll("element of a layered line", line, want_line);
  check::EqualAll("element of a layered image", page, want_page);
  digest->Add(page);
}

static void Cubes(check::Digest* digest) {
  constexpr int kSize = 8;
  const std::vector<float> values = Values(kSize * kSize * 12, 50);
  const check::Array<float> cube(make_cudaExtent(kSize, kSize, 6), cudaArrayCubemap,
                                 std::vector<float>(values.begin(), values.begin() + kSize * kSize * 6));
  const check::Array<float> cubes(make_cudaExtent(kSize, kSize, 12), cudaArrayCubemap | cudaArrayLayered, values);
  cudaTextureDesc reading = check::Reading();
  reading.normalizedCoords = 1;
  const check::TextureObject texture(check::Resource(cube.get()), reading);
  const check::TextureObject layered(check::Resource(cubes.get()), reading);
  // The middles of all elements of all faces, by the guide's table.
  std::vector<float4> places;
  std::vector<float> want, want_second;
  for (int face = 0; face < 6; ++face) {
    for (int y = 0; y < kSize; ++y) {
      for (int x = 0; x < kSize; ++x) {
        const float s = 2 * (x + 0.5f) / kSize - 1, t = 2 * (y + 0.5f) / kSize - 1;
        const float4 directions[6] = {{1, -t, -s, 1}, {-1, -t, s, 1}, {s, 1, t, 1},
                                      {s, -1, -t, 1}, {s, -t, 1, 1},  {-s, -t, -1, 1}};
        places.push_back(directions[face]);
        want.push_back(values[(face * kSize + y) * kSize + x]);
        want_second.push_back(values[((6 + face) * kSize + y) * kSize + x]);
      }
    }
  }
  const auto got = ReadAt<float>(places, ReadCube{texture.get()});
  check::EqualAll("element of a cube", got, want);
  check::EqualAll("element of the second cube", ReadAt<float>(places, ReadCubeLayered{layered.get()}), want_second);
  digest->Add(got);
}

static void Mipmaps(check::Digest* digest) {
  constexpr int kWidth = 32, kHeight = 16, kLevels = 5;
  const cudaChannelFormatDesc format = cudaCreateChannelDesc<float>();
  cudaMipmappedArray_t mipmapped;
  check::Ok(cudaMallocMipmappedArray(&mipmapped, &format, make_cudaExtent(kWidth, kHeight, 0), kLevels));
  for (int level = 0; level < kLevels; ++level) {
    const int width = std::max(kWidth >> level, 1), height = std::max(kHeight >> level, 1);
    const std::vector<float> values(width * height, static_cast<float>(level));  // each level is one number
    cudaArray_t array;
    check::Ok(cudaGetMipmappedArrayLevel(&array, mipmapped, level));
    check::Ok(cudaMemcpy2DToArray(array, 0, 0, values.data(), width * sizeof(float), width * sizeof(float), height,
                                  cudaMemcpyHostToDevice));
  }
  cudaResourceDesc resource = {};
  resource.resType = cudaResourceTypeMipmappedArray;
  resource.res.mipmap.mipmap = mipmapped;
  cudaTextureDesc reading = check::Reading();
  reading.normalizedCoords = 1;
  reading.maxMipmapLevelClamp = kLevels - 1;
  std::vector<float4> places;
  for (int i = 0; i < 64; ++i) places.push_back(make_float4(i / 64.f, 0.5f, 0, i / 10.f - 1));
  for (const bool filters : {false, true}) {
    reading.mipmapFilterMode = filters ? cudaFilterModeLinear : cudaFilterModePoint;
    reading.filterMode = filters ? cudaFilterModeLinear : cudaFilterModePoint;
    const check::TextureObject texture(resource, reading);
    const auto got = ReadAt<float>(places, Read2DLevel{texture.get()});
    for (size_t i = 0; i < places.size(); ++i) {
      const float level = std::min(std::max(places[i].w, 0.f), kLevels - 1.f);
      const bool is_between = std::fabs(level - std::floor(level) - 0.5f) < 0.05f;
      const float want = filters ? level : std::floor(level + 0.5f);
      if (!filters && is_between) continue;
      check::True("a level", std::fabs(got[i] - want) <= (filters ? 1.f / 128 : 0));
    }
    digest->Add(got);
  }
  // A step of 2^k elements is level k; the other step is half as long there.
  reading.mipmapFilterMode = cudaFilterModePoint;
  const check::TextureObject texture(resource, reading);
  for (float4& place : places) place.w = 0;
  for (int level = 0; level < kLevels; ++level) {
    for (float4& place : places) place.w = static_cast<float>(1 << level) / kWidth;
    const auto got = ReadAt<float>(places, Read2DGradient{texture.get()});
    check::EqualAll("level by gradient", got, std::vector<float>(places.size(), static_cast<float>(level)));
  }
  check::Ok(cudaFreeMipmappedArray(mipmapped));
}

// What an object says that it was made of, and views of its data.
static void Descriptions() {
  const std::vector<float> values = Values(64, 60);
  const check::Array<float> array(make_cudaExtent(64, 0, 0), 0, values);
  cudaTextureDesc reading = check::Reading();
  reading.addressMode[0] = cudaAddressModeBorder;
  cudaResourceViewDesc view = {};
  view.format = cudaResViewFormatSignedInt1;
  view.width = 64;
  const check::TextureObject texture(check::Resource(array.get()), reading, &view);
  cudaResourceDesc resource;
  cudaTextureDesc read;
  cudaResourceViewDesc seen;
  check::Ok(cudaGetTextureObjectResourceDesc(&resource, texture.get()));
  check::Ok(cudaGetTextureObjectTextureDesc(&read, texture.get()));
  check::Ok(cudaGetTextureObjectResourceViewDesc(&seen, texture.get()));
  check::True("the array", resource.resType == cudaResourceTypeArray && resource.res.array.array == array.get());
  check::True("the address mode", read.addressMode[0] == cudaAddressModeBorder);
  check::True("the view", seen.format == cudaResViewFormatSignedInt1 && seen.width == 64);
}

int main() {
  check::Digest digest;
  LinearMemory(&digest);
  PitchedMemory(&digest);
  Arrays(&digest);
  Bytes(&digest);
  Layers(&digest);
  Cubes(&digest);
  Mipmaps(&digest);
  Descriptions();
  return check::Pass("textures", digest);
}
