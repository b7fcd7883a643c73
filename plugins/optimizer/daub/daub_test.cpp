#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/catch.hpp"
#include "weft/testing/optimizer_contract.hpp"

using namespace weft;
using namespace weft::testing;
using optimizer_contract::result_of;

namespace {

Plugin plugin() { return Plugin::open("optimizer", "daub"); }

Json study_of(std::int64_t examples, const Json& range = {0.0, 1.0}) {
  Json objective = {{"name", "accuracy"}, {"direction", "maximize"}};
  if (!range.is_null()) objective["range"] = range;
  Json task = Task{}.to_json();
  task["splits"] = {{"train", examples}, {"validation", 100}};
  return {{"objectives", Json::array({objective})}, {"task", task}};
}

// How well a learner does with n examples: on held-out ones, and on these.
struct Accuracy {
  double validation, train;
};
using Curves = std::vector<std::map<std::int64_t, Accuracy>>;

// Which learner, and how many examples.
using Training = std::pair<std::size_t, std::int64_t>;

class Bench {
 public:
  explicit Bench(const Json& args, const Json& study)
      : space_(small_space(), {}),
        company_(plugin(), args, {.study = study, .rng = Rng(1), .collaborators = {{"space", space_.handle()}}}),
        instance_(plugin(), args, company_.surroundings()),
        examples_(study.value("/task/splits/train"_json_pointer, 1.0)),
        optimizer(instance_.handle()) {}

  // Learners are counted in the order in which they are first proposed; examples as evaluators do.
  Training training_of(const Proposal& proposal) {
    const std::size_t next = learners_.size();
    const std::size_t learner = learners_.emplace(proposal.genotype.key(), next).first->second;
    REQUIRE(proposal.fidelity == Fidelity{.data_fraction = proposal.fidelity.data_fraction});
    return {learner, static_cast<std::int64_t>(*proposal.fidelity.data_fraction * examples_)};
  }

  TrialResult result(const Proposal& proposal, const Accuracy& accuracy) {
    TrialResult result = result_of(told_++, proposal);
    result.reward = accuracy.validation;
    result.metrics = {{"measured_train_accuracy", accuracy.train}};
    return result;
  }
  void tell(const Proposal& proposal, const Accuracy& accuracy) { optimizer.tell(result(proposal, accuracy)); }
  void fail(const Proposal& proposal) { optimizer.tell(result_of(told_++, proposal, TrialState::fail)); }

  // One trial after the other, until the search has ended.
  std::vector<Training> run(const Curves& curves) {
    std::vector<Training> trainings;
    while (!optimizer.finished()) {
      const Proposal proposal = optimizer.ask(1).at(0);
      trainings.push_back(training_of(proposal));
      tell(proposal, curves.at(trainings.back().first).at(trainings.back().second));
    }
    return trainings;
  }

  const std::vector<std::string>& log() const { return instance_.log(); }

 private:
  Instance space_;
  Company company_;
  Instance instance_;
  double examples_;
  std::map<std::string, std::size_t> learners_;
  TrialId told_ = 0;

 public:
  OptimizerRef optimizer;
};

// 100, 200, 400, 800, 1600 examples.
Json doubling(int learners, const Json& more = Json::object()) {
  Json args = {{"learners", learners}, {"base", 100}, {"ratio", 2}};
  args.update(more);
  return args;
}

// The trainings after the initial ones.
std::vector<Training> choices(const std::vector<Training>& trainings, std::size_t learners) {
  return {trainings.begin() + static_cast<std::ptrdiff_t>(3 * learners), trainings.end()};
}

// A learner that needs no more than its first three results.
std::map<std::int64_t, Accuracy> curve(double first, double second, double third, double train = 1.0) {
  return {{100, {first, train}},
          {200, {second, train}},
          {400, {third, train}},
          {800, {third, train}},
          {1600, {third, train}}};
}

void refused(const Json& args, const Json& study, const std::string& text) {
  CHECK_THROWS_WITH(Bench(args, study), ContainsSubstring(text));
}

}  // namespace

// ---- contract -------------------------------------------------------------------------------------------------------

// Of a training split large enough for the best to be trained on more than once: these are the last proposals.
TEST_CASE("daub keeps the contract of optimizers") {
  check_optimizer(plugin(), {{"learners", 8}}, {.study = study_of(1'000'000)});
}

// Which has few results when the learners are drawn: the first population, and whoever is bred once it is there.
TEST_CASE("daub keeps the contract of optimizers with a sampler that learns") {
  const Json evolution = {{"name", "regularized_evolution"}, {"args", {{"population_size", 5}, {"sample_size", 2}}}};
  check_optimizer(plugin(), {{"learners", 20}, {"winners", 3}, {"sampler", evolution}}, {.study = study_of(1'000'000)});
}

TEST_CASE("daub's defaults: r = 1.5, b = 200, until the first has had all examples") {
  const Json args = plugin().configuration(Json::object());
  CHECK(args.at("ratio") == 1.5);
  CHECK(args.at("base") == 200);
  CHECK(args.at("winners") == 1);
}

// ---- allocations ----------------------------------------------------------------------------------------------------

TEST_CASE("daub allots b, br, br^2, .. and at last all examples, as evaluators count them") {
  Curves any(1);
  const auto allotted = [&](const Json& args, std::int64_t examples) {
    for (std::int64_t n = 1; n <= examples; ++n) any[0][n] = {0.5, 1.0};
    std::vector<std::int64_t> amounts;
    for (const auto& [learner, n] : Bench(args, study_of(examples)).run(any)) amounts.push_back(n);
    return amounts;
  };
  // 200 x 1.5^4 = 1012.5, and 1518.75
  CHECK(allotted({{"learners", 1}}, 2000) == std::vector<std::int64_t>{200, 300, 450, 675, 1013, 1519, 2000});
  CHECK(allotted({{"learners", 1}}, 1519) == std::vector<std::int64_t>{200, 300, 450, 675, 1013, 1519});
  CHECK(allotted({{"learners", 1}, {"base", 1}, {"ratio", 1.1}}, 7) == std::vector<std::int64_t>{1, 2, 3, 4, 5, 6, 7});
  CHECK(allotted({{"learners", 1}, {"base_fraction", 0.1}, {"ratio", 2}}, 1999) ==
        std::vector<std::int64_t>{200, 400, 800, 1599, 1999});
}

// A share n / N that is a little too small would leave an evaluator with n - 1.
TEST_CASE("daub's shares lose no example to rounding") {
  for (const std::int64_t examples : {449, 4999, 45000, 49999, 55000}) {
    Curves any(1);
    Bench bench({{"learners", 1}, {"base", 7}, {"ratio", 1.01}}, study_of(examples));
    std::int64_t before = 6;
    while (!bench.optimizer.finished()) {
      const Proposal proposal = bench.optimizer.ask(1).at(0);
      const std::int64_t n = bench.training_of(proposal).second;
      CHECK(n > before);
      if (before < 50) CHECK(n == before + 1);
      before = n;
      bench.tell(proposal, {0.5, 1.0});
    }
    CHECK(before == examples);
  }
}

TEST_CASE("daub allots shares where it is not told how many examples there are") {
  Bench bench({{"learners", 1}, {"base_fraction", 0.1}, {"ratio", 2}}, Json::object());
  std::vector<double> shares;
  while (!bench.optimizer.finished()) {
    const Proposal proposal = bench.optimizer.ask(1).at(0);
    shares.push_back(*proposal.fidelity.data_fraction);
    bench.tell(proposal, {0.5, 1.0});
  }
  REQUIRE(shares.size() == 5);
  CHECK(shares[0] == Approx(0.1));
  CHECK(shares[3] == Approx(0.8));
  CHECK(shares[4] == 1.0);
}

// ---- which learner --------------------------------------------------------------------------------------------------

// Slopes by hand: through (100, .40), (200, .60), (400, .80) it is 60 / 46667 an example, and so on.
//   after the initial ones  A min(.90, .65 + 1200 x 4.64e-4 = 1.21)   B min(.95, .80 + 1200 x 1.29e-3)   C .70
//   B has had 800           A .90                                     B min(.89, .82 + 800 x 3.21e-4 = 1.08)
//   A has had 800           A min(.80, .66 + 800 x 8.93e-5 = .731)    B .89
TEST_CASE("daub on three learners, by hand") {
  Curves curves(3);
  curves[0] = {{100, {.50, .99}}, {200, {.60, .95}}, {400, {.65, .90}}, {800, {.66, .80}}};
  curves[1] = {{100, {.40, .99}}, {200, {.60, .97}}, {400, {.80, .95}}, {800, {.82, .89}}, {1600, {.85, .88}}};
  curves[2] = {{100, {.70, .99}}, {200, {.70, .99}}, {400, {.70, .99}}};
  const std::vector<Training> trainings = Bench(doubling(3), study_of(1600)).run(curves);
  CHECK(trainings == std::vector<Training>{{0, 100},
                                           {1, 100},
                                           {2, 100},
                                           {0, 200},
                                           {1, 200},
                                           {2, 200},
                                           {0, 400},
                                           {1, 400},
                                           {2, 400},
                                           {1, 800},
                                           {0, 800},
                                           {1, 1600}});
}

// Through (100, .50), (200, .55), (400, .55): .55 + 1200 x 1.4286e-4 = .7214; without the repair the slope of .50, .60,
// .50 is negative, and the bound .50.
TEST_CASE("daub replaces a point that falls, and the one before it, by their mean") {
  const auto first_choice = [](double rival) {
    const Curves curves = {curve(.50, .60, .50), curve(rival, rival, rival)};
    return choices(Bench(doubling(2), study_of(1600)).run(curves), 2).at(0).first;
  };
  CHECK(first_choice(.72) == 0);
  CHECK(first_choice(.7225) == 1);
}

// .60, .50, .40: .55, .55, then .55, .475, .475.
TEST_CASE("daub lets no curve fall further") {
  const auto first_choice = [](double rival) {
    const Curves curves = {curve(.60, .50, .40), curve(rival, rival, rival)};
    return choices(Bench(doubling(2), study_of(1600)).run(curves), 2).at(0).first;
  };
  CHECK(first_choice(.474) == 0);
  CHECK(first_choice(.476) == 1);
}

TEST_CASE("daub clamps bounds to the objective's range, or to the one it is given") {
  const Curves curves = {curve(.50, .60, .65, 9.0), curve(.40, .60, .80, 9.0)};  // bounds 1.21 and 2.34
  const auto first_choice = [&](const Json& args, const Json& range) {
    return choices(Bench(doubling(2, args), study_of(1600, range)).run(curves), 2).at(0).first;
  };
  CHECK(first_choice(Json::object(), {0.0, 1.0}) == 0);  // equal: who was drawn first
  CHECK(first_choice(Json::object(), {0.0, 2.0}) == 1);
  CHECK(first_choice(Json::object(), nullptr) == 1);
  CHECK(first_choice({{"range", {0, 1}}}, nullptr) == 0);
}

TEST_CASE("daub takes training accuracy as a bound where it is reported, and says where it is not") {
  const Curves curves = {curve(.50, .60, .65, .70), curve(.72, .72, .72, .99)};
  CHECK(choices(Bench(doubling(2), study_of(1600)).run(curves), 2).at(0).first == 1);
  Bench without(doubling(2, {{"train_metric", nullptr}}), study_of(1600));
  CHECK(choices(without.run(curves), 2).at(0).first == 0);
  CHECK(without.log().empty());
  Bench other(doubling(2, {{"train_metric", "train_f1"}}), study_of(1600));
  CHECK(choices(other.run(curves), 2).at(0).first == 0);
  CHECK(other.log() ==
        std::vector<std::string>{"trials do not report train_f1; upper bounds go without it. See train_metric"});
}

// Rewards are negative, and so is what bounds them: perplexities of 50 and falling, that on training examples 40; 45.
TEST_CASE("daub selects by what is minimised") {
  Json study = study_of(1600, nullptr);
  study["objectives"] = Json::array({{{"name", "perplexity"}, {"direction", "minimize"}}});
  const Curves curves = {curve(-80, -60, -50, 40), curve(-45, -45, -45, 1)};
  CHECK(choices(Bench(doubling(2), study).run(curves), 2).at(0).first == 0);
  const Curves overfit = {curve(-80, -60, -50, 46), curve(-45, -45, -45, 1)};
  CHECK(choices(Bench(doubling(2), study).run(overfit), 2).at(0).first == 1);
}

TEST_CASE("daub goes on until as many as are wanted have had all examples") {
  const Curves curves = {curve(.5, .5, .5), curve(.7, .7, .7), curve(.6, .6, .6)};
  const std::vector<Training> trainings = Bench(doubling(3, {{"winners", 2}}), study_of(1600)).run(curves);
  CHECK(choices(trainings, 3) == std::vector<Training>{{1, 800}, {1, 1600}, {2, 800}, {2, 1600}});
}

// ---- several trials at once, and failures ---------------------------------------------------------------------------

TEST_CASE("daub trains side by side whoever is not under way, the largest bound first") {
  Bench bench(doubling(3), study_of(1600));
  const Curves curves = {curve(.5, .5, .5), curve(.7, .7, .7), curve(.6, .6, .6)};
  std::vector<Proposal> initial = bench.optimizer.ask(20);
  REQUIRE(initial.size() == 9);
  std::vector<Training> trainings;
  for (const Proposal& proposal : initial) trainings.push_back(bench.training_of(proposal));
  // In the opposite order: the smaller allocations last.
  for (std::size_t i = initial.size(); i-- > 0;) {
    CHECK(bench.optimizer.ask(20).empty());
    bench.tell(initial[i], curves[trainings[i].first].at(trainings[i].second));
  }
  std::vector<std::size_t> order;
  const std::vector<Proposal> next = bench.optimizer.ask(20);
  for (const Proposal& proposal : next) order.push_back(bench.training_of(proposal).first);
  CHECK(order == std::vector<std::size_t>{1, 2, 0});
  CHECK(bench.optimizer.ask(20).empty());
  bench.tell(next[2], {.9, 1.0});
  CHECK(bench.training_of(bench.optimizer.ask(20).at(0)) == Training{0, 1600});
}

TEST_CASE("daub's learners that fail drop out, and without any left it ends") {
  Bench bench(doubling(2), study_of(1600));
  const Proposal first = bench.optimizer.ask(1).at(0), second = bench.optimizer.ask(1).at(0);
  bench.fail(first);
  bench.tell(second, {.5, 1.0});
  const std::vector<Proposal> others = bench.optimizer.ask(20);
  REQUIRE(others.size() == 2);
  for (const Proposal& proposal : others) CHECK(proposal.genotype == second.genotype);
  bench.tell(others[0], {.5, 1.0});
  CHECK_FALSE(bench.optimizer.finished());
  bench.tell(others[1], {std::nan(""), 1.0});  // no value is a failure, too
  CHECK(bench.optimizer.finished());
}

// Regularized evolution gives its first population of two, and then waits for them.
TEST_CASE("daub waits for a sampler that waits for results, with all learners still to come") {
  const Json evolution = {{"name", "regularized_evolution"}, {"args", {{"population_size", 2}, {"sample_size", 1}}}};
  Bench bench(doubling(3, {{"sampler", evolution}}), study_of(1600));
  const std::vector<Proposal> first = bench.optimizer.ask(20);
  REQUIRE(first.size() == 6);
  for (const Proposal& proposal : first) bench.tell(proposal, {.5, 1.0});
  CHECK(bench.optimizer.ask(20).size() == 3);
}

TEST_CASE("daub learns of a trial that a stopper ended what that predicted") {
  Bench bench(doubling(2), study_of(1600));
  const Curves curves = {curve(.5, .5, .5), curve(.6, .6, .6)};
  for (int i = 0; i < 6; ++i) {
    const Proposal proposal = bench.optimizer.ask(1).at(0);
    const auto [learner, n] = bench.training_of(proposal);
    TrialResult result = bench.result(proposal, curves[learner].at(n));
    if (learner == 0) {
      result.state = TrialState::pruned;
      result.predicted = .7;
    }
    bench.optimizer.tell(result);
  }
  CHECK(bench.training_of(bench.optimizer.ask(1).at(0)) == Training{0, 800});
}

// ---- configuration --------------------------------------------------------------------------------------------------

TEST_CASE("daub says what is wrong with its arguments") {
  refused({}, study_of(450),
          "/base is 200; with /ratio 1.5 the third allocation, base x ratio^2, must be below the "
          "training split, 450 examples; lower it");
  CHECK_NOTHROW(Bench(Json::object(), study_of(451)));
  refused({{"base_fraction", 0.5}}, study_of(1000), "/base_fraction is 0.5; with /ratio 1.5");
  refused({}, Json::object(), "/base is 200 examples, but the study does not say how many there are; give");
  refused({{"winners", 21}}, study_of(1000), "/winners is 21; must not exceed learners, 20");
  refused({{"range", {1, 0}}}, study_of(1000), "/range is [1,0]; the first number must be below the second");
  Json study = study_of(1000);
  study["budget"] = {{"trials", 60}};
  refused({}, study,
          "/learners is 20; the 60 trials that begin the search, three each, must be fewer than the budget's trials, "
          "60, or nothing is selected");
  CHECK_NOTHROW(Bench({{"learners", 19}}, study));
}
