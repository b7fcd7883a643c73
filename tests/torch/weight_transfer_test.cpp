// Inherited weights: what each rule makes, networks that compute what their parents did, and transfers that do not fit.
#include "weft/torch/weight_transfer.hpp"

#include <ATen/ATen.h>

#include "tests/catch.hpp"
#include "tests/torch/card.hpp"

using namespace weft;

namespace {

Json rules(const Json& tensors, const Json& removed = Json::array()) {
  return {{"transfer", 1}, {"steps", {{{"tensors", tensors}, {"removed", removed}}}}};
}

NamedTensors after(const NamedTensors& parent, const Json& tensors, const Json& removed = Json::array()) {
  return inherit(parent, WeightTransfer::from_json(rules(tensors, removed)), Rng(1)).tensors;
}

// Two convolutions with a batch norm and a ReLU between them, as many again where it is deeper, and a kernel that may
// be larger.
struct Chain {
  std::int64_t width = 6;
  bool deeper = false;
  std::int64_t kernel = 3;

  Architecture build() const {
    ArchitectureBuilder graph;
    const auto convolution = [&](NodeId from, std::int64_t channels, std::int64_t kernel, const char* name) {
      return graph.add("conv2d", {{"channels", channels}, {"kernel", kernel}, {"padding", kernel / 2}}, {from}, name);
    };
    const auto norm_relu = [&](NodeId from, const char* name) {
      return graph.add("activation", {{"function", "relu"}}, {graph.add("batch_norm", {}, {from}, name)});
    };
    NodeId x = graph.input(Shape::image(3, 8, 8));
    x = norm_relu(convolution(x, width, kernel, "first"), "norm");
    if (deeper) x = norm_relu(convolution(x, width, 3, "new"), "new norm");
    return std::move(graph).build(convolution(x, 4, 3, "last"));
  }
};

Network made(const Chain& chain, std::uint64_t seed) {
  Network network(chain.build(), Rng(seed));
  network.eval();
  const at::NoGradGuard no_grad;
  for (auto [name, tensor] : network.state()) {
    if (name.starts_with("norm.")) tensor.uniform_(0.5, 2.0);
  }
  return network;
}

// The largest difference of the outputs, relative to the largest output.
double difference(Network& parent, Network& child) {
  const at::NoGradGuard no_grad;
  at::manual_seed(3);
  const at::Tensor images = at::randn({5, 3, 8, 8}).to(parent.parameters().front().device());
  const at::Tensor expected = parent.forward(images).logits;
  return ((child.forward(images).logits - expected).abs().max() / expected.abs().max()).item<double>();
}

}  // namespace

TEST_CASE("transfer: what each rule makes of its source") {
  const at::Tensor x = at::arange(6, at::kFloat).view({3, 2});
  const NamedTensors parent = {{"x", x}, {"kernel", at::ones({2, 1, 1, 3})}, {"gone", x}};
  const NamedTensors found = after(
      parent,
      {{"copy", {{"from", "x"}}},
       {"wide",
        {{"from", "x"},
         {"gather", {{{"dimension", 0}, {"indices", {2, 0, 2, -1}}, {"scale", {1, 1, 0.5, 1}}, {"fill", 7}}}}}},
       {"both",
        {{"from", "x"}, {"gather", {{{"dimension", 0}, {"indices", {1}}}, {{"dimension", 1}, {"indices", {1, 0}}}}}}},
       {"kept", {{"from", "x"}, {"gather", {{{"dimension", 0}, {"largest", 2}, {"norm_of", "x"}}}}}},
       {"padded", {{"from", "kernel"}, {"pad", {3, 5}}}},
       {"eye", {{"identity", {2, 2}}}},
       {"depthwise", {{"identity", {2, 1, 1, 3}}}},
       {"half", {{"constant", 0.5}, {"extents", {2}}}}},
      {"gone"});
  CHECK(found.at("x").is_same(x));  // what is not mentioned stays
  CHECK_FALSE(found.contains("gone"));
  CHECK(at::equal(found.at("copy"), x));
  CHECK(at::equal(found.at("wide"), at::tensor({4.F, 5.F, 0.F, 1.F, 2.F, 2.5F, 7.F, 7.F}).view({4, 2})));
  CHECK(at::equal(found.at("both"), at::tensor({3.F, 2.F}).view({1, 2})));
  CHECK(at::equal(found.at("kept"), x.slice(0, 1)));
  CHECK(found.at("padded").sizes() == at::IntArrayRef({2, 1, 3, 5}));
  CHECK(found.at("padded").sum().item<float>() == 6.0F);
  CHECK(found.at("padded").select(2, 1).slice(2, 1, 4).sum().item<float>() == 6.0F);
  CHECK(at::equal(found.at("eye"), at::eye(2)));
  CHECK(at::equal(found.at("depthwise").flatten(), at::tensor({0.F, 1.F, 0.F, 0.F, 1.F, 0.F})));
  CHECK(at::equal(found.at("half"), at::full({2}, 0.5)));
}

TEST_CASE("transfer: steps go on from each other, and a rule reads what was before its step") {
  const NamedTensors parent = {{"a", at::ones({2})}, {"b", at::zeros({3})}};
  const Json swap = {{"tensors", {{"a", {{"from", "b"}}}, {"b", {{"from", "a"}}}}}};
  const Json then = {{"tensors", {{"c", {{"from", "a"}}}, {"b", {{"fresh", true}}}, {"d", {{"calibrated", true}}}}},
                     {"removed", {"a"}}};
  const Inherited found =
      inherit(parent, WeightTransfer::from_json({{"transfer", 1}, {"steps", {swap, then}}}), Rng(1));
  CHECK(found.tensors.size() == 1);
  CHECK(at::equal(found.tensors.at("c"), at::zeros({3})));
  CHECK(found.fresh == std::vector<std::string>{"b"});
  CHECK(found.calibrated == std::vector<std::string>{"d"});
}

TEST_CASE("transfer: noise is on what repeats alone, follows the seed, and does not touch moments") {
  const NamedTensors parent = {{"x", at::arange(8, at::kFloat).view({2, 4})}};
  const WeightTransfer transfer = WeightTransfer::from_json(
      rules({{"x", {{"from", "x"}, {"gather", {{{"dimension", 0}, {"indices", {0, 1, 1}}, {"noise", 0.01}}}}}},
             {"eye", {{"identity", {3, 3}}, {"noise", 0.01}}},
             {"one", {{"constant", 1}, {"extents", {2}}}}}));
  const at::Tensor noisy = inherit(parent, transfer, Rng(1)).tensors.at("x");
  CHECK(at::equal(noisy.slice(0, 0, 2), parent.at("x")));
  const at::Tensor apart = (noisy[2] - noisy[1]).abs();
  CHECK((apart > 0).all().item<bool>());
  CHECK(apart.max().item<double>() < 5 * 0.01 * 2.3);  // 2.29 is the deviation of 0 to 7
  CHECK(at::equal(noisy, inherit(parent, transfer, Rng(1)).tensors.at("x")));
  CHECK_FALSE(at::equal(noisy, inherit(parent, transfer, Rng(2)).tensors.at("x")));
  const NamedTensors moments = inherit_moments(parent, transfer, 1);
  CHECK(at::equal(moments.at("x")[2], parent.at("x")[1] / 2));
  CHECK(moments.at("eye").abs().sum().item<float>() == 0.0F);
  CHECK(moments.at("one").abs().sum().item<float>() == 0.0F);
}

TEST_CASE("transfer: a card's tensors become what the CPU's do", "[card]") {
  if (!at::hasCUDA()) {
    WARN("SKIPPED: LibTorch finds no CUDA card");
    return;
  }
  const NamedTensors parent = {{"x", at::arange(8, at::kFloat).view({4, 2})}, {"kernel", at::ones({2, 1, 1, 3})}};
  NamedTensors moved;
  for (const auto& [name, tensor] : parent) moved[name] = tensor.cuda();
  const WeightTransfer transfer = WeightTransfer::from_json(
      rules({{"wide",
              {{"from", "x"},
               {"gather",
                {{{"dimension", 0}, {"indices", {2, 2, -1}}, {"scale", {1, 0.5, 1}}, {"fill", 7}, {"noise", 0.01}}}}}},
             {"kept", {{"from", "x"}, {"gather", {{{"dimension", 0}, {"largest", 2}, {"norm_of", "x"}}}}}},
             {"padded", {{"from", "kernel"}, {"pad", {3, 5}}}},
             {"eye", {{"identity", {2, 2}}, {"noise", 0.01}}},
             {"half", {{"constant", 0.5}, {"extents", {2}}}}}));
  const auto check = [](const NamedTensors& found, const NamedTensors& expected) {
    REQUIRE(found.size() == expected.size());
    for (const auto& [name, tensor] : expected) {
      INFO(name);
      CHECK(at::allclose(found.at(name).cpu(), tensor));
    }
  };
  check(inherit(moved, transfer, Rng(1)).tensors, inherit(parent, transfer, Rng(1)).tensors);
  check(inherit_moments(moved, transfer, 2), inherit_moments(parent, transfer, 2));
}

TEST_CASE("transfer: a wider, a deeper network and one of larger kernels compute what their parent does", "[card]") {
  const auto device = cpu_or_card();
  if (!device) return;
  at::globalContext().setAllowTF32CuDNN(false);  // whose rounding hides what is looked for
  Network parent = made({}, 1);
  parent.to(*device);
  // Net2Wider (Chen et al. 2016): channel 1 three times, channel 4 twice; whoever reads them divides.
  const std::vector<std::int64_t> of = {0, 1, 2, 3, 4, 5, 1, 4, 1};
  const std::vector<double> share = {1, 1.0 / 3, 1, 1, 0.5, 1, 1.0 / 3, 0.5, 1.0 / 3};
  const Json rows = {{{"dimension", 0}, {"indices", of}}};
  Json tensors = {
      {"last.weight", {{"from", "last.weight"}, {"gather", {{{"dimension", 1}, {"indices", of}, {"scale", share}}}}}}};
  for (const char* name : {"first.weight", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"})
    tensors[name] = {{"from", name}, {"gather", rows}};
  const Json wider = {{"tensors", tensors}};
  const Json deeper = {{"tensors",
                        {{"new.weight", {{"identity", {9, 9, 3, 3}}}},
                         {"new norm.weight", {{"constant", std::sqrt(1.0 + 1e-5)}, {"extents", {9}}}},
                         {"new norm.bias", {{"constant", 0}, {"extents", {9}}}},
                         {"new norm.running_mean", {{"constant", 0}, {"extents", {9}}}},
                         {"new norm.running_var", {{"constant", 1}, {"extents", {9}}}}}}};
  const Json larger = {{"tensors", {{"first.weight", {{"from", "first.weight"}, {"pad", {5, 5}}}}}}};
  Network child = made({.width = 9, .deeper = true, .kernel = 5}, 2);
  child.to(*device);
  CHECK(difference(parent, child) > 0.1);
  const Json json = {{"transfer", 1}, {"steps", {wider, deeper, larger}}};
  const WeightTransfer transfer = WeightTransfer::from_json(Json::parse(json.dump()));
  CHECK(transfer.to_json() == json);
  take_over(child, inherit(parent.state(), transfer, Rng(1)));
  CHECK(difference(parent, child) < 1e-5);
}

TEST_CASE("transfer: what does not lead to the child is refused by name, and leaves it as it was") {
  Network parent = made({}, 1), child = made({.width = 9}, 2);
  const at::Tensor before = child.state().at("first.weight").clone();
  const auto take = [&](const Json& tensors, const Json& removed = Json::array()) {
    take_over(child, inherit(parent.state(), WeightTransfer::from_json(rules(tensors, removed)), Rng(1)));
  };
  CHECK_THROWS_WITH(take(Json::object()), ContainsSubstring("makes first.weight [6,3,3,3], not [9,3,3,3]"));
  CHECK_THROWS_WITH(take({{"strange", {{"fresh", true}}}}), ContainsSubstring("the child has no strange"));
  CHECK_THROWS_WITH(take(Json::object(), {"norm.bias"}), ContainsSubstring("says nothing of norm.bias"));
  CHECK_THROWS_WITH(take(Json::object(), {"nothing"}), ContainsSubstring("/steps/0/removed names nothing"));
  CHECK_THROWS_WITH(take({{"a", {{"from", "b"}}}}), ContainsSubstring("/steps/0/tensors/a follows from b"));
  const auto gathered = [](const Json& map) {
    return Json{{"first.weight", {{"from", "first.weight"}, {"gather", {map}}}}};
  };
  CHECK_THROWS_WITH(take(gathered({{"dimension", 0}, {"indices", {0, 6}}})),
                    ContainsSubstring("index 6") && ContainsSubstring("6 slices along dimension 0"));
  CHECK_THROWS_WITH(take(gathered({{"dimension", 4}, {"indices", {0}}})), ContainsSubstring("dimension 4"));
  CHECK_THROWS_WITH(take(gathered({{"dimension", 0}, {"largest", 7}, {"norm_of", "first.weight"}})),
                    ContainsSubstring("keeps 7 of 6 slices"));
  CHECK_THROWS_WITH(take(gathered({{"dimension", 0}, {"largest", 2}, {"norm_of", "last.weight"}})),
                    ContainsSubstring("norms of last.weight, which is [4,6,3,3]"));
  CHECK_THROWS_WITH(take({{"first.weight", {{"from", "first.weight"}, {"pad", {4, 3}}}}}),
                    ContainsSubstring("cannot pad first.weight, [6,3,3,3]"));
  CHECK_THROWS_WITH(take({{"a", {{"from", "norm.bias"}, {"pad", {3, 3}}}}}), ContainsSubstring("norm.bias is [6]"));
  CHECK(at::equal(child.state().at("first.weight"), before));
}

TEST_CASE("transfer: text that is none is refused with rule, value and place") {
  const auto read = [](const Json& json) { WeightTransfer::from_json(json); };
  CHECK_THROWS_WITH(read({{"kind", "copy"}}), ContainsSubstring("must have transfer"));
  CHECK_THROWS_WITH(read({{"transfer", 2}, {"steps", Json::array()}}),
                    ContainsSubstring("/transfer must be 1") && ContainsSubstring("not 2"));
  CHECK_THROWS_WITH(read({{"transfer", 1}, {"steps", 3}}), ContainsSubstring("/steps must be a list, not 3"));
  CHECK_THROWS_WITH(read({{"transfer", 1}, {"steps", {{{"tensor", 1}}}}}),
                    ContainsSubstring("/steps/0/tensor is nothing that belongs there"));
  const auto rule = [&](const Json& one) { read(rules({{"w", one}})); };
  CHECK_THROWS_WITH(rule(1), ContainsSubstring("/steps/0/tensors/w must be an object, not 1"));
  CHECK_THROWS_WITH(rule({{"from", ""}}), ContainsSubstring("/from must be a tensor's name"));
  CHECK_THROWS_WITH(rule({{"from", "x"}, {"pad", {3}}}), ContainsSubstring("a height and a width"));
  CHECK_THROWS_WITH(rule({{"identity", {4, 3, 3, 3}}}), ContainsSubstring("as many outputs as inputs"));
  CHECK_THROWS_WITH(rule({{"identity", {4, 4, 2, 2}}}), ContainsSubstring("the latter two odd"));
  CHECK_THROWS_WITH(rule({{"constant", "one"}, {"extents", {3}}}), ContainsSubstring("must be a number, not \"one\""));
  CHECK_THROWS_WITH(rule({{"constant", 1}, {"extents", {0}}}), ContainsSubstring("at least 1, not 0"));
  CHECK_THROWS_WITH(rule({{"fresh", false}}), ContainsSubstring("/fresh must be true"));
  CHECK_THROWS_WITH(rule({{"guess", true}}),
                    ContainsSubstring("must have calibrated") || ContainsSubstring("is nothing"));
  CHECK_THROWS_WITH(rule({{"identity", {2, 2}}, {"noise", -1}}), ContainsSubstring("/noise must not be negative"));
  const auto map = [&](const Json& one) { rule({{"from", "x"}, {"gather", {one}}}); };
  CHECK_THROWS_WITH(map({{"dimension", 0}, {"indices", {-2}}}), ContainsSubstring("at least -1, not -2"));
  CHECK_THROWS_WITH(map({{"dimension", 0}, {"indices", Json::array()}}), ContainsSubstring("at least one slice"));
  CHECK_THROWS_WITH(map({{"dimension", 0}, {"indices", {0, 1}}, {"scale", {1}}}),
                    ContainsSubstring("must have 2 numbers"));
  CHECK_THROWS_WITH(map({{"dimension", 0}, {"largest", 1}}), ContainsSubstring("must have norm_of"));
}
