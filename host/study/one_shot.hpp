// The one-shot search of a study whose pipeline has one: a single job, before the first trial.
//
// What it reports and what came of it are events of the journal ("oneshot_report", "oneshot"); it keeps its files in
// oneshot/. When it has ended, the study's other plugins are told of it.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <optional>

#include "host/execution/executor.hpp"
#include "host/pipelines/pipeline.hpp"
#include "host/study/folder.hpp"
#include "host/study/journal.hpp"
#include "host/study/provenance.hpp"
#include "weft/json.hpp"

namespace weft::host {

class OneShotSearch {
 public:
  // All are referred to, and live longer. `show` is called with every report.
  OneShotSearch(const Pipeline& pipeline, Journal& journal, const StudyFolder& folder, const Provenance& provenance,
                std::function<void(const Json& report)> show);

  // What plugins are told of one that has ended, as study().oneshot: {"derived": [{"genotype", "metrics"}, ..],
  // "metrics", "folder"}. Nothing where none has.
  static std::optional<Json> result(const Journal& journal, const StudyFolder& folder);

  // Reports of the job come in here; hand it to the executor.
  Verdict report(const Json& report);
  // Until it has ended, or `interrupted` becomes true: false then. Throws Error where it fails.
  bool run(Executor& executor, const std::atomic<bool>& interrupted);

 private:
  Job job() const;
  void record(std::string_view kind, const Json& body);
  double elapsed() const;
  void finish(const JobResult& result);

  const Pipeline& pipeline_;
  Journal& journal_;
  const StudyFolder& folder_;
  const Provenance& provenance_;
  std::function<void(const Json&)> show_;
  double elapsed_before_;
  std::chrono::steady_clock::time_point began_;
};

}  // namespace weft::host
