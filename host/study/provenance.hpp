// What a study is made of: its pipeline, the plugins' libraries, the data. Kept in its journal and compared when it is
// resumed, so that results of different things are never mixed unnoticed.
#pragma once

#include <string>
#include <vector>

#include "host/execution/assembly.hpp"
#include "host/pipelines/pipeline.hpp"
#include "host/study/folder.hpp"
#include "host/study/journal.hpp"
#include "weft/json.hpp"

namespace weft::host {

struct Provenance {
  std::string study;  // random, one per study; empty where release 1.0 began it, which kept none of this but `task`
  Json pipeline;      // as pipeline.json has it
  Json plugins;       // [{"plugin": "space chain", "version", "sha256"}, ..]
  Json task;          // what the data set said of itself
  std::string fingerprint;  // of data of the evaluator's own, such as a table; may be empty
  std::string test;         // fingerprint of the test split that the final training reads; may be empty
  std::string directory;    // from which relative paths of the pipeline are seen
  Json told;                // Pipeline::told as the study began

  // Of a study that begins now, here, with this pipeline; what data and libraries say is left to whom it is known.
  static Provenance begin(const Pipeline& pipeline);
  // As begun, and as changed since: read() from the journal, apply() from its events one by one.
  static Provenance read(const Journal& journal);
  void apply(const Journal::Event& event);

  // The body of the events "study" and "change".
  Json to_json() const;
  // A number for all that decides what an evaluation of a genotype is, in the search or in the final training: results
  // and checkpoints of another are of no use.
  std::string made_of(Phase phase) const;
  // Makes the study's directory this process's. False, and says so, where it is no more; or where none was kept.
  bool enter_directory() const;
};

// pipeline.json as it is; as the journal has it where the file is gone or damaged.
Json stored_pipeline(const StudyFolder& folder, const Provenance& provenance);

// What two pipelines, lists of plugins or tasks say differently.
struct Difference {
  std::string words;  // "/space/args/filters was 8, is 16"
  bool harmless;      // leaves what was found so far comparable with what will be
};
std::vector<Difference> differences(const Provenance& was, const Provenance& is);

// The libraries of all plugins of a pipeline, as in Provenance::plugins. Throws Refusal.
Json libraries_of(const Pipeline& pipeline);

}  // namespace weft::host
