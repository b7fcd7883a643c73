// SMASH: a hypernetwork generates the weights of the network of every architecture, from its encoding; it is trained
// with a random architecture at every step, and architectures are ranked by the weights that it generates for them.
//
// Brock, Lim, Ritchie, Weston 2018, "SMASH: One-Shot Model Architecture Search through HyperNetworks"; what the paper
// leaves open is as in the authors' code (ajbrock/SMASH). Generated are the 1x1 convolutions of layers; all else is
// learned and shared. In the first half of the training blocks may spend more and more of their budget, and kernels
// grow. Afterwards random architectures are judged, then perturbations of the best, then a chain of perturbations of
// which each that is better is gone on with.
//
// It searches spaces of memory banks (weft/memory_banks.hpp), through their notation and encoding. The space needs no
// supernet: networks are made anew for each architecture (main_network.hpp), and supernet.pt holds the shared weights
// and the hypernetwork. Weights depend on the architecture, so that shared_weights has nothing to read there.
//
// Deviations: the noise is drawn anew at every step, but is the same whenever an architecture is judged; batch norms of
// what is judged go by its own batches, not by running statistics that all architectures shared; the encoding is cut
// after the last slot that is used; what it marks is in weft/memory_banks.hpp; the classifier is drawn orthogonal, too.

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "hypernetwork.hpp"
#include "main_network.hpp"
#include "weft/memory_banks.hpp"
#include "weft/plugin.hpp"
#include "weft/torch/one_shot_search.hpp"
#include "weft/torch/random_selection.hpp"
#include "weft/torch/training.hpp"
#include "weft/torch/updates.hpp"

namespace {

namespace memory = weft::memory_banks;
using weft::Json;

struct Options {
  double budget_start;
  int kernel_start;
  double growing_share;
  smash::Hypernetwork::Options hypernetwork;
  std::size_t samples, perturbations, chain_steps, keep;

  explicit Options(const weft::Context& context)
      : budget_start(context.get<double>("budget_start")),
        kernel_start(context.get<int>("kernel_start")),
        growing_share(context.get<double>("growing_share")),
        hypernetwork{.layers = context.get<std::vector<int>>("hypernetwork_layers"),
                     .growth = context.get<int>("hypernetwork_growth")},
        samples(context.get<std::size_t>("samples")),
        perturbations(context.get<std::size_t>("perturbations")),
        chain_steps(context.get<std::size_t>("chain_steps")),
        keep(context.get<std::size_t>("keep")) {
    weft::must_not_exceed("keep", keep, "samples", samples);
  }
};

memory::Network described(const weft::SpaceRef& space, const weft::Genotype& genotype) {
  return memory::Network::from_json(Json::parse(space.notation(genotype), nullptr, false));
}

memory::Geometry geometry_of(const weft::SpaceRef& space) {
  weft::Rng rng(0);
  try {
    return described(space, space.sample(rng)).geometry;
  } catch (const weft::InvalidInput& error) {
    throw weft::InvalidInput(
        std::string("the space's notation is not that of weft/memory_banks.hpp, as smash needs it; "
                    "take the space smash: ") +
        error.what());
  }
}

// The training loop's network: one operation, which has the shared weights.
struct MainNetwork {
  weft::Architecture graph;
  weft::OperationModules modules = weft::OperationModules::built_in();
  std::shared_ptr<smash::SharedWeights> shared = {};  // of the network that was made last

  MainNetwork(const memory::Geometry& geometry, const weft::Task& task) : graph(architecture(geometry, task)) {
    modules.add("memory_banks", [this, geometry](const weft::ModuleArguments& made) {
      return shared = std::make_shared<smash::SharedWeights>(geometry, made.inputs[0].channels,
                                                             made.node.shape.channels, made.rng);
    });
  }
  MainNetwork(const MainNetwork&) = delete;
  MainNetwork& operator=(const MainNetwork&) = delete;

 private:
  static weft::Architecture architecture(const memory::Geometry& geometry, const weft::Task& task) {
    weft::Operations operations = weft::Operations::built_in();
    operations.add({.name = "memory_banks",
                    .defaults = {{"geometry", nullptr}},
                    .infer = [&](Json&, weft::OperationRule::Shapes) { return weft::Shape::features(task.classes); },
                    .cost =
                        [&](const Json&, weft::OperationRule::Shapes inputs, const weft::Shape&) {
                          return weft::Cost{
                              .parameters = smash::SharedWeights::count(geometry, inputs[0].channels, task.classes)};
                        }});
    weft::ArchitectureBuilder builder(operations);
    const weft::NodeId image = builder.input(task.input);
    return std::move(builder).build(
        builder.add("memory_banks", {{"geometry", geometry.to_json()}}, {image}, "memory_banks"));
  }
};

class RandomArchitectures final : public weft::Guide {
 public:
  // All are referred to, and must live longer.
  RandomArchitectures(const weft::OneShotSearch& search, const memory::Geometry& geometry, const Options& options,
                      smash::SharedWeights& shared, const smash::Hypernetwork& hypernetwork)
      : search_(search),
        geometry_(geometry),
        options_(options),
        shared_(shared),
        hypernetwork_(hypernetwork),
        rule_(hypernetwork.parameters(), undecayed(search.recipe())) {}

  void begin_epoch(int, const weft::Rng& rng) override { rng_ = rng; }

  std::vector<weft::Pass> passes(const weft::Step& step) override {
    rule_.zero_grad();
    weft::Rng rng = rng_.derive("architecture", step.index);
    drawn_ = memory::draw(geometry_, limits(step.elapsed), rng);
    shared_.compute(network_of(drawn_, rng_.derive("noise", step.index)));
    return {weft::Pass{}};
  }

  void after_step(const weft::Step& step) override { rule_.step(step.pace); }

  // The last architecture is validated, by the statistics of batches.
  void end_epoch(int) override {
    const at::NoGradGuard no_grad;
    const std::shared_ptr<weft::Network> network = network_of(drawn_, rng_.derive("validation"));
    network->set_statistics(weft::Statistics::batch);
    shared_.compute(network);
  }

  Json report() override {
    std::size_t layers = 0;
    for (const memory::Block& block : drawn_.parts) layers += block.layers.size();
    return {{"layers", layers}, {"slots", drawn_.slots()}};
  }

  weft::NamedTensors state() override { return rule_.state(); }

  std::shared_ptr<weft::Network> network_of(const memory::Network& network, const weft::Rng& noise) const {
    const weft::Genotype genotype = search_.space().parse(network.to_json().dump());
    return smash::assembled(smash::without_norms(search_.space().decode(genotype).architecture),
                            shared_.of(network, hypernetwork_.weights(network, noise)));
  }

 private:
  static weft::Recipe undecayed(weft::Recipe recipe) {
    recipe.weight_decay = 0.0;
    return recipe;
  }

  memory::Draft::Limits limits(double elapsed) const {
    const double growing = options_.growing_share * search_.recipe().epochs;
    const double share = growing > 0.0 ? std::min(elapsed / growing, 1.0) : 1.0;
    const int largest = memory::kernels.back();
    return {.budget = options_.budget_start + (1.0 - options_.budget_start) * share,
            .kernel = options_.kernel_start + static_cast<int>((largest - options_.kernel_start) * share)};
  }

  const weft::OneShotSearch& search_;
  memory::Geometry geometry_;
  const Options& options_;
  smash::SharedWeights& shared_;
  const smash::Hypernetwork& hypernetwork_;
  weft::Updates rule_;  // of the hypernetwork
  weft::Rng rng_{0};    // the epoch's
  memory::Network drawn_;
};

// Architectures that were judged by their generated weights.
class Ranking {
 public:
  Ranking(const weft::OneShotSearch& search, const RandomArchitectures& guide, const weft::Rng& rng)
      : search_(search), guide_(guide), rng_(rng) {}

  std::shared_ptr<weft::Network> network_of(const weft::Genotype& genotype) const {
    const at::NoGradGuard no_grad;
    return guide_.network_of(described(search_.space(), genotype), rng_.derive(genotype.key()));
  }

  // Nothing happens where it was judged before.
  void judge(const weft::Genotype& genotype) {
    if (!known_.insert(genotype.key()).second) return;
    const std::shared_ptr<weft::Network> network = network_of(genotype);
    network->set_statistics(weft::Statistics::batch);
    const weft::Score score = weft::evaluate(*network, search_.structure_batches(), search_.recipe().batch_size);
    judged_.push_back({genotype, {}, weft::comparable(score)});
  }

  const weft::Judged& best() const {
    return *std::ranges::max_element(judged_, {}, [](const weft::Judged& one) { return one.score.accuracy; });
  }
  const weft::Judged& last() const { return judged_.back(); }
  std::size_t size() const { return judged_.size(); }
  std::vector<weft::Judged> best(std::size_t most) const {
    std::vector<weft::Judged> judged = judged_;
    weft::keep_best(judged, most);
    return judged;
  }

 private:
  const weft::OneShotSearch& search_;
  const RandomArchitectures& guide_;
  weft::Rng rng_;
  std::set<std::string> known_;
  std::vector<weft::Judged> judged_;
};

class Smash final : public weft::OneShot {
 public:
  explicit Smash(const weft::Context& context)
      : options_(context),
        geometry_(geometry_of(context.space())),
        main_(geometry_, weft::dataset(context).task()),
        search_(context,
                {"budget_start", "kernel_start", "growing_share", "hypernetwork_layers", "hypernetwork_growth",
                 "samples", "perturbations", "chain_steps", "keep"},
                main_.graph) {
    search_.expect_memory(largest_of_some());
  }

  weft::OneShotResult search(const weft::EvaluationRequest& request, const weft::Reporter& reporter) override {
    weft::Network network(search_.supernet(), request.rng.derive("weights"), main_.modules);
    const smash::Hypernetwork hypernetwork(geometry_, options_.hypernetwork, request.rng.derive("hypernetwork"));
    hypernetwork.join(*main_.shared);
    network.to(search_.device());
    RandomArchitectures guide(search_, geometry_, options_, *main_.shared, hypernetwork);
    return search_.train(request, reporter, network, guide,
                         [&] { return selected(guide, request.rng.derive("selection")); });
  }

 private:
  weft::Architecture largest_of_some() const {
    weft::Rng rng(0);
    const auto draw = [&] { return search_.space().decode(search_.space().sample(rng)).architecture; };
    weft::Architecture largest = draw();
    for (int others = 15; others > 0; --others) {
      weft::Architecture one = draw();
      if (one.cost().activation_bytes > largest.cost().activation_bytes) largest = std::move(one);
    }
    return largest;
  }

  // Random ones, neighbours of the best, and a chain of neighbours that starts at the best and moves to the better.
  std::vector<weft::Derived> selected(const RandomArchitectures& guide, weft::Rng rng) const {
    Ranking ranking(search_, guide, rng.derive("weights"));
    const weft::SpaceRef& space = search_.space();
    for (std::size_t i = 0; i < options_.samples; ++i) ranking.judge(space.sample(rng));
    const weft::Genotype best = ranking.best().genotype;
    for (std::size_t i = 0; i < options_.perturbations; ++i) ranking.judge(space.mutate(best, rng));
    weft::Judged present = ranking.best();
    for (std::size_t i = 0; i < options_.chain_steps; ++i) {
      const std::size_t before = ranking.size();
      ranking.judge(space.mutate(present.genotype, rng));
      const bool better = ranking.size() > before && ranking.last().score.accuracy > present.score.accuracy;
      if (better) present = ranking.last();
    }
    std::vector<weft::Derived> derived;
    for (const weft::Judged& one : ranking.best(options_.keep)) {
      const weft::Score score = search_.judge(*ranking.network_of(one.genotype));
      derived.push_back({one.genotype,
                         {{"one_shot_accuracy", score.accuracy},
                          {"one_shot_loss", score.loss},
                          {"selection_accuracy", one.score.accuracy},
                          {"selection_loss", one.score.loss}}});
    }
    return derived;
  }

  Options options_;
  memory::Geometry geometry_;
  MainNetwork main_;
  weft::OneShotSearch search_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Smash>("smash"))
