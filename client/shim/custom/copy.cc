#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "client/shim/call.h"
#include "client/shim/custom.gen.h"
#include "client/shim/host_calls.h"
#include "client/shim/memory.h"
#include "client/shim/memory_call.h"
#include "client/shim/remote.gen.h"
#include "common/base/limits.h"

// Memory management: copies. When host memory is read and written, and who waits, follows "API synchronization
// behavior" of the driver's manual; docs/architecture.md, "Host memory has times", says how.

namespace outboard::custom {

using namespace shim;

namespace {

enum class Form { kSync, kAsync };

// Whether work under way may still write host memory, read it, or run on the host: only then can a caller tell whether
// a call waited for its stream.
bool TouchesHost(Process& process) {
  Memory& memory = process.memory();
  return memory.landings().Any() || memory.pulls().Any() || process.host_calls().outstanding();
}

// Calls copy(offset, size) for each piece that travels on its own, until one fails.
template <class CopyPiece>
CUresult InPieces(size_t bytes, CopyPiece copy) {
  for (size_t offset = 0; offset < bytes; offset += kCopyChunkBytes) {
    const CUresult result = copy(offset, std::min<size_t>(bytes - offset, kCopyChunkBytes));
    if (result != CUDA_SUCCESS) return result;
  }
  return CUDA_SUCCESS;
}

// A copy of no bytes does nothing, on any stream that there is.
CUresult CopyNothing(Process& process, CUstream stream) {
  const bool exists = process.session().ids().IsLive(wire::HandleKind::kStream, reinterpret_cast<uint64_t>(stream));
  return exists ? CUDA_SUCCESS : remote::cuStreamQuery(stream);
}

// Host to device, the bytes as they are now.
CUresult Write(CUdeviceptr to, const std::byte* from, size_t bytes, CUstream stream, bool certain) {
  return InPieces(bytes, [&](size_t offset, size_t size) {
    return remote::outboardWrite(to + offset, from + offset, size, stream, certain);
  });
}

// Host to device, the bytes as they are when the stream gets there.
CUresult WritePulled(Memory& memory, CUdeviceptr to, const std::byte* from, size_t bytes, CUstream stream,
                     bool certain) {
  return InPieces(bytes, [&](size_t offset, size_t size) {
    const uint64_t pull = memory.pulls().Add({from + offset, size});
    return remote::outboardWritePulled(to + offset, size, reinterpret_cast<uint64_t>(from + offset), pull, stream,
                                       certain);
  });
}

// Device to host, without waiting for the bytes.
CUresult ReadAsync(Memory& memory, std::byte* to, CUdeviceptr from, size_t bytes, CUstream stream, bool certain) {
  return InPieces(bytes, [&](size_t offset, size_t size) {
    const auto address = reinterpret_cast<uint64_t>(to + offset);
    memory.landings().Expect(address, size);
    return remote::outboardReadAsync(address, size, from + offset, stream, certain);
  });
}

// Device to host; the bytes are there when it returns.
CUresult Read(Memory& memory, std::byte* to, CUdeviceptr from, size_t bytes, CUstream stream, bool certain) {
  if (bytes <= kCopyChunkBytes || !certain) {
    return InPieces(bytes, [&](size_t offset, size_t size) {
      return remote::outboardRead(to + offset, size, from + offset, stream);
    });
  }
  // All pieces under way at a time, and one wait: what the stream has done by then has landed.
  const CUresult result = ReadAsync(memory, to, from, bytes, stream, certain);
  return result == CUDA_SUCCESS ? remote::cuStreamSynchronize(stream) : result;
}

// What the driver says of a range that is not known to be memory. Asked before any byte of the host is touched: a wrong
// length is more than the host's range has, too.
CUresult CheckRange(const Memory& memory, CUdeviceptr address, size_t bytes, CUstream stream) {
  const auto range = memory.FindDevice(address);
  if (range.has_value() && range->Contains(address, bytes)) return CUDA_SUCCESS;
  return remote::cuMemcpyDtoDAsync_v2(address, address, bytes, stream, false);
}

CUresult CopyToDevice(Process& process, const Current& current, CUdeviceptr to, const void* from, size_t bytes,
                      CUstream stream, Form form) {
  Memory& memory = process.memory();
  const auto* source = static_cast<const std::byte*>(from);
  const bool certain = IsOfCurrentContext(stream) && memory.Has(current.context, to, bytes);
  if (!certain) {
    if (const CUresult refused = CheckRange(memory, to, bytes, stream); refused != CUDA_SUCCESS) return refused;
  }
  if (form == Form::kAsync) {
    const auto address = reinterpret_cast<uint64_t>(from);
    const bool may_change = process.host_calls().outstanding() || memory.landings().MayWrite(address, bytes);
    if (!may_change || !memory.IsPinned(from, bytes)) return Write(to, source, bytes, stream, certain);
    const CUresult result = WritePulled(memory, to, source, bytes, stream, certain);
    // The result may be that of earlier work, with this copy under way all the same: then it is waited for.
    if (result != CUDA_SUCCESS) memory.DrainHost(address, bytes);
    return result;
  }
  const bool waits = TouchesHost(process);
  const CUresult result = Write(to, source, bytes, stream, certain);
  if (result != CUDA_SUCCESS) return result;
  return waits ? remote::cuStreamSynchronize(stream) : remote::outboardFinishWrite(stream, certain);
}

CUresult CopyToHost(Process& process, const Current& current, void* to, CUdeviceptr from, size_t bytes, CUstream stream,
                    Form form) {
  Memory& memory = process.memory();
  auto* const target = static_cast<std::byte*>(to);
  const bool certain = IsOfCurrentContext(stream) && memory.Has(current.context, from, bytes);
  if (!certain) {
    if (const CUresult refused = CheckRange(memory, from, bytes, stream); refused != CUDA_SUCCESS) return refused;
  }
  const bool waits = form == Form::kSync || !memory.IsPinned(to, bytes);
  const CUresult result = waits ? Read(memory, target, from, bytes, stream, certain)
                                : ReadAsync(memory, target, from, bytes, stream, certain);
  // As above: nothing may land unexpected.
  if (result != CUDA_SUCCESS) memory.DrainHost(reinterpret_cast<uint64_t>(to), bytes);
  return result;
}

CUresult CopyOnDevice(Process& process, const Current& current, CUdeviceptr to, CUdeviceptr from, size_t bytes,
                      CUstream stream) {
  const Memory& memory = process.memory();
  const bool certain =
      IsOfCurrentContext(stream) && memory.Has(current.context, to, bytes) && memory.Has(current.context, from, bytes);
  return remote::cuMemcpyDtoDAsync_v2(to, from, bytes, stream, certain);
}

CUresult CopyOnHost(Process& process, void* to, const void* from, size_t bytes, CUstream stream) {
  if (TouchesHost(process)) {
    if (const CUresult result = remote::cuStreamSynchronize(stream); result != CUDA_SUCCESS) return result;
  }
  std::memmove(to, from, bytes);
  return CUDA_SUCCESS;
}

// What all copies begin with. `copy` takes (Process&, Current).
template <class DoCopy>
CUresult Copy(size_t bytes, CUstream stream, DoCopy copy) {
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  return bytes == 0 ? CopyNothing(process, stream) : copy(process, current);
}

// Whether a pointer that is to be host memory can be: reading a device's addresses here would fault.
bool IsHostPointer(Process& process, const void* pointer) {
  return pointer != nullptr && !process.memory().IsDeviceAddress(reinterpret_cast<uint64_t>(pointer));
}

CUresult CopyHtoD(CUdeviceptr to, const void* from, size_t bytes, CUstream stream, Form form) {
  return Copy(bytes, stream, [&](Process& process, const Current& current) {
    if (!IsHostPointer(process, from)) return CUDA_ERROR_INVALID_VALUE;
    return CopyToDevice(process, current, to, from, bytes, stream, form);
  });
}

CUresult CopyDtoH(void* to, CUdeviceptr from, size_t bytes, CUstream stream, Form form) {
  return Copy(bytes, stream, [&](Process& process, const Current& current) {
    if (!IsHostPointer(process, to)) return CUDA_ERROR_INVALID_VALUE;
    return CopyToHost(process, current, to, from, bytes, stream, form);
  });
}

// By the addresses alone (unified addressing).
CUresult CopyAny(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream, Form form) {
  return Copy(bytes, stream, [&](Process& process, const Current& current) {
    if (to == 0 || from == 0) return CUDA_ERROR_INVALID_VALUE;
    const bool to_device = process.memory().IsDeviceAddress(to), from_device = process.memory().IsDeviceAddress(from);
    void* const host_to = reinterpret_cast<void*>(to);
    const void* const host_from = reinterpret_cast<const void*>(from);
    if (to_device && from_device) return CopyOnDevice(process, current, to, from, bytes, stream);
    if (to_device) return CopyToDevice(process, current, to, host_from, bytes, stream, form);
    if (from_device) return CopyToHost(process, current, host_to, from, bytes, stream, form);
    return CopyOnHost(process, host_to, host_from, bytes, stream);
  });
}

}  // namespace

CUresult cuMemcpy(CUstream default_stream, CUdeviceptr dst, CUdeviceptr src, size_t ByteCount) {
  return CopyAny(dst, src, ByteCount, default_stream, Form::kSync);
}

CUresult cuMemcpyAsync(CUdeviceptr dst, CUdeviceptr src, size_t ByteCount, CUstream hStream) {
  return CopyAny(dst, src, ByteCount, hStream, Form::kAsync);
}

CUresult cuMemcpyHtoD_v2(CUstream default_stream, CUdeviceptr dstDevice, const void* srcHost, size_t ByteCount) {
  return CopyHtoD(dstDevice, srcHost, ByteCount, default_stream, Form::kSync);
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr dstDevice, const void* srcHost, size_t ByteCount, CUstream hStream) {
  return CopyHtoD(dstDevice, srcHost, ByteCount, hStream, Form::kAsync);
}

CUresult cuMemcpyDtoH_v2(CUstream default_stream, void* dstHost, CUdeviceptr srcDevice, size_t ByteCount) {
  return CopyDtoH(dstHost, srcDevice, ByteCount, default_stream, Form::kSync);
}

CUresult cuMemcpyDtoHAsync_v2(void* dstHost, CUdeviceptr srcDevice, size_t ByteCount, CUstream hStream) {
  return CopyDtoH(dstHost, srcDevice, ByteCount, hStream, Form::kAsync);
}

// No copy between devices makes the caller wait.
CUresult cuMemcpyDtoD_v2(CUstream default_stream, CUdeviceptr dstDevice, CUdeviceptr srcDevice, size_t ByteCount) {
  return custom::cuMemcpyDtoDAsync_v2(dstDevice, srcDevice, ByteCount, default_stream);
}

CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr dstDevice, CUdeviceptr srcDevice, size_t ByteCount, CUstream hStream) {
  return Copy(ByteCount, hStream, [&](Process& process, const Current& current) {
    return CopyOnDevice(process, current, dstDevice, srcDevice, ByteCount, hStream);
  });
}

}  // namespace outboard::custom
