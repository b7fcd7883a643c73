#include <string>
#include <utility>
#include <vector>

#include "tests/catch.hpp"
#include "weft/testing/optimizer_contract.hpp"

using namespace weft;
using namespace weft::testing;
using optimizer_contract::Bench;
using optimizer_contract::result_of;

namespace {

Plugin plugin() { return Plugin::open("optimizer", "hyperband"); }

Json levels(const std::vector<double>& costs) {
  Json study = {{"fidelities", Json::array()}};
  for (const double cost : costs)
    study["fidelities"].push_back({{"name", "level " + std::to_string(study["fidelities"].size())}, {"cost", cost}});
  return study;
}

// A bracket in words, such as "3 on 1, 1 on 3": so many trials on so many epochs, or on a level.
std::string words(const std::vector<std::pair<int, int>>& rungs) {
  std::string words;
  for (const auto& [trials, amount] : rungs)
    words += (words.empty() ? "" : ", ") + std::to_string(trials) + " on " + std::to_string(amount);
  return words;
}

using Table = std::vector<std::string>;

// The brackets of a study, one trial at a time. One begins where the amount falls, or a trial of the same amount does
// not go on from another; of levels that is not to be seen.
std::vector<std::vector<std::pair<int, int>>> brackets_of(const Json& args, const OptimizerCheck& check = {}) {
  Bench bench(plugin(), args, check, 1);
  std::vector<std::vector<std::pair<int, int>>> brackets;
  bool resumed = false;
  for (TrialId trial = 0; !bench.optimizer.finished(); ++trial) {
    const std::vector<Proposal> asked = bench.optimizer.ask(1);
    REQUIRE(asked.size() == 1);
    const Fidelity& fidelity = asked.front().fidelity;
    const int amount = fidelity.epochs ? *fidelity.epochs : fidelity.level.value();
    const int before = brackets.empty() ? amount + 1 : brackets.back().back().second;
    const bool resumes = fidelity.resume_from.has_value();
    if (amount < before || (amount == before && resumed && !resumes)) brackets.emplace_back();
    if (brackets.back().empty() || amount != before) brackets.back().emplace_back(0, amount);
    ++brackets.back().back().first;
    resumed = resumes;
    bench.optimizer.tell(result_of(trial, asked.front()));
  }
  return brackets;
}

Table table_of(const Json& args, const OptimizerCheck& check = {}) {
  Table table;
  for (const auto& bracket : brackets_of(args, check)) table.push_back(words(bracket));
  return table;
}

}  // namespace

TEST_CASE("hyperband keeps the contract of optimizers") {
  // A random sampler learns nothing, and later brackets begin as the first did.
  check_optimizer(plugin(), {{"maximum", 9}, {"rounds", 0}}, {.improves = false});
}

TEST_CASE("hyperband keeps the contract with levels, some rounds, one bracket at a time") {
  check_optimizer(plugin(),
                  {{"resource", "level"}, {"rounds", 10}, {"parallel_brackets", false}, {"sizes", "hpbandster"}},
                  {.study = levels({1, 3, 10}), .long_study = 1000, .improves = false});
}

// Li et al. 2017, table 1, with n of each bracket as algorithm 1 has it.
TEST_CASE("hyperband has the brackets of the paper for R = 81 and eta = 3") {
  CHECK(table_of({{"maximum", 81}}) == Table{"81 on 1, 27 on 3, 9 on 9, 3 on 27, 1 on 81",  //
                                             "34 on 3, 11 on 9, 3 on 27, 1 on 81",          //
                                             "15 on 9, 5 on 27, 1 on 81",                   //
                                             "8 on 27, 2 on 81",                            //
                                             "5 on 81"});
}

TEST_CASE("hyperband has HpBandSter's brackets if it is told to") {
  CHECK(table_of({{"maximum", 81}, {"sizes", "hpbandster"}}) == Table{"81 on 1, 27 on 3, 9 on 9, 3 on 27, 1 on 81",  //
                                                                      "27 on 3, 9 on 9, 3 on 27, 1 on 81",           //
                                                                      "9 on 9, 3 on 27, 1 on 81",                    //
                                                                      "6 on 27, 2 on 81",                            //
                                                                      "5 on 81"});
}

// On paper, where every rung trains anew: (s_max + 1) R = 405 epochs, but for what is rounded.
// 34 (3) + 11 (9) + 3 (27) + 81 = 363; 15 (9) + 5 (27) + 81 = 351; 8 (27) + 2 (81) = 378.
// In all 1902; from checkpoints 81 + 27 (2) + 9 (6) + 3 (18) + 54 = 297, then 102 + 66 + 54 + 54, 135 + 90 + 54,
// 216 + 108 and 405.
TEST_CASE("hyperband spends about the same on each bracket") {
  std::vector<int> anew, from_checkpoints;
  for (const auto& bracket : brackets_of({{"maximum", 81}})) {
    anew.push_back(0), from_checkpoints.push_back(0);
    int below = 0;
    for (const auto& [trials, epochs] : bracket) {
      anew.back() += trials * epochs;
      from_checkpoints.back() += trials * (epochs - below);
      below = epochs;
    }
  }
  CHECK(anew == std::vector<int>{405, 363, 351, 378, 405});
  CHECK(from_checkpoints == std::vector<int>{297, 276, 279, 324, 405});
}

TEST_CASE("hyperband takes levels for rungs, and their costs for what they get") {
  // s = 1: 2 (200 / 12) / 2, rounded up, of whom 17 (12 / 200) go on; s = 0: 2.
  CHECK(table_of({{"resource", "level"}}, {.study = levels({12, 200})}) == Table{"17 on 0, 3 on 1"});
  // s = 2: 10, of whom 3 and 1 go on; s = 1: ceil(3 (10 / 3) / 2), of whom 1 goes on; s = 0: 3.
  CHECK(table_of({{"resource", "level"}}, {.study = levels({1, 3, 10})}) ==
        Table{"10 on 0, 3 on 1, 1 on 2", "5 on 1, 4 on 2"});
}

TEST_CASE("hyperband begins anew after its last bracket, as often as it is told to") {
  CHECK(table_of({{"maximum", 3}}) == Table{"3 on 1, 1 on 3", "2 on 3"});
  CHECK(table_of({{"maximum", 3}, {"rounds", 2}}) == Table{"3 on 1, 1 on 3", "2 on 3", "3 on 1, 1 on 3", "2 on 3"});
}

TEST_CASE("hyperband leaves nobody idle while brackets are left") {
  for (const bool parallel : {true, false}) {
    Bench bench(plugin(), {{"maximum", 27}, {"rounds", 0}, {"parallel_brackets", parallel}}, {}, 1);
    Rng order(7);
    std::vector<std::pair<TrialId, Proposal>> running;
    TrialId asked = 0;
    bool idle = false;
    for (int told = 0; told < 2000; ++told) {
      std::vector<Proposal> proposals = bench.optimizer.ask(16 - running.size());
      idle = idle || running.size() + proposals.size() < 16;
      for (Proposal& proposal : proposals) running.emplace_back(asked++, std::move(proposal));
      const std::size_t at = order.below(running.size());
      bench.optimizer.tell(result_of(running[at].first, running[at].second));
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(at));
    }
    CHECK(idle == !parallel);
  }
}

TEST_CASE("hyperband names what it may go on from, in every bracket that is open") {
  Bench bench(plugin(), {{"maximum", 9}}, {}, 1);
  const std::vector<Proposal> first = bench.optimizer.ask(30);
  REQUIRE(first.size() == 9 + 5 + 3);  // ceil(3 (9) / 3), ceil(3 (3) / 2), 3
  const auto tell = [&](std::size_t trial, double reward) {
    TrialResult result = result_of(static_cast<TrialId>(trial), first[trial]);
    result.reward = reward;
    bench.optimizer.tell(result);
  };
  tell(16, 1.0);  // had the whole resource
  CHECK(bench.optimizer.resumable().value().empty());
  tell(0, 1.0), tell(9, 1.0), tell(10, 2.0);
  CHECK(bench.optimizer.resumable() == std::vector<TrialId>{0, 10});  // of five, one goes on
}

TEST_CASE("hyperband goes on with its next bracket when every trial fails") {
  Bench bench(plugin(), {{"maximum", 9}}, {}, 1);
  int trials = 0;
  for (; !bench.optimizer.finished(); ++trials) {
    const std::vector<Proposal> asked = bench.optimizer.ask(1);
    REQUIRE(asked.size() == 1);
    bench.optimizer.tell(result_of(trials, asked.front(), TrialState::fail));
  }
  CHECK(trials == 9 + 5 + 3);
}

TEST_CASE("hyperband refuses what makes no brackets") {
  const auto refused = [](const Json& args, const char* why, const Json& study = Json::object()) {
    CHECK_THROWS_WITH(Bench(plugin(), args, {.study = study}, 1), ContainsSubstring(why));
  };
  refused(Json::object(), "/maximum is null; must be given");
  refused({{"maximum", 3}, {"minimum", 9}}, "/maximum is 3; must not be below /minimum, 9");
  refused({{"maximum", 40.5}}, "/maximum is 40.5; must be a whole number of epochs");
  refused({{"resource", "level"}}, "/resource is \"level\", but the pipeline has 0 levels");
  refused({{"resource", "data_fraction"}, {"maximum", 1}}, "/minimum is 1; must be at most /maximum / eta, 1 / 3");
  refused({{"maximum", 81}}, "a first bracket of 81 candidates; must be less than the budget's trials, 50",
          {{"budget", {{"trials", 50}}}});
  CHECK(plugin().manifest.at("parameters").at("properties").at("eta").at("minimum") == 2);
}
