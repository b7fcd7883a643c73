// Where jobs run. The study starts jobs while there is room and waits for one to end.
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "weft/evaluator.hpp"
#include "weft/json.hpp"
#include "weft/trial.hpp"

namespace weft::host {

// One evaluation to run.
struct Job {
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
  Json metrics = Json::object();
  std::string reason;  // of a failure
  double seconds = 0;  // wall-clock time of this attempt
};

// What a slot is doing, for the progress display.
struct SlotStatus {
  std::string name;                   // "cpu:1"
  std::optional<TrialId> trial = {};  // nothing: idle
  std::string note = {};              // "epoch 2, validation_accuracy 83.1"
};

class Executor {
 public:
  // Called for every report of a running job, from within wait() or start(); the answer goes back to the job.
  using OnReport = std::function<Verdict(TrialId, const Json& report)>;

  virtual ~Executor() = default;
  virtual std::size_t free_slots() const = 0;
  // Needs a free slot.
  virtual void start(const Job& job) = 0;
  // The next job that ended; nothing after `timeout`, or earlier when a signal arrived.
  virtual std::optional<JobResult> wait(std::chrono::milliseconds timeout) = 0;
  // Ends a job that does not end by itself: wait() then returns it as PRUNED, with this reason, unless it had just come
  // to an end of its own. Where a job cannot be ended from outside, or has reported just now, nothing happens.
  virtual void cancel(TrialId trial, const std::string& reason) {
    static_cast<void>(trial);
    static_cast<void>(reason);
  }
  virtual std::vector<SlotStatus> status() const = 0;
};

}  // namespace weft::host
