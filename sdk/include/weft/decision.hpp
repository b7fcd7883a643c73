// One decision of a space: the common currency of controllers, tree search, encodings, mutation and crossover.
#pragma once

#include <string>
#include <vector>

#include "weft/abi.h"

namespace weft {

struct Decision {
  enum class Kind {
    categorical = WEFT_CATEGORICAL,
    ordinal = WEFT_ORDINAL,     // options are in order: tree search may bisect them
    reference = WEFT_REFERENCE  // options name earlier steps: an attention controller may point at them
  };

  std::string name = {};   // unique within the genotype: "normal/block 2/input 1"
  std::string group = {};  // decisions of one group mean the same thing, and a controller may share weights among them
  Kind kind = Kind::categorical;
  std::vector<std::string> options = {};  // at least one
  int step = 0;  // the unit of crossover and of progressive growth; never decreases along a genotype
};

}  // namespace weft
