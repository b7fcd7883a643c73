// TPE, the tree-structured Parzen estimator: one density of the good trials, one of the rest, and candidates for which
// the quotient of the two is large.
//
// Bergstra, Bardenet, Bengio, Kegl 2011, "Algorithms for Hyper-Parameter Optimization", section 4; the estimators,
// weights and sets are those of Optuna 3.1 (Akiba et al. 2019; Watanabe 2023, "Tree-Structured Parzen Estimator",
// compares them). A decision is drawn when the space asks for it, from the trials that took a decision of this name; so
// spaces whose decisions depend on each other are modelled as they are, as trees.
//
// Multivariate: decisions that always exist together are drawn jointly. Options are those that a decision offered when
// it was last met; where it offers others by then, an option drawn in vain is replaced by one of the univariate
// estimator.
//
// Deviations from Optuna. Trials that failed are the worst of all, and no more ignored: else what always fails would
// look as if nobody had tried it. Gamma counts those with a value, as 1/10 in whole numbers (0.1 n is 7.000000000000001
// for 70). Duplicates are drawn again, from half as many candidates each time, until they are plain draws from the good
// ones.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "parzen.hpp"
#include "trials.hpp"
#include "weft/budget.hpp"
#include "weft/in_flight.hpp"
#include "weft/plugin.hpp"

namespace {

using tpe::Observed;
using tpe::Variable;
using weft::Genotype;

struct Options {
  bool multivariate;
  std::size_t startup_trials;
  std::size_t candidates;
  double prior_weight;
  std::string gamma;
  bool constant_liar;
  bool resamples;
  std::size_t tries;
  bool largest_fidelity;

  explicit Options(const weft::Context& context)
      : multivariate(context.get<bool>("multivariate")),
        startup_trials(context.get<std::size_t>("startup_trials")),
        candidates(context.get<std::size_t>("candidates")),
        prior_weight(context.get<double>("prior_weight")),
        gamma(context.get<std::string>("gamma")),
        constant_liar(context.get<bool>("constant_liar")),
        resamples(context.get<std::string>("duplicates") == "resample"),
        tries(context.get<std::size_t>("tries")),
        largest_fidelity(context.get<std::string>("fidelity") == "largest") {
    const weft::Budget budget(context.study());
    if (startup_trials >= budget.least()) {
      throw weft::InvalidInput("/startup_trials is " + std::to_string(startup_trials) + "; must be less than " +
                               budget.words() + ", or nothing is drawn from what was learnt");
    }
  }
};

// The first of those with the highest score.
template <typename Draw, typename Score>
auto best_of(std::size_t candidates, Draw&& draw, Score&& score) {
  auto best = draw();
  if (candidates == 1) return best;
  double best_score = score(best);
  for (std::size_t i = 1; i < candidates; ++i) {
    auto candidate = draw();
    const double its_score = score(candidate);
    if (its_score > best_score) best = std::move(candidate), best_score = its_score;
  }
  return best;
}

class Tpe final : public weft::Optimizer {
 public:
  explicit Tpe(const weft::Context& context) : options_(context), space_(context.space()), rng_(context.rng()) {}

  std::vector<weft::Proposal> ask(std::size_t capacity) override {
    std::vector<weft::Proposal> proposals;
    while (proposals.size() < capacity) {
      weft::Proposal& proposal = proposals.emplace_back();
      proposal.genotype = propose();
      proposed_.insert(weft::hash_text(proposal.genotype.key()));
      if (options_.constant_liar) keep_running(proposal);
    }
    return proposals;
  }

  void tell(const weft::TrialResult& result) override {
    if (const std::optional<std::uint64_t> number = in_flight_.take(result)) running_.erase(*number);
    const tpe::Answers answers = vocabulary_.read(space_, result.genotype);
    blocks_.refine(answers);
    const auto amount = options_.largest_fidelity ? weft::search::amount_of(result.fidelity) : tpe::Amount();
    trials_.add(answers, amount, tpe::Standing(result));
    split_ = {};
  }

 private:
  // ---- a candidate

  Genotype propose() {
    if (!split_) split_ = trials_.split(options_.startup_trials, options_.gamma);
    std::size_t candidates = options_.candidates;
    for (std::size_t tried = 0;; ++tried) {
      Genotype genotype = *split_ ? draw(candidates) : space_.sample(rng_);
      if (!options_.resamples || tried == options_.tries) return genotype;
      if (!proposed_.contains(weft::hash_text(genotype.key()))) return genotype;
      candidates = std::max<std::size_t>(1, candidates / 2);
    }
  }

  Genotype draw(std::size_t candidates) {
    Genotype genotype;
    std::map<std::uint32_t, std::uint32_t> drawn;  // jointly with others, ahead of the walk: name, option
    while (const std::optional<weft::Decision> decision = space_.next(genotype.decisions)) {
      const std::uint32_t name = vocabulary_.meet(*decision);
      if (options_.multivariate && !drawn.contains(name)) draw_block(name, candidates, drawn);
      const auto ahead = drawn.find(name);
      std::int32_t place = weft::search::Vocabulary::not_offered;
      if (ahead != drawn.end()) place = vocabulary_[name].places[ahead->second];
      if (place == weft::search::Vocabulary::not_offered) place = draw_alone(name, candidates);
      genotype.decisions.push_back(place);
    }
    return genotype;
  }

  std::int32_t draw_alone(std::uint32_t name, std::size_t candidates) {
    const Observed observed = observe(std::span(&name, 1));
    const std::vector<double> good = tpe::univariate(variable(name), observed.good, options_.prior_weight);
    const std::vector<double> bad = tpe::univariate(variable(name), observed.bad, options_.prior_weight);
    return best_of(
        candidates, [&] { return static_cast<std::int32_t>(rng_.weighted(good)); },
        [&](std::int32_t option) {
          const auto at = static_cast<std::size_t>(option);
          return std::log(good[at]) - std::log(bad[at]);
        });
  }

  void draw_block(std::uint32_t name, std::size_t candidates, std::map<std::uint32_t, std::uint32_t>& drawn) {
    const std::vector<std::uint32_t> names = blocks_.of(name);
    std::vector<Variable> variables;
    for (const std::uint32_t each : names) variables.push_back(variable(each));
    Observed observed = observe(names);
    const tpe::Joint good(variables, std::move(observed.good), options_.prior_weight);
    const tpe::Joint bad(variables, std::move(observed.bad), options_.prior_weight);
    const std::vector<std::int32_t> best = best_of(
        candidates, [&] { return good.draw(rng_); },
        [&](const std::vector<std::int32_t>& point) {
          return good.log_probability(point) - bad.log_probability(point);
        });
    for (std::size_t i = 0; i < names.size(); ++i)
      drawn[names[i]] = vocabulary_[names[i]].offered[static_cast<std::size_t>(best[i])];
  }

  Variable variable(std::uint32_t name) const {
    const weft::search::Vocabulary::Entry& entry = vocabulary_[name];
    return {.options = entry.offered.size(), .ordinal = entry.kind == weft::Decision::Kind::ordinal};
  }

  // ---- what it is drawn from

  // Trials under way come after all others, as the newest.
  Observed observe(std::span<const std::uint32_t> names) const {
    Observed observed = trials_.observed(names, vocabulary_);
    for (const auto& [number, answers] : running_) {
      const std::vector<std::int32_t> places = places_of(names, answers);
      observed.bad.insert(observed.bad.end(), places.begin(), places.end());
    }
    return observed;
  }

  // Nothing where one of the names is missing.
  std::vector<std::int32_t> places_of(std::span<const std::uint32_t> names, const tpe::Answers& answers) const {
    std::vector<std::int32_t> places;
    for (const std::uint32_t name : names) {
      const auto found =
          std::find_if(answers.begin(), answers.end(), [&](const auto& each) { return each.name == name; });
      if (found == answers.end()) return {};
      places.push_back(vocabulary_[name].places[found->option]);
      if (places.back() == weft::search::Vocabulary::not_offered) return {};
    }
    return places;
  }

  void keep_running(weft::Proposal& proposal) {
    tpe::Answers answers = vocabulary_.read(space_, proposal.genotype);
    blocks_.refine(answers);
    running_.emplace(asked_, std::move(answers));
    in_flight_.add(proposal, asked_++);
  }

  Options options_;
  weft::SpaceRef space_;
  weft::Rng rng_;
  weft::search::Vocabulary vocabulary_;
  tpe::Trials trials_;
  tpe::Blocks blocks_;
  std::optional<bool> split_ = {};              // whether there is enough to learn from; nothing: there are new results
  std::unordered_set<std::uint64_t> proposed_;  // hashes of genotypes
  std::map<std::uint64_t, tpe::Answers> running_;  // by number, oldest first
  std::uint64_t asked_ = 0;
  weft::InFlight<std::uint64_t> in_flight_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Tpe>("tpe"))
