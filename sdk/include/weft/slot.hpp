// The slot a worker runs in, as the host tells it by the environment. Evaluators that train, themselves or by a program
// of their own, read it when they are constructed.
#pragma once

#include <charconv>
#include <cstdlib>
#include <string>
#include <system_error>

#include "weft/error.hpp"

namespace weft {

struct Slot {
  std::string device;  // "cpu", or "cuda:<index>" of the cards that this process sees
  int threads;         // how many it may compute with
};

namespace detail {

// `otherwise` where the variable is not set, or is empty.
inline std::string environment(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? otherwise : value;
}

}  // namespace detail

// WEFT_DEVICE and WEFT_THREADS; without them, one thread of the CPU. Throws Error if the latter is no number of
// threads.
inline Slot own_slot() {
  Slot slot{detail::environment("WEFT_DEVICE", "cpu"), 0};
  const std::string threads = detail::environment("WEFT_THREADS", "1");
  const char* end = threads.data() + threads.size();
  const auto [stop, error] = std::from_chars(threads.data(), end, slot.threads);
  if (error != std::errc() || stop != end || slot.threads < 1 || slot.threads > 4096)
    throw Error("WEFT_THREADS is \"" + threads + "\"; must be a number of threads, 1 to 4096");
  return slot;
}

}  // namespace weft
