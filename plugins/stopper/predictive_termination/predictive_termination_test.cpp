#include <algorithm>
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/stopper_contract.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

Plugin predictive_termination() { return Plugin::open("stopper", "predictive_termination"); }

const Json accuracy = {{"objectives", {{{"name", "accuracy"}, {"direction", "maximize"}, {"range", {0.0, 100.0}}}}}};

// Says what it is told to of every curve, and leaves a line for whatever it is asked.
class Told final : public Predictor {
 public:
  explicit Told(const Context& context) : told_(context.configuration()), log_(context.log()) {}

  void fit(std::span<const LearningCurve> curves) override {
    std::string line = "fit";
    for (const LearningCurve& curve : curves) line += " " + std::to_string(curve.trial);
    log_.info(line);
    if (told_.value("fails", "") == "fit") throw Error("the matrix is singular");
  }
  std::optional<Prediction> predict(const LearningCurve& partial, int horizon, double threshold) override {
    log_.info("predict " + std::to_string(partial.trial) + " at " + std::to_string(partial.epochs.back()) + " of " +
              std::to_string(horizon) + " above " + Json(threshold).dump());
    if (told_.value("fails", "") == "predict") throw Error("the matrix is singular");
    if (told_.value("silent", false)) return {};
    return Prediction{told_.at("mean"), told_.at("deviation"), told_.at("probability")};
  }

 private:
  Json told_;
  Log log_;
};

constexpr weft_component told = weft::component<Told>("told");

const Json hopeless = {{"mean", 61.25}, {"deviation", 1.5}, {"probability", 0.003}};

struct Setting {
  Json args = Json::object();
  Json says = hopeless;  // the predictor
  Json study = accuracy;
};

class Bench {
 public:
  explicit Bench(const Setting& setting = {})
      : predictor_(told, setting.says),
        instance_(predictive_termination(), setting.args,
                  {.study = setting.study, .collaborators = {{"/predictor", predictor_.handle()}}}),
        stopper_(instance_.handle()) {}

  // A trial that reports this reward after each of `epochs` epochs.
  static LearningCurve curve(TrialId trial, double reward, int epochs = 4, int horizon = 40, Fidelity fidelity = {}) {
    LearningCurve curve{.trial = trial, .horizon = horizon, .fidelity = fidelity};
    for (int epoch = 1; epoch <= epochs; ++epoch) {
      curve.epochs.push_back(epoch);
      curve.rewards.push_back(reward);
    }
    return curve;
  }
  // What is pruned ends after four epochs.
  void ends(TrialId trial, double reward, TrialState state = TrialState::complete, Fidelity fidelity = {}) {
    const LearningCurve whole = curve(trial, reward, state == TrialState::pruned ? 4 : 40, 40, fidelity);
    stopper_.observe(whole);
    stopper_.end(whole, state, state == TrialState::complete ? std::optional(reward) : std::nullopt);
  }
  void over_limit(TrialId trial, double reward) {
    stopper_.observe(curve(trial, reward, 40));
    stopper_.end(curve(trial, reward, 40), TrialState::pruned, {});
  }
  Judgement judge(const LearningCurve& reported) {
    stopper_.observe(reported);
    return stopper_.judge(reported);
  }
  bool stops(const LearningCurve& reported) { return judge(reported).verdict == Verdict::stop; }

  const std::vector<std::string>& asked() const { return predictor_.log(); }
  const std::vector<std::string>& log() const { return instance_.log(); }

 private:
  Instance predictor_, instance_;
  StopperRef stopper_;
};

// Whether a training at 50 is stopped, where one of 70.1 is complete.
bool stops_with(const Json& args, Json says = Json::object(), const Json& study = accuracy) {
  Json all = hopeless;
  all.update(says);
  Bench bench({args, all, study});
  bench.ends(0, 70.1);
  return bench.stops(Bench::curve(1, 50.0));
}

}  // namespace

TEST_CASE("predictive_termination keeps the contract of stoppers") {
  check_stopper(predictive_termination(), {{"burn_in", 2}});
  check_stopper(predictive_termination(), {{"burn_in_trials", 4}, {"refit_every", 3}, {"rank", 2}, {"margin", 1.0}});
  check_stopper(predictive_termination(),
                {{"mode", "optimistic"}, {"deviation", 0.03}, {"every", 2}, {"burn_in_trials", 4}});
  check_stopper(predictive_termination(), {{"fraction_to_finish", 0.5}, {"reward", "none"}});
}

// terminationcriterion.py: IMPROVEMENT_PROB_THRESHOLD = 0.05, conservative, no threshold of the deviation.
TEST_CASE("predictive_termination has the defaults of Domhan et al. 2015") {
  const Json defaults = predictive_termination().configuration(Json::object());
  CHECK(defaults.at("threshold") == 0.05);
  CHECK(defaults.at("mode") == "conservative");
  CHECK(defaults.at("deviation").is_null());
  CHECK(defaults.at("rank") == 1);
  CHECK(defaults.at("margin") == 0);
  CHECK(defaults.at("burn_in_trials") == 0);
}

TEST_CASE("predictive_termination stops what will hardly end above the best, and says what it was to come to") {
  Bench bench;
  bench.ends(0, 70.1);
  bench.ends(1, 60.0);
  const Judgement judgement = bench.judge(Bench::curve(2, 50.0));
  CHECK(judgement.verdict == Verdict::stop);
  CHECK(judgement.reason ==
        "predicted 61.25 +- 1.5 after 40 epochs; the probability to be above the best, 70.1, is "
        "0.003, below /threshold, 0.05");
  CHECK(judgement.predicted == 61.25);
  CHECK(bench.asked() == std::vector<std::string>{"fit 0 1", "predict 2 at 4 of 40 above 70.1"});
}

TEST_CASE("predictive_termination stops strictly below the threshold") {
  CHECK(stops_with({}, {{"probability", 0.0499}}));
  CHECK_FALSE(stops_with({}, {{"probability", 0.05}}));
  CHECK_FALSE(stops_with({{"threshold", 0.01}}, {{"probability", 0.0499}}));
}

TEST_CASE("predictive_termination lets go on what is above the best already, without asking") {
  Bench bench;
  bench.ends(0, 70.1);
  LearningCurve once = Bench::curve(1, 50.0);
  once.rewards[1] = 70.2;
  CHECK_FALSE(bench.stops(once));
  CHECK(bench.asked().empty());
  CHECK(bench.stops(Bench::curve(2, 70.1)));  // not above it
}

TEST_CASE("predictive_termination compares with the n-th best less a margin") {
  Bench bench({.args = {{"rank", 2}, {"margin", 0.5}}});
  bench.ends(0, 60.0);
  CHECK_FALSE(bench.stops(Bench::curve(1, 50.0)));  // there is no second yet
  bench.ends(2, 80.0);
  bench.ends(3, 70.0);
  bench.ends(4, 99.0, TrialState::pruned);
  bench.ends(5, 99.0, TrialState::fail);
  const Judgement judgement = bench.judge(Bench::curve(6, 50.0));
  CHECK(judgement.verdict == Verdict::stop);
  CHECK(bench.asked().back() == "predict 6 at 4 of 40 above 69.5");
  CHECK_THAT(judgement.reason, ContainsSubstring("above number 2 of the completed trials less /margin, 69.5, is"));
  CHECK_FALSE(bench.stops(Bench::curve(7, 69.6)));
}

TEST_CASE("predictive_termination has nothing to compare the first trials with") {
  Bench bench;
  CHECK_FALSE(bench.stops(Bench::curve(0, 50.0)));
  bench.ends(1, 99.0, TrialState::pruned);
  CHECK_FALSE(bench.stops(Bench::curve(2, 50.0)));
  CHECK(bench.asked().empty());
}

TEST_CASE("predictive_termination needs a certain prediction where a deviation is given") {
  const Json args = {{"deviation", 0.015}};  // 1.5 of 0..100
  CHECK(stops_with(args, {{"deviation", 1.49}}));
  CHECK_FALSE(stops_with(args, {{"deviation", 1.5}}));
  CHECK_FALSE(stops_with(args, {{"deviation", 1.49}, {"probability", 0.5}}));
}

TEST_CASE("predictive_termination, optimistic, stops whatever it is certain of") {
  const Json args = {{"mode", "optimistic"}, {"deviation", 0.005}};
  CHECK(stops_with(args));                                                    // hopeless, though not certain
  CHECK(stops_with(args, {{"probability", 0.5}, {"deviation", 0.49}}));       // certain
  CHECK_FALSE(stops_with(args, {{"probability", 0.5}, {"deviation", 0.5}}));  // neither
  Bench first({args, {{"mean", 80.0}, {"deviation", 0.25}, {"probability", 1.0}}});
  const Judgement judgement = first.judge(Bench::curve(0, 79.0));
  CHECK(judgement.verdict == Verdict::stop);
  CHECK(judgement.reason ==
        "predicted 80 +- 0.25 after 40 epochs; that is certain, the deviation below /deviation, "
        "0.005 of the objective's range");
  CHECK(judgement.predicted == 80.0);
}

TEST_CASE("predictive_termination does not believe a mean that no reward can have") {
  CHECK_FALSE(stops_with({}, {{"mean", -0.1}}));
  CHECK(stops_with({}, {{"mean", 0.0}}));
  CHECK_FALSE(stops_with({}, {{"mean", 100.1}}));
  CHECK_FALSE(stops_with({{"range", {62, 100}}}));
  const Json unbounded = {{"objectives", {{{"name", "loss"}, {"direction", "maximize"}}}}};
  CHECK(stops_with({}, {{"mean", -1000.0}}, unbounded));
  // Rewards of what is minimised are negative: a perplexity of 61.25 is one from 1 to 70.
  const Json minimised = {{"objectives", {{{"name", "perplexity"}, {"direction", "minimize"}, {"range", {1, 70}}}}}};
  CHECK(stops_with({}, {{"mean", -61.25}}, minimised));
  CHECK_FALSE(stops_with({}, {{"mean", 61.25}}, minimised));
}

TEST_CASE("predictive_termination may keep what it predicts to itself") {
  Bench bench({.args = {{"reward", "none"}}});
  bench.ends(0, 70.1);
  const Judgement judgement = bench.judge(Bench::curve(1, 50.0));
  CHECK(judgement.verdict == Verdict::stop);
  CHECK_FALSE(judgement.predicted.has_value());
}

TEST_CASE("predictive_termination judges after the burn-in, every few epochs, and not at the end") {
  Bench bench({.args = {{"burn_in", 5}, {"every", 4}}});
  bench.ends(0, 70.1);
  std::vector<int> stopped;
  for (int epoch = 1; epoch <= 20; ++epoch) {
    if (bench.stops(Bench::curve(1, 50.0, epoch, 20))) stopped.push_back(epoch);
  }
  CHECK(stopped == std::vector<int>{8, 12, 16});
  LearningCurve sparse = Bench::curve(2, 50.0, 2);
  sparse.epochs = {7, 9};  // passes epoch 8
  CHECK(bench.stops(sparse));
  sparse.epochs = {9, 11};
  CHECK_FALSE(bench.stops(sparse));
}

// Baker et al. 2018: the first 100 configurations are never stopped.
TEST_CASE("predictive_termination burns in") {
  Bench bench({.args = {{"burn_in_trials", 3}}});
  CHECK_FALSE(bench.stops(Bench::curve(2, 50.0)));  // the first that is seen
  bench.ends(0, 70.1);
  bench.ends(1, 60.0);
  CHECK_FALSE(bench.stops(Bench::curve(3, 50.0)));  // two are complete
  bench.ends(4, 65.0);
  CHECK_FALSE(bench.stops(Bench::curve(2, 50.0)));
  CHECK(bench.stops(Bench::curve(3, 50.0)));
}

TEST_CASE("predictive_termination lets a share of the trials finish") {
  Bench bench({.args = {{"fraction_to_finish", 0.7}}});
  bench.ends(0, 70.1);
  for (TrialId trial = 1; trial <= 8; ++trial) bench.judge(Bench::curve(trial, 50.0));
  bench.ends(1, 50.0, TrialState::pruned);
  bench.ends(2, 50.0, TrialState::pruned);
  CHECK_FALSE(bench.stops(Bench::curve(3, 50.0)));  // of nine, three would be stopped
  bench.judge(Bench::curve(9, 60.0));
  CHECK_FALSE(bench.stops(Bench::curve(9, 60.0)));  // one more may be, but others are worse
  CHECK(bench.stops(Bench::curve(3, 50.0)));        // of ten, seven are left
  bench.ends(3, 50.0, TrialState::pruned);
  CHECK_FALSE(bench.stops(Bench::curve(4, 50.0)));

  // Those that run at once, and report before any of them has ended.
  Bench crowd({.args = {{"fraction_to_finish", 0.5}}});
  for (const TrialId trial : {0, 1}) crowd.ends(trial, 70.1);
  for (TrialId trial = 2; trial < 10; ++trial) crowd.judge(Bench::curve(trial, 50.0));
  int stopped = 0;
  for (TrialId trial = 2; trial < 10; ++trial) stopped += crowd.stops(Bench::curve(trial, 50.0)) ? 1 : 0;
  CHECK(stopped == 5);

  // In the long run: whatever may be stopped is.
  Bench study({.args = {{"fraction_to_finish", 0.25}}});
  int finished = 0;
  for (TrialId trial = 0; trial < 40; ++trial) {
    const bool stopped = study.stops(Bench::curve(trial, 50.0));
    study.ends(trial, 50.0, stopped ? TrialState::pruned : TrialState::complete);
    finished += stopped ? 0 : 1;
  }
  CHECK(finished == 10);
}

// Over a limit, say: it was trained to its end.
TEST_CASE("predictive_termination learns of what was pruned at its end, and does not count it as stopped") {
  Bench bench({.args = {{"fraction_to_finish", 0.5}}});
  bench.ends(0, 70.1);
  for (const TrialId trial : {1, 2, 3}) bench.over_limit(trial, 60.0);
  CHECK(bench.stops(Bench::curve(4, 50.0)));
  CHECK(bench.asked().front() == "fit 0 1 2 3");
}

TEST_CASE("predictive_termination fits on the last curves alone, as many as it may") {
  Bench bench({.args = {{"most_curves", 2}}});
  for (const TrialId trial : {0, 1, 2}) bench.ends(trial, 70.1);
  bench.judge(Bench::curve(3, 50.0));
  CHECK(bench.asked().front() == "fit 1 2");
}

TEST_CASE("predictive_termination takes the horizon of its argument where a training has none, or says so once") {
  Bench without;
  without.ends(0, 70.1);
  CHECK_FALSE(without.stops(Bench::curve(1, 50.0, 4, 0)));
  CHECK_FALSE(without.stops(Bench::curve(2, 50.0, 4, 0)));
  REQUIRE(without.log().size() == 1);
  CHECK_THAT(without.log()[0], ContainsSubstring("trial 1 does not tell") && ContainsSubstring("/horizon"));
  Bench with({.args = {{"horizon", 30}}});
  with.ends(0, 70.1);
  CHECK(with.stops(Bench::curve(1, 50.0, 4, 0)));
  CHECK(with.asked().back() == "predict 1 at 4 of 30 above 70.1");
  CHECK(with.log().empty());
}

TEST_CASE("predictive_termination lets everything go on of which its predictor says nothing") {
  Bench silent({.says = {{"silent", true}}});
  silent.ends(0, 70.1);
  CHECK_FALSE(silent.stops(Bench::curve(1, 50.0)));
  CHECK(silent.log().empty());
  for (const char* where : {"fit", "predict"}) {
    Json says = hopeless;
    says["fails"] = where;
    Bench failing({.says = says});
    failing.ends(0, 70.1);
    CHECK_FALSE(failing.stops(Bench::curve(1, 50.0)));
    CHECK_FALSE(failing.stops(Bench::curve(2, 50.0)));
    REQUIRE(failing.log().size() == 1);
    CHECK_THAT(failing.log()[0],
               ContainsSubstring("last_value failed at trial 1") && ContainsSubstring("the matrix is singular"));
  }
  Bench wrong({.says = {{"mean", 50.0}, {"deviation", -1.0}, {"probability", 0.0}}});  // no distribution
  wrong.ends(0, 70.1);
  CHECK_FALSE(wrong.stops(Bench::curve(1, 50.0)));
}

TEST_CASE("predictive_termination fits when it is asked, on whole numbers of refit_every curves") {
  Bench bench({.args = {{"refit_every", 2}}});
  std::vector<std::string> fits;
  for (TrialId trial = 0; trial < 5; ++trial) {
    bench.ends(trial, 70.1);
    if (trial == 3) continue;  // nobody asks
    bench.judge(Bench::curve(100, 50.0));
    bench.judge(Bench::curve(101, 50.0));
  }
  std::ranges::copy_if(bench.asked(), std::back_inserter(fits),
                       [](const auto& line) { return line.starts_with("fit"); });
  CHECK(fits == std::vector<std::string>{"fit 0", "fit 0 1", "fit 0 1 2 3"});
}

TEST_CASE("predictive_termination learns from trials of the same fidelity") {
  Fidelity nine, three, resumed;
  nine.epochs = resumed.epochs = 9;
  three.epochs = 3;
  resumed.resume_from = 0;
  Bench bench;
  bench.ends(0, 40.0, TrialState::complete, three);
  CHECK_FALSE(bench.stops(Bench::curve(1, 30.0, 4, 9, nine)));  // nobody has come there
  bench.ends(2, 70.0, TrialState::complete, nine);
  CHECK(bench.stops(Bench::curve(4, 30.0, 2, 3, three)));
  CHECK(bench.stops(Bench::curve(5, 30.0, 4, 9, nine)));
  CHECK(bench.asked() ==
        std::vector<std::string>{"fit 0", "predict 4 at 2 of 3 above 40.0", "fit 2", "predict 5 at 4 of 9 above 70.0"});
  bench.ends(3, 72.0, TrialState::complete, resumed);
  CHECK(bench.stops(Bench::curve(6, 30.0, 4, 9, nine)));
  CHECK(bench.asked().back() == "predict 6 at 4 of 9 above 72.0");
  CHECK(bench.asked()[4] == "fit 2 3");
}

TEST_CASE("predictive_termination refuses what does not fit together") {
  const auto refused = [](const Json& args, const char* text, const Json& study = accuracy) {
    CHECK_THROWS_WITH(Bench({args, hopeless, study}), ContainsSubstring(text));
  };
  refused({{"mode", "optimistic"}}, "/deviation is null; the mode \"optimistic\" needs one");
  refused({{"mode", "optimistic"}, {"deviation", 0.005}, {"reward", "none"}}, "/reward is \"none\"; the mode");
  refused({{"deviation", 0.005}}, "/range is not given", {{"objectives", {{{"name", "loss"}}}}});
  refused({{"range", {5, 5}}}, "/range is [5,5]; the first number must be below the second");
}
