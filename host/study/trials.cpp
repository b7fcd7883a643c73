#include "host/study/trials.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <limits>

namespace weft::host {
namespace {

std::uint64_t hash_from(const std::string& text) {
  std::uint64_t hash = 0;
  const char* end = text.data() + text.size();
  if (const auto [at, error] = std::from_chars(text.data(), end, hash, 16); error != std::errc() || at != end)
    throw DamagedEvent(fmt::format("the hash \"{}\" is no hexadecimal number of 64 bits", text));
  return hash;
}

}  // namespace

TrialResult Trial::result() const {
  TrialResult result{.trial = id,
                     .state = state,
                     .genotype = proposal.genotype,
                     .fidelity = proposal.fidelity,
                     .metrics = metrics,
                     .notes = proposal.notes,
                     .reason = reason,
                     .predicted = predicted};
  if (state == TrialState::complete) {
    result.reward = reward;
    result.objectives = objectives;
  }
  return result;
}

std::string in_words(const Fidelity& fidelity) {
  std::vector<std::string> parts;
  if (fidelity.epochs) parts.push_back(fmt::format("{} epoch{}", *fidelity.epochs, *fidelity.epochs == 1 ? "" : "s"));
  if (fidelity.data_fraction) parts.push_back(fmt::format("{:.3g} % of the data", 100.0 * *fidelity.data_fraction));
  if (fidelity.level) parts.push_back(fmt::format("level {}", *fidelity.level));
  if (fidelity.resume_from) parts.push_back(fmt::format("from trial {}", *fidelity.resume_from));
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::vector<std::string> Trial::morphs() const {
  std::vector<std::string> morphs;
  if (!proposal.transfer.is_object()) return morphs;
  for (const Json& step : proposal.transfer.value("steps", Json::array())) {
    if (!step.contains("morph")) continue;
    std::string morph = step.at("morph");  // which one change of several places says for each
    if (morphs.empty() || morphs.back() != morph) morphs.push_back(std::move(morph));
  }
  return morphs;
}

Json Trial::to_json() const {
  Json json = {{"trial", id},
               {"state", weft::to_string(state)},
               {"genotype", proposal.genotype.to_json()},
               {"metrics", metrics},
               {"seconds", seconds}};
  if (state == TrialState::complete) {
    json["reward"] = reward;
    json["objectives"] = objectives;
  }
  if (proposal.parent) json["parent"] = *proposal.parent;
  if (inherits()) json["morphs"] = morphs();
  if (proposal.fidelity != Fidelity{}) json["fidelity"] = proposal.fidelity.to_json();
  if (!proposal.notes.is_null()) json["notes"] = proposal.notes;
  if (duplicate_of) json["duplicate_of"] = *duplicate_of;
  if (waits_for) json["waits_for"] = *waits_for;
  if (!reason.empty()) json["reason"] = reason;
  if (predicted) json["predicted"] = *predicted;
  if (hash) json["hash"] = fmt::format("{:016x}", *hash);
  return json;
}

Json Ending::to_json() const {
  Json json = {{"state", weft::to_string(state)}, {"metrics", metrics}, {"seconds", seconds}};
  if (state == TrialState::complete) {
    json["reward"] = reward;
    json["objectives"] = objectives;
  }
  if (!reason.empty()) json["reason"] = reason;
  if (predicted) json["predicted"] = *predicted;
  if (duplicate_of) json["duplicate_of"] = *duplicate_of;
  if (refused) json["refused"] = true;
  if (infeasible) json["infeasible"] = true;
  return json;
}

Ending Ending::from_json(const Json& json) {
  Ending ending;
  ending.state = trial_state(json.at("state").get<std::string>());
  ending.metrics = json.at("metrics");
  ending.seconds = json.at("seconds");
  ending.reward = json.value("reward", 0.0);
  ending.objectives = json.value("objectives", std::vector<double>());
  ending.reason = json.value("reason", "");
  if (json.contains("predicted")) ending.predicted = json.at("predicted").get<double>();
  if (json.contains("duplicate_of")) ending.duplicate_of = json.at("duplicate_of").get<TrialId>();
  ending.refused = json.value("refused", false);
  // Release 1.0 said it in words alone.
  ending.infeasible = json.value("infeasible", !ending.refused && ending.reason.starts_with("infeasible: "));
  return ending;
}

void Trial::start(std::optional<std::uint64_t> candidate) {
  state = TrialState::running;
  if (candidate) hash = candidate;
  waits_for.reset();
  ++attempts;
}

void Trial::end(const Ending& ending) {
  state = ending.state;
  metrics = ending.metrics;
  objectives = ending.objectives;
  reward = ending.reward;
  reason = ending.reason;
  predicted = ending.predicted;
  verdict.reset();
  duplicate_of = ending.duplicate_of;
  refused = ending.refused;
  infeasible = ending.infeasible;
  seconds = ending.seconds;
  waits_for.reset();
}

void Trial::retry() {
  end({.state = TrialState::waiting});
  retried = true;
}

void Trial::apply(const Journal::Event& event) try {
  const Json& body = event.body;
  if (event.kind == "proposal") {
    id = event.trial;
    proposal = Proposal::from_json(body);
  } else if (event.kind == "start") {
    start(body.contains("hash") ? std::optional(hash_from(body.at("hash"))) : std::nullopt);
  } else if (event.kind == "wait") {
    waits_for = body.at("for").get<TrialId>();
  } else if (event.kind == "tell") {
    end(Ending::from_json(body));
  } else if (event.kind == "verdict") {
    verdict = StandingVerdict::from_json(body);
  } else if (event.kind == "retry") {
    retry();
  }
} catch (const InvalidInput& error) {  // a state, a genotype that cannot be
  throw DamagedEvent(error.what());
}

Json StandingVerdict::to_json() const {
  Json json = {
      {"verdict", verdict == Verdict::pause ? "pause" : "stop"}, {"epoch", epoch}, {"by", by}, {"reason", reason}};
  if (predicted) json["predicted"] = *predicted;
  return json;
}

StandingVerdict StandingVerdict::from_json(const Json& json) {
  StandingVerdict verdict{json.at("verdict") == "pause" ? Verdict::pause : Verdict::stop,
                          json.at("epoch"),
                          json.at("by"),
                          json.at("reason"),
                          {}};
  if (json.contains("predicted")) verdict.predicted = json.at("predicted").get<double>();
  return verdict;
}

FidelityOrder::FidelityOrder(const Json& pipeline) {
  const Json levels = pipeline.value("fidelities", Json::array());
  if (!levels.empty()) levels_ = static_cast<int>(levels.size());
  const Json epochs = pipeline.value("/evaluator/args/epochs"_json_pointer, Json());
  if (epochs.is_number_integer()) epochs_ = epochs.get<int>();
}

std::array<double, 3> FidelityOrder::rank(const Fidelity& fidelity) const {
  constexpr double highest = std::numeric_limits<double>::infinity();
  const double level = !fidelity.level || (levels_ && *fidelity.level + 1 >= *levels_) ? highest : *fidelity.level;
  const double share = fidelity.data_fraction.value_or(1.0);
  double epochs = highest;
  if (fidelity.epochs) {
    const bool whole = epochs_ && *fidelity.epochs >= *epochs_;
    epochs = whole && !resumes ? highest : *fidelity.epochs;
  } else if (resumes && epochs_) {
    epochs = *epochs_;
  }
  return {level, share, epochs};
}

void Trials::measure_by(const Json& pipeline) {
  const bool resumes = order_.resumes;
  order_ = FidelityOrder(pipeline);
  order_.resumes = resumes;
  find_best();
}

bool Trials::better(TrialId a, TrialId b) const {
  const Trial &left = trials_[static_cast<std::size_t>(a)], &right = trials_[static_cast<std::size_t>(b)];
  const auto left_rank = order_.rank(left.proposal.fidelity), right_rank = order_.rank(right.proposal.fidelity);
  if (left_rank != right_rank) return left_rank > right_rank;
  return left.reward > right.reward;
}

void Trials::find_best() {
  best_.reset();
  for (const Trial& trial : trials_) {
    if (trial.state == TrialState::complete && (!best_ || better(trial.id, *best_))) best_ = trial.id;
  }
}

Trial& Trials::propose(Proposal proposal) {
  if (proposal.fidelity.resume_from && !order_.resumes) {
    order_.resumes = true;
    find_best();
  }
  Trial trial;
  trial.id = static_cast<TrialId>(trials_.size());
  trial.proposal = std::move(proposal);
  trials_.push_back(std::move(trial));
  return trials_.back();
}

void Trials::start(TrialId id, std::optional<std::uint64_t> hash) {
  at(id).start(hash);
  nothing_new_in_a_row_ = refused_in_a_row_ = 0;
}

void Trials::end(TrialId id, const Ending& ending) {
  at(id).end(ending);
  ++ended_;
  if (ending.refused) ++refused_, ++refused_in_a_row_;
  if (ending.duplicate_of) ++duplicates_;
  if (ending.refused || ending.duplicate_of) ++nothing_new_in_a_row_;
  if (ending.state == TrialState::fail) ++failed_;
  if (ending.state == TrialState::complete && (!best_ || better(id, *best_))) best_ = id;
}

void Trials::retry(TrialId id) {
  at(id).retry();
  --ended_;
  --failed_;
  search_over_ = false;
}

Trial& Trials::at(TrialId id) {
  if (id < 0 || static_cast<std::size_t>(id) >= trials_.size()) {
    throw Error(fmt::format("trial {} does not exist; there are {}", id, trials_.size()));
  }
  return trials_[static_cast<std::size_t>(id)];
}

void Trials::apply(const Journal::Event& event) {
  const Json& body = event.body;
  const auto known = [&] {
    if (event.trial < 0 || static_cast<std::size_t>(event.trial) >= trials_.size())
      throw DamagedEvent(fmt::format("it is about trial {} of {}", event.trial, trials_.size()));
    return event.trial;
  };
  try {
    if (event.kind == "proposal") {
      propose(Proposal::from_json(body));
    } else if (event.kind == "start") {
      at(known()).apply(event);
      nothing_new_in_a_row_ = refused_in_a_row_ = 0;
    } else if (event.kind == "wait" || event.kind == "verdict") {
      at(known()).apply(event);
    } else if (event.kind == "tell") {
      end(known(), Ending::from_json(body));
    } else if (event.kind == "retry") {
      if (at(known()).state != TrialState::fail)
        throw DamagedEvent(fmt::format("trial {}, which it begins anew, had not failed", event.trial));
      retry(event.trial);
    } else if (event.kind == "end") {
      search_over_ = true;
      end_reason_ = body.value("why", "");
    } else if (event.kind == "change") {
      search_over_ = false;
      nothing_new_in_a_row_ = refused_in_a_row_ = 0;
      if (body.value("accepted", false)) forget_hashes();
    } else if (event.kind == "final") {
      const Ending ending = Ending::from_json(body);
      std::erase_if(finals_, [&](const FinalResult& earlier) { return earlier.trial == known(); });
      finals_.push_back(
          {known(), ending.state, ending.metrics, ending.reason, ending.seconds, body.value("made_of", "")});
    }
  } catch (const InvalidInput& error) {  // a state, a genotype that cannot be
    throw DamagedEvent(error.what());
  }
}

// A candidate may be another architecture than when its trial was begun.
void Trials::forget_hashes() {
  for (Trial& trial : trials_) {
    if (!trial.has_result()) trial.hash.reset();  // a failed one may be evaluated again
  }
}

std::vector<FinalResult> Trials::finals_made_of(const std::string& made_of) const {
  std::vector<FinalResult> same;
  for (const FinalResult& result : finals_) {
    if (result.made_of.empty() || result.made_of == made_of) same.push_back(result);  // release 1.0 did not say
  }
  return same;
}

std::vector<TrialId> Trials::best(std::size_t count) const {
  std::vector<TrialId> complete;
  for (const Trial& trial : trials_) {
    if (trial.state == TrialState::complete && !trial.duplicate_of) complete.push_back(trial.id);
  }
  count = std::min(count, complete.size());
  std::partial_sort(complete.begin(), complete.begin() + static_cast<std::ptrdiff_t>(count), complete.end(),
                    [&](TrialId a, TrialId b) { return better(a, b) || (!better(b, a) && a < b); });
  complete.resize(count);
  return complete;
}

}  // namespace weft::host
