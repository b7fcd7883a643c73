// A regular expression of a JSON Schema (ECMAScript's), matched in stack and time that its size bounds, whatever the
// text: the text may be anybody's.
#pragma once

#include <cstddef>
#include <regex>
#include <string>

namespace weft::host {

class Pattern {
 public:
  static constexpr std::size_t longest_text = 4096;  // a longer one matches nothing
  static constexpr std::size_t largest = 2000;       // steps, with counted repetitions written out
  static constexpr std::size_t deepest = 50;         // groups within groups

  // Throws InvalidInput if the expression is none, is too large or refers back to its groups.
  explicit Pattern(const std::string& expression);

  bool is_found_in(const std::string& text) const;

 private:
  std::regex regex_;
};

}  // namespace weft::host
