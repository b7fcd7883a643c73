// A policy over the decisions of any space: an LSTM that is told each option taken and says how likely the next are.
//
// Zoph, Le 2017, "Neural Architecture Search with Reinforcement Learning", section 3; the feedback of anchors, the
// temperature, the tanh of logits and a prior for near steps are those of Pham et al. 2018, "Efficient Neural
// Architecture Search via Parameter Sharing", as in the authors' published code. sample() an episode, accumulate() the
// gradient of as many as a batch has, step().
//
// - Options of one `group` share their embedding and their softmax weights by text, so that a space may offer different
//   ones each time; an option gets its parameters when it is first met, from a random stream of its own name.
// - A `reference` is decided by attention: with h the controller's state and h_j that at the anchor of the step which
//   option j names, its logit is v tanh(W_prev (h_j + e_j) + W_curr h). An anchor is the first state that has read the
//   whole step. e_j, the option's embedding, is ours: it tells apart options that name no step, such as a cell's
//   inputs.
// - A reference with the options "none" and one more is a skip: it connects to the step that the latter names with
//   probability sigmoid(v tanh(..)). Skips in a row are independent of each other, as the paper's N - 1 sigmoids of one
//   anchor point: the LSTM does not move between them.
// - What the LSTM reads next: the embedding of the option taken; of a reference h_j + e_j; of skips the sum of those
//   connected over one more than their number.
//
// All numbers are float64. Not thread-safe.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weft/controllers/ascent.hpp"
#include "weft/controllers/lstm.hpp"
#include "weft/controllers/parameters.hpp"
#include "weft/decision.hpp"
#include "weft/error.hpp"
#include "weft/genotype.hpp"
#include "weft/json.hpp"
#include "weft/rng.hpp"
#include "weft/space.hpp"

namespace weft::controllers {

// A decision as the policy sees it, and what was decided.
struct Choice {
  enum class Kind { softmax, attention, skip };

  Kind kind = Kind::softmax;
  std::size_t group = 0;
  std::vector<std::size_t> options = {};  // the policy's numbers of the options
  std::vector<int> named = {};            // of attention and skip: the step that each option names, -1 for none
  int step = 0;                           // counted from 0 within the episode
  bool moves = true;                      // whether the LSTM takes a step before it
  std::size_t taken = 0;
  double log_probability = 0.0;  // of the option taken, when it was sampled
};

struct Episode {
  std::vector<Choice> choices;

  Genotype genotype() const {
    Genotype genotype;
    for (const Choice& choice : choices) genotype.decisions.push_back(static_cast<std::int32_t>(choice.taken));
    return genotype;
  }
};

inline constexpr std::string_view nothing = "none";  // the option of a reference that names no step

inline bool is_skip(const Decision& decision) {
  return decision.kind == Decision::Kind::reference && decision.options.size() == 2 &&
         decision.options.front() == nothing;
}

// Guesses which step each option of a reference names, where the space does not say (Decision::named_steps), as none of
// release 1.0 does. Spaces write options their own way ("2" may be the second step, or the first after two inputs), so
// this goes by when a text first appears: an option that is new to its group
// names a step that ended since, the last option the last step. Options that are gone when a step begins are
// forgotten, as a new cell counts its nodes from the beginning; but for skips, each of which offers a single one.
class GuessedSteps {
 public:
  // `step` counts the steps that have ended.
  std::vector<int> of(const Decision& decision, int step) {
    Group& group = groups_[decision.group];
    if (group.step != step && !is_skip(decision)) {
      std::erase_if(group.known, [&](const auto& known) {
        return std::find(decision.options.begin(), decision.options.end(), known.first) == decision.options.end();
      });
    }
    group.step = step;
    group.known.try_emplace(std::string(nothing), -1);
    const auto is_new = [&](const std::string& option) { return !group.known.contains(option); };
    int candidate = step - static_cast<int>(std::count_if(decision.options.begin(), decision.options.end(), is_new));
    std::vector<int> named;
    for (const std::string& option : decision.options) {
      if (is_new(option)) group.known[option] = std::max(candidate++, -1);
      named.push_back(group.known[option]);
    }
    return named;
  }

 private:
  struct Group {
    int step = -1;                     // of its last decision
    std::map<std::string, int> known;  // option -> the step it names, or -1
  };
  std::map<std::string, Group> groups_;
};

class Policy {
 public:
  struct Options {
    int layers;
    int units;
    double initial_range;         // parameters begin uniformly within plus or minus this
    double temperature = 1.0;     // logits are divided by it
    double tanh_constant = 0.0;   // C: logits are then squashed to C tanh(logit); 0 leaves them
    double tanh_reduction = 1.0;  // what C is divided by for decisions that are no references
    double entropy_weight = 0.0;
    double skip_weight = 0.0;  // of the mean divergence of the skips' probabilities from skip_rate
    double skip_rate = 0.5;
    // Of the square of how many steps back an option of a reference lies, which is taken from its logit; one that names
    // no step lies before the first. Skips have none.
    double distance_weight = 0.0;
    Ascent::Rule rule = Ascent::Rule::adam;
    double lr;

    // From the members of these names; the rule is "update_rule".
    static Options from_json(const Json& json) {
      return {.layers = json.at("layers"),
              .units = json.at("units"),
              .initial_range = json.at("initial_range"),
              .temperature = json.at("temperature"),
              .tanh_constant = json.at("tanh_constant"),
              .tanh_reduction = json.at("tanh_reduction"),
              .entropy_weight = json.at("entropy_weight"),
              .skip_weight = json.at("skip_weight"),
              .skip_rate = json.at("skip_rate"),
              .rule = json.at("update_rule") == "sgd" ? Ascent::Rule::sgd : Ascent::Rule::adam,
              .lr = json.at("lr")};
    }
  };

  // What the present parameters say of an episode.
  struct Evaluation {
    std::vector<double> log_probabilities;  // of the options taken, choice by choice
    double entropy = 0.0;                   // summed over the choices
    double skip_divergence = 0.0;           // mean over the skips of KL(p, skip_rate)

    double log_probability() const {
      double sum = 0.0;
      for (const double one : log_probabilities) sum += one;
      return sum;
    }
  };

  // d objective / d log probability of the option taken at a choice, given its number and that log probability.
  using Slope = std::function<double(std::size_t, double)>;

  Policy(const Options& options, const Rng& rng)
      : options_(options),
        rng_(rng),
        lstm_(parameters_, options.layers, options.units, options.initial_range, rng),
        start_(parameters_.add(options.units, 1, options.initial_range, rng.derive("start"))),
        ascent_(options.rule, options.lr) {}

  // Decides until nothing is left to decide.
  Episode sample(const Decisions& space, Rng& rng);
  Evaluation evaluate(const Episode& episode) const;
  // Adds the gradient of  sum over choices of the objective + entropy_weight entropy - skip_weight skip_divergence.
  Evaluation accumulate(const Episode& episode, const Slope& slope);
  // Moves along the mean gradient of the episodes accumulated.
  void step() {
    ascent_.step(parameters_, 1.0 / static_cast<double>(accumulated_));
    accumulated_ = 0;
  }

  Parameters& parameters() { return parameters_; }

 private:
  struct Group {
    std::string name;
    std::map<std::string, std::size_t> options;
    Block previous, current, v;  // of references: W_prev, W_curr, v
  };
  struct Option {
    Block embedding;
    Block weights, bias;  // of the softmax, but for references
  };
  class Reader;
  class Unrolled;

  Block add(Eigen::Index rows, Eigen::Index columns, const std::string& name) {
    return parameters_.add(rows, columns, options_.initial_range, rng_.derive(name));
  }
  std::size_t group(const Decision& decision);
  std::size_t option(std::size_t group, const std::string& text, bool reference);
  Evaluation evaluation(const Episode& episode, const Unrolled& unrolled) const;
  Vector logit_gradient(const Choice& choice, const Vector& log_probabilities, double slope, double skips) const;

  Options options_;
  Rng rng_;
  Parameters parameters_;
  Lstm lstm_;
  Block start_;  // what the LSTM reads first
  Ascent ascent_;
  std::size_t accumulated_ = 0;
  std::map<std::pair<std::string, bool>, std::size_t> group_numbers_;  // by name and whether they are references
  std::vector<Group> groups_;
  std::vector<Option> option_parameters_;
};

// ---- implementation: decisions become choices ----------------------------------------------------------------

inline std::size_t Policy::group(const Decision& decision) {
  const bool reference = decision.kind == Decision::Kind::reference;
  const auto [at, is_new] = group_numbers_.try_emplace({decision.group, reference}, groups_.size());
  if (!is_new) return at->second;
  Group group{.name = (reference ? "reference " : "decision ") + decision.group};
  if (reference) {
    group.previous = add(options_.units, options_.units, group.name + " W_prev");
    group.current = add(options_.units, options_.units, group.name + " W_curr");
    group.v = add(options_.units, 1, group.name + " v");
  }
  groups_.push_back(std::move(group));
  return at->second;
}

inline std::size_t Policy::option(std::size_t group, const std::string& text, bool reference) {
  const auto [at, is_new] = groups_[group].options.try_emplace(text, option_parameters_.size());
  if (!is_new) return at->second;
  const std::string name = groups_[group].name + " option " + text;
  Option option{.embedding = add(options_.units, 1, name + " embedding")};
  if (!reference) {
    option.weights = add(options_.units, 1, name + " weights");
    option.bias = add(1, 1, name + " bias");
  }
  option_parameters_.push_back(option);
  return at->second;
}

// Follows one sequence of decisions.
class Policy::Reader {
 public:
  explicit Reader(Policy& policy) : policy_(policy) {}

  Choice read(const Decision& decision) {
    if (decision.options.empty()) throw InvalidInput("decision " + decision.name + " has no options");
    const bool step_begins = steps_.empty() || decision.step != steps_.back();
    if (step_begins) steps_.push_back(decision.step);
    const bool reference = decision.kind == Decision::Kind::reference;
    Choice choice{.group = policy_.group(decision), .step = static_cast<int>(steps_.size()) - 1};
    for (const std::string& option : decision.options) {
      choice.options.push_back(policy_.option(choice.group, option, reference));
    }
    if (reference) choice.named = named_by(decision);
    const bool skip = is_skip(decision);
    if (reference) choice.kind = skip ? Choice::Kind::skip : Choice::Kind::attention;
    choice.moves = step_begins || !skip || !after_skip_;
    after_skip_ = skip;
    return choice;
  }

 private:
  // As Choice::named. A step without decisions, such as pooling, is named by what was decided last before it.
  std::vector<int> named_by(const Decision& decision) {
    std::vector<int> named;
    for (const int step : decision.named_steps) {
      if (step < Decision::no_step || step >= decision.step)
        throw InvalidInput("decision " + decision.name + " of step " + std::to_string(decision.step) + " names step " +
                           std::to_string(step) + "; must be one before it, or " + std::to_string(Decision::no_step) +
                           " for none");
      named.push_back(static_cast<int>(std::upper_bound(steps_.begin(), steps_.end(), step) - steps_.begin()) - 1);
    }
    return named.empty() ? guessed_steps_.of(decision, static_cast<int>(steps_.size()) - 1) : named;
  }

  Policy& policy_;
  GuessedSteps guessed_steps_;
  std::vector<int> steps_;  // of the space, in the order of their beginning
  bool after_skip_ = false;
};

// ---- implementation: forward and backward pass -----------------------------------------------------------------

// The network unrolled over the choices of an episode. extend() by one choice at a time; what was taken there must be
// known when the next is.
class Policy::Unrolled {
 public:
  Unrolled(const Policy& policy, const Episode& episode) : policy_(policy), episode_(episode) {}

  const Vector& extend() {
    const Choice& choice = episode_.choices[outlooks_.size()];
    if (choice.moves) {
      steps_.push_back(policy_.lstm_.forward(policy_.parameters_, input(), steps_.empty() ? nullptr : &steps_.back()));
      first_choices_.push_back(outlooks_.size());
    }
    while (anchors_.size() < static_cast<std::size_t>(choice.step)) anchors_.push_back(steps_.size() - 1);
    outlooks_.push_back(look(choice));
    return outlooks_.back().log_probabilities;
  }

  const Vector& log_probabilities(std::size_t choice) const { return outlooks_[choice].log_probabilities; }

  // Adds to the gradient of `parameters`, which are the policy's, given that of the logits of each choice.
  void backward(Parameters& parameters, const std::vector<Vector>& logits) const {
    std::vector<Vector> outputs(steps_.size(), Vector::Zero(policy_.options_.units));
    Lstm::Carry carry = policy_.lstm_.no_carry();
    for (std::size_t at = steps_.size(); at-- > 0;) {
      for (const std::size_t choice : choices_of(at)) backward_look(parameters, choice, logits[choice], at, outputs);
      const Vector input =
          policy_.lstm_.backward(parameters, steps_[at], at > 0 ? &steps_[at - 1] : nullptr, outputs[at], carry);
      backward_input(parameters, at, input, outputs);
    }
  }

 private:
  // What the policy computed at a choice.
  struct Outlook {
    Matrix hidden;    // of references, units x attended options: tanh(W_prev (h_j + e_j) + W_curr h)
    Vector squashed;  // tanh(logits / temperature), where there is a tanh constant
    Vector log_probabilities;
  };

  auto values(Block block) const { return policy_.parameters_[block]; }
  const Option& parameters_of(const Choice& choice, std::size_t option) const {
    return policy_.option_parameters_[choice.options[option]];
  }

  // The choices that are made in the state after LSTM step `at`.
  std::vector<std::size_t> choices_of(std::size_t at) const {
    const std::size_t end = at + 1 < first_choices_.size() ? first_choices_[at + 1] : outlooks_.size();
    std::vector<std::size_t> choices;
    for (std::size_t i = first_choices_[at]; i < end; ++i) choices.push_back(i);
    return choices;
  }

  // h_j + e_j
  Vector anchor(const Choice& choice, std::size_t option) const {
    Vector anchor = values(parameters_of(choice, option).embedding);
    if (choice.named[option] >= 0) anchor += steps_[anchors_[static_cast<std::size_t>(choice.named[option])]].output();
    return anchor;
  }
  void backward_anchor(Parameters& parameters, const Choice& choice, std::size_t option, const Vector& gradient,
                       std::vector<Vector>& outputs) const {
    parameters.gradient(parameters_of(choice, option).embedding) += gradient;
    if (choice.named[option] >= 0) outputs[anchors_[static_cast<std::size_t>(choice.named[option])]] += gradient;
  }

  double tanh_constant(const Choice& choice) const {
    const Options& options = policy_.options_;
    return choice.kind == Choice::Kind::softmax ? options.tanh_constant / options.tanh_reduction
                                                : options.tanh_constant;
  }

  // Of a skip the logit of the first option is 0.
  static std::size_t first_attended(const Choice& choice) { return choice.kind == Choice::Kind::skip ? 1 : 0; }

  Outlook look(const Choice& choice) const {
    const Vector& h = steps_.back().output();
    Outlook outlook;
    Vector logits = Vector::Zero(static_cast<Eigen::Index>(choice.options.size()));
    if (choice.kind == Choice::Kind::softmax) {
      for (Eigen::Index i = 0; i < logits.size(); ++i) {
        const Option& option = parameters_of(choice, static_cast<std::size_t>(i));
        logits[i] = values(option.weights).col(0).dot(h) + values(option.bias)(0, 0);
      }
    } else {
      const auto first = static_cast<Eigen::Index>(first_attended(choice));
      const Group& group = policy_.groups_[choice.group];
      outlook.hidden = attend(choice, group, h);
      logits.tail(logits.size() - first).noalias() = outlook.hidden.transpose() * values(group.v);
    }
    logits /= policy_.options_.temperature;
    if (tanh_constant(choice) > 0.0) {
      outlook.squashed = logits.array().tanh().matrix();
      logits = tanh_constant(choice) * outlook.squashed;
    }
    if (choice.kind == Choice::Kind::attention) {
      for (Eigen::Index i = 0; i < logits.size(); ++i) {
        const double distance = choice.step - choice.named[static_cast<std::size_t>(i)];
        logits[i] -= policy_.options_.distance_weight * distance * distance;
      }
    }
    const double largest = logits.maxCoeff();
    outlook.log_probabilities =
        (logits.array() - (largest + std::log((logits.array() - largest).exp().sum()))).matrix();
    return outlook;
  }

  Matrix attended_anchors(const Choice& choice) const {
    const std::size_t first = first_attended(choice);
    Matrix anchors(policy_.options_.units, static_cast<Eigen::Index>(choice.options.size() - first));
    for (std::size_t i = first; i < choice.options.size(); ++i) {
      anchors.col(static_cast<Eigen::Index>(i - first)) = anchor(choice, i);
    }
    return anchors;
  }
  Matrix attend(const Choice& choice, const Group& group, const Vector& h) const {
    Matrix hidden = values(group.previous) * attended_anchors(choice);
    const Vector current = values(group.current) * h;
    hidden.colwise() += current;
    return hidden.array().tanh().matrix();
  }

  void backward_look(Parameters& parameters, std::size_t number, Vector logits, std::size_t at,
                     std::vector<Vector>& outputs) const {
    const Choice& choice = episode_.choices[number];
    const Outlook& outlook = outlooks_[number];
    if (tanh_constant(choice) > 0.0) {
      logits.array() *= tanh_constant(choice) * (1.0 - outlook.squashed.array().square());
    }
    logits /= policy_.options_.temperature;
    const Vector& h = steps_[at].output();
    if (choice.kind == Choice::Kind::softmax) {
      for (Eigen::Index i = 0; i < logits.size(); ++i) {
        const Option& option = parameters_of(choice, static_cast<std::size_t>(i));
        parameters.gradient(option.weights) += logits[i] * h;
        parameters.gradient(option.bias)(0, 0) += logits[i];
        outputs[at] += logits[i] * values(option.weights);
      }
      return;
    }
    const auto first = static_cast<Eigen::Index>(first_attended(choice));
    const Group& group = policy_.groups_[choice.group];
    const Vector weights = logits.tail(logits.size() - first);
    parameters.gradient(group.v) += outlook.hidden * weights;
    const Matrix sums =
        ((values(group.v) * weights.transpose()).array() * (1.0 - outlook.hidden.array().square())).matrix();
    parameters.gradient(group.previous).noalias() += sums * attended_anchors(choice).transpose();
    parameters.gradient(group.current).noalias() += sums.rowwise().sum() * h.transpose();
    outputs[at].noalias() += values(group.current).transpose() * sums.rowwise().sum();
    const Matrix anchors = values(group.previous).transpose() * sums;
    for (Eigen::Index i = 0; i < anchors.cols(); ++i) {
      backward_anchor(parameters, choice, static_cast<std::size_t>(first + i), anchors.col(i), outputs);
    }
  }

  // The choices that LSTM step `at` reads: those after the step before it, of skips those that connect.
  std::vector<std::size_t> read_by(std::size_t at) const {
    std::vector<std::size_t> choices = choices_of(at - 1);
    std::erase_if(choices, [&](std::size_t i) {
      return episode_.choices[i].kind == Choice::Kind::skip && episode_.choices[i].taken == 0;
    });
    return choices;
  }
  double read_scale(std::size_t at, std::size_t count) const {
    const bool skips = episode_.choices[first_choices_[at - 1]].kind == Choice::Kind::skip;
    return skips ? 1.0 / static_cast<double>(1 + count) : 1.0;
  }

  // What the LSTM step that is to come reads.
  Vector input() const {
    const std::size_t at = steps_.size();
    if (at == 0) return values(policy_.start_);
    const std::vector<std::size_t> read = read_by(at);
    Vector input = Vector::Zero(policy_.options_.units);
    for (const std::size_t i : read) {
      const Choice& choice = episode_.choices[i];
      if (choice.kind == Choice::Kind::softmax) {
        input += values(parameters_of(choice, choice.taken).embedding);
      } else {
        input += anchor(choice, choice.taken);
      }
    }
    return read_scale(at, read.size()) * input;
  }
  void backward_input(Parameters& parameters, std::size_t at, const Vector& input, std::vector<Vector>& outputs) const {
    if (at == 0) {
      parameters.gradient(policy_.start_) += input;
      return;
    }
    const std::vector<std::size_t> read = read_by(at);
    const Vector each = read_scale(at, read.size()) * input;
    for (const std::size_t i : read) {
      const Choice& choice = episode_.choices[i];
      if (choice.kind == Choice::Kind::softmax) {
        parameters.gradient(parameters_of(choice, choice.taken).embedding) += each;
      } else {
        backward_anchor(parameters, choice, choice.taken, each, outputs);
      }
    }
  }

  const Policy& policy_;
  const Episode& episode_;
  std::vector<Lstm::Step> steps_;
  std::vector<std::size_t> first_choices_;  // by LSTM step
  std::vector<std::size_t> anchors_;        // by step of the space: the LSTM step that has read all of it
  std::vector<Outlook> outlooks_;           // by choice
};

// ---- implementation: episodes -----------------------------------------------------------------------------------

inline Episode Policy::sample(const Decisions& space, Rng& rng) {
  Episode episode;
  Genotype genotype;
  Reader reader(*this);
  Unrolled unrolled(*this, episode);
  while (const std::optional<Decision> decision = space.next(genotype.decisions)) {
    episode.choices.push_back(reader.read(*decision));
    const Vector& log_probabilities = unrolled.extend();
    const Vector probabilities = log_probabilities.array().exp().matrix();
    Choice& choice = episode.choices.back();
    choice.taken = rng.weighted({probabilities.data(), static_cast<std::size_t>(probabilities.size())});
    choice.log_probability = log_probabilities[static_cast<Eigen::Index>(choice.taken)];
    genotype.decisions.push_back(static_cast<std::int32_t>(choice.taken));
  }
  return episode;
}

// KL(p, q) of the connection's probability p, whose logarithm and that of 1 - p are given.
inline double skip_divergence(const Vector& log_probabilities, double rate) {
  return std::exp(log_probabilities[1]) * (log_probabilities[1] - std::log(rate)) +
         std::exp(log_probabilities[0]) * (log_probabilities[0] - std::log(1.0 - rate));
}

inline double entropy(const Vector& log_probabilities) {
  return -(log_probabilities.array().exp() * log_probabilities.array()).sum();
}

inline std::size_t count_skips(const Episode& episode) {
  return static_cast<std::size_t>(
      std::count_if(episode.choices.begin(), episode.choices.end(),
                    [](const Choice& choice) { return choice.kind == Choice::Kind::skip; }));
}

inline Policy::Evaluation Policy::evaluation(const Episode& episode, const Unrolled& unrolled) const {
  Evaluation evaluation;
  const auto skips = static_cast<double>(count_skips(episode));
  for (std::size_t i = 0; i < episode.choices.size(); ++i) {
    const Vector& log_probabilities = unrolled.log_probabilities(i);
    const Choice& choice = episode.choices[i];
    evaluation.log_probabilities.push_back(log_probabilities[static_cast<Eigen::Index>(choice.taken)]);
    evaluation.entropy += entropy(log_probabilities);
    if (choice.kind == Choice::Kind::skip)
      evaluation.skip_divergence += skip_divergence(log_probabilities, options_.skip_rate) / skips;
  }
  return evaluation;
}

inline Policy::Evaluation Policy::evaluate(const Episode& episode) const {
  Unrolled unrolled(*this, episode);
  for (std::size_t i = 0; i < episode.choices.size(); ++i) unrolled.extend();
  return evaluation(episode, unrolled);
}

// With p the probabilities, l the logits and H the entropy:
//   d log p_taken / dl_j = [j = taken] - p_j,  dH / dl_j = -p_j (log p_j + H),  dKL / dl_j = p_j (log(p_j / q_j) - KL)
inline Vector Policy::logit_gradient(const Choice& choice, const Vector& log_probabilities, double slope,
                                     double skips) const {
  const Vector probabilities = log_probabilities.array().exp().matrix();
  Vector gradient = -slope * probabilities;
  gradient[static_cast<Eigen::Index>(choice.taken)] += slope;
  gradient.array() -=
      options_.entropy_weight * probabilities.array() * (log_probabilities.array() + entropy(log_probabilities));
  if (choice.kind == Choice::Kind::skip && options_.skip_weight > 0.0) {
    const double divergence = skip_divergence(log_probabilities, options_.skip_rate);
    const Vector target = (Vector(2) << std::log(1.0 - options_.skip_rate), std::log(options_.skip_rate)).finished();
    gradient.array() -= options_.skip_weight / skips * probabilities.array() *
                        (log_probabilities.array() - target.array() - divergence);
  }
  return gradient;
}

inline Policy::Evaluation Policy::accumulate(const Episode& episode, const Slope& slope) {
  Unrolled unrolled(*this, episode);
  std::vector<Vector> logits;
  const auto skips = static_cast<double>(count_skips(episode));
  for (std::size_t i = 0; i < episode.choices.size(); ++i) {
    const Choice& choice = episode.choices[i];
    const Vector& log_probabilities = unrolled.extend();
    const double taken = log_probabilities[static_cast<Eigen::Index>(choice.taken)];
    logits.push_back(logit_gradient(choice, log_probabilities, slope(i, taken), skips));
  }
  unrolled.backward(parameters_, logits);
  ++accumulated_;
  return evaluation(episode, unrolled);
}

}  // namespace weft::controllers
