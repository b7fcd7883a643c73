// Any architecture graph, reached from a given one by morphs. A genotype is the graph itself, with what the candidate's
// recipe says of its own (a learning rate, where that is searched).
//
// Elsken, Metzen, Hutter 2018, "Simple and Efficient Architecture Search for Convolutional Neural Networks"; Real et al.
// 2017, "Large-Scale Evolution of Image Classifiers"; the survey's sections 2.1 and 3.2. Which morphs there are, /morphs
// says: Elsken et al. have deepen, widen and skip; Real et al. those from alter_lr on.

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mutations.hpp"
#include "start.hpp"
#include "weft/data_path.hpp"
#include "weft/morphs.hpp"
#include "weft/plugin.hpp"
#include "weft/requirements.hpp"
#include "weft/tried_morphs.hpp"

namespace {

using graph_space::Dna;
using weft::Architecture;
using weft::Candidate;
using weft::Genotype;
using weft::InvalidInput;
using weft::Json;
using weft::Morphed;
using weft::Node;
using weft::NodeId;
using weft::NotApplicable;
using weft::Rng;
namespace morphs = weft::morphs;

struct Options {
  std::vector<std::string> morphs;
  std::vector<std::int64_t> kernels;
  std::vector<std::int64_t> factors;
  std::int64_t max_channels;
  double noise, identity_noise;
  bool calibrated;
  int sampled_morphs;
  std::optional<double> lr;

  explicit Options(const weft::Context& context)
      : morphs(context.get<std::vector<std::string>>("morphs")),
        kernels(context.get<std::vector<std::int64_t>>("kernels")),
        factors(context.get<std::vector<std::int64_t>>("factors")),
        max_channels(context.get<std::int64_t>("max_channels")),
        noise(context.get<double>("noise")),
        identity_noise(context.get<double>("identity_noise")),
        calibrated(context.get<bool>("calibrated")),
        sampled_morphs(context.get<int>("sampled_morphs")) {
    weft::require::odd(kernels, "kernels");
    if (const Json& given = context.configuration().at("lr"); !given.is_null()) lr = given.get<double>();
    const bool alters_lr = std::find(morphs.begin(), morphs.end(), "alter_lr") != morphs.end();
    if (alters_lr && !lr) throw InvalidInput("/morphs has alter_lr, but /lr is null; give the first learning rate");
  }
};

// ---- where morphs can go -----------------------------------------------------------------------------------------

std::int64_t channels(const Node& node) { return node.shape.channels; }

// The nodes that are so, each as {"at": its name}.
std::vector<Json> places(const Architecture& graph, const std::function<bool(NodeId)>& fits) {
  std::vector<Json> found;
  for (NodeId id = 0; id < static_cast<NodeId>(graph.nodes().size()); ++id) {
    if (fits(id)) found.push_back({{"at", graph.node(id).name}});
  }
  return found;
}

// Each of them with each of the values.
template <typename Value>
std::vector<Json> with_each(const std::vector<Json>& places, const char* name, const std::vector<Value>& values) {
  std::vector<Json> all;
  for (const Json& place : places) {
    for (const Value& value : values) {
      all.push_back(place);
      all.back()[name] = value;
    }
  }
  return all;
}

NodeId named(const Architecture& graph, const Json& morph, const char* member = "at") {
  const std::string& name = morph.at(member).get_ref<const std::string&>();
  for (NodeId id = 0; id < static_cast<NodeId>(graph.nodes().size()); ++id) {
    if (graph.node(id).name == name) return id;
  }
  throw InvalidInput("the network has no node " + name + ", which the morph " + morph.dump() + " names");
}

bool is(const Architecture& graph, NodeId id, const char* operation) { return graph.node(id).operation == operation; }

// The end of a block: an image that a ReLU leaves as it is, so that what is added behind it can be activated.
bool ends_block(const Architecture& graph, NodeId id) {
  return graph.shape(id).is_image() && morphs::detail::is_nonnegative(graph, id);
}
// Where a vertex of Real et al. ends: a convolution, its batch norm and its ReLU are one.
bool ends_vertex(const Architecture& graph, NodeId id) {
  const auto goes_on = [&](const Node& reader) {
    return (reader.operation == "batch_norm" || reader.operation == "activation") &&
           std::find(reader.inputs.begin(), reader.inputs.end(), id) != reader.inputs.end();
  };
  return graph.shape(id).is_image() && std::none_of(graph.nodes().begin(), graph.nodes().end(), goes_on);
}
bool is_dense(const Architecture& graph, NodeId id) { return morphs::detail::is_dense(graph.node(id)); }

std::vector<Json> pairs(const Architecture& graph, bool same_channels, const std::function<bool(NodeId)>& fits) {
  std::vector<Json> found;
  const auto count = static_cast<NodeId>(graph.nodes().size());
  for (NodeId from = 0; from < count; ++from) {
    if (!fits(from)) continue;
    for (NodeId to = from + 1; to < count; ++to) {
      const weft::Shape &a = graph.shape(from), &b = graph.shape(to);
      if (fits(to) && a.height == b.height && a.width == b.width && (!same_channels || a.channels == b.channels))
        found.push_back({{"from", graph.node(from).name}, {"at", graph.node(to).name}});
    }
  }
  return found;
}

std::vector<Json> terms(const Architecture& graph, std::size_t first) {
  std::vector<Json> found;
  for (const Node& node : graph.nodes()) {
    for (std::size_t term = first; node.operation == "add" && node.inputs.size() > 1 && term < node.inputs.size(); ++term)
      found.push_back({{"at", node.name}, {"term", term}});
  }
  return found;
}

// Half and twice a number, but not itself.
std::vector<std::int64_t> neighbours(std::int64_t value, std::int64_t least) {
  std::vector<std::int64_t> both;
  for (const std::int64_t other : {value / 2, 2 * value}) {
    if (other >= least && other != value) both.push_back(other);
  }
  return both;
}

// Any other number from a half to twice it.
std::int64_t other_than(std::int64_t value, std::int64_t most, Rng& rng) {
  const std::int64_t least = std::max<std::int64_t>(1, (value + 1) / 2);
  most = std::min(2 * value, most);
  if (most <= least) return value;
  const auto drawn = least + static_cast<std::int64_t>(rng.below(static_cast<std::size_t>(most - least)));
  return drawn + (drawn >= value ? 1 : 0);
}

// ---- the morphs ----------------------------------------------------------------------------------------------------

// What a genotype says.
struct State {
  Architecture architecture;
  Json recipe;
};

struct Morph {
  // All that may be possible, without the name.
  std::function<std::vector<Json>(const State&, const Options&)> list;
  // Throws NotApplicable. May change the recipe.
  std::function<Morphed(State&, const Json&, const Options&, Rng&)> apply;
  // Where numbers may be any of a range: draws them anew.
  std::function<void(Json&, const State&, const Options&, Rng&)> vary = {};
};

// {"factor": 2}, or {"to": 96}.
std::int64_t wider(const Node& node, const Json& morph, const Options& options) {
  const std::int64_t wanted = morph.contains("to") ? morph.at("to").get<std::int64_t>()
                                                   : channels(node) * morph.at("factor").get<std::int64_t>();
  if (wanted <= channels(node))
    throw NotApplicable("node " + node.name + " has " + std::to_string(channels(node)) + " channels already");
  if (wanted > options.max_channels)
    throw NotApplicable("node " + node.name + " would have " + std::to_string(wanted) +
                        " channels; /max_channels is " + std::to_string(options.max_channels));
  return wanted;
}

std::vector<Json> layers_to_widen(const State& state, const Options& options) {
  const Architecture& graph = state.architecture;
  return with_each(places(graph, [&](NodeId id) { return is_dense(graph, id) && id != graph.output(); }), "factor",
                   options.factors);
}

// Of a network that has no blocks yet, behind any image.
std::vector<Json> kernels_behind_blocks(const State& state, const Options& options) {
  const Architecture& graph = state.architecture;
  std::vector<Json> found = places(graph, [&](NodeId id) { return ends_block(graph, id); });
  if (found.empty()) found = places(graph, [&](NodeId id) { return graph.shape(id).is_image(); });
  return with_each(found, "kernel", options.kernels);
}

Morphed deepen(const State& state, const Json& morph, const Options& options, bool separable) {
  return morphs::deepen(state.architecture, named(state.architecture, morph),
                        {.kernel = morph.at("kernel"),
                         .separable = separable,
                         .noise = options.identity_noise,
                         .calibrated = options.calibrated});
}

Morphed unchanged(const State& state, weft::WeightTransfer::Step step = {}) {
  return {state.architecture, weft::WeightTransfer{{std::move(step)}}};
}

std::map<std::string, Morph> function_preserving() {
  std::map<std::string, Morph> all;
  all["deepen"] = {kernels_behind_blocks, [](State& state, const Json& morph, const Options& options, Rng&) {
                     return deepen(state, morph, options, false);
                   }};
  all["deepen_separable"] = {kernels_behind_blocks, [](State& state, const Json& morph, const Options& options, Rng&) {
                               return deepen(state, morph, options, true);
                             }};
  all["deepen_linear"] = {[](const State& state, const Options&) {
                            const Architecture& graph = state.architecture;
                            return places(graph, [&](NodeId id) {
                              return is(graph, id, "activation") && !graph.shape(id).is_image() &&
                                     morphs::detail::is_nonnegative(graph, id);
                            });
                          },
                          [](State& state, const Json& morph, const Options& options, Rng&) {
                            return morphs::deepen_linear(state.architecture, named(state.architecture, morph),
                                                         options.identity_noise, options.calibrated);
                          }};
  all["widen"] = {layers_to_widen, [](State& state, const Json& morph, const Options& options, Rng& rng) {
                    const NodeId layer = named(state.architecture, morph);
                    const Node& node = state.architecture.node(layer);
                    morphs::Indices indices = morphs::detail::range(channels(node));
                    for (const std::int64_t wanted = wider(node, morph, options);
                         static_cast<std::int64_t>(indices.size()) < wanted;) {
                      indices.push_back(static_cast<std::int64_t>(rng.below(static_cast<std::size_t>(channels(node)))));
                    }
                    return morphs::widen(state.architecture, layer, indices, options.noise);
                  }};
  all["widen_by_zeros"] = {layers_to_widen, [](State& state, const Json& morph, const Options& options, Rng&) {
                             const NodeId layer = named(state.architecture, morph);
                             const Node& node = state.architecture.node(layer);
                             return morphs::widen_by_zeros(state.architecture, layer,
                                                           wider(node, morph, options) - channels(node));
                           }};
  all["enlarge_kernel"] = {[](const State& state, const Options& options) {
                             const Architecture& graph = state.architecture;
                             const std::int64_t largest =
                                 *std::max_element(options.kernels.begin(), options.kernels.end());
                             return places(graph, [&](NodeId id) {
                               return is(graph, id, "conv2d") &&
                                      graph.node(id).attributes.at("kernel").at(0) < largest;
                             });
                           },
                           [](State& state, const Json& morph, const Options&, Rng&) {
                             return morphs::enlarge_kernel(state.architecture, named(state.architecture, morph));
                           }};
  // Elsken et al.: by addition or by concatenation.
  all["skip"] = {[](const State& state, const Options&) {
                   const Architecture& graph = state.architecture;
                   const auto fits = [&](NodeId id) { return ends_block(graph, id); };
                   std::vector<Json> found;
                   for (const char* by : {"addition", "concatenation"}) {
                     for (Json& pair : pairs(graph, std::string(by) == "addition", fits)) {
                       pair["by"] = by;
                       found.push_back(std::move(pair));
                     }
                   }
                   return found;
                 },
                 [](State& state, const Json& morph, const Options& options, Rng&) {
                   const Architecture& graph = state.architecture;
                   const NodeId from = named(graph, morph, "from"), to = named(graph, morph);
                   if (morph.at("by") == "addition") return morphs::skip_by_addition(graph, from, to);
                   if (channels(graph.node(from)) + channels(graph.node(to)) > options.max_channels)
                     throw NotApplicable("more channels than /max_channels");
                   return morphs::skip_by_concatenation(graph, from, to);
                 }};
  all["replicate"] = {[](const State& state, const Options&) {
                        const Architecture& graph = state.architecture;
                        return places(graph, [&](NodeId id) { return is(graph, id, "conv2d"); });
                      },
                      [](State& state, const Json& morph, const Options& options, Rng&) {
                        return morphs::replicate(state.architecture, named(state.architecture, morph), options.noise);
                      }};
  all["split"] = {[](const State& state, const Options&) {
                    const Architecture& graph = state.architecture;
                    return places(graph, [&](NodeId id) {
                      return is(graph, id, "conv2d") && is_dense(graph, id) && channels(graph.node(id)) > 1;
                    });
                  },
                  [](State& state, const Json& morph, const Options&, Rng&) {
                    const NodeId layer = named(state.architecture, morph);
                    return morphs::split(state.architecture, layer, (channels(state.architecture.node(layer)) + 1) / 2);
                  }};
  all["train_on"] = {[](const State&, const Options&) { return std::vector<Json>{Json::object()}; },
                     [](State& state, const Json&, const Options&, Rng&) { return unchanged(state); }};
  return all;
}

// Come near the parent's function.
std::map<std::string, Morph> approximate() {
  std::map<std::string, Morph> all;
  all["remove_layer"] = {[](const State& state, const Options&) {
                           const Architecture& graph = state.architecture;
                           return places(graph, [&](NodeId id) {
                             const Node& node = graph.node(id);
                             return is(graph, id, "conv2d") && graph.shape(node.inputs[0]) == node.shape;
                           });
                         },
                         [](State& state, const Json& morph, const Options&, Rng&) {
                           return morphs::remove_layer(state.architecture, named(state.architecture, morph));
                         }};
  all["remove_term"] = {[](const State& state, const Options&) { return terms(state.architecture, 0); },
                        [](State& state, const Json& morph, const Options&, Rng&) {
                          return morphs::remove_skip(state.architecture, named(state.architecture, morph),
                                                     morph.at("term").get<std::size_t>());
                        }};
  all["prune"] = {[](const State& state, const Options&) {
                    const Architecture& graph = state.architecture;
                    return places(graph, [&](NodeId id) {
                      return is_dense(graph, id) && id != graph.output() && channels(graph.node(id)) > 1;
                    });
                  },
                  [](State& state, const Json& morph, const Options&, Rng&) {
                    const NodeId layer = named(state.architecture, morph);
                    return morphs::prune_by_norm(state.architecture, layer,
                                                 (channels(state.architecture.node(layer)) + 1) / 2);
                  }};
  return all;
}

// Real et al. 2017, section 3.2: eleven.
std::map<std::string, Morph> large_scale() {
  std::map<std::string, Morph> all;
  const auto convolutions = [](const Architecture& graph) {
    return places(graph, [&](NodeId id) { return is(graph, id, "conv2d"); });
  };
  const auto vertices = [](const Architecture& graph) {
    return places(graph, [&](NodeId id) { return ends_vertex(graph, id); });
  };
  // One of a convolution's attributes, an extent along one side or a number, takes another value.
  const auto attribute = [&](const char* name, std::function<std::vector<Json>(const Node&)> values,
                             std::function<void(Json& attributes, const Json& morph)> set) {
    return Morph{[=](const State& state, const Options&) {
                   std::vector<Json> found;
                   for (const Json& place : convolutions(state.architecture)) {
                     const Node& node = state.architecture.node(named(state.architecture, place));
                     for (const Json& value : values(node)) {
                       found.push_back(place);
                       found.back().update(value);
                     }
                   }
                   return found;
                 },
                 [=](State& state, const Json& morph, const Options& options, Rng&) {
                   const Node& node = state.architecture.node(named(state.architecture, morph));
                   if (!morph.contains(name)) throw InvalidInput("the morph " + morph.dump() + " has no " + name);
                   if (std::string(name) == "channels" && morph.at(name) > options.max_channels)
                     throw NotApplicable("more channels than /max_channels");
                   Dna dna(state.architecture);
                   set(dna.node(node.name)["attributes"], morph);
                   return dna.finish();
                 }};
  };

  all["alter_lr"] = {[](const State& state, const Options&) {
                       const double lr = state.recipe.at("lr");
                       return std::vector<Json>{{{"lr", lr / 2}}, {{"lr", 2 * lr}}};
                     },
                     [](State& state, const Json& morph, const Options&, Rng&) {
                       if (!morph.at("lr").is_number() || !(morph.at("lr") > 0.0))
                         throw InvalidInput("the morph " + morph.dump() + " needs a positive learning rate");
                       state.recipe["lr"] = morph.at("lr");
                       return unchanged(state);
                     },
                     [](Json& morph, const State& state, const Options&, Rng& rng) {
                       const double lr = state.recipe.at("lr");
                       morph["lr"] = rng.uniform(lr / 2, 2 * lr);
                     }};
  all["reset_weights"] = {[](const State&, const Options&) { return std::vector<Json>{Json::object()}; },
                          [](State& state, const Json&, const Options&, Rng&) {
                            weft::WeightTransfer::Step step;
                            for (const auto& [name, extents] : weft::tensor_extents(state.architecture))
                              step.tensors[name] = weft::WeightTransfer::Fresh{};
                            return unchanged(state, std::move(step));
                          }};
  all["insert_convolution"] = {
      [=](const State& state, const Options&) {
        return with_each(with_each(vertices(state.architecture), "stride", std::vector<int>{1, 2}), "activated",
                         std::vector<bool>{false, true});
      },
      [](State& state, const Json& morph, const Options&, Rng&) {
        const Node& node = state.architecture.node(named(state.architecture, morph));
        Dna dna(state.architecture);
        dna.insert(node.name, "conv2d",
                   {{"channels", channels(node)}, {"kernel", 3}, {"stride", morph.at("stride")}, {"padding", 1}},
                   morph.at("activated"));
        return dna.finish();
      }};
  all["remove_convolution"] = {[=](const State& state, const Options&) { return convolutions(state.architecture); },
                               [](State& state, const Json& morph, const Options&, Rng&) {
                                 Dna dna(state.architecture);
                                 dna.remove(state.architecture.node(named(state.architecture, morph)).name);
                                 return dna.finish();
                               }};
  // To another power of two.
  all["alter_stride"] = attribute(
      "stride",
      [](const Node& node) {
        std::vector<Json> values;
        for (const std::int64_t stride : neighbours(node.attributes.at("stride").at(0), 1))
          values.push_back({{"stride", stride}});
        return values;
      },
      [](Json& attributes, const Json& morph) { attributes["stride"] = morph.at("stride"); });
  all["alter_channels"] = attribute(
      "channels",
      [](const Node& node) {
        std::vector<Json> values;
        for (const std::int64_t count : neighbours(channels(node), 1)) values.push_back({{"channels", count}});
        return values;
      },
      [](Json& attributes, const Json& morph) { attributes["channels"] = morph.at("channels"); });
  all["alter_channels"].vary = [](Json& morph, const State& state, const Options& options, Rng& rng) {
    morph["channels"] = other_than(channels(state.architecture.node(named(state.architecture, morph))),
                                   options.max_channels, rng);
  };
  // Along one side, odd.
  all["filter_size"] = attribute(
      "kernel",
      [](const Node& node) {
        std::vector<Json> values;
        for (const std::size_t side : {0, 1}) {
          const std::int64_t old = node.attributes.at("kernel").at(side);
          for (std::int64_t kernel = 1; kernel <= 2 * old; kernel += 2) {
            if (2 * kernel >= old && kernel != old) values.push_back({{"side", side}, {"kernel", kernel}});
          }
        }
        return values;
      },
      [](Json& attributes, const Json& morph) {
        const auto side = morph.at("side").get<std::size_t>();
        const std::int64_t kernel = morph.at("kernel");
        attributes["kernel"].at(side) = kernel;
        attributes["padding"].at(side) = kernel / 2;
      });
  all["insert_one_to_one"] = {
      [=](const State& state, const Options&) {
        return with_each(vertices(state.architecture), "activated", std::vector<bool>{false, true});
      },
      [](State& state, const Json& morph, const Options&, Rng&) {
        Dna dna(state.architecture);
        dna.insert(state.architecture.node(named(state.architecture, morph)).name, "identity", Json::object(),
                   morph.at("activated"));
        return dna.finish();
      }};
  all["add_skip"] = {[](const State& state, const Options&) {
                       const Architecture& graph = state.architecture;
                       const auto count = static_cast<NodeId>(graph.nodes().size());
                       std::vector<Json> found;
                       for (NodeId from = 0; from < count; ++from) {
                         for (NodeId to = from + 1; to < count; ++to) {
                           if (ends_vertex(graph, from) && ends_vertex(graph, to) && !is(graph, to, "resize"))
                             found.push_back({{"from", graph.node(from).name}, {"at", graph.node(to).name}});
                         }
                       }
                       return found;
                     },
                     [](State& state, const Json& morph, const Options&, Rng&) {
                       const Architecture& graph = state.architecture;
                       const NodeId from = named(graph, morph, "from"), to = named(graph, morph);
                       if (from >= to) throw NotApplicable("a skip goes forward");
                       Dna dna(graph);
                       dna.add_skip(graph.node(from).name, graph.node(to).name);
                       return dna.finish();
                     }};
  all["remove_skip"] = {[](const State& state, const Options&) { return terms(state.architecture, 1); },
                        [](State& state, const Json& morph, const Options&, Rng&) {
                          const Node& sum = state.architecture.node(named(state.architecture, morph));
                          const auto term = morph.at("term").get<std::size_t>();
                          if (sum.operation != "add" || term == 0 || term >= sum.inputs.size())
                            throw NotApplicable("node " + sum.name + " has no skip " + std::to_string(term));
                          Dna dna(state.architecture);
                          Json& inputs = dna.node(sum.name)["inputs"];
                          inputs.erase(inputs.begin() + static_cast<std::ptrdiff_t>(term));
                          return dna.finish();
                        }};
  return all;
}

std::map<std::string, Morph> known_morphs() {
  std::map<std::string, Morph> all = function_preserving();
  all.merge(approximate());
  all.merge(large_scale());
  return all;
}

// ---- the space -------------------------------------------------------------------------------------------------------

class Graph final : public weft::Space, public weft::Mutation, public weft::Morphisms, public weft::Encoding {
 public:
  explicit Graph(const weft::Context& context)
      : options_(context), task_(context.task()), known_(known_morphs()), start_(start(context)) {
    weft::require::image(task_.input, "graph");
    decode(start_);
  }

  // The start, after 0 to `sampled_morphs` morphs, each number equally likely.
  Genotype sample(Rng& rng) const override {
    Genotype genotype = start_;
    for (std::size_t left = rng.below(static_cast<std::size_t>(options_.sampled_morphs) + 1); left > 0; --left)
      genotype = mutate(genotype, rng);
    return genotype;
  }

  Candidate decode(const Genotype& genotype) const override {
    const State state = read(genotype);
    return {state.architecture, state.recipe};
  }

  std::string notation(const Genotype& genotype) const override { return write(read(genotype)).opaque.dump(); }

  // A genotype's JSON, or a chain to begin with: C(filters,kernel) P(kernel) FC(units); or "start".
  Genotype parse(std::string_view notation) const override {
    if (notation == "start") return start_;
    Genotype genotype;
    if (notation.starts_with('{')) {
      genotype.opaque = Json::parse(notation, nullptr, false);
      if (genotype.opaque.is_discarded()) throw InvalidInput("the genotype is no JSON: " + std::string(notation.substr(0, 200)));
    } else {
      genotype = write({graph_space::chain(notation, task_), first_recipe()});
    }
    return write(read(genotype));
  }

  Genotype mutate(const Genotype& parent, Rng& rng) const override {
    const std::optional<Json> morph = draw_morph(parent, rng);
    return morph ? this->morph(parent, *morph, rng).genotype : parent;
  }

  std::vector<Json> morphs(const Genotype& parent) const override {
    const State state = read(parent);
    return weft::tried_morphs::all(
        options_.morphs, [&](const std::string& name) { return list(name, state); },
        [&](const Json& morph) { return applies(state, morph); });
  }

  std::optional<Json> draw_morph(const Genotype& parent, Rng& rng) const override {
    const State state = read(parent);
    const auto vary = [&](Json& morph) {
      const Morph& kind = known_.at(morph.at("morph").get<std::string>());
      if (kind.vary) kind.vary(morph, state, options_, rng);
    };
    return weft::tried_morphs::draw(
        options_.morphs, rng, [&](const std::string& name) { return list(name, state); }, vary,
        [&](const Json& morph) { return applies(state, morph); });
  }

  Child morph(const Genotype& parent, const Json& morph, Rng& rng) const override {
    State state = read(parent);
    const Morph& kind = known_.at(weft::tried_morphs::name_of(morph, options_.morphs));
    try {
      Morphed morphed = kind.apply(state, morph, options_, rng);
      morphed.transfer.steps.front().morph = weft::tried_morphs::in_words(morph);
      return {write({std::move(morphed.child), std::move(state.recipe)}), std::move(morphed.transfer)};
    } catch (const Json::exception& error) {
      throw InvalidInput("the morph " + morph.dump() + " cannot be read: " + error.what());
    }
  }

  // What the network is made of: of each kind of operation log(1 + how many) and where they stand in the mean; of
  // parameters, multiply-adds, activations, channels, depth and the learning rate the logarithms. For surrogates.
  std::size_t encoding_length() const override { return 2 * counted().size() + 7; }
  std::vector<double> encode(const Genotype& genotype) const override {
    const State state = read(genotype);
    const Architecture& graph = state.architecture;
    std::map<std::string, double> counts, places;
    std::vector<std::size_t> depth(graph.nodes().size());
    double widths = 0.0, placed_widths = 0.0, largest = 1.0;
    for (std::size_t id = 0; id < depth.size(); ++id) {
      const Node& node = graph.nodes()[id];
      ++counts[kind_of(node)];
      places[kind_of(node)] += static_cast<double>(id) / static_cast<double>(depth.size());
      for (const NodeId input : node.inputs) depth[id] = std::max(depth[id], depth[static_cast<std::size_t>(input)]);
      if (!is_dense(graph, static_cast<NodeId>(id))) continue;
      ++depth[id];
      const double width = std::log(static_cast<double>(channels(node)));
      widths += width;
      placed_widths += width * static_cast<double>(depth[id]);
      largest = std::max(largest, static_cast<double>(channels(node)));
    }
    std::vector<double> code;
    for (const std::string& kind : counted()) {
      code.push_back(std::log1p(counts[kind]));
      code.push_back(counts[kind] > 0.0 ? places[kind] / counts[kind] : 0.0);
    }
    const weft::Cost cost = graph.cost();
    code.push_back(std::log1p(static_cast<double>(cost.parameters)));
    code.push_back(std::log1p(static_cast<double>(cost.multiply_adds)));
    code.push_back(std::log1p(static_cast<double>(cost.activation_bytes)));
    code.push_back(std::log(largest));
    code.push_back(std::log1p(static_cast<double>(depth[static_cast<std::size_t>(graph.output())])));
    code.push_back(widths > 0.0 ? placed_widths / widths : 0.0);
    code.push_back(state.recipe.contains("lr") ? std::log(state.recipe.at("lr").get<double>()) : 0.0);
    return code;
  }

 private:
  static const std::vector<std::string>& counted() {
    static const std::vector<std::string> kinds = {"conv 1", "conv 3",     "conv 5", "larger conv", "grouped conv", "linear",
                                                   "pool",   "activation", "add",    "concat",      "other"};
    return kinds;
  }
  static std::string kind_of(const Node& node) {
    if (node.operation == "conv2d") {
      if (!morphs::detail::is_dense(node)) return "grouped conv";
      const std::int64_t kernel = node.attributes.at("kernel").at(0);
      return kernel > 5 ? "larger conv" : "conv " + std::to_string(kernel | 1);
    }
    if (node.operation.ends_with("_pool")) return "pool";
    const auto& kinds = counted();
    return std::find(kinds.begin(), kinds.end(), node.operation) != kinds.end() ? node.operation : "other";
  }

  Json first_recipe() const { return options_.lr ? Json{{"lr", *options_.lr}} : Json::object(); }

  Genotype start(const weft::Context& context) const {
    const auto file = context.get<std::string>("architecture");
    if (file.empty()) return write({graph_space::chain(context.get<std::string>("start"), task_), first_recipe()});
    const std::filesystem::path path = weft::data_path(file);
    std::ifstream stream(path);
    const Json json = Json::parse(stream, nullptr, false);
    if (!stream && !stream.eof()) throw InvalidInput("/architecture: " + path.string() + " cannot be read");
    if (json.is_discarded()) throw InvalidInput("/architecture: " + path.string() + " is no JSON");
    try {
      return write({Architecture::from_json(json.contains("architecture") && json.at("architecture").is_object()
                                                ? json.at("architecture")
                                                : json),
                    first_recipe()});
    } catch (const InvalidInput& error) {
      throw InvalidInput("/architecture: " + path.string() + ": " + error.what());
    }
  }

  State read(const Genotype& genotype) const {
    if (!genotype.decisions.empty() || !genotype.opaque.is_object())
      throw InvalidInput("a genotype of this space is {\"architecture\": {..}, \"recipe\": {..}}, not " +
                         genotype.to_json().dump().substr(0, 200));
    Candidate candidate = Candidate::from_json(genotype.opaque);
    const Architecture& graph = candidate.architecture;
    for (const Node& node : graph.nodes()) {
      if (node.operation == "input" && node.shape != task_.input)
        throw InvalidInput("the architecture's input is " + node.shape.to_string() + "; the task's is " +
                           task_.input.to_string());
      if (node.operation == "choice") throw InvalidInput("the architecture has a choice, node " + node.name);
    }
    if (graph.shape(graph.output()) != weft::Shape::features(task_.classes))
      throw InvalidInput("the architecture's output is " + graph.shape(graph.output()).to_string() + "; the task has " +
                         std::to_string(task_.classes) + " classes");
    if (options_.lr && !candidate.recipe.contains("lr")) candidate.recipe["lr"] = *options_.lr;
    return {std::move(candidate.architecture), std::move(candidate.recipe)};
  }

  static Genotype write(const State& state) {
    Genotype genotype;
    genotype.opaque = {{"architecture", state.architecture.to_json()}, {"recipe", state.recipe}};
    return genotype;
  }

  std::vector<Json> list(const std::string& name, const State& state) const {
    std::vector<Json> all = known_.at(name).list(state, options_);
    for (Json& morph : all) morph["morph"] = name;
    return all;
  }

  bool applies(State state, const Json& morph) const {
    Rng unused(0);
    try {
      known_.at(morph.at("morph").get<std::string>()).apply(state, morph, options_, unused);
      return true;
    } catch (const InvalidInput&) {
      return false;
    }
  }

  Options options_;
  weft::Task task_;
  std::map<std::string, Morph> known_;
  Genotype start_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Graph>("graph"))
