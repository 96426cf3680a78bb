#pragma once

#include <string>
#include <vector>

#include "server/pool/placement.h"

namespace outboard::bench {

// The files of Alibaba's cluster-trace-gpu-v2023 ("openb"). What is wrong with one is said on stderr, with its line,
// and ends the program.

// Columns sn, cpu_milli, memory_mib, gpu, model.
std::vector<pool::Node> ReadNodes(const std::string& path);

// Columns cpu_milli, memory_mib, num_gpu, gpu_milli and, where there is one, gpu_spec: models, separated by "|".
std::vector<pool::Request> ReadTasks(const std::string& path);

}  // namespace outboard::bench
