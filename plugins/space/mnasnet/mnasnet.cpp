// MnasNet's factorized hierarchical search space: the network is a sequence of blocks, each with choices of its own for
// the operation, its kernel, squeeze-and-excitation, skip operation, filters and number of layers, the last two
// relative to MobileNetV2. The layers of a block are alike; the first alone may have a stride.
//
// Tan, Chen, Pang, Vasudevan, Sandler, Howard, Le 2018, "MnasNet: Platform-Aware Neural Architecture Search for
// Mobile", section 4.1; layers as in the released code (tensorflow/tpu, models/official/mnasnet). A skip operation adds
// what has the shape of the layer's output: the layer's input where neither stride nor channels change, the pooled
// input also where the stride does. The paper does not say more about it.

#include <algorithm>
#include <cmath>
#include <string>
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

// What is decided about a block.
struct Block {
  std::string operation;  // conv, dconv, mbconv<expansion>
  std::int64_t kernel;
  double squeeze_excitation;
  std::string skip;
  std::int64_t filters;
  std::int64_t layers;
};

// The options of a block as they are written, decision by decision.
struct Choice {
  std::string name;
  weft::Decision::Kind kind;
  std::vector<std::string> options;
};

// Gates the channels by a function of their means (Hu, Shen, Sun 2018, "Squeeze-and-Excitation Networks").
NodeId squeeze_and_excite(ArchitectureBuilder& graph, NodeId input, std::int64_t squeezed) {
  const auto group = graph.own_group("squeeze_excitation");
  const auto linear = [&](NodeId from, std::int64_t features) {
    return graph.add("linear", {{"features", features}}, {from});
  };
  const NodeId hidden = blocks::relu(graph, linear(graph.add("global_avg_pool", {}, {input}), squeezed));
  const NodeId excited = linear(hidden, graph.shape(input).channels);
  return graph.add("scale", {}, {input, graph.add("activation", {{"function", "sigmoid"}}, {excited})});
}

NodeId add_operation(ArchitectureBuilder& graph, NodeId input, const Block& block, std::int64_t stride) {
  const std::int64_t channels = graph.shape(input).channels;
  const auto excite = [&](NodeId x) {
    if (block.squeeze_excitation == 0.0) return x;
    const auto squeezed = static_cast<std::int64_t>(static_cast<double>(channels) * block.squeeze_excitation);
    return squeeze_and_excite(graph, x, std::max<std::int64_t>(1, squeezed));
  };
  if (block.operation == "conv") {
    return excite(blocks::conv_bn_relu(graph, input, Convolution::square(block.filters, block.kernel, stride)));
  }
  NodeId x = input;
  if (block.operation.starts_with("mbconv")) {
    const std::int64_t expansion = std::stoll(block.operation.substr(6));
    x = blocks::conv_bn_relu(graph, x, Convolution::square(expansion * channels, 1));
  }
  const std::int64_t width = graph.shape(x).channels;
  x = excite(blocks::conv_bn_relu(graph, x, Convolution::depthwise(width, block.kernel, stride)));
  return blocks::conv_bn(graph, x, Convolution::square(block.filters, 1));
}

// One box of the paper's Figure 7: mbconv3_5x5_se0.25_identity, with the skip that it has.
NodeId add_layer(ArchitectureBuilder& graph, NodeId input, const Block& block, std::int64_t stride,
                 const std::string& skip_pool) {
  const bool pools = block.skip == "pool";
  const bool skips =
      (pools || (block.skip == "identity" && stride == 1)) && graph.shape(input).channels == block.filters;
  const std::string extent = std::to_string(block.kernel);
  std::string name = block.operation + "_" + extent + "x" + extent;
  if (block.squeeze_excitation > 0.0) name += "_se" + weft::Json(block.squeeze_excitation).dump();
  const auto group = graph.own_group(skips ? name + "_" + block.skip : name);
  const NodeId x = add_operation(graph, input, block, stride);
  if (!skips) return x;
  return graph.add("add", {}, {x, pools ? blocks::pool(graph, input, skip_pool.c_str(), 3, stride) : input});
}

class Mnasnet final : public weft::DecisionSpace {
 public:
  explicit Mnasnet(const weft::Context& context)
      : skip_pool_(context.get<std::string>("skip_pool")),
        stem_filters_(context.get<std::int64_t>("stem_filters")),
        stem_stride_(context.get<std::int64_t>("stem_stride")),
        head_filters_(context.get<std::int64_t>("head_filters")),
        dropout_(context.get<double>("dropout")),
        task_(context.task()) {
    weft::require::odd(context.get<std::vector<std::int64_t>>("kernels"), "kernels");
    for (const weft::Json& reference : context.configuration().at("blocks")) {
      strides_.push_back(reference.at("stride"));
      choices_.push_back(choices(context, reference));
    }
    weft::require::image(task_.input, "mnasnet", smallest_extent(), "set /stem_stride or a stride in /blocks to 1");
  }

  std::optional<weft::Decision> next(std::span<const std::int32_t> taken) const override {
    const std::size_t parts = choices_.front().size();
    const std::size_t block = taken.size() / parts;
    if (block >= choices_.size()) return {};
    const Choice& choice = choices_[block][taken.size() % parts];
    return weft::Decision{.name = "block " + std::to_string(block + 1) + "/" + choice.name,
                          .group = choice.name,
                          .kind = choice.kind,
                          .options = choice.options,
                          .step = static_cast<int>(block)};
  }

  weft::Candidate decode(const weft::Genotype& genotype) const override {
    const std::vector<Block> decided = to_blocks(genotype);
    ArchitectureBuilder graph;
    NodeId x = graph.input(task_.input);
    {
      const auto group = graph.group("stem");
      x = blocks::conv_bn_relu(graph, x, Convolution::square(stem_filters_, 3, stem_stride_));
    }
    for (std::size_t b = 0; b < decided.size(); ++b) {
      const auto block = graph.group("block " + std::to_string(b + 1));
      for (std::int64_t layer = 1; layer <= decided[b].layers; ++layer) {
        x = add_layer(graph, x, decided[b], layer == 1 ? strides_[b] : 1, skip_pool_);
      }
    }
    {
      const auto group = graph.group("head");
      x = blocks::conv_bn_relu(graph, x, Convolution::square(head_filters_, 1));
    }
    return {std::move(graph).build(blocks::classifier(graph, x, task_.classes, dropout_))};
  }

  // mbconv6_k3_se0.25_identity_f24_r2 for each block: operation, kernel, squeeze-and-excitation, skip, filters, layers.
  std::string notation(const weft::Genotype& genotype) const override {
    const std::vector<weft::Decision> decisions = walk(genotype);
    const std::size_t parts = choices_.front().size();
    std::string text;
    for (std::size_t i = 0; i < decisions.size(); ++i) {
      if (i > 0) text += i % parts == 0 ? ' ' : '_';
      text += decisions[i].options[static_cast<std::size_t>(genotype.decisions[i])];
    }
    return text;
  }

  weft::Genotype parse(std::string_view notation) const override {
    weft::NotationReader reader(notation, "mbconv6_k3_se0.25_identity_f24_r2 .., " + std::to_string(choices_.size()) +
                                              " blocks, filters and layers as each of them offers");
    weft::Genotype genotype;
    for (const std::vector<Choice>& block : choices_) {
      for (std::size_t part = 0; part < block.size(); ++part) {
        if (part > 0) reader.expect("_");
        genotype.decisions.push_back(read_option(reader, block[part]));
      }
    }
    reader.expect_end();
    return genotype;
  }

 private:
  static std::vector<Choice> choices(const weft::Context& context, const weft::Json& reference) {
    using Kind = weft::Decision::Kind;
    std::vector<std::string> squeeze_excitations;
    for (const weft::Json& ratio : context.configuration().at("squeeze_excitations")) {
      squeeze_excitations.push_back("se" + ratio.dump());
    }
    std::vector<std::int64_t> filters;
    for (const double ratio : context.get<std::vector<double>>("filter_ratios")) {
      filters.push_back(std::max<std::int64_t>(1, std::llround(ratio * reference.at("filters").get<double>())));
    }
    std::vector<std::int64_t> layers;
    for (const std::int64_t difference : context.get<std::vector<std::int64_t>>("layer_differences")) {
      layers.push_back(std::max<std::int64_t>(1, reference.at("layers").get<std::int64_t>() + difference));
    }
    return {{"operation", Kind::categorical, context.get<std::vector<std::string>>("operations")},
            {"kernel", Kind::ordinal, weft::ordinal_options(context.get<std::vector<std::int64_t>>("kernels"), "k")},
            {"squeeze-excitation", Kind::categorical, squeeze_excitations},
            {"skip", Kind::categorical, context.get<std::vector<std::string>>("skips")},
            {"filters", Kind::ordinal, weft::ordinal_options(filters, "f")},
            {"layers", Kind::ordinal, weft::ordinal_options(layers, "r")}};
  }

  // Of an image of which each stride still has two pixels to choose from.
  std::int64_t smallest_extent() const {
    std::int64_t smallest = 1;
    std::size_t halvings = stem_stride_ == 2 ? 1 : 0;
    for (const std::int64_t stride : strides_) {
      if (stride == 2) smallest = weft::require::before_halvings(halvings++) + 1;
    }
    return smallest;
  }

  // The longest option that comes next: f16 also begins f160.
  static std::int32_t read_option(weft::NotationReader& reader, const Choice& choice) {
    std::vector<std::string> options = choice.options;
    std::sort(options.begin(), options.end(), [](const auto& a, const auto& b) { return a.size() > b.size(); });
    for (const std::string& option : options) {
      if (reader.accept(option)) {
        return static_cast<std::int32_t>(std::find(choice.options.begin(), choice.options.end(), option) -
                                         choice.options.begin());
      }
    }
    std::string known;
    for (const std::string& option : choice.options) known += (known.empty() ? "" : ", ") + option;
    reader.fail(choice.name + ", one of " + known);
  }

  std::vector<Block> to_blocks(const weft::Genotype& genotype) const {
    walk(genotype);
    std::vector<Block> decided;
    std::size_t at = 0;
    for (const std::vector<Choice>& block : choices_) {
      const auto option = [&](std::size_t part) {
        return block[part].options[static_cast<std::size_t>(genotype.decisions[at + part])];
      };
      decided.push_back({.operation = option(0),
                         .kernel = std::stoll(option(1).substr(1)),
                         .squeeze_excitation = weft::Json::parse(option(2).substr(2)).get<double>(),
                         .skip = option(3),
                         .filters = std::stoll(option(4).substr(1)),
                         .layers = std::stoll(option(5).substr(1))});
      at += block.size();
    }
    return decided;
  }

  std::vector<std::int64_t> strides_;         // of each block's first layer
  std::vector<std::vector<Choice>> choices_;  // of each block, decision by decision
  std::string skip_pool_;
  std::int64_t stem_filters_;
  std::int64_t stem_stride_;
  std::int64_t head_filters_;
  double dropout_;
  weft::Task task_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Mnasnet>("mnasnet"))
