// Recurrent cells as full binary trees: each leaf combines the input with the cell's last output, each other node its
// two children, and the root is the new output; a memory enters one node and leaves another.
//
// Zoph, Le 2017, "Neural Architecture Search with Reinforcement Learning", section 3.4. Only leaves have weights, two
// matrices each, without biases, as in the paper's equations and in the authors' published cell (NASCell in
// TensorFlow). The memory that leaves a node is its combination before the activation, also where the old memory enters
// that node's value. For base numbers that are no power of two, which the paper does not treat, nodes of a level are
// paired from left to right and an odd one moves up to the next level.

#include <numeric>
#include <string>
#include <vector>

#include "weft/language_model.hpp"
#include "weft/notation_reader.hpp"
#include "weft/plugin.hpp"

namespace {

using weft::ArchitectureBuilder;
using weft::NodeId;

const std::vector<std::string> combinations = {"add", "elem_mult"};
const std::vector<std::string> activations = {"identity", "tanh", "sigmoid", "relu"};
constexpr std::int32_t add = 0, elem_mult = 1;

struct Children {
  std::size_t left, right;
};

// Leaves come first, then the levels above them; these are the children of the nodes that are no leaves, in order.
std::vector<Children> inner_nodes(std::size_t leaves) {
  std::vector<Children> inner;
  std::vector<std::size_t> level(leaves);
  std::iota(level.begin(), level.end(), std::size_t{0});
  while (level.size() > 1) {
    std::vector<std::size_t> above;
    for (std::size_t i = 0; i + 1 < level.size(); i += 2) {
      above.push_back(leaves + inner.size());
      inner.push_back({level[i], level[i + 1]});
    }
    if (level.size() % 2 == 1) above.push_back(level.back());
    level = std::move(above);
  }
  return inner;
}

std::vector<std::string> numbers_below(std::size_t count) {
  std::vector<std::string> numbers;
  for (std::size_t number = 0; number < count; ++number) numbers.push_back(std::to_string(number));
  return numbers;
}

// Two options: how two values are merged into one.
struct Merge {
  std::int32_t combination, activation;
};

class RnnCell final : public weft::DecisionSpace {
 public:
  explicit RnnCell(const weft::Context& context)
      : leaves_(context.get<std::size_t>("base_number")),
        inner_(inner_nodes(leaves_)),
        nodes_(leaves_ + inner_.size()),
        numbers_(numbers_below(nodes_)),
        node_steps_(nodes_),
        // All cells have as many weights: any of them tells how many features make a number of parameters.
        model_(context, cell_of(weft::Genotype(std::vector<std::int32_t>(2 * nodes_ + 4)))) {
    std::iota(node_steps_.begin(), node_steps_.end(), 0);
  }

  // In the order of the paper's controller. The memory's four decisions are the last step: they come when all nodes
  // that its indices may name have been decided.
  std::optional<weft::Decision> next(std::span<const std::int32_t> taken) const override {
    const std::size_t node = taken.size() / 2;
    const bool first = taken.size() % 2 == 0;
    if (node <= nodes_) {
      return weft::Decision{
          .name = (node < nodes_ ? "node " + numbers_[node] : "cell inject") + (first ? "/combination" : "/activation"),
          .group = first ? "combination" : "activation",
          .options = first ? combinations : activations,
          .step = static_cast<int>(node)};
    }
    if (node > nodes_ + 1) return {};
    const std::string state = first ? "new state" : "old state";
    return weft::Decision{.name = "cell index/" + state,
                          .group = state,
                          .kind = weft::Decision::Kind::reference,
                          .options = numbers_,
                          .step = static_cast<int>(nodes_),
                          .named_steps = node_steps_};
  }

  weft::Candidate decode(const weft::Genotype& genotype) const override {
    walk(genotype);
    return {model_.build(cell_of(genotype))};
  }

  // The paper's equations, with x for W x and h for W' h, a' for a value that the memory c has entered.
  std::string notation(const weft::Genotype& genotype) const override {
    walk(genotype);
    std::vector<std::string> values;
    std::string text;
    const auto equation = [&](const std::string& name, const Merge& merge, const std::string& left,
                              const std::string& right) {
      text += name + " = " + activations[static_cast<std::size_t>(merge.activation)] + "(" + left +
              (merge.combination == add ? " + " : " * ") + right + "); ";
    };
    for (std::size_t node = 0; node < nodes_; ++node) {
      const auto [left, right] = operands<std::string>(node, values, "x", "h");
      values.push_back("a" + numbers_[node]);
      equation(values[node], merge(genotype, node), left, right);
      if (node != old_state(genotype)) continue;
      equation(values[node] + "'", merge(genotype, nodes_), values[node], "c");
      values[node] += "'";
    }
    return text + "h = " + values.back() + "; c = pre a" + numbers_[new_state(genotype)];
  }

  weft::Genotype parse(std::string_view notation) const override {
    weft::NotationReader reader(
        notation, "a0 = tanh(x + h); a1 = relu(x * h); a0' = relu(a0 + c); a2 = sigmoid(a0' * a1); h = a2; c = pre a1");
    const auto right_side = [&](const std::string& left, const std::string& right) {
      reader.expect("=");
      const auto activation = static_cast<std::int32_t>(reader.option(activations, "an activation"));
      reader.expect("(");
      reader.expect(left);
      const bool adds = reader.accept("+");
      if (!adds && !reader.accept("*")) reader.fail("\"+\" or \"*\"");
      reader.expect(right);
      reader.expect(")");
      reader.expect(";");
      return Merge{adds ? add : elem_mult, activation};
    };
    weft::Genotype genotype;
    const auto take = [&](const Merge& merge) {
      genotype.decisions.push_back(merge.combination);
      genotype.decisions.push_back(merge.activation);
    };
    std::vector<std::string> values;
    std::optional<Merge> injection;
    std::size_t injected = 0;
    for (std::size_t node = 0; node < nodes_; ++node) {
      const auto [left, right] = operands<std::string>(node, values, "x", "h");
      values.push_back("a" + numbers_[node]);
      reader.expect(values[node]);
      take(right_side(left, right));
      if (injection || !reader.accept(values[node] + "'")) continue;
      injection = right_side(values[node], "c");
      injected = node;
      values[node] += "'";
    }
    if (!injection) reader.fail(values.back() + "', the last value that c can enter");
    take(*injection);
    reader.expect("h");
    reader.expect("=");
    reader.expect(values.back());
    for (const char* token : {";", "c", "=", "pre", "a"}) reader.expect(token);
    genotype.decisions.push_back(static_cast<std::int32_t>(reader.option(numbers_, "the number of a node")));
    genotype.decisions.push_back(static_cast<std::int32_t>(injected));
    reader.expect_end();
    return genotype;
  }

 private:
  // What a node combines: x and h in a leaf, else its children's values.
  template <typename Value>
  std::pair<Value, Value> operands(std::size_t node, const std::vector<Value>& values, Value x, Value h) const {
    if (node < leaves_) return {x, h};
    const Children& children = inner_[node - leaves_];
    return {values[children.left], values[children.right]};
  }

  // That of a node, or at nodes_ that of the injection.
  static Merge merge(const weft::Genotype& genotype, std::size_t at) {
    return {genotype.decisions[2 * at], genotype.decisions[2 * at + 1]};
  }
  std::size_t new_state(const weft::Genotype& genotype) const {
    return static_cast<std::size_t>(genotype.decisions[2 * nodes_ + 2]);
  }
  std::size_t old_state(const weft::Genotype& genotype) const {
    return static_cast<std::size_t>(genotype.decisions[2 * nodes_ + 3]);
  }

  weft::LanguageModel::Cell cell_of(const weft::Genotype& genotype) const {
    return [this, genotype](std::int64_t inputs, std::int64_t features) -> weft::Attributes {
      ArchitectureBuilder graph;
      const auto input = [&](const char* name, std::int64_t count) {
        return graph.add("input", {{"shape", weft::Shape::features(count).to_json()}}, {}, name);
      };
      const auto weigh = [&](NodeId value) {
        return graph.add("linear", {{"features", features}, {"bias", false}}, {value});
      };
      const auto combine = [&](const Merge& merge, NodeId left, NodeId right, std::string name) {
        return graph.add(merge.combination == add ? "add" : "multiply", {}, {left, right}, std::move(name));
      };
      const auto activate = [&](const Merge& merge, NodeId value) {
        const std::string& function = activations[static_cast<std::size_t>(merge.activation)];
        if (function == "identity") return graph.add("identity", {}, {value});
        return graph.add("activation", {{"function", function}}, {value});
      };
      const auto before_activation = [&](std::size_t node) { return "pre_a" + numbers_[node]; };
      const NodeId x = input("x", inputs);
      const NodeId h = input("h", features);
      const NodeId c = input("c", features);
      std::vector<NodeId> values;
      for (std::size_t node = 0; node < nodes_; ++node) {
        auto [left, right] = operands(node, values, x, h);
        if (node < leaves_) {
          left = weigh(left);
          right = weigh(right);
        }
        const Merge own = merge(genotype, node);
        values.push_back(activate(own, combine(own, left, right, before_activation(node))));
        if (node != old_state(genotype)) continue;
        const Merge injection = merge(genotype, nodes_);
        values[node] = activate(injection, combine(injection, values[node], c, "pre_injection"));
      }
      return {{"cell", std::move(graph).build(values.back()).to_json()},
              {"states", {{"c", before_activation(new_state(genotype))}}}};
    };
  }

  std::size_t leaves_;
  std::vector<Children> inner_;
  std::size_t nodes_;
  std::vector<std::string> numbers_;  // of the nodes, as text
  std::vector<int> node_steps_;       // the steps that decide them
  weft::LanguageModel model_;
};

}  // namespace

WEFT_PLUGIN(weft::component<RnnCell>("rnn_cell"))
