// Every optimizer on every space of decisions: that any two of them go together is what the interface promises. The
// plugins are those in the build's plugin folder, so that a new one joins by being built.

#include <algorithm>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "weft/blocks.hpp"
#include "weft/controllers/policy.hpp"
#include "weft/testing/optimizer_contract.hpp"
#include "weft/testing/sanitizers.hpp"

using namespace weft;
using namespace weft::testing;
using optimizer_contract::Bench;
using optimizer_contract::result_of;

namespace {

#ifdef WEFT_SANITIZED
constexpr std::size_t trials = 10;  // each takes twenty times as long; what learns from five still does
#else
constexpr std::size_t trials = 30;
#endif
constexpr std::size_t slots = 3;

const Json image = {{"task", {{"input", {3, 32, 32}}, {"classes", 10}}}};
const Json text = {{"task", {{"input", {35, 1}}, {"classes", 100}}}};

// What the defaults leave open, or make for networks of hundreds of nodes and studies of thousands of trials.
Json arguments(const std::string& plugin) {
  ArchitectureBuilder graph;
  const NodeId network = blocks::classifier(graph, graph.input(Shape::image(3, 32, 32)), 10);
  const auto phase = [](double epsilon) { return Json{{"epsilon", epsilon}, {"models", 10}}; };
  const std::map<std::string, Json> all = {
      {"fixed", {{"architecture", std::move(graph).build(network).to_json()}}},
      {"cgp", {{"rows", 2}, {"columns", 12}, {"levels_back", 4}, {"min_active", 3}}},
      {"darts", {{"layers", 3}}},
      {"fabric", {{"layers", 2}, {"channels", 2}}},
      {"hierarchical", {{"initial_mutations", 50}}},
      {"nas_bench_201", {{"cells", 1}}},
      {"nasnet", {{"cells", 1}}},
      {"smash", {{"depth", 2}, {"width", 2}, {"bank", 4}, {"largest_bank", 16}}},
      {"evolution", {{"population_size", 8}, {"tournament_size", 3}}},
      {"regularized_evolution", {{"population_size", 8}, {"sample_size", 3}}},
      {"reinforce", {{"children", 5}, {"lr", 0.02}}},
      {"ppo", {{"children", 5}, {"lr", 0.02}, {"units", 20}}},
      {"q_learning", {{"epsilon_schedule", {phase(1.0), phase(0.5), phase(0.1)}}, {"lr", 0.3}}},
      {"mcts", {{"exploration", 0.2}}}};
  const auto found = all.find(plugin);
  return found == all.end() ? Json::object() : found->second;
}

// Whether its candidates come from another optimizer, which an argument names: what that one goes with, it goes with.
bool is_composed(const Plugin& optimizer) {
  const Json properties = optimizer.manifest.at("parameters").value("properties", Json::object());
  return std::any_of(properties.begin(), properties.end(),
                     [](const Json& schema) { return schema.contains("plugin"); });
}

std::vector<Plugin> built(const std::string& kind) {
  std::vector<std::filesystem::path> manifests;
  for (const auto& folder : std::filesystem::directory_iterator(std::filesystem::path(WEFT_TEST_PLUGINS) / kind)) {
    if (exists(folder.path() / "manifest.json")) manifests.push_back(folder.path() / "manifest.json");
  }
  std::sort(manifests.begin(), manifests.end());
  std::vector<Plugin> plugins;
  plugins.reserve(manifests.size());
  for (const std::filesystem::path& manifest : manifests) plugins.push_back(Plugin::open(manifest));
  std::erase_if(plugins, is_composed);
  return plugins;
}

// A space as one of release 1.0, which does not say which steps its references name.
class Taciturn final : public Decisions {
 public:
  explicit Taciturn(const SpaceRef& space) : space_(space) {}
  std::optional<Decision> next(std::span<const std::int32_t> taken) const override {
    std::optional<Decision> decision = space_.next(taken);
    if (decision) decision->named_steps.clear();
    return decision;
  }

 private:
  const SpaceRef& space_;
};

std::string name_of(const Plugin& plugin) { return plugin.manifest.at("name"); }

bool provides(const Plugin& space, const std::string& capability) {
  const Json& provided = space.manifest.at("provides");
  return capability == "space" || std::find(provided.begin(), provided.end(), capability) != provided.end();
}

// What the optimizer needs and the space lacks, such as "mutation"; nothing if they go together.
std::optional<std::string> missing(const Plugin& optimizer, const Plugin& space) {
  for (const std::string capability : optimizer.manifest.at("requires")) {
    // Morphs are known by their names, of which spaces have different ones: their optimizers' own tests have the
    // spaces.
    if (capability == "space.morphisms" || !provides(space, capability))
      return capability.substr(capability.find('.') + 1);
  }
  return {};
}

// The space with the task that it is made for.
OptimizerCheck check_on(const Plugin& space) {
  OptimizerCheck check{.space = space, .space_args = arguments(name_of(space)), .study = image};
  try {
    Instance(space, check.space_args, {.study = image});
  } catch (const InvalidInput&) {
    check.study = text;
  }
  return check;
}

detail::Answers answers(const SpaceRef& space, const Genotype& genotype) {
  std::vector<Decision> decisions;
  for (std::size_t i = 0; i < genotype.decisions.size(); ++i) {
    decisions.push_back(*space.next(std::span(genotype.decisions).first(i)));
  }
  return detail::answers(decisions, genotype);
}

// An accuracy in percent with a known optimum: the share of decisions that are as in a hidden architecture.
double likeness(const detail::Answers& hidden, const detail::Answers& given) {
  const auto like = std::count_if(given.begin(), given.end(), [&](const auto& answer) {
    const auto at = hidden.find(answer.first);
    return at != hidden.end() && at->second == answer.second;
  });
  const std::size_t of = std::max({hidden.size(), given.size(), std::size_t{1}});
  return given.empty() && hidden.empty() ? 100.0 : 100.0 * static_cast<double>(like) / static_cast<double>(of);
}

struct Study {
  std::vector<std::string> proposals = {};
  double best = 0.0;
};

// Trials run beside each other and end in an order of their own.
Study run(const Plugin& optimizer, const OptimizerCheck& check) {
  Bench bench(optimizer, arguments(name_of(optimizer)), check, 1);
  Rng rng(7);
  const detail::Answers hidden = answers(bench.space, bench.space.sample(rng));
  Study study;
  std::vector<TrialResult> running;
  for (std::size_t told = 0; told < trials; ++told) {
    const std::size_t room = std::min(slots - running.size(), trials - study.proposals.size());
    for (const Proposal& proposal : bench.optimizer.ask(room)) {
      INFO("proposal " << study.proposals.size() << ": " << proposal.genotype.key());
      bench.space.decode(proposal.genotype);  // throws where it is not of this space
      running.push_back(result_of(static_cast<TrialId>(study.proposals.size()), proposal));
      running.back().reward = likeness(hidden, answers(bench.space, proposal.genotype));
      running.back().objectives = {running.back().reward};
      study.best = std::max(study.best, running.back().reward);
      study.proposals.push_back(proposal.genotype.key());
    }
    if (running.empty()) {
      REQUIRE(bench.optimizer.finished());
      break;
    }
    const auto ended = running.begin() + static_cast<std::ptrdiff_t>(rng.below(running.size()));
    bench.optimizer.tell(*ended);
    running.erase(ended);
  }
  return study;
}

}  // namespace

TEST_CASE("every optimizer drives every space of decisions") {
  const std::vector<Plugin> optimizers = built("optimizer");
  std::ostringstream table;
  table << std::left << std::setw(20) << "best, percent" << std::right;
  for (const Plugin& optimizer : optimizers) table << "  " << name_of(optimizer);
  table << '\n';
  for (const Plugin& space : built("space")) {
    if (!provides(space, "space.decisions")) continue;
    const OptimizerCheck check = check_on(space);
    table << std::left << std::setw(20) << name_of(space) << std::right;
    for (const Plugin& optimizer : optimizers) {
      INFO(name_of(optimizer) << " on " << name_of(space));
      std::ostringstream cell;
      if (const std::optional<std::string> capability = missing(optimizer, space)) {
        cell << "no " << *capability;
      } else {
        const Study study = run(optimizer, check);
        CHECK(study.proposals.size() <= trials);
        // A grid has the first options first, and of a space of one network that alone.
        const bool grid = name_of(optimizer) == "grid_search";
        CHECK((grid || study.proposals.size() == trials));
        CHECK((grid || study.best > 0.0));
        CHECK(study.best <= 100.0);
        CHECK(run(optimizer, check).proposals == study.proposals);
        cell << std::fixed << std::setprecision(1) << study.best;
      }
      table << "  " << std::setw(static_cast<int>(name_of(optimizer).size())) << cell.str();
    }
    table << '\n';
  }
  std::cout << table.str();
}

TEST_CASE("every optimizer keeps the contract on every space of decisions") {
  for (const Plugin& space : built("space")) {
    if (!provides(space, "space.decisions")) continue;
    OptimizerCheck check = check_on(space);
    check.trials = trials;
    check.decoded = 5;
    check.long_study = 0;
    check.improves = false;
    check.failing_studies = 0;  // of so few trials a share says little
    for (const Plugin& optimizer : built("optimizer")) {
      INFO(name_of(optimizer) << " on " << name_of(space));
      if (!missing(optimizer, space)) check_optimizer(optimizer, arguments(name_of(optimizer)), check);
    }
  }
}

// So that controllers propose on them what they proposed on those of release 1.0.
TEST_CASE("every space says which steps its references name, and release 1.0 guessed as much") {
  std::size_t references = 0;
  for (const Plugin& plugin : built("space")) {
    if (!provides(plugin, "space.decisions")) continue;
    const OptimizerCheck check = check_on(plugin);
    const Instance instance(plugin, check.space_args, {.study = check.study});
    const SpaceRef space(instance.handle());
    controllers::Policy policy({.layers = 1, .units = 2, .initial_range = 0.1, .lr = 0.1}, Rng(1));
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
      Rng rng(seed);
      Rng again(seed);
      const controllers::Episode said = policy.sample(space, rng);
      const controllers::Episode guessed = policy.sample(Taciturn(space), again);
      REQUIRE(guessed.choices.size() == said.choices.size());
      const Genotype genotype = said.genotype();
      for (std::size_t at = 0; at < said.choices.size(); ++at) {
        const std::optional<Decision> decision = space.next(std::span(genotype.decisions).first(at));
        INFO(name_of(plugin) << ", " << decision->name);
        const bool reference = decision->kind == Decision::Kind::reference;
        REQUIRE(decision->named_steps.size() == (reference ? decision->options.size() : 0));
        REQUIRE(said.choices[at].named == guessed.choices[at].named);
        references += reference ? 1 : 0;
      }
    }
  }
  CHECK(references > 500);
}
