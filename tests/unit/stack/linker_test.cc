#include <stdlib.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "tests/fakes/two_modules.h"
#include "tests/unit/image/image_builder.h"
#include "tests/unit/stack/stack.h"

// cuLink* through the whole stack.

namespace outboard::stack {
namespace {

using DriverOfLinkerTest = StackTest;
#include "tests/unit/linker_cases.h"

}  // namespace
}  // namespace outboard::stack
