// A trial: one evaluation of one candidate. What is asked of it, what it reports, how it ends.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weft/abi.h"
#include "weft/error.hpp"
#include "weft/genotype.hpp"
#include "weft/json.hpp"

namespace weft {

using TrialId = std::int64_t;  // proposals are numbered 0, 1, 2, ... in the order in which ask() returned them

enum class TrialState {
  waiting = WEFT_WAITING,
  running = WEFT_RUNNING,
  paused = WEFT_PAUSED,
  complete = WEFT_COMPLETE,
  pruned = WEFT_PRUNED,
  fail = WEFT_FAIL
};

inline constexpr std::array<std::string_view, 6> trial_state_names = {"WAITING",  "RUNNING", "PAUSED",
                                                                      "COMPLETE", "PRUNED",  "FAIL"};

inline std::string_view to_string(TrialState state) { return trial_state_names.at(static_cast<std::size_t>(state)); }

inline TrialState trial_state(std::string_view name) {
  for (std::size_t i = 0; i < trial_state_names.size(); ++i) {
    if (trial_state_names[i] == name) return static_cast<TrialState>(i);
  }
  throw InvalidInput("unknown trial state \"" + std::string(name) + "\"");
}

// How thoroughly a candidate is evaluated. What is absent is the evaluator's own setting.
struct Fidelity {
  std::optional<int> epochs = {};
  std::optional<TrialId> resume_from = {};   // go on from the last checkpoint of this trial
  std::optional<double> data_fraction = {};  // of the training split, (0, 1]
  std::optional<int> level = {};             // one of /fidelities in the pipeline, counted from 0, the cheapest
  std::optional<int> resolution = {};        // pixels, height and width
  std::optional<double> width_scale = {}, depth_scale = {};

  friend bool operator==(const Fidelity&, const Fidelity&) = default;

  Json to_json() const;
  static Fidelity from_json(const Json& json);
};

// What an optimizer asks for.
struct Proposal {
  Genotype genotype;
  std::optional<TrialId> parent = {};  // whose weights may be inherited
  Json transfer = {};                  // null, or how each parameter follows from the parent's (WeightTransfer)
  Fidelity fidelity = {};
  Json notes = {};  // null, or anything: kept with the trial, handed back by tell()

  Json to_json() const;
  static Proposal from_json(const Json& json);
};

// How a trial ended, as an optimizer is told.
struct TrialResult {
  TrialId trial = 0;
  TrialState state = TrialState::complete;
  Genotype genotype;
  double reward = -std::numeric_limits<double>::infinity();  // to be maximised; meaningful for COMPLETE only
  std::vector<double> objectives;                            // in the pipeline's order
  Fidelity fidelity;
  Json metrics = Json::object();
  Json notes;
  std::string reason;                    // why it was pruned or failed
  std::optional<double> predicted = {};  // the reward that a stopper predicted of a trial that it ended before its time

  bool complete() const { return state == TrialState::complete; }
  // What an optimizer learns from it: the reward it came to, or was to come to. Nothing of any other trial.
  std::optional<double> told_reward() const { return complete() ? std::optional(reward) : predicted; }

  Json to_json() const;
  static TrialResult from_json(const Json& json);
};

#ifndef WEFT_DECLARED_ONLY
WEFT_INLINE Json Fidelity::to_json() const {
  Json json = Json::object();
  if (epochs) json["epochs"] = *epochs;
  if (resume_from) json["resume_from"] = *resume_from;
  if (data_fraction) json["data_fraction"] = *data_fraction;
  if (level) json["level"] = *level;
  if (resolution) json["resolution"] = *resolution;
  if (width_scale) json["width_scale"] = *width_scale;
  if (depth_scale) json["depth_scale"] = *depth_scale;
  return json;
}

WEFT_INLINE Fidelity Fidelity::from_json(const Json& json) {
  Fidelity fidelity;
  const auto read = [&](const char* name, auto& member) {
    if (json.contains(name)) member = json.at(name).get<typename std::decay_t<decltype(member)>::value_type>();
  };
  read("epochs", fidelity.epochs);
  read("resume_from", fidelity.resume_from);
  read("data_fraction", fidelity.data_fraction);
  read("level", fidelity.level);
  read("resolution", fidelity.resolution);
  read("width_scale", fidelity.width_scale);
  read("depth_scale", fidelity.depth_scale);
  return fidelity;
}

WEFT_INLINE Json Proposal::to_json() const {
  Json json = {{"genotype", genotype.to_json()}};
  if (parent) json["parent"] = *parent;
  if (!transfer.is_null()) json["transfer"] = transfer;
  if (fidelity != Fidelity{}) json["fidelity"] = fidelity.to_json();
  if (!notes.is_null()) json["notes"] = notes;
  return json;
}

WEFT_INLINE Proposal Proposal::from_json(const Json& json) {
  Proposal proposal{.genotype = Genotype::from_json(json.at("genotype"))};
  if (json.contains("parent")) proposal.parent = json.at("parent").get<TrialId>();
  proposal.transfer = json.value("transfer", Json());
  proposal.fidelity = Fidelity::from_json(json.value("fidelity", Json::object()));
  proposal.notes = json.value("notes", Json());
  return proposal;
}

WEFT_INLINE Json TrialResult::to_json() const {
  Json json = {{"trial", trial}, {"state", to_string(state)}, {"genotype", genotype.to_json()}, {"metrics", metrics}};
  if (complete()) json.update({{"reward", reward}, {"objectives", objectives}});
  if (fidelity != Fidelity{}) json["fidelity"] = fidelity.to_json();
  if (!notes.is_null()) json["notes"] = notes;
  if (!reason.empty()) json["reason"] = reason;
  if (predicted) json["predicted"] = *predicted;
  return json;
}

WEFT_INLINE TrialResult TrialResult::from_json(const Json& json) {
  TrialResult result;
  result.trial = json.at("trial");
  result.state = trial_state(json.at("state").get<std::string>());
  result.genotype = Genotype::from_json(json.at("genotype"));
  result.reward = json.value("reward", result.reward);
  result.objectives = json.value("objectives", std::vector<double>());
  result.fidelity = Fidelity::from_json(json.value("fidelity", Json::object()));
  result.metrics = json.at("metrics");
  result.notes = json.value("notes", Json());
  result.reason = json.value("reason", "");
  if (json.contains("predicted")) result.predicted = json.at("predicted").get<double>();
  return result;
}
#endif

}  // namespace weft
