// A search whose optimizer proposes, and whose executor answers, what a test says.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "host/plugins/catalogue.hpp"
#include "host/study/search.hpp"

namespace weft::host {

inline const std::atomic<bool> never = false;

namespace fs = std::filesystem;

// Proposes what it is given, one after the other, and the last for ever; keeps what it is told.
class Scripted final : public weft::Optimizer {
 public:
  explicit Scripted(std::vector<weft::Proposal> proposals, bool ends = false)
      : proposals_(std::move(proposals)), ends_(ends) {}

  std::vector<weft::Proposal> ask(std::size_t capacity) override {
    std::vector<weft::Proposal> asked;
    while (asked.size() < std::min(capacity, most_at_once) && !finished())
      asked.push_back(proposals_[std::min(next_++, proposals_.size() - 1)]);
    return asked;
  }
  void tell(const weft::TrialResult& result) override { told.push_back(result); }
  bool finished() const override { return ends_ && next_ >= proposals_.size(); }
  std::optional<std::vector<TrialId>> retain() const override { return retained; }
  std::optional<std::vector<TrialId>> resumable() const override { return may_resume; }

  std::vector<weft::TrialResult> told;
  std::optional<std::vector<TrialId>> retained, may_resume;
  std::size_t most_at_once = SIZE_MAX;

 private:
  std::vector<weft::Proposal> proposals_;
  bool ends_;
  std::size_t next_ = 0;
};

// Lets the test decide how and when each job ends.
class Held final : public Executor {
 public:
  explicit Held(std::size_t slots) : slots_(slots) {}
  std::size_t free_slots() const override { return slots_ - running_.size(); }
  void start(const Job& job) override {
    started.push_back(job.trial);
    folders[job.trial] = {job.resume_folder, job.inherit_folder};
    running_.push_back(job.trial);
  }
  std::optional<JobResult> wait(std::chrono::milliseconds) override {
    ++waits;
    return running_.empty() ? std::nullopt : answer(*this, running_.front());
  }
  std::vector<SlotStatus> status() const override {
    std::vector<SlotStatus> slots;
    for (const TrialId trial : running_) slots.push_back({.name = "cpu:1", .trial = trial});
    return slots;
  }
  void cancel(TrialId trial, const std::string& reason) override { cancelled[trial] = reason; }
  JobResult end(TrialId trial, TrialState state, const std::string& reason = "") {
    std::erase(running_, trial);
    JobResult result{.trial = trial, .state = state, .reason = reason};
    if (state == TrialState::complete) result.metrics = {{"validation_accuracy", 50.0}};
    return result;
  }

  std::function<std::optional<JobResult>(Held&, TrialId oldest)> answer = [](Held& held, TrialId trial) {
    return held.end(trial, TrialState::complete);
  };
  std::vector<TrialId> started;
  struct Folders {
    std::optional<fs::path> resume, inherit;
  };
  std::map<TrialId, Folders> folders;
  std::map<TrialId, std::string> cancelled;
  int waits = 0;

 private:
  std::size_t slots_;
  std::vector<TrialId> running_;
};

inline weft::Proposal cell(std::int32_t first, weft::Fidelity fidelity = {}) {
  return {.genotype = weft::Genotype({first, 3, 3, 3, 3, 3}), .fidelity = fidelity};
}

// A search of NAS-Bench-201's space by a script, evaluated as the test says.
struct Script {
  Script(const Json& description, std::vector<weft::Proposal> proposals, std::size_t slots, Journal* journal = nullptr,
         bool ends = false)
      : catalogue(Catalogue::discover({})),
        pipeline(Pipeline::resolve(description, "test.json", catalogue)),
        assembly(pipeline, {}, Phase::search),
        optimizer(std::move(proposals), ends),
        executor(slots),
        search({pipeline, assembly, optimizer, journal}) {}

  Catalogue catalogue;
  Pipeline pipeline;
  Assembly assembly;
  Scripted optimizer;
  Held executor;
  Search search;
};

}  // namespace weft::host
