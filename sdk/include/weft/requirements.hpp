// What a space requires of its task and options, told by name when it is constructed and before anything trains.
//
// Called by the constructors of spaces. Each throws InvalidInput with value, place, rule and remedy; `option` is the
// name of the space's argument that holds the numbers.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "weft/error.hpp"
#include "weft/shape.hpp"

namespace weft::require {

// The smallest extent that can be halved, rounding down, `count` times; beyond 32 times simply more than any image has.
constexpr std::int64_t before_halvings(std::size_t count) {
  return std::int64_t{1} << std::min<std::size_t>(count, 32);
}
// The smallest extent of which a padded window with this stride leaves `extent`, rounding up.
constexpr std::int64_t before_stride(std::int64_t extent, std::int64_t stride) { return (extent - 1) * stride + 1; }

// The task's input is an image of at least `smallest` x `smallest`. `remedy` is how the space is made to need less.
inline void image(const Shape& input, std::string_view space, std::int64_t smallest = 1, std::string_view remedy = {}) {
  const std::string found = "the task's input is " + input.to_string() + "; " + std::string(space) + " needs an image";
  if (!input.is_image()) throw InvalidInput(found + ", channels x height x width");
  if (std::min(input.height, input.width) >= smallest) return;
  const std::string extent = std::to_string(smallest);
  throw InvalidInput(found + " of at least " + extent + " x " + extent + "; " + std::string(remedy) +
                     ", or larger images");
}

// Kernels: the padding of weft/blocks.hpp keeps a map's extent for odd ones alone.
inline void odd(std::span<const std::int64_t> kernels, std::string_view option) {
  for (const std::int64_t kernel : kernels) {
    if (kernel % 2 != 0) continue;
    throw InvalidInput("/" + std::string(option) + " holds " + std::to_string(kernel) +
                       "; must be odd, since padding keeps the extent of the map");
  }
}

// Channels: grouped convolutions divide them. `divisor_option` is the argument that holds the divisor.
inline void multiples(std::span<const std::int64_t> channels, std::string_view option, std::int64_t divisor,
                      std::string_view divisor_option) {
  for (const std::int64_t count : channels) {
    if (count % divisor == 0) continue;
    throw InvalidInput("/" + std::string(option) + " holds " + std::to_string(count) + "; must be a multiple of /" +
                       std::string(divisor_option) + ", " + std::to_string(divisor) +
                       ", into which convolutions divide their channels");
  }
}

}  // namespace weft::require
