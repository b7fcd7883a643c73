#include <ATen/ATen.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/dataset_contract.hpp"
#include "weft/testing/evaluator_contract.hpp"
#include "weft/torch/training.hpp"

namespace {

namespace fs = std::filesystem;
using weft::Json;
using weft::NodeId;
using weft::TrialState;
using weft::testing::Instance;
using weft::testing::Plugin;

// One decision: whether the cell has a memory, h_t = tanh(W x_t + U h_{t-1}), or has none, h_t = tanh(W x_t).
class Memories final : public weft::DecisionSpace {
 public:
  explicit Memories(const weft::Context& context) : task_(context.task()) {}
  std::optional<weft::Decision> next(std::span<const std::int32_t> taken) const override {
    if (!taken.empty()) return {};
    weft::Decision decision;
    decision.name = "memory";
    decision.options = {"none", "some"};
    return decision;
  }
  weft::Candidate decode(const weft::Genotype& genotype) const override {
    walk(genotype);
    constexpr int features = 16;
    weft::ArchitectureBuilder cell;
    NodeId sum = cell.add("linear", {{"features", features}}, {cell.add("input", {{"shape", {features}}}, {}, "x")});
    if (genotype.decisions.at(0) == 1) {
      const NodeId h = cell.add("input", {{"shape", {features}}}, {}, "h");
      sum = cell.add("add", {}, {sum, cell.add("linear", {{"features", features}}, {h})});
    }
    const NodeId output = cell.add("activation", {{"function", "tanh"}}, {sum});
    const Json json = std::move(cell).build(output).to_json();
    weft::ArchitectureBuilder graph;
    NodeId at =
        graph.add("embedding", {{"vocabulary", task_.classes}, {"features", features}}, {graph.input(task_.input)});
    at = graph.add("recurrent", {{"cell", json}}, {at});
    at = graph.add("linear", {{"features", task_.classes}}, {at});
    return {std::move(graph).build(at)};
  }

 private:
  weft::Task task_;
};

constexpr weft_component memories = weft::component<Memories>("memories");

// A study of `language_model` on "aabaab..": what comes next depends on the last two characters.
struct Study {
  fs::path folder = fs::temp_directory_path() / ("weft_language_model_test_" + std::to_string(getpid()) + "_" +
                                                 std::to_string(reinterpret_cast<std::uintptr_t>(this)));
  Json study;
  Instance dataset, space, evaluator;
  std::vector<Json> reports;
  std::int32_t verdict = 0, verdict_epoch = 0;

  explicit Study(const Json& args = Json::object(), const char* phase = "search", int repetitions = 500)
      : study{{"phase", phase}, {"task", {{"input", {10, 1}}, {"classes", 3}}}},
        dataset(Plugin::open("dataset", "text"),
                {{"train_file", text_file(repetitions)}, {"level", "character"}, {"positions", 10}, {"held_out", 0.2}},
                {.study = study}),
        space(memories, Json::object(), {.study = study}),
        evaluator(Plugin::open("evaluator", "language_model"), merged(args),
                  {.study = study, .collaborators = {{"dataset", dataset.handle()}, {"space", space.handle()}}}) {
    fs::create_directories(folder / "trial");
  }
  ~Study() { fs::remove_all(folder); }

  std::string text_file(int repetitions) const {
    fs::create_directories(folder);
    std::ofstream file(folder / "text");
    for (int i = 0; i < repetitions; ++i) file << "aab";
    return (folder / "text").string();
  }

  static Json merged(const Json& args) {
    Json full = {{"epochs", 20}, {"batch_size", 4}, {"lr", 0.02}};
    full.merge_patch(args);
    return full;
  }

  weft::Evaluation evaluate(std::int32_t memory, bool with_folder = true) {
    weft_reporter reporter{};
    reporter.size = sizeof(reporter);
    reporter.context = this;
    reporter.report = [](void* context, weft_text report) -> std::int32_t {
      auto& self = *static_cast<Study*>(context);
      self.reports.push_back(weft::detail::parse_json(report));
      return self.reports.back().at("epoch") == self.verdict_epoch ? self.verdict : 0;
    };
    weft::EvaluationRequest request;
    request.genotype = weft::Genotype(std::vector<std::int32_t>{memory});
    if (with_folder) request.folder = folder / "trial";
    request.rng = weft::Rng(5);
    return weft::EvaluatorRef(evaluator.handle()).evaluate(request, reporter);
  }
};

double perplexity(const weft::Evaluation& evaluation) { return evaluation.metrics.at("validation_perplexity"); }

}  // namespace

// After b comes a; after a comes a or b, as often, unless the character before is remembered. Without a memory the best
// is to be right after b and to guess after a: a mean of 2/3 ln 2.
TEST_CASE("language_model: a cell with a memory predicts what one without cannot") {
  Study study;
  CHECK(perplexity(study.evaluate(1)) < 1.05);
  CHECK(perplexity(study.evaluate(0, false)) == Approx(std::exp(2.0 / 3.0 * std::log(2.0))).epsilon(0.02));
  for (const Json& report : study.reports) {
    for (const std::string split : {"train", "validation"}) {
      CHECK(report.at(split + "_perplexity").get<double>() ==
            Approx(std::exp(report.at(split + "_loss").get<double>())));
    }
  }
  std::ifstream table(study.folder / "trial" / "metrics.csv");
  std::string columns;
  std::getline(table, columns);
  CHECK_THAT(columns, ContainsSubstring("validation_perplexity"));
  CHECK(fs::exists(study.folder / "trial" / "weights.pt"));
}

TEST_CASE("language_model reads held-out text as one stream, and in studies begun before that as these did") {
  const Plugin plugin = Plugin::open("evaluator", "language_model");
  const Json& evaluation = plugin.manifest.at("parameters").at("properties").at("evaluation");
  CHECK(evaluation.at("default") == "stream");
  CHECK(evaluation.at("before") == "batched");
  // So long a text that it is cut into 5 streams of 16 sequences, in each of which the first token is a guess.
  Study stream({{"epochs", 3}}, "search", 1500), batched({{"epochs", 3}, {"evaluation", "batched"}}, "search", 1500);
  const weft::Evaluation one = stream.evaluate(1), many = batched.evaluate(1);
  CHECK(one.metrics.at("train_loss") == many.metrics.at("train_loss"));
  CHECK(perplexity(one) < perplexity(many));
}

TEST_CASE("language_model: a sum over positions is descended, a mean reported") {
  // 881 of the 900 tokens: four streams of 22 whole sequences, as a shorter one weighs less in a sum.
  const Json args = {
      {"epochs", 2}, {"update_rule", "sgd"}, {"momentum", 0}, {"nesterov", false}, {"data_fraction", 0.979}};
  Json sum = args, mean = args;
  sum.update({{"position_losses", "sum"}, {"lr", 0.05}, {"gradient_clip", 2}});
  mean.update({{"lr", 0.5}, {"gradient_clip", 0.2}});  // 10 positions
  Study summed(sum), averaged(mean);
  CHECK(perplexity(summed.evaluate(1)) == Approx(perplexity(averaged.evaluate(1))).epsilon(1e-3));
}

TEST_CASE("language_model: the final phase measures on the test text, once") {
  Study study({{"epochs", 2}}, "final");
  const weft::Evaluation evaluation = study.evaluate(1);
  CHECK(evaluation.metrics.at("test_perplexity").get<double>() ==
        Approx(std::exp(evaluation.metrics.at("test_loss").get<double>())));
  CHECK_FALSE(evaluation.metrics.contains("validation_perplexity"));
  CHECK_FALSE(study.reports.front().contains("test_perplexity"));
}

TEST_CASE("language_model: paused and gone on with, a trial ends as if it had not been") {
  Study straight({{"epochs", 3}}, "search"), paused({{"epochs", 3}}, "search");
  const Json expected = straight.evaluate(1, false).metrics;
  paused.verdict_epoch = 1;
  paused.verdict = static_cast<std::int32_t>(weft::Verdict::pause);
  CHECK(paused.evaluate(1).state == TrialState::paused);
  paused.verdict = 0;
  CHECK(paused.evaluate(1).metrics == expected);

  Study stopped({{"epochs", 3}}, "search");
  stopped.verdict_epoch = 2;
  stopped.verdict = static_cast<std::int32_t>(weft::Verdict::stop);
  const weft::Evaluation ended = stopped.evaluate(1, false);
  CHECK(ended.state == TrialState::pruned);
  CHECK(ended.metrics.at("epochs") == 2);
  CHECK(ended.metrics.at("validation_perplexity") == stopped.reports.back().at("validation_perplexity"));
}

TEST_CASE("language_model keeps the contract of evaluators") {
  const Study study(Json::object(), "final");
  weft::testing::check_evaluator(
      Plugin::open("evaluator", "language_model"), Study::merged({{"use_validation", false}, {"epochs", 2}}),
      {.study = study.study, .collaborators = {{"dataset", study.dataset.handle()}, {"space", study.space.handle()}}});
}

TEST_CASE("language_model refuses, before anything trains, what cannot be trained on") {
  CHECK_THROWS_WITH(Study({{"batch_size", 100}}, "search"),
                    ContainsSubstring("/batch_size is 100; so many sequences of 10 positions side by side need a "
                                      "training text of 1001 tokens, but there are 900"));
  CHECK_THROWS_WITH(Study({{"data_fraction", 0.01}}, "search"),
                    ContainsSubstring("training text of 41 tokens, but there are 9"));
  const Instance images(Plugin::open("dataset", "synthetic"), {{"resolution", 8}});
  const Instance space(memories, Json::object());
  CHECK_THROWS_WITH(Instance(Plugin::open("evaluator", "language_model"), Json::object(),
                             {.collaborators = {{"dataset", images.handle()}, {"space", space.handle()}}}),
                    ContainsSubstring("synthetic is not a data set of text"));
}
