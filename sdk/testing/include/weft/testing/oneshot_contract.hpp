// The contract suite of one-shot strategies: what every plugin of kind `oneshot` must do, however it searches.
//
// Include Catch2 (version 2 or 3) first. A search is run several times: give it arguments that make this cheap, but
// three epochs at least.
#pragma once

#ifndef REQUIRE
#error "include Catch2 before weft/testing/oneshot_contract.hpp"
#endif

#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "weft/oneshot.hpp"
#include "weft/space.hpp"
#include "weft/testing/evaluator_contract.hpp"
#include "weft/testing/library.hpp"

namespace weft::testing {

namespace oneshot_contract {

using evaluator_contract::Folder;
using evaluator_contract::Listener;

// The time that an epoch took is its own.
inline std::vector<Json> without_times(std::vector<Json> reports) {
  for (Json& report : reports) report.erase("seconds");
  return reports;
}

inline OneShotResult search(const Plugin& plugin, const Json& args, const Surroundings& surroundings,
                            Listener& listener, const Folder* folder) {
  const Instance instance(plugin, args, surroundings);
  EvaluationRequest request{.trial = -1, .rng = Rng(73)};
  if (folder != nullptr) request.folder = folder->path();
  return OneShotRef(instance.handle()).search(request, listener.reporter());
}

inline void check_result(const SpaceRef& space, const OneShotResult& result) {
  REQUIRE(!result.derived.empty());
  for (const Derived& derived : result.derived) {
    INFO("derived " << derived.genotype.key() << " with " << derived.metrics.dump());
    space.decode(derived.genotype);
    if (space.has_supernet()) space.path(derived.genotype);
    for (const auto& [name, value] : derived.metrics.items()) REQUIRE(std::isfinite(value.get<double>()));
  }
  for (const auto& [name, value] : result.metrics.items()) {
    INFO("metric " << name << " must be a finite number: " << value.dump());
    REQUIRE(std::isfinite(value.get<double>()));
  }
}

}  // namespace oneshot_contract

// The whole suite. `surroundings` hold a space of which the strategy can train a network (most: one with a supernet),
// and whatever else it needs (a data set).
inline void check_oneshot(const Plugin& plugin, const Json& args, const Surroundings& surroundings) {
  using namespace oneshot_contract;
  INFO("one-shot strategy " << plugin.component->name << " with " << args.dump());
  REQUIRE(std::string_view(plugin.component->kind) == "oneshot");
  const SpaceRef space(surroundings.collaborators.at("space"));

  Listener whole;
  const OneShotResult result = search(plugin, args, surroundings, whole, nullptr);
  REQUIRE(result.state == TrialState::complete);
  check_result(space, result);
  int epoch = 0;
  for (const Json& report : whole.reports) {
    INFO("a report must have an integer epoch, one above the last: " << report.dump());
    REQUIRE(report.at("epoch") == ++epoch);
    REQUIRE(report.contains("epochs"));
  }
  REQUIRE(whole.reports.size() >= 3);

  {
    INFO("the same request must be answered the same, with a folder as without");
    const Folder folder;
    Listener again;
    const OneShotResult same = search(plugin, args, surroundings, again, &folder);
    REQUIRE(same.to_json() == result.to_json());
    REQUIRE(without_times(again.reports) == without_times(whole.reports));
    REQUIRE(std::filesystem::exists(folder.path() / "supernet.pt"));
  }
  {
    INFO("what is paused and gone on with, in another process's instance, must end as what was not");
    const Folder folder;
    Listener first{.at = 2, .answer = Verdict::pause};
    REQUIRE(search(plugin, args, surroundings, first, &folder).state == TrialState::paused);
    REQUIRE(first.reports.size() == 2);
    Listener rest;
    const OneShotResult same = search(plugin, args, surroundings, rest, &folder);
    REQUIRE(same.to_json() == result.to_json());
    REQUIRE(without_times({rest.reports.back()}) == without_times({whole.reports.back()}));
  }
  {
    INFO("what is told to stop must say so, and derive what it has");
    Listener stopping{.at = 1, .answer = Verdict::stop};
    const OneShotResult stopped = search(plugin, args, surroundings, stopping, nullptr);
    REQUIRE(stopped.state == TrialState::pruned);
    REQUIRE(stopping.reports.size() == 1);
    check_result(space, stopped);
  }
}

}  // namespace weft::testing
