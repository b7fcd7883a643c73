// The mathematics that policy-gradient controllers share: gradients against finite differences, probabilities that add
// up, pointers to steps, rewards and steps worked out by hand.

#include <algorithm>
#include <cmath>
#include <functional>
#include <initializer_list>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "weft/controllers/ascent.hpp"
#include "weft/controllers/children.hpp"
#include "weft/controllers/multilayer_perceptron.hpp"
#include "weft/controllers/policy.hpp"
#include "weft/controllers/reward.hpp"

using namespace weft;
using namespace weft::controllers;
using Kind = Decision::Kind;

namespace {

// Decisions of every kind: shared groups, options that are not always offered, pointers, skips alone and in a row.
class AllKinds final : public Decisions {
 public:
  std::optional<Decision> next(std::span<const std::int32_t> taken) const override {
    static const std::vector<Decision> decisions = {
        {"operation 1", "operation", Kind::categorical, {"a", "b", "c"}, 0},
        {"repeats", "number", Kind::ordinal, {"1", "2"}, 0},
        {"operation 2", "operation", Kind::categorical, {"a", "b", "c"}, 2},
        {"input 2", "input", Kind::reference, {"0", "1", "2"}, 2},
        {"skip 2 from 1", "skip", Kind::reference, {"none", "1"}, 2},
        {"operation 3", "operation", Kind::categorical, {"a", "c"}, 3},
        {"skip 3 from 1", "skip", Kind::reference, {"none", "1"}, 3},
        {"skip 3 from 2", "skip", Kind::reference, {"none", "2"}, 3},
        {"input 3", "input", Kind::reference, {"1", "2", "3"}, 3},
        {"only", "operation", Kind::categorical, {"b"}, 4},
    };
    if (taken.size() == decisions.size()) return {};
    return decisions[taken.size()];
  }
};

Policy::Options options() {
  return {.layers = 2,
          .units = 4,
          .initial_range = 0.6,
          .temperature = 1.7,
          .tanh_constant = 2.5,
          .tanh_reduction = 1.6,
          .entropy_weight = 0.3,
          .skip_weight = 0.8,
          .skip_rate = 0.4,
          .lr = 0.01};
}

// Calls `visit` with every genotype of a space whose decisions do not depend on each other.
void for_all(Episode episode, const std::function<void(const Episode&)>& visit, std::size_t at = 0) {
  if (at == episode.choices.size()) return visit(episode);
  for (std::size_t option = 0; option < episode.choices[at].options.size(); ++option) {
    episode.choices[at].taken = option;
    for_all(episode, visit, at + 1);
  }
}

// Decisions that do not depend on each other.
class Fixed final : public Decisions {
 public:
  explicit Fixed(std::vector<Decision> decisions) : decisions_(std::move(decisions)) {}
  std::optional<Decision> next(std::span<const std::int32_t> taken) const override {
    if (taken.size() == decisions_.size()) return {};
    return decisions_[taken.size()];
  }

 private:
  std::vector<Decision> decisions_;
};

// An LSTM of one unit whose parameters are all `weight`.
struct Unit {
  double weight;
  double cell = 0.0;
  double output = 0.0;

  void read(double input) {
    const double sum = weight * (input + output + 1.0);
    const double gate = 1.0 / (1.0 + std::exp(-sum));
    cell = gate * cell + gate * std::tanh(sum);
    output = gate * std::tanh(cell);
  }
};

TrialResult result(TrialId trial, double reward, TrialState state = TrialState::complete) {
  return {.trial = trial, .state = state, .reward = reward};
}

}  // namespace

TEST_CASE("a policy's gradient is that of finite differences, for every kind of decision") {
  Policy::Options chosen = options();
  SECTION("with everything") {}
  SECTION("with a prior for near steps") { chosen.distance_weight = 0.25; }
  SECTION("without temperature, constant, entropy and skip penalty, one layer") {
    chosen = {.layers = 1, .units = 3, .initial_range = 0.6, .lr = 0.01};
  }
  Policy policy(chosen, Rng(7));
  Rng rng(11);
  for (int i = 0; i < 3; ++i) {
    const Episode episode = policy.sample(AllKinds(), rng);
    // Another advantage at every choice.
    const auto weight = [](std::size_t choice) { return 0.7 - 0.2 * static_cast<double>(choice); };
    const auto objective = [&] {
      const Policy::Evaluation evaluation = policy.evaluate(episode);
      double sum = chosen.entropy_weight * evaluation.entropy - chosen.skip_weight * evaluation.skip_divergence;
      for (std::size_t t = 0; t < episode.choices.size(); ++t) sum += weight(t) * evaluation.log_probabilities[t];
      return sum;
    };
    std::fill(policy.parameters().gradient().begin(), policy.parameters().gradient().end(), 0.0);
    policy.accumulate(episode, [&](std::size_t choice, double) { return weight(choice); });
    const std::vector<double> gradient = policy.parameters().gradient();
    double largest = 0.0;
    double worst = 0.0;
    for (std::size_t p = 0; p < gradient.size(); ++p) {
      double& value = policy.parameters().values()[p];
      const double before = value;
      value = before + 1e-5;
      const double above = objective();
      value = before - 1e-5;
      const double below = objective();
      value = before;
      worst = std::max(worst, std::abs((above - below) / 2e-5 - gradient[p]));
      largest = std::max(largest, std::abs(gradient[p]));
    }
    INFO("episode " << episode.genotype().key() << ", largest component " << largest);
    CHECK(worst < 1e-8);
    CHECK(largest > 0.1);
  }
}

TEST_CASE("a policy's probabilities of all genotypes add up to 1, and are those it samples with") {
  Policy policy(options(), Rng(7));
  Rng rng(3);
  const Episode episode = policy.sample(AllKinds(), rng);
  double sampled = 0.0;
  for (const Choice& choice : episode.choices) sampled += choice.log_probability;
  CHECK(policy.evaluate(episode).log_probability() == Approx(sampled));
  double sum = 0.0;
  std::size_t count = 0;
  for_all(episode, [&](const Episode& one) {
    sum += std::exp(policy.evaluate(one).log_probability());
    ++count;
  });
  CHECK(count == 3 * 2 * 3 * 3 * 2 * 2 * 2 * 2 * 3);
  CHECK(sum == Approx(1.0));
}

TEST_CASE("a policy samples each option as often as its probability says") {
  Policy::Options chosen = options();
  chosen.initial_range = 3.0;
  Policy policy(chosen, Rng(7));
  Rng rng(3);
  Episode episode = policy.sample(AllKinds(), rng);
  std::vector<double> share(3);
  for (int i = 0; i < 2000; ++i) share[policy.sample(AllKinds(), rng).choices[0].taken] += 1.0 / 2000;
  for (std::size_t option = 0; option < 3; ++option) {
    episode.choices[0].taken = option;
    // Four standard deviations, at the most.
    CHECK(std::abs(share[option] - std::exp(policy.evaluate(episode).log_probabilities[0])) < 4 * 0.5 / 44.7);
  }
}

// With one unit and all parameters w, embeddings too, the logit of an option is w tanh(w (h_j + w) + w h), where h is
// the LSTM's state and h_j the anchor of the step that the option names, or 0. A skip connects with the sigmoid of it.
TEST_CASE("attention, skips and what the LSTM reads of them, step by step by hand") {
  const double w = 0.8;
  const int none = Decision::no_step;
  const Fixed space({{"operation 0", "operation", Kind::categorical, {"a"}, 0},
                     {"width 0", "width", Kind::ordinal, {"8"}, 0},
                     {"skip 1 from 0", "skip", Kind::reference, {"none", "0"}, 1, {none, 0}},
                     {"skip 2 from 0", "skip", Kind::reference, {"none", "0"}, 2, {none, 0}},
                     {"skip 2 from 1", "skip", Kind::reference, {"none", "1"}, 2, {none, 1}},
                     {"input 2", "input", Kind::reference, {"none", "0", "1"}, 2, {none, 0, 1}},
                     {"second skip 2 from 1", "skip", Kind::reference, {"none", "1"}, 2, {none, 1}},
                     {"input 3", "input", Kind::reference, {"none", "1", "2"}, 3, {none, 1, 2}}});
  Policy policy({.layers = 1, .units = 1, .initial_range = 1.0, .lr = 0.01}, Rng(7));
  Rng rng(3);
  Episode episode = policy.sample(space, rng);
  std::fill(policy.parameters().values().begin(), policy.parameters().values().end(), w);
  const std::vector<std::size_t> taken = {0, 0, 1, 1, 0, 2, 0, 2};
  for (std::size_t i = 0; i < taken.size(); ++i) episode.choices[i].taken = taken[i];

  Unit lstm{w};
  const auto logit = [&](double anchor) { return w * std::tanh(w * (anchor + w) + w * lstm.output); };
  const auto connects = [&](double anchor) { return -std::log1p(std::exp(-logit(anchor))); };
  const auto does_not = [&](double anchor) { return -std::log1p(std::exp(logit(anchor))); };
  std::vector<double> expected = {0.0, 0.0};  // of one option each
  lstm.read(w);                               // the start
  lstm.read(w);                               // the operation
  lstm.read(w);                               // the width: step 0 is read
  const double anchor_0 = lstm.output;
  expected.push_back(connects(anchor_0));
  lstm.read((anchor_0 + w) / 2);  // one skip: step 1 is read
  const double anchor_1 = lstm.output;
  expected.push_back(connects(anchor_0));
  expected.push_back(does_not(anchor_1));
  lstm.read((anchor_0 + w) / 2);  // of two skips the one that connects
  const auto input = [&](double anchor, std::initializer_list<double> offered) {
    double sum = 0.0;
    for (const double other : offered) sum += std::exp(logit(other));
    return logit(anchor) - std::log(sum);
  };
  expected.push_back(input(anchor_1, {0.0, anchor_0, anchor_1}));
  lstm.read(anchor_1 + w);
  expected.push_back(does_not(anchor_1));
  lstm.read(0.0);  // a skip that does not connect: step 2 is read
  const double anchor_2 = lstm.output;
  expected.push_back(input(anchor_2, {0.0, anchor_1, anchor_2}));

  const std::vector<double> log_probabilities = policy.evaluate(episode).log_probabilities;
  REQUIRE(log_probabilities.size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    INFO("decision " << i);
    CHECK(log_probabilities[i] == Approx(expected[i]));
  }
}

// Parameters as large as these saturate tanh: every logit is C or -C, of a skip's "none" 0.
TEST_CASE("the tanh constant bounds logits, and is reduced for decisions that are no references") {
  // What is most between the logits of a decision's options, of several policies.
  std::vector<double> most(10);
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    Policy policy(
        {.layers = 1, .units = 8, .initial_range = 100.0, .tanh_constant = 2.5, .tanh_reduction = 2.0, .lr = 0.01},
        Rng(seed));
    Rng rng(3);
    Episode episode = policy.sample(AllKinds(), rng);
    for (std::size_t at = 0; at < episode.choices.size(); ++at) {
      std::set<double> of_options;
      for (std::size_t option = 0; option < episode.choices[at].options.size(); ++option) {
        episode.choices[at].taken = option;
        of_options.insert(policy.evaluate(episode).log_probabilities[at]);
      }
      most[at] = std::max(most[at], *of_options.rbegin() - *of_options.begin());
    }
  }
  CHECK(most[0] == Approx(2 * 2.5 / 2.0));
  CHECK(most[3] == Approx(2 * 2.5));
  CHECK(most[4] == Approx(2.5));
}

TEST_CASE("the distance weight takes its square from the logits of references, and of nothing else") {
  Policy::Options prior = options();
  prior.distance_weight = 0.25;
  Policy plain(options(), Rng(7)), weighted(prior, Rng(7));
  Rng rng(3), same(3);
  Episode episode = plain.sample(AllKinds(), rng);
  weighted.sample(AllKinds(), same);
  for (std::size_t at = 0; at < episode.choices.size(); ++at) {
    CAPTURE(at);
    const Choice choice = episode.choices[at];
    std::vector<double> expected;
    double sum = 0.0;
    for (std::size_t option = 0; option < choice.options.size(); ++option) {
      episode.choices[at].taken = option;
      double logit = plain.evaluate(episode).log_probabilities[at];
      if (choice.kind == Choice::Kind::attention) logit -= 0.25 * std::pow(choice.step - choice.named[option], 2);
      sum += std::exp(expected.emplace_back(logit));
    }
    for (std::size_t option = 0; option < choice.options.size(); ++option) {
      episode.choices[at].taken = option;
      CHECK(weighted.evaluate(episode).log_probabilities[at] == Approx(expected[option] - std::log(sum)).margin(1e-12));
    }
    episode.choices[at].taken = choice.taken;
  }
}

TEST_CASE("the divergence of skips is the mean of theirs") {
  Policy policy(options(), Rng(7));  // whose skip_rate is 0.4
  Rng rng(3);
  Episode episode = policy.sample(AllKinds(), rng);
  double sum = 0.0;
  for (const std::size_t skip : {4, 6, 7}) episode.choices[skip].taken = 1;
  const Policy::Evaluation evaluation = policy.evaluate(episode);
  for (const std::size_t skip : {4, 6, 7}) {
    const double p = std::exp(evaluation.log_probabilities[skip]);
    sum += p * std::log(p / 0.4) + (1 - p) * std::log((1 - p) / 0.6);
  }
  CHECK(evaluation.skip_divergence == Approx(sum / 3));
}

// Zoph & Le 2017, section 3.3: independent given the controller's state at the anchor point.
TEST_CASE("skips in a row do not depend on each other, what follows depends on both") {
  Policy policy(options(), Rng(7));
  Rng rng(3);
  Episode episode = policy.sample(AllKinds(), rng);
  const auto log_probability = [&](std::size_t skip2, std::size_t skip3, std::size_t at) {
    episode.choices[6].taken = skip2;
    episode.choices[7].taken = skip3;
    return policy.evaluate(episode).log_probabilities[at];
  };
  CHECK(log_probability(0, 1, 7) == log_probability(1, 1, 7));
  CHECK(log_probability(0, 1, 8) != log_probability(1, 1, 8));
  CHECK(log_probability(1, 0, 8) != log_probability(1, 1, 8));
}

// NASNet's first block: each input is one of two, and the second is chosen knowing the first.
TEST_CASE("a reference to one of two is no skip") {
  class TwoInputs final : public Decisions {
   public:
    std::optional<Decision> next(std::span<const std::int32_t> taken) const override {
      if (taken.size() == 2) return {};
      return Decision{"input " + std::to_string(taken.size()), "input", Kind::reference, {"0", "1"}, 0};
    }
  };
  Policy policy(options(), Rng(7));
  Rng rng(3);
  Episode episode = policy.sample(TwoInputs(), rng);
  const auto second_given = [&](std::size_t first) {
    episode.choices[0].taken = first;
    return policy.evaluate(episode).log_probabilities[1];
  };
  CHECK(second_given(0) != second_given(1));
  CHECK(policy.evaluate(episode).skip_divergence == 0.0);
}

TEST_CASE("a reference to several or none is no skip") {
  Policy policy(options(), Rng(7));
  Rng rng(3);
  const Fixed space({{"operation", "operation", Kind::categorical, {"a"}, 0},
                     {"input", "input", Kind::reference, {"none", "0", "1"}, 1}});
  CHECK(policy.sample(space, rng).choices[1].kind == Choice::Kind::attention);
}

TEST_CASE("options of a group share parameters by text, whatever their number in a decision") {
  Policy policy(options(), Rng(7));
  Rng rng(3);
  const std::vector<Choice> choices = policy.sample(AllKinds(), rng).choices;
  CHECK(choices[0].options == choices[2].options);
  CHECK(choices[5].options == std::vector<std::size_t>{choices[0].options[0], choices[0].options[2]});
  CHECK(choices[9].options.front() == choices[0].options[1]);
  CHECK(choices[1].group != choices[0].group);
}

TEST_CASE("a reference and another decision share nothing, whatever their group is called") {
  const Fixed space({{"width", "number", Kind::ordinal, {"0", "1"}, 0},  //
                     {"input", "number", Kind::reference, {"0", "1"}, 1}});
  Policy policy(options(), Rng(7));
  Rng rng(3);
  const std::vector<Choice> choices = policy.sample(space, rng).choices;
  CHECK(choices[0].group != choices[1].group);
  CHECK(choices[0].options != choices[1].options);
}

// Of a uniform distribution over [-r, r) the variance is r^2 / 3.
TEST_CASE("a policy's parameters begin uniformly within the range, each with a value of its own") {
  Policy::Options chosen = options();
  chosen.units = 16;
  Policy policy(chosen, Rng(7));
  Rng rng(3);
  policy.sample(AllKinds(), rng);
  const std::vector<double>& values = policy.parameters().values();
  CHECK(std::set(values.begin(), values.end()).size() == values.size());
  double mean = 0.0;
  double square = 0.0;
  for (const double value : values) {
    REQUIRE(std::abs(value) <= 0.6);
    mean += value / static_cast<double>(values.size());
    square += value * value / static_cast<double>(values.size());
  }
  REQUIRE(values.size() > 4000);
  CHECK(std::abs(mean) < 0.03);
  CHECK(square == Approx(0.12).epsilon(0.05));
}

TEST_CASE("a policy steps along the mean gradient of the episodes since the last step") {
  Policy::Options chosen = options();
  chosen.rule = Ascent::Rule::sgd;
  Policy once(chosen, Rng(7));
  Policy often(chosen, Rng(7));
  Rng rng(3);
  const Episode episode = once.sample(AllKinds(), rng);
  Rng again(3);
  often.sample(AllKinds(), again);
  const auto learn = [&](Policy& policy, int times) {
    for (int i = 0; i < times; ++i) policy.accumulate(episode, [](std::size_t, double) { return 1.0; });
    policy.step();
  };
  for (const int times : {3, 2}) {
    learn(once, 1);
    learn(often, times);
  }
  const double probability = once.evaluate(episode).log_probability();
  CHECK(probability == Approx(often.evaluate(episode).log_probability()).epsilon(1e-10));
  Policy unlearned(chosen, Rng(7));
  Rng same(3);
  unlearned.sample(AllKinds(), same);
  CHECK(probability > unlearned.evaluate(episode).log_probability());
}

TEST_CASE("a policy's options are the configuration's members of their names") {
  const Json json = {{"layers", 2},
                     {"units", 3},
                     {"initial_range", 0.5},
                     {"temperature", 5.0},
                     {"tanh_constant", 2.5},
                     {"tanh_reduction", 7.0},
                     {"entropy_weight", 0.1},
                     {"skip_weight", 0.8},
                     {"skip_rate", 0.4},
                     {"update_rule", "sgd"},
                     {"lr", 0.01}};
  const Policy::Options read = Policy::Options::from_json(json);
  CHECK(read.layers == 2);
  CHECK(read.units == 3);
  CHECK(read.initial_range == 0.5);
  CHECK(read.temperature == 5.0);
  CHECK(read.tanh_constant == 2.5);
  CHECK(read.tanh_reduction == 7.0);
  CHECK(read.entropy_weight == 0.1);
  CHECK(read.skip_weight == 0.8);
  CHECK(read.skip_rate == 0.4);
  CHECK(read.rule == Ascent::Rule::sgd);
  CHECK(read.lr == 0.01);
}

TEST_CASE("references name the steps that are meant") {
  const auto reference = [](std::vector<std::string> options) {
    return Decision{"", "input", Kind::reference, std::move(options), 0};
  };
  SECTION("NASNet's cells: two inputs, then the blocks; the second cell counts anew") {
    GuessedSteps named;
    CHECK(named.of(reference({"0", "1"}), 0) == std::vector<int>{-1, -1});
    CHECK(named.of(reference({"0", "1"}), 0) == std::vector<int>{-1, -1});
    CHECK(named.of(reference({"0", "1", "2"}), 1) == std::vector<int>{-1, -1, 0});
    CHECK(named.of(reference({"0", "1", "2", "3"}), 2) == std::vector<int>{-1, -1, 0, 1});
    CHECK(named.of(reference({"0", "1"}), 3) == std::vector<int>{-1, -1});
    CHECK(named.of(reference({"0", "1", "2"}), 4) == std::vector<int>{-1, -1, 3});
  }
  SECTION("DARTS's nodes: the second input is another than the first") {
    GuessedSteps named;
    CHECK(named.of(reference({"0", "1"}), 0) == std::vector<int>{-1, -1});
    CHECK(named.of(reference({"1"}), 0) == std::vector<int>{-1});
    CHECK(named.of(reference({"0", "1", "2"}), 1) == std::vector<int>{-1, -1, 0});
    CHECK(named.of(reference({"0", "2"}), 1) == std::vector<int>{-1, 0});
    CHECK(named.of(reference({"0", "1", "2", "3"}), 2) == std::vector<int>{-1, -1, 0, 1});
  }
  SECTION("references that begin late") {
    GuessedSteps named;
    CHECK(named.of(reference({"conv 1", "conv 2", "conv 3"}), 3) == std::vector<int>{0, 1, 2});
  }
  SECTION("an option that names no step") {
    GuessedSteps named;
    CHECK(named.of(reference({"none", "a"}), 1) == std::vector<int>{-1, 0});
    CHECK(named.of(reference({"none", "a", "b"}), 2) == std::vector<int>{-1, 0, 1});
    GuessedSteps late;
    CHECK(late.of(reference({"none", "c"}), 3) == std::vector<int>{-1, 2});
  }
  SECTION("a step without decisions, such as pooling, is named by what was decided before it") {
    GuessedSteps named;  // of layers 1, 2, 4: the third one pools
    CHECK(named.of(reference({"none", "1"}), 1) == std::vector<int>{-1, 0});
    CHECK(named.of(reference({"none", "1"}), 2) == std::vector<int>{-1, 0});
    CHECK(named.of(reference({"none", "2"}), 2) == std::vector<int>{-1, 1});
    CHECK(named.of(reference({"none", "3"}), 2) == std::vector<int>{-1, 1});
    CHECK(named.of(reference({"none", "1"}), 3) == std::vector<int>{-1, 0});
    CHECK(named.of(reference({"none", "2"}), 3) == std::vector<int>{-1, 1});
    CHECK(named.of(reference({"none", "3"}), 3) == std::vector<int>{-1, 1});
    CHECK(named.of(reference({"none", "4"}), 3) == std::vector<int>{-1, 2});
  }
  SECTION("skips: each from the step that it names") {
    Policy policy(options(), Rng(7));
    Rng rng(3);
    const std::vector<Choice> choices = policy.sample(AllKinds(), rng).choices;
    CHECK(choices[3].named == std::vector<int>{-1, -1, 0});
    CHECK(choices[4].named == std::vector<int>{-1, 0});
    CHECK(choices[6].named == std::vector<int>{-1, 0});
    CHECK(choices[7].named == std::vector<int>{-1, 1});
    CHECK(choices[8].named == std::vector<int>{-1, 0, 1});
  }
}

TEST_CASE("a space's word on which steps its references name is taken, whatever their texts") {
  class Said final : public Decisions {
   public:
    std::optional<Decision> next(std::span<const std::int32_t> taken) const override {
      if (taken.size() < 3) return Decision{.name = "operation", .options = {"a"}, .step = 10 * steps[taken.size()]};
      if (taken.size() > 3) return {};
      return Decision{.name = "input",
                      .kind = Kind::reference,
                      .options = {"x", "y", "z", "w", "v"},
                      .step = 50,
                      .named_steps = {40, Decision::no_step, 10, 30, 5}};
    }
    const std::vector<int> steps = {1, 2, 4};
  };
  Policy policy(options(), Rng(7));
  Rng rng(3);
  // Nothing is decided in step 30: the last before it is meant. Nothing is before step 5.
  CHECK(policy.sample(Said(), rng).choices[3].named == std::vector<int>{2, -1, 0, 1, -1});

  class Prophet final : public Decisions {
   public:
    std::optional<Decision> next(std::span<const std::int32_t>) const override {
      return Decision{.name = "input", .kind = Kind::reference, .options = {"x"}, .step = 3, .named_steps = {3}};
    }
  };
  CHECK_THROWS_WITH(policy.sample(Prophet(), rng), ContainsSubstring("decision input of step 3 names step 3"));
}

TEST_CASE("a skip penalty alone pulls the skips to their rate, an entropy bonus alone to uniform") {
  Policy::Options chosen{.layers = 1, .units = 8, .initial_range = 0.6, .lr = 0.02};
  chosen.skip_weight = GENERATE(0.0, 1.0);
  chosen.skip_rate = 0.2;
  chosen.entropy_weight = chosen.skip_weight > 0.0 ? 0.0 : 1.0;
  Policy policy(chosen, Rng(7));
  Rng rng(3);
  for (int i = 0; i < 400; ++i) {
    policy.accumulate(policy.sample(AllKinds(), rng), [](std::size_t, double) { return 0.0; });
    policy.step();
  }
  const Policy::Evaluation evaluation = policy.evaluate(policy.sample(AllKinds(), rng));
  if (chosen.skip_weight > 0.0) {
    CHECK(evaluation.skip_divergence < 0.01);
  } else {
    const double uniform = 2 * std::log(3.0) + 5 * std::log(2.0) + 2 * std::log(3.0);
    CHECK(evaluation.entropy > 0.99 * uniform);
  }
}

// Kingma & Ba 2015, Algorithm 1. First step: m / (1 - 0.9) = g and v / (1 - 0.999) = g^2, so the step is lr. Second,
// with g = 2 after 1: m = 0.1 * 0.9 + 0.2 = 0.29, / 0.19; v = 0.001 * 0.999 + 0.004 = 0.004999, / 0.001999.
TEST_CASE("Adam's first two steps, and plain ascent, worked out by hand") {
  Parameters parameters;
  const Block block = parameters.add(1, 1, 0.0, Rng(1));
  Ascent adam(Ascent::Rule::adam, 0.5);
  parameters.gradient(block)(0, 0) = 2.0;
  adam.step(parameters, 0.5);
  CHECK(parameters[block](0, 0) == Approx(0.5).epsilon(1e-6));
  CHECK(parameters.gradient(block)(0, 0) == 0.0);
  parameters.gradient(block)(0, 0) = 2.0;
  adam.step(parameters, 1.0);
  CHECK(parameters[block](0, 0) == Approx(0.5 + 0.5 * (0.29 / 0.19) / std::sqrt(0.004999 / 0.001999)).epsilon(1e-6));

  Ascent sgd(Ascent::Rule::sgd, 0.1);
  parameters.values()[0] = 1.0;
  parameters.gradient(block)(0, 0) = 3.0;
  sgd.step(parameters, 0.5);
  CHECK(parameters[block](0, 0) == Approx(1.15));
}

// The first parameter as above; the second, from its first step on with g = 2: m = 0.2, / 0.19; v = 0.004, / 0.001999.
TEST_CASE("parameters that are added begin without a history, and leave the others theirs") {
  Parameters parameters;
  const Block early = parameters.add(1, 1, 0.0, Rng(1));
  Ascent adam(Ascent::Rule::adam, 0.5);
  parameters.gradient(early)(0, 0) = 1.0;
  adam.step(parameters, 1.0);
  const Block late = parameters.add(1, 1, 0.0, Rng(1));
  parameters.gradient(early)(0, 0) = 2.0;
  parameters.gradient(late)(0, 0) = 2.0;
  adam.step(parameters, 1.0);
  CHECK(parameters[early](0, 0) == Approx(0.5 + 0.5 * (0.29 / 0.19) / std::sqrt(0.004999 / 0.001999)).epsilon(1e-6));
  CHECK(parameters[late](0, 0) == Approx(0.5 * (0.2 / 0.19) / std::sqrt(0.004 / 0.001999)).epsilon(1e-6));
}

// Hidden: relu(x), relu(0.5 - x); output: 2 a + 3 b - 1. Of 2 they are 2 and 0, of -1 0 and 1.5.
TEST_CASE("a multilayer perceptron's outputs, worked out by hand") {
  using Network = MultilayerPerceptron<double>;
  Rng rng(1);
  Network network(1, {2, 1}, rng);
  REQUIRE(network.parameters.size() == 7);
  network.parameters << 1, -1, 0, 0.5, 2, 3, -1;
  const Network::Matrix outputs = network.forward((Network::Matrix(1, 2) << 2, -1).finished()).back();
  CHECK(outputs(0, 0) == Approx(3.0));
  CHECK(outputs(0, 1) == Approx(3.5));
}

TEST_CASE("a multilayer perceptron's weights begin with variance 2 / inputs, its biases at 0") {
  Rng rng(1);
  const MultilayerPerceptron<double> network(200, {50, 1}, rng);
  const auto weights = network.parameters.head(200 * 50);
  CHECK(weights.squaredNorm() / 10000 == Approx(2.0 / 200).epsilon(0.06));  // four standard deviations
  CHECK((weights.array() != 0.0).all());
  CHECK(network.parameters.segment(200 * 50, 50).isZero());
}

TEST_CASE("rewards: transforms, failures, baseline") {
  const auto of = [](const char* transform, double scale, double reward) {
    const Json json = {{"reward", transform}, {"reward_scale", scale}, {"failure_reward", 0}};
    return *Reward(json, Json::object()).of(result(0, reward));
  };
  CHECK(of("identity", 0.01, 90.0) == Approx(0.9));
  CHECK(of("cube", 0.01, 90.0) == Approx(0.729));
  CHECK(of("tangent", 0.01, 50.0) == Approx(1.0));
  CHECK(of("tangent", 0.01, 100.0) < 1000.0);
  CHECK(of("inverse", 80.0, -40.0) == Approx(2.0));  // a perplexity of 40, to be minimised
  CHECK(of("inverse_square", 80.0, -40.0) == Approx(0.05));
  CHECK(of("tangent", 0.01, -50.0) == 0.0);          // no share
  CHECK(of("inverse", 80.0, -0.5) == Approx(80.0));  // no perplexity

  Reward cube(Json{{"reward", "cube"}, {"reward_scale", 0.01}, {"failure_reward", 0}}, Json::object());
  cube.of(result(0, -50.0));
  CHECK(*cube.failure().worth() == Approx(-0.125));  // as transformed

  CHECK(!Reward(Json{{"reward", "identity"}, {"reward_scale", 1}, {"failure_reward", 0}}, Json::object())
             .of(result(0, 0, TrialState::fail)));
  CHECK_THROWS_WITH(of("square", 1.0, 1.0), ContainsSubstring("/reward is \"square\""));

  Baseline baseline(0.9);
  CHECK(!baseline.value());
  baseline.update(2.0);
  CHECK(baseline.value() == 2.0);
  baseline.update(3.0);
  CHECK(*baseline.value() == Approx(2.1));
}

TEST_CASE("a failure is worth its reward, but never more than any success, also one that comes later") {
  Failure failure(0.0);
  CHECK(!failure.worth());  // with nothing to compare it with
  failure.completed(2.0);
  CHECK(failure.worth() == 0.0);
  failure.completed(-3.0);
  failure.completed(-2.0);
  CHECK(failure.worth() == -3.0);
  Failure none{Json()};
  none.completed(1.0);
  CHECK_FALSE(none.teaches());
  CHECK(!none.worth());
}

TEST_CASE("a transform that goes against the first objective's direction is refused before the first trial") {
  const auto reward = [](const char* transform, const char* direction) {
    Reward(Json{{"reward", transform}, {"reward_scale", 1}, {"failure_reward", 0}},
           {{"objectives", {{{"name", "a"}, {"direction", direction}}}}});
  };
  for (const char* inverse : {"inverse", "inverse_square"}) {
    CHECK_THROWS_WITH(reward(inverse, "maximize"),
                      ContainsSubstring("to be minimised, but the first one is maximised"));
    CHECK_NOTHROW(reward(inverse, "minimize"));
  }
  CHECK_THROWS_WITH(reward("tangent", "minimize"), ContainsSubstring("every candidate would earn the same"));
  CHECK_NOTHROW(reward("tangent", "maximize"));
  for (const char* any : {"identity", "cube"}) {
    CHECK_NOTHROW(reward(any, "maximize"));
    CHECK_NOTHROW(reward(any, "minimize"));
  }
}

Json of_children(const Json& more = Json::object()) {
  Json json = {{"children", 2},        {"baseline_decay", 0.9}, {"baseline_start", "mean"},
               {"reward", "identity"}, {"reward_scale", 1},     {"failure_reward", nullptr}};
  json.update(more);
  return json;
}

// Batches of two, decay 0.9. First: mean 2, so -1 and 1; the baseline is then 2, or where it begins at the first reward
// 0.9 * 1 + 0.1 * 3 = 1.2. Second, results in another order and with a stranger among them: that is subtracted from
// both.
TEST_CASE("children come back in batches, with their advantages") {
  const std::string start = GENERATE("mean", "first");
  const double baseline = start == "mean" ? 2.0 : 1.2;
  Policy policy(options(), Rng(7));
  Rng rng(3);
  Children children(of_children({{"baseline_start", start}}), Json::object());
  std::vector<Proposal> proposals;
  proposals.reserve(5);
  for (int i = 0; i < 5; ++i) proposals.push_back(children.ask(policy, AllKinds(), rng));
  children.tell(result(0, 1.0));
  CHECK(children.batch().empty());
  children.tell(result(2, 9.0, TrialState::fail));  // left out
  CHECK(children.batch().empty());
  children.tell(result(1, 3.0));
  std::vector<Child> batch = children.batch();
  REQUIRE(batch.size() == 2);
  CHECK(batch[0].advantage == Approx(-1.0));
  CHECK(batch[1].advantage == Approx(1.0));
  CHECK(batch[1].episode.genotype() == proposals[1].genotype);
  CHECK(children.batch().empty());
  children.tell(result(4, 2.2));
  children.tell(result(77, 100.0));
  children.tell(result(4, 100.0));  // ended already
  CHECK(children.batch().empty());
  children.tell(result(3, 0.4));
  batch = children.batch();
  REQUIRE(batch.size() == 2);
  CHECK(batch[0].advantage == Approx(2.2 - baseline));
  CHECK(batch[1].advantage == Approx(0.4 - baseline));
  CHECK(batch[0].episode.genotype() == proposals[4].genotype);
}

TEST_CASE("children that failed are compared with all that completed, and not with nothing") {
  Policy policy(options(), Rng(7));
  Rng rng(3);
  Children children(of_children({{"failure_reward", 0}}), Json::object());
  for (int i = 0; i < 6; ++i) children.ask(policy, AllKinds(), rng);
  children.tell(result(0, 0, TrialState::fail));
  children.tell(result(1, 0, TrialState::pruned));
  CHECK(children.batch().empty());  // nothing tells these two apart
  children.tell(result(2, 0, TrialState::fail));
  children.tell(result(3, -3.0));
  const std::vector<Child> batch = children.batch();
  REQUIRE(batch.size() == 2);
  CHECK(batch[0].reward == -3.0);
  CHECK(batch[0].advantage == 0.0);
}

TEST_CASE("a result is known by its proposal's notes, however its trial is numbered") {
  Policy policy(options(), Rng(7));
  Rng rng(3);
  Children children(of_children(), Json::object());
  const Proposal first = children.ask(policy, AllKinds(), rng);
  const Proposal second = children.ask(policy, AllKinds(), rng);
  const auto tell = [&](TrialId trial, const Proposal& proposal, double reward) {
    TrialResult told = result(trial, reward);
    told.notes = proposal.notes;
    children.tell(told);
  };
  tell(1, first, 5.0);  // the second's number, if one counted
  tell(900, second, 7.0);
  const std::vector<Child> batch = children.batch();
  REQUIRE(batch.size() == 2);
  CHECK(batch[0].episode.genotype() == first.genotype);
  CHECK(batch[1].reward == 7.0);
}
