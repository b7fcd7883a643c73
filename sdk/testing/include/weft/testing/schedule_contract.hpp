// The contract suite of schedules: what every plugin of kind `schedule` must do, whatever its course is.
//
// Include Catch2 (version 2 or 3) first.
#pragma once

#ifndef REQUIRE
#error "include Catch2 before weft/testing/schedule_contract.hpp"
#endif

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "weft/schedule.hpp"
#include "weft/testing/library.hpp"

namespace weft::testing {

// An instance of the plugin; it lives as long as what is returned.
inline std::shared_ptr<const Schedule> schedule_of(const Plugin& plugin, const Json& args = Json::object()) {
  const auto instance = std::make_shared<Instance>(plugin, args);
  return std::make_shared<ScheduleRef>(std::shared_ptr<const weft_handle>(
      new weft_handle(instance->handle()), [instance](const weft_handle* handle) { delete handle; }));
}

namespace schedule_contract {

// From the end of warm-up on, and beyond the schedule's end: a training may be longer.
inline std::vector<Moment> moments() {
  std::vector<Moment> moments;
  for (const double epochs : {3.0, 10.0, 300.0}) {
    for (const double warmup : {0.0, 2.0}) {
      for (int i = 0; i <= 40; ++i)
        moments.push_back({.elapsed = warmup + (1.25 * epochs - warmup) * i / 40, .warmup = warmup, .epochs = epochs});
    }
  }
  moments.push_back({.elapsed = 1.0, .epochs = 1.0});
  moments.push_back({.elapsed = 1e5, .epochs = 2.0});
  return moments;
}

}  // namespace schedule_contract

// That a rate is finite and at least 0, and a momentum in [0, 1], ScheduleRef sees to.
inline void check_schedule(const Plugin& plugin, const Json& args = Json::object()) {
  INFO("schedule " << plugin.component->name << " with " << args.dump());
  REQUIRE(std::string_view(plugin.component->kind) == Schedule::kind);
  REQUIRE(plugin.component->find_interface("weft.no such interface/1") == nullptr);
  const auto schedule = schedule_of(plugin, args), twin = schedule_of(plugin, args);
  const std::vector<Moment> moments = schedule_contract::moments();
  for (const double lr : {0.0, 1e-5, 0.1, 20.0}) {
    std::vector<double> rates;
    std::vector<std::optional<double>> momenta;
    for (const Moment& moment : moments) {
      rates.push_back(schedule->rate(lr, moment));
      momenta.push_back(schedule->momentum(moment));
    }
    // Backwards, and by another one: a training that is resumed asks from its middle on.
    for (std::size_t i = moments.size(); i-- > 0;) {
      INFO("the same moment, the same answer: after " << moments[i].elapsed << " of " << moments[i].epochs
                                                      << " epochs");
      REQUIRE(schedule->rate(lr, moments[i]) == rates[i]);
      REQUIRE(twin->rate(lr, moments[i]) == rates[i]);
      REQUIRE((twin->momentum(moments[i]) == momenta[i]));
    }
  }
}

}  // namespace weft::testing
