#include "weft/torch/network.hpp"

#include <c10/util/SmallVector.h>

#include "gate.hpp"
#include "memory.hpp"

namespace weft {
namespace {

// Whether `batch` holds examples of that shape: images are [n, c, h, w], features [n, f], sequences [n, positions,
// features] with any number of positions.
bool fits(const at::Tensor& batch, const Shape& shape) {
  const auto sizes = batch.sizes();
  if (shape.is_image())
    return sizes.size() == 4 && sizes.slice(1) == at::IntArrayRef({shape.channels, shape.height, shape.width});
  if (shape.kind == Shape::Kind::features) return sizes.size() == 2 && sizes[1] == shape.channels;
  return sizes.size() == 3 && sizes[1] > 0 && sizes[2] == shape.channels;
}

void check(const std::vector<SupernetChoice>& choices, const Gates& gates) {
  SupernetPath path;
  for (const auto& [decision, gate] : gates) path[decision] = gate.active;
  check_path(choices, path);
  for (const auto& [decision, gate] : gates) {
    const auto count = static_cast<std::int64_t>(gate.active.size());
    if (!gate.weights.defined() || gate.weights.sizes() == at::IntArrayRef(count)) continue;
    throw InvalidInput("decision \"" + decision + "\" has " + std::to_string(count) +
                       " active options and weights of extents " + Json(gate.weights.sizes().vec()).dump());
  }
}

}  // namespace

Network::Network(const Architecture& architecture, Rng rng, const OperationModules& modules)
    : architecture_(architecture), choices_(choices_of(architecture)) {
  std::size_t inputs = 0;
  for (NodeId id = 0; const Node& node : architecture_.nodes()) {
    std::shared_ptr<OperationModule>& module = modules_.emplace_back();
    if (node.operation == "input") {
      input_ = id;
      if (++inputs > 1) throw InvalidInput("node " + node.name + " is a second input; a network has one");
    } else {
      std::vector<Shape> shapes;
      std::vector<std::shared_ptr<OperationModule>> sources;
      for (const NodeId input : node.inputs) {
        shapes.push_back(architecture_.shape(input));
        sources.push_back(modules_[static_cast<std::size_t>(input)]);
      }
      module = register_module(
          node.name,
          within_memory("for the parameters of node " + node.name,
                        "make the space's networks smaller, or give an objective that counts parameters a limit", [&] {
                          return modules.make({node, shapes, rng.derive(node.name), sources});
                        }));
    }
    ++id;
  }
  if (inputs == 0) throw InvalidInput("the graph has no input node; a network needs one");
  plan_anew();
}

Gates gates_of(const SupernetPath& path) {
  Gates gates;
  for (const auto& [decision, active] : path) gates[decision] = {active};
  return gates;
}

// Of a graph with choices there is none before something was chosen.
Plan Network::planned(bool along) const {
  if (!choices_.empty() && active_.empty()) return {};
  return make_plan(architecture_, modules_, {.active = active_, .with_auxiliary = is_training(), .along = along});
}

void Network::choose(const Gates& gates) {
  check(choices_, gates);
  std::vector<std::vector<NodeId>> active(modules_.size());
  bool same_traits = true, in_cells = false;
  for (const SupernetChoice& choice : choices_) {
    for (const NodeId id : choice.nodes) {
      if (static_cast<std::size_t>(id) >= modules_.size()) {  // in a cell, whose node is told below
        in_cells = true;
        continue;
      }
      OperationModule& module = *modules_[static_cast<std::size_t>(id)];
      const OperationModule::Traits before = module.traits();
      auto [inputs, weights] = active_inputs(architecture_, architecture_.node(id), gates.at(choice.decision));
      module.take(inputs.size(), weights);
      active[static_cast<std::size_t>(id)] = std::move(inputs);
      same_traits = same_traits && module.traits() == before;
    }
  }
  for (const auto& module : modules_) {
    if (module) module->choose(gates);
  }
  if (in_cells) taking_part_.reset();
  if (same_traits && active == active_) return;
  active_ = std::move(active);
  plan_anew();
}

void Network::plan_anew() {
  plan_ = planned();
  taking_part_.reset();
}

const std::vector<bool>& Network::taking_part() const& {
  if (taking_part_) return *taking_part_;
  std::vector<bool> runs(modules_.size());
  for (const Plan::Instruction& instruction : plan_.instructions) {
    for (const NodeId id : {instruction.node, instruction.affine, instruction.value})
      runs[static_cast<std::size_t>(id)] = true;
  }
  std::map<const at::TensorImpl*, bool> takes_part;  // by parameter, of which several modules may have the same
  for (std::size_t id = 0; id < modules_.size(); ++id) {
    if (!modules_[id]) continue;
    for (const at::Tensor& parameter : modules_[id]->parameters()) takes_part[parameter.unsafeGetTensorImpl()];
    if (!runs[id]) continue;
    for (const at::Tensor& parameter : modules_[id]->taking_part()) takes_part[parameter.unsafeGetTensorImpl()] = true;
  }
  taking_part_.emplace();
  for (const at::Tensor& parameter : parameters()) taking_part_->push_back(takes_part[parameter.unsafeGetTensorImpl()]);
  return *taking_part_;
}

void Network::train(bool on) {
  const bool changed = on != is_training();
  torch::nn::Module::train(on);
  if (changed) plan_anew();
}

void Network::set_progress(double progress) {
  for (const auto& module : modules_) {
    if (module) module->set_progress(progress);
  }
}

void Network::condense() {
  set_progress(1.0);
  for (std::size_t id = 0; id < modules_.size(); ++id) {
    const std::shared_ptr<OperationModule> condensed = modules_[id] ? modules_[id]->condensed() : nullptr;
    if (condensed) modules_[id] = replace_module(architecture_.nodes()[id].name, condensed);
  }
  plan_anew();
}

void Network::set_statistics(Statistics statistics) {
  for (const auto& module : modules_) {
    if (module) module->set_statistics(statistics);
  }
  plan_anew();
}

void Network::carry_state(bool on) {
  for (const auto& module : modules_) {
    if (module) module->carry_state(on);
  }
}

Network::Carried Network::carried() const {
  Carried carried;
  for (const auto& module : modules_) {
    carried.emplace_back();
    if (module) carried.back() = module->carried();
  }
  return carried;
}

void Network::set_carried(const Carried& carried) {
  for (std::size_t id = 0; id < modules_.size(); ++id) {
    if (modules_[id]) modules_[id]->set_carried(carried.empty() ? std::vector<at::Tensor>() : carried.at(id));
  }
}

void Network::set_drop_path(double probability) {
  if (!(probability >= 0.0 && probability < 1.0)) {
    throw InvalidInput("the drop-path probability must be in [0, 1), not " + std::to_string(probability));
  }
  for (const auto& module : modules_) {
    if (module) module->set_drop_path(probability);
  }
  const bool changed = (probability > 0.0) != (drop_path_ > 0.0);
  drop_path_ = probability;
  if (changed) plan_anew();
}

at::Tensor Network::run(const Plan::Instruction& instruction, at::ArrayRef<at::Tensor> inputs) {
  const auto module = [&](NodeId id) -> OperationModule& { return *modules_[static_cast<std::size_t>(id)]; };
  if (!instruction.takes_along()) return module(instruction.node).forward(inputs, instruction.overwrite);
  OperationModule::Along along{.affine = {}, .relu = instruction.value != instruction.affine};
  if (instruction.affine != instruction.node) along.affine = module(instruction.affine).affine();
  return module(instruction.node).forward_along(inputs, along);
}

Network::Output Network::run(const at::Tensor& images, const Observer* observer) {
  const Shape& shape = architecture_.shape(input_);
  if (!fits(images, shape)) {
    throw InvalidInput("the network takes batches of " + shape.to_string() + "; it was given a tensor of extents " +
                       Json(images.sizes().vec()).dump());
  }
  if (!choices_.empty() && active_.empty())
    throw InvalidInput("the graph has choices, such as " + choices_.front().decision +
                       "; say what is computed of them (Network::choose), or decode a genotype");
  std::optional<Plan> observed;
  if (observer) observed = planned(/*along=*/false);
  const Plan& plan = observed ? *observed : plan_;
  std::vector<at::Tensor> slots(plan.slots);
  slots[plan.input] = shape.is_image() ? images.contiguous(at::MemoryFormat::ChannelsLast) : images;
  c10::SmallVector<at::Tensor, 8> inputs;
  for (const Plan::Instruction& instruction : plan.instructions) {
    for (const auto& [slot, last_use] : instruction.inputs) {
      if (last_use) {
        inputs.push_back(std::move(slots[slot]));
      } else {
        inputs.push_back(slots[slot]);
      }
    }
    at::Tensor output = run(instruction, inputs);
    inputs.clear();
    if (observer) (*observer)(architecture_.nodes()[static_cast<std::size_t>(instruction.value)], output);
    slots[instruction.output] = std::move(output);
  }
  Output output;
  if (plan.auxiliary) output.auxiliary = slots[*plan.auxiliary];
  output.logits = slots[plan.output];
  if (!is_training()) return output;
  for (const auto& module : modules_) {
    const at::Tensor penalty = module ? module->take_penalty() : at::Tensor();
    if (penalty.defined()) output.penalty = output.penalty.defined() ? output.penalty + penalty : penalty;
  }
  return output;
}

std::map<std::string, at::Tensor> Network::state() const {
  std::map<std::string, at::Tensor> state;
  for (const auto& entry : named_parameters()) state.emplace(entry.key(), entry.value().detach());
  for (const auto& entry : named_buffers()) state.emplace(entry.key(), entry.value().detach());
  return state;
}

}  // namespace weft
