#include "weft/torch/plan.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <tuple>

namespace weft {
namespace {

// The graph with every node replaced by the node that computes its value.
struct Values {
  std::vector<NodeId> value;                  // by node
  std::vector<std::vector<NodeId>> operands;  // by node, in terms of values; of nodes that are their own value
};

// What a node reads under the plan's options.
using Reads = std::vector<std::span<const NodeId>>;

Reads reads_of(std::span<const Node> nodes, std::span<const std::vector<NodeId>> active) {
  Reads reads;
  for (std::size_t id = 0; id < nodes.size(); ++id)
    reads.emplace_back(active.empty() || active[id].empty() ? nodes[id].inputs : active[id]);
  return reads;
}

// Nodes that contribute to an output.
std::vector<bool> needed_for(std::initializer_list<std::optional<NodeId>> outputs, const Reads& reads) {
  std::vector<bool> needed(reads.size());
  for (const std::optional<NodeId> output : outputs) {
    if (output) needed[static_cast<std::size_t>(*output)] = true;
  }
  for (std::size_t id = reads.size(); id-- > 0;) {
    if (!needed[id]) continue;
    for (const NodeId input : reads[id]) needed[static_cast<std::size_t>(input)] = true;
  }
  return needed;
}

Values simplify(std::span<const Node> nodes, const Reads& reads, const std::vector<bool>& needed,
                std::span<const OperationModule::Traits> traits) {
  Values result{std::vector<NodeId>(nodes.size()), std::vector<std::vector<NodeId>>(nodes.size())};
  std::map<std::tuple<std::string, std::string, std::vector<NodeId>>, NodeId> known;  // pure nodes met so far
  const auto is_zero = [&](NodeId id) { return nodes[static_cast<std::size_t>(id)].operation == "zero"; };
  NodeId images = 0;
  for (std::size_t id = 0; id < nodes.size(); ++id) {
    const Node& node = nodes[id];
    if (node.operation == "input") images = static_cast<NodeId>(id);
    if (!needed[id]) continue;
    std::vector<NodeId> inputs;
    for (const NodeId input : reads[id]) inputs.push_back(result.value[static_cast<std::size_t>(input)]);
    const auto zero = std::find_if(inputs.begin(), inputs.end(), is_zero);
    if (node.operation == "add" && zero != inputs.end()) {
      const NodeId one = *zero;
      std::erase_if(inputs, is_zero);
      if (inputs.empty()) inputs = {one};
    } else if (node.operation == "multiply" && zero != inputs.end()) {
      inputs = {*zero};
    } else if (node.operation == "zero") {
      inputs = {images};  // for batch size and device
    }
    const bool merges = node.operation == "add" || node.operation == "multiply" || node.operation == "concat";
    NodeId& value = result.value[id] = static_cast<NodeId>(id);
    if (traits[id].passes_through || (merges && inputs.size() == 1)) {
      value = inputs.front();
      continue;
    }
    if (traits[id].commutative) std::sort(inputs.begin(), inputs.end());
    if (traits[id].pure) {
      // The shape belongs to the key because a zero's does not follow from its operand.
      value = known.try_emplace({node.operation, node.attributes.dump() + node.shape.to_string(), inputs}, value)
                  .first->second;
    }
    result.operands[id] = std::move(inputs);
  }
  return result;
}

}  // namespace

Plan make_plan(const Architecture& architecture, std::span<const std::shared_ptr<OperationModule>> modules,
               const PlanOptions& options) {
  const auto nodes = architecture.nodes();
  const auto at = [](NodeId id) { return static_cast<std::size_t>(id); };
  const Reads reads = reads_of(nodes, options.active);
  const std::vector<bool> needed =
      needed_for({architecture.output(), options.with_auxiliary ? architecture.auxiliary() : std::nullopt}, reads);
  std::vector<OperationModule::Traits> traits(nodes.size());
  for (std::size_t id = 0; id < nodes.size(); ++id) {
    if (modules[id] && needed[id]) traits[id] = modules[id]->traits();
  }
  const auto [value, operands] = simplify(nodes, reads, needed, traits);

  // Readers of each value; what has none is not computed. The network's caller is a reader that comes last.
  constexpr std::size_t caller = SIZE_MAX;
  std::vector<std::size_t> readers(nodes.size()), last_reader(nodes.size());
  const auto read = [&](NodeId id, std::size_t reader) {
    if (readers[at(id)]++ == 0) last_reader[at(id)] = reader;  // readers come in reverse order
  };
  read(value[at(architecture.output())], caller);
  if (options.with_auxiliary && architecture.auxiliary()) read(value[at(*architecture.auxiliary())], caller);
  for (std::size_t id = nodes.size(); id-- > 0;) {
    if (readers[id] == 0) continue;
    for (const NodeId input : operands[id]) read(input, id);
  }

  // What is computed along with a node, because nobody else reads what that makes: an affine map, then a ReLU.
  struct Chain {
    NodeId affine, value;
    bool part_of_another = false;
  };
  std::vector<Chain> chains;
  for (NodeId id = 0; id < static_cast<NodeId>(nodes.size()); ++id) chains.push_back({id, id});
  for (std::size_t id = 0; id < nodes.size() && options.along; ++id) {
    Chain& chain = chains[id];
    const auto take = [&](bool takes, bool OperationModule::Traits::*is_it) {
      const std::size_t last = at(chain.value), reader = last_reader[last];
      if (!takes || chain.part_of_another || readers[last] != 1 || reader == caller || !(traits[reader].*is_it)) return;
      chain.value = static_cast<NodeId>(reader);
      chains[reader].part_of_another = true;
    };
    take(traits[id].takes_affine, &OperationModule::Traits::is_affine);
    chain.affine = chain.value;
    take(traits[id].takes_relu, &OperationModule::Traits::is_relu);
  }

  std::vector<NodeId> made_by(nodes.size());  // by value: the node whose instruction computes it
  for (std::size_t id = 0; id < nodes.size(); ++id) {
    if (!chains[id].part_of_another) made_by[at(chains[id].value)] = static_cast<NodeId>(id);
  }

  Plan plan;
  std::vector<Plan::Slot> slot(nodes.size()), free;
  const auto take_slot = [&] {
    if (free.empty()) return static_cast<Plan::Slot>(plan.slots++);
    const Plan::Slot taken = free.back();
    free.pop_back();
    return taken;
  };
  for (std::size_t id = 0; id < nodes.size(); ++id) {
    if (!modules[id]) plan.input = slot[id] = take_slot();
    if (!modules[id] || readers[id] == 0 || chains[id].part_of_another) continue;
    std::vector<NodeId> inputs = operands[id];
    const auto reusable = [&](NodeId input) {
      return readers[at(input)] == 1 && traits[at(input)].output_reusable &&
             traits[at(made_by[at(input)])].output_reusable;
    };
    Plan::Instruction instruction{.node = static_cast<NodeId>(id),
                                  .inputs = {},
                                  .output = 0,
                                  .overwrite = false,
                                  .affine = chains[id].affine,
                                  .value = chains[id].value};
    if (traits[id].overwrites) {
      const auto end = traits[id].commutative ? inputs.end() : inputs.begin() + 1;
      const auto found = std::find_if(inputs.begin(), end, reusable);
      instruction.overwrite = found != end;
      if (instruction.overwrite) std::iter_swap(inputs.begin(), found);
    }
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const bool again =
          std::find(inputs.begin() + static_cast<std::ptrdiff_t>(i) + 1, inputs.end(), inputs[i]) != inputs.end();
      const bool last_use = last_reader[at(inputs[i])] == id && !again;
      instruction.inputs.push_back({slot[at(inputs[i])], last_use});
    }
    for (const Plan::Operand& operand : instruction.inputs) {
      if (operand.last_use) free.push_back(operand.slot);
    }
    instruction.output = slot[at(instruction.value)] = take_slot();
    plan.instructions.push_back(std::move(instruction));
  }
  plan.output = slot[at(value[at(architecture.output())])];
  if (options.with_auxiliary && architecture.auxiliary())
    plan.auxiliary = slot[at(value[at(*architecture.auxiliary())])];
  return plan;
}

}  // namespace weft
