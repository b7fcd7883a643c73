// Population based augmentation: Ho, Liang, Stoica, Abbeel and Chen 2019, "Population Based Augmentation: Efficient
// Learning of Augmentation Policy Schedules", Algorithm 1. An image gets 0, 1 or 2 operations, more or less often; the
// 30 of the policy are gone through in a random order, and each is applied with its probability until there are as
// many.
//
// A schedule is that of a search of so many epochs. A training of others follows it in its own time: an epoch takes the
// policy at the search's epoch that is as far on, rounded down.

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "weft/plugin.hpp"
#include "weft/torch/augmentation.hpp"
#include "weft/torch/image_operations.hpp"

namespace {

using weft::ImageOperation;
using weft::Json;
using Changes = std::vector<std::optional<weft::ImageChange>>;

// In the order of the authors' code, in which a policy has them twice.
constexpr std::array operations = {
    ImageOperation::auto_contrast, ImageOperation::equalize,    ImageOperation::invert,  ImageOperation::rotate,
    ImageOperation::posterize,     ImageOperation::solarize,    ImageOperation::color,   ImageOperation::contrast,
    ImageOperation::brightness,    ImageOperation::sharpness,   ImageOperation::shear_x, ImageOperation::shear_y,
    ImageOperation::translate_x,   ImageOperation::translate_y, ImageOperation::cutout};
constexpr std::size_t policy_size = 4 * operations.size();
constexpr std::int64_t levels = 10;

// Probabilities from 0 to 10 and magnitudes from 0 to 9, in turns.
using Policy = std::array<int, policy_size>;

Policy policy_of(const Json& json, const std::string& place) {
  if (!json.is_array() || json.size() != policy_size)
    throw weft::InvalidInput(place + " is " +
                             (json.is_array() ? "a list of " + std::to_string(json.size()) : json.dump()) +
                             "; must be a list of " + std::to_string(policy_size) + " integers");
  Policy policy;
  for (std::size_t i = 0; i < policy_size; ++i) {
    const int most = i % 2 == 0 ? 10 : 9;
    const std::int64_t value = json[i].is_number_integer() ? json[i].get<std::int64_t>() : -1;
    if (value < 0 || value > most)
      throw weft::InvalidInput(place + "/" + std::to_string(i) + " is " + json[i].dump() + "; " +
                               (i % 2 == 0 ? "a probability" : "a magnitude") + " must be an integer from 0 to " +
                               std::to_string(most));
    policy[i] = static_cast<int>(value);
  }
  return policy;
}

class Stage final : public weft::Augmentation {
 public:
  Stage(const Policy& policy, std::vector<double> counts, weft::Magnitudes magnitudes)
      : policy_(policy), counts_(std::move(counts)), magnitudes_(magnitudes) {}

  at::Tensor pixels(at::Tensor images, const at::Tensor& mean, weft::Rng& rng) const override {
    const auto count = static_cast<std::size_t>(images.size(0));
    std::vector<Changes> steps(counts_.size() - 1, Changes(count));
    for (std::size_t image = 0; image < count; ++image) draw(steps, image, images, rng);
    for (const Changes& step : steps) images = weft::changed(images, step, mean, rng);
    return images;
  }

 private:
  void draw(std::vector<Changes>& steps, std::size_t image, const at::Tensor& images, weft::Rng& rng) const {
    const std::size_t wanted = rng.weighted(counts_);
    std::vector<std::size_t> order(2 * operations.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    if (wanted > 0) rng.shuffle(order);
    std::size_t applied = 0;
    for (std::size_t i = 0; applied < wanted && i < order.size(); ++i) {
      if (!rng.bernoulli(policy_[2 * order[i]] / 10.0)) continue;
      steps[applied++][image] =
          weft::image_change(operations[order[i] % operations.size()], magnitudes_, policy_[2 * order[i] + 1], levels,
                             images.size(1), images.size(2), rng);
    }
  }

  Policy policy_;
  std::vector<double> counts_;
  weft::Magnitudes magnitudes_;
};

class Pba final : public weft::Augmentation {
 public:
  explicit Pba(const weft::Context& context)
      : counts_(context.get<std::vector<double>>("counts")),
        magnitudes_(weft::magnitudes(context.get<std::string>("magnitudes"))) {
    if (std::accumulate(counts_.begin(), counts_.end(), 0.0) <= 0.0)
      throw weft::InvalidInput("/counts is " + Json(counts_).dump() + "; one must be above 0");
    const Json& policy = context.configuration().at("policy");
    const bool scheduled = policy.at(0).is_array();
    if (!scheduled) add(1.0, policy, "/policy");
    for (std::size_t i = 0; scheduled && i < policy.size(); ++i) {
      const std::string place = "/policy/" + std::to_string(i);
      const Json& part = policy[i];
      if (!part.is_array() || part.size() != 2 || !part[0].is_number() || part[0].get<double>() <= 0.0)
        throw weft::InvalidInput(place + " is no part of a schedule; must be [epochs, policy], epochs above 0");
      add(part[0].get<double>(), part[1], place + "/1");
    }
  }

  at::Tensor pixels(at::Tensor images, const at::Tensor& mean, weft::Rng& rng) const override {
    return stages_.front().pixels(std::move(images), mean, rng);
  }

  const weft::Augmentation& during(double progress) const override {
    const double epoch = std::floor(progress * ends_.back() + 1e-9);
    const auto stage = std::upper_bound(ends_.begin(), ends_.end(), epoch) - ends_.begin();
    return stages_[std::min(static_cast<std::size_t>(stage), stages_.size() - 1)];
  }

 private:
  void add(double epochs, const Json& policy, const std::string& place) {
    stages_.emplace_back(policy_of(policy, place), counts_, magnitudes_);
    ends_.push_back((ends_.empty() ? 0.0 : ends_.back()) + epochs);
  }

  std::vector<double> counts_;
  weft::Magnitudes magnitudes_;
  std::vector<Stage> stages_;
  std::vector<double> ends_;  // of each, in epochs of the search
};

}  // namespace

WEFT_PLUGIN(weft::component<Pba>("pba"))
