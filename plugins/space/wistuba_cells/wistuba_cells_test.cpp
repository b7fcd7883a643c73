// Cells: what the trivial one costs, what each mutation makes of all the cells, and what is refused.

#include <algorithm>
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "weft/space.hpp"
#include "weft/tensors.hpp"
#include "weft/testing/library.hpp"
#include "weft/testing/space_contract.hpp"

namespace {

using weft::Architecture;
using weft::Genotype;
using weft::Json;
using weft::testing::Instance;
using weft::testing::Plugin;

const Json task = {{"task", {{"input", {3, 8, 8}}, {"classes", 10}}}};

// A genotype, and morphs of it one after the other.
struct Lineage {
  explicit Lineage(const Json& args = {{"stages", 2}, {"cells", 2}, {"filters", 4}})
      : instance(Plugin::open("space", "wistuba_cells"), args, {.study = task}),
        space(instance.handle()),
        genotype(space.parse("trivial")) {}

  Architecture network() const { return space.decode(genotype).architecture; }
  // The last transfer is that of the parent to the child.
  void morph(const Json& morph) {
    const Architecture parent = network();
    weft::Morphisms::Child child = space.morph(genotype, morph, rng);
    genotype = child.genotype;
    transfer = child.transfer;
    weft::check_transfer(parent, network(), transfer);
  }

  Instance instance;
  weft::SpaceRef space;
  Genotype genotype;
  weft::WeightTransfer transfer;
  weft::Rng rng{1};
};

const weft::Node& node(const Architecture& graph, const std::string& name) {
  const auto found =
      std::find_if(graph.nodes().begin(), graph.nodes().end(), [&](const auto& node) { return node.name == name; });
  if (found == graph.nodes().end()) throw weft::InvalidInput("no node " + name);
  return *found;
}

// Of the convolution in the first and in the last cell.
std::vector<std::int64_t> channels(const Architecture& graph, const std::string& name) {
  return {node(graph, "stage 1/cell 1/" + name).shape.channels, node(graph, "stage 2/cell 2/" + name).shape.channels};
}
using Counts = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("wistuba_cells keeps the contract of spaces") {
  weft::testing::check_space(Plugin::open("space", "wistuba_cells"),
                             {{"stages", 2}, {"cells", 2}, {"filters", 4}, {"max_channels", 16}, {"sampled_morphs", 6}},
                             task);
  weft::testing::check_space(Plugin::open("space", "wistuba_cells"),
                             {{"stages", 1},
                              {"filters", 3},
                              {"morphs", {"widen", "branch", "skip"}},
                              {"factors", {2, 3}},
                              {"sampled_morphs", 4}},
                             {{"task", {{"input", {1, 5, 4}}, {"classes", 3}}}});
}

TEST_CASE("wistuba_cells: the trivial cell") {
  // Convolutions with their batch norms: stem 3 to 4, two cells 4 to 4, reduction 4 to 8, two cells 8 to 8; classifier.
  CHECK(Lineage().network().cost().parameters ==
        (27 * 4 + 8) + 2 * (36 * 4 + 8) + (4 * 8 + 16) + 2 * (72 * 8 + 16) + (8 * 10 + 10));
  CHECK(Lineage().network().cost().multiply_adds == 64 * (27 * 4 + 2 * 36 * 4 + 4 * 8) + 16 * 2 * 72 * 8 + 80);
}

TEST_CASE("wistuba_cells: every cell changes, and its channels double with the stage") {
  Lineage lineage;
  lineage.morph({{"morph", "deepen"}, {"at", "activation 1"}, {"kernel", 5}});
  Architecture network = lineage.network();
  for (const char* cell : {"stage 1/cell 1/", "stage 1/cell 2/", "stage 2/cell 1/", "stage 2/cell 2/"}) {
    CHECK(node(network, cell + std::string("conv2d 2")).attributes.at("kernel") == Json{5, 5});
    CHECK(node(network, cell + std::string("activation 2")).operation == "activation");
  }
  // A layer within the cell: nothing else is wider.
  lineage.morph({{"morph", "widen"}, {"at", "conv2d 1"}, {"factor", 2}});
  network = lineage.network();
  CHECK(channels(network, "conv2d 1") == Counts{8, 16});
  CHECK(channels(network, "conv2d 2") == Counts{4, 8});
  CHECK(node(network, "stem/conv2d").shape.channels == 4);
  // The last layer: the next cells read more, and the stem and the reduction make as many.
  lineage.morph({{"morph", "widen"}, {"at", "conv2d 2"}, {"to", 6}});
  network = lineage.network();
  CHECK(channels(network, "conv2d 2") == Counts{6, 12});
  CHECK(channels(network, "input") == Counts{6, 12});
  CHECK(node(network, "stem/conv2d").shape.channels == 6);
  CHECK(node(network, "reduction 1/conv2d").shape.channels == 12);
  for (const auto& step : lineage.transfer.steps) CHECK(step.morph == "widen conv2d 2, to 6");
  lineage.morph({{"morph", "branch"}, {"at", "conv2d 2"}});
  network = lineage.network();
  CHECK(channels(network, "conv2d 2") == Counts{3, 6});
  CHECK(channels(network, "conv2d 3") == Counts{3, 6});
  CHECK(channels(network, "activation 3") == Counts{3, 6});
  CHECK(channels(network, "concat 1") == Counts{6, 12});
  lineage.morph({{"morph", "separate"}, {"at", "conv2d 1"}});
  network = lineage.network();
  CHECK(node(network, "stage 2/cell 2/conv2d 1").attributes.at("kernel") == Json{1, 1});
  CHECK(node(network, "stage 2/cell 2/conv2d 4").attributes.at("groups") == 12);
}

// A sum with the cell's input ties the widths of all cells of a stage, and that of what comes before.
TEST_CASE("wistuba_cells: sums over the whole cell widen together") {
  Lineage lineage;
  lineage.morph({{"morph", "skip"}, {"from", "input"}, {"at", "activation 1"}, {"by", "addition"}});
  CHECK(channels(lineage.network(), "add 1") == Counts{4, 8});
  lineage.morph({{"morph", "widen"}, {"at", "conv2d 1"}, {"factor", 3}});
  CHECK(channels(lineage.network(), "add 1") == Counts{12, 24});
  CHECK(node(lineage.network(), "reduction 1/conv2d").shape.channels == 24);
}

// Beside the cell's output: it gets wider, and so does what the first cell reads; of the input itself it never ends.
TEST_CASE("wistuba_cells: concatenations at the cell's end") {
  Lineage lineage;
  lineage.morph({{"morph", "deepen"}, {"at", "activation 1"}, {"kernel", 3}});
  lineage.morph({{"morph", "skip"}, {"from", "activation 1"}, {"at", "activation 2"}, {"by", "concatenation"}});
  CHECK(channels(lineage.network(), "concat 1") == Counts{8, 16});
  CHECK(node(lineage.network(), "stem/conv2d").shape.channels == 8);
  CHECK_THROWS_WITH(lineage.morph({{"morph", "skip"}, {"from", "input"}, {"at", "concat 1"}, {"by", "concatenation"}}),
                    ContainsSubstring("must be as its input"));
}

TEST_CASE("wistuba_cells: a cell is built into networks of other sizes") {
  Lineage lineage;
  lineage.morph({{"morph", "widen"}, {"at", "conv2d 1"}, {"factor", 2}});
  const Lineage larger({{"stages", 3}, {"cells", 4}, {"filters", 64}});
  const Architecture network = larger.space.decode(lineage.genotype).architecture;
  CHECK(node(network, "stage 3/cell 4/conv2d 1").shape == weft::Shape::image(32, 2, 2));
}

TEST_CASE("wistuba_cells: what is no cell, no morph or no option is refused") {
  Lineage lineage;
  const auto refused = [&](Json cell, const char* why) {
    CHECK_THROWS_WITH(lineage.space.parse(cell.dump()), ContainsSubstring(why));
  };
  const Json cell = Json::parse(lineage.space.notation(lineage.genotype));
  const auto with = [&](const char* pointer, const Json& value) {
    Json changed = cell;
    changed[Json::json_pointer(pointer)] = value;
    return changed;
  };
  refused(with("/channels", 5), "must be as its input");
  refused(with("/channels", 0), "channels must be a positive integer");
  refused(with("/output", "no"), "reads no, which is not before it");
  refused(with("/nodes/0/operation", "linear"), "is a linear, none of");
  refused(with("/nodes/0/atributes", 1), "has atributes");
  refused(with("/nodes/0/name", "a/b"), "may be called a/b");
  refused(with("/nodes/0/attributes/stride", 2), "must keep height and width");
  refused(with("/nodes/0/attributes/groups", 2), "must have one, or one for each channel");
  refused(with("/nodes/0/attributes/channels", 2000), "/max_channels is 1024");

  const auto no = [&](const Json& morph, const char* why) {
    CHECK_THROWS_WITH(lineage.morph(morph), ContainsSubstring(why));
  };
  no({{"morph", "widen"}, {"at", "conv2d 7"}, {"factor", 2}}, "the cell has no node conv2d 7");
  no({{"morph", "widen"}, {"at", "conv2d 1"}, {"to", 4}}, "must be more than 4");
  no({{"morph", "widen"}, {"at", "conv2d 1"}, {"factor", 1000}}, "at most /max_channels, 1024");
  no({{"morph", "widen"}, {"at", "conv2d 1"}}, "cannot be read");
  no({{"morph", "deepen"}, {"at", "activation 1"}, {"kernel", 4}}, "must be odd");

  const auto option = [](const Json& args, const char* why) {
    CHECK_THROWS_WITH(Lineage(args), ContainsSubstring(why));
  };
  option({{"kernels", {2}}}, "must be odd");
  option({{"filters", 8}, {"max_channels", 4}}, "must not exceed max_channels, 4");
  option({{"stages", 5}}, "at least 16 x 16; fewer /stages");
}
