#include "host/report/activation_curves.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "weft/learning/activation_expression.hpp"

namespace weft::host {
namespace {

// A formula, and what its betas begin with.
using Curve = std::pair<std::string, double>;

// In the order in which the network has them.
void collect(const Architecture& architecture, std::vector<Curve>& curves) {
  for (const Node& node : architecture.nodes()) {
    if (node.operation == "recurrent") collect(Architecture::from_json(node.attributes.at("cell")), curves);
    if (node.operation != "activation_unit") continue;
    Curve curve(node.attributes.at("formula"), node.attributes.at("beta"));
    if (std::find(curves.begin(), curves.end(), curve) == curves.end()) curves.push_back(std::move(curve));
  }
}

constexpr int reach = 5;  // of both axes
constexpr int unit = 36;  // pixels
constexpr int left = 30, top = 12, side = 2 * reach * unit, line = 20;

// Of points on the curve that are shown, or just beyond.
double across(double x) { return left + (x + reach) * unit; }
double down(double y) { return top + (reach - std::clamp(y, -100.0 * reach, 100.0 * reach)) * unit; }

// A line for each whole number, those of 0 darker.
std::string axes() {
  std::string text;
  for (int i = -reach; i <= reach; ++i) {
    const char* colour = i == 0 ? "#606060" : "#e6e6e6";
    text += fmt::format("<path d=\"M{0} {1}V{2}M{3} {4}H{5}\" stroke=\"{6}\"/>\n", across(i), top, top + side, left,
                        down(i), left + side, colour);
  }
  for (const int i : {-reach, 0, reach}) {
    text += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n", across(i), top + side + 14, i);
    text += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n", left - 5, down(i) + 4, i);
  }
  return text;
}

std::string points(const Curve& curve) {
  constexpr int steps = 400;
  const ActivationExpression expression(curve.first);
  std::string text;
  for (int i = 0; i <= steps; ++i) {
    const double x = reach * (2.0 * i / steps - 1.0);
    text += fmt::format("{}{:.1f},{:.2f}", i == 0 ? "" : " ", across(x), down(expression(x, curve.second)));
  }
  return text;
}

}  // namespace

std::optional<std::string> activation_curves(const Architecture& architecture) {
  // The strong colours of the Okabe-Ito palette, which colour-blind readers can tell apart.
  constexpr std::array colours = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"};
  std::vector<Curve> curves;
  collect(architecture, curves);
  if (curves.empty()) return {};
  std::string drawn, names;
  for (std::size_t i = 0; i < curves.size(); ++i) {
    const auto& [formula, beta] = curves[i];
    const char* colour = colours[i % colours.size()];
    const int y = top + side + 40 + line * static_cast<int>(i);
    // The language of formulas has no character that means something to XML.
    const bool has_beta = ActivationExpression(formula).betas() > 0;
    drawn += fmt::format("<polyline points=\"{}\" stroke=\"{}\"/>\n", points(curves[i]), colour);
    names +=
        fmt::format("<path d=\"M{} {}h24\" stroke=\"{}\" stroke-width=\"2\"/>\n<text x=\"{}\" y=\"{}\">{}{}</text>\n",
                    left, y - 4, colour, left + 32, y, formula, has_beta ? fmt::format(", beta = {}", beta) : "");
  }
  const int width = left + side + 12, height = top + side + 32 + line * static_cast<int>(curves.size());
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" "
      "font-family=\"Helvetica,Arial,sans-serif\" font-size=\"12\">\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n{2}"
      "<clipPath id=\"plot\"><rect x=\"{3}\" y=\"{4}\" width=\"{5}\" height=\"{5}\"/></clipPath>\n"
      "<g clip-path=\"url(#plot)\" fill=\"none\" stroke-width=\"2\">\n{6}</g>\n{7}</svg>\n",
      width, height, axes(), left, top, side, drawn, names);
}

}  // namespace weft::host
