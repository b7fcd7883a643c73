#include <ATen/ATen.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/dataset_contract.hpp"
#include "weft/testing/evaluator_contract.hpp"
#include "weft/torch/network.hpp"
#include "weft/torch/training.hpp"

namespace {

namespace fs = std::filesystem;
using weft::Json;
using weft::TrialState;

// One decision: 4, 8 or 16 channels; the last comes with a recipe of its own. With `learned`, a learned group
// convolution follows.
class Widths final : public weft::DecisionSpace {
 public:
  explicit Widths(const weft::Context& context)
      : task_(context.task()), learned_(context.configuration().value("learned", false)) {}
  std::optional<weft::Decision> next(std::span<const std::int32_t> taken) const override {
    if (!taken.empty()) return {};
    weft::Decision decision;
    decision.name = "channels";
    decision.options = {"4", "8", "16"};
    return decision;
  }
  weft::Candidate decode(const weft::Genotype& genotype) const override {
    weft::ArchitectureBuilder builder;
    walk(genotype);
    const int channels = 4 << genotype.decisions.at(0);
    weft::NodeId at = builder.input(task_.input);
    at = builder.add("conv2d", {{"channels", channels}, {"kernel", 3}, {"padding", 1}}, {at});
    at = builder.add("activation", {}, {builder.add("batch_norm", {}, {at})});
    if (learned_) at = builder.add("learned_group_conv", {{"channels", 8}}, {at}, "learned");
    at = builder.add("linear", {{"features", task_.classes}}, {builder.add("global_avg_pool", {}, {at})});
    return {std::move(builder).build(at), channels == 16 ? Json{{"epochs", 1}} : Json::object()};
  }

 private:
  weft::Task task_;
  bool learned_;
};

constexpr weft_component widths = weft::component<Widths>("widths");

// A study of `train` on synthetic data, with a folder for its trial.
struct Study {
  fs::path folder = fs::temp_directory_path() / ("weft_train_test_" + std::to_string(getpid()) + "_" +
                                                 std::to_string(reinterpret_cast<std::uintptr_t>(this)));
  Json study;
  weft::testing::Instance dataset, space, evaluator;
  std::vector<Json> reports;
  std::int32_t verdict = 0, verdict_epoch = 0;
  std::optional<fs::path> parent = {};
  Json transfer = {};

  explicit Study(const Json& args = Json::object(), const char* phase = "search", bool learned = false)
      : study{{"phase", phase}, {"task", {{"input", {1, 8, 8}}, {"classes", 4}}}},
        dataset(weft::testing::Plugin::open("dataset", "synthetic"),
                {{"channels", 1}, {"resolution", 8}, {"train", 240}, {"validation", 80}, {"test", 60}},
                {.study = study}),
        space(widths, {{"learned", learned}}, {.study = study}),
        evaluator(weft::testing::Plugin::open("evaluator", "train"), merged(args),
                  {.study = study, .collaborators = {{"dataset", dataset.handle()}, {"space", space.handle()}}}) {
    fs::create_directories(folder);
  }
  ~Study() { fs::remove_all(folder); }

  static Json merged(const Json& args) {
    Json full = {{"epochs", 3}, {"batch_size", 20}, {"crop_padding", 1}};
    full.merge_patch(args);
    return full;
  }

  weft::Evaluation evaluate(std::int32_t width, const weft::Fidelity& fidelity = {}, bool with_folder = true) {
    weft_reporter reporter{};
    reporter.size = sizeof(reporter);
    reporter.context = this;
    reporter.report = [](void* context, weft_text report) -> std::int32_t {
      auto& self = *static_cast<Study*>(context);
      self.reports.push_back(weft::detail::parse_json(report));
      return self.reports.back().at("epoch") == self.verdict_epoch ? self.verdict : 0;
    };
    weft::EvaluationRequest request;
    request.genotype = weft::Genotype(std::vector<std::int32_t>{width});
    request.fidelity = fidelity;
    if (with_folder) request.folder = folder;
    request.resume_folder = request.inherit_folder = parent;
    request.transfer = transfer;
    request.rng = weft::Rng(5);
    return weft::EvaluatorRef(evaluator.handle()).evaluate(request, reporter);
  }
};

}  // namespace

TEST_CASE("train: metrics, reports and files of a search trial") {
  Study study;
  const weft::Evaluation evaluation = study.evaluate(1);
  CHECK(evaluation.state == TrialState::complete);
  CHECK(evaluation.metrics.at("epochs") == 3);
  CHECK(evaluation.metrics.at("parameters") == 8 * 9 + 2 * 8 + 8 * 4 + 4);
  CHECK_FALSE(evaluation.metrics.contains("test_accuracy"));
  REQUIRE(study.reports.size() == 3);
  for (const char* name : {"validation_accuracy", "validation_loss", "train_accuracy", "train_loss"}) {
    CHECK(evaluation.metrics.at(name) == study.reports.back().at(name));
  }
  CHECK(fs::exists(weft::checkpoint_file(study.folder)));  // until the trial's end is on record
  std::ifstream table(study.folder / "metrics.csv");
  std::string line;
  std::getline(table, line);
  CHECK(line == "epoch,lr,seconds,train_accuracy,train_loss,validation_accuracy,validation_loss");
  int lines = 0;
  while (std::getline(table, line)) ++lines;
  CHECK(lines == 3);

  // The weights are those that were measured.
  const weft::SpaceRef space(study.space.handle());
  weft::Network network(space.decode(weft::Genotype(std::vector<std::int32_t>{1})).architecture, weft::Rng(99));
  weft::load_weights(network, study.folder / "weights.pt");
  const weft::Dataset& data = weft::testing::dataset_contract::dataset_of(study.dataset);
  const weft::Score score = weft::evaluate(network, {data.validation(), {data.mean(), data.standard_deviation()}});
  CHECK(score.accuracy == evaluation.metrics.at("validation_accuracy"));
  CHECK(score.loss == Approx(evaluation.metrics.at("validation_loss").get<double>()));

  CHECK(study.evaluate(1, {}, false).metrics == evaluation.metrics);
}

TEST_CASE("train: what a network makes of its training examples is measured on request") {
  Study plain, measured(Json{{"measure_training", true}});
  const Json without = plain.evaluate(1).metrics;
  Json with = measured.evaluate(1).metrics;
  CHECK_FALSE(without.contains("measured_train_accuracy"));
  // After the last step and without augmentation: not the mean of an epoch in which the weights change.
  CHECK(with.at("measured_train_loss") != with.at("train_loss"));
  CHECK(with.at("measured_train_loss").get<double>() == Approx(with.at("train_loss").get<double>()).epsilon(0.3));
  CHECK(with.at("measured_train_accuracy") > 25.0);  // of four classes
  for (const char* name : {"measured_train_loss", "measured_train_accuracy"}) with.erase(name);
  CHECK(with == without);
}

TEST_CASE("train: weights are inherited as the transfer says, or the trial fails by name") {
  const Json barely = {{"epochs", 1}, {"lr", 1e-6}, {"schedule", "constant"}};
  Study parent({{"epochs", 40}, {"lr", 0.2}}), child(barely), fresh(barely);
  const weft::Evaluation trained = parent.evaluate(1);
  fresh.evaluate(1);
  child.parent = parent.folder;
  child.transfer = {{"transfer", 1}, {"steps", Json::array()}};
  child.evaluate(1);
  const double last = parent.reports.back().at("train_loss"), first = fresh.reports.front().at("train_loss");
  REQUIRE(last < 0.8 * first);
  CHECK(child.reports.front().at("train_loss").get<double>() == Approx(last).margin(0.2 * (first - last)));

  const auto refused = [&](std::int32_t width, const Json& transfer, const fs::path& folder, const std::string& why) {
    Study study(barely);
    study.parent = folder;
    study.transfer = transfer;
    CHECK_THROWS_WITH(study.evaluate(width), ContainsSubstring(why));
  };
  refused(0, child.transfer, parent.folder, "another network than the child's; it makes ");
  refused(1, {{"kind", "copy"}}, parent.folder, "must have transfer");
  refused(1, child.transfer, "/nowhere", "/nowhere/weights.pt does not exist; put it back");
}

TEST_CASE("train: the accuracy is the best of the last epochs, as many as are asked for") {
  Study study({{"epochs", 8}, {"best_of_last", 4}, {"lr", 0.5}, {"schedule", "constant"}});
  double best = 0.0;
  const weft::Evaluation evaluation = study.evaluate(1);
  for (std::size_t i = 4; i < 8; ++i)
    best = std::max(best, study.reports.at(i).at("validation_accuracy").get<double>());
  CHECK(evaluation.metrics.at("validation_accuracy") == best);
}

TEST_CASE("train: what is measured and kept of learned groups is condensed") {
  Study study(Json::object(), "final", true);
  const weft::Evaluation evaluation = study.evaluate(1);
  CHECK(evaluation.metrics.at("parameters") == 8 * 9 + 2 * 8 + 8 * 8 / 4 + 8 * 4 + 4);
  const weft::SpaceRef space(study.space.handle());
  weft::Network network(space.decode(weft::Genotype(std::vector<std::int32_t>{1})).architecture, weft::Rng(99));
  network.condense();
  weft::load_weights(network, study.folder / "weights.pt");
  std::int64_t parameters = 0;
  for (const at::Tensor& parameter : network.parameters()) parameters += parameter.numel();
  CHECK(evaluation.metrics.at("parameters") == parameters);
  const weft::Dataset& data = weft::testing::dataset_contract::dataset_of(study.dataset);
  const weft::Score score = weft::evaluate(network, {data.test(), {data.mean(), data.standard_deviation()}});
  CHECK(score.accuracy == evaluation.metrics.at("test_accuracy"));

  // One that is stopped may be taken up again: its groups have not condensed.
  Study stopped(Json::object(), "search", true);
  stopped.verdict_epoch = 1;
  stopped.verdict = static_cast<std::int32_t>(weft::Verdict::stop);
  REQUIRE(stopped.evaluate(1).state == TrialState::pruned);
  weft::Network dense(space.decode(weft::Genotype(std::vector<std::int32_t>{1})).architecture, weft::Rng(99));
  CHECK_NOTHROW(weft::load_weights(dense, stopped.folder / "weights.pt"));
}

TEST_CASE("train: the final phase trains on all but the test split and measures on that") {
  Study study({{"epochs", 2}}, "final");
  const weft::Evaluation evaluation = study.evaluate(0);
  CHECK(evaluation.metrics.at("test_accuracy").is_number());
  CHECK(evaluation.metrics.at("test_loss").is_number());
  CHECK_FALSE(evaluation.metrics.contains("validation_accuracy"));
  Study apart({{"epochs", 2}, {"use_validation", false}}, "final");
  const Json metrics = apart.evaluate(0).metrics;
  CHECK(metrics.contains("validation_accuracy"));
  CHECK(metrics.contains("test_accuracy"));
}

TEST_CASE("train: a candidate's recipe and a request's fidelity come before the arguments") {
  Study study;
  CHECK(study.evaluate(2).metrics.at("epochs") == 1);
  CHECK(study.evaluate(2, {.epochs = 2}).metrics.at("epochs") == 2);
  CHECK_THROWS_WITH(study.evaluate(0, {.data_fraction = 0.1}, false),
                    ContainsSubstring("/batch_size is 20; must not exceed the number of training examples, 16"));
  CHECK_THROWS_WITH(study.evaluate(0, {.resolution = 4}), ContainsSubstring("fidelity /resolution is not known"));
}

TEST_CASE("train: paused and gone on with, a trial ends as if it had not been") {
  Study straight, paused;
  const Json expected = straight.evaluate(1, {}, false).metrics;
  paused.verdict_epoch = 1;
  paused.verdict = static_cast<std::int32_t>(weft::Verdict::pause);
  CHECK(paused.evaluate(1).state == TrialState::paused);
  CHECK(fs::exists(weft::checkpoint_file(paused.folder)));
  paused.verdict = 0;
  CHECK(paused.evaluate(1).metrics == expected);

  Study stopped;
  stopped.verdict_epoch = 2;
  stopped.verdict = static_cast<std::int32_t>(weft::Verdict::stop);
  const weft::Evaluation ended = stopped.evaluate(1);
  CHECK(ended.state == TrialState::pruned);
  CHECK(ended.metrics.at("epochs") == 2);
  CHECK(ended.metrics.at("validation_accuracy") == stopped.reports.back().at("validation_accuracy"));
}

// With such a learning rate the loss is soon not finite; with 0.1, that of the second attempt, it is.
const Json hopeless = {
    {"lr", 1e38}, {"schedule", "constant"}, {"restarts", 3}, {"restart_lr_factor", 1e-39}, {"restart_accuracy", 5}};

TEST_CASE("train: a network that does not learn begins anew with a smaller learning rate") {
  Study study(hopeless);
  const weft::Evaluation evaluation = study.evaluate(1);
  CHECK(evaluation.state == TrialState::complete);
  CHECK(evaluation.metrics.at("restarts") == 1);
  REQUIRE(study.reports.size() == 3);  // of the first attempt there is none
  for (int epoch = 1; epoch <= 3; ++epoch) {
    const Json& report = study.reports[static_cast<std::size_t>(epoch - 1)];
    CHECK(report.at("epoch") == epoch);
    CHECK(report.at("restarts") == 1);
    CHECK(report.at("lr").get<double>() == Approx(0.1));
  }
  CHECK(study.reports.back().at("train_loss") < study.reports.front().at("train_loss"));
  REQUIRE(study.evaluator.log().size() == 1);
  CHECK_THAT(study.evaluator.log()[0],
             ContainsSubstring("did not learn in its first epoch with lr 1e+38 (an accuracy of 5.0 % at most"));
}

TEST_CASE("train: without an accuracy of its own a network must be better than the most frequent class") {
  // Nothing changes: what is as good as chance stays so, and what is not finite, too.
  Study still(Json{{"lr", 0}, {"restarts", 4}}), exploding({{"lr", 1e38}, {"restarts", 1}, {"restart_lr_factor", 1}});
  const Json metrics = still.evaluate(1).metrics;
  const auto attempts = still.evaluator.log().size();
  CHECK(metrics.at("restarts") == attempts);
  const at::Tensor labels = weft::testing::dataset_contract::dataset_of(still.dataset).validation().labels;
  const double one_class = 100.0 * labels.bincount().max().item<double>() / static_cast<double>(labels.numel());
  CHECK(one_class > 25.0);  // of four classes that are not equally many
  CHECK((attempts == 4 || still.reports.front().at("validation_accuracy") > one_class));
  CHECK_THROWS_WITH(exploding.evaluate(1), ContainsSubstring("loss is not finite in epoch 1"));
  REQUIRE(exploding.evaluator.log().size() == 1);
  CHECK_THAT(exploding.evaluator.log()[0],
             ContainsSubstring("(an accuracy of " + Json(one_class).dump() + " % at most"));
  Study never(Json{{"lr", 1e38}});
  CHECK_THROWS_WITH(never.evaluate(1), ContainsSubstring("loss is not finite in epoch 1"));
  CHECK(never.evaluator.log().empty());
}

TEST_CASE("train: a network is given up if it is no better than asked, and kept if it is") {
  Study plain(Json{{"lr", 0}});
  plain.evaluate(1);
  const double first = plain.reports.front().at("validation_accuracy");  // of the first epoch: statistics move on
  Study no_better(Json{{"lr", 0}, {"restarts", 1}, {"restart_accuracy", first}});
  no_better.evaluate(1);
  CHECK(no_better.evaluator.log().size() == 1);
  Study better(Json{{"lr", 0}, {"restarts", 1}, {"restart_accuracy", first - 0.01}});
  better.evaluate(1);
  CHECK(better.evaluator.log().empty());
}

TEST_CASE("train: a trial goes on from another's checkpoint, once it is whole, and not from one that is none") {
  const Json constant = {{"lr", 0.05}, {"schedule", "constant"}, {"epochs", 2}};
  Study parent(constant), child(constant), alone(constant);
  parent.evaluate(1);
  const weft::Fidelity five{.epochs = 5, .resume_from = 0};
  child.parent = parent.folder;
  // What a host that was killed while it copied has left.
  std::ofstream(weft::checkpoint_file(child.folder)) << "PK";
  const Json metrics = child.evaluate(1, five).metrics;
  REQUIRE(child.reports.size() == 3);
  CHECK(child.reports.front().at("epoch") == 3);
  parent.reports.clear();
  CHECK(parent.evaluate(1, {.epochs = 5}).metrics == metrics);  // from its own checkpoint

  CHECK_THROWS_WITH(alone.evaluate(1, five), ContainsSubstring("trial 0 left no checkpoint to resume from"));
  alone.parent = parent.folder;
  std::ofstream(weft::checkpoint_file(parent.folder)) << "";
  CHECK_THROWS_WITH(alone.evaluate(1, five), ContainsSubstring("left no checkpoint to resume from, or a damaged one"));
  CHECK_THROWS_WITH(alone.evaluate(1, five, false), ContainsSubstring("takes a folder"));
  fs::create_directory(weft::checkpoint_file(alone.folder));  // it is there, and cannot be read
  CHECK_THROWS_WITH(alone.evaluate(1, five), ContainsSubstring("the checkpoint cannot be read"));
}

TEST_CASE("train: restarts come to an end, each with a smaller learning rate and weights of its own") {
  // Nobody is better than 100 %.
  Study study({{"lr", 0.1}, {"schedule", "constant"}, {"restarts", 2}, {"restart_accuracy", 100}});
  const Json metrics = study.evaluate(1).metrics;
  CHECK(metrics.at("restarts") == 2);
  CHECK(metrics.at("epochs") == 3);
  CHECK(study.reports.front().at("lr").get<double>() == Approx(0.1 * 0.4 * 0.4));  // Baker et al. 2017
  CHECK(study.evaluator.log().size() == 2);

  // The same learning rate, but the weights of the first attempt: another training.
  Study first({{"lr", 0.1 * 0.4 * 0.4}, {"schedule", "constant"}});
  CHECK(first.evaluate(1).metrics.at("train_loss") != metrics.at("train_loss"));
  CHECK_FALSE(first.reports.front().contains("restarts"));

  // Whoever is better than asked goes on as without the option.
  Study good({{"lr", 0.1 * 0.4 * 0.4}, {"schedule", "constant"}, {"restarts", 2}, {"restart_accuracy", 0}});
  CHECK(good.evaluate(1).metrics.at("train_loss") == first.evaluate(1).metrics.at("train_loss"));
}

TEST_CASE("train: paused after a restart and gone on with, a trial ends as if it had not been") {
  Study straight(hopeless), paused(hopeless);
  const Json expected = straight.evaluate(1, {}, false).metrics;
  paused.verdict_epoch = 2;
  paused.verdict = static_cast<std::int32_t>(weft::Verdict::pause);
  CHECK(paused.evaluate(1).state == TrialState::paused);
  paused.verdict = 0;
  CHECK(paused.evaluate(1).metrics == expected);
  CHECK(paused.reports.back().at("restarts") == 1);
  REQUIRE(paused.reports.size() == 4);
  CHECK(paused.reports[2] == paused.reports[1]);  // whose answer might have been lost
}

TEST_CASE("train keeps the contract of evaluators, with restarts as well") {
  const Study study(hopeless, "final");
  Json args = Study::merged(hopeless);
  args.update({{"use_validation", false}, {"epochs", 2}});
  weft::testing::check_evaluator(
      weft::testing::Plugin::open("evaluator", "train"), args,
      {.study = study.study, .collaborators = {{"dataset", study.dataset.handle()}, {"space", study.space.handle()}}});
}

TEST_CASE("train keeps the contract of evaluators") {
  // The final phase without the validation examples has all metrics there are.
  const Study study(Json::object(), "final");
  weft::testing::check_evaluator(
      weft::testing::Plugin::open("evaluator", "train"), Study::merged({{"use_validation", false}, {"epochs", 2}}),
      {.study = study.study, .collaborators = {{"dataset", study.dataset.handle()}, {"space", study.space.handle()}}});
}

TEST_CASE("train refuses a device and threads it cannot use") {
  setenv("WEFT_DEVICE", "abacus", 1);
  CHECK_THROWS_WITH(Study(), ContainsSubstring("WEFT_DEVICE is \"abacus\"; must be cpu, or cuda:<index>"));
  setenv("WEFT_DEVICE", "cuda:99", 1);
  CHECK_THROWS_WITH(Study(), ContainsSubstring("a slot is a card (WEFT_DEVICE is \"cuda:99\"), but ") &&
                                 (ContainsSubstring("use the slots cpu:<threads>") || ContainsSubstring("the driver")));
  unsetenv("WEFT_DEVICE");
  setenv("WEFT_THREADS", "two", 1);
  CHECK_THROWS_WITH(Study(), ContainsSubstring("WEFT_THREADS is \"two\"; must be a number of threads"));
  unsetenv("WEFT_THREADS");
}
