#pragma once

#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/image/bytes.h"
#include "common/image/image.h"

// The two sources of KernelLayouts.

namespace outboard::image {

Result<std::vector<KernelLayout>> ElfKernels(ByteSpan image);
Result<std::vector<KernelLayout>> PtxKernels(std::string_view text);

}  // namespace outboard::image
