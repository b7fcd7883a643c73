#include <cmath>

#include "tests/catch.hpp"
#include "weft/testing/stopper_contract.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

Plugin diverged() { return Plugin::open("stopper", "diverged"); }

class Bench {
 public:
  explicit Bench(const Json& args = Json::object(), const char* direction = "maximize")
      : instance_(diverged(), args, {.study = {{"objectives", {{{"name", "?"}, {"direction", direction}}}}}}),
        stopper(instance_.handle()) {}

  Judgement judge(TrialId trial, const Json& report, std::vector<double> rewards = {}) {
    LearningCurve curve{.trial = trial, .rewards = std::move(rewards)};
    for (std::size_t i = 0; i < curve.rewards.size(); ++i) curve.epochs.push_back(static_cast<std::int32_t>(i + 1));
    curve.report = report;
    stopper.observe(curve);
    return stopper.judge(curve);
  }
  bool stops(TrialId trial, const Json& report, std::vector<double> rewards = {}) {
    return judge(trial, report, std::move(rewards)).verdict == Verdict::stop;
  }
  const std::vector<std::string>& log() const { return instance_.log(); }

 private:
  Instance instance_;

 public:
  StopperRef stopper;
};

Json loss(const Json& value) { return {{"train_loss", value}}; }

}  // namespace

TEST_CASE("diverged keeps the contract of stoppers") {
  StopperCheck sound;
  sound.stops = false;  // their loss stays as it is
  check_stopper(diverged(), Json::object(), sound);
  check_stopper(diverged(), {{"chance", 60.0}, {"margin", 5.0}, {"grace", 4}});
}

TEST_CASE("diverged stops a loss above a multiple of its first") {
  Bench bench(Json{{"factor", 2}});
  CHECK_FALSE(bench.stops(1, loss(2.5)));
  CHECK_FALSE(bench.stops(2, loss(50.0)));  // each has its own first
  CHECK_FALSE(bench.stops(1, loss(0.5)));
  CHECK_FALSE(bench.stops(1, loss(5.0)));
  const Judgement judgement = bench.judge(1, loss(5.25));
  CHECK(judgement.verdict == Verdict::stop);
  CHECK(judgement.reason == "train_loss is 5.25, above 2 times the first, 2.5");
  CHECK_FALSE(judgement.predicted.has_value());
  CHECK_FALSE(bench.stops(2, loss(100.0)));
}

TEST_CASE("diverged takes the first loss there is") {
  Bench bench;
  CHECK_FALSE(bench.stops(1, {{"epoch", 1}}));
  CHECK_FALSE(bench.stops(1, loss(1.0)));
  CHECK(bench.stops(1, loss(3.5)));
  bench.judge(2, loss(-1.0));  // no multiple of it is larger
  CHECK_FALSE(bench.stops(2, loss(10.0)));
  CHECK(bench.stops(2, loss(nullptr)));
}

TEST_CASE("diverged stops a loss that is not a number, be there a reward or not") {
  Bench bench;
  const Judgement judgement = bench.judge(1, loss(std::nan("")));
  CHECK(judgement.verdict == Verdict::stop);
  CHECK(judgement.reason == "train_loss is not a number");
  CHECK(bench.stops(2, loss(nullptr), {90.0}));
  CHECK(Bench(Json{{"metric", "validation_loss"}}).stops(3, {{"validation_loss", nullptr}, {"train_loss", 1.0}}));
  CHECK_FALSE(bench.stops(4, {{"validation_loss", nullptr}, {"train_loss", 1.0}}));
}

TEST_CASE("diverged says once that the reports have no such metric") {
  Bench bench;
  CHECK_FALSE(bench.stops(1, Json()));
  CHECK(bench.log().empty());
  bench.judge(1, {{"epoch", 1}, {"loss", 0.5}});
  bench.judge(1, {{"epoch", 2}, {"loss", 0.5}});
  REQUIRE(bench.log().size() == 1);
  CHECK_THAT(bench.log()[0], ContainsSubstring("has no \"train_loss\"") && ContainsSubstring("/metric"));
}

TEST_CASE("diverged stops what has not been better than chance when the grace is over") {
  Bench bench({{"chance", 10.0}, {"margin", 1.5}, {"grace", 3}});
  CHECK_FALSE(bench.stops(1, loss(1.0), {10.0, 10.0}));
  const Judgement judgement = bench.judge(1, loss(1.0), {10.0, 11.5, 10.0});
  CHECK(judgement.verdict == Verdict::stop);
  CHECK(judgement.reason == "the best reward after 3 epochs is 11.5, not above that of chance and /margin, 11.5");
  CHECK_FALSE(bench.stops(2, loss(1.0), {10.0, 11.75, 10.0}));
  CHECK_FALSE(Bench().stops(1, loss(1.0), {0.0, 0.0, 0.0, 0.0, 0.0, 0.0}));
}

// A perplexity of 1000, that of guessing one word in 1000: its reward is -1000.
TEST_CASE("diverged knows which way chance is better") {
  Bench bench({{"chance", 1000.0}, {"margin", 10.0}, {"grace", 1}}, "minimize");
  CHECK(bench.stops(1, loss(1.0), {-1000.0}));
  CHECK(bench.stops(2, loss(1.0), {-990.0}));
  CHECK_FALSE(bench.stops(3, loss(1.0), {-980.0}));
}
