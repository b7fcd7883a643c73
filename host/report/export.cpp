#include "host/report/export.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>

#include "host/report/activation_curves.hpp"
#include "host/report/drawing.hpp"
#include "host/study/files.hpp"

namespace weft::host {

namespace fs = std::filesystem;

const FinalResult* final_of(TrialId id, const std::vector<FinalResult>& finals) {
  const auto found = std::find_if(finals.begin(), finals.end(), [&](const FinalResult& final) {
    return final.trial == id && final.state == TrialState::complete;
  });
  return found == finals.end() ? nullptr : &*found;
}

Candidate candidate_of(const Trial& trial, Assembly& search, const std::vector<FinalResult>& finals) {
  const Genotype& genotype = trial.proposal.genotype;
  return final_of(trial.id, finals) != nullptr ? search.in(Phase::final).scaled(genotype).space().decode(genotype)
                                               : search.space().decode(genotype);
}

std::optional<fs::path> weights_of(TrialId id, const StudyFolder& folder, const std::vector<FinalResult>& finals) {
  const fs::path file = (final_of(id, finals) != nullptr ? folder.final(id) : folder.trial(id)) / "weights.pt";
  return fs::exists(file) ? std::optional(file) : std::nullopt;
}

namespace {

// Whole or not at all; and not what belonged to another, which was the best before.
void replace(const std::optional<fs::path>& by, const fs::path& file) {
  if (!by) {
    fs::remove(file);
    return;
  }
  fs::path part = file;
  part += ".part";
  fs::copy_file(*by, part, fs::copy_options::overwrite_existing);
  fs::rename(part, file);
}

}  // namespace

void export_best(const StudyFolder& folder, const Pipeline& pipeline, Assembly& assembly, const Trial& best,
                 const std::vector<FinalResult>& finals) {
  const Candidate candidate = candidate_of(best, assembly, finals);
  fs::create_directories(folder.best());
  write_atomically(folder.best() / "architecture.json", candidate.architecture.to_json().dump(1) + "\n");
  if (candidate.recipe.empty()) {
    fs::remove(folder.best() / "candidate.json");  // may be of another, which was the best before
  } else {
    write_atomically(folder.best() / "candidate.json", candidate.to_json().dump(1) + "\n");
  }
  write_atomically(folder.best() / "genotype.txt", assembly.space().notation(best.proposal.genotype) + "\n");

  const Cost cost = candidate.architecture.cost();
  Json result = best.to_json();
  result["pipeline"] = pipeline.name();
  result["recipe"] = candidate.recipe;
  result["cost"] = {{"parameters", cost.parameters},
                    {"multiply_adds", cost.multiply_adds},
                    {"activation_bytes", cost.activation_bytes}};
  for (const FinalResult& final : finals) {
    if (final.trial == best.id)
      result["final"] = {{"state", to_string(final.state)}, {"metrics", final.metrics}, {"reason", final.reason}};
  }
  write_atomically(folder.best() / "result.json", result.dump(2) + "\n");

  replace(weights_of(best.id, folder, finals), folder.best() / "weights.pt");
  const std::optional<std::string> curves = activation_curves(candidate.architecture);
  if (curves) write_atomically(folder.best() / "activation.svg", *curves);
  if (!curves) fs::remove(folder.best() / "activation.svg");
  try {
    constexpr std::chrono::seconds patience(20);  // whoever has it may draw it later, with `weft export`
    write_atomically(folder.best() / "picture.svg", to_svg(candidate.architecture, {.limit = patience}));
  } catch (const std::exception& error) {
    std::error_code ignored;
    fs::remove(folder.best() / "picture.svg", ignored);  // may be of another, which was the best before
    spdlog::warn("no picture: {}", error.what());
  }
}

}  // namespace weft::host
