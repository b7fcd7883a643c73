// A pipeline: read, patched by a profile, checked as a whole, with every default filled in, before anything runs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "host/plugins/catalogue.hpp"
#include "host/plugins/schema.hpp"
#include "weft/json.hpp"

namespace weft::host {

// Whether candidates name plugins of this kind, in their recipes and graphs.
bool candidates_may_name(const std::string& kind);

// A plugin as a pipeline uses it.
struct Use {
  const Manifest* manifest = nullptr;  // owned by the catalogue
  Json args;                           // valid, complete
  std::string argument = {};           // of the plugin that it is an argument of, if it is: "sampler", "loss/0"
  std::vector<Use> nested = {};        // plugins that its own arguments name
};

struct ObjectiveUse : Use {
  std::optional<double> limit;
};

struct OneShotUse : Use {
  std::vector<std::string> slots;  // of which the first runs it
};

struct Budget {
  std::optional<std::int64_t> trials;
  std::optional<std::int64_t> unique;
  std::optional<double> seconds;
  double grace = 0;
  std::size_t failures = 1;  // in a row, for the same reason
};

// The final network is as large as a number of parameters allows, by one argument of the space.
struct Scale {
  std::string argument;
  std::int64_t parameters = 0;
  std::int64_t multiple_of = 1;  // whose multiples are tried
  std::int64_t largest = 0;      // that the argument may be
};

struct Final {
  Use space;  // reads the search's genotypes, and may build other networks from them
  Use evaluator;
  std::size_t top = 1;
  std::vector<std::string> slots;  // empty: all cores for one candidate, one core each for several
  std::optional<Scale> scale = {};
};

// What the command line changes.
struct Overrides {
  std::optional<std::string> profile;
  std::optional<std::uint64_t> seed;
  std::vector<std::string> settings;  // "/optimizer/args/population_size=50"
};

class Pipeline {
 public:
  // `name_or_file` is a file, or the name of one that is installed ("quickstart"). Throws InvalidInput naming file,
  // JSON pointer, rule and remedy.
  static Pipeline load(const std::string& name_or_file, const Overrides& overrides, const Catalogue& catalogue);
  // A resolved pipeline again, as stored with a study: an argument that it does not have is newer than the study.
  static Pipeline resolve(Json json, const std::string& file, const Catalogue& catalogue,
                          Defaults defaults = Defaults::stored);
  // Of a stored pipeline its space alone, which must be installed: enough to say what a genotype is.
  static Pipeline resolve_space(Json json, const std::string& file, const Catalogue& catalogue);
  // Replaces single values, as --set does: "/budget/trials=100".
  static void apply(Json& json, const std::vector<std::string>& settings);

  const Json& json() const { return json_; }  // resolved: profile applied, defaults filled in
  const std::string& file() const { return file_; }
  std::string name() const { return json_.at("name"); }
  std::uint64_t seed() const { return json_.at("seed"); }
  bool reuse_duplicates() const { return json_.at("duplicates") == "reuse"; }
  // The epochs that the evaluator trains for by its own arguments, where it says.
  std::optional<int> epochs() const;
  std::size_t keep_weights() const { return json_.at("keep_weights"); }
  // Every plugin in use, once.
  std::vector<const Manifest*> manifests() const;
  // And those that its levels, its final space and what its candidates bring may come to use.
  std::vector<const Manifest*> manifests_within_reach() const;

  const Catalogue* catalogue() const { return catalogue_; }  // of its plugins; null of an empty pipeline
  // A plugin that is made while trials run, as weft_context's `make` says. Throws InvalidInput with the pointer within
  // `use`.
  Use ingredient(const std::string& kind, const Json& use, const Json& around) const;

  std::optional<Use> dataset;
  Use space, optimizer, evaluator;
  std::optional<OneShotUse> oneshot;  // runs before the first trial
  std::vector<ObjectiveUse> objectives;
  std::vector<Use> stoppers;
  std::vector<Pipeline> levels;  // this pipeline under each patch of /fidelities, cheapest first
  Budget budget;
  std::optional<Final> final;
  bool is_inline = false;  // trials run in the host's own process
  std::vector<std::string> slots;
  // What plugins are told of the study: {"budget", "slots", "fidelities", "oneshot"}. As it was when the study began,
  // so that an optimizer proposes the same again after the study was extended.
  Json told;
  // Of a study that was begun before, by what its plugins were told then; levels of other names, or in another order,
  // would be others. Throws InvalidInput.
  void keep_told(const Json& then);
  // From now on, plugins are told this of the one-shot search that has ended. The budget's seconds are for the trials
  // once more: what was derived is evaluated however long that took.
  void tell_one_shot(const Json& result);

  // The file names of installed pipelines without extension.
  static std::vector<std::string> installed();

 private:
  Use use(const std::string& kind, const std::string& pointer, const Catalogue& catalogue);
  Use use(const Manifest& manifest, const std::string& pointer, const Catalogue& catalogue);
  Use nested(const std::string& kind, const std::string& argument, const std::string& pointer,
             const Catalogue& catalogue);
  Use final_space(const Catalogue& catalogue);
  std::optional<Scale> read_scale() const;
  void read_stoppers(const Catalogue& catalogue);
  void read_levels(const Catalogue& catalogue);
  void check_capabilities(const Catalogue& catalogue) const;
  void choose_executor();

  const Catalogue* catalogue_ = nullptr;  // outlives this
  Json json_;
  std::string file_;
  Defaults defaults_ = Defaults::stored;
};

}  // namespace weft::host
