// The instances of a pipeline's plugins in one process, created as they are asked for.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "host/pipelines/pipeline.hpp"
#include "weft/abi.h"
#include "weft/evaluator.hpp"
#include "weft/objective.hpp"
#include "weft/oneshot.hpp"
#include "weft/optimizer.hpp"
#include "weft/rng.hpp"
#include "weft/space.hpp"
#include "weft/stopper.hpp"

namespace weft::host {

enum class Phase { search, final };

// Errors of a plugin come out with its title and manifest before the text.
class Assembly {
 public:
  // `pipeline` outlives this object. `task` is what the data set said of itself, or null. Of plugins in `libraries`,
  // [{"plugin": title, "sha256"}, ..], no other library is used.
  Assembly(const Pipeline& pipeline, Json task, Phase phase, Json libraries = Json::array());
  ~Assembly();
  Assembly(const Assembly&) = delete;
  Assembly& operator=(const Assembly&) = delete;

  // The same pipeline and task in another phase.
  Assembly in(Phase phase) const { return {pipeline_, task_, phase, libraries_}; }

  // At a level of fidelity: the pipeline under that level's patch. This one where there is none, or it changes nothing.
  Assembly& at(const Fidelity& fidelity);
  // Whether every level can be evaluated: its data set, its evaluator, and networks that its space builds. Returns a
  // fingerprint of the data that they read besides this one's; may be empty. Throws InvalidInput or Error.
  std::string check_levels();

  // In the final phase of a pipeline that scales its final networks: under the argument by which this one comes to the
  // parameters that it may have. Else this one. Throws InvalidInput where even the least is too large.
  Assembly& scaled(const Genotype& genotype);

  SpaceRef space();  // as the final networks are built in the final phase
  OptimizerRef optimizer();
  EvaluatorRef evaluator();  // the final one in the final phase
  OneShotRef oneshot();      // of a pipeline that has one
  std::vector<ObjectiveRef> objectives();
  std::vector<StopperRef> stoppers();
  // {"input", "classes", "splits", "fingerprint", and "test_fingerprint" in the final phase} of the data set, which
  // whatever is created later is told; of the pipeline's `task` where there is none.
  Json task();

  // Of a trial: the same on every attempt and in every process.
  static Rng trial_stream(std::uint64_t seed, TrialId trial) {
    return Rng(seed).derive("trial", static_cast<std::uint64_t>(trial));
  }

 private:
  struct Part;
  class Unfinished;
  weft_handle space_part();
  Json study_for(const Manifest& manifest);
  weft_handle part(const std::string& pointer, const Use& use, std::size_t index = 0);
  void create(Part& part, std::size_t index);
  weft_handle ingredient(const Part& asking, std::string_view kind, std::string_view use, std::string_view around);
  weft_handle part_among(std::vector<std::unique_ptr<Part>>& parts, const std::string& pointer, const Use& use,
                         std::size_t index, bool is_ingredient);
  void release(const weft_handle& ingredient);
  std::optional<weft_handle> role(Part& asking, std::string_view name);
  void expect_no_twin(const Part& ingredient) const;
  void expect_finished(const std::string& pointer) const;

  const Pipeline& pipeline_;
  Json task_;
  Phase phase_;
  Json libraries_;
  std::vector<std::unique_ptr<Part>> ingredients_;  // made for others, until they give them back
  std::vector<std::unique_ptr<Part>> parts_;        // in order of creation; destroyed in reverse
  std::vector<const Part*> unfinished_;             // are being created: each was asked for by the one before it
  std::int64_t parameters_under(std::int64_t argument, const Genotype& genotype) const;
  Pipeline scaled_pipeline(std::int64_t argument) const;

  std::map<int, std::unique_ptr<Assembly>> levels_;
  struct Scaled;
  std::map<std::int64_t, std::unique_ptr<Scaled>> scaled_;  // by the argument's value
  std::int64_t last_multiple_ = 1;                          // of the last one, of /final/scale/multiple_of
};

}  // namespace weft::host
