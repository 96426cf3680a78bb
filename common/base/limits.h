#pragma once

#include <cstddef>
#include <cstdint>

// Every cap on what comes from outside, in one place.

namespace outboard {

inline constexpr uint64_t kMaxImageBytes = uint64_t{1} << 30;  // one code image, packed or unpacked
inline constexpr uint32_t kMaxFatbinEntries = 1u << 16;        // entries of one fatbin
inline constexpr uint32_t kMaxPrelinkedImages = 1u << 12;      // fatbins listed by one version-2 wrapper
inline constexpr uint32_t kMaxKernelParameterBytes = 32764;    // parameters of one kernel, as PTX limits them
inline constexpr uint32_t kMaxPtxNesting = 64;                 // scopes and bracketed operands of PTX text
inline constexpr uint32_t kMaxPtxRegisters = 1u << 20;         // registers declared in one function
inline constexpr uint64_t kMaxPtxVariableBytes = uint64_t{1} << 32;
inline constexpr uint32_t kMaxStreamQueue = 1024;  // operations waiting in one stream before a launch blocks
inline constexpr uint32_t kMaxDevices = 64;        // software GPUs of one machine

inline constexpr uint32_t kMaxFrameBytes = 8u << 20;            // one transport message of a session
inline constexpr uint32_t kMaxPayloadBytes = 4u << 20;          // one array in a command or reply
inline constexpr uint32_t kCopyChunkBytes = 1u << 20;           // larger copies travel as several
inline constexpr uint32_t kMaxLanes = 4096;                     // threads of one client process that call CUDA
inline constexpr uint32_t kMaxHandles = 1u << 22;               // objects that a client has at a time
inline constexpr uint32_t kMaxLinkers = 4096;                   // CUlinkStates of one session at a time
inline constexpr uint32_t kMaxDevResources = 1u << 16;          // CUdevResources that a session was told of
inline constexpr uint32_t kMaxSmGroups = 1024;                  // of one cuDevSmResourceSplitByCount
inline constexpr uint32_t kMaxGraphs = 1u << 16;                // executable graphs of one session at a time
inline constexpr uint32_t kMaxGraphDepth = 64;                  // graphs in graphs
inline constexpr uint32_t kMaxGraphBodies = 1u << 16;           // of one conditional node
inline constexpr uint32_t kMaxGraphConditions = 1u << 16;       // conditional handles of one graph
inline constexpr uint64_t kMaxUploadBytes = uint64_t{1} << 31;  // code images on their way, of one session
inline constexpr uint64_t kCreditBytes = 64u << 20;             // commands sent and not yet acknowledged, per session
inline constexpr uint32_t kCreditCommands = 1u << 16;
inline constexpr uint64_t kMaxStagingBytes = uint64_t{1} << 30;  // host memory of copies in flight, per session
inline constexpr uint64_t kMaxOutgoingBytes = 64u << 20;  // that a client does not take; then nothing more is read
inline constexpr uint32_t kMaxReadAheadBytes = 4096;      // behind a preamble, read together with it

inline constexpr uint32_t kMaxGpusAnswerBytes = 384u << 10;     // gpu-run's answer about a lease's GPUs
inline constexpr uint32_t kMaxGpusAnswerMilliseconds = 10'000;  // a program's wait for it
inline constexpr uint32_t kMaxStatusMilliseconds = 5000;        // gpu-run's wait for what the node says of them
inline constexpr uint32_t kMaxTicketHolders = 1024;             // processes that gpu-run knows by their tickets

inline constexpr uint32_t kMaxTicketBytes = 1024;
inline constexpr uint32_t kMaxWaitingConnections = 256;      // that have not said yet what they are for
inline constexpr uint32_t kMaxNodeRequestBytes = 64u << 10;  // one message to the node's service
inline constexpr uint32_t kMaxProbeAnswerBytes = 1u << 16;   // what the process that tries a driver out says
inline constexpr uint32_t kMaxLeases = 4096;                 // of a node
inline constexpr uint32_t kMaxNodes = 10'000;                // of a pool
inline constexpr uint32_t kMaxQueuedRequests = 100'000;      // that wait for room in a pool
inline constexpr uint32_t kMaxQueuedRequestsOfTenant = 20'000;
inline constexpr uint32_t kMaxQueuedRequestsOfUser = 5'000;
inline constexpr uint32_t kMaxFilters = 64;  // of a request
inline constexpr uint32_t kMaxWorkersPerLease = 256;
inline constexpr uint32_t kMaxTicketsPerLease = kMaxWorkersPerLease;  // a further one makes the oldest void
inline constexpr uint32_t kMaxFinishMilliseconds = 3000;              // a worker's work for a client that has ended
inline constexpr uint32_t kMaxLeaseEndMilliseconds = 2000;  // gpu-run's wait for the node to have ended its lease
inline constexpr uint32_t kMaxFarewellMilliseconds = 4000;  // an ending process's wait for that

}  // namespace outboard
