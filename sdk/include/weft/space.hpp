// A search space: which architectures exist, and how one is written down.
//
// A plugin derives from Space and from the capabilities it has; most derive from DecisionSpace, which has working
// defaults for all of them. Consumers (optimizers, evaluators, the host) use a SpaceRef, which reaches the space
// through the C tables, wherever it lives. All members are const and may be called in any order.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weft/candidate.hpp"
#include "weft/decision.hpp"
#include "weft/detail/boundary.hpp"
#include "weft/genotype.hpp"
#include "weft/rng.hpp"
#include "weft/supernet.hpp"
#include "weft/weight_transfer.hpp"

namespace weft {

class Space {
 public:
  static constexpr const char* kind = "space";

  virtual ~Space() = default;
  // A genotype drawn uniformly over the decisions (or as the space defines it).
  virtual Genotype sample(Rng& rng) const = 0;
  // The graph and the recipe; may cost milliseconds. Throws InvalidInput if the genotype is not of this space.
  virtual Candidate decode(const Genotype& genotype) const = 0;
  // The field's own text for a genotype (NAS-Bench-201 string, DARTS genotype, bit string), and back.
  virtual std::string notation(const Genotype& genotype) const = 0;
  virtual Genotype parse(std::string_view notation) const = 0;
};

// Capability: genotypes are sequences of decisions.
class Decisions {
 public:
  virtual ~Decisions() = default;
  // The decision that follows the options `taken` so far; nothing when the genotype is finished.
  virtual std::optional<Decision> next(std::span<const std::int32_t> taken) const = 0;
  // Whether `taken` alone is a genotype that can be decoded (a finished one, or a shorter one of a progressive space).
  virtual bool complete(std::span<const std::int32_t> taken) const { return !next(taken).has_value(); }
  // Value-based methods merge prefixes with equal states. These are followed by the same decision; where a space rounds
  // (MetaQNN's binned sizes), the options it still offers may differ.
  virtual std::string state(std::span<const std::int32_t> taken) const {
    std::string text;
    for (const std::int32_t option : taken) text += std::to_string(option) + ",";
    return text;
  }
};

// Capability: a genotype near another.
class Mutation {
 public:
  virtual ~Mutation() = default;
  virtual Genotype mutate(const Genotype& parent, Rng& rng) const = 0;
};

// Capability: a genotype between two others.
class Crossover {
 public:
  virtual ~Crossover() = default;
  virtual Genotype cross(const Genotype& first, const Genotype& second, Rng& rng) const = 0;
};

// Capability: changes of a genotype that say how the weights of the child follow from its parent's.
//
// A morph is an object with "morph", its name; the other members say where and how.
class Morphisms {
 public:
  struct Child {
    Genotype genotype;
    WeightTransfer transfer;
  };

  virtual ~Morphisms() = default;
  // What can be done to it, always in the same order. Where a number may be any of a range, those that the space names.
  virtual std::vector<Json> morphs(const Genotype& parent) const = 0;
  // One of them, or nothing if there is none: each name is equally likely, and of its morphs each.
  virtual std::optional<Json> draw_morph(const Genotype& parent, Rng& rng) const;
  // Throws InvalidInput, where the morph is not known or cannot be done there, with the reason. What it leaves open,
  // such as which channels are repeated, is drawn.
  virtual Child morph(const Genotype& parent, const Json& morph, Rng& rng) const = 0;
};

// Capability: all architectures of the space in one network.
class Supernet {
 public:
  virtual ~Supernet() = default;
  // A graph with `choice` nodes.
  virtual Architecture supernet() const = 0;
  // What of it the genotype is. Throws InvalidInput if it has a part that the supernet lacks.
  virtual SupernetPath path(const Genotype& genotype) const = 0;
};

// Capability: the decisions of the supernet may be weighed independently of each other.
class Relaxation {
 public:
  virtual ~Relaxation() = default;
  // The genotype that the weights mean, one for every option of every decision; larger is better. Throws InvalidInput
  // where a decision is missing.
  virtual Genotype derive(const OptionWeights& weights) const = 0;
};

// Capability: a vector of fixed length for surrogate models.
class Encoding {
 public:
  virtual ~Encoding() = default;
  virtual std::size_t encoding_length() const = 0;
  virtual std::vector<double> encode(const Genotype& genotype) const = 0;
};

// A space of decisions, with defaults for everything that follows from them.
class DecisionSpace : public Space, public Decisions, public Mutation, public Crossover, public Encoding {
 public:
  // Uniform over the options of each decision in turn.
  Genotype sample(Rng& rng) const override;
  // The options as numbers: "3,0,2". Spaces with a notation of their own override both.
  std::string notation(const Genotype& genotype) const override;
  Genotype parse(std::string_view notation) const override;
  // Changes one decision that has an alternative, uniformly; later decisions keep their option where they still exist
  // and still offer it, and are drawn anew where not. A genotype of a progressive space does not grow by it.
  Genotype mutate(const Genotype& parent, Rng& rng) const override;
  // Takes each step whole from one of the parents, with equal probability; repaired as in mutate.
  Genotype cross(const Genotype& first, const Genotype& second, Rng& rng) const override;
  // One-hot, decision by decision. For spaces whose decisions do not depend on what was taken; others override both.
  std::size_t encoding_length() const override;
  std::vector<double> encode(const Genotype& genotype) const override;

 protected:
  // The decisions a genotype answers, in order. Throws InvalidInput naming the first that does not fit.
  std::vector<Decision> walk(const Genotype& genotype) const;
};

// ---- implementation: defaults -------------------------------------------------------------------------------

namespace detail {

// Decides one by one, until nothing is left or, where the space allows an end, `stop` says so.
inline Genotype walk_and_choose(const Decisions& space, auto&& choose, auto&& stop) {
  Genotype genotype;
  while (const std::optional<Decision> decision = space.next(genotype.decisions)) {
    if (stop(*decision) && space.complete(genotype.decisions)) break;
    genotype.decisions.push_back(static_cast<std::int32_t>(choose(*decision)));
  }
  return genotype;
}
inline Genotype walk_and_choose(const Decisions& space, auto&& choose) {
  return walk_and_choose(space, choose, [](const Decision&) { return false; });
}

// What a genotype answered: decision name -> option text.
using Answers = std::map<std::string, std::string, std::less<>>;

inline Answers answers(const std::vector<Decision>& decisions, const Genotype& genotype) {
  Answers given;
  for (std::size_t i = 0; i < decisions.size(); ++i) {
    given[decisions[i].name] = decisions[i].options[static_cast<std::size_t>(genotype.decisions[i])];
  }
  return given;
}

// The option that `given` has for this decision, if it is still offered; else a uniform draw.
inline std::size_t keep_or_draw(const Decision& decision, const Answers& given, Rng& rng) {
  const auto found = given.find(decision.name);
  if (found != given.end()) {
    const auto option = std::find(decision.options.begin(), decision.options.end(), found->second);
    if (option != decision.options.end()) return static_cast<std::size_t>(option - decision.options.begin());
  }
  return rng.below(decision.options.size());
}

}  // namespace detail

#ifndef WEFT_DECLARED_ONLY
WEFT_INLINE std::optional<Json> Morphisms::draw_morph(const Genotype& parent, Rng& rng) const {
  std::vector<std::string> names;  // in the order of their first morphs
  std::vector<std::vector<Json>> of_name;
  for (Json& morph : morphs(parent)) {
    const std::string name = morph.at("morph");
    const auto known = std::find(names.begin(), names.end(), name);
    const auto at = static_cast<std::size_t>(known - names.begin());
    if (known == names.end()) names.push_back(name), of_name.emplace_back();
    of_name[at].push_back(std::move(morph));
  }
  if (names.empty()) return {};
  return rng.choice(rng.choice(of_name));
}

WEFT_INLINE std::vector<Decision> DecisionSpace::walk(const Genotype& genotype) const {
  if (!genotype.opaque.is_null()) {
    throw InvalidInput("a genotype of this space is a list of decisions, not " + genotype.opaque.dump());
  }
  std::vector<Decision> decisions;
  const std::span<const std::int32_t> taken = genotype.decisions;
  while (decisions.size() < taken.size()) {
    const std::size_t at = decisions.size();
    std::optional<Decision> decision = next(taken.first(at));
    if (!decision) {
      throw InvalidInput("the genotype has " + std::to_string(taken.size()) +
                         " decisions, but nothing is left to decide after " + std::to_string(at));
    }
    if (taken[at] < 0 || static_cast<std::size_t>(taken[at]) >= decision->options.size()) {
      throw InvalidInput("decision " + std::to_string(at) + " (" + decision->name + ") takes option " +
                         std::to_string(taken[at]) + "; there are " + std::to_string(decision->options.size()));
    }
    decisions.push_back(std::move(*decision));
  }
  if (!complete(taken)) {
    throw InvalidInput("the genotype ends after " + std::to_string(taken.size()) + " decisions, before decision " +
                       next(taken)->name);
  }
  return decisions;
}

WEFT_INLINE Genotype DecisionSpace::sample(Rng& rng) const {
  return detail::walk_and_choose(*this, [&](const Decision& decision) { return rng.below(decision.options.size()); });
}

WEFT_INLINE std::string DecisionSpace::notation(const Genotype& genotype) const {
  std::string text;
  for (const std::int32_t option : genotype.decisions) {
    if (!text.empty()) text += ',';
    text += std::to_string(option);
  }
  return text;
}

WEFT_INLINE Genotype DecisionSpace::parse(std::string_view notation) const {
  const Json list = Json::parse("[" + std::string(notation) + "]", nullptr, false);
  Genotype genotype = Genotype::from_json(list);
  if (list.is_discarded() || !genotype.opaque.is_null()) {
    throw InvalidInput("\"" + std::string(notation) + "\" is not a list of option numbers such as 3,0,2");
  }
  walk(genotype);
  return genotype;
}

WEFT_INLINE Genotype DecisionSpace::mutate(const Genotype& parent, Rng& rng) const {
  const std::vector<Decision> decisions = walk(parent);
  std::vector<std::size_t> open;
  for (std::size_t i = 0; i < decisions.size(); ++i) {
    if (decisions[i].options.size() > 1) open.push_back(i);
  }
  if (open.empty()) return parent;
  const std::size_t changed = rng.choice(open);
  const std::size_t old = static_cast<std::size_t>(parent.decisions[changed]);
  std::size_t drawn = rng.below(decisions[changed].options.size() - 1);
  if (drawn >= old) ++drawn;
  const detail::Answers kept = detail::answers(decisions, parent);
  std::size_t at = 0;
  const auto choose = [&](const Decision& decision) {
    const std::size_t here = at++;
    if (here < changed) return static_cast<std::size_t>(parent.decisions[here]);
    return here == changed ? drawn : detail::keep_or_draw(decision, kept, rng);
  };
  return detail::walk_and_choose(*this, choose,
                                 [&](const Decision& decision) { return !kept.contains(decision.name); });
}

WEFT_INLINE Genotype DecisionSpace::cross(const Genotype& first, const Genotype& second, Rng& rng) const {
  const detail::Answers parents[2] = {detail::answers(walk(first), first), detail::answers(walk(second), second)};
  std::optional<int> step;
  std::size_t parent = 0;
  const auto choose = [&](const Decision& decision) {
    if (step != decision.step) parent = rng.below(2);
    step = decision.step;
    const bool answered = parents[parent].contains(decision.name);
    return detail::keep_or_draw(decision, parents[answered ? parent : 1 - parent], rng);
  };
  return detail::walk_and_choose(*this, choose, [&](const Decision& decision) {
    return !parents[0].contains(decision.name) && !parents[1].contains(decision.name);
  });
}

WEFT_INLINE std::size_t DecisionSpace::encoding_length() const {
  std::size_t length = 0;
  detail::walk_and_choose(*this, [&](const Decision& decision) {
    length += decision.options.size();
    return 0;
  });
  return length;
}

WEFT_INLINE std::vector<double> DecisionSpace::encode(const Genotype& genotype) const {
  std::vector<double> code;
  const std::vector<Decision> decisions = walk(genotype);
  for (std::size_t i = 0; i < decisions.size(); ++i) {
    const std::size_t at = code.size();
    code.resize(at + decisions[i].options.size());
    code[at + static_cast<std::size_t>(genotype.decisions[i])] = 1.0;
  }
  if (code.size() != encoding_length())
    throw Error("the space's decisions depend on each other: it needs an encoding of its own");
  return code;
}

// ---- implementation: the tables, on the plugin's side ---------------------------------------------------------
#endif

namespace detail {

template <typename T>
struct SpaceTables {
  static constexpr weft_space_1 space{
      .size = sizeof(weft_space_1),
      .sample =
          [](void* instance, weft_rng* rng, const weft_genotype_sink* out, const weft_writer* error) {
            return guard(error, [&] {
              Rng stream(*rng);
              const Genotype genotype = self<T>(instance).sample(stream);
              *rng = stream.state();
              out->receive(out->context, LentGenotype(genotype));
            });
          },
      .decode =
          [](void* instance, const weft_genotype* genotype, const weft_writer* out, const weft_writer* error) {
            return guard(error, [&] { write(out, self<T>(instance).decode(to_genotype(*genotype)).to_json().dump()); });
          },
      .notation =
          [](void* instance, const weft_genotype* genotype, const weft_writer* out, const weft_writer* error) {
            return guard(error, [&] { write(out, self<T>(instance).notation(to_genotype(*genotype))); });
          },
      .parse =
          [](void* instance, weft_text notation, const weft_genotype_sink* out, const weft_writer* error) {
            return guard(error, [&] {
              const Genotype genotype = self<T>(instance).parse(view(notation));
              out->receive(out->context, LentGenotype(genotype));
            });
          }};

  static const void* find(std::string_view id) {
    if (id == WEFT_SPACE_1) return &space;
    if constexpr (std::is_base_of_v<Decisions, T>) {
      static constexpr weft_decisions_1 decisions{
          .size = sizeof(weft_decisions_1),
          .next =
              [](void* instance, const std::int32_t* taken, std::uint64_t count, const weft_decision_sink* out,
                 const weft_writer* error) {
                return guard(error, [&] {
                  const std::optional<Decision> decision = self<T>(instance).next({taken, count});
                  if (!decision) return;
                  const std::vector<int>& named = decision->named_steps;
                  if (!named.empty() && named.size() != decision->options.size())
                    throw Error("decision " + decision->name + " names " + std::to_string(named.size()) +
                                " steps with " + std::to_string(decision->options.size()) + " options");
                  std::vector<weft_text> options;
                  for (const std::string& option : decision->options) options.push_back(text(option));
                  const weft_decision lent{sizeof(weft_decision), text(decision->name),
                                           text(decision->group), static_cast<std::int32_t>(decision->kind),
                                           decision->step,        options.data(),
                                           options.size(),        named.empty() ? nullptr : named.data()};
                  out->receive(out->context, &lent);
                });
              },
          .complete =
              [](void* instance, const std::int32_t* taken, std::uint64_t count, std::int32_t* out,
                 const weft_writer* error) {
                return guard(error, [&] { *out = self<T>(instance).complete({taken, count}) ? 1 : 0; });
              },
          .state =
              [](void* instance, const std::int32_t* taken, std::uint64_t count, const weft_writer* out,
                 const weft_writer* error) {
                return guard(error, [&] { write(out, self<T>(instance).state({taken, count})); });
              }};
      if (id == WEFT_DECISIONS_1) return &decisions;
    }
    if constexpr (std::is_base_of_v<Mutation, T>) {
      static constexpr weft_mutation_1 mutation{.size = sizeof(weft_mutation_1),
                                                .mutate = [](void* instance, const weft_genotype* parent, weft_rng* rng,
                                                             const weft_genotype_sink* out, const weft_writer* error) {
                                                  return guard(error, [&] {
                                                    Rng stream(*rng);
                                                    const Genotype child =
                                                        self<T>(instance).mutate(to_genotype(*parent), stream);
                                                    *rng = stream.state();
                                                    out->receive(out->context, LentGenotype(child));
                                                  });
                                                }};
      if (id == WEFT_MUTATION_1) return &mutation;
    }
    if constexpr (std::is_base_of_v<Crossover, T>) {
      static constexpr weft_crossover_1 crossover{
          .size = sizeof(weft_crossover_1),
          .cross = [](void* instance, const weft_genotype* first, const weft_genotype* second, weft_rng* rng,
                      const weft_genotype_sink* out, const weft_writer* error) {
            return guard(error, [&] {
              Rng stream(*rng);
              const Genotype child = self<T>(instance).cross(to_genotype(*first), to_genotype(*second), stream);
              *rng = stream.state();
              out->receive(out->context, LentGenotype(child));
            });
          }};
      if (id == WEFT_CROSSOVER_1) return &crossover;
    }
    if constexpr (std::is_base_of_v<Morphisms, T>) {
      static constexpr weft_morphisms_1 morphisms{
          .size = sizeof(weft_morphisms_1),
          .morphs =
              [](void* instance, const weft_genotype* parent, const weft_writer* out, const weft_writer* error) {
                return guard(error, [&] { write(out, Json(self<T>(instance).morphs(to_genotype(*parent))).dump()); });
              },
          .draw =
              [](void* instance, const weft_genotype* parent, weft_rng* rng, const weft_writer* out,
                 const weft_writer* error) {
                return guard(error, [&] {
                  Rng stream(*rng);
                  const std::optional<Json> morph = self<T>(instance).draw_morph(to_genotype(*parent), stream);
                  *rng = stream.state();
                  if (morph) write(out, morph->dump());
                });
              },
          .morph =
              [](void* instance, const weft_genotype* parent, weft_text morph, weft_rng* rng,
                 const weft_genotype_sink* child, const weft_writer* transfer, const weft_writer* error) {
                return guard(error, [&] {
                  Rng stream(*rng);
                  const Morphisms::Child morphed =
                      self<T>(instance).morph(to_genotype(*parent), parse_json(morph), stream);
                  *rng = stream.state();
                  child->receive(child->context, LentGenotype(morphed.genotype));
                  write(transfer, morphed.transfer.to_json().dump());
                });
              }};
      if (id == WEFT_MORPHISMS_1) return &morphisms;
    }
    if constexpr (std::is_base_of_v<Supernet, T>) {
      static constexpr weft_supernet_1 supernet{
          .size = sizeof(weft_supernet_1),
          .supernet =
              [](void* instance, const weft_writer* out, const weft_writer* error) {
                return guard(error, [&] { write(out, self<T>(instance).supernet().to_json().dump()); });
              },
          .path =
              [](void* instance, const weft_genotype* genotype, const weft_writer* out, const weft_writer* error) {
                return guard(error, [&] { write(out, Json(self<T>(instance).path(to_genotype(*genotype))).dump()); });
              }};
      if (id == WEFT_SUPERNET_1) return &supernet;
    }
    if constexpr (std::is_base_of_v<Relaxation, T>) {
      static constexpr weft_relaxation_1 relaxation{
          .size = sizeof(weft_relaxation_1),
          .derive = [](void* instance, weft_text weights, const weft_genotype_sink* out, const weft_writer* error) {
            return guard(error, [&] {
              const Genotype genotype = self<T>(instance).derive(parse_json(weights).template get<OptionWeights>());
              out->receive(out->context, LentGenotype(genotype));
            });
          }};
      if (id == WEFT_RELAXATION_1) return &relaxation;
    }
    if constexpr (std::is_base_of_v<Encoding, T>) {
      static constexpr weft_encoding_1 encoding{
          .size = sizeof(weft_encoding_1),
          .length =
              [](void* instance, std::uint64_t* out, const weft_writer* error) {
                return guard(error, [&] { *out = self<T>(instance).encoding_length(); });
              },
          .encode =
              [](void* instance, const weft_genotype* genotype, double* values, std::uint64_t length,
                 const weft_writer* error) {
                return guard(error, [&] {
                  const std::vector<double> code = self<T>(instance).encode(to_genotype(*genotype));
                  if (code.size() != length) throw Error("the encoding's length changes");
                  std::copy(code.begin(), code.end(), values);
                });
              }};
      if (id == WEFT_ENCODING_1) return &encoding;
    }
    return nullptr;
  }
};

}  // namespace detail

// ---- the consumer's side ---------------------------------------------------------------------------------------

// A space reached through its tables. Cheap to copy; valid as long as the space's instance.
class SpaceRef final : public Space,
                       public Decisions,
                       public Mutation,
                       public Crossover,
                       public Morphisms,
                       public Supernet,
                       public Relaxation,
                       public Encoding {
 public:
  // Throws Error if the component is not a space.
  explicit SpaceRef(weft_handle handle) : instance_(handle.instance) {
    const auto find = [&](const char* id) { return handle.component->find_interface(id); };
    space_ = static_cast<const weft_space_1*>(find(WEFT_SPACE_1));
    decisions_ = static_cast<const weft_decisions_1*>(find(WEFT_DECISIONS_1));
    mutation_ = static_cast<const weft_mutation_1*>(find(WEFT_MUTATION_1));
    crossover_ = static_cast<const weft_crossover_1*>(find(WEFT_CROSSOVER_1));
    morphisms_ = static_cast<const weft_morphisms_1*>(find(WEFT_MORPHISMS_1));
    supernet_ = static_cast<const weft_supernet_1*>(find(WEFT_SUPERNET_1));
    relaxation_ = static_cast<const weft_relaxation_1*>(find(WEFT_RELAXATION_1));
    encoding_ = static_cast<const weft_encoding_1*>(find(WEFT_ENCODING_1));
    if (space_ == nullptr)
      throw Error(std::string(handle.component->name) + " is not a space: it has no " WEFT_SPACE_1);
  }

  bool has_decisions() const { return decisions_ != nullptr; }
  bool has_mutation() const { return mutation_ != nullptr; }
  bool has_crossover() const { return crossover_ != nullptr; }
  bool has_morphisms() const { return morphisms_ != nullptr; }
  bool has_supernet() const { return supernet_ != nullptr; }
  bool has_relaxation() const { return relaxation_ != nullptr; }
  bool has_encoding() const { return encoding_ != nullptr; }

  Genotype sample(Rng& rng) const override;
  Candidate decode(const Genotype& genotype) const override;
  // The candidate as the JSON text that crosses.
  std::string decode_text(const Genotype& genotype) const;
  std::string notation(const Genotype& genotype) const override;
  Genotype parse(std::string_view notation) const override;

  std::optional<Decision> next(std::span<const std::int32_t> taken) const override;
  bool complete(std::span<const std::int32_t> taken) const override;
  std::string state(std::span<const std::int32_t> taken) const override;

  Genotype mutate(const Genotype& parent, Rng& rng) const override;
  Genotype cross(const Genotype& first, const Genotype& second, Rng& rng) const override;

  std::vector<Json> morphs(const Genotype& parent) const override;
  std::optional<Json> draw_morph(const Genotype& parent, Rng& rng) const override;
  Child morph(const Genotype& parent, const Json& morph, Rng& rng) const override;

  Architecture supernet() const override;
  SupernetPath path(const Genotype& genotype) const override;
  Genotype derive(const OptionWeights& weights) const override;

  std::size_t encoding_length() const override;
  std::vector<double> encode(const Genotype& genotype) const override;

 private:
  template <typename Call>
  static Genotype drawing(Rng& rng, Call&& call) {
    weft_rng state = rng.state();
    Genotype genotype = detail::receive_genotype([&](auto out, auto error) { return call(&state, out, error); });
    rng = Rng(state);
    return genotype;
  }
  template <typename Call>
  static std::string written(Call&& call) {
    detail::StringWriter out;
    detail::StringWriter error;
    detail::check(call(static_cast<const weft_writer*>(out), static_cast<const weft_writer*>(error)), error);
    return out.take();
  }

  void* instance_;
  const weft_space_1* space_;
  const weft_decisions_1* decisions_;
  const weft_mutation_1* mutation_;
  const weft_crossover_1* crossover_;
  const weft_morphisms_1* morphisms_;
  const weft_supernet_1* supernet_;
  const weft_relaxation_1* relaxation_;
  const weft_encoding_1* encoding_;
};

#ifndef WEFT_DECLARED_ONLY
WEFT_INLINE Genotype SpaceRef::sample(Rng& rng) const {
  return drawing(rng, [&](weft_rng* state, const weft_genotype_sink* out, const weft_writer* error) {
    return detail::need(space_, &weft_space_1::sample)(instance_, state, out, error);
  });
}

WEFT_INLINE Candidate SpaceRef::decode(const Genotype& genotype) const {
  return Candidate::from_json(detail::parse_json(decode_text(genotype)));
}

WEFT_INLINE std::string SpaceRef::decode_text(const Genotype& genotype) const {
  return written([&](auto out, auto error) {
    return detail::need(space_, &weft_space_1::decode)(instance_, detail::LentGenotype(genotype), out, error);
  });
}

WEFT_INLINE std::string SpaceRef::notation(const Genotype& genotype) const {
  return written([&](auto out, auto error) {
    return detail::need(space_, &weft_space_1::notation)(instance_, detail::LentGenotype(genotype), out, error);
  });
}

WEFT_INLINE Genotype SpaceRef::parse(std::string_view notation) const {
  return detail::receive_genotype([&](auto out, auto error) {
    return detail::need(space_, &weft_space_1::parse)(instance_, detail::text(notation), out, error);
  });
}

WEFT_INLINE std::optional<Decision> SpaceRef::next(std::span<const std::int32_t> taken) const {
  std::optional<Decision> decision;
  const auto sink = detail::make_sink<weft_decision_sink, weft_decision>([&](const weft_decision& lent) {
    decision.emplace();
    decision->name = detail::view(lent.name);
    decision->group = detail::view(lent.group);
    decision->kind = static_cast<Decision::Kind>(lent.kind);
    decision->step = lent.step;
    for (std::uint64_t i = 0; i < lent.option_count; ++i) decision->options.emplace_back(detail::view(lent.options[i]));
    if (detail::has(&lent, &weft_decision::named_steps))
      decision->named_steps.assign(lent.named_steps, lent.named_steps + lent.option_count);
  });
  detail::StringWriter error;
  detail::check(detail::need(decisions_, &weft_decisions_1::next)(instance_, taken.data(), taken.size(), sink, error),
                error);
  sink.finish();
  return decision;
}

WEFT_INLINE bool SpaceRef::complete(std::span<const std::int32_t> taken) const {
  std::int32_t complete = 0;
  detail::StringWriter error;
  detail::check(
      detail::need(decisions_, &weft_decisions_1::complete)(instance_, taken.data(), taken.size(), &complete, error),
      error);
  return complete != 0;
}

WEFT_INLINE std::string SpaceRef::state(std::span<const std::int32_t> taken) const {
  return written([&](auto out, auto error) {
    return detail::need(decisions_, &weft_decisions_1::state)(instance_, taken.data(), taken.size(), out, error);
  });
}

WEFT_INLINE Genotype SpaceRef::mutate(const Genotype& parent, Rng& rng) const {
  return drawing(rng, [&](weft_rng* state, const weft_genotype_sink* out, const weft_writer* error) {
    return detail::need(mutation_, &weft_mutation_1::mutate)(instance_, detail::LentGenotype(parent), state, out,
                                                             error);
  });
}

WEFT_INLINE Genotype SpaceRef::cross(const Genotype& first, const Genotype& second, Rng& rng) const {
  return drawing(rng, [&](weft_rng* state, const weft_genotype_sink* out, const weft_writer* error) {
    return detail::need(crossover_, &weft_crossover_1::cross)(instance_, detail::LentGenotype(first),
                                                              detail::LentGenotype(second), state, out, error);
  });
}

WEFT_INLINE std::vector<Json> SpaceRef::morphs(const Genotype& parent) const {
  const std::string list = written([&](auto out, auto error) {
    return detail::need(morphisms_, &weft_morphisms_1::morphs)(instance_, detail::LentGenotype(parent), out, error);
  });
  return detail::parse_json(list).get<std::vector<Json>>();
}

WEFT_INLINE std::optional<Json> SpaceRef::draw_morph(const Genotype& parent, Rng& rng) const {
  weft_rng state = rng.state();
  const std::string morph = written([&](auto out, auto error) {
    return detail::need(morphisms_, &weft_morphisms_1::draw)(instance_, detail::LentGenotype(parent), &state, out,
                                                             error);
  });
  rng = Rng(state);
  return morph.empty() ? std::nullopt : std::optional(detail::parse_json(morph));
}

WEFT_INLINE Morphisms::Child SpaceRef::morph(const Genotype& parent, const Json& morph, Rng& rng) const {
  const std::string asked = morph.dump();
  detail::StringWriter transfer;
  const Genotype child = drawing(rng, [&](weft_rng* state, const weft_genotype_sink* out, const weft_writer* error) {
    return detail::need(morphisms_, &weft_morphisms_1::morph)(instance_, detail::LentGenotype(parent),
                                                              detail::text(asked), state, out, transfer, error);
  });
  return {child, WeightTransfer::from_json(detail::parse_json(transfer.text()))};
}

WEFT_INLINE Architecture SpaceRef::supernet() const {
  return Architecture::from_json(detail::parse_json(written([&](auto out, auto error) {
    return detail::need(supernet_, &weft_supernet_1::supernet)(instance_, out, error);
  })));
}

WEFT_INLINE SupernetPath SpaceRef::path(const Genotype& genotype) const {
  const std::string path = written([&](auto out, auto error) {
    return detail::need(supernet_, &weft_supernet_1::path)(instance_, detail::LentGenotype(genotype), out, error);
  });
  return detail::parse_json(path).get<SupernetPath>();
}

WEFT_INLINE Genotype SpaceRef::derive(const OptionWeights& weights) const {
  const std::string text = Json(weights).dump();
  return detail::receive_genotype([&](auto out, auto error) {
    return detail::need(relaxation_, &weft_relaxation_1::derive)(instance_, detail::text(text), out, error);
  });
}

WEFT_INLINE std::size_t SpaceRef::encoding_length() const {
  std::uint64_t length = 0;
  detail::StringWriter error;
  detail::check(detail::need(encoding_, &weft_encoding_1::length)(instance_, &length, error), error);
  return length;
}

WEFT_INLINE std::vector<double> SpaceRef::encode(const Genotype& genotype) const {
  std::vector<double> code(encoding_length());
  detail::StringWriter error;
  detail::check(detail::need(encoding_, &weft_encoding_1::encode)(instance_, detail::LentGenotype(genotype),
                                                                  code.data(), code.size(), error),
                error);
  return code;
}
#endif

}  // namespace weft
