// DARTS: the official code's counts (quark0/darts; operations with 16 channels at 16 x 16; networks without the
// auxiliary head, with 10 classes for CIFAR and 1,000 for ImageNet), notation, space.

#include "tests/catch.hpp"
#include "weft/blocks.hpp"
#include "weft/space.hpp"
#include "weft/testing/library.hpp"
#include "weft/testing/space_contract.hpp"

namespace {

namespace blocks = weft::blocks;
using weft::Json;
using weft::NodeId;
using weft::testing::Instance;
using weft::testing::Plugin;

Instance open_space(const Json& args, const Json& input = {3, 32, 32}, int classes = 10) {
  return Instance(Plugin::open("space", "darts"), args,
                  {.study = {{"task", {{"input", input}, {"classes", classes}}}}});
}

weft::Architecture decode(const Instance& instance, const std::string& notation) {
  const weft::SpaceRef space(instance.handle());
  return space.decode(space.parse(notation)).architecture;
}

// quark0/darts, cnn/genotypes.py.
const std::string nasnet =
    "Genotype(normal=[('sep_conv_5x5', 1), ('sep_conv_3x3', 0), ('sep_conv_5x5', 0), ('sep_conv_3x3', 0), "
    "('avg_pool_3x3', 1), ('skip_connect', 0), ('avg_pool_3x3', 0), ('avg_pool_3x3', 0), ('sep_conv_3x3', 1), "
    "('skip_connect', 1)], normal_concat=[2, 3, 4, 5, 6], reduce=[('sep_conv_5x5', 1), ('sep_conv_7x7', 0), "
    "('max_pool_3x3', 1), ('sep_conv_7x7', 0), ('avg_pool_3x3', 1), ('sep_conv_5x5', 0), ('skip_connect', 3), "
    "('avg_pool_3x3', 2), ('sep_conv_3x3', 2), ('max_pool_3x3', 1)], reduce_concat=[4, 5, 6])";
const std::string darts_v1 =
    "Genotype(normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0), ('sep_conv_3x3', 1), "
    "('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 2)], normal_concat=[2, 3, 4, 5], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 0), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('avg_pool_3x3', 0)], reduce_concat=[2, 3, 4, 5])";

}  // namespace

TEST_CASE("darts keeps the contract of spaces") {
  const Json grey = {{"input", {1, 28, 28}}, {"classes", 10}};
  weft::testing::check_space(Plugin::open("space", "darts"), {{"layers", 3}, {"channels", 4}, {"auxiliary", true}},
                             {{"task", grey}});
  const Json large = {{"input", {3, 64, 64}}, {"classes", 12}};
  weft::testing::check_space(Plugin::open("space", "darts"), {{"layers", 2}, {"channels", 4}, {"template", "imagenet"}},
                             {{"task", large}});
}

TEST_CASE("darts: parameters and shapes of the operations") {
  struct Row {
    const char* operation;
    std::int64_t stride;
    std::int64_t affine;
    std::int64_t not_affine;
  };
  const auto row = GENERATE(values<Row>({{"none", 1, 0, 0},
                                         {"none", 2, 0, 0},
                                         {"max_pool_3x3", 1, 0, 0},
                                         {"max_pool_3x3", 2, 0, 0},
                                         {"avg_pool_3x3", 1, 0, 0},
                                         {"avg_pool_3x3", 2, 0, 0},
                                         {"skip_connect", 1, 0, 0},
                                         {"skip_connect", 2, 288, 256},
                                         {"sep_conv_3x3", 1, 864, 800},
                                         {"sep_conv_3x3", 2, 864, 800},
                                         {"sep_conv_5x5", 1, 1376, 1312},
                                         {"sep_conv_5x5", 2, 1376, 1312},
                                         {"sep_conv_7x7", 1, 2144, 2080},
                                         {"sep_conv_7x7", 2, 2144, 2080},
                                         {"dil_conv_3x3", 1, 432, 400},
                                         {"dil_conv_3x3", 2, 432, 400},
                                         {"dil_conv_5x5", 1, 688, 656},
                                         {"dil_conv_5x5", 2, 688, 656},
                                         {"conv_7x1_1x7", 1, 3616, 3584},
                                         {"conv_7x1_1x7", 2, 3616, 3584}}));
  const bool affine = GENERATE(true, false);
  CAPTURE(row.operation, row.stride, affine);
  const std::string operation = row.operation;
  const std::int64_t kernel = operation.back() - '0';
  weft::ArchitectureBuilder graph;
  const NodeId input = graph.input(weft::Shape::image(16, 16, 16));
  NodeId output = input;
  if (operation == "none") output = graph.add("zero", {{"stride", row.stride}}, {input});
  if (operation == "max_pool_3x3") output = blocks::pool(graph, input, "max_pool", 3, row.stride);
  if (operation == "avg_pool_3x3") output = blocks::pool(graph, input, "avg_pool", 3, row.stride);
  if (operation == "skip_connect" && row.stride == 2) output = blocks::factorized_reduction(graph, input, 16, affine);
  if (operation.starts_with("sep_conv")) output = blocks::separable_conv(graph, input, 16, kernel, row.stride, affine);
  if (operation.starts_with("dil_conv")) output = blocks::dilated_conv(graph, input, 16, kernel, row.stride, affine);
  if (operation == "conv_7x1_1x7") output = blocks::factorized_conv(graph, input, 16, 7, row.stride, affine);
  CHECK(graph.shape(output) == weft::Shape::image(16, 16 / row.stride, 16 / row.stride));
  CHECK(std::move(graph).build(output).cost().parameters == (affine ? row.affine : row.not_affine));
}

TEST_CASE("darts: evaluation networks for CIFAR") {
  struct Row {
    const std::string& genotype;
    int channels;
    int layers;
    std::int64_t parameters;
    std::int64_t multiply_adds;
  };
  for (const Row& row : {Row{nasnet, 36, 20, 3830950, 603452448}, Row{nasnet, 16, 8, 333946, 56224896},
                         Row{darts_v1, 36, 20, 3169414, 500987520}, Row{darts_v1, 16, 8, 232890, 41355776},
                         Row{darts_v1, 8, 5, 35058, 7066880}}) {
    CAPTURE(row.genotype, row.channels, row.layers);
    for (const bool auxiliary : {false, true}) {
      const Instance instance =
          open_space({{"channels", row.channels}, {"layers", row.layers}, {"auxiliary", auxiliary}});
      const weft::Architecture network = decode(instance, row.genotype);
      CHECK(network.cost().parameters == row.parameters);
      CHECK(network.cost().multiply_adds == row.multiply_adds);
      CHECK(network.auxiliary().has_value() == auxiliary);
    }
  }
}

TEST_CASE("darts: evaluation networks for ImageNet") {
  const Json args = {{"template", "imagenet"}, {"channels", 48}, {"layers", 14}, {"auxiliary", true}};
  const Instance instance = open_space(args, {3, 224, 224}, 1000);
  CHECK(decode(instance, nasnet).cost().parameters == 5564320);
  CHECK(decode(instance, darts_v1).cost().parameters == 4510432);
}

TEST_CASE("darts: notation") {
  const Instance instance = open_space({{"layers", 3}, {"channels", 4}});
  const weft::SpaceRef space(instance.handle());
  weft::Rng rng(3);
  for (int i = 0; i < 50; ++i) {
    const weft::Genotype genotype = space.sample(rng);
    CHECK(space.parse(space.notation(genotype)) == genotype);
  }
  CHECK(space.parse(darts_v1).opaque.is_null());
  CHECK(space.notation(space.parse(darts_v1)) == darts_v1);
  CHECK(space.parse(nasnet).opaque.at("reduce_concat") == Json({4, 5, 6}));
  CHECK(space.notation(space.parse(nasnet)) == nasnet);
  std::string printed = darts_v1;
  for (std::size_t at; (at = printed.find("[2, 3, 4, 5]")) != std::string::npos;)
    printed.replace(at, 12, "range(2, 6)");
  CHECK(space.parse(printed) == space.parse(darts_v1));
}

// Section 3.1.1: (product over k of (k+1)k/2 x 7^2), about 10^9 cells of each kind. Here the two operations of a node
// come in an order, which doubles the count at each of four nodes.
TEST_CASE("darts: size of the space") {
  const Instance instance = open_space(Json::object());
  const weft::SpaceRef space(instance.handle());
  double size = 1;
  std::vector<std::int32_t> taken;
  while (taken.size() < 16) {
    size *= static_cast<double>(space.next(taken)->options.size());
    taken.push_back(0);
  }
  CHECK(size / 16 == 180.0 * 49 * 49 * 49 * 49);
}

TEST_CASE("darts: the order of a node's operations is not encoded") {
  const Instance instance = open_space(Json::object());
  const weft::SpaceRef space(instance.handle());
  CHECK(space.encoding_length() == 2 * 14 * 7);
  std::string swapped = darts_v1;
  swapped.replace(swapped.find("('sep_conv_3x3', 1), ('sep_conv_3x3', 0)"), 40,
                  "('sep_conv_3x3', 0), ('sep_conv_3x3', 1)");
  REQUIRE(space.parse(swapped) != space.parse(darts_v1));
  CHECK(space.encode(space.parse(swapped)) == space.encode(space.parse(darts_v1)));
  CHECK(space.decode(space.parse(swapped)).hash() == space.decode(space.parse(darts_v1)).hash());
  CHECK_THROWS_AS(space.encode(space.parse(nasnet)), weft::InvalidInput);
}

TEST_CASE("darts: what is malformed is refused with its place") {
  const Instance instance = open_space({{"layers", 3}, {"channels", 4}});
  const weft::SpaceRef space(instance.handle());
  CHECK_THROWS_WITH(space.parse("Genotype(normal=[('sep_conv_3x3' 1)"), Catch::Contains("position 33: expected \",\""));
  const auto with = [](const std::string& from, const std::string& to) {
    std::string text = darts_v1;
    return text.replace(text.find(from), from.size(), to);
  };
  CHECK_THROWS_WITH(space.parse(with("sep_conv_3x3", "sep_conv_9x9")),
                    Catch::Contains("unknown operation \"sep_conv_9x9\""));
  CHECK_THROWS_WITH(space.parse(with("('sep_conv_3x3', 1)", "('sep_conv_3x3', 2)")),
                    Catch::Contains("node 2 reads state 2"));
  CHECK_THROWS_WITH(space.parse(with("normal_concat=[2", "normal_concat=[3")),
                    Catch::Contains("concatenates state 3 twice"));
  CHECK_THROWS_WITH(space.parse(with("('sep_conv_3x3', 1), ", "")), Catch::Contains("has 7 operations"));
  CHECK_THROWS_WITH(space.decode(space.parse(with("reduce_concat=[2", "reduce_concat=[0"))),
                    Catch::Contains("channels only"));
  CHECK_THROWS_WITH(open_space(Json::object(), {128}), Catch::Contains("darts needs an image"));
}
