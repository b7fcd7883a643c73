// Every ghost batch trains the supernet without the paths that are dropped for it.
#pragma once

#include <cstdint>
#include <vector>

#include "paths.hpp"
#include "weft/torch/guide.hpp"
#include "weft/torch/network.hpp"
#include "weft/torch/recipe.hpp"

namespace path_dropout {

class DroppedPaths : public weft::Guide {
 public:
  struct Options {
    double dropout;                 // r, at the end
    std::int64_t ghost_batch_size;  // examples
  };

  // Network and recipe are referred to, and must live longer.
  DroppedPaths(weft::Network& network, const weft::Recipe& recipe, const Options& options)
      : network_(network), recipe_(recipe), options_(options), paths_(network.architecture()) {}

  void begin_epoch(int, const weft::Rng& rng) override {
    rng_ = rng;
    drawn_ = dropped_ = 0;
  }

  // Ghost batches have paths and batch norms' statistics of their own; the gradient is that of the batch's mean loss. A
  // rest of one example goes with those before it: batch norm has no variance of one.
  std::vector<weft::Pass> passes(const weft::Step& step) override {
    weft::Rng rng = rng_.derive("paths", step.index);
    const double progress = recipe_.progress(step.elapsed);
    const std::int64_t all = step.batch.labels.size(0);
    std::vector<weft::Pass> passes;
    for (std::int64_t first = 0; first < all; first += passes.back().count) {
      const std::int64_t left = all - first;
      const std::int64_t count = left <= options_.ghost_batch_size + 1 ? left : options_.ghost_batch_size;
      const Paths::Drawn drawn = paths_.draw(options_.dropout, progress, rng);
      drawn_ += paths_.count();
      dropped_ += drawn.dropped;
      passes.push_back({.gates = weft::gates_of(drawn.active),
                        .weight = static_cast<double>(count) / static_cast<double>(all),
                        .first = first,
                        .count = count});
    }
    return passes;
  }

  // The whole supernet is validated; by the statistics of batches, since it is none of those that were trained.
  void end_epoch(int) override {
    network_.choose(weft::gates_of(paths_.all()));
    network_.set_statistics(weft::Statistics::batch);
  }

  weft::Json report() override {
    return {{"dropped_paths", static_cast<double>(dropped_) / static_cast<double>(drawn_)}};
  }

  weft::NamedTensors state() override { return {}; }

 private:
  weft::Network& network_;
  const weft::Recipe& recipe_;
  Options options_;
  Paths paths_;
  weft::Rng rng_{0};
  std::size_t drawn_ = 0, dropped_ = 0;  // paths, in this epoch
};

}  // namespace path_dropout
