#include <cmath>

#include "tests/catch.hpp"
#include "weft/search/resource.hpp"

using namespace weft;
using search::Resource;

namespace {

Json arguments(const Json& given) {
  Json full = {{"resource", "epochs"}, {"minimum", 1}, {"maximum", nullptr}, {"eta", 3}};
  full.update(given);
  return full;
}
Resource resource(const Json& given, const Json& study = Json::object()) { return {arguments(given), study}; }

Json levels(const std::vector<double>& costs) {
  Json study = {{"fidelities", Json::array()}};
  for (const double cost : costs)
    study["fidelities"].push_back({{"name", "level " + std::to_string(study["fidelities"].size())}, {"cost", cost}});
  return study;
}

std::vector<double> amounts(const Resource& resource) {
  std::vector<double> amounts;
  for (std::size_t rung = 0; rung < resource.rungs(); ++rung) amounts.push_back(resource.amount(rung));
  return amounts;
}

}  // namespace

TEST_CASE("epochs rise by eta up to the maximum, from the least that is not below the minimum") {
  CHECK(amounts(resource({{"maximum", 81}})) == std::vector<double>{1, 3, 9, 27, 81});
  CHECK(amounts(resource({{"maximum", 81}, {"minimum", 2}})) == std::vector<double>{3, 9, 27, 81});
  CHECK(amounts(resource({{"maximum", 64}, {"eta", 4}})) == std::vector<double>{1, 4, 16, 64});
  // 100 / 3^i: 33.3, 11.1, 3.7, 1.23.
  CHECK(amounts(resource({{"maximum", 100}})) == std::vector<double>{1, 4, 11, 33, 100});
  CHECK(amounts(resource({{"maximum", 16}, {"minimum", 5}})) == std::vector<double>{5, 16});
}

// floor(log 243 / log 3) is 4 in doubles.
TEST_CASE("no rung is lost to rounding") {
  REQUIRE(std::floor(std::log(243.0) / std::log(3.0)) == 4.0);
  CHECK(resource({{"maximum", 243}}).rungs() == 6);
  CHECK(resource({{"maximum", 1000}, {"eta", 10}}).rungs() == 4);
  REQUIRE(0.1 * 3 * 3 > 0.9);
  CHECK(resource({{"resource", "data_fraction"}, {"minimum", 0.1}, {"maximum", 0.9}}).rungs() == 3);
}

TEST_CASE("shares of the data rise by eta, and each rung asks for its own") {
  const Resource shares = resource({{"resource", "data_fraction"}, {"minimum", 0.1}, {"maximum", 1}});
  REQUIRE(shares.rungs() == 3);
  CHECK(shares.fidelity(0) == Fidelity{.data_fraction = 1.0 / 9});
  CHECK(shares.fidelity(2) == Fidelity{.data_fraction = 1.0});
  CHECK_FALSE(shares.resumes());
  const Resource epochs = resource({{"maximum", 9}});
  CHECK(epochs.fidelity(1) == Fidelity{.epochs = 3});
  CHECK(epochs.resumes());
}

TEST_CASE("levels are the rungs, and the ratio of their costs says how many go on") {
  const Resource two = resource({{"resource", "level"}}, levels({12, 200}));
  REQUIRE(amounts(two) == std::vector<double>{12, 200});
  CHECK(two.fidelity(1) == Fidelity{.level = 1});
  CHECK_FALSE(two.resumes());
  CHECK(two.survivors(16, 0) == 0);
  CHECK(two.survivors(17, 0) == 1);
  CHECK(two.survivors(50, 0) == 3);
  CHECK(two.survivors(100, 0) == 6);
  CHECK(two.fewest(0, 1) == 17);
  CHECK(two.fewest(0, 1, 3) == 50);
  CHECK(two.scale(0) == 200.0 / 12);
  // Of 10 on the first, 3 come to the second; of 3 alone, floor(0.9) would come to the last.
  const Resource three = resource({{"resource", "level"}}, levels({1, 3, 10}));
  CHECK(three.survivors(10, 0) == 3);
  CHECK(three.survivors(10, 0, 2) == 1);
  CHECK(three.survivors(3, 1) == 0);
}

TEST_CASE("one in eta goes on, rounded down") {
  const Resource epochs = resource({{"maximum", 81}});
  for (std::size_t count = 0; count < 1000; ++count) {
    REQUIRE(epochs.survivors(count, 0) == count / 3);
    REQUIRE(epochs.survivors(count, 1, 4) == count / 27);
  }
  CHECK(epochs.scale(0) == 81.0);
  CHECK(epochs.scale(4) == 1.0);
  CHECK(epochs.fewest(0, 4) == 81);
  CHECK(epochs.fewest(3, 4, 2) == 6);
}

TEST_CASE("a result belongs to the highest rung whose amount it has come to") {
  const Resource epochs = resource({{"maximum", 9}});
  CHECK(epochs.rung_of({.epochs = 1}) == 0);
  CHECK(epochs.rung_of({.epochs = 3, .resume_from = 7}) == 1);
  CHECK(epochs.rung_of({.epochs = 8}) == 1);
  CHECK(epochs.rung_of({.epochs = 100}) == 2);
  CHECK(epochs.rung_of({}) == 2);
  CHECK(resource({{"maximum", 16}, {"minimum", 5}}).rung_of({.epochs = 2}) == 0);
  const Resource shares = resource({{"resource", "data_fraction"}, {"minimum", 0.1}, {"maximum", 0.9}});
  for (std::size_t rung = 0; rung < 3; ++rung) CHECK(shares.rung_of(shares.fidelity(rung)) == rung);
  CHECK(shares.rung_of({}) == 2);
  const Resource three = resource({{"resource", "level"}}, levels({1, 3, 10}));
  CHECK(three.rung_of({.level = 1}) == 1);
  CHECK(three.rung_of({}) == 2);
}

TEST_CASE("a resource that makes no two rungs is refused") {
  const auto refused = [](const Json& given, const char* why, const Json& study = Json::object()) {
    CHECK_THROWS_WITH(resource(given, study), ContainsSubstring(why));
  };
  refused(Json::object(), "/maximum is null; must be given for the resource \"epochs\"");
  refused({{"resource", "data_fraction"}}, "/maximum is null; must be given for the resource \"data_fraction\"");
  refused({{"maximum", 9}, {"minimum", 10}}, "/maximum is 9; must not be below /minimum, 10");
  refused({{"maximum", 9.5}}, "/maximum is 9.5; must be a whole number of epochs");
  refused({{"maximum", 9}, {"minimum", 1.5}}, "/minimum is 1.5; must be a whole number of epochs");
  refused({{"maximum", 9}, {"minimum", 4}}, "/minimum is 4; must be at most /maximum / eta, 9 / 3");
  refused({{"resource", "data_fraction"}, {"minimum", 0.1}, {"maximum", 1.5}}, "a share of the data is at most 1");
  refused({{"resource", "data_fraction"}, {"maximum", 1}}, "/minimum is 1; must be at most /maximum / eta");
  const Json level = {{"resource", "level"}};
  refused(level, "the pipeline has 0 levels; give at least two in /fidelities");
  refused(level, "the pipeline has 1 levels", levels({1}));
  refused(level, "/fidelities/1/cost of the pipeline is 3.0; costs must be above 0 and rise", levels({3, 3}));
  refused(level, "/fidelities/0/cost of the pipeline is 0.0; costs must be above 0 and rise", levels({0, 3}));
  Json nameless = levels({1, 2});
  nameless["fidelities"][1].erase("cost");
  refused(level, "/fidelities/1 of the pipeline has no cost", nameless);
  refused({{"resource", "level"}, {"maximum", 81}}, "/maximum is 81; must be left out", levels({1, 2}));
}
