#include "host/study/trials.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace weft::host {
namespace {

// The words of a plugin or of a dying process may be no UTF-8, which alone can be kept.
std::string as_utf8(const std::string& text) {
  return Json::parse(Json(text).dump(-1, ' ', false, Json::error_handler_t::replace)).get<std::string>();
}

}  // namespace

TrialResult Trial::result() const {
  TrialResult result{.trial = id,
                     .state = state,
                     .genotype = proposal.genotype,
                     .fidelity = proposal.fidelity,
                     .metrics = metrics,
                     .notes = proposal.notes,
                     .reason = reason};
  if (state == TrialState::complete) {
    result.reward = reward;
    result.objectives = objectives;
  }
  return result;
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
  if (proposal.fidelity != Fidelity{}) json["fidelity"] = proposal.fidelity.to_json();
  if (!proposal.notes.is_null()) json["notes"] = proposal.notes;
  if (duplicate_of) json["duplicate_of"] = *duplicate_of;
  if (waits_for) json["waits_for"] = *waits_for;
  if (!reason.empty()) json["reason"] = as_utf8(reason);
  if (hash) json["hash"] = fmt::format("{:016x}", *hash);
  return json;
}

Json Ending::to_json() const {
  Json json = {{"state", weft::to_string(state)}, {"metrics", metrics}, {"seconds", seconds}};
  if (state == TrialState::complete) {
    json["reward"] = reward;
    json["objectives"] = objectives;
  }
  if (!reason.empty()) json["reason"] = as_utf8(reason);
  if (duplicate_of) json["duplicate_of"] = *duplicate_of;
  if (refused) json["refused"] = true;
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
  if (json.contains("duplicate_of")) ending.duplicate_of = json.at("duplicate_of").get<TrialId>();
  ending.refused = json.value("refused", false);
  return ending;
}

Trial& Trials::propose(Proposal proposal) {
  Trial trial;
  trial.id = static_cast<TrialId>(trials_.size());
  trial.proposal = std::move(proposal);
  trials_.push_back(std::move(trial));
  return trials_.back();
}

void Trials::start(TrialId id, std::optional<std::uint64_t> hash) {
  Trial& trial = at(id);
  trial.state = TrialState::running;
  trial.hash = hash;
  trial.waits_for.reset();
  ++trial.attempts;
}

void Trials::end(TrialId id, const Ending& ending) {
  Trial& trial = at(id);
  trial.state = ending.state;
  trial.metrics = ending.metrics;
  trial.objectives = ending.objectives;
  trial.reward = ending.reward;
  trial.reason = ending.reason;
  trial.duplicate_of = ending.duplicate_of;
  trial.refused = ending.refused;
  trial.seconds = ending.seconds;
  trial.waits_for.reset();
  ++ended_;
  if (ending.refused) ++refused_;
  if (ending.state == TrialState::fail) ++failed_;
  if (ending.state == TrialState::complete && (!best_ || ending.reward > at(*best_).reward)) best_ = id;
}

Trial& Trials::at(TrialId id) {
  if (id < 0 || static_cast<std::size_t>(id) >= trials_.size()) {
    throw Error(fmt::format("trial {} does not exist; there are {}", id, trials_.size()));
  }
  return trials_[static_cast<std::size_t>(id)];
}

void Trials::apply(const Journal::Event& event) {
  elapsed_ = event.elapsed;
  const Json& body = event.body;
  if (event.kind == "study") {
    task_ = body.value("task", Json());
  } else if (event.kind == "proposal") {
    propose(Proposal::from_json(body));
  } else if (event.kind == "start") {
    std::optional<std::uint64_t> hash;
    if (body.contains("hash")) {
      const std::string text = body.at("hash");
      hash.emplace();
      if (std::from_chars(text.data(), text.data() + text.size(), *hash, 16).ptr != text.data() + text.size())
        throw Error(fmt::format("the hash of trial {} is \"{}\", which is no hexadecimal number", event.trial, text));
    }
    start(event.trial, hash);
  } else if (event.kind == "tell") {
    end(event.trial, Ending::from_json(body));
  } else if (event.kind == "end") {
    search_over_ = true;
  } else if (event.kind == "final") {
    const Ending ending = Ending::from_json(body);
    std::erase_if(finals_, [&](const FinalResult& earlier) { return earlier.trial == event.trial; });
    finals_.push_back({event.trial, ending.state, ending.metrics, ending.reason, ending.seconds});
  }
}

std::vector<TrialId> Trials::best(std::size_t count) const {
  std::vector<TrialId> complete;
  for (const Trial& trial : trials_) {
    if (trial.state == TrialState::complete && !trial.duplicate_of) complete.push_back(trial.id);
  }
  count = std::min(count, complete.size());
  std::partial_sort(complete.begin(), complete.begin() + static_cast<std::ptrdiff_t>(count), complete.end(),
                    [&](TrialId a, TrialId b) {
                      const double left = trials_[static_cast<std::size_t>(a)].reward;
                      const double right = trials_[static_cast<std::size_t>(b)].reward;
                      return left != right ? left > right : a < b;
                    });
  complete.resize(count);
  return complete;
}

}  // namespace weft::host
