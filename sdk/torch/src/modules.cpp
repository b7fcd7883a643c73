#include "weft/torch/modules.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <tuple>
#include <utility>

#include "activation_unit.hpp"
#include "fused.hpp"
#include "recurrent.hpp"
#include "weft/operation_plugin.hpp"
#include "weft/torch/module_plugin.hpp"

namespace weft {
namespace {

using Inputs = at::ArrayRef<at::Tensor>;
using Extents = std::vector<std::int64_t>;

// PyTorch's default for convolutions and linear layers (He et al. 2015 with a = sqrt(5)): uniform within 1/sqrt(fan
// in).
class UniformWeights {
 public:
  explicit UniformWeights(Rng rng) : generator_(at::detail::createCPUGenerator(rng())) {}

  at::Tensor operator()(const Extents& sizes, std::int64_t fan_in) {
    // at::empty gives images of one channel true channels-last strides, which a conversion would not.
    const auto format = sizes.size() == 4 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
    const double bound = 1.0 / std::sqrt(static_cast<double>(fan_in));
    return at::empty(sizes, at::TensorOptions(at::kFloat).memory_format(format)).uniform_(-bound, bound, generator_);
  }

 private:
  at::Generator generator_;
};

class Convolution final : public OperationModule {
 public:
  explicit Convolution(const ModuleArguments& arguments)
      : stride_(arguments.node.attributes.at("stride")),
        padding_(arguments.node.attributes.at("padding")),
        dilation_(arguments.node.attributes.at("dilation")),
        groups_(arguments.node.attributes.at("groups")) {
    const Extents kernel = arguments.node.attributes.at("kernel");
    const std::int64_t channels = arguments.node.shape.channels;
    const std::int64_t depth = arguments.inputs[0].channels / groups_;
    const std::int64_t fan_in = depth * kernel[0] * kernel[1];
    depthwise_ = groups_ > 1 && groups_ == channels && depth == 1 && !arguments.node.attributes.at("bias").get<bool>();
    subsamples_ = kernel == Extents{1, 1} && padding_ == Extents{0, 0} && stride_ != Extents{1, 1} &&
                  std::min(depth, channels) < 8;
    UniformWeights draw(arguments.rng);
    weight_ = register_parameter("weight", draw({channels, depth, kernel[0], kernel[1]}, fan_in));
    if (arguments.node.attributes.at("bias")) bias_ = register_parameter("bias", draw({channels}, fan_in));
  }

  // In evaluation an affine map behind it, a batch norm's, goes into the weights; on a card that would be more kernels.
  Traits traits() const override {
    const bool folds = !is_training() && weight_.is_cpu() && fused::is_on("folding");
    return {.output_reusable = true, .takes_relu = folds, .takes_affine = folds};
  }
  at::Tensor forward(Inputs inputs, bool) override { return convolve(inputs, weight_, bias_); }
  at::Tensor forward_along(Inputs inputs, const Along& along) override {
    at::Tensor weight = weight_, bias = bias_;
    if (along.affine) {
      const auto& [scale, shift] = *along.affine;
      weight = weight * scale.view({-1, 1, 1, 1});
      bias = bias.defined() ? at::addcmul(shift, bias, scale) : shift;
    }
    at::Tensor y = convolve(inputs, weight, bias);
    return along.relu ? y.relu_() : y;
  }

 private:
  at::Tensor convolve(Inputs inputs, const at::Tensor& weight, const at::Tensor& bias) const {
    if (depthwise_ && !subsamples_ && !bias.defined())
      return fused::depthwise_conv2d(inputs[0], weight, {stride_, padding_, dilation_});
    if (!subsamples_) return at::conv2d(inputs[0], weight, bias, stride_, padding_, dilation_, groups_);
    // Pixels that no 1x1 window reads are dropped first, where oneDNN must not be asked: 2.6 (with LibTorch 1.13)
    // writes beyond its buffers in strided channels-last 1x1 convolutions of 2 to 7 input channels, and on the way back
    // in those of as few output channels. It is the slower way.
    const at::Tensor& x = inputs[0];
    const at::Tensor read = x.slice(2, 0, x.size(2), stride_[0]).slice(3, 0, x.size(3), stride_[1]);
    return at::conv2d(read.contiguous(x.suggest_memory_format()), weight, bias, Extents{1, 1}, padding_, dilation_,
                      groups_);
  }

  Extents stride_, padding_, dilation_;
  bool depthwise_ = false;
  bool subsamples_ = false;
  std::int64_t groups_;
  at::Tensor weight_, bias_;
};

class Linear final : public OperationModule {
 public:
  explicit Linear(const ModuleArguments& arguments) {
    const std::int64_t fan_in = arguments.inputs[0].channels;
    const std::int64_t features = arguments.node.shape.channels;
    UniformWeights draw(arguments.rng);
    weight_ = register_parameter("weight", draw({features, fan_in}, fan_in));
    if (arguments.node.attributes.at("bias")) bias_ = register_parameter("bias", draw({features}, fan_in));
  }

  at::Tensor forward(Inputs inputs, bool) override { return at::linear(inputs[0], weight_, bias_); }

 private:
  at::Tensor weight_, bias_;
};

class BatchNorm final : public OperationModule {
 public:
  explicit BatchNorm(const ModuleArguments& arguments)
      : name_(arguments.node.name),
        sequence_(arguments.node.shape.kind == Shape::Kind::sequence),
        eps_(arguments.node.attributes.at("eps")),
        momentum_(arguments.node.attributes.at("momentum")) {
    const std::int64_t channels = arguments.node.shape.channels;
    if (arguments.node.attributes.at("affine")) {
      weight_ = register_parameter("weight", at::ones({channels}));
      bias_ = register_parameter("bias", at::zeros({channels}));
    }
    running_mean_ = register_buffer("running_mean", at::zeros({channels}));
    running_var_ = register_buffer("running_var", at::ones({channels}));
  }

  Traits traits() const override {
    return {.output_reusable = !sequence_, .takes_relu = true, .is_affine = !by_batch() && !sequence_};
  }
  void set_statistics(Statistics statistics) override {
    statistics_ = statistics;
    measured_ = 0;
  }
  at::Tensor forward(Inputs inputs, bool) override { return normalised(inputs[0], false); }
  at::Tensor forward_along(Inputs inputs, const Along& along) override { return normalised(inputs[0], along.relu); }
  Affine affine() const override {
    const at::Tensor inverse = at::rsqrt(running_var_ + eps_);
    const at::Tensor scale = weight_.defined() ? weight_ * inverse : inverse;
    const at::Tensor shift = -running_mean_ * scale;
    return {scale, bias_.defined() ? bias_ + shift : shift};
  }

 private:
  bool by_batch() const { return is_training() || statistics_ != Statistics::running; }

  at::Tensor normalised(const at::Tensor& input, bool relu) {
    // Positions of a sequence are examples: [n, positions, features] -> [n * positions, features].
    const at::Tensor x = sequence_ ? input.flatten(0, 1) : input;
    if (by_batch()) check_variance(x);
    fused::BatchNorm norm{.weight = weight_,
                          .bias = bias_,
                          .running_mean = running_mean_,
                          .running_var = running_var_,
                          .momentum = momentum_,
                          .eps = eps_};
    if (!is_training() && statistics_ == Statistics::measured) norm.momentum = 1.0 / ++measured_;
    if (!is_training() && statistics_ == Statistics::batch) norm.running_mean = norm.running_var = at::Tensor();
    const at::Tensor y = fused::batch_norm(x, norm, by_batch(), relu);
    return sequence_ ? y.view(input.sizes()) : y;
  }

  // LibTorch divides by the number of values less one, and only evaluation would show what it made of it.
  void check_variance(const at::Tensor& x) const {
    if (x.numel() != x.size(1)) return;
    throw Error(
        "node " + name_ +
        ": batch norm of one value per channel, as it gets from a batch of one example here, has no variance; use "
        "a batch_size above 1, a larger resolution, or networks that reduce it less");
  }

  std::string name_;
  bool sequence_;
  double eps_, momentum_;
  Statistics statistics_ = Statistics::running;
  int measured_ = 0;  // batches
  at::Tensor weight_, bias_, running_mean_, running_var_;
};

// Names as in activation_functions(). In place only where autograd derives the gradient from the result.
struct ActivationFunction {
  const char* name;
  at::Tensor (*compute)(const at::Tensor&);
  void (*in_place)(at::Tensor&) = nullptr;
};
constexpr std::array activations = {
    ActivationFunction{"relu", [](const at::Tensor& x) { return at::relu(x); }, [](at::Tensor& x) { at::relu_(x); }},
    ActivationFunction{"leaky_relu", [](const at::Tensor& x) { return at::leaky_relu(x); },
                       [](at::Tensor& x) { at::leaky_relu_(x); }},
    ActivationFunction{"elu", [](const at::Tensor& x) { return at::elu(x); }, [](at::Tensor& x) { at::elu_(x); }},
    ActivationFunction{"selu", [](const at::Tensor& x) { return at::selu(x); }, [](at::Tensor& x) { at::selu_(x); }},
    ActivationFunction{"gelu", [](const at::Tensor& x) { return at::gelu(x); }},
    ActivationFunction{"relu6", [](const at::Tensor& x) { return at::hardtanh(x, 0, 6); },
                       [](at::Tensor& x) { at::hardtanh_(x, 0, 6); }},
    ActivationFunction{"sigmoid", [](const at::Tensor& x) { return at::sigmoid(x); },
                       [](at::Tensor& x) { at::sigmoid_(x); }},
    ActivationFunction{"softplus", [](const at::Tensor& x) { return at::softplus(x); }},
    ActivationFunction{"swish", [](const at::Tensor& x) { return at::silu(x); }},
    ActivationFunction{"tanh", [](const at::Tensor& x) { return at::tanh(x); }, [](at::Tensor& x) { at::tanh_(x); }},
};

class Activation final : public OperationModule {
 public:
  explicit Activation(const ModuleArguments& arguments) {
    const std::string& name = arguments.node.attributes.at("function").get_ref<const std::string&>();
    for (const ActivationFunction& function : activations) {
      if (name == function.name) function_ = &function;
    }
    if (function_ == nullptr)
      throw InvalidInput("node " + arguments.node.name + ": no module computes the activation " + name);
  }

  // Autograd keeps the result of most of them.
  Traits traits() const override {
    return {.pure = true, .overwrites = function_->in_place != nullptr, .is_relu = function_ == &activations.front()};
  }
  at::Tensor forward(Inputs inputs, bool overwrite) override {
    if (!overwrite) return function_->compute(inputs[0]);
    at::Tensor result = inputs[0];
    function_->in_place(result);
    return result;
  }

 private:
  const ActivationFunction* function_ = nullptr;
};

class Pooling final : public OperationModule {
 public:
  explicit Pooling(const ModuleArguments& arguments)
      : average_(arguments.node.operation == "avg_pool"),
        window_{arguments.node.attributes.at("kernel"), arguments.node.attributes.at("stride"),
                arguments.node.attributes.at("padding"), arguments.node.attributes.at("ceil"),
                average_ && arguments.node.attributes.at("count_include_pad").get<bool>()} {}

  Traits traits() const override { return {.pure = true, .output_reusable = true}; }
  at::Tensor forward(Inputs inputs, bool) override {
    if (!average_) return fused::max_pool2d(inputs[0], window_);
    // On cards the gradient of padded averages is wrong in channels-last: pytorch/pytorch issue 188344 (June 2026).
    const bool avoid = inputs[0].is_cuda() && window_.padding != Extents{0, 0};
    const at::Tensor y = fused::avg_pool2d(avoid ? inputs[0].contiguous() : inputs[0], window_);
    return avoid ? y.contiguous(at::MemoryFormat::ChannelsLast) : y;
  }

 private:
  bool average_;
  fused::PoolingWindow window_;
};

class GlobalAvgPool final : public OperationModule {
 public:
  Traits traits() const override { return {.pure = true, .output_reusable = true}; }
  at::Tensor forward(Inputs inputs, bool) override { return at::mean(inputs[0], {2, 3}); }
};

class Flatten final : public OperationModule {
 public:
  Traits traits() const override { return {.pure = true}; }  // the output may be a view of the input
  at::Tensor forward(Inputs inputs, bool) override { return at::flatten(inputs[0], 1); }
};

class Identity final : public OperationModule {
 public:
  Traits traits() const override { return {.passes_through = true}; }
  at::Tensor forward(Inputs inputs, bool) override { return inputs[0]; }
};

at::Tensor sum_of(Inputs terms, bool overwrite) {
  at::Tensor sum = overwrite ? terms[0].add_(terms[1]) : at::add(terms[0], terms[1]);
  for (const at::Tensor& term : terms.slice(2)) sum.add_(term);
  return sum;
}

class Add final : public OperationModule {
 public:
  Traits traits() const override {
    return {.pure = true, .commutative = true, .overwrites = true, .output_reusable = true};
  }
  at::Tensor forward(Inputs inputs, bool overwrite) override { return sum_of(inputs, overwrite); }
};

// What of it is active: one input, the sum of some, or their weighted sum.
class ChoiceModule final : public OperationModule {
 public:
  void take(std::size_t active, at::Tensor weights) override {
    active_ = active;
    weights_ = std::move(weights);
  }
  Traits traits() const override {
    if (weights_.defined()) return {.output_reusable = true};
    if (active_ == 1) return {.passes_through = true};
    return {.commutative = true, .overwrites = true, .output_reusable = true};
  }
  at::Tensor forward(Inputs inputs, bool overwrite) override {
    return weights_.defined() ? fused::weighted_sum(weights_, inputs) : sum_of(inputs, overwrite);
  }

 private:
  std::size_t active_ = 0;
  at::Tensor weights_;
};

class Mean final : public OperationModule {
 public:
  Traits traits() const override { return {.pure = true, .commutative = true, .output_reusable = true}; }
  at::Tensor forward(Inputs inputs, bool) override {
    at::Tensor sum = at::add(inputs[0], inputs[1]);
    for (const at::Tensor& term : inputs.slice(2)) sum.add_(term);
    return sum.div_(static_cast<double>(inputs.size()));
  }
};

class Multiply final : public OperationModule {
 public:
  Traits traits() const override { return {.pure = true, .commutative = true, .output_reusable = true}; }
  at::Tensor forward(Inputs inputs, bool) override {
    at::Tensor product = at::mul(inputs[0], inputs[1]);
    for (const at::Tensor& factor : inputs.slice(2)) product = at::mul(product, factor);
    return product;
  }
};

class Concat final : public OperationModule {
 public:
  explicit Concat(const ModuleArguments& arguments)
      : dimension_(arguments.node.shape.kind == Shape::Kind::sequence ? 2 : 1) {}

  Traits traits() const override { return {.pure = true, .output_reusable = true}; }
  at::Tensor forward(Inputs inputs, bool) override { return at::cat(inputs, dimension_); }

 private:
  std::int64_t dimension_;
};

class Dropout final : public OperationModule {
 public:
  explicit Dropout(const ModuleArguments& arguments) : probability_(arguments.node.attributes.at("probability")) {}

  Traits traits() const override {
    return {.passes_through = !is_training() || probability_ == 0.0, .output_reusable = true};
  }
  at::Tensor forward(Inputs inputs, bool) override { return at::dropout(inputs[0], probability_, /*train=*/true); }

 private:
  double probability_;
};

// Larsson et al. 2017, "FractalNet", as Zoph et al. 2018 use it: each example keeps the path with probability 1 - p,
// and what is kept is divided by it, so that the mean is preserved.
class DropPath final : public OperationModule {
 public:
  explicit DropPath(const ModuleArguments& arguments) : scale_(arguments.node.attributes.at("scale")) {}

  void set_drop_path(double probability) override { keep_ = 1.0 - probability * scale_; }
  Traits traits() const override {
    return {.passes_through = !is_training() || keep_ == 1.0, .overwrites = true, .output_reusable = true};
  }
  at::Tensor forward(Inputs inputs, bool overwrite) override {
    const at::Tensor& x = inputs[0];
    Extents sizes(static_cast<std::size_t>(x.dim()), 1);
    sizes[0] = x.size(0);
    const at::Tensor mask = dropout_mask(sizes, 1.0 - keep_, x);  // [n, 1, ..]
    return overwrite ? x.mul_(mask) : at::mul(x, mask);
  }

 private:
  double scale_;
  double keep_ = 1.0;
};

// Reads the network's input for the number of examples and the device.
class Zero final : public OperationModule {
 public:
  explicit Zero(const ModuleArguments& arguments) : shape_(arguments.node.shape) {}

  Traits traits() const override { return {.pure = true}; }
  at::Tensor forward(Inputs inputs, bool) override {
    const std::int64_t examples = inputs[0].size(0);
    const at::TensorOptions options = inputs[0].options();
    if (shape_.is_image()) {
      return at::empty({examples, shape_.channels, shape_.height, shape_.width},
                       options.memory_format(at::MemoryFormat::ChannelsLast))
          .zero_();
    }
    if (shape_.kind == Shape::Kind::features) return at::zeros({examples, shape_.channels}, options);
    return at::zeros({examples, shape_.height, shape_.channels}, options);
  }

 private:
  Shape shape_;
};

class Shift final : public OperationModule {
 public:
  Traits traits() const override { return {.pure = true, .output_reusable = true}; }
  at::Tensor forward(Inputs inputs, bool) override {
    return at::constant_pad_nd(inputs[0], {-1, 1, -1, 1});  // left, right, top, bottom
  }
};

class Scale final : public OperationModule {
 public:
  Traits traits() const override { return {.pure = true}; }
  at::Tensor forward(Inputs inputs, bool) override {
    return at::mul(inputs[0], inputs[1].unsqueeze(2).unsqueeze(3));  // [n, c, h, w] x [n, c, 1, 1]
  }
};

class Pad final : public OperationModule {
 public:
  explicit Pad(const ModuleArguments& arguments) {
    const Extents padding = arguments.node.attributes.at("padding");  // top, bottom, left, right
    const std::int64_t channels = arguments.node.attributes.at("channels");
    amounts_ = {padding[2], padding[3], padding[0], padding[1], 0, channels};
  }

  Traits traits() const override { return {.pure = true}; }
  at::Tensor forward(Inputs inputs, bool) override { return at::constant_pad_nd(inputs[0], amounts_); }

 private:
  Extents amounts_;  // as LibTorch wants them: from the last dimension on
};

class Resize final : public OperationModule {
 public:
  explicit Resize(const ModuleArguments& arguments) : from_(arguments.inputs[0]), to_(arguments.node.shape) {}

  Traits traits() const override { return {.passes_through = from_ == to_, .pure = true}; }
  at::Tensor forward(Inputs inputs, bool) override {
    at::Tensor image = inputs[0];
    if (from_.height != to_.height || from_.width != to_.width)
      image = at::upsample_nearest2d(image, {to_.height, to_.width});
    if (from_.channels > to_.channels) return image.narrow(1, 0, to_.channels).clone(at::MemoryFormat::ChannelsLast);
    if (from_.channels == to_.channels) return image;
    return at::constant_pad_nd(image, {0, 0, 0, 0, 0, to_.channels - from_.channels});
  }

 private:
  Shape from_, to_;
};

class Slice final : public OperationModule {
 public:
  explicit Slice(const ModuleArguments& arguments)
      : from_(arguments.node.attributes.at("from")), channels_(arguments.node.shape.channels) {}

  Traits traits() const override { return {.pure = true}; }
  at::Tensor forward(Inputs inputs, bool) override {
    return inputs[0].narrow(1, from_, channels_).clone(at::MemoryFormat::ChannelsLast);
  }

 private:
  std::int64_t from_, channels_;
};

class WeightedSum final : public OperationModule {
 public:
  explicit WeightedSum(const ModuleArguments& arguments)
      : weight_(register_parameter("weight", at::zeros({static_cast<std::int64_t>(arguments.inputs.size())}))) {}

  at::Tensor forward(Inputs inputs, bool) override { return fused::weighted_sum(at::sigmoid(weight_), inputs); }

 private:
  at::Tensor weight_;
};

// What is left of a learned group convolution when it has condensed: the groups' inputs side by side, some of them
// repeated, and a group convolution (Huang et al. 2018, section 3.1). Filter i belongs to group i mod G. On a CPU
// LibTorch takes 4 to 14 times as long for that as for the dense convolution with zeros in the gaps, which is computed
// there.
class CondensedConvolution final : public OperationModule {
 public:
  // `inputs`: int64, [groups, inputs of a group]. `weight`: [groups, filters of a group, inputs of a group].
  CondensedConvolution(const at::Tensor& inputs, const at::Tensor& weight) : groups_(inputs.size(0)) {
    index_ = register_buffer("index", inputs.flatten());
    weight_ = register_parameter("weight", weight.flatten(0, 1).unsqueeze(2).unsqueeze(3).contiguous());
  }

  Traits traits() const override { return {.output_reusable = true}; }
  at::Tensor forward(Inputs inputs, bool) override {
    if (inputs[0].is_cpu()) return at::conv2d(inputs[0], dense(inputs[0].size(1)));
    const auto pixels = [](const at::Tensor& x) { return x.permute({0, 2, 3, 1}); };  // as they lie in memory
    const auto image = [](const at::Tensor& x) { return x.permute({0, 3, 1, 2}); };
    const at::Tensor read = image(pixels(inputs[0]).index_select(3, index_));
    const at::Tensor y = pixels(at::conv2d(read, weight_, {}, Extents{1, 1}, Extents{0, 0}, Extents{1, 1}, groups_));
    // Group after group; filter i of all is filter i / G of group i mod G.
    return image(y.reshape({y.size(0), y.size(1), y.size(2), groups_, -1}).transpose(3, 4).flatten(3));
  }

 private:
  at::Tensor dense(std::int64_t inputs) const {
    const at::Tensor grouped =
        weight_.view({groups_, -1, weight_.size(1)});  // [groups, filters of a group, its inputs]
    const at::Tensor index = index_.view({groups_, 1, -1}).expand_as(grouped);
    return at::zeros({groups_, grouped.size(1), inputs}, grouped.options())
        .scatter(2, index, grouped)
        .transpose(0, 1)
        .reshape({weight_.size(0), inputs, 1, 1});
  }

  std::int64_t groups_;
  at::Tensor index_;   // [groups * inputs of a group]
  at::Tensor weight_;  // [channels, inputs of a group, 1, 1], group after group
};

// Huang et al. 2018, section 3.1. `mask` is 0 where a filter no longer reads an input; the filters of a group read the
// same. Filter i belongs to group i mod G, as in the authors' code (ShichenLiu/CondenseNet): the groups of a
// convolution that follows then read filters of all of them.
class LearnedGroupConvolution final : public OperationModule {
 public:
  explicit LearnedGroupConvolution(const ModuleArguments& arguments)
      : groups_(arguments.node.attributes.at("groups")), condensation_(arguments.node.attributes.at("condensation")) {
    const std::int64_t channels = arguments.node.shape.channels, depth = arguments.inputs[0].channels;
    UniformWeights draw(arguments.rng);
    weight_ = register_parameter("weight", draw({channels, depth, 1, 1}, depth));
    mask_ = register_buffer("mask", at::ones_like(weight_));
  }

  Traits traits() const override { return {.output_reusable = true}; }
  at::Tensor forward(Inputs inputs, bool) override { return at::conv2d(inputs[0], weight_ * mask_); }

  // The condensing stages divide the first half of the training evenly.
  void set_progress(double progress) override {
    const auto stage =
        std::min(static_cast<std::int64_t>(2.0 * progress * static_cast<double>(condensation_ - 1)), condensation_ - 1);
    if (stage != stage_) drop_down_to(weight_.size(1) - stage * (weight_.size(1) / condensation_));
    stage_ = stage;
  }

  std::shared_ptr<OperationModule> condensed() override {
    if (condensation_ == 1) return nullptr;
    const at::NoGradGuard no_grad;
    const std::int64_t inputs = weight_.size(1), read = inputs / condensation_;
    // [groups, read], ascending.
    const at::Tensor kept = mask_.view({-1, groups_, inputs})[0].nonzero().select(1, 1).view({groups_, read});
    const at::Tensor weight = weight_.view({-1, groups_, inputs}).transpose(0, 1);  // [groups, filters, inputs]
    auto condensed = std::make_shared<CondensedConvolution>(
        kept, weight.gather(2, kept.unsqueeze(1).expand({-1, weight.size(1), -1})));
    condensed->train(is_training());
    return condensed;
  }

 private:
  // Leaves each group the `count` inputs with the largest weights, by their sum of magnitudes over the group's filters.
  void drop_down_to(std::int64_t count) {
    const at::NoGradGuard no_grad;
    const at::Tensor grouped = mask_.view({-1, groups_, weight_.size(1)});  // [filters of a group, groups, inputs]
    if (grouped[0][0].sum().item<double>() <= static_cast<double>(count)) return;
    const at::Tensor magnitude = (weight_ * mask_).abs().view(grouped.sizes()).sum(0);  // [groups, inputs]
    const at::Tensor kept = std::get<1>(magnitude.topk(count, 1));
    grouped.copy_(at::zeros_like(magnitude).scatter_(1, kept, 1.0).expand_as(grouped));
  }

  std::int64_t groups_, condensation_;
  std::int64_t stage_ = -1;   // not known yet: the mask may come from a file
  at::Tensor weight_, mask_;  // [channels, inputs, 1, 1]
};

class Embedding final : public OperationModule {
 public:
  explicit Embedding(const ModuleArguments& arguments) : dropout_(arguments.node.attributes.at("dropout")) {
    const std::int64_t vocabulary = arguments.node.attributes.at("vocabulary");
    const std::int64_t features = arguments.node.shape.channels;
    // The fan in of what reads the vector, not of the table.
    weight_ = register_parameter("weight", UniformWeights(arguments.rng)({vocabulary, features}, features));
  }

  // Token numbers: int64, [n, positions, 1].
  at::Tensor forward(Inputs inputs, bool) override {
    const at::Tensor table =
        is_training() && dropout_ > 0.0 ? weight_ * dropout_mask({weight_.size(0), 1}, dropout_, weight_) : weight_;
    return at::embedding(table, inputs[0].squeeze(2).to(at::kLong));
  }

 private:
  double dropout_;
  at::Tensor weight_;
};

// The weight is registered by its source alone: it is one parameter, whose gradient is the sum of all uses.
class TiedLinear final : public OperationModule {
 public:
  explicit TiedLinear(const ModuleArguments& arguments) {
    const std::int64_t features = arguments.node.shape.channels, read = arguments.inputs[0].channels;
    const OperationModule* source = arguments.sources.size() == 2 ? arguments.sources[1].get() : nullptr;
    if (dynamic_cast<const Embedding*>(source) != nullptr || dynamic_cast<const Linear*>(source) != nullptr)
      weight_ = source->named_parameters(/*recurse=*/false)["weight"];
    if (!weight_.defined() || weight_.sizes() != at::IntArrayRef({features, read})) {
      throw InvalidInput("node " + arguments.node.name + ": the second input of tied_linear must be an embedding of " +
                         std::to_string(features) +
                         " tokens, as many as it has features, or a linear layer that reads " + std::to_string(read) +
                         ", as it does");
    }
    if (arguments.node.attributes.at("bias")) {
      bias_ = register_parameter("bias", UniformWeights(arguments.rng)({features}, arguments.inputs[0].channels));
    }
  }

  at::Tensor forward(Inputs inputs, bool) override { return at::linear(inputs[0], weight_, bias_); }
  std::vector<at::Tensor> taking_part() const override {
    std::vector<at::Tensor> parameters = {weight_};
    if (bias_.defined()) parameters.push_back(bias_);
    return parameters;
  }

 private:
  at::Tensor weight_, bias_;
};

class LockedDropout final : public OperationModule {
 public:
  explicit LockedDropout(const ModuleArguments& arguments)
      : probability_(arguments.node.attributes.at("probability")) {}

  Traits traits() const override { return {.passes_through = !is_training() || probability_ == 0.0}; }
  at::Tensor forward(Inputs inputs, bool) override {
    const at::Tensor& x = inputs[0];  // [n, positions, features], or [n, features]
    Extents sizes = x.sizes().vec();
    if (sizes.size() == 3) sizes[1] = 1;
    return x * dropout_mask(sizes, probability_, x);
  }

 private:
  double probability_;
};

class Highway final : public OperationModule {
 public:
  Traits traits() const override { return {.pure = true, .output_reusable = true}; }
  at::Tensor forward(Inputs inputs, bool) override { return at::lerp(inputs[0], inputs[2], inputs[1]); }
};

class Slowness final : public OperationModule {
 public:
  explicit Slowness(const ModuleArguments& arguments) : weight_(arguments.node.attributes.at("weight")) {}

  Traits traits() const override { return {.passes_through = !is_training() || weight_ == 0.0}; }
  at::Tensor forward(Inputs inputs, bool) override {
    const at::Tensor& x = inputs[0];  // [n, positions, features]
    const std::int64_t steps = x.size(1) - 1;
    if (steps > 0) penalty_ = weight_ * (x.narrow(1, 1, steps) - x.narrow(1, 0, steps)).square().mean();
    return x;
  }
  at::Tensor take_penalty() override { return std::exchange(penalty_, at::Tensor()); }

 private:
  double weight_;
  at::Tensor penalty_;
};

template <typename T>
std::shared_ptr<OperationModule> make_module(const ModuleArguments& arguments) {
  if constexpr (std::is_constructible_v<T, const ModuleArguments&>) {
    return std::make_shared<T>(arguments);
  } else {
    return std::make_shared<T>();
  }
}

}  // namespace

at::Tensor dropout_mask(at::IntArrayRef sizes, double probability, const at::Tensor& like) {
  const double keep = 1.0 - probability;
  return at::empty(sizes, like.options().requires_grad(false)).bernoulli_(keep).div_(keep);
}

at::Tensor OperationModule::forward_along(at::ArrayRef<at::Tensor> inputs, const Along& along) {
  at::Tensor y = forward(inputs, false);
  if (along.affine) {
    const auto& [scale, shift] = *along.affine;
    y = at::addcmul(shift.view({-1, 1, 1}), y, scale.view({-1, 1, 1}));
  }
  return along.relu ? y.relu() : y;
}

const OperationModules& OperationModules::built_in() {
  static const OperationModules modules = [] {
    OperationModules built_in;
    built_in.add("conv2d", make_module<Convolution>);
    built_in.add("linear", make_module<Linear>);
    built_in.add("batch_norm", make_module<BatchNorm>);
    built_in.add("activation", make_module<Activation>);
    built_in.add("activation_unit", make_activation_unit);
    built_in.add("max_pool", make_module<Pooling>);
    built_in.add("avg_pool", make_module<Pooling>);
    built_in.add("global_avg_pool", make_module<GlobalAvgPool>);
    built_in.add("flatten", make_module<Flatten>);
    built_in.add("identity", make_module<Identity>);
    built_in.add("add", make_module<Add>);
    built_in.add("choice", make_module<ChoiceModule>);
    built_in.add("mean", make_module<Mean>);
    built_in.add("multiply", make_module<Multiply>);
    built_in.add("concat", make_module<Concat>);
    built_in.add("dropout", make_module<Dropout>);
    built_in.add("drop_path", make_module<DropPath>);
    built_in.add("zero", make_module<Zero>);
    built_in.add("shift", make_module<Shift>);
    built_in.add("scale", make_module<Scale>);
    built_in.add("pad", make_module<Pad>);
    built_in.add("resize", make_module<Resize>);
    built_in.add("slice", make_module<Slice>);
    built_in.add("weighted_sum", make_module<WeightedSum>);
    built_in.add("learned_group_conv", make_module<LearnedGroupConvolution>);
    built_in.add("embedding", make_module<Embedding>);
    built_in.add("tied_linear", make_module<TiedLinear>);
    built_in.add("locked_dropout", make_module<LockedDropout>);
    built_in.add("highway", make_module<Highway>);
    built_in.add("slowness", make_module<Slowness>);
    built_in.add("recurrent", make_recurrent);
    return built_in;
  }();
  return modules;
}

namespace {

// The host's; null until a plugin is created.
std::atomic<decltype(weft_context::shared)> shared_plugins = nullptr;

// The plugin of kind `module` for that operation, or null.
const ModuleMaker* module_maker(const std::string& operation) {
  const auto shared = shared_plugins.load();
  if (shared == nullptr) return nullptr;
  weft_handle found{};
  detail::StringWriter error;
  const weft_status status = shared(detail::text(ModuleMaker::kind), detail::text(operation), &found, error);
  if (status == WEFT_INVALID) return nullptr;
  detail::check(status, error);
  const auto* table =
      static_cast<const IngredientTable<ModuleMaker>*>(found.component->find_interface(ModuleMaker::interface_id));
  if (table == nullptr) throw Error(operation + " has no " + ModuleMaker::interface_id + ": it is of another kind");
  return table->get(found.instance);
}

}  // namespace

void detail::adopt_modules(const weft_context& context) {
  detail::adopt_operations(context);  // of libweft_torch itself, which reads graphs, too
  if (detail::has(&context, &weft_context::shared)) shared_plugins = context.shared;
}

std::shared_ptr<OperationModule> OperationModules::make(const ModuleArguments& arguments) const {
  const auto found = factories_.find(arguments.node.operation);
  if (found != factories_.end()) return found->second(arguments);
  if (const ModuleMaker* maker = module_maker(arguments.node.operation)) return maker->make(arguments);
  throw InvalidInput("node " + arguments.node.name + ": no module computes the operation " + arguments.node.operation +
                     "; install the plugin of kind \"module\" of that name");
}

}  // namespace weft
