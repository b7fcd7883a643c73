// The contract suite of search spaces: what every plugin of kind `space` must do, whatever it spans.
//
//   TEST_CASE("my space keeps the contract") {
//     weft::testing::check_space(Plugin::open("space", "my_space"), {{"blocks", 2}}, {{"task", ...}});
//   }
//
// Include Catch2 (version 2 or 3) first. Every failure says which rule of weft/space.hpp is broken and by which
// genotype. Candidates are decoded a few hundred times: give it arguments that make small networks.
#pragma once

#ifndef REQUIRE
#error "include Catch2 before weft/testing/space_contract.hpp"
#endif

#include <algorithm>
#include <climits>
#include <cmath>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weft/context.hpp"
#include "weft/space.hpp"
#include "weft/tensors.hpp"
#include "weft/testing/library.hpp"

namespace weft::testing {

// Whether the manifest's claims are the component's interfaces, both ways. `names` are capabilities such as
// "space.mutation", which stand for the interface "weft.space.mutation/1".
inline void check_claims(const Plugin& plugin, std::initializer_list<const char*> names) {
  const auto claimed = plugin.manifest.at("provides").get<std::set<std::string>>();
  for (const std::string name : names) {
    INFO("manifest \"provides\" and find_interface must agree about " << name);
    const std::string id = "weft." + name + "/1";
    REQUIRE(claimed.contains(name) == (plugin.component->find_interface(id.c_str()) != nullptr));
  }
  INFO("an unknown interface must be answered with null");
  REQUIRE(plugin.component->find_interface("weft.no such interface/1") == nullptr);
}

// Runs `call` on bad input: true if it was refused with InvalidInput, false if it was accepted. Any other exception
// leaves it and fails the test.
template <typename Call>
bool refused(Call&& call) {
  try {
    std::forward<Call>(call)();
    return false;
  } catch (const InvalidInput&) {
    return true;
  }
}

// The whole suite. `args` are filled up with the manifest's defaults; `study` may state {"task": {"input", "classes"}},
// which the networks must then fit.
void check_space(const Plugin& plugin, const Json& args = Json::object(), const Json& study = Json::object());

#ifndef WEFT_COMPILED_CONTRACTS  // of this tree's own tests, for which it is compiled once
#ifndef WEFT_CONTRACT_INLINE
#define WEFT_CONTRACT_INLINE inline
#endif

namespace space_contract {

inline constexpr std::size_t samples = 25;
inline constexpr std::size_t longest_genotype = 10000;

inline std::vector<Genotype> sample(const SpaceRef& space, std::size_t count = samples) {
  std::vector<Genotype> genotypes;
  for (std::size_t i = 0; i < count; ++i) {
    Rng rng(17, i);
    genotypes.push_back(space.sample(rng));
  }
  return genotypes;
}

// The decisions that `choose(decision)` leads along, with what it took.
template <typename Choose>
std::pair<std::vector<Decision>, Genotype> walk(const SpaceRef& space, Choose&& choose) {
  std::vector<Decision> decisions;
  Genotype genotype;
  while (std::optional<Decision> decision = space.next(genotype.decisions)) {
    INFO("decision " << decisions.size() << " (" << decision->name << ") after " << genotype.key());
    REQUIRE(decisions.size() < longest_genotype);
    REQUIRE(!decision->options.empty());
    genotype.decisions.push_back(static_cast<std::int32_t>(choose(*decision)));
    decisions.push_back(std::move(*decision));
  }
  return {decisions, genotype};
}

inline bool offers_alternatives(const SpaceRef& space) {
  if (!space.has_decisions()) return true;
  const auto decisions = walk(space, [](const Decision&) { return 0; }).first;
  return std::any_of(decisions.begin(), decisions.end(), [](const Decision& d) { return d.options.size() > 1; });
}

// Sampling depends on the stream alone, decoding on the genotype alone; what is decoded fits the task.
inline void check_sampling(const SpaceRef& space, const SpaceRef& twin, const Json& study) {
  std::set<std::string> distinct;
  for (std::size_t i = 0; i < samples; ++i) {
    Rng first(17, i);
    Rng second(17, i);
    const Genotype genotype = space.sample(first);
    INFO("genotype " << genotype.key());
    REQUIRE(twin.sample(second) == genotype);
    REQUIRE(first.state().counter == second.state().counter);
    distinct.insert(genotype.key());

    const std::string text = space.decode_text(genotype);
    INFO("another instance with the same configuration must decode the same (a worker process has its own)");
    REQUIRE(twin.decode_text(genotype) == text);
    const Candidate candidate = Candidate::from_json(Json::parse(text));
    REQUIRE(candidate.recipe.is_object());
    REQUIRE(Candidate::from_json(candidate.to_json()).hash() == candidate.hash());
    INFO("choice nodes belong into a supernet; a decoded candidate has decided");
    REQUIRE(!candidate.architecture.has_choices());
    if (!study.contains("task")) continue;
    const Task task = Task::from_json(study.at("task"));
    for (const Node& node : candidate.architecture.nodes()) {
      if (node.operation == "input") REQUIRE(node.shape.to_string() == task.input.to_string());
    }
    REQUIRE(candidate.architecture.shape(candidate.architecture.output()).channels == task.classes);
  }
  INFO("a space that offers alternatives must not sample the same genotype always");
  REQUIRE((distinct.size() > 1 || !offers_alternatives(space)));
}

// Notation and parse are inverse to each other up to the notation's own normal form; what is malformed is refused.
inline void check_notation(const SpaceRef& space) {
  for (const Genotype& genotype : sample(space)) {
    const std::string notation = space.notation(genotype);
    INFO("genotype " << genotype.key() << " with notation " << notation);
    const Genotype parsed = space.parse(notation);
    REQUIRE(space.notation(parsed) == notation);
    REQUIRE(space.decode(parsed).hash() == space.decode(genotype).hash());
  }
  for (const std::string_view junk :
       {"no genotype is written like this", "\x01\xff", "{\"", "[[[[", "-1", "99999999999999999999"}) {
    INFO("notation " << junk);
    REQUIRE(refused([&] { space.parse(junk); }));
  }
  // Damaged notations: refused, or the notation of something else that decodes.
  Rng rng(23);
  for (const Genotype& genotype : sample(space, 5)) {
    const std::string notation = space.notation(genotype);
    for (int i = 0; i < 40 && !notation.empty(); ++i) {
      std::string damaged = notation;
      const std::size_t at = rng.below(damaged.size());
      switch (rng.below(3)) {
        case 0:
          damaged.resize(at);
          break;
        case 1:
          damaged[at] = static_cast<char>(32 + rng.below(95));
          break;
        default:
          damaged.insert(at, notation.substr(at, 1 + rng.below(8)));
      }
      INFO("damaged notation " << damaged);
      refused([&] { space.decode(space.parse(damaged)); });
    }
  }
}

// Walking `next` ends whatever is taken; names are unique, steps in order, and equal states are
// followed by the same decision.
inline void check_decisions(const SpaceRef& space) {
  std::map<std::string, std::string> following;
  Rng rng(29);
  for (std::size_t i = 0; i < 2 + 2 * samples; ++i) {
    const auto [decisions, genotype] = walk(space, [&](const Decision& decision) {
      return i == 0 ? 0 : i == 1 ? decision.options.size() - 1 : rng.below(decision.options.size());
    });
    INFO("genotype " << genotype.key());
    std::set<std::string> names;
    for (std::size_t at = 0; at < decisions.size(); ++at) {
      const Decision& decision = decisions[at];
      INFO("decision " << at << " (" << decision.name << ")");
      REQUIRE(!decision.name.empty());
      REQUIRE(names.insert(decision.name).second);
      REQUIRE(std::set<std::string>(decision.options.begin(), decision.options.end()).size() ==
              decision.options.size());
      REQUIRE((at == 0 ? 0 : decisions[at - 1].step) <= decision.step);
      for (const int named : decision.named_steps) {
        REQUIRE(named >= Decision::no_step);
        REQUIRE(named < decision.step);
      }
      REQUIRE(decision.kind >= Decision::Kind::categorical);
      REQUIRE(decision.kind <= Decision::Kind::reference);
      const std::span<const std::int32_t> taken(genotype.decisions.data(), at);
      INFO("prefixes with the state " << space.state(taken) << " must be followed by the same decision");
      REQUIRE(following.emplace(space.state(taken), decision.name).first->second == decision.name);
      if (space.complete(taken)) space.decode(Genotype({taken.begin(), taken.end()}));
    }
    REQUIRE(space.complete(genotype.decisions));
    if (i < samples) space.decode(genotype);
  }
  for (const Genotype& genotype : sample(space)) {
    INFO("a sampled genotype must answer every decision: " << genotype.key());
    REQUIRE(genotype.opaque.is_null());
    REQUIRE(space.complete(genotype.decisions));
  }
}

// Genotypes that are none of the space's: refused by decode, and never a crash anywhere.
inline void check_refusals(const SpaceRef& space) {
  const auto bad = [&](const Genotype& genotype) {
    INFO("genotype " << genotype.key());
    REQUIRE(refused([&] { space.decode(genotype); }));
    refused([&] { space.notation(genotype); });
    Rng rng(31);
    if (space.has_mutation()) refused([&] { space.mutate(genotype, rng); });
    if (space.has_crossover()) refused([&] { space.cross(genotype, genotype, rng); });
    if (space.has_encoding()) refused([&] { space.encode(genotype); });
    if (space.has_decisions() && genotype.opaque.is_null()) {
      refused([&] { space.next(genotype.decisions); });
      refused([&] { space.complete(genotype.decisions); });
      refused([&] { space.state(genotype.decisions); });
    }
  };
  Genotype foreign;
  foreign.opaque = {{"no space", "understands this"}};
  bad(foreign);
  if (!space.has_decisions()) return;
  for (const Genotype& genotype : sample(space, 3)) {
    Genotype longer = genotype;
    longer.decisions.push_back(0);
    bad(longer);
    for (std::size_t at = 0; at < std::min<std::size_t>(genotype.decisions.size(), 40); ++at) {
      const std::span<const std::int32_t> prefix(genotype.decisions.data(), at);
      if (!space.complete(prefix)) bad(Genotype({prefix.begin(), prefix.end()}));
      const auto count = static_cast<std::int32_t>(space.next(prefix)->options.size());
      for (const std::int32_t option : {-1, count, INT_MIN, INT_MAX}) {
        Genotype wrong = genotype;
        wrong.decisions[at] = option;
        bad(wrong);
      }
    }
  }
}

// The share of decisions, by name, that two genotypes answer differently.
inline double distance(const SpaceRef& space, const Genotype& one, const Genotype& other) {
  const auto answers = [&](const Genotype& genotype) {
    std::map<std::string, std::string> answers;
    const std::span<const std::int32_t> taken = genotype.decisions;
    for (std::size_t i = 0; i < taken.size(); ++i) {
      const Decision decision = *space.next(taken.first(i));
      answers[decision.name] = decision.options[static_cast<std::size_t>(taken[i])];
    }
    return answers;
  };
  const auto given = answers(one), others = answers(other);
  std::size_t same = 0;
  for (const auto& [name, answer] : given) same += others.contains(name) && others.at(name) == answer ? 1 : 0;
  return 1.0 - static_cast<double>(same) / static_cast<double>(given.size() + others.size() - same);
}

// A child is nearer to its parent than whatever the space samples; of few decisions that cannot be told.
inline void check_nearness(const SpaceRef& space) {
  constexpr std::size_t enough_decisions = 4;
  const std::vector<Genotype> parents = sample(space);
  double near = 0.0, far = 0.0;
  std::size_t decisions = 0;
  Rng rng(39);
  for (std::size_t i = 0; i < parents.size(); ++i) {
    decisions += parents[i].decisions.size();
    near += distance(space, parents[i], space.mutate(parents[i], rng)) / static_cast<double>(parents.size());
    far += distance(space, parents[i], parents[(i + 1) % parents.size()]) / static_cast<double>(parents.size());
  }
  if (decisions < enough_decisions * parents.size()) return;
  INFO("children answer a share of " << near << " differently than their parents, samples than each other " << far);
  REQUIRE((near < 0.8 * far || far < 0.1));
}

// Children are genotypes of the space, the same for the same stream, and usually not their parent.
inline void check_mutation(const SpaceRef& space) {
  std::size_t changed = 0;
  std::uint64_t stream = 0;
  for (const Genotype& parent : sample(space)) {
    Rng first(37, stream++);
    Rng second = first;
    const Genotype child = space.mutate(parent, first);
    INFO("parent " << parent.key() << ", child " << child.key());
    REQUIRE(space.mutate(parent, second) == child);
    space.decode(child);
    if (child != parent) ++changed;
  }
  INFO(changed << " of " << samples << " mutations changed something");
  REQUIRE((changed > samples / 2 || !offers_alternatives(space)));
  if (space.has_decisions()) check_nearness(space);
}

inline void check_crossover(const SpaceRef& space) {
  const std::vector<Genotype> parents = sample(space);
  std::size_t pairs = 0;
  std::size_t mixed = 0;
  for (std::size_t i = 0; i < parents.size(); ++i) {
    const Genotype& one = parents[i];
    const Genotype& other = parents[(i + 1) % parents.size()];
    Rng first(41, i);
    Rng second = first;
    const Genotype child = space.cross(one, other, first);
    INFO("parents " << one.key() << " and " << other.key() << ", child " << child.key());
    REQUIRE(space.cross(one, other, second) == child);
    space.decode(child);
    if (one == other) continue;
    ++pairs;
    if (child != one) ++mixed;
  }
  INFO("of " << pairs << " children " << mixed << " differ from their first parent");
  REQUIRE((mixed > 0 || pairs < 3));
}

// Every morph that is listed or drawn can be done, by its JSON alone; its child decodes, and the transfer makes of the
// parent's tensors the child's, no more and no less.
inline void check_morphisms(const SpaceRef& space) {
  constexpr std::size_t looked_at = 12;  // of those listed, which may be many
  std::uint64_t stream = 0;
  for (const Genotype& parent : sample(space, samples / 5)) {
    INFO("parent " << parent.key());
    Rng draws(43, stream++);
    const std::vector<Json> listed = space.morphs(parent);
    REQUIRE(space.morphs(parent) == listed);
    std::vector<Json> morphs;
    for (std::size_t i = 0; i < std::min(looked_at, listed.size()); ++i) morphs.push_back(draws.choice(listed));
    for (int i = 0; i < 3; ++i) {
      Rng twin = draws;
      const std::optional<Json> drawn = space.draw_morph(parent, draws);
      REQUIRE(space.draw_morph(parent, twin) == drawn);
      REQUIRE(drawn.has_value() == !listed.empty());
      if (drawn) morphs.push_back(*drawn);
    }
    const Candidate before = space.decode(parent);
    for (const Json& morph : morphs) {
      INFO("morph " << morph.dump());
      REQUIRE(morph.at("morph").is_string());
      Rng twin = draws;
      const Morphisms::Child child = space.morph(parent, morph, draws);
      const Morphisms::Child again = space.morph(parent, morph, twin);
      REQUIRE(again.genotype == child.genotype);
      REQUIRE(again.transfer.to_json() == child.transfer.to_json());
      INFO("child " << child.genotype.key() << ", transfer " << child.transfer.to_json().dump());
      REQUIRE(!child.transfer.steps.empty());
      for (const WeightTransfer::Step& step : child.transfer.steps) REQUIRE(!step.morph.empty());
      check_transfer(before.architecture, space.decode(child.genotype).architecture, child.transfer);
    }
    INFO("a morph that no space knows must be refused");
    REQUIRE(refused([&] { space.morph(parent, {{"morph", "no such morph"}}, draws); }));
    REQUIRE(refused([&] { space.morph(parent, Json::array(), draws); }));
  }
}

// Every genotype is in the supernet, which is the same each time and fits the task.
inline void check_supernet(const SpaceRef& space, const Json& study) {
  const Architecture supernet = space.supernet();
  const std::vector<SupernetChoice> choices = choices_of(supernet);
  INFO("a supernet has choices, and is the same each time");
  REQUIRE(!choices.empty());
  REQUIRE(space.supernet().to_json() == supernet.to_json());
  if (study.contains("task")) {
    const Task task = Task::from_json(study.at("task"));
    REQUIRE(supernet.shape(supernet.output()).channels == task.classes);
  }
  std::set<std::uint64_t> candidates, parts;
  for (const Genotype& genotype : sample(space)) {
    const SupernetPath path = space.path(genotype);
    INFO("genotype " << genotype.key() << " with path " << Json(path).dump());
    REQUIRE(space.path(genotype) == path);
    const Architecture part = restricted(supernet, path);
    REQUIRE(part.shape(part.output()).to_string() == supernet.shape(supernet.output()).to_string());
    candidates.insert(space.decode(genotype).architecture.canonical_hash());
    parts.insert(part.canonical_hash());
  }
  INFO(candidates.size() << " different architectures are " << parts.size() << " parts of the supernet");
  REQUIRE(10 * parts.size() >= 9 * candidates.size());
  Genotype foreign;
  foreign.opaque = {{"no space", "understands this"}};
  REQUIRE(refused([&] { space.path(foreign); }));
}

// Weights that name one architecture mean it; others mean one that there is.
inline void check_relaxation(const SpaceRef& space) {
  const std::vector<SupernetChoice> choices = choices_of(space.supernet());
  for (const Genotype& genotype : sample(space)) {
    OptionWeights weights;
    for (const auto& [decision, active] : space.path(genotype)) {
      const auto choice = std::find_if(choices.begin(), choices.end(),
                                       [&name = decision](const SupernetChoice& one) { return one.decision == name; });
      weights[decision].resize(choice->options.size());
      for (const int option : active) weights[decision][static_cast<std::size_t>(option)] = 1.0;
    }
    INFO("genotype " << genotype.key() << ", weights " << Json(weights).dump());
    const Genotype derived = space.derive(weights);
    INFO("derived " << derived.key());
    REQUIRE(space.decode(derived).hash() == space.decode(genotype).hash());
    Rng rng(47);
    for (auto& [decision, of_options] : weights) {
      for (double& weight : of_options) weight = rng.uniform();
    }
    space.decode(space.derive(weights));
    weights.erase(weights.begin());
    INFO("weights that leave out a decision must be refused");
    REQUIRE(refused([&] { space.derive(weights); }));
  }
}

inline void check_encoding(const SpaceRef& space) {
  const std::size_t length = space.encoding_length();
  REQUIRE(length > 0);
  std::set<std::uint64_t> candidates;
  std::set<std::vector<double>> codes;
  for (const Genotype& genotype : sample(space)) {
    INFO("genotype " << genotype.key());
    const std::vector<double> code = space.encode(genotype);
    REQUIRE(code.size() == length);
    REQUIRE(std::all_of(code.begin(), code.end(), [](double value) { return std::isfinite(value); }));
    REQUIRE(space.encode(genotype) == code);
    candidates.insert(space.decode(genotype).hash());
    codes.insert(code);
  }
  INFO(candidates.size() << " different candidates have " << codes.size() << " encodings");
  REQUIRE(10 * codes.size() >= 9 * candidates.size());
}

}  // namespace space_contract

WEFT_CONTRACT_INLINE void check_space(const Plugin& plugin, const Json& args, const Json& study) {
  INFO("space " << plugin.component->name << " with " << args.dump());
  REQUIRE(std::string_view(plugin.component->kind) == "space");
  check_claims(plugin, {"space.decisions", "space.mutation", "space.crossover", "space.morphisms", "space.supernet",
                        "space.relaxation", "space.encoding"});
  const Company company(plugin, args, {.study = study});  // spaces that it is made of
  const Instance instance(plugin, args, company.surroundings());
  const Instance other(plugin, args, company.surroundings());
  const SpaceRef space(instance.handle());
  space_contract::check_sampling(space, SpaceRef(other.handle()), study);
  space_contract::check_notation(space);
  if (space.has_decisions()) space_contract::check_decisions(space);
  space_contract::check_refusals(space);
  if (space.has_mutation()) space_contract::check_mutation(space);
  if (space.has_crossover()) space_contract::check_crossover(space);
  if (space.has_morphisms()) space_contract::check_morphisms(space);
  if (space.has_supernet()) space_contract::check_supernet(space, study);
  if (space.has_relaxation()) space_contract::check_relaxation(space);
  if (space.has_encoding()) space_contract::check_encoding(space);
}
#endif

}  // namespace weft::testing
