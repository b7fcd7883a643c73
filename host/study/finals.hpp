// The trainings of the best candidates after the search.
#pragma once

#include <atomic>
#include <vector>

#include "host/execution/executor.hpp"
#include "host/pipelines/pipeline.hpp"
#include "host/study/folder.hpp"
#include "host/study/journal.hpp"
#include "host/study/search.hpp"

namespace weft::host {

class Finals {
 public:
  Finals(const Pipeline& pipeline, Search& search, Journal& journal, const StudyFolder& folder);

  // Of the trials whose final training the pipeline asks for, as it is now, what became of those that were begun.
  static std::vector<FinalResult> results(const Pipeline& pipeline, const Search& search);

  // The trials whose final training is still to be done, best first.
  const std::vector<TrialId>& pending() const { return pending_; }
  // False when interrupted. A training that fails is recorded, and the others go on.
  bool run(Executor& executor, const std::atomic<bool>& interrupted);

 private:
  void finish(const JobResult& result);

  Search& search_;
  Journal& journal_;
  const StudyFolder& folder_;
  std::vector<TrialId> pending_;
};

}  // namespace weft::host
