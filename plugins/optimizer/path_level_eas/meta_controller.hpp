// The meta-controller: it encodes a tree, and says of each decision that is to be taken there how likely its options
// are.
//
// Cai et al. 2018b, section 3.3. One actor for each kind of decision, a multilayer perceptron with a hidden layer over
// what the encoder knows of the place from both directions.
#pragma once

#include <Eigen/Core>
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "tape.hpp"
#include "tree_lstm.hpp"
#include "weft/controllers/ascent.hpp"
#include "weft/json.hpp"
#include "weft/rng.hpp"
#include "weights.hpp"

namespace path_level_eas {

// Of the node there, or of the branch that ends there.
struct Choice {
  enum class Kind { set_merge_type, replace_identity, insert_node, set_branches };

  Kind kind;
  Json tree;                            // as it was
  std::vector<std::size_t> place = {};  // branch by branch from the root, counted from 0
  std::vector<std::string> options = {};
  std::size_t taken = 0;
};

class MetaController {
 public:
  struct Options {
    TreeLstm::Sizes sizes;
    Eigen::Index actor_units;
    double lr;
    double entropy_weight;
    double gradient_clip;  // largest norm; 0: off
  };

  MetaController(const Options& options, const weft::Rng& rng)
      : options_(options), weights_(rng), ascent_(weft::controllers::Ascent::Rule::adam, options.lr) {}

  Vector log_probabilities(const Choice& choice) {
    Tape tape(weights_.parameters);
    return log_softmax(tape[logits(tape, choice)]);
  }

  // Adds to the gradient that of  slope * log P(taken) + entropy_weight * H.
  void accumulate(const Choice& choice, double slope) {
    Tape tape(weights_.parameters);
    const Tape::Id last = logits(tape, choice);
    const Vector log_probabilities = log_softmax(tape[last]);
    const Vector probabilities = log_probabilities.array().exp().matrix();
    const double entropy = -probabilities.dot(log_probabilities);
    Vector gradient = -slope * probabilities;
    gradient[static_cast<Eigen::Index>(choice.taken)] += slope;
    gradient.array() -= options_.entropy_weight * probabilities.array() * (log_probabilities.array() + entropy);
    tape.backward(weights_.parameters, last, gradient);
  }

  // Climbs along the accumulated gradient of `count` networks, and clears it.
  void step(std::size_t count) {
    weft::controllers::Parameters& parameters = weights_.parameters;
    const Eigen::Map<const Vector> all(parameters.gradient().data(),
                                       static_cast<Eigen::Index>(parameters.gradient().size()));
    double scale = 1.0 / static_cast<double>(count);
    const double norm = scale * all.norm();
    if (options_.gradient_clip > 0.0 && norm > options_.gradient_clip) scale *= options_.gradient_clip / norm;
    ascent_.step(parameters, scale);
  }

  weft::controllers::Parameters& parameters() { return weights_.parameters; }

 private:
  Tape::Id logits(Tape& tape, const Choice& choice) {
    TreeLstm encoder(weights_, tape, options_.sizes);
    const TreeLstm::Encoded root = encoder.encode(choice.tree);
    const TreeLstm::Encoded* node = &root;
    TreeLstm::State up = root.up;
    for (const std::size_t branch : choice.place) {
      up = choice.kind == Choice::Kind::replace_identity ? node->branches_up[branch] : node->below[branch].up;
      node = &node->below[branch];
    }
    const Tape::Id known = tape.concatenation({up.output, node->down.output});
    const std::string actor = "actor " + std::to_string(static_cast<int>(choice.kind));
    const Tape::Id hidden = tape.relu(layer(tape, actor, options_.actor_units, known));
    std::vector<Tape::Id> all;
    for (const std::string& option : choice.options) all.push_back(layer(tape, actor + " " + option, 1, hidden));
    return tape.concatenation(std::move(all));
  }

  // Weights as PyTorch begins linear layers, biases of zero (the authors' init_linear_seq).
  Tape::Id layer(Tape& tape, const std::string& name, Eigen::Index outputs, Tape::Id input) {
    const Eigen::Index inputs = tape[input].size();
    const double range = 1.0 / std::sqrt(static_cast<double>(inputs));
    const Tape::Id product = tape.product(weights_.uniform(name, outputs, inputs, range), input);
    return tape.sum({product, tape.parameter(weights_.uniform(name + " bias", outputs, 1, 0.0))});
  }

  static Vector log_softmax(const Vector& logits) {
    const double largest = logits.maxCoeff();
    return (logits.array() - (largest + std::log((logits.array() - largest).exp().sum()))).matrix();
  }

  Options options_;
  Weights weights_;
  weft::controllers::Ascent ascent_;
};

}  // namespace path_level_eas
