// The proposals of an optimizer that are out for evaluation, with what it keeps of each until its result comes.
//
// Each is marked in its notes, which come back with its result, so that trials may be numbered by whoever asks for the
// proposals. An optimizer that asks several others hands each its own results.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <utility>

#include "weft/trial.hpp"

namespace weft {

template <typename Kept>
class InFlight {
 public:
  // Marks the proposal, whose notes are null or an object.
  void add(Proposal& proposal, Kept kept) {
    proposal.notes["proposal"] = proposals_;
    kept_.emplace(proposals_++, std::move(kept));
  }

  // What was kept of the proposal that this is the result of; nothing if it is not one of those in flight.
  std::optional<Kept> take(const TrialResult& result) {
    auto taken = kept_.extract(number_of(result));
    return taken.empty() ? std::nullopt : std::optional<Kept>(std::move(taken.mapped()));
  }

  std::size_t size() const { return kept_.size(); }
  bool empty() const { return kept_.empty(); }

 private:
  // Proposals of release 1.0 have no mark: they were counted as the host counts trials.
  static std::int64_t number_of(const TrialResult& result) {
    if (!result.notes.is_object() || !result.notes.contains("proposal")) return result.trial;
    const Json& number = result.notes.at("proposal");
    return number.is_number_integer() ? number.get<std::int64_t>() : -1;
  }

  std::int64_t proposals_ = 0;
  std::unordered_map<std::int64_t, Kept> kept_;
};

}  // namespace weft
