// How many trials a search on increasing image sizes has on each size, and how many of them are old acquaintances.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <string>
#include <vector>

#include "weft/budget.hpp"
#include "weft/context.hpp"
#include "weft/error.hpp"

namespace increasing_image_size {

class Stages {
 public:
  explicit Stages(const weft::Context& context)
      : carry_share_(context.get<double>("carry_share")), carry_least_(context.get<std::size_t>("carry_least")) {
    const std::size_t levels = context.study().value("fidelities", weft::Json::array()).size();
    if (levels < 2)
      throw weft::InvalidInput("the pipeline has " + std::to_string(levels) + (levels == 1 ? " level" : " levels") +
                               " in /fidelities; must have at least two, the smallest images first: give each the data "
                               "set's argument resolution, as in {\"dataset\": {\"args\": {\"resolution\": 14}}}");
    sizes_ = divided(trials(context), shares(context.configuration().at("shares"), levels));
    check();
  }

  std::size_t count() const { return sizes_.size(); }
  // Trials of it.
  std::size_t size(std::size_t stage) const { return sizes_.at(stage); }
  // How many of them are evaluated again after it, the best: max(5, ceil(0.1 n/3)).
  std::size_t carried_after(std::size_t stage) const {
    // What should be whole must not rise above for want of a last digit.
    const double share = std::ceil(carry_share_ * static_cast<double>(sizes_.at(stage)) - 1e-9);
    return std::max(carry_least_, static_cast<std::size_t>(share));
  }

 private:
  static std::size_t trials(const weft::Context& context) {
    const weft::Budget budget(context.study());
    const weft::Json& given = context.configuration().at("trials");
    if (given.is_null()) {
      if (budget.trials || budget.unique) return budget.least();
      throw weft::InvalidInput(
          "/trials is null, but the budget does not limit them; say how many are to be divided among the levels");
    }
    const auto trials = given.get<std::size_t>();
    if (trials <= budget.least()) return trials;
    throw weft::InvalidInput("/trials is " + std::to_string(trials) + "; must not exceed " + budget.words() +
                             ", or the search ends before images have their full size");
  }

  static std::vector<double> shares(const weft::Json& given, std::size_t levels) {
    if (given.is_null()) return std::vector<double>(levels, 1.0);
    if (given.size() == levels) return given.get<std::vector<double>>();
    throw weft::InvalidInput("/shares has " + std::to_string(given.size()) + " numbers; must have one for each of " +
                             "the " + std::to_string(levels) + " levels in /fidelities");
  }

  // By largest remainder, of equal ones the earlier stage's first.
  static std::vector<std::size_t> divided(std::size_t trials, const std::vector<double>& shares) {
    const double all = std::accumulate(shares.begin(), shares.end(), 0.0);
    std::vector<std::size_t> sizes;
    std::vector<double> remainders;
    for (const double share : shares) {
      const double exact = static_cast<double>(trials) * share / all;
      sizes.push_back(static_cast<std::size_t>(exact + 1e-9));
      remainders.push_back(exact - static_cast<double>(sizes.back()));
    }
    std::size_t left = trials - std::accumulate(sizes.begin(), sizes.end(), std::size_t{0});
    for (; left > 0; --left) {
      const auto largest =
          std::max_element(remainders.begin(), remainders.end(), [](double a, double b) { return a < b - 1e-9; });
      ++sizes[static_cast<std::size_t>(largest - remainders.begin())];
      *largest = -1.0;
    }
    return sizes;
  }

  void check() const {
    for (std::size_t stage = 0; stage < count(); ++stage) {
      if (sizes_[stage] > 0) continue;
      throw weft::InvalidInput("/trials leave none for level " + std::to_string(stage) +
                               " of /fidelities; give more trials or other /shares");
    }
    for (std::size_t stage = 0; stage + 1 < count(); ++stage) {
      if (carried_after(stage) < sizes_[stage + 1]) continue;
      const bool least = carried_after(stage) == carry_least_;
      throw weft::InvalidInput((least ? "/carry_least is " + std::to_string(carry_least_)
                                      : "/carry_share is " + weft::Json(carry_share_).dump()) +
                               "; by that " + std::to_string(carried_after(stage)) +
                               " candidates are evaluated again on level " + std::to_string(stage + 1) +
                               ", must be fewer than its trials, " + std::to_string(sizes_[stage + 1]) +
                               ", or no new one is; lower it or give more trials");
    }
  }

  double carry_share_;
  std::size_t carry_least_;
  std::vector<std::size_t> sizes_;
};

}  // namespace increasing_image_size
