#include "weft/architecture.hpp"

#include "tests/catch.hpp"
#include "weft/blocks.hpp"
#include "weft/candidate.hpp"

using namespace weft;

namespace {

// Howard et al. 2017, table 1, at 224 x 224 and width 1.
Architecture mobilenet_v1() {
  ArchitectureBuilder graph;
  const auto conv_bn_relu = [&](NodeId from, blocks::Convolution convolution) {
    return blocks::conv_bn_relu(graph, from, convolution);
  };
  NodeId at = conv_bn_relu(graph.input(Shape::image(3, 224, 224)), blocks::Convolution::square(32, 3, 2));
  const std::vector<std::pair<std::int64_t, std::int64_t>> channels_and_stride = {
      {64, 1},  {128, 2}, {128, 1}, {256, 2}, {256, 1},  {512, 2}, {512, 1},
      {512, 1}, {512, 1}, {512, 1}, {512, 1}, {1024, 2}, {1024, 1}};
  for (const auto& [channels, stride] : channels_and_stride) {
    blocks::Convolution depthwise = blocks::Convolution::square(graph.shape(at).channels, 3, stride);
    depthwise.groups = depthwise.channels;
    at = conv_bn_relu(conv_bn_relu(at, depthwise), blocks::Convolution::square(channels, 1));
  }
  const NodeId classes = blocks::classifier(graph, at, 1000);
  return std::move(graph).build(classes);
}

}  // namespace

// What an architecture lends cannot be had of a temporary, which would be gone.
template <typename T>
concept Lends = requires(T&& it) {
  std::forward<T>(it).nodes();
}
|| requires(T&& it) { std::forward<T>(it).node(0); }
|| requires(T&& it) { std::forward<T>(it).shape(0); };
static_assert(Lends<Architecture&> && Lends<const Architecture&>);
static_assert(!Lends<Architecture> && !Lends<const Architecture>);

TEST_CASE("the kernel that an operation's name ends in") {
  CHECK(blocks::square_kernel("sep_conv_5x5") == 5);
  CHECK(blocks::square_kernel("conv_1x1") == 1);
  CHECK(blocks::square_kernel("dilated_sep_conv_11x11") == 11);
  CHECK(blocks::square_kernel("3x3") == 3);
  for (const char* none : {"", "identity", "skip_connect", "conv_1x7_7x1", "conv_3x", "conv_x3", "conv_0x0",
                           "conv_3x3s", "conv_-3x-3", "conv_99999999999999999999x99999999999999999999"}) {
    CAPTURE(none);
    CHECK_THROWS_WITH(blocks::square_kernel(none), ContainsSubstring("has no square kernel in its name"));
  }
}

// TensorFlow: the output has ceil(extent / stride) pixels; as many zeros as that takes, the odd one after.
TEST_CASE("padding keeps ceil(extent / stride), whichever it is") {
  using blocks::Padding;
  const auto zeros = [](std::int64_t extent, std::int64_t reach, std::int64_t stride) {
    const blocks::Zeros found = blocks::zeros(extent, reach, stride, Padding::same);
    return std::pair(found.before, found.after);
  };
  CHECK(zeros(8, 3, 1) == std::pair<std::int64_t, std::int64_t>(1, 1));
  CHECK(zeros(8, 3, 2) == std::pair<std::int64_t, std::int64_t>(0, 1));
  CHECK(zeros(9, 3, 2) == std::pair<std::int64_t, std::int64_t>(1, 1));
  CHECK(zeros(8, 7, 2) == std::pair<std::int64_t, std::int64_t>(2, 3));
  CHECK(zeros(8, 1, 2) == std::pair<std::int64_t, std::int64_t>(0, 0));
  for (const std::int64_t height : {1, 2, 5, 6, 7, 8}) {
    for (const std::int64_t kernel : {1, 3, 5, 7}) {
      for (const Padding padding : {Padding::symmetric, Padding::same}) {
        CAPTURE(height, kernel, static_cast<int>(padding));
        ArchitectureBuilder graph;
        const NodeId input = graph.input(Shape::image(4, height, 7));
        const Shape halved = Shape::image(4, (height + 1) / 2, 4);
        CHECK(graph.shape(blocks::separable_conv(graph, input, 4, kernel, 2, true, padding)) == halved);
        CHECK(graph.shape(blocks::dilated_conv(graph, input, 4, kernel, 2, true, padding)) == halved);
        CHECK(graph.shape(blocks::factorized_conv(graph, input, 4, kernel, 2, true, padding)) == halved);
        CHECK(graph.shape(blocks::pool(graph, input, "max_pool", kernel, 2, padding)) == halved);
        CHECK(graph.shape(blocks::pool(graph, input, "avg_pool", kernel, 1, padding)) == graph.shape(input));
      }
    }
  }
}

// 4.2 M parameters and 569 M multiply-adds in the paper; exactly, as computed from LibTorch's modules.
TEST_CASE("MobileNet-V1 costs what is published") {
  const Architecture network = mobilenet_v1();
  CHECK(network.cost().parameters == 4231976);
  CHECK(network.cost().multiply_adds == 568740352);
  CHECK(network.shape(network.output()) == Shape::features(1000));
}

TEST_CASE("building removes what contributes to no output, and only that") {
  ArchitectureBuilder graph;
  const NodeId input = graph.input(Shape::image(4, 8, 8));
  const NodeId used = blocks::convolution(graph, input, blocks::Convolution::square(4, 3));
  blocks::convolution(graph, used, blocks::Convolution::square(99, 3));
  const NodeId main = graph.add("global_avg_pool", {}, {used}, "main");
  const NodeId hidden = blocks::convolution(graph, used, blocks::Convolution::square(5, 1));
  const NodeId extra = graph.add("global_avg_pool", {}, {hidden}, "extra");
  const Architecture network = std::move(graph).build(main, extra);
  CHECK(network.nodes().size() == 5);
  CHECK(network.node(network.output()).name == "main");
  REQUIRE(network.auxiliary().has_value());
  CHECK(network.node(*network.auxiliary()).name == "extra");
  for (std::size_t id = 0; id < network.nodes().size(); ++id) {
    for (const NodeId from : network.nodes()[id].inputs) CHECK(static_cast<std::size_t>(from) < id);
  }
  CHECK(network.cost().parameters == 4 * 4 * 9);  // the auxiliary classifier is not counted
}

TEST_CASE("groups nest and end with their guard") {
  ArchitectureBuilder graph;
  const NodeId input = graph.input(Shape::features(3));
  NodeId last = input;
  {
    const auto cell = graph.group("cell 1");
    last = blocks::relu(graph, last);
    {
      const auto block = graph.group("block 2");
      last = blocks::relu(graph, last);
    }
    last = blocks::relu(graph, last);
  }
  last = blocks::relu(graph, last);
  const Architecture network = std::move(graph).build(last);
  std::vector<std::string> groups;
  for (const Node& node : network.nodes()) groups.push_back(node.group);
  CHECK(groups == std::vector<std::string>{"", "cell 1", "cell 1/block 2", "cell 1", ""});
}

TEST_CASE("names are unique and fit for a parameter's name") {
  ArchitectureBuilder graph;
  const NodeId input = graph.input(Shape::features(3));
  graph.add("identity", {}, {input}, "middle");
  CHECK_THROWS_WITH(graph.add("identity", {}, {input}, "middle"),
                    ContainsSubstring("node middle (identity): the name is taken"));
  CHECK_THROWS_WITH(graph.add("identity", {}, {input}, "a.b"), ContainsSubstring("'.'"));
  CHECK_THROWS_WITH(graph.add("identity", {}, {7}), ContainsSubstring("node 7 does not exist; the graph has 2"));
  CHECK_THROWS_WITH(std::move(graph).build(-1), ContainsSubstring("node -1 does not exist"));
}

TEST_CASE("an architecture survives JSON with names, groups, attributes and outputs") {
  ArchitectureBuilder graph;
  NodeId at = graph.input(Shape::image(3, 16, 16));
  {
    const auto cell = graph.group("cell");
    at = blocks::separable_conv(graph, at, 6, 3, 2);
    at = blocks::factorized_reduction(graph, at, 8);
  }
  const NodeId extra = blocks::classifier(graph, at, 3);
  const NodeId main = graph.add("linear", {{"features", 3}}, {graph.add("flatten", {}, {at})});
  const Architecture network = std::move(graph).build(main, extra);
  const Json json = Json::parse(network.to_json().dump());
  const Architecture read = Architecture::from_json(json);
  CHECK(read.to_json() == json);
  CHECK(read.canonical_hash() == network.canonical_hash());
  CHECK(read.cost() == network.cost());
  CHECK(read.auxiliary() == network.auxiliary());
  for (std::size_t id = 0; id < network.nodes().size(); ++id) {
    CHECK(read.nodes()[id].group == network.nodes()[id].group);
    CHECK(read.nodes()[id].shape == network.nodes()[id].shape);
  }
}

TEST_CASE("what is no architecture is refused, saying where") {
  const Json good = Json::parse(R"({"architecture": 1, "output": "b", "nodes": [
    {"name": "a", "operation": "input", "inputs": [], "attributes": {"shape": [4]}},
    {"name": "b", "operation": "linear", "inputs": ["a"], "attributes": {"features": 2}}]})");
  CHECK(Architecture::from_json(good).cost().parameters == 10);
  const auto refusal = [&](const char* pointer, const Json& value) -> std::string {
    Json bad = good;
    bad[Json::json_pointer(pointer)] = value;
    try {
      Architecture::from_json(bad);
    } catch (const InvalidInput& error) {
      return error.what();
    }
    return "accepted";
  };
  CHECK_THAT(refusal("/architecture", 2), ContainsSubstring("architecture must be 1"));
  CHECK_THAT(refusal("/output", "c"), ContainsSubstring("output reads \"c\", which is not listed before it"));
  CHECK_THAT(refusal("/nodes/1/inputs/0", "b"), ContainsSubstring("node b reads \"b\""));
  CHECK_THAT(refusal("/nodes/1/operation", "lineal"), ContainsSubstring("unknown operation \"lineal\""));
  CHECK_THAT(refusal("/nodes/1/attributes/features", "two"), ContainsSubstring("node b (linear): features must be"));
  CHECK_THAT(refusal("/nodes/0/attributes/shape", {4, 8, 8}), ContainsSubstring("input shapes: 4 x 8 x 8"));
  for (const char* pointer : {"/nodes", "/output", "/architecture", "/nodes/0/name", "/nodes/1/inputs",
                              "/nodes/1/inputs/0", "/nodes/1/operation", "/nodes/1/attributes", "/nodes/1"}) {
    for (const Json& value : {Json(), Json(7), Json(Json::object()), Json(true)}) {
      INFO(pointer << " is " << value);
      CHECK(refusal(pointer, value) != "accepted");
    }
  }
  for (const char* text : {"null", "[]", "3", "{}"})
    CHECK_THROWS_AS(Architecture::from_json(Json::parse(text)), InvalidInput);
}

TEST_CASE("a candidate's hash covers its recipe") {
  const auto candidate = [](const Json& recipe) {
    ArchitectureBuilder graph;
    const NodeId input = graph.input(Shape::features(3));
    return Candidate{std::move(graph).build(input), recipe};
  };
  const Candidate one = candidate({{"lr", 0.1}});
  CHECK(one.hash() == Candidate::from_json(Json::parse(one.to_json().dump())).hash());
  CHECK(one.hash() != candidate({{"lr", 0.2}}).hash());
  CHECK(one.hash() != candidate(Json::object()).hash());
  CHECK_THROWS_AS(Candidate::from_json(Json::parse("{}")), InvalidInput);
}
