// The contract suite of objectives: what every plugin of kind `objective` must do.
//
// Include Catch2 (version 2 or 3) first. The metrics that the manifest requires ("metric.X") are all the suite needs to
// know.
#pragma once

#ifndef REQUIRE
#error "include Catch2 before weft/testing/objective_contract.hpp"
#endif

#include <cmath>
#include <set>
#include <string>
#include <string_view>

#include "weft/objective.hpp"
#include "weft/testing/library.hpp"
#include "weft/testing/small_space.hpp"

namespace weft::testing {

struct ObjectiveCheck {
  Plugin space = small_space();  // whose candidates it is asked about
  Json space_args = Json::object();
  Json study = Json::object();
};

inline void check_objective(const Plugin& plugin, const Json& args = Json::object(), const ObjectiveCheck& check = {}) {
  INFO("objective " << plugin.component->name << " with " << args.dump());
  REQUIRE(std::string_view(plugin.component->kind) == "objective");
  const Instance space_instance(check.space, check.space_args, {.study = check.study});
  const Surroundings surroundings{.study = check.study, .collaborators = {{"space", space_instance.handle()}}};
  const Instance instance(plugin, args, surroundings);
  const ObjectiveRef objective(instance.handle());
  const Instance twin(plugin, args, surroundings);
  REQUIRE(objective.direction() == ObjectiveRef(twin.handle()).direction());

  const SpaceRef space(space_instance.handle());
  const bool claimed = plugin.manifest.at("provides").get<std::set<std::string>>().contains("objective.before");
  Rng rng(61);
  for (int i = 0; i < 10; ++i) {
    const std::string candidate = space.decode_text(space.sample(rng));
    const std::optional<double> value = objective.before(candidate);
    INFO("manifest \"provides\" must say \"objective.before\" exactly if the candidate alone can tell the value");
    REQUIRE(claimed == value.has_value());
    REQUIRE((!value || std::isfinite(*value)));
    REQUIRE(objective.before(candidate) == value);
  }
  if (claimed) {
    INFO("what is no candidate must be refused");
    REQUIRE_THROWS_AS(objective.before("{}"), Error);
    REQUIRE_THROWS_AS(objective.before("[1"), Error);
    return;
  }
  Json metrics = {{"unrelated", 1.0}};
  for (const std::string requirement : plugin.manifest.at("requires")) {
    if (requirement.starts_with("metric.")) metrics[requirement.substr(7)] = 12.5;
  }
  REQUIRE(std::isfinite(objective.after(metrics.dump())));
  REQUIRE(objective.after(metrics.dump()) == objective.after(metrics.dump()));
  for (const std::string requirement : plugin.manifest.at("requires")) {
    if (!requirement.starts_with("metric.")) continue;
    INFO("without " << requirement << " the value must be refused");
    Json fewer = metrics;
    fewer.erase(requirement.substr(7));
    REQUIRE_THROWS_AS(objective.after(fewer.dump()), Error);
    fewer[requirement.substr(7)] = "a text";
    REQUIRE_THROWS_AS(objective.after(fewer.dump()), Error);
  }
}

}  // namespace weft::testing
