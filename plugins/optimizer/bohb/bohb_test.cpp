#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <unordered_map>

#include "kernel_density.hpp"
#include "tests/catch.hpp"
#include "tests/nas_bench_201.hpp"
#include "weft/search/sampler.hpp"
#include "weft/testing/optimizer_contract.hpp"

using namespace weft;
using namespace weft::testing;
using optimizer_contract::result_of;

namespace {

Plugin plugin() { return Plugin::open("optimizer", "bohb"); }

const Json never_random = {{"random_fraction", 0}};

constexpr bohb::Rule published{.min_bandwidth = 1e-3, .category_deviation = bohb::CategoryDeviation::index};
constexpr bohb::Rule nominal{.min_bandwidth = 1e-3, .category_deviation = bohb::CategoryDeviation::nominal};

// A tree: the family decides which other decisions there are.
class Tree final : public DecisionSpace {
 public:
  explicit Tree(const Context&) {}
  std::optional<Decision> next(std::span<const std::int32_t> taken) const override {
    if (taken.empty()) return Decision{.name = "family", .options = {"convolution", "recurrence", "none"}};
    if (taken[0] == 2 || taken.size() == 2) return {};
    return Decision{.name = taken[0] == 0 ? "filters" : "units",
                    .kind = Decision::Kind::ordinal,
                    .options = ordinal_options({8, 16, 32, 64, 128, 256, 512, 1024}),
                    .step = 1};
  }
  Candidate decode(const Genotype&) const override { throw Error("nothing to build"); }
};

Plugin tree() {
  static constexpr weft_component component = weft::component<Tree>("tree");
  return {&component, {{"parameters", Json::object()}}};
}

// One sampler, told whatever rewards a test wants.
class Bench {
 public:
  explicit Bench(const Json& args, const Plugin& space = small_space(), std::uint64_t seed = 1)
      : space_(space, {}),
        instance_(plugin(), args, {.rng = Rng(seed), .collaborators = {{"space", space_.handle()}}}),
        space(space_.handle()),
        optimizer(instance_.handle()) {}

  Genotype ask() { return optimizer.ask(1).at(0).genotype; }
  void tell(const Genotype& genotype, double reward, Fidelity fidelity = {}) {
    TrialResult result = result_of(0, {.genotype = genotype, .fidelity = fidelity});
    result.reward = reward;
    optimizer.tell(result);
  }
  // The share of proposals that take this option first.
  double share(std::int32_t option) {
    int taking = 0;
    for (int i = 0; i < 200; ++i) taking += ask().decisions[0] == option ? 1 : 0;
    return taking / 200.0;
  }

 private:
  Instance space_;
  Instance instance_;

 public:
  SpaceRef space;
  OptimizerRef optimizer;
};

}  // namespace

// A density has a kernel for each result, so that what a proposal costs grows with them: the bound that the suite puts
// on the last trials' cost holds in a short study.
TEST_CASE("bohb keeps the contract of optimizers") {
  check_optimizer(plugin(), Json::object(), {.trials = 150, .long_study = 200});
}

// The space has 17 candidates: without duplicates it would be over soon.
TEST_CASE("bohb keeps the contract of optimizers in a conditional space") {
  check_optimizer(plugin(), {{"samples", 16}, {"duplicates", "allow"}},
                  {.space = tree(), .trials = 150, .decoded = 0, .long_study = 200});
}

TEST_CASE("bohb's defaults are the authors'") {
  const Json defaults = plugin().configuration({});
  CHECK(defaults.at("samples") == 64);
  CHECK(defaults.at("top_percent") == 15);
  CHECK(defaults.at("random_fraction").get<double>() == Approx(1.0 / 3));
  CHECK(defaults.at("bandwidth_factor") == 3);
  CHECK(defaults.at("min_bandwidth").get<double>() == Approx(1e-3));
}

// ---- the density
// ------------------------------------------------------------------------------------------------------

TEST_CASE("bohb: bandwidths by the normal reference rule") {
  const bohb::Variable number{.options = 8, .ordinal = true}, category{.options = 5, .ordinal = false};
  // 1.06 * 0.25 * 2^(-1/5), of one decision.
  CHECK(bohb::bandwidth(number, std::vector<double>{0.25, 0.75}, 1, nominal) == Approx(0.230696).margin(1e-6));
  // 1.06 * 0.25 * 2^(-1/7), of three.
  CHECK(bohb::bandwidth(number, std::vector<double>{0.25, 0.75}, 3, nominal) == Approx(0.240017).margin(1e-6));
  CHECK(bohb::bandwidth(number, std::vector<double>{0.5, 0.5}, 1, nominal) == Approx(1e-3));
  const std::vector<double> all = {0, 1, 2, 3, 4};
  CHECK(bohb::bandwidth(category, all, 6, nominal) == Approx(1.06 * std::sqrt(0.4) * std::pow(5.0, -0.1)));
  // 1.06 * sqrt(2) * 5^(-1/10) = 1.276 is no share of a category's mass.
  CHECK(bohb::bandwidth(category, all, 6, published) == Approx(0.8));
  CHECK(bohb::nominal_deviation(std::vector<double>{0, 1, 1, 1}, 2) ==
        Approx(bohb::standard_deviation(std::vector<double>{0, 1, 1, 1})));
}

TEST_CASE("bohb: the density of categories sums to 1, that of numbers integrates to 1") {
  const bohb::KernelDensity categories({{.options = 4, .ordinal = false}, {.options = 3, .ordinal = false}},
                                       {0, 2, 0, 1, 3, 2, 0, 2}, nominal);
  double sum = 0.0;
  for (double a = 0; a < 4; ++a)
    for (double b = 0; b < 3; ++b) sum += std::exp(categories.log_density(std::vector<double>{a, b}));
  CHECK(sum == Approx(1.0));
  const bohb::KernelDensity numbers({{.options = 9, .ordinal = true}}, {0.1, 0.5, 0.6}, nominal);
  double integral = 0.0;
  for (double x = -3.0; x < 4.0; x += 1e-3) integral += 1e-3 * std::exp(numbers.log_density(std::vector<double>{x}));
  CHECK(integral == Approx(1.0).epsilon(1e-3));
}

TEST_CASE("bohb: of 0, 0, 1 among three categories") {
  // h = 1.06 sqrt((1 - 5/9) / 2) 3^(-1/5) = 0.401121; (2 (1 - h) + h / 2) / 3
  const bohb::KernelDensity density({{.options = 3, .ordinal = false}}, {0, 0, 1}, nominal);
  CHECK(density.bandwidths()[0] == Approx(0.401121).margin(1e-6));
  CHECK(std::exp(density.log_density(std::vector<double>{0})) == Approx(0.466106).margin(1e-6));
}

TEST_CASE("bohb: a truncated normal distribution stays in its range, narrow or wide") {
  Rng rng(6);
  for (const double deviation : {0.003, 0.4, 3.0, 1000.0}) {
    double mean = 0.0, squares = 0.0;
    for (int i = 0; i < 4000; ++i) {
      const double drawn = bohb::truncated_normal(0.5, deviation, rng);
      REQUIRE((drawn >= 0.0 && drawn <= 1.0));
      mean += drawn / 4000, squares += (drawn - 0.5) * (drawn - 0.5) / 4000;
    }
    CHECK(std::abs(mean - 0.5) < 0.03);
    if (deviation == 0.003) CHECK(std::sqrt(squares) == Approx(0.003).epsilon(0.1));
    if (deviation == 1000.0) CHECK(squares == Approx(1.0 / 12).epsilon(0.1));
  }
  for (int i = 0; i < 100; ++i) CHECK(bohb::truncated_normal(0.0, 0.2, rng) >= 0.0);
}

TEST_CASE("bohb: options lie in the middle of their shares of the range") {
  const bohb::Variable number{.options = 4, .ordinal = true};
  CHECK(number.value_of(0) == 0.125);
  for (std::size_t option = 0; option < 4; ++option) CHECK(number.option_at(number.value_of(option)) == option);
  CHECK(number.option_at(0.0) == 0);
  CHECK(number.option_at(1.0) == 3);
}

// ---- the sampler
// ------------------------------------------------------------------------------------------------------

// Six decisions: seven good points and more than six bad ones. Two that are told opposite things propose the same until
// then.
TEST_CASE("bohb has a model as soon as there are points enough for both sets") {
  Bench one(never_random), other(never_random);
  Rng rng(8);
  for (int told = 0; told < 14; ++told) {
    REQUIRE(one.ask() == other.ask());
    const Genotype genotype = one.space.sample(rng);
    one.tell(genotype, told);
    other.tell(genotype, -told);
  }
  CHECK(one.ask() != other.ask());
}

// A decision that no result had before needs more results than there are: the model learns on without it.
TEST_CASE("bohb goes on learning where a new decision appears") {
  std::vector<std::vector<Genotype>> proposed;
  for (const double reward : {100.0, -100.0}) {
    Bench bench({{"random_fraction", 0}, {"duplicates", "allow"}}, tree());
    for (std::int32_t told = 0; told < 6; ++told) bench.tell(Genotype({1, told}), told);
    bench.ask();  // of a model
    bench.tell(Genotype({0, 3}), reward);
    std::vector<Genotype>& asked = proposed.emplace_back();
    for (int i = 0; i < 20; ++i) asked.push_back(bench.ask());
  }
  CHECK(proposed[0] != proposed[1]);
}

TEST_CASE("bohb models the largest budget that has points enough") {
  Bench bench(never_random);
  Rng rng(3);
  const auto tell = [&](int count, int epochs, std::int32_t good) {
    for (int i = 0; i < count; ++i) {
      const Genotype genotype = bench.space.sample(rng);
      bench.tell(genotype, genotype.decisions[0] == good ? 1.0 : 0.0, {.epochs = epochs});
    }
  };
  tell(100, 1, 1);
  CHECK(bench.share(1) > 0.6);
  tell(13, 9, 3);
  CHECK(bench.share(1) > 0.6);
  tell(87, 9, 3);
  CHECK(bench.share(3) > 0.6);
  tell(300, 1, 1);  // of no interest any more
  CHECK(bench.share(3) > 0.6);
  tell(100, 27, 4);
  CHECK(bench.share(4) > 0.6);
}

TEST_CASE("bohb draws one in three at random") {
  Bench bench({{"duplicates", "allow"}, {"samples", 1}, {"bandwidth_factor", 1}});
  const Genotype good({2, 2, 2, 2, 2, 2}), bad({0, 1, 3, 4, 0, 1});
  for (int i = 0; i < 50; ++i) bench.tell(good, 1.0), bench.tell(bad, 0.0);
  int drawn = 0;
  for (int i = 0; i < 600; ++i) drawn += bench.ask() == good ? 0 : 1;
  CHECK(std::abs(drawn - 200) < 4 * 12);
}

TEST_CASE("bohb takes a crash for the worst result") {
  Bench bench(never_random);
  Rng rng(7);
  for (int i = 0; i < 100; ++i) {
    Proposal proposal{.genotype = bench.space.sample(rng)};
    if (proposal.genotype.decisions[0] == 0)
      bench.optimizer.tell(result_of(0, proposal, TrialState::fail));
    else
      bench.tell(proposal.genotype, proposal.genotype.decisions[0] == 1 ? std::nan("") : -1000.0);
  }
  CHECK(bench.share(0) + bench.share(1) < 0.2);
}

TEST_CASE("bohb proposes no candidate of its model twice") {
  Bench bench(Json::object());
  std::set<std::string> seen;
  for (int i = 0; i < 200; ++i) {
    const Genotype genotype = bench.ask();
    seen.insert(genotype.key());
    bench.tell(genotype, optimizer_contract::reward_of(genotype));
  }
  CHECK(seen.size() >= 195);  // random ones may coincide
}

// As hyperband asks and tells: one at a time, and of several fidelities each.
TEST_CASE("bohb is a sampler, told of a candidate more than once") {
  const Instance space(small_space(), {});
  const Instance instance(plugin(), Json::object(), {.rng = Rng(2), .collaborators = {{"space", space.handle()}}});
  search::Sampler sampler(instance.handle());
  double late = 0.0;
  for (int i = 0; i < 200; ++i) {
    const auto drawn = sampler.draw();
    REQUIRE(drawn);
    if (i >= 150) late += optimizer_contract::reward_of(drawn->genotype) / 50;
    for (const int epochs : {1, 3, 9}) {
      if (epochs > 1 && i % epochs != 0) continue;
      sampler.tell(result_of(1000 + i, {.genotype = drawn->genotype, .fidelity = {.epochs = epochs}}), drawn->number,
                   drawn->notes);
    }
  }
  CHECK(late > 0.3);  // at random 0.2
}

// Random search comes to 83.7 after 100 trials (median).
TEST_CASE("bohb is better than random search on NAS-Bench-201") {
  const std::unordered_map<std::string, double> table = nas_bench_201();
  if (table.empty()) {
    WARN("SKIPPED: nas-bench-201/cifar10.csv is neither in $WEFT_DATA nor in ../shared/data");
    return;
  }
  const Instance space(Plugin::open("space", "nas_bench_201"), Json::object(),
                       {.study = {{"task", {{"input", {3, 32, 32}}, {"classes", 10}}}}});
  const SpaceRef notations(space.handle());
  std::vector<double> ours, random;
  for (std::uint64_t seed = 0; seed < 15; ++seed) {
    const Instance instance(plugin(), Json::object(), {.rng = Rng(seed), .collaborators = {{"space", space.handle()}}});
    OptimizerRef optimizer(instance.handle());
    double best = 0.0, drawn = 0.0;
    Rng rng(seed + 1000);
    for (TrialId trial = 0; trial < 150; ++trial) {
      const Proposal proposal = optimizer.ask(1).at(0);
      TrialResult result = result_of(trial, proposal);
      result.reward = table.at(notations.notation(proposal.genotype));
      best = std::max(best, result.reward);
      drawn = std::max(drawn, table.at(notations.notation(notations.sample(rng))));
      optimizer.tell(result);
    }
    ours.push_back(best), random.push_back(drawn);
  }
  INFO(median(ours) << ", at random " << median(random));
  CHECK(median(ours) > median(random) + 0.3);
}
