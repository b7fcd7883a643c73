// SMASH: what the hypernetwork generates and where it goes, its gradient by finite differences, and which architectures
// come out.

#include <ATen/ATen.h>

#include <array>
#include <cmath>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "plugins/oneshot/smash/hypernetwork.hpp"
#include "plugins/oneshot/smash/main_network.hpp"
#include "tests/torch/one_shot.hpp"
#include "tests/torch/slope.hpp"
#include "weft/memory_banks.hpp"
#include "weft/torch/network.hpp"

using namespace weft;
using namespace weft::testing;
namespace memory = weft::memory_banks;

namespace {

const memory::Geometry small = {.depth = 1, .width = 1, .bank = 4, .largest_bank = 8, .compression = 2, .groups = 4};
const Json small_args = {{"depth", 1},        {"width", 1},       {"bank", 4},
                         {"largest_bank", 8}, {"compression", 2}, {"groups", 4}};

Json few(const Json& more = Json::object()) {
  Json args = short_search({{"hypernetwork_layers", {2, 2}},
                            {"hypernetwork_growth", 4},
                            {"samples", 6},
                            {"perturbations", 4},
                            {"chain_steps", 4},
                            {"keep", 3},
                            {"structure_share", 0.25}});
  args.update(more);
  return args;
}

memory::Network drawn(std::uint64_t seed) {
  Rng rng(seed);
  return memory::draw(small, {}, rng);
}

smash::Hypernetwork small_hypernetwork(at::ScalarType type) {
  smash::Hypernetwork hypernetwork(small, {.layers = {1, 2}, .growth = 3}, Rng(4));
  hypernetwork.to(type);
  return hypernetwork;
}

}  // namespace

TEST_CASE("smash: kernels are drawn with orthogonal rows or columns of length 1") {
  const at::Tensor wide = smash::orthogonal({4, 3, 3, 3}, Rng(1)).flatten(1);
  CHECK(at::allclose(wide.mm(wide.t()), at::eye(4), 0, 1e-5));
  const at::Tensor tall = smash::orthogonal({9, 4, 1, 1}, Rng(1)).flatten(1);
  CHECK(at::allclose(tall.t().mm(tall), at::eye(4), 0, 1e-5));
}

TEST_CASE("smash: the hypernetwork's kernels, and which of its outputs is which weight") {
  const smash::Hypernetwork paper(memory::Geometry{}, {}, Rng(2));
  const std::vector<at::Tensor>& kernels = paper.parameters();
  REQUIRE(kernels.size() == 1 + 8 + 1 + 10 + 1 + 4 + 1);
  CHECK(kernels[0].sizes() == at::IntArrayRef({7, 144, 3, 3}));
  CHECK(kernels[1].sizes() == at::IntArrayRef({10, 151, 3, 3}));
  CHECK(kernels[9].sizes() == at::IntArrayRef({115, 231, 3, 3}));
  CHECK(kernels[20].sizes() == at::IntArrayRef({107, 215, 3, 3}));
  CHECK(kernels[25].sizes() == at::IntArrayRef({256, 147, 1, 1}));

  // A hypernetwork without hidden layers but the first: channel (i, j) of unit u in slot t is the weight of input
  // j of the slot to output i of the unit.
  const smash::Hypernetwork hypernetwork(small, {.layers = {1}, .growth = 1}, Rng(3));
  const std::int64_t channels = memory::encoding_channels(small), slots = 3;
  const at::Tensor encoding = at::rand({channels, 2, slots}), noise = at::rand({1, 2, slots});
  const at::NoGradGuard no_grad;
  const at::Tensor generated = hypernetwork(encoding, noise);
  REQUIRE(generated.sizes() == at::IntArrayRef({slots * 2 * 4, 2 * 4}));
  const std::vector<at::Tensor>& k = hypernetwork.parameters();
  const auto layer = [&](const at::Tensor& x, std::size_t i) {
    return at::conv2d(x, k[i] / k[i].square().sum().sqrt(), {}, 1, k[i].size(2) / 2);
  };
  at::Tensor x = at::cat({noise, encoding}).unsqueeze(0);
  x = at::cat({x, layer(x, 0)}, 1);
  x = at::cat({x, layer(at::where(x > 0, x, 0.02 * x), 1)}, 1);
  x = layer(at::where(x > 0, x, 0.02 * x), 2)[0];
  for (const auto& [i, j, unit, slot] : {std::array{0, 0, 0, 0}, std::array{3, 5, 1, 2}, std::array{1, 7, 0, 1}}) {
    CHECK(generated[slot * 8 + j][unit * 4 + i].item<double>() ==
          Approx(x[i * 8 + j][unit][slot].item<double>()).epsilon(1e-4));
  }
}

TEST_CASE("smash: an architecture has the same weights again, another noise or architecture others") {
  const smash::Hypernetwork hypernetwork = small_hypernetwork(at::kFloat);
  const at::NoGradGuard no_grad;
  const memory::Network network = drawn(1);
  const auto first = hypernetwork.weights(network, Rng(5)), again = hypernetwork.weights(network, Rng(5)),
             noisy = hypernetwork.weights(network, Rng(6));
  for (std::size_t b = 0; b < first.size(); ++b) {
    REQUIRE(first[b].size() == network.parts[b].layers.size());
    for (std::size_t l = 0; l < first[b].size(); ++l) {
      const memory::Layer& layer = network.parts[b].layers[l];
      const int block = static_cast<int>(b);
      CHECK(first[b][l].sizes() ==
            at::IntArrayRef({network.mixed_channels(block, layer), network.read_channels(block, layer), 1, 1}));
      CHECK(first[b][l].norm().item<double>() == Approx(1.0));
      CHECK(at::equal(first[b][l], again[b][l]));
      CHECK(!at::equal(first[b][l], noisy[b][l]));
    }
  }
  memory::Network other = network;
  memory::Convolution& changed = *other.parts[0].layers[0].convolved[0];
  changed.groups = changed.groups == 1 ? 2 : 1;
  CHECK(!at::equal(hypernetwork.weights(other, Rng(5))[0][0], first[0][0]));
}

// Of the training loss of an architecture, through its network, to kernels of the hypernetwork and to shared weights.
TEST_CASE("smash: the gradient of generated and of shared weights, by finite differences") {
  const SmallStudy study("smash", small_args);
  const smash::Hypernetwork hypernetwork = small_hypernetwork(at::kDouble);
  smash::SharedWeights shared(small, 1, 4, Rng(6));
  shared.to(at::kDouble);
  const memory::Network network = drawn(3);
  const Architecture graph =
      smash::without_norms(study.space().decode(study.space().parse(network.to_json().dump())).architecture);
  at::manual_seed(7);
  const at::Tensor images = at::randn({4, 1, 8, 8}, at::kDouble), target = at::randn({4, 4}, at::kDouble);
  const auto loss = [&] {
    const auto made = smash::assembled(graph, shared.of(network, hypernetwork.weights(network, Rng(8))));
    return (made->forward(images).logits - target).square().mean();
  };
  loss().backward();
  const auto check = [&](const at::Tensor& leaf, std::int64_t entry) {
    const at::NoGradGuard no_grad;
    const double found = leaf.grad().flatten()[entry].item<double>();
    CHECK(slope(
              leaf, entry, [&] { return loss().item<double>(); }, 1e-6) == Approx(found).margin(1e-7).epsilon(1e-4));
    return found;
  };
  // Where the gradient is largest.
  const auto check_largest = [&](const at::Tensor& leaf) {
    REQUIRE(leaf.grad().defined());
    CHECK(std::abs(check(leaf, leaf.grad().flatten().abs().argmax().item<std::int64_t>())) > 1e-6);
  };
  for (const at::Tensor& kernel : hypernetwork.parameters()) check_largest(kernel);
  for (const auto& parameter : shared.named_parameters()) {
    if (parameter.value().grad().defined()) check_largest(parameter.value());
  }
}

TEST_CASE("smash: what an architecture takes of the shared weights") {
  const SmallStudy study("smash", small_args);
  memory::Network network = drawn(3);
  smash::SharedWeights shared(small, 1, 4, Rng(6));
  std::int64_t count = 0;
  for (const at::Tensor& parameter : shared.parameters()) count += parameter.numel();
  CHECK(smash::SharedWeights::count(small, 1, 4) == count);
  memory::Layer& layer = network.parts[0].layers[0];
  layer.convolved[0] = {5, 3, 1, 1, 2};
  const smash::Hypernetwork hypernetwork = small_hypernetwork(at::kFloat);
  const at::NoGradGuard no_grad;
  const NamedTensors values = shared.of(network, hypernetwork.weights(network, Rng(8)));
  const at::Tensor kernel = values.at("block 1/layer 1/convolution 1.weight");
  const std::int64_t mixed = network.mixed_channels(0, layer);
  REQUIRE(kernel.sizes() == at::IntArrayRef({layer.units * 4, mixed / 2, 5, 3}));
  const at::Tensor all = shared.named_parameters()["block_1_convolution_1"];
  CHECK(at::equal(kernel, all.slice(0, 0, layer.units * 4).slice(1, 0, mixed / 2).slice(2, 1, 6).slice(3, 2, 5)));
  // No norms but those of transitions and the classifier, and all that is left has its weights.
  const Architecture graph =
      smash::without_norms(study.space().decode(study.space().parse(network.to_json().dump())).architecture);
  std::size_t norms = 0;
  for (const Node& node : graph.nodes()) norms += node.operation == "batch_norm" ? 1 : 0;
  CHECK(norms == 3);
  const auto made = smash::assembled(graph, values);
  CHECK(made->named_parameters().size() == values.size());
  for (const auto& parameter : made->named_parameters())
    CHECK(at::equal(parameter.value(), values.at(parameter.key())));
}

TEST_CASE("smash derives the best of what it judged, best first, and leaves the hypernetwork with the shared weights") {
  const SmallStudy study("smash", small_args);
  const evaluator_contract::Folder folder;
  evaluator_contract::Listener listener;
  const Instance instance(Plugin::open("oneshot", "smash"), few(), study.surroundings());
  EvaluationRequest request{.trial = -1, .rng = Rng(73)};
  request.folder = folder.path();
  const OneShotResult result = OneShotRef(instance.handle()).search(request, listener.reporter());
  REQUIRE(result.derived.size() == 3);
  std::set<std::string> distinct;
  for (std::size_t i = 0; i < result.derived.size(); ++i) {
    distinct.insert(result.derived[i].genotype.key());
    if (i > 0) {
      CHECK(result.derived[i - 1].metrics.at("selection_accuracy") >=
            result.derived[i].metrics.at("selection_accuracy"));
    }
  }
  CHECK(distinct.size() == 3);
  const auto weights = read_weights(folder.path() / "supernet.pt");
  CHECK(weights.contains("memory_banks.stem"));
  CHECK(weights.contains("memory_banks.hypernetwork_kernel_1"));
}

TEST_CASE("smash: spaces without memory banks are refused, and more to keep than are judged") {
  const SmallStudy other;
  CHECK_THROWS_WITH(Instance(Plugin::open("oneshot", "smash"), few(), other.surroundings()),
                    ContainsSubstring("the space's notation is not that of"));
  const SmallStudy study("smash", small_args);
  CHECK_THROWS_WITH(Instance(Plugin::open("oneshot", "smash"), few({{"keep", 7}}), study.surroundings()),
                    ContainsSubstring("/keep is 7; must not exceed /samples, 6"));
}

TEST_CASE("smash keeps the contract of one-shot strategies") {
  const SmallStudy study("smash", small_args);
  check_oneshot(Plugin::open("oneshot", "smash"), few(), study.surroundings());
}
