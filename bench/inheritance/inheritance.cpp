// What weights that are inherited save: random networks are trained for an epoch on a part of Fashion-MNIST, changed by
// two random morphs, and the child is trained for another epoch, with what it inherits and from scratch.
#include <ATen/ATen.h>
#include <ATen/core/ivalue.h>
#include <malloc.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "bench/recipe.hpp"
#include "weft/blocks.hpp"
#include "weft/morphs.hpp"
#include "weft/testing/library.hpp"
#include "weft/torch/dataset.hpp"
#include "weft/torch/training.hpp"
#include "weft/torch/weight_transfer.hpp"

namespace {

using weft::Json;
using weft::NodeId;
using weft::Rng;

constexpr int cases = 20, wanted = 18;
constexpr std::int64_t examples = 5000;

weft::Recipe recipe() {
  weft::Recipe recipe = weft::bench::recipe(64);
  recipe.update_rule = std::make_shared<weft::Sgd>(0.9, true);
  recipe.lr = 0.02;
  recipe.weight_decay = 1e-4;
  recipe.schedule = std::make_shared<weft::Cosine>();
  return recipe;
}

weft::Architecture random_network(Rng& rng) {
  weft::ArchitectureBuilder graph;
  NodeId x = graph.input(weft::Shape::image(1, 28, 28));
  for (int stage = 0; stage < 3; ++stage) {
    for (std::size_t layers = 1 + rng.below(2); layers > 0; --layers) {
      const auto channels = static_cast<std::int64_t>(8 + 4 * rng.below(3));
      x = rng.below(3) == 0 ? weft::blocks::relu_depthwise_pointwise_bn(graph, x, channels, 5, 1, 1)
                            : weft::blocks::conv_bn_relu(graph, x, weft::blocks::Convolution::square(channels, 3));
    }
    if (stage < 2) x = graph.add("max_pool", {{"kernel", 2}, {"stride", 2}}, {x});
  }
  return std::move(graph).build(weft::blocks::classifier(graph, x, 10));
}

struct Change {
  const char* name;
  std::function<weft::Morphed(const weft::Architecture&, NodeId, Rng&)> apply;
};

const std::vector<Change> changes = {
    {"widen",
     [](const weft::Architecture& graph, NodeId node, Rng& rng) {
       const auto channels = static_cast<std::size_t>(graph.shape(node).channels);
       weft::morphs::Indices indices(channels);
       for (std::size_t i = 0; i < channels; ++i) indices[i] = static_cast<std::int64_t>(i);
       for (int more = 0; more < 4; ++more) indices.push_back(static_cast<std::int64_t>(rng.below(channels)));
       return weft::morphs::widen(graph, node, indices, 0.01);
     }},
    {"zeros",
     [](const weft::Architecture& graph, NodeId node, Rng&) { return weft::morphs::widen_by_zeros(graph, node, 4); }},
    {"deepen", [](const weft::Architecture& graph, NodeId node, Rng&) { return weft::morphs::deepen(graph, node); }},
    {"kernel",
     [](const weft::Architecture& graph, NodeId node, Rng&) { return weft::morphs::enlarge_kernel(graph, node); }},
    {"skip",
     [](const weft::Architecture& graph, NodeId node, Rng& rng) {
       return weft::morphs::skip_by_concatenation(graph, static_cast<NodeId>(rng.below(graph.nodes().size())), node);
     }},
    {"twin", [](const weft::Architecture& graph, NodeId node, Rng&) { return weft::morphs::replicate(graph, node); }}};

weft::Morphed random_morph(const weft::Architecture& graph, Rng& rng, std::string& names) {
  for (;;) {
    const Change& change = changes[rng.below(changes.size())];
    try {
      weft::Morphed made = change.apply(graph, static_cast<NodeId>(rng.below(graph.nodes().size())), rng);
      names += std::string(names.empty() ? "" : ", ") + change.name;
      return made;
    } catch (const weft::NotApplicable&) {  // another one, then
    }
  }
}

double seconds(const std::function<void()>& body) {
  const auto begin = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

int main(int, char** arguments) {
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, -1);
  const auto plugin = weft::testing::Plugin::open(std::filesystem::path(arguments[1]));
  const weft::testing::Instance instance(plugin, {{"validation", 2000}});
  const auto* table =
      static_cast<const weft::DatasetTable*>(instance.handle().component->find_interface(WEFT_DATASET_1));
  const weft::Dataset& data = *table->get(instance.handle().instance);
  const auto first = [](const weft::Split& split, std::int64_t count) {
    return weft::Split{split.images.slice(0, 0, count), split.labels.slice(0, 0, count)};
  };
  const weft::TrainingData part{
      first(data.train(), examples), first(data.validation(), 2000), {data.mean(), data.standard_deviation()}};
  const auto loss = [&](weft::Network& network, std::uint64_t seed) {
    return weft::train(network, part, recipe(), Rng(seed), {}).curve.back().validation->loss;
  };
  std::printf("validation loss after an epoch of %lld images\n%6s%9s%11s%9s%12s  morphs\n",
              static_cast<long long>(examples), "case", "parent", "inherited", "scratch", "transfer");
  int better = 0;
  double worst_share = 0.0;
  for (std::uint64_t number = 1; number <= cases; ++number) {
    Rng rng(number);
    const weft::Architecture architecture = random_network(rng);
    weft::Network parent(architecture, rng.derive("parent"));
    const double of_parent = loss(parent, number);
    std::string names;
    weft::Morphed morphed = random_morph(architecture, rng, names);
    weft::Morphed again = random_morph(morphed.child, rng, names);
    weft::WeightTransfer transfer = morphed.transfer;
    transfer.steps.push_back(again.transfer.steps.front());

    weft::Network child(again.child, rng.derive("child")), scratch(again.child, rng.derive("child"));
    const double of_transfer =
        seconds([&] { take_over(child, inherit(parent.state(), transfer, rng.derive("noise"))); });
    double inherited = 0.0;
    const double of_training = seconds([&] { inherited = loss(child, number + cases); });
    const double from_scratch = loss(scratch, number + cases);
    better += inherited < from_scratch ? 1 : 0;
    worst_share = std::max(worst_share, of_transfer / of_training);
    std::printf("%6llu%9.3f%11.3f%9.3f%10.2f %%  %s\n", static_cast<unsigned long long>(number), of_parent, inherited,
                from_scratch, 100 * of_transfer / of_training, names.c_str());
    std::fflush(stdout);
  }
  std::printf(
      "below that from scratch in %d of %d, at least %d; a transfer costs %.2f %% of the child's epoch at most\n",
      better, cases, wanted, 100 * worst_share);
  return better >= wanted ? 0 : 1;
}
