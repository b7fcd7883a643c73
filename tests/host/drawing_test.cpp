// Drawing: what is folded, what is drawn once, and that Graphviz accepts it.

#include "host/report/drawing.hpp"

#include <boost/process/search_path.hpp>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <utility>

#include "tests/catch.hpp"
#include "tests/end_to_end/program.hpp"
#include "weft/blocks.hpp"
#include "weft/dense_network.hpp"

namespace {

using weft::ArchitectureBuilder;
using weft::NodeId;
using weft::host::to_dot;
using weft::host::to_svg;
namespace fs = std::filesystem;
namespace blocks = weft::blocks;

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++found;
  return found;
}

// The programs that are found while it lives.
class Path {
 public:
  explicit Path(const std::string& folders) { setenv("PATH", folders.c_str(), 1); }
  ~Path() { setenv("PATH", before_.c_str(), 1); }
  Path(const Path&) = delete;
  Path& operator=(const Path&) = delete;

 private:
  std::string before_ = std::getenv("PATH");
};

bool balanced(const std::string& dot) {
  int depth = 0;
  for (const char c : dot) {
    if (c == '{') ++depth;
    if (c == '}' && --depth < 0) return false;
  }
  return depth == 0;
}

// Adapts both inputs, then adds two separable convolutions.
NodeId add_cell(ArchitectureBuilder& graph, NodeId before, NodeId previous, std::int64_t channels,
                std::int64_t stride) {
  const auto adapt = [&](NodeId input) {
    const auto group = graph.group("preprocess");
    if (graph.shape(input).height != graph.shape(previous).height)
      return blocks::factorized_reduction(graph, input, channels);
    return blocks::relu_conv_bn(graph, input, blocks::Convolution::square(channels, 1));
  };
  const NodeId left = adapt(before), right = adapt(previous);
  const auto group = graph.group("block 1");
  const NodeId first = blocks::separable_conv(graph, left, channels, 3, stride);
  return graph.add("add", {}, {first, blocks::separable_conv(graph, right, channels, 3, stride)});
}

weft::Architecture cells() {
  ArchitectureBuilder graph;
  NodeId previous = graph.input(weft::Shape::image(3, 16, 16));
  {
    const auto group = graph.group("stem");
    previous = blocks::batch_norm(graph, blocks::convolution(graph, previous, blocks::Convolution::square(8, 3)));
  }
  NodeId before = previous;
  for (int number = 1; number <= 7; ++number) {
    const bool reduces = number == 4;
    const auto group = graph.group((reduces ? "reduction " : "normal ") + std::to_string(number));
    before = std::exchange(previous, add_cell(graph, before, previous, number < 4 ? 8 : 16, reduces ? 2 : 1));
  }
  return std::move(graph).build(blocks::classifier(graph, previous, 10));
}

}  // namespace

TEST_CASE("a network of cells is its skeleton and each kind of cell once") {
  const std::string dot = to_dot(cells());
  CHECK(balanced(dot));
  CHECK(count(dot, "subgraph cluster_") == 2);
  // Six equal cells, although the first reads the stem twice and one input is adapted by a factorized reduction.
  CHECK(count(dot, "<b>normal</b> (6 in the network)") == 1);
  CHECK(count(dot, "<b>normal</b> × 3") == 2);
  // The reduction cell and its separable convolutions, folded, with their stride.
  CHECK(count(dot, "<b>reduction</b>") == 2);
  CHECK(count(dot, "<sep conv 3×3>") == 2);
  CHECK(count(dot, "<sep conv 3×3, /2>") == 2);
  CHECK(count(dot, "ReLU – conv 1×1 – BN<br/>or factorized reduction") == 1);
  CHECK(count(dot, ">previous<") + count(dot, "<previous>") == 2);
  CHECK(count(dot, "<before previous>") == 2);
  CHECK(to_dot(cells()) == dot);
}

TEST_CASE("cells of one name that differ are drawn apart") {
  ArchitectureBuilder graph;
  NodeId x = graph.input(weft::Shape::image(4, 8, 8));
  for (int number = 1; number <= 3; ++number) {
    const auto group = graph.group("cell " + std::to_string(number));
    const NodeId pooled = blocks::pool(graph, x, number == 3 ? "max_pool" : "avg_pool", 3);
    x = graph.add("add", {}, {pooled, graph.add("identity", {}, {x})});
  }
  const std::string dot = to_dot(std::move(graph).build(blocks::classifier(graph, x, 2)));
  CHECK(count(dot, "<b>cell A</b> (2 in the network)") == 1);
  CHECK(count(dot, "<b>cell A</b> × 2") == 1);
  CHECK(count(dot, "<max pool 3×3>") == 1);
  CHECK(count(dot, "<avg pool 3×3>") == 1);
}

TEST_CASE("layers whose channels only grow are drawn once") {
  const weft::DenseNetwork network{.stages = {{3, 4}, {2, 8}}};
  const auto add_layer = [](ArchitectureBuilder& graph, NodeId input, std::int64_t growth) {
    return blocks::relu_conv_bn(graph, input, blocks::Convolution::square(growth, 3));
  };
  const std::string dot = to_dot(network.build(weft::Shape::image(3, 8, 8), 2, add_layer));
  CHECK(count(dot, "<b>layer</b> (5 in the network)") == 1);
  CHECK(count(dot, "<b>layer</b> × 3") == 1);
  CHECK(count(dot, "<b>layer</b> × 2") == 1);
  CHECK(count(dot, "20 × 8 × 8") == 1);
}

TEST_CASE("a chain is drawn layer by layer") {
  ArchitectureBuilder graph;
  NodeId x = graph.input(weft::Shape::image(3, 8, 8));
  for (const std::int64_t channels : {4, 8})
    x = blocks::conv_bn_relu(graph, x, blocks::Convolution::square(channels, 3));
  x = graph.add("linear", {{"features", 2}}, {graph.add("flatten", {}, {x})});
  const std::string dot = to_dot(std::move(graph).build(x));
  CHECK(count(dot, "subgraph") == 0);
  CHECK(count(dot, "conv 3×3, 4 – BN – ReLU<br/>") == 1);
  CHECK(count(dot, "conv 3×3, 8 – BN – ReLU<br/>") == 1);
  CHECK(count(dot, "8 × 8 × 8") == 1);
  CHECK(count(dot, " -> ") == 4);
}

TEST_CASE("layers that read several others are told in the skeleton, whose edges show which") {
  ArchitectureBuilder graph;
  const auto add_layer = [&](int number, const std::vector<NodeId>& inputs, std::int64_t channels) {
    const auto group = graph.group("layer " + std::to_string(number));
    const NodeId read = inputs.size() == 1 ? inputs.front() : graph.add("concat", {}, inputs);
    return blocks::conv_bn_relu(graph, read, blocks::Convolution::square(channels, 3));
  };
  const NodeId first = add_layer(1, {graph.input(weft::Shape::image(3, 8, 8))}, 4);
  const NodeId second = add_layer(2, {first}, 8);
  const NodeId third = add_layer(3, {first, second}, 4);
  const std::string dot = to_dot(std::move(graph).build(blocks::classifier(graph, third, 2)));
  CHECK(count(dot, "subgraph") == 0);
  CHECK(count(dot, "<b>layer</b>") == 3);
  CHECK(count(dot, ">concat<") == 1);
  CHECK(count(dot, "style=dashed") == 1);
}

TEST_CASE("the whole network has every node and every edge") {
  const weft::Architecture network = cells();
  const std::string dot = to_dot(network, {.whole = true});
  CHECK(balanced(dot));
  std::size_t edges = 0;
  for (std::size_t id = 0; id < network.nodes().size(); ++id) {
    CHECK(count(dot, "\nn" + std::to_string(id) + " [") == 1);
    edges += network.nodes()[id].inputs.size();
  }
  CHECK(count(dot, " -> ") == edges);
  // Seven cells with two adapters (one holding a factorized reduction), a block and two separable convolutions each;
  // stem and classifier.
  CHECK(count(dot, "subgraph cluster_") == 7 * (1 + 2 + 1 + 2) + 1 + 2);
}

TEST_CASE("names in a drawing cannot break out of their labels") {
  ArchitectureBuilder graph;
  NodeId x = graph.input(weft::Shape::image(3, 8, 8));
  {
    const auto group = graph.group("a<b>\"c\" & {d} 1");
    x = graph.add("add", {}, {blocks::pool(graph, x, "avg_pool", 3), blocks::relu(graph, x)});
  }
  const weft::Architecture network = std::move(graph).build(blocks::classifier(graph, x, 2));
  const std::string dot = to_dot(network);
  CHECK(count(dot, "a&lt;b&gt;&quot;c&quot; &amp; {d}") >= 1);
  CHECK(count(dot, "a<b>") == 0);
  if (!boost::process::search_path("dot").empty()) CHECK(count(to_svg(network), "&amp; {d}") >= 1);
}

TEST_CASE("the picture is an svg element") {
  if (boost::process::search_path("dot").empty()) return;  // the next test says what happens then
  const std::string svg = to_svg(cells());
  CHECK(svg.starts_with("<svg"));
  CHECK(count(svg, "</svg>") == 1);
  CHECK(count(svg, "sep conv 3×3") == 4);
}

TEST_CASE("without Graphviz the error names the package") {
  const Path none("/nonexistent");
  CHECK_THROWS_WITH(to_svg(cells()), ContainsSubstring("install the package graphviz"));
}

TEST_CASE("a Graphviz that cannot draw is an error that says so") {
  const weft::testing::TemporaryFolder folder;
  const Path only(folder.path().string());
  const auto install = [&](const std::string& script, fs::perms mode = fs::perms::owner_all) {
    fs::remove(folder / "dot");
    fs::permissions(weft::testing::write_file(folder / "dot", "#!/bin/sh\n" + script + "\n"), mode);
  };
  SECTION("it is no program") {
    fs::create_symlink("dot", folder / "dot");
    CHECK_THROWS_AS(to_svg(cells()), weft::Error);
  }
  SECTION("it fails") {
    install("echo out of ink >&2; exit 3");
    CHECK_THROWS_WITH(to_svg(cells()), ContainsSubstring("exit code 3") && ContainsSubstring("out of ink"));
  }
  SECTION("it crashes") {
    install("kill -SEGV $$");
    CHECK_THROWS_WITH(to_svg(cells()), ContainsSubstring("signal 11"));
  }
  SECTION("it writes nothing, and does not read either") {
    install("exit 0");
    CHECK_THROWS_WITH(to_svg(cells()), ContainsSubstring("without having written a picture"));
  }
  SECTION("it does not end, nor does what it has started") {
    install("/bin/sleep 1000 & echo $! > " + (folder / "child").string() + "; wait");
    CHECK_THROWS_WITH(to_svg(cells(), {.limit = std::chrono::milliseconds(300)}), ContainsSubstring("after 0.3 s"));
    if (const std::string child = weft::testing::read_file(folder / "child"); !child.empty()) {
      while (weft::testing::is_alive(std::stoi(child))) std::this_thread::yield();  // or the test's time is over
    }
  }
}

// Zoph and Le 2017, Figure 5 without its memory: two layers of one cell.
TEST_CASE("a recurrent cell is drawn once, with what it reads from the position before") {
  ArchitectureBuilder cell;
  const NodeId x = cell.add("input", {{"shape", {4}}}, {}, "x"), h = cell.add("input", {{"shape", {4}}}, {}, "h");
  const auto leaf = [&](const char* merge, const char* function) {
    const NodeId merged =
        cell.add(merge, {}, {cell.add("linear", {{"features", 4}}, {x}), cell.add("linear", {{"features", 4}}, {h})});
    return cell.add("activation", {{"function", function}}, {merged});
  };
  const NodeId root = cell.add("multiply", {}, {leaf("add", "tanh"), leaf("multiply", "relu")});
  const weft::Json json = std::move(cell).build(root).to_json();
  ArchitectureBuilder graph;
  NodeId at = graph.add("embedding", {{"vocabulary", 9}, {"features", 4}}, {graph.input(weft::Shape::sequence(5, 1))});
  for (int layer = 0; layer < 2; ++layer) at = graph.add("recurrent", {{"cell", json}}, {at});
  at = graph.add("linear", {{"features", 9}}, {at});
  const weft::Architecture network = std::move(graph).build(at);
  for (const bool whole : {false, true}) {
    const std::string dot = to_dot(network, {.whole = whole});
    INFO(dot);
    CHECK(balanced(dot));
    CHECK(count(dot, "<b>recurrent cell</b>") == 1);
    CHECK(count(dot, "linear, 4") == 4);
    CHECK(count(dot, "h<sub>t-1</sub>") == 1);
    CHECK(count(dot, "x<sub>t</sub>") == 1);
    CHECK(count(dot, ">tanh<") + count(dot, "<tanh>") == 1);
    CHECK(count(dot, "h<sub>t</sub>") == 1);
  }
  if (!boost::process::search_path("dot").empty()) CHECK(count(to_svg(network), "tanh") == 1);
}
