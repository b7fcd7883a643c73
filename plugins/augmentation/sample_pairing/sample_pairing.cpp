// SamplePairing: Inoue 2018, "Data Augmentation by Pairing Samples for Images Classification". A picture becomes the
// mean of itself and another one, under its own label. The paper's trainings begin and end without, and pause in
// between: arguments say when, by themselves it is all of the training.
//
// Otherwise than in the paper the other picture is one of the batch, not of all training examples, and times are shares
// of the schedule, not epochs.

#include <ATen/ATen.h>

#include <cmath>

#include "weft/plugin.hpp"
#include "weft/torch/augmentation.hpp"
#include "weft/torch/image_operations.hpp"

namespace {

class SamplePairing final : public weft::Augmentation {
 public:
  explicit SamplePairing(const weft::Context& context)
      : from_(context.get<double>("from")),
        until_(context.get<double>("until")),
        period_(context.get<double>("period")),
        on_(context.get<double>("on")) {
    if (from_ > until_)
      throw weft::InvalidInput("/from is " + weft::Json(from_).dump() + "; must not exceed /until, " +
                               weft::Json(until_).dump());
    if (on_ < 1.0 && period_ == 0.0)
      throw weft::InvalidInput("/on is " + weft::Json(on_).dump() +
                               ", a share of a period, but /period is 0; give /period, too, or leave /on out");
  }

  void normalised(weft::Batch& batch, weft::Rng& rng) const override {
    const at::Tensor images = batch.images.permute({0, 2, 3, 1});  // as they lie in memory
    const at::Tensor values = images.flatten(1);
    const at::Tensor others = values.index_select(0, weft::partners(rng, images.size(0), images.device()));
    batch.images = values.add(others).mul_(0.5).view(images.sizes()).permute({0, 3, 1, 2});
  }

  const weft::Augmentation& during(double progress) const override {
    constexpr double rounding = 1e-9;
    const double within = progress + rounding - from_;
    if (within < 0.0 || progress + rounding >= until_) return nothing_;
    if (period_ > 0.0 && std::fmod(within, period_) >= on_ * period_) return nothing_;
    return *this;
  }

 private:
  double from_, until_, period_, on_;
  weft::Augmentation nothing_;
};

}  // namespace

WEFT_PLUGIN(weft::component<SamplePairing>("sample_pairing"))
