// Attributes of streams, and calls on managed memory that are given memory of other kinds.

#include "check_runtime.h"

int main() {
  cudaStream_t stream = nullptr, copy = nullptr;
  check::Ok(cudaStreamCreate(&stream));
  check::Ok(cudaStreamCreate(&copy));
  cudaStreamAttrValue value = {}, got = {};
  value.syncPolicy = cudaSyncPolicyYield;
  check::Ok(cudaStreamSetAttribute(stream, cudaStreamAttributeSynchronizationPolicy, &value));
  check::Ok(cudaStreamCopyAttributes(copy, stream));
  check::Ok(cudaStreamGetAttribute(copy, cudaStreamAttributeSynchronizationPolicy, &got));
  check::Equal("policy of the copy", static_cast<int>(got.syncPolicy), static_cast<int>(cudaSyncPolicyYield));
  check::Expect("an attribute of launches", cudaStreamGetAttribute(stream, cudaLaunchAttributeCooperative, &got),
                cudaErrorInvalidValue);
  (void)cudaGetLastError();
  check::Ok(cudaStreamDestroy(copy));
  check::Ok(cudaStreamDestroy(stream));

  check::DeviceArray<int> array(64);
  cudaMemLocation host = {};
  host.type = cudaMemLocationTypeHost;
  check::Expect("advice about device memory",
                cudaMemAdvise(array.get(), array.bytes(), cudaMemAdviseSetReadMostly, host), cudaErrorInvalidValue);
  (void)cudaGetLastError();
  int read_mostly = 0;
  check::Expect("a range of device memory",
                cudaMemRangeGetAttribute(&read_mostly, sizeof(read_mostly), cudaMemRangeAttributeReadMostly,
                                         array.get(), array.bytes()),
                cudaErrorInvalidValue);
  return check::Pass("stream_attributes");
}
