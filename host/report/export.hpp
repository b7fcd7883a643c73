// What a study leaves behind: the found architecture, its weights and its picture.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "host/execution/assembly.hpp"
#include "host/study/folder.hpp"
#include "host/study/trials.hpp"

namespace weft::host {

// Writes best/: architecture.json, genotype.txt (the space's notation), result.json, picture.svg where Graphviz can
// draw it, activation.svg where its activations were searched, weights.pt where any were kept. Of the best trial by the
// search's reward; the final training never has a say in which that is.
void export_best(const StudyFolder& folder, const Pipeline& pipeline, Assembly& assembly, const Trial& best,
                 const std::vector<FinalResult>& finals);

// `finals` are the results that count (Trials::finals_made_of). Null where the trial was not trained to the end.
const FinalResult* final_of(TrialId id, const std::vector<FinalResult>& finals);

// A trial's network: that of its final training if it had one, else of the search, whose assembly `search` is.
Candidate candidate_of(const Trial& trial, Assembly& search, const std::vector<FinalResult>& finals);

// The weights of a trial: of its final training if it had one, else of the search; nothing if they were not kept.
std::optional<std::filesystem::path> weights_of(TrialId id, const StudyFolder& folder,
                                                const std::vector<FinalResult>& finals);

}  // namespace weft::host
