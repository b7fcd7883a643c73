// Random search with weight sharing: every minibatch trains one architecture, drawn uniformly; afterwards architectures
// are drawn and judged by the weights that they share.
//
// Li, Talwalkar 2019, "Random Search and Reproducibility for Neural Architecture Search", and the authors'
// code (liamcli/randomNAS_release, searchers/random_weight_share.py). Deviations: the selection is done once, not once
// for every 10,000 steps; all architectures are judged on the same examples, those that are drawn twice once; batch
// norms go by the batches at hand, not by running statistics, which all architectures trained.

#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "uniform_paths.hpp"
#include "weft/plugin.hpp"
#include "weft/torch/loss.hpp"
#include "weft/torch/one_shot_search.hpp"
#include "weft/torch/random_selection.hpp"

namespace {

struct Options {
  std::size_t samples;
  std::int64_t selection_examples;
  std::size_t finalists;
  std::size_t keep;

  explicit Options(const weft::Context& context)
      : samples(context.get<std::size_t>("samples")),
        selection_examples(context.get<std::int64_t>("selection_examples")),
        finalists(context.get<std::size_t>("finalists")),
        keep(context.get<std::size_t>("keep")) {
    weft::must_not_exceed("finalists", finalists, "samples", samples);
    weft::must_not_exceed("keep", keep, "finalists", finalists);
  }
};

class RandomWeightSharing final : public weft::OneShot {
 public:
  explicit RandomWeightSharing(const weft::Context& context)
      : options_(context), search_(context, {"samples", "selection_examples", "finalists", "keep"}) {
    search_.expect_memory_of_one();
  }

  weft::OneShotResult search(const weft::EvaluationRequest& request, const weft::Reporter& reporter) override {
    weft::Network network(search_.supernet(), request.rng.derive("weights"));
    random_weight_sharing::UniformPaths guide(search_.space(), network);
    return search_.train(request, reporter, network, guide,
                         [&] { return selected(network, request.rng.derive("selection")); });
  }

 private:
  std::vector<weft::Derived> selected(weft::Network& network, const weft::Rng& rng) const {
    const std::int64_t all = search_.structure_batches().examples();
    const std::int64_t part = options_.selection_examples > 0 ? std::min(options_.selection_examples, all) : all;
    std::vector<weft::Judged> judged =
        weft::judge_random(search_.space(), options_.samples, rng,
                           [&](const weft::SupernetPath& path) { return score_of(network, path, part); });
    weft::keep_best(judged, options_.finalists);
    if (part < all) {
      for (weft::Judged& finalist : judged) finalist.score = score_of(network, finalist.path, all);
    }
    weft::keep_best(judged, options_.keep);
    return weft::derived_of(search_, network, judged);
  }

  // Of its part of the network on the first `examples` of those for the structure.
  weft::Score score_of(weft::Network& network, const weft::SupernetPath& path, std::int64_t examples) const {
    const c10::InferenceMode inference;
    network.eval();
    network.choose(weft::gates_of(path));
    network.set_statistics(weft::Statistics::batch);
    weft::Totals totals(search_.device());
    const std::int64_t batch_size = search_.recipe().batch_size;
    for (std::int64_t first = 0; first < examples; first += batch_size) {
      const std::int64_t count = std::min(batch_size, examples - first);
      if (count == 1 && first > 0) break;  // has no statistics of its own
      const weft::Batch batch = search_.structure_batches().plain(first, count);
      const at::Tensor logits = network.forward(batch.images).logits;
      totals.add(weft::cross_entropy(logits, batch.labels, 0.0), logits, batch.labels);
    }
    network.set_statistics(weft::Statistics::running);
    return totals.score();
  }

  Options options_;
  weft::OneShotSearch search_;
};

}  // namespace

WEFT_PLUGIN(weft::component<RandomWeightSharing>("random_weight_sharing"))
