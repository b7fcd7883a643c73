// Random search with weight sharing: what is drawn, what a step leaves alone, and which architectures come out.

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "plugins/oneshot/random_weight_sharing/uniform_paths.hpp"
#include "tests/torch/one_shot.hpp"
#include "weft/torch/dataset.hpp"
#include "weft/torch/loss.hpp"
#include "weft/torch/network.hpp"
#include "weft/torch/training.hpp"

using namespace weft;
using namespace weft::testing;
using random_weight_sharing::UniformPaths;

namespace {

Plugin plugin() { return Plugin::open("oneshot", "random_weight_sharing"); }

Json few_samples(const Json& more = Json::object()) {
  Json args = short_search({{"samples", 12}, {"selection_examples", 20}, {"finalists", 6}, {"keep", 3}});
  args.update(more);
  return args;
}

OneShotResult search(const SmallStudy& study, const Json& args, std::optional<std::filesystem::path> folder = {}) {
  const Instance instance(plugin(), args, study.surroundings());
  evaluator_contract::Listener listener;
  EvaluationRequest request{.trial = -1, .rng = Rng(73)};
  request.folder = std::move(folder);
  return OneShotRef(instance.handle()).search(request, listener.reporter());
}

// The architectures of an epoch's steps, which are asked for in the order given.
std::vector<Genotype> drawn(UniformPaths& paths, const Rng& rng, std::vector<std::size_t> steps) {
  paths.begin_epoch(1, rng);
  const Batch batch;
  std::vector<Genotype> genotypes;
  for (const std::size_t step : steps) {
    paths.passes(
        {.epoch = 1, .index = step, .count = steps.size(), .elapsed = 0.0, .pace = {.lr = 0.1}, .batch = batch});
    genotypes.push_back(paths.drawn());
  }
  return genotypes;
}

}  // namespace

TEST_CASE("random_weight_sharing draws uniformly, by the epoch's stream alone") {
  const SmallStudy study;
  Network network(study.space().supernet(), Rng(3));
  UniformPaths paths(study.space(), network);
  std::vector<std::size_t> steps(3000);
  for (std::size_t i = 0; i < steps.size(); ++i) steps[i] = i;
  const std::vector<Genotype> genotypes = drawn(paths, Rng(9), steps);
  for (std::size_t edge = 0; edge < 6; ++edge) {
    std::map<std::int32_t, double> counts;
    for (const Genotype& genotype : genotypes) ++counts[genotype.decisions[edge]];
    double chi_squared = 0.0;
    for (std::int32_t operation = 0; operation < 5; ++operation)
      chi_squared += (counts[operation] - 600.0) * (counts[operation] - 600.0) / 600.0;
    CHECK(chi_squared < 18.5);  // 0.999 of the distribution with four degrees of freedom
  }

  UniformPaths others(study.space(), network);
  std::vector<Genotype> backwards = drawn(others, Rng(9), {4, 3, 2, 1, 0});
  std::reverse(backwards.begin(), backwards.end());
  CHECK(std::equal(backwards.begin(), backwards.end(), genotypes.begin()));
  CHECK((drawn(others, Rng(10), {0, 1, 2, 3, 4}) != backwards));
}

TEST_CASE("random_weight_sharing: a step leaves weights and momentum outside its architecture as they are") {
  const SmallStudy study;
  Network network(study.space().supernet(), Rng(3));
  at::manual_seed(1);
  const Split split{at::randint(0, 256, {60, 1, 8, 8}, at::kByte).contiguous(at::MemoryFormat::ChannelsLast),
                    at::randint(0, 4, {60}, at::kLong)};
  Watched<UniformPaths> guide(network, study.space(), network);
  train(network, {split, {}, {{0.5}, {0.3}}}, steady_recipe(2, 10), Rng(5), {.guide = &guide});
  CHECK(guide.changed == 0);
  CHECK(guide.moved > 12 * 10);
  CHECK(guide.remembered > 12);
}

TEST_CASE("random_weight_sharing derives the best of what it judged, best first") {
  const SmallStudy study;
  const OneShotResult all = search(
      study, few_samples({{"selection_examples", 0}, {"finalists", 12}, {"keep", 12}, {"structure_share", 0.25}}));
  REQUIRE(all.derived.size() == 12);
  std::set<std::string> distinct;
  for (std::size_t i = 0; i < all.derived.size(); ++i) {
    distinct.insert(all.derived[i].genotype.key());
    if (i == 0) continue;
    const Json &better = all.derived[i - 1].metrics, &worse = all.derived[i].metrics;
    CHECK(better.at("selection_accuracy") >= worse.at("selection_accuracy"));
    if (better.at("selection_accuracy") == worse.at("selection_accuracy"))
      CHECK(better.at("selection_loss") <= worse.at("selection_loss"));
  }
  CHECK(distinct.size() == 12);
  CHECK(all.derived.front().metrics.at("selection_accuracy") > all.derived.back().metrics.at("selection_accuracy"));

  const OneShotResult best =
      search(study, few_samples({{"selection_examples", 0}, {"finalists", 7}, {"structure_share", 0.25}}));
  REQUIRE(best.derived.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) CHECK(best.derived[i].to_json() == all.derived[i].to_json());
}

TEST_CASE("random_weight_sharing judges by the shared weights and the statistics of batches") {
  const SmallStudy study;
  const evaluator_contract::Folder folder;
  const OneShotResult result = search(study, few_samples({{"structure_share", 0}}), folder.path());
  Network network(study.space().supernet(), Rng(1));
  load_weights(network, folder.path() / "supernet.pt");
  network.eval();
  network.set_statistics(Statistics::batch);
  const weft_handle data = study.surroundings().collaborators.at("dataset");
  const Dataset& dataset =
      *static_cast<const DatasetTable*>(data.component->find_interface(WEFT_DATASET_1))->get(data.instance);
  const Batches validation(dataset.validation(), {dataset.mean(), dataset.standard_deviation()});
  for (const Derived& derived : result.derived) {
    const c10::InferenceMode inference;
    network.choose(gates_of(study.space().path(derived.genotype)));
    Totals totals(at::kCPU);
    for (const std::int64_t first : {0, 20}) {
      const Batch batch = validation.plain(first, 20);
      const at::Tensor logits = network.forward(batch.images).logits;
      totals.add(cross_entropy(logits, batch.labels, 0.0), logits, batch.labels);
    }
    CHECK(derived.metrics.at("selection_accuracy").get<double>() == Approx(totals.score().accuracy));
    CHECK(derived.metrics.at("selection_loss").get<double>() == Approx(totals.score().loss).epsilon(1e-4));
  }
}

TEST_CASE("random_weight_sharing: as many are judged on all examples as were on some, and kept as were judged") {
  const SmallStudy study;
  const auto opened = [&](const Json& args) { Instance(plugin(), few_samples(args), study.surroundings()); };
  CHECK_THROWS_WITH(opened({{"keep", 7}}), ContainsSubstring("/keep is 7; must not exceed /finalists, 6"));
  CHECK_THROWS_WITH(opened({{"finalists", 13}}), ContainsSubstring("/finalists is 13; must not exceed /samples, 12"));
}

TEST_CASE("random_weight_sharing keeps the contract of one-shot strategies") {
  const SmallStudy one_option;
  check_oneshot(plugin(), few_samples(), one_option.surroundings());
  // Where several options of a decision make one architecture.
  const SmallStudy study("one_shot", {{"cells", 3}, {"filters", 2}, {"blocks", 2}});
  check_oneshot(plugin(), few_samples(), study.surroundings());
}
