// The latency of a supernet's architectures, as a sum over their options (Cai, Zhu, Han 2019, section 3.3 and appendix
// B), and how it enters a loss or a reward.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "gates.hpp"
#include "weft/data_path.hpp"
#include "weft/json.hpp"
#include "weft/option_cost.hpp"

namespace proxyless {

struct Latency {
  std::vector<Numbers> options;  // by choice
  double fixed = 0.0;            // of what no decision changes

  // E[LAT]: `probabilities` by choice.
  double expected(const std::vector<Numbers>& probabilities) const {
    double sum = fixed;
    for (std::size_t i = 0; i < options.size(); ++i)
      sum += std::inner_product(options[i].begin(), options[i].end(), probabilities[i].begin(), 0.0);
    return sum;
  }
  // Of an architecture; of a decision with several options, of all of them.
  double of(const std::vector<std::vector<int>>& path) const {
    double sum = fixed;
    for (std::size_t i = 0; i < options.size(); ++i) {
      for (const int option : path[i]) sum += options[i][static_cast<std::size_t>(option)];
    }
    return sum;
  }
  double smallest() const {
    double sum = fixed;
    for (const Numbers& of_choice : options) sum += *std::ranges::min_element(of_choice);
    return sum;
  }
};

// Of an option: base + per_multiply_add * multiply-adds + per_parameter * parameters, at each place where it computes
// anything.
struct Regression {
  double base, per_multiply_add, per_parameter;

  double of(const weft::Cost& cost) const {
    return per_multiply_add * static_cast<double>(cost.multiply_adds) +
           per_parameter * static_cast<double>(cost.parameters);
  }
};

inline Latency regressed(const weft::Architecture& supernet, const Regression& regression) {
  Latency latency;
  double of_options = 0.0;
  for (const auto& choice : weft::options_at_places(supernet)) {
    Numbers& of_choice = latency.options.emplace_back();
    for (const std::vector<weft::OptionAtPlace>& option : choice) {
      double sum = 0.0;
      for (const weft::OptionAtPlace& place : option) {
        of_options += regression.of(place.cost);
        if (place.cost != weft::Cost{}) sum += regression.base + regression.of(place.cost);
      }
      of_choice.push_back(sum);
    }
  }
  // Rounding may leave a little less than nothing.
  latency.fixed = std::max(0.0, regression.of(supernet.cost()) - of_options);
  return latency;
}

// What was measured: {"fixed": of what no decision changes, "rows": [{"option": its name, "input": [channels, height,
// width] of what it reads, "output": of what it makes, "latency": number}..]}, in any unit.
class LatencyTable {
 public:
  // Throws InvalidInput naming the file and the row.
  LatencyTable(const weft::Json& json, std::string name) : name_(std::move(name)) {
    try {
      fixed_ = number(json, "fixed");
      for (const weft::Json& row : json.at("rows")) {
        const std::string key =
            key_of(row.at("option"), weft::Shape::from_json(row.at("input")), weft::Shape::from_json(row.at("output")));
        if (!rows_.emplace(key, number(row, "latency")).second)
          throw weft::InvalidInput("there are two rows of " + key);
      }
    } catch (const std::exception& error) {
      throw weft::InvalidInput("/latency_table, " + name_ + ": " + error.what());
    }
  }

  static LatencyTable read(const std::string& given) {
    const std::filesystem::path file = weft::data_path(given);
    weft::require_file(file, "Set /latency_table to a table of measured latencies, or to nothing");
    std::ifstream stream(file, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(stream), {}};
    const weft::Json json = weft::Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (json.is_discarded()) throw weft::InvalidInput("/latency_table, " + file.string() + ": it is no JSON");
    return {json, file.string()};
  }

  // What computes nothing needs no row. Throws InvalidInput naming what is missing.
  Latency of(const weft::Architecture& supernet) const {
    Latency latency{.fixed = fixed_};
    const std::vector<weft::SupernetChoice> choices = weft::choices_of(supernet);
    const auto all = weft::options_at_places(supernet);
    std::string missing;
    std::size_t count = 0;
    for (std::size_t i = 0; i < choices.size(); ++i) {
      Numbers& of_choice = latency.options.emplace_back();
      for (std::size_t option = 0; option < all[i].size(); ++option) {
        double sum = 0.0;
        for (const weft::OptionAtPlace& place : all[i][option]) {
          if (place.cost == weft::Cost{}) continue;
          const std::string key = key_of(choices[i].options[option], place.input, place.output);
          const auto row = rows_.find(key);
          if (row != rows_.end()) {
            sum += row->second;
          } else if (++count == 1) {
            missing = key + ", an option of decision \"" + choices[i].decision + "\"";
          }
        }
        of_choice.push_back(sum);
      }
    }
    if (count > 0) {
      throw weft::InvalidInput("/latency_table, " + name_ + ": there is no row of " + missing +
                               (count > 1 ? ", nor of " + std::to_string(count - 1) + " others" : "") +
                               "; measure them, or leave the table out");
    }
    return latency;
  }

 private:
  static std::string key_of(const std::string& option, const weft::Shape& input, const weft::Shape& output) {
    return "\"" + option + "\" that makes " + output.to_string() + " of " + input.to_string();
  }
  static double number(const weft::Json& json, const char* member) {
    const weft::Json& value = json.at(member);
    if (!value.is_number() || value.get<double>() < 0.0)
      throw weft::InvalidInput("\"" + std::string(member) + "\" is " + value.dump() + "; must be a number, at least 0");
    return value.get<double>();
  }

  std::string name_;
  double fixed_ = 0.0;
  std::map<std::string, double> rows_;
};

// What the structure descends, of the cross-entropy CE and the expected latency E:
//   additive     CE + weight E; with a target CE + weight (E - target) / target
//   logarithmic  weight CE (ln E / ln target)^power
// The paper's is the first, without a target (Eq. 8); the others are those of the authors' code.
struct LatencyLoss {
  enum class Form { none, additive, logarithmic };
  Form form = Form::none;
  double weight = 0.0, target = 0.0, power = 0.0;

  double value(double cross_entropy, double expected) const {
    if (form == Form::none) return cross_entropy;
    if (form == Form::logarithmic) return weight * cross_entropy * std::pow(ratio(expected), power);
    return cross_entropy + (target > 0.0 ? weight * (expected - target) / target : weight * expected);
  }

  // Its derivatives in CE and in E.
  struct Slopes {
    double cross_entropy = 1.0, expected = 0.0;
  };
  Slopes slopes(double cross_entropy, double expected) const {
    if (form == Form::none) return {};
    if (form == Form::additive) return {1.0, target > 0.0 ? weight / target : weight};
    return {weight * std::pow(ratio(expected), power),
            weight * cross_entropy * power * std::pow(ratio(expected), power - 1.0) / (expected * std::log(target))};
  }

 private:
  double ratio(double expected) const { return std::log(expected) / std::log(target); }
};

// ACC (LAT / T)^w (Tan et al. 2018, Eq. 2), of the accuracy as a share.
inline double latency_reward(double accuracy, double latency, double target, double exponent) {
  return exponent == 0.0 ? accuracy : accuracy * std::pow(latency / target, exponent);
}

}  // namespace proxyless
