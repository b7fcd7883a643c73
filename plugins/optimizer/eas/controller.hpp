// The meta-controller: given a network, its wider actor decides which layers become wider, its deeper actor where a
// layer is inserted.
//
// Cai et al. 2018, "Efficient Architecture Search by Network Transformation", section 3; sizes and masks are those of
// the authors' code (han-cai/EAS, meta_controller). Both actors read the same encoder (encoder.hpp).
//
// - Wider: of each layer, with o the encoder's output there, P(widen) = sigmoid(w o + b), the same w and b everywhere.
// - Deeper: an LSTM that begins in the encoder's state decides the block, then the layer within the block, then, if
// that
//   is a convolution, the kernel of the one inserted behind it; each decision reads an embedding of the one before.
//
// What is not possible has probability 0, and the rest that of the softmax, divided by its sum. All numbers are
// float64.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "encoder.hpp"
#include "weft/controllers/ascent.hpp"
#include "weft/controllers/lstm.hpp"
#include "weft/controllers/parameters.hpp"
#include "weft/rng.hpp"

namespace eas {

// A decision of the wider actor on every layer at once.
struct Widening {
  std::vector<std::string> tokens;  // of the layers
  std::vector<bool> possible;       // by layer
  std::vector<bool> taken = {};
};

// The decisions of the deeper actor, one after the other.
struct Deepening {
  std::vector<std::string> tokens;
  std::vector<std::vector<bool>> convolutions;  // by block and layer within it: whether it is one
  std::vector<std::size_t> taken = {};          // block, layer within the block, kernel

  std::size_t block() const { return taken.at(0); }
  std::size_t layer() const { return taken.at(1); }
  bool behind_convolution() const { return convolutions[block()][layer()]; }
  std::size_t kernel() const { return taken.at(2); }
  bool decided() const { return taken.size() >= 2 && taken.size() == (behind_convolution() ? 3U : 2U); }
};

using Step = std::variant<Widening, Deepening>;

// What the present parameters say of a step.
struct Evaluation {
  double log_probability = 0.0;  // of what was taken
  double entropy = 0.0;          // mean over its decisions
};

namespace detail {

inline double sigmoid(double logit) { return 1.0 / (1.0 + std::exp(-logit)); }
inline double log_sigmoid(double logit) { return std::min(logit, 0.0) - std::log1p(std::exp(-std::abs(logit))); }

// -infinity where it is not possible.
inline Vector log_softmax(const Vector& logits, const std::vector<bool>& possible) {
  double largest = -std::numeric_limits<double>::infinity(), sum = 0.0;
  for (Eigen::Index i = 0; i < logits.size(); ++i) {
    if (possible[static_cast<std::size_t>(i)]) largest = std::max(largest, logits[i]);
  }
  for (Eigen::Index i = 0; i < logits.size(); ++i) {
    if (possible[static_cast<std::size_t>(i)]) sum += std::exp(logits[i] - largest);
  }
  Vector result = Vector::Constant(logits.size(), -std::numeric_limits<double>::infinity());
  for (Eigen::Index i = 0; i < logits.size(); ++i) {
    if (possible[static_cast<std::size_t>(i)]) result[i] = logits[i] - largest - std::log(sum);
  }
  return result;
}

inline double entropy(const Vector& log_probabilities) {
  double sum = 0.0;
  for (const double one : log_probabilities) {
    if (std::isfinite(one)) sum -= std::exp(one) * one;
  }
  return sum;
}

}  // namespace detail

class Controller {
 public:
  struct Options {
    Eigen::Index embedding;
    Eigen::Index units;        // of each direction of the encoder; at least `embedding`
    std::size_t blocks;        // of every network
    std::size_t block_layers;  // no deeper within a block is anything inserted
    std::size_t kernels;
    double lr;
  };

  Controller(const Options& options, const Rng& rng)
      : options_(options),
        encoder_(parameters_, options.embedding, options.units, rng.derive("encoder")),
        wider_weights_(parameters_.add(1, width(), glorot_range(width(), 1), rng.derive("wider weights"))),
        wider_bias_(parameters_.add(1, 1, 0.0, rng.derive("wider bias"))),
        decoder_(narrow_lstm(parameters_, options.embedding, width(), rng.derive("decoder"))),
        ascent_(weft::controllers::Ascent::Rule::adam, options.lr) {
    const std::array<std::size_t, decisions> counts = {options.blocks, options.block_layers, options.kernels};
    for (std::size_t i = 0; i < decisions; ++i)
      deeper_[i] = head(i == 0 ? 1 : counts[i - 1], counts[i], rng.derive("deeper", i));
  }

  Widening widen(std::vector<std::string> tokens, std::vector<bool> possible, Rng& rng) {
    Widening step{std::move(tokens), std::move(possible)};
    encoder_.meet(parameters_, step.tokens);
    const Encoder::Encoding encoding = encoder_.encode(parameters_, step.tokens);
    for (std::size_t layer = 0; layer < step.tokens.size(); ++layer)
      step.taken.push_back(step.possible[layer] && rng.bernoulli(detail::sigmoid(wider_logit(encoding, layer))));
    return step;
  }

  // At least one block has a layer.
  Deepening deepen(std::vector<std::string> tokens, std::vector<std::vector<bool>> convolutions, Rng& rng) {
    Deepening step{std::move(tokens), std::move(convolutions)};
    encoder_.meet(parameters_, step.tokens);
    Decoding decoding = begin(step);
    while (!step.decided()) {
      extend(decoding, step);
      std::vector<double> probabilities;
      for (const double log_probability : decoding.log_probabilities.back())
        probabilities.push_back(std::isfinite(log_probability) ? std::exp(log_probability) : 0.0);
      step.taken.push_back(rng.weighted(probabilities));
    }
    return step;
  }

  // Of steps that this controller has sampled.
  Evaluation evaluate(const Step& step) const {
    return std::visit([this](const auto& kind) { return evaluation(kind); }, step);
  }
  // Adds the gradient of  advantage * log_probability + entropy_weight * entropy.
  void accumulate(const Step& step, double advantage, double entropy_weight) {
    std::visit([&](const auto& kind) { add_gradient(kind, advantage, entropy_weight); }, step);
  }
  // Moves along what was accumulated.
  void step() { ascent_.step(parameters_, 1.0); }

  Parameters& parameters() { return parameters_; }

 private:
  static constexpr std::size_t decisions = 3;

  // Of a decision of the deeper actor.
  struct Head {
    Block embeddings;     // embedding x options of the decision before, or 1
    Block weights, bias;  // options x width, options
  };
  // The deeper actor unrolled over the decisions of a step.
  struct Decoding {
    Encoder::Encoding encoding;
    Lstm::Step state;  // where the decoder begins
    std::vector<Lstm::Step> steps = {};
    std::vector<Vector> log_probabilities = {};

    const Lstm::Step* before(std::size_t decision) const { return decision == 0 ? &state : &steps[decision - 1]; }
  };

  Eigen::Index width() const { return 2 * options_.units; }

  Head head(std::size_t before, std::size_t options, const Rng& rng) {
    const auto count = static_cast<Eigen::Index>(options);
    Head head;
    head.embeddings = parameters_.add(options_.embedding, static_cast<Eigen::Index>(before), embedding_range,
                                      rng.derive("embeddings"));
    head.weights = parameters_.add(count, width(), glorot_range(width(), count), rng.derive("weights"));
    head.bias = parameters_.add(count, 1, 0.0, rng.derive("bias"));
    return head;
  }

  // ---- the wider actor

  double wider_logit(const Encoder::Encoding& encoding, std::size_t layer) const {
    return (parameters_[wider_weights_] * encoding.output(layer))(0, 0) + parameters_[wider_bias_](0, 0);
  }

  static double decisions_of(const Widening& step) {
    return static_cast<double>(std::count(step.possible.begin(), step.possible.end(), true));
  }

  Evaluation evaluation(const Widening& step) const {
    const Encoder::Encoding encoding = encoder_.encode(parameters_, step.tokens);
    Evaluation found;
    for (std::size_t layer = 0; layer < step.tokens.size(); ++layer) {
      if (!step.possible[layer]) continue;
      const double logit = wider_logit(encoding, layer), probability = detail::sigmoid(logit);
      found.log_probability += detail::log_sigmoid(step.taken[layer] ? logit : -logit);
      found.entropy -= (probability * detail::log_sigmoid(logit) + (1.0 - probability) * detail::log_sigmoid(-logit)) /
                       decisions_of(step);
    }
    return found;
  }

  // With p = sigmoid(l):  d log p_taken / dl = [taken] - p,  dH / dl = -l p (1 - p).
  void add_gradient(const Widening& step, double advantage, double entropy_weight) {
    const Encoder::Encoding encoding = encoder_.encode(parameters_, step.tokens);
    std::vector<Vector> outputs(step.tokens.size(), Vector::Zero(width()));
    for (std::size_t layer = 0; layer < step.tokens.size(); ++layer) {
      if (!step.possible[layer]) continue;
      const double logit = wider_logit(encoding, layer), probability = detail::sigmoid(logit);
      const double gradient = advantage * ((step.taken[layer] ? 1.0 : 0.0) - probability) -
                              entropy_weight / decisions_of(step) * logit * probability * (1.0 - probability);
      parameters_.gradient(wider_weights_) += gradient * encoding.output(layer).transpose();
      parameters_.gradient(wider_bias_)(0, 0) += gradient;
      outputs[layer] = gradient * parameters_[wider_weights_].transpose();
    }
    encoder_.backward(parameters_, step.tokens, encoding, outputs, {});
  }

  // ---- the deeper actor

  std::vector<bool> possible(const Deepening& step, std::size_t decision) const {
    std::vector<bool> possible(static_cast<std::size_t>(deeper_[decision].weights.rows), true);
    for (std::size_t option = 0; option < possible.size(); ++option) {
      if (decision == 0) possible[option] = !step.convolutions[option].empty();
      if (decision == 1) possible[option] = option < step.convolutions[step.block()].size();
    }
    return possible;
  }

  Decoding begin(const Deepening& step) const {
    Decoding decoding{.encoding = encoder_.encode(parameters_, step.tokens), .state = {}};
    decoding.state = decoding.encoding.state();
    decoding.steps.reserve(decisions);
    return decoding;
  }

  static Eigen::Index read_by(const Deepening& step, std::size_t decision) {
    return decision == 0 ? 0 : static_cast<Eigen::Index>(step.taken[decision - 1]);
  }

  // By the next decision; what was taken before it must be known.
  void extend(Decoding& decoding, const Deepening& step) const {
    const std::size_t decision = decoding.steps.size();
    const Head& head = deeper_[decision];
    const Vector read = parameters_[head.embeddings].col(read_by(step, decision));
    decoding.steps.push_back(
        decoder_.forward(parameters_, followed_by_zeros(read, width()), decoding.before(decision)));
    const Vector logits = parameters_[head.weights] * decoding.steps.back().output() + Vector(parameters_[head.bias]);
    decoding.log_probabilities.push_back(detail::log_softmax(logits, possible(step, decision)));
  }

  Decoding decode(const Deepening& step) const {
    Decoding decoding = begin(step);
    while (decoding.steps.size() < step.taken.size()) extend(decoding, step);
    return decoding;
  }

  Evaluation evaluation(const Deepening& step) const {
    const Decoding decoding = decode(step);
    Evaluation found;
    for (std::size_t decision = 0; decision < step.taken.size(); ++decision) {
      const Vector& log_probabilities = decoding.log_probabilities[decision];
      found.log_probability += log_probabilities[static_cast<Eigen::Index>(step.taken[decision])];
      found.entropy += detail::entropy(log_probabilities) / static_cast<double>(step.taken.size());
    }
    return found;
  }

  // With p the probabilities, l the logits and H the entropy:
  //   d log p_taken / dl_j = [j = taken] - p_j,  dH / dl_j = -p_j (log p_j + H)
  static Vector logit_gradient(const Vector& log_probabilities, std::size_t taken, double advantage,
                               double entropy_weight) {
    const double entropy = detail::entropy(log_probabilities);
    Vector gradient = Vector::Zero(log_probabilities.size());
    for (Eigen::Index i = 0; i < gradient.size(); ++i) {
      if (!std::isfinite(log_probabilities[i])) continue;
      const double probability = std::exp(log_probabilities[i]);
      const double is_taken = static_cast<std::size_t>(i) == taken ? 1.0 : 0.0;
      gradient[i] =
          advantage * (is_taken - probability) - entropy_weight * probability * (log_probabilities[i] + entropy);
    }
    return gradient;
  }

  void add_gradient(const Deepening& step, double advantage, double entropy_weight) {
    const Decoding decoding = decode(step);
    Lstm::Carry carry = decoder_.no_carry();
    for (std::size_t decision = step.taken.size(); decision-- > 0;) {
      const Head& head = deeper_[decision];
      const Vector logits = logit_gradient(decoding.log_probabilities[decision], step.taken[decision], advantage,
                                           entropy_weight / static_cast<double>(step.taken.size()));
      parameters_.gradient(head.weights).noalias() += logits * decoding.steps[decision].output().transpose();
      parameters_.gradient(head.bias) += logits;
      const Vector read = decoder_.backward(parameters_, decoding.steps[decision], decoding.before(decision),
                                            parameters_[head.weights].transpose() * logits, carry);
      parameters_.gradient(head.embeddings).col(read_by(step, decision)) += read.head(options_.embedding);
    }
    encoder_.backward(parameters_, step.tokens, decoding.encoding, {}, carry);
  }

  Options options_;
  Parameters parameters_;
  Encoder encoder_;
  Block wider_weights_, wider_bias_;
  Lstm decoder_;
  std::array<Head, decisions> deeper_;
  weft::controllers::Ascent ascent_;
};

}  // namespace eas
