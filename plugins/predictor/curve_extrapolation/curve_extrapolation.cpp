// Extrapolation of a learning curve by what many families of curves make of its beginning.
//
// Domhan, Springenberg, Hutter 2015, "Speeding Up Automatic Hyperparameter Optimization of Deep Neural Networks by
// Extrapolation of Learning Curves"; what the paper leaves open is as in the authors' code (pylearningcurvepredictor):
//
//   1. the flat beginning of the curve is dropped
//   2. each family is fitted by itself; those whose nearest curve the prior does not allow, or whose residuals as
//      noise, take no further part
//   3. the weights and parameters of all others and the noise are sampled from their posterior, starting at the fits
//   4. P(y_T > y) = mean over the samples of 1 - Phi((y - f(T)) / sigma)
//
// The mean is that of f(T). The deviation is that of y_T: the spread of f(T) and the noise. Whatever goes wrong on the
// way, nothing is said, and the training goes on.
//
// Ours, unless `deviation` is `sampled`: in the place of sigma, in 4 and in the deviation, stands how far the families'
// own fits are from the mean, their noise included (model_average.hpp). A sample's sigma says nothing of the kind: with
// d parameters under a flat prior and points that weigh W, its density falls as sigma^(d - W). By the authors' weights
// W is 74 of 20 points, and d is 48 with all families: sigma comes out near twice the noise, whether they agree or not.
//
// Ours: epochs are counted anew behind a dropped beginning, and the horizon with them, where the code counts the
// curve's alone; sigma has its range as prior here, there nowhere but in the fits; a walker that would start where the
// density is 0 starts at the fit itself; nothing is said of a curve that is flat or falls as a whole.

#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ensemble_sampler.hpp"
#include "families.hpp"
#include "least_squares.hpp"
#include "model_average.hpp"
#include "posterior.hpp"
#include "weft/curves/idle.hpp"
#include "weft/curves/scale.hpp"
#include "weft/plugin.hpp"

namespace {

using curve_extrapolation::EnsembleSampler;
using curve_extrapolation::Family;
using curve_extrapolation::Monotonicity;
using curve_extrapolation::OwnFit;
using curve_extrapolation::Points;
using curve_extrapolation::Posterior;
using curve_extrapolation::Prior;
using curve_extrapolation::PriorOptions;
using weft::InvalidInput;
using weft::Json;
using weft::LearningCurve;
using weft::Prediction;

struct Options {
  std::vector<const Family*> families;
  std::size_t least_points;
  double least_rise;
  double flat_rise;
  std::size_t flat_points;
  std::string recency;
  bool families_deviation;
  PriorOptions prior;
  std::size_t walkers;
  int steps;
  int burn_in;
  int thin;
  double stretch;
  double ball;
  double start_weight;

  explicit Options(const weft::Context& context)
      : least_points(context.get<std::size_t>("least_points")),
        least_rise(context.get<double>("least_rise")),
        flat_rise(context.get<double>("flat_rise")),
        flat_points(context.get<std::size_t>("flat_points")),
        recency(context.get<std::string>("recency")),
        families_deviation(context.get<std::string>("deviation") == "families"),
        walkers(context.get<std::size_t>("walkers")),
        steps(context.get<int>("steps")),
        burn_in(context.get<int>("burn_in")),
        thin(context.get<int>("thin")),
        stretch(context.get<double>("stretch")),
        ball(context.get<double>("ball")),
        start_weight(context.get<double>("start_weight")) {
    for (const std::string& name : context.get<std::vector<std::string>>("families"))
      families.push_back(&family_named(name, "/families"));
    const std::string monotonicity = context.get<std::string>("monotonicity");
    prior.monotonicity = monotonicity == "strict" ? Monotonicity::strict
                         : monotonicity == "soft" ? Monotonicity::soft
                                                  : Monotonicity::none;
    prior.monotonicity_points = context.get<std::size_t>("monotonicity_points");
    prior.largest_value = context.get<double>("largest_value");
    prior.largest_noise = context.get<double>("largest_noise");
    for (const auto& [name, intervals] : context.configuration().at("bounds").items()) set_bounds(name, intervals);
    if (burn_in >= steps || steps - burn_in < thin) {
      throw InvalidInput("/steps is " + std::to_string(steps) + "; must be at least burn_in and thin together, " +
                         std::to_string(std::int64_t{burn_in} + thin) + ", or there is no sample");
    }
  }

 private:
  static const Family& family_named(const std::string& name, const std::string& place) {
    const Family* family = curve_extrapolation::find_family(name);
    if (family == nullptr) {
      std::string known;
      for (const Family& one : curve_extrapolation::all_families)
        known += (known.empty() ? "" : ", ") + std::string(one.name);
      throw InvalidInput(place + " has \"" + name + "\"; must be of " + known);
    }
    return *family;
  }

  void set_bounds(const std::string& name, const Json& intervals) {
    const Family& family = family_named(name, "/bounds");
    if (intervals.size() != family.parameters) {
      throw InvalidInput("/bounds/" + name + " has " + std::to_string(intervals.size()) + " intervals; must have " +
                         std::to_string(family.parameters) + ", one for each parameter");
    }
    for (const Json& interval : intervals) {
      const double least = interval.at(0), largest = interval.at(1);
      if (!(least < largest)) {
        throw InvalidInput("/bounds/" + name + " has " + interval.dump() +
                           "; the first number must be below the second");
      }
      prior.bounds[curve_extrapolation::index_of(family)].push_back({least, largest});
    }
  }
};

// What is to be extrapolated: rewards as shares of the range, epochs counted so that the first is 1.
struct Beginning {
  std::vector<double> epochs;
  std::vector<double> rewards;
  double horizon;
};

// How many points there are before the first one from which so many successive ones are above the very first; 0 where
// there is none.
std::size_t flat_beginning(std::span<const double> rewards, double rise, std::size_t successive) {
  std::size_t above = 0;
  for (std::size_t i = 0; successive > 0 && i < rewards.size(); ++i) {
    above = rewards[i] - rewards[0] > rise ? above + 1 : 0;
    if (above == successive) return i + 1 - successive;
  }
  return 0;
}

// The i-th of n points weighs 10^(i / n); `mean_one`: divided by the mean of all.
std::vector<double> recency_weights(std::size_t count, bool mean_one) {
  std::vector<double> weights;
  for (std::size_t i = 0; i < count; ++i)
    weights.push_back(std::pow(10.0, static_cast<double>(i) / static_cast<double>(count)));
  const double mean = std::accumulate(weights.begin(), weights.end(), 0.0) / static_cast<double>(count);
  for (double& weight : weights) weight /= mean_one ? mean : 1.0;
  return weights;
}

// The curve's end in one sample of the posterior.
struct Sample {
  double end;
  double sigma;
};

struct Sampled {
  std::vector<Sample> samples;
  std::vector<OwnFit> fits;  // of the families that take part
  double points = 0.0;       // as many of one weight say as much as those that were fitted
};

class CurveExtrapolation final : public weft::Predictor {
 public:
  explicit CurveExtrapolation(const weft::Context& context)
      : options_(context),
        scale_(context),
        rng_(context.rng()),
        threads_(weft::curves::idle_cores(context.study())),
        arena_(threads_) {}

  // Every curve speaks for itself.
  void fit(std::span<const LearningCurve>) override {}

  std::optional<Prediction> predict(const LearningCurve& partial, int horizon, double threshold) override {
    const std::optional<Beginning> beginning = beginning_of(partial, horizon);
    if (!beginning) return {};
    const weft::Rng rng =
        rng_.derive("trial", static_cast<std::uint64_t>(partial.trial)).derive("points", partial.size());
    Sampled sampled = sample(*beginning, rng);
    const double mean = mean_end(sampled.samples);
    if (!(mean >= 0.0 && mean <= 1.0)) return {};  // as it is where there is no sample
    if (options_.families_deviation) {
      const double deviation = std::sqrt(curve_extrapolation::variance_around(mean, sampled.fits, sampled.points));
      for (Sample& sample : sampled.samples) sample.sigma = deviation;
    }
    return prediction(sampled.samples, mean, scale_.to_unit(threshold));
  }

 private:
  std::optional<Beginning> beginning_of(const LearningCurve& partial, int horizon) const {
    if (partial.size() < options_.least_points || partial.epochs.back() >= horizon) return {};
    std::vector<double> rewards;
    for (const double reward : partial.rewards) {
      rewards.push_back(scale_.to_unit(reward));
      if (!(rewards.back() >= 0.0 && rewards.back() <= 1.0)) return {};
    }
    if (!(rewards.back() - rewards.front() > options_.least_rise)) return {};
    const std::size_t dropped = flat_beginning(rewards, options_.flat_rise, options_.flat_points);
    if (rewards.size() - dropped < options_.least_points) return {};
    const int before = dropped == 0 ? 0 : partial.epochs[dropped] - 1;
    Beginning beginning{{},
                        {rewards.begin() + static_cast<std::ptrdiff_t>(dropped), rewards.end()},
                        static_cast<double>(horizon - before)};
    for (std::size_t i = dropped; i < partial.size(); ++i) beginning.epochs.push_back(partial.epochs[i] - before);
    return beginning;
  }

  // No sample where no family fits.
  Sampled sample(const Beginning& beginning, const weft::Rng& rng) {
    Points points{{}, beginning.rewards, std::vector(beginning.rewards.size(), 1.0)};
    if (options_.recency != "none") points.weight = recency_weights(points.size(), options_.recency == "mean_one");
    for (const double epoch : beginning.epochs) points.at.push_back({epoch});

    const Prior prior(options_.prior, beginning.horizon);
    std::vector<const Family*> families;
    std::vector<OwnFit> fits;
    std::vector<double> start;
    for (const Family* family : options_.families) {
      const std::optional<std::vector<double>> theta = curve_extrapolation::least_squares(*family, points);
      if (!theta || !prior.supports(*family, theta->data())) continue;
      const double noise =
          std::max(curve_extrapolation::residual_deviation(*family, *theta, points), least_start_noise);
      if (!prior.supports_noise(noise)) continue;  // it fits badly
      families.push_back(family);
      fits.push_back({std::clamp(family->value(*theta, beginning.horizon), 0.0, 1.0), noise, family->parameters});
      start.insert(start.end(), theta->begin(), theta->end());
    }
    if (families.empty()) return {};
    start.push_back(0.0);  // sigma
    start.insert(start.end(), families.size(), options_.start_weight);

    const double effective = curve_extrapolation::effective_count(points.weight);
    const Posterior posterior(families, prior, std::move(points), beginning.horizon);
    // Of a curve without noise the posterior's peak is no place to start from.
    const double residual = std::sqrt(posterior.weighted_squared_error(start) / posterior.total_weight());
    start[start.size() - families.size() - 1] = std::max(residual, least_start_noise);
    if (!std::isfinite(posterior(start))) return {};

    std::vector<Sample> samples;
    if (threads_ == 1) {
      const auto one_by_one = [](std::size_t count, const auto& body) {
        for (std::size_t i = 0; i < count; ++i) body(i);
      };
      samples = run(posterior, start, rng, one_by_one);
    } else {
      const auto at_once = [](std::size_t count, const auto& body) { tbb::parallel_for(std::size_t{0}, count, body); };
      arena_.execute([&] { samples = run(posterior, start, rng, at_once); });
    }
    return {std::move(samples), std::move(fits), effective};
  }

  template <typename ForEach>
  std::vector<Sample> run(const Posterior& posterior, const std::vector<double>& start, const weft::Rng& rng,
                          const ForEach& for_each) const {
    const auto density = [&](std::span<const double> theta) { return posterior(theta); };
    EnsembleSampler sampler(walkers_around(start, posterior, rng), density, options_.stretch, rng);
    std::vector<Sample> samples;
    for (int step = 1; step <= options_.steps; ++step) {
      sampler.step(for_each);
      if (step <= options_.burn_in || (step - options_.burn_in) % options_.thin != 0) continue;
      for (std::size_t walker = 0; walker < sampler.walkers(); ++walker) {
        const std::span<const double> theta = sampler.position(walker);
        samples.push_back({posterior.end(theta), posterior.sigma(theta)});
      }
    }
    return samples;
  }

  std::vector<std::vector<double>> walkers_around(const std::vector<double>& start, const Posterior& posterior,
                                                  const weft::Rng& seed) const {
    weft::Rng rng = seed.derive("start");
    const std::size_t count = std::max(options_.walkers, 2 * start.size());
    std::vector<std::vector<double>> walkers(count + count % 2, start);
    for (std::vector<double>& walker : walkers) {
      for (double& value : walker) value += options_.ball * rng.normal();
      if (!std::isfinite(posterior(walker))) walker = start;
    }
    return walkers;
  }

  // No number where there is no sample.
  static double mean_end(const std::vector<Sample>& samples) {
    double sum = 0.0;
    for (const Sample& sample : samples) sum += sample.end;
    return sum / static_cast<double>(samples.size());
  }

  Prediction prediction(const std::vector<Sample>& samples, double mean, double threshold) const {
    const auto count = static_cast<double>(samples.size());
    double variance = 0.0, above = 0.0;
    for (const Sample& sample : samples) {
      variance += ((sample.end - mean) * (sample.end - mean) + sample.sigma * sample.sigma) / count;
      above += Prediction::normal(sample.end, sample.sigma, threshold).probability_above / count;
    }
    return {scale_.to_reward(mean), scale_.to_reward_width(std::sqrt(variance)), std::min(above, 1.0)};
  }

  static constexpr double least_start_noise = 1e-4;  // as share of the range

  Options options_;
  weft::curves::Scale scale_;
  weft::Rng rng_;
  int threads_;
  tbb::task_arena arena_;
};

}  // namespace

WEFT_PLUGIN(weft::component<CurveExtrapolation>("curve_extrapolation"))
