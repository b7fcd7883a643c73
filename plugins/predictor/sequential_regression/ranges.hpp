// Ranges that hyperparameters are drawn from.
#pragma once

#include <cmath>
#include <string>

#include "weft/context.hpp"
#include "weft/error.hpp"
#include "weft/rng.hpp"

namespace sequential_regression {

struct Range {
  double low = 0.0, high = 0.0;

  // From an argument [low, high]. Throws InvalidInput where they are the wrong way round.
  static Range of(const weft::Context& context, const char* argument) {
    const weft::Json& given = context.configuration().at(argument);
    const Range range{given.at(0).get<double>(), given.at(1).get<double>()};
    if (range.low <= range.high) return range;
    throw weft::InvalidInput("/" + std::string(argument) + " is " + given.dump() +
                             "; the first number must not exceed the second");
  }

  // In (low, high], or low where they are the same: never 0, if high is not.
  double uniform(weft::Rng& rng) const { return high - (high - low) * rng.uniform(); }
  double log_uniform(weft::Rng& rng) const { return std::exp(Range{std::log(low), std::log(high)}.uniform(rng)); }
};

}  // namespace sequential_regression
