#include "host/study/one_shot.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <utility>

#include "weft/oneshot.hpp"

namespace weft::host {

OneShotSearch::OneShotSearch(const Pipeline& pipeline, Journal& journal, const StudyFolder& folder,
                             const Provenance& provenance, std::function<void(const Json& report)> show)
    : pipeline_(pipeline),
      journal_(journal),
      folder_(folder),
      provenance_(provenance),
      show_(std::move(show)),
      elapsed_before_(journal.elapsed()),
      began_(std::chrono::steady_clock::now()) {}

std::optional<Json> OneShotSearch::result(const Journal& journal, const StudyFolder& folder) {
  const std::vector<Json> ended = journal.bodies("oneshot");
  if (ended.empty()) return {};
  Json told = {{"derived", ended.back().at("derived")}, {"metrics", ended.back().at("metrics")}};
  told["seconds"] = ended.back().at("seconds");
  told["folder"] = std::filesystem::absolute(folder.one_shot()).string();
  return told;
}

double OneShotSearch::elapsed() const {
  return elapsed_before_ + std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
}

void OneShotSearch::record(std::string_view kind, const Json& body) {
  journal_.append(elapsed(), kind, Job::one_shot, Journal::text(body));
  journal_.commit();
}

// When the study's time is over it is told to stop, and derives what it has.
Verdict OneShotSearch::report(const Json& report) {
  record("oneshot_report", report);
  if (show_) show_(report);
  return pipeline_.budget.seconds && elapsed() >= *pipeline_.budget.seconds ? Verdict::stop : Verdict::go_on;
}

Job OneShotSearch::job() const {
  Json identity;
  if (!provenance_.study.empty()) {
    identity = {{"study", provenance_.study},
                {"seed", pipeline_.seed()},
                {"phase", "oneshot"},
                {"oneshot", pipeline_.json().at("oneshot")},
                {"made_of", provenance_.made_of(Phase::search)}};
  }
  return {.trial = Job::one_shot, .folder = folder_.one_shot(), .identity = std::move(identity)};
}

bool OneShotSearch::run(Executor& executor, const std::atomic<bool>& interrupted) {
  const Job job = this->job();
  if (const std::optional<JobResult> stored = enter_job_folder(job); stored && stored->state != TrialState::fail) {
    finish(*stored);
    return true;
  }
  executor.start(job);
  while (!interrupted) {
    const std::optional<JobResult> result = executor.wait(std::chrono::milliseconds(200));
    if (!result) continue;
    if (interrupted) break;  // what the signal did to it is no result
    finish(*result);
    return true;
  }
  return false;
}

void OneShotSearch::finish(const JobResult& result) {
  const std::string who = pipeline_.oneshot->manifest->title();
  if (result.state == TrialState::fail)
    throw Error(fmt::format("{} failed: {}. The study is kept; `weft resume {}` goes on from its last checkpoint", who,
                            result.reason, folder_.path().string()));
  if (!result.metrics.contains("derived"))
    throw Error(fmt::format("{} ended as {}, before it derived anything", who, to_string(result.state)));
  Json body = result.metrics;
  body["state"] = to_string(result.state);
  body["seconds"] = result.seconds;
  record("oneshot", body);
  std::error_code ignored;
  std::filesystem::remove(folder_.one_shot() / "checkpoint.pt", ignored);
}

}  // namespace weft::host
