#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/optimizer_contract.hpp"

using namespace weft;
using namespace weft::testing;
using optimizer_contract::result_of;

namespace {

Plugin plugin() { return Plugin::open("optimizer", "increasing_image_size"); }

// Sizes of 8, 16, 32, .. pixels.
Json study_of(int levels) {
  Json fidelities = Json::array();
  for (int i = 0; i < levels; ++i)
    fidelities.push_back({{"name", std::to_string(8 << i) + " pixels"}, {"cost", std::pow(4.0, i)}});
  return {{"fidelities", fidelities}};
}

Json evolution(int population_size) {
  return {{"name", "regularized_evolution"},
          {"args", {{"population_size", population_size}, {"sample_size", 1 + population_size / 4}}}};
}

// Proposes 0, 1, 2, .. up to its `last`, or the rest by `distinct`, whatever comes, and keeps what it is told.
class Counting final : public Optimizer {
 public:
  explicit Counting(const Context& context)
      : last_(context.configuration().value("last", 1'000'000)),
        distinct_(context.configuration().value("distinct", 1'000'000)) {
    told.clear();
  }
  std::vector<Proposal> ask(std::size_t capacity) override {
    std::vector<Proposal> proposals;
    for (; proposals.size() < capacity && next_ <= last_; ++next_) {
      proposals.push_back({.genotype = Genotype({next_ % distinct_}), .notes = {{"drawn", next_}}});
    }
    return proposals;
  }
  void tell(const TrialResult& result) override { told.push_back(result); }

  static std::vector<TrialResult> told;

 private:
  std::int32_t last_, distinct_, next_ = 0;
};
std::vector<TrialResult> Counting::told;
constexpr weft_component counting = component<Counting>("counting");

// With the sampler above.
class Bench {
 public:
  explicit Bench(const Json& args, const Json& study, const Json& sampler = Json::object())
      : sampler_(counting, sampler),
        instance_(plugin(), args, {.study = study, .collaborators = {{"/sampler", sampler_.handle()}}}),
        optimizer(instance_.handle()) {}

  Proposal ask() { return optimizer.ask(1).at(0); }
  void tell(const Proposal& proposal, double reward) {
    TrialResult result = result_of(told_++, proposal);
    result.reward = reward;
    optimizer.tell(result);
  }
  void fail(const Proposal& proposal) { optimizer.tell(result_of(told_++, proposal, TrialState::fail)); }

  // Proposals of the sampler, by number, that a stage is made of. The later drawn the better, but for 1, which is best
  // of all; on other sizes by other amounts.
  std::vector<std::int32_t> stage(std::size_t trials, int level) {
    std::vector<std::int32_t> drawn;
    for (std::size_t i = 0; i < trials; ++i) {
      const Proposal proposal = ask();
      CHECK(proposal.fidelity == Fidelity{.level = level});
      drawn.push_back(proposal.genotype.decisions.at(0));
      tell(proposal, drawn.back() == 1 ? 1000.0 : 10.0 * level + drawn.back());
    }
    return drawn;
  }

 private:
  Instance sampler_;
  Instance instance_;
  TrialId told_ = 0;

 public:
  OptimizerRef optimizer;
};

void refused(const Json& args, const Json& study, const std::string& text) {
  CHECK_THROWS_WITH(Bench(args, study), ContainsSubstring(text));
}

}  // namespace

// ---- contract -------------------------------------------------------------------------------------------------------

TEST_CASE("increasing_image_size keeps the contract of optimizers with random search") {
  check_optimizer(plugin(), {{"trials", 300}}, {.study = study_of(3), .improves = false});
}

TEST_CASE("increasing_image_size keeps the contract of optimizers with a sampler that learns") {
  check_optimizer(plugin(), {{"trials", 300}, {"sampler", evolution(20)}}, {.study = study_of(3)});
}

// The last stage has to be long enough to learn in.
TEST_CASE("increasing_image_size keeps the contract of optimizers without history") {
  const Json args = {{"trials", 300}, {"shares", {1, 5}}, {"keep_history", false}, {"sampler", evolution(20)}};
  check_optimizer(plugin(), args, {.study = study_of(2)});
}

TEST_CASE("increasing_image_size's defaults: equal shares, of which at least 5 and a tenth are carried") {
  const Json args = plugin().configuration(Json::object());
  CHECK(args.at("shares").is_null());
  CHECK(args.at("carry_share") == 0.1);
  CHECK(args.at("carry_least") == 5);
}

// ---- stages ---------------------------------------------------------------------------------------------------------

TEST_CASE("increasing_image_size evaluates the best again on the next size, the best first, then goes on") {
  Bench bench({{"trials", 24}, {"carry_least", 3}}, study_of(3));
  CHECK(bench.stage(8, 0) == std::vector<std::int32_t>{0, 1, 2, 3, 4, 5, 6, 7});
  CHECK(bench.stage(8, 1) == std::vector<std::int32_t>{1, 7, 6, 8, 9, 10, 11, 12});
  CHECK_FALSE(bench.optimizer.finished());
  CHECK(bench.stage(8, 2) == std::vector<std::int32_t>{1, 12, 11, 13, 14, 15, 16, 17});
  CHECK(bench.optimizer.finished());
  CHECK(bench.optimizer.ask(4).empty());
}

TEST_CASE("increasing_image_size carries max(5, ceil(0.1 n/3)) candidates") {
  const auto carried = [](const Json& args, std::size_t trials) {
    Bench bench(args, study_of(3));
    bench.stage(trials, 0);
    std::size_t old = 0;
    while (bench.ask().genotype.decisions.at(0) < static_cast<int>(trials)) ++old;
    return old;
  };
  CHECK(carried({{"trials", 18}}, 6) == 5);
  CHECK(carried({{"trials", 150}}, 50) == 5);
  CHECK(carried({{"trials", 153}}, 51) == 6);
  CHECK(carried({{"trials", 900}}, 300) == 30);
  CHECK(carried({{"trials", 900}, {"carry_share", 0.2}}, 300) == 60);
  CHECK(carried({{"trials", 900}, {"carry_share", 0}, {"carry_least", 0}}, 300) == 0);
}

TEST_CASE("increasing_image_size divides its trials by shares, the rest by largest remainder") {
  const auto sizes = [](const Json& args, const Json& study) {
    Bench bench(args, study);
    std::vector<int> sizes(study.at("fidelities").size());
    while (!bench.optimizer.finished()) {
      const Proposal proposal = bench.ask();
      ++sizes.at(static_cast<std::size_t>(*proposal.fidelity.level));
      bench.tell(proposal, 1.0);
    }
    return sizes;
  };
  CHECK(sizes({{"trials", 30}}, study_of(3)) == std::vector<int>{10, 10, 10});
  CHECK(sizes({{"trials", 32}}, study_of(3)) == std::vector<int>{11, 11, 10});
  CHECK(sizes({{"trials", 60}, {"shares", {3, 2, 1}}}, study_of(3)) == std::vector<int>{30, 20, 10});
  CHECK(sizes({{"trials", 17}, {"shares", {0.5, 0.5}}}, study_of(2)) == std::vector<int>{9, 8});
  Json budget = study_of(2);
  budget["budget"] = {{"trials", 40}};
  CHECK(sizes(Json::object(), budget) == std::vector<int>{20, 20});
}

TEST_CASE("increasing_image_size waits for a stage to end, and in it trials may end in any order") {
  Bench bench({{"trials", 24}, {"carry_least", 2}}, study_of(3));
  const std::vector<Proposal> first = bench.optimizer.ask(20);
  REQUIRE(first.size() == 8);
  for (std::size_t i = 8; i-- > 1;) bench.tell(first[i], static_cast<double>(i % 4));
  CHECK(bench.optimizer.ask(20).empty());
  CHECK_FALSE(bench.optimizer.finished());
  bench.tell(first[0], 0.0);
  const std::vector<Proposal> second = bench.optimizer.ask(20);
  REQUIRE(second.size() == 8);
  // 3 and 7 are worth the same, and 7 was the earlier trial here.
  CHECK(second[0].genotype == first[7].genotype);
  CHECK(second[1].genotype == first[3].genotype);
  CHECK(second[2].genotype.decisions.at(0) == 8);
}

TEST_CASE("increasing_image_size carries no failures, and nobody twice") {
  Bench bench({{"trials", 24}}, study_of(3));
  for (int i = 0; i < 8; ++i) {
    const Proposal proposal = bench.ask();
    if (i < 3) {
      bench.tell(proposal, 1.0 + i);
    } else if (i == 3) {
      bench.tell(proposal, std::numeric_limits<double>::quiet_NaN());
    } else {
      bench.fail(proposal);
    }
  }
  CHECK(bench.stage(8, 1) == std::vector<std::int32_t>{2, 1, 0, 8, 9, 10, 11, 12});

  Bench repeating({{"trials", 24}}, study_of(3), {{"distinct", 6}});  // 0 and 1 are proposed twice
  repeating.stage(8, 0);
  CHECK(repeating.stage(5, 1) == std::vector<std::int32_t>{1, 5, 4, 3, 2});
}

TEST_CASE("increasing_image_size goes on when all trials of a stage failed") {
  Bench bench({{"trials", 24}}, study_of(3));
  for (int i = 0; i < 8; ++i) bench.fail(bench.ask());
  CHECK(bench.stage(8, 1) == std::vector<std::int32_t>{8, 9, 10, 11, 12, 13, 14, 15});
}

TEST_CASE("increasing_image_size goes on with who there is when its sampler has no more") {
  Bench bench({{"trials", 30}}, study_of(3), {{"last", 6}});
  CHECK(bench.stage(7, 0) == std::vector<std::int32_t>{0, 1, 2, 3, 4, 5, 6});
  CHECK(bench.stage(5, 1) == std::vector<std::int32_t>{1, 6, 5, 4, 3});
  CHECK(bench.stage(5, 2) == std::vector<std::int32_t>{1, 6, 5, 4, 3});
  CHECK(bench.optimizer.finished());
}

// ---- what the sampler is told ---------------------------------------------------------------------------------------

TEST_CASE("increasing_image_size tells its sampler of each result under the proposal's own number and notes") {
  Bench bench({{"trials", 18}}, study_of(3));
  bench.stage(6, 0);
  bench.stage(6, 1);
  REQUIRE(Counting::told.size() == 12);
  const TrialResult& again = Counting::told[6];  // of candidate 1, on the second size
  CHECK(again.trial == 1);
  CHECK(again.notes == Json{{"drawn", 1}});
  CHECK(again.fidelity.level == 1);
  CHECK(again.reward == 1000.0);
  CHECK(Counting::told[11].trial == 6);
  for (const TrialResult& result : Counting::told) CHECK(result.complete());
}

TEST_CASE("increasing_image_size without history tells its sampler of no reward but on the last size") {
  Bench bench({{"trials", 18}, {"keep_history", false}}, study_of(3));
  for (const int level : {0, 1, 2}) bench.stage(6, level);
  REQUIRE(Counting::told.size() == 18);
  for (std::size_t i = 0; i < 18; ++i) {
    CHECK(Counting::told[i].complete() == (i >= 12));
    CHECK(Counting::told[i].told_reward().has_value() == (i >= 12));
  }
}

// ---- configuration --------------------------------------------------------------------------------------------------

TEST_CASE("increasing_image_size says what is wrong with its arguments") {
  const Json trials = {{"trials", 300}};
  refused(trials, study_of(1),
          "the pipeline has 1 level in /fidelities; must have at least two, the smallest images first: give each the "
          "data set's argument resolution");
  refused(trials, Json::object(), "the pipeline has 0 levels in /fidelities");
  refused(Json::object(), study_of(3), "/trials is null, but the budget does not limit them");
  refused({{"trials", 15}}, study_of(3),
          "/carry_least is 5; by that 5 candidates are evaluated again on level 1, must be fewer than its trials, 5");
  refused({{"trials", 300}, {"carry_share", 1}}, study_of(3), "/carry_share is 1.0; by that 100 candidates");
  refused({{"trials", 300}, {"shares", {1, 1}}}, study_of(3),
          "/shares has 2 numbers; must have one for each of the 3 levels");
  refused({{"trials", 2}, {"carry_least", 0}, {"carry_share", 0}}, study_of(3),
          "/trials leave none for level 2 of /fidelities; give more trials or other /shares");
  Json budget = study_of(3);
  budget["budget"] = {{"trials", 299}};
  refused(trials, budget, "/trials is 300; must not exceed the budget's trials, 299, or the search ends before");
}
