#pragma once

#include <cuda.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "common/base/box.h"
#include "common/wire/frame.h"
#include "server/driver/driver_table.h"
#include "server/slice/gate.h"
#include "server/worker/device_place.h"
#include "server/worker/sender.h"

namespace outboard::worker {

class Output;

// Copies between the client's host memory and the device. All bytes go through staging memory
// of the worker that the driver knows as page-locked. What a stream has to wait for, it waits for on a word of host
// memory (cuStreamWaitValue32): no copy holds up a lane, except where the client's caller waits for it.
//
// One thread of its own watches copies that are under way, by polling their events, and sleeps while there are none. It
// is in CU_STREAM_CAPTURE_MODE_RELAXED and gives no stream work.
//
// Thread-safe. No lock of it that OnPulled or LandCompleted take is held while the driver is entered to give it work.
class Copies {
 public:
  // `driver`, `gate` and what `send` refers to outlive this.
  Copies(const driver::DriverTable& driver, slice::Gate& gate, Sender send);
  // Precondition: ReleaseAll was called, and the driver's work on all streams has ended or never will.
  ~Copies();
  Copies(const Copies&) = delete;
  Copies& operator=(const Copies&) = delete;

  // Called by a lane whose current context is the one of `stream`. The bytes of a box travel without its gaps. A copy
  // of no bytes, or of more than kCopyChunkBytes, is refused with CUDA_ERROR_INVALID_VALUE, except by Read of a row.

  // Host to device; takes the bytes, which are all of the box's, before it returns.
  CUresult Write(const DevicePlace& destination, const BoxExtent& extent, const void* bytes, CUstream stream);
  CUresult Write(CUdeviceptr destination, const void* bytes, size_t count, CUstream stream) {
    return Write(RowAt(destination), RowOf(count), bytes, stream);
  }
  // Host to device; the bytes are asked for (Control::kPull) once the stream has come to the copy. `pull` is the
  // client's number for it; refused with CUDA_ERROR_INVALID_VALUE while a copy of this number is under way.
  CUresult WritePulled(const DevicePlace& destination, const BoxExtent& extent, const Box& host, uint64_t pull,
                       CUstream stream);
  CUresult WritePulled(CUdeviceptr destination, size_t count, uint64_t host_address, uint64_t pull, CUstream stream) {
    return WritePulled(RowAt(destination), RowOf(count), RowAt(host_address), pull, stream);
  }
  // Device to host; returns when the bytes are there.
  CUresult Read(void* bytes, const DevicePlace& source, const BoxExtent& extent, CUstream stream);
  CUresult Read(void* bytes, size_t count, CUdeviceptr source, CUstream stream) {
    return Read(bytes, RowAt(source), RowOf(count), stream);
  }
  // Device to host; the bytes are sent (Control::kLand, or kLandBox if there are several rows) once the stream has done
  // the copy.
  CUresult ReadAsync(const Box& host, const DevicePlace& source, const BoxExtent& extent, CUstream stream);
  CUresult ReadAsync(uint64_t host_address, size_t count, CUdeviceptr source, CUstream stream) {
    return ReadAsync(RowAt(host_address), RowAt(source), RowOf(count), stream);
  }

  // Returns when no copy from or to this range of the client's memory is under way, and all that came of them was sent.
  void DrainHost(uint64_t host_address, uint64_t count);

  // Sends the bytes of all copies that are complete, and what kernels printed. Called before every reply, by the thread
  // that sends it. Not from the driver's own threads (host functions): those use LandThen.
  void LandCompleted();

  // Does LandCompleted and then `then`, on this class's thread. Returns at once. After ReleaseAll `then` is dropped.
  void LandThen(std::function<void()> then);

  // For a graph that the driver has come to the node of, on the driver's own threads. Both do LandCompleted first.

  // Asks the client for the bytes of a pull (Control::kPull) and returns when they are there, when the client is gone,
  // or when nobody wants them any more: who sets `is_over` calls WakePulls then.
  void PullNow(uint64_t pull, std::span<std::byte> bytes, const std::atomic<bool>& is_over);
  void WakePulls();
  // Sends bytes for the client's memory (Control::kLand, or kLandBox if there are several rows), before it returns.
  void LandNow(const Box& host, const BoxExtent& extent, std::span<const std::byte> bytes);

  // The client's answer to a pull. Called by the reader; never waits or enters the driver. False when nothing of the
  // kind was asked for: the client does not keep to the protocol.
  [[nodiscard]] bool OnPulled(const wire::PullHead& head, std::span<const std::byte> bytes);

  // The context is about to be destroyed: waits for its work, lands what it has for the client and gives up everything
  // that belongs to it. Called by a lane; the current context is the same afterwards.
  void ForgetContext(CUcontext context);
  // The context has ended: gives up what other lanes have begun in it since ForgetContext. Calls no driver.
  void DropContext(CUcontext context);

  // Where what kernels print is found, and what they say of failed assertions. Null: nowhere. Called before the first
  // command.
  void SetOutput(std::unique_ptr<Output> output, std::unique_ptr<Output> errors);

  // The client is gone: no stream waits for its bytes any more (what the copies then write is undefined), and nothing
  // is sent any more. Idempotent.
  void ReleaseAll();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace outboard::worker
