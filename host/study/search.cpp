#include "host/study/search.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>
#include <utility>

#include "host/execution/calls.hpp"
#include "host/plugins/refusal.hpp"
#include "host/processes/message.hpp"
#include "host/study/files.hpp"

namespace weft::host {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

namespace {

// So many candidates over a limit, one after the other, mean that the limit cannot be met.
constexpr std::size_t most_refused_in_a_row = 1000;
// A uniform draw from n candidates, of which one is not known yet, misses it 10 n times in a row once in 22,000 cases.
constexpr std::size_t fewest_known_in_a_row = 1000, known_in_a_row_per_candidate = 10;
// What a kill costs where trials run in the host and have no effect outside of it.
constexpr std::chrono::milliseconds longest_uncommitted(50);
constexpr std::chrono::milliseconds tick_interval(200);

// Nothing but the candidate decides its result.
bool is_plain(const Proposal& proposal) { return !proposal.parent && proposal.fidelity == Fidelity{}; }

// What two failures have in common that have the same cause: how their first line begins, without words that hold a
// digit (a trial's number, a process's, an address, a temporary name).
std::string kind_of_failure(const std::string& reason) {
  constexpr std::size_t telling = 120;
  std::istringstream words(reason.substr(0, reason.find('\n')));
  std::string kind;
  for (std::string word; kind.size() < telling && words >> word;) {
    if (word.find_first_of("0123456789") == std::string::npos) kind += word + " ";
  }
  return kind;
}

// A plugin's words, which go to terminals: in UTF-8, on one line, without control characters.
std::string one_line(const std::string& words) {
  std::string line = valid_utf8(words);
  std::replace_if(
      line.begin(), line.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  return line;
}

// It may be what was judged.
void remove_result(const fs::path& folder) {
  std::error_code error;
  if (fs::remove(folder / "result.json", error)) sync_to_disk(folder);
  if (error) throw Error(fmt::format("{}: cannot be removed: {}", (folder / "result.json").string(), error.message()));
}

}  // namespace

Search::Search(Parts parts, Observer observer)
    : pipeline_(parts.pipeline),
      journal_(parts.journal),
      folder_(parts.folder),
      provenance_(parts.provenance),
      observer_(std::move(observer)),
      space_(parts.assembly.space()),
      optimizer_(parts.optimizer),
      objectives_(parts.assembly.objectives()),
      began_(Clock::now()) {
  for (const ObjectiveRef& objective : objectives_)
    direction_.push_back(objective.direction() == Direction::maximize ? 1.0 : -1.0);
  const bool read_before =
      std::any_of(pipeline_.objectives.begin(), pipeline_.objectives.end(),
                  [](const ObjectiveUse& objective) { return objective.manifest->provides("objective.before"); });
  decodes_ = read_before || !pipeline_.is_inline || !pipeline_.stoppers.empty();
  inherits_ = retained().has_value();
  trials_.measure_by(pipeline_.json());
  if (!pipeline_.stoppers.empty())
    judges_ = std::make_unique<Judges>(pipeline_, parts.assembly.stoppers(), !pipeline_.is_inline);
}

// What makes two proposals ask for the same evaluation. What a duplicate is gone on from is its original.
std::string Search::key_of(const Proposal& proposal) const {
  std::string key = proposal.genotype.key();
  Fidelity fidelity = proposal.fidelity;
  if (fidelity.resume_from) fidelity.resume_from = original(*fidelity.resume_from);
  if (fidelity != Fidelity{}) key += fidelity.to_json().dump();
  if (proposal.parent) key += fmt::format("<{}", *proposal.parent);
  if (!proposal.transfer.is_null()) key += fmt::format("~{:016x}", hash_text(proposal.transfer.dump()));
  return key;
}

double Search::elapsed() const {
  return elapsed_before_ + std::chrono::duration<double>(Clock::now() - began_).count();
}

// `body` is only called, and its JSON only made, when there is a journal.
template <typename Body>
void Search::record(std::string_view kind, TrialId trial, const Body& body) {
  if (journal_ != nullptr) journal_->append(elapsed(), kind, trial, Journal::text(body()));
}

void Search::commit() {
  if (journal_ != nullptr) journal_->commit();
  committed_ = Clock::now();
}

// ---- replay ---------------------------------------------------------------------------------------------------

void Search::replay() {
  std::deque<Proposal> proposed;
  journal_->for_each(
      [&](const Journal::Event& event) {
        if (event.kind == "ask") {
          for (Proposal& proposal : asked(event.body.at("capacity").get<std::size_t>()))
            proposed.push_back(std::move(proposal));
        } else if (event.kind == "proposal") {
          Json now = proposed.empty() ? Json() : proposed.front().to_json();
          if (now.is_object() && !event.body.contains("notes")) now.erase("notes");  // a newer plugin's, for itself
          if (now != event.body) {
            throw Error(fmt::format(
                "the study cannot be resumed: {} proposes differently than before. Trial {} is recorded as {}, "
                "now it is {}. Was the plugin, or "
                "the space it draws from, changed since? Reinstall the version that the study was begun with",
                pipeline_.optimizer.manifest->title(), event.trial, event.body.dump(),
                now.is_null() ? "nothing" : now.dump()));
          }
          proposed.pop_front();
        }
        if (event.kind == "report") {
          listen(trials_.at(event.trial), event.body);
          return;
        }
        trials_.apply(event);
        if (judges_ && event.kind == "start") read_features(trials_.at(event.trial));
        if (event.kind != "tell") return;
        const Trial& trial = trials_.at(event.trial);
        end_curve(trial);
        if (!trial.retried) told(trial);
        rank(trial.id);
        if (trial.duplicate_of) return;
        if (const std::optional<TrialId> known = known_twin(trial)) forget(trials_.at(*known));  // it was of no use
        if (trial.has_result()) remember(trial);
      },
      Journal::Order::of_events, judges_ ? Journal::Reports::included : Journal::Reports::left_out);
  if (!proposed.empty())
    throw Error(fmt::format("the study cannot be resumed: {} proposes more than is recorded",
                            pipeline_.optimizer.manifest->title()));

  elapsed_before_ = journal_->elapsed();
  began_ = Clock::now();
}

void Search::go_on() {
  // Those that were begun come first: what waits for their results must not take their place.
  std::vector<TrialId> open;
  for (const Trial& trial : trials_.all()) {
    if (trial.under_way()) open.push_back(trial.id);
  }
  std::stable_partition(open.begin(), open.end(),
                        [&](TrialId id) { return trials_.at(id).state == TrialState::running; });
  for (const Trial& trial : trials_.all()) {
    if (trial.under_way() || may_be_retried(trial)) expect_heir(trial);
  }
  // A kill may have come between an event and the removal that follows from it; and the pipeline may keep fewer now.
  release_checkpoints();
  release_weights();
  for (const TrialId id : open) admit(trials_.at(id));
}

void Search::retry_failed() {
  for (const Trial& trial : trials_.all()) {
    if (!may_be_retried(trial)) continue;
    if (folder_ != nullptr) remove_result(folder_->trial(trial.id));
    record("retry", trial.id, [] { return Json::object(); });
    trials_.retry(trial.id);
    admit(trials_.at(trial.id));
  }
  commit();
}

// ---- the loop -------------------------------------------------------------------------------------------------

Search::Outcome Search::run(Executor& executor, const std::atomic<bool>& interrupted) {
  auto last_tick = Clock::now();
  if (judges_ && judges_->beside()) executor.heed(&judges_->alarm());
  while (!interrupted) {
    const bool goes_on = fill(executor);
    if (running_ == 0 && queue_.empty() && !goes_on) {
      const std::optional<std::string> why = over();
      if (!why) {
        throw Error(fmt::format("{} proposes nothing although no trial is running and the budget is not used up",
                                pipeline_.optimizer.manifest->title()));
      }
      if (judges_ && !settled(interrupted)) break;
      record("end", -1, [&] { return Json{{"why", *why}}; });
      trials_.apply({elapsed(), "end", -1, {{"why", *why}}});
      commit();
      return Outcome::finished;
    }
    const auto now = Clock::now();
    if (!pipeline_.is_inline || now - committed_ >= longest_uncommitted) commit();
    const std::optional<JobResult> result = executor.wait(goes_on ? std::chrono::milliseconds(0) : tick_interval);
    if (interrupted) break;  // what the signal did to a trial is no result of it
    if (result) finish(*result);
    answer_judged(executor);
    if (now - last_tick < tick_interval) continue;
    last_tick = now;
    stop_overdue(executor);
    if (observer_.tick) observer_.tick();
  }
  commit();
  return Outcome::interrupted;
}

// Whether the stoppers have heard of all that ended, which none of them may fail at unnoticed; false if interrupted.
// When the time is over, they have no longer than a trial would.
bool Search::settled(const std::atomic<bool>& interrupted) {
  const double since = elapsed();
  while (!judges_->settle(tick_interval)) {
    if (interrupted) return false;
    if (!time_left() && elapsed() - since > pipeline_.budget.grace) return true;
    if (observer_.tick) observer_.tick();
  }
  judges_->take();
  return true;
}

// Starts what is admitted, and asks once if there is room for more. Whether more may come of the next call.
bool Search::fill(Executor& executor) {
  const auto start_queued = [&] {
    while (executor.free_slots() > 0 && !queue_.empty()) {
      const TrialId next = queue_.front();
      queue_.pop_front();
      start(executor, next);
    }
  };
  start_queued();
  // A duplicate that waits for its twin takes the room that its own evaluation would have taken.
  const std::size_t room = executor.free_slots();
  if (!queue_.empty() || room <= waiting_count_ || !ask(room - waiting_count_)) return false;
  start_queued();
  return true;
}

// Why nothing more is asked for; nothing while it is.
std::optional<std::string> Search::over() const {
  if (!time_left() || budget_left() == 0) return "budget";
  if (exhausted()) return "exhausted";
  if (optimizer_finished()) return "finished";
  return {};
}

bool Search::exhausted() const {
  return trials_.nothing_new_in_a_row() > fewest_known_in_a_row + known_in_a_row_per_candidate * by_genotype_.size();
}

// A trial that says nothing is not answered "stop": it is stopped. One that was answered has as long to come to its
// end, and so has one that was begun when the time was over already.
void Search::stop_overdue(Executor& executor) {
  const Budget& budget = pipeline_.budget;
  if (!budget.seconds || time_left()) return;
  for (auto& [id, trial] : underway_) {  // who waits for the stoppers waits no longer
    if (!std::exchange(trial.judged, false)) continue;
    trial.told_to_stop = elapsed();
    executor.answer(id, Verdict::stop);
  }
  for (const SlotStatus& slot : executor.status()) {
    if (!slot.trial) continue;
    const Underway& trial = underway_.at(*slot.trial);
    if (elapsed() - trial.told_to_stop.value_or(std::max(*budget.seconds, trial.since)) < budget.grace) continue;
    executor.cancel(
        *slot.trial,
        fmt::format("stalled: the time of the budget was over, and {} s later (/budget/grace) it had {}; "
                    "it was stopped",
                    budget.grace, trial.told_to_stop ? "not ended, as it was told to" : "not reported again"));
  }
}

bool Search::time_left() const { return !pipeline_.budget.seconds || elapsed() < *pipeline_.budget.seconds; }

// How many more may be asked for; of unique candidates some may prove to be none.
std::size_t Search::budget_left() const {
  const auto left = [](const std::optional<std::int64_t>& limit, std::size_t used) {
    const auto most = static_cast<std::size_t>(limit.value_or(std::numeric_limits<std::int64_t>::max()));
    return most - std::min(most, used);
  };
  return std::min(left(pipeline_.budget.trials, trials_.counted()), left(pipeline_.budget.unique, trials_.unique()));
}

// False when there is nothing to ask for until a result is told.
bool Search::ask(std::size_t capacity) {
  if (waiting_for_results_ || over()) return false;
  capacity = std::min(capacity, budget_left());
  std::vector<Proposal> proposals = asked(capacity);
  for (std::size_t i = 0; i < proposals.size(); ++i) {
    check_parent(proposals[i], static_cast<TrialId>(trials_.size() + i));
    check_resumed(proposals[i], static_cast<TrialId>(trials_.size() + i));
  }
  record("ask", -1, [&] { return Json{{"capacity", capacity}}; });
  const TrialId first = static_cast<TrialId>(trials_.size());
  for (Proposal& proposal : proposals) {
    record("proposal", static_cast<TrialId>(trials_.size()), [&] { return proposal.to_json(); });
    expect_heir(trials_.propose(std::move(proposal)));
  }
  waiting_for_results_ = proposals.empty();
  for (TrialId id = first; id < static_cast<TrialId>(trials_.size()); ++id) admit(trials_.at(id));
  return !proposals.empty();
}

// ---- calls of the optimizer, and what it may propose --------------------------------------------------------------

std::vector<Proposal> Search::asked(std::size_t capacity) {
  try {
    std::vector<Proposal> proposals = optimizer_.ask(capacity);
    for (std::size_t i = 0; i < proposals.size(); ++i) check(proposals[i], static_cast<TrialId>(trials_.size() + i));
    return proposals;
  } catch (...) {
    rethrow_as_refusal(*pipeline_.optimizer.manifest, fmt::format("ask, trial {}", trials_.size()));
  }
}

void Search::told(const Trial& trial) {
  try {
    optimizer_.tell(trial.result());
  } catch (...) {
    rethrow_as_refusal(*pipeline_.optimizer.manifest, fmt::format("tell, trial {}", trial.id));
  }
}

// Nothing of an optimizer that does not inherit weights.
std::optional<std::vector<TrialId>> Search::retained() const {
  try {
    const std::optional<std::vector<TrialId>> retained = optimizer_.retain();
    return retained ? std::optional(checked(*retained)) : std::nullopt;
  } catch (...) {
    rethrow_as_refusal(*pipeline_.optimizer.manifest, fmt::format("retain, after {} trials", trials_.size()));
  }
}

// Nothing of an optimizer of release 1.0.
std::optional<std::vector<TrialId>> Search::resumable() const {
  try {
    const std::optional<std::vector<TrialId>> resumable = optimizer_.resumable();
    return resumable ? std::optional(checked(*resumable)) : std::nullopt;
  } catch (...) {
    rethrow_as_refusal(*pipeline_.optimizer.manifest, fmt::format("resumable, after {} trials", trials_.size()));
  }
}

std::vector<TrialId> Search::checked(const std::vector<TrialId>& trials) const {
  for (const TrialId id : trials) {
    if (id < 0 || id >= static_cast<TrialId>(trials_.size()))
      throw Error(fmt::format("it names trial {}, of {} that were asked for", id, trials_.size()));
  }
  return trials;
}

bool Search::optimizer_finished() const {
  try {
    return optimizer_.finished();
  } catch (...) {
    rethrow_as_refusal(*pipeline_.optimizer.manifest, fmt::format("finished, after {} trials", trials_.size()));
  }
}

void Search::refuse(TrialId trial, const std::string& found, const std::string& expected) const {
  throw Refusal(
      Code::bad_proposal,
      fmt::format("{} ({})", pipeline_.optimizer.manifest->title(), pipeline_.optimizer.manifest->file.string()),
      fmt::format("ask, trial {}: {}", trial, found), expected, "");
}

// Whose weights are inherited, still has them.
void Search::check_parent(const Proposal& proposal, TrialId trial) {
  if (proposal.transfer.is_null() || folder_ == nullptr || pipeline_.is_inline) return;
  const Trial& parent = trials_.at(original(*proposal.parent));
  if (parent.under_way() || parent.refused || parent.state == TrialState::fail) return;
  if (!with_weights_.contains(parent.id))
    refuse(trial, fmt::format("inherits the weights of trial {}, which it did not retain", *proposal.parent),
           "a parent that retain() names from its own proposal on");
}

// What is gone on from still has its checkpoint.
void Search::check_resumed(const Proposal& proposal, TrialId trial) {
  if (!proposal.fidelity.resume_from || folder_ == nullptr || pipeline_.is_inline) return;
  const Trial& origin = trials_.at(original(*proposal.fidelity.resume_from));
  if (origin.under_way() || origin.refused || origin.state == TrialState::fail) return;
  if (!with_checkpoints_.contains(origin.id) && resumable())
    refuse(trial, fmt::format("goes on from trial {}, whose checkpoint is not kept", *proposal.fidelity.resume_from),
           "a trial that resumable() names from its own proposal on");
}

void Search::check_fidelity(const Proposal& proposal, TrialId trial) const {
  const Fidelity& fidelity = proposal.fidelity;
  if (fidelity.level && (*fidelity.level < 0 || *fidelity.level >= static_cast<int>(pipeline_.levels.size())))
    refuse(trial, fmt::format("asks for level {}", *fidelity.level),
           fmt::format("one of the {} of /fidelities, counted from 0", pipeline_.levels.size()));
  if (fidelity.epochs && *fidelity.epochs < 1)
    refuse(trial, fmt::format("asks for {} epochs", *fidelity.epochs), "1 or more");
  if (fidelity.data_fraction && !(*fidelity.data_fraction > 0.0 && *fidelity.data_fraction <= 1.0))
    refuse(trial, fmt::format("asks for a share of {} of the data", *fidelity.data_fraction), "above 0, at most 1");
  if (fidelity.resume_from && !pipeline_.is_inline && !pipeline_.evaluator.manifest->provides("evaluator.resumable"))
    refuse(trial, fmt::format("goes on from trial {}", *fidelity.resume_from),
           fmt::format("a trial from the start: {} does not provide evaluator.resumable",
                       pipeline_.evaluator.manifest->title()));
}

void Search::check_transfer(const Proposal& proposal, TrialId trial) const {
  if (!proposal.parent) refuse(trial, "has a transfer of weights, but no parent", "both, or neither");
  // Release 1.0 had transfers of any kind, between an optimizer and an evaluator that knew each other.
  if (!proposal.transfer.is_object() || !proposal.transfer.contains("transfer")) return;
  if (!pipeline_.evaluator.manifest->provides("evaluator.inheritance"))
    refuse(trial, "inherits weights",
           fmt::format("none: {} does not provide evaluator.inheritance", pipeline_.evaluator.manifest->title()));
  try {
    WeightTransfer::from_json(proposal.transfer);
  } catch (const InvalidInput& error) {
    refuse(trial, error.what(), "a transfer of weights as manifests/schemas/weight_transfer.json has it");
  }
}

// A proposal is the space's own genotype, and refers to trials that exist.
void Search::check(const Proposal& proposal, TrialId trial) const {
  const auto refuse = [&](const std::string& found, const std::string& expected) {
    this->refuse(trial, found, expected);
  };
  for (const std::optional<TrialId>& other : {proposal.parent, proposal.fidelity.resume_from}) {
    if (other && (*other < 0 || *other >= static_cast<TrialId>(trials_.size())))
      refuse(fmt::format("refers to trial {}", *other),
             fmt::format("one of the {} that were asked for", trials_.size()));
  }
  const std::optional<TrialId>&resumed = proposal.fidelity.resume_from, &parent = proposal.parent;
  if (resumed && parent && *resumed != *parent && !proposal.transfer.is_null())
    refuse(fmt::format("goes on from trial {} and inherits weights of trial {}", *resumed, *parent),
           "one of the two: resume_from, or a parent and a transfer");
  check_fidelity(proposal, trial);
  if (!proposal.transfer.is_null()) check_transfer(proposal, trial);
  const std::vector<std::int32_t>& decisions = proposal.genotype.decisions;
  if (!space_.has_decisions()) {
    space_.notation(proposal.genotype);  // throws where it is not of this space
    return;
  }
  const std::span<const std::int32_t> all(decisions);
  for (std::size_t i = 0; i < decisions.size(); ++i) {
    const std::optional<Decision> decision = space_.next(all.first(i));
    if (!decision) refuse(fmt::format("{} decisions", decisions.size()), fmt::format("{}", i));
    if (decisions[i] < 0 || decisions[i] >= static_cast<std::int32_t>(decision->options.size())) {
      refuse(fmt::format("decision {}, {}, is {}", i, decision->name, decisions[i]),
             fmt::format("0 to {}: {}", decision->options.size() - 1, fmt::join(decision->options, ", ")));
    }
  }
  if (!space_.complete(all)) refuse(fmt::format("{} decisions", decisions.size()), "a complete architecture");
}

// ---- a proposal becomes a job, or ends at once ------------------------------------------------------------------

void Search::admit(Trial& trial) {
  const TrialId id = trial.id;
  if (take_known_result(trial) || !has_origin(trial)) return;
  if (decodes_) {
    std::uint64_t hash = 0;
    try {
      hash = read_candidate(trial);
    } catch (const std::exception& error) {
      tell(id, {.state = TrialState::fail,
                .reason = fmt::format("{} cannot decode the proposal of {}: {}", pipeline_.space.manifest->title(),
                                      pipeline_.optimizer.manifest->title(), error.what())});
      return;
    }
    if (trial.hash && *trial.hash != hash) {
      throw Error(
          fmt::format("trial {} is another architecture than when it was begun (hash {:016x}, now {:016x}): {} "
                      "changed. Reinstall the version that the study was begun with, or go on with "
                      "`weft resume --accept-changes`",
                      id, *trial.hash, hash, pipeline_.space.manifest->title()));
    }
    trial.hash = hash;
    if (const std::optional<std::string> refusal = over_limit(trial)) {
      if (trials_.refused_in_a_row() >= most_refused_in_a_row) {
        throw Error(
            fmt::format("the last {} candidates were all over a limit ({}); raise the limit or make the space smaller "
                        "(`weft check` says what share of it is feasible)",
                        most_refused_in_a_row, *refusal));
      }
      tell(id, {.state = TrialState::pruned, .reason = *refusal, .refused = true});
      return;
    }
    if (take_known_result(trial)) return;
  }
  remember(trial);
  queue_.push_back(id);
}

// The candidate's hash; the objectives that are known of it before it is evaluated are kept.
std::uint64_t Search::read_candidate(const Trial& trial) {
  const std::string candidate = space_.decode_text(trial.proposal.genotype);
  std::vector<std::optional<double>>& known = known_[trial.id];
  known.clear();
  for (std::size_t i = 0; i < objectives_.size(); ++i) {
    known.push_back(pipeline_.objectives[i].manifest->provides("objective.before") ? objectives_[i].before(candidate)
                                                                                   : std::nullopt);
  }
  const Candidate decoded = Candidate::from_json(detail::parse_json(candidate));
  if (judges_) begin_curve(trial, features_of(decoded));
  return decoded.hash();
}

// Of trials to come that ask for the same, this one is the original.
void Search::remember(const Trial& trial) {
  if (!pipeline_.reuse_duplicates()) return;
  by_genotype_.emplace(key_of(trial.proposal), trial.id);
  if (trial.hash && is_plain(trial.proposal)) by_hash_.emplace(*trial.hash, trial.id);
}

void Search::forget(const Trial& trial) {
  const auto at = by_genotype_.find(key_of(trial.proposal));
  if (at != by_genotype_.end() && at->second == trial.id) by_genotype_.erase(at);
  if (!trial.hash) return;
  const auto same = by_hash_.find(*trial.hash);
  if (same != by_hash_.end() && same->second == trial.id) by_hash_.erase(same);
}

// The trial before this one that stands for all that ask for the same.
std::optional<TrialId> Search::known_twin(const Trial& trial) const {
  if (!pipeline_.reuse_duplicates()) return {};
  std::optional<TrialId> twin;
  if (const auto at = by_genotype_.find(key_of(trial.proposal)); at != by_genotype_.end()) twin = at->second;
  if (!twin && trial.hash && is_plain(trial.proposal)) {
    if (const auto at = by_hash_.find(*trial.hash); at != by_hash_.end()) twin = at->second;
  }
  return twin == trial.id ? std::nullopt : twin;
}

// A candidate that was evaluated before takes that result, or waits for it.
bool Search::take_known_result(Trial& trial) {
  const std::optional<TrialId> original = known_twin(trial);
  if (!original) return false;
  const Trial& known = trials_.at(*original);
  if (known.under_way()) {
    wait_for(trial, *original);
    return true;
  }
  // A result without its weights is of no use to whoever may want to inherit them, nor one without its checkpoint to
  // whoever may want to go on from it.
  const bool resumed = trial.proposal.fidelity.epochs && trials_.go_on_from_others();
  if (keeps_files(known) &&
      ((inherits_ && !with_weights_.contains(*original)) || (resumed && !with_checkpoints_.contains(*original)))) {
    forget(known);
    return false;
  }
  tell(trial.id, {.state = known.state,
                  .metrics = known.metrics,
                  .objectives = known.objectives,
                  .reward = known.reward,
                  .reason = known.reason,
                  .duplicate_of = original,
                  .infeasible = known.infeasible});
  return true;
}

void Search::wait_for(Trial& trial, TrialId other) {
  if (trial.waits_for != other) record("wait", trial.id, [&] { return Json{{"for", other}}; });
  trial.waits_for = other;
  waiting_[other].push_back(trial.id);
  ++waiting_count_;
}

// Whether what a trial begins with is there. If not, it waits for the other trial's end, or has failed with it.
bool Search::has_origin(Trial& trial) {
  for (const std::optional<TrialId>& other : {trial.proposal.parent, trial.proposal.fidelity.resume_from}) {
    if (!other) continue;
    const Trial& origin = trials_.at(*other);
    if (origin.under_way()) {
      wait_for(trial, *other);
      return false;
    }
    const bool resumed = other == trial.proposal.fidelity.resume_from;
    if (!resumed && !trial.inherits()) continue;
    if (origin.state != TrialState::fail && !origin.refused) continue;
    tell(trial.id, {.state = TrialState::fail,
                    .reason = fmt::format("trial {}, {}, left none: {}", *other,
                                          resumed ? "from whose checkpoint it goes on" : "whose weights it inherits",
                                          origin.reason.empty() ? "it failed" : origin.reason)});
    return false;
  }
  return true;
}

std::optional<std::string> Search::over_limit(const Trial& trial) const {
  const std::vector<std::optional<double>>& known = known_.at(trial.id);
  for (std::size_t i = 0; i < known.size(); ++i) {
    if (!known[i]) continue;
    if (std::optional<std::string> reason = over_limit(i, *known[i])) return reason;
  }
  return {};
}

std::optional<std::string> Search::over_limit(std::size_t objective, double value) const {
  const std::optional<double>& limit = pipeline_.objectives[objective].limit;
  if (!limit || value * direction_[objective] >= *limit * direction_[objective]) return {};
  return fmt::format("infeasible: {} is {}; the limit is {}", pipeline_.objectives[objective].manifest->name, value,
                     *limit);
}

void Search::start(Executor& executor, TrialId id) {
  Trial& trial = trials_.at(id);
  record("start", id, [&] {
    Json body = {{"attempt", trial.attempts + 1}};
    if (trial.hash) body["hash"] = fmt::format("{:016x}", *trial.hash);
    return body;
  });
  trials_.start(id, trial.hash);
  ++running_;
  underway_[id] = {.since = elapsed()};
  Job job{.trial = id,
          .genotype = trial.proposal.genotype,
          .fidelity = trial.proposal.fidelity,
          .transfer = trial.proposal.transfer};
  if (folder_ != nullptr && !pipeline_.is_inline) {
    job.folder = folder_->trial(id);
    if (const std::optional<TrialId>& other = trial.proposal.fidelity.resume_from)
      job.resume_folder = folder_->trial(original(*other));
    if (trial.proposal.parent) job.inherit_folder = folder_->trial(original(*trial.proposal.parent));
    job.identity = identity(id, Phase::search);
    commit();
    if (const std::optional<JobResult> stored = enter_job_folder(job)) {
      finish(*stored);
      return;
    }
  }
  executor.start(job);
}

Json Search::identity(TrialId id, Phase phase) const {
  if (provenance_ == nullptr || provenance_->study.empty()) return {};
  Json proposal = trials_.all().at(static_cast<std::size_t>(id)).proposal.to_json();
  proposal.erase("notes");
  return {{"study", provenance_->study},
          {"seed", pipeline_.seed()},
          {"trial", id},
          {"phase", phase == Phase::final ? "final" : "search"},
          {"made_of", made_of(phase)},
          {"proposal", std::move(proposal)}};
}

// ---- reports, and what the stoppers say of them -------------------------------------------------------------------

std::optional<Verdict> Search::report(TrialId id, const Json& report) {
  record("report", id, [&] { return report; });
  if (!pipeline_.is_inline) commit();
  const Trial& trial = trials_.at(id);
  listen(trial, report);
  if (!time_left()) {
    if (std::optional<double>& told = underway_.at(id).told_to_stop; !told) told = elapsed();
    return Verdict::stop;
  }
  if (trial.verdict) {  // it was interrupted before it could heed it, and comes to where it was once more
    return report.at("epoch") < trial.verdict->epoch ? Verdict::go_on : trial.verdict->verdict;
  }
  if (!judges_) return Verdict::go_on;
  const LearningCurve& curve = curves_.at(id);
  judged_ += curve.horizon == 0 || report.at("epoch") < curve.horizon ? 1 : 0;
  judges_->judge(curve, report.at("epoch"));
  underway_.at(id).judged = judges_->beside();
  if (judges_->beside()) return {};
  return rule(judges_->take().front());
}

// A report's point of its trial's curve; an epoch that is repeated after an interruption takes the place of the first.
void Search::listen(const Trial& trial, const Json& report) {
  if (!judges_) return;
  LearningCurve& curve = curves_[trial.id];
  const int epoch = report.at("epoch");
  while (!curve.empty() && curve.epochs.back() >= epoch) {
    curve.epochs.pop_back();
    curve.rewards.pop_back();
  }
  if (const std::optional<double> reward = reward_of(report)) {
    curve.epochs.push_back(epoch);
    curve.rewards.push_back(*reward);
  } else if (!std::exchange(said_unjudged_, true)) {
    spdlog::warn(
        "trial {}, epoch {}: the report has no value of objective {}, so there is nothing for the stoppers to "
        "judge; it has {}",
        trial.id, epoch, pipeline_.objectives.front().manifest->name, report.dump());
  }
  curve.report = report;
  if (report.contains("epochs") && report.at("epochs").is_number_integer()) curve.horizon = report.at("epochs");
  judges_->observe(curve);
}

// Of a report that has the first objective's metric.
std::optional<double> Search::reward_of(const Json& report) const {
  try {
    const double value = objectives_.front().after(report.dump()) * direction_.front();
    return std::isfinite(value) ? std::optional(value) : std::nullopt;
  } catch (const std::exception&) {
    return {};
  }
}

// A trial that goes on from another has the other's points before its own.
void Search::begin_curve(const Trial& trial, Json features) {
  const auto origin = trial.proposal.fidelity.resume_from;
  if (!curves_.contains(trial.id) && origin && curves_.contains(original(*origin)))
    curves_[trial.id] = curves_.at(original(*origin));
  LearningCurve& curve = curves_[trial.id];
  curve.trial = trial.id;
  curve.fidelity = trial.proposal.fidelity;
  curve.features = std::move(features);
  const std::optional<int> planned =
      trial.proposal.fidelity.epochs ? trial.proposal.fidelity.epochs : pipeline_.epochs();
  curve.horizon = planned.value_or(0);
}

// Of a trial that was begun before the study was resumed.
void Search::read_features(const Trial& trial) {
  try {
    begin_curve(trial, features_of(space_.decode(trial.proposal.genotype)));
  } catch (const std::exception&) {  // whether it may be another by now is for go_on() to see
    begin_curve(trial, Json::object());
  }
}

Verdict Search::rule(const Ruling& ruling) {
  if (ruling.judgement.verdict == Verdict::go_on) return Verdict::go_on;
  const StandingVerdict verdict{ruling.judgement.verdict, ruling.epoch, ruling.by, one_line(ruling.judgement.reason),
                                ruling.judgement.predicted};
  record("verdict", ruling.trial, [&] { return verdict.to_json(); });
  trials_.at(ruling.trial).verdict = verdict;
  return verdict.verdict;
}

void Search::answer_judged(Executor& executor) {
  if (!judges_) return;
  for (const Ruling& ruling : judges_->take()) {
    const auto waiting = underway_.find(ruling.trial);
    if (waiting == underway_.end() || !waiting->second.judged) continue;  // it died, or was stopped, while they thought
    waiting->second.judged = false;
    const Verdict verdict = rule(ruling);
    commit();
    executor.answer(ruling.trial, verdict);
  }
}

void Search::end_curve(const Trial& trial) {
  if (!judges_ || trial.duplicate_of || trial.refused) return;
  LearningCurve& curve = curves_[trial.id];
  curve.trial = trial.id;
  const bool complete = trial.state == TrialState::complete;
  judges_->end(curve, trial.state, complete ? std::optional(trial.reward) : std::nullopt);
  curve.features = Json();  // of whatever goes on from it, its own are read
}

// ---- how a trial ends -------------------------------------------------------------------------------------------

void Search::finish(const JobResult& result) {
  --running_;
  Ending ending = judge(trials_.at(result.trial), result);
  ending.seconds = result.seconds;
  tell(result.trial, ending);
}

Ending Search::judge(const Trial& trial, const JobResult& result) const {
  Ending ending{.state = result.state, .metrics = result.metrics, .reason = result.reason};
  const std::optional<StandingVerdict>& verdict = trial.verdict;
  const bool asked_to_pause = verdict && verdict->verdict == Verdict::pause;
  if (result.state == TrialState::pruned && result.reason.empty()) {
    const auto underway = underway_.find(trial.id);
    const bool told_to_stop = underway != underway_.end() && underway->second.told_to_stop;
    ending.reason = verdict        ? fmt::format("{}: {}", verdict->by, verdict->reason)
                    : told_to_stop ? "the time of the budget was over"
                                   : fmt::format("{} ended it unasked", pipeline_.evaluator.manifest->title());
    if (verdict) ending.predicted = verdict->predicted;
  } else if (result.state == TrialState::paused && asked_to_pause) {
    ending.reason = fmt::format("{}: {}", verdict->by, verdict->reason);
    return ending;
  } else if (result.state != TrialState::complete && result.state != TrialState::pruned &&
             result.state != TrialState::fail) {
    ending.state = TrialState::fail;
    ending.reason = fmt::format("answered with state {}, which nobody asked it for; COMPLETE and PRUNED are known",
                                weft::to_string(result.state));
  }
  if (ending.state == TrialState::fail)
    ending.reason = fmt::format("{}: {}", pipeline_.evaluator.manifest->title(), ending.reason);
  if (ending.state != TrialState::complete) return ending;
  const std::string metrics = result.metrics.dump();
  const auto known = known_.find(trial.id);
  for (std::size_t i = 0; i < objectives_.size(); ++i) {
    const std::string& name = pipeline_.objectives[i].manifest->name;
    try {
      const std::optional<double> before = known != known_.end() ? known->second[i] : std::nullopt;
      const double value = before ? *before : objectives_[i].after(metrics);
      if (!std::isfinite(value)) throw Error(fmt::format("its value is {}", value));
      ending.objectives.push_back(value);
      if (std::optional<std::string> reason = over_limit(i, value)) {
        return {.state = TrialState::pruned, .metrics = result.metrics, .reason = *reason, .infeasible = true};
      }
    } catch (const std::exception& error) {
      return {.state = TrialState::fail,
              .metrics = result.metrics,
              .reason = fmt::format("objective {}: {}", name, error.what())};
    }
  }
  ending.reward = ending.objectives.front() * direction_.front();
  return ending;
}

std::optional<double> Search::reached(const Trial& trial) const {
  if (trial.metrics.empty()) return {};
  try {
    const double value = objectives_.front().after(trial.metrics.dump());
    return std::isfinite(value) ? std::optional(value) : std::nullopt;
  } catch (const std::exception&) {  // this metric is not among those it reached
    return {};
  }
}

void Search::tell(TrialId id, const Ending& ending) {
  record("tell", id, [&] { return ending.to_json(); });
  trials_.end(id, ending);
  known_.erase(id);
  underway_.erase(id);
  rank(id);
  const Trial& trial = trials_.at(id);
  end_curve(trial);
  if (!may_be_retried(trial)) {
    if (trial.inherits()) heirs_.erase(heirs_.find(*trial.proposal.parent));
    if (const auto origin = trial.proposal.fidelity.resume_from) successors_.erase(successors_.find(*origin));
  }
  if (!trial.has_result()) forget(trial);
  if (keeps_files(trial)) commit();  // before anything that follows from it is removed
  if (!trial.retried) told(trial);
  if (trial.state == TrialState::paused && resumable().value_or(std::vector<TrialId>()).empty() &&
      !std::exchange(said_lost_, true)) {
    spdlog::warn("trial {} was paused, but {} goes on from none: its training is lost. {}", id,
                 pipeline_.optimizer.manifest->title(), trial.reason);
  }
  waiting_for_results_ = false;
  if (observer_.ended) observer_.ended(trial);
  serve_waiting(id);  // before its files go, which its twins may need to stand for it
  if (keeps_files(trial)) {
    release_checkpoints();
    release_weights();
  }
  if (!trial.duplicate_of && !trial.refused) count_failures(trial);
}

// Its twins take its result, or the first of them is evaluated if it has none; its heirs begin.
void Search::serve_waiting(TrialId id) {
  const auto waiting = waiting_.extract(id);
  if (!waiting) return;
  waiting_count_ -= waiting.mapped().size();
  for (const TrialId other : waiting.mapped()) {
    trials_.at(other).waits_for.reset();
    admit(trials_.at(other));
  }
}

void Search::count_failures(const Trial& trial) {
  if (trial.state != TrialState::fail) {
    failures_in_a_row_ = 0;
    return;
  }
  std::string failure = kind_of_failure(trial.reason);
  failures_in_a_row_ = failure == last_failure_ ? failures_in_a_row_ + 1 : 1;
  last_failure_ = std::move(failure);
  if (failures_in_a_row_ < pipeline_.budget.failures) return;
  throw Error(
      fmt::format("{} trials in a row failed for the same reason (/budget/failures), the last one, trial {}, so: "
                  "{}. Mend the cause, then `weft resume --retry-failed`",
                  failures_in_a_row_, trial.id, trial.reason));
}

// ---- files that are kept ----------------------------------------------------------------------------------------

// Puts an ended trial in its place among the best, whose weights are kept.
void Search::rank(TrialId id) {
  const Trial& ended = trials_.at(id);
  if (!keeps_files(ended)) return;
  with_checkpoints_.insert(id);
  if (ended.state != TrialState::fail) with_weights_.insert(id);
  if (ended.state != TrialState::complete) return;
  const auto better = [&](TrialId a, TrialId b) { return trials_.better(a, b); };
  best_.insert(std::upper_bound(best_.begin(), best_.end(), id, better), id);
  if (best_.size() > pipeline_.keep_weights()) best_.pop_back();
}

void Search::expect_heir(const Trial& trial) {
  if (trial.inherits()) heirs_.insert(*trial.proposal.parent);
  if (const auto origin = trial.proposal.fidelity.resume_from) successors_.insert(*origin);
}

// Weights are kept of the best, of what the optimizer may still name as a parent, and of the parents of what is to come.
void Search::release_weights() {
  if (folder_ == nullptr || pipeline_.is_inline) return;
  std::unordered_set<TrialId> wanted(best_.begin(), best_.end());
  for (const TrialId parent : heirs_) wanted.insert(original(parent));
  if (inherits_) {
    for (const TrialId id : retained().value_or(std::vector<TrialId>())) wanted.insert(original(id));
  }
  std::erase_if(with_weights_, [&](TrialId id) {
    std::error_code ignored;  // they may be gone already
    return !wanted.contains(id) && (fs::remove(folder_->trial(id) / "weights.pt", ignored), true);
  });
}

// Checkpoints are kept of what the optimizer may still go on from, and of what those that are to come go on from.
void Search::release_checkpoints() {
  if (folder_ == nullptr || pipeline_.is_inline) return;
  const std::optional<std::vector<TrialId>> resumable = this->resumable();
  std::unordered_set<TrialId> wanted;
  for (const TrialId id : resumable.value_or(std::vector<TrialId>())) wanted.insert(original(id));
  for (const TrialId origin : successors_) wanted.insert(original(origin));
  std::erase_if(with_checkpoints_, [&](TrialId id) {
    if (trials_.at(id).under_way()) return true;  // it failed, and is evaluated again: what it leaves now is its own
    // An optimizer of release 1.0 does not say: what was not to be trained to its end may be gone on from.
    const bool kept = wanted.contains(id) || (!resumable && trials_.at(id).proposal.fidelity.epochs);
    std::error_code ignored;  // it may be gone already
    return !kept && (fs::remove(folder_->trial(id) / "checkpoint.pt", ignored), true);
  });
}

}  // namespace weft::host
