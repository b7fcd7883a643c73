// The contract suites notice what they promise to notice: each component below breaks one rule, and its suite must
// fail.
#include <algorithm>
#include <optional>

#include "tests/catch.hpp"
#include "weft/testing/optimizer_contract.hpp"
#undef WEFT_COMPILED_CONTRACTS  // parts of it are tested
#include "weft/testing/space_contract.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

class BrokenOptimizer final : public Optimizer {
 public:
  explicit BrokenOptimizer(const Context& context)
      : how_(context.configuration().at("how")), space_(context.space()), rng_(context.rng()) {}
  std::vector<Proposal> ask(std::size_t capacity) override {
    static Rng shared(1);
    if (how_ == "greedy") ++capacity;
    if (how_ == "stuck" && told_ > 50) return {};
    if (how_ == "idle" && capacity == 0) rng_();
    std::vector<Proposal> proposals(capacity);
    for (Proposal& proposal : proposals) proposal.genotype = space_.sample(how_ == "shared" ? shared : rng_);
    if (how_ == "failing" && failed_ && capacity > 0) proposals.front().genotype = *failed_;
    return proposals;
  }
  void tell(const TrialResult& result) override {
    ++told_;
    if (how_ == "fragile" && !result.complete()) throw Error("what is this?");
    if (how_ == "hoarding") kept_.emplace_back(4096, 'x');
    if (how_ == "failing" && !result.complete()) failed_ = result.genotype;
    if (how_ == "shy" && result.trial >= 1'000'000) throw Error("who is this?");
    if (how_ == "late" && result.complete() && result.reward < -50.0) throw Error("now you tell me");
    for (int i = 0; how_ == "slowing" && i < 200 * told_; ++i) work_ = 0.5 * work_ + i;
  }

 private:
  std::string how_;
  SpaceRef space_;
  Rng rng_;
  int told_ = 0;
  std::vector<std::string> kept_;
  std::optional<Genotype> failed_;
  volatile double work_ = 0.0;
};
constexpr weft_component broken_optimizer = component<BrokenOptimizer>("broken");

void check_broken_optimizer(const char* how) {
  check_optimizer({&broken_optimizer, {{"parameters", Json::object()}, {"provides", Json::array()}}}, {{"how", how}},
                  {.trials = 100, .long_study = 2000, .improves = std::string_view(how) == "aimless"});
}

// Five decisions of two options, each taken for itself.
class BrokenSpace final : public DecisionSpace {
 public:
  explicit BrokenSpace(const Context& context) : how_(context.configuration().at("how")) {
    static int instances = 0;
    instance_ = ++instances;
  }
  std::optional<Decision> next(std::span<const std::int32_t> taken) const override {
    if (taken.size() == 5 && how_ != "endless") return {};
    const int at = static_cast<int>(taken.size());
    Decision decision{.name = "d" + std::to_string(at), .options = {"relu", "elu"}, .step = at};
    if (how_ == "namesakes") decision.name = "d";
    if (how_ == "backwards") decision.step = -at;
    if (how_ == "foresight") decision.named_steps = {Decision::no_step, at};
    return decision;
  }
  std::string state(std::span<const std::int32_t> taken) const override {
    return how_ == "merging" ? "" : DecisionSpace::state(taken);
  }
  Candidate decode(const Genotype& genotype) const override {
    if (how_ != "lenient") walk(genotype);
    ArchitectureBuilder graph;
    NodeId at = graph.input(Shape::features(how_ == "instance" ? instance_ : 3));
    for (const std::int32_t option : genotype.decisions) {
      at = graph.add("activation", {{"function", option == 0 ? "relu" : "elu"}}, {at});
    }
    return {std::move(graph).build(at)};
  }
  std::vector<double> encode(const Genotype& genotype) const override {
    std::vector<double> code = DecisionSpace::encode(genotype);
    if (how_ == "vague") std::fill(code.begin() + 2, code.end(), 0.0);
    return code;
  }
  Genotype parse(std::string_view notation) const override {
    return how_ == "gullible" && notation.size() > 9 ? Genotype({0, 0, 0, 0, 0}) : DecisionSpace::parse(notation);
  }
  Genotype mutate(const Genotype& parent, Rng& rng) const override {
    if (how_ == "idle") return parent;
    if (how_ == "restless") return sample(rng);
    return how_ == "wild" ? Genotype({0, 1, 2, 0, 0}) : DecisionSpace::mutate(parent, rng);
  }

 private:
  std::string how_;
  int instance_;
};
constexpr weft_component broken_space = component<BrokenSpace>("broken");

void check_broken_space(const char* how) {
  std::set<std::string> provides = {"space.decisions", "space.mutation", "space.crossover", "space.encoding"};
  if (std::string_view(how) == "modest") provides.erase("space.crossover");
  check_space({&broken_space, {{"parameters", Json::object()}, {"provides", provides}}}, {{"how", how}});
}

}  // namespace

TEST_CASE("contract: the small space keeps it") { check_space(small_space()); }
TEST_CASE("contract: broken components keep it where nothing is broken") {
  check_broken_optimizer("not at all");
  check_broken_space("not at all");
}

TEST_CASE("contract: more proposals than asked for", "[!shouldfail]") { check_broken_optimizer("greedy"); }
TEST_CASE("contract: no proposal though nothing runs", "[!shouldfail]") { check_broken_optimizer("stuck"); }
TEST_CASE("contract: ask(0) that changes something", "[!shouldfail]") { check_broken_optimizer("idle"); }
TEST_CASE("contract: state shared by instances", "[!shouldfail]") { check_broken_optimizer("shared"); }
TEST_CASE("contract: failed trials not borne", "[!shouldfail]") { check_broken_optimizer("fragile"); }
TEST_CASE("contract: memory without bound", "[!shouldfail]") {
  if (optimizer_contract::allocated_bytes() == 0) FAIL("cannot be measured here");
  check_broken_optimizer("hoarding");
}
TEST_CASE("contract: failures that are sought", "[!shouldfail]") { check_broken_optimizer("failing"); }
TEST_CASE("contract: results of others not borne", "[!shouldfail]") { check_broken_optimizer("shy"); }
TEST_CASE("contract: a direction refused when trials are paid for", "[!shouldfail]") { check_broken_optimizer("late"); }
TEST_CASE("contract: trials that cost ever more", "[!shouldfail]") { check_broken_optimizer("slowing"); }
TEST_CASE("contract: no improvement", "[!shouldfail]") { check_broken_optimizer("aimless"); }

TEST_CASE("contract: decisions without end", "[!shouldfail]") {
  // Sampling would not end either: the walk alone is checked.
  const Instance instance(broken_space, {{"how", "endless"}});
  space_contract::offers_alternatives(SpaceRef(instance.handle()));
}
TEST_CASE("contract: a reference to what is not decided yet", "[!shouldfail]") { check_broken_space("foresight"); }
TEST_CASE("contract: decisions of one name", "[!shouldfail]") { check_broken_space("namesakes"); }
TEST_CASE("contract: steps that decrease", "[!shouldfail]") { check_broken_space("backwards"); }
TEST_CASE("contract: equal states of different futures", "[!shouldfail]") { check_broken_space("merging"); }
TEST_CASE("contract: genotypes taken unchecked", "[!shouldfail]") { check_broken_space("lenient"); }
TEST_CASE("contract: instances that decode differently", "[!shouldfail]") { check_broken_space("instance"); }
TEST_CASE("contract: any notation accepted", "[!shouldfail]") { check_broken_space("gullible"); }
TEST_CASE("contract: mutation that changes nothing", "[!shouldfail]") { check_broken_space("idle"); }
TEST_CASE("contract: mutation that begins anew", "[!shouldfail]") { check_broken_space("restless"); }
TEST_CASE("contract: encodings that tell nothing apart", "[!shouldfail]") { check_broken_space("vague"); }
TEST_CASE("contract: mutation that leaves the space", "[!shouldfail]") { check_broken_space("wild"); }
TEST_CASE("contract: a capability that the manifest hides", "[!shouldfail]") { check_broken_space("modest"); }
