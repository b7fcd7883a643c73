#include "tests/catch.hpp"
#include "weft/testing/objective_contract.hpp"

using namespace weft;
using namespace weft::testing;

TEST_CASE("accuracy keeps the contract of objectives") { check_objective(Plugin::open("objective", "accuracy")); }

TEST_CASE("accuracy maximises the metric it is told to") {
  const Instance by_default(Plugin::open("objective", "accuracy"), {});
  const Instance top5(Plugin::open("objective", "accuracy"), {{"metric", "top5"}});
  const std::string metrics = R"({"validation_accuracy": 0.75, "top5": 0.5})";
  CHECK(ObjectiveRef(by_default.handle()).direction() == Direction::maximize);
  CHECK(ObjectiveRef(by_default.handle()).after(metrics) == 0.75);
  CHECK(ObjectiveRef(top5.handle()).after(metrics) == 0.5);
  CHECK_THROWS_WITH(ObjectiveRef(top5.handle()).after(R"({"validation_accuracy": 0.75})"),
                    ContainsSubstring("no number \"top5\"; its metrics are {\"validation_accuracy\":0.75}") &&
                        ContainsSubstring("/metric") &&
                        ContainsSubstring("to be minimised is for the objective perplexity"));
}

TEST_CASE("accuracy refuses what cannot be one, and takes any value of another metric") {
  const Instance by_default(Plugin::open("objective", "accuracy"), {});
  const Instance gain(Plugin::open("objective", "accuracy"), {{"metric", "gain"}});
  for (const char* value : {"-0.5", "100.5"}) {
    const std::string number = value;
    CHECK_THROWS_WITH(ObjectiveRef(by_default.handle()).after("{\"validation_accuracy\": " + number + "}"),
                      ContainsSubstring("\"validation_accuracy\" is " + number + "; an accuracy is from 0 to 100") &&
                          ContainsSubstring("to be minimised is for the objective perplexity"));
    CHECK(ObjectiveRef(gain.handle()).after("{\"gain\": " + number + "}") == std::stod(number));
  }
  CHECK(ObjectiveRef(by_default.handle()).after(R"({"validation_accuracy": 100})") == 100);
}
