// `weft run`, `weft resume`, `weft check`.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <thread>

#include "host/cli/check.hpp"
#include "host/cli/commands.hpp"
#include "host/cli/interrupt.hpp"
#include "host/cli/output.hpp"
#include "host/cli/progress.hpp"
#include "host/execution/inline_executor.hpp"
#include "host/execution/isolated_optimizer.hpp"
#include "host/execution/local_executor.hpp"
#include "host/pipelines/slots.hpp"
#include "host/plugins/schema.hpp"
#include "host/report/export.hpp"
#include "host/study/files.hpp"
#include "host/study/finals.hpp"
#include "host/study/folder.hpp"
#include "host/study/one_shot.hpp"
#include "host/study/provenance.hpp"
#include "host/study/search.hpp"
#include "weft/error.hpp"

namespace weft::host {
namespace {

namespace fs = std::filesystem;

// One pipeline under way, from the first worker to the exported best.
class Conduct {
 public:
  Conduct(Pipeline& pipeline, const PluginPath& plugin_path, bool quiet, bool isolate_all = false)
      : pipeline_(pipeline),
        plugin_path_(plugin_path),
        progress_(pipeline, quiet),
        quiet_(quiet),
        isolate_all_(isolate_all) {}

  // Creates data set, plugins and workers, so that whatever is wrong comes out before anything is written.
  // `libraries` are what the study is made of: a worker refuses others.
  void prepare(const Catalogue& catalogue, const Json& libraries, const Json& known_task = {}) {
    libraries_ = libraries;
    task_ = known_task;
    check_slots();
    if (!pipeline_.is_inline) {
      auto local = search_workers();
      const LocalExecutor::Description description = local->describe();
      task_ = description.task;
      fingerprint_ = description.fingerprint;
      test_fingerprint_ = test_split_ = description.test;
      local->set_task(task_);
      executor_ = std::move(local);
    } else if (one_shot_is_open()) {
      task_ = one_shot_worker({})->describe().task;
    }
    create_parts();
    prepare_final();
    check_inheritance(catalogue);
    if (!pipeline_.is_inline) return;
    fingerprint_ = assembly_->evaluator().fingerprint() + assembly_->check_levels();
    executor_ = inline_executor();
  }

  // Whether the pipeline has a one-shot search that has not ended.
  bool one_shot_is_open() const { return pipeline_.oneshot && !pipeline_.told.contains("oneshot"); }

  // Runs it, and tells the others of it. False when Ctrl-C came first.
  bool search_one_shot(Journal& journal, const StudyFolder& folder, const Provenance& provenance) {
    install_interrupt_handler();
    if (!quiet_) fmt::print(stderr, "one-shot search by {}\n", pipeline_.oneshot->manifest->name);
    executor_.reset();  // the workers make room
    OneShotSearch search(pipeline_, journal, folder, provenance, [this](const Json& report) {
      if (!quiet_) fmt::print(stderr, "  {}\n", in_words(report));
    });
    const std::unique_ptr<LocalExecutor> executor =
        one_shot_worker([&](TrialId, const Json& report) { return search.report(report); });
    if (!search.run(*executor, interrupted())) {
      stopped(&folder);
      return false;
    }
    pipeline_.tell_one_shot(*OneShotSearch::result(journal, folder));
    optimizer_.reset();
    assembly_.reset();
    create_parts();
    if (pipeline_.is_inline) {
      executor_ = inline_executor();
    } else {
      executor_ = search_workers();
    }
    return true;
  }

  // After prepare(): whether candidates begin with the weights of earlier ones.
  bool inherits() const { return optimizer_->retain().has_value(); }

  const Json& task() const { return task_; }
  // What prepare() found out of what the study is made of.
  void describe(Provenance& provenance) const {
    provenance.plugins = libraries_;
    provenance.task = task_;
    provenance.fingerprint = fingerprint_;
    provenance.test = test_fingerprint_;
  }
  Assembly& assembly() { return *assembly_; }
  // Null where the final networks are those of the search.
  Assembly* final_assembly() { return final_assembly_.get(); }

  struct Study {
    Journal* journal = nullptr;           // null: nothing is kept
    const StudyFolder* folder = nullptr;  // null: nothing is kept
    const Provenance* provenance = nullptr;
    bool resumed = false, retry_failed = false;
  };

  // Makes the search; of a study that is resumed, as it was left. Throws Error where it cannot be brought there.
  void begin(const Study& study) {
    install_interrupt_handler();
    study_ = study;
    search_ = std::make_unique<Search>(
        Search::Parts{pipeline_, *assembly_, *optimizer_, study.journal, study.folder, study.provenance},
        Search::Observer{[this](const Trial& trial) { progress_.ended(*search_, trial); },
                         [this] {
                           install_interrupt_handler();  // a plugin may have taken it away
                           progress_.tick(*search_, *executor_);
                         }});
    if (study.resumed || pipeline_.oneshot) search_->replay();
  }

  // Records that the study is made of something else from here on; `accepted` says that candidates may be, too.
  void change(bool accepted) {
    Json body = study_.provenance->to_json();
    if (accepted) body["accepted"] = true;
    study_.journal->append(search_->elapsed(), "change", -1, Journal::text(body));
    search_->trials().apply({search_->elapsed(), "change", -1, body});
    study_.journal->commit();
  }

  int run() try {
    const StudyFolder* folder = study_.folder;
    if (study_.resumed || pipeline_.oneshot) search_->go_on();
    if (study_.retry_failed) search_->retry_failed();
    if (!search_->trials().search_over()) {
      progress_.tick(*search_, *executor_);
      const bool over = searched_whole();
      progress_.clear();
      if (!over) return stopped(folder);
    }
    const double searched = search_->elapsed();
    executor_.reset();  // the workers make room for the final training
    if (pipeline_.final && folder != nullptr && !train_finals(*study_.journal, *folder)) return stopped(folder);
    return conclude(folder, searched);
  } catch (...) {
    executor_.reset();  // before the study's lock goes
    throw;
  }

  // When all is written and said: a stopper that is still at work is not waited for.
  void leave(int code) {
    if (!search_ || search_->stoppers_rest(std::chrono::seconds(5))) return;
    fmt::print(stderr, "a stopper is still at work and is not waited for; the study is whole without it\n");
    std::fflush(nullptr);
    std::_Exit(code);
  }

  const Trials& trials() const { return search_->trials(); }
  double seconds() const { return search_->elapsed(); }

 private:
  std::unique_ptr<LocalExecutor> search_workers() {
    return std::make_unique<LocalExecutor>(
        pipeline_.slots, hello(Phase::search, task_), pipeline_.evaluator.manifest->title(),
        [this](TrialId trial, const Json& report) { return search_->report(trial, report); });
  }
  std::unique_ptr<LocalExecutor> one_shot_worker(Executor::OnReport on_report) const {
    std::vector<std::string> slots = pipeline_.oneshot->slots;
    if (slots.empty()) slots = {slot_for_one()};
    return std::make_unique<LocalExecutor>(std::move(slots), hello(Phase::search, task_),
                                           pipeline_.oneshot->manifest->title(), std::move(on_report));
  }

  // Everything of the search that lives in this process.
  void create_parts() {
    assembly_ = std::make_unique<Assembly>(pipeline_, task_, Phase::search, libraries_);
    assembly_->space();
    assembly_->objectives();
    assembly_->stoppers();
    if (isolate_all_) {
      auto isolated = std::make_unique<IsolatedOptimizer>(hello(Phase::search, task_),
                                                          pipeline_.optimizer.manifest->title(), interrupted());
      isolated->finished();  // creates it, so that bad input shows now
      optimizer_ = std::move(isolated);
    } else {
      optimizer_ = std::make_unique<OptimizerRef>(assembly_->optimizer());
    }
  }

  std::unique_ptr<Executor> inline_executor() {
    return std::make_unique<InlineExecutor>(*assembly_, pipeline_.seed(), [this](TrialId trial, const Json& report) {
      return search_->report(trial, report);
    });
  }

  // The search's card, or all cores.
  std::string slot_for_one() const {
    if (!pipeline_.slots.empty() && pipeline_.slots.front().starts_with("cuda")) return pipeline_.slots.front();
    return fmt::format("cpu:{}", std::max(1U, std::thread::hardware_concurrency()));
  }

  void check_slots() const {
    host::check_slots(pipeline_, Machine::look());
    if (!pipeline_.is_inline)
      LocalExecutor::check_slots(pipeline_.slots.size(), pipeline_.file() + ": /executor/slots");
    if (pipeline_.final) LocalExecutor::check_slots(pipeline_.final->slots.size(), pipeline_.file() + ": /final/slots");
  }

  // The final training's data, evaluator and networks: whatever they lack is found out before the search, too.
  void prepare_final() {
    if (!pipeline_.final) return;
    final_task_ = task_;
    if (pipeline_.final->evaluator.manifest->provides("evaluator.inline")) {
      assembly_->in(Phase::final).evaluator();
    } else if (pipeline_.is_inline) {  // else a worker of the search has looked
      const LocalExecutor::Description described = LocalExecutor({final_slots(1).front()}, hello(Phase::final, Json()),
                                                                 pipeline_.final->evaluator.manifest->title(), {})
                                                       .describe();
      final_task_ = described.task;
      test_split_ = described.test;
      test_fingerprint_ = described.task.value("fingerprint", "") + test_split_;  // of all that it reads
    }
    if (!pipeline_.json().at("final").contains("space") && !pipeline_.final->scale) return;
    final_assembly_ = std::make_unique<Assembly>(pipeline_, final_task_, Phase::final, libraries_);
    check_final_space(pipeline_, *assembly_, *final_assembly_);
  }

  // False when Ctrl-C came first.
  bool searched_whole() {
    try {
      return search_->run(*executor_, interrupted()) == Search::Outcome::finished;
    } catch (const Error&) {
      if (interrupted()) return false;  // an isolated optimizer was left in the middle of a call
      throw;
    }
  }

  Json hello(Phase phase, const Json& task) const {
    Json folders = Json::array();
    for (const fs::path& folder : plugin_path_) folders.push_back(folder.string());
    Json message = {{"pipeline", pipeline_.json()}, {"file", pipeline_.file()},
                    {"plugin_path", folders},       {"phase", phase == Phase::final ? "final" : "search"},
                    {"told", pipeline_.told},       {"libraries", libraries_}};
    if (!task.is_null()) message["task"] = task;
    if (phase == Phase::final) message["test"] = test_split_;
    return message;
  }

  void check_inheritance(const Catalogue& catalogue) const {
    constexpr const char* capability = "evaluator.inheritance";
    if (!inherits() || pipeline_.evaluator.manifest->provides(capability)) return;
    throw InvalidInput(fmt::format(
        "{}: {} lets candidates inherit weights, as its args say, but {} cannot do that: it does not provide "
        "{}. Installed plugins that do: {}",
        pipeline_.file(), pipeline_.optimizer.manifest->title(), pipeline_.evaluator.manifest->title(), capability,
        fmt::join(catalogue.providing(capability), ", ")));
  }

  // Without slots of its own: all cores for one candidate, one core each for several; a search's cards are used again.
  std::vector<std::string> final_slots(std::size_t count) const {
    if (!pipeline_.final->slots.empty()) return pipeline_.final->slots;
    const bool on_cards = slot_for_one().starts_with("cuda");
    if (on_cards || (count > 1 && !pipeline_.slots.empty())) return pipeline_.slots;
    return {slot_for_one()};
  }

  bool train_finals(Journal& journal, const StudyFolder& folder) {
    Finals finals(pipeline_, *search_, journal, folder);
    if (finals.pending().empty()) return true;
    if (!quiet_) fmt::print(stderr, "final training of trial {}\n", fmt::join(finals.pending(), ", "));
    const Executor::OnReport on_report = [this](TrialId trial, const Json& report) {
      if (!quiet_) fmt::print(stderr, "  trial {}: {}\n", trial, in_words(report));
      return Verdict::go_on;
    };
    std::unique_ptr<Assembly> assembly;
    std::unique_ptr<Executor> executor;
    if (pipeline_.final->evaluator.manifest->provides("evaluator.inline")) {
      assembly = std::make_unique<Assembly>(pipeline_, final_task_, Phase::final, libraries_);
      executor = std::make_unique<InlineExecutor>(*assembly, pipeline_.seed(), on_report);
    } else {
      executor = std::make_unique<LocalExecutor>(final_slots(finals.pending().size()), hello(Phase::final, final_task_),
                                                 pipeline_.final->evaluator.manifest->title(), on_report);
    }
    return finals.run(*executor, interrupted());
  }

  int stopped(const StudyFolder* folder) {
    executor_.reset();  // before the study's lock goes
    if (folder != nullptr) fmt::print(stderr, "stopped; go on with: weft resume {}\n", folder->path().string());
    return was_interrupted;
  }

  int conclude(const StudyFolder* folder, double searched) {
    const Trials& trials = search_->trials();
    if (trials.end_reason() == "exhausted") {
      fmt::print(stderr,
                 "the space is exhausted: of the last {} proposals of {} none was new, after {} trials; more of the "
                 "budget would bring nothing\n",
                 trials.nothing_new_in_a_row(), pipeline_.optimizer.manifest->title(), trials.counted());
    }
    if (trials.end_reason() == "finished" && !quiet_) {
      fmt::print(stderr, "{} has finished, as its arguments say; more of the budget would bring nothing\n",
                 pipeline_.optimizer.manifest->title());
    }
    if (!pipeline_.stoppers.empty() && trials.counted() > 0 && search_->reports_judged() == 0 && !study_.resumed)
      spdlog::warn("no trial reported an epoch before its last, so the stoppers had nothing to judge");
    const Trial* best = trials.best();
    if (best == nullptr) {
      report_fruitless(trials);
      return failed;
    }
    if (folder != nullptr) {
      export_best(*folder, pipeline_, *assembly_, *best, Finals::results(pipeline_, *search_));
      if (const Json& task = task_.is_object() ? task_ : final_task_; task.is_object())
        write_atomically(folder->best() / "task.json", task.dump(2) + "\n");
    }
    report_failures(trials);
    if (!quiet_) {
      const std::string fidelity = in_words(best->proposal.fidelity);
      fmt::print(output(), "{} trials in {}{}; best is trial {}: {} {:.5g}{}\n", trials.counted(), duration(searched),
                 stopped_of(trials), best->id, pipeline_.objectives.front().manifest->name, best->objectives.front(),
                 fidelity.empty() ? "" : " (" + fidelity + ")");
    }
    const bool trained = report_finals();
    if (folder != nullptr && !quiet_)
      fmt::print(output(), "study: {}\nbest:  {}\n", folder->path().string(), folder->best().string());
    return trained ? done : failed;
  }

  // What became of a search without a single complete trial: the first reason, and the most that was reached.
  void report_fruitless(const Trials& trials) const {
    const Trial* furthest = nullptr;
    std::optional<double> value;
    std::string first;
    for (const Trial& trial : trials.all()) {
      if (first.empty() && !trial.reason.empty()) first = fmt::format("; trial {}: {}", trial.id, trial.reason);
      const std::optional<double> reached = search_->reached(trial);
      if (reached && (!value || search_->better(*reached, *value))) {
        furthest = &trial;
        value = reached;
      }
    }
    const std::size_t cut = trials.ended() - trials.failed() - trials.refused();
    fmt::print(stderr, "no trial completed: {} failed, {} refused, {} cut short or infeasible{}\n", trials.failed(),
               trials.refused(), cut, first);
    if (furthest == nullptr) return;
    fmt::print(stderr, "the best that was reached before the end: {} {:.5g} by trial {}, {}\n",
               pipeline_.objectives.front().manifest->name, *value, furthest->id, furthest->metrics.dump());
  }

  // ", 31 stopped early"; empty where none was.
  static std::string stopped_of(const Trials& trials) {
    const auto stopped = std::count_if(trials.all().begin(), trials.all().end(),
                                       [](const Trial& trial) { return trial.verdict && !trial.duplicate_of; });
    return stopped > 0 ? fmt::format(", {} stopped early", stopped) : "";
  }

  // A search that failed in part has searched less than it seems.
  static void report_failures(const Trials& trials) {
    if (trials.failed() == 0) return;
    const auto first = std::find_if(trials.all().begin(), trials.all().end(), [](const Trial& trial) {
      return trial.state == TrialState::fail && !trial.duplicate_of;
    });
    fmt::print(
        stderr, "{} of {} trials failed{}\n", trials.failed(), trials.counted(),
        first == trials.all().end() ? "" : fmt::format("; trial {}: {}", first->id, shortened(first->reason, 300)));
  }

  // Whether all that were begun came to their end.
  bool report_finals() const {
    bool trained = true;
    for (const FinalResult& result : Finals::results(pipeline_, *search_)) {
      if (result.state != TrialState::complete) {
        trained = false;
        fmt::print(stderr, "the final training of trial {} failed: {}\n", result.trial, result.reason);
      } else if (!quiet_) {
        fmt::print(output(), "trained to the end, trial {}: {}\n", result.trial, result.metrics.dump());
      }
    }
    return trained;
  }

  Pipeline& pipeline_;
  PluginPath plugin_path_;
  Progress progress_;
  bool quiet_;
  bool isolate_all_;
  Study study_;
  Json libraries_;
  Json task_, final_task_;
  std::string fingerprint_;       // of the evaluator's own data
  std::string test_fingerprint_;  // of what final trainings read besides
  std::string test_split_;        // of the split that they are measured on
  std::unique_ptr<Assembly> assembly_, final_assembly_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Search> search_;
  std::unique_ptr<Executor> executor_;  // last: its workers go first
};

Pipeline load(const RunOptions& options, const Catalogue& catalogue) {
  Overrides overrides = options.overrides;
  if (!options.slots.empty()) {
    overrides.settings.push_back(fmt::format("/executor={}", Json{{"name", "local"}, {"slots", options.slots}}.dump()));
  }
  return Pipeline::load(options.pipeline, overrides, catalogue);
}

// Whether anything is new, and may be. Throws InvalidInput naming both sides of what may not.
bool accept(const Provenance& was, const Provenance& is, const ResumeOptions& options) {
  const std::vector<Difference> found = differences(was, is);
  std::string refused;
  for (const Difference& difference : found) {
    if (!difference.harmless && !options.accept_changes) refused += "\n  " + difference.words;
  }
  if (!refused.empty()) {
    throw InvalidInput(
        fmt::format("{}: is not what the study was begun with:{}\nPut back what it was; or record the change "
                    "and go on, with results of both kinds in one study, by --accept-changes",
                    options.study.string(), refused));
  }
  if (!options.quiet && !options.json) {
    for (const Difference& difference : found) fmt::print(stderr, "changed: {}\n", difference.words);
  }
  return !found.empty() || was.pipeline.is_null() || options.accept_changes;
}

// Which limit is used up, and what would be more.
std::string extension(const Budget& budget, const Conduct& conduct) {
  const auto used = [](const std::optional<std::int64_t>& limit, std::size_t count) {
    return limit && static_cast<std::size_t>(*limit) <= count;
  };
  const Trials& trials = conduct.trials();
  if (used(budget.trials, trials.counted())) return fmt::format("/budget/trials=N, with N above {}", trials.counted());
  if (used(budget.unique, trials.unique())) return fmt::format("/budget/unique=N, with N above {}", trials.unique());
  return fmt::format("/budget/seconds=N, with N above {:.0f}", conduct.seconds());
}

void print_summary(const Conduct& conduct, bool json) {
  if (json) {
    const Trial* best = conduct.trials().best();
    fmt::print(output(), "{}\n",
               Json{{"trials", conduct.trials().counted()}, {"best", best ? best->to_json() : Json()}}.dump(2));
  }
}

}  // namespace

int run_command(const RunOptions& options, const PluginPath& plugin_path) {
  const Catalogue catalogue = Catalogue::discover(plugin_path);
  Pipeline pipeline = load(options, catalogue);
  if (options.no_journal && options.study)
    throw InvalidInput("--no-journal keeps nothing, so --study cannot be given with it");
  if (options.no_journal && pipeline.oneshot)
    throw InvalidInput(
        "--no-journal keeps nothing, but the pipeline has a one-shot search, whose network must be kept; leave one of "
        "them out");
  if (options.no_journal && pipeline.final)
    throw InvalidInput(
        "--no-journal keeps nothing, but the pipeline has a final training, whose weights must be kept; leave one of "
        "them out");
  Conduct conduct(pipeline, plugin_path, options.quiet || options.json, options.isolate_all);
  if (options.study) StudyFolder::expect_free(*options.study);
  conduct.prepare(catalogue, libraries_of(pipeline));
  if (options.no_journal && conduct.inherits())
    throw InvalidInput(
        fmt::format("--no-journal keeps nothing, but {} lets candidates inherit weights, which must be kept; leave one "
                    "of them out",
                    pipeline.optimizer.manifest->title()));
  int code = done;
  if (options.no_journal) {
    conduct.begin({});
    code = conduct.run();
  } else {
    const std::string stem = fs::path(pipeline.file()).stem();
    const fs::path path = options.study ? *options.study : StudyFolder::make_unused("studies", stem);
    const StudyFolder folder = StudyFolder::create(path, pipeline.json().dump(2) + "\n");
    Provenance provenance = Provenance::begin(pipeline);
    conduct.describe(provenance);
    Journal::create(folder.journal(), provenance.to_json());
    Journal journal(folder.journal(), Journal::Mode::append);
    if (!options.quiet && !options.json) fmt::print(stderr, "study: {}\n", path.string());
    if (conduct.one_shot_is_open() && !conduct.search_one_shot(journal, folder, provenance)) {
      code = was_interrupted;
    } else {
      conduct.begin({.journal = &journal, .folder = &folder, .provenance = &provenance});
      code = conduct.run();
    }
  }
  if (code == done) print_summary(conduct, options.json);
  conduct.leave(code);
  return code;
}

int resume_command(const ResumeOptions& options, const PluginPath& given_plugin_path) {
  const StudyFolder folder = StudyFolder::open(fs::weakly_canonical(fs::absolute(options.study)), true);
  PluginPath plugin_path;
  for (const fs::path& given : given_plugin_path) plugin_path.push_back(fs::absolute(given));
  Journal journal(folder.journal(), Journal::Mode::append);
  const Provenance was = Provenance::read(journal);
  Json json = stored_pipeline(folder, was);
  Pipeline::apply(json, options.settings);
  was.enter_directory();

  const Catalogue catalogue = Catalogue::discover(plugin_path);
  Pipeline pipeline = Pipeline::resolve(json, folder.pipeline().string(), catalogue);
  if (!was.told.is_null()) pipeline.keep_told(was.told);
  if (const std::optional<Json> one_shot = OneShotSearch::result(journal, folder)) pipeline.tell_one_shot(*one_shot);
  Conduct conduct(pipeline, plugin_path, options.quiet || options.json, options.isolate_all);
  conduct.prepare(catalogue, libraries_of(pipeline), pipeline.dataset ? was.task : Json());

  Provenance is = was;
  is.pipeline = json;
  conduct.describe(is);
  is.told = pipeline.told;
  const bool changed = accept(was, is, options);
  if (conduct.one_shot_is_open() && !conduct.search_one_shot(journal, folder, is)) return was_interrupted;
  conduct.begin({.journal = &journal,
                 .folder = &folder,
                 .provenance = &is,
                 .resumed = true,
                 .retry_failed = options.retry_failed});
  if (changed) {
    write_durably(folder.pipeline(), json.dump(2) + "\n");  // before its event: from here on it is what is compared
    conduct.change(options.accept_changes);
  }
  const std::size_t ended_before = conduct.trials().ended();
  const int code = conduct.run();
  const bool nothing_new = conduct.trials().ended() == ended_before && !options.retry_failed;
  if (code == done && nothing_new && conduct.trials().end_reason() == "budget" && !options.quiet && !options.json) {
    fmt::print(stderr, "the search was over before, after {} trials; to extend it: weft resume {} --set {}\n",
               conduct.trials().counted(), options.study.string(), extension(pipeline.budget, conduct));
  }
  if (code == done) print_summary(conduct, options.json);
  conduct.leave(code);
  return code;
}

int check_command(const RunOptions& options, std::size_t samples, const PluginPath& plugin_path) {
  const Catalogue catalogue = Catalogue::discover(plugin_path);
  Pipeline pipeline = load(options, catalogue);
  Conduct conduct(pipeline, plugin_path, true);
  conduct.prepare(catalogue, libraries_of(pipeline));
  const Sampled sampled = sample_space(pipeline, conduct.assembly(), conduct.final_assembly(), samples);
  return print_check(pipeline, conduct.task(), sampled, options.json);
}

}  // namespace weft::host
