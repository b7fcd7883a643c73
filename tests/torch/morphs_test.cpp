// Morphs of random graphs: the child, made of the parent's tensors and the transfer alone, computes what the parent
// did.
#include "weft/morphs.hpp"

#include <ATen/ATen.h>
#include <ATen/core/ivalue.h>

#include <functional>

#include "tests/catch.hpp"
#include "weft/blocks.hpp"
#include "weft/torch/weight_transfer.hpp"

using namespace weft;

namespace {

std::int64_t between(Rng& rng, std::int64_t least, std::int64_t most) {
  return least + static_cast<std::int64_t>(rng.below(static_cast<std::size_t>(most - least + 1)));
}

// Convolutions of all kinds, sums, concatenations, and values that several read; a linear layer or two behind a pooling
// or what is flattened.
Architecture random_graph(Rng& rng) {
  ArchitectureBuilder graph;
  std::vector<NodeId> values = {graph.input(Shape::image(3, 6, 6))};
  const auto any = [&] { return values[rng.below(values.size())]; };
  for (std::int64_t left = between(rng, 2, 7); left > 0; --left) {
    const NodeId x = any();
    const std::int64_t channels = graph.shape(x).channels;
    NodeId made = x;
    switch (rng.below(6)) {
      case 0:
        made = blocks::conv_bn_relu(graph, x, blocks::Convolution::square(between(rng, 2, 5), 3));
        break;
      case 1:
        made = blocks::convolution(graph, x, {.channels = between(rng, 2, 5), .kernel_width = 3, .bias = true});
        break;
      case 2:
        made = blocks::relu_depthwise_pointwise_bn(graph, x, between(rng, 2, 5), 3, 1, 2);
        break;
      case 3:
        made = blocks::pool(graph, x, rng.below(2) == 0 ? "max_pool" : "avg_pool", 3);
        break;
      case 4: {
        const NodeId y = any();
        made = graph.add("concat", {}, {x, y});
        break;
      }
      default: {
        const NodeId twin = blocks::conv_bn(graph, any(), blocks::Convolution::square(channels, 1));
        made = graph.add("add", {}, {x, twin});
      }
    }
    values.push_back(made);
  }
  NodeId last = graph.add(rng.below(2) == 0 ? "flatten" : "global_avg_pool", {}, {values.back()});
  if (rng.below(2) == 0) last = blocks::relu(graph, graph.add("linear", {{"features", 4}}, {last}));
  return std::move(graph).build(graph.add("linear", {{"features", 3}}, {last}));
}

Network evaluated(const Architecture& architecture, std::uint64_t seed, at::ScalarType type) {
  Network network(architecture, Rng(seed));
  network.to(type);
  network.eval();
  return network;
}

// Batch norms that do something.
void disturb(Network& network) {
  const at::NoGradGuard no_grad;
  for (auto [name, tensor] : network.state()) {
    if (name.ends_with("running_var") || name.find("batch_norm") != std::string::npos) tensor.uniform_(0.5, 1.5);
  }
}

struct Change {
  const char* name;
  std::function<Morphed(const Architecture&, Rng&)> apply;
};

NodeId any_node(const Architecture& graph, Rng& rng) { return static_cast<NodeId>(rng.below(graph.nodes().size())); }

morphs::Indices repeats(const Architecture& graph, NodeId layer, Rng& rng) {
  const std::int64_t channels = graph.shape(layer).channels;
  morphs::Indices indices(static_cast<std::size_t>(channels));
  for (std::size_t i = 0; i < indices.size(); ++i) indices[i] = static_cast<std::int64_t>(i);
  for (std::int64_t more = between(rng, 1, 3); more > 0; --more) indices.push_back(between(rng, 0, channels - 1));
  return indices;
}

const std::vector<Change> preserving = {
    {"widen",
     [](const Architecture& graph, Rng& rng) {
       const NodeId layer = any_node(graph, rng);
       return morphs::widen(graph, layer, repeats(graph, layer, rng));
     }},
    {"widen_by_zeros",
     [](const Architecture& graph, Rng& rng) {
       return morphs::widen_by_zeros(graph, any_node(graph, rng), between(rng, 1, 3));
     }},
    {"deepen",
     [](const Architecture& graph, Rng& rng) {
       return morphs::deepen(graph, any_node(graph, rng), {.kernel = 1 + 2 * between(rng, 0, 2)});
     }},
    {"deepen, separable", [](const Architecture& graph,
                             Rng& rng) { return morphs::deepen(graph, any_node(graph, rng), {.separable = true}); }},
    {"deepen_linear",
     [](const Architecture& graph, Rng& rng) { return morphs::deepen_linear(graph, any_node(graph, rng)); }},
    {"enlarge_kernel",
     [](const Architecture& graph, Rng& rng) { return morphs::enlarge_kernel(graph, any_node(graph, rng)); }},
    {"skip_by_addition",
     [](const Architecture& graph, Rng& rng) {
       const NodeId from = any_node(graph, rng);
       return morphs::skip_by_addition(graph, from, any_node(graph, rng));
     }},
    {"skip_by_concatenation",
     [](const Architecture& graph, Rng& rng) {
       const NodeId from = any_node(graph, rng);
       return morphs::skip_by_concatenation(graph, from, any_node(graph, rng));
     }},
    {"replicate", [](const Architecture& graph, Rng& rng) { return morphs::replicate(graph, any_node(graph, rng)); }},
    {"split",
     [](const Architecture& graph, Rng& rng) {
       const NodeId layer = any_node(graph, rng);
       return morphs::split(graph, layer, std::max<std::int64_t>(1, graph.shape(layer).channels / 2));
     }},
};

const std::vector<Change> approximate = {
    {"prune",
     [](const Architecture& graph, Rng& rng) {
       const NodeId layer = any_node(graph, rng);
       morphs::Indices kept;
       for (std::int64_t c = graph.shape(layer).channels; c-- > 0;) {
         if (kept.empty() || rng.below(3) > 0) kept.push_back(c);
       }
       return morphs::prune(graph, layer, kept);
     }},
    {"prune_by_norm",
     [](const Architecture& graph, Rng& rng) {
       const NodeId layer = any_node(graph, rng);
       return morphs::prune_by_norm(graph, layer, std::max<std::int64_t>(1, graph.shape(layer).channels - 1));
     }},
    {"remove_layer",
     [](const Architecture& graph, Rng& rng) { return morphs::remove_layer(graph, any_node(graph, rng)); }},
    {"remove_skip", [](const Architecture& graph,
                       Rng& rng) { return morphs::remove_skip(graph, any_node(graph, rng), rng.below(2)); }},
};

// Nothing where the morph says that it cannot be done, or that its argument is none.
std::optional<Morphed> morphed(const Change& change, const Architecture& graph, Rng& rng) {
  try {
    return change.apply(graph, rng);
  } catch (const NotApplicable&) {
    return {};
  } catch (const InvalidInput& error) {
    const std::string what = error.what();
    INFO(change.name << ": " << what);  // an argument that is none begins with the morph's name
    REQUIRE((what.starts_with("split: ") || what.starts_with("prune: ") || what.starts_with("prune_by_norm: ")));
    return {};
  }
}

// The channels that a pruning leaves out, as zeros from their filters on.
void mask_what_goes(Network& network, const WeightTransfer& transfer) {
  const at::NoGradGuard no_grad;
  const NamedTensors state = network.state();
  for (const auto& [name, rule] : transfer.steps.at(0).tensors) {
    const auto* gather = std::get_if<WeightTransfer::Gather>(&rule);
    if (gather == nullptr || name.find(".running_") != std::string::npos) continue;
    for (const WeightTransfer::Map& map : gather->maps) {
      if (map.dimension != 0) continue;
      const std::set<std::int64_t> kept(map.indices.begin(), map.indices.end());
      for (std::int64_t c = 0; c < state.at(name).size(0); ++c) {
        if (!kept.contains(c)) state.at(name).select(0, c).zero_();
      }
    }
  }
}

}  // namespace

TEST_CASE("morphs of random graphs preserve the function, in sequences, by the transfer alone") {
  const auto [type, tolerance] = GENERATE(table<at::ScalarType, double>({{at::kFloat, 1e-4}, {at::kDouble, 1e-9}}));
  std::map<std::string, int> applied;
  double worst = 0.0;
  for (std::uint64_t seed = 1; seed <= 500; ++seed) {
    Rng rng(seed);
    Architecture architecture = random_graph(rng);
    Network network = evaluated(architecture, seed, type);
    at::manual_seed(seed);
    disturb(network);
    const at::NoGradGuard no_grad;
    const at::Tensor images = at::randn({2, 3, 6, 6}, type);
    at::Tensor output = network.forward(images).logits;
    const std::int64_t length = between(rng, 1, 10);
    for (int step = 0; step < length; ++step) {
      const Change& change = preserving[rng.below(preserving.size())];
      std::optional<Morphed> next = morphed(change, architecture, rng);
      if (!next || next->child.cost().parameters > 50'000) continue;
      INFO("graph " << seed << ", step " << step << ": " << change.name << "\n" << next->transfer.to_json().dump());
      const Json file = next->transfer.to_json();  // as it crosses the boundary
      Network child = evaluated(next->child, seed + 1, type);
      take_over(child, inherit(network.state(), WeightTransfer::from_json(file), rng.derive("noise")));
      const at::Tensor found = child.forward(images).logits;
      const double change_of_output =
          ((found - output).abs().max() / output.abs().max().clamp_min(1e-6)).item<double>();
      REQUIRE(change_of_output < tolerance);
      worst = std::max(worst, change_of_output);
      ++applied[change.name];
      architecture = next->child;
      network = std::move(child);
      output = found;
    }
  }
  for (const Change& change : preserving) {
    INFO(change.name);
    CHECK(applied[change.name] > 20);
  }
  UNSCOPED_INFO("largest change " << worst);
}

// In training, batch norms go by the batch. What repeats, is zero or comes beside changes nothing there; an inserted
// batch norm does, unless it was calibrated, as far as its parent's statistics are the batch's.
TEST_CASE("morphs of random graphs preserve the function in training, too") {
  std::vector<Change> changes = preserving;
  std::erase_if(changes, [](const Change& change) { return std::string_view(change.name).starts_with("deepen"); });
  const auto calibrated = [](bool separable) {
    return [separable](const Architecture& graph, Rng& rng) {
      return morphs::deepen(graph, any_node(graph, rng), {.separable = separable, .calibrated = true});
    };
  };
  changes.push_back({"deepen", calibrated(false)});
  changes.push_back({"deepen, separable", calibrated(true)});
  changes.push_back({"deepen_linear", [](const Architecture& graph, Rng& rng) {
                       return morphs::deepen_linear(graph, any_node(graph, rng), 0.0, true);
                     }});
  std::map<std::string, int> applied;
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    Rng rng(seed);
    const Architecture architecture = random_graph(rng);
    Network network(architecture, Rng(seed));
    at::manual_seed(seed);
    const at::NoGradGuard no_grad;
    const at::Tensor images = at::randn({64, 3, 6, 6});
    network.train();
    for (int step = 0; step < 80; ++step) network.forward(images);  // until the statistics are the batch's
    const at::Tensor output = network.forward(images).logits;
    for (const Change& change : changes) {
      const std::optional<Morphed> next = morphed(change, architecture, rng);
      if (!next) continue;
      INFO("graph " << seed << ": " << change.name << "\n" << next->transfer.to_json().dump());
      check_transfer(architecture, next->child, next->transfer);
      Network child(next->child, Rng(seed + 1));
      const Inherited inherited = inherit(network.state(), next->transfer, rng.derive("noise"));
      take_over(child, inherited);
      if (!inherited.calibrated.empty()) calibrate(child, inherited.calibrated, images);
      child.train();
      const at::Tensor found = child.forward(images).logits;
      const bool inserts = std::string_view(change.name).starts_with("deepen");
      REQUIRE(((found - output).abs().max() / output.abs().max()).item<double>() < (inserts ? 0.03 : 1e-3));
      ++applied[change.name];
    }
  }
  for (const Change& change : changes) {
    INFO(change.name);
    CHECK(applied[change.name] > 10);
  }
}

TEST_CASE("only what a batch norm holds can be calibrated") {
  ArchitectureBuilder graph;
  const NodeId x = graph.input(Shape::image(3, 4, 4));
  const NodeId normed = blocks::conv_bn(graph, x, blocks::Convolution::square(2, 1));
  const NodeId last = blocks::classifier(graph, normed, 2);
  Network network(std::move(graph).build(last), Rng(1));
  CHECK_THROWS_WITH(calibrate(network, {"conv2d.weight"}, at::randn({4, 3, 4, 4})),
                    ContainsSubstring("conv2d.weight is none"));
}

TEST_CASE("what a network holds is what its graph says") {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    Rng rng(seed);
    const Architecture architecture = random_graph(rng);
    TensorExtents held;
    for (const auto& [name, tensor] : Network(architecture, Rng(1)).state()) held[name] = tensor.sizes().vec();
    CHECK(tensor_extents(architecture) == held);
  }
}

TEST_CASE("approximate morphs of random graphs lead to their child") {
  std::map<std::string, int> applied;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    Rng rng(seed);
    Architecture architecture = random_graph(rng);
    Network network = evaluated(architecture, seed, at::kFloat);
    for (int step = 0; step < 6; ++step) {
      const Change& change = approximate[rng.below(approximate.size())];
      const std::optional<Morphed> next = morphed(change, architecture, rng);
      if (!next) continue;
      INFO("graph " << seed << ", step " << step << ": " << change.name);
      Network child = evaluated(next->child, seed + 1, at::kFloat);
      REQUIRE_NOTHROW(check_transfer(architecture, next->child, next->transfer));
      if (std::string_view(change.name) == "prune") mask_what_goes(network, next->transfer);
      REQUIRE_NOTHROW(take_over(child, inherit(network.state(), next->transfer, Rng(1))));
      CHECK(next->child.cost().parameters <= architecture.cost().parameters);
      if (std::string_view(change.name) == "prune") {
        const at::NoGradGuard no_grad;
        const at::Tensor images = at::randn({2, 3, 6, 6}), masked = network.forward(images).logits;
        REQUIRE(at::allclose(child.forward(images).logits, masked, 1e-4, 1e-4 * masked.abs().max().item<double>()));
      }
      ++applied[change.name];
      architecture = next->child;
      network = std::move(child);
    }
  }
  for (const Change& change : approximate) {
    INFO(change.name);
    CHECK(applied[change.name] > 10);
  }
}

// What momentum and Adam keep: the child's gradient is the parent's, as the moments are inherited.
TEST_CASE("moments that are inherited are those of the child's gradients") {
  std::map<std::string, int> applied;
  for (std::uint64_t seed = 1; seed <= 120; ++seed) {
    Rng rng(seed);
    const Architecture architecture = random_graph(rng);
    Network network = evaluated(architecture, seed, at::kDouble);
    const at::Tensor images = at::randn({4, 3, 6, 6}, at::kDouble);
    const auto gradients = [&](Network& of) {
      of.forward(images).logits.pow(2).sum().backward();
      NamedTensors found;
      for (const auto& parameter : of.named_parameters()) {
        const at::Tensor gradient = parameter.value().grad();
        found[parameter.key()] = gradient.defined() ? gradient : at::zeros_like(parameter.value());
      }
      return found;
    };
    const NamedTensors before = gradients(network);
    for (const Change& change : preserving) {
      const std::string name = change.name;
      if (name != "widen" && name != "replicate" && name != "split") continue;
      const std::optional<Morphed> next = morphed(change, architecture, rng);
      if (!next) continue;
      INFO("graph " << seed << ": " << name << "\n" << next->transfer.to_json().dump());
      Network child = evaluated(next->child, seed + 1, at::kDouble);
      take_over(child, inherit(network.state(), next->transfer, Rng(1)));
      NamedTensors all = network.state();  // what is no parameter has no moments
      NamedTensors squares;
      for (auto& [tensor, value] : all) {
        value = before.contains(tensor) ? before.at(tensor) : at::zeros_like(value);
        squares[tensor] = value * value;
      }
      const NamedTensors first = inherit_moments(all, next->transfer, 1), second = inherit_moments(squares, next->transfer, 2);
      for (const auto& [tensor, gradient] : gradients(child)) {
        INFO(tensor);
        REQUIRE(at::allclose(first.at(tensor), gradient, 1e-6, 1e-9));
        REQUIRE(at::allclose(second.at(tensor), gradient * gradient, 1e-6, 1e-9));
      }
      ++applied[name];
    }
  }
  for (const char* name : {"widen", "replicate", "split"}) CHECK(applied[name] > 10);
}

TEST_CASE("a morph that cannot be done says why") {
  ArchitectureBuilder graph;
  const NodeId x = graph.input(Shape::image(4, 8, 8));
  const NodeId grouped =
      graph.add("conv2d", {{"channels", 4}, {"kernel", 3}, {"padding", 1}, {"groups", 2}}, {x}, "grouped");
  const NodeId dense = graph.add("conv2d", {{"channels", 4}, {"kernel", 3}, {"padding", 1}}, {grouped}, "dense");
  const NodeId sum = graph.add("add", {}, {dense, x}, "sum");
  const NodeId smaller = graph.add("max_pool", {{"kernel", 2}, {"stride", 2}}, {sum}, "pool");
  const NodeId last = blocks::classifier(graph, smaller, 3);
  const Architecture architecture = std::move(graph).build(last);
  using Error = NotApplicable;
  CHECK_THROWS_AS(morphs::widen_by_zeros(architecture, dense, 1), Error);
  CHECK_THROWS_WITH(morphs::widen_by_zeros(architecture, dense, 1),
                    ContainsSubstring("node input (input) cannot change"));
  CHECK_THROWS_WITH(morphs::widen_by_zeros(architecture, grouped, 1), ContainsSubstring("node grouped is a conv2d"));
  CHECK_THROWS_WITH(morphs::widen_by_zeros(architecture, last, 1), ContainsSubstring("the network's output"));
  CHECK_THROWS_WITH(morphs::skip_by_addition(architecture, sum, smaller), ContainsSubstring("do not fit together"));
  CHECK_THROWS_WITH(morphs::skip_by_addition(architecture, sum, dense), ContainsSubstring("does not come behind"));
  CHECK_THROWS_WITH(morphs::deepen(architecture, last), ContainsSubstring("goes behind images"));
  CHECK_THROWS_WITH(morphs::remove_layer(architecture, smaller), ContainsSubstring("its own shape"));
  CHECK_THROWS_WITH(morphs::remove_skip(architecture, dense, 0), ContainsSubstring("is no sum"));
  CHECK_THROWS_AS(morphs::deepen(architecture, dense, {.kernel = 2}), InvalidInput);
  CHECK_THROWS_AS(morphs::widen(architecture, dense, {0, 1, 2, 3}), InvalidInput);
  CHECK_THROWS_AS(morphs::prune(architecture, dense, {0, 0}), InvalidInput);
}
