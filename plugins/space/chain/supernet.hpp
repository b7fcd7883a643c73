// All chains in one graph.
//
// A trellis: at each depth the states that a chain may be in, and every layer that leads from one to another. A state
// is what decides on which layers are legal next and what they work on: the kind of the last layer, the shape, how many
// fully connected layers there were in a row. Each state is a choice among the layers that lead to it, the end one
// among the classifiers of all states. So decisions are taken from the end: whichever options they take, the way back
// from the end is a chain. A layer has weights of its own for each state that it reads; a chain shares them with those
// that come to that state at that depth.
//
// How large it is follows from the states: from the square of the number of filters, and from the sizes that pooling
// makes of a map. On 28 x 28 the paper's layers have 8.8 G parameters; six layers with 32 filters and P(2,2) have 7.5
// M.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "layers.hpp"
#include "weft/architecture.hpp"
#include "weft/supernet.hpp"

namespace chain {

class Trellis {
 public:
  // Of the layers of `options`, which must outlive it, from `start`, where a chain reads `input`.
  Trellis(const Options& options, const Position& start, const weft::Shape& input);

  // Dropout has the probabilities of the deepest chain.
  weft::Architecture supernet(std::int64_t classes) const;
  // Of the layers of a chain, the softmax being the last. At states where the chain does not come, the first option.
  weft::SupernetPath path(const std::vector<Layer>& layers) const;
  // Back from the end, at each state the layer of the largest weight, the first of equals.
  std::vector<Layer> derive(const weft::OptionWeights& weights) const;

 private:
  // A layer that leads to a state.
  struct Way {
    std::size_t from;  // the state that it reads
    const Layer* layer;
  };
  struct State {
    Position position;
    weft::Shape shape;
    std::string name;       // "layer 3, conv 64 x 16 x 16"
    std::vector<Way> ways;  // to it; of several it is a decision, by its name
  };

  static bool is_decision(const State& state) { return state.ways.size() > 1; }
  // "C(64,3,1) after layer 2, pool 32 x 16 x 16".
  std::string text_of(const Way& way) const;
  std::vector<std::string> options_of(const State& state) const;

  std::size_t depth_limit_;
  std::vector<State> states_;  // by depth; the first is the start, the last the end
};

}  // namespace chain
