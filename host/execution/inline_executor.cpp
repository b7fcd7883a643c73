#include "host/execution/inline_executor.hpp"

#include <exception>

#include "host/processes/message.hpp"

namespace weft::host {

JobResult InlineExecutor::run_job(Assembly& assembly, const Job& job, std::uint64_t seed, const OnReport& on_report) {
  // Nothing may be thrown through the plugin's frames: what goes wrong in a report is kept until it has returned.
  struct Reports {
    const Job& job;
    const OnReport& on_report;
    std::exception_ptr malformed = {};  // the evaluator's fault: the trial fails
    std::exception_ptr unheard = {};    // the host's: the study cannot go on
  } reports{job, on_report};
  const weft_reporter reporter{
      sizeof(weft_reporter), &reports, [](void* context, weft_text text) noexcept {
        auto& reports = *static_cast<Reports*>(context);
        Json report;
        try {
          report = detail::parse_json(text);
          if (!report.is_object() || !report.contains("epoch") || !report.at("epoch").is_number_integer())
            throw Error("a report is no JSON object with an integer \"epoch\": " + report.dump().substr(0, 200));
        } catch (...) {
          reports.malformed = std::current_exception();
          return static_cast<std::int32_t>(Verdict::stop);
        }
        try {
          return static_cast<std::int32_t>(reports.on_report(reports.job.trial, report).value_or(Verdict::go_on));
        } catch (...) {
          reports.unheard = std::current_exception();
          return static_cast<std::int32_t>(Verdict::stop);
        }
      }};
  JobResult result{.trial = job.trial};
  try {
    const EvaluationRequest request{.trial = job.trial,
                                    .genotype = job.genotype,
                                    .fidelity = job.fidelity,
                                    .transfer = job.transfer,
                                    .folder = job.folder,
                                    .resume_folder = job.resume_folder,
                                    .inherit_folder = job.inherit_folder,
                                    .rng = Assembly::trial_stream(seed, job.trial)};
    if (job.trial == Job::one_shot) {
      const OneShotResult found = assembly.oneshot().search(request, reporter);
      result.state = found.state;
      result.metrics = found.to_json();
      result.metrics.erase("state");
    } else {
      Evaluation evaluation = assembly.at(job.fidelity).scaled(job.genotype).evaluator().evaluate(request, reporter);
      result.state = evaluation.state;
      result.metrics = std::move(evaluation.metrics);
    }
    if (reports.malformed) std::rethrow_exception(reports.malformed);
  } catch (const std::exception& error) {
    result.state = TrialState::fail;
    result.reason = valid_utf8(error.what());
  } catch (...) {
    result.state = TrialState::fail;
    result.reason = "it threw an exception of a foreign kind across the boundary";
  }
  if (reports.unheard) std::rethrow_exception(reports.unheard);
  return result;
}

}  // namespace weft::host
