// ENAS's macro search space: a chain of layers, each with one operation and with skip connections from any of the
// layers before it.
//
// Pham, Guan, Zoph, Le, Dean 2018, "Efficient Neural Architecture Search via Parameter Sharing", section 2.3; details
// as in the authors' published code (melodyguan/enas, general_child.py), which builds two networks from one
// architecture: with shared weights, skips are added to the layer's output; trained from scratch, they are concatenated
// with it. Where that code contradicts the paper, the paper counts: a skip names a layer (in the code, whose list
// begins with the stem, the one before it), and the final network has the separable convolutions and pooling that were
// chosen (in the code, full convolutions and nothing).
//
// The supernet is the first of the two for all architectures at once: each layer a choice among the operations and, for
// each layer before it, among nothing and its output. A path is the architecture's own network with shared weights, but
// for zeros that are added.

#include <algorithm>
#include <functional>
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

// In the order of their numbers in the notation.
const std::vector<std::string> all_operations = {"conv_3x3",     "sep_conv_3x3", "conv_5x5",
                                                 "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3"};

struct Layer {
  std::string operation;
  std::vector<std::size_t> skips;  // numbers of earlier layers, from 1

  bool skips_from(std::size_t layer) const { return std::find(skips.begin(), skips.end(), layer) != skips.end(); }
};

enum class Form { search, final };

// Of decisions; layers are counted from 1.
std::string operation_decision(std::size_t layer) { return "layer " + std::to_string(layer) + "/operation"; }
std::string skip_decision(std::size_t layer, std::size_t from) {
  return "layer " + std::to_string(layer) + "/skip " + std::to_string(from);
}
std::vector<std::string> skip_options(std::size_t from) { return {"none", std::to_string(from)}; }

// A full or a separable convolution.
NodeId convolve(ArchitectureBuilder& graph, NodeId input, const std::string& operation, std::int64_t filters) {
  const std::int64_t kernel = blocks::square_kernel(operation);
  if (!operation.starts_with("sep_conv")) {
    return blocks::convolution(graph, input, Convolution::square(filters, kernel));
  }
  const NodeId spatial = blocks::convolution(graph, input, Convolution::depthwise(filters, kernel));
  return blocks::convolution(graph, spatial, Convolution::square(filters, 1));
}

// A 1x1 convolution, then the operation: each with batch norm, and with ReLU after it (search) or before it (final).
NodeId add_operation(ArchitectureBuilder& graph, NodeId input, const std::string& operation, std::int64_t filters,
                     Form form) {
  const auto group = graph.own_group(operation);
  const Convolution narrow = Convolution::square(filters, 1);
  const bool search = form == Form::search;
  const NodeId x = search ? blocks::conv_bn_relu(graph, input, narrow) : blocks::relu_conv_bn(graph, input, narrow);
  if (operation.find("_pool") != std::string::npos) return blocks::pool(graph, x, operation.substr(0, 8).c_str(), 3);
  if (search) return blocks::bn_relu(graph, convolve(graph, x, operation, filters));
  return blocks::batch_norm(graph, convolve(graph, blocks::relu(graph, x), operation, filters));
}

NodeId add_choice(ArchitectureBuilder& graph, const std::string& decision, const std::vector<std::string>& options,
                  const std::vector<NodeId>& inputs) {
  return graph.add("choice", {{"decision", decision}, {"options", options}}, inputs);
}

class EnasMacro final : public weft::DecisionSpace, public weft::Supernet {
 public:
  explicit EnasMacro(const weft::Context& context)
      : layers_(context.get<std::size_t>("layers")),
        filters_(context.get<std::int64_t>("filters")),
        operations_(context.get<std::vector<std::string>>("operations")),
        form_(context.get<std::string>("network") == "search" ? Form::search : Form::final),
        dropout_(context.get<double>("dropout")),
        task_(context.task()) {
    weft::require::image(task_.input, "enas_macro");
    if (filters_ % 2 != 0) {
      throw weft::InvalidInput("/filters is " + std::to_string(filters_) +
                               "; must be even, since factorized reduction halves it");
    }
  }

  std::optional<weft::Decision> next(std::span<const std::int32_t> taken) const override {
    std::size_t layer = 1;
    while (first_of(layer + 1) <= taken.size()) ++layer;
    if (layer > layers_) return {};
    const std::size_t skip = taken.size() - first_of(layer);
    if (skip == 0) {
      return weft::Decision{.name = operation_decision(layer),
                            .group = "operation",
                            .options = operations_,
                            .step = static_cast<int>(layer)};
    }
    return weft::Decision{.name = skip_decision(layer, skip),
                          .group = "skip",
                          .kind = weft::Decision::Kind::reference,
                          .options = skip_options(skip),
                          .step = static_cast<int>(layer),
                          .named_steps = {weft::Decision::no_step, static_cast<int>(skip)}};
  }

  weft::Candidate decode(const weft::Genotype& genotype) const override {
    const std::vector<Layer> layers = to_layers(genotype);
    const auto is_read = [&](std::size_t output, std::size_t after) {
      return std::any_of(layers.begin() + static_cast<std::ptrdiff_t>(after), layers.end(),
                         [&](const Layer& layer) { return layer.skips_from(output); });
    };
    return {chain(
        form_,
        [&](ArchitectureBuilder& graph, std::size_t k, const std::vector<NodeId>& outputs, std::int64_t filters) {
          return add_layer(graph, k, layers[k - 1], outputs, filters);
        },
        is_read)};
  }

  weft::Architecture supernet() const override {
    return chain(
        Form::search,
        [&](ArchitectureBuilder& graph, std::size_t k, const std::vector<NodeId>& outputs, std::int64_t filters) {
          return add_supernet_layer(graph, k, outputs, filters);
        },
        [](std::size_t, std::size_t) { return true; });
  }

  weft::SupernetPath path(const weft::Genotype& genotype) const override {
    const std::vector<weft::Decision> decisions = walk(genotype);
    weft::SupernetPath path;
    for (std::size_t i = 0; i < decisions.size(); ++i) path[decisions[i].name] = {genotype.decisions[i]};
    return path;
  }

  // That of the published code: for each layer its operation's number and one bit for each layer before it.
  std::string notation(const weft::Genotype& genotype) const override {
    walk(genotype);
    std::string text;
    for (std::size_t layer = 1; layer <= layers_; ++layer) {
      for (std::size_t at = first_of(layer); at < first_of(layer + 1); ++at) {
        const std::int32_t option = genotype.decisions[at];
        if (!text.empty()) text += ' ';
        text += std::to_string(at == first_of(layer) ? number_of(operations_[static_cast<std::size_t>(option)])
                                                     : static_cast<std::ptrdiff_t>(option));
      }
    }
    return text;
  }

  weft::Genotype parse(std::string_view notation) const override {
    weft::NotationReader reader(notation,
                                "0 3 0 0 1 0 ..: for each of the " + std::to_string(layers_) +
                                    " layers the number of its operation and a bit, 0 or 1, for each layer before it");
    weft::Genotype genotype;
    for (std::size_t layer = 1; layer <= layers_; ++layer) {
      const std::string place = " of layer " + std::to_string(layer);
      genotype.decisions.push_back(read_operation(reader, place));
      for (std::size_t skip = 1; skip < layer; ++skip) {
        const std::int64_t bit = reader.integer("bit " + std::to_string(skip) + place);
        if (bit != 0 && bit != 1) reader.fail("bits that are 0 or 1 before this");
        genotype.decisions.push_back(static_cast<std::int32_t>(bit));
      }
    }
    reader.expect_end();
    return genotype;
  }

 private:
  // The first decision of a layer; layer k has k of them.
  static std::size_t first_of(std::size_t layer) { return layer * (layer - 1) / 2; }

  static std::ptrdiff_t number_of(const std::string& operation) {
    return std::find(all_operations.begin(), all_operations.end(), operation) - all_operations.begin();
  }

  std::int32_t read_operation(weft::NotationReader& reader, const std::string& place) const {
    const std::int64_t number = reader.integer("the operation" + place);
    for (std::size_t option = 0; option < operations_.size(); ++option) {
      if (number == number_of(operations_[option])) return static_cast<std::int32_t>(option);
    }
    std::string known;
    for (const std::string& operation : operations_) {
      known += (known.empty() ? "" : ", ") + std::to_string(number_of(operation)) + " (" + operation + ")";
    }
    reader.fail("an operation" + place + " that is one of " + known + " before this");
  }

  std::vector<Layer> to_layers(const weft::Genotype& genotype) const {
    walk(genotype);
    const std::vector<std::int32_t>& taken = genotype.decisions;
    std::vector<Layer> layers;
    for (std::size_t k = 1; k <= layers_; ++k) {
      Layer layer{operations_[static_cast<std::size_t>(taken[first_of(k)])], {}};
      for (std::size_t skip = 1; skip < k; ++skip) {
        if (taken[first_of(k) + skip] == 1) layer.skips.push_back(skip);
      }
      layers.push_back(std::move(layer));
    }
    return layers;
  }

  NodeId add_stem(ArchitectureBuilder& graph) const {
    const NodeId input = graph.input(task_.input);
    const auto group = graph.group("stem");
    return blocks::conv_bn(graph, input, Convolution::square(filters_, 3));
  }

  // Adds layer k to the graph; `outputs` are those of stem and layers before it.
  using AddLayer = std::function<NodeId(ArchitectureBuilder& graph, std::size_t k, const std::vector<NodeId>& outputs,
                                        std::int64_t filters)>;

  // The layers between stem and classifier. `is_read` says whether any layer after `after` but the next reads `output`.
  weft::Architecture chain(Form form, const AddLayer& add_layer,
                           const std::function<bool(std::size_t output, std::size_t after)>& is_read) const {
    std::int64_t filters = filters_;
    ArchitectureBuilder graph;
    std::vector<NodeId> outputs = {add_stem(graph)};  // that of layer k at k; all that are still read are of one shape
    for (std::size_t k = 1; k <= layers_; ++k) {
      outputs.push_back(add_layer(graph, k, outputs, filters));
      const std::size_t distance = layers_ / 3;
      if (distance == 0 || (k != distance && k != 2 * distance)) continue;
      const auto group = graph.group("pooling " + std::to_string(k / distance));
      if (form == Form::final) filters *= 2;
      for (std::size_t output = 1; output <= k; ++output) {
        if (output < k && !is_read(output, k)) continue;
        outputs[output] = blocks::factorized_reduction(graph, outputs[output], filters, /*affine=*/true,
                                                       /*leading_relu=*/false);
      }
    }
    return std::move(graph).build(add_classifier(graph, outputs.back()));
  }

  // The first layer has nothing to skip, and so no merging either.
  NodeId add_layer(ArchitectureBuilder& graph, std::size_t number, const Layer& layer,
                   const std::vector<NodeId>& outputs, std::int64_t filters) const {
    std::vector<NodeId> terms;
    for (const std::size_t skip : layer.skips) terms.push_back(outputs[skip]);
    {
      const auto group = graph.group("layer " + std::to_string(number));
      terms.push_back(add_operation(graph, outputs.back(), layer.operation, filters, form_));
    }
    if (number == 1) return terms.back();
    const auto group = graph.group("skips " + std::to_string(number));
    const auto merge = [&](const char* operation) {
      return terms.size() == 1 ? terms.back() : graph.add(operation, {}, terms);
    };
    if (form_ == Form::search) return blocks::batch_norm(graph, merge("add"));
    return blocks::relu_conv_bn(graph, merge("concat"), Convolution::square(filters, 1));
  }

  NodeId add_supernet_layer(ArchitectureBuilder& graph, std::size_t number, const std::vector<NodeId>& outputs,
                            std::int64_t filters) const {
    NodeId chosen{};
    {
      const auto group = graph.group("layer " + std::to_string(number));
      std::vector<NodeId> candidates;
      for (const std::string& operation : operations_)
        candidates.push_back(add_operation(graph, outputs.back(), operation, filters, Form::search));
      chosen = add_choice(graph, operation_decision(number), operations_, candidates);
    }
    if (number == 1) return chosen;
    const auto group = graph.group("skips " + std::to_string(number));
    const NodeId nothing = graph.add("zero", {}, {chosen});
    std::vector<NodeId> terms = {chosen};
    for (std::size_t skip = 1; skip < number; ++skip)
      terms.push_back(add_choice(graph, skip_decision(number, skip), skip_options(skip), {nothing, outputs[skip]}));
    return blocks::batch_norm(graph, graph.add("add", {}, terms));
  }

  NodeId add_classifier(ArchitectureBuilder& graph, NodeId input) const {
    const auto group = graph.group("classifier");
    NodeId features = graph.add("global_avg_pool", {}, {input});
    if (dropout_ > 0.0) features = graph.add("dropout", {{"probability", dropout_}}, {features});
    return graph.add("linear", {{"features", task_.classes}, {"bias", false}}, {features});
  }

  std::size_t layers_;
  std::int64_t filters_;
  std::vector<std::string> operations_;
  Form form_;
  double dropout_;
  weft::Task task_;
};

}  // namespace

WEFT_PLUGIN(weft::component<EnasMacro>("enas_macro"))
