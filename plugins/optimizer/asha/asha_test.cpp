#include <algorithm>
#include <optional>
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

Plugin plugin() { return Plugin::open("optimizer", "asha"); }

Json levels(const std::vector<double>& costs) {
  Json study = {{"fidelities", Json::array()}};
  for (const double cost : costs)
    study["fidelities"].push_back({{"name", "level " + std::to_string(study["fidelities"].size())}, {"cost", cost}});
  return study;
}

// Algorithm 2 of Li et al. 2020, word by word, every rung sorted anew at every look.
class Reference {
 public:
  struct Job {
    int candidate;
    std::size_t rung;
    std::optional<TrialId> from = {};
  };

  Reference(std::size_t rungs, std::size_t eta, int most) : rungs_(rungs), eta_(eta), most_(most) {}

  std::optional<Job> get_job() {
    for (std::size_t k = rungs_.size() - 1; k-- > 0;) {
      std::vector<Entry*> rung;
      for (Entry& entry : rungs_[k]) rung.push_back(&entry);
      std::sort(rung.begin(), rung.end(), [](const Entry* a, const Entry* b) {
        if (a->reward.has_value() != b->reward.has_value()) return a->reward.has_value();
        return a->reward != b->reward ? a->reward > b->reward : a->candidate < b->candidate;
      });
      for (std::size_t i = 0; i < rung.size() / eta_; ++i) {
        if (rung[i]->promoted || !rung[i]->reward) continue;
        rung[i]->promoted = true;
        return Job{rung[i]->candidate, k + 1, rung[i]->trial};
      }
    }
    if (begun_ == most_) return {};
    return Job{begun_++, 0};
  }
  void update(const Job& job, TrialId trial, std::optional<double> reward) {
    rungs_[job.rung].push_back({job.candidate, trial, reward});
  }

 private:
  struct Entry {
    int candidate;
    TrialId trial;
    std::optional<double> reward;
    bool promoted = false;
  };
  std::vector<std::vector<Entry>> rungs_;
  std::size_t eta_;
  int most_;
  int begun_ = 0;
};

struct Running {
  TrialId trial;
  Proposal proposal;
  Reference::Job job;
};

// Half of the rewards are equal to others. Some fail, or are pruned with a prediction or without.
TrialResult random_end(const Running& running, Rng& rng) {
  const double fate = rng.uniform();
  TrialResult result = result_of(running.trial, running.proposal,
                                 fate < 0.1   ? TrialState::fail
                                 : fate < 0.3 ? TrialState::pruned
                                              : TrialState::complete);
  const double reward = static_cast<double>(rng.below(40)) - 20.0;
  if (result.complete()) result.reward = reward;
  if (fate > 0.2 && fate < 0.3) result.predicted = reward;
  return result;
}

void compare_with_reference(std::size_t slots, std::uint64_t seed, int most, int trials) {
  INFO(slots << " slots, seed " << seed << ", " << most << " candidates at most");
  Json args = {{"maximum", 27}};
  if (most > 0) args["most_candidates"] = most;
  Bench bench(plugin(), args, {}, seed);
  Reference reference(4, 3, most);
  Rng rng(seed);
  std::vector<Genotype> candidates;
  std::vector<Running> running;
  TrialId asked = 0;
  int promotions = 0, told = 0;
  const std::vector<int> epochs = {1, 3, 9, 27};
  for (; told < trials; ++told) {
    const std::vector<Proposal> proposals = bench.optimizer.ask(slots - running.size());
    for (const Proposal& proposal : proposals) {
      const std::optional<Reference::Job> job = reference.get_job();
      REQUIRE(job);
      REQUIRE(proposal.fidelity == Fidelity{.epochs = epochs[job->rung], .resume_from = job->from});
      if (job->rung == 0) candidates.push_back(proposal.genotype);
      REQUIRE(proposal.genotype == candidates.at(static_cast<std::size_t>(job->candidate)));
      promotions += job->rung > 0 ? 1 : 0;
      running.push_back({asked++, proposal, *job});
    }
    if (running.size() < slots) REQUIRE_FALSE(reference.get_job());
    REQUIRE(bench.optimizer.finished() == running.empty());
    if (running.empty()) break;
    std::size_t at = rng.below(running.size());
    // One in eleven comes late: after all that are not late, unless one in thirty looks is its own.
    for (std::size_t tries = 0; running[at].trial % 11 == 0 && tries < running.size() && !rng.bernoulli(0.03); ++tries)
      at = (at + 1) % running.size();
    const TrialResult result = random_end(running[at], rng);
    bench.optimizer.tell(result);
    reference.update(running[at].job, running[at].trial, result.told_reward());
    running.erase(running.begin() + static_cast<std::ptrdiff_t>(at));
  }
  CHECK(promotions > told / 6);
}

// Trials 0, 1, .. of one that proposes them all at once, told one after the other.
struct Told {
  Bench bench;
  std::vector<Proposal> proposals;
  TrialId next = 0;

  Told(const Json& args, std::size_t count) : bench(plugin(), args, {}, 1), proposals(bench.optimizer.ask(count)) {
    REQUIRE(proposals.size() == count);
  }
  void tell(double reward) {
    TrialResult result = result_of(next, proposals.at(static_cast<std::size_t>(next)));
    result.reward = reward;
    bench.optimizer.tell(result);
    ++next;
  }
  std::vector<TrialId> resumable() const { return bench.optimizer.resumable().value(); }
};

using Trials = std::vector<TrialId>;

}  // namespace

TEST_CASE("asha keeps the contract of optimizers") {
  // A random sampler learns nothing.
  check_optimizer(plugin(), {{"maximum", 9}}, {.improves = false});
}

TEST_CASE("asha of a sampler that learns keeps the contract, and improves") {
  const Json sampler = {{"name", "regularized_evolution"}, {"args", {{"population_size", 20}, {"sample_size", 10}}}};
  check_optimizer(plugin(), {{"sampler", sampler}, {"maximum", 4}, {"eta", 2}}, {.long_study = 2000});
}

TEST_CASE("asha keeps the contract when its candidates are limited, and with levels") {
  check_optimizer(plugin(), {{"maximum", 9}, {"most_candidates", 100}}, {.long_study = 1000, .improves = false});
  check_optimizer(plugin(), {{"resource", "level"}},
                  {.study = levels({12, 200}), .long_study = 2000, .improves = false});
}

TEST_CASE("asha promotes as its paper's algorithm does, with one slot and with sixteen") {
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    compare_with_reference(1, seed, -1, 400);
    compare_with_reference(16, seed, -1, 600);
    compare_with_reference(16, seed, 150, 1000);
  }
}

TEST_CASE("asha never waits") {
  Bench bench(plugin(), {{"maximum", 9}}, {}, 1);
  CHECK(bench.optimizer.ask(500).size() == 500);
  CHECK_FALSE(bench.optimizer.finished());
}

TEST_CASE("asha promotes the highest rung first, and nobody twice") {
  Told told({{"maximum", 9}}, 9);
  told.tell(1.0), told.tell(3.0);
  CHECK(told.bench.optimizer.ask(1)[0].fidelity == Fidelity{.epochs = 1});  // floor(2 / 3) is none
  told.tell(2.0);
  const auto promoted = [&](int epochs, TrialId from) {
    const Proposal proposal = told.bench.optimizer.ask(1).at(0);
    CHECK(proposal.fidelity == Fidelity{.epochs = epochs, .resume_from = from});
    return proposal;
  };
  const Proposal first = promoted(3, 1);
  CHECK(told.bench.optimizer.ask(1)[0].fidelity == Fidelity{.epochs = 1});
  for (const double reward : {9.0, 8.0, 7.0, 6.0, 5.0, 4.0}) told.tell(reward);
  // Of nine the best three are 3, 4, 5; trial 1 was promoted though it is not among them.
  const Proposal second = promoted(3, 3);
  const Proposal third = promoted(3, 4);
  TrialId trial = 20;
  for (const Proposal& proposal : {first, second, third}) {
    TrialResult result = result_of(trial, proposal);
    result.reward = trial == 21 ? 2.0 : 1.0;
    told.bench.optimizer.tell(result);
    ++trial;
  }
  promoted(9, 21);
  promoted(3, 5);
  CHECK(told.bench.optimizer.ask(1)[0].fidelity == Fidelity{.epochs = 1});
}

TEST_CASE("asha counts trials that failed as the worst of their rung") {
  Bench bench(plugin(), {{"maximum", 3}}, {}, 1);
  const std::vector<Proposal> first = bench.optimizer.ask(6);
  for (std::size_t i = 0; i < 5; ++i)
    bench.optimizer.tell(result_of(static_cast<TrialId>(i), first[i], TrialState::fail));
  CHECK(bench.optimizer.ask(1)[0].fidelity == Fidelity{.epochs = 1});
  CHECK(bench.optimizer.resumable().value().empty());
  TrialResult last = result_of(5, first[5]);
  last.reward = -1e9;
  bench.optimizer.tell(last);
  CHECK(bench.optimizer.ask(1)[0].fidelity == Fidelity{.epochs = 3, .resume_from = 5});
}

TEST_CASE("asha names all that may be promoted yet") {
  Told told({{"maximum", 3}}, 6);
  told.tell(0.1), told.tell(0.9), told.tell(0.5);
  CHECK(told.resumable() == Trials{1, 2, 0});
  REQUIRE(told.bench.optimizer.ask(1)[0].fidelity.resume_from == 1);
  CHECK(told.resumable() == Trials{2, 0});
}

TEST_CASE("asha names fewer where its candidates are limited") {
  // Of three, one is promoted: the best.
  Told three({{"maximum", 3}, {"most_candidates", 3}}, 3);
  three.tell(0.5);
  CHECK(three.resumable() == Trials{0});
  three.tell(0.4);
  CHECK(three.resumable() == Trials{0});
  three.tell(0.6);
  CHECK(three.resumable() == Trials{2});
  const std::vector<Proposal> last = three.bench.optimizer.ask(5);
  REQUIRE(last.size() == 1);
  CHECK(three.resumable().empty());
  CHECK_FALSE(three.bench.optimizer.finished());
  three.bench.optimizer.tell(result_of(3, last[0]));
  CHECK(three.bench.optimizer.finished());

  // Of nine told, the best three are promoted and no other comes after them: of the rung above, the best one is.
  Told nine({{"maximum", 9}, {"most_candidates", 9}}, 9);
  for (int i = 9; i > 0; --i) nine.tell(i);
  CHECK(nine.resumable() == Trials{0, 1, 2});
  const std::vector<Proposal> above = nine.bench.optimizer.ask(5);
  REQUIRE(above.size() == 3);
  TrialId trial = 9;
  for (const double reward : {1.0, 3.0, 2.0}) {
    TrialResult result = result_of(trial, above[static_cast<std::size_t>(trial - 9)]);
    result.reward = reward;
    nine.bench.optimizer.tell(result);
    CHECK(nine.resumable() == Trials{trial == 9 ? 9 : 10});
    ++trial;
  }
}

TEST_CASE("asha promotes from level to level by the ratio of their costs") {
  Bench bench(plugin(), {{"resource", "level"}, {"most_candidates", 100}}, {.study = levels({12, 200})}, 1);
  std::vector<int> on_level = {0, 0};
  for (TrialId trial = 0; !bench.optimizer.finished(); ++trial) {
    const std::vector<Proposal> asked = bench.optimizer.ask(1);
    REQUIRE(asked.size() == 1);
    REQUIRE_FALSE(asked[0].fidelity.resume_from);
    ++on_level.at(static_cast<std::size_t>(asked[0].fidelity.level.value()));
    TrialResult result = result_of(trial, asked[0]);
    result.reward = -static_cast<double>(trial);  // worse and worse: nobody is promoted too soon
    bench.optimizer.tell(result);
  }
  CHECK(on_level == std::vector<int>{100, 6});
}

TEST_CASE("asha promotes shares of the data anew") {
  Bench bench(plugin(), {{"resource", "data_fraction"}, {"minimum", 0.25}, {"maximum", 1}, {"eta", 2}}, {}, 1);
  const std::vector<Proposal> first = bench.optimizer.ask(2);
  CHECK(first[0].fidelity == Fidelity{.data_fraction = 0.25});
  bench.optimizer.tell(result_of(0, first[0]));
  bench.optimizer.tell(result_of(1, first[1]));
  CHECK(bench.optimizer.ask(1)[0].fidelity == Fidelity{.data_fraction = 0.5});
}

TEST_CASE("asha refuses what nobody is promoted by") {
  const auto refused = [](const Json& args, const char* why, const Json& study = Json::object()) {
    CHECK_THROWS_WITH(Bench(plugin(), args, {.study = study}, 1), ContainsSubstring(why));
  };
  refused(Json::object(), "/maximum is null; must be given");
  refused({{"maximum", 3}, {"minimum", 9}}, "/maximum is 3; must not be below /minimum, 9");
  refused({{"maximum", 9}, {"minimum", 1.5}}, "/minimum is 1.5; must be a whole number of epochs");
  refused({{"resource", "level"}}, "/resource is \"level\", but the pipeline has 0 levels");
  refused({{"maximum", 27}, {"most_candidates", 26}}, "/most_candidates is 26; must be at least 27");
  // Ten would send three to the second level, of whom none went on.
  refused({{"resource", "level"}, {"most_candidates", 11}}, "/most_candidates is 11; must be at least 12",
          levels({1, 3, 10}));
  CHECK(plugin().manifest.at("parameters").at("properties").at("eta").at("minimum") == 2);
}
