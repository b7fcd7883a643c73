// The sampler of BOHB: where hyperband would draw a candidate at random, one is drawn near good results, such that it
// is likely among the good ones and unlikely among the bad.
//
// Falkner, Klein, Hutter 2018, "BOHB: Robust and Efficient Hyperparameter Optimization at Scale", section 3 and
// Algorithm 2; the details are those of the authors' program, HpBandSter. Put into hyperband it is BOHB:
//
//   "optimizer": {"name": "hyperband", "args": {"sampler": {"name": "bohb"}}}
//
// Results of each budget are kept apart, and the model is that of the largest budget that has enough of them. Once
// there is one, smaller budgets are not modelled any more. A trial that failed, or was pruned without a prediction, is
// worst.
//
// Deviations: kernel_density.hpp; g and l are floored at 1e-32 as logarithms; and the decisions of a space are those
// that results of a budget have answered, as a space cannot be asked for all that it may ever decide. A decision that
// the model does not know, or an option that is not offered here, is drawn at random.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "kernel_density.hpp"
#include "weft/plugin.hpp"
#include "weft/search/history.hpp"

namespace {

using bohb::KernelDensity;
using bohb::Variable;
using weft::Genotype;
using weft::search::Amount;

constexpr double inactive = std::numeric_limits<double>::quiet_NaN();

struct Options {
  std::size_t min_points;
  std::size_t top_percent;
  std::size_t samples;
  double random_fraction;
  double bandwidth_factor;
  bool resamples;
  bohb::Rule rule;

  explicit Options(const weft::Context& context)
      : min_points(context.configuration().at("min_points").is_null() ? 0 : context.get<std::size_t>("min_points")),
        top_percent(context.get<std::size_t>("top_percent")),
        samples(context.get<std::size_t>("samples")),
        random_fraction(context.get<double>("random_fraction")),
        bandwidth_factor(context.get<double>("bandwidth_factor")),
        resamples(context.get<std::string>("duplicates") == "resample"),
        rule{context.get<double>("min_bandwidth"), context.get<std::string>("category_deviation") == "index"
                                                       ? bohb::CategoryDeviation::index
                                                       : bohb::CategoryDeviation::nominal} {}
};

struct Result {
  weft::search::Answers answers;
  double loss;
};

struct Model {
  std::unordered_map<std::uint32_t, std::size_t> columns;  // of the decisions, by their names' numbers
  std::vector<Variable> variables;
  KernelDensity good, bad;

  // log of max(g, 1e-32) / max(l, 1e-32).
  double log_quotient(std::span<const double> point) const {
    static const double floor = std::log(1e-32);
    return std::max(bad.log_density(point), floor) - std::max(good.log_density(point), floor);
  }
};

class Bohb final : public weft::Optimizer {
 public:
  explicit Bohb(const weft::Context& context) : options_(context), space_(context.space()), rng_(context.rng()) {}

  std::vector<weft::Proposal> ask(std::size_t capacity) override {
    std::vector<weft::Proposal> proposals;
    while (proposals.size() < capacity) {
      if (changed_) fit();
      const bool random = rng_.bernoulli(options_.random_fraction) || !model_;
      Genotype genotype = random ? space_.sample(rng_) : sample_by_model();
      proposed_.insert(weft::hash_text(genotype.key()));
      proposals.emplace_back().genotype = std::move(genotype);
    }
    return proposals;
  }

  void tell(const weft::TrialResult& result) override {
    const Amount budget = weft::search::amount_of(result.fidelity);
    if (model_ && budget < modelled_) return;
    const std::optional<double> reward = result.told_reward();
    const double loss = reward && std::isfinite(*reward) ? -*reward : std::numeric_limits<double>::infinity();
    results_[budget].push_back({vocabulary_.read(space_, result.genotype), loss});
    changed_ = true;
  }

 private:
  // ---- the model

  // Of the largest budget that can have one; what was told of smaller ones is forgotten.
  void fit() {
    changed_ = false;
    for (auto budget = results_.rbegin(); budget != results_.rend(); ++budget) {
      std::optional<Model> model =
          model_of(budget->second, model_ && budget->first == modelled_ ? model_->variables.size() : SIZE_MAX);
      if (!model) continue;
      model_ = std::move(model);
      modelled_ = budget->first;
      results_.erase(results_.begin(), results_.find(modelled_));
      return;
    }
  }

  // `modelled`: the decisions of the model that it follows.
  std::optional<Model> model_of(const std::vector<Result>& results, std::size_t modelled) {
    const std::vector<std::uint32_t> names = modelled_names(results, modelled);
    std::unordered_map<std::uint32_t, std::size_t> columns;
    std::vector<Variable> variables;
    for (const std::uint32_t name : names) {
      columns.emplace(name, columns.size());
      const auto& entry = vocabulary_[name];
      variables.push_back({entry.offered.size(), entry.kind == weft::Decision::Kind::ordinal});
    }
    const std::size_t decisions = variables.size();
    const std::size_t min_points = std::max(options_.min_points, decisions + 1);
    if (decisions == 0 || results.size() < min_points) return {};
    const std::size_t good = std::max(min_points, options_.top_percent * results.size() / 100);
    const std::size_t bad = std::max(min_points, (100 - options_.top_percent) * results.size() / 100);
    std::vector<const Result*> ranked;
    for (const Result& result : results) ranked.push_back(&result);
    std::stable_sort(ranked.begin(), ranked.end(), [](const Result* a, const Result* b) { return a->loss < b->loss; });
    const std::size_t end = std::min(ranked.size(), good + bad);
    // Each set needs more points than decisions; the good one has them.
    if (end <= good || end - good <= decisions) return {};
    const auto density = [&](std::size_t from, std::size_t to) {
      const std::vector<double> points = points_of(std::span(ranked).subspan(from, to - from), columns, variables);
      return KernelDensity(variables, complete(points, variables), options_.rule);
    };
    KernelDensity of_good = density(0, good);
    KernelDensity of_bad = density(good, end);
    return Model{std::move(columns), std::move(variables), std::move(of_good), std::move(of_bad)};
  }

  // Those that any result took, in the order in which they were met. Where there are too few results for new ones,
  // those wait that the fewest took: the model goes on learning without them.
  static std::vector<std::uint32_t> modelled_names(const std::vector<Result>& results, std::size_t modelled) {
    std::vector<std::uint32_t> names;
    std::unordered_map<std::uint32_t, std::size_t> taken;
    for (const Result& result : results) {
      for (const weft::search::Answer& answer : result.answers) {
        if (++taken[answer.name] == 1) names.push_back(answer.name);
      }
    }
    const std::size_t halves = results.size() / 2;  // each set needs more points than decisions
    const std::size_t kept = std::max(modelled, std::max<std::size_t>(halves, 1) - 1);
    if (names.size() <= kept) return names;
    std::vector<std::uint32_t> most = names;
    std::stable_sort(most.begin(), most.end(), [&](auto a, auto b) { return taken.at(a) > taken.at(b); });
    std::set<std::uint32_t> fewest(most.begin() + static_cast<std::ptrdiff_t>(kept), most.end());
    std::erase_if(names, [&](std::uint32_t name) { return fewest.contains(name); });
    return names;
  }

  // points x decisions; inactive where a decision was not taken, or its option is not offered any more.
  std::vector<double> points_of(std::span<const Result* const> results,
                                const std::unordered_map<std::uint32_t, std::size_t>& columns,
                                const std::vector<Variable>& variables) const {
    std::vector<double> points(results.size() * variables.size(), inactive);
    for (std::size_t row = 0; row < results.size(); ++row) {
      for (const weft::search::Answer& answer : results[row]->answers) {
        const std::int32_t place = vocabulary_[answer.name].places[answer.option];
        if (place == weft::search::Vocabulary::not_offered) continue;
        const auto found = columns.find(answer.name);
        if (found == columns.end()) continue;
        const std::size_t column = found->second;
        points[row * variables.size() + column] = variables[column].value_of(static_cast<std::size_t>(place));
      }
    }
    return points;
  }

  // Inactive values are copied from a random point that has the first of them, together with whatever else is inactive;
  // where none has it, it is random.
  std::vector<double> complete(const std::vector<double>& points, const std::vector<Variable>& variables) {
    std::vector<double> completed = points;
    const std::size_t width = variables.size();
    const std::size_t rows = points.size() / width;
    for (std::size_t column = 0; column < width; ++column) {
      std::vector<std::size_t> active;
      for (std::size_t row = 0; row < rows; ++row)
        if (!std::isnan(points[row * width + column])) active.push_back(row);
      for (std::size_t row = 0; row < rows; ++row) {
        double* const values = completed.data() + row * width;
        if (!std::isnan(values[column])) continue;
        if (active.empty()) {
          values[column] = variables[column].value_of(rng_.below(variables[column].options));
          continue;
        }
        const double* const donor = points.data() + rng_.choice(active) * width;
        for (std::size_t i = column; i < width; ++i)
          if (std::isnan(values[i])) values[i] = donor[i];
      }
    }
    return completed;
  }

  // ---- a candidate

  // The sample with the least quotient, of those that were never proposed; where all were, one of the space.
  Genotype sample_by_model() {
    struct Sample {
      double quotient;
      std::vector<double> point;
    };
    std::vector<Sample> samples;
    for (std::size_t i = 0; i < options_.samples; ++i) {
      std::vector<double> point = sample_near(model_->good.point(rng_.below(model_->good.size())));
      const double quotient = model_->log_quotient(point);
      samples.push_back({quotient, std::move(point)});
    }
    std::stable_sort(samples.begin(), samples.end(),
                     [](const Sample& one, const Sample& other) { return one.quotient < other.quotient; });
    for (const Sample& sample : samples) {
      Genotype genotype = genotype_at(sample.point);
      if (!options_.resamples || !proposed_.contains(weft::hash_text(genotype.key()))) return genotype;
    }
    return space_.sample(rng_);
  }

  std::vector<double> sample_near(std::span<const double> point) {
    std::vector<double> sample;
    for (std::size_t i = 0; i < point.size(); ++i) {
      const Variable& variable = model_->variables[i];
      const double bandwidth = model_->good.bandwidths()[i];
      if (variable.ordinal) {
        sample.push_back(bohb::truncated_normal(point[i], options_.bandwidth_factor * bandwidth, rng_));
      } else {
        sample.push_back(rng_.bernoulli(1.0 - bandwidth) ? point[i]
                                                         : static_cast<double>(rng_.below(variable.options)));
      }
    }
    return sample;
  }

  // What the space asks for of it; the rest is inactive.
  Genotype genotype_at(const std::vector<double>& point) {
    Genotype genotype;
    while (const std::optional<weft::Decision> decision = space_.next(genotype.decisions)) {
      const auto column = model_->columns.find(vocabulary_.meet(*decision));
      std::size_t option = decision->options.size();
      if (column != model_->columns.end()) option = model_->variables[column->second].option_at(point[column->second]);
      if (option >= decision->options.size()) option = rng_.below(decision->options.size());
      genotype.decisions.push_back(static_cast<std::int32_t>(option));
    }
    return genotype;
  }

  Options options_;
  weft::SpaceRef space_;
  weft::Rng rng_;
  weft::search::Vocabulary vocabulary_;
  std::map<Amount, std::vector<Result>> results_;  // by budget
  bool changed_ = false;                           // since the last fit
  std::unordered_set<std::uint64_t> proposed_;     // hashes of genotypes
  std::optional<Model> model_ = {};
  Amount modelled_ = {};  // the model's budget
};

}  // namespace

WEFT_PLUGIN(weft::component<Bohb>("bohb"))
