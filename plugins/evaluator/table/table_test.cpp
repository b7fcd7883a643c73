#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <numeric>

#include "tests/catch.hpp"
#include "weft/testing/evaluator_contract.hpp"
#include "weft/testing/small_space.hpp"

using namespace weft;
using namespace weft::testing;
using evaluator_contract::Folder;

namespace {

// A table on disk, the small space, and the evaluator over both.
class Bench {
 public:
  explicit Bench(const std::string& contents, const std::string& name = "table.csv") : space_(small_space(), {}) {
    file_ = folder_.path() / name;
    std::ofstream(file_, std::ios::binary) << contents;
  }

  std::string file() const { return file_.string(); }
  const std::filesystem::path& folder() const { return folder_.path(); }
  Surroundings surroundings() const { return {.collaborators = {{"space", space_.handle()}}}; }

  Instance open(Json args = Json::object()) const {
    if (!args.contains("file")) args["file"] = file();
    if (!args.contains("metrics")) args["metrics"] = {{"validation_accuracy", "valid"}};
    return Instance(Plugin::open("evaluator", "table"), args, surroundings());
  }

  std::string refusal(const Json& args = Json::object()) const {
    try {
      open(args);
    } catch (const InvalidInput& error) {
      return error.what();
    }
    return "accepted";
  }

 private:
  Folder folder_;
  std::filesystem::path file_;
  Instance space_;
};

Json metrics_of(const Instance& instance, const std::vector<std::int32_t>& genotype, const Fidelity& fidelity = {}) {
  return EvaluatorRef(instance.handle())
      .evaluate({.genotype = Genotype(genotype), .fidelity = fidelity},
                weft_reporter{sizeof(weft_reporter), nullptr, nullptr})
      .metrics;
}

// Genotypes that are their own notation, for tables of other spaces.
class Verbatim final : public Space {
 public:
  explicit Verbatim(const Context&) {}
  Genotype sample(Rng&) const override { return parse(""); }
  Candidate decode(const Genotype&) const override { throw Error("a table must not decode"); }
  std::string notation(const Genotype& genotype) const override { return genotype.opaque; }
  Genotype parse(std::string_view notation) const override {
    Genotype genotype;
    genotype.opaque = notation;
    return genotype;
  }
};
constexpr weft_component verbatim = component<Verbatim>("verbatim");

// Every architecture of the small space, its accuracy the sum of its options.
std::string whole_space() {
  std::string text = "architecture,valid\n";
  for (int i = 0; i < 15625; ++i) {
    std::string notation;
    int sum = 0;
    for (int rest = i, edge = 0; edge < 6; ++edge, rest /= 5) {
      notation += (edge != 0 ? "," : "") + std::to_string(rest % 5);
      sum += rest % 5;
    }
    text += "\"" + notation + "\"," + std::to_string(sum) + "\n";
  }
  return text;
}

}  // namespace

TEST_CASE("table keeps the contract of evaluators") {
  const Bench bench(whole_space());
  check_evaluator(Plugin::open("evaluator", "table"),
                  {{"file", bench.file()}, {"metrics", {{"validation_accuracy", "valid"}}}}, bench.surroundings(),
                  {.genotypes = 20});
}

TEST_CASE("table: quoting, line ends and byte order mark as RFC 4180 has them") {
  const Bench bench(
      "\xEF\xBB\xBF\"a \"\"quoted\"\" column\",architecture,valid\r\n"
      "\"two\nlines, \"\"one\"\" field\",\"0,0,0,0,0,0\",1.5\r\n\r\n,\"1,0,0,0,0,0\",-2e3");
  const Instance table = bench.open();
  CHECK(metrics_of(table, {0, 0, 0, 0, 0, 0}) == Json{{"validation_accuracy", 1.5}});
  CHECK(metrics_of(table, {1, 0, 0, 0, 0, 0}) == Json{{"validation_accuracy", -2000.0}});
}

TEST_CASE("table: fidelities pick other columns by epochs") {
  const Bench bench("architecture,at12,at200,test\n\"0,0,0,0,0,0\",1,2,3\n");
  const Instance table = bench.open(
      {{"metrics", {{"validation_accuracy", "at12"}, {"test_accuracy", "test"}}},
       {"fidelities", {{"200", {{"validation_accuracy", "at200"}}}, {"12", {{"validation_accuracy", "at12"}}}}}});
  const std::vector<std::int32_t> zeros(6, 0);
  CHECK(metrics_of(table, zeros) == Json{{"validation_accuracy", 1.0}, {"test_accuracy", 3.0}});
  CHECK(metrics_of(table, zeros, {.epochs = 200}) == Json{{"validation_accuracy", 2.0}});
  CHECK_THROWS_WITH(metrics_of(table, zeros, {.epochs = 50}),
                    ContainsSubstring("no entry for 50 epochs; it has 12, 200"));
  CHECK_THROWS_WITH(metrics_of(table, zeros, {.resolution = 16}), ContainsSubstring("epochs alone"));
  CHECK_THROWS_WITH(metrics_of(table, {0, 0, 0, 0, 0, 1}),
                    ContainsSubstring("the architecture 0,0,0,0,0,1 is not in " + bench.file()));
}

TEST_CASE("table: reads JSON as well") {
  const Bench bench(R"([{"architecture": "0,0,0,0,0,0", "valid": 4}, {"architecture": "0,0,0,0,0,1", "valid": 5.5}])",
                    "table.json");
  CHECK(metrics_of(bench.open(), {0, 0, 0, 0, 0, 1}) == Json{{"validation_accuracy", 5.5}});
  CHECK_THAT(bench.refusal({{"key", "name"}}), ContainsSubstring("/0 has no column name; it has architecture, valid"));
  CHECK_THAT(Bench("{", "table.json").refusal(), ContainsSubstring("not valid JSON: parse error at line 1, column 2"));
  CHECK_THAT(Bench("{}", "table.json").refusal(), ContainsSubstring("not a JSON array"));
  CHECK_THAT(Bench("[3]", "table.json").refusal(), ContainsSubstring("/0 is not an object"));
  CHECK_THAT(Bench(R"([{"architecture": "a", "valid": "b"}])", "table.json").refusal(),
             ContainsSubstring("/0/valid is \"b\", not a number"));
  CHECK_THAT(Bench(R"([{"architecture": 1, "valid": 1}])", "table.json").refusal(),
             ContainsSubstring("/architecture is not a text"));
}

TEST_CASE("table: what is wrong with a file is said with its line") {
  const Bench bench("architecture,valid\nx,1\n\"y\nz\",2\nw,many\n");
  CHECK_THAT(bench.refusal(), ContainsSubstring("table.csv:5: column valid holds \"many\", not a number"));
  CHECK_THAT(bench.refusal({{"metrics", {{"validation_accuracy", "accuracy"}}}}),
             ContainsSubstring("has no column accuracy; it has architecture, valid"));
  CHECK_THAT(bench.refusal({{"key", "name"}}), ContainsSubstring("has no column name"));
  CHECK_THAT(bench.refusal({{"metrics", {{"loss", "valid"}}}}), ContainsSubstring("must name validation_accuracy"));
  CHECK_THAT(bench.refusal({{"fidelities", {{"twelve", {{"validation_accuracy", "valid"}}}}}}),
             ContainsSubstring("/fidelities/twelve must be a number of epochs"));
  const auto refusal = [](const char* rows) { return Bench(std::string("architecture,valid\n") + rows).refusal(); };
  CHECK_THAT(refusal("x,1\ny,1,2\n"), ContainsSubstring("table.csv:3 has 3 fields; the header has 2"));
  CHECK_THAT(refusal("x,1\ny\n"), ContainsSubstring("table.csv:3 has 1 fields"));
  CHECK_THAT(refusal("x,1\nx,2\n"), ContainsSubstring("table.csv:3: the architecture x occurs for the second time"));
  CHECK_THAT(refusal("x,\n"), ContainsSubstring("not a number"));
  CHECK_THAT(refusal("x,1.5s\n"), ContainsSubstring("not a number"));
  CHECK_THAT(refusal("x,nan\n"), ContainsSubstring("not a number"));
  CHECK_THAT(refusal("\"x,1\n"), ContainsSubstring("table.csv:2: a quoted field does not end"));
  CHECK_THAT(refusal("\"x\"y,1\n"), ContainsSubstring("text follows the closing quote"));
  CHECK_THAT(refusal(""), ContainsSubstring("has no rows"));
  CHECK_THAT(Bench("").refusal(), ContainsSubstring("is empty"));
  CHECK_THAT(Bench("architecture,valid,valid\nx,1,2\n").refusal(),
             ContainsSubstring("table.csv:1: there are two columns valid"));
}

TEST_CASE("table: a relative file is looked for below WEFT_DATA") {
  const Bench bench("architecture,valid\n\"0,0,0,0,0,0\",7\n", "only_there.csv");
  const char* before = std::getenv("WEFT_DATA");
  const std::string restored = before != nullptr ? before : "";
  unsetenv("WEFT_DATA");
  CHECK_THAT(
      bench.refusal({{"file", "only_there.csv"}}),
      ContainsSubstring("does not exist, seen from /") && ContainsSubstring("or WEFT_DATA to the folder of the data"));
  setenv("WEFT_DATA", bench.folder().c_str(), 1);
  CHECK(
      metrics_of(bench.open({{"file", "only_there.csv"}}), std::vector<std::int32_t>(6, 0)).at("validation_accuracy") ==
      7.0);
  CHECK_THAT(bench.refusal({{"file", "nowhere.csv"}}), ContainsSubstring(bench.folder().string()));
  CHECK_THAT(bench.refusal({{"file", bench.folder().string()}}), ContainsSubstring("is a folder, not a file"));
  before != nullptr ? setenv("WEFT_DATA", restored.c_str(), 1) : unsetenv("WEFT_DATA");
}

// The row with index 1 of NAS-Bench-201's CIFAR-10 table; no graph is decoded. Needs the file.
TEST_CASE("table: NAS-Bench-201") {
  const char* data = std::getenv("WEFT_DATA");
  if (data == nullptr || !std::filesystem::exists(std::filesystem::path(data) / "nas-bench-201/cifar10.csv")) return;
  const Instance space(verbatim, {});
  const Instance table(
      Plugin::open("evaluator", "table"),
      {{"file", "nas-bench-201/cifar10.csv"},
       {"metrics",
        {{"validation_accuracy", "valid_accuracy_12_epochs"}, {"test_accuracy", "test_accuracy_200_epochs"}}}},
      {.collaborators = {{"space", space.handle()}}});
  const Genotype genotype =
      SpaceRef(space.handle())
          .parse("|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|");
  const Evaluation evaluation =
      EvaluatorRef(table.handle())
          .evaluate({.genotype = genotype}, weft_reporter{sizeof(weft_reporter), nullptr, nullptr});
  CHECK(evaluation.metrics == Json{{"validation_accuracy", 82.834}, {"test_accuracy", 93.66}});
}

TEST_CASE("table: rows that are none of the space's are counted, and refused where that is all of them") {
  const Bench some("architecture,valid\n\"0,0,0,0,0,0\",1\n\"5,0,0,0,0,0\",2\n\"0, 0,0,0,0,1\",3\nnonsense,4\n");
  const Instance table = some.open();
  REQUIRE(table.log().size() == 2);
  CHECK_THAT(table.log().front(),
             ContainsSubstring("3 of 4 rows of " + some.file()) && ContainsSubstring("the first 5,0,0,0,0,0 ("));
  CHECK_THAT(table.log().back(), ContainsSubstring(some.file() + " has no row for 200 of 200 architectures"));
  CHECK_THAT(Bench("architecture,valid\nx,1\ny,2\n").refusal(),
             ContainsSubstring("2 of 2 rows of ") && ContainsSubstring("the first x (") &&
                 ContainsSubstring("Is it a table of this space, and /key its column?"));
  CHECK(Bench(whole_space()).open().log().empty());
}

// The search on a table is to run at 20,000 trials/s, all of its parts together.
TEST_CASE("table: genotypes drawn from the whole space find their rows") {
  const Bench bench(whole_space());
  const Instance table = bench.open();
  Rng rng(5);
  for (int i = 0; i < 1000; ++i) {
    std::vector<std::int32_t> genotype(6);
    for (std::int32_t& option : genotype) option = static_cast<std::int32_t>(rng.below(5));
    const double sum = std::accumulate(genotype.begin(), genotype.end(), 0.0);
    REQUIRE(metrics_of(table, genotype).at("validation_accuracy") == sum);
  }
}

TEST_CASE("table: a curve is reported on the way, and stopped or paused where that is the answer") {
  const Bench bench("architecture,at_1,at_3,at_9,loss_3\n\"0,0,0,0,0,0\",10,30,90,0.5\n");
  const Json args = {{"metrics", {{"validation_accuracy", "at_9"}}},
                     {"epochs", 9},
                     {"curve", {{"validation_accuracy", "at_{epoch}"}, {"validation_loss", "loss_{epoch}"}}}};
  const Instance table = bench.open(args);
  struct Listener {
    std::vector<Json> reports = {};
    std::map<int, Verdict> answers = {};
  };
  const auto evaluate = [&](Listener& listener, const Fidelity& fidelity) {
    const weft_reporter reporter{
        sizeof(weft_reporter), &listener, [](void* context, weft_text text) {
          auto& listener = *static_cast<Listener*>(context);
          listener.reports.push_back(weft::detail::parse_json(text));
          return static_cast<std::int32_t>(listener.answers[listener.reports.back().at("epoch").get<int>()]);
        }};
    return EvaluatorRef(table.handle())
        .evaluate({.genotype = Genotype(std::vector<std::int32_t>(6, 0)), .fidelity = fidelity}, reporter);
  };
  Listener whole;
  CHECK(evaluate(whole, {}).metrics == Json{{"validation_accuracy", 90.0}});
  REQUIRE(whole.reports.size() == 3);
  CHECK(whole.reports[1] == Json{{"epoch", 3}, {"epochs", 9}, {"validation_accuracy", 30.0}, {"validation_loss", 0.5}});
  Listener shorter;
  CHECK(evaluate(shorter, {.epochs = 3}).metrics == Json{{"validation_accuracy", 30.0}, {"validation_loss", 0.5}});
  CHECK(shorter.reports.size() == 2);
  for (const auto& [verdict, state] :
       {std::pair(Verdict::stop, TrialState::pruned), std::pair(Verdict::pause, TrialState::paused)}) {
    Listener strict{.answers = {{1, Verdict::go_on}, {3, verdict}}};
    const Evaluation evaluation = evaluate(strict, {});
    CHECK(evaluation.state == state);
    CHECK(evaluation.metrics.at("validation_accuracy") == 30.0);
  }
  Listener at_the_end{.answers = {{9, Verdict::stop}}};
  CHECK(evaluate(at_the_end, {}).state == TrialState::complete);
  CHECK_THAT(bench.refusal({{"metrics", args.at("metrics")}, {"curve", {{"validation_loss", "lost_{epoch}"}}}}),
             ContainsSubstring("/curve/validation_loss is \"lost_{epoch}\"") && ContainsSubstring("has no column"));
}
