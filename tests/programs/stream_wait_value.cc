// A stream that waits for a word in device memory until another stream, or a kernel in it, has written it.

#include "driver_session.h"

namespace {

struct Case {
  const char* name;
  unsigned start, wanted, flag, written;
};

const Case kCases[] = {
    {"equal", 0, 7, CU_STREAM_WAIT_VALUE_EQ, 7},
    {"greater or equal", 3, 5, CU_STREAM_WAIT_VALUE_GEQ, 6},
    // The difference counts, as a signed number.
    {"greater or equal, around zero", 0xfffffff0u, 2, CU_STREAM_WAIT_VALUE_GEQ, 4},
    {"and", 0xf0, 0x0f, CU_STREAM_WAIT_VALUE_AND, 0x08},
};

}  // namespace

int main() {
  DriverSession session;
  CUmodule module = LoadDriverKernels();
  CUfunction store = GetFunction(module, "Store");
  CUdeviceptr word = 0, result = 0;
  check::Ok(cuMemAlloc(&word, 256));
  check::Ok(cuMemAlloc(&result, 256));
  CUstream waiting = nullptr, releasing = nullptr;
  check::Ok(cuStreamCreate(&waiting, CU_STREAM_NON_BLOCKING));
  check::Ok(cuStreamCreate(&releasing, CU_STREAM_NON_BLOCKING));

  auto launch_store = [&](CUdeviceptr address, unsigned value, CUstream stream) {
    void* parameters[] = {&address, &value};
    check::Ok(cuLaunchKernel(store, 1, 1, 1, 1, 1, 1, 0, stream, parameters, nullptr));
  };
  launch_store(result, 0, nullptr);  // loads the kernel before a stream waits
  check::Ok(cuCtxSynchronize());

  // By three ways of writing the word.
  for (int way = 0; way < 3; ++way) {
    for (const Case& each : kCases) {
      check::Ok(cuMemsetD32(word, each.start, 1));
      check::Ok(cuMemsetD32(result, 0, 1));
      check::Ok(cuCtxSynchronize());
      check::Ok(cuStreamWaitValue32(waiting, word, each.wanted, each.flag));
      launch_store(result, 99, waiting);
      check::Expect(std::string("query of the stream that waits: ") + each.name, cuStreamQuery(waiting),
                    CUDA_ERROR_NOT_READY);
      if (way == 0) {
        check::Ok(cuStreamWriteValue32(releasing, word, each.written, CU_STREAM_WRITE_VALUE_DEFAULT));
      } else if (way == 1) {
        check::Ok(cuMemsetD32Async(word, each.written, 1, releasing));
      } else {
        launch_store(word, each.written, releasing);
      }
      check::Ok(cuStreamSynchronize(waiting));
      check::Ok(cuStreamSynchronize(releasing));
      unsigned got = 0;
      check::Ok(cuMemcpyDtoH(&got, result, sizeof(got)));
      check::Equal(std::string("value written after the wait: ") + each.name, got, 99u);
      check::Ok(cuMemcpyDtoH(&got, word, sizeof(got)));
      check::Equal(std::string("the word: ") + each.name, got, each.written);
    }
  }

  // A wait that holds already does not wait; writes in a stream come in its order.
  check::Ok(cuStreamWriteValue32(waiting, word, 1, CU_STREAM_WRITE_VALUE_DEFAULT));
  check::Ok(cuStreamWaitValue32(waiting, word, 1, CU_STREAM_WAIT_VALUE_EQ));
  check::Ok(cuStreamWriteValue32(waiting, word, 2, CU_STREAM_WRITE_VALUE_DEFAULT));
  check::Ok(cuStreamSynchronize(waiting));
  unsigned got = 0;
  check::Ok(cuMemcpyDtoH(&got, word, sizeof(got)));
  check::Equal("the word after two writes", got, 2u);

  // Several operations in one call, of words of 64 bits.
  CUstreamBatchMemOpParams batch[2] = {};
  batch[0].waitValue.operation = CU_STREAM_MEM_OP_WAIT_VALUE_64;
  batch[0].waitValue.address = word + 8;
  batch[0].waitValue.value64 = 1ull << 40;
  batch[0].waitValue.flags = CU_STREAM_WAIT_VALUE_EQ;
  batch[1].writeValue.operation = CU_STREAM_MEM_OP_WRITE_VALUE_32;
  batch[1].writeValue.address = word;
  batch[1].writeValue.value = 3;
  check::Ok(cuMemsetD32(word + 8, 0, 2));
  check::Ok(cuCtxSynchronize());
  check::Ok(cuStreamBatchMemOp(waiting, 2, batch, 0));
  check::Expect("query of the stream that waits in a batch", cuStreamQuery(waiting), CUDA_ERROR_NOT_READY);
  check::Ok(cuStreamWriteValue64(releasing, word + 8, 1ull << 40, CU_STREAM_WRITE_VALUE_DEFAULT));
  check::Ok(cuStreamSynchronize(waiting));
  check::Ok(cuMemcpyDtoH(&got, word, sizeof(got)));
  check::Equal("the word after the batch", got, 3u);

  check::Ok(cuStreamDestroy(releasing));
  check::Ok(cuStreamDestroy(waiting));
  check::Ok(cuMemFree(result));
  check::Ok(cuMemFree(word));
  check::Ok(cuModuleUnload(module));
  return check::Pass("stream_wait_value");
}
