// REQUIRE, REQUIRE_THROWS_AS and INFO as the suites use them, for a program that says in one line what it found: under
// which circumstances, what was expected, and what was there instead. In place of Catch2, before the suites.
#pragma once

#include <cstddef>
#include <exception>
#include <iterator>
#include <ostream>
#include <sstream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "weft/json.hpp"

namespace weft::testing {

// What the INFOs around say, outermost first.
class Circumstances {
 public:
  static std::string now() { return joined(stack_); }
  // Those that the last exception has left.
  static std::string left() { return joined(left_); }

  explicit Circumstances(std::string text) : exceptions_(std::uncaught_exceptions()) {
    left_.clear();
    stack_.push_back(std::move(text));
  }
  ~Circumstances() {
    if (std::uncaught_exceptions() > exceptions_) {
      left_.insert(left_.begin(), std::move(stack_.back()));
    } else {
      left_.clear();
    }
    stack_.pop_back();
  }
  Circumstances(const Circumstances&) = delete;
  Circumstances& operator=(const Circumstances&) = delete;

 private:
  static std::string joined(const std::vector<std::string>& texts) {
    std::string text;
    for (const std::string& one : texts) text += one + ": ";
    return text;
  }
  int exceptions_;
  static inline std::vector<std::string> stack_, left_;
};

// What is inserted, one after the other.
struct Words {
  std::ostringstream out;
  template <typename T>
  Words& operator<<(const T& word) {
    out << word;
    return *this;
  }
};

// Not a std::exception: nothing between a suite and the program is to take it for an error of the plugin.
struct Finding {
  std::string text;
};

template <typename T>
std::string text_of_value(const T& value) {
  std::ostringstream out;
  out << std::boolalpha;
  if constexpr (std::is_same_v<T, std::nullptr_t>) {
    out << "null";
  } else if constexpr (std::is_same_v<T, Json>) {
    out << value;
  } else if constexpr (requires { value.to_json(); }) {
    out << value.to_json();
  } else if constexpr (requires { value.has_value(); }) {
    out << (value.has_value() ? text_of_value(*value) : "nothing");
  } else if constexpr (std::is_convertible_v<T, std::string>) {
    out << '"' << std::string(value) << '"';
  } else if constexpr (requires { out << value; }) {
    out << value;
  } else if constexpr (std::is_enum_v<T>) {
    out << static_cast<long long>(value);
  } else if constexpr (requires { std::begin(value); }) {
    const char* comma = "[";
    for (const auto& item : value) out << std::exchange(comma, ", ") << text_of_value(item);
    out << (*comma == '[' ? "[]" : "]");
  } else {
    out << "something else";
  }
  const std::string text = out.str();
  return text.size() <= 200 ? text : text.substr(0, 197) + "...";
}

struct Outcome {
  bool holds;
  std::string got;
};

// The left side of a comparison, or all there is.
template <typename Left>
struct Operand {
  const Left& left;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-compare"
  template <typename Right>
  Outcome operator==(const Right& right) const {
    return outcome(left == right, "!=", right);
  }
  template <typename Right>
  Outcome operator!=(const Right& right) const {
    return outcome(left != right, "==", right);
  }
  template <typename Right>
  Outcome operator<(const Right& right) const {
    return outcome(left < right, ">=", right);
  }
  template <typename Right>
  Outcome operator<=(const Right& right) const {
    return outcome(left <= right, ">", right);
  }
  template <typename Right>
  Outcome operator>(const Right& right) const {
    return outcome(left > right, "<=", right);
  }
  template <typename Right>
  Outcome operator>=(const Right& right) const {
    return outcome(left >= right, "<", right);
  }
#pragma GCC diagnostic pop
  operator Outcome() const { return {static_cast<bool>(left), text_of_value(left)}; }

 private:
  template <typename Right>
  Outcome outcome(bool holds, const char* relation, const Right& right) const {
    return {holds, holds ? "" : text_of_value(left) + " " + relation + " " + text_of_value(right)};
  }
};

struct Decomposer {
  template <typename Left>
  Operand<Left> operator<=(const Left& left) const {
    return {left};
  }
};

inline void require(const char* expected, const Outcome& outcome) {
  if (!outcome.holds) throw Finding{Circumstances::now() + "expected " + expected + ", got " + outcome.got};
}

template <typename Error, typename Body>
void require_throws(const char* call, Body&& body) {
  try {
    std::forward<Body>(body)();
  } catch (const Error&) {
    return;
  }
  throw Finding{Circumstances::now() + "expected " + call + " to be refused, got an answer"};
}

}  // namespace weft::testing

// In the suites: the comparison of an expectation is meant to be an operand of the decomposing one.
#pragma GCC diagnostic ignored "-Wparentheses"

#define WEFT_JOINED_(a, b) a##b
#define WEFT_JOINED(a, b) WEFT_JOINED_(a, b)
#define INFO(...)                                                     \
  const weft::testing::Circumstances WEFT_JOINED(weft_circumstances_, \
                                                 __COUNTER__)((weft::testing::Words() << __VA_ARGS__).out.str())
#define REQUIRE(...) weft::testing::require(#__VA_ARGS__, weft::testing::Decomposer() <= __VA_ARGS__)
#define REQUIRE_THROWS_AS(call, error) weft::testing::require_throws<error>(#call, [&] { static_cast<void>(call); })
