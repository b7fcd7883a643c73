// Every rule of the vocabulary against numbers worked out by hand.
#include "weft/operation.hpp"

#include "tests/catch.hpp"
#include "weft/architecture.hpp"

using namespace weft;

namespace {

// The node that `operation` makes of inputs with these shapes.
Node made(const char* operation, const Json& attributes, const std::vector<Shape>& inputs) {
  ArchitectureBuilder graph;
  std::vector<NodeId> ids;
  ids.reserve(inputs.size());
  for (const Shape& shape : inputs) {
    ids.push_back(graph.add("input", {{"shape", shape.to_json()}}, {}, "source_" + std::to_string(ids.size())));
  }
  const NodeId id = graph.add(operation, attributes, ids, "subject");
  const Architecture built = std::move(graph).build(id);
  return built.node(built.output());
}

std::string refusal(const char* operation, const Json& attributes, const std::vector<Shape>& inputs) {
  try {
    made(operation, attributes, inputs);
  } catch (const InvalidInput& error) {
    return error.what();
  }
  return "accepted";
}

const Shape image = Shape::image(6, 10, 8);

}  // namespace

TEST_CASE("conv2d: shape and cost") {
  // 3x3 on 6 x 10 x 8 to 4 channels, stride (2, 1), padding 1: (10+2-3)/2+1 = 5, (8+2-3)/1+1 = 8.
  const Node plain = made("conv2d", {{"channels", 4}, {"kernel", 3}, {"stride", {2, 1}}, {"padding", 1}}, {image});
  CHECK(plain.shape == Shape::image(4, 5, 8));
  CHECK(plain.cost == Cost{.parameters = 4 * 6 * 9, .multiply_adds = 216 * 40, .activation_bytes = 4 * 160});
  CHECK(plain.attributes.at("kernel") == Json({3, 3}));

  // Depthwise with bias, dilation 2: reach 5, so 10-5+1 = 6 and 8-5+1 = 4; one filter of 9 weights per channel.
  const Node depthwise =
      made("conv2d", {{"channels", 6}, {"kernel", 3}, {"dilation", 2}, {"groups", 6}, {"bias", true}}, {image});
  CHECK(depthwise.shape == Shape::image(6, 6, 4));
  CHECK(depthwise.cost == Cost{.parameters = 6 * 9 + 6, .multiply_adds = 54 * 24, .activation_bytes = 4 * 144});

  // 1x7 in 2 groups: each of 8 filters sees 3 channels.
  const Node grouped =
      made("conv2d", {{"channels", 8}, {"kernel", {1, 7}}, {"padding", {0, 3}}, {"groups", 2}}, {image});
  CHECK(grouped.shape == Shape::image(8, 10, 8));
  CHECK(grouped.cost.parameters == 8 * 3 * 7);
}

TEST_CASE("conv2d: refusals") {
  CHECK_THAT(refusal("conv2d", {{"channels", 4}, {"kernel", 3}, {"groups", 4}}, {image}),
             ContainsSubstring("node subject (conv2d)") && ContainsSubstring("groups (4)") &&
                 ContainsSubstring("input shapes: 6 x 10 x 8"));
  CHECK_THAT(refusal("conv2d", {{"channels", 4}, {"kernel", {11, 1}}}, {image}),
             ContainsSubstring("a window of 11 does not fit an extent of 10"));
  CHECK_THAT(refusal("conv2d", {{"channels", 4}}, {image}), ContainsSubstring("\"kernel\" must be given"));
  CHECK_THAT(refusal("conv2d", {{"channels", 0}, {"kernel", 1}}, {image}), ContainsSubstring("channels must be"));
  CHECK_THAT(refusal("conv2d", {{"channels", 4}, {"kernel", 1.5}}, {image}), ContainsSubstring("kernel must be"));
  CHECK_THAT(refusal("conv2d", {{"channels", 4}, {"kernel", {1, 2, 3}}}, {image}), ContainsSubstring("kernel must be"));
  CHECK_THAT(refusal("conv2d", {{"channels", 4}, {"kernel", 1}, {"stride", 0}}, {image}),
             ContainsSubstring("stride must be"));
  CHECK_THAT(refusal("conv2d", {{"channels", 4}, {"kernel", 1}, {"bias", 1}}, {image}),
             ContainsSubstring("bias must be"));
  CHECK_THAT(refusal("conv2d", {{"channels", 4}, {"kernel", 1}, {"filters", 3}}, {image}),
             ContainsSubstring("unknown attribute \"filters\"; known are bias, channels"));
  CHECK_THAT(refusal("conv2d", {{"channels", 4}, {"kernel", 1}}, {Shape::features(6)}),
             ContainsSubstring("needs an image"));
  CHECK_THAT(refusal("conv2d", {{"channels", 4}, {"kernel", 1}}, {image, image}),
             ContainsSubstring("takes 1 inputs, not 2"));
  CHECK_THAT(refusal("convolution", {}, {image}), ContainsSubstring("unknown operation \"convolution\"; known are"));
}

// As where one library has a space and the operation that its graphs have.
TEST_CASE("an operation of a plugin is found while its making adopts the source anew") {
  const auto reset = [] { Operations::set_source({}); };
  Operations::Source source;
  source = [&](std::string_view name) -> std::optional<weft::OperationRule> {
    Operations::set_source(source);
    if (name != "handed_on") return {};
    return weft::OperationRule{
        .name = "handed_on",
        .infer = [](weft::Json&, weft::OperationRule::Shapes inputs) { return inputs[0]; },
        .cost = [](const weft::Json&, weft::OperationRule::Shapes, const Shape&) { return Cost{}; }};
  };
  Operations::set_source(source);
  CHECK(Operations::built_in().find("handed_on").name == "handed_on");
  CHECK_THROWS_WITH(Operations::built_in().find("lost"), ContainsSubstring("unknown operation \"lost\""));
  reset();
  CHECK(Operations::built_in().find("handed_on").name == "handed_on");  // once found, it stays
}

TEST_CASE("linear: shape and cost on vectors and sequences") {
  const Node vector = made("linear", {{"features", 10}}, {Shape::features(32)});
  CHECK(vector.shape == Shape::features(10));
  CHECK(vector.cost == Cost{.parameters = 330, .multiply_adds = 320, .activation_bytes = 40});
  const Node sequence = made("linear", {{"features", 10}, {"bias", false}}, {Shape::sequence(5, 32)});
  CHECK(sequence.shape == Shape::sequence(5, 10));
  CHECK(sequence.cost == Cost{.parameters = 320, .multiply_adds = 1600, .activation_bytes = 200});
  CHECK_THAT(refusal("linear", {{"features", 10}}, {image}),
             ContainsSubstring("put flatten or global_avg_pool before it"));
}

TEST_CASE("batch_norm: two parameters per channel if affine") {
  CHECK(made("batch_norm", {}, {image}).cost == Cost{.parameters = 12, .activation_bytes = 4 * 480});
  CHECK(made("batch_norm", {{"affine", false}}, {image}).cost.parameters == 0);
  CHECK(made("batch_norm", {}, {Shape::features(5)}).cost.parameters == 10);
  CHECK_THAT(refusal("batch_norm", {{"eps", 0}}, {image}), ContainsSubstring("eps must be in (0, 1], not 0"));
  CHECK_THAT(refusal("batch_norm", {{"momentum", 1.5}}, {image}), ContainsSubstring("momentum must be in (0, 1]"));
}

TEST_CASE("pooling: extents as in LibTorch, with and without ceil") {
  for (const char* operation : {"max_pool", "avg_pool"}) {
    // (10+2-3)/2+1 = 5, (8+2-3)/2+1 = 4.
    const Node floor = made(operation, {{"kernel", 3}, {"stride", 2}, {"padding", 1}}, {image});
    CHECK(floor.shape == Shape::image(6, 5, 4));
    CHECK(floor.cost == Cost{.activation_bytes = 4 * 120});
    // Ceil: (10-3)/2 and (8-3)/2 rounded up, plus 1.
    CHECK(made(operation, {{"kernel", 3}, {"stride", 2}, {"ceil", true}}, {image}).shape == Shape::image(6, 5, 4));
    CHECK(made(operation, {{"kernel", 3}, {"stride", 2}}, {image}).shape == Shape::image(6, 4, 3));
    // Ceil would start a window in the right padding, which LibTorch leaves out: of extent 5, (5+2-2)/3 rounded up,
    // plus 1, less 1.
    CHECK(made(operation, {{"kernel", 2}, {"stride", 3}, {"padding", 1}, {"ceil", true}}, {Shape::image(1, 5, 6)})
              .shape == Shape::image(1, 2, 3));
    CHECK_THAT(refusal(operation, {{"kernel", 3}, {"padding", 2}}, {image}),
               ContainsSubstring("padding must not exceed half of the kernel"));
    CHECK_THAT(refusal(operation, {{"kernel", 3}}, {Shape::features(3)}), ContainsSubstring("needs an image"));
  }
  CHECK(made("avg_pool", {{"kernel", 2}}, {image}).attributes.at("count_include_pad") == false);
  CHECK_THAT(refusal("max_pool", {{"kernel", 2}, {"count_include_pad", true}}, {image}),
             ContainsSubstring("unknown attribute"));
}

TEST_CASE("reshaping operations") {
  CHECK(made("global_avg_pool", {}, {image}).shape == Shape::features(6));
  CHECK(made("global_avg_pool", {}, {image}).cost == Cost{.activation_bytes = 24});
  CHECK(made("flatten", {}, {image}).shape == Shape::features(480));
  CHECK(made("flatten", {}, {image}).cost == Cost{});
  CHECK(made("identity", {}, {image}).shape == image);
  CHECK(made("identity", {}, {image}).cost == Cost{});
  CHECK(made("shift", {}, {image}).shape == image);
  CHECK(made("zero", {{"stride", 2}}, {Shape::image(6, 9, 8)}).shape == Shape::image(6, 5, 4));
  CHECK(made("zero", {}, {Shape::features(3)}).shape == Shape::features(3));
  CHECK_THAT(refusal("zero", {{"stride", 2}}, {Shape::features(3)}), ContainsSubstring("stride needs an image"));
  CHECK_THAT(refusal("shift", {}, {Shape::features(3)}), ContainsSubstring("needs an image"));
  CHECK_THAT(refusal("global_avg_pool", {}, {Shape::features(3)}), ContainsSubstring("needs an image"));
}

TEST_CASE("merging operations") {
  for (const char* operation : {"add", "multiply"}) {
    CHECK(made(operation, {}, {image, image, image}).shape == image);
    CHECK(made(operation, {}, {image, image}).cost == Cost{.activation_bytes = 4 * 480});
    CHECK_THAT(refusal(operation, {}, {image, Shape::image(6, 10, 9)}),
               ContainsSubstring("same shape") && ContainsSubstring("6 x 10 x 8, 6 x 10 x 9"));
    CHECK_THAT(refusal(operation, {}, {}), ContainsSubstring("takes at least 1 inputs, not 0"));
  }
  CHECK(made("concat", {}, {image, Shape::image(2, 10, 8)}).shape == Shape::image(8, 10, 8));
  CHECK(made("concat", {}, {Shape::features(3), Shape::features(4)}).shape == Shape::features(7));
  CHECK_THAT(refusal("concat", {}, {image, Shape::image(2, 5, 4)}), ContainsSubstring("may differ in channels only"));
  CHECK_THAT(refusal("concat", {}, {Shape::image(3, 1, 1), Shape::features(3)}), ContainsSubstring("channels only"));
}

TEST_CASE("activation and dropout operations") {
  for (const std::string& function : activation_functions()) {
    CHECK(made("activation", {{"function", function}}, {image}).cost == Cost{.activation_bytes = 4 * 480});
  }
  CHECK_THAT(refusal("activation", {{"function", "relu7"}}, {image}),
             ContainsSubstring("unknown activation \"relu7\""));
  CHECK(made("dropout", {{"probability", 0}}, {image}).attributes.dump() == R"({"probability":0.0})");
  CHECK_THAT(refusal("dropout", {{"probability", 1.0}}, {image}), ContainsSubstring("must be in [0, 1), not 1.0"));
  CHECK(made("drop_path", {{"scale", 1}}, {image}).attributes == made("drop_path", {}, {image}).attributes);
  CHECK_THAT(refusal("drop_path", {{"scale", 1.1}}, {image}), ContainsSubstring("scale must be in [0, 1]"));
}

TEST_CASE("choice: one option per input, all of one shape") {
  const Node choice = made("choice", {{"decision", "edge 1"}, {"options", {"skip", "conv"}}}, {image, image});
  CHECK(choice.shape == image);
  CHECK_THAT(refusal("choice", {{"decision", "edge 1"}, {"options", {"skip"}}}, {image, image}),
             ContainsSubstring("options must name each of the 2 inputs"));
  CHECK_THAT(refusal("choice", {{"decision", 1}, {"options", {"skip"}}}, {image}),
             ContainsSubstring("decision must be"));
  CHECK_THAT(refusal("choice", {{"decision", "edge 1"}, {"options", {"skip", "conv"}}}, {image, Shape::features(6)}),
             ContainsSubstring("same shape"));
}

TEST_CASE("a vocabulary may be extended, and commutative operations of it hash as such") {
  Operations operations = Operations::built_in();
  OperationRule maximum = operations.find("add");
  maximum.name = "maximum";
  operations.add(maximum);
  const auto hash = [&](bool swapped) {
    ArchitectureBuilder graph(operations);
    const NodeId input = graph.input(Shape::features(3));
    const NodeId left = graph.add("activation", {{"function", "relu"}}, {input});
    const NodeId right = graph.add("activation", {{"function", "elu"}}, {input});
    return std::move(graph)
        .build(swapped ? graph.add("maximum", {}, {right, left}) : graph.add("maximum", {}, {left, right}))
        .canonical_hash();
  };
  CHECK(hash(false) == hash(true));
  CHECK_THROWS_AS(Operations::built_in().find("maximum"), InvalidInput);
}

TEST_CASE("scale, pad and weighted_sum: shapes and costs") {
  CHECK(made("scale", {}, {image, Shape::features(6)}).shape == image);
  CHECK_THAT(refusal("scale", {}, {image, Shape::features(5)}), ContainsSubstring("one feature for each channel"));
  // 10 + 1 + 2 rows, 8 + 3 + 4 columns, two more channels.
  CHECK(made("pad", {{"channels", 2}, {"padding", {1, 2, 3, 4}}}, {image}).shape == Shape::image(8, 13, 15));
  CHECK_THAT(refusal("pad", {{"padding", {1, 2}}}, {image}), ContainsSubstring("padding must be [top, bottom, left"));
  CHECK_THAT(refusal("pad", {{"channels", -1}}, {image}), ContainsSubstring("channels must be an integer >= 0"));
  CHECK(made("resize", {{"channels", 2}, {"height", 5}, {"width", 20}}, {image}).shape == Shape::image(2, 5, 20));
  CHECK_THAT(refusal("resize", {{"channels", 2}, {"height", 0}, {"width", 1}}, {image}),
             ContainsSubstring("height must be"));
  CHECK(made("slice", {{"from", 4}, {"channels", 2}}, {image}).shape == Shape::image(2, 10, 8));
  CHECK_THAT(refusal("slice", {{"from", 5}, {"channels", 2}}, {image}),
             ContainsSubstring("channels 5 to 6 are not all"));
  CHECK_THAT(refusal("slice", {{"from", -1}, {"channels", 2}}, {image}), ContainsSubstring("from must be"));
  CHECK(made("mean", {}, {image, image, image}).shape == image);
  CHECK_THAT(refusal("mean", {}, {image, Shape::features(6)}), ContainsSubstring("the same shape"));
  CHECK(made("weighted_sum", {}, {image, image, image}).cost.parameters == 3);
  CHECK_THAT(refusal("weighted_sum", {}, {image, Shape::features(6)}), ContainsSubstring("the same shape"));
}

TEST_CASE("learned_group_conv: the cost of the condensed layer") {
  // Each of 8 filters reads a third of 6 inputs, at 80 positions.
  const Node node = made("learned_group_conv", {{"channels", 8}, {"groups", 4}, {"condensation", 3}}, {image});
  CHECK(node.shape == Shape::image(8, 10, 8));
  CHECK(node.cost == Cost{.parameters = 8 * 2, .multiply_adds = 16 * 80, .activation_bytes = 4 * 640});
  CHECK_THAT(refusal("learned_group_conv", {{"channels", 8}}, {image}), ContainsSubstring("condensation (4)"));
  CHECK_THAT(refusal("learned_group_conv", {{"channels", 9}, {"condensation", 3}}, {image}),
             ContainsSubstring("groups (4) must divide channels (9)"));
}

TEST_CASE("embedding and locked_dropout are of sequences") {
  const Node node = made("embedding", {{"vocabulary", 50}, {"features", 8}}, {Shape::sequence(35, 1)});
  CHECK(node.shape == Shape::sequence(35, 8));
  CHECK(node.cost == Cost{.parameters = 400, .multiply_adds = 0, .activation_bytes = 4 * 280});
  CHECK_THAT(refusal("embedding", {{"vocabulary", 50}, {"features", 8}}, {Shape::sequence(35, 2)}),
             ContainsSubstring("a sequence of token numbers"));
  CHECK_THAT(refusal("embedding", {{"vocabulary", 50}, {"features", 8}, {"dropout", 1}}, {Shape::sequence(35, 1)}),
             ContainsSubstring("dropout must be in [0, 1)"));
  CHECK_THAT(refusal("locked_dropout", {{"probability", 0.5}}, {image}), ContainsSubstring("needs a sequence"));
}

TEST_CASE("tied_linear has the weights of an embedding of as many features as it reads") {
  const Shape read = Shape::sequence(35, 8);
  const Node node = made("tied_linear", {{"features", 50}}, {read, read});
  CHECK(node.shape == Shape::sequence(35, 50));
  CHECK(node.cost == Cost{.parameters = 50, .multiply_adds = 35 * 8 * 50, .activation_bytes = 4 * 35 * 50});
  CHECK(made("tied_linear", {{"features", 50}, {"bias", false}}, {read, read}).cost.parameters == 0);
  CHECK_THAT(refusal("tied_linear", {{"features", 50}}, {read, Shape::sequence(35, 9)}),
             ContainsSubstring("an embedding of as many features"));
}

TEST_CASE("tied_linear has the weights of a linear layer of as many features as it has itself") {
  const Node node = made("tied_linear", {{"features", 6}, {"bias", false}}, {Shape::features(8), Shape::features(6)});
  CHECK(node.shape == Shape::features(6));
  CHECK(node.cost == Cost{.parameters = 0, .multiply_adds = 8 * 6, .activation_bytes = 4 * 6});
  CHECK(made("tied_linear", {{"features", 6}}, {Shape::sequence(35, 8), Shape::sequence(35, 6)}).cost.multiply_adds ==
        35 * 8 * 6);
  CHECK_THAT(refusal("tied_linear", {{"features", 6}}, {Shape::features(8), Shape::features(7)}),
             ContainsSubstring("a linear layer of as many features as it has"));
  CHECK_THAT(refusal("tied_linear", {{"features", 6}}, {image, image}), ContainsSubstring("tied_linear needs"));
}

TEST_CASE("highway and slowness keep the shape, and have no parameters") {
  const Shape vector = Shape::features(8);
  const Node highway = made("highway", Json::object(), {vector, vector, vector});
  CHECK(highway.shape == vector);
  CHECK(highway.cost == Cost{.parameters = 0, .multiply_adds = 0, .activation_bytes = 4 * 8});
  CHECK_THAT(refusal("highway", Json::object(), {vector, vector, Shape::features(7)}),
             ContainsSubstring("the same shape"));
  CHECK_THAT(refusal("highway", Json::object(), {vector, vector}), ContainsSubstring("takes 3 inputs"));
  CHECK(made("slowness", {{"weight", 1}}, {Shape::sequence(35, 8)}).cost == Cost());
  CHECK_THAT(refusal("slowness", {{"weight", -1}}, {Shape::sequence(35, 8)}), ContainsSubstring("[0, infinity)"));
  CHECK_THAT(refusal("slowness", {{"weight", 1}}, {vector}), ContainsSubstring("needs a sequence"));
}

TEST_CASE("recurrent: parameters once, multiply-adds at every position") {
  ArchitectureBuilder cell;
  const NodeId x = cell.add("input", {{"shape", {8}}}, {}, "x"), h = cell.add("input", {{"shape", {6}}}, {}, "h");
  const NodeId sum = cell.add(
      "add", {},
      {cell.add("linear", {{"features", 6}}, {x}), cell.add("linear", {{"features", 6}, {"bias", false}}, {h})});
  const Json attributes = {{"cell", std::move(cell).build(sum).to_json()}};
  const Node node = made("recurrent", attributes, {Shape::sequence(35, 8)});
  CHECK(node.shape == Shape::sequence(35, 6));
  CHECK(node.cost.parameters == 8 * 6 + 6 + 6 * 6);
  CHECK(node.cost.multiply_adds == 35 * (8 * 6 + 6 * 6));
  CHECK_THAT(refusal("recurrent", attributes, {Shape::features(8)}), ContainsSubstring("needs a sequence"));
}
