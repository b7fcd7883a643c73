// Path dropout: how often a path is dropped, ghost batches, what a step leaves alone, and which architectures come out.

#include <ATen/ATen.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "plugins/oneshot/path_dropout/dropped_paths.hpp"
#include "tests/torch/one_shot.hpp"
#include "weft/torch/network.hpp"
#include "weft/torch/training.hpp"

using namespace weft;
using namespace weft::testing;
using path_dropout::DroppedPaths;
using path_dropout::Paths;

namespace {

Plugin plugin() { return Plugin::open("oneshot", "path_dropout"); }

Json few_samples(const Json& more = Json::object()) {
  Json args = short_search({{"samples", 12}, {"keep", 4}, {"ghost_batch_size", 5}, {"dropout", 0.1}});
  args.update(more);
  return args;
}

Recipe some_recipe() { return steady_recipe(2, 10); }

std::vector<Pass> passes_of(DroppedPaths& guide, std::int64_t examples, double elapsed, std::size_t index = 0) {
  const Batch batch{at::zeros({examples, 1, 8, 8}), at::zeros({examples}, at::kLong)};
  return guide.passes(
      {.epoch = 1, .index = index, .count = 10, .elapsed = elapsed, .pace = {.lr = 0.1}, .batch = batch});
}

SupernetPath path_of(const Pass& pass) {
  SupernetPath path;
  for (const auto& [decision, gate] : pass.gates) path[decision] = gate.active;
  return path;
}

}  // namespace

// Into the nodes of a NAS-Bench-201 cell go one, two and three edges, each with four operations besides none.
TEST_CASE("path_dropout: of k paths into a node all are dropped with probability r, each with r^(1/k)") {
  const SmallStudy study;
  const Architecture supernet = study.space().supernet();
  const std::vector<SupernetChoice> choices = choices_of(supernet);
  const Paths paths(supernet);
  CHECK(paths.count() == 24);
  CHECK(paths.rate("edge 0-1", 0.1) == Approx(0.5623413));
  CHECK(paths.rate("edge 0-2", 0.1) == Approx(0.7498942));
  CHECK(paths.rate("edge 1-2", 0.1) == Approx(0.7498942));
  CHECK(paths.rate("edge 2-3", 0.1) == Approx(0.8254042));
  CHECK(paths.rate("edge 2-3", 0.0) == 0.0);

  constexpr int draws = 20000;
  std::map<std::string, int> active;  // paths
  int none_of_last = 0, dropped = 0;
  Rng rng(7);
  for (int i = 0; i < draws; ++i) {
    const Paths::Drawn drawn = paths.draw(0.1, 1.0, rng);
    check_path(choices, drawn.active);
    std::size_t left = 0;
    for (const auto& [decision, options] : drawn.active) {
      const bool zeros = options == std::vector<int>{0};
      CHECK((zeros || options.front() > 0));
      active[decision] += zeros ? 0 : static_cast<int>(options.size());
      left += zeros ? 0 : options.size();
    }
    CHECK(drawn.dropped == 24 - left);
    dropped += static_cast<int>(drawn.dropped);
    const auto zero = [&](const char* edge) { return drawn.active.at(edge) == std::vector<int>{0}; };
    none_of_last += zero("edge 0-3") && zero("edge 1-3") && zero("edge 2-3") ? 1 : 0;
  }
  // Four standard deviations.
  CHECK(none_of_last / double(draws) == Approx(0.1).margin(0.0085));
  CHECK(active.at("edge 0-1") / (4.0 * draws) == Approx(1 - 0.5623413).margin(0.007));
  CHECK(active.at("edge 1-3") / (4.0 * draws) == Approx(1 - 0.8254042).margin(0.0054));
  CHECK(dropped / double(draws) == Approx(4 * 0.5623413 + 8 * 0.7498942 + 12 * 0.8254042).margin(0.06));

  int half = 0;
  for (int i = 0; i < draws; ++i) half += static_cast<int>(paths.draw(0.1, 0.5, rng).dropped);
  CHECK(half / double(draws) == Approx(0.5 * (4 * 0.5623413 + 8 * 0.7498942 + 12 * 0.8254042)).margin(0.07));
}

TEST_CASE("path_dropout: a decision without zeros keeps one of its paths, any") {
  ArchitectureBuilder graph;
  const NodeId x = graph.input(Shape::image(1, 4, 4));
  const NodeId a = graph.add("activation", {}, {x}), b = graph.add("avg_pool", {{"kernel", 1}}, {x});
  const NodeId choice = graph.add("choice", {{"decision", "d"}, {"options", {"a", "b"}}}, {a, b});
  const Paths paths(std::move(graph).build(choice));
  Rng rng(3);
  std::map<std::vector<int>, int> counts;
  for (int i = 0; i < 2000; ++i) {
    const Paths::Drawn drawn = paths.draw(0.9999, 1.0, rng);
    ++counts[drawn.active.at("d")];
    CHECK(drawn.dropped == 2 - drawn.active.at("d").size());
  }
  CHECK(counts.size() <= 3);
  CHECK(counts[{0}] > 900);
  CHECK(counts[{1}] > 900);
}

TEST_CASE("path_dropout: ghost batches share a batch out, each with paths of its own, dropped more and more") {
  const SmallStudy study;
  Network network(study.space().supernet(), Rng(3));
  const Recipe recipe = some_recipe();
  DroppedPaths guide(network, recipe, {.dropout = 0.1, .ghost_batch_size = 32});
  guide.begin_epoch(1, Rng(5));
  const auto sizes = [&](std::int64_t examples) {
    std::vector<std::int64_t> sizes;
    std::int64_t first = 0;
    double weight = 0.0;
    for (const Pass& pass : passes_of(guide, examples, 1.0)) {
      CHECK(pass.first == first);
      CHECK(pass.weight == Approx(pass.count / double(examples)));
      first += pass.count;
      weight += pass.weight;
      sizes.push_back(pass.count);
    }
    CHECK(weight == Approx(1.0));
    return sizes;
  };
  CHECK(sizes(64) == std::vector<std::int64_t>{32, 32});
  CHECK(sizes(70) == std::vector<std::int64_t>{32, 32, 6});
  CHECK(sizes(65) == std::vector<std::int64_t>{32, 33});
  CHECK(sizes(20) == std::vector<std::int64_t>{20});

  std::set<SupernetPath> masks;
  for (const Pass& pass : passes_of(guide, 1024, 1.9)) masks.insert(path_of(pass));
  CHECK(masks.size() > 28);
  const std::vector<Pass> at_first = passes_of(guide, 64, 0.0);
  for (const Pass& pass : at_first) {
    for (const auto& [decision, gate] : pass.gates) CHECK(gate.active == std::vector<int>{1, 2, 3, 4});
  }
  const SupernetPath once = path_of(passes_of(guide, 64, 1.9, 3).back());
  CHECK((path_of(passes_of(guide, 64, 1.9, 3).back()) == once));
  CHECK((path_of(passes_of(guide, 64, 1.9, 4).back()) != once));
}

TEST_CASE("path_dropout: a step leaves weights and momentum of what all its ghost batches dropped as they are") {
  const SmallStudy study;
  Network network(study.space().supernet(), Rng(3));
  at::manual_seed(1);
  const Split split{at::randint(0, 256, {60, 1, 8, 8}, at::kByte).contiguous(at::MemoryFormat::ChannelsLast),
                    at::randint(0, 4, {60}, at::kLong)};
  const Recipe recipe = some_recipe();
  Watched<DroppedPaths> guide(network, network, recipe, DroppedPaths::Options{.dropout = 0.5, .ghost_batch_size = 5});
  train(network, {split, {}, {{0.5}, {0.3}}}, recipe, Rng(5), {.guide = &guide});
  CHECK(guide.changed == 0);
  CHECK(guide.moved > 12 * 10);
  CHECK(guide.remembered > 12);
}

TEST_CASE("path_dropout derives the best of what it judged, best first") {
  const SmallStudy study;
  const auto search = [&](const Json& args) {
    const Instance instance(plugin(), few_samples(args), study.surroundings());
    evaluator_contract::Listener listener;
    const OneShotResult result =
        OneShotRef(instance.handle()).search({.trial = -1, .rng = Rng(73)}, listener.reporter());
    // 3 epochs of 6 steps: progress 0 to 17/18, on average that of the epoch's middle less half a step.
    for (std::size_t epoch = 0; epoch < 3; ++epoch) {
      const double progress = (static_cast<double>(6 * epoch) + 2.5) / 18.0;
      const double expected = progress * (4 * 0.5623413 + 8 * 0.7498942 + 12 * 0.8254042) / 24;
      CHECK(listener.reports.at(epoch).at("dropped_paths").get<double>() == Approx(expected).margin(0.07));
    }
    return result;
  };
  const OneShotResult all = search({{"keep", 12}});
  REQUIRE(all.derived.size() == 12);
  for (std::size_t i = 1; i < all.derived.size(); ++i) {
    const Json &better = all.derived[i - 1].metrics, &worse = all.derived[i].metrics;
    CHECK(better.at("selection_accuracy") >= worse.at("selection_accuracy"));
    if (better.at("selection_accuracy") == worse.at("selection_accuracy"))
      CHECK(better.at("selection_loss") <= worse.at("selection_loss"));
  }
  CHECK(all.derived.front().metrics.at("selection_accuracy") > all.derived.back().metrics.at("selection_accuracy"));
  const OneShotResult best = search({{"keep", 3}});
  REQUIRE(best.derived.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) CHECK(best.derived[i].to_json() == all.derived[i].to_json());
  CHECK_THROWS_WITH(search({{"keep", 13}}), ContainsSubstring("/keep is 13; must not exceed /samples, 12"));
}

TEST_CASE("path_dropout keeps the contract of one-shot strategies") {
  const SmallStudy one_option;
  check_oneshot(plugin(), few_samples(), one_option.surroundings());
  // Where several options of a decision make one architecture.
  const SmallStudy study("one_shot", {{"cells", 3}, {"filters", 2}, {"blocks", 2}});
  check_oneshot(plugin(), few_samples(), study.surroundings());
}
