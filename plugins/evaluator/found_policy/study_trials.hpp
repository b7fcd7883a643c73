// The trials of a study, as they lie beside a final training (docs/study-folder.md).
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "weft/trial.hpp"

namespace found_policy {

struct StudyTrial {
  weft::TrialId number = 0;
  weft::Proposal proposal;
  weft::Json metrics;  // of a complete one; else null
};

// What the file says of its trial; nothing if it is none, or not whole.
inline std::optional<StudyTrial> read_trial(const std::filesystem::path& file) {
  std::ifstream stream(file);
  const weft::Json json = stream ? weft::Json::parse(stream, nullptr, false) : weft::Json();
  if (!json.is_object() || !json.contains("job")) return {};
  const weft::Json& job = json.at("job");
  StudyTrial trial{job.at("trial"), weft::Proposal::from_json(job.at("proposal")), {}};
  if (json.at("state") == weft::to_string(weft::TrialState::complete)) trial.metrics = json.at("metrics");
  return trial;
}

// By number. `final_folder` is that of the final training of one of them. Throws Error where there are none.
inline std::vector<StudyTrial> study_trials(const std::optional<std::filesystem::path>& final_folder) {
  if (!final_folder)
    throw weft::Error("what a search has found is read from its study, but this training has no folder");
  const std::filesystem::path trials = final_folder->parent_path().parent_path() / "trials";
  std::vector<StudyTrial> all;
  std::error_code absent;
  for (const auto& entry : std::filesystem::directory_iterator(trials, absent)) {
    if (std::optional<StudyTrial> trial = read_trial(entry.path() / "result.json")) all.push_back(std::move(*trial));
  }
  if (all.empty())
    throw weft::Error(trials.string() +
                      " has no result.json of any trial, in which what was found would be; put it back");
  std::sort(all.begin(), all.end(), [](const StudyTrial& a, const StudyTrial& b) { return a.number < b.number; });
  return all;
}

// The `count` trials with the highest value of the metric, the best first; of equals the earlier. Throws Error where no
// trial has it.
inline std::vector<StudyTrial> best_by(const std::string& metric, std::size_t count,
                                       const std::vector<StudyTrial>& trials) {
  std::vector<StudyTrial> best;
  for (const StudyTrial& trial : trials) {
    if (trial.metrics.is_object() && trial.metrics.contains(metric)) best.push_back(trial);
  }
  if (best.empty()) throw weft::Error("no complete trial of the study has the metric " + metric + " of /metrics");
  std::stable_sort(best.begin(), best.end(), [&](const StudyTrial& a, const StudyTrial& b) {
    return a.metrics.at(metric).get<double>() > b.metrics.at(metric).get<double>();
  });
  best.resize(std::min(best.size(), count));
  return best;
}

// The trials that one after the other went on from each other's checkpoints, up to this one. Throws Error where one is
// missing.
inline std::vector<StudyTrial> line_of(weft::TrialId number, const std::vector<StudyTrial>& trials) {
  std::vector<StudyTrial> line;
  for (std::optional<weft::TrialId> at = number; at; at = line.back().proposal.fidelity.resume_from) {
    const auto found =
        std::find_if(trials.begin(), trials.end(), [&](const StudyTrial& trial) { return trial.number == *at; });
    if (found == trials.end() || line.size() > trials.size())
      throw weft::Error("trial " + std::to_string(*at) + ", which trial " + std::to_string(number) +
                        " has gone on from, has no result.json; put it back, and let the pipeline have \"duplicates\": "
                        "\"evaluate\", so that each trial has its own");
    line.push_back(*found);
  }
  std::reverse(line.begin(), line.end());
  return line;
}

}  // namespace found_policy
