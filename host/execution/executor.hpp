// Where jobs run. The study starts jobs while there is room and waits for one to end.
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "host/processes/alarm.hpp"
#include "weft/evaluator.hpp"
#include "weft/json.hpp"
#include "weft/trial.hpp"

namespace weft::host {

// One evaluation to run.
struct Job {
  static constexpr TrialId one_shot = -1;  // no trial's: the pipeline's one-shot search

  TrialId trial = 0;
  Genotype genotype;
  Fidelity fidelity;
  Json transfer;
  // Its own; of the trial that it goes on from; of the one whose weights it inherits.
  std::optional<std::filesystem::path> folder, resume_folder, inherit_folder;
  // What makes this job this one, kept with its files: study, seed, trial, phase,
  // genotype, and what it is made of. Null in a study of release 1.0.
  Json identity = {};
};

struct JobResult {
  TrialId trial = 0;
  TrialState state = TrialState::complete;
  Json metrics = Json::object();  // of a one-shot search: {"derived", "metrics"} (weft/oneshot.hpp)
  std::string reason;             // of a failure
  double seconds = 0;             // wall-clock time of this attempt
};

// What a slot is doing, for the progress display.
struct SlotStatus {
  std::string name;                   // "cpu:1"
  std::optional<TrialId> trial = {};  // nothing: idle
  std::string note = {};              // "epoch 2, validation_accuracy 83.1"
};

class Executor {
 public:
  // Called for every report of a running job, from within wait() or start(); the answer goes back to the job. Without
  // one the job waits until it is given by answer().
  using OnReport = std::function<std::optional<Verdict>(TrialId, const Json& report)>;

  virtual ~Executor() = default;
  virtual std::size_t free_slots() const = 0;
  // Needs a free slot.
  virtual void start(const Job& job) = 0;
  // The next job that ended; nothing after `timeout`, or earlier when a signal arrived or the alarm rang.
  virtual std::optional<JobResult> wait(std::chrono::milliseconds timeout) = 0;
  // The answer to the last report of a job that waits for it; of one that has ended since, nothing happens. Executors
  // that are answered at once have none.
  virtual void answer(TrialId trial, Verdict verdict) {
    static_cast<void>(trial);
    static_cast<void>(verdict);
  }
  // What ends wait() early; null: nothing. It outlives the executor's work.
  void heed(const Alarm* alarm) { alarm_ = alarm; }
  // Ends a job that does not end by itself: wait() then returns it as PRUNED, with this reason, unless it had just come
  // to an end of its own. Where a job cannot be ended from outside, or has reported just now, nothing happens.
  virtual void cancel(TrialId trial, const std::string& reason) {
    static_cast<void>(trial);
    static_cast<void>(reason);
  }
  virtual std::vector<SlotStatus> status() const = 0;

 protected:
  const Alarm* alarm_ = nullptr;
};

}  // namespace weft::host
