// The contract suite of evaluators: what every plugin of kind `evaluator` must do, however it measures.
//
// Include Catch2 (version 2 or 3) first. A few genotypes of the space in `surroundings` are evaluated several times
// each: give it arguments that make this cheap.
#pragma once

#ifndef REQUIRE
#error "include Catch2 before weft/testing/evaluator_contract.hpp"
#endif

#include <unistd.h>

#include <atomic>
#include <cmath>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "weft/evaluator.hpp"
#include "weft/testing/library.hpp"

namespace weft::testing {

struct EvaluatorCheck {
  std::size_t genotypes = 2;
  Fidelity fidelity = {};
  std::set<std::string> varying = {"seconds"};  // metrics that differ from run to run: times
};

namespace evaluator_contract {

// A folder that lives as long as this object.
class Folder {
 public:
  Folder() {
    static std::atomic<int> count{0};
    path_ = std::filesystem::temp_directory_path() /
            ("weft_evaluator_" + std::to_string(getpid()) + "_" + std::to_string(count++));
    std::filesystem::create_directories(path_);
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// Listens to an evaluation; answers `answer` to report number `at`, else: go on.
struct Listener {
  std::size_t at = 0;
  Verdict answer = Verdict::go_on;
  std::vector<Json> reports = {};

  weft_reporter reporter() {
    return {sizeof(weft_reporter), this, [](void* context, weft_text report) -> std::int32_t {
              auto& self = *static_cast<Listener*>(context);
              self.reports.push_back(Json::parse(detail::view(report)));
              return static_cast<std::int32_t>(self.reports.size() == self.at ? self.answer : Verdict::go_on);
            }};
  }
};

inline Evaluation evaluate(EvaluatorRef& evaluator, const EvaluationRequest& request, Listener& listener,
                           const EvaluatorCheck& check) {
  Evaluation evaluation = evaluator.evaluate(request, listener.reporter());
  int epoch = 0;
  for (const Json& report : listener.reports) {
    INFO("a report must have an integer epoch above the one before, which was " << epoch << ": " << report.dump());
    REQUIRE(report.at("epoch").is_number_integer());
    REQUIRE(report.at("epoch").get<int>() > epoch);
    epoch = report.at("epoch");
  }
  for (const auto& [name, value] : evaluation.metrics.items()) {
    INFO("metric " << name << " must be a finite number: " << value.dump());
    REQUIRE(value.is_number());
    REQUIRE(std::isfinite(value.get<double>()));
  }
  for (const std::string& name : check.varying) evaluation.metrics.erase(name);
  return evaluation;
}

}  // namespace evaluator_contract

// The whole suite. `surroundings` hold the space, and whatever else the evaluator needs (a data set).
inline void check_evaluator(const Plugin& plugin, const Json& args, const Surroundings& surroundings,
                            const EvaluatorCheck& check = {}) {
  using namespace evaluator_contract;
  INFO("evaluator " << plugin.component->name << " with " << args.dump());
  REQUIRE(std::string_view(plugin.component->kind) == "evaluator");
  const auto provides = plugin.manifest.at("provides").get<std::set<std::string>>();
  const SpaceRef space(surroundings.collaborators.at("space"));
  const Instance instance(plugin, args, surroundings);
  const Instance other(plugin, args, surroundings);
  EvaluatorRef evaluator(instance.handle());
  EvaluatorRef twin(other.handle());

  for (std::size_t i = 0; i < check.genotypes; ++i) {
    Rng rng(67, i);
    EvaluationRequest request{
        .trial = static_cast<TrialId>(i), .genotype = space.sample(rng), .fidelity = check.fidelity, .rng = Rng(71, i)};
    INFO("genotype " << request.genotype.key());
    Listener listener;
    const Evaluation whole = evaluate(evaluator, request, listener, check);
    REQUIRE(whole.state == TrialState::complete);
    for (const std::string& capability : provides) {
      INFO("manifest \"provides\" promises " << capability << "; the metrics are " << whole.metrics.dump());
      if (capability.starts_with("metric.")) REQUIRE(whole.metrics.contains(capability.substr(7)));
    }
    INFO("the same request must be measured the same, by this instance and by another");
    for (EvaluatorRef* again : {&evaluator, &twin}) {
      Folder folder;
      request.folder = folder.path();
      Listener silent;
      REQUIRE(evaluate(*again, request, silent, check).metrics == whole.metrics);
    }
    if (listener.reports.size() < 2) continue;

    Folder folder;
    request.folder = folder.path();
    Listener stop{.at = 1, .answer = Verdict::stop};
    REQUIRE(evaluate(evaluator, request, stop, check).state == TrialState::pruned);
    REQUIRE(stop.reports.size() == 1);
    if (!provides.contains("evaluator.resumable")) continue;
    Folder kept;
    request.folder = kept.path();
    Listener pause{.at = 1, .answer = Verdict::pause};
    REQUIRE(evaluate(evaluator, request, pause, check).state == TrialState::paused);
    Listener rest;
    INFO("paused after a report and resumed by another instance, the result must be that of the uninterrupted run");
    REQUIRE(evaluate(twin, request, rest, check).metrics == whole.metrics);
    INFO("the report before the pause may come once more, as its answer may have been lost; those behind it come once");
    REQUIRE(rest.reports.size() + 1 >= listener.reports.size());
    REQUIRE(rest.reports.size() <= listener.reports.size());
  }

  Genotype foreign;
  foreign.opaque = {{"no space", "understands this"}};
  Listener listener;
  INFO("a genotype that is none of the space's must be refused");
  REQUIRE_THROWS_AS(evaluator.evaluate({.genotype = foreign}, listener.reporter()), Error);
}

}  // namespace weft::testing
