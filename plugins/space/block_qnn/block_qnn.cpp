// Block-QNN's space: one block, written layer by layer as 5-tuples (the network structure code), repeated in stages
// with max pooling between them.
//
// Zhong, Yan, Wu, Shao, Liu 2018, "Practical Block-wise Neural Network Architecture Generation", section 3.1 and Table
// 1. A layer is one decision and its tuple the state, as in the paper's Q-learning. Where channels have to be brought
// together the paper leaves room; a 1x1 convolution does it as in elenathfgs/BlockQNN_Keras. Deviations: the two
// predecessors of an addition or concatenation differ and are offered in one order only, which loses no block; `sample`
// draws the type first, since among all tuples the terminal is so rare that nearly every block would have T layers.

#include <algorithm>
#include <array>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "weft/blocks.hpp"
#include "weft/notation_reader.hpp"
#include "weft/plugin.hpp"
#include "weft/requirements.hpp"

namespace {

namespace blocks = weft::blocks;
using blocks::Convolution;
using weft::ArchitectureBuilder;
using weft::NodeId;

// Numbered as in the paper's Table 1.
enum class Type { convolution = 1, max_pooling, average_pooling, identity, addition, concatenation, terminal };

std::string to_code(const std::array<std::int64_t, 5>& tuple) {
  std::string text;
  for (const std::int64_t part : tuple) text += (text.empty() ? "(" : ",") + std::to_string(part);
  return text + ")";
}

// A tuple without its index. Layer 0 is the block's input.
struct Layer {
  Type type = Type::terminal;
  std::int64_t kernel = 0;
  std::size_t first = 0;
  std::size_t second = 0;

  bool merges() const { return type == Type::addition || type == Type::concatenation; }
  std::string code(std::size_t index) const {
    return to_code({static_cast<std::int64_t>(index), static_cast<std::int64_t>(type), kernel,
                    static_cast<std::int64_t>(first), static_cast<std::int64_t>(second)});
  }
};

// A layer's type and kernel: all but its predecessors.
struct Kind {
  Type type;
  std::int64_t kernel;
};
constexpr Kind kinds[] = {{Type::convolution, 1},     {Type::convolution, 3}, {Type::convolution, 5},
                          {Type::max_pooling, 1},     {Type::max_pooling, 3}, {Type::average_pooling, 1},
                          {Type::average_pooling, 3}, {Type::identity, 0},    {Type::addition, 0},
                          {Type::concatenation, 0}};

// Everything that may stand at `index`. The terminal comes last; it ends no empty block.
std::vector<Layer> layers_at(std::size_t index, std::size_t most) {
  std::vector<Layer> layers;
  for (const Kind& kind : kinds) {
    if (index > most) break;
    for (std::size_t first = 0; first < index; ++first) {
      if (!Layer{kind.type}.merges()) {
        layers.push_back({kind.type, kind.kernel, first});
        continue;
      }
      for (std::size_t second = first + 1; second < index; ++second) {
        layers.push_back({kind.type, kind.kernel, first, second});
      }
    }
  }
  if (index > 1) layers.push_back({});
  return layers;
}

NodeId project(ArchitectureBuilder& graph, NodeId input, std::int64_t filters) {
  return blocks::relu_conv_bn(graph, input, Convolution::square(filters, 1));
}

NodeId concatenate(ArchitectureBuilder& graph, const std::vector<NodeId>& inputs, std::int64_t filters) {
  const auto group = graph.own_group("concat");
  return project(graph, graph.add("concat", {}, inputs), filters);
}

// Summands of different depth are brought to the block's width.
NodeId add_up(ArchitectureBuilder& graph, NodeId first, NodeId second, std::int64_t filters) {
  if (graph.shape(first) != graph.shape(second)) {
    for (NodeId* input : {&first, &second}) {
      if (graph.shape(*input).channels != filters) *input = project(graph, *input, filters);
    }
  }
  return graph.add("add", {}, {first, second});
}

NodeId add_layer(ArchitectureBuilder& graph, const Layer& layer, const std::vector<NodeId>& values,
                 std::int64_t filters) {
  const NodeId input = values[layer.first];
  switch (layer.type) {
    case Type::convolution:
      return blocks::relu_conv_bn(graph, input, Convolution::square(filters, layer.kernel));
    case Type::max_pooling:
      return blocks::pool(graph, input, "max_pool", layer.kernel);
    case Type::average_pooling:
      return blocks::pool(graph, input, "avg_pool", layer.kernel);
    case Type::addition:
      return add_up(graph, input, values[layer.second], filters);
    case Type::concatenation:
      return concatenate(graph, {input, values[layer.second]}, filters);
    default:
      return graph.add("identity", {}, {input});
  }
}

// The layers, and as the block's output the concatenation of those that no other reads.
NodeId add_block(ArchitectureBuilder& graph, NodeId input, const std::vector<Layer>& layers, std::int64_t filters) {
  std::vector<NodeId> values = {input};
  std::vector<bool> read(layers.size() + 1);
  for (const Layer& layer : layers) {
    const auto group = graph.group("layer " + std::to_string(values.size()));
    values.push_back(add_layer(graph, layer, values, filters));
    read[layer.first] = true;
    if (layer.merges()) read[layer.second] = true;
  }
  std::vector<NodeId> unread;
  for (std::size_t index = 1; index < values.size(); ++index) {
    if (!read[index]) unread.push_back(values[index]);
  }
  return unread.size() == 1 ? unread.front() : concatenate(graph, unread, filters);
}

class BlockQnn final : public weft::DecisionSpace {
 public:
  explicit BlockQnn(const weft::Context& context)
      : blocks_(context.get<int>("blocks")),
        filters_(context.get<std::vector<std::int64_t>>("filters")),
        stem_filters_(context.get<std::int64_t>("stem_filters")),
        task_(context.task()) {
    const auto layers = context.get<std::size_t>("layers");
    for (std::size_t index = 1; index <= layers + 1; ++index) {
      offered_.push_back(layers_at(index, layers));
      codes_.emplace_back();
      for (const Layer& layer : offered_.back()) codes_.back().push_back(layer.code(index));
    }
    weft::require::image(task_.input, "block_qnn", weft::require::before_halvings(filters_.size() - 1),
                         "give fewer stages in /filters");
  }

  std::optional<weft::Decision> next(std::span<const std::int32_t> taken) const override {
    const std::vector<Layer> layers = follow(taken);
    if (!layers.empty() && layers.back().type == Type::terminal) return {};
    const std::size_t index = layers.size() + 1;
    return weft::Decision{.name = "layer " + std::to_string(index),
                          .group = "layer",
                          .options = codes_[index - 1],
                          .step = static_cast<int>(layers.size())};
  }

  // The tuple of the layer taken last, as in the paper's Q table; before the first, the input's.
  std::string state(std::span<const std::int32_t> taken) const override {
    const std::vector<Layer> layers = follow(taken);
    return layers.empty() ? "input" : layers.back().code(layers.size());
  }

  weft::Genotype sample(weft::Rng& rng) const override {
    weft::Genotype genotype;
    for (const std::vector<Layer>& offered : offered_) {
      genotype.decisions.push_back(draw(offered, rng));
      if (offered[static_cast<std::size_t>(genotype.decisions.back())].type == Type::terminal) break;
    }
    return genotype;
  }

  // Another layer at one place; those after it keep their predecessors. A new terminal cuts the block off, a layer in
  // the terminal's place lengthens it by one.
  weft::Genotype mutate(const weft::Genotype& parent, weft::Rng& rng) const override {
    check(parent);
    weft::Genotype child = parent;
    // After T layers the terminal has no alternative.
    const std::size_t places = std::min(parent.decisions.size(), layers());
    const std::size_t at = rng.below(places);
    const std::vector<Layer>& offered = offered_[at];
    auto drawn = static_cast<std::int32_t>(rng.below(offered.size() - 1));
    if (drawn >= parent.decisions[at]) ++drawn;
    child.decisions[at] = drawn;
    if (offered[static_cast<std::size_t>(drawn)].type == Type::terminal) {
      child.decisions.resize(at + 1);
    } else if (at + 1 == parent.decisions.size()) {
      child.decisions.push_back(static_cast<std::int32_t>(offered_[at + 1].size()) - 1);
    }
    return child;
  }

  weft::Candidate decode(const weft::Genotype& genotype) const override {
    check(genotype);
    std::vector<Layer> layers = follow(genotype.decisions);
    layers.pop_back();  // the terminal
    ArchitectureBuilder graph;
    NodeId x = graph.input(task_.input);
    {
      const auto group = graph.group("stem");
      Convolution stem = Convolution::square(stem_filters_, 3);
      stem.bias = true;  // there is no batch norm
      x = blocks::convolution(graph, x, stem);
    }
    int number = 0;
    for (std::size_t stage = 0; stage < filters_.size(); ++stage) {
      if (stage > 0) {
        const auto group = graph.group("pool " + std::to_string(stage));
        x = blocks::pool(graph, x, "max_pool", 2, 2);
      }
      for (int block = 0; block < blocks_; ++block) {
        const auto group = graph.group("block " + std::to_string(++number));
        x = add_block(graph, x, layers, filters_[stage]);
      }
    }
    return {std::move(graph).build(blocks::classifier(graph, x, task_.classes))};
  }

  // The network structure code: (1,1,3,0,0) (2,5,0,0,1) (3,7,0,0,0), each (index, type, kernel, predecessors).
  std::string notation(const weft::Genotype& genotype) const override {
    check(genotype);
    std::string text;
    const std::vector<Layer> layers = follow(genotype.decisions);
    for (std::size_t i = 0; i < layers.size(); ++i) text += (i ? " " : "") + layers[i].code(i + 1);
    return text;
  }

  // Tuples may also be separated by commas and their list enclosed in brackets; predecessors may come in any order.
  weft::Genotype parse(std::string_view notation) const override {
    weft::NotationReader reader(notation, "(1,1,3,0,0) (2,5,0,0,1) (3,7,0,0,0): index, type, kernel, predecessors");
    weft::Genotype genotype;
    const bool bracketed = reader.accept("[");
    bool ended = false;
    for (std::size_t index = 1; !ended; ++index) {
      if (index > 1) reader.accept(",");
      genotype.decisions.push_back(read_layer(reader, index));
      ended = offered_[index - 1][static_cast<std::size_t>(genotype.decisions.back())].type == Type::terminal;
    }
    if (bracketed) reader.expect("]");
    reader.expect_end();
    return genotype;
  }

  // For each layer its kind, one-hot, and which layers it reads; nothing after the end.
  std::size_t encoding_length() const override { return layers() * (std::size(kinds) + layers()); }
  std::vector<double> encode(const weft::Genotype& genotype) const override {
    check(genotype);
    std::vector<double> code(encoding_length());
    std::size_t at = 0;
    for (const Layer& layer : follow(genotype.decisions)) {
      if (layer.type == Type::terminal) break;
      const auto kind = std::find_if(std::begin(kinds), std::end(kinds), [&](const Kind& candidate) {
        return candidate.type == layer.type && candidate.kernel == layer.kernel;
      });
      code[at + static_cast<std::size_t>(kind - std::begin(kinds))] = 1.0;
      at += std::size(kinds);
      code[at + layer.first] = 1.0;
      if (layer.merges()) code[at + layer.second] = 1.0;
      at += layers();
    }
    return code;
  }

 private:
  std::size_t layers() const { return offered_.size() - 1; }

  std::vector<Layer> follow(std::span<const std::int32_t> taken) const {
    std::vector<Layer> layers;
    for (const std::int32_t option : taken) {
      const bool ended = !layers.empty() && layers.back().type == Type::terminal;
      const std::size_t options = ended ? 0 : offered_[layers.size()].size();
      if (option < 0 || static_cast<std::size_t>(option) >= options) {
        throw weft::InvalidInput("layer " + std::to_string(layers.size() + 1) + " takes option " +
                                 std::to_string(option) + "; there are " + std::to_string(options));
      }
      layers.push_back(offered_[layers.size()][static_cast<std::size_t>(option)]);
    }
    return layers;
  }

  // As walk() does, which writes out hundreds of options a layer: only where there is something to say.
  void check(const weft::Genotype& genotype) const {
    const auto fits = [&](std::size_t at) {
      const std::int32_t option = genotype.decisions[at];
      const bool ends = at + 1 == genotype.decisions.size();
      return at < offered_.size() && option >= 0 && static_cast<std::size_t>(option) < offered_[at].size() &&
             (offered_[at][static_cast<std::size_t>(option)].type == Type::terminal) == ends;
    };
    bool sound = genotype.opaque.is_null() && !genotype.decisions.empty();
    for (std::size_t at = 0; sound && at < genotype.decisions.size(); ++at) sound = fits(at);
    if (!sound) walk(genotype);
  }

  // The type uniformly among those that are offered, then one of its layers.
  static std::int32_t draw(const std::vector<Layer>& offered, weft::Rng& rng) {
    std::vector<Type> types;
    for (const Layer& layer : offered) {
      if (types.empty() || types.back() != layer.type) types.push_back(layer.type);
    }
    const Type type = rng.choice(types);
    std::vector<std::int32_t> options;
    for (std::size_t i = 0; i < offered.size(); ++i) {
      if (offered[i].type == type) options.push_back(static_cast<std::int32_t>(i));
    }
    return rng.choice(options);
  }

  std::int32_t read_layer(weft::NotationReader& reader, std::size_t index) const {
    std::array<std::int64_t, 5> tuple{};
    for (std::size_t i = 0; i < tuple.size(); ++i) {
      reader.expect(i == 0 ? "(" : ",");
      tuple[i] = reader.integer("a number");
    }
    reader.expect(")");
    if (Layer{static_cast<Type>(tuple[1])}.merges() && tuple[3] > tuple[4]) std::swap(tuple[3], tuple[4]);
    const std::string code = to_code(tuple);
    const std::vector<Layer>& offered = offered_[index - 1];
    const auto found =
        std::find_if(offered.begin(), offered.end(), [&](const Layer& layer) { return layer.code(index) == code; });
    if (found != offered.end()) return static_cast<std::int32_t>(found - offered.begin());
    const std::string instead = "before this, instead of " + code + ", ";
    if (index > layers()) {
      reader.fail(instead + "the terminal " + Layer{}.code(index) + ", since /layers is " + std::to_string(layers()));
    }
    reader.fail(
        instead + "a tuple of layer " + std::to_string(index) +
        ": convolution (type 1) with kernel 1, 3 or 5, max (2) or average pooling (3) with 1 or 3, identity (4) "
        "of one earlier layer; addition (5) or concatenation (6) of two different ones; or, after at least one "
        "layer, the terminal " +
        Layer{}.code(index));
  }

  std::vector<std::vector<Layer>> offered_;      // by index: layer 1 first, after layer T the terminal alone
  std::vector<std::vector<std::string>> codes_;  // of those
  int blocks_;
  std::vector<std::int64_t> filters_;  // of each stage
  std::int64_t stem_filters_;
  weft::Task task_;
};

}  // namespace

WEFT_PLUGIN(weft::component<BlockQnn>("block_qnn"))
