// Runs the contract suite of a plugin's kind on the plugin of a manifest: what `weft plugin validate` calls last.
//
//   contract_stable MANIFEST [ARGS]        ARGS: JSON, filled up with the manifest's defaults
//
// Exit code 0: kept. 1: broken, standard output says where. 77: there is no suite for this kind in this program.

#if __has_include(<catch2/catch.hpp>)
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#else
#include <catch2/catch_all.hpp>
#endif

#include <filesystem>
#include <iostream>

#include "weft/testing/evaluator_contract.hpp"
#include "weft/testing/objective_contract.hpp"
#include "weft/testing/optimizer_contract.hpp"
#include "weft/testing/space_contract.hpp"
#ifdef WEFT_CONTRACT_TORCH
#include "weft/testing/dataset_contract.hpp"
#endif

using namespace weft;
using namespace weft::testing;

namespace {

constexpr int no_suite = 77;

Plugin plugin;
Json args = Json::object();

// A space is for images, or else for texts.
Json study_of_space() {
  const auto accepts = [](const Json& study) {
    try {
      const Instance instance(plugin, args, {.study = study});
      return true;
    } catch (const Error&) {
      return false;
    }
  };
  const Json images = Json::object();
  const Json texts = {{"task", {{"input", {5, 1}}, {"classes", 10}}}};
  return !accepts(images) && accepts(texts) ? texts : images;
}

}  // namespace

TEST_CASE("the plugin keeps the contract of its kind") {
  const std::string_view kind = plugin.component->kind;
  if (kind == "space") {
    check_space(plugin, args, study_of_space());
  } else if (kind == "optimizer") {
    check_optimizer(plugin, args, {.improves = false});  // which is a virtue, not a duty
  } else if (kind == "objective") {
    check_objective(plugin, args);
  } else if (kind == "evaluator") {
    const Instance space(small_space(), Json::object());
    check_evaluator(plugin, args, {.collaborators = {{"space", space.handle()}}});
#ifdef WEFT_CONTRACT_TORCH
  } else if (kind == "dataset") {
    check_dataset(plugin, args);
#endif
  }
}

int main(int argc, char** argv) {
  try {
    if (argc < 2) throw std::runtime_error("usage: contract MANIFEST [ARGS]");
    plugin = Plugin::open(std::filesystem::path(argv[1]));
    if (argc > 2) args = Json::parse(argv[2]);
  } catch (const std::exception& error) {
    std::cout << error.what() << "\n";
    return 1;
  }
  const std::string_view kind = plugin.component->kind;
  bool known = kind == "space" || kind == "optimizer" || kind == "objective" || kind == "evaluator";
#ifdef WEFT_CONTRACT_TORCH
  known = known || kind == "dataset";
#endif
  if (!known) return no_suite;
  return Catch::Session().run(1, argv) == 0 ? 0 : 1;
}
