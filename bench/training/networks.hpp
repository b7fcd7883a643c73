// The networks of the training benchmark: the kinds of network a search trains.
#pragma once

#include <string>
#include <vector>

#include "weft/architecture.hpp"

namespace weft::bench {

struct NamedNetwork {
  std::string name;
  Architecture architecture;
};

// In the order of the benchmark's table.
std::vector<NamedNetwork> networks();

}  // namespace weft::bench
