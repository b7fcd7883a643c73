// Brackets of successive halving: n candidates on a rung; when all have ended, the best go on to the next, and so on up
// to the whole resource (Jamieson & Talwalkar 2016, "Non-stochastic Best Arm Identification and Hyperparameter
// Optimization"; Li et al. 2017, "Hyperband").
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "weft/in_flight.hpp"
#include "weft/search/resource.hpp"
#include "weft/search/sampler.hpp"
#include "weft/trial.hpp"

namespace weft::search {

// One bracket. Whoever owns it adds candidates, proposes its tasks and tells their results.
class Bracket {
 public:
  // `count` candidates begin on rung `first` of the resource, which outlives the bracket.
  Bracket(const Resource& resource, std::size_t first, std::size_t count)
      : resource_(&resource), first_(first), begun_(count), rung_(first), size_(count) {}

  // One of its members on the present rung.
  struct Task {
    std::size_t member = 0;
    std::size_t rung = 0;
  };

  std::size_t rung() const { return rung_; }
  // Members of the present rung, once all are there.
  std::size_t size() const { return size_; }
  bool needs_candidate() const { return members_.size() < size_; }
  void add(Sampler::Drawn candidate) { members_.push_back({.candidate = std::move(candidate)}); }
  // No more candidates will come: those there are must do, and the best of them comes to the last rung however few.
  void close() {
    if (!needs_candidate()) return;
    begun_ = size_ = members_.size();
    advance();
  }

  // The next member to evaluate; nothing while it waits for candidates or results.
  std::optional<Task> next() {
    if (proposed_ == members_.size() || done_) return {};
    return Task{proposed_++, rung_};
  }
  // What is proposed of it, before its result is told.
  Proposal proposal(const Task& task) const {
    const Member& member = members_.at(task.member);
    Proposal proposal{.genotype = member.candidate.genotype, .fidelity = resource_->fidelity(task.rung)};
    if (resource_->resumes()) proposal.fidelity.resume_from = member.trial;
    return proposal;
  }
  const Sampler::Drawn& candidate(std::size_t member) const { return members_.at(member).candidate; }

  // A member's result on the present rung, once for each task; without a finite reward it goes no further.
  void tell(std::size_t member, TrialId trial, std::optional<double> reward) {
    Member& told = members_.at(member);
    told.trial = trial;
    if (reward && std::isfinite(*reward)) told.reward = reward;
    ++told_;
    advance();
  }
  // Every rung is over, or nothing is left that could go on.
  bool done() const { return done_; }

  // The trials that are still to be gone on from, or may be: of the rung below, those of members that are not proposed
  // on this one yet; of this one, those that are not beaten by as many as go on.
  void list_resumable(std::vector<TrialId>& trials) const {
    if (done_ || !resource_->resumes()) return;
    for (std::size_t i = proposed_; i < members_.size(); ++i) {
      if (members_[i].trial) trials.push_back(*members_[i].trial);
    }
    if (last()) return;
    std::vector<const Member*> rated;
    for (const Member& member : members_) {
      if (member.reward) rated.push_back(&member);
    }
    std::stable_sort(rated.begin(), rated.end(), [](const Member* a, const Member* b) { return better(*a, *b); });
    rated.resize(std::min(rated.size(), go_on()));
    for (const Member* member : rated) trials.push_back(*member->trial);
  }

 private:
  struct Member {
    Sampler::Drawn candidate;
    std::optional<TrialId> trial = {};  // its last one
    std::optional<double> reward = {};  // on the present rung, once told
  };

  static bool better(const Member& a, const Member& b) { return a.reward && (!b.reward || *a.reward > *b.reward); }
  bool last() const { return rung_ + 1 == resource_->rungs(); }
  // Of n that began, floor(n eta^-i) come to the i-th rung after the first, though some may have failed on the way. The
  // best one always does: it would otherwise be lost where `close` left few.
  std::size_t go_on() const { return std::max<std::size_t>(1, resource_->survivors(begun_, first_, rung_ + 1)); }

  void advance() {
    if (told_ < size_) return;
    std::erase_if(members_, [](const Member& member) { return !member.reward; });
    if (last() || members_.empty()) {
      done_ = true;
      return;
    }
    // Of equal rewards the one that stands first goes on: who was better below, or was drawn earlier.
    std::stable_sort(members_.begin(), members_.end(), better);
    members_.erase(members_.begin() + static_cast<std::ptrdiff_t>(std::min(members_.size(), go_on())), members_.end());
    for (Member& member : members_) member.reward.reset();
    size_ = members_.size();
    ++rung_;
    proposed_ = told_ = 0;
  }

  const Resource* resource_;
  std::size_t first_, begun_;
  std::size_t rung_, size_;
  std::vector<Member> members_;
  std::size_t proposed_ = 0, told_ = 0;  // of the present rung
  bool done_ = false;
};

// Which brackets, in which order.
struct BracketSchedule {
  struct Beginning {
    std::size_t rung = 0;
    std::size_t candidates = 0;
  };
  std::vector<Beginning> round = {};  // at least one
  std::size_t rounds = 1;             // 0: without end
  bool parallel = true;               // the next one may begin while all before it wait for results
};

// Brackets of one schedule with the candidates of one sampler: all of a search but the choice of the schedule.
//
// Whoever is free works on the oldest bracket that has something to evaluate; the next one begins when none has, as in
// HpBandSter's master. What is proposed thus depends on the order of asks and results alone.
class Brackets {
 public:
  Brackets(Resource resource, Sampler sampler, BracketSchedule schedule)
      : resource_(std::move(resource)), sampler_(std::move(sampler)), schedule_(std::move(schedule)) {}
  Brackets(const Brackets&) = delete;  // those that are open refer to its resource

  std::vector<Proposal> ask(std::size_t capacity) {
    std::vector<Proposal> proposals;
    while (proposals.size() < capacity) {
      std::optional<Proposal> proposal = next();
      if (!proposal) break;
      proposals.push_back(std::move(*proposal));
    }
    return proposals;
  }

  void tell(const TrialResult& result) {
    const std::optional<Job> job = in_flight_.take(result);
    if (!job) return;  // not one of ours
    Bracket& bracket = open_.at(job->bracket);
    const Sampler::Drawn& candidate = bracket.candidate(job->member);
    sampler_.tell(result, candidate.number, candidate.notes);
    bracket.tell(job->member, result.trial, result.told_reward());
    close_exhausted();
  }

  bool finished() const { return open_.empty() && (all_begun() || sampler_.finished()); }

  // Nothing where nothing is gone on from.
  std::optional<std::vector<TrialId>> resumable() const {
    if (!resource_.resumes()) return {};
    std::vector<TrialId> trials;
    for (const auto& [number, bracket] : open_) bracket.list_resumable(trials);
    return trials;
  }

 private:
  struct Job {
    std::size_t bracket;
    std::size_t member;
  };

  std::optional<Proposal> next() {
    do {
      for (auto& [number, bracket] : open_) {
        if (std::optional<Bracket::Task> task = next_of(bracket)) {
          Proposal proposal = bracket.proposal(*task);
          in_flight_.add(proposal, {number, task->member});
          return proposal;
        }
      }
    } while (begin());
    return {};
  }

  std::optional<Bracket::Task> next_of(Bracket& bracket) {
    if (std::optional<Bracket::Task> task = bracket.next()) return task;
    if (!bracket.needs_candidate()) return {};
    if (std::optional<Sampler::Drawn> drawn = sampler_.draw()) {
      bracket.add(std::move(*drawn));
    } else if (sampler_.finished()) {
      bracket.close();
    }
    return bracket.next();
  }

  // The next bracket, if it may begin. One that lacks candidates waits for the sampler, and so would the next one.
  bool begin() {
    close_exhausted();
    if (all_begun() || sampler_.finished() || (!schedule_.parallel && !open_.empty())) return false;
    for (const auto& [number, bracket] : open_) {
      if (bracket.needs_candidate()) return false;
    }
    const BracketSchedule::Beginning& beginning = schedule_.round[begun_ % schedule_.round.size()];
    open_.emplace(begun_++, Bracket(resource_, beginning.rung, beginning.candidates));
    return true;
  }

  // Drops what is done; what still lacks candidates when the sampler has no more makes do without.
  void close_exhausted() {
    if (sampler_.finished()) {
      for (auto& [number, bracket] : open_) bracket.close();
    }
    std::erase_if(open_, [](const auto& entry) { return entry.second.done(); });
  }

  bool all_begun() const { return schedule_.rounds != 0 && begun_ == schedule_.rounds * schedule_.round.size(); }

  Resource resource_;
  Sampler sampler_;
  BracketSchedule schedule_;
  std::map<std::size_t, Bracket> open_;  // by number, in the order in which they began
  std::size_t begun_ = 0;
  InFlight<Job> in_flight_;
};

}  // namespace weft::search
