// Population based training: a population of trainings, each with a recipe of its own; every so often the worst of them
// go on from the weights of the best, with a recipe near theirs. What is found is a schedule of recipes.
//
// Jaderberg et al. 2017, "Population Based Training of Neural Networks", Algorithm 1, with truncation selection; as Ho,
// Liang, Stoica, Abbeel, Chen 2019 use it, "Population Based Augmentation: Efficient Learning of Augmentation Policy
// Schedules", where one in four is replaced by one of the best quarter. Who these are is as in Ray Tune, by which they
// run it: of the members that have a score and have not come to their end, the share rounded up, at most half of them.
// Who was replaced keeps its own score, and nobody goes on from it, until it has ended a step itself. Equals are in
// random order.
//
// A step of a member is a trial: it goes on from the checkpoint of the one before, or from that of whom it was replaced
// by, which carries weights, moments of the update rule and the epochs so far; so the evaluator's schedules must be
// those of all epochs (schedule_epochs). Every trial's notes have the schedule of recipes that has led to it.
//
// Asynchronously, as in the papers, a member is compared with what the others have come to by then. Where there are
// fewer slots than members that compares some with others that have been trained for longer; so by default all members
// end a step before any begins the next. Members that fail are the worst. Where there is nobody to go on from, each
// that has failed tries again from where it was, with a recipe near its own.

#include <algorithm>
#include <cmath>
#include <deque>
#include <numeric>
#include <string>
#include <vector>

#include "explorer.hpp"
#include "weft/budget.hpp"
#include "weft/in_flight.hpp"
#include "weft/plugin.hpp"

namespace {

struct Options {
  std::size_t population_size;
  int interval;  // epochs of a step
  int epochs;    // of a whole training
  double quantile;
  bool asynchronous;

  explicit Options(const weft::Context& context)
      : population_size(context.get<std::size_t>("population_size")),
        interval(context.get<int>("interval")),
        epochs(context.get<int>("epochs")),
        quantile(context.get<double>("quantile")),
        asynchronous(context.get<bool>("asynchronous")) {
    if (interval >= epochs) {
      throw weft::InvalidInput("/interval is " + std::to_string(interval) + "; must be less than /epochs, " +
                               std::to_string(epochs) + ", or nobody goes on from another");
    }
    const weft::Budget budget(context.study());
    if (population_size >= budget.least()) {
      throw weft::InvalidInput("/population_size is " + std::to_string(population_size) + "; must be less than " +
                               budget.words() + ", or nobody comes to a second step");
    }
  }

  int steps() const { return (epochs + interval - 1) / interval; }
};

struct Member {
  weft::Genotype genotype;                    // of its next step, or of the one that runs
  weft::Json schedule = weft::Json::array();  // of the recipes so far: [{"after": epochs, "genotype": notation}, ..]
  std::optional<weft::TrialId> trial = {};    // whose checkpoint it goes on from
  int epochs = 0;                             // that this was trained for
  std::optional<double> reward = {};          // of its own last step
  bool failed = false;                        // its own last step
  bool replaced = false;                      // since then

  void go_on_from(const Member& other) {
    genotype = other.genotype;
    schedule = other.schedule;
    trial = other.trial;
    epochs = other.epochs;
    replaced = true;
  }
};

// Truncation selection of those that have not come to `epochs`: who is replaced, and by whom.
struct Truncation {
  std::vector<std::size_t> best, worst;

  Truncation(const std::vector<Member>& members, double quantile, int epochs, weft::Rng& rng) {
    std::vector<std::size_t> rated;
    for (std::size_t i = 0; i < members.size(); ++i) {
      if (members[i].epochs == epochs) continue;
      if (members[i].failed) {
        worst.push_back(i);
      } else if (members[i].reward) {
        rated.push_back(i);
      }
    }
    rng.shuffle(rated);  // equals must not stand in the order of their numbers
    std::stable_sort(rated.begin(), rated.end(),
                     [&](std::size_t a, std::size_t b) { return *members[a].reward > *members[b].reward; });
    const std::size_t all = rated.size() + worst.size();
    const auto share = static_cast<std::size_t>(std::ceil(quantile * static_cast<double>(all)));
    const std::size_t count = std::min(share, all / 2);
    best.assign(rated.begin(), rated.begin() + static_cast<std::ptrdiff_t>(std::min(count, rated.size())));
    for (std::size_t i = rated.size(); i > best.size() && worst.size() < count; --i) worst.push_back(rated[i - 1]);
    std::erase_if(best, [&](std::size_t member) { return members[member].replaced; });
  }

  bool replaces(std::size_t member) const {
    return !best.empty() && std::find(worst.begin(), worst.end(), member) != worst.end();
  }
};

class PopulationBasedTraining final : public weft::Optimizer {
 public:
  explicit PopulationBasedTraining(const weft::Context& context)
      : options_(context), space_(context.space()), explorer_(space_, context), rng_(context.rng()) {
    members_.resize(options_.population_size);
    for (Member& member : members_) member.genotype = explorer_.start(rng_);
    for (std::size_t i = 0; i < members_.size(); ++i) ready_.push_back(i);
    context.log().info("population based training of " + std::to_string(members_.size()) + " members in " +
                       std::to_string(options_.steps()) + " steps: " +
                       std::to_string(members_.size() * static_cast<std::size_t>(options_.steps())) + " trials");
  }

  std::vector<weft::Proposal> ask(std::size_t capacity) override {
    std::vector<weft::Proposal> proposals;
    while (proposals.size() < capacity && !ready_.empty()) {
      proposals.push_back(step_of(ready_.front()));
      ready_.pop_front();
    }
    return proposals;
  }

  void tell(const weft::TrialResult& result) override {
    const std::optional<Step> step = in_flight_.take(result);
    if (!step) return;  // not one of ours
    Member& member = members_[step->member];
    // What was stopped has no checkpoint of the step's end, whatever it was predicted to come to.
    member.failed = !result.complete() || !std::isfinite(result.reward);
    member.reward = member.failed ? std::nullopt : std::optional(result.reward);
    member.replaced = false;
    if (!member.failed) {
      member.trial = result.trial;
      member.epochs = step->epochs;
      member.schedule = step->schedule;
    }
    if (options_.asynchronous) {
      go_on({step->member});
    } else if (in_flight_.empty() && ready_.empty()) {
      std::vector<std::size_t> all(members_.size());
      std::iota(all.begin(), all.end(), 0);
      go_on(all);
    }
  }

  bool finished() const override { return ready_.empty() && in_flight_.empty(); }

  std::optional<std::vector<weft::TrialId>> resumable() const override {
    std::vector<weft::TrialId> trials;
    for (const Member& member : members_) {
      if (member.trial && member.epochs < options_.epochs) trials.push_back(*member.trial);
    }
    std::sort(trials.begin(), trials.end());
    trials.erase(std::unique(trials.begin(), trials.end()), trials.end());
    return trials;
  }

 private:
  struct Step {
    std::size_t member;
    int epochs;           // that it is trained for in all
    weft::Json schedule;  // its own included
  };

  weft::Proposal step_of(std::size_t index) {
    const Member& member = members_[index];
    Step step{index, std::min(options_.epochs, member.epochs + options_.interval), member.schedule};
    const std::string notation = space_.notation(member.genotype);
    if (step.schedule.empty() || step.schedule.back().at("genotype") != notation)
      step.schedule.push_back({{"after", member.epochs}, {"genotype", notation}});
    weft::Proposal proposal{.genotype = member.genotype,
                            .parent = member.trial,
                            .fidelity = {.epochs = step.epochs, .resume_from = member.trial},
                            .notes = {{"member", index}, {"schedule", step.schedule}}};
    in_flight_.add(proposal, std::move(step));
    return proposal;
  }

  // Exploit and explore, each of these as the population is now; who has come to the end is done.
  void go_on(const std::vector<std::size_t>& members) {
    const std::vector<Member> population = members_;
    const Truncation truncation(population, options_.quantile, options_.epochs, rng_);
    for (const std::size_t index : members) {
      Member& member = members_[index];
      if (member.epochs == options_.epochs) continue;
      const bool replaced = truncation.replaces(index);
      if (replaced) member.go_on_from(population[rng_.choice(truncation.best)]);
      if (replaced || member.failed) member.genotype = explorer_.explore(member.genotype, rng_);
      ready_.push_back(index);
    }
  }

  Options options_;
  weft::SpaceRef space_;
  population_based_training::Explorer explorer_;
  weft::Rng rng_;
  std::vector<Member> members_;
  std::deque<std::size_t> ready_;  // whose next step may begin, in this order
  weft::InFlight<Step> in_flight_;
};

}  // namespace

WEFT_PLUGIN(weft::component<PopulationBasedTraining>("population_based_training"))
