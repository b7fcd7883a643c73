// What a search over fidelities allots: epochs, a share of the training data, or the levels of /fidelities; and the
// rungs that it makes of it (Jamieson & Talwalkar 2016, "Non-stochastic Best Arm Identification and Hyperparameter
// Optimization"; Li et al. 2017, "Hyperband").
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "weft/error.hpp"
#include "weft/json.hpp"
#include "weft/trial.hpp"

namespace weft::search {

// Rungs 0, 1, .. of ascending amounts, at least two, the last of which is the whole resource R.
class Resource {
 public:
  enum class Kind { epochs, data_fraction, level };

  // From the arguments "resource", "minimum", "maximum" (null for levels) and "eta", and the study's levels. Epochs and
  // shares of the data rise by eta, from the least R eta^-s that is not below `minimum`, epochs rounded; of levels
  // there are as many as the pipeline has, and the ratios of their costs stand for eta. Throws InvalidInput naming the
  // argument where that makes no two rungs.
  Resource(const Json& configuration, const Json& study) : kind_(kind(configuration.at("resource"))) {
    kind_ == Kind::level ? read_levels(configuration.at("maximum"), study) : divide(configuration);
  }

  Kind kind() const { return kind_; }
  std::size_t rungs() const { return amounts_.size(); }
  // Epochs, share of the data, or the level's cost.
  double amount(std::size_t rung) const { return amounts_.at(rung); }
  // How many times as much the last rung gets: eta^s, before epochs are rounded.
  double scale(std::size_t rung) const { return scales_.at(rung); }

  // Of `count` that begin on rung `from`, how many come to rung `to`: floor(n eta^-i), i = to - from.
  std::size_t survivors(std::size_t count, std::size_t from, std::size_t to) const {
    return static_cast<std::size_t>(static_cast<double>(count) / times(from, to) + rounding);
  }
  // Of `count` that were evaluated on a rung below the last, how many go on: one in eta.
  std::size_t survivors(std::size_t count, std::size_t rung) const { return survivors(count, rung, rung + 1); }
  // The fewest that begin on rung `from` of whom `count` come to rung `to`.
  std::size_t fewest(std::size_t from, std::size_t to, std::size_t count = 1) const {
    return static_cast<std::size_t>(std::ceil(static_cast<double>(count) * times(from, to) - rounding));
  }

  // On which rung a result was measured: the highest whose amount it has come to; the first, if it has come to none.
  // What its fidelity does not say was the evaluator's own setting, which counts as the last rung.
  std::size_t rung_of(const Fidelity& fidelity) const {
    if (kind_ == Kind::level)
      return std::min(rungs() - 1, static_cast<std::size_t>(std::max(0, fidelity.level.value_or(last_level()))));
    const double amount = kind_ == Kind::epochs ? fidelity.epochs.value_or(static_cast<int>(amounts_.back()))
                                                : fidelity.data_fraction.value_or(1.0);
    const auto above = std::upper_bound(amounts_.begin(), amounts_.end(), amount * (1.0 + rounding));
    return static_cast<std::size_t>(std::max<std::ptrdiff_t>(0, above - amounts_.begin() - 1));
  }
  // Epochs in all, also of what goes on from a rung below.
  Fidelity fidelity(std::size_t rung) const {
    Fidelity fidelity;
    if (kind_ == Kind::epochs) fidelity.epochs = static_cast<int>(amounts_.at(rung));
    if (kind_ == Kind::data_fraction) fidelity.data_fraction = amounts_.at(rung);
    if (kind_ == Kind::level) fidelity.level = static_cast<int>(rung);
    return fidelity;
  }
  // Whether a higher rung goes on from the checkpoint of the one below: more epochs of the same training.
  bool resumes() const { return kind_ == Kind::epochs; }

 private:
  // What is whole on paper must not fall short of it, or exceed it, for want of a last digit.
  static constexpr double rounding = 1e-9;

  static Kind kind(const std::string& name) {
    if (name == "epochs") return Kind::epochs;
    return name == "level" ? Kind::level : Kind::data_fraction;
  }
  static std::string shown(const Json& value) { return value.dump(); }
  int last_level() const { return static_cast<int>(rungs()) - 1; }
  double times(std::size_t from, std::size_t to) const { return scales_.at(from) / scales_.at(to); }

  void divide(const Json& configuration) {
    const Json& given_most = configuration.at("maximum");
    if (given_most.is_null()) {
      throw InvalidInput("/maximum is null; must be given for the resource " + shown(configuration.at("resource")) +
                         ": the whole of it that a candidate can get");
    }
    const double most = given_most, least = configuration.at("minimum"), eta = configuration.at("eta");
    const std::string shown_most = shown(given_most), shown_least = shown(configuration.at("minimum"));
    if (most < least) throw InvalidInput("/maximum is " + shown_most + "; must not be below /minimum, " + shown_least);
    for (const char* argument : {"maximum", "minimum"}) {
      const double amount = configuration.at(argument);
      if (kind_ == Kind::epochs && amount != std::floor(amount))
        throw InvalidInput("/" + std::string(argument) + " is " + shown(amount) + "; must be a whole number of epochs");
    }
    if (kind_ == Kind::data_fraction && most > 1.0)
      throw InvalidInput("/maximum is " + shown_most + "; a share of the data is at most 1");
    // By products, as log(243) / log(3) is below 5 in doubles.
    for (double scale = 1.0; least * scale <= most * (1.0 + rounding); scale *= eta) scales_.push_back(scale);
    if (scales_.size() < 2) {
      throw InvalidInput("/minimum is " + shown_least + "; must be at most /maximum / eta, " + shown_most + " / " +
                         shown(configuration.at("eta")) + ", or there is nothing to rise to");
    }
    std::reverse(scales_.begin(), scales_.end());
    for (const double scale : scales_)
      amounts_.push_back(kind_ == Kind::epochs ? std::round(most / scale) : most / scale);
  }

  void read_levels(const Json& maximum, const Json& study) {
    if (!maximum.is_null()) {
      throw InvalidInput("/maximum is " + shown(maximum) +
                         "; must be left out for the resource \"level\", whose last rung is the last of /fidelities");
    }
    const std::string begin = "/resource is \"level\", but ";
    const Json levels = study.value("fidelities", Json::array());
    if (levels.size() < 2) {
      throw InvalidInput(begin + "the pipeline has " + std::to_string(levels.size()) +
                         " levels; give at least two in /fidelities, or another resource");
    }
    for (const Json& level : levels) {
      const std::string place = "/fidelities/" + std::to_string(amounts_.size());
      if (!level.contains("cost") || level.at("cost").is_null())
        throw InvalidInput(begin + place + " of the pipeline has no cost; give each level its own");
      const double cost = level.at("cost");
      const double before = amounts_.empty() ? 0.0 : amounts_.back();
      if (!(cost > before)) {
        throw InvalidInput(begin + place + "/cost of the pipeline is " + shown(level.at("cost")) +
                           "; costs must be above 0 and rise from level to level");
      }
      amounts_.push_back(cost);
    }
    for (const double cost : amounts_) scales_.push_back(amounts_.back() / cost);
  }

  Kind kind_;
  std::vector<double> amounts_;
  std::vector<double> scales_;
};

}  // namespace weft::search
