// Runs the contract suite of a plugin's kind on the plugin of a manifest: what `weft plugin validate` calls last.
//
//   contract_stable MANIFEST SETTING FINDINGS
//
// SETTING is a file of JSON: {"args": {..}} of the plugin, filled up with the manifest's defaults; and where a pipeline
// says how it is used, "space" and "dataset" {"manifest", "args"}, "objectives" a list of such, "study" as in
// weft/context.hpp, and "trials" of the simulated studies; "plugins" {"kind/name": manifest} where others are that a
// recipe or a graph names. What is found goes to the file FINDINGS, a line each.
//
// Exit code 0: kept. 1: broken. 77: there is no suite for this kind in this program. 78: it is an operation or a
// module, and the pipeline's graphs do not have it.

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <optional>

#include "findings.hpp"
#include "weft/testing/evaluator_contract.hpp"
#include "weft/testing/objective_contract.hpp"
#include "weft/testing/oneshot_contract.hpp"
#include "weft/testing/operation_contract.hpp"
#include "weft/testing/optimizer_contract.hpp"
#include "weft/testing/predictor_contract.hpp"
#include "weft/testing/schedule_contract.hpp"
#include "weft/testing/space_contract.hpp"
#include "weft/testing/stopper_contract.hpp"
#ifdef WEFT_CONTRACT_TORCH
#include "weft/testing/augmentation_contract.hpp"
#include "weft/testing/dataset_contract.hpp"
#include "weft/testing/initialisation_contract.hpp"
#include "weft/testing/loss_contract.hpp"
#include "weft/testing/module_contract.hpp"
#include "weft/testing/update_rule_contract.hpp"
#endif

using namespace weft;
using namespace weft::testing;

namespace {

constexpr int no_suite = 77, not_used = 78;

// No graph of the pipeline has the operation.
struct NotUsed {};

// Another plugin of the pipeline.
struct Part {
  Plugin plugin;
  Json args;
};

Part part_of(const Json& json) {
  return {Plugin::open(std::filesystem::path(json.at("manifest").get<std::string>())), json.at("args")};
}

struct Setting {
  Json args;
  Part space;
  std::optional<Part> dataset;
  Json study = Json::object();
  std::optional<std::size_t> trials;
  bool of_pipeline = false;
};

// A data set says what the task is, an objective which way is up.
Setting read_setting(const Json& json) {
  Setting setting{json.at("args"), {small_space(), Json::object()}, {}, json.value("study", Json::object()), {}};
  const Json plugins = json.value("plugins", Json::object());
  for (const auto& [title, manifest] : plugins.items()) known_plugins()[title] = manifest.get<std::string>();
  know_operations_of_plugins();
  setting.of_pipeline = json.contains("space");
  if (setting.of_pipeline) setting.space = part_of(json.at("space"));
  if (json.contains("trials")) setting.trials = json.at("trials").get<std::size_t>();
  if (json.contains("dataset")) {
    setting.dataset = part_of(json.at("dataset"));
    const Instance instance(setting.dataset->plugin, setting.dataset->args, {.study = {{"phase", "search"}}});
    const auto* task = static_cast<const weft_task_1*>(instance.handle().component->find_interface(WEFT_TASK_1));
    if (task == nullptr) throw Error("the data set does not describe its task");
    weft::detail::StringWriter out;
    weft::detail::StringWriter error;
    weft::detail::check(task->describe(instance.handle().instance, out, error), error);
    setting.study["task"] = Json::parse(out.text());
  }
  for (const Json& listed : json.value("objectives", Json::array())) {
    const Part objective = part_of(listed);
    const Instance instance(objective.plugin, objective.args);
    const bool maximized = ObjectiveRef(instance.handle()).direction() == Direction::maximize;
    setting.study["objectives"].push_back(
        {{"name", objective.plugin.component->name}, {"direction", maximized ? "maximize" : "minimize"}});
    if (const auto range = ObjectiveRef(instance.handle()).range())
      setting.study["objectives"].back()["range"] = {range->first, range->second};
  }
  return setting;
}

// A space is for images, or else for texts.
Json study_of_space(const Plugin& plugin, const Setting& setting) {
  const auto accepts = [&](const Json& study) {
    try {
      const Instance instance(plugin, setting.args, {.study = study});
      return true;
    } catch (const Error&) {
      return false;
    }
  };
  Json texts = setting.study;
  texts["task"] = {{"input", {5, 1}}, {"classes", 10}};
  const bool is_known = setting.study.contains("task");
  return !is_known && !accepts(setting.study) && accepts(texts) ? texts : setting.study;
}

OptimizerCheck optimizer_check(const Setting& setting) {
  OptimizerCheck check{.space = setting.space.plugin, .space_args = setting.space.args, .study = setting.study};
  check.improves = false;  // which is a virtue, not a duty
  if (!setting.trials) return check;
  // A study never goes beyond its budget; in a short one the memory per trial cannot be told from the rest.
  check.trials = std::min(*setting.trials, std::size_t{1000});
  check.long_study = *setting.trials < 10000 ? 0 : std::min(*setting.trials, check.long_study);
  return check;
}

void check_evaluator_in(const Plugin& plugin, const Setting& setting) {
  Json study = setting.study;
  study["phase"] = "final";  // which has all metrics there are
  const Instance space(setting.space.plugin, setting.space.args, {.study = study});
  Surroundings surroundings{.study = study, .collaborators = {{"space", space.handle()}}};
  std::optional<Instance> dataset;
  if (setting.dataset) {
    dataset.emplace(setting.dataset->plugin, setting.dataset->args, Surroundings{.study = study});
    surroundings.collaborators["dataset"] = dataset->handle();
  }
  check_evaluator(plugin, setting.args, surroundings);
}

void check_oneshot_in(const Plugin& plugin, const Setting& setting) {
  if (!setting.dataset) throw Error("a one-shot strategy trains on data: give a pipeline that has a dataset");
  const Instance space(setting.space.plugin, setting.space.args, {.study = setting.study});
  const Instance dataset(setting.dataset->plugin, setting.dataset->args, {.study = setting.study});
  check_oneshot(plugin, setting.args,
                {.study = setting.study, .collaborators = {{"space", space.handle()}, {"dataset", dataset.handle()}}});
}

// How a graph of the setting's space has the operation.
struct UseInGraph {
  Json attributes;
  std::vector<Shape> shapes;  // of its inputs, which are equal
};

UseInGraph use_in_graph(const std::string& operation, const Setting& setting) {
  constexpr int samples = 100;
  const Instance instance(setting.space.plugin, setting.space.args, {.study = setting.study});
  const SpaceRef space(instance.handle());
  Rng rng(1);
  for (int i = 0; i < samples; ++i) {
    const Architecture architecture = space.decode(space.sample(rng)).architecture;
    for (const Node& node : architecture.nodes()) {
      if (node.operation != operation) continue;
      UseInGraph use{node.attributes, {}};
      for (const NodeId input : node.inputs) use.shapes.push_back(architecture.shape(input));
      if (std::adjacent_find(use.shapes.begin(), use.shapes.end(), std::not_equal_to<>()) == use.shapes.end())
        return use;
    }
  }
  if (setting.of_pipeline) throw NotUsed();
  throw Error("it takes a network to try the operation " + operation +
              " in: give a pipeline, --pipeline, with a space whose networks have it");
}

// False where there is no suite for its kind.
bool run_suite(const Plugin& plugin, const Setting& setting) {
  const std::string_view kind = plugin.component->kind;
  if (kind == "space") {
    check_space(plugin, setting.args, study_of_space(plugin, setting));
  } else if (kind == "optimizer") {
    check_optimizer(plugin, setting.args, optimizer_check(setting));
  } else if (kind == "objective") {
    check_objective(plugin, setting.args,
                    {.space = setting.space.plugin, .space_args = setting.space.args, .study = setting.study});
  } else if (kind == "predictor") {
    PredictorCheck check;
    check.worst = 100.0;  // how good it is, is its own affair
    check_predictor(plugin, setting.args, check);
  } else if (kind == "stopper") {
    check_stopper(plugin, setting.args, {.stops = false});
  } else if (kind == "schedule") {
    check_schedule(plugin, setting.args);
  } else if (kind == "operation") {
    const UseInGraph use = use_in_graph(plugin.component->name, setting);
    check_operation(plugin, use.attributes, use.shapes);
  } else if (kind == "evaluator") {
    check_evaluator_in(plugin, setting);
  } else if (kind == "oneshot") {
    check_oneshot_in(plugin, setting);
#ifdef WEFT_CONTRACT_TORCH
  } else if (kind == "dataset") {
    check_dataset(plugin, setting.args);
  } else if (kind == "update_rule") {
    check_update_rule(plugin, setting.args);
  } else if (kind == "augmentation") {
    check_augmentation(plugin, setting.args);
  } else if (kind == "initialisation") {
    check_initialisation(plugin, setting.args);
  } else if (kind == "loss") {
    check_loss(plugin, setting.args, {.study = setting.study}, /*may_be_silent=*/true);
  } else if (kind == "module") {
    const UseInGraph use = use_in_graph(plugin.component->name, setting);
    check_module(Plugin::open("operation", plugin.component->name), plugin, use.attributes, use.shapes);
#endif
  } else {
    return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: contract MANIFEST SETTING FINDINGS\n";
    return 1;
  }
  std::ofstream findings(argv[3]);
  try {
    std::ifstream stream(argv[2]);
    const Setting setting = read_setting(Json::parse(stream));
    return run_suite(Plugin::open(std::filesystem::path(argv[1])), setting) ? 0 : no_suite;
  } catch (const NotUsed&) {
    return not_used;
  } catch (const Finding& finding) {
    findings << finding.text << "\n";
  } catch (const std::exception& error) {
    findings << Circumstances::left() << "it failed: " << error.what() << "\n";
  } catch (...) {
    findings << Circumstances::left() << "an exception that is not a std::exception came across the boundary\n";
  }
  return 1;
}
