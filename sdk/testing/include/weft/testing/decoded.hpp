// What a space makes of a notation, for tests that look at its networks.
#pragma once

#include <string>
#include <vector>

#include "weft/space.hpp"
#include "weft/testing/library.hpp"

namespace weft::testing {

// The architecture that a space writes as `notation`.
inline Architecture decode(const Instance& space, const std::string& notation) {
  const SpaceRef reference(space.handle());
  return reference.decode(reference.parse(notation)).architecture;
}

// The nodes of this operation in a group and the groups within it.
inline std::vector<Node> nodes_of(const Architecture& network, const std::string& operation, const std::string& group) {
  std::vector<Node> found;
  for (const Node& node : network.nodes()) {
    if (node.operation == operation && (node.group + "/").starts_with(group + "/")) found.push_back(node);
  }
  return found;
}

}  // namespace weft::testing
