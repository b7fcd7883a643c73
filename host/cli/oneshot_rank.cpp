// `weft oneshot rank`: whether shared weights rank architectures as they do each by itself.
//
// Sciuto, Yu, Jaggi, Musat, Salzmann 2019, "Evaluating the Search Phase of Neural Architecture Search": the rankings
// are compared by Kendall's tau, and what a search chose with random architectures that are trained alike, as Li and
// Talwalkar 2019, "Random Search and Reproducibility for Neural Architecture Search", have it, too.
//
// Two ordinary studies below the ranked one measure the same random architectures, one by the shared weights, one by
// the stand-alone evaluator. Of both the one-shot search counts as ended, and the list as derived: the optimizer
// that provides "optimizer.derived" proposes it, and `weft resume` goes on with them.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <unordered_set>

#include "host/cli/commands.hpp"
#include "host/cli/output.hpp"
#include "host/execution/assembly.hpp"
#include "host/plugins/schema.hpp"
#include "host/plugins/strict_json.hpp"
#include "host/report/rank_correlation.hpp"
#include "host/study/files.hpp"
#include "host/study/folder.hpp"
#include "host/study/journal.hpp"
#include "host/study/one_shot.hpp"
#include "host/study/provenance.hpp"
#include "host/study/trials.hpp"
#include "weft/error.hpp"

namespace weft::host {
namespace {

namespace fs = std::filesystem;

// So many are drawn at once, of which as many as are asked for are measured: a ranking may be extended to all of them.
constexpr std::size_t drawn_at_once = 300;
// So many draws in a row that bring nothing new, and ten for each that is known, mean that there is nothing else.
constexpr std::size_t fewest_known_in_a_row = 1000, known_in_a_row_per_candidate = 10;
constexpr double confidence = 0.95;
// The protocol has each search run with ten seeds or more, and beside each a random architecture.
constexpr std::size_t random_arms = 10;

Trials trials_of(const Journal& journal) {
  Trials trials;
  journal.for_each([&](const Journal::Event& event) { trials.apply(event); });
  return trials;
}

// The study whose search is looked at. Nothing of it is changed.
class Ranked {
 public:
  explicit Ranked(const fs::path& path)
      : folder_(StudyFolder::open(path, false)),
        journal_(folder_.journal(), Journal::Mode::read),
        provenance_(Provenance::read(journal_)),
        pipeline_(stored_pipeline(folder_, provenance_)) {
    if (!pipeline_.contains("oneshot")) {
      throw InvalidInput(
          fmt::format("{}: its pipeline has no one-shot search (/oneshot), so there are no shared weights that could "
                      "rank; `weft run sciuto2019` makes a study that has them",
                      path.string()));
    }
    const std::optional<Json> one_shot = OneShotSearch::result(journal_, folder_);
    if (!one_shot) {
      throw InvalidInput(
          fmt::format("{}: its one-shot search has not ended; `weft resume {}` goes on with it, then it can be ranked",
                      path.string(), path.string()));
    }
    derived_ = one_shot->at("derived");
  }

  fs::path path() const { return folder_.path(); }
  fs::path one_shot() const { return folder_.one_shot(); }
  const Json& pipeline() const { return pipeline_; }
  const Provenance& provenance() const { return provenance_; }

  // Whether an evaluator measures by shared weights; `place` says who named it.
  bool shares(const Json& evaluator, const Catalogue& catalogue, const std::string& place = "/evaluator/name") const {
    const Manifest& manifest = catalogue.find("evaluator", evaluator.at("name").get<std::string>(),
                                              fmt::format("{}: {}", path().string(), place));
    return manifest.provides("evaluator.shared_weights");
  }

  // What the search found best: by the study's trials where these use the shared weights, else as it was derived.
  Genotype choice(const Catalogue& catalogue) const {
    if (shares(pipeline_.at("evaluator"), catalogue)) {
      Trials trials = trials_of(journal_);
      trials.measure_by(pipeline_);
      if (const Trial* best = trials.best()) return best->proposal.genotype;
    }
    if (derived_.empty()) throw Error(fmt::format("{}: its one-shot search derived nothing", path().string()));
    return Derived::from_json(derived_.front()).genotype;
  }

 private:
  StudyFolder folder_;
  Journal journal_;
  Provenance provenance_;
  Json pipeline_, derived_;
};

// One of the two studies that measure.
struct Measurement {
  fs::path path;
  Pipeline pipeline;

  fs::path journal() const { return path / "study.db"; }
  bool exists() const {
    std::error_code absent;
    return fs::exists(journal(), absent);
  }
  // Null where a kill came before it was written.
  Json list() const {
    if (!exists()) return {};
    const std::vector<Json> lists = Journal(journal(), Journal::Mode::read).bodies("oneshot");
    return lists.empty() ? Json() : lists.back();
  }
};

// The study's first objective that only an evaluation tells, without its limit.
Json measured_objective(const Ranked& study, const Catalogue& catalogue) {
  for (Json objective : study.pipeline().at("objectives")) {
    const Manifest& manifest =
        catalogue.find("objective", objective.at("name"), study.path().string() + ": /objectives");
    const auto is_metric = [](const std::string& capability) { return capability.starts_with("metric."); };
    if (std::none_of(manifest.required.begin(), manifest.required.end(), is_metric)) continue;
    objective.erase("limit");
    return objective;
  }
  throw InvalidInput(fmt::format(
      "{}: all its objectives are told by the architecture alone, so there are no two ways to measure them; a ranking "
      "needs one such as accuracy",
      study.path().string()));
}

// The study's own pipeline as far as it says how an architecture is measured.
// `source` is where an error says that it comes from.
Measurement measurement(const Ranked& study, const fs::path& path, const std::string& how, const Json& evaluator,
                        const Json& space, std::size_t trials, const std::string& source, const Catalogue& catalogue) {
  Json json = study.pipeline();
  json["name"] = fmt::format("{}, {}", json.at("name").get<std::string>(), how);
  json["description"] = fmt::format("`weft oneshot rank`: random architectures, {}.", how);
  json["space"] = space;
  json["evaluator"] = evaluator;
  json["optimizer"] = {{"name", catalogue.provider("optimizer", "optimizer.derived").name}};
  json["objectives"] = Json::array({measured_objective(study, catalogue)});
  json["duplicates"] = "reuse";
  json["budget"]["trials"] = trials;
  for (const char* limit : {"unique", "seconds"}) json["budget"].erase(limit);
  for (const char* part : {"final", "stoppers", "fidelities"}) json.erase(part);
  // Its slots are for what trains; a table is looked up in the host, whatever the search did.
  if (catalogue.find("evaluator", evaluator.at("name"), source).provides("evaluator.inline") ||
      json.value("executor", Json::object()).value("name", "") == "inline")
    json.erase("executor");
  return {path, Pipeline::resolve(std::move(json), source, catalogue)};
}

// "table.json", {"name": "table", "args": ..} itself, or the name of an evaluator that needs no arguments.
Json evaluator_of(const std::string& given) {
  if (given.starts_with('{')) return read_strictly(given);
  if (given.ends_with(".json") || given.find('/') != std::string::npos) return read_json(given);
  return {{"name", given}};
}

// How the architectures are measured each by itself.
Json stand_alone_evaluator(const Ranked& study, const RankOptions& options, const Catalogue& catalogue) {
  const Json& pipeline = study.pipeline();
  Json evaluator = pipeline.at("evaluator");
  if (options.against) {
    evaluator = evaluator_of(*options.against);
  } else if (pipeline.contains("final")) {
    evaluator = pipeline.at("final").value("evaluator", evaluator);
  }
  if (!evaluator.is_object() || !evaluator.value("name", Json()).is_string() ||
      !evaluator.value("args", Json::object()).is_object())
    throw InvalidInput("--against: must be an evaluator as pipelines name them, {\"name\": .., \"args\": {..}}");
  if (study.shares(evaluator, catalogue, options.against ? "--against" : "/final/evaluator/name")) {
    throw InvalidInput(fmt::format(
        "{}: nothing says how architectures are to be measured each by itself: {}. Name an evaluator with --against, "
        "such as train, or a file with {{\"name\": \"table\", \"args\": {{..}}}}",
        study.path().string(),
        options.against ? "--against measures by the shared weights, too" : "its pipeline has no final evaluator"));
  }
  if (options.epochs) evaluator["args"]["epochs"] = *options.epochs;
  return evaluator;
}

// The space's arguments under which they are measured each by itself.
Json stand_alone_space(const Ranked& study, const RankOptions& options) {
  Json space = study.pipeline().at("space");
  if (!options.final_networks) return space;
  const Json final = study.pipeline().value("final", Json::object());
  if (!final.contains("space") || final.contains("scale")) {
    throw InvalidInput(fmt::format("{}: --final-networks is given, but {}; leave it out", study.path().string(),
                                   final.contains("scale")
                                       ? "each final network has an argument of its own (/final/scale)"
                                       : "the final networks are those of the search (no /final/space)"));
  }
  space["args"] = final.at("space").at("args");
  return space;
}

// Different ones, as the space draws them: two of one graph and recipe are one.
std::vector<Genotype> draw(SpaceRef space, std::size_t most, Rng rng) {
  std::vector<Genotype> drawn;
  std::unordered_set<std::string> keys;
  std::unordered_set<std::uint64_t> hashes;
  std::size_t known = 0;
  while (drawn.size() < most && known <= fewest_known_in_a_row + known_in_a_row_per_candidate * keys.size()) {
    Genotype genotype = space.sample(rng);
    ++known;
    if (!keys.insert(genotype.key()).second || !hashes.insert(space.decode(genotype).hash()).second) continue;
    drawn.push_back(std::move(genotype));
    known = 0;
  }
  return drawn;
}

// What both studies are told was derived: the search's choice, then the random ones.
Json draw_list(const Ranked& study, const Measurement& shared, const RankOptions& options, std::uint64_t seed,
               const Catalogue& catalogue) {
  Assembly assembly(shared.pipeline, study.provenance().task, Phase::search);
  const std::vector<Genotype> drawn =
      draw(assembly.space(), std::max(options.architectures, drawn_at_once), Rng(seed).derive("oneshot rank"));
  if (drawn.size() < options.architectures) {
    throw InvalidInput(fmt::format("--architectures is {}, but {} has {} different ones; ask for no more",
                                   options.architectures, shared.pipeline.space.manifest->title(), drawn.size()));
  }
  Json list = Json::array({Derived{study.choice(catalogue)}.to_json()});
  for (const Genotype& genotype : drawn) list.push_back(Derived{genotype}.to_json());
  return {{"derived", list},
          {"metrics", {{"seed", seed}, {"study", study.provenance().study}}},
          {"state", "COMPLETE"},
          {"seconds", 0}};
}

// A ranking is gone on with, or extended; one that asks for something else is another. `study` is the ranked one's
// name.
void expect_same(const Measurement& measurement, const std::string& study, const RankOptions& options,
                 std::uint64_t seed, const fs::path& output, const Catalogue& catalogue) {
  const Json list = measurement.list();
  const Json stored = read_json(measurement.path / "pipeline.json");
  const Pipeline was = Pipeline::resolve(stored, measurement.pipeline.file(), catalogue);
  std::string words;
  for (const Difference& difference :
       differences({.pipeline = was.json()}, {.pipeline = measurement.pipeline.json()})) {
    if (!difference.harmless) words += "\n  " + difference.words;
  }
  if (!list.is_null()) {
    const Json& drawn = list.at("metrics");
    if (drawn.at("study") != study) words += "\n  the study was another, though of the same pipeline";
    if (const Json& then = drawn.at("seed"); then != seed)
      words += fmt::format("\n  --seed was {}, is {}", then.dump(), seed);
    if (const std::size_t most = list.at("derived").size() - 1; options.architectures > most)
      words += fmt::format("\n  --architectures is {}, but only {} were drawn", options.architectures, most);
  }
  if (!words.empty()) {
    throw InvalidInput(fmt::format("{}: holds another ranking:{}\nAsk for the same, or give another folder by --output",
                                   output.string(), words));
  }
}

// As if its one-shot search had ended; its supernet is that of the study that is ranked.
void begin(const Measurement& measurement, const Ranked& study, const Json& list) {
  const fs::path& path = measurement.path;
  if (!measurement.exists()) {
    const StudyFolder folder = StudyFolder::create(path, measurement.pipeline.json().dump(2) + "\n");
    Provenance opening = Provenance::begin(measurement.pipeline);
    opening.pipeline = nullptr;  // what else it is made of is recorded when it is gone on with
    opening.task = study.provenance().task;
    Journal::create(folder.journal(), opening.to_json());
  }
  const StudyFolder folder = StudyFolder::open(path, true);
  Journal journal(folder.journal(), Journal::Mode::append);
  if (journal.bodies("oneshot").empty()) journal.append(0, "oneshot", Job::one_shot, Journal::text(list));
  std::error_code absent;
  if (fs::equivalent(folder.one_shot(), study.one_shot(), absent)) return;
  if (fs::is_symlink(folder.one_shot(), absent)) fs::remove(folder.one_shot());  // one of them was moved
  fs::create_directory_symlink(fs::relative(study.one_shot(), path), folder.one_shot());
}

// Until `trials` have ended. Not done where it was interrupted or nothing could be measured.
int measure(const Measurement& measurement, const Ranked& study, const Json& list, std::size_t trials,
            const RankOptions& options, const PluginPath& plugin_path) {
  if (!measurement.list().is_null() && !options.retry_failed) {
    const Trials ended = trials_of(Journal(measurement.journal(), Journal::Mode::read));
    if (ended.search_over() && ended.ended() >= trials) return done;
  }
  begin(measurement, study, list);
  return resume_command({.study = measurement.path,
                         .settings = {fmt::format("/budget/trials={}", trials)},
                         .retry_failed = options.retry_failed,
                         .quiet = options.quiet || options.json},
                        plugin_path);
}

// The architectures that were measured both ways; rewards, of which higher ones are better.
struct Measured {
  std::vector<TrialId> trials;
  std::vector<double> shared, alone;

  std::vector<double> of(const std::vector<double>& values, const Resample& resample) const {
    std::vector<double> some;
    for (const std::size_t i : resample) some.push_back(values[i]);
    return some;
  }
};

Measured measured_both_ways(const Trials& shared, const Trials& alone, std::size_t architectures) {
  Measured measured;
  for (std::size_t id = 1; id <= architectures; ++id) {
    const Trial &by_weights = shared.all().at(id), &by_itself = alone.all().at(id);
    if (by_weights.state != TrialState::complete || by_itself.state != TrialState::complete) continue;
    measured.trials.push_back(static_cast<TrialId>(id));
    measured.shared.push_back(by_weights.reward);
    measured.alone.push_back(by_itself.reward);
  }
  return measured;
}

class Comparison {
 public:
  Comparison(const Measured& measured, std::size_t resamples, std::uint64_t seed)
      : measured_(measured), resamples_(resamples), rng_(Rng(seed).derive("oneshot rank bootstrap")) {}

  Json correlation(std::optional<double> (*of)(std::span<const double>, std::span<const double>)) const {
    return estimate([&](const Resample& resample) {
      return of(measured_.of(measured_.shared, resample), measured_.of(measured_.alone, resample));
    });
  }

  // Copies of an architecture would be equals that are told apart at random: a resample counts each once, and of them
  // as large a share is the best.
  Json overlap(std::size_t count) const {
    const double share = static_cast<double>(count) / static_cast<double>(size());
    Json estimated = estimate([&](Resample resample) {
      resample.erase(std::unique(resample.begin(), resample.end()), resample.end());
      const auto best = std::max(1L, std::lround(share * static_cast<double>(resample.size())));
      return std::optional(overlap_of_best(measured_.of(measured_.shared, resample),
                                           measured_.of(measured_.alone, resample), static_cast<std::size_t>(best)));
    });
    estimated["best"] = count;
    estimated["by_chance"] = share;
    return estimated;
  }

 private:
  std::size_t size() const { return measured_.trials.size(); }

  // Its value, and its interval by resampling architectures; null where it has none.
  Json estimate(const Statistic& statistic) const {
    Resample all(size());
    std::iota(all.begin(), all.end(), 0);
    const auto interval = bootstrap_interval(size(), resamples_, confidence, rng_, statistic);
    const std::optional<double> value = statistic(all);
    return {{"value", value ? Json(*value) : Json()},
            {"interval", interval ? Json{interval->first, interval->second} : Json()}};
  }

  const Measured& measured_;
  std::size_t resamples_;
  Rng rng_;
};

// "--top": a number of architectures, or below 1 a share of them.
std::size_t count_of(double top, std::size_t architectures) {
  const double count = top < 1 ? top * static_cast<double>(architectures) : top;
  return std::clamp<std::size_t>(static_cast<std::size_t>(std::lround(count)), 1, architectures);
}

// One that was chosen, measured by itself, and how often a random one is better.
Json chosen(const Trial& by_weights, const Trial& by_itself, const std::vector<double>& others) {
  return {{"genotype", by_itself.proposal.genotype.to_json()},
          {"shared", by_weights.objectives.empty() ? Json() : Json(by_weights.objectives.front())},
          {"alone", by_itself.objectives.front()},
          {"random_is_better", share_above(others, by_itself.reward)}};
}

Json compare(const Trials& shared, const Trials& alone, const RankOptions& options, std::uint64_t seed) {
  const Measured measured = measured_both_ways(shared, alone, options.architectures);
  const std::size_t count = measured.trials.size();
  if (count < 3)
    throw Error(
        fmt::format("of {} architectures {} were measured both ways, too few to compare; --retry-failed "
                    "evaluates again what failed",
                    options.architectures, count));
  const Comparison comparison(measured, options.resamples, seed);
  std::set<std::size_t> tops;
  for (const double top : options.top) tops.insert(count_of(top, count));
  Json overlaps = Json::array();
  for (const std::size_t top : tops) overlaps.push_back(comparison.overlap(top));

  const auto at = [](const Trials& trials, TrialId id) -> const Trial& {
    return trials.all().at(static_cast<std::size_t>(id));
  };
  // Rewards of what is minimised are negative.
  const auto is_turned = [&](TrialId id) { return at(alone, id).reward != at(alone, id).objectives.front(); };
  const bool minimised = std::any_of(measured.trials.begin(), measured.trials.end(), is_turned);
  const double direction = minimised ? -1.0 : 1.0;
  const double mean = std::accumulate(measured.alone.begin(), measured.alone.end(), 0.0) / static_cast<double>(count);
  double squares = 0;
  for (const double value : measured.alone) squares += (value - mean) * (value - mean);
  const std::size_t draws = std::min(count, random_arms);
  const Json random = {{"mean", direction * mean},
                       {"standard_deviation", std::sqrt(squares / static_cast<double>(count - 1))},
                       {"best", direction * *std::max_element(measured.alone.begin(), measured.alone.end())},
                       {"draws", draws},
                       {"best_of_draws", direction * expected_best(measured.alone, draws)}};

  const auto others_than = [&](const auto& is_it) {
    std::vector<double> others;
    for (std::size_t i = 0; i < count; ++i) {
      if (!is_it(measured.trials[i])) others.push_back(measured.alone[i]);
    }
    return others;
  };
  // The first of several: they stand in a random order.
  const TrialId best = measured.trials[static_cast<std::size_t>(
      std::max_element(measured.shared.begin(), measured.shared.end()) - measured.shared.begin())];
  Json result = {{"architectures", count},
                 {"failed", options.architectures - count},
                 {"seed", seed},
                 {"resamples", options.resamples},
                 {"confidence", confidence},
                 {"kendall_tau_b", comparison.correlation(kendall_tau_b)},
                 {"spearman_rho", comparison.correlation(spearman_rho)},
                 {"overlap", overlaps},
                 {"random", random},
                 {"best_by_shared_weights",
                  chosen(at(shared, best), at(alone, best), others_than([&](TrialId id) { return id == best; }))}};
  if (at(alone, 0).state == TrialState::complete) {
    result["choice_of_the_search"] = chosen(at(shared, 0), at(alone, 0), others_than([&](TrialId id) {
                                              return at(alone, id).duplicate_of == TrialId{0} ||
                                                     at(alone, id).proposal.genotype == at(alone, 0).proposal.genotype;
                                            }));
  }
  result["measured"] = Json::array();
  for (const TrialId id : measured.trials) {
    result["measured"].push_back({{"genotype", at(alone, id).proposal.genotype.to_json()},
                                  {"shared", at(shared, id).objectives.front()},
                                  {"alone", at(alone, id).objectives.front()}});
  }
  return result;
}

std::string in_words(const Json& estimate) {
  if (estimate.at("value").is_null()) return "none, as all are equal in one of the rankings";
  std::string words = fmt::format("{:6.3f}", estimate.at("value").get<double>());
  if (const Json& interval = estimate.at("interval"); interval.is_array()) {
    words += fmt::format("   {:.0f} % interval {:.3f} to {:.3f}", 100 * confidence, interval[0].get<double>(),
                         interval[1].get<double>());
  }
  return words;
}

void print(const Json& result) {
  const auto line = [](const std::string& name, const std::string& words) {
    fmt::print(output(), "{:<25} {}\n", name, words);
  };
  fmt::print(output(), "{} of {} random architectures, by {} and by {}\n", result.at("objective").get<std::string>(),
             result.at("architectures").get<std::size_t>(), result.at("shared").at("name").get<std::string>(),
             result.at("alone").at("name").get<std::string>());
  line("Kendall's tau-b", in_words(result.at("kendall_tau_b")));
  line("Spearman's rho", in_words(result.at("spearman_rho")));
  for (const Json& overlap : result.at("overlap")) {
    line(fmt::format("best {} in common", overlap.at("best").get<std::size_t>()),
         fmt::format("{}, {:.3f} by chance", in_words(overlap), overlap.at("by_chance").get<double>()));
  }
  const Json& random = result.at("random");
  fmt::print(output(), "by {}\n", result.at("alone").at("name").get<std::string>());
  line("  random", fmt::format("mean {:.5g}, standard deviation {:.3g}, best {:.5g}; of {} on average the best {:.5g}",
                               random.at("mean").get<double>(), random.at("standard_deviation").get<double>(),
                               random.at("best").get<double>(), random.at("draws").get<std::size_t>(),
                               random.at("best_of_draws").get<double>()));
  for (const auto& [name, words] : {std::pair("best_by_shared_weights", "  best by shared weights"),
                                    std::pair("choice_of_the_search", "  choice of the search")}) {
    if (!result.contains(name)) continue;
    line(words, fmt::format("{:.5g}; {:.0f} % of random ones are better", result.at(name).at("alone").get<double>(),
                            100 * result.at(name).at("random_is_better").get<double>()));
  }
}

}  // namespace

int oneshot_rank_command(const RankOptions& options, const PluginPath& given_plugin_path) {
  PluginPath plugin_path;
  for (const fs::path& given : given_plugin_path) plugin_path.push_back(fs::absolute(given));
  const Ranked study(fs::weakly_canonical(fs::absolute(options.study)));
  const fs::path folder = fs::absolute(options.output.value_or(study.path() / "rank"));
  const Catalogue catalogue = Catalogue::discover(plugin_path);
  const Json evaluator = stand_alone_evaluator(study, options, catalogue);
  study.provenance().enter_directory();

  const std::size_t trials = options.architectures + 1;  // the search's choice, too
  const Json& pipeline = study.pipeline();
  const Json by_weights = study.shares(pipeline.at("evaluator"), catalogue)
                              ? pipeline.at("evaluator")
                              : Json{{"name", catalogue.provider("evaluator", "evaluator.shared_weights").name}};
  const std::string own = study.path().string();
  const Measurement shared = measurement(study, folder / "shared", "by shared weights", by_weights,
                                         pipeline.at("space"), trials, own, catalogue);
  const Measurement alone =
      measurement(study, folder / "alone", "each by itself", evaluator, stand_alone_space(study, options), trials,
                  options.against ? "--against, as an evaluator of " + own : own, catalogue);
  const std::uint64_t seed = options.seed.value_or(pipeline.at("seed").get<std::uint64_t>());
  Json list;
  for (const Measurement& measurement : {shared, alone}) {
    if (!measurement.exists()) continue;
    expect_same(measurement, study.provenance().study, options, seed, folder, catalogue);
    if (const Json written = measurement.list(); !written.is_null()) list = written;
  }
  if (alone.pipeline.is_inline) Assembly(alone.pipeline, study.provenance().task, Phase::search).evaluator();
  if (list.is_null()) list = draw_list(study, shared, options, seed, catalogue);

  for (const Measurement& measurement : {shared, alone}) {
    const int code = measure(measurement, study, list, trials, options, plugin_path);
    if (code == was_interrupted && !options.quiet)
      fmt::print(stderr, "that is a part of the ranking; the command that was given goes on with all of it\n");
    if (code != done) return code;
  }
  Json result = compare(trials_of(Journal(shared.journal(), Journal::Mode::read)),
                        trials_of(Journal(alone.journal(), Journal::Mode::read)), options, seed);
  result["objective"] = shared.pipeline.objectives.front().manifest->name;
  result["shared"] = shared.pipeline.json().at("evaluator");
  result["alone"] = alone.pipeline.json().at("evaluator");
  write_atomically(folder / "rank.json", result.dump(1) + "\n");
  if (const auto failed = result.at("failed").get<std::size_t>(); failed > 0) {
    fmt::print(stderr,
               "{} of {} architectures are left out, as they could not be measured; --retry-failed tries "
               "again\n",
               failed, options.architectures);
  }
  if (options.json) {
    fmt::print(output(), "{}\n", result.dump(1));
  } else {
    print(result);
    if (!options.quiet) fmt::print(output(), "ranking: {}\n", (folder / "rank.json").string());
  }
  return done;
}

}  // namespace weft::host
