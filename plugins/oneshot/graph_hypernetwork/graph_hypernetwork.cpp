// Graph hypernetworks: a graph neural network over an architecture generates all its weights; it is trained with a
// random architecture at every step, and architectures are ranked by the weights that it generates for them.
//
// Zhang, Ren, Urtasun 2019, "Graph HyperNetworks for Neural Architecture Search". Nothing is learned but the
// hypernetwork (hypernetwork.hpp): the loss reaches it through the weights that it generated. Afterwards random
// architectures are judged, and the best are derived.
//
// The network is the space's supernet. Its parameters hold what was generated for the architecture at hand; what they
// are given as gradients goes on into the hypernetwork. supernet.pt holds that, too: its parameters are those of the
// architecture that was looked at last, and shared_weights refuses the file. The graph is that of the whole
// architecture, so that cells are linked as they are in the network (the paper's stacked hypernetworks).
//
// Deviations: training draws from the space itself, not smaller graphs; scales of norms are generated as their
// difference from 1, without which a hypernetwork that has learned nothing makes networks of zeros; batch norms of what
// is judged go by the batches at hand.

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "hypernetwork.hpp"
#include "weft/plugin.hpp"
#include "weft/torch/one_shot_search.hpp"
#include "weft/torch/random_selection.hpp"
#include "weft/torch/training.hpp"
#include "weft/torch/updates.hpp"
#include "written_weights.hpp"

namespace {

using graph_hypernetwork::Hypernetwork;
using graph_hypernetwork::WrittenWeights;

class RandomArchitectures final : public weft::Guide {
 public:
  // All are referred to, and must live longer.
  RandomArchitectures(const weft::OneShotSearch& search, weft::Network& network, const Hypernetwork& hypernetwork)
      : search_(search),
        network_(network),
        weights_(network, hypernetwork),
        rule_(hypernetwork.parameters(), search.recipe()) {}

  void begin_epoch(int, const weft::Rng& rng) override { rng_ = rng; }

  std::vector<weft::Pass> passes(const weft::Step& step) override {
    rule_.zero_grad();
    weft::Rng rng = rng_.derive("architecture", step.index);
    drawn_ = search_.space().sample(rng);
    const weft::SupernetPath path = search_.space().path(drawn_);
    weights_.write(path);
    return {{.gates = weft::gates_of(path)}};
  }

  void after_pass(const weft::Step&, const weft::Pass&, const at::Tensor&) override { weights_.backward(); }

  // The network's parameters are not learned.
  std::vector<bool> moves(std::vector<bool> took_part) override { return std::vector<bool>(took_part.size()); }

  void after_step(const weft::Step& step) override { rule_.step(step.pace); }

  // The last architecture is validated, by the statistics of batches.
  void end_epoch(int) override {
    const at::NoGradGuard no_grad;
    weights_.write(search_.space().path(drawn_));
    network_.set_statistics(weft::Statistics::batch);
  }

  weft::Json report() override { return {{"architecture", search_.space().notation(drawn_)}}; }

  weft::NamedTensors state() override { return rule_.state(); }

 private:
  const weft::OneShotSearch& search_;
  weft::Network& network_;
  WrittenWeights weights_;
  weft::Updates rule_;  // of the hypernetwork
  weft::Rng rng_{0};    // the epoch's
  weft::Genotype drawn_;
};

class GraphHypernetwork final : public weft::OneShot {
 public:
  explicit GraphHypernetwork(const weft::Context& context)
      : options_{.state_size = context.get<std::int64_t>("state_size"),
                 .hidden_size = context.get<std::int64_t>("hidden_size"),
                 .propagations = context.get<int>("propagations"),
                 .tile_channels = context.get<std::int64_t>("tile_channels")},
        samples_(context.get<std::size_t>("samples")),
        keep_(context.get<std::size_t>("keep")),
        search_(context, {"state_size", "hidden_size", "propagations", "tile_channels", "samples", "keep"}) {
    weft::must_not_exceed("keep", keep_, "samples", samples_);
    search_.expect_memory_of_one();
  }

  weft::OneShotResult search(const weft::EvaluationRequest& request, const weft::Reporter& reporter) override {
    weft::Network network(search_.supernet(), request.rng.derive("weights"));
    const Hypernetwork hypernetwork(search_.supernet(), graph_hypernetwork::extents_of(network), options_,
                                    request.rng.derive("hypernetwork"));
    hypernetwork.join(network);
    network.to(search_.device());
    RandomArchitectures guide(search_, network, hypernetwork);
    return search_.train(request, reporter, network, guide,
                         [&] { return selected(network, hypernetwork, request.rng.derive("selection")); });
  }

 private:
  std::vector<weft::Derived> selected(weft::Network& network, const Hypernetwork& hypernetwork,
                                      const weft::Rng& rng) const {
    const at::NoGradGuard no_grad;
    WrittenWeights weights(network, hypernetwork);
    network.set_statistics(weft::Statistics::batch);
    std::vector<weft::Judged> judged =
        weft::judge_random(search_.space(), samples_, rng, [&](const weft::SupernetPath& path) {
          weights.write(path);
          network.choose(weft::gates_of(path));
          return weft::evaluate(network, search_.structure_batches(), search_.recipe().batch_size);
        });
    weft::keep_best(judged, keep_);
    std::vector<weft::Derived> derived;
    for (const weft::Judged& one : judged) {
      weights.write(one.path);
      derived.push_back(weft::derived_of(search_, network, {one}).front());
    }
    return derived;
  }

  graph_hypernetwork::Options options_;
  std::size_t samples_, keep_;
  weft::OneShotSearch search_;
};

}  // namespace

WEFT_PLUGIN(weft::component<GraphHypernetwork>("graph_hypernetwork"))
