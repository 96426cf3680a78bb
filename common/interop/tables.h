#pragma once

#include <cuda.h>

#include "common/interop/context_storage.h"
#include "common/interop/uuid.h"

// One function for each private table. A table is made at its first use and keeps its address for the life of the
// process. Its functions need an installed Host, and are thread-safe as far as that is. The names are ZLUDA's, or
// CU_ETID_* as found in public projects.

namespace outboard::interop {

// Asked for first of all by each runtime; "not found" is a good answer and keeps it on the way that the other tables
// serve.
inline constexpr CUuuid kSkipInitProbe = ParseUuid("F8CFF951-2146-8B4E-B9E2-FB469E7C0DD9");

// Asked for by NVRTC, which compiles as well without.
inline constexpr CUuuid kCompilerProbe = ParseUuid("DA9151D3-3AE6-CC41-A5C0-4F26D533E328");

// What the runtime is built on.
inline constexpr CUuuid kCudartInterface = ParseUuid("6BD5FB6C-5BF4-E74A-8987-D93912FD9DF9");
const void* CudartInterface();
inline constexpr CUuuid kToolsRuntimeCallbackHooks = ParseUuid("A094798C-2E74-2E74-93F2-0800200C0A66");
const void* ToolsRuntimeCallbackHooks();
inline constexpr CUuuid kToolsTls = ParseUuid("42D85A81-23F6-CB47-8298-F6E78A3AECDC");
const void* ToolsTls();
inline constexpr CUuuid kContextLocalStorage = ParseUuid("C693336E-1121-DF11-A8C3-68F355D89593");
const void* ContextLocalStorage();
inline constexpr CUuuid kContextChecks = ParseUuid("263E8860-7CD2-6143-92F6-BBD5006DFA7E");
const void* ContextChecks();
inline constexpr CUuuid kIntegrityCheck = ParseUuid("D4082055-BDE6-704B-8D34-BA123C66E1F2");
const void* IntegrityCheck();

// What cuBLAS and cuFFT ask for beyond.
inline constexpr CUuuid kToolsContext = ParseUuid("21318C60-9714-3248-8CA6-41FF7324C8F2");
const void* ToolsContext();
inline constexpr CUuuid kToolsModule = ParseUuid("6E163FBE-B958-444D-835C-E182AFF1991E");
const void* ToolsModule();
inline constexpr CUuuid kUnnamed = ParseUuid("1734DC26-800D-4745-8726-C0F1E7DD8BCA");
const void* Unnamed();

// What the functions of ContextLocalStorage work on. Never destroyed: runtimes call it from handlers that run after
// static destructors.
ContextStorage& Storage();

}  // namespace outboard::interop
