// The curves of searched activations: one for each formula, through the right points.

#include "host/report/activation_curves.hpp"

#include <string>

#include "host/report/drawing.hpp"
#include "tests/catch.hpp"
#include "weft/blocks.hpp"

namespace {

using weft::NodeId;

weft::Architecture network(std::initializer_list<const char*> formulas) {
  weft::ArchitectureBuilder graph;
  NodeId x = graph.input(weft::Shape::image(3, 8, 8));
  for (const char* formula : formulas) {
    x = weft::blocks::conv_bn(graph, x, weft::blocks::Convolution::square(4, 3));
    x = graph.add("activation_unit", {{"formula", formula}}, {x});
  }
  return std::move(graph).build(weft::blocks::classifier(graph, x, 2));
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++found;
  return found;
}

}  // namespace

TEST_CASE("searched activations are drawn as curves, each formula once") {
  const std::string svg = *weft::host::activation_curves(network({"swish", "relu", "swish"}));
  CHECK(svg.starts_with("<svg"));
  CHECK(svg.ends_with("</svg>\n"));
  CHECK(count(svg, "<polyline") == 2);
  CHECK(count(svg, ">x * sigmoid(beta x), beta = 1</text>") == 1);
  CHECK(count(svg, ">max(x, 0)</text>") == 1);
  // 36 pixels a unit, from (30, 12) on: both through the origin; ReLU through (2.5, 2.5) and along y = 0.
  CHECK(count(svg, " 210.0,192.00") == 2);
  CHECK(count(svg, " 300.0,102.00") == 1);
  CHECK(count(svg, "points=\"30.0,192.00 ") == 1);
}

TEST_CASE("without searched activations there are no curves, and those of a recurrent cell are found") {
  CHECK_FALSE(weft::host::activation_curves(network({})));
  weft::ArchitectureBuilder cell;
  const NodeId x = cell.add("input", {{"shape", {4}}}, {}, "x");
  const NodeId root = cell.add("activation_unit", {{"formula", "cos_minus_x"}}, {x});
  weft::ArchitectureBuilder graph;
  const NodeId tokens = graph.input(weft::Shape::sequence(5, 1));
  const NodeId vectors = graph.add("embedding", {{"vocabulary", 9}, {"features", 4}}, {tokens});
  const NodeId last = graph.add("recurrent", {{"cell", std::move(cell).build(root).to_json()}}, {vectors});
  const auto svg =
      weft::host::activation_curves(std::move(graph).build(graph.add("linear", {{"features", 9}}, {last})));
  REQUIRE(svg);
  CHECK(count(*svg, ">cos(x) - x</text>") == 1);
}

TEST_CASE("the picture of a network calls a searched activation by its formula, in one box with its convolution") {
  CHECK(count(weft::host::to_dot(network({"swish"})), "BN – x * sigmoid(beta x)") == 1);
}
