// Runs jobs in the host's own process, one at a time: for evaluators that cost microseconds.
#pragma once

#include "host/execution/assembly.hpp"
#include "host/execution/executor.hpp"

namespace weft::host {

class InlineExecutor final : public Executor {
 public:
  // `assembly` outlives the executor.
  InlineExecutor(Assembly& assembly, std::uint64_t seed, OnReport on_report)
      : assembly_(assembly), seed_(seed), on_report_(std::move(on_report)) {
    assembly_.evaluator();  // what is wrong with it shows now
  }

  std::size_t free_slots() const override { return result_ ? 0 : 1; }
  void start(const Job& job) override { result_ = run_job(assembly_, job, seed_, on_report_); }
  std::optional<JobResult> wait(std::chrono::milliseconds) override { return std::exchange(result_, std::nullopt); }
  std::vector<SlotStatus> status() const override { return {}; }

  // Evaluates, at the job's level of fidelity; a failure of the evaluator becomes a result that says so. Used by the
  // worker, too.
  static JobResult run_job(Assembly& assembly, const Job& job, std::uint64_t seed, const OnReport& on_report);

 private:
  Assembly& assembly_;
  std::uint64_t seed_;
  OnReport on_report_;
  std::optional<JobResult> result_;
};

}  // namespace weft::host
