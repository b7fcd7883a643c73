// Increasing image sizes: most of a search is done where it is cheap, on small images.
//
// Hinz, Navarro-Guerrero, Magg, Wermter 2018, "Speeding up the Hyperparameter Optimization of Deep Convolutional Neural
// Networks": which hyperparameters matter, and which values are good, hardly depends on the size of the images. An
// optimizer searches on small ones; the best candidates are evaluated again on the next size, where it goes on, and so
// on up to the full size. (Not so for numbers of layers: those are better left out, or bounded by the smallest size.)
//
// Sizes are the levels of /fidelities, the smallest first. A stage begins when all trials of the one before have ended.
// The optimizer is one throughout: it is told of each result at the size that it was measured on (keep_history). What
// of it the paper's optimizers were told is not known to us.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <deque>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "stages.hpp"
#include "weft/in_flight.hpp"
#include "weft/plugin.hpp"
#include "weft/search/sampler.hpp"

namespace {

using weft::search::Sampler;

class IncreasingImageSize final : public weft::Optimizer {
 public:
  explicit IncreasingImageSize(const weft::Context& context)
      : stages_(context), keep_history_(context.get<bool>("keep_history")), sampler_(context.plugin("sampler")) {}

  std::vector<weft::Proposal> ask(std::size_t capacity) override {
    std::vector<weft::Proposal> proposals;
    while (proposals.size() < capacity && !finished()) {
      if (proposed_ == size_of_stage()) {
        if (!in_flight_.empty()) break;
        begin_next_stage();
      }
      std::optional<Sampler::Drawn> candidate = next_candidate();
      if (candidate) {
        proposals.push_back(proposal_of(std::move(*candidate)));
      } else if (in_flight_.empty()) {
        exhausted_ = true;  // it waits for nothing, so nothing will come
      } else {
        break;
      }
    }
    return proposals;
  }

  void tell(const weft::TrialResult& result) override {
    std::optional<Sampler::Drawn> candidate = in_flight_.take(result);
    if (!candidate) return;
    tell_sampler(result, *candidate);
    const std::optional<double> reward = result.told_reward();
    if (reward && std::isfinite(*reward)) evaluated_.push_back({std::move(*candidate), *reward, result.trial});
  }

  bool finished() const override { return stage_ + 1 == stages_.count() && proposed_ == size_of_stage(); }

 private:
  struct Evaluated {
    Sampler::Drawn candidate;
    double reward;
    weft::TrialId trial;
  };

  // Without further candidates a stage is what it is.
  std::size_t size_of_stage() const {
    return exhausted_ ? std::min(stages_.size(stage_), proposed_ + carried_.size()) : stages_.size(stage_);
  }

  void begin_next_stage() {
    carried_ = best(stages_.carried_after(stage_));
    evaluated_.clear();
    ++stage_;
    proposed_ = 0;
  }

  // Of this stage, the best first, each candidate once; of equals the earlier trial's.
  std::deque<Sampler::Drawn> best(std::size_t count) {
    std::sort(evaluated_.begin(), evaluated_.end(), [](const Evaluated& a, const Evaluated& b) {
      return a.reward != b.reward ? a.reward > b.reward : a.trial < b.trial;
    });
    std::deque<Sampler::Drawn> best;
    std::set<std::string> known;
    for (Evaluated& evaluated : evaluated_) {
      if (best.size() == count) break;
      if (known.insert(evaluated.candidate.genotype.key()).second) best.push_back(std::move(evaluated.candidate));
    }
    return best;
  }

  std::optional<Sampler::Drawn> next_candidate() {
    if (carried_.empty()) return exhausted_ ? std::nullopt : sampler_.draw();
    Sampler::Drawn first = std::move(carried_.front());
    carried_.pop_front();
    return first;
  }

  weft::Proposal proposal_of(Sampler::Drawn candidate) {
    weft::Proposal proposal{.genotype = candidate.genotype, .fidelity = {.level = static_cast<int>(stage_)}};
    in_flight_.add(proposal, std::move(candidate));
    ++proposed_;
    return proposal;
  }

  void tell_sampler(weft::TrialResult result, const Sampler::Drawn& candidate) {
    if (!keep_history_ && stage_ + 1 < stages_.count()) {
      result.state = weft::TrialState::pruned;
      result.predicted.reset();
      result.reason = "measured on smaller images";
    }
    sampler_.tell(std::move(result), candidate.number, candidate.notes);
  }

  increasing_image_size::Stages stages_;
  bool keep_history_;
  Sampler sampler_;
  std::size_t stage_ = 0;
  std::size_t proposed_ = 0;            // of this stage
  std::vector<Evaluated> evaluated_;    // in this stage
  std::deque<Sampler::Drawn> carried_;  // into this stage, and not proposed yet; the best first
  weft::InFlight<Sampler::Drawn> in_flight_;
  bool exhausted_ = false;  // the sampler
};

}  // namespace

WEFT_PLUGIN(weft::component<IncreasingImageSize>("increasing_image_size"))
