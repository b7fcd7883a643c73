// Reads a space's notation token by token; what does not fit is refused with its position and what was expected there.
//
// Used by spaces in `parse`. Blanks between tokens are skipped.
#pragma once

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "weft/error.hpp"

namespace weft {

class NotationReader {
 public:
  // `text` must outlive the reader. `example` is shown in every error.
  NotationReader(std::string_view text, std::string example) : text_(text), example_(std::move(example)) {}

  // Whether `token` comes next; it is read if so.
  bool accept(std::string_view token) {
    skip_blanks();
    if (!text_.substr(at_).starts_with(token)) return false;
    at_ += token.size();
    return true;
  }
  void expect(std::string_view token) {
    if (!accept(token)) fail("\"" + std::string(token) + "\"");
  }

  // Letters, digits and underscores, at least one; `what` names it in the error.
  std::string_view word(std::string_view what) {
    skip_blanks();
    const std::size_t begin = at_;
    while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '_')) ++at_;
    if (at_ == begin) fail(what);
    return text_.substr(begin, at_ - begin);
  }

  // A word that is one of `options`: its index.
  std::size_t option(std::span<const std::string> options, std::string_view what) {
    skip_blanks();
    const std::size_t begin = at_;
    const auto found = std::find(options.begin(), options.end(), word(what));
    if (found != options.end()) return static_cast<std::size_t>(found - options.begin());
    at_ = begin;
    std::string known;
    for (const std::string& name : options) known += (known.empty() ? "" : ", ") + name;
    fail(std::string(what) + ", one of " + known);
  }

  std::int64_t integer(std::string_view what) {
    skip_blanks();
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (error != std::errc()) fail(what);
    at_ = static_cast<std::size_t>(end - text_.data());
    return value;
  }

  bool at_end() {
    skip_blanks();
    return at_ == text_.size();
  }
  void expect_end() {
    if (!at_end()) fail("the end");
  }

  [[noreturn]] void fail(std::string_view expected) const {
    const std::string_view rest = text_.substr(at_);
    throw InvalidInput("position " + std::to_string(at_) + ": expected " + std::string(expected) + ", found " +
                       (rest.empty() ? "the end" : "\"" + std::string(rest.substr(0, 20)) + "\"") + "; the form is " +
                       example_);
  }

 private:
  void skip_blanks() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
  }

  std::string_view text_;
  std::string example_;
  std::size_t at_ = 0;
};

}  // namespace weft
