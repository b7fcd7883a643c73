#include "host/study/finals.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace weft::host {

Finals::Finals(const Pipeline& pipeline, Search& search, Journal& journal, const StudyFolder& folder)
    : search_(search), journal_(journal), folder_(folder), pending_(search.trials().best(pipeline.final->top)) {
  for (const FinalResult& result : results(pipeline, search)) {
    if (result.state == TrialState::complete) std::erase(pending_, result.trial);
  }
}

std::vector<FinalResult> Finals::results(const Pipeline& pipeline, const Search& search) {
  if (!pipeline.final) return {};
  const std::vector<TrialId> wanted = search.trials().best(pipeline.final->top);
  std::vector<FinalResult> results = search.trials().finals_made_of(search.made_of(Phase::final));
  std::erase_if(results, [&](const FinalResult& result) {
    return std::find(wanted.begin(), wanted.end(), result.trial) == wanted.end();
  });
  return results;
}

bool Finals::run(Executor& executor, const std::atomic<bool>& interrupted) {
  std::vector<TrialId> waiting(pending_.rbegin(), pending_.rend());
  std::size_t running = 0;
  while (!interrupted && (running > 0 || !waiting.empty())) {
    while (executor.free_slots() > 0 && !waiting.empty()) {
      const TrialId id = waiting.back();
      waiting.pop_back();
      const Job job{.trial = id,
                    .genotype = search_.trials().at(id).proposal.genotype,
                    .folder = folder_.final(id),
                    .identity = search_.identity(id, Phase::final)};
      journal_.append(search_.elapsed(), "final_start", id, "{}");
      journal_.commit();
      const std::optional<JobResult> stored = enter_job_folder(job);
      if (stored && stored->state != TrialState::fail) {
        finish(*stored);
        continue;
      }
      executor.start(job);
      ++running;
    }
    if (running == 0) break;
    if (const std::optional<JobResult> result = executor.wait(std::chrono::milliseconds(200))) {
      if (interrupted) break;  // what the signal did to a training is no result of it
      --running;
      finish(*result);
    }
  }
  return !interrupted;
}

void Finals::finish(const JobResult& result) {
  const bool complete = result.state == TrialState::complete;
  const Ending ending{.state = complete ? TrialState::complete : TrialState::fail,
                      .metrics = result.metrics,
                      .reason = complete || !result.reason.empty()
                                    ? result.reason
                                    : fmt::format("ended as {}, before its end", weft::to_string(result.state)),
                      .seconds = result.seconds};
  Json body = ending.to_json();
  body["made_of"] = search_.made_of(Phase::final);
  journal_.append(search_.elapsed(), "final", result.trial, Journal::text(body));
  journal_.commit();
  search_.trials().apply({search_.elapsed(), "final", result.trial, body});
  if (!complete) return;  // `weft resume` goes on from the checkpoint
  std::error_code ignored;
  std::filesystem::remove(folder_.final(result.trial) / "checkpoint.pt", ignored);
}

}  // namespace weft::host
