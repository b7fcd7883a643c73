// An optimizer: which candidate next?
//
// The host calls ask() whenever it has room for trials and tell() for every trial that ended, also failed and pruned
// ones, in any order. All randomness comes from the context's Rng, so that the same pipeline, seed and results in the
// same order give the same proposals: this is how a study is resumed.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <vector>

#include "weft/context.hpp"
#include "weft/detail/boundary.hpp"
#include "weft/trial.hpp"

namespace weft {

class Optimizer {
 public:
  static constexpr const char* kind = "optimizer";

  virtual ~Optimizer() = default;
  // At most `capacity` proposals; fewer, or none, means: waiting for results.
  virtual std::vector<Proposal> ask(std::size_t capacity) = 0;
  virtual void tell(const TrialResult& result) = 0;
  // True when there is nothing left to ask for, whatever the budget.
  virtual bool finished() const { return false; }
  // Of an optimizer whose proposals inherit weights: the trials that may still be named as parents, also those that
  // have not ended. The weights of no others are kept for that. Nothing: weights are not inherited.
  virtual std::optional<std::vector<TrialId>> retain() const { return {}; }
  // Of an optimizer whose proposals go on from earlier trials (Fidelity::resume_from): the trials that they may still
  // name, also those that have not ended. The checkpoints of no others are kept. Nothing: nothing is gone on from.
  virtual std::optional<std::vector<TrialId>> resumable() const { return {}; }
};

namespace detail {

inline TrialResult to_result(const weft_result& lent) {
  TrialResult result;
  result.trial = lent.trial;
  result.state = static_cast<TrialState>(lent.state);
  result.genotype = to_genotype(lent.genotype);
  result.reward = lent.reward;
  result.objectives.assign(lent.objectives, lent.objectives + lent.objective_count);
  if (lent.fidelity.size != 0) result.fidelity = Fidelity::from_json(parse_json(lent.fidelity));
  if (lent.metrics.size != 0) result.metrics = parse_json(lent.metrics);
  result.notes = parse_json(lent.notes);
  result.reason = view(lent.reason);
  if (lent.size >= offsetof(weft_result, predicted) + sizeof(double) && !std::isnan(lent.predicted))
    result.predicted = lent.predicted;
  return result;
}

template <typename T>
struct OptimizerTables {
  static constexpr weft_optimizer_1 optimizer{
      .size = sizeof(weft_optimizer_1),
      .ask =
          [](void* instance, std::uint64_t capacity, const weft_proposal_sink* out, const weft_writer* error) {
            return guard(error, [&] {
              for (const Proposal& proposal : self<T>(instance).ask(capacity)) {
                const LentGenotype genotype(proposal.genotype);
                const std::string transfer = dump(proposal.transfer);
                const std::string fidelity = proposal.fidelity == Fidelity{} ? "" : proposal.fidelity.to_json().dump();
                const std::string notes = dump(proposal.notes);
                const weft_proposal lent{sizeof(weft_proposal), *genotype,      proposal.parent.value_or(-1),
                                         text(transfer),        text(fidelity), text(notes)};
                out->receive(out->context, &lent);
              }
            });
          },
      .tell =
          [](void* instance, const weft_result* result, const weft_writer* error) {
            return guard(error, [&] { self<T>(instance).tell(to_result(*result)); });
          },
      .finished =
          [](void* instance, std::int32_t* out, const weft_writer* error) {
            return guard(error, [&] { *out = self<T>(instance).finished() ? 1 : 0; });
          },
      .retain =
          [](void* instance, const weft_trials_sink* out, const weft_writer* error) {
            return guard(error, [&] {
              const std::optional<std::vector<TrialId>> trials = self<T>(instance).retain();
              if (trials) out->receive(out->context, trials->data(), trials->size());
            });
          },
      .resumable =
          [](void* instance, const weft_trials_sink* out, const weft_writer* error) {
            return guard(error, [&] {
              const std::optional<std::vector<TrialId>> trials = self<T>(instance).resumable();
              if (trials) out->receive(out->context, trials->data(), trials->size());
            });
          }};

  static const void* find(std::string_view id) { return id == WEFT_OPTIMIZER_1 ? &optimizer : nullptr; }
};

}  // namespace detail

// An optimizer reached through its table.
class OptimizerRef final : public Optimizer {
 public:
  explicit OptimizerRef(weft_handle handle)
      : instance_(handle.instance),
        table_(static_cast<const weft_optimizer_1*>(handle.component->find_interface(WEFT_OPTIMIZER_1))) {
    if (table_ == nullptr)
      throw Error(std::string(handle.component->name) + " is not an optimizer: it has no " WEFT_OPTIMIZER_1);
  }

  std::vector<Proposal> ask(std::size_t capacity) override;

  void tell(const TrialResult& result) override;

  bool finished() const override;

  std::optional<std::vector<TrialId>> retain() const override { return trials_of(&weft_optimizer_1::retain, {}); }
  // Nothing of a plugin of release 1.0, which cannot say.
  std::optional<std::vector<TrialId>> resumable() const override;

 private:
  using Listing = weft_status (*)(void*, const weft_trials_sink*, const weft_writer*);
  // What it hands over; `silent` if it makes no call.
  std::optional<std::vector<TrialId>> trials_of(Listing weft_optimizer_1::*member,
                                                std::optional<std::vector<TrialId>> silent) const {
    if (!detail::has(table_, member)) return {};
    std::optional<std::vector<TrialId>> all = std::move(silent);
    const weft_trials_sink sink{&all, [](void* context, const std::int64_t* trials, std::uint64_t count) {
                                  auto& listed = *static_cast<std::optional<std::vector<TrialId>>*>(context);
                                  if (!listed) listed.emplace();
                                  listed->insert(listed->end(), trials, trials + count);
                                }};
    detail::StringWriter error;
    detail::check((table_->*member)(instance_, &sink, error), error);
    return all;
  }

  void* instance_;
  const weft_optimizer_1* table_;
};

#ifndef WEFT_DECLARED_ONLY
WEFT_INLINE std::vector<Proposal> OptimizerRef::ask(std::size_t capacity) {
  std::vector<Proposal> proposals;
  const auto sink = detail::make_sink<weft_proposal_sink, weft_proposal>([&](const weft_proposal& lent) {
    Proposal proposal{.genotype = detail::to_genotype(lent.genotype)};
    if (lent.parent >= 0) proposal.parent = lent.parent;
    proposal.transfer = detail::parse_json(lent.transfer);
    if (lent.fidelity.size != 0) proposal.fidelity = Fidelity::from_json(detail::parse_json(lent.fidelity));
    proposal.notes = detail::parse_json(lent.notes);
    proposals.push_back(std::move(proposal));
  });
  detail::StringWriter error;
  detail::check(detail::need(table_, &weft_optimizer_1::ask)(instance_, capacity, sink, error), error);
  sink.finish();
  if (proposals.size() > capacity) {
    throw Error("ask(" + std::to_string(capacity) + ") returned " + std::to_string(proposals.size()) + " proposals");
  }
  return proposals;
}

WEFT_INLINE void OptimizerRef::tell(const TrialResult& result) {
  const detail::LentGenotype genotype(result.genotype);
  const std::string fidelity = result.fidelity == Fidelity{} ? "" : result.fidelity.to_json().dump();
  const std::string metrics = detail::dump(result.metrics);
  const std::string notes = detail::dump(result.notes);
  const weft_result lent{sizeof(weft_result),
                         result.trial,
                         static_cast<std::int32_t>(result.state),
                         *genotype,
                         result.reward,
                         result.objectives.data(),
                         result.objectives.size(),
                         detail::text(fidelity),
                         detail::text(metrics),
                         detail::text(notes),
                         detail::text(result.reason),
                         result.predicted.value_or(std::numeric_limits<double>::quiet_NaN())};
  detail::StringWriter error;
  detail::check(detail::need(table_, &weft_optimizer_1::tell)(instance_, &lent, error), error);
}

WEFT_INLINE bool OptimizerRef::finished() const {
  std::int32_t finished = 0;
  detail::StringWriter error;
  detail::check(detail::need(table_, &weft_optimizer_1::finished)(instance_, &finished, error), error);
  return finished != 0;
}

WEFT_INLINE std::optional<std::vector<TrialId>> OptimizerRef::resumable() const {
  return trials_of(&weft_optimizer_1::resumable, std::vector<TrialId>());
}
#endif

}  // namespace weft
