// Every step trains one architecture, drawn from the space: Li, Talwalkar 2019.
#pragma once

#include "weft/space.hpp"
#include "weft/torch/guide.hpp"
#include "weft/torch/network.hpp"

namespace random_weight_sharing {

class UniformPaths : public weft::Guide {
 public:
  // The network is referred to, and must live longer.
  UniformPaths(const weft::SpaceRef& space, weft::Network& network) : space_(space), network_(network) {}

  void begin_epoch(int, const weft::Rng& rng) override { rng_ = rng; }

  std::vector<weft::Pass> passes(const weft::Step& step) override {
    weft::Rng rng = rng_.derive("architecture", step.index);
    drawn_ = space_.sample(rng);
    return {{.gates = weft::gates_of(space_.path(drawn_))}};
  }

  // The last architecture is validated, as in the authors' code (benchmarks/cnn/darts/darts_wrapper_discrete.py); by
  // the statistics of batches, since the running ones are of no one architecture.
  void end_epoch(int) override { network_.set_statistics(weft::Statistics::batch); }

  weft::Json report() override { return {{"architecture", space_.notation(drawn_)}}; }

  weft::NamedTensors state() override { return {}; }

  const weft::Genotype& drawn() const { return drawn_; }

 private:
  weft::SpaceRef space_;
  weft::Network& network_;
  weft::Rng rng_{0};
  weft::Genotype drawn_;
};

}  // namespace random_weight_sharing
