// docs/other-languages.md is what an author has who cannot read C++: it leaves nothing out.

#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>

#include "tests/catch.hpp"
#include "weft/operation.hpp"
#include "weft/recurrent.hpp"
#include "weft/trial.hpp"

using namespace weft;

namespace {

std::string read(const std::string& file) {
  std::ifstream stream(WEFT_TEST_SOURCE "/" + file);
  REQUIRE(stream);
  return {std::istreambuf_iterator<char>(stream), {}};
}

std::set<std::string> all_of(const std::string& text, const char* pattern) {
  const std::regex expression(pattern);
  std::set<std::string> found;
  for (std::sregex_iterator at(text.begin(), text.end(), expression), end; at != end; ++at) found.insert((*at)[1]);
  return found;
}

const std::string header = "sdk/include/weft/abi.h";
const std::string page = "docs/other-languages.md";

void check_named(const std::set<std::string>& names) {
  const std::string text = read(page);
  for (const std::string& name : names) {
    INFO(page << " does not say `" << name << "`");
    CHECK(text.find("`" + name + "`") != std::string::npos);
  }
}

}  // namespace

TEST_CASE("the page on other languages names every function that crosses, and every interface") {
  const std::set<std::string> functions = all_of(read(header), R"(\(\*(\w+)\)\()");
  CHECK(functions.size() > 25);
  std::set<std::string> named;
  for (const std::string& function : functions) {
    // Of writers and sinks, of which the page speaks as such.
    if (function != "write" && function != "receive") named.insert(function);
  }
  check_named(named);
  const std::set<std::string> interfaces = all_of(read(header), R"re("(weft\.[a-z.]+/\d+)")re");
  CHECK(interfaces.size() > 8);
  check_named(interfaces);
}

TEST_CASE("the page on other languages names the draws of the stream, and every state with its number") {
  check_named({"weft_rng_next", "weft_rng_uniform", "weft_rng_below", "weft_rng_derive"});
  const std::string text = read(page);
  for (std::size_t state = 0; state < trial_state_names.size(); ++state) {
    const std::string words = std::string(trial_state_names[state]) + " " + std::to_string(state);
    INFO(words);
    CHECK(text.find(words) != std::string::npos);
  }
}

TEST_CASE("the page on other languages has the whole vocabulary, with every attribute and its default") {
  const std::string text = read(page);
  for (const auto& [name, rule] : Operations::built_in().rules()) {
    const std::size_t at = text.find("`" + name + "`", text.find("| operation |"));
    INFO(page << " has no row for the operation " << name);
    REQUIRE(at != std::string::npos);
    const std::string row = text.substr(at, text.find('\n', at) - at);
    for (const auto& [attribute, value] : rule.defaults.items()) {
      const std::string words = "`" + attribute + "`" + (value.is_primitive() && !value.is_null() ? " " : "");
      INFO("operation " << name << ": " << words << " in " << row);
      const std::size_t word = row.find(words);
      REQUIRE(word != std::string::npos);
      const std::string told = row.substr(word + words.size());
      if (value.is_number()) CHECK(std::stod(told) == value.get<double>());
      if (value.is_boolean()) CHECK(told.rfind(value.dump(), 0) == 0);
    }
  }
  for (const std::string& function : activation_functions()) {
    INFO(function);
    CHECK(text.find(function) != std::string::npos);
  }
}

TEST_CASE("the page on other languages names what a fidelity may say") {
  const Fidelity whole{
      .epochs = 1, .resume_from = 1, .data_fraction = 1.0, .resolution = 1, .width_scale = 1.0, .depth_scale = 1.0};
  const Json json = whole.to_json();
  std::set<std::string> names;
  for (const auto& [name, unused] : json.items()) names.insert(name);
  check_named(names);
}
