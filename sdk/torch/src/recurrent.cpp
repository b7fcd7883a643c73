// A cell repeated along a sequence. What makes it fast: all of the cell that depends on the sequence alone is computed
// for all positions at once before the loop, linear layers that read the same vector are one matrix product, and of
// choices only what is active is computed.

#include "recurrent.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "gate.hpp"
#include "weft/recurrent.hpp"

namespace weft {
namespace {

using Values = std::vector<at::Tensor>;  // by node of the cell

// Linear layers of one input, with their own weights or another's.
struct Projection {
  NodeId input;
  std::vector<NodeId> nodes;
};

class Recurrent final : public OperationModule {
 public:
  explicit Recurrent(const ModuleArguments& arguments)
      : cell_(RecurrentCell::from_json(arguments.node.attributes.at("cell"), arguments.node.attributes.at("states"))),
        state_dropout_(arguments.node.attributes.at("state_dropout")) {
    const auto nodes = cell_.architecture().nodes();
    in_loop_.resize(nodes.size());
    for (std::size_t id = 0; id < nodes.size(); ++id) {
      const Node& node = nodes[id];
      std::shared_ptr<OperationModule>& module = modules_.emplace_back();
      in_loop_[id] = node.operation == "input" && static_cast<NodeId>(id) != cell_.x();
      if (node.operation == "input") continue;
      std::vector<Shape> shapes;
      std::vector<std::shared_ptr<OperationModule>> sources;
      for (const NodeId input : node.inputs) {
        shapes.push_back(cell_.architecture().shape(input));
        sources.push_back(modules_[index(input)]);
      }
      module = register_module(
          node.name, OperationModules::built_in().make({node, shapes, arguments.rng.derive(node.name), sources}));
      const auto inside = [&](NodeId input) { return in_loop_[index(input)]; };
      in_loop_[id] = !by_position(node) || std::any_of(node.inputs.begin(), node.inputs.end(), inside);
    }
    if (!cell_.architecture().has_choices()) plan({});
  }

  void choose(const Gates& gates) override {
    if (cell_.architecture().has_choices()) plan(gates);
  }
  std::vector<at::Tensor> taking_part() const override {
    std::vector<at::Tensor> parameters;
    for (std::size_t id = 0; id < modules_.size(); ++id) {
      if (!needed_[id] || !modules_[id]) continue;
      for (at::Tensor& parameter : modules_[id]->taking_part()) parameters.push_back(std::move(parameter));
    }
    return parameters;
  }

  void set_statistics(Statistics statistics) override {
    for (const auto& module : modules_) {
      if (module) module->set_statistics(statistics);
    }
  }
  void set_drop_path(double probability) override {
    for (const auto& module : modules_) {
      if (module) module->set_drop_path(probability);
    }
  }
  void set_progress(double progress) override {
    for (const auto& module : modules_) {
      if (module) module->set_progress(progress);
    }
  }

  std::vector<at::Tensor> carried() const override { return state_; }
  void set_carried(std::vector<at::Tensor> state) override { state_ = std::move(state); }
  void carry_state(bool on) override {
    carries_ = on;
    state_.clear();
  }

  // [n, positions, features]
  at::Tensor forward(at::ArrayRef<at::Tensor> inputs, bool) override {
    const std::int64_t examples = inputs[0].size(0), positions = inputs[0].size(1);
    masks_.clear();
    const Values before = before_loop(inputs[0].transpose(0, 1).contiguous());  // [positions, n, ..]
    std::vector<Values> rows(before.size());
    for (std::size_t id = 0; id < before.size(); ++id) {
      if (before[id].defined()) rows[id] = before[id].unbind();
    }
    const std::vector<Weights> weights = loop_weights();
    Values state = first_state(examples, inputs[0]);
    const at::Tensor mask = state_mask(examples, inputs[0]);
    Values outputs;
    for (std::int64_t position = 0; position < positions; ++position) {
      Values values(before.size());
      for (std::size_t id = 0; id < before.size(); ++id) {
        if (before[id].defined()) values[id] = rows[id][static_cast<std::size_t>(position)];
      }
      for (std::size_t i = 0; i < state.size(); ++i) {
        const bool masked = mask.defined() && i == 0;
        values[index(cell_.states()[i].input)] = masked ? state[i] * mask : state[i];
      }
      step(values, weights);
      for (std::size_t i = 0; i < state.size(); ++i) state[i] = values[index(cell_.states()[i].next)];
      outputs.push_back(values[index(cell_.architecture().output())]);
    }
    if (carries_) {
      for (at::Tensor& value : state) value = value.detach();
      state_ = std::move(state);
    }
    return at::stack(outputs, 1);
  }

 private:
  struct Weights {
    at::Tensor weight, bias;  // of all layers of a projection
  };

  static std::size_t index(NodeId id) { return static_cast<std::size_t>(id); }
  const Node& node(NodeId id) const { return cell_.architecture().node(id); }

  // Whether the module of such a node, made for vectors, computes sequences of them as well.
  static bool by_position(const Node& node) {
    static constexpr std::array known = {"linear",   "tied_linear", "activation", "add",    "mean",
                                         "multiply", "identity",    "highway",    "choice", "locked_dropout"};
    return std::find(known.begin(), known.end(), node.operation) != known.end();
  }

  // Modules of merges take two inputs or more; of one there is nothing to merge.
  static bool merges(const Node& node) {
    return node.operation == "add" || node.operation == "multiply" || node.operation == "concat";
  }

  static bool is_linear(const Node& node) { return node.operation == "linear" || node.operation == "tied_linear"; }

  // What is computed, of choices what the gates leave.
  void plan(const Gates& gates) {
    const auto nodes = cell_.architecture().nodes();
    reads_.assign(nodes.size(), {});
    std::vector<bool> is_zero(nodes.size());
    for (std::size_t id = 0; id < nodes.size(); ++id) {
      const Node& node = nodes[id];
      std::vector<NodeId>& reads = reads_[id] = node.inputs;
      if (node.operation == "choice") {
        auto [active, weights] = active_inputs(cell_.architecture(), node, gates.at(node.attributes.at("decision")));
        modules_[id]->take(active.size(), std::move(weights));
        reads = std::move(active);
      }
      // Its weights are known without computing the layer that has them.
      if (node.operation == "tied_linear") reads.resize(1);
      const auto zero = [&](NodeId input) { return is_zero[index(input)]; };
      const bool all_zero = !reads.empty() && std::all_of(reads.begin(), reads.end(), zero);
      is_zero[id] = node.operation == "zero" || (all_zero && (node.operation == "choice" || node.operation == "add"));
      if (node.operation == "add" && !all_zero) std::erase_if(reads, zero);
    }
    needed_.assign(nodes.size(), false);
    needed_[index(cell_.architecture().output())] = true;
    for (const RecurrentCell::State& state : cell_.states()) needed_[index(state.next)] = true;
    for (std::size_t id = nodes.size(); id-- > 0;) {
      if (!needed_[id]) continue;
      for (const NodeId input : reads_[id]) needed_[index(input)] = true;
    }
    projections_.clear();
    for (std::size_t id = 0; id < nodes.size(); ++id) {
      if (needed_[id] && is_linear(nodes[id])) add_to_projection(static_cast<NodeId>(id), nodes[id].inputs[0]);
    }
  }

  void add_to_projection(NodeId id, NodeId input) {
    const auto found = std::find_if(projections_.begin(), projections_.end(),
                                    [&](const Projection& projection) { return projection.input == input; });
    Projection& projection = found == projections_.end() ? projections_.emplace_back(Projection{input}) : *found;
    projection.nodes.push_back(id);
  }

  Weights weights_of(const Projection& projection) const {
    Values weights, biases;
    bool any_bias = false;
    for (const NodeId id : projection.nodes) {
      const bool tied = node(id).operation == "tied_linear";
      const auto parameters = modules_[index(id)]->named_parameters(/*recurse=*/false);
      weights.push_back((tied ? modules_[index(node(id).inputs[1])]->named_parameters(false) : parameters)["weight"]);
      const at::Tensor* bias = parameters.find("bias");
      any_bias = any_bias || bias != nullptr;
      biases.push_back(bias != nullptr ? *bias : at::zeros({weights.back().size(0)}, weights.back().options()));
    }
    return {weights.size() == 1 ? weights[0] : at::cat(weights), !any_bias            ? at::Tensor()
                                                                 : biases.size() == 1 ? biases[0]
                                                                                      : at::cat(biases)};
  }

  // By projection; those of the loop alone.
  std::vector<Weights> loop_weights() const {
    std::vector<Weights> weights(projections_.size());
    for (std::size_t i = 0; i < projections_.size(); ++i) {
      if (in_loop_[index(projections_[i].input)]) weights[i] = weights_of(projections_[i]);
    }
    return weights;
  }

  // Fills in the value of each layer of the projection.
  void project(const Projection& projection, const Weights& weights, Values& values) const {
    const at::Tensor all = at::linear(values[index(projection.input)], weights.weight, weights.bias);
    std::vector<std::int64_t> features;
    for (const NodeId id : projection.nodes) features.push_back(node(id).shape.channels);
    const Values parts = all.split_with_sizes(features, -1);  // one step back, where slices would be one each
    for (std::size_t i = 0; i < parts.size(); ++i) values[index(projection.nodes[i])] = parts[i];
  }

  void compute(std::size_t id, Values& values) {
    const Node& node = cell_.architecture().nodes()[id];
    Values inputs;
    for (const NodeId input : reads_[id]) inputs.push_back(values[index(input)]);
    const bool passes = modules_[id]->traits().passes_through || (inputs.size() == 1 && merges(node));
    if (passes) {
      values[id] = inputs[0];
    } else if (node.operation == "locked_dropout") {
      values[id] = inputs[0] * locked_mask(node, inputs[0]);
    } else {
      values[id] = modules_[id]->forward(inputs, /*overwrite=*/false);
    }
  }

  // [n, features], the same at all positions and for all nodes that drop as many features with one probability.
  const at::Tensor& locked_mask(const Node& node, const at::Tensor& like) {
    const double probability = node.attributes.at("probability");
    at::Tensor& mask = masks_[{probability, node.shape.channels}];
    if (!mask.defined()) mask = dropout_mask({like.size(-2), like.size(-1)}, probability, like);
    return mask;
  }

  // Of what depends on x alone; the rest is undefined.
  Values before_loop(const at::Tensor& x) {
    Values values(modules_.size());
    for (std::size_t id = 0; id < modules_.size(); ++id) {
      if (in_loop_[id] || !needed_[id]) continue;
      if (static_cast<NodeId>(id) == cell_.x()) values[id] = x;
      if (modules_[id] && !values[id].defined()) compute(id, values);
      project_if_any(id, values, [&](const Projection& projection) { return weights_of(projection); });
    }
    return values;
  }

  void step(Values& values, const std::vector<Weights>& weights) {
    for (std::size_t id = 0; id < modules_.size(); ++id) {
      if (!in_loop_[id] || !needed_[id]) continue;
      if (!values[id].defined()) compute(id, values);
      project_if_any(id, values, [&](const Projection& projection) {
        return weights[static_cast<std::size_t>(&projection - projections_.data())];
      });
    }
  }

  // As soon as the value of node `id` is known, so are the layers that read it.
  template <typename WeightsOf>
  void project_if_any(std::size_t id, Values& values, const WeightsOf& weights_of) const {
    for (const Projection& projection : projections_) {
      if (projection.input == static_cast<NodeId>(id)) project(projection, weights_of(projection), values);
    }
  }

  Values first_state(std::int64_t examples, const at::Tensor& like) const {
    if (!state_.empty()) return state_;
    Values state;
    for (const RecurrentCell::State& each : cell_.states()) {
      state.push_back(at::zeros({examples, node(each.input).shape.channels}, like.options()));
    }
    return state;
  }

  // [n, features of h]; undefined if nothing is dropped.
  at::Tensor state_mask(std::int64_t examples, const at::Tensor& like) const {
    if (!is_training() || state_dropout_ == 0.0) return {};
    return dropout_mask({examples, cell_.features()}, state_dropout_, like);
  }

  RecurrentCell cell_;
  double state_dropout_;
  std::vector<std::shared_ptr<OperationModule>> modules_;  // by node; null for inputs
  std::vector<bool> in_loop_;                              // by node: depends on a state, or has to go step by step
  std::vector<std::vector<NodeId>> reads_;                 // by node: what is computed for it
  std::vector<bool> needed_;                               // by node; none before anything was chosen
  std::vector<Projection> projections_;
  std::map<std::pair<double, std::int64_t>, at::Tensor> masks_;  // of the sequence at hand
  bool carries_ = false;
  Values state_;  // in the order of the cell's states, after the last position; none at the beginning
};

}  // namespace

std::shared_ptr<OperationModule> make_recurrent(const ModuleArguments& arguments) {
  return std::make_shared<Recurrent>(arguments);
}

}  // namespace weft
