#include "host/plugins/pattern.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <vector>

#include "weft/error.hpp"

namespace weft::host {
namespace {

// The size of an expression once "a{3}" is written as "aaa", by a reading that is a little too generous to damage.
class Size {
 public:
  explicit Size(const std::string& expression) : text_(expression) {
    while (at_ < text_.size() && !is_too_large()) step(text_[at_++]);
  }
  bool is_too_large() const { return groups_.size() > Pattern::deepest || groups_.front() > Pattern::largest; }

 private:
  void step(char c) {
    switch (c) {
      case '(':
        groups_.push_back(1);
        break;
      case ')':
        if (groups_.size() > 1) {
          last_ = groups_.back();
          groups_.pop_back();
          groups_.back() += last_;
        }
        break;
      case '{':
        repeat();
        break;
      case '\\':
        ++at_;
        atom();
        break;
      case '[':
        for (; at_ < text_.size() && text_[at_] != ']'; ++at_) at_ += text_[at_] == '\\' ? 1 : 0;
        atom();
        break;
      default:
        atom();
    }
  }

  void atom() { groups_.back() += last_ = 1; }

  // "{3}", "{3,}" or "{3,5}".
  void repeat() {
    std::size_t most = 1;
    while (at_ < text_.size() && text_[at_] != '}') {
      if (std::isdigit(static_cast<unsigned char>(text_[at_])) == 0) {
        ++at_;
        continue;
      }
      std::size_t number = 0;
      for (; at_ < text_.size() && std::isdigit(static_cast<unsigned char>(text_[at_])) != 0; ++at_)
        number = std::min(Pattern::largest + 1, number * 10 + static_cast<std::size_t>(text_[at_] - '0'));
      most = std::max(most, number);
    }
    groups_.back() += last_ * most;
    last_ = std::min(Pattern::largest + 1, last_ * most);
  }

  const std::string& text_;
  std::size_t at_ = 0;
  std::vector<std::size_t> groups_ = {0};
  std::size_t last_ = 0;
};

// Breadth-first: the default of this library recurses once per character, and takes exponential time on "(a+)+$".
std::regex compiled(const std::string& expression) {
  if (Size(expression).is_too_large()) {
    throw InvalidInput(
        fmt::format("is a pattern of more than {} steps or {} nested groups", Pattern::largest, Pattern::deepest));
  }
  try {
    return std::regex(expression, std::regex_constants::ECMAScript | std::regex_constants::__polynomial);
  } catch (const std::regex_error& error) {
    throw InvalidInput(fmt::format("is no pattern that can be used: {}", error.what()));
  }
}

}  // namespace

Pattern::Pattern(const std::string& expression) : regex_(compiled(expression)) {}

bool Pattern::is_found_in(const std::string& text) const {
  return text.size() <= longest_text && std::regex_search(text, regex_);
}

}  // namespace weft::host
