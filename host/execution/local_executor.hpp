// Runs jobs in persistent worker processes on this machine, one per slot.
//
// A worker that dies, or breaks the protocol, fails the trial it was running and is replaced when its slot is next
// used. No worker outlives the host: the kernel kills them with it, and this object with itself. What a worker printed
// during a trial is kept in the trial's folder, as output.txt.
#pragma once

#include <memory>

#include "host/execution/executor.hpp"
#include "host/pipelines/pipeline.hpp"

namespace weft::host {

// A report for people: "epoch 2, train_loss 0.231, validation_accuracy 83.1".
std::string in_words(const Json& report);

class LocalExecutor final : public Executor {
 public:
  // Raises this process's limit of open descriptors as far as it goes, and throws InvalidInput, naming `place`, where
  // so many slots do not fit. Before anything is written.
  static void check_slots(std::size_t count, const std::string& place);

  // `hello` is the first message for every worker (see channel.hpp), without "task"; `evaluator` is what to call the
  // plugin whose code runs there.
  LocalExecutor(std::vector<std::string> slots, Json hello, std::string evaluator, OnReport on_report);
  ~LocalExecutor() override;

  struct Description {
    Json task;
    std::string fingerprint;  // Evaluator::fingerprint
    std::string test;         // of the test split; empty without one
  };
  // Has a worker create the data set and the evaluators, so that what is wrong with them comes out before anything is
  // written. Throws InvalidInput or Error with the worker's words.
  Description describe();
  // What every worker is told from its next start on.
  void set_task(const Json& task);

  std::size_t free_slots() const override;
  // Throws Refusal (E070) after three crashes in a row.
  void start(const Job& job) override;
  // A worker's death is handed over a moment after it was heard of: the signal that killed it may be on its way to the
  // host, too, and then it was no failure but the end of the study.
  std::optional<JobResult> wait(std::chrono::milliseconds timeout) override;
  void answer(TrialId trial, Verdict verdict) override;
  void cancel(TrialId trial, const std::string& reason) override;
  std::vector<SlotStatus> status() const override;

 private:
  struct Worker;
  void launch(Worker& worker);
  void notice_death(Worker& worker);
  bool attend(Worker& worker);
  bool rest(std::chrono::steady_clock::time_point until) const;
  void handle(Worker& worker, const Json& message);
  void end(Worker& worker, JobResult result);
  JobResult bury(Worker& worker);
  static void keep_output(Worker& worker);

  static constexpr std::size_t quarantine_after = 3;

  Json hello_;
  std::string evaluator_;
  OnReport on_report_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::size_t next_ = 0;  // whose turn it is
  std::size_t crashes_in_a_row_ = 0;
  std::string last_crash_;
};

}  // namespace weft::host
