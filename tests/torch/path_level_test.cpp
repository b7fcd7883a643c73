// The morphs of the space path_level: the child, made of the parent's tensors and the transfer alone, computes what the
// parent did.
#include <ATen/ATen.h>
#include <ATen/core/ivalue.h>

#include <map>
#include <string>

#include "tests/catch.hpp"
#include "weft/space.hpp"
#include "weft/testing/library.hpp"
#include "weft/torch/weight_transfer.hpp"

using namespace weft;

namespace {

// An uneven split in every tree.
testing::Instance opened() {
  return {testing::Plugin::open("space", "path_level"),
          {{"growth", 6}, {"stages", 2}, {"layers", 2}, {"bottleneck", 1}, {"noise", 0}, {"calibrated", false}},
          {.study = {{"task", {{"input", {3, 8, 8}}, {"classes", 5}}}}}};
}

Network network_of(const SpaceRef& space, const Genotype& genotype, at::ScalarType type) {
  Network network(space.decode(genotype).architecture, Rng(1));
  network.to(type);
  network.eval();
  return network;
}

// Batch norms that do something.
void disturb(Network& network) {
  const at::NoGradGuard no_grad;
  for (auto [name, tensor] : network.state()) {
    if (name.find("batch_norm") != std::string::npos) tensor.uniform_(0.5, 1.5);
  }
}

Network child_of(const Network& parent, const SpaceRef& space, const Morphisms::Child& morphed, at::ScalarType type) {
  Network child = network_of(space, morphed.genotype, type);
  take_over(child, inherit(parent.state(), WeightTransfer::from_json(morphed.transfer.to_json()), Rng(1)));
  return child;
}

double change(const at::Tensor& before, const at::Tensor& after) {
  return ((after - before).abs().max() / before.abs().max().clamp_min(1e-6)).item<double>();
}

bool is_pooling(const Json& morph) { return morph.value("operation", "").ends_with("_pool_3x3"); }

}  // namespace

TEST_CASE("path_level: sequences of morphs preserve the function but for poolings, by the transfer alone") {
  const auto [type, tolerance] = GENERATE(table<at::ScalarType, double>({{at::kFloat, 1e-4}, {at::kDouble, 1e-9}}));
  const at::NoGradGuard no_grad;
  const testing::Instance instance = opened();
  const SpaceRef space(instance.handle());
  std::map<std::string, int> applied;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Rng rng(seed);
    at::manual_seed(seed);
    Genotype genotype = space.parse("start");
    Network network = network_of(space, genotype, type);
    disturb(network);
    const at::Tensor images = at::randn({3, 3, 8, 8}, type);
    const at::Tensor output = network.forward(images).logits;
    for (int step = 0; step < 12; ++step) {
      const std::optional<Json> morph = space.draw_morph(genotype, rng);
      if (!morph) break;
      const Morphisms::Child morphed = space.morph(genotype, *morph, rng);
      Network child = child_of(network, space, morphed, type);
      if (is_pooling(*morph)) {
        CHECK(change(output, child.forward(images).logits) > tolerance);  // near, but not the same
        continue;
      }
      INFO("seed " << seed << ", step " << step << ": " << morph->dump());
      REQUIRE(change(output, child.forward(images).logits) < tolerance);
      ++applied[morph->at("morph").get<std::string>() + morph->value("operation", morph->value("merge", ""))];
      genotype = morphed.genotype;
      network = std::move(child);
    }
  }
  CHECK(applied.size() == 2 + 4 + 1);
}

TEST_CASE("path_level: branches and nodes of identities change nothing in training either") {
  const at::NoGradGuard no_grad;
  const testing::Instance instance = opened();
  const SpaceRef space(instance.handle());
  Rng rng(1);
  const at::Tensor images = at::randn({3, 3, 8, 8}, at::kDouble);
  const Genotype start = space.parse("conv_1x1 > identity");
  for (const Json& morph : space.morphs(start)) {
    if (morph.contains("operation")) continue;
    INFO(morph.dump());
    Network network = network_of(space, start, at::kDouble);
    Network child = child_of(network, space, space.morph(start, morph, rng), at::kDouble);
    network.train();
    child.train();
    CHECK(change(network.forward(images).logits, child.forward(images).logits) < 1e-9);
  }
}
