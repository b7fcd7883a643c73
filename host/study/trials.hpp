// The trials of a study and what became of them: a fold over the journal's events.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "host/study/journal.hpp"
#include "weft/trial.hpp"

namespace weft::host {

struct Trial {
  TrialId id = 0;
  Proposal proposal;
  TrialState state = TrialState::waiting;
  std::optional<TrialId> waits_for;     // the trial whose result this one will take
  std::optional<TrialId> duplicate_of;  // the trial whose result this one took
  std::optional<std::uint64_t> hash;    // of the candidate, where it was decoded
  int attempts = 0;
  Json metrics = Json::object();
  std::vector<double> objectives;
  double reward = 0.0;  // of a complete trial
  std::string reason;
  bool refused = false;  // over a limit before it was evaluated: cost nothing, counts for nothing
  double seconds = 0.0;

  bool ended() const {
    return state == TrialState::complete || state == TrialState::pruned || state == TrialState::fail;
  }
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
  std::optional<TrialId> duplicate_of;
  bool refused = false;
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
};

class Trials {
 public:
  Trial& propose(Proposal proposal);
  void start(TrialId id, std::optional<std::uint64_t> hash);
  void end(TrialId id, const Ending& ending);

  // Rebuilds from one event of the journal.
  void apply(const Journal::Event& event);

  const std::deque<Trial>& all() const { return trials_; }
  Trial& at(TrialId id);
  std::size_t size() const { return trials_.size(); }
  std::size_t counted() const { return trials_.size() - refused_; }  // against the budget
  std::size_t ended() const { return ended_; }
  std::size_t failed() const { return failed_; }
  std::size_t refused() const { return refused_; }
  // The best complete trials, best first, duplicates left out; equal rewards in order of their numbers.
  std::vector<TrialId> best(std::size_t count) const;
  const Trial* best() const { return best_ ? &trials_[static_cast<std::size_t>(*best_)] : nullptr; }

  const std::vector<FinalResult>& finals() const { return finals_; }
  bool search_over() const { return search_over_; }
  double elapsed() const { return elapsed_; }
  const Json& task() const { return task_; }

 private:
  std::deque<Trial> trials_;
  std::size_t ended_ = 0, failed_ = 0, refused_ = 0;
  std::optional<TrialId> best_;
  std::vector<FinalResult> finals_;
  bool search_over_ = false;
  double elapsed_ = 0.0;
  Json task_;
};

}  // namespace weft::host
