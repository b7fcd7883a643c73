// The cores that a study leaves idle, for arithmetic beside it.
#pragma once

#include <algorithm>
#include <thread>

#include "weft/json.hpp"

namespace weft::curves {

// How many threads may be used: those of the machine without one for each slot, at least one. What is computed must not
// depend on it.
inline int idle_cores(const Json& study) {
  const int cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  return std::max(1, cores - study.value("slots", 1));
}

}  // namespace weft::curves
