#include "tests/unit/softgpu_api/driver_under_test.h"

#include <stdlib.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "tests/fakes/two_modules.h"
#include "tests/unit/image/image_builder.h"

// cuLink* by itself.

namespace outboard::softgpu::api {
namespace {

using DriverOfLinkerTest = DriverTest;
#include "tests/unit/linker_cases.h"

}  // namespace
}  // namespace outboard::softgpu::api
