#pragma once

#include <cuda.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"

// What the two ends tell each other when a session opens: the body of Control::kHello, the first command of each
// direction. Encoded with codec.h; decoding is safe with hostile input and bounded by limits.h.

namespace outboard::wire {

// Sent by the client. The order of the fields is the order on the wire.
struct ClientHello {
  uint32_t major_version = 0;            // kMajorVersion
  uint32_t abi = 0;                      // kAbi: byte order, pointer size, and layouts that both ends must share
  std::string ticket;                    // what gpu-run was given for this lease; empty on a private node's socket
  std::string client;                    // for logs: "python3 (pid 4711)"
  std::vector<int32_t> visible_devices;  // ordinals of the lease's GPUs in the client's order (CUDA_VISIBLE_DEVICES)
  uint64_t arena_begin = 0, arena_size = 0;  // where the client would like device addresses to lie; 0 for no wish
  std::vector<uint64_t> op_hashes;           // by operation number; 0 for those that the client does not know
};

// Of one device as the session sees it, memory included.
struct DeviceInfo {
  std::string name;
  CUuuid uuid{};
  uint64_t total_memory = 0;  // bytes, of the slice
  std::string pci_bus_id;
  std::vector<int32_t> attributes;  // by CUdevice_attribute - 1; what the driver does not know is 0
};

// Sent by the worker. With `error` not empty the session does not open, and the rest is empty.
struct WorkerHello {
  uint32_t major_version = 0;
  int32_t result = 0;               // CUresult that cuInit is to return
  std::string error;                // a sentence, for the client's stderr
  int32_t driver_version = 0;       // as cuDriverGetVersion
  std::vector<DeviceInfo> devices;  // in the client's order
  uint64_t session = 0;             // for logs and, later, resumption
  std::string resume_secret;
  std::vector<uint64_t> op_hashes;  // by operation number
};

inline constexpr uint32_t kAbi = 0x4c363401;  // "L64", 1: little-endian, 64 bits, structures of CUDA 13

// What this end puts into op_hashes.
std::vector<uint64_t> OpHashes();

std::vector<std::byte> Encode(const ClientHello& hello);
std::vector<std::byte> Encode(const WorkerHello& hello);
// Of a hello of another major version only the version is filled in, for whoever has to say so.
Result<ClientHello> DecodeClientHello(std::span<const std::byte> body);
Result<WorkerHello> DecodeWorkerHello(std::span<const std::byte> body);

}  // namespace outboard::wire
