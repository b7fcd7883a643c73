// Which paths of a supernet are dropped.
#pragma once

#include <cmath>
#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "weft/rng.hpp"
#include "weft/supernet.hpp"

namespace path_dropout {

// A path is an option of a decision that computes something, not zeros. The paths into a node are those of all
// decisions with its target.
class Paths {
 public:
  explicit Paths(const weft::Architecture& supernet) {
    std::map<weft::NodeId, std::size_t> entering;  // by target
    for (const weft::SupernetChoice& choice : weft::choices_of(supernet)) {
      Decision decision{.name = choice.decision, .target = choice.target};
      const std::vector<weft::NodeId>& inputs = supernet.node(choice.nodes.front()).inputs;
      for (std::size_t option = 0; option < inputs.size(); ++option) {
        const bool zero = supernet.node(inputs[option]).operation == "zero";
        (zero ? decision.zeros : decision.paths).push_back(static_cast<int>(option));
      }
      entering[decision.target] += decision.paths.size();
      decisions_.push_back(std::move(decision));
    }
    for (Decision& decision : decisions_) decision.entering = entering.at(decision.target);
  }

  // The probability with which each of the k paths into a decision's target is dropped, so that all are with
  // probability r: r^(1/k).
  double rate(const std::string& decision, double r) const {
    for (const Decision& one : decisions_) {
      if (one.name == decision) return rate(one, r);
    }
    throw weft::InvalidInput("the supernet has no decision \"" + decision + "\"");
  }

  struct Drawn {
    weft::SupernetPath active;
    std::size_t dropped = 0;  // paths
  };
  // Each path is dropped by itself, with `progress` times its rate. Where a decision is left without one, its zeros are
  // active; where it has none, one of its paths.
  Drawn draw(double r, double progress, weft::Rng& rng) const {
    Drawn drawn;
    for (const Decision& decision : decisions_) {
      const double probability = progress * rate(decision, r);
      std::vector<int>& active = drawn.active[decision.name];
      for (const int path : decision.paths) {
        if (!rng.bernoulli(probability)) active.push_back(path);
      }
      const bool all_dropped = active.empty();
      if (all_dropped) active.push_back(decision.zeros.empty() ? rng.choice(decision.paths) : decision.zeros.front());
      const bool only_zeros = all_dropped && !decision.zeros.empty();
      drawn.dropped += decision.paths.size() - (only_zeros ? 0 : active.size());
    }
    return drawn;
  }

  weft::SupernetPath all() const {
    weft::Rng unused(0);
    return draw(0.0, 0.0, unused).active;
  }

  std::size_t count() const {
    std::size_t count = 0;
    for (const Decision& decision : decisions_) count += decision.paths.size();
    return count;
  }

 private:
  struct Decision {
    std::string name;
    weft::NodeId target;
    std::vector<int> paths = {}, zeros = {};  // options
    std::size_t entering = 0;                 // paths into the target
  };

  static double rate(const Decision& decision, double r) {
    return std::pow(r, 1.0 / static_cast<double>(decision.entering));
  }

  std::vector<Decision> decisions_;
};

}  // namespace path_dropout
