// A recipe made of plugins: what its members mean, and what is said of one that is wrong.

#include "weft/torch/recipe.hpp"

#include <ATen/ATen.h>

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/catch.hpp"
#include "tests/torch/one_shot.hpp"
#include "weft/testing/library.hpp"
#include "weft/torch/training_trial.hpp"
#include "weft/torch/updates.hpp"

namespace {

using weft::Json;
using weft::Recipe;
using weft::testing::Plugin;

Json defaults() {
  Json json = Json::object();
  const Json properties = Plugin::open("evaluator", "train").manifest.at("parameters").at("properties");
  for (const auto& [name, schema] : properties.items()) {
    static const std::set<std::string> own = {"use_validation",   "data_fraction", "best_of_last",
                                              "measure_training", "restarts",      "restart_lr_factor",
                                              "restart_accuracy"};
    if (!own.contains(name)) json[name] = schema.at("default");
  }
  return json;
}

Recipe recipe(const Json& changes) {
  return Recipe::from_json(weft::merged_recipe(defaults(), changes), weft::testing::ingredients());
}

}  // namespace

TEST_CASE("recipe: a plugin's name alone takes from the recipe what the plugin knows of its members") {
  CHECK(recipe({{"momentum", 0.5}}).update_rule->momentum() == 0.5);
  CHECK(recipe({{"momentum", 0.5}, {"update_rule", {{"name", "sgd"}}}}).update_rule->momentum() == 0.9);
  CHECK(recipe({{"update_rule", {{"name", "sgd"}, {"args", {{"momentum", 0.25}}}}}}).update_rule->momentum() == 0.25);
  const Recipe steps = recipe({{"schedule", "step"}, {"lr", 1}, {"milestones", {2, 4}}, {"gamma", {0.5, 0.1}}});
  CHECK(steps.learning_rate(1.9) == 1.0);
  CHECK(steps.learning_rate(2) == 0.5);
  CHECK(steps.learning_rate(4) == Approx(0.05));
}

// What an ingredient calls as the recipe does, it takes from the recipe: it must be of the same type.
TEST_CASE("recipe: every ingredient that needs no argument may be named alone") {
  const Json members = Plugin::open("evaluator", "train").manifest.at("parameters").at("properties");
  int named = 0;
  for (const std::string kind : {"update_rule", "schedule", "initialisation", "loss", "augmentation"}) {
    for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(WEFT_TEST_PLUGINS) / kind)) {
      const std::string name = entry.path().filename().string();
      const Json parameters = Plugin::open(kind, name).manifest.at("parameters");
      if (parameters.contains("required")) continue;
      INFO(kind << " " << name);
      const bool several = kind == "loss" || kind == "augmentation";
      const Json beside = kind == "loss" ? Json::array({"cross_entropy", name}) : Json::array({name});
      CHECK_NOTHROW(recipe({{kind, several ? beside : Json(name)}}));
      for (const auto& [argument, schema] : parameters.at("properties").items()) {
        INFO(argument);
        if (members.contains(argument)) CHECK(schema.at("type") == members.at(argument).at("type"));
      }
      ++named;
    }
  }
  CHECK(named >= 27);
}

TEST_CASE("recipe: what is wrong in an ingredient is told with its place") {
  const auto refused = [](const Json& changes, const std::string& text) {
    INFO(changes);
    CHECK_THROWS_WITH(recipe(changes), Catch::Contains(text));
  };
  refused({{"schedule", "step"}, {"milestones", {2, 4}}, {"gamma", {0.5}}}, "/gamma is [0.5]");
  refused({{"schedule", {{"name", "step"}, {"args", {{"milestones", {2}}, {"gamma", {1, 2}}}}}}}, "/gamma is [1,2]");
  refused({{"loss", Json::array()}}, "/loss is []");
  refused({{"loss", Json::array({"group_lasso"})}},
          "/loss is [\"group_lasso\"]; one of them must learn from the examples");
  refused({{"lr", "fast"}}, "/lr is \"fast\"");
  refused({{"speed", 1}}, "/speed is not a member");
}

TEST_CASE("recipe: a candidate's ingredient takes the place of another, and changes one of the same name") {
  const Json base = {{"update_rule", {{"name", "adam"}, {"args", {{"eps", 1e-3}, {"betas", {0.5, 0.9}}}}}},
                     {"lr", 0.1}};
  const Json other = {{"update_rule", {{"name", "sgd"}, {"args", {{"momentum", 0.5}}}}}};
  CHECK(weft::merged_recipe(base, other) == Json{{"update_rule", other.at("update_rule")}, {"lr", 0.1}});
  const Json same = {{"update_rule", {{"name", "adam"}, {"args", {{"eps", 1e-4}}}}}};
  CHECK(weft::merged_recipe(base, same).at("update_rule").at("args") == Json{{"eps", 1e-4}, {"betas", {0.5, 0.9}}});
  CHECK(weft::merged_recipe({{"update_rule", "adam"}}, other) == other);
  CHECK(weft::merged_recipe(base, {{"update_rule", "sgd"}}).at("update_rule") == "sgd");
}

TEST_CASE("recipe: a candidate's augmentations come after those that there are") {
  const Json own = {{"augmentation", Json::array({"mixup"})}}, added = {{"augmentation", Json::array({"cutout"})}};
  CHECK(weft::merged_recipe(own, added).at("augmentation") == Json::array({"mixup", "cutout"}));
  CHECK(weft::merged_recipe(Json::object(), added) == added);
  CHECK(weft::merged_recipe(own, {{"lr", 1}}).at("augmentation") == own.at("augmentation"));
}

TEST_CASE("recipe: warm-up's first step moves something, unless it is to begin at zero") {
  const Json changes = {{"warmup_epochs", 4}, {"schedule", "constant"}, {"lr", 0.8}};
  const Recipe begins = recipe(changes);
  CHECK(begins.learning_rate(0, 0.1) == Approx(0.8 * 0.1 / 4));
  CHECK(begins.learning_rate(3.9, 0.1) == Approx(0.8));
  CHECK(begins.learning_rate(4, 0.1) == 0.8);
  Json from_zero = changes;
  from_zero["warmup_from_zero"] = true;
  CHECK(recipe(from_zero).learning_rate(0, 0.1) == 0.0);
  CHECK(recipe(from_zero).learning_rate(2, 0.1) == Approx(0.4));
}

TEST_CASE("recipe: a schedule's momentum begins where warm-up ends, and warm-up may be all there is") {
  const Recipe cycle = recipe({{"schedule", "one_cycle"}, {"epochs", 12}, {"warmup_epochs", 2}});
  CHECK_FALSE(cycle.momentum(1.9));
  CHECK(*cycle.momentum(2) == Approx(0.95));
  CHECK(*cycle.momentum(5) == Approx(0.85));  // 3 of 10 epochs
  CHECK_FALSE(recipe(Json::object()).momentum(5));
  const Recipe filled = recipe({{"epochs", 5}, {"schedule_epochs", 2}, {"warmup_epochs", 3}, {"lr", 0.1}});
  CHECK(filled.learning_rate(2.9, 0.1) == Approx(0.1));
  for (const double elapsed : {3.0, 4.9}) CHECK(filled.learning_rate(elapsed) == Approx(0.1));
}

TEST_CASE("recipe: drop_path rises, ends at its probability, or stays") {
  const auto at = [](const char* schedule) {
    const Recipe made = recipe({{"drop_path", 0.4}, {"drop_path_schedule", schedule}, {"epochs", 5}});
    return std::vector<double>{made.drop_path_at(1), made.drop_path_at(3), made.drop_path_at(5)};
  };
  CHECK(at("linear")[0] == 0.0);
  CHECK(at("linear")[2] == Approx(0.32));
  CHECK(at("linear_to_end")[0] == 0.0);
  CHECK(at("linear_to_end")[1] == Approx(0.2));
  CHECK(at("linear_to_end")[2] == Approx(0.4));
  CHECK(at("constant") == std::vector<double>{0.4, 0.4, 0.4});
  // Of a training that may go on, its last epoch is that of the longest one.
  const Recipe rung =
      recipe({{"drop_path", 0.4}, {"drop_path_schedule", "linear_to_end"}, {"epochs", 3}, {"schedule_epochs", 5}});
  CHECK(rung.drop_path_at(3) == Approx(0.2));
  CHECK(rung.drop_path_at(5) == Approx(0.4));
  CHECK(rung.drop_path_at(7) == Approx(0.4));
}

TEST_CASE("recipe: weight decay may leave out biases and what normalises") {
  const auto after = [](bool weights_only) {
    at::Tensor weight = at::ones({2, 2}), bias = at::ones({2});
    Recipe made = recipe({{"weight_decay", 0.5}, {"decay_weights_only", weights_only}, {"momentum", 0}, {"lr", 1}});
    weft::Updates updates({weight, bias}, made);
    updates.zero_grad();
    updates.step(0.1);
    return std::pair(weight[0][0].item<double>(), bias[0].item<double>());
  };
  const auto all = after(false), weights = after(true);
  CHECK(all.first == Approx(0.95));
  CHECK(all.second == Approx(0.95));
  CHECK(weights.first == Approx(0.95));
  CHECK(weights.second == 1.0);
}

TEST_CASE("recipe: where only a part takes part in a step, decay knows biases by their place among all") {
  at::Tensor idle = at::ones({2, 2}), bias = at::ones({2}), weight = at::ones({2, 1});
  const Recipe made = recipe({{"update_rule", "adamw"}, {"weight_decay", 0.5}, {"decay_weights_only", true}});
  weft::Updates updates({idle, bias, weight}, made, weft::Updates::Parts::some);
  updates.zero_grad();
  updates.step(0.1, {false, true, true});
  CHECK(at::equal(idle, at::ones({2, 2})));
  CHECK(at::equal(bias, at::ones({2})));
  CHECK(weight.allclose(at::full({2, 1}, 0.95f)));
}

TEST_CASE("recipe: a trial's training begins with the weights that its initialisation draws") {
  weft::ArchitectureBuilder graph;
  const weft::NodeId input = graph.input(weft::Shape::features(6));
  const weft::Architecture architecture = std::move(graph).build(graph.add("linear", {{"features", 4}}, {input}));
  std::map<std::string, at::Tensor> begun;
  const weft::TrainingTrial trial{
      .recipe = recipe({{"initialisation", "he"}}),
      .device = c10::kCPU,
      .train = [&](weft::Network& network, const Recipe&, weft::Rng, const weft::TrainingOptions&) {
        begun = network.state();
        return weft::TrainingResult{weft::TrialState::complete, {{1, {1.0, 50.0}, {}, 0.1, 0.0}}};
      }};
  const weft::EvaluationRequest request{.trial = 1, .rng = weft::Rng(5)};
  weft::evaluate(request, weft::Reporter(nullptr), {architecture, Json::object()}, trial);

  const weft::Rng stream = weft::Rng(5).derive("weights");
  weft::Network expected(architecture, stream);
  const std::string name = architecture.node(architecture.output()).name + ".weight";
  CHECK_FALSE(at::equal(begun.at(name), expected.state().at(name)));
  weft::initialise(expected, *trial.recipe.initialisation, stream);
  CHECK(at::equal(begun.at(name), expected.state().at(name)));
}

TEST_CASE("recipe: a one-shot search begins with the initialisation, where weights are no network's own") {
  using namespace weft::testing;
  const SmallStudy study;
  const evaluator_contract::Folder folder;
  evaluator_contract::Listener listener;
  const Json at_rest = {{"initialisation", "orthogonal"}, {"epochs", 1},    {"lr", 0},  {"lr_min", 0}, {"samples", 1},
                        {"selection_examples", 20},       {"finalists", 1}, {"keep", 1}};
  const Instance instance(Plugin::open("oneshot", "random_weight_sharing"), short_search(at_rest),
                          study.surroundings());
  weft::EvaluationRequest request{.trial = -1, .rng = weft::Rng(73)};
  request.folder = folder.path();
  weft::OneShotRef(instance.handle()).search(request, listener.reporter());
  int matrices = 0;
  for (const auto& [name, weight] : weft::read_weights(folder.path() / "supernet.pt")) {
    if (weight.dim() < 2) continue;
    INFO(name);
    const at::Tensor matrix = weight.flatten(1);
    const at::Tensor gram = matrix.size(0) <= matrix.size(1) ? matrix.mm(matrix.t()) : matrix.t().mm(matrix);
    CHECK(at::allclose(gram, at::eye(gram.size(0)), 1e-5, 1e-5));
    ++matrices;
  }
  CHECK(matrices > 10);

  for (const char* name : {"smash", "graph_hypernetwork"})
    CHECK_FALSE(Plugin::open("oneshot", name).configuration(Json::object()).contains("initialisation"));
  Json without = defaults();
  without.erase("initialisation");
  CHECK(Recipe::from_json(without, ingredients()).initialisation == nullptr);
}
