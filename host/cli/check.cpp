#include "host/cli/check.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>

#include "host/cli/commands.hpp"
#include "host/cli/output.hpp"
#include "weft/error.hpp"

namespace weft::host {
namespace {

void try_to_build(Assembly& final, const Genotype& genotype, Shortfall& unbuilt) {
  try {
    final.scaled(genotype).space().decode_text(genotype);
  } catch (const Error& error) {
    unbuilt.add(genotype, error.what());
  }
}

void try_to_evaluate(EvaluatorRef evaluator, const Genotype& genotype, Shortfall& unevaluated) {
  try {
    evaluator.evaluate({.genotype = genotype}, weft_reporter{sizeof(weft_reporter), nullptr, nullptr});
  } catch (const Error& error) {
    unevaluated.add(genotype, error.what());
  }
}

// The objectives that a candidate alone tells.
class Limits {
 public:
  Limits(const Pipeline& pipeline, Assembly& search)
      : uses_(pipeline.objectives),
        objectives_(search.objectives()),
        lowest_(uses_.size(), INFINITY),
        highest_(uses_.size(), -INFINITY) {}

  bool keep(const std::string& candidate) {
    bool fits = true;
    for (std::size_t at = 0; at < uses_.size(); ++at) {
      if (!uses_[at].manifest->provides("objective.before")) continue;
      const std::optional<double> value = objectives_[at].before(candidate);
      if (!value) continue;
      lowest_[at] = std::min(lowest_[at], *value);
      highest_[at] = std::max(highest_[at], *value);
      const double sign = objectives_[at].direction() == Direction::maximize ? 1.0 : -1.0;
      if (uses_[at].limit && *value * sign < *uses_[at].limit * sign) fits = false;
    }
    return fits;
  }

  Json ranges() const {
    Json ranges = Json::object();
    for (std::size_t at = 0; at < uses_.size(); ++at) {
      if (lowest_[at] <= highest_[at])
        ranges[uses_[at].manifest->name] = {{"lowest", lowest_[at]}, {"highest", highest_[at]}};
    }
    return ranges;
  }

 private:
  const std::vector<ObjectiveUse>& uses_;
  std::vector<ObjectiveRef> objectives_;
  std::vector<double> lowest_, highest_;
};

Json to_json(const Shortfall& shortfall) { return {{"count", shortfall.count}, {"first", shortfall.first}}; }

// Exits for want of any candidate that can succeed.
int verdict(const Pipeline& pipeline, const Sampled& sampled) {
  const auto none = [&](const std::string& what) {
    fmt::print(stderr, "{}: none of {} sampled candidates {}\n", pipeline.file(), sampled.samples, what);
    return unusable_input;
  };
  if (sampled.samples == 0) return done;
  if (sampled.feasible == 0) return none("keeps the limits of /objectives; raise a limit or make the space smaller");
  if (sampled.unevaluated.count == sampled.samples)
    return none(fmt::format("can be evaluated; {}", sampled.unevaluated.first));
  return done;
}

}  // namespace

void Shortfall::add(const Genotype& genotype, const std::string& reason) {
  if (++count == 1) first = fmt::format("{}: {}", genotype.key(), reason);
}

Sampled sample_space(const Pipeline& pipeline, Assembly& search, Assembly* final, std::size_t samples) {
  Sampled sampled{.samples = samples};
  Limits limits(pipeline, search);
  SpaceRef space = search.space();
  Rng rng = Rng(pipeline.seed()).derive("check");
  for (std::size_t i = 0; i < samples; ++i) {
    const Genotype genotype = space.sample(rng);
    if (limits.keep(space.decode_text(genotype))) ++sampled.feasible;
    if (final != nullptr) try_to_build(*final, genotype, sampled.unbuilt);
    if (pipeline.is_inline) try_to_evaluate(search.evaluator(), genotype, sampled.unevaluated);
  }
  sampled.ranges = limits.ranges();
  return sampled;
}

void check_final_space(const Pipeline& pipeline, Assembly& search, Assembly& final) {
  const std::size_t samples = pipeline.final->scale ? 5 : 20;  // of each several sizes are built until one fits
  Rng rng = Rng(pipeline.seed()).derive("final space");
  Shortfall unbuilt;
  for (std::size_t i = 0; i < samples; ++i) try_to_build(final, search.space().sample(rng), unbuilt);
  if (unbuilt.count == samples) {
    throw InvalidInput(
        fmt::format("{}: {} do not build a network from a genotype of /space; change only what leaves its decisions as "
                    "they are. {}",
                    pipeline.file(),
                    pipeline.json().at("final").contains("space") ? "/final/space/args" : "the sizes of /final/scale",
                    unbuilt.first));
  }
  if (unbuilt.count > 0) {
    spdlog::warn("{}: /final/space/args build no network from {} of {} sampled genotypes, the first {}",
                 pipeline.file(), unbuilt.count, samples, unbuilt.first);
  }
}

int print_check(const Pipeline& pipeline, const Json& task, const Sampled& sampled, bool json) {
  const std::size_t samples = sampled.samples;
  const double share = samples > 0 ? static_cast<double>(sampled.feasible) / static_cast<double>(samples) : 0.0;
  if (json) {
    fmt::print(output(), "{}\n",
               Json{{"pipeline", pipeline.json()},
                    {"task", task},
                    {"samples", samples},
                    {"feasible", share},
                    {"ranges", sampled.ranges},
                    {"unbuilt", to_json(sampled.unbuilt)},
                    {"unevaluated", to_json(sampled.unevaluated)}}
                   .dump(2));
    return verdict(pipeline, sampled);
  }
  fmt::print(output(), "{}: {}\n", pipeline.file(), pipeline.name());
  if (pipeline.dataset) fmt::print(output(), "  data set   {}: {}\n", pipeline.dataset->manifest->name, task.dump());
  for (const Use* use : {&pipeline.space, &pipeline.optimizer, &pipeline.evaluator})
    fmt::print(output(), "  {:<10} {} {}\n", use->manifest->kind, use->manifest->name, use->args.dump());
  if (pipeline.oneshot)
    fmt::print(output(), "  oneshot    {} {}\n", pipeline.oneshot->manifest->name, pipeline.oneshot->args.dump());
  for (const ObjectiveUse& objective : pipeline.objectives) {
    fmt::print(output(), "  objective  {} {}{}\n", objective.manifest->name, objective.args.dump(),
               objective.limit ? fmt::format(", limit {}", *objective.limit) : "");
  }
  for (const Use& stopper : pipeline.stoppers)
    fmt::print(output(), "  stopper    {} {}\n", stopper.manifest->name, stopper.args.dump());
  for (std::size_t level = 0; level < pipeline.levels.size(); ++level)
    fmt::print(output(), "  level {:<4} {}\n", level, pipeline.json().at("fidelities").at(level).dump());
  fmt::print(output(), "  runs       {}\n",
             pipeline.is_inline ? "in the host" : fmt::format("in workers {}", fmt::join(pipeline.slots, ", ")));
  for (const auto& [name, range] : sampled.ranges.items())
    fmt::print(output(), "  {:<10} {} to {}\n", name, range.at("lowest").dump(), range.at("highest").dump());
  fmt::print(output(), "  feasible   {:.0f} % of {} sampled candidates keep all limits\n", 100.0 * share, samples);
  if (sampled.unbuilt.count > 0)
    fmt::print(output(), "  final      {} of {} cannot be built as final networks, the first {}\n",
               sampled.unbuilt.count, samples, sampled.unbuilt.first);
  if (sampled.unevaluated.count > 0)
    fmt::print(output(), "  unknown    {} of {} cannot be evaluated, the first {}\n", sampled.unevaluated.count,
               samples, sampled.unevaluated.first);
  return verdict(pipeline, sampled);
}

}  // namespace weft::host
