// Morphs as spaces have them: sequences of those that preserve the function, by genotype and transfer alone.
//
// A space with morphisms has a line in `spaces`; those that only come near the parent's function are left out there.

#include <set>
#include <string>

#include "tests/catch.hpp"
#include "weft/space.hpp"
#include "weft/testing/library.hpp"
#include "weft/torch/weight_transfer.hpp"

using namespace weft;

namespace {

struct Preserving {
  std::string space;
  Json args;
  std::set<std::string> approximate = {};
  int length = 8;
};

const std::vector<Preserving> spaces = {
    {"graph",
     {{"start", "C(4,3) P(2) C(6,3) FC(5)"},
      {"max_channels", 24},
      {"calibrated", false},
      {"noise", 0},
      {"kernels", {3, 5}},
      {"morphs",
       {"deepen", "deepen_separable", "deepen_linear", "widen", "widen_by_zeros", "enlarge_kernel", "skip", "replicate",
        "split", "train_on"}}}},
    {"chain",
     {{"filters", {4, 6, 8}}, {"kernels", {1, 3, 5}}, {"neurons", {12, 8, 6}}, {"depth_limit", 9}, {"noise", 0}}},
};

}  // namespace

TEST_CASE("morphs of spaces preserve the function, in sequences") {
  const Preserving& tried = GENERATE(from_range(spaces));
  const auto [type, tolerance] = GENERATE(table<at::ScalarType, double>({{at::kFloat, 1e-4}, {at::kDouble, 1e-9}}));
  const Json study = {{"task", {{"input", {3, 12, 12}}, {"classes", 5}}}};
  const testing::Instance instance(testing::Plugin::open("space", tried.space), tried.args, {.study = study});
  const SpaceRef space(instance.handle());
  std::set<std::string> done;
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    Rng rng(seed);
    at::manual_seed(seed);
    const at::NoGradGuard no_grad;
    const at::Tensor images = at::randn({3, 3, 12, 12}, type);
    Genotype genotype = space.sample(rng);
    Network network(space.decode(genotype).architecture, Rng(seed));
    network.to(type);
    for (auto [name, tensor] : network.state()) {
      if (name.ends_with("running_var") || name.ends_with("running_mean")) tensor.uniform_(0.5, 1.5);
    }
    network.eval();
    at::Tensor output = network.forward(images).logits;
    for (int step = 0; step < tried.length; ++step) {
      const std::optional<Json> morph = space.draw_morph(genotype, rng);
      if (!morph) break;
      const std::string name = morph->at("morph");
      if (tried.approximate.contains(name)) continue;
      const Morphisms::Child child = space.morph(genotype, *morph, rng);
      INFO(tried.space << ", seed " << seed << ", step " << step << ": " << morph->dump() << " of " << space.notation(genotype));
      Network grown(space.decode(child.genotype).architecture, Rng(seed + 100));
      grown.to(type);
      take_over(grown, inherit(network.state(), child.transfer, rng.derive("noise")));
      grown.eval();
      const at::Tensor found = grown.forward(images).logits;
      REQUIRE(((found - output).abs().max() / output.abs().max().clamp_min(1e-3)).item<double>() < tolerance);
      done.insert(name);
      genotype = child.genotype;
      network = std::move(grown);
      output = found;
    }
  }
  CHECK(done.size() >= 3);
}

// Deeper by its defaults, a network computes in training what its parent did: its new batch norms are calibrated.
TEST_CASE("spaces deepen networks so that training goes on, too") {
  const std::string name = GENERATE("graph", "wistuba_cells");
  const Json study = {{"task", {{"input", {3, 12, 12}}, {"classes", 5}}}};
  const Json args = name == "graph" ? Json{{"start", "C(6,3) P(2) C(6,3)"}, {"morphs", {"deepen", "deepen_separable"}}}
                                    : Json{{"filters", 6}, {"stages", 2}, {"morphs", {"deepen", "deepen_separable"}}};
  const testing::Instance instance(testing::Plugin::open("space", name), args, {.study = study});
  const SpaceRef space(instance.handle());
  const Genotype parent = space.parse(name == "graph" ? "start" : "trivial");
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    Rng rng(seed);
    at::manual_seed(seed);
    const at::NoGradGuard no_grad;
    const at::Tensor images = at::randn({64, 3, 12, 12});
    Network network(space.decode(parent).architecture, Rng(seed));
    network.train();
    for (int step = 0; step < 80; ++step) network.forward(images);  // until the statistics are the batch's
    const at::Tensor output = network.forward(images).logits;
    const Json morph = space.draw_morph(parent, rng).value();
    INFO(name << ": " << morph.dump());
    const Morphisms::Child deeper = space.morph(parent, morph, rng);
    Network child(space.decode(deeper.genotype).architecture, Rng(seed + 1));
    const Inherited inherited = inherit(network.state(), deeper.transfer, rng.derive("noise"));
    take_over(child, inherited);
    REQUIRE_FALSE(inherited.calibrated.empty());
    calibrate(child, inherited.calibrated, images);
    child.train();
    const at::Tensor found = child.forward(images).logits;
    CHECK(((found - output).abs().max() / output.abs().max()).item<double>() < 0.05);
  }
}
