// my_plugin: the depth of a network, the number of convolutions and linear layers on its longest path.
//
// before() is for what the graph alone tells; candidates over a limit are then refused untrained. An objective that is
// measured overrides after() instead, which is given the evaluation's metrics, and says so in its manifest: no
// "objective.before" in `provides`, and "metric.<name>" in `requires`.

#include <algorithm>
#include <optional>
#include <vector>

#include "weft/plugin.hpp"

namespace {

class MyPlugin final : public weft::Objective {
 public:
  explicit MyPlugin(const weft::Context&) {}

  weft::Direction direction() const override { return weft::Direction::minimize; }

  std::optional<double> before(const weft::Candidate& candidate) const override {
    const weft::Architecture& architecture = candidate.architecture;
    std::vector<int> depth;  // by node; inputs come before their readers
    for (const weft::Node& node : architecture.nodes()) {
      int deepest = 0;
      for (const weft::NodeId input : node.inputs) deepest = std::max(deepest, depth[static_cast<std::size_t>(input)]);
      const bool has_weights = node.operation == "conv2d" || node.operation == "linear";
      depth.push_back(deepest + (has_weights ? 1 : 0));
    }
    return depth[static_cast<std::size_t>(architecture.output())];
  }
};

}  // namespace

WEFT_PLUGIN(weft::component<MyPlugin>("my_plugin"))
