#include "weft/torch/network.hpp"

#include <ATen/ATen.h>
#include <torch/csrc/jit/serialization/pickle.h>

#include <fstream>

#include "tests/catch.hpp"
#include "tests/torch/counts.hpp"
#include "weft/blocks.hpp"

using namespace weft;

namespace {

std::vector<std::int64_t> batch_sizes(const Shape& shape, std::int64_t n) {
  if (shape.is_image()) return {n, shape.channels, shape.height, shape.width};
  if (shape.kind == Shape::Kind::features) return {n, shape.channels};
  return {n, shape.height, shape.channels};
}

// A sequence of one feature holds the numbers of four tokens.
at::Tensor examples(const Shape& shape, std::int64_t n = 2) {
  at::manual_seed(1);
  if (shape.kind == Shape::Kind::sequence && shape.channels == 1)
    return at::randint(4, {n, shape.height, 1}, at::kLong);
  const at::Tensor x = at::randn(batch_sizes(shape, n));
  return shape.is_image() ? x.contiguous(at::MemoryFormat::ChannelsLast) : x;
}

Architecture graph_of(const Shape& input, const char* operation, const Attributes& attributes, std::size_t arity = 1) {
  ArchitectureBuilder graph;
  std::vector<NodeId> inputs(arity, graph.input(input));
  if (std::string_view(operation) == "scale") inputs.push_back(graph.add("global_avg_pool", {}, {inputs[0]}));
  const NodeId output = graph.add(operation, attributes, inputs, "it");
  return std::move(graph).build(output);
}

std::filesystem::path scratch(const std::string& name) {
  return std::filesystem::temp_directory_path() / ("weft_network_test_" + std::to_string(::getpid()) + "_" + name);
}

// h_t = tanh(W x_t + U h_{t-1} + b).
Json cell_graph(std::int64_t inputs, std::int64_t features) {
  ArchitectureBuilder cell;
  const auto source = [&](const char* name, std::int64_t count) {
    return cell.add("input", {{"shape", {count}}}, {}, name);
  };
  const NodeId x = source("x", inputs), h = source("h", features);
  const NodeId sum = cell.add("add", {},
                              {cell.add("linear", {{"features", features}}, {x}),
                               cell.add("linear", {{"features", features}, {"bias", false}}, {h})});
  const NodeId output = cell.add("activation", {{"function", "tanh"}}, {sum});
  return std::move(cell).build(output).to_json();
}

bool equal(const Network& a, const Network& b) {
  const auto x = a.state(), y = b.state();
  return std::equal(x.begin(), x.end(), y.begin(), y.end(), [](const auto& one, const auto& other) {
    return one.first == other.first && at::equal(one.second, other.second);
  });
}

// Outputs and gradients on the first CUDA card are those on the CPU, within the rounding of TF32.
void check_card(const Architecture& graph, const at::Tensor& x) {
  const auto outcome = [&](c10::Device device) {
    Network network(graph, Rng(1));
    network.to(device);
    network.eval();
    const at::Tensor input = x.detach().clone().to(device).requires_grad_(x.is_floating_point());
    const at::Tensor y = network.forward(input).logits;
    CHECK(y.device() == device);
    if (y.requires_grad()) y.square().sum().backward();
    std::vector<at::Tensor> tensors = {y.detach().cpu()};
    if (input.grad().defined()) tensors.push_back(input.grad().cpu());
    for (const at::Tensor& parameter : network.parameters()) {
      if (parameter.grad().defined()) tensors.push_back(parameter.grad().cpu());
    }
    return tensors;
  };
  const std::vector<at::Tensor> expected = outcome(c10::kCPU), found = outcome(c10::Device(c10::kCUDA, 0));
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) CHECK(at::allclose(found[i], expected[i], 5e-3, 5e-3));
}

}  // namespace

TEST_CASE("Every operation computes the shape, the parameters and the multiply-adds that the graph says", "[card]") {
  const Shape image = Shape::image(6, 9, 7), features = Shape::features(10), sequence = Shape::sequence(5, 8);
  struct Case {
    const char* operation;
    Shape input;
    Attributes attributes;
    std::size_t arity = 1;
  };
  std::vector<Case> cases = {
      {"conv2d", image, {{"channels", 8}, {"kernel", 3}, {"padding", 1}, {"stride", 2}}},
      {"conv2d", image, {{"channels", 8}, {"kernel", 1}, {"stride", 2}}},
      {"conv2d", image, {{"channels", 4}, {"kernel", {1, 7}}, {"padding", {0, 3}}, {"stride", {1, 2}}, {"bias", true}}},
      {"conv2d",
       image,
       {{"channels", 6}, {"kernel", 3}, {"padding", 2}, {"dilation", 2}, {"groups", 6}, {"stride", 2}}},
      {"conv2d", image, {{"channels", 12}, {"kernel", 5}, {"groups", 3}, {"padding", 1}}},
      {"conv2d", Shape::image(1, 8, 8), {{"channels", 4}, {"kernel", 3}}},
      {"linear", features, {{"features", 3}}},
      {"linear", features, {{"features", 3}, {"bias", false}}},
      {"linear", sequence, {{"features", 3}}},
      {"batch_norm", image, Attributes::object()},
      {"batch_norm", image, {{"affine", false}}},
      {"batch_norm", features, Attributes::object()},
      {"batch_norm", sequence, Attributes::object()},
      {"activation_unit", image, {{"formula", "x * sigmoid(beta x)"}}},
      {"activation_unit", sequence, {{"formula", "beta tanh(x) + (1 - beta) sinc(x + beta2)"}}},
      {"max_pool", image, {{"kernel", 3}, {"stride", 2}, {"padding", 1}}},
      {"max_pool", image, {{"kernel", 2}, {"stride", 2}, {"ceil", true}}},
      {"max_pool", image, {{"kernel", 3}, {"stride", 3}, {"padding", 1}, {"ceil", true}}},
      {"avg_pool", image, {{"kernel", 3}, {"stride", 2}, {"padding", 1}}},
      {"avg_pool", image, {{"kernel", {2, 3}}, {"stride", 2}, {"ceil", true}, {"count_include_pad", true}}},
      {"global_avg_pool", image, Attributes::object()},
      {"flatten", image, Attributes::object()},
      {"flatten", sequence, Attributes::object()},
      {"identity", image, Attributes::object()},
      {"add", image, Attributes::object(), 3},
      {"add", image, Attributes::object(), 1},
      {"multiply", features, Attributes::object(), 3},
      {"concat", image, Attributes::object(), 3},
      {"concat", features, Attributes::object(), 2},
      {"concat", sequence, Attributes::object(), 2},
      {"concat", image, Attributes::object(), 1},
      {"dropout", image, {{"probability", 0.5}}},
      {"drop_path", sequence, Attributes::object()},
      {"zero", image, {{"stride", 2}}},
      {"zero", features, Attributes::object()},
      {"zero", sequence, Attributes::object()},
      {"shift", image, Attributes::object()},
      {"scale", image, Attributes::object()},
      {"pad", image, {{"channels", 3}, {"padding", {0, 1, 2, 3}}}},
      {"resize", image, {{"channels", 2}, {"height", 3}, {"width", 9}}},
      {"resize", image, {{"channels", 64}, {"height", 5}, {"width", 2}}},
      {"slice", image, {{"from", 2}, {"channels", 3}}},
      {"mean", image, Attributes::object(), 3},
      {"mean", features, Attributes::object(), 2},
      {"weighted_sum", image, Attributes::object(), 3},
      {"weighted_sum", features, Attributes::object(), 1},
      {"learned_group_conv", image, {{"channels", 8}, {"groups", 2}, {"condensation", 3}}},
      {"embedding", Shape::sequence(5, 1), {{"vocabulary", 4}, {"features", 6}, {"dropout", 0.5}}},
      {"locked_dropout", sequence, {{"probability", 0.5}}},
      {"locked_dropout", features, {{"probability", 0.5}}},
      {"highway", features, Attributes::object(), 3},
      {"highway", sequence, Attributes::object(), 3},
      {"slowness", sequence, {{"weight", 0.5}}},
      {"recurrent", sequence, {{"cell", cell_graph(8, 6)}, {"state_dropout", 0.5}}},
  };
  for (const std::string& function : activation_functions()) {
    cases.push_back({"activation", image, {{"function", function}}});
  }
  std::set<std::string> met = {"input", "choice", "tied_linear"};  // the last two: see below
  for (const auto& [operation, input, attributes, arity] : cases) {
    INFO(operation << " " << attributes << " of " << input.to_string());
    met.insert(operation);
    const Architecture graph = graph_of(input, operation, attributes, arity);
    Network network(graph, Rng(1));
    network.set_progress(1.0);
    CHECK(count_parameters(network) == graph.cost().parameters);
    for (const bool training : {true, false}) {
      network.train(training);
      network.set_drop_path(training ? 0.5 : 0.0);
      const at::Tensor x = examples(input);
      const at::Tensor y = network.forward(x).logits;
      CHECK(y.sizes() == at::IntArrayRef(batch_sizes(graph.shape(graph.output()), 2)));
      if (graph.shape(graph.output()).is_image()) CHECK(y.is_contiguous(at::MemoryFormat::ChannelsLast));
      CHECK(count_multiply_adds(network, x) == graph.cost().multiply_adds);
    }
    if (at::hasCUDA()) check_card(graph, examples(input));
  }
  for (const auto& [name, rule] : Operations::built_in().rules()) {
    INFO(name);
    CHECK(met.contains(name));
  }
}

TEST_CASE("tied_linear: one parameter with two uses, whose gradients add up, wherever the network is moved to") {
  const auto build = [](std::int64_t tokens, bool of_embedding = true) {
    ArchitectureBuilder graph;
    const NodeId embedding =
        graph.add("embedding", {{"vocabulary", 7}, {"features", 3}}, {graph.input(Shape::sequence(5, 1))}, "table");
    const NodeId source = of_embedding ? embedding : graph.add("activation", {}, {embedding});
    return std::move(graph).build(graph.add("tied_linear", {{"features", tokens}}, {embedding, source}, "out"));
  };
  const Architecture architecture = build(7);
  CHECK(architecture.cost().parameters == 7 * 3 + 7);
  CHECK(architecture.cost().multiply_adds == 5 * 3 * 7);
  Network network(architecture, Rng(1));
  CHECK(count_parameters(network) == 7 * 3 + 7);
  network.to(at::kDouble);  // replaces what the parameter holds
  at::Tensor table, bias;
  for (const auto& entry : network.named_parameters()) (entry.key() == "table.weight" ? table : bias) = entry.value();
  const at::Tensor tokens = at::tensor({0, 3, 3, 6, 1, 2, 2, 2, 5, 0}, at::kLong).view({2, 5, 1});
  const at::Tensor logits = network.forward(tokens).logits;
  const at::Tensor copy = table.detach().clone().requires_grad_();
  const at::Tensor expected =
      at::matmul(copy.index_select(0, tokens.flatten()), copy.t()).view({2, 5, 7}) + bias.detach();
  CHECK(logits.allclose(expected));
  logits.pow(2).sum().backward();
  expected.pow(2).sum().backward();
  CHECK(table.grad().allclose(copy.grad()));
  CHECK_THROWS_WITH(Network(build(8), Rng(1)), ContainsSubstring("must be an embedding of 8 tokens"));
  CHECK_THROWS_WITH(Network(build(7, false), Rng(1)), ContainsSubstring("must be an embedding of 7 tokens"));
}

TEST_CASE("Operations compute what they are named after") {
  const Shape shape = Shape::image(2, 3, 3);
  const at::Tensor x = examples(shape);
  const auto compute = [&](const char* operation, const Attributes& attributes, std::size_t arity = 1) {
    Network network(graph_of(shape, operation, attributes, arity), Rng(1));
    network.eval();
    return network.forward(x).logits;
  };
  using at::indexing::Slice;
  at::Tensor shifted = at::zeros_like(x);
  shifted.index_put_({Slice(), Slice(), Slice(0, 2), Slice(0, 2)}, x.index({Slice(), Slice(), Slice(1), Slice(1)}));
  CHECK(at::equal(compute("shift", Attributes::object()), shifted));
  CHECK(at::allclose(compute("add", Attributes::object(), 3), 3 * x));
  CHECK(at::allclose(compute("multiply", Attributes::object(), 3), x * x * x));
  CHECK(at::equal(compute("zero", Attributes::object()), at::zeros_like(x)));
  CHECK(at::equal(compute("dropout", {{"probability", 0.5}}), x));
  CHECK(at::equal(compute("activation", {{"function", "swish"}}), at::silu(x)));
  CHECK(at::equal(compute("activation", {{"function", "relu6"}}), at::clamp(x, 0, 6)));
  // The corner of a padded average: 4 of the window's 9 pixels lie in the image.
  const at::Tensor corner = x.index({0, 0, Slice(0, 2), Slice(0, 2)}).sum();
  const Attributes window = {{"kernel", 3}, {"padding", 1}};
  CHECK(at::allclose(compute("avg_pool", window)[0][0][0][0], corner / 4));
  Attributes including = window;
  including["count_include_pad"] = true;
  CHECK(at::allclose(compute("avg_pool", including)[0][0][0][0], corner / 9));
  CHECK(at::allclose(compute("scale", Attributes::object()), x * x.mean(at::IntArrayRef{2, 3}, true)));
  CHECK(at::allclose(compute("weighted_sum", Attributes::object(), 3), 1.5 * x));  // every sigmoid is 1/2
  const at::Tensor padded = compute("pad", {{"channels", 1}, {"padding", {1, 0, 0, 2}}});
  CHECK(padded.sizes() == at::IntArrayRef({2, 3, 4, 5}));
  CHECK(at::equal(padded.index({Slice(), Slice(0, 2), Slice(1), Slice(0, 3)}), x));
  CHECK(padded.abs().sum().item<double>() == Approx(x.abs().sum().item<double>()));
  const auto resized = [&](std::int64_t channels, std::int64_t height, std::int64_t width) {
    return compute("resize", {{"channels", channels}, {"height", height}, {"width", width}});
  };
  CHECK(at::equal(compute("slice", {{"from", 1}, {"channels", 1}}), x.index({Slice(), Slice(1)})));
  CHECK(at::allclose(compute("mean", Attributes::object(), 3), x));
  CHECK(at::equal(resized(2, 3, 3), x));
  CHECK(at::equal(resized(1, 3, 3), x.index({Slice(), Slice(0, 1)})));
  CHECK(at::equal(resized(3, 3, 3).index({Slice(), Slice(0, 2)}), x));
  CHECK(at::equal(resized(3, 3, 3).index({Slice(), 2}), at::zeros({2, 3, 3})));
  CHECK(at::equal(resized(2, 6, 3).index({Slice(), Slice(), Slice(1, 6, 2)}), x));  // each row twice
  CHECK(at::equal(resized(2, 1, 1)[0][1][0][0], x[0][1][0][0]));
}

TEST_CASE("A learned group convolution drops the inputs of the smallest weights, by group, in the first half") {
  Network network(
      graph_of(Shape::image(4, 2, 2), "learned_group_conv", {{"channels", 4}, {"groups", 2}, {"condensation", 4}}),
      Rng(1));
  at::Tensor weight = network.state().at("it.weight");
  {
    const at::NoGradGuard no_grad;
    // Filters 0 and 2 are one group, 1 and 3 the other. Sums by input: 3, 7, 1, 5 and 5, 1, 7, 3.
    weight.copy_(at::tensor({1, -3, 1, 3, 2, 1, 3, 0, 2, 4, 0, 2, -3, 0, -4, 3}, at::kFloat).view({4, 4, 1, 1}));
  }
  const auto mask = [&] { return network.state().at("it.mask").flatten(1); };  // [filters, inputs]
  network.set_progress(0.1);
  CHECK(mask().sum().item<int>() == 16);
  network.set_progress(0.2);  // the second of four stages
  const at::Tensor three = at::tensor({1, 1, 0, 1, 1, 0, 1, 1, 1, 1, 0, 1, 1, 0, 1, 1}, at::kFloat).view({4, 4});
  CHECK(at::equal(mask(), three));
  network.set_progress(0.3);
  network.set_progress(0.9);
  const at::Tensor one = at::tensor({0, 1, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 1, 0}, at::kFloat).view({4, 4});
  CHECK(at::equal(mask(), one));
  network.eval();
  const at::Tensor x = examples(Shape::image(4, 2, 2));
  CHECK(at::allclose(network.forward(x).logits.select(1, 2), 4 * x.select(1, 1)));
  CHECK(at::allclose(network.forward(x).logits.select(1, 3), -4 * x.select(1, 2)));
}

TEST_CASE("A condensed network computes what the learned groups did, with the parameters that the graph counts") {
  struct Groups {
    std::int64_t channels, groups, condensation;
  };
  const Groups g = GENERATE(Groups{8, 2, 4}, Groups{16, 4, 4}, Groups{12, 4, 2}, Groups{8, 1, 4}, Groups{8, 2, 1});
  CAPTURE(g.channels, g.groups, g.condensation);
  ArchitectureBuilder builder;
  const auto learned = [&](NodeId input, const char* name) {
    return builder.add("learned_group_conv",
                       {{"channels", g.channels}, {"groups", g.groups}, {"condensation", g.condensation}}, {input},
                       name);
  };
  const NodeId input = builder.input(Shape::image(12, 5, 3));
  // The second reads some of what the first gives: the order of its filters matters.
  const NodeId both = builder.add("concat", {}, {learned(input, "first"), input});
  const NodeId second = learned(blocks::bn_relu(builder, both), "second");
  const Architecture graph = std::move(builder).build(second);
  Network network(graph, Rng(4));
  network.set_progress(1.0);
  network.eval();
  const at::Tensor x = examples(Shape::image(12, 5, 3), 3), expected = network.forward(x).logits;
  network.condense();
  CHECK(at::allclose(network.forward(x).logits, expected, 1e-5, 1e-6));
  CHECK(network.forward(x).logits.is_contiguous(at::MemoryFormat::ChannelsLast));

  std::int64_t parameters = 0;
  for (const at::Tensor& parameter : network.parameters()) parameters += parameter.numel();
  CHECK(parameters == graph.cost().parameters);
  CHECK(count_multiply_adds(network, x) == graph.cost().multiply_adds);

  // What was not told of any progress drops all at once.
  Network fresh(graph, Rng(4));
  fresh.condense();
  CHECK(equal(fresh, network));
  fresh.condense();
  CHECK(equal(fresh, network));
  fresh.eval();
  CHECK(at::equal(fresh.forward(x).logits, network.forward(x).logits));

  Network other(graph, Rng(5));
  other.condense();
  const auto path = scratch("condensed.pt");
  save_weights(network, path);
  load_weights(other, path);
  CHECK(equal(other, network));
  if (g.condensation > 1) {
    Network dense(graph, Rng(5));
    CHECK_THROWS_WITH(load_weights(dense, path),
                      ContainsSubstring("first.mask is missing") && ContainsSubstring("call condense()"));
  }
  std::filesystem::remove(path);
}

// An image of 4 x 4 pixels, 4 y + x. The windows of kernel 3 and stride 2 begin at -1 and 1 or, as in TensorFlow, at 0
// and 2; what lies outside adds nothing to a sum and does not count in a mean.
TEST_CASE("The two paddings read other pixels of an even image, and the same of an odd one") {
  const auto compute = [](blocks::Padding padding, const char* operation, std::int64_t side) {
    ArchitectureBuilder builder;
    const NodeId input = builder.input(Shape::image(1, side, side));
    blocks::Convolution convolution = blocks::Convolution::square(1, 3, 2);
    convolution.padding = padding;
    const NodeId output = std::string_view(operation) == "conv2d"
                              ? blocks::convolution(builder, input, convolution)
                              : blocks::pool(builder, input, operation, 3, 2, padding);
    Network network(std::move(builder).build(output), Rng(1));
    for (const auto& [name, tensor] : network.state()) tensor.fill_(1.0);
    network.eval();
    const at::Tensor y = network.forward(at::arange(side * side).to(at::kFloat).view({1, 1, side, side})).logits;
    return y.flatten().contiguous().detach();
  };
  struct Row {
    const char* operation;
    std::vector<double> symmetric, same;
  };
  for (const auto& [operation, symmetric, same] : {
           Row{"conv2d", {10, 24, 51, 90}, {45, 39, 66, 50}},
           Row{"avg_pool", {2.5, 4, 8.5, 10}, {5, 6.5, 11, 12.5}},
           Row{"max_pool", {5, 7, 13, 15}, {10, 11, 14, 15}},
       }) {
    CAPTURE(operation);
    CHECK(at::equal(compute(blocks::Padding::symmetric, operation, 4), at::tensor(symmetric, at::kFloat)));
    CHECK(at::equal(compute(blocks::Padding::same, operation, 4), at::tensor(same, at::kFloat)));
    if (std::string_view(operation) == "max_pool") {  // one window, of which half is outside
      CHECK(at::equal(compute(blocks::Padding::same, operation, 2), at::tensor({3.0F})));
    }
    CHECK(at::equal(compute(blocks::Padding::symmetric, operation, 5), compute(blocks::Padding::same, operation, 5)));
  }
}

TEST_CASE("A linear layer of a sequence works on the last dimension, a batch norm over all positions") {
  ArchitectureBuilder builder;
  NodeId node = builder.input(Shape::sequence(4, 6));
  node = builder.add("linear", {{"features", 5}}, {node}, "linear");
  node = builder.add("batch_norm", {}, {node}, "norm");
  Network network(std::move(builder).build(node), Rng(3));
  const at::Tensor x = examples(Shape::sequence(4, 6), 3);
  const auto state = network.state();
  const at::Tensor y = at::matmul(x, state.at("linear.weight").t()) + state.at("linear.bias");
  const at::Tensor mean = y.mean(at::IntArrayRef{0, 1}), variance = y.var(at::IntArrayRef{0, 1}, /*unbiased=*/false);
  CHECK(at::allclose(network.forward(x).logits, (y - mean) / at::sqrt(variance + 1e-5), 1e-4, 1e-5));
  CHECK(at::allclose(state.at("norm.running_mean"), 0.1 * mean, 1e-4, 1e-6));
}

TEST_CASE("Gradients through overwritten and shared tensors equal those of the plain formula") {
  // A cell with every hazard: a batch norm read by a ReLU alone and one read by two; ReLUs repeated on one tensor; sums
  // over fresh terms, over one whose value autograd keeps (sigmoid), over the input, and over one term twice; drop-path
  // at 0; a sum with a zero; an auxiliary output.
  ArchitectureBuilder builder;
  const auto conv = [&](NodeId input, const char* name) {
    return builder.add("conv2d", {{"channels", 4}, {"kernel", 3}, {"padding", 1}}, {input}, name);
  };
  const auto norm = [&](NodeId input, const char* name) { return builder.add("batch_norm", {}, {input}, name); };
  const auto add = [&](std::initializer_list<NodeId> inputs) { return builder.add("add", {}, inputs); };
  const auto act = [&](NodeId input, const char* function) {
    return builder.add("activation", {{"function", function}}, {input});
  };
  const NodeId x = builder.input(Shape::image(4, 6, 6));
  const NodeId a = norm(conv(blocks::relu(builder, x), "c0"), "n0");
  const NodeId b = norm(conv(blocks::relu(builder, a), "c1"), "n1");
  const NodeId c = norm(conv(blocks::relu(builder, a), "c2"), "n2");
  const NodeId d = add({a, b, builder.add("drop_path", {}, {c}), builder.add("zero", {}, {c})});
  const NodeId e = act(norm(conv(d, "c3"), "n3"), "leaky_relu");
  const NodeId f = add({e, e, x, builder.add("identity", {}, {d}), act(d, "sigmoid")});
  const NodeId g = act(add({conv(f, "c4"), conv(blocks::relu(builder, f), "c5")}), "tanh");
  const NodeId h = builder.add("multiply", {}, {g, act(conv(g, "c6"), "sigmoid")});
  const NodeId out = blocks::classifier(builder, builder.add("concat", {}, {blocks::relu(builder, h), h}), 3);
  Network network(std::move(builder).build(out, f), Rng(5));

  std::map<std::string, at::Tensor> w;
  for (const auto& [name, tensor] : network.state()) w[name] = tensor.clone();
  for (const auto& entry : network.named_parameters()) w[entry.key()].requires_grad_();
  const auto plain_conv = [&](const at::Tensor& input, const std::string& name) {
    return at::conv2d(input, w[name + ".weight"], {}, 1, 1);
  };
  const auto plain_norm = [&](const at::Tensor& input, const std::string& name) {
    return at::batch_norm(input, w[name + ".weight"], w[name + ".bias"], w[name + ".running_mean"],
                          w[name + ".running_var"], true, 0.1, 1e-5, false);
  };
  const at::Tensor images = examples(Shape::image(4, 6, 6), 8), images_before = images.clone();
  const at::Tensor pa = plain_norm(plain_conv(at::relu(images), "c0"), "n0");
  const at::Tensor pb = plain_norm(plain_conv(at::relu(pa), "c1"), "n1");
  const at::Tensor pc = plain_norm(plain_conv(at::relu(pa), "c2"), "n2");
  const at::Tensor pd = pa + pb + pc;
  const at::Tensor pe = at::leaky_relu(plain_norm(plain_conv(pd, "c3"), "n3"));
  const at::Tensor pf = pe + pe + images + pd + at::sigmoid(pd);
  const at::Tensor pg = at::tanh(plain_conv(pf, "c4") + plain_conv(at::relu(pf), "c5"));
  const at::Tensor ph = pg * at::sigmoid(plain_conv(pg, "c6"));
  const std::string head = network.architecture().node(network.architecture().output()).name;
  const at::Tensor expected =
      at::linear(at::cat({at::relu(ph), ph}, 1).mean(at::IntArrayRef{2, 3}), w[head + ".weight"], w[head + ".bias"]);

  const auto [logits, auxiliary, penalty] = network.forward(images);
  REQUIRE(auxiliary.defined());
  CHECK_FALSE(penalty.defined());
  CHECK(at::allclose(logits, expected, 1e-4, 1e-5));
  CHECK(at::allclose(auxiliary, pf, 1e-4, 1e-5));
  CHECK(at::equal(images, images_before));
  (logits.square().sum() + 0.01 * auxiliary.square().sum()).backward();
  (expected.square().sum() + 0.01 * pf.square().sum()).backward();
  for (const auto& entry : network.named_parameters()) {
    INFO(entry.key());
    REQUIRE(entry.value().grad().defined());
    CHECK(at::allclose(entry.value().grad(), w[entry.key()].grad(), 1e-3, 1e-4));
  }
  for (const auto& entry : network.named_buffers()) CHECK(at::allclose(entry.value(), w[entry.key()], 1e-4, 1e-6));
  const auto overwrites = [&] {
    return std::count_if(network.plan().instructions.begin(), network.plan().instructions.end(),
                         [](const auto& instruction) { return instruction.overwrite; });
  };
  CHECK(overwrites() >= 4);

  network.eval();
  CHECK_FALSE(network.forward(images).auxiliary.defined());
}

TEST_CASE("Every activation has the right gradient when it overwrites its input") {
  for (const std::string& function : activation_functions()) {
    INFO(function);
    ArchitectureBuilder builder;
    const NodeId norm = blocks::batch_norm(builder, builder.input(Shape::image(2, 4, 4)));
    const NodeId output = builder.add("activation", {{"function", function}}, {norm});
    Network network(std::move(builder).build(output), Rng(1));
    network.to(at::kDouble);  // steps small enough that none crosses the kink of a piecewise linear function
    const at::Tensor x = examples(Shape::image(2, 4, 4)).to(at::kDouble).requires_grad_();
    const at::Tensor seed = at::randn({2, 2, 4, 4}, at::kDouble);
    (network.forward(x).logits * seed).sum().backward();
    const at::Tensor gradient = x.grad().clone();
    // Central differences along a random direction, in evaluation mode's absence: the batch statistics move with x.
    const at::NoGradGuard no_grad;
    const at::Tensor direction = at::randn_like(x);
    const auto value = [&](double step) {
      return (network.forward(x + step * direction).logits * seed).sum().item<double>();
    };
    CHECK((value(1e-6) - value(-1e-6)) / 2e-6 ==
          Approx((gradient * direction).sum().item<double>()).epsilon(1e-5).margin(1e-6));
  }
}

TEST_CASE("Initial weights follow from the Rng, and each node's from its name") {
  ArchitectureBuilder builder;
  const NodeId conv =
      blocks::convolution(builder, builder.input(Shape::image(64, 8, 8)), blocks::Convolution::square(64, 3));
  const Architecture graph = std::move(builder).build(blocks::classifier(builder, conv, 10));
  const Network network(graph, Rng(7)), same(graph, Rng(7)), other(graph, Rng(8));
  CHECK(equal(network, same));
  CHECK_FALSE(equal(network, other));
  const at::Tensor weight = network.state().at("conv2d.weight");  // uniform within 1 / sqrt(576) = 1/24
  CHECK(weight.numel() == 64 * 576);
  CHECK(weight.abs().max().item<float>() <= 1.0F / 24);
  CHECK(weight.std().item<float>() == Approx(1.0 / 24 / std::sqrt(3.0)).epsilon(0.02));
  CHECK(weight.is_contiguous(at::MemoryFormat::ChannelsLast));
}

TEST_CASE("Evaluation repeats itself and changes nothing, training moves the running statistics") {
  ArchitectureBuilder builder;
  NodeId node = blocks::conv_bn_relu(builder, builder.input(Shape::image(3, 8, 8)), blocks::Convolution::square(8, 3));
  node = builder.add("drop_path", {}, {builder.add("dropout", {{"probability", 0.5}}, {node})});
  const Architecture graph = std::move(builder).build(blocks::classifier(builder, node, 10));
  Network network(graph, Rng(1)), untouched(graph, Rng(1));
  network.set_drop_path(0.5);
  const at::Tensor x = examples(Shape::image(3, 8, 8));
  network.eval();
  CHECK(at::equal(network.forward(x).logits, network.forward(x).logits));
  CHECK(equal(network, untouched));
  network.train();
  CHECK_FALSE(at::equal(network.forward(x).logits, network.forward(x).logits));
  CHECK_FALSE(equal(network, untouched));
}

TEST_CASE("Drop-path drops whole examples and preserves the mean") {
  const Architecture graph = graph_of(Shape::image(2, 2, 2), "drop_path", {{"scale", 0.5}});
  Network network(graph, Rng(1));
  const at::Tensor x = at::ones({20000, 2, 2, 2});
  CHECK(at::equal(network.forward(x).logits, x));
  network.set_drop_path(0.5);  // times the scale: 0.25
  at::manual_seed(1);
  const at::Tensor y = network.forward(x).logits.flatten(1);
  CHECK(at::equal(y.amin(1), y.amax(1)));
  CHECK(y.mean().item<double>() ==
        Approx(1.0).margin(0.015));  // 4 standard deviations: sqrt(0.25 / 0.75 / 20000) = 0.0041
  CHECK((y == 0).to(at::kFloat).mean().item<double>() == Approx(0.25).margin(0.0125));
  CHECK(y.amax().item<double>() == Approx(1 / 0.75));
  at::manual_seed(1);
  CHECK(at::equal(network.forward(x).logits.flatten(1), y));
  CHECK_THROWS_AS(network.set_drop_path(1.0), InvalidInput);
}

TEST_CASE("A tensor lives until its last reader") {
  ArchitectureBuilder builder;
  NodeId node = builder.input(Shape::image(4, 8, 8));
  for (int i = 0; i < 50; ++i) {
    node = i % 2 ? blocks::pool(builder, node, "avg_pool", 3)
                 : blocks::convolution(builder, node, blocks::Convolution::square(4, 3));
  }
  Network network(std::move(builder).build(node), Rng(1));
  CHECK(network.plan().slots == 1);
  const at::NoGradGuard no_grad;
  std::vector<c10::weak_intrusive_ptr<c10::StorageImpl>> storages;
  std::ptrdiff_t most = 0;
  network.forward_observed(examples(Shape::image(4, 8, 8)), [&](const Node&, const at::Tensor& output) {
    storages.emplace_back(c10::intrusive_ptr<c10::StorageImpl>::reclaim_copy(output.storage().unsafeGetStorageImpl()));
    most = std::max(most, std::count_if(storages.begin(), storages.end(), [](const auto& s) { return !s.expired(); }));
  });
  CHECK(storages.size() == 50);
  CHECK(most == 1);
}

TEST_CASE("Nodes that change nothing are not executed") {
  ArchitectureBuilder builder;
  const NodeId x = builder.input(Shape::image(4, 8, 8));
  const NodeId dead = blocks::convolution(builder, x, blocks::Convolution::square(4, 3));
  const NodeId pool = blocks::pool(builder, builder.add("identity", {}, {x}), "avg_pool", 3);
  const NodeId again = blocks::pool(builder, x, "avg_pool", 3);
  const NodeId sum = builder.add("add", {}, {pool, builder.add("zero", {}, {dead}), again});
  const NodeId all = builder.add("concat", {}, {sum});
  Network network(std::move(builder).build(all), Rng(1));
  std::vector<std::string> ran;
  const at::Tensor images = examples(Shape::image(4, 8, 8));
  const auto output =
      network.forward_observed(images, [&](const Node& n, const at::Tensor&) { ran.push_back(n.operation); });
  CHECK(ran == std::vector<std::string>{"avg_pool", "add"});
  CHECK(at::allclose(output.logits, 2 * at::avg_pool2d(images, 3, 1, 1, false, false), 1e-5, 1e-6));
}

// The operations whose values the plan's instructions compute.
std::vector<std::string> planned(const Network& network) {
  std::vector<std::string> operations;
  for (const Plan::Instruction& instruction : network.plan().instructions) {
    operations.push_back(network.architecture().nodes()[static_cast<std::size_t>(instruction.value)].operation);
  }
  return operations;
}

TEST_CASE("A ReLU that alone reads a batch norm is computed along with it, one of several readers is not") {
  ArchitectureBuilder builder;
  const NodeId x = builder.input(Shape::image(4, 8, 8));
  const NodeId alone = blocks::relu(builder, blocks::batch_norm(builder, x));
  const NodeId shared = blocks::batch_norm(builder, alone);
  const NodeId sum = builder.add("add", {}, {shared, blocks::relu(builder, shared)});
  const NodeId last = blocks::batch_norm(builder, sum);
  Network network(std::move(builder).build(last), Rng(1));
  const at::Tensor images = examples(Shape::image(4, 8, 8));
  for (const bool training : {true, false}) {
    network.train(training);
    const auto output = network.forward(images);
    CHECK(planned(network) == std::vector<std::string>{"activation", "batch_norm", "activation", "add", "batch_norm"});
    const auto norm = [&](const at::Tensor& in) {
      return at::batch_norm(in, {}, {}, at::zeros({4}), at::ones({4}), training, 0.1, 1e-5, false);
    };
    if (!training) continue;  // the statistics have moved on
    const at::Tensor first = norm(images).relu(), second = norm(first);
    CHECK(at::allclose(output.logits, norm(second + second.relu()), 1e-4, 1e-5));
  }
}

TEST_CASE("A ReLU computed along may be the network's output, the auxiliary one, or what two equal ones have become") {
  ArchitectureBuilder builder;
  const NodeId x = builder.input(Shape::image(4, 8, 8));
  const NodeId norm = blocks::batch_norm(builder, x);
  const NodeId twice = builder.add("concat", {}, {blocks::relu(builder, norm), blocks::relu(builder, norm)});
  const NodeId other = blocks::relu(builder, blocks::batch_norm(builder, x));
  const NodeId last = blocks::relu(builder, blocks::batch_norm(builder, twice));
  Network network(std::move(builder).build(last, other), Rng(1));
  const at::Tensor images = examples(Shape::image(4, 8, 8));
  const auto output = network.forward(images);
  CHECK(planned(network) == std::vector<std::string>{"activation", "concat", "activation", "activation"});
  const auto normed = [](const at::Tensor& in) {
    return at::batch_norm(in, {}, {}, {}, {}, true, 0.1, 1e-5, false).relu();
  };
  CHECK(at::allclose(output.auxiliary, normed(images), 1e-4, 1e-5));
  CHECK(at::allclose(output.logits, normed(at::cat({normed(images), normed(images)}, 1)), 1e-4, 1e-5));
}

TEST_CASE("In evaluation a batch norm, and the ReLU behind it, are part of the convolution that they alone read") {
  ArchitectureBuilder builder;
  const NodeId x = builder.input(Shape::image(4, 8, 8));
  const auto convolution = [&](NodeId from, bool bias, std::int64_t kernel = 3, std::int64_t stride = 1,
                               std::int64_t groups = 1) {
    blocks::Convolution of = blocks::Convolution::square(8, kernel, stride);
    of.bias = bias;
    of.groups = groups;
    return blocks::convolution(builder, from, of);
  };
  const auto norm = [&](NodeId from, bool affine) {
    return builder.add("batch_norm", {{"affine", affine}, {"eps", 0.25}}, {from});
  };
  const NodeId subsampled = norm(convolution(x, false, 1, 2), true);
  const NodeId with_relu = blocks::relu(builder, norm(convolution(subsampled, true), true));
  const NodeId depthwise = norm(convolution(with_relu, false, 3, 1, 8), true);
  const NodeId shared = convolution(blocks::relu(builder, convolution(depthwise, true)), false);
  const NodeId sum = builder.add("add", {}, {shared, norm(shared, true)});
  const NodeId last = norm(convolution(sum, true), false);
  Network network(std::move(builder).build(last), Rng(1));
  CHECK(network.plan().instructions.size() == 13);  // in training the ReLU behind the batch norm alone
  network.eval();
  CHECK(planned(network) == std::vector<std::string>{"batch_norm", "activation", "batch_norm", "activation", "conv2d",
                                                     "batch_norm", "add", "batch_norm"});
  at::manual_seed(1);
  const at::NoGradGuard no_grad;
  const auto state = network.state();  // changed after it was planned
  for (auto [name, tensor] : state) {
    if (name.find("norm") != std::string::npos) tensor.uniform_(0.5, 2.0);
  }

  // Node by node, as the graph says.
  const at::Tensor images = examples(Shape::image(4, 8, 8));
  std::map<std::string, at::Tensor> values;
  const auto nodes = network.architecture().nodes();
  for (const Node& node : nodes) {
    const auto value = [&](std::size_t i) { return values.at(nodes[static_cast<std::size_t>(node.inputs[i])].name); };
    const auto of = [&](const char* name) {
      const auto found = state.find(node.name + "." + name);
      return found == state.end() ? at::Tensor() : found->second;
    };
    at::Tensor& result = values[node.name];
    if (node.operation == "input") result = images;
    if (node.operation == "conv2d") {
      const Attributes& given = node.attributes;
      const auto extents = [&](const char* name) { return given.at(name).get<std::vector<std::int64_t>>(); };
      result = at::conv2d(value(0), of("weight"), of("bias"), extents("stride"), extents("padding"), 1,
                          given.at("groups").get<std::int64_t>());
    }
    if (node.operation == "batch_norm") {
      result = at::batch_norm(value(0), of("weight"), of("bias"), of("running_mean"), of("running_var"), false, 0.1,
                              0.25, false);
    }
    if (node.operation == "activation") result = value(0).relu();
    if (node.operation == "add") result = value(0) + value(1);
  }
  const at::Tensor expected = values.at(nodes.back().name);
  CHECK(at::allclose(network.forward(images).logits, expected, 1e-4, 1e-4));

  // Who observes sees every node.
  std::size_t seen = 0;
  const auto output = network.forward_observed(images, [&](const Node& node, const at::Tensor& shown) {
    ++seen;
    CHECK(at::allclose(shown, values.at(node.name), 1e-4, 1e-4));
  });
  CHECK(seen == nodes.size() - 1);
  CHECK(at::allclose(output.logits, expected, 1e-4, 1e-4));
}

// Computes what a plan may compute along with it, by the default of its interface.
class Doubled final : public OperationModule {
 public:
  Traits traits() const override { return {.output_reusable = true, .takes_relu = true, .takes_affine = true}; }
  at::Tensor forward(at::ArrayRef<at::Tensor> inputs, bool) override { return inputs[0] * 2; }
};

TEST_CASE("What a module says that it computes along is computed, by default one after the other") {
  Operations vocabulary = Operations::built_in();
  OperationRule rule = vocabulary.find("identity");
  rule.name = "double";
  vocabulary.add(rule);
  OperationModules modules = OperationModules::built_in();
  modules.add("double", [](const ModuleArguments&) { return std::make_shared<Doubled>(); });
  ArchitectureBuilder builder(vocabulary);
  const NodeId twice = builder.add("double", {}, {builder.input(Shape::image(3, 4, 4))});
  Network network(std::move(builder).build(blocks::relu(builder, blocks::batch_norm(builder, twice))), Rng(1), modules);
  network.eval();
  CHECK(planned(network) == std::vector<std::string>{"activation"});
  const at::NoGradGuard no_grad;
  for (auto [name, tensor] : network.state()) tensor.uniform_(0.5, 2.0);
  const auto state = network.state();
  const auto of = [&](const std::string& name) {
    for (const auto& [full, tensor] : state) {
      if (full.ends_with("." + name)) return tensor;
    }
    return at::Tensor();
  };
  const at::Tensor images = examples(Shape::image(3, 4, 4));
  const at::Tensor expected = at::batch_norm(images * 2, of("weight"), of("bias"), of("running_mean"),
                                             of("running_var"), false, 0.1, 1e-5, false)
                                  .relu();
  CHECK(at::allclose(network.forward(images).logits, expected, 1e-4, 1e-5));
}

TEST_CASE("A network refuses unknown operations and images of other extents") {
  Operations vocabulary = Operations::built_in();
  OperationRule rule = vocabulary.find("identity");
  rule.name = "warp";
  vocabulary.add(rule);
  ArchitectureBuilder extended(vocabulary);
  const NodeId warp = extended.add("warp", {}, {extended.input(Shape::image(3, 8, 8))}, "engine");
  const Architecture warped = std::move(extended).build(warp);
  CHECK_THROWS_WITH(Network(warped, Rng(1)), ContainsSubstring("engine") && ContainsSubstring("warp"));

  // A module from outside is used like those built in.
  struct Double : OperationModule {
    at::Tensor forward(at::ArrayRef<at::Tensor> inputs, bool) override { return 2 * inputs[0]; }
  };
  OperationModules modules = OperationModules::built_in();
  modules.add("warp", [](const ModuleArguments&) { return std::make_shared<Double>(); });
  Network network(warped, Rng(1), modules);
  const at::Tensor images = examples(Shape::image(3, 8, 8));
  CHECK(at::equal(network.forward(images).logits, 2 * images));
  CHECK_THROWS_WITH(network.forward(at::zeros({2, 3, 8, 9})),
                    ContainsSubstring("3 x 8 x 8") && ContainsSubstring("[2,3,8,9]"));
}

TEST_CASE("Weights go to a file and come back, a file that does not fit is refused whole") {
  const auto make = [](std::int64_t channels, std::uint64_t seed, const char* name = "first") {
    ArchitectureBuilder builder;
    NodeId node = builder.input(Shape::image(3, 8, 8));
    node = builder.add("conv2d", {{"channels", channels}, {"kernel", 3}}, {node}, name);
    node = builder.add("batch_norm", {}, {node}, "norm");
    return std::make_unique<Network>(std::move(builder).build(node), Rng(seed));
  };
  const auto path = scratch("weights.pt");
  const auto saved = make(4, 1);
  saved->forward(examples(Shape::image(3, 8, 8)));  // moves the running statistics
  save_weights(*saved, path);
  const auto loaded = make(4, 2);
  REQUIRE_FALSE(equal(*loaded, *saved));
  load_weights(*loaded, path);
  CHECK(equal(*loaded, *saved));
  CHECK(loaded->parameters()[0].is_contiguous(at::MemoryFormat::ChannelsLast));

  const auto wide = make(5, 3), untouched = make(5, 3);
  CHECK_THROWS_WITH(load_weights(*wide, path), ContainsSubstring("first.weight is [4,3,3,3], not [5,3,3,3]"));
  CHECK(equal(*wide, *untouched));
  CHECK_THROWS_WITH(load_weights(*make(4, 1, "other"), path),
                    ContainsSubstring("other.weight is missing") && ContainsSubstring("first.weight is unexpected"));
  std::ofstream(path) << "no weights";
  CHECK_THROWS_WITH(load_weights(*loaded, path),
                    ContainsSubstring(path.string()) && ContainsSubstring("not a dictionary of tensors"));
  std::filesystem::remove(path);
  CHECK_THROWS_WITH(load_weights(*loaded, path), ContainsSubstring("No such file"));
  CHECK_THROWS_WITH(save_weights(*saved, scratch("absent") / "weights.pt"), ContainsSubstring("cannot be written"));
}
