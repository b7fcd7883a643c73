#include "host/execution/inline_executor.hpp"

namespace weft::host {

JobResult InlineExecutor::run_job(EvaluatorRef& evaluator, const Job& job, std::uint64_t seed,
                                  const OnReport& on_report) {
  struct Report {
    const Job& job;
    const OnReport& on_report;
  } context{job, on_report};
  const weft_reporter reporter{
      sizeof(weft_reporter), &context, [](void* opaque, weft_text text) {
        auto& report = *static_cast<Report*>(opaque);
        return static_cast<std::int32_t>(report.on_report(report.job.trial, detail::parse_json(text)));
      }};
  JobResult result{.trial = job.trial};
  try {
    const EvaluationRequest request{.trial = job.trial,
                                    .genotype = job.genotype,
                                    .fidelity = job.fidelity,
                                    .transfer = job.transfer,
                                    .folder = job.folder,
                                    .parent_folder = job.parent_folder,
                                    .rng = Assembly::trial_stream(seed, job.trial)};
    Evaluation evaluation = evaluator.evaluate(request, reporter);
    result.state = evaluation.state;
    result.metrics = std::move(evaluation.metrics);
  } catch (const std::exception& error) {
    result.state = TrialState::fail;
    result.reason = error.what();
  } catch (...) {
    result.state = TrialState::fail;
    result.reason = "the evaluator threw an exception of a foreign kind across the boundary";
  }
  return result;
}

}  // namespace weft::host
