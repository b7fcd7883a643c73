// Asynchronous successive halving: whoever is free promotes a candidate that is among the best in eta of its rung so
// far, from the highest rung that has one; if none has, a new candidate begins on the lowest. Nobody waits.
//
// Li, Jamieson, Rostamizadeh, Gonina, Ben-tzur, Hardt, Recht, Talwalkar 2020, "A System for Massively Parallel
// Hyperparameter Tuning", algorithm 2 (promotion; its variant that stops trainings instead is a stopper). A rung counts
// all trials that have ended on it; those that failed are its worst and are never promoted. Of several that may be
// promoted, the best is, of equal ones the one that was drawn first.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "weft/in_flight.hpp"
#include "weft/plugin.hpp"
#include "weft/search/resource.hpp"
#include "weft/search/sampler.hpp"

namespace {

namespace search = weft::search;
using weft::TrialId;

struct Candidate {
  search::Sampler::Drawn drawn;
  std::optional<TrialId> trial = {};  // its last one
};

// ---- a rung below the last ----------------------------------------------------------------------------------------

class Rung {
 public:
  Rung(const search::Resource& resource, std::size_t rung) : resource_(&resource), rung_(rung) {}

  void record(Candidate candidate, std::optional<double> reward) {
    ++size_;
    if (reward && std::isfinite(*reward)) {
      const Rank rank{*reward, candidate.drawn.number};
      rest_.insert(rank);
      unpromoted_.emplace(rank, std::move(candidate));
    }
    settle();
  }

  bool may_promote() const {
    return !top_.empty() && !unpromoted_.empty() && !(*top_.rbegin() < unpromoted_.begin()->first);
  }
  // The best of those that are among the first floor(|rung| / eta) and were not promoted before.
  std::optional<Candidate> promote() {
    if (!may_promote()) return {};
    ++promoted_;
    return std::move(unpromoted_.extract(unpromoted_.begin()).mapped());
  }

  // The trials that may be promoted yet, where at most so many come to end here.
  void list_promotable(std::vector<TrialId>& trials, std::optional<std::size_t> most) const {
    std::size_t places = most ? survivors(*most) : top_.size() + rest_.size();
    for (const std::set<Rank>* ranks : {&top_, &rest_}) {
      for (const Rank& rank : *ranks) {
        if (places-- == 0) return;
        if (const auto at = unpromoted_.find(rank); at != unpromoted_.end()) trials.push_back(*at->second.trial);
      }
    }
  }
  // How many come to be promoted at most, where at most `most` come to end here: by each that does, one more may be.
  std::size_t most_promoted(std::size_t most) const {
    std::size_t now = 0;
    for (auto at = unpromoted_.begin(); at != unpromoted_.end() && !top_.empty() && !(*top_.rbegin() < at->first); ++at)
      ++now;
    const std::size_t before_first = std::max(size_, resource_->fewest(rung_, rung_ + 1) - 1);
    return promoted_ + now + (most > before_first ? most - before_first : 0);
  }

 private:
  struct Rank {
    double reward;
    std::int64_t number;

    friend bool operator<(const Rank& a, const Rank& b) {
      return a.reward != b.reward ? a.reward > b.reward : a.number < b.number;
    }
  };

  std::size_t survivors(std::size_t count) const { return resource_->survivors(count, rung_); }

  // A place in the top that is new is taken by the best of the rest, who also displaces who is worse.
  void settle() {
    const std::size_t places = survivors(size_);
    while (places > 0 && !rest_.empty() && (top_.size() < places || *rest_.begin() < *top_.rbegin())) {
      top_.insert(rest_.extract(rest_.begin()));
      if (top_.size() > places) rest_.insert(top_.extract(std::prev(top_.end())));
    }
  }

  const search::Resource* resource_;
  std::size_t rung_;
  std::size_t size_ = 0;  // trials that ended here
  std::size_t promoted_ = 0;
  std::set<Rank> top_, rest_;             // all with a reward: the first floor(|rung| / eta), and the others
  std::map<Rank, Candidate> unpromoted_;  // of both
};

// ---- the algorithm ------------------------------------------------------------------------------------------------

class Asha final : public weft::Optimizer {
 public:
  explicit Asha(const weft::Context& context)
      : resource_(context.configuration(), context.study()), sampler_(context.plugin("sampler")) {
    if (!context.configuration().at("most_candidates").is_null()) {
      most_candidates_ = context.get<std::size_t>("most_candidates");
      check_most_candidates();
    }
    for (std::size_t rung = 0; rung < last_rung(); ++rung) rungs_.emplace_back(resource_, rung);
  }
  Asha(const Asha&) = delete;  // its rungs refer to its resource

  std::vector<weft::Proposal> ask(std::size_t capacity) override {
    std::vector<weft::Proposal> proposals;
    while (proposals.size() < capacity) {
      std::optional<Job> job = promotion();
      if (!job) job = beginning();
      if (!job) break;
      weft::Proposal& proposal = proposals.emplace_back();
      proposal.genotype = job->candidate.drawn.genotype;
      proposal.fidelity = resource_.fidelity(job->rung);
      if (resource_.resumes()) proposal.fidelity.resume_from = job->candidate.trial;
      in_flight_.add(proposal, std::move(*job));
    }
    return proposals;
  }

  void tell(const weft::TrialResult& result) override {
    std::optional<Job> job = in_flight_.take(result);
    if (!job) return;  // not one of ours
    sampler_.tell(result, job->candidate.drawn.number, job->candidate.drawn.notes);
    if (job->rung == last_rung()) return;
    job->candidate.trial = result.trial;
    rungs_[job->rung].record(std::move(job->candidate), result.told_reward());
  }

  bool finished() const override {
    return in_flight_.empty() && all_drawn() &&
           std::none_of(rungs_.begin(), rungs_.end(), [](const Rung& rung) { return rung.may_promote(); });
  }

  std::optional<std::vector<TrialId>> resumable() const override {
    if (!resource_.resumes()) return {};
    std::vector<TrialId> trials;
    std::optional<std::size_t> most = most_candidates_;  // that come to end on the rung
    if (sampler_.finished()) most = static_cast<std::size_t>(sampler_.drawn());
    for (const Rung& rung : rungs_) {
      rung.list_promotable(trials, most);
      if (most) most = rung.most_promoted(*most);
    }
    return trials;
  }

 private:
  struct Job {
    Candidate candidate;
    std::size_t rung;
  };

  std::size_t last_rung() const { return resource_.rungs() - 1; }

  std::optional<Job> promotion() {
    for (std::size_t rung = last_rung(); rung-- > 0;) {
      if (std::optional<Candidate> candidate = rungs_[rung].promote()) return Job{std::move(*candidate), rung + 1};
    }
    return {};
  }

  std::optional<Job> beginning() {
    if (all_drawn()) return {};
    std::optional<search::Sampler::Drawn> drawn = sampler_.draw();
    if (!drawn) return {};
    return Job{{std::move(*drawn)}, 0};
  }

  bool all_drawn() const {
    return (most_candidates_ && static_cast<std::size_t>(sampler_.drawn()) >= *most_candidates_) || sampler_.finished();
  }

  void check_most_candidates() const {
    std::size_t fewest = 1;  // of whom one is promoted from every rung
    for (std::size_t rung = last_rung(); rung-- > 0;) fewest = resource_.fewest(rung, rung + 1, fewest);
    if (*most_candidates_ >= fewest) return;
    throw weft::InvalidInput("/most_candidates is " + std::to_string(*most_candidates_) + "; must be at least " +
                             std::to_string(fewest) + ", or none comes to the last of " +
                             std::to_string(resource_.rungs()) + " rungs");
  }

  search::Resource resource_;
  search::Sampler sampler_;
  std::optional<std::size_t> most_candidates_;
  std::vector<Rung> rungs_;
  weft::InFlight<Job> in_flight_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Asha>("asha"))
