// Networks of memory banks: layers read some banks of feature maps, and add what they make of them to others.
//
// Brock, Lim, Ritchie, Weston 2018, "SMASH: One-Shot Model Architecture Search through HyperNetworks"; details as in
// the authors' code (ajbrock/SMASH). The rules and the probabilities of a draw are weft/memory_banks.hpp; here are the
// decisions they amount to and the network that is trained by itself: its layers have batch norms before and after the
// 1x1 convolution, which the one with generated weights has not.
//
// Deviations: a block's budget is drawn in whole slots; the 1x1 convolution has at most largest_bank filters, as many
// as the authors' hypernetwork generates, while their networks trained by themselves may have up to four times as many;
// what a mutation draws anew may leave a budget for more layers than the parent has, or fewer, and they are drawn or
// left out. Gates and further activations, which the paper's networks do without, are left out.

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "weft/blocks.hpp"
#include "weft/memory_banks.hpp"
#include "weft/plugin.hpp"
#include "weft/requirements.hpp"

namespace {

namespace memory = weft::memory_banks;
using memory::Draft;
using weft::ArchitectureBuilder;
using weft::Json;
using weft::NodeId;
using Asks = Draft::Asks;

// ---- decisions ------------------------------------------------------------------------------------------------------

// What it is called at its place, how it is told, and what a mutation draws anew together.
struct Role {
  const char* name;
  weft::Decision::Kind kind;
  int aspect;
};
Role role_of(Asks asks) {
  using Kind = weft::Decision::Kind;
  switch (asks) {
    case Asks::width:
      return {"width", Kind::ordinal, 0};
    case Asks::budget:
      return {"budget", Kind::ordinal, 0};
    case Asks::read_count:
      return {"reads", Kind::ordinal, 1};
    case Asks::read:
      return {"read", Kind::categorical, 1};
    case Asks::units:
      return {"units", Kind::ordinal, 2};
    case Asks::write_count:
      return {"writes", Kind::ordinal, 3};
    case Asks::write:
      return {"write", Kind::categorical, 3};
    case Asks::layout:
      return {"layout", Kind::categorical, 4};
    case Asks::kernel_height:
      return {"kernel height", Kind::ordinal, 5};
    case Asks::kernel_width:
      return {"kernel width", Kind::ordinal, 5};
    case Asks::dilation_height:
      return {"dilation height", Kind::ordinal, 6};
    case Asks::dilation_width:
      return {"dilation width", Kind::ordinal, 6};
    case Asks::groups:
      return {"groups", Kind::ordinal, 7};
    case Asks::nothing:
      break;
  }
  return {"", Kind::categorical, 0};
}

weft::Decision decision_of(const Draft& draft) {
  const Role role = role_of(draft.asks());
  std::string name = "block " + std::to_string(draft.block() + 1) + "/";
  if (role.aspect > 0) name += "layer " + std::to_string(draft.layer() + 1) + "/";
  if (role.aspect > 4) name += "convolution " + std::to_string(draft.index() + 1) + "/";
  name += role.name;
  if (draft.asks() == Asks::read || draft.asks() == Asks::write) name += " " + std::to_string(draft.index() + 1);
  weft::Decision decision{.name = std::move(name), .group = role.name, .kind = role.kind, .step = draft.step()};
  for (const int value : draft.values()) decision.options.push_back(std::to_string(value));
  return decision;
}

std::size_t place_of(int value, const std::vector<int>& values) {
  const auto found = std::find(values.begin(), values.end(), value);
  if (found != values.end()) return static_cast<std::size_t>(found - values.begin());
  throw weft::InvalidInput(std::to_string(value) + " is none of " + Json(values).dump());
}

// ---- the network ----------------------------------------------------------------------------------------------------

// Channels from .. from + channels - 1, unless those are all.
NodeId piece(ArchitectureBuilder& graph, NodeId input, std::int64_t from, std::int64_t channels) {
  if (channels == graph.shape(input).channels) return input;
  return graph.add("slice", {{"from", from}, {"channels", channels}}, {input});
}

NodeId side_by_side(ArchitectureBuilder& graph, const std::vector<NodeId>& banks) {
  return banks.size() == 1 ? banks.front() : graph.add("concat", {}, banks);
}

NodeId convolve(ArchitectureBuilder& graph, NodeId input, std::int64_t channels, const memory::Convolution& c,
                const std::string& name) {
  return graph.add("conv2d",
                   {{"channels", channels},
                    {"kernel", {c.height, c.width}},
                    {"padding", {c.dilation_height * (c.height - 1) / 2, c.dilation_width * (c.width - 1) / 2}},
                    {"dilation", {c.dilation_height, c.dilation_width}},
                    {"groups", c.groups}},
                   {weft::blocks::relu(graph, input)}, name);
}

// Batch norm - ReLU - 1x1 - batch norm, then the convolutions, each behind a ReLU.
NodeId add_layer(ArchitectureBuilder& graph, NodeId read, const memory::Layer& layer, std::int64_t mixed,
                 std::int64_t channels, const std::string& place) {
  NodeId x = graph.add("batch_norm", {}, {read}, place + "read norm");
  x = graph.add("activation", {{"function", "relu"}}, {x}, place + "read relu");
  x = graph.add("conv2d", {{"channels", mixed}, {"kernel", 1}}, {x}, place + "mix");
  x = graph.add("batch_norm", {}, {x}, place + "mix norm");
  const auto convolved = [&](std::size_t i, NodeId input) {
    if (!layer.convolved[i]) return input;
    return convolve(graph, input, channels, *layer.convolved[i], place + "convolution " + std::to_string(i + 1));
  };
  const NodeId one_way = convolved(1, convolved(0, x));
  if (!layer.convolved[2]) return one_way;
  return graph.add("add", {}, {one_way, convolved(3, convolved(2, x))});
}

// Its banks side by side after the last layer.
NodeId add_block(ArchitectureBuilder& graph, NodeId input, const memory::Network& network, int number) {
  const memory::Geometry& geometry = network.geometry;
  const memory::Block& block = network.parts[static_cast<std::size_t>(number)];
  const std::int64_t width = block.width * geometry.bank;
  std::vector<NodeId> banks;
  for (int bank = 0; bank < geometry.first_banks(number, block.width); ++bank)
    banks.push_back(piece(graph, input, bank * width, width));
  for (std::size_t l = 0; l < block.layers.size(); ++l) {
    const memory::Layer& layer = block.layers[l];
    const std::string name = "layer " + std::to_string(l + 1);
    const auto group = graph.group(name);
    std::vector<NodeId> read;
    for (const int bank : layer.reads) read.push_back(banks[static_cast<std::size_t>(bank)]);
    const NodeId out = add_layer(graph, side_by_side(graph, read), layer, network.mixed_channels(number, layer),
                                 layer.units * geometry.bank, "block " + std::to_string(number + 1) + "/" + name + "/");
    std::vector<NodeId> pieces;
    for (int first = 0; first < layer.units; first += block.width)
      pieces.push_back(piece(graph, out, first * geometry.bank, width));
    for (std::size_t i = 0; i < layer.writes.size(); ++i) {
      const NodeId written = pieces[i % pieces.size()];
      const auto bank = static_cast<std::size_t>(layer.writes[i]);
      if (bank < banks.size()) {
        banks[bank] = graph.add("add", {}, {banks[bank], written});
      } else {
        banks.push_back(written);
      }
    }
  }
  return side_by_side(graph, banks);
}

weft::Architecture build(const memory::Network& network, const weft::Task& task) {
  ArchitectureBuilder graph;
  NodeId x = graph.input(task.input);
  x = graph.add("conv2d", {{"channels", network.geometry.base()}, {"kernel", 7}, {"padding", 3}}, {x}, "stem");
  x = weft::blocks::relu(graph, x);
  for (int block = 0; block < memory::blocks; ++block) {
    const std::string number = std::to_string(block + 1);
    {
      const auto group = graph.group("block " + number);
      x = add_block(graph, x, network, block);
    }
    const bool last = block + 1 == memory::blocks;
    const std::string place = last ? "classifier/" : "transition " + number + "/";
    const auto group = graph.group(last ? "classifier" : "transition " + number);
    x = weft::blocks::relu(graph, graph.add("batch_norm", {}, {x}, place + "norm"));
    if (last) break;
    x = graph.add("conv2d", {{"channels", network.geometry.entering(block + 1)}, {"kernel", 1}}, {x}, place + "conv2d");
    x = graph.add("avg_pool", {{"kernel", 2}, {"stride", 2}}, {x});
  }
  const auto group = graph.group("classifier");
  x = graph.add("global_avg_pool", {}, {x});
  return std::move(graph).build(graph.add("linear", {{"features", task.classes}}, {x}, "classifier/linear"));
}

// ---- the space ------------------------------------------------------------------------------------------------------

class Smash final : public weft::DecisionSpace {
 public:
  explicit Smash(const weft::Context& context)
      : geometry_{context.get<int>("depth"),          context.get<int>("width"),       context.get<int>("bank"),
                  context.get<int>("largest_bank"),   context.get<int>("compression"), context.get<int>("groups"),
                  context.get<double>("least_budget")},
        mutation_rate_(context.get<double>("mutation_rate")),
        task_(context.task()) {
    geometry_.check();
    weft::require::image(task_.input, "smash", weft::require::before_halvings(memory::blocks - 1),
                         "it has two halvings");
  }

  std::optional<weft::Decision> next(std::span<const std::int32_t> taken) const override {
    const Draft draft = after(taken);
    if (draft.asks() == Asks::nothing) return {};
    return decision_of(draft);
  }
  bool complete(std::span<const std::int32_t> taken) const override { return after(taken).asks() == Asks::nothing; }

  weft::Genotype sample(weft::Rng& rng) const override { return genotype_of(memory::draw(geometry_, {}, rng)); }

  // Layer by layer, each aspect of it anew with mutation_rate; more often, where the rules no longer leave the parent's
  // answer. Until something has changed.
  weft::Genotype mutate(const weft::Genotype& parent, weft::Rng& rng) const override {
    const memory::Network network = network_of(parent);
    for (int attempt = 0; attempt < 1000; ++attempt) {
      const memory::Network child = mutated(network, rng);
      if (child != network) return genotype_of(child);
    }
    return DecisionSpace::mutate(parent, rng);
  }

  weft::Candidate decode(const weft::Genotype& genotype) const override { return {build(network_of(genotype), task_)}; }

  std::string notation(const weft::Genotype& genotype) const override { return network_of(genotype).to_json().dump(); }
  weft::Genotype parse(std::string_view notation) const override {
    const Json json = Json::parse(notation, nullptr, false);
    if (json.is_discarded()) throw weft::InvalidInput("not JSON: " + std::string(notation));
    const memory::Network network = memory::Network::from_json(json);
    if (network.geometry != geometry_) {
      throw weft::InvalidInput("a network of geometry " + network.geometry.to_json().dump() + "; this space's is " +
                               geometry_.to_json().dump());
    }
    return genotype_of(network);
  }

  std::size_t encoding_length() const override {
    return static_cast<std::size_t>(memory::encoding_channels(geometry_) * geometry_.units() * geometry_.slots());
  }
  // [encoding_channels, units, slots] of weft/memory_banks.hpp.
  std::vector<double> encode(const weft::Genotype& genotype) const override {
    return memory::encode(network_of(genotype));
  }

 private:
  Draft after(std::span<const std::int32_t> taken) const {
    Draft draft(geometry_);
    for (std::size_t i = 0; i < taken.size(); ++i) {
      const std::vector<int> values = draft.values();
      if (values.empty()) {
        throw weft::InvalidInput("the genotype has " + std::to_string(taken.size()) +
                                 " decisions, but nothing is left to decide after " + std::to_string(i));
      }
      if (taken[i] < 0 || static_cast<std::size_t>(taken[i]) >= values.size()) {
        throw weft::InvalidInput("decision " + std::to_string(i) + " (" + decision_of(draft).name + ") takes option " +
                                 std::to_string(taken[i]) + "; there are " + std::to_string(values.size()));
      }
      draft.answer(values[static_cast<std::size_t>(taken[i])]);
    }
    return draft;
  }

  memory::Network network_of(const weft::Genotype& genotype) const {
    if (!genotype.opaque.is_null()) {
      throw weft::InvalidInput("a genotype of this space is a list of decisions, not " + genotype.opaque.dump());
    }
    const Draft draft = after(genotype.decisions);
    if (draft.asks() == Asks::nothing) return draft.network();
    throw weft::InvalidInput("the genotype ends after " + std::to_string(genotype.decisions.size()) +
                             " decisions, before decision " + decision_of(draft).name);
  }

  // Throws InvalidInput where the network breaks a rule.
  weft::Genotype genotype_of(const memory::Network& network) const {
    Draft draft(geometry_);
    weft::Genotype genotype;
    while (draft.asks() != Asks::nothing) {
      const std::vector<int> values = draft.values();
      const std::optional<int> value = draft.answer_of(network);
      if (!value || std::find(values.begin(), values.end(), *value) == values.end()) {
        throw weft::InvalidInput(decision_of(draft).name + " is " + (value ? std::to_string(*value) : "missing") +
                                 "; must be one of " + Json(values).dump());
      }
      genotype.decisions.push_back(static_cast<std::int32_t>(place_of(*value, values)));
      draft.answer(*value);
    }
    if (draft.network() != network) throw weft::InvalidInput("a block has more layers than its budget pays for");
    return genotype;
  }

  memory::Network mutated(const memory::Network& parent, weft::Rng& rng) const {
    Draft draft(geometry_);
    std::map<int, bool> anew;  // by aspect, of the present layer
    int step = draft.step();
    while (draft.asks() != Asks::nothing) {
      if (draft.step() != step) anew.clear();
      step = draft.step();
      const int aspect = role_of(draft.asks()).aspect;
      if (aspect > 0 && !anew.contains(aspect)) anew[aspect] = rng.bernoulli(mutation_rate_);
      const std::vector<int> values = draft.values();
      const std::optional<int> kept = anew[aspect] ? std::nullopt : draft.answer_of(parent);
      if (kept && std::find(values.begin(), values.end(), *kept) != values.end()) {
        draft.answer(*kept);
      } else {
        draft.answer(values[rng.weighted(draft.weights({}))]);
      }
    }
    return draft.network();
  }

  memory::Geometry geometry_;
  double mutation_rate_;
  weft::Task task_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Smash>("smash"))
