// The C tables and the layer over them: what one side says arrives on the other, and what goes wrong arrives as words.
#include "weft/detail/boundary.hpp"

#include <cstdlib>
#include <new>
#include <set>

#include "tests/catch.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/library.hpp"

using namespace weft;
using weft::testing::Instance;

namespace {

int alive = 0;  // instances of the components below

struct Counted {
  Counted() { ++alive; }
  ~Counted() { --alive; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
};

// Throws what its configuration or its input names.
class Throwing final : public Space, private Counted {
 public:
  explicit Throwing(const Context& context) { fail(context.configuration().value("fail", "")); }
  static void fail(const std::string& how) {
    if (how == "invalid") throw InvalidInput("that is invalid");
    if (how == "error") throw Error("that is an error");
    if (how == "standard") throw std::out_of_range("that is the library's");
    if (how == "number") throw 7;
    if (how == "libtorch")
      throw std::runtime_error(
          "sizes differ\nException raised from add at ATen.cpp:7 (most recent call first):\nframe #0");
    if (how == "memory") throw std::bad_alloc();
  }
  Genotype sample(Rng& rng) const override {
    Genotype genotype;
    genotype.opaque = {{"drawn", rng.below(1000)}};
    return genotype;
  }
  Candidate decode(const Genotype& genotype) const override {
    fail(genotype.opaque.value("fail", ""));
    ArchitectureBuilder graph;
    const NodeId input = graph.input(Shape::features(1));
    return {std::move(graph).build(input), genotype.opaque};
  }
  std::string notation(const Genotype& genotype) const override { return genotype.key(); }
  Genotype parse(std::string_view notation) const override {
    fail(std::string(notation));
    return Genotype::from_json(Json::parse(notation));
  }
};

// Says of itself what it was created with; hands on what it is told.
class Echo final : public Optimizer, private Counted {
 public:
  explicit Echo(const Context& context)
      : space_(context.space()), configuration_(context.configuration()), study_(context.study()), rng_(context.rng()) {
    context.log().warning("created");
  }
  std::vector<Proposal> ask(std::size_t capacity) override {
    if (capacity > 5) return std::vector<Proposal>(capacity + 1);
    Proposal proposal{.genotype = space_.sample(rng_), .parent = 4, .transfer = {{"copy", {"a"}}}};
    proposal.fidelity.epochs = 12;
    proposal.fidelity.data_fraction = 0.25;
    proposal.notes = {{"configuration", configuration_}, {"study", study_}, {"told", told_}};
    return {proposal, Proposal{.genotype = Genotype({1, -2, 3})}};
  }
  void tell(const TrialResult& result) override {
    told_ = {{"trial", result.trial},
             {"state", to_string(result.state)},
             {"genotype", result.genotype.to_json()},
             {"reward", result.reward},
             {"objectives", result.objectives},
             {"fidelity", result.fidelity.to_json()},
             {"metrics", result.metrics},
             {"notes", result.notes},
             {"reason", result.reason}};
  }
  bool finished() const override { return told_.is_object(); }

 private:
  SpaceRef space_;
  Json configuration_;
  Json study_;
  Rng rng_;
  Json told_;
};

// Says where its files are.
class Placed final : public Optimizer, private Counted {
 public:
  explicit Placed(const Context& context) : folder_(context.folder()) {}
  std::vector<Proposal> ask(std::size_t) override { return {Proposal{.notes = {{"folder", folder_.string()}}}}; }
  void tell(const TrialResult&) override {}

 private:
  std::filesystem::path folder_;
};

class Reporting final : public Evaluator, private Counted {
 public:
  explicit Reporting(const Context&) {}
  Evaluation evaluate(const EvaluationRequest& request, const Reporter& reporter) override {
    Evaluation evaluation;
    evaluation.metrics = {
        {"trial", request.trial}, {"draw", Rng(request.rng).uniform()}, {"folder", request.folder ? 1 : 0}};
    for (int epoch = 1; epoch <= request.fidelity.epochs.value_or(1); ++epoch) {
      const Verdict verdict = reporter.report({{"epoch", epoch}});
      evaluation.metrics["epochs"] = epoch;
      if (verdict == Verdict::stop) evaluation.state = TrialState::pruned;
      if (verdict == Verdict::pause) evaluation.state = TrialState::paused;
      if (verdict != Verdict::go_on) break;
    }
    return evaluation;
  }
};

class Size final : public Objective, private Counted {
 public:
  explicit Size(const Context&) {}
  Direction direction() const override { return Direction::minimize; }
  std::optional<double> before(const Candidate& candidate) const override {
    if (candidate.recipe.contains("unknown")) return {};
    return static_cast<double>(candidate.architecture.nodes().size());
  }
};

constexpr weft_component throwing = component<Throwing>("throwing");
constexpr weft_component echo = component<Echo>("echo");
constexpr weft_component reporting = component<Reporting>("reporting");
constexpr weft_component size = component<Size>("size");

Genotype opaque(const Json& json) {
  Genotype genotype;
  genotype.opaque = json;
  return genotype;
}

}  // namespace

TEST_CASE("exceptions become a status and words, and come back as what they were") {
  const Instance instance(throwing, Json::object());
  const SpaceRef space(instance.handle());
  CHECK_THROWS_AS(space.decode(opaque({{"fail", "invalid"}})), InvalidInput);
  CHECK_THROWS_WITH(space.decode(opaque({{"fail", "invalid"}})), "that is invalid");
  CHECK_THROWS_WITH(space.parse("error"), "that is an error");
  CHECK_THROWS_WITH(space.parse("standard"), "that is the library's");
  CHECK_THROWS_WITH(space.parse("number"), ContainsSubstring("not a std::exception"));
  CHECK_THROWS_WITH(space.parse("libtorch"), "sizes differ");
  CHECK_THROWS_WITH(space.parse("memory"), "out of memory");
  for (const char* how : {"error", "standard", "number"}) {
    try {
      space.parse(how);
      FAIL("not refused");
    } catch (const InvalidInput&) {
      FAIL("only InvalidInput comes back as InvalidInput");
    } catch (const Error&) {
    }
  }
  const Candidate candidate = space.decode(opaque(Json::object()));  // and the instance lives on
  CHECK(candidate.architecture.nodes().size() == 1);
}

TEST_CASE("a constructor that throws leaves no instance, a destroyed instance nothing at all") {
  REQUIRE(alive == 0);
  {
    const Instance instance(throwing, Json::object());
    CHECK(alive == 1);
    CHECK_THROWS_AS(Instance(throwing, {{"fail", "invalid"}}), InvalidInput);
    CHECK_THROWS_WITH(Instance(throwing, {{"fail", "standard"}}), "that is the library's");
    CHECK(alive == 1);
  }
  CHECK(alive == 0);
}

TEST_CASE("an argument that its type cannot hold is refused") {
  weft_context lent{};
  lent.size = sizeof(lent);
  const std::string text = R"({"many": 4294967297, "most": 18446744073709551615, "below": -1, "few": 7})";
  lent.configuration = detail::text(text);
  const Context context(lent);
  CHECK(context.get<int>("few") == 7);
  CHECK(context.get<std::int64_t>("many") == 4294967297);
  CHECK(context.get<std::uint64_t>("most") == 18446744073709551615U);
  CHECK_THROWS_WITH(context.get<int>("many"), "/many is 4294967297; must be from -2147483648 to 2147483647");
  CHECK_THROWS_WITH(context.get<std::int64_t>("most"), ContainsSubstring("must be from -9223372036854775808"));
  CHECK_THROWS_WITH(context.get<std::size_t>("below"), "/below is -1; must be from 0 to 18446744073709551615");
}

TEST_CASE("the stream of the caller advances by what the plugin draws") {
  const Instance instance(throwing, Json::object());
  const SpaceRef space(instance.handle());
  Rng rng(3);
  Rng expected = rng;
  for (int i = 0; i < 10; ++i) CHECK(space.sample(rng).opaque == Json{{"drawn", expected.below(1000)}});
  CHECK(rng.state().counter == expected.state().counter);
}

TEST_CASE("a decision crosses the boundary whole, also one of a plugin that knows less of it") {
  class Pointing final : public DecisionSpace {
   public:
    explicit Pointing(const Context& context) : miscounts_(context.configuration().value("miscounts", false)) {}
    std::optional<Decision> next(std::span<const std::int32_t> taken) const override {
      Decision decision{.name = "input",
                        .group = "inputs",
                        .kind = Decision::Kind::reference,
                        .options = {"none", "first", "second"},
                        .step = 7,
                        .named_steps = {Decision::no_step, 2, 5}};
      if (miscounts_) decision.named_steps.pop_back();
      if (taken.size() == 1) decision = {.name = "other", .options = {"a"}, .step = 8};
      return decision;
    }
    Candidate decode(const Genotype&) const override { throw Error("not asked for"); }
    bool miscounts_;
  };
  constexpr weft_component pointing = component<Pointing>("pointing");
  const Instance instance(pointing, Json::object());
  const std::optional<Decision> decision = SpaceRef(instance.handle()).next({});
  CHECK(decision->name == "input");
  CHECK(decision->group == "inputs");
  CHECK(decision->kind == Decision::Kind::reference);
  CHECK(decision->options == std::vector<std::string>{"none", "first", "second"});
  CHECK(decision->step == 7);
  CHECK(decision->named_steps == std::vector<int>{-1, 2, 5});
  CHECK(SpaceRef(instance.handle()).next(std::vector<std::int32_t>{0})->named_steps.empty());
  const Instance miscounting(pointing, {{"miscounts", true}});
  CHECK_THROWS_WITH(SpaceRef(miscounting.handle()).next({}),
                    ContainsSubstring("decision input names 2 steps with 3 options"));

  weft_decision earlier{.size = offsetof(weft_decision, named_steps)};
  CHECK_FALSE(detail::has(&earlier, &weft_decision::named_steps));
}

TEST_CASE("a space without a capability says so when it is used nevertheless") {
  const Instance instance(throwing, Json::object());
  const SpaceRef space(instance.handle());
  CHECK_FALSE((space.has_decisions() || space.has_mutation() || space.has_crossover() || space.has_encoding()));
  Rng rng(1);
  CHECK_THROWS_AS(space.next({}), Error);
  CHECK_THROWS_AS(space.mutate(Genotype(), rng), Error);
  CHECK_THROWS_AS(space.encode(Genotype()), Error);
  CHECK_THROWS_WITH(OptimizerRef(instance.handle()), ContainsSubstring("throwing is not an optimizer"));
  CHECK_THROWS_WITH(EvaluatorRef(instance.handle()), ContainsSubstring("throwing is not an evaluator"));
  CHECK_THROWS_WITH(ObjectiveRef(instance.handle()), ContainsSubstring("throwing is not an objective"));
}

TEST_CASE("an optimizer receives and returns every member") {
  const Instance space(throwing, Json::object());
  const Instance instance(echo, {{"population_size", 3}},
                          {.study = {{"phase", "search"}}, .collaborators = {{"space", space.handle()}}});
  OptimizerRef optimizer(instance.handle());
  CHECK_FALSE(optimizer.finished());
  TrialResult result;
  result.trial = 41;
  result.state = TrialState::pruned;
  result.genotype = Genotype({2, 0});
  result.reward = 0.125;
  result.objectives = {0.5, -3.0};
  result.fidelity.resume_from = 7;
  result.metrics = {{"loss", 2.5}};
  result.notes = {{"rung", 1}};
  result.reason = "too slow";
  optimizer.tell(result);
  CHECK(optimizer.finished());
  const std::vector<Proposal> proposals = optimizer.ask(2);
  REQUIRE(proposals.size() == 2);
  CHECK(proposals[0].genotype.opaque.contains("drawn"));
  CHECK(proposals[0].parent == 4);
  CHECK(proposals[0].transfer == Json{{"copy", {"a"}}});
  CHECK(proposals[0].fidelity.epochs == 12);
  CHECK(proposals[0].fidelity.data_fraction == 0.25);
  CHECK(proposals[0].notes == Json{{"configuration", {{"population_size", 3}}},
                                   {"study", {{"phase", "search"}}},
                                   {"told",
                                    {{"trial", 41},
                                     {"state", "PRUNED"},
                                     {"genotype", {2, 0}},
                                     {"reward", 0.125},
                                     {"objectives", {0.5, -3.0}},
                                     {"fidelity", {{"resume_from", 7}}},
                                     {"metrics", {{"loss", 2.5}}},
                                     {"notes", {{"rung", 1}}},
                                     {"reason", "too slow"}}}});
  CHECK(proposals[1].genotype == Genotype({1, -2, 3}));
  CHECK_FALSE(proposals[1].parent.has_value());
  CHECK(proposals[1].transfer.is_null());
  CHECK(proposals[1].fidelity == Fidelity{});
  CHECK_THROWS_WITH(optimizer.ask(6), ContainsSubstring("ask(6) returned 7 proposals"));
}

TEST_CASE("a collaborator that the pipeline lacks is named") {
  CHECK_THROWS_WITH(Instance(echo, Json::object()), ContainsSubstring("there is no space here"));
}

TEST_CASE("an evaluator reports, is answered, and says how it ended") {
  const Instance instance(reporting, Json::object());
  EvaluatorRef evaluator(instance.handle());
  EvaluationRequest request{.trial = 9, .rng = Rng(5, 9)};
  request.fidelity.epochs = 4;
  struct Script {
    std::vector<Json> reports;
    std::int32_t answer_to_second;
  };
  const auto run = [&](std::int32_t answer) {
    Script script{{}, answer};
    const weft_reporter reporter{sizeof(weft_reporter), &script, [](void* context, weft_text report) -> std::int32_t {
                                   auto& script = *static_cast<Script*>(context);
                                   script.reports.push_back(Json::parse(detail::view(report)));
                                   return script.reports.size() == 2 ? script.answer_to_second : 0;
                                 }};
    const Evaluation evaluation = evaluator.evaluate(request, reporter);
    CHECK(script.reports.at(1) == Json{{"epoch", 2}});
    CHECK(evaluation.metrics.at("epochs") == script.reports.size());
    CHECK(evaluation.metrics.at("trial") == 9);
    CHECK(evaluation.metrics.at("draw") == Rng(5, 9).uniform());
    CHECK(evaluation.metrics.at("folder") == 0);
    CHECK_FALSE(evaluation.metrics.contains("state"));
    return std::pair(evaluation.state, script.reports.size());
  };
  CHECK(run(0) == std::pair(TrialState::complete, std::size_t{4}));
  CHECK(run(1) == std::pair(TrialState::pruned, std::size_t{2}));
  CHECK(run(2) == std::pair(TrialState::paused, std::size_t{2}));
}

TEST_CASE("an objective answers before an evaluation where it can") {
  const Instance space_instance(throwing, Json::object());
  const SpaceRef space(space_instance.handle());
  const Instance instance(size, Json::object());
  const ObjectiveRef objective(instance.handle());
  CHECK(objective.direction() == Direction::minimize);
  CHECK(objective.before(space.decode_text(opaque(Json::object()))) == 1.0);
  CHECK_FALSE(objective.before(space.decode_text(opaque({{"unknown", 1}}))).has_value());
  CHECK_THROWS_AS(objective.before("{}"), InvalidInput);
  CHECK_THROWS_WITH(objective.after(R"({"loss": 1})"), ContainsSubstring("not measured by an evaluation"));
}

// A table as an older plugin knew it: shorter, with what lies behind its end being somebody else's memory.
TEST_CASE("a member beyond a table's size is never called") {
  struct Older {
    static const void* find(const char* id) {
      static const weft_objective_1 table = [] {
        auto table = *static_cast<const weft_objective_1*>(size.find_interface(WEFT_OBJECTIVE_1));
        table.size = offsetof(weft_objective_1, before);
        table.before = [](auto...) -> weft_status { std::abort(); };
        table.after = [](auto...) -> weft_status { std::abort(); };
        return table;
      }();
      return std::string_view(id) == WEFT_OBJECTIVE_1 ? &table : nullptr;
    }
  };
  weft_component older = size;
  older.find_interface = &Older::find;
  const Instance instance(older, Json::object());
  const ObjectiveRef objective(instance.handle());
  CHECK(objective.direction() == Direction::minimize);
  CHECK_FALSE(objective.before("{}").has_value());
  CHECK_THROWS_AS(objective.after("{}"), Error);

  weft_objective_1 table{};
  table.size = sizeof(weft_objective_1);
  CHECK_FALSE(detail::has(&table, &weft_objective_1::before));  // null
  table.before = [](void*, weft_text, double*, std::int32_t*, const weft_writer*) -> weft_status { return WEFT_OK; };
  table.size = offsetof(weft_objective_1, before) + sizeof(table.before) - 1;
  CHECK_FALSE(detail::has(&table, &weft_objective_1::before));  // half covered
  ++table.size;
  CHECK(detail::has(&table, &weft_objective_1::before));
}

// Neither side may throw through the other's frames, so a callback keeps its exception until the call is over.
TEST_CASE("what a callback throws is kept back until the other side has returned") {
  bool returned = false;
  const auto call = [&](const weft_genotype_sink* sink) {
    const weft_genotype lent{nullptr, 0, detail::text("{not json")};
    sink->receive(sink->context, &lent);
    returned = true;
    return WEFT_OK;
  };
  CHECK_THROWS(detail::receive_genotype([&](auto sink, auto) { return call(sink); }));
  CHECK(returned);
  CHECK_THROWS_WITH(detail::receive_genotype([](auto, auto) { return WEFT_OK; }),
                    ContainsSubstring("without handing over"));
  CHECK_THROWS_WITH(detail::receive_genotype([](auto, auto) { return WEFT_FAILED; }),
                    ContainsSubstring("without saying why"));
}

TEST_CASE("genotypes, fidelities and trial states read what they write") {
  for (const Genotype& genotype : {Genotype(), Genotype({3, 0, 7}), opaque({{"nodes", {1, 2}}})}) {
    CHECK(Genotype::from_json(Json::parse(genotype.key())) == genotype);
  }
  CHECK(Genotype({1, 2}).key() != Genotype({12}).key());
  CHECK_THROWS_AS(Genotype::from_json(Json::parse("[4294967296]")), InvalidInput);
  Fidelity fidelity{
      .epochs = 3, .resume_from = 8, .data_fraction = 0.5, .resolution = 16, .width_scale = 2.0, .depth_scale = 0.5};
  CHECK(Fidelity::from_json(fidelity.to_json()) == fidelity);
  CHECK(fidelity.to_json().size() == 6);
  CHECK(Fidelity{}.to_json().empty());
  for (const std::string_view name : trial_state_names) CHECK(to_string(trial_state(name)) == name);
  CHECK_THROWS_WITH(trial_state("DONE"), ContainsSubstring("unknown trial state \"DONE\""));
}

TEST_CASE("an instance is told its folder, and by a host that knows of none how to get one") {
  static constexpr weft_component placed = component<Placed>("placed");
  const Instance instance(placed, Json::object(), {}, "/where/it/lies");
  CHECK(OptimizerRef(instance.handle()).ask(1).at(0).notes.at("folder") == "/where/it/lies");
  CHECK_THROWS_WITH(Instance(placed, Json::object()), ContainsSubstring("not opened from a manifest"));

  // As a host of ABI 1.0 lends it: the record ends with `collaborator`.
  weft_context context{};
  context.size = offsetof(weft_context, folder);
  context.folder = detail::text("beyond the record");
  void* made = nullptr;
  detail::StringWriter error;
  CHECK(placed.create(&context, &made, error) == WEFT_FAILED);
  CHECK_THAT(error.text(), ContainsSubstring("ABI 1.1"));
}
