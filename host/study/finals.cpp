#include "host/study/finals.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace weft::host {

Finals::Finals(const Pipeline& pipeline, Trials& trials, Journal& journal, const StudyFolder& folder,
               std::function<double()> elapsed)
    : trials_(trials),
      journal_(journal),
      folder_(folder),
      elapsed_(std::move(elapsed)),
      pending_(trials.best(pipeline.final->top)) {
  for (const FinalResult& result : trials.finals()) {
    if (result.state != TrialState::fail) std::erase(pending_, result.trial);
  }
}

bool Finals::run(Executor& executor, const std::atomic<bool>& interrupted) {
  std::vector<TrialId> waiting(pending_.rbegin(), pending_.rend());
  std::size_t running = 0;
  while (!interrupted && (running > 0 || !waiting.empty())) {
    while (executor.free_slots() > 0 && !waiting.empty()) {
      const TrialId id = waiting.back();
      waiting.pop_back();
      Job job{.trial = id, .genotype = trials_.at(id).proposal.genotype, .folder = folder_.final(id)};
      journal_.append(elapsed_(), "final_start", id, "{}");
      const std::optional<JobResult> stored = enter_job_folder(*job.folder, id);
      if (stored && stored->state != TrialState::fail) {
        finish(*stored);
        continue;
      }
      executor.start(job);
      ++running;
    }
    if (running == 0) break;
    const std::optional<JobResult> result = executor.wait(std::chrono::milliseconds(200));
    if (result && !interrupted) {  // else the signal may be what ended it
      --running;
      finish(*result);
    }
  }
  return !interrupted;
}

void Finals::finish(const JobResult& result) {
  const Ending ending{
      .state = result.state, .metrics = result.metrics, .reason = result.reason, .seconds = result.seconds};
  journal_.append(elapsed_(), "final", result.trial, ending.to_json().dump());
  trials_.apply({elapsed_(), "final", result.trial, ending.to_json()});
  if (result.state == TrialState::fail) return;  // `weft resume` goes on from the checkpoint
  std::error_code ignored;
  std::filesystem::remove(folder_.final(result.trial) / "checkpoint.pt", ignored);
}

}  // namespace weft::host
