#pragma once

#include <cuda.h>

#include <cstdint>
#include <vector>

// The private tables that NVIDIA's CUDA runtime asks a driver for through cuGetExportTable, answered about ourselves
// and truthfully in every input: own process, own tables, the device's UUID and PCI ids as this driver reports them.
//
// Each copy of the runtime (also those inside cuBLAS and others) asks for tables at start, and makes one validity
// self-test of the driver, whose failure it reports as cudaErrorSoftwareValidityNotEstablished. Everything here rests
// on public sources and on the observed behaviour of public entry points. Used by the client's shim and by the software
// GPU.

namespace outboard::interop {

struct DeviceIdentity {
  CUuuid uuid;
  int32_t pci_domain, pci_bus, pci_device;
};

// What the tables need to know of the driver they speak for. All functions are thread-safe.
class Host {
 public:
  virtual ~Host() = default;
  virtual CUresult CurrentContext(CUcontext* context) = 0;                    // of the calling thread
  virtual CUresult PrimaryContext(CUdevice device, CUcontext* context) = 0;   // its handle, without retaining it
  virtual CUresult ContextId(CUcontext context, unsigned long long* id) = 0;  // as cuCtxGetId
  virtual CUresult StreamId(CUcontext context, CUstream stream, unsigned long long* id) = 0;
  virtual CUresult ModuleFunctions(CUmodule module, std::vector<CUfunction>* functions) = 0;
  virtual int DriverVersion() = 0;
  virtual std::vector<DeviceIdentity> Devices() = 0;
};

// Must be called once before ExportTable; `host` lives forever.
void Install(Host* host);

// cuGetExportTable. An unknown table is CUDA_ERROR_NOT_FOUND, logged once with its UUID.
CUresult ExportTable(const void** table, const CUuuid* id);

// To be called when a context is destroyed or a primary context reset: runs the destructors of what runtimes stored in
// it.
void ContextDestroyed(CUcontext context);

}  // namespace outboard::interop
