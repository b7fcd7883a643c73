#include "supernet.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include "weft/error.hpp"

namespace chain {

namespace {

weft::Shape shape_behind(const Layer& layer, const weft::Shape& shape, const Position& position) {
  switch (layer.type) {
    case Type::convolution:
      return weft::Shape::image(layer.filters, position.height, position.width);
    case Type::pooling:
      return weft::Shape::image(shape.channels, position.height, position.width);
    case Type::global_pooling:
      return weft::Shape::features(shape.channels);
    default:
      return weft::Shape::features(layer.neurons);
  }
}

// What tells states of one depth apart.
std::string state_name(const Position& position, const weft::Shape& shape) {
  static constexpr const char* kinds[] = {"start", "conv", "pool", "gap", "fc"};
  std::string name = place(position.depth) + ", " + kinds[static_cast<std::size_t>(position.last.type)] + " ";
  if (position.fully_connected > 1) name += std::to_string(position.fully_connected) + " in a row, ";
  return name + shape.to_string();
}

}  // namespace

Trellis::Trellis(const Options& options, const Position& start, const weft::Shape& input)
    : depth_limit_(options.depth_limit), states_{{start, input, "input", {}}} {
  State end{{}, {}, "end", {}};
  std::map<std::string, std::size_t> known;  // names hold the depth
  for (std::size_t from = 0; from < states_.size(); ++from) {
    for (const Layer* layer : options.legal(states_[from].position)) {
      if (layer->type == Type::softmax) {
        end.ways.push_back({from, layer});
        continue;
      }
      Position position = states_[from].position;
      position.append(*layer);
      const weft::Shape shape = shape_behind(*layer, states_[from].shape, position);
      const std::string name = state_name(position, shape);
      const auto [state, is_new] = known.try_emplace(name, states_.size());
      if (is_new) states_.push_back({position, shape, name, {}});
      states_[state->second].ways.push_back({from, layer});
    }
  }
  states_.push_back(std::move(end));
}

weft::Architecture Trellis::supernet(std::int64_t classes) const {
  weft::ArchitectureBuilder graph;
  std::vector<weft::NodeId> nodes = {graph.input(states_.front().shape)};
  for (std::size_t at = 1; at < states_.size(); ++at) {
    const State& state = states_[at];
    const auto group = graph.group(state.name);
    std::vector<weft::NodeId> candidates;
    for (const Way& way : state.ways) {
      const auto way_group = graph.group(text_of(way));
      candidates.push_back(way.layer->type == Type::softmax ? add_classifier(graph, nodes[way.from], classes)
                                                            : add_layer(graph, nodes[way.from], *way.layer));
    }
    weft::NodeId x = candidates.front();
    if (is_decision(state))
      x = graph.add("choice", {{"decision", state.name}, {"options", options_of(state)}}, candidates);
    const bool is_end = at + 1 == states_.size();
    nodes.push_back(is_end ? x : add_dropout(graph, x, state.position.depth, depth_limit_));
  }
  return std::move(graph).build(nodes.back());
}

weft::SupernetPath Trellis::path(const std::vector<Layer>& layers) const {
  weft::SupernetPath path;
  for (const State& state : states_) {
    if (is_decision(state)) path[state.name] = {0};
  }
  std::size_t at = 0;
  for (const Layer& layer : layers) {
    for (std::size_t to = at + 1;; ++to) {  // a layer that is legal leads somewhere
      const State& state = states_.at(to);
      const auto way =
          std::ranges::find_if(state.ways, [&](const Way& one) { return one.from == at && *one.layer == layer; });
      if (way == state.ways.end()) continue;
      if (is_decision(state)) path[state.name] = {static_cast<int>(way - state.ways.begin())};
      at = to;
      break;
    }
  }
  return path;
}

std::vector<Layer> Trellis::derive(const weft::OptionWeights& weights) const {
  std::vector<std::size_t> taken;  // by state: the way to it
  for (const State& state : states_) {
    taken.push_back(0);
    if (!is_decision(state)) continue;
    const std::vector<double>& of_ways = weft::weights_of(weights, state.name, state.ways.size());
    taken.back() = static_cast<std::size_t>(std::max_element(of_ways.begin(), of_ways.end()) - of_ways.begin());
  }
  std::vector<Layer> layers;
  for (std::size_t at = states_.size() - 1; at > 0;) {
    const Way& way = states_[at].ways[taken[at]];
    layers.push_back(*way.layer);
    at = way.from;
  }
  std::reverse(layers.begin(), layers.end());
  return layers;
}

std::string Trellis::text_of(const Way& way) const {
  const std::string layer = way.layer->to_text();
  return way.from == 0 ? layer : layer + " after " + states_[way.from].name;
}

std::vector<std::string> Trellis::options_of(const State& state) const {
  std::vector<std::string> options;
  for (const Way& way : state.ways) options.push_back(text_of(way));
  return options;
}

}  // namespace chain
