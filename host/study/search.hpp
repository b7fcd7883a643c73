// The search: asks the optimizer, refuses what is over a limit, reuses what is known, evaluates the rest, tells.
//
// Everything is recorded in the journal before it has an effect. After a crash, replay() feeds the journal to fresh
// plugins, checks that they propose the same, and run() goes on as if nothing had happened.
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "host/execution/assembly.hpp"
#include "host/execution/executor.hpp"
#include "host/pipelines/pipeline.hpp"
#include "host/study/folder.hpp"
#include "host/study/journal.hpp"
#include "host/study/judges.hpp"
#include "host/study/provenance.hpp"
#include "host/study/trials.hpp"

namespace weft::host {

class Search {
 public:
  using ExecutorFactory = std::function<std::unique_ptr<Executor>(Executor::OnReport)>;
  enum class Outcome { finished, interrupted };

  struct Parts {
    const Pipeline& pipeline;
    Assembly& assembly;
    Optimizer& optimizer;
    Journal* journal = nullptr;              // null: nothing is recorded
    const StudyFolder* folder = nullptr;     // null: trials keep no files
    const Provenance* provenance = nullptr;  // null: files are not asked which study they belong to
  };
  // What the search shows of itself while it runs. Both may be empty.
  struct Observer {
    std::function<void(const Trial&)> ended;  // for every trial that ended
    std::function<void()> tick;               // several times a second
  };

  explicit Search(Parts parts, Observer observer = {});

  // Feeds the recorded events to the optimizer. Throws Error when it proposes differently, naming the trial and both.
  void replay();
  // After replay(), and after what has changed since is recorded: what was under way waits to go on. Throws Error when
  // a trial is another architecture than when it was begun.
  void go_on();
  // After go_on(): failed trials wait to be evaluated again. The optimizer, which was told of the failure, is not told
  // again; it learns of the result when it proposes the same candidate once more.
  void retry_failed();
  // Until the budget is used up, the optimizer has finished, nothing new comes of it, or `interrupted` becomes true.
  // Throws Error when trials keep failing for the same reason, or nothing keeps the limits.
  Outcome run(Executor& executor, const std::atomic<bool>& interrupted);

  // Reports of running trials come in here; hand it to the executor. Nothing while the stoppers are asked.
  std::optional<Verdict> report(TrialId trial, const Json& report);

  // Provenance::made_of; empty without one.
  std::string made_of(Phase phase) const { return provenance_ == nullptr ? "" : provenance_->made_of(phase); }
  // What makes a job this one (Job::identity).
  Json identity(TrialId trial, Phase phase) const;
  // The first objective's value of a trial that has metrics but did not complete; nothing if it cannot be told.
  std::optional<double> reached(const Trial& trial) const;
  // Whether the first objective prefers `a` to `b`.
  bool better(double a, double b) const { return a * direction_.front() > b * direction_.front(); }

  // Reports to which the stoppers' answer would have made a difference.
  std::size_t reports_judged() const { return judged_; }
  // Waits for the stoppers, at most so long; false if one of them is still at work.
  bool stoppers_rest(std::chrono::milliseconds longest) { return !judges_ || judges_->rest(longest); }

  const Trials& trials() const { return trials_; }
  Trials& trials() { return trials_; }
  double elapsed() const;
  std::size_t running() const { return running_; }

 private:
  struct Underway {
    double since = 0.0;                  // elapsed(), at its start
    std::optional<double> told_to_stop = {};  // and when it was
    bool judged = false;                      // it waits for what the stoppers say
  };

  template <typename Body>
  void record(std::string_view kind, TrialId trial, const Body& body);
  void commit();
  std::size_t budget_left() const;
  bool time_left() const;
  bool exhausted() const;
  std::optional<std::string> over() const;
  bool fill(Executor& executor);
  bool ask(std::size_t capacity);
  std::vector<Proposal> asked(std::size_t capacity);
  void told(const Trial& trial);
  std::optional<std::vector<TrialId>> retained() const;
  bool optimizer_finished() const;
  [[noreturn]] void refuse(TrialId trial, const std::string& found, const std::string& expected) const;
  void check(const Proposal& proposal, TrialId trial) const;
  void check_transfer(const Proposal& proposal, TrialId trial) const;
  void check_parent(const Proposal& proposal, TrialId trial);
  void check_fidelity(const Proposal& proposal, TrialId trial) const;
  void check_resumed(const Proposal& proposal, TrialId trial);
  void admit(Trial& trial);
  std::uint64_t read_candidate(const Trial& trial);
  void remember(const Trial& trial);
  void forget(const Trial& trial);
  std::optional<TrialId> known_twin(const Trial& trial) const;
  bool take_known_result(Trial& trial);
  void wait_for(Trial& trial, TrialId other);
  bool has_origin(Trial& trial);
  std::optional<std::string> over_limit(const Trial& trial) const;
  std::optional<std::string> over_limit(std::size_t objective, double value) const;
  void start(Executor& executor, TrialId id);
  void stop_overdue(Executor& executor);
  bool settled(const std::atomic<bool>& interrupted);
  void listen(const Trial& trial, const Json& report);
  void begin_curve(const Trial& trial, Json features);
  void read_features(const Trial& trial);
  Verdict rule(const Ruling& ruling);
  void answer_judged(Executor& executor);
  void end_curve(const Trial& trial);
  std::optional<double> reward_of(const Json& report) const;
  void finish(const JobResult& result);
  Ending judge(const Trial& trial, const JobResult& result) const;
  void tell(TrialId id, const Ending& ending);
  void serve_waiting(TrialId id);
  void count_failures(const Trial& trial);
  void rank(TrialId id);
  void expect_heir(const Trial& trial);
  std::optional<std::vector<TrialId>> resumable() const;
  std::vector<TrialId> checked(const std::vector<TrialId>& trials) const;
  std::string key_of(const Proposal& proposal) const;
  void release_weights();
  void release_checkpoints();
  // Whose files stand for this one's.
  TrialId original(TrialId id) const {
    return trials_.all().at(static_cast<std::size_t>(id)).duplicate_of.value_or(id);
  }
  // By `weft resume --retry-failed`: what it begins with is kept.
  static bool may_be_retried(const Trial& trial) { return trial.state == TrialState::fail && !trial.duplicate_of; }
  bool keeps_files(const Trial& trial) const {
    return folder_ != nullptr && !pipeline_.is_inline && !trial.duplicate_of && !trial.refused;
  }

  const Pipeline& pipeline_;
  Journal* journal_;
  const StudyFolder* folder_;
  const Provenance* provenance_;
  Observer observer_;
  SpaceRef space_;
  Optimizer& optimizer_;
  std::vector<ObjectiveRef> objectives_;
  std::vector<double> direction_;  // +1 or -1 by objective
  bool decodes_;                   // whether the graph of every candidate is looked at before it is evaluated

  Trials trials_;
  std::deque<TrialId> queue_;  // admitted, not started
  std::unordered_map<TrialId, std::vector<std::optional<double>>>
      known_;  // objectives known before evaluation, of queued and running trials
  std::unordered_map<std::string, TrialId> by_genotype_;
  std::unordered_map<std::uint64_t, TrialId> by_hash_;
  std::unordered_map<TrialId, std::vector<TrialId>> waiting_;  // for a queued or running trial: its twins and its heirs
  std::size_t waiting_count_ = 0;
  std::unordered_map<TrialId, Underway> underway_;  // of running trials
  bool inherits_;                                   // whether the optimizer's proposals inherit weights
  std::vector<TrialId> best_;                       // as many as keep their weights for it, best first
  std::unordered_set<TrialId> with_weights_;        // ended trials whose weights were not removed
  std::unordered_multiset<TrialId> heirs_;  // the parents of trials that inherit weights and have not ended, or failed
  std::unordered_set<TrialId> with_checkpoints_;       // trials no longer under way whose checkpoints were not removed
  std::unordered_multiset<TrialId> successors_;        // what trials go on from that have not ended, or failed
  std::unique_ptr<Judges> judges_;                     // null without stoppers
  std::unordered_map<TrialId, LearningCurve> curves_;  // with stoppers: of all trials that were begun
  std::size_t running_ = 0;
  std::string last_failure_;  // its digits left out; of this run of the program
  std::size_t failures_in_a_row_ = 0;
  std::chrono::steady_clock::time_point committed_;
  std::size_t judged_ = 0;
  bool said_unjudged_ = false, said_lost_ = false;
  bool waiting_for_results_ = false;  // the last ask returned nothing, and nothing was told since
  std::chrono::steady_clock::time_point began_;
  double elapsed_before_ = 0.0;
};

}  // namespace weft::host
