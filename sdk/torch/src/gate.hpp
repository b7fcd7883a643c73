// What a gate leaves of a choice's inputs.
#pragma once

#include <ATen/ATen.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "weft/architecture.hpp"
#include "weft/torch/modules.hpp"

namespace weft {

struct ActiveInputs {
  std::vector<NodeId> inputs;
  at::Tensor weights;
};

// Of a choice of the graph. Zeros add nothing, and are left out where there is another.
inline ActiveInputs active_inputs(const Architecture& graph, const Node& choice, const Gate& gate) {
  ActiveInputs result{{}, gate.weights};
  std::vector<std::int64_t> kept;  // places among the active ones
  for (std::size_t place = 0; place < gate.active.size(); ++place) {
    const NodeId input = choice.inputs[static_cast<std::size_t>(gate.active[place])];
    if (graph.node(input).operation == "zero") continue;
    kept.push_back(static_cast<std::int64_t>(place));
    result.inputs.push_back(input);
  }
  if (kept.empty()) return {{choice.inputs[static_cast<std::size_t>(gate.active.front())]}, {}};
  if (gate.weights.defined() && kept.size() < gate.active.size())
    result.weights =
        gate.weights.index_select(0, at::tensor(kept, at::TensorOptions(at::kLong).device(gate.weights.device())));
  return result;
}

}  // namespace weft
