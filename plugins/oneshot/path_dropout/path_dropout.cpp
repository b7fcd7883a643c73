// One-shot search with path dropout: the supernet is trained with all its options added up, of which more and more are
// dropped at random, so that it learns to do without most; afterwards random architectures are judged as what is left
// when the other options are zeroed.
//
// Bender, Kindermans, Zoph, Vasudevan, Le 2018, "Understanding and Simplifying One-Shot Architecture Search". As there,
// batch norms of what is judged go by the batches at hand, and weights decay only in steps in which they take part.
// What is left of a sum is not scaled up. All that one decision stands for, such as one option in all cells of a kind,
// is dropped together. Deviations: a decision without zeros among its options keeps at least one path; architectures
// that are drawn twice are judged once.

#include <string>
#include <utility>
#include <vector>

#include "dropped_paths.hpp"
#include "weft/plugin.hpp"
#include "weft/torch/one_shot_search.hpp"
#include "weft/torch/random_selection.hpp"

namespace {

using path_dropout::DroppedPaths;

class PathDropout final : public weft::OneShot {
 public:
  explicit PathDropout(const weft::Context& context)
      : dropped_{.dropout = context.get<double>("dropout"),
                 .ghost_batch_size = context.get<std::int64_t>("ghost_batch_size")},
        samples_(context.get<std::size_t>("samples")),
        keep_(context.get<std::size_t>("keep")),
        search_(context, {"dropout", "ghost_batch_size", "samples", "keep"}) {
    weft::must_not_exceed("keep", keep_, "samples", samples_);
    // Of smaller ghost batches it would say too much.
    if (dropped_.ghost_batch_size >= search_.recipe().batch_size) search_.expect_memory(search_.supernet());
  }

  weft::OneShotResult search(const weft::EvaluationRequest& request, const weft::Reporter& reporter) override {
    weft::Network network(search_.supernet(), request.rng.derive("weights"));
    DroppedPaths guide(network, search_.recipe(), dropped_);
    return search_.train(request, reporter, network, guide,
                         [&] { return selected(network, request.rng.derive("selection")); });
  }

 private:
  std::vector<weft::Derived> selected(weft::Network& network, const weft::Rng& rng) const {
    network.set_statistics(weft::Statistics::batch);
    std::vector<weft::Judged> judged =
        weft::judge_random(search_.space(), samples_, rng, [&](const weft::SupernetPath& path) {
          network.choose(weft::gates_of(path));
          return weft::evaluate(network, search_.structure_batches(), search_.recipe().batch_size);
        });
    weft::keep_best(judged, keep_);
    return weft::derived_of(search_, network, judged);
  }

  DroppedPaths::Options dropped_;
  std::size_t samples_, keep_;
  weft::OneShotSearch search_;
};

}  // namespace

WEFT_PLUGIN(weft::component<PathDropout>("path_dropout"))
