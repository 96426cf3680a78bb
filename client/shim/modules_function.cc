#include "client/shim/modules_function.h"

#include <algorithm>
#include <cstddef>

#include "common/base/number_of.h"

namespace outboard::shim {
namespace {

uint32_t AttributeOf(const wire::DeviceInfo& device, CUdevice_attribute attribute) {
  const size_t index = static_cast<size_t>(attribute) - 1;
  return index < device.attributes.size() ? static_cast<uint32_t>(std::max(device.attributes[index], 0)) : 0;
}

bool AllWithin(const uint32_t (&counts)[3], const std::array<uint32_t, 3>& limits) {
  for (size_t i = 0; i < limits.size(); ++i) {
    if (counts[i] == 0 || counts[i] > limits[i]) return false;
  }
  return true;
}

// FNV-1a.
class Hash {
 public:
  void Add(const void* bytes, size_t size) {
    for (size_t i = 0; i < size; ++i) value_ = (value_ ^ static_cast<const unsigned char*>(bytes)[i]) * 0x100000001b3;
  }
  uint64_t value() const { return value_ != 0 ? value_ : 1; }

 private:
  uint64_t value_ = 0xcbf29ce484222325;
};

// Whether what the driver says to the attribute depends on the size of the grid.
bool DependsOnGrid(CUlaunchAttributeID id) {
  return id == CU_LAUNCH_ATTRIBUTE_COOPERATIVE || id == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION ||
         id == CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION;
}

// Equal for launches that the driver treats alike, provided that both fit its limits.
uint64_t FingerprintOf(const OutboardLaunchShape& shape, std::span<const CUlaunchAttribute> attributes) {
  Hash hash;
  hash.Add(shape.block, sizeof shape.block);
  if (attributes.empty()) return hash.value();
  if (std::any_of(attributes.begin(), attributes.end(), [](const auto& entry) { return DependsOnGrid(entry.id); })) {
    hash.Add(&shape, sizeof shape);
  }
  hash.Add(attributes.data(), attributes.size_bytes());
  return hash.value();
}

}  // namespace

LaunchLimits::LaunchLimits(const wire::DeviceInfo& device)
    : grid{AttributeOf(device, CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X),
           AttributeOf(device, CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y),
           AttributeOf(device, CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z)},
      block{AttributeOf(device, CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X),
            AttributeOf(device, CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y),
            AttributeOf(device, CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z)},
      threads_per_block(AttributeOf(device, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK)),
      shared_per_block(AttributeOf(device, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)) {}

void FunctionAttributes::Assign(const OutboardFunctionInfo& info) {
  for (size_t i = 0; i < values_.size(); ++i) values_[i].store(info.attributes[i], std::memory_order_relaxed);
}

int FunctionAttributes::Get(CUfunction_attribute attribute) const {
  const unsigned index = NumberOf(attribute);
  return index < values_.size() ? values_[index].load(std::memory_order_relaxed) : 0;
}

void FunctionAttributes::Set(CUfunction_attribute attribute, int value) {
  const unsigned index = NumberOf(attribute);
  if (index < values_.size()) values_[index].store(value, std::memory_order_relaxed);
}

void Function::SetParams(std::vector<OutboardParam> params) {
  knows_params_ = true;
  params_ = std::move(params);
  for (const OutboardParam& param : params_) param_bytes_ = std::max(param_bytes_, param.offset + param.size);
}

bool Function::FitsLimits(const OutboardLaunchShape& shape) const {
  if (!AllWithin(shape.grid, limits_.grid) || !AllWithin(shape.block, limits_.block)) return false;
  const uint64_t threads = uint64_t{shape.block[0]} * shape.block[1] * shape.block[2];
  if (threads > static_cast<uint64_t>(attributes_->Get(CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK))) return false;
  const auto dynamic_limit = attributes_->Get(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
  if (dynamic_limit < 0 || shape.shared_bytes > static_cast<uint32_t>(dynamic_limit)) return false;
  const auto shared = static_cast<uint64_t>(attributes_->Get(CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES));
  return shared + shape.shared_bytes <= limits_.shared_per_block;
}

bool Function::MayDemandMore() const {
  const int threads = attributes_->Get(CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
  return static_cast<uint32_t>(threads) < limits_.threads_per_block ||
         attributes_->Get(CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET) != 0 ||
         attributes_->Get(CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH) != 0;
}

bool Function::Accepts(const OutboardLaunchShape& shape, std::span<const CUlaunchAttribute> attributes) const {
  if (!FitsLimits(shape)) return false;
  if (attributes.empty() && !MayDemandMore()) return true;
  const uint64_t fingerprint = FingerprintOf(shape, attributes);
  return std::any_of(accepted_.begin(), accepted_.end(), [&](const std::atomic<uint64_t>& accepted) {
    return accepted.load(std::memory_order_relaxed) == fingerprint;
  });
}

void Function::NoteAccepted(const OutboardLaunchShape& shape, std::span<const CUlaunchAttribute> attributes) {
  const uint32_t place = next_accepted_.fetch_add(1, std::memory_order_relaxed) % accepted_.size();
  accepted_[place].store(FingerprintOf(shape, attributes), std::memory_order_relaxed);
}

}  // namespace outboard::shim
