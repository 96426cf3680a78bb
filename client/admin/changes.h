#pragma once

#include <string>

#include "client/admin/options.h"
#include "common/base/result.h"

namespace outboard::admin {

class PoolClient;

// Does what one of the changing commands says. The result is a sentence about what is so from now on.
Result<std::string> Change(const Options& options, PoolClient& pool);

}  // namespace outboard::admin
