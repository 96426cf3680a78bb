#pragma once

#include "server/softgpu/api/cuda_api.h"

#include <mutex>

namespace outboard::softgpu::api {

// The attributes of a stream. They are hints, or choose among what the device has one of, so that nothing but their
// reader ever looks at them. Thread-safe.
class StreamAttributes {
 public:
  StreamAttributes();
  StreamAttributes(const StreamAttributes& other);
  StreamAttributes& operator=(const StreamAttributes& other);

  // cuStreamGetAttribute and cuStreamSetAttribute. `attribute`: NumberOf what the program gave.
  // CUDA_ERROR_INVALID_VALUE for what is no attribute of streams or a value that it cannot have.
  CUresult Get(unsigned attribute, CUstreamAttrValue* value) const;
  CUresult Set(unsigned attribute, const CUstreamAttrValue& value);

 private:
  struct Values {
    CUaccessPolicyWindow window;
    CUsynchronizationPolicy synchronization;
    int priority;
    CUlaunchMemSyncDomainMap domain_map;
    CUlaunchMemSyncDomain domain;
  };
  Values Copy() const;

  mutable std::mutex mutex_;
  Values values_;
};

}  // namespace outboard::softgpu::api
