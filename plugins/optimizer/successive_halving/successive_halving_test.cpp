#include <string>
#include <utility>
#include <vector>

#include "tests/catch.hpp"
#include "weft/testing/optimizer_contract.hpp"

using namespace weft;
using namespace weft::testing;
using optimizer_contract::Bench;
using optimizer_contract::result_of;

namespace {

Plugin plugin() { return Plugin::open("optimizer", "successive_halving"); }

Json levels(const std::vector<double>& costs) {
  Json study = {{"fidelities", Json::array()}};
  for (const double cost : costs)
    study["fidelities"].push_back({{"name", "level " + std::to_string(study["fidelities"].size())}, {"cost", cost}});
  return study;
}

// A space of one architecture.
class Lone final : public DecisionSpace {
 public:
  explicit Lone(const Context&) {}
  std::optional<Decision> next(std::span<const std::int32_t> taken) const override {
    if (!taken.empty()) return {};
    return Decision{.name = "the only one", .options = {"a"}};
  }
  Candidate decode(const Genotype&) const override { throw Error("nothing to build"); }
};

Plugin lone_space() {
  static constexpr weft_component component = weft::component<Lone>("lone");
  return {&component, {{"parameters", Json::object()}}};
}

// All trials of a study, one at a time; the reward is the trial's number.
std::vector<Proposal> all_of(Bench& bench) {
  std::vector<Proposal> all;
  while (!bench.optimizer.finished()) {
    const std::vector<Proposal> asked = bench.optimizer.ask(1);
    REQUIRE(asked.size() == 1);
    all.push_back(asked.front());
    TrialResult result = result_of(static_cast<TrialId>(all.size() - 1), asked.front());
    result.reward = static_cast<double>(all.size() - 1);
    bench.optimizer.tell(result);
  }
  return all;
}

}  // namespace

TEST_CASE("successive_halving keeps the contract of optimizers") {
  // A random sampler learns nothing, and later brackets begin as the first did.
  check_optimizer(plugin(), {{"maximum", 9}, {"rounds", 0}}, {.improves = false});
}

TEST_CASE("successive_halving of a sampler that learns keeps the contract, and improves") {
  const Json sampler = {{"name", "regularized_evolution"}, {"args", {{"population_size", 20}, {"sample_size", 10}}}};
  check_optimizer(plugin(), {{"sampler", sampler}, {"maximum", 4}, {"eta", 2}, {"rounds", 0}}, {.long_study = 2000});
}

TEST_CASE("successive_halving keeps the contract with levels, one round, one bracket at a time") {
  check_optimizer(plugin(), {{"resource", "level"}, {"rounds", 20}, {"parallel_brackets", false}},
                  {.study = levels({12, 200}), .long_study = 1000, .improves = false});
}

TEST_CASE("successive_halving halves by eta, and goes on from the rung below") {
  Bench bench(plugin(), {{"maximum", 8}, {"eta", 2}, {"candidates", 9}}, {}, 1);
  const std::vector<Proposal> all = all_of(bench);
  REQUIRE(all.size() == 9 + 4 + 2 + 1);
  // The latest told is the best: of 0 .. 8 the rung above has 8, 7, 6, 5.
  for (std::size_t i = 0; i < all.size(); ++i) {
    const int epochs = i < 9 ? 1 : i < 13 ? 2 : i < 15 ? 4 : 8;
    CHECK(all[i].fidelity.epochs == epochs);
    const std::vector<TrialId> from = {8, 7, 6, 5, 12, 11, 14};
    CHECK(all[i].fidelity.resume_from == (i < 9 ? std::nullopt : std::optional(from[i - 9])));
    if (i >= 9) CHECK(all[i].genotype == all[static_cast<std::size_t>(from[i - 9])].genotype);
  }
}

TEST_CASE("successive_halving begins with as many candidates as it takes for one to have the whole resource") {
  Bench epochs(plugin(), {{"maximum", 27}}, {}, 1);
  CHECK(all_of(epochs).size() == 27 + 9 + 3 + 1);
  Bench costs(plugin(), {{"resource", "level"}}, {.study = levels({12, 200})}, 1);
  CHECK(all_of(costs).size() == 17 + 1);  // 200 / 12 = 16.7
}

TEST_CASE("successive_halving repeats its bracket as often as it is told to") {
  Bench bench(plugin(), {{"maximum", 3}, {"rounds", 4}}, {}, 1);
  const std::vector<Proposal> all = all_of(bench);
  REQUIRE(all.size() == 4 * (3 + 1));
  for (std::size_t i = 0; i < all.size(); ++i) CHECK(all[i].fidelity.epochs == (i % 4 == 3 ? 3 : 1));
}

TEST_CASE("successive_halving allots shares of the data and levels without going on from checkpoints") {
  Bench shares(plugin(), {{"resource", "data_fraction"}, {"minimum", 0.1}, {"maximum", 0.9}}, {}, 1);
  const std::vector<Proposal> of_data = all_of(shares);
  REQUIRE(of_data.size() == 9 + 3 + 1);
  CHECK(of_data[8].fidelity == Fidelity{.data_fraction = 0.9 / 9});
  CHECK(of_data[9].fidelity == Fidelity{.data_fraction = 0.9 / 3});
  CHECK(of_data[12].fidelity == Fidelity{.data_fraction = 0.9});
  Bench costs(plugin(), {{"resource", "level"}, {"candidates", 50}}, {.study = levels({12, 200})}, 1);
  const std::vector<Proposal> of_levels = all_of(costs);
  REQUIRE(of_levels.size() == 50 + 3);
  CHECK(of_levels[49].fidelity == Fidelity{.level = 0});
  CHECK(of_levels[50].fidelity == Fidelity{.level = 1});
  CHECK(of_levels[50].genotype == of_levels[49].genotype);
  CHECK(costs.optimizer.resumable().value_or(std::vector<TrialId>()).empty());
}

TEST_CASE("successive_halving names what it may go on from until the rung is decided") {
  Bench bench(plugin(), {{"maximum", 9}}, {}, 1);
  const std::vector<Proposal> first = bench.optimizer.ask(9);
  REQUIRE(first.size() == 9);
  CHECK(bench.optimizer.ask(1).empty());  // there is one round
  std::vector<std::size_t> listed;
  for (std::size_t i = 0; i < 9; ++i) {
    TrialResult result = result_of(static_cast<TrialId>(i), first[i]);
    result.reward = 9.0 - static_cast<double>(i);
    bench.optimizer.tell(result);
    listed.push_back(bench.optimizer.resumable().value().size());
  }
  CHECK(listed == std::vector<std::size_t>{1, 2, 3, 3, 3, 3, 3, 3, 3});
  CHECK(bench.optimizer.resumable() == std::vector<TrialId>{0, 1, 2});
  REQUIRE(bench.optimizer.ask(2).size() == 2);
  CHECK(bench.optimizer.resumable() == std::vector<TrialId>{2});
}

TEST_CASE("successive_halving takes the same candidate twice for two") {
  Bench bench(plugin(), {{"maximum", 9}}, {.space = lone_space()}, 1);
  const std::vector<Proposal> all = all_of(bench);
  REQUIRE(all.size() == 9 + 3 + 1);
  CHECK(all[9].fidelity.resume_from == 8);
  CHECK(all[10].fidelity.resume_from == 7);
}

TEST_CASE("successive_halving ends a bracket of which every trial fails") {
  Bench bench(plugin(), {{"maximum", 9}}, {}, 1);
  const std::vector<Proposal> first = bench.optimizer.ask(20);
  for (std::size_t i = 0; i < first.size(); ++i) {
    CHECK_FALSE(bench.optimizer.finished());
    bench.optimizer.tell(
        result_of(static_cast<TrialId>(i), first[i], i % 2 == 0 ? TrialState::fail : TrialState::pruned));
  }
  CHECK(bench.optimizer.finished());
  CHECK(bench.optimizer.resumable().value().empty());
}

TEST_CASE("successive_halving refuses what never reaches the whole resource") {
  const auto refused = [](const Json& args, const char* why, const Json& study = Json::object()) {
    CHECK_THROWS_WITH(Bench(plugin(), args, {.study = study}, 1), ContainsSubstring(why));
  };
  refused(Json::object(), "/maximum is null; must be given");
  refused({{"maximum", 3}, {"minimum", 9}}, "/maximum is 3; must not be below /minimum, 9");
  refused({{"maximum", 9}, {"minimum", 1.5}}, "/minimum is 1.5; must be a whole number of epochs");
  refused({{"resource", "level"}}, "/resource is \"level\", but the pipeline has 0 levels");
  refused({{"maximum", 27}, {"candidates", 26}},
          "/candidates is 26; must be at least 27, or none comes to the last of 4");
  refused({{"resource", "level"}, {"candidates", 16}}, "/candidates is 16; must be at least 17", levels({12, 200}));
  refused({{"maximum", 27}}, "/candidates is 27; must be less than the budget's trials, 27",
          {{"budget", {{"trials", 27}}}});
  CHECK(plugin().manifest.at("parameters").at("properties").at("eta").at("minimum") == 2);
}
