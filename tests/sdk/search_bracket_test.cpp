#include <cmath>
#include <limits>
#include <string>

#include "tests/catch.hpp"
#include "weft/plugin.hpp"
#include "weft/search/bracket.hpp"
#include "weft/testing/library.hpp"

using namespace weft;
using search::Bracket;
using search::Brackets;
using search::Resource;
using search::Sampler;
using testing::Instance;

namespace {

Resource epochs(int maximum, const char* resource = "epochs") {
  return {{{"resource", resource}, {"minimum", 1}, {"maximum", maximum}, {"eta", 3}}, Json::object()};
}

Genotype numbered(int number) { return Genotype(std::vector<std::int32_t>{number}); }

// Proposes the numbers from 0 up to `most`, at most `at_once` before it is told a result of each; remembers what it was
// told.
class Counter final : public Optimizer {
 public:
  explicit Counter(const Context& context)
      : most_(context.get<int>("most")),
        at_once_(context.get<int>("at_once")),
        fidelity_(context.get<bool>("fidelity")) {
    told.clear();
  }
  std::vector<Proposal> ask(std::size_t capacity) override {
    REQUIRE_FALSE(finished());
    std::vector<Proposal> proposals;
    while (proposals.size() < capacity && !finished() && out_ < at_once_) {
      proposals.push_back({.genotype = numbered(next_), .notes = {{"mine", next_}}});
      if (fidelity_) proposals.back().fidelity.epochs = 3;
      ++next_, ++out_;
    }
    return proposals;
  }
  void tell(const TrialResult& result) override {
    --out_;
    told.push_back(result);
  }
  bool finished() const override { return next_ == most_; }

  static inline std::vector<TrialResult> told;

 private:
  int most_, at_once_;
  bool fidelity_;
  int next_ = 0, out_ = 0;
};

Instance counter(int most = 1000, int at_once = 1000, bool fidelity = false) {
  static constexpr weft_component component = weft::component<Counter>("counter");
  return Instance(component, {{"most", most}, {"at_once", at_once}, {"fidelity", fidelity}});
}

Bracket filled(const Resource& resource, std::size_t first, std::size_t count) {
  Bracket bracket(resource, first, count);
  for (int i = 0; bracket.needs_candidate(); ++i) bracket.add({.genotype = numbered(i), .number = i});
  return bracket;
}

// The numbers of those that the present rung evaluates.
std::vector<int> members(Bracket& bracket, std::vector<Bracket::Task>& tasks) {
  std::vector<int> numbers;
  tasks.clear();
  while (const auto task = bracket.next()) {
    tasks.push_back(*task);
    numbers.push_back(bracket.proposal(*task).genotype.decisions.at(0));
  }
  return numbers;
}

std::vector<TrialId> resumable(const Bracket& bracket) {
  std::vector<TrialId> trials;
  bracket.list_resumable(trials);
  return trials;
}

using Trials = std::vector<TrialId>;

TrialResult result_of(const Proposal& proposal, TrialId trial, double reward) {
  TrialResult result;
  result.trial = trial;
  result.genotype = proposal.genotype;
  result.reward = reward;
  result.fidelity = proposal.fidelity;
  result.notes = proposal.notes;
  return result;
}

}  // namespace

TEST_CASE("of a rung the best in eta go on, whatever the order of their results") {
  const Resource resource = epochs(9);
  Bracket bracket = filled(resource, 0, 9);
  std::vector<Bracket::Task> tasks;
  REQUIRE(members(bracket, tasks) == std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8});
  for (std::size_t i = 9; i-- > 0;) {
    CHECK(bracket.rung() == 0);
    bracket.tell(i, static_cast<TrialId>(100 + i), i == 4 ? 9.0 : static_cast<double>(i % 4));
  }
  // Rewards 0 1 2 3 9 1 2 3 0: of the two equal ones the earlier stands first.
  REQUIRE(members(bracket, tasks) == std::vector<int>{4, 3, 7});
  CHECK(bracket.rung() == 1);
  CHECK(bracket.proposal(tasks[0]).fidelity == Fidelity{.epochs = 3, .resume_from = 104});
  CHECK(bracket.proposal(tasks[2]).fidelity == Fidelity{.epochs = 3, .resume_from = 107});
  bracket.tell(0, 110, 0.1);
  bracket.tell(1, 111, 0.3);
  bracket.tell(2, 112, 0.2);
  REQUIRE(members(bracket, tasks) == std::vector<int>{3});
  CHECK(bracket.proposal(tasks[0]).fidelity == Fidelity{.epochs = 9, .resume_from = 111});
  CHECK_FALSE(bracket.done());
  bracket.tell(0, 113, 0.0);
  CHECK(bracket.done());
  CHECK_FALSE(bracket.next());
}

TEST_CASE("what may be gone on from shrinks with every result and every proposal") {
  const Resource resource = epochs(9);
  Bracket bracket = filled(resource, 0, 9);
  std::vector<Bracket::Task> tasks;
  members(bracket, tasks);
  CHECK(resumable(bracket).empty());
  const std::vector<double> rewards = {5, 1, 6, 4, 9, 3, 2, 8};
  for (std::size_t i = 0; i < 3; ++i) bracket.tell(i, static_cast<TrialId>(i), rewards[i]);
  CHECK(resumable(bracket) == Trials{2, 0, 1});
  bracket.tell(3, 3, rewards[3]);
  CHECK(resumable(bracket) == Trials{2, 0, 3});
  for (std::size_t i = 4; i < 8; ++i) bracket.tell(i, static_cast<TrialId>(i), rewards[i]);
  CHECK(resumable(bracket) == Trials{4, 7, 2});
  bracket.tell(8, 8, std::nullopt);  // failed
  CHECK(resumable(bracket) == Trials{4, 7, 2});
  REQUIRE(bracket.next());
  CHECK(resumable(bracket) == Trials{7, 2});
  bracket.tell(0, 9, 1.0);
  CHECK(resumable(bracket) == Trials{7, 2, 9});
  members(bracket, tasks);
  bracket.tell(1, 10, 2.0);
  CHECK(resumable(bracket) == Trials{10});
  bracket.tell(2, 11, 3.0);
  CHECK(resumable(bracket) == Trials{11});
  REQUIRE(bracket.next());
  CHECK(resumable(bracket).empty());
  bracket.tell(0, 12, 1.0);
  CHECK(resumable(bracket).empty());
  const Resource shares({{"resource", "data_fraction"}, {"minimum", 0.1}, {"maximum", 1}, {"eta", 3}}, Json::object());
  Bracket other = filled(shares, 0, 9);
  REQUIRE(other.next());
  other.tell(0, 0, 1.0);
  CHECK(resumable(other).empty());
}

TEST_CASE("a bracket goes on with those that have a finite reward, and ends when there are none") {
  const Resource resource = epochs(9);
  Bracket bracket = filled(resource, 0, 9);
  std::vector<Bracket::Task> tasks;
  members(bracket, tasks);
  for (std::size_t i = 0; i < 9; ++i) {
    const std::optional<double> reward = i == 3   ? std::optional(-5.0)
                                         : i == 6 ? std::optional(std::nan(""))
                                         : i == 7 ? std::optional(-std::numeric_limits<double>::infinity())
                                         : i == 8 ? std::optional(-4.0)
                                                  : std::nullopt;
    bracket.tell(i, static_cast<TrialId>(i), reward);
  }
  // floor(9 / 3) might go on; and of 9 that began, one comes to the last rung though two were left on the second.
  REQUIRE(members(bracket, tasks) == std::vector<int>{8, 3});
  bracket.tell(0, 9, 0.5);
  bracket.tell(1, 10, 0.6);
  REQUIRE(members(bracket, tasks) == std::vector<int>{3});
  bracket.tell(0, 11, std::nullopt);
  CHECK(bracket.done());

  Bracket failing = filled(resource, 0, 9);
  members(failing, tasks);
  for (std::size_t i = 0; i < 9; ++i) failing.tell(i, static_cast<TrialId>(i), std::nullopt);
  CHECK(failing.done());
  CHECK(resumable(failing).empty());
}

TEST_CASE("a bracket may begin on a higher rung, also on the last") {
  const Resource resource = epochs(9);
  Bracket bracket = filled(resource, 1, 5);
  std::vector<Bracket::Task> tasks;
  members(bracket, tasks);
  CHECK(bracket.proposal(tasks[0]).fidelity == Fidelity{.epochs = 3});
  for (std::size_t i = 0; i < 5; ++i) bracket.tell(i, static_cast<TrialId>(i), static_cast<double>(i));
  CHECK(members(bracket, tasks) == std::vector<int>{4});
  Bracket last = filled(resource, 2, 3);
  members(last, tasks);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK_FALSE(last.done());
    last.tell(i, static_cast<TrialId>(i), 1.0);
    CHECK(resumable(last).empty());
  }
  CHECK(last.done());
}

TEST_CASE("a bracket that is closed makes do with the candidates it has") {
  const Resource resource = epochs(9);
  std::vector<Bracket::Task> tasks;
  Bracket bracket(resource, 0, 9);
  for (int i = 0; i < 2; ++i) bracket.add({.genotype = numbered(i), .number = i});
  members(bracket, tasks);
  bracket.tell(0, 0, 0.3);
  bracket.tell(1, 1, 0.4);
  CHECK(bracket.rung() == 0);
  bracket.close();
  CHECK(bracket.rung() == 1);
  CHECK(members(bracket, tasks) == std::vector<int>{1});  // the best, where floor(2 / 3) would be none
  bracket.close();
  CHECK_FALSE(bracket.done());
  Bracket empty(resource, 0, 9);
  empty.close();
  CHECK(empty.done());
}

// Costs 1, 3, 10: of n = 10, floor(10 / 3) = 3 come to the second rung, floor(10 / 10) = 1 to the last.
TEST_CASE("who goes on is counted from the beginning, not rounded down again on every rung") {
  const Resource resource({{"resource", "level"}, {"minimum", 1}, {"maximum", nullptr}, {"eta", 3}},
                          {{"fidelities", {{{"cost", 1}}, {{"cost", 3}}, {{"cost", 10}}}}});
  Bracket bracket = filled(resource, 0, 10);
  std::vector<Bracket::Task> tasks;
  members(bracket, tasks);
  for (std::size_t i = 0; i < 10; ++i) bracket.tell(i, static_cast<TrialId>(i), static_cast<double>(i));
  REQUIRE(members(bracket, tasks) == std::vector<int>{9, 8, 7});
  CHECK(bracket.proposal(tasks[0]).fidelity == Fidelity{.level = 1});
  for (std::size_t i = 0; i < 3; ++i) bracket.tell(i, static_cast<TrialId>(i), static_cast<double>(i));
  CHECK(members(bracket, tasks) == std::vector<int>{7});
}

TEST_CASE("the sampler is told every result under its own number, and only what it may know") {
  const Instance instance = counter();
  Brackets brackets(epochs(3), Sampler(instance.handle()), {.round = {{0, 3}}});
  std::vector<Proposal> proposals = brackets.ask(10);
  REQUIRE(proposals.size() == 3);
  CHECK(proposals[1].notes == Json{{"proposal", 1}});
  for (std::size_t i = 3; i-- > 0;) brackets.tell(result_of(proposals[i], static_cast<TrialId>(50 + i), 1.0));
  proposals = brackets.ask(10);
  REQUIRE(proposals.size() == 1);
  REQUIRE(proposals[0].fidelity == Fidelity{.epochs = 3, .resume_from = 50});
  brackets.tell(result_of(proposals[0], 60, 2.0));
  REQUIRE(Counter::told.size() == 4);
  CHECK(Counter::told[0].trial == 2);
  CHECK(Counter::told[0].notes == Json{{"mine", 2}});
  CHECK(Counter::told[0].fidelity == Fidelity{.epochs = 1});
  CHECK(Counter::told[3].trial == 0);
  CHECK(Counter::told[3].notes == Json{{"mine", 0}});
  CHECK(Counter::told[3].fidelity == Fidelity{.epochs = 3});
  CHECK(brackets.finished());
}

TEST_CASE("a sampler that asks for fidelities of its own is refused") {
  const Instance instance = counter(10, 10, true);
  Sampler sampler(instance.handle());
  CHECK_THROWS_WITH(sampler.draw(), ContainsSubstring("/sampler proposes a fidelity"));
}

TEST_CASE("while the sampler waits, so does the bracket, and no other one begins") {
  const Instance instance = counter(1000, 2);
  Brackets brackets(epochs(3), Sampler(instance.handle()), {.round = {{0, 3}}, .rounds = 0});
  const std::vector<Proposal> first = brackets.ask(10);
  REQUIRE(first.size() == 2);
  CHECK(brackets.ask(10).empty());
  brackets.tell(result_of(first[0], 0, 1.0));
  CHECK_FALSE(brackets.finished());
  const std::vector<Proposal> third = brackets.ask(10);
  REQUIRE(third.size() == 1);
  CHECK(third[0].fidelity == Fidelity{.epochs = 1});
  CHECK(third[0].genotype == numbered(2));
}

TEST_CASE("when the sampler is finished, the bracket is closed, and no other one begins") {
  const Instance instance = counter(4);
  Brackets brackets(epochs(3), Sampler(instance.handle()), {.round = {{0, 3}}, .rounds = 0});
  const std::vector<Proposal> first = brackets.ask(10);
  REQUIRE(first.size() == 4);  // three of the first bracket, one of the second
  brackets.tell(result_of(first[3], 3, 1.0));
  const std::vector<Proposal> second = brackets.ask(10);
  REQUIRE(second.size() == 1);
  CHECK(second[0].fidelity == Fidelity{.epochs = 3, .resume_from = 3});
  brackets.tell(result_of(second[0], 4, 1.0));
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK_FALSE(brackets.finished());
    TrialResult failed = result_of(first[i], static_cast<TrialId>(i), 0.0);
    failed.state = TrialState::fail;
    brackets.tell(failed);
  }
  CHECK(brackets.finished());
}

TEST_CASE("the next bracket begins when all before it wait, unless it must not") {
  for (const bool parallel : {true, false}) {
    const Instance instance = counter();
    Brackets brackets(epochs(3), Sampler(instance.handle()),
                      {.round = {{0, 3}, {1, 2}}, .rounds = 1, .parallel = parallel});
    const std::vector<Proposal> first = brackets.ask(2);
    REQUIRE(first.size() == 2);
    const std::vector<Proposal> more = brackets.ask(3);
    REQUIRE(more.size() == (parallel ? 3 : 1));
    CHECK(more[0].fidelity == Fidelity{.epochs = 1});
    if (!parallel) continue;
    CHECK(more[1].fidelity == Fidelity{.epochs = 3});
    CHECK(brackets.ask(5).empty());  // there is no third one
    for (std::size_t i = 0; i < 2; ++i) brackets.tell(result_of(first[i], static_cast<TrialId>(i), 1.0));
    CHECK(*brackets.resumable() == Trials{0});
    brackets.tell(result_of(more[0], 2, 5.0));
    CHECK(*brackets.resumable() == Trials{2});
    const std::vector<Proposal> best = brackets.ask(5);
    REQUIRE(best.size() == 1);
    CHECK(best[0].fidelity == Fidelity{.epochs = 3, .resume_from = 2});
    CHECK_FALSE(brackets.finished());
  }
}

TEST_CASE("a pruned trial counts with the reward that was predicted of it") {
  const Instance instance = counter();
  Brackets brackets(epochs(3), Sampler(instance.handle()), {.round = {{0, 3}}});
  const std::vector<Proposal> first = brackets.ask(3);
  for (std::size_t i = 0; i < 3; ++i) {
    TrialResult result = result_of(first[i], static_cast<TrialId>(i), i == 2 ? 0.5 : 99.0);
    if (i < 2) result.state = TrialState::pruned;
    if (i == 1) result.predicted = 0.7;
    brackets.tell(result);
  }
  const std::vector<Proposal> second = brackets.ask(3);
  REQUIRE(second.size() == 1);
  CHECK(second[0].fidelity.resume_from == 1);
}
