// Earlier trials as rows of decisions by name, for models of spaces whose decisions depend on those taken.
//
// A decision is known by its name and an option by its text, as in mutation and crossover: where the same decision is
// met again with other options, what was answered before still means the same. Both are numbered in a Vocabulary, in
// the order in which they were first met, so that a row is a list of pairs of numbers.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "weft/decision.hpp"
#include "weft/error.hpp"
#include "weft/genotype.hpp"
#include "weft/space.hpp"
#include "weft/trial.hpp"

namespace weft::search {

// How much a trial was given: level, share of the data, epochs; to be compared from the first on (operator<). What is
// absent is the evaluator's own setting, the most there is.
using Amount = std::array<double, 3>;

inline Amount amount_of(const Fidelity& fidelity) {
  constexpr double most = std::numeric_limits<double>::infinity();
  return {fidelity.level ? *fidelity.level : most, fidelity.data_fraction.value_or(most),
          fidelity.epochs ? *fidelity.epochs : most};
}

// Of a decision, the option that was taken; numbers of a Vocabulary.
struct Answer {
  std::uint32_t name;
  std::uint32_t option;
};
using Answers = std::vector<Answer>;  // in the order in which they were taken

class Vocabulary {
 public:
  static constexpr std::int32_t not_offered = -1;

  struct Entry {
    Decision::Kind kind = Decision::Kind::categorical;
    std::vector<std::string> options = {};    // every one that was ever offered
    std::vector<std::uint32_t> offered = {};  // when the decision was last met, in its order
    std::vector<std::int32_t> places = {};    // of each option among those offered, or not_offered
  };

  std::size_t size() const { return entries_.size(); }
  const Entry& operator[](std::uint32_t name) const { return entries_[name]; }

  // The number of the decision's name. From now on its entry tells what this decision offers.
  std::uint32_t meet(const Decision& decision) {
    const auto [found, added] = numbers_.try_emplace(decision.name, static_cast<std::uint32_t>(entries_.size()));
    if (added) entries_.emplace_back();
    Entry& entry = entries_[found->second];
    entry.kind = decision.kind;
    if (!offers(entry, decision)) offer(entry, decision);
    return found->second;
  }

  // Meets the decisions that a genotype answers. Throws InvalidInput where it is not one of the space's.
  Answers read(const SpaceRef& space, const Genotype& genotype) {
    const std::span<const std::int32_t> taken = genotype.decisions;
    Answers answers;
    answers.reserve(taken.size());
    while (answers.size() < taken.size()) {
      const std::size_t at = answers.size();
      const std::optional<Decision> decision = space.next(taken.first(at));
      if (!decision || taken[at] < 0 || static_cast<std::size_t>(taken[at]) >= decision->options.size())
        throw InvalidInput("the genotype " + genotype.key() + " is not of this space: decision " + std::to_string(at) +
                           " does not fit");
      const std::uint32_t name = meet(*decision);
      answers.push_back({name, entries_[name].offered[static_cast<std::size_t>(taken[at])]});
    }
    return answers;
  }

 private:
  static bool offers(const Entry& entry, const Decision& decision) {
    return std::equal(entry.offered.begin(), entry.offered.end(), decision.options.begin(), decision.options.end(),
                      [&](std::uint32_t option, const std::string& text) { return entry.options[option] == text; });
  }

  static void offer(Entry& entry, const Decision& decision) {
    entry.offered.clear();
    for (const std::string& text : decision.options) {
      const auto known = std::find(entry.options.begin(), entry.options.end(), text);
      entry.offered.push_back(static_cast<std::uint32_t>(known - entry.options.begin()));
      if (known == entry.options.end()) entry.options.push_back(text);
    }
    entry.places.assign(entry.options.size(), not_offered);
    for (std::size_t place = entry.offered.size(); place-- > 0;)
      entry.places[entry.offered[place]] = static_cast<std::int32_t>(place);
  }

  std::vector<Entry> entries_;
  std::unordered_map<std::string, std::uint32_t> numbers_;
};

}  // namespace weft::search
