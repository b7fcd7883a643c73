// Looks architectures up in a table of measured networks, so that a search costs microseconds (tabular benchmarks: Ying
// et al. 2019, "NAS-Bench-101"; Dong & Yang 2020, "NAS-Bench-201").
//
// The key is the space's own notation of a genotype; no graph is decoded. Rows are read once: one vector of numbers for
// all, one map from notation to row.

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "csv.hpp"
#include "weft/data_path.hpp"
#include "weft/plugin.hpp"

namespace {

// The file as it is given or, if that does not exist and is relative, below $WEFT_DATA.
std::filesystem::path find_file(const std::string& given) {
  const std::filesystem::path file = weft::data_path(given);
  const char* data = std::getenv("WEFT_DATA");
  if (!std::filesystem::exists(file) && file.is_relative() && data != nullptr && std::filesystem::exists(data / file))
    return data / file;
  weft::require_file(file, file.is_absolute() ? std::string("Set /file to a table")
                           : data != nullptr  ? "Nor is it in $WEFT_DATA, " + std::string(data)
                                              : "Set /file to a table, or WEFT_DATA to the folder of the data");
  return file;
}

std::string contents(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// Metric names and where their values lie in a row.
using Metrics = std::vector<std::pair<std::string, std::size_t>>;

class Table final : public weft::Evaluator {
 public:
  explicit Table(const weft::Context& context) : space_(context.space()) {
    const auto file = find_file(context.get<std::string>("file"));
    path_ = file.string();
    const auto key = context.get<std::string>("key");
    metrics_ = columns_of(context.configuration().at("metrics"));
    for (const auto& [epochs, columns] : context.configuration().at("fidelities").items()) {
      if (epochs.empty() || epochs.size() > 6 || epochs.find_first_not_of("0123456789") != std::string::npos) {
        throw weft::InvalidInput("/fidelities/" + epochs + " must be a number of epochs");
      }
      fidelities_[std::stoi(epochs)] = columns_of(columns);
    }
    if (context.configuration().contains("epochs")) epochs_ = context.get<int>("epochs");
    std::string text = contents(file);
    fingerprint_ = weft::hash_text(text);
    add_curve(context.configuration().at("curve"), columns_in(file, text));
    if (file.extension() == ".json") {
      read_json(text, key);
    } else {
      read_csv(std::move(text), key);
    }
    if (rows_.empty()) throw weft::InvalidInput(path_ + " has no rows");
    values_.shrink_to_fit();
    compare_with_space(context.log());
    look_for_samples(context);
  }

  // Reports what the table has on the way to the epochs that are asked for.
  weft::Evaluation evaluate(const weft::EvaluationRequest& request, const weft::Reporter& reporter) override {
    const std::string notation = space_.notation(request.genotype);
    const auto row = rows_.find(notation);
    if (row == rows_.end()) throw weft::Error("the architecture " + notation + " is not in " + path_);
    const double* values = values_.data() + row->second * columns_.size();
    const auto measured = [&](const Metrics& metrics) {
      weft::Json measured = weft::Json::object();
      for (const auto& [metric, column] : metrics) measured[metric] = values[column];
      return measured;
    };
    const Metrics& last = metrics_at(request.fidelity);
    const std::optional<int> end = request.fidelity.epochs ? request.fidelity.epochs : epochs_;
    for (const auto& [epochs, metrics] : fidelities_) {
      if (!end || epochs > *end) break;
      weft::Json report = measured(epochs == *end ? last : metrics);
      weft::Evaluation so_far{.metrics = report};
      report.update({{"epoch", epochs}, {"epochs", *end}});
      const weft::Verdict verdict = reporter.report(report);
      if (verdict == weft::Verdict::go_on || epochs == *end) continue;
      so_far.state = verdict == weft::Verdict::stop ? weft::TrialState::pruned : weft::TrialState::paused;
      return so_far;
    }
    return {.metrics = measured(last)};
  }

  std::string fingerprint() const override { return std::to_string(fingerprint_); }

 private:
  // The columns of a mapping, each read once however often it is named.
  Metrics columns_of(const weft::Json& mapping) {
    if (!mapping.contains("validation_accuracy")) {
      throw weft::InvalidInput("a mapping of metrics must name validation_accuracy; it is " + mapping.dump());
    }
    Metrics metrics;
    for (const auto& [metric, named] : mapping.items()) {
      const auto column = named.get<std::string>();
      const auto found = std::find(columns_.begin(), columns_.end(), column);
      metrics.emplace_back(metric, static_cast<std::size_t>(found - columns_.begin()));
      if (found == columns_.end()) columns_.push_back(column);
    }
    return metrics;
  }

  // The names of all columns.
  static std::vector<std::string> columns_in(const std::filesystem::path& file, const std::string& text) {
    std::vector<std::string> names;
    if (file.extension() != ".json") {
      Csv(text, file.string()).next(names);
      return names;
    }
    const weft::Json rows = weft::Json::parse(text, nullptr, false);  // what is wrong with it is said by read_json
    if (rows.is_array() && !rows.empty() && rows[0].is_object()) {
      for (const auto& [name, unused] : rows[0].items()) names.push_back(name);
    }
    return names;
  }

  // Each column that a pattern stands for is one more fidelity.
  void add_curve(const weft::Json& patterns, const std::vector<std::string>& columns) {
    std::map<int, weft::Json> found;
    for (const auto& [metric, given] : patterns.items()) {
      const auto pattern = given.get<std::string>();
      const std::size_t at = pattern.find("{epoch}");
      const std::string before = pattern.substr(0, at), after = pattern.substr(at + 7);
      bool any = false;
      for (const std::string& column : columns) {
        if (!column.starts_with(before) || !column.ends_with(after) || column.size() <= before.size() + after.size())
          continue;
        const std::string epoch = column.substr(before.size(), column.size() - before.size() - after.size());
        if (epoch.size() > 6 || epoch.find_first_not_of("0123456789") != std::string::npos || std::stoi(epoch) == 0)
          continue;
        found[std::stoi(epoch)][metric] = column;
        any = true;
      }
      if (!any)
        throw weft::InvalidInput("/curve/" + metric + " is \"" + pattern + "\", but " + path_ +
                                 " has no column of that name with a number in place of {epoch}");
    }
    for (const auto& [epochs, mapping] : found) fidelities_.emplace(epochs, columns_of(mapping));
  }

  void read_csv(std::string text, const std::string& key) {
    Csv csv(std::move(text), path_);
    std::vector<std::string> header;
    if (!csv.next(header)) throw weft::InvalidInput(path_ + " is empty; its first line names the columns");
    std::vector<std::string> read = columns_;
    read.push_back(key);
    for (const std::string& column : read) {
      if (std::count(header.begin(), header.end(), column) > 1)
        throw weft::InvalidInput(csv.place() + ": there are two columns " + column +
                                 "; which is meant? Rename the other");
    }
    const auto position = [&](const std::string& column) {
      const auto found = std::find(header.begin(), header.end(), column);
      if (found == header.end()) throw weft::InvalidInput(missing(column, csv.place(), header));
      return static_cast<std::size_t>(found - header.begin());
    };
    const std::size_t key_position = position(key);
    std::vector<std::size_t> positions;
    for (const std::string& column : columns_) positions.push_back(position(column));
    std::vector<std::string> fields;
    while (csv.next(fields)) {
      if (fields.size() != header.size()) {
        throw weft::InvalidInput(csv.place() + " has " + std::to_string(fields.size()) + " fields; the header has " +
                                 std::to_string(header.size()));
      }
      for (const std::size_t at : positions) {
        const std::string& field = fields[at];
        double value = 0.0;
        const auto [end, status] = std::from_chars(field.data(), field.data() + field.size(), value);
        if (status != std::errc() || end != field.data() + field.size() || !std::isfinite(value)) {
          throw weft::InvalidInput(csv.place() + ": column " + header[at] + " holds \"" + field + "\", not a number");
        }
        values_.push_back(value);
      }
      add_row(fields[key_position], csv.place());
    }
  }

  void read_json(const std::string& text, const std::string& key) {
    weft::Json rows;
    try {
      rows = weft::Json::parse(text);
    } catch (const weft::Json::exception& error) {
      const std::string_view what = error.what();
      throw weft::InvalidInput(path_ + " is not valid JSON: " + std::string(what.substr(what.find("] ") + 2)));
    }
    if (!rows.is_array()) throw weft::InvalidInput(path_ + " is not a JSON array of objects");
    for (const weft::Json& row : rows) {
      const std::string place = path_ + ": /" + std::to_string(rows_.size());
      if (!row.is_object()) throw weft::InvalidInput(place + " is not an object: " + row.dump());
      const auto member = [&](const std::string& column) -> const weft::Json& {
        const auto found = row.find(column);
        if (found != row.end()) return *found;
        std::vector<std::string> known;
        for (const auto& [name, unused] : row.items()) known.push_back(name);
        throw weft::InvalidInput(missing(column, place, known));
      };
      for (const std::string& column : columns_) {
        const weft::Json& value = member(column);
        if (!value.is_number())
          throw weft::InvalidInput(place + "/" + column + " is " + value.dump() + ", not a number");
        values_.push_back(value);
      }
      if (!member(key).is_string()) throw weft::InvalidInput(place + "/" + key + " is not a text");
      add_row(member(key), place);
    }
  }

  static std::string missing(const std::string& column, const std::string& place,
                             const std::vector<std::string>& known) {
    std::string list;
    for (const std::string& name : known) list += (list.empty() ? "" : ", ") + name;
    return place + " has no column " + column + "; it has " + list;
  }

  void add_row(const std::string& notation, const std::string& place) {
    if (!rows_.emplace(notation, rows_.size()).second) {
      throw weft::InvalidInput(place + ": the architecture " + notation + " occurs for the second time");
    }
  }

  // What is wrong with a row's notation; empty: the space writes it so itself, and finds it.
  std::string oddity(const std::string& notation) const {
    try {
      const std::string own = space_.notation(space_.parse(notation));
      return own == notation ? "" : "the space writes it as " + own;
    } catch (const weft::Error& error) {
      return error.what();
    }
  }

  // Rows that are no architectures of the space are never found.
  void compare_with_space(const weft::Log& log) const {
    std::size_t odd = 0, first = rows_.size();
    std::string example;
    for (const auto& [notation, row] : rows_) {
      const std::string found = oddity(notation);
      if (found.empty()) continue;
      ++odd;
      if (row > first) continue;
      first = row;
      example = notation + " (" + found + ")";
    }
    if (odd == 0) return;
    const std::string what = std::to_string(odd) + " of " + std::to_string(rows_.size()) + " rows of " + path_ +
                             " are no architectures of the space as it writes them, the first " + example;
    if (odd == rows_.size()) throw weft::InvalidInput(what + ". Is it a table of this space, and /key its column?");
    log.warning(what);
  }

  // Trials without a row will fail: that is said before the first of them.
  void look_for_samples(const weft::Context& context) const {
    constexpr int samples = 200;
    weft::Rng rng = context.rng().derive("samples");
    int missing = 0;
    std::string example;
    for (int i = 0; i < samples; ++i) {
      const std::string notation = space_.notation(space_.sample(rng));
      if (rows_.contains(notation)) continue;
      ++missing;
      example = notation;
    }
    if (missing == 0) return;
    context.log().warning(path_ + " has no row for " + std::to_string(missing) + " of " + std::to_string(samples) +
                          " architectures that the space gave, such as " + example + "; trials of those fail");
  }

  const Metrics& metrics_at(const weft::Fidelity& fidelity) const {
    if (fidelity.data_fraction || fidelity.resolution || fidelity.width_scale || fidelity.depth_scale) {
      throw weft::Error("a table knows epochs alone, not the fidelity " + fidelity.to_json().dump());
    }
    if (!fidelity.epochs || fidelity.epochs == epochs_) return metrics_;
    const auto found = fidelities_.find(*fidelity.epochs);
    if (found != fidelities_.end()) return found->second;
    std::string known;
    for (const auto& [epochs, unused] : fidelities_) known += (known.empty() ? "" : ", ") + std::to_string(epochs);
    throw weft::Error("/fidelities has no entry for " + std::to_string(*fidelity.epochs) + " epochs; it has " +
                      (known.empty() ? "none" : known));
  }

  weft::SpaceRef space_;
  std::uint64_t fingerprint_ = 0;  // of the file, byte for byte
  std::string path_;
  std::vector<std::string> columns_;  // that are read, beside the key
  Metrics metrics_;
  std::map<int, Metrics> fidelities_;  // by epochs
  std::optional<int> epochs_;          // of metrics_
  std::unordered_map<std::string, std::size_t> rows_;
  std::vector<double> values_;  // rows x columns
};

}  // namespace

WEFT_PLUGIN(weft::component<Table>("table"))
