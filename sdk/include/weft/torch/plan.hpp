// The execution plan of a graph: which modules run in which order, on which slots. Computed once per mode.
//
// A plan runs no more than it must: identities, sums of one term, dropout in evaluation and the like are no
// instructions; zeros vanish from sums, with what only they read; pure operations that several nodes repeat on one
// tensor (the ReLU at the head of every branch of a cell) run once; a ReLU that alone reads what can compute it along
// is no instruction of its own, and in evaluation neither is a batch norm behind a convolution. It keeps no more than
// it must: a slot is emptied at its last use and taken again, and an operation writes over its input where neither
// another reader nor autograd needs it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "weft/architecture.hpp"
#include "weft/torch/modules.hpp"

namespace weft {

struct Plan {
  using Slot = std::uint32_t;
  struct Operand {
    Slot slot;
    bool last_use;  // the slot is empty afterwards
  };
  struct Instruction {
    NodeId node;
    std::vector<Operand> inputs;
    Slot output;
    bool overwrite;        // of inputs[0]
    NodeId affine = node;  // the affine map that it takes along, or itself
    NodeId value = node;   // whose output it computes: that of the ReLU behind, if it takes one along
    bool takes_along() const { return value != node; }
  };

  std::vector<Instruction> instructions;
  std::size_t slots = 0;  // the most tensors that are alive at once
  Slot input = 0;         // filled before the first instruction
  Slot output = 0;
  std::optional<Slot> auxiliary;
};

struct PlanOptions {
  // By node: what it reads instead of all its inputs, where that is not empty. Of choices; what only the others read
  // does not run.
  std::span<const std::vector<NodeId>> active = {};
  bool with_auxiliary = false;  // else the auxiliary classifier is left out
  bool along = true;            // nodes may be computed along with others, whose own outputs are then never there
};

// `modules` has one entry per node, null for the input node, and is in the mode to be planned for.
Plan make_plan(const Architecture& architecture, std::span<const std::shared_ptr<OperationModule>> modules,
               const PlanOptions& options);

}  // namespace weft
