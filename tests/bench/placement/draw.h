#pragma once

#include <cstddef>
#include <random>
#include <utility>
#include <vector>

namespace outboard::bench {

// Written out: what the standard library draws and shuffles differs between implementations.

// 0 to count - 1. Precondition: count > 0.
inline int Draw(std::mt19937_64& random, size_t count) { return static_cast<int>(random() % count); }

// Fisher-Yates, from the last value down.
template <class T>
void Shuffle(std::vector<T>& values, std::mt19937_64& random) {
  for (size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[Draw(random, i)]);
}

}  // namespace outboard::bench
