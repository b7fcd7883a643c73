// Random search with weight sharing: every minibatch trains one architecture, drawn uniformly; afterwards architectures
// are drawn and judged by the weights that they share.
//
// Li, Talwalkar 2019, "Random Search and Reproducibility for Neural Architecture Search", and the authors'
// code (liamcli/randomNAS_release, searchers/random_weight_share.py). Deviations: the selection is done once, not once
// for every 10,000 steps; all architectures are judged on the same examples, those that are drawn twice once; batch
// norms go by the batches at hand, not by running statistics, which all architectures trained.

#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <limits>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "uniform_paths.hpp"
#include "weft/plugin.hpp"
#include "weft/torch/loss.hpp"
#include "weft/torch/one_shot_search.hpp"

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
    must_not_exceed("finalists", finalists, "samples", samples);
    must_not_exceed("keep", keep, "finalists", finalists);
  }

 private:
  static void must_not_exceed(const std::string& name, std::size_t value, const std::string& limit, std::size_t most) {
    if (value <= most) return;
    throw weft::InvalidInput("/" + name + " is " + std::to_string(value) + "; must not exceed /" + limit + ", " +
                             std::to_string(most));
  }
};

struct Judged {
  weft::Genotype genotype;
  weft::SupernetPath path;
  weft::Score score;
};

// By accuracy, equals by loss, equals of that in the order they were drawn.
void sort_best_first(std::vector<Judged>& judged) {
  std::ranges::stable_sort(judged, [](const Judged& one, const Judged& other) {
    if (one.score.accuracy != other.score.accuracy) return one.score.accuracy > other.score.accuracy;
    return one.score.loss < other.score.loss;
  });
}

class RandomWeightSharing final : public weft::OneShot {
 public:
  explicit RandomWeightSharing(const weft::Context& context)
      : options_(context), search_(context, {"samples", "selection_examples", "finalists", "keep"}) {
    search_.expect_memory(largest());
  }

  weft::OneShotResult search(const weft::EvaluationRequest& request, const weft::Reporter& reporter) override {
    weft::Network network(search_.supernet(), request.rng.derive("weights"));
    network.to(search_.device());
    random_weight_sharing::UniformPaths guide(search_.space(), network);
    return search_.train(request, reporter, network, guide,
                         [&] { return selected(network, request.rng.derive("selection")); });
  }

 private:
  // Of some architectures, the one that takes the most memory in training.
  weft::Architecture largest() const {
    weft::Rng rng(0);
    const auto draw = [&] {
      return weft::restricted(search_.supernet(), search_.space().path(search_.space().sample(rng)));
    };
    weft::Architecture largest = draw();
    for (int others = 15; others > 0; --others) {
      weft::Architecture one = draw();
      if (one.cost().activation_bytes > largest.cost().activation_bytes) largest = std::move(one);
    }
    return largest;
  }

  std::vector<weft::Derived> selected(weft::Network& network, weft::Rng rng) const {
    const std::int64_t all = search_.structure_batches().examples();
    const std::int64_t part = options_.selection_examples > 0 ? std::min(options_.selection_examples, all) : all;
    std::vector<Judged> judged;
    std::set<weft::SupernetPath> known;
    for (std::size_t i = 0; i < options_.samples; ++i) {
      weft::Genotype genotype = search_.space().sample(rng);
      weft::SupernetPath path = search_.space().path(genotype);
      if (!known.insert(path).second) continue;
      const weft::Score score = score_of(network, path, part);
      judged.push_back({std::move(genotype), std::move(path), score});
    }
    sort_best_first(judged);
    judged.resize(std::min(judged.size(), options_.finalists));
    if (part < all) {
      for (Judged& finalist : judged) finalist.score = score_of(network, finalist.path, all);
      sort_best_first(judged);
    }
    judged.resize(std::min(judged.size(), options_.keep));
    std::vector<weft::Derived> derived;
    for (const Judged& one : judged) {
      derived.push_back(search_.derived(network, one.genotype));
      derived.back().metrics["selection_accuracy"] = one.score.accuracy;
      derived.back().metrics["selection_loss"] = one.score.loss;
    }
    return derived;
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
    weft::Score score = totals.score();
    if (!(score.loss < std::numeric_limits<double>::max())) score = {std::numeric_limits<double>::max(), 0.0};
    return score;
  }

  Options options_;
  weft::OneShotSearch search_;
};

}  // namespace

WEFT_PLUGIN(weft::component<RandomWeightSharing>("random_weight_sharing"))
