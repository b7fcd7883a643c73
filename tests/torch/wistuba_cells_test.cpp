// Random sequences of the morphs of wistuba_cells: the child, made of the parent's tensors and the transfer alone,
// computes what the parent did.
#include <ATen/ATen.h>
#include <ATen/core/ivalue.h>

#include <map>
#include <optional>
#include <string>

#include "tests/catch.hpp"
#include "weft/space.hpp"
#include "weft/testing/library.hpp"
#include "weft/torch/weight_transfer.hpp"

using namespace weft;

namespace {

const Json study = {{"task", {{"input", {3, 8, 8}}, {"classes", 5}}}};
const Json preserving = {"deepen", "deepen_separable", "widen", "enlarge_kernel", "branch", "skip"};

testing::Instance cells(const Json& morphs) {
  return testing::Instance(testing::Plugin::open("space", "wistuba_cells"),
                           {{"stages", 2},
                            {"cells", 2},
                            {"filters", 4},
                            {"max_channels", 24},
                            {"morphs", morphs},
                            {"kernels", {1, 3, 5}},
                            {"factors", {2, 3}},
                            {"calibrated", false},
                            {"noise", 0}},
                           {.study = study});
}

// In evaluation mode, with batch norms that do something.
Network evaluated(const Architecture& architecture, std::uint64_t seed, at::ScalarType type) {
  Network network(architecture, Rng(seed));
  network.to(type);
  network.eval();
  return network;
}
void disturb(Network& network) {
  const at::NoGradGuard no_grad;
  for (auto [name, tensor] : network.state()) {
    if (name.ends_with("running_var") || name.find("batch_norm") != std::string::npos) tensor.uniform_(0.5, 1.5);
  }
}

}  // namespace

TEST_CASE("wistuba_cells: mutations preserve the function of all cells together, in sequences, by the transfer alone") {
  const auto [type, tolerance] = GENERATE(table<at::ScalarType, double>({{at::kFloat, 1e-4}, {at::kDouble, 1e-9}}));
  const testing::Instance instance = cells(preserving);
  const SpaceRef space(instance.handle());
  const at::NoGradGuard no_grad;
  std::map<std::string, int> applied;
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    Rng rng(seed);
    Genotype genotype = space.parse("trivial");
    Network network = evaluated(space.decode(genotype).architecture, seed, type);
    at::manual_seed(seed);
    disturb(network);
    const at::Tensor images = at::randn({2, 3, 8, 8}, type);
    at::Tensor output = network.forward(images).logits;
    for (int step = 0; step < 8; ++step) {
      const std::optional<Json> morph = space.draw_morph(genotype, rng);
      REQUIRE(morph.has_value());
      const Morphisms::Child child = space.morph(genotype, *morph, rng);
      INFO("sequence " << seed << ", step " << step << ": " << morph->dump() << " of " << space.notation(genotype));
      const Json file = child.transfer.to_json();  // as it crosses the boundary
      const Architecture architecture = space.decode(child.genotype).architecture;
      Network next = evaluated(architecture, seed + 1, type);
      take_over(next, inherit(network.state(), WeightTransfer::from_json(file), rng.derive("noise")));
      const at::Tensor found = next.forward(images).logits;
      REQUIRE(((found - output).abs().max() / output.abs().max().clamp_min(1e-6)).item<double>() < tolerance);
      ++applied[morph->at("morph").get<std::string>()];
      genotype = child.genotype;
      network = std::move(next);
      output = found;
    }
  }
  for (const Json& name : preserving) {
    INFO(name);
    CHECK(applied[name.get<std::string>()] > 20);
  }
}

// The noise that makes copies differ is too small to be seen in the output.
TEST_CASE("wistuba_cells: widening with the default noise all but preserves the function") {
  const testing::Plugin plugin = testing::Plugin::open("space", "wistuba_cells");
  const testing::Instance instance(plugin, {{"filters", 8}, {"stages", 2}}, {.study = study});
  const SpaceRef space(instance.handle());
  const at::NoGradGuard no_grad;
  const Genotype genotype = space.parse("trivial");
  Network network = evaluated(space.decode(genotype).architecture, 1, at::kDouble);
  Rng rng(1);
  const Morphisms::Child child = space.morph(genotype, {{"morph", "widen"}, {"at", "conv2d 1"}, {"factor", 2}}, rng);
  Network wider = evaluated(space.decode(child.genotype).architecture, 2, at::kDouble);
  take_over(wider, inherit(network.state(), child.transfer, Rng(3)));
  const at::Tensor images = at::randn({2, 3, 8, 8}, at::kDouble);
  const at::Tensor before = network.forward(images).logits, after = wider.forward(images).logits;
  const double change = ((after - before).abs().max() / before.abs().max()).item<double>();
  CHECK(change > 0.0);
  CHECK(change < 1e-3);
  const at::Tensor weight = wider.state().at("stem/conv2d.weight");
  for (int copy = 8; copy < 16; ++copy) {
    for (int original = 0; original < 8; ++original) CHECK_FALSE(weight[copy].equal(weight[original]));
  }
}

// What separate() promises: kernels of which only the centre is not zero are taken apart without loss.
TEST_CASE("wistuba_cells: separating keeps what kernels have at their centre") {
  const testing::Instance instance = cells(Json::array({"separate"}));
  const SpaceRef space(instance.handle());
  const at::NoGradGuard no_grad;
  const Genotype genotype = space.parse("trivial");
  Network network = evaluated(space.decode(genotype).architecture, 1, at::kDouble);
  for (auto [name, tensor] : network.state()) {
    if (!name.ends_with("conv2d 1.weight")) continue;
    const at::Tensor centre = tensor.select(3, 1).select(2, 1).clone();
    tensor.zero_().select(3, 1).select(2, 1).copy_(centre);
  }
  Rng rng(1);
  const Morphisms::Child child = space.morph(genotype, {{"morph", "separate"}, {"at", "conv2d 1"}}, rng);
  Network separable = evaluated(space.decode(child.genotype).architecture, 2, at::kDouble);
  take_over(separable, inherit(network.state(), child.transfer, Rng(3)));
  const at::Tensor images = at::randn({2, 3, 8, 8}, at::kDouble);
  CHECK(at::allclose(network.forward(images).logits, separable.forward(images).logits, 1e-9, 1e-12));
}
