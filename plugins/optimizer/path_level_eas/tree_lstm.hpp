// The encoder of the meta-controller: a bidirectional tree-LSTM over a cell's tree, from the leaves up and from the
// root down.
//
// Cai et al. 2018b, section 3.3.1; Tai, Socher, Manning 2015, "Improved Semantic Representations From Tree-Structured
// Long Short-Term Memory Networks": nodes that add, whose branches have no order, are child-sum units, those that
// concatenate N-ary ones. An ordinary LSTM unit reads each branch's operation. Downwards a unit also reads the state of
// the parent, and of the siblings the states from below (han-cai/PathLevel-EAS, encoder_net.py). A slot of an N-ary
// unit has its weights from when it is first filled, which is the same as zeros in it before.
//
// A tree is {"merge": TEXT, "branches": [{"operation": TEXT, "node": {..}} ..]}; of a leaf "branches", of a single
// branch "merge" is absent.
#pragma once

#include <Eigen/Core>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "tape.hpp"
#include "weft/json.hpp"
#include "weights.hpp"

namespace path_level_eas {

using weft::Json;

inline const Json& branches_of(const Json& node) {
  static const Json none = Json::array();
  const auto found = node.find("branches");
  return found == node.end() ? none : *found;
}
inline const Json& node_of(const Json& branch) {
  static const Json leaf = Json::object();
  const auto found = branch.find("node");
  return found == branch.end() ? leaf : *found;
}

class TreeLstm {
 public:
  using Id = Tape::Id;

  struct Sizes {
    Eigen::Index hidden;
    Eigen::Index embedding;
  };
  // h and c.
  struct State {
    Id output;
    Id cell;
  };
  // A node and what is below it.
  struct Encoded {
    State up;                        // of the node, from below
    std::vector<State> branches_up;  // of each branch, from below: behind its LSTM
    State down;                      // of the node, and of the branch that ends there, from above
    std::vector<Encoded> below;
  };

  TreeLstm(Weights& weights, Tape& tape, Sizes sizes) : weights_(weights), tape_(tape), sizes_(sizes) {}

  Encoded encode(const Json& root) {
    Encoded encoded = upwards(root);
    downwards(root, encoded, {zeros(), zeros()});
    return encoded;
  }

  struct Input {
    std::string name;
    Id value;
  };
  // W x + V y + .. + b, with weights of that name.
  Id affine(const std::string& name, const std::vector<Input>& inputs) {
    return tape_.sum({linear(name, inputs), tape_.parameter(weights_.uniform(name + " bias", sizes_.hidden, 1, 0.0))});
  }
  // Without b.
  Id linear(const std::string& name, const std::vector<Input>& inputs) {
    std::vector<Id> terms;
    for (const auto& [input, value] : inputs) {
      const Block block = weights_.orthogonal(name + " " + input, sizes_.hidden, tape_[value].size());
      terms.push_back(tape_.product(block, value));
    }
    return tape_.sum(std::move(terms));
  }

 private:
  Encoded upwards(const Json& node) {
    Encoded encoded;
    std::vector<State>& children = encoded.branches_up;
    for (const Json& branch : branches_of(node)) {
      encoded.below.push_back(upwards(node_of(branch)));
      children.push_back(along("up", branch, encoded.below.back().up));
    }
    const Input x = {"x", embedding("node " + kind(node))};
    const std::string unit = "up " + unit_of(node);
    const std::vector<Input> read = siblings(unit_of(node), children, children.size());
    std::vector<std::pair<Id, Id>> kept;  // f_k, c_k
    for (std::size_t k = 0; k < children.size(); ++k) {
      std::vector<Input> inputs = {x};
      if (unit_of(node) == "add") {
        inputs.push_back({"child", children[k].output});
      } else {
        inputs.insert(inputs.end(), read.begin(), read.end());
      }
      kept.emplace_back(tape_.sigmoid(affine(unit + forget(node, k), inputs)), children[k].cell);
    }
    encoded.up = unit_state(unit, x, read, kept);
    return encoded;
  }

  void downwards(const Json& node, Encoded& encoded, const State& state) {
    encoded.down = state;
    const Json& branches = branches_of(node);
    if (branches.empty()) return;
    const Input x = {"x", embedding("node " + kind(node))}, parent = {"parent", state.output};
    const std::string unit = "down " + unit_of(node);
    const std::vector<State>& children = encoded.branches_up;
    const Id shared = affine(unit + " f", {x});
    const auto forgets = [&](const std::string& name, const std::vector<Input>& inputs) {
      return tape_.sigmoid(tape_.sum({shared, linear(name, inputs)}));
    };
    for (std::size_t own = 0; own < children.size(); ++own) {
      std::vector<Input> read = siblings(unit_of(node), children, own);
      read.push_back(parent);
      std::vector<std::pair<Id, Id>> kept = {{forgets(unit + " f parent", read), state.cell}};
      for (std::size_t k = 0; k < children.size(); ++k) {
        if (k == own) continue;
        const std::vector<Input> sibling = {parent, {"child", children[k].output}};
        kept.emplace_back(forgets(unit + forget(node, k) + " sibling", unit_of(node) == "add" ? sibling : read),
                          children[k].cell);
      }
      const State allocated = unit_state(unit, x, read, kept);
      downwards(node_of(branches[own]), encoded.below[own], along("down", branches[own], allocated));
    }
  }

  // i, o = sigmoid(..), u = tanh(..), c = i u + sum_k f_k c_k, h = o tanh(c)
  State unit_state(const std::string& unit, const Input& x, std::vector<Input> read,
                   const std::vector<std::pair<Id, Id>>& kept) {
    read.push_back(x);
    const Id i = tape_.sigmoid(affine(unit + " i", read)), o = tape_.sigmoid(affine(unit + " o", read));
    std::vector<Id> terms = {tape_.product(i, tape_.tanh(affine(unit + " u", read)))};
    for (const auto& [f, c] : kept) terms.push_back(tape_.product(f, c));
    const Id cell = tape_.sum(std::move(terms));
    return {tape_.product(o, tape_.tanh(cell)), cell};
  }

  // The ordinary LSTM, which reads a branch's operation.
  State along(const std::string& direction, const Json& branch, const State& before) {
    const Input x = {"x", embedding("branch " + branch.at("operation").get<std::string>())}, h = {"h", before.output};
    const std::string unit = direction + " branch";
    return unit_state(unit, x, {h}, {{tape_.sigmoid(affine(unit + " f", {x, h})), before.cell}});
  }

  // The states of all children but one: summed up, or each in its slot.
  std::vector<Input> siblings(const std::string& unit, const std::vector<State>& children, std::size_t but) {
    std::vector<Input> slots;
    std::vector<Id> outputs;
    for (std::size_t k = 0; k < children.size(); ++k) {
      if (k == but) continue;
      slots.push_back({"slot " + std::to_string(k), children[k].output});
      outputs.push_back(children[k].output);
    }
    if (unit == "concat" || outputs.empty()) return slots;
    return {{"sum", tape_.sum(std::move(outputs))}};
  }

  static std::string kind(const Json& node) {
    const std::size_t count = branches_of(node).size();
    return count == 0 ? "leaf" : count == 1 ? "none" : node.at("merge").get<std::string>();
  }
  static std::string unit_of(const Json& node) { return kind(node) == "concat" ? "concat" : "add"; }
  // Of an N-ary unit every child has weights of its own.
  static std::string forget(const Json& node, std::size_t child) {
    return unit_of(node) == "add" ? " f" : " f " + std::to_string(child);
  }

  Id zeros() { return tape_.zeros(sizes_.hidden); }
  Id embedding(const std::string& of) {
    constexpr double range = 0.1;  // encoder_net.py
    return tape_.parameter(weights_.uniform("embedding of " + of, sizes_.embedding, 1, range));
  }

  Weights& weights_;
  Tape& tape_;
  Sizes sizes_;
};

}  // namespace path_level_eas
