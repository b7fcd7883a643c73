// The trials of a study and what became of them: a fold over the journal's events.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "host/study/journal.hpp"
#include "weft/evaluator.hpp"
#include "weft/trial.hpp"

namespace weft::host {

struct Ending;

// What the stoppers have said of a trial under way, other than that it should go on.
struct StandingVerdict {
  Verdict verdict = Verdict::stop;
  int epoch = 0;  // of the report that it answers
  std::string by, reason;
  std::optional<double> predicted;

  Json to_json() const;
  static StandingVerdict from_json(const Json& json);
};

// Which of two fidelities is the higher one: by level, then by the share of the data, then by epochs. What is absent is
// the evaluator's own setting, and so the highest.
class FidelityOrder {
 public:
  FidelityOrder() = default;
  // Of the study of this pipeline, resolved.
  explicit FidelityOrder(const Json& pipeline);

  // Trials go on from others: then more epochs are a higher fidelity without end, and else up to the evaluator's own.
  bool resumes = false;

  std::array<double, 3> rank(const Fidelity& fidelity) const;

 private:
  std::optional<int> levels_, epochs_;
};

struct Trial {
  TrialId id = 0;
  Proposal proposal;
  TrialState state = TrialState::waiting;
  std::optional<TrialId> waits_for;     // that must end first: its twin, or the trial that it begins with
  std::optional<TrialId> duplicate_of;  // the trial whose result this one took
  std::optional<std::uint64_t> hash;    // of the candidate, where it was decoded
  int attempts = 0;
  Json metrics = Json::object();
  std::vector<double> objectives;
  double reward = 0.0;  // of a complete trial
  std::string reason;
  std::optional<double> predicted = {};         // by the stopper that ended it before its time
  std::optional<StandingVerdict> verdict = {};  // under way, and told so
  bool refused = false;     // over a limit before it was evaluated: cost nothing, counts for nothing
  bool infeasible = false;  // over a limit once it was evaluated
  bool retried = false;     // failed before, which is what the optimizer was told
  double seconds = 0.0;

  bool under_way() const { return state == TrialState::waiting || state == TrialState::running; }
  // Whether the same candidate, evaluated again, would end the same: neither failed nor cut short.
  bool has_result() const { return state == TrialState::complete || infeasible; }

  // Whether it begins with its parent's weights; and by which changes it comes of the parent, in words.
  bool inherits() const { return proposal.parent && !proposal.transfer.is_null(); }
  std::vector<std::string> morphs() const;

  // One event's part in this trial.
  void start(std::optional<std::uint64_t> hash);
  void end(const Ending& ending);
  void retry();
  // Rebuilds from one event of the journal that is about a trial: "proposal" makes it. Throws DamagedEvent.
  void apply(const Journal::Event& event);

  TrialResult result() const;
  Json to_json() const;
};

// How a trial ends.
struct Ending {
  TrialState state = TrialState::complete;
  Json metrics = Json::object();
  std::vector<double> objectives;
  double reward = 0.0;
  std::string reason;
  std::optional<double> predicted;
  std::optional<TrialId> duplicate_of;
  bool refused = false;
  bool infeasible = false;
  double seconds = 0.0;

  Json to_json() const;
  static Ending from_json(const Json& json);
};

// A training of one of the best after the search; of several attempts the last.
struct FinalResult {
  TrialId trial = 0;
  TrialState state = TrialState::complete;
  Json metrics = Json::object();
  std::string reason;
  double seconds = 0.0;
  std::string made_of;  // Provenance::made_of; empty in a study of release 1.0
};

// "27 epochs, 10 % of the data, level 0, from trial 61"; empty for the whole.
std::string in_words(const Fidelity& fidelity);

class Trials {
 public:
  // Of the study of this pipeline, resolved: by which the best of several fidelities are told.
  void measure_by(const Json& pipeline);
  Trial& propose(Proposal proposal);
  void start(TrialId id, std::optional<std::uint64_t> hash);
  void end(TrialId id, const Ending& ending);
  // A failed trial waits to be evaluated again.
  void retry(TrialId id);

  // Rebuilds from one event of the journal. Throws DamagedEvent.
  void apply(const Journal::Event& event);

  const std::deque<Trial>& all() const { return trials_; }
  Trial& at(TrialId id);
  std::size_t size() const { return trials_.size(); }
  std::size_t counted() const { return trials_.size() - refused_; }  // against the budget
  // Candidates that were or may come to be evaluated: not refused, and no duplicates that have taken a result.
  std::size_t unique() const { return counted() - duplicates_; }
  std::size_t ended() const { return ended_; }
  std::size_t failed() const { return failed_; }
  std::size_t refused() const { return refused_; }
  // Trials since the last one that was begun: that were known or over a limit, and those over a limit alone.
  std::size_t nothing_new_in_a_row() const { return nothing_new_in_a_row_; }
  std::size_t refused_in_a_row() const { return refused_in_a_row_; }
  // Whether any trial goes on from another one's checkpoint.
  bool go_on_from_others() const { return order_.resumes; }
  // Whether `a` is better than `b`; both are complete.
  bool better(TrialId a, TrialId b) const;
  // The best complete trials, best first, duplicates left out: those of the highest fidelity first, equal rewards in
  // order of their numbers.
  std::vector<TrialId> best(std::size_t count) const;
  const Trial* best() const { return best_ ? &trials_[static_cast<std::size_t>(*best_)] : nullptr; }

  // The last result of every final training there was.
  const std::vector<FinalResult>& finals() const { return finals_; }
  // Of them, those that were made of the same as a final training would be now.
  std::vector<FinalResult> finals_made_of(const std::string& made_of) const;
  bool search_over() const { return search_over_; }
  // Why the search ended: "budget", "finished" or "exhausted"; empty if that was not kept.
  const std::string& end_reason() const { return end_reason_; }

 private:
  void forget_hashes();
  void find_best();

  std::deque<Trial> trials_;
  std::size_t ended_ = 0, failed_ = 0, refused_ = 0, duplicates_ = 0;
  std::size_t nothing_new_in_a_row_ = 0, refused_in_a_row_ = 0;
  FidelityOrder order_;
  std::optional<TrialId> best_;
  std::vector<FinalResult> finals_;
  bool search_over_ = false;
  std::string end_reason_;
};

}  // namespace weft::host
