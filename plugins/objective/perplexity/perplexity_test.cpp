#include "tests/catch.hpp"
#include "weft/testing/objective_contract.hpp"

using namespace weft;
using namespace weft::testing;

TEST_CASE("perplexity keeps the contract of objectives") { check_objective(Plugin::open("objective", "perplexity")); }

TEST_CASE("perplexity minimises the metric it is told to") {
  const Instance by_default(Plugin::open("objective", "perplexity"), {});
  const Instance last(Plugin::open("objective", "perplexity"), {{"metric", "last_perplexity"}});
  const std::string metrics = R"({"validation_perplexity": 120.5, "last_perplexity": 130})";
  CHECK(ObjectiveRef(by_default.handle()).direction() == Direction::minimize);
  CHECK(ObjectiveRef(by_default.handle()).after(metrics) == 120.5);
  CHECK(ObjectiveRef(last.handle()).after(metrics) == 130);
  CHECK_THROWS_WITH(ObjectiveRef(by_default.handle()).after(R"({"validation_accuracy": 0.75})"),
                    ContainsSubstring("no number \"validation_perplexity\"; its metrics are") &&
                        ContainsSubstring("validation_accuracy") &&
                        ContainsSubstring("one to be maximised is for the objective accuracy"));
}
