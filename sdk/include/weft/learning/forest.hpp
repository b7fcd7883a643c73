// A random forest for regression: trees that were each grown on a bootstrap of the samples, and how far they disagree.
//
// Breiman 2001, "Random Forests". A split is the one of least squared error among some of the features, drawn anew at
// each; its threshold lies half-way between two values of the feature. The variance is that of Hutter, Xu, Hoos,
// Leyton-Brown 2014, "Algorithm Runtime Prediction: Methods & Evaluation": by the law of total variance that of the
// trees' means, plus the mean of the variances within their leaves.
//
// A tree draws from a stream of its own, so trees may be grown in any order and by any number of threads. A forest that
// stands is not changed by what it is asked.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "weft/rng.hpp"

namespace weft::learning {

// Calls visit(0) .. visit(count - 1), each once, in any order or at once.
using ForEach = std::function<void(std::size_t count, const std::function<void(std::size_t)>& visit)>;

inline void one_by_one(std::size_t count, const std::function<void(std::size_t)>& visit) {
  for (std::size_t i = 0; i < count; ++i) visit(i);
}

class RegressionForest {
 public:
  struct Options {
    std::size_t trees = 100;
    double feature_fraction = 1.0 / 3.0;  // of the features: tried at a split; at least one, and more if none splits
    std::size_t least_leaf = 1;           // samples in a leaf
    std::size_t depth = 0;                // splits between the root and a leaf; 0: any number
    bool bootstrap = true;                // else each tree sees every sample once
  };

  struct Prediction {
    double mean = 0.0;
    double between = 0.0;  // variance of the trees' means
    double within = 0.0;   // mean of the variances within the leaves
    double variance() const { return between + within; }
  };

  // inputs: samples x features, finite; targets: of the samples, of which there is at least one.
  RegressionForest(const Eigen::MatrixXd& inputs, const Eigen::VectorXd& targets, const Options& options,
                   const Rng& rng, const ForEach& for_each = one_by_one)
      : options_(options), rng_(rng), trees_(options.trees) {
    assert(inputs.rows() > 0 && inputs.rows() == targets.size() && options.trees > 0 && options.least_leaf > 0);
    for_each(options.trees, [&](std::size_t tree) {
      Rng stream = stream_of(tree);
      std::vector<Eigen::Index> bag = draw_bag(inputs.rows(), stream);
      trees_[tree] = Growth(inputs, targets, options_, std::move(bag), stream).grow();
    });
  }

  // Of an input of as many features.
  Prediction predict(const Eigen::VectorXd& input) const {
    Prediction prediction;
    double squares = 0.0;
    const auto count = static_cast<double>(trees_.size());
    for (const Tree& tree : trees_) {
      const Node& leaf = leaf_of(tree, input);
      prediction.mean += leaf.mean / count;
      prediction.within += leaf.variance / count;
    }
    for (const Tree& tree : trees_) squares += square(leaf_of(tree, input).mean - prediction.mean);
    prediction.between = squares / count;
    return prediction;
  }

  // Of each sample that the forest was grown on, the mean of the trees that did not see it; nothing where all did.
  std::vector<std::optional<double>> out_of_bag(const Eigen::MatrixXd& inputs) const {
    const auto samples = static_cast<std::size_t>(inputs.rows());
    std::vector<double> sums(samples), counts(samples);
    for (std::size_t tree = 0; tree < trees_.size(); ++tree) {
      Rng stream = stream_of(tree);
      std::vector<bool> seen(samples);
      for (const Eigen::Index sample : draw_bag(inputs.rows(), stream)) seen[static_cast<std::size_t>(sample)] = true;
      for (std::size_t i = 0; i < samples; ++i) {
        if (seen[i]) continue;
        sums[i] += leaf_of(trees_[tree], inputs.row(static_cast<Eigen::Index>(i)).transpose()).mean;
        counts[i] += 1.0;
      }
    }
    std::vector<std::optional<double>> means(samples);
    for (std::size_t i = 0; i < samples; ++i) {
      if (counts[i] > 0.0) means[i] = sums[i] / counts[i];
    }
    return means;
  }

 private:
  struct Node {
    std::int32_t feature = -1;  // -1: a leaf
    std::int32_t children = 0;  // of samples up to the threshold; beyond it, the next
    double threshold = 0.0;
    double mean = 0.0;
    double variance = 0.0;
  };
  using Tree = std::vector<Node>;  // the root first

  // One tree in the making.
  class Growth {
   public:
    Growth(const Eigen::MatrixXd& inputs, const Eigen::VectorXd& targets, const Options& options,
           std::vector<Eigen::Index> bag, Rng& rng)
        : inputs_(inputs), targets_(targets), options_(options), bag_(std::move(bag)), rng_(rng) {
      features_.resize(static_cast<std::size_t>(inputs.cols()));
      std::iota(features_.begin(), features_.end(), Eigen::Index{0});
      const double share = options.feature_fraction * static_cast<double>(inputs.cols());
      tried_ = std::max(std::size_t{1}, static_cast<std::size_t>(share + 1e-9));
    }

    Tree grow() {
      Tree tree(1);
      std::vector<Part> open = {{.node = 0, .begin = 0, .end = bag_.size(), .depth = 0}};
      while (!open.empty()) {
        const Part part = open.back();
        open.pop_back();
        describe(tree[part.node], part);
        const std::optional<Split> split = best_split(tree[part.node], part);
        if (!split) continue;
        const std::size_t middle = divide(part, *split);
        tree[part.node].feature = static_cast<std::int32_t>(split->feature);
        tree[part.node].threshold = split->threshold;
        const std::size_t children = tree.size();
        tree[part.node].children = static_cast<std::int32_t>(children);
        tree.resize(children + 2);
        open.push_back({.node = children + 1, .begin = middle, .end = part.end, .depth = part.depth + 1});
        open.push_back({.node = children, .begin = part.begin, .end = middle, .depth = part.depth + 1});
      }
      return tree;
    }

   private:
    // The samples [begin, end) of the bag, which are a node's.
    struct Part {
      std::size_t node, begin, end, depth;
      std::size_t size() const { return end - begin; }
    };
    struct Split {
      Eigen::Index feature = 0;
      double threshold = 0.0;
      double gain = -std::numeric_limits<double>::infinity();  // what the squared error loses, and a constant
    };

    void describe(Node& node, const Part& part) const {
      const auto size = static_cast<double>(part.size());
      for (std::size_t i = part.begin; i < part.end; ++i) node.mean += targets_(bag_[i]) / size;
      for (std::size_t i = part.begin; i < part.end; ++i) node.variance += square(targets_(bag_[i]) - node.mean) / size;
    }

    std::optional<Split> best_split(const Node& node, const Part& part) {
      if (part.size() < 2 * options_.least_leaf || node.variance == 0.0) return {};
      if (options_.depth != 0 && part.depth >= options_.depth) return {};
      std::optional<Split> best;
      for (std::size_t drawn = 0; drawn < features_.size() && (drawn < tried_ || !best); ++drawn) {
        std::swap(features_[drawn], features_[drawn + rng_.below(features_.size() - drawn)]);
        const Split split = best_threshold(features_[drawn], node.mean, part);
        if (split.gain > (best ? best->gain : -std::numeric_limits<double>::infinity())) best = split;
      }
      return best;
    }

    // With targets counted from the node's mean, n_1 mean_1^2 + n_2 mean_2^2 is what a split takes off the squared
    // error.
    Split best_threshold(Eigen::Index feature, double mean, const Part& part) {
      sorted_.clear();
      for (std::size_t i = part.begin; i < part.end; ++i)
        sorted_.emplace_back(inputs_(bag_[i], feature), targets_(bag_[i]) - mean);
      std::sort(sorted_.begin(), sorted_.end());
      double left = 0.0, right = 0.0;
      for (const auto& [value, target] : sorted_) right += target;
      Split best{.feature = feature};
      for (std::size_t count = 1; count < sorted_.size(); ++count) {
        left += sorted_[count - 1].second;
        right -= sorted_[count - 1].second;
        const double below = sorted_[count - 1].first, above = sorted_[count].first;
        const std::size_t rest = sorted_.size() - count;
        if (!(below < above) || count < options_.least_leaf || rest < options_.least_leaf) continue;
        const double gain = left * left / static_cast<double>(count) + right * right / static_cast<double>(rest);
        if (gain > best.gain) {
          best.gain = gain;
          best.threshold = std::midpoint(below, above);
          if (!(best.threshold < above)) best.threshold = below;  // neighbours among the floating-point numbers
        }
      }
      return best;
    }

    std::size_t divide(const Part& part, const Split& split) {
      const auto at = [&](std::size_t place) { return bag_.begin() + static_cast<std::ptrdiff_t>(place); };
      const auto middle = std::stable_partition(at(part.begin), at(part.end), [&](Eigen::Index sample) {
        return inputs_(sample, split.feature) <= split.threshold;
      });
      return static_cast<std::size_t>(middle - bag_.begin());
    }

    const Eigen::MatrixXd& inputs_;
    const Eigen::VectorXd& targets_;
    const Options& options_;
    std::vector<Eigen::Index> bag_;  // with repetitions
    Rng& rng_;
    std::vector<Eigen::Index> features_;             // in the order of the last draw
    std::size_t tried_ = 0;                          // features at a split
    std::vector<std::pair<double, double>> sorted_;  // value of the feature, target
  };

  static double square(double value) { return value * value; }

  Rng stream_of(std::size_t tree) const { return rng_.derive("tree", tree); }

  std::vector<Eigen::Index> draw_bag(Eigen::Index samples, Rng& rng) const {
    std::vector<Eigen::Index> bag(static_cast<std::size_t>(samples));
    std::iota(bag.begin(), bag.end(), Eigen::Index{0});
    if (!options_.bootstrap) return bag;
    for (Eigen::Index& sample : bag) sample = static_cast<Eigen::Index>(rng.below(bag.size()));
    return bag;
  }

  template <typename Input>
  static const Node& leaf_of(const Tree& tree, const Input& input) {
    const Node* node = &tree.front();
    while (node->feature >= 0) {
      const std::size_t beyond = input(node->feature) <= node->threshold ? 0 : 1;
      node = &tree[static_cast<std::size_t>(node->children) + beyond];
    }
    return *node;
  }

  Options options_;
  Rng rng_;
  std::vector<Tree> trees_;
};

}  // namespace weft::learning
