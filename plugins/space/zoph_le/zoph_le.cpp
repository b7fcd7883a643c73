// The convolutional networks of Zoph & Le: a chain of layers whose filters' height, width and number are decided, and
// perhaps their strides; anchors decide from which earlier layers each reads.
//
// Zoph, Le 2017, "Neural Architecture Search with Reinforcement Learning", sections 3.1, 3.3 and 4.1. Skips make for
// three problems, solved as in section 3.3: a layer that reads none reads the image; outputs that nobody reads go to
// the classifier; of inputs that differ in size the smaller ones are padded with zeros, on all sides alike.
// Convolutions are padded so that stride 1 keeps the extent; no choice of strides then shrinks a map to nothing. The
// paper does not say how its networks end: they are averaged globally here.

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "weft/blocks.hpp"
#include "weft/notation_reader.hpp"
#include "weft/plugin.hpp"
#include "weft/requirements.hpp"

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

// The inputs' channels one after the other, zeros around the smaller ones.
NodeId concatenate(ArchitectureBuilder& graph, std::vector<NodeId> inputs) {
  if (inputs.size() == 1) return inputs.front();
  const auto group = graph.own_group("concat");
  std::int64_t height = 0;
  std::int64_t width = 0;
  for (const NodeId input : inputs) {
    height = std::max(height, graph.shape(input).height);
    width = std::max(width, graph.shape(input).width);
  }
  for (NodeId& input : inputs) {
    const std::int64_t rows = height - graph.shape(input).height;
    const std::int64_t columns = width - graph.shape(input).width;
    if (rows == 0 && columns == 0) continue;
    const weft::Json padding = {rows / 2, rows - rows / 2, columns / 2, columns - columns / 2};
    input = graph.add("pad", {{"padding", padding}}, {input});
  }
  return graph.add("concat", {}, inputs);
}

NodeId add_layer(ArchitectureBuilder& graph, const std::vector<NodeId>& inputs, const Layer& layer,
                 std::int64_t filters) {
  return blocks::conv_bn_relu(graph, concatenate(graph, inputs),
                              {.channels = filters,
                               .kernel_height = layer.height,
                               .kernel_width = layer.width,
                               .stride_height = layer.stride_height,
                               .stride_width = layer.stride_width});
}

// A direction that has a single pixel left stays as it is.
NodeId add_pooling(ArchitectureBuilder& graph, NodeId input) {
  const weft::Shape& shape = graph.shape(input);
  const weft::Json window = {std::min<std::int64_t>(shape.height, 2), std::min<std::int64_t>(shape.width, 2)};
  return graph.add("max_pool", {{"kernel", window}, {"stride", window}}, {input});
}

class ZophLe final : public weft::DecisionSpace {
 public:
  explicit ZophLe(const weft::Context& context)
      : layers_(context.get<std::size_t>("layers")),
        minimum_layers_(context.get<std::size_t>("minimum_layers")),
        more_filters_(context.get<std::int64_t>("more_filters")),
        is_pooling_(layers_ + 1),
        task_(context.task()) {
    weft::require::image(task_.input, "zoph_le");
    const auto ascending = [&](const char* name) {
      std::vector<std::int64_t> numbers = context.get<std::vector<std::int64_t>>(name);
      std::sort(numbers.begin(), numbers.end());
      return numbers;
    };
    quantities_ = {{"filter height", ascending("filter_heights"), &Layer::height},
                   {"filter width", ascending("filter_widths"), &Layer::width}};
    weft::require::odd(quantities_[0].values, "filter_heights");
    weft::require::odd(quantities_[1].values, "filter_widths");
    const std::vector<std::int64_t> strides = ascending("strides");
    smallest_stride_ = strides.front();
    if (strides.size() > 1) {
      quantities_.push_back({"stride height", strides, &Layer::stride_height});
      quantities_.push_back({"stride width", strides, &Layer::stride_width});
    }
    quantities_.push_back({"filters", ascending("filters"), &Layer::filters});
    place_pooling(context.get<std::vector<std::size_t>>("pool_layers"));
    check_extents();
  }

  std::optional<Decision> next(std::span<const std::int32_t> taken) const override {
    const Position position = locate(taken.size());
    if (position.layer > layers_) return {};
    Decision decision{.name = "layer " + std::to_string(position.layer) + "/",
                      .step = static_cast<int>(position.layer)};
    if (position.part < quantities_.size()) {
      const Quantity& quantity = quantities_[position.part];
      decision.name += quantity.name;
      decision.group = quantity.name;
      decision.kind = Decision::Kind::ordinal;
      decision.options = weft::ordinal_options(quantity.values);
    } else {
      const std::size_t layer = position.part - quantities_.size() + 1;
      const std::string source = std::to_string(layer);
      decision.name += "skip " + source;
      decision.group = "skip";
      decision.kind = Decision::Kind::reference;
      decision.options = {"none", source};
      decision.named_steps = {Decision::no_step, static_cast<int>(layer)};
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
    NodeId features{};
    {
      const auto group = graph.group("classifier");
      features = concatenate(graph, last);
    }
    return {std::move(graph).build(blocks::classifier(graph, features, task_.classes))};
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
    for (const std::size_t layer : pool_layers) {
      if (layer >= layers_) {
        throw weft::InvalidInput("/pool_layers holds " + std::to_string(layer) + "; must be less than /layers, " +
                                 std::to_string(layers_) + ", since a chain ends with a convolution");
      }
      is_pooling_[layer] = true;
    }
  }

  // No layer has to shrink a single pixel, even where all take their smallest stride.
  void check_extents() const {
    std::int64_t extent = std::max(task_.input.height, task_.input.width);
    for (std::size_t layer = 1; layer <= layers_; ++layer) {
      const bool pools = is_pooling_[layer];
      const std::int64_t stride = pools ? 2 : smallest_stride_;
      if (extent == 1 && stride > 1) {
        const std::string number = std::to_string(layer);
        throw weft::InvalidInput(
            (pools ? "/pool_layers holds " + number : "/strides has nothing below " + std::to_string(stride)) +
            "; the layers before layer " + number + " leave a single pixel of the image, " + task_.input.to_string() +
            ", which cannot shrink; " + (pools ? "leave it out" : "add 1 to it or lower /layers"));
      }
      extent = pools ? extent / 2 : (extent + stride - 1) / stride;
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
      layer.stride_height = layer.stride_width = smallest_stride_;
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
  std::int64_t smallest_stride_ = 1;  // every layer's, where strides are not decided
  std::vector<bool> is_pooling_;      // by number of layer
  weft::Task task_;
};

}  // namespace

WEFT_PLUGIN(weft::component<ZophLe>("zoph_le"))
