// What sampling a pipeline's space tells before anything is evaluated: which share keeps the limits, can be built for
// the final training, is known to a table.
#pragma once

#include <string>
#include <vector>

#include "host/execution/assembly.hpp"
#include "host/pipelines/pipeline.hpp"

namespace weft::host {

// How many of the sampled candidates something cannot be done with, and why not with the first.
struct Shortfall {
  std::size_t count = 0;
  std::string first;  // "GENOTYPE: REASON"

  void add(const Genotype& genotype, const std::string& reason);
};

struct Sampled {
  std::size_t samples = 0;
  std::size_t feasible = 0;        // keep all limits
  Json ranges = Json::object();    // objective -> {"lowest", "highest"}, as far as known before an evaluation
  Shortfall unbuilt, unevaluated;  // as final networks; by an evaluator that runs in the host
};

// `final` builds the networks of the final training; null where they are those of the search.
Sampled sample_space(const Pipeline& pipeline, Assembly& search, Assembly* final, std::size_t samples);

// Throws InvalidInput if no final network could be built of 20 sampled genotypes; warns if some could not.
void check_final_space(const Pipeline& pipeline, Assembly& search, Assembly& final);

// Prints what was found. Returns the exit code: unusable_input where no sampled candidate can succeed.
int print_check(const Pipeline& pipeline, const Json& task, const Sampled& sampled, bool json);

}  // namespace weft::host
