// The convolutional networks of Zoph & Le: a chain of layers whose filters' height, width and number are decided, and
// perhaps their strides; anchors decide from which earlier layers each reads.
//
// Zoph, Le 2017, "Neural Architecture Search with Reinforcement Learning", sections 3.1, 3.3 and 4.1. Skips make for
// three problems, solved as in section 3.3: a layer that reads none reads the image; outputs that nobody reads go to
// the classifier; of inputs that differ in size the smaller ones are padded with zeros. The vocabulary has no padding
// of its own, so a convolution over inputs of different sizes is written as the sum of one convolution for each size,
// which pads as it goes: the same function with the same weights. Deviations: where the difference is odd, which
// padding on both sides cannot make up, that convolution's filter is larger by one in that direction; the classifier
// averages each output before it concatenates them, which differs from averaging the padded ones by factors that its
// weights absorb. Padding keeps a layer's extent at stride 1, so that strides never shrink a map to nothing. The paper
// does not say how its networks end: they are averaged globally here.

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "weft/blocks.hpp"
#include "weft/notation_reader.hpp"
#include "weft/plugin.hpp"

namespace {

namespace blocks = weft::blocks;
using weft::ArchitectureBuilder;
using weft::Decision;
using weft::NodeId;

struct Layer {
  std::int64_t filters = 0;
  std::int64_t height = 1;
  std::int64_t width = 1;
  std::int64_t stride_height = 1;
  std::int64_t stride_width = 1;
  std::vector<std::size_t> inputs = {};  // numbers of earlier layers, from 1
};

// A number that is decided for each layer.
struct Quantity {
  const char* name;
  std::vector<std::int64_t> values;
  std::int64_t Layer::*member;
};

struct Extent {
  std::int64_t height;
  std::int64_t width;

  explicit Extent(const weft::Shape& shape) : height(shape.height), width(shape.width) {}
  friend auto operator<=>(const Extent&, const Extent&) = default;
};

// The convolution of what `input` is when padded with zeros to the extent `target`.
NodeId padded_convolution(ArchitectureBuilder& graph, NodeId input, const Layer& layer, std::int64_t filters,
                          const Extent& target) {
  const Extent extent(graph.shape(input));
  const auto kernel = [](std::int64_t size, std::int64_t missing) { return size + missing % 2; };
  const std::int64_t below = target.height - extent.height;
  const std::int64_t beside = target.width - extent.width;
  const std::int64_t height = kernel(layer.height, below);
  const std::int64_t width = kernel(layer.width, beside);
  return graph.add("conv2d",
                   {{"channels", filters},
                    {"kernel", {height, width}},
                    {"stride", {layer.stride_height, layer.stride_width}},
                    {"padding", {(below + height - 1) / 2, (beside + width - 1) / 2}}},
                   {input});
}

// Convolution of the concatenated inputs, batch norm, ReLU.
NodeId add_layer(ArchitectureBuilder& graph, const std::vector<NodeId>& inputs, const Layer& layer,
                 std::int64_t filters) {
  std::map<Extent, std::vector<NodeId>> by_extent;
  Extent largest(graph.shape(inputs.front()));
  for (const NodeId input : inputs) {
    const Extent extent(graph.shape(input));
    by_extent[extent].push_back(input);
    largest.height = std::max(largest.height, extent.height);
    largest.width = std::max(largest.width, extent.width);
  }
  std::vector<NodeId> terms;
  for (const auto& [extent, same] : by_extent) {
    const NodeId input = same.size() == 1 ? same.front() : graph.add("concat", {}, same);
    terms.push_back(padded_convolution(graph, input, layer, filters, largest));
  }
  const NodeId sum = terms.size() == 1 ? terms.front() : graph.add("add", {}, terms);
  return blocks::relu(graph, blocks::batch_norm(graph, sum));
}

// A direction that has a single pixel left stays as it is.
NodeId add_pooling(ArchitectureBuilder& graph, NodeId input) {
  const weft::Shape& shape = graph.shape(input);
  const weft::Json window = {std::min<std::int64_t>(shape.height, 2), std::min<std::int64_t>(shape.width, 2)};
  return graph.add("max_pool", {{"kernel", window}, {"stride", window}}, {input});
}

NodeId add_classifier(ArchitectureBuilder& graph, const std::vector<NodeId>& inputs, std::int64_t classes) {
  if (inputs.size() == 1) return blocks::classifier(graph, inputs.front(), classes);
  const auto group = graph.group("classifier");
  std::vector<NodeId> averages;
  for (const NodeId input : inputs) averages.push_back(graph.add("global_avg_pool", {}, {input}));
  return graph.add("linear", {{"features", classes}}, {graph.add("concat", {}, averages)});
}

class ZophLe final : public weft::DecisionSpace {
 public:
  explicit ZophLe(const weft::Context& context)
      : layers_(context.get<std::size_t>("layers")),
        minimum_layers_(context.get<std::size_t>("minimum_layers")),
        more_filters_(context.get<std::int64_t>("more_filters")),
        is_pooling_(layers_ + 1),
        task_(context.task()) {
    if (!task_.input.is_image()) {
      throw weft::InvalidInput("the task's input is " + task_.input.to_string() +
                               "; zoph_le needs an image, channels x height x width");
    }
    const auto values = [&](const char* name) { return context.get<std::vector<std::int64_t>>(name); };
    const auto odd = [&](const char* name) {
      for (const std::int64_t size : values(name)) {
        if (size % 2 != 0) continue;
        throw weft::InvalidInput("/" + std::string(name) + " holds " + std::to_string(size) +
                                 "; must be odd, since padding keeps the extent of the map");
      }
      return values(name);
    };
    quantities_ = {{"filter height", odd("filter_heights"), &Layer::height},
                   {"filter width", odd("filter_widths"), &Layer::width}};
    if (values("strides").size() > 1) {
      quantities_.push_back({"stride height", values("strides"), &Layer::stride_height});
      quantities_.push_back({"stride width", values("strides"), &Layer::stride_width});
    } else {
      same_stride_ = values("strides").front();
    }
    quantities_.push_back({"filters", values("filters"), &Layer::filters});
    place_pooling(context.get<std::vector<std::size_t>>("pool_layers"));
  }

  std::optional<Decision> next(std::span<const std::int32_t> taken) const override {
    const Position position = locate(taken.size());
    if (position.layer > layers_) return {};
    Decision decision{.name = "layer " + std::to_string(position.layer) + "/",
                      .step = static_cast<int>(position.layer)};
    if (position.part < quantities_.size()) {
      const Quantity& quantity = quantities_[position.part];
      decision.name += decision.group = quantity.name;
      decision.kind = Decision::Kind::ordinal;
      for (const std::int64_t value : quantity.values) decision.options.push_back(std::to_string(value));
    } else {
      const std::string source = std::to_string(position.part - quantities_.size() + 1);
      decision.name += "skip " + source;
      decision.group = "skip";
      decision.kind = Decision::Kind::reference;
      decision.options = {"none", source};
    }
    return decision;
  }

  bool complete(std::span<const std::int32_t> taken) const override {
    const Position position = locate(taken.size());
    return position.part == 0 && !taken.empty() && whole_layers(position) >= std::min(minimum_layers_, layers_);
  }

  weft::Candidate decode(const weft::Genotype& genotype) const override {
    const std::vector<Layer> layers = to_layers(genotype);
    ArchitectureBuilder graph;
    std::vector<NodeId> outputs = {graph.input(task_.input)};  // that of layer i at i
    std::vector<bool> read(layers.size() + 1);
    read[0] = true;
    for (std::size_t i = 1; i <= layers.size(); ++i) {
      const auto group = graph.group("layer " + std::to_string(i));
      const Layer& layer = layers[i - 1];
      std::vector<NodeId> inputs;
      for (const std::size_t source : layer.inputs) {
        inputs.push_back(outputs[source]);
        read[source] = true;
      }
      if (inputs.empty()) inputs.push_back(outputs[0]);
      outputs.push_back(is_pooling_[i] ? add_pooling(graph, inputs.front())
                                       : add_layer(graph, inputs, layer, layer.filters + more_filters_));
    }
    std::vector<NodeId> last;
    for (std::size_t i = 1; i <= layers.size(); ++i) {
      if (!read[i]) last.push_back(outputs[i]);
    }
    return {std::move(graph).build(add_classifier(graph, last, task_.classes))};
  }

  // Layer by layer height x width:filters, strides after "/" where they are decided, earlier layers after "@".
  std::string notation(const weft::Genotype& genotype) const override {
    const std::vector<Layer> layers = to_layers(genotype);
    std::string text;
    for (std::size_t i = 1; i <= layers.size(); ++i) {
      text += (text.empty() ? "" : " ") + (is_pooling_[i] ? "pool" : to_text(layers[i - 1]));
    }
    return text;
  }

  weft::Genotype parse(std::string_view notation) const override {
    weft::NotationReader reader(notation, std::string("3x5:36") + (strides_decided() ? "/2x1" : "") + " 7x1:48" +
                                              (strides_decided() ? "/1x1" : "") + "@1 ..");
    weft::Genotype genotype;
    for (std::size_t i = 1; i <= layers_; ++i) {
      if (!is_pooling_[i - 1] && complete(genotype.decisions) && reader.at_end()) break;
      if (is_pooling_[i]) {
        reader.expect("pool");
      } else {
        read_layer(reader, i, genotype.decisions);
      }
    }
    reader.expect_end();
    return genotype;
  }

  // One-hot; zeros for the layers that a shorter chain lacks.
  std::vector<double> encode(const weft::Genotype& genotype) const override {
    const std::vector<Decision> decisions = walk(genotype);
    std::vector<double> code;
    for (std::size_t i = 0; i < decisions.size(); ++i) {
      code.resize(code.size() + decisions[i].options.size());
      code[code.size() - decisions[i].options.size() + static_cast<std::size_t>(genotype.decisions[i])] = 1.0;
    }
    code.resize(encoding_length());
    return code;
  }

 private:
  // Where the next decision stands: the part of its layer, which may be one after the last.
  struct Position {
    std::size_t layer;
    std::size_t part;
  };

  bool strides_decided() const { return quantities_.size() > 3; }

  void place_pooling(const std::vector<std::size_t>& pool_layers) {
    const weft::Shape& input = task_.input;
    for (const std::size_t layer : pool_layers) {
      if (layer >= layers_) {
        throw weft::InvalidInput("/pool_layers holds " + std::to_string(layer) + "; must be less than /layers, " +
                                 std::to_string(layers_) + ", since a chain ends with a convolution");
      }
      is_pooling_[layer] = true;
    }
    std::size_t halvings = 0;
    while (std::min(input.height, input.width) >> (halvings + 1) > 0) ++halvings;
    if (!strides_decided() && pool_layers.size() > halvings) {
      throw weft::InvalidInput("/pool_layers has " + std::to_string(pool_layers.size()) + " layers; an image of " +
                               input.to_string() + " can be halved " + std::to_string(halvings) +
                               " times; leave out the others");
    }
  }

  Position locate(std::size_t taken) const {
    std::size_t layer = 1;
    for (; layer <= layers_; ++layer) {
      if (is_pooling_[layer]) continue;
      const std::size_t count = quantities_.size() + layer - 1;
      if (taken < count) break;
      taken -= count;
    }
    return {layer, taken};
  }

  // A chain does not end with pooling.
  std::size_t whole_layers(const Position& position) const {
    std::size_t layers = position.layer - 1;
    while (is_pooling_[layers]) --layers;
    return layers;
  }

  std::vector<Layer> to_layers(const weft::Genotype& genotype) const {
    walk(genotype);
    std::vector<Layer> layers(whole_layers(locate(genotype.decisions.size())));
    auto taken = genotype.decisions.begin();
    for (std::size_t i = 1; i <= layers.size(); ++i) {
      Layer& layer = layers[i - 1];
      layer.stride_height = layer.stride_width = same_stride_;
      if (is_pooling_[i]) {
        layer.inputs = {i - 1};
        continue;
      }
      for (const Quantity& quantity : quantities_) {
        layer.*quantity.member = quantity.values[static_cast<std::size_t>(*taken++)];
      }
      for (std::size_t source = 1; source < i; ++source) {
        if (*taken++ == 1) layer.inputs.push_back(source);
      }
    }
    return layers;
  }

  std::string to_text(const Layer& layer) const {
    const auto pair = [](std::int64_t height, std::int64_t width) {
      return std::to_string(height) + "x" + std::to_string(width);
    };
    std::string text = pair(layer.height, layer.width) + ":" + std::to_string(layer.filters);
    if (strides_decided()) text += "/" + pair(layer.stride_height, layer.stride_width);
    for (std::size_t i = 0; i < layer.inputs.size(); ++i) {
      text += (i == 0 ? "@" : "+") + std::to_string(layer.inputs[i]);
    }
    return text;
  }

  void read_layer(weft::NotationReader& reader, std::size_t number, std::vector<std::int32_t>& taken) const {
    const std::string place = " of layer " + std::to_string(number);
    const auto read = [&](std::size_t part) {
      const auto& [name, values, member] = quantities_[part];
      const std::int64_t value = reader.integer(name + place);
      const auto found = std::find(values.begin(), values.end(), value);
      if (found == values.end()) reader.fail(name + place + ", one of " + weft::Json(values).dump() + ", before this");
      return static_cast<std::int32_t>(found - values.begin());
    };
    std::vector<std::int32_t> options(quantities_.size());
    options[0] = read(0);
    reader.expect("x");
    options[1] = read(1);
    reader.expect(":");
    options.back() = read(quantities_.size() - 1);
    if (strides_decided()) {
      reader.expect("/");
      options[2] = read(2);
      reader.expect("x");
      options[3] = read(3);
    }
    taken.insert(taken.end(), options.begin(), options.end());
    std::vector<std::int32_t> bits(number - 1);
    for (bool more = reader.accept("@"); more; more = reader.accept("+")) {
      const std::int64_t source = reader.integer("the number of a layer");
      if (source < 1 || source >= static_cast<std::int64_t>(number)) {
        reader.fail("a layer from 1 to " + std::to_string(number - 1) + " before this");
      }
      bits[static_cast<std::size_t>(source - 1)] = 1;
    }
    taken.insert(taken.end(), bits.begin(), bits.end());
  }

  std::size_t layers_;
  std::size_t minimum_layers_;
  std::int64_t more_filters_;
  std::vector<Quantity> quantities_;  // the number of filters is the last
  std::int64_t same_stride_ = 1;      // where strides are not decided
  std::vector<bool> is_pooling_;      // by number of layer
  weft::Task task_;
};

}  // namespace

WEFT_PLUGIN(weft::component<ZophLe>("zoph_le"))
