// One decision of a space: the common currency of controllers, tree search, encodings, mutation and crossover.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "weft/abi.h"

namespace weft {

struct Decision {
  enum class Kind {
    categorical = WEFT_CATEGORICAL,
    ordinal = WEFT_ORDINAL,     // options are in order: tree search may bisect them
    reference = WEFT_REFERENCE  // options name earlier steps or none: a controller may point at them
  };
  static constexpr int no_step = WEFT_NO_STEP;

  std::string name = {};   // unique within the genotype: "normal/block 2/input 1"
  std::string group = {};  // decisions of one group mean the same thing, and a controller may share weights among them
  Kind kind = Kind::categorical;
  std::vector<std::string> options = {};  // at least one
  int step = 0;  // the unit of crossover and of progressive growth; at least 0, never decreases along a genotype
  // Of a reference: for each option the step that it names, an earlier one, or no_step. Empty: not said, as by spaces
  // of release 1.0; controllers then guess from when a text first appears.
  std::vector<int> named_steps = {};
};

// Numbers as the options of an ordinal decision: ascending, each once, after `prefix`.
inline std::vector<std::string> ordinal_options(std::vector<std::int64_t> numbers, std::string_view prefix = {}) {
  std::sort(numbers.begin(), numbers.end());
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  std::vector<std::string> options;
  options.reserve(numbers.size());
  for (const std::int64_t number : numbers) options.push_back(std::string(prefix) + std::to_string(number));
  return options;
}

}  // namespace weft
