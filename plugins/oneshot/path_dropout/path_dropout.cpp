// One-shot search with path dropout: the supernet is trained with all its options added up, of which more and more are
// dropped at random, so that it learns to do without most; afterwards random architectures are judged as what is left
// when the other options are zeroed.
//
// Bender, Kindermans, Zoph, Vasudevan, Le 2018, "Understanding and Simplifying One-Shot Architecture Search". As there,
// batch norms of what is judged go by the batches at hand, and weights decay only in steps in which they take part.
// What is left of a sum is not scaled up. All that one decision stands for, such as one option in all cells of a kind,
// is dropped together. Deviations: a decision without zeros among its options keeps at least one path; architectures
// that are drawn twice are judged once.

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "dropped_paths.hpp"
#include "weft/plugin.hpp"
#include "weft/torch/one_shot_search.hpp"

namespace {

using path_dropout::DroppedPaths;

struct Judged {
  weft::Genotype genotype;
  weft::Score score;
};

class PathDropout final : public weft::OneShot {
 public:
  explicit PathDropout(const weft::Context& context)
      : dropped_{.dropout = context.get<double>("dropout"),
                 .ghost_batch_size = context.get<std::int64_t>("ghost_batch_size")},
        samples_(context.get<std::size_t>("samples")),
        keep_(context.get<std::size_t>("keep")),
        search_(context, {"dropout", "ghost_batch_size", "samples", "keep"}) {
    if (keep_ > samples_) {
      throw weft::InvalidInput("/keep is " + std::to_string(keep_) + "; must not exceed /samples, " +
                               std::to_string(samples_));
    }
    // Of smaller ghost batches it would say too much.
    if (dropped_.ghost_batch_size >= search_.recipe().batch_size) search_.expect_memory(search_.supernet());
  }

  weft::OneShotResult search(const weft::EvaluationRequest& request, const weft::Reporter& reporter) override {
    weft::Network network(search_.supernet(), request.rng.derive("weights"));
    network.to(search_.device());
    DroppedPaths guide(network, search_.recipe(), dropped_);
    return search_.train(request, reporter, network, guide,
                         [&] { return selected(network, request.rng.derive("selection")); });
  }

 private:
  // The best by accuracy, equals by loss, equals of that in the order they were drawn.
  std::vector<weft::Derived> selected(weft::Network& network, weft::Rng rng) const {
    std::vector<Judged> judged;
    std::set<weft::SupernetPath> known;
    network.set_statistics(weft::Statistics::batch);
    for (std::size_t i = 0; i < samples_; ++i) {
      weft::Genotype genotype = search_.space().sample(rng);
      weft::SupernetPath path = search_.space().path(genotype);
      if (!known.insert(path).second) continue;
      network.choose(weft::gates_of(path));
      const weft::Score score = weft::evaluate(network, search_.structure_batches(), search_.recipe().batch_size);
      judged.push_back({std::move(genotype), score});
    }
    std::ranges::stable_sort(judged, [](const Judged& one, const Judged& other) {
      if (one.score.accuracy != other.score.accuracy) return one.score.accuracy > other.score.accuracy;
      return one.score.loss < other.score.loss;
    });
    judged.resize(std::min(judged.size(), keep_));
    std::vector<weft::Derived> derived;
    for (const Judged& one : judged) {
      derived.push_back(search_.derived(network, one.genotype));
      derived.back().metrics["selection_accuracy"] = one.score.accuracy;
      derived.back().metrics["selection_loss"] = one.score.loss;
    }
    return derived;
  }

  DroppedPaths::Options dropped_;
  std::size_t samples_, keep_;
  weft::OneShotSearch search_;
};

}  // namespace

WEFT_PLUGIN(weft::component<PathDropout>("path_dropout"))
