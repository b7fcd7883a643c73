#include "host/report/export.hpp"

#include <spdlog/spdlog.h>

#include <chrono>

#include "host/report/drawing.hpp"
#include "host/study/files.hpp"

namespace weft::host {

namespace fs = std::filesystem;

Candidate candidate_of(TrialId id, Assembly& search, const Trials& trials) {
  const Genotype& genotype = trials.all().at(static_cast<std::size_t>(id)).proposal.genotype;
  for (const FinalResult& final : trials.finals()) {
    if (final.trial == id && final.state == TrialState::complete)
      return search.in(Phase::final).space().decode(genotype);
  }
  return search.space().decode(genotype);
}

std::optional<fs::path> weights_of(const StudyFolder& folder, TrialId id) {
  for (const fs::path& file : {folder.final(id) / "weights.pt", folder.trial(id) / "weights.pt"}) {
    if (fs::exists(file)) return file;
  }
  return {};
}

void export_best(const StudyFolder& folder, const Pipeline& pipeline, Assembly& assembly, const Trials& trials) {
  const Trial& best = *trials.best();
  const Candidate candidate = candidate_of(best.id, assembly, trials);
  fs::create_directories(folder.best());
  write_atomically(folder.best() / "architecture.json", candidate.architecture.to_json().dump(1) + "\n");
  write_atomically(folder.best() / "genotype.txt", assembly.space().notation(best.proposal.genotype) + "\n");

  const Cost cost = candidate.architecture.cost();
  Json result = best.to_json();
  result["pipeline"] = pipeline.name();
  result["recipe"] = candidate.recipe;
  result["cost"] = {{"parameters", cost.parameters},
                    {"multiply_adds", cost.multiply_adds},
                    {"activation_bytes", cost.activation_bytes}};
  for (const FinalResult& final : trials.finals()) {
    if (final.trial == best.id)
      result["final"] = {{"state", to_string(final.state)}, {"metrics", final.metrics}, {"reason", final.reason}};
  }
  write_atomically(folder.best() / "result.json", result.dump(2) + "\n");

  if (const std::optional<fs::path> weights = weights_of(folder, best.id)) {
    fs::copy_file(*weights, folder.best() / "weights.pt", fs::copy_options::overwrite_existing);
  }
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
