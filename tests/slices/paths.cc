// Takes device memory in every way that the driver API has, and holds the slice to its word. One table of ways; what is
// done with each is up to the arguments.
//
// usage: paths cap              by each way alone: the whole slice, no granule more, back, and again
//        paths race SEED        takes and gives back by chance; then prints what it has, waits for a line, gives all
//                               back, says so, waits for a line and prints the free bytes
//        paths fill WORD        takes the slice by all ways and writes WORD all over it; says so and stays
//        paths seek WORD        until it reads a line, takes memory by each way and looks for WORD; prints how many
//                               bytes it has looked at, and the ways that had one
//
// `race` and `seek` first print "ready" and wait for a line.

#include <cuda.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace {

[[noreturn]] void Fail(const std::string& why) {
  std::fprintf(stderr, "paths: %s\n", why.c_str());
  std::exit(1);
}

void Ok(CUresult result, const char* what) {
  if (result == CUDA_SUCCESS) return;
  const char* name = nullptr;
  cuGetErrorName(result, &name);
  Fail(std::string(what) + " returned " + (name != nullptr ? name : std::to_string(result)));
}

// What one way gave.
struct Piece {
  uint64_t bytes = 0;
  CUdeviceptr address = 0;  // 0: it has none, or no program may use it
  CUarray array = nullptr;  // of rows of kRowBytes
  void* owner = nullptr;    // an object of the way's own
  void* other = nullptr;
};

struct Way {
  const char* name;
  uint64_t granule;  // bytes that it takes at least, and by multiples of which it takes more
  CUresult (*take)(uint64_t bytes, Piece* piece);
  void (*give)(const Piece& piece);
};

constexpr uint64_t kGranule = 512;     // of the slice
constexpr uint64_t kRowBytes = 2048;   // of arrays
constexpr uint64_t kTileRows = 8;      // in which arrays are kept
constexpr uint64_t kLevelRows = 2560;  // bytes for each row of the larger of two levels: half as many of half the width
constexpr int kPieces = 12;            // of a slice in whose memory something is written or sought: it may be in pieces

CUdevice device;
CUcontext context;
CUmemoryPool pool;
CUmemAllocationProp page_props;

CUresult TakePlain(uint64_t bytes, Piece* piece) { return cuMemAlloc(&piece->address, bytes); }
void GivePlain(const Piece& piece) { Ok(cuMemFree(piece.address), "cuMemFree"); }

CUresult TakePitched(uint64_t bytes, Piece* piece) {
  size_t pitch = 0;
  const CUresult result = cuMemAllocPitch(&piece->address, &pitch, kRowBytes - 3, bytes / kRowBytes, 4);
  if (result == CUDA_SUCCESS && pitch != kRowBytes) Fail("rows are not as far apart as the table says");
  return result;
}

CUresult TakeOrdered(uint64_t bytes, Piece* piece) { return cuMemAllocAsync(&piece->address, bytes, nullptr); }
CUresult TakeOfPool(uint64_t bytes, Piece* piece) {
  return cuMemAllocFromPoolAsync(&piece->address, bytes, pool, nullptr);
}
void GiveOrdered(const Piece& piece) {
  Ok(cuMemFreeAsync(piece.address, nullptr), "cuMemFreeAsync");
  Ok(cuCtxSynchronize(), "cuCtxSynchronize");
}
// The pool keeps what it has until it is told otherwise.
void GiveToPool(const Piece& piece) {
  GiveOrdered(piece);
  Ok(cuMemPoolTrimTo(pool, 0), "cuMemPoolTrimTo");
}

CUresult TakePages(uint64_t bytes, Piece* piece) {
  CUmemGenericAllocationHandle memory;
  const CUresult result = cuMemCreate(&memory, bytes, &page_props, 0);
  if (result != CUDA_SUCCESS) return result;
  CUmemAccessDesc access{};
  access.location = page_props.location;
  access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  Ok(cuMemAddressReserve(&piece->address, bytes, 0, 0, 0), "cuMemAddressReserve");
  Ok(cuMemMap(piece->address, bytes, 0, memory, 0), "cuMemMap");
  Ok(cuMemSetAccess(piece->address, bytes, &access, 1), "cuMemSetAccess");
  Ok(cuMemRelease(memory), "cuMemRelease");  // it lives as long as it is mapped
  return CUDA_SUCCESS;
}
void GivePages(const Piece& piece) {
  Ok(cuMemUnmap(piece.address, piece.bytes), "cuMemUnmap");
  Ok(cuMemAddressFree(piece.address, piece.bytes), "cuMemAddressFree");
}

CUDA_ARRAY3D_DESCRIPTOR Rows(uint64_t count) {
  CUDA_ARRAY3D_DESCRIPTOR rows{};
  rows.Width = kRowBytes;
  rows.Height = count;
  rows.Format = CU_AD_FORMAT_UNSIGNED_INT8;
  rows.NumChannels = 1;
  return rows;
}
CUresult TakeArray(uint64_t bytes, Piece* piece) {
  const CUDA_ARRAY3D_DESCRIPTOR rows = Rows(bytes / kRowBytes);
  return cuArray3DCreate(&piece->array, &rows);
}
void GiveArray(const Piece& piece) { Ok(cuArrayDestroy(piece.array), "cuArrayDestroy"); }

CUresult TakeLevels(uint64_t bytes, Piece* piece) {
  const CUDA_ARRAY3D_DESCRIPTOR rows = Rows(bytes / kLevelRows);
  CUmipmappedArray levels;
  const CUresult result = cuMipmappedArrayCreate(&levels, &rows, 2);
  if (result != CUDA_SUCCESS) return result;
  piece->owner = levels;
  Ok(cuMipmappedArrayGetLevel(&piece->array, levels, 0), "cuMipmappedArrayGetLevel");
  return CUDA_SUCCESS;
}
void GiveLevels(const Piece& piece) {
  Ok(cuMipmappedArrayDestroy(static_cast<CUmipmappedArray>(piece.owner)), "cuMipmappedArrayDestroy");
}

// Memory that a graph has allocated and nobody has freed, by a launch that is over.
CUresult TakeOfGraph(uint64_t bytes, Piece* piece) {
  CUgraph graph;
  CUgraphExec launchable;
  CUgraphNode node;
  CUDA_MEM_ALLOC_NODE_PARAMS params{};
  params.poolProps.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
  params.poolProps.location = {CU_MEM_LOCATION_TYPE_DEVICE, {device}};
  params.bytesize = bytes;
  Ok(cuGraphCreate(&graph, 0), "cuGraphCreate");
  CUresult result = cuGraphAddMemAllocNode(&node, graph, nullptr, 0, &params);
  if (result == CUDA_SUCCESS) result = cuGraphInstantiate(&launchable, graph, 0);
  if (result != CUDA_SUCCESS) {
    Ok(cuGraphDestroy(graph), "cuGraphDestroy");
    return result;
  }
  Ok(cuGraphLaunch(launchable, nullptr), "cuGraphLaunch");
  piece->address = params.dptr;
  piece->owner = graph;
  piece->other = launchable;
  return CUDA_SUCCESS;
}
void GiveOfGraph(const Piece& piece) {
  Ok(cuMemFreeAsync(piece.address, nullptr), "cuMemFreeAsync");
  Ok(cuGraphExecDestroy(static_cast<CUgraphExec>(piece.other)), "cuGraphExecDestroy");
  Ok(cuGraphDestroy(static_cast<CUgraph>(piece.owner)), "cuGraphDestroy");
  Ok(cuCtxSynchronize(), "cuCtxSynchronize");
}

// A module's variable.
CUresult TakeVariable(uint64_t bytes, Piece* piece) {
  const std::string code = ".version 7.0\n.target sm_75\n.address_size 64\n.visible .global .align 512 .b8 variable[" +
                           std::to_string(bytes) + "];\n";
  CUmodule module;
  const CUresult result = cuModuleLoadData(&module, code.c_str());
  if (result != CUDA_SUCCESS) return result;
  size_t size = 0;
  piece->owner = module;
  Ok(cuModuleGetGlobal(&piece->address, &size, module, "variable"), "cuModuleGetGlobal");
  if (size != bytes) Fail("a variable is not as large as its module says");
  return CUDA_SUCCESS;
}
void GiveVariable(const Piece& piece) { Ok(cuModuleUnload(static_cast<CUmodule>(piece.owner)), "cuModuleUnload"); }

// The heap of malloc in kernels: a context's, made with the first launch of a kernel that uses it.
constexpr char kMalloc[] = R"(
.version 7.0
.target sm_75
.address_size 64
.extern .func (.param .b64 out) malloc (.param .b64 size);
.visible .entry Use()
{
  .reg .b64 %rd<3>;
  { .param .b64 size; .param .b64 out;
    mov.u64 %rd1, 64;
    st.param.b64 [size], %rd1;
    call.uni (out), malloc, (size);
    ld.param.b64 %rd2, [out]; }
  ret;
}
)";
CUresult TakeHeap(uint64_t bytes, Piece* piece) {
  CUcontext own;
  CUmodule module;
  CUfunction function;
  Ok(cuCtxCreate(&own, nullptr, 0, device), "cuCtxCreate");
  Ok(cuCtxSetLimit(CU_LIMIT_MALLOC_HEAP_SIZE, bytes), "cuCtxSetLimit");
  Ok(cuModuleLoadData(&module, kMalloc), "cuModuleLoadData");
  Ok(cuModuleGetFunction(&function, module, "Use"), "cuModuleGetFunction");
  CUresult result = cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr);
  if (result == CUDA_SUCCESS) result = cuCtxSynchronize();
  if (result == CUDA_SUCCESS) {
    piece->owner = own;
  } else {
    Ok(cuCtxDestroy(own), "cuCtxDestroy");
  }
  Ok(cuCtxSetCurrent(context), "cuCtxSetCurrent");
  return result;
}
void GiveHeap(const Piece& piece) {
  Ok(cuCtxDestroy(static_cast<CUcontext>(piece.owner)), "cuCtxDestroy");
  Ok(cuCtxSetCurrent(context), "cuCtxSetCurrent");
}

std::vector<Way> Ways() {
  size_t page = 0;
  page_props.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  page_props.location = {CU_MEM_LOCATION_TYPE_DEVICE, {device}};
  Ok(cuMemGetAllocationGranularity(&page, &page_props, CU_MEM_ALLOC_GRANULARITY_MINIMUM), "the granularity");
  return {
      {"cuMemAlloc", kGranule, &TakePlain, &GivePlain},
      {"cuMemAllocPitch", kRowBytes, &TakePitched, &GivePlain},
      {"cuMemAllocAsync", kGranule, &TakeOrdered, &GiveOrdered},
      {"cuMemAllocFromPoolAsync", kGranule, &TakeOfPool, &GiveToPool},
      {"cuMemCreate", page, &TakePages, &GivePages},
      {"cuArray3DCreate", kRowBytes * kTileRows, &TakeArray, &GiveArray},
      {"cuMipmappedArrayCreate", kLevelRows * 2 * kTileRows, &TakeLevels, &GiveLevels},
      {"cuGraphAddMemAllocNode", kGranule, &TakeOfGraph, &GiveOfGraph},
      {"cuModuleLoadData", kGranule, &TakeVariable, &GiveVariable},
      {"cuCtxSetLimit", kGranule, &TakeHeap, &GiveHeap},
  };
}

uint64_t FreeBytes() {
  size_t free, total;
  Ok(cuMemGetInfo(&free, &total), "cuMemGetInfo");
  return free;
}

bool Take(const Way& way, uint64_t bytes, Piece* piece) {
  piece->bytes = bytes;
  const CUresult result = way.take(bytes, piece);
  if (result == CUDA_ERROR_OUT_OF_MEMORY) return false;
  Ok(result, way.name);
  return true;
}

void Say(const std::string& what) {
  std::puts(what.c_str());
  std::fflush(stdout);
}

void WaitForLine() {
  int last;
  do last = std::getchar();
  while (last != '\n' && last != EOF);
  if (last == EOF) std::exit(1);
}

void Expect(bool holds, const Way& way, const std::string& what) {
  if (!holds) Fail(std::string(way.name) + ": " + what);
}

int Cap(const std::vector<Way>& ways) {
  const uint64_t all = FreeBytes();
  for (const Way& way : ways) {
    const uint64_t most = all / way.granule * way.granule;
    Piece piece, more;
    for (int round = 0; round < 2; ++round) {
      Expect(!Take(way, most + way.granule, &more), way, "gives a granule more than there is");
      Expect(FreeBytes() == all, way, "keeps something of what it refuses");
      Expect(Take(way, most, &piece), way, "does not give all that there is");
      Expect(FreeBytes() == all - most, way,
             "takes " + std::to_string(all - FreeBytes()) + " bytes for " + std::to_string(most));
      Expect(!Take(way, way.granule, &more), way, "gives a granule of a slice that is full");
      for (const Way& other : ways) Expect(!Take(other, most + other.granule, &more), other, "gives what is taken");
      way.give(piece);
      Expect(FreeBytes() == all, way, "does not give back what it has taken");
    }
    Say(std::string(way.name) + ": " + std::to_string(most) + " bytes");
  }
  return 0;
}

int Race(const std::vector<Way>& ways, unsigned seed) {
  constexpr int kRounds = 400;
  constexpr uint64_t kMost = 512 << 10;  // bytes at once
  struct Held {
    const Way* way;
    Piece piece;
  };
  std::mt19937 random(seed);
  std::vector<Held> held;
  uint64_t bytes = 0;
  Say("ready");
  WaitForLine();
  for (int round = 0; round < kRounds; ++round) {
    if (!held.empty() && random() % 5 < 2) {
      std::swap(held[random() % held.size()], held.back());
      held.back().way->give(held.back().piece);
      bytes -= held.back().piece.bytes;
      held.pop_back();
      continue;
    }
    const Way& way = ways[random() % ways.size()];
    Held taken{&way, {}};
    const uint64_t granules = 1 + random() % std::max<uint64_t>(1, kMost / way.granule);
    if (!Take(way, granules * way.granule, &taken.piece)) continue;
    bytes += taken.piece.bytes;
    held.push_back(taken);
  }
  Ok(cuCtxSynchronize(), "cuCtxSynchronize");  // behind what was given back without waiting
  Say("has " + std::to_string(bytes));
  WaitForLine();
  Say("free " + std::to_string(FreeBytes()));
  WaitForLine();
  for (const Held& one : held) one.way->give(one.piece);
  Ok(cuCtxSynchronize(), "cuCtxSynchronize");
  Say("done");
  WaitForLine();
  Say("free " + std::to_string(FreeBytes()));
  return 0;
}

CUDA_MEMCPY2D RowsBetween(const Piece& piece, void* host, uint64_t rows, bool to_device) {
  CUDA_MEMCPY2D copy{};
  copy.srcMemoryType = to_device ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_ARRAY;
  copy.dstMemoryType = to_device ? CU_MEMORYTYPE_ARRAY : CU_MEMORYTYPE_HOST;
  copy.srcHost = copy.dstHost = host;
  copy.srcArray = copy.dstArray = piece.array;
  copy.srcPitch = copy.dstPitch = copy.WidthInBytes = kRowBytes;
  copy.Height = rows;
  return copy;
}
// Rows of the array; of the larger level where there are two.
uint64_t RowsOf(const Piece& piece) { return piece.bytes / (piece.owner != nullptr ? kLevelRows : kRowBytes); }

void Write(const Piece& piece, uint64_t word) {
  if (piece.array != nullptr) {
    std::vector<uint64_t> words(RowsOf(piece) * kRowBytes / sizeof word, word);
    const CUDA_MEMCPY2D copy = RowsBetween(piece, words.data(), RowsOf(piece), true);
    Ok(cuMemcpy2D(&copy), "cuMemcpy2D");
  } else if (piece.address != 0) {
    const std::vector<uint64_t> words(piece.bytes / sizeof word, word);
    Ok(cuMemcpyHtoD(piece.address, words.data(), piece.bytes), "cuMemcpyHtoD");
  }
}

// Whether it has the word anywhere; counts the bytes.
bool Has(const Piece& piece, uint64_t word, uint64_t* bytes) {
  std::vector<uint64_t> words;
  if (piece.array != nullptr) {
    words.resize(RowsOf(piece) * kRowBytes / sizeof word);
    const CUDA_MEMCPY2D copy = RowsBetween(piece, words.data(), RowsOf(piece), false);
    Ok(cuMemcpy2D(&copy), "cuMemcpy2D");
  } else if (piece.address != 0) {
    words.resize(piece.bytes / sizeof word);
    Ok(cuMemcpyDtoH(words.data(), piece.address, piece.bytes), "cuMemcpyDtoH");
  }
  *bytes += words.size() * sizeof word;
  return std::find(words.begin(), words.end(), word) != words.end();
}

// All that a way gives in pieces of this size, by as many as `most` says.
std::vector<Piece> TakeMany(const Way& way, uint64_t bytes, size_t most) {
  const uint64_t each = std::max<uint64_t>(1, bytes / way.granule) * way.granule;
  std::vector<Piece> pieces;
  for (Piece piece; pieces.size() < most && Take(way, each, &piece); piece = {}) pieces.push_back(piece);
  return pieces;
}

int Fill(const std::vector<Way>& ways, uint64_t word) {
  const uint64_t each = FreeBytes() / kPieces;
  const auto fill = [&](const Way& way, uint64_t bytes, size_t most) {
    for (const Piece& piece : TakeMany(way, bytes, most)) Write(piece, word);
  };
  for (const Way& way : ways) fill(way, each / 2, 1);
  for (uint64_t bytes = each; bytes >= kGranule; bytes /= 4) fill(ways.front(), bytes, SIZE_MAX);
  Ok(cuCtxSynchronize(), "cuCtxSynchronize");
  Say("filled");
  pause();
  return 0;
}

bool HasLine() {
  pollfd input{STDIN_FILENO, POLLIN, 0};
  return poll(&input, 1, 0) != 0;
}

int Seek(const std::vector<Way>& ways, uint64_t word) {
  Say("ready");
  WaitForLine();
  const uint64_t all = FreeBytes();
  uint64_t bytes = 0;
  std::vector<bool> found(ways.size());
  do {
    for (size_t i = 0; i < ways.size(); ++i) {
      const std::vector<Piece> pieces = TakeMany(ways[i], all / kPieces, kPieces);
      Expect(!pieces.empty(), ways[i], "gives nothing of what is free");
      for (const Piece& piece : pieces) {
        if (Has(piece, word, &bytes)) found[i] = true;
      }
      for (const Piece& piece : pieces) ways[i].give(piece);
    }
  } while (!HasLine());
  std::string names;
  for (size_t i = 0; i < ways.size(); ++i) {
    if (found[i]) names += std::string(" ") + ways[i].name;
  }
  Say("looked at " + std::to_string(bytes) + ":" + names);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string action = argc > 1 ? argv[1] : "";
  if (action != "cap" && argc != 3) Fail("usage: paths cap | race SEED | fill WORD | seek WORD");
  Ok(cuInit(0), "cuInit");
  Ok(cuDeviceGet(&device, 0), "cuDeviceGet");
  Ok(cuDevicePrimaryCtxRetain(&context, device), "cuDevicePrimaryCtxRetain");
  Ok(cuCtxSetCurrent(context), "cuCtxSetCurrent");
  CUmemPoolProps props{};
  props.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
  props.location = {CU_MEM_LOCATION_TYPE_DEVICE, {device}};
  cuuint64_t everything = UINT64_MAX;
  Ok(cuMemPoolCreate(&pool, &props), "cuMemPoolCreate");
  Ok(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &everything), "cuMemPoolSetAttribute");
  const std::vector<Way> ways = Ways();
  if (action == "cap") return Cap(ways);
  const uint64_t number = std::strtoull(argv[2], nullptr, 0);
  if (action == "race") return Race(ways, static_cast<unsigned>(number));
  if (action == "fill") return Fill(ways, number);
  if (action == "seek") return Seek(ways, number);
  Fail("there is no " + action);
}
