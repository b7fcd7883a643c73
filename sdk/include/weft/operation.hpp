// The vocabulary of operations: for each its attributes, its shape rule and its cost rule. Free of LibTorch; the
// modules that compute them are the torch tier's (weft/torch/modules.hpp).
//
// Called by ArchitectureBuilder as nodes are added. A rule first normalises the attributes (defaults filled in, so
// that equal operations are written equally), then infers the output's shape or throws InvalidInput.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weft/error.hpp"
#include "weft/json.hpp"
#include "weft/shape.hpp"
#ifndef WEFT_DECLARED_ONLY
#include "weft/learning/activation_expression.hpp"
#endif

namespace weft {

// What one example costs. Conventions: parameters are trainable scalars incl. biases and batch-norm affine terms,
// without running statistics; multiply-adds are those of convolutions and linear layers alone, biases not counted
// (what papers print as "FLOPs"); activation bytes are the float32 outputs of every node that allocates one.
struct Cost {
  std::int64_t parameters = 0;
  std::int64_t multiply_adds = 0;
  std::int64_t activation_bytes = 0;

  Cost& operator+=(const Cost& other) {
    parameters += other.parameters;
    multiply_adds += other.multiply_adds;
    activation_bytes += other.activation_bytes;
    return *this;
  }
  friend bool operator==(const Cost&, const Cost&) = default;
};

// One operation of the vocabulary.
struct OperationRule {
  using Shapes = std::span<const Shape>;

  std::string name;
  Json defaults;  // attribute -> default; null marks one that must be given
  std::size_t min_inputs = 1;
  std::size_t max_inputs = 1;
  bool commutative = false;                                          // the order of the inputs does not matter
  std::function<Shape(Json& attributes, Shapes inputs)> infer = {};  // may rewrite attributes into normal form
  std::function<Cost(const Json& attributes, Shapes inputs, const Shape& output)> cost = {};
};

// A vocabulary: the built-in one, or that and what `operation` plugins add.
class Operations {
 public:
  static const Operations& built_in();

  void add(OperationRule rule);

  // Looks among the rules, then in the source. Throws InvalidInput naming the known operations.
  const OperationRule& find(std::string_view name) const;

  // Where else operations are looked for, in this library: the plugins of kind `operation`. What was found is kept.
  using Source = std::function<std::optional<OperationRule>(std::string_view name)>;
  static void set_source(Source source);

  const std::map<std::string, OperationRule, std::less<>>& rules() const { return rules_; }

 private:
  std::map<std::string, OperationRule, std::less<>> rules_;
};

// The functions an `activation` node may name.
inline const std::vector<std::string>& activation_functions() {
  static const std::vector<std::string> names = {"relu",  "leaky_relu", "elu",      "selu",  "gelu",
                                                 "relu6", "sigmoid",    "softplus", "swish", "tanh"};
  return names;
}

#ifndef WEFT_DECLARED_ONLY
namespace detail {

inline void require_image(std::string_view rule, const Shape& shape) {
  if (!shape.is_image()) throw InvalidInput(std::string(rule) + " needs an image (channels x height x width)");
}

inline std::int64_t positive(const Json& attributes, const char* name, std::int64_t minimum = 1) {
  const Json& value = attributes.at(name);
  if (!value.is_number_integer() || value.get<std::int64_t>() < minimum) {
    throw InvalidInput(std::string(name) + " must be an integer >= " + std::to_string(minimum) + ", not " +
                       value.dump());
  }
  return value;
}

// Rewrites `1` as `1.0`. `range` is how the allowed range is told.
inline double real(Json& attributes, const char* name, bool (*allowed)(double), const char* range) {
  Json& value = attributes.at(name);
  if (!value.is_number() || !allowed(value.get<double>())) {
    throw InvalidInput(std::string(name) + " must be in " + range + ", not " + value.dump());
  }
  value = value.get<double>();
  return value;
}

inline double probability(Json& attributes, const char* name) {
  return real(
      attributes, name, [](double value) { return value >= 0.0 && value < 1.0; }, "[0, 1)");
}

inline bool boolean(const Json& attributes, const char* name) {
  const Json& value = attributes.at(name);
  if (!value.is_boolean()) throw InvalidInput(std::string(name) + " must be true or false, not " + value.dump());
  return value;
}

// Rewrites `3` as `[3, 3]` and checks both.
inline std::pair<std::int64_t, std::int64_t> pair(Json& attributes, const char* name, std::int64_t minimum) {
  Json& value = attributes.at(name);
  if (value.is_number_integer()) value = Json::array({value, value});
  const auto fits = [&](const Json& extent) {
    return extent.is_number_integer() && extent.get<std::int64_t>() >= minimum;
  };
  if (!value.is_array() || value.size() != 2 || !fits(value[0]) || !fits(value[1])) {
    throw InvalidInput(std::string(name) + " must be an integer >= " + std::to_string(minimum) +
                       " or [height, width] of such, not " + value.dump());
  }
  return {value[0], value[1]};
}

// Output extent of a sliding window.
inline std::int64_t window(std::int64_t input, std::int64_t kernel, std::int64_t stride, std::int64_t padding,
                           std::int64_t dilation, bool ceil) {
  const std::int64_t reach = dilation * (kernel - 1) + 1;
  const std::int64_t room = input + 2 * padding - reach;
  if (room + (ceil ? stride - 1 : 0) < 0) {
    throw InvalidInput("a window of " + std::to_string(reach) + " does not fit an extent of " + std::to_string(input) +
                       " with padding " + std::to_string(padding));
  }
  std::int64_t extent = (ceil ? room + stride - 1 : room) / stride + 1;
  if (ceil && (extent - 1) * stride >= input + padding) --extent;  // the last window must start inside, as in LibTorch
  return extent;
}

inline Cost activation_cost(const Json&, OperationRule::Shapes, const Shape& output) {
  return {.activation_bytes = 4 * output.elements()};
}

inline Cost free_of_cost(const Json&, OperationRule::Shapes, const Shape&) { return {}; }

inline Shape same_shape(Json&, OperationRule::Shapes inputs) { return inputs[0]; }

inline Shape all_equal(Json&, OperationRule::Shapes inputs) {
  for (const Shape& shape : inputs) {
    if (shape != inputs[0]) throw InvalidInput("all inputs must have the same shape");
  }
  return inputs[0];
}

inline OperationRule pooling_rule(const char* name) {
  OperationRule rule{.name = name,
                     .defaults = {{"kernel", nullptr}, {"stride", 1}, {"padding", 0}, {"ceil", false}},
                     .cost = activation_cost};
  if (rule.name == "avg_pool") rule.defaults["count_include_pad"] = false;
  rule.infer = [](Json& attributes, OperationRule::Shapes inputs) {
    require_image("pooling", inputs[0]);
    const auto [kh, kw] = pair(attributes, "kernel", 1);
    const auto [sh, sw] = pair(attributes, "stride", 1);
    const auto [ph, pw] = pair(attributes, "padding", 0);
    const bool ceil = boolean(attributes, "ceil");
    if (attributes.contains("count_include_pad")) boolean(attributes, "count_include_pad");
    if (2 * ph > kh || 2 * pw > kw) throw InvalidInput("padding must not exceed half of the kernel");
    return Shape::image(inputs[0].channels, window(inputs[0].height, kh, sh, ph, 1, ceil),
                        window(inputs[0].width, kw, sw, pw, 1, ceil));
  };
  return rule;
}

inline OperationRule convolution_rule() {
  OperationRule rule{.name = "conv2d",
                     .defaults = {{"channels", nullptr},
                                  {"kernel", nullptr},
                                  {"stride", 1},
                                  {"padding", 0},
                                  {"dilation", 1},
                                  {"groups", 1},
                                  {"bias", false}}};
  rule.infer = [](Json& attributes, OperationRule::Shapes inputs) {
    require_image("conv2d", inputs[0]);
    const std::int64_t channels = positive(attributes, "channels");
    const std::int64_t groups = positive(attributes, "groups");
    const auto [kh, kw] = pair(attributes, "kernel", 1);
    const auto [sh, sw] = pair(attributes, "stride", 1);
    const auto [ph, pw] = pair(attributes, "padding", 0);
    const auto [dh, dw] = pair(attributes, "dilation", 1);
    boolean(attributes, "bias");
    if (inputs[0].channels % groups != 0 || channels % groups != 0) {
      throw InvalidInput("groups (" + std::to_string(groups) + ") must divide input channels (" +
                         std::to_string(inputs[0].channels) + ") and channels (" + std::to_string(channels) + ")");
    }
    return Shape::image(channels, window(inputs[0].height, kh, sh, ph, dh, false),
                        window(inputs[0].width, kw, sw, pw, dw, false));
  };
  rule.cost = [](const Json& attributes, OperationRule::Shapes inputs, const Shape& output) {
    const std::int64_t groups = attributes.at("groups");
    const std::int64_t kernel =
        attributes.at("kernel")[0].get<std::int64_t>() * attributes.at("kernel")[1].get<std::int64_t>();
    const std::int64_t weights = output.channels * (inputs[0].channels / groups) * kernel;
    return Cost{.parameters = weights + (attributes.at("bias").get<bool>() ? output.channels : 0),
                .multiply_adds = weights * output.height * output.width,
                .activation_bytes = 4 * output.elements()};
  };
  return rule;
}

inline OperationRule linear_rule() {
  OperationRule rule{.name = "linear", .defaults = {{"features", nullptr}, {"bias", true}}};
  rule.infer = [](Json& attributes, OperationRule::Shapes inputs) {
    if (inputs[0].is_image()) throw InvalidInput("linear needs features; put flatten or global_avg_pool before it");
    boolean(attributes, "bias");
    Shape output = inputs[0];
    output.channels = positive(attributes, "features");
    return output;
  };
  rule.cost = [](const Json& attributes, OperationRule::Shapes inputs, const Shape& output) {
    const std::int64_t weights = inputs[0].channels * output.channels;
    return Cost{.parameters = weights + (attributes.at("bias").get<bool>() ? output.channels : 0),
                .multiply_adds = weights * output.height,
                .activation_bytes = 4 * output.elements()};
  };
  return rule;
}

inline OperationRule batch_norm_rule() {
  OperationRule rule{.name = "batch_norm", .defaults = {{"affine", true}, {"eps", 1e-5}, {"momentum", 0.1}}};
  rule.infer = [](Json& attributes, OperationRule::Shapes inputs) {
    boolean(attributes, "affine");
    for (const char* name : {"eps", "momentum"}) {
      real(
          attributes, name, [](double value) { return value > 0.0 && value <= 1.0; }, "(0, 1]");
    }
    return inputs[0];
  };
  rule.cost = [](const Json& attributes, OperationRule::Shapes, const Shape& output) {
    return Cost{.parameters = attributes.at("affine").get<bool>() ? 2 * output.channels : 0,
                .activation_bytes = 4 * output.elements()};
  };
  return rule;
}

inline OperationRule concat_rule() {
  OperationRule rule{.name = "concat", .defaults = Json::object(), .max_inputs = SIZE_MAX, .cost = activation_cost};
  rule.infer = [](Json&, OperationRule::Shapes inputs) {
    Shape output = inputs[0];
    for (const Shape& shape : inputs.subspan(1)) {
      if (shape.kind != output.kind || shape.height != output.height || shape.width != output.width) {
        throw InvalidInput("inputs of concat may differ in channels only");
      }
      output.channels += shape.channels;
    }
    return output;
  };
  return rule;
}

inline OperationRule activation_rule() {
  OperationRule rule{.name = "activation", .defaults = {{"function", "relu"}}, .cost = activation_cost};
  rule.infer = [](Json& attributes, OperationRule::Shapes inputs) {
    const auto& known = activation_functions();
    const Json& function = attributes.at("function");
    if (std::none_of(known.begin(), known.end(), [&](const std::string& name) { return function == name; })) {
      throw InvalidInput("unknown activation " + function.dump() + "; known are " + Json(known).dump());
    }
    return inputs[0];
  };
  return rule;
}

// A searched activation, such as "x * sigmoid(beta x)" (Ramachandran, Zoph, Le 2018, "Searching for Activation
// Functions"): a formula of x in the language of weft/learning/activation_expression.hpp, or a name that it knows. Each
// beta of it is trained: one for every channel of an image, one alone of other shapes; `beta` is what they begin with.
inline OperationRule activation_unit_rule() {
  OperationRule rule{.name = "activation_unit", .defaults = {{"formula", nullptr}, {"beta", 1.0}}};
  rule.infer = [](Json& attributes, OperationRule::Shapes inputs) {
    const Json& formula = attributes.at("formula");
    if (!formula.is_string())
      throw InvalidInput("formula must be a text such as \"x * sigmoid(beta x)\", not " + formula.dump());
    const ActivationExpression expression(formula.get<std::string>());
    expression.require_gradient();
    real(
        attributes, "beta", [](double value) { return std::abs(value) <= ActivationExpression::bound; }, "[-1e6, 1e6]");
    if (expression.betas() == 0) attributes["beta"] = 1.0;
    attributes["formula"] = expression.text();
    return inputs[0];
  };
  rule.cost = [](const Json& attributes, OperationRule::Shapes, const Shape& output) {
    const ActivationExpression expression(attributes.at("formula").get<std::string>());
    const std::int64_t of_each = output.is_image() ? output.channels : 1;
    return Cost{.parameters = expression.betas() * of_each, .activation_bytes = 4 * output.elements()};
  };
  return rule;
}

// Every channel of an image times one feature (squeeze-and-excitation: Hu et al. 2018).
inline OperationRule scale_rule() {
  OperationRule rule{
      .name = "scale", .defaults = Json::object(), .min_inputs = 2, .max_inputs = 2, .cost = activation_cost};
  rule.infer = [](Json&, OperationRule::Shapes inputs) {
    require_image("scale", inputs[0]);
    if (inputs[1] != Shape::features(inputs[0].channels)) {
      throw InvalidInput("the second input of scale must have one feature for each channel of the first");
    }
    return inputs[0];
  };
  return rule;
}

// Zeros around an image, and behind its channels.
inline OperationRule pad_rule() {
  OperationRule rule{.name = "pad", .defaults = {{"channels", 0}, {"padding", {0, 0, 0, 0}}}, .cost = activation_cost};
  rule.infer = [](Json& attributes, OperationRule::Shapes inputs) {
    require_image("pad", inputs[0]);
    const Json& padding = attributes.at("padding");
    const auto fits = [](const Json& extent) { return extent.is_number_integer() && extent.get<std::int64_t>() >= 0; };
    if (!padding.is_array() || padding.size() != 4 || !std::all_of(padding.begin(), padding.end(), fits)) {
      throw InvalidInput("padding must be [top, bottom, left, right], integers >= 0, not " + padding.dump());
    }
    const auto extent = [&](std::size_t side) { return padding[side].get<std::int64_t>(); };
    return Shape::image(inputs[0].channels + positive(attributes, "channels", 0),
                        inputs[0].height + extent(0) + extent(1), inputs[0].width + extent(2) + extent(3));
  };
  return rule;
}

// An image as large as another: of each place the nearest pixel, and the last channels cut off or zeros behind them
// (Real et al. 2017, "Large-Scale Evolution of Image Classifiers", section 3.2: edges that meet with different shapes).
inline OperationRule resize_rule() {
  OperationRule rule{.name = "resize",
                     .defaults = {{"channels", nullptr}, {"height", nullptr}, {"width", nullptr}},
                     .cost = activation_cost};
  rule.infer = [](Json& attributes, OperationRule::Shapes inputs) {
    require_image("resize", inputs[0]);
    return Shape::image(positive(attributes, "channels"), positive(attributes, "height"),
                        positive(attributes, "width"));
  };
  return rule;
}

// Some channels of an image that lie side by side: `channels` of them, beginning with channel `from`.
inline OperationRule slice_rule() {
  OperationRule rule{.name = "slice", .defaults = {{"from", 0}, {"channels", nullptr}}, .cost = activation_cost};
  rule.infer = [](Json& attributes, OperationRule::Shapes inputs) {
    require_image("slice", inputs[0]);
    const std::int64_t from = positive(attributes, "from", 0), channels = positive(attributes, "channels");
    if (from > inputs[0].channels - channels) {
      throw InvalidInput("channels " + std::to_string(from) + " to " + std::to_string(from + channels - 1) +
                         " are not all among the input's " + std::to_string(inputs[0].channels));
    }
    return Shape::image(channels, inputs[0].height, inputs[0].width);
  };
  return rule;
}

// sum_i sigmoid(w_i) x_i, with a trained weight for each input (Xie et al. 2019, "Exploring Randomly Wired Neural
// Networks for Image Recognition", section 3.2).
inline OperationRule weighted_sum_rule() {
  OperationRule rule{.name = "weighted_sum",
                     .defaults = Json::object(),
                     .max_inputs = SIZE_MAX,
                     .commutative = true,
                     .infer = all_equal};
  rule.cost = [](const Json&, OperationRule::Shapes inputs, const Shape& output) {
    return Cost{.parameters = static_cast<std::int64_t>(inputs.size()), .activation_bytes = 4 * output.elements()};
  };
  return rule;
}

// A 1x1 convolution that learns which inputs its groups of filters read (Huang et al. 2018, "CondenseNet: An Efficient
// DenseNet using Learned Group Convolutions", section 3.1): in the first half of a training, in condensation-1 steps,
// each group drops 1/condensation of the inputs, those of the smallest weights; after it each reads 1/condensation of
// them. The cost is that of the condensed layer, which is what the paper counts.
inline OperationRule learned_group_conv_rule() {
  OperationRule rule{.name = "learned_group_conv",
                     .defaults = {{"channels", nullptr}, {"groups", 4}, {"condensation", 4}}};
  rule.infer = [](Json& attributes, OperationRule::Shapes inputs) {
    require_image("learned_group_conv", inputs[0]);
    const std::int64_t channels = positive(attributes, "channels");
    const std::int64_t groups = positive(attributes, "groups");
    const std::int64_t condensation = positive(attributes, "condensation");
    if (channels % groups != 0 || inputs[0].channels % condensation != 0) {
      throw InvalidInput("groups (" + std::to_string(groups) + ") must divide channels (" + std::to_string(channels) +
                         "), and condensation (" + std::to_string(condensation) + ") the input channels (" +
                         std::to_string(inputs[0].channels) + ")");
    }
    return Shape::image(channels, inputs[0].height, inputs[0].width);
  };
  rule.cost = [](const Json& attributes, OperationRule::Shapes inputs, const Shape& output) {
    const std::int64_t read = inputs[0].channels / attributes.at("condensation").get<std::int64_t>();
    return Cost{.parameters = output.channels * read,
                .multiply_adds = output.elements() * read,
                .activation_bytes = 4 * output.elements()};
  };
  return rule;
}

// The vector of each token of a sequence. `dropout` leaves out all vectors of a token (Gal & Ghahramani 2016).
inline OperationRule embedding_rule() {
  OperationRule rule{.name = "embedding",
                     .defaults = {{"vocabulary", nullptr}, {"features", nullptr}, {"dropout", 0.0}}};
  rule.infer = [](Json& attributes, OperationRule::Shapes inputs) {
    if (inputs[0].kind != Shape::Kind::sequence || inputs[0].channels != 1) {
      throw InvalidInput("embedding needs a sequence of token numbers (positions x 1)");
    }
    positive(attributes, "vocabulary");
    probability(attributes, "dropout");
    return Shape::sequence(inputs[0].height, positive(attributes, "features"));
  };
  rule.cost = [](const Json& attributes, OperationRule::Shapes, const Shape& output) {
    return Cost{.parameters = attributes.at("vocabulary").get<std::int64_t>() * output.channels,
                .activation_bytes = 4 * output.elements()};
  };
  return rule;
}

// A linear layer whose weights are those of its second input, another linear layer with as many features; or the
// vectors of an embedding: its features are the tokens (Press & Wolf 2017, "Using the Output Embedding to Improve
// Language Models"). Only the bias is its own.
inline OperationRule tied_linear_rule() {
  OperationRule rule{.name = "tied_linear", .defaults = {{"features", nullptr}, {"bias", true}}, .min_inputs = 2};
  rule.max_inputs = 2;
  rule.infer = [](Json& attributes, OperationRule::Shapes inputs) {
    Shape output = inputs[0];
    output.channels = positive(attributes, "features");
    const bool of_embedding = inputs[0] == inputs[1] && inputs[0].kind == Shape::Kind::sequence;
    const bool of_layer = output == inputs[1] && !inputs[0].is_image();
    if (!of_embedding && !of_layer) {
      throw InvalidInput(
          "tied_linear needs, for its weights, an embedding of as many features as the sequence that it reads, or a "
          "linear layer of as many features as it has");
    }
    boolean(attributes, "bias");
    return output;
  };
  rule.cost = [](const Json& attributes, OperationRule::Shapes inputs, const Shape& output) {
    return Cost{.parameters = attributes.at("bias").get<bool>() ? output.channels : 0,
                .multiply_adds = inputs[0].channels * output.elements(),
                .activation_bytes = 4 * output.elements()};
  };
  return rule;
}

// Dropout whose mask is the same at all positions of a sequence (Gal & Ghahramani 2016, "A Theoretically Grounded
// Application of Dropout in Recurrent Neural Networks"). Of vectors in the cell of a recurrent node, too; those of one
// size and probability have one mask there.
inline OperationRule locked_dropout_rule() {
  OperationRule rule{.name = "locked_dropout", .defaults = {{"probability", nullptr}}, .cost = activation_cost};
  rule.infer = [](Json& attributes, OperationRule::Shapes inputs) {
    if (inputs[0].is_image()) throw InvalidInput("locked_dropout needs a sequence, or a vector");
    probability(attributes, "probability");
    return inputs[0];
  };
  return rule;
}

// s + g (y - s) of a state s, a gate g from 0 to 1, and a new value y, in this order (Srivastava, Greff, Schmidhuber
// 2015, "Highway Networks").
inline OperationRule highway_rule() {
  return {.name = "highway",
          .defaults = Json::object(),
          .min_inputs = 3,
          .max_inputs = 3,
          .infer = all_equal,
          .cost = activation_cost};
}

// Its input, a sequence; in training `weight` times the mean square of what changes from position to position is added
// to the loss (Merity, McCann, Socher 2017, "Revisiting Activation Regularization for Language RNNs").
inline OperationRule slowness_rule() {
  OperationRule rule{.name = "slowness", .defaults = {{"weight", nullptr}}, .cost = free_of_cost};
  rule.infer = [](Json& attributes, OperationRule::Shapes inputs) {
    if (inputs[0].kind != Shape::Kind::sequence) throw InvalidInput("slowness needs a sequence");
    real(
        attributes, "weight", [](double value) { return value >= 0.0; }, "[0, infinity)");
    return inputs[0];
  };
  return rule;
}

// A cell that is repeated at every position of a sequence; see weft/recurrent.hpp.
OperationRule recurrent_rule();

inline OperationRule choice_rule() {
  OperationRule rule{.name = "choice",
                     .defaults = {{"decision", nullptr}, {"options", nullptr}},
                     .max_inputs = SIZE_MAX,
                     .cost = activation_cost};
  rule.infer = [](Json& attributes, OperationRule::Shapes inputs) {
    if (!attributes.at("decision").is_string()) throw InvalidInput("decision must be the name of a decision");
    if (!attributes.at("options").is_array() || attributes.at("options").size() != inputs.size()) {
      throw InvalidInput("options must name each of the " + std::to_string(inputs.size()) + " inputs");
    }
    return all_equal(attributes, inputs);
  };
  return rule;
}

inline Operations make_built_in_operations() {
  Operations operations;
  operations.add({.name = "input",
                  .defaults = {{"shape", nullptr}},
                  .min_inputs = 0,
                  .max_inputs = 0,
                  .infer = [](Json& a, OperationRule::Shapes) { return Shape::from_json(a.at("shape")); },
                  .cost = free_of_cost});
  operations.add(convolution_rule());
  operations.add(linear_rule());
  operations.add(batch_norm_rule());
  operations.add(activation_rule());
  operations.add(activation_unit_rule());
  operations.add(pooling_rule("max_pool"));
  operations.add(pooling_rule("avg_pool"));
  operations.add({.name = "global_avg_pool",
                  .defaults = Json::object(),
                  .infer =
                      [](Json&, OperationRule::Shapes inputs) {
                        require_image("global_avg_pool", inputs[0]);
                        return Shape::features(inputs[0].channels);
                      },
                  .cost = activation_cost});
  operations.add({.name = "flatten",
                  .defaults = Json::object(),
                  .infer = [](Json&, OperationRule::Shapes inputs) { return Shape::features(inputs[0].elements()); },
                  .cost = free_of_cost});
  operations.add({.name = "identity", .defaults = Json::object(), .infer = same_shape, .cost = free_of_cost});
  operations.add({.name = "add",
                  .defaults = Json::object(),
                  .max_inputs = SIZE_MAX,
                  .commutative = true,
                  .infer = all_equal,
                  .cost = activation_cost});
  operations.add({.name = "mean",
                  .defaults = Json::object(),
                  .min_inputs = 2,
                  .max_inputs = SIZE_MAX,
                  .commutative = true,
                  .infer = all_equal,
                  .cost = activation_cost});
  operations.add({.name = "multiply",
                  .defaults = Json::object(),
                  .max_inputs = SIZE_MAX,
                  .commutative = true,
                  .infer = all_equal,
                  .cost = activation_cost});
  operations.add(concat_rule());
  operations.add({.name = "dropout",
                  .defaults = {{"probability", nullptr}},
                  .infer =
                      [](Json& a, OperationRule::Shapes inputs) {
                        probability(a, "probability");
                        return inputs[0];
                      },
                  .cost = activation_cost});
  // Drops whole examples of a path; the probability is the recipe's drop_path schedule times `scale`
  // (ScheduledDropPath).
  operations.add({.name = "drop_path",
                  .defaults = {{"scale", 1.0}},
                  .infer =
                      [](Json& a, OperationRule::Shapes inputs) {
                        real(
                            a, "scale", [](double value) { return value >= 0.0 && value <= 1.0; }, "[0, 1]");
                        return inputs[0];
                      },
                  .cost = activation_cost});
  // Zeros of the input's shape, subsampled by `stride`.
  operations.add({.name = "zero",
                  .defaults = {{"stride", 1}},
                  .infer =
                      [](Json& a, OperationRule::Shapes inputs) {
                        const std::int64_t stride = positive(a, "stride");
                        Shape output = inputs[0];
                        if (output.is_image()) {
                          output.height = (output.height + stride - 1) / stride;
                          output.width = (output.width + stride - 1) / stride;
                        } else if (stride != 1) {
                          throw InvalidInput("stride needs an image");
                        }
                        return output;
                      },
                  .cost = activation_cost});
  // The image moved up and left by one pixel, zeros entering at the bottom and right (factorized reduction).
  operations.add({.name = "shift",
                  .defaults = Json::object(),
                  .infer =
                      [](Json&, OperationRule::Shapes inputs) {
                        require_image("shift", inputs[0]);
                        return inputs[0];
                      },
                  .cost = activation_cost});
  operations.add(scale_rule());
  operations.add(pad_rule());
  operations.add(resize_rule());
  operations.add(slice_rule());
  operations.add(weighted_sum_rule());
  operations.add(learned_group_conv_rule());
  operations.add(embedding_rule());
  operations.add(tied_linear_rule());
  operations.add(locked_dropout_rule());
  operations.add(highway_rule());
  operations.add(slowness_rule());
  operations.add(recurrent_rule());
  operations.add(choice_rule());
  return operations;
}

}  // namespace detail

WEFT_INLINE const Operations& Operations::built_in() {
  static const Operations operations = detail::make_built_in_operations();
  return operations;
}

WEFT_INLINE void Operations::add(OperationRule rule) { rules_.insert_or_assign(rule.name, std::move(rule)); }

namespace detail {

struct OtherOperations {
  std::mutex mutex;
  Operations::Source source;
  std::map<std::string, OperationRule, std::less<>> found;

  static OtherOperations& here() {
    static OtherOperations others;
    return others;
  }
};

}  // namespace detail

WEFT_INLINE void Operations::set_source(Source source) {
  detail::OtherOperations& others = detail::OtherOperations::here();
  const std::lock_guard lock(others.mutex);
  others.source = std::move(source);
}

WEFT_INLINE const OperationRule& Operations::find(std::string_view name) const {
  const auto found = rules_.find(name);
  if (found != rules_.end()) return found->second;
  detail::OtherOperations& others = detail::OtherOperations::here();
  Source source;
  {
    const std::lock_guard lock(others.mutex);
    const auto other = others.found.find(name);
    if (other != others.found.end()) return other->second;
    source = others.source;
  }
  // Unlocked: whoever makes the operation may come back here, and to set_source().
  std::optional<OperationRule> rule = source ? source(name) : std::nullopt;
  if (rule) {
    const std::lock_guard lock(others.mutex);
    return others.found.emplace(name, *std::move(rule)).first->second;
  }
  std::string known;
  for (const auto& [key, rule] : rules_) known += (known.empty() ? "" : ", ") + key;
  throw InvalidInput("unknown operation \"" + std::string(name) + "\"; known are " + known +
                     ", and those that a plugin of kind operation adds");
}
#endif

}  // namespace weft
