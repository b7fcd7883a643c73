// Our own kernels against LibTorch in double, over random extents; their gradients also by finite differences.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/core/ivalue.h>
#include <hwy/targets.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>

#include "sdk/torch/src/fused.hpp"
#include "tests/catch.hpp"
#include "tests/torch/slope.hpp"
#include "weft/rng.hpp"

using namespace weft;

namespace {

using Tensors = std::vector<at::Tensor>;
using Function = std::function<at::Tensor(const Tensors&)>;

// What the loss weighs each output by: of no regularity, and the same in every call.
at::Tensor weights(const at::Tensor& y) {
  const at::Tensor drawn = at::randn(y.sizes(), at::detail::createCPUGenerator(7), at::TensorOptions(at::kFloat));
  return drawn.to(y.scalar_type());
}

// Its value and, in this order, its gradients in the inputs, of a loss that weighs each output differently.
Tensors with_gradients(const Function& function, const Tensors& inputs) {
  Tensors leaves;
  for (const at::Tensor& input : inputs) leaves.push_back(input.detach().clone().requires_grad_());
  const at::Tensor y = function(leaves);
  const at::Tensor loss = (y * weights(y)).sum();
  Tensors result = torch::autograd::grad({loss}, leaves);
  result.insert(result.begin(), y.detach());
  return result;
}

double largest(const at::Tensor& x) { return x.numel() == 0 ? 0.0 : x.abs().max().item<double>(); }

// In double to rounding, in float to 1e-5 of the largest value.
void check_equal(const Function& ours, const Function& theirs, const Tensors& inputs) {
  for (const at::ScalarType type : {at::kDouble, at::kFloat}) {
    Tensors converted, exact;
    for (const at::Tensor& input : inputs) {
      converted.push_back(input.to(type));
      exact.push_back(converted.back().to(at::kDouble));
    }
    const Tensors expected = with_gradients(theirs, exact);
    const Tensors found = with_gradients(ours, converted);
    REQUIRE(found.size() == expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
      INFO(at::toString(type) << ", " << (i == 0 ? "value" : "gradient of input " + std::to_string(i - 1)));
      REQUIRE(found[i].sizes() == expected[i].sizes());
      REQUIRE(largest(found[i].to(at::kDouble) - expected[i]) <=
              (type == at::kDouble ? 1e-12 : 1e-5) * std::max(1.0, largest(expected[i])));
    }
  }
}

void check_finite_differences(const Function& function, const Tensors& inputs) {
  const Tensors found = with_gradients(function, inputs);
  const auto loss = [&] {
    const at::NoGradGuard no_grad;
    const at::Tensor y = function(inputs);
    return (y * weights(y)).sum().item<double>();
  };
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const at::Tensor gradient = found[i + 1].contiguous(inputs[i].suggest_memory_format());
    for (std::int64_t at = 0; at < inputs[i].numel(); ++at) {
      const double found_there = gradient.data_ptr<double>()[at];
      REQUIRE(testing::slope(inputs[i], at, loss, 1e-6) == Approx(found_there).margin(1e-6));
    }
  }
}

at::Tensor images(std::int64_t n, std::int64_t c, std::int64_t h, std::int64_t w) {
  return at::randn({n, c, h, w}, at::kDouble).contiguous(at::MemoryFormat::ChannelsLast);
}

// Calls `body` under every instruction set that the machine has, worse ones than the best, too.
void for_each_target(const std::function<void()>& body) {
  const std::int64_t all = hwy::SupportedTargets();
  for (std::int64_t left = all; left != 0; left &= left - 1) {
    const std::int64_t target = left & -left;
    INFO(hwy::TargetName(target));
    hwy::GetChosenTarget().Update(target);
    body();
  }
  hwy::GetChosenTarget().Update(all);
}

struct Case {
  std::int64_t n, c, h, w, kernel_height, kernel_width;
  fused::Window window;

  at::Tensor x() const { return images(n, c, h, w); }
  at::Tensor weight() const { return at::randn({c, 1, kernel_height, kernel_width}, at::kDouble); }
  bool fits() const {
    const auto extent = [](std::int64_t kernel, std::int64_t dilation) { return (kernel - 1) * dilation + 1; };
    return h + 2 * window.padding[0] >= extent(kernel_height, window.dilation[0]) &&
           w + 2 * window.padding[1] >= extent(kernel_width, window.dilation[1]);
  }
  Function ours() const {
    return [*this](const Tensors& in) { return fused::depthwise_conv2d(in[0], in[1], window); };
  }
  Function theirs() const {
    return [*this](const Tensors& in) {
      return at::conv2d(in[0], in[1], {}, window.stride, window.padding, window.dilation, c);
    };
  }
};

std::ostream& operator<<(std::ostream& out, const Case& one) {
  return out << one.n << " x " << one.c << " x " << one.h << " x " << one.w << ", kernel " << one.kernel_height << " x "
             << one.kernel_width << ", stride " << one.window.stride << ", padding " << one.window.padding
             << ", dilation " << one.window.dilation;
}

struct PoolingCase {
  std::int64_t n, c, h, w;
  fused::PoolingWindow window;

  bool fits() const {
    const auto& [kernel, stride, padding, ceil, include] = window;
    return 2 * padding[0] <= kernel[0] && 2 * padding[1] <= kernel[1] && h + 2 * padding[0] >= kernel[0] &&
           w + 2 * padding[1] >= kernel[1];
  }
  // Of few different values, so that maxima are often equal.
  at::Tensor x() const {
    return at::randint(-3, 4, {n, c, h, w}, at::kDouble).contiguous(at::MemoryFormat::ChannelsLast);
  }
  Function ours(bool average) const {
    return [*this, average](const Tensors& in) {
      return average ? fused::avg_pool2d(in[0], window) : fused::max_pool2d(in[0], window);
    };
  }
  Function theirs(bool average) const {
    return [average, w = window](const Tensors& in) {
      return average ? at::avg_pool2d(in[0], w.kernel, w.stride, w.padding, w.ceil, w.include_padding)
                     : at::max_pool2d(in[0], w.kernel, w.stride, w.padding, 1, w.ceil);
    };
  }
};

std::ostream& operator<<(std::ostream& out, const PoolingCase& one) {
  return out << one.n << " x " << one.c << " x " << one.h << " x " << one.w << ", kernel " << one.window.kernel
             << ", stride " << one.window.stride << ", padding " << one.window.padding << ", ceil " << one.window.ceil
             << ", with padding " << one.window.include_padding;
}

Function batch_norm_by_libtorch(bool relu) {
  return [relu](const Tensors& in) {
    const at::Tensor y = at::batch_norm(in[0], in[1], in[2], {}, {}, true, 0.1, 1e-5, false);
    return relu ? y.relu() : y;
  };
}

Function batch_norm(bool relu) {
  return [relu](const Tensors& in) {
    const at::Tensor mean = at::zeros({in[0].size(1)}, in[0].options().requires_grad(false)), var = at::ones_like(mean);
    return fused::batch_norm(in[0], {in[1], in[2], mean, var, 0.1, 1e-5}, /*training=*/true, relu);
  };
}

}  // namespace

TEST_CASE("depthwise convolution: every extent, kernel, stride, padding and dilation") {
  at::manual_seed(1);
  Rng rng(1);
  const auto from = [&](std::int64_t least, std::int64_t most) {
    return least + static_cast<std::int64_t>(rng.below(static_cast<std::size_t>(most - least + 1)));
  };
  int tried = 0;
  while (tried < 150) {
    Case one{from(1, 6), from(1, 130), from(1, 14), from(1, 14), from(1, 7), from(1, 7), {}};
    one.window = {{from(1, 3), from(1, 3)}, {from(0, 4), from(0, 4)}, {from(1, 3), from(1, 3)}};
    if (!one.fits()) continue;
    INFO(one);
    check_equal(one.ours(), one.theirs(), {one.x(), one.weight()});
    ++tried;
  }
}

TEST_CASE("depthwise convolution: kernels of one row, strides beyond the kernel, windows that reach one pixel") {
  at::manual_seed(2);
  const Case row{2, 17, 5, 9, 1, 7, {{1, 1}, {0, 3}, {1, 1}}};
  const Case sparse{2, 5, 9, 9, 1, 1, {{3, 3}, {0, 0}, {1, 1}}};
  const Case wide{2, 33, 3, 3, 7, 7, {{1, 1}, {6, 6}, {2, 2}}};
  const Case padded{1, 3, 2, 2, 3, 3, {{2, 2}, {4, 4}, {1, 1}}};
  for (const Case& one : {row, sparse, wide, padded}) {
    INFO(one);
    REQUIRE(one.fits());
    check_equal(one.ours(), one.theirs(), {one.x(), one.weight()});
  }
}

TEST_CASE("kernels of every instruction set, of channels that leave remainders") {
  at::manual_seed(10);
  const PoolingCase pooled{2, 37, 9, 9, {{3, 3}, {2, 1}, {1, 1}, false, false}};
  const PoolingCase apart{2, 37, 9, 9, {{2, 2}, {2, 2}, {0, 0}, true, false}};
  const Case strided{3, 5, 9, 7, 5, 3, {{2, 1}, {2, 1}, {1, 1}}}, dense{2, 37, 6, 6, 5, 5, {{1, 1}, {2, 2}, {1, 1}}};
  for_each_target([&] {
    for (const Case& one : {strided, dense}) check_equal(one.ours(), one.theirs(), {one.x(), one.weight()});
    check_equal(batch_norm(true), batch_norm_by_libtorch(true),
                {images(4, 37, 5, 7), at::randn({37}, at::kDouble), at::randn({37}, at::kDouble)});
    for (const bool average : {false, true}) {
      check_equal(pooled.ours(average), pooled.theirs(average), {pooled.x()});
      check_equal(apart.ours(average), apart.theirs(average), {apart.x()});
    }
  });
}

TEST_CASE("pooling: every extent, kernel, stride and padding, and the first of equal maxima") {
  at::manual_seed(12);
  Rng rng(12);
  const auto from = [&](std::int64_t least, std::int64_t most) {
    return least + static_cast<std::int64_t>(rng.below(static_cast<std::size_t>(most - least + 1)));
  };
  int tried = 0;
  while (tried < 200) {
    PoolingCase one{from(1, 4), from(1, 70), from(1, 12), from(1, 12), {}};
    one.window = {
        {from(1, 5), from(1, 5)}, {from(1, 6), from(1, 6)}, {from(0, 2), from(0, 2)}, from(0, 1) == 1, from(0, 1) == 1};
    if (!one.fits()) continue;
    INFO(one);
    for (const bool average : {false, true}) check_equal(one.ours(average), one.theirs(average), {one.x()});
    ++tried;
  }
}

TEST_CASE("pooling: windows that are not whole, that are apart, of a single pixel in its padding") {
  at::manual_seed(13);
  const PoolingCase cut{2, 9, 6, 7, {{3, 3}, {2, 2}, {0, 0}, true, false}};
  const PoolingCase counted{2, 9, 6, 7, {{3, 3}, {2, 2}, {1, 1}, true, true}};
  const PoolingCase apart{2, 17, 8, 8, {{2, 2}, {3, 4}, {0, 0}, false, false}};
  const PoolingCase outside{1, 3, 1, 1, {{2, 2}, {2, 2}, {1, 1}, true, true}};
  for (const PoolingCase& one : {cut, counted, apart, outside}) {
    INFO(one);
    REQUIRE(one.fits());
    for (const bool average : {false, true}) check_equal(one.ours(average), one.theirs(average), {one.x()});
  }
  check_finite_differences(cut.ours(true), {images(2, 3, 6, 7)});
  check_finite_differences(cut.ours(false), {images(2, 3, 6, 7)});
}

TEST_CASE("pooling: an empty batch, a view, another memory format, and what is no number") {
  at::manual_seed(14);
  const PoolingCase one{4, 19, 8, 8, {{3, 3}, {2, 2}, {1, 1}, false, false}};
  const at::Tensor view = images(8, 19, 16, 8).slice(0, 0, 8, 2).slice(2, 0, 16, 2);
  at::Tensor broken = one.x().to(at::kFloat);
  broken[1][4][3][3] = std::nan("");
  broken[2].fill_(-std::numeric_limits<float>::infinity());
  for (const bool average : {false, true}) {
    CHECK(one.ours(average)({images(0, 19, 8, 8)}).sizes() == at::IntArrayRef({0, 19, 4, 4}));
    check_equal(one.ours(average), one.theirs(average), {view});
    CHECK(at::allclose(one.ours(average)({view.contiguous()}), one.theirs(average)({view})));
    for_each_target([&] {
      REQUIRE(at::allclose(one.ours(average)({broken}), one.theirs(average)({broken}), 1e-5, 1e-6, /*nan=*/true));
    });
  }
}

TEST_CASE("pooling: the average of a constant is that, and a maximum that is no number has the gradient") {
  const PoolingCase one{1, 5, 3, 3, {{3, 3}, {1, 1}, {1, 1}, false, false}};
  CHECK(at::equal(one.ours(true)({at::ones({1, 5, 9, 9})}), at::ones({1, 5, 9, 9})));
  at::Tensor x = at::zeros({1, 5, 3, 3});
  x[0][2][1][1] = std::nan("");
  const PoolingCase whole{1, 5, 3, 3, {{3, 3}, {1, 1}, {0, 0}, false, false}};
  const at::Tensor leaf = x.requires_grad_();
  whole.ours(false)({leaf}).sum().backward();
  CHECK(leaf.grad()[0][2][1][1].item<float>() == 1.0F);
  CHECK(leaf.grad()[0][1][0][0].item<float>() == 1.0F);  // the first of equal ones
  CHECK(leaf.grad().sum().item<float>() == 5.0F);
}

TEST_CASE("weighted sums: value and gradients of any number of terms and values, and of second order") {
  at::manual_seed(7);
  for (const std::int64_t terms : {1, 2, 5, 8}) {
    for (const std::vector<std::int64_t>& sizes :
         std::vector<std::vector<std::int64_t>>{{1}, {3, 5}, {2, 7, 3, 5}, {4, 16, 12, 9}, {0, 3, 2, 2}}) {
      CAPTURE(terms, Json(sizes).dump());
      const at::Tensor weights = at::randn({terms}).set_requires_grad(true);
      std::vector<at::Tensor> x;
      at::Tensor expected = at::zeros(sizes, at::kDouble);
      for (std::int64_t k = 0; k < terms; ++k) {
        x.push_back(at::randn(sizes).set_requires_grad(k != 1));
        expected = expected + weights[k].to(at::kDouble) * x.back().to(at::kDouble);
      }
      const at::Tensor dy = at::randn(sizes);
      const at::Tensor y = fused::weighted_sum(weights, x);
      CHECK(at::allclose(y.to(at::kDouble), expected, 1e-5, 1e-5));
      y.backward(dy);
      for (std::int64_t k = 0; k < terms; ++k) {
        const at::Tensor& term = x[static_cast<std::size_t>(k)];
        CHECK(weights.grad()[k].item<float>() == Approx((dy * term).sum().item<float>()).epsilon(1e-3).margin(1e-3));
        CHECK(term.grad().defined() == (k != 1));
        if (k != 1) CHECK(at::allclose(term.grad(), dy * weights[k]));
      }
    }
  }
  // d/dw of d/dx: the terms of a bilinear form.
  const at::Tensor weights = at::randn({2}, at::kDouble).set_requires_grad(true);
  const std::vector<at::Tensor> x = {at::randn({3}, at::kDouble).set_requires_grad(true),
                                     at::randn({3}, at::kDouble).set_requires_grad(true)};
  const at::Tensor square = fused::weighted_sum(weights, x).square().sum();
  const at::Tensor first = torch::autograd::grad({square}, {x[0]}, {}, true, /*create_graph=*/true)[0];
  const at::Tensor second = torch::autograd::grad({first.sum()}, {weights})[0];
  const at::Tensor sum = weights[0] * x[0] + weights[1] * x[1];
  CHECK(second[0].item<double>() == Approx((2 * sum + 2 * weights[0] * x[0]).sum().item<double>()));
  CHECK(second[1].item<double>() == Approx((2 * weights[0] * x[1]).sum().item<double>()));
}

TEST_CASE("gradients of gradients are refused by name") {
  const at::Tensor leaf = images(2, 3, 4, 4).requires_grad_();
  const PoolingCase one{2, 3, 4, 4, {{2, 2}, {2, 2}, {0, 0}, false, false}};
  const at::Tensor y = one.ours(true)({leaf}).square().sum();
  CHECK_THROWS_WITH(torch::autograd::grad({y}, {leaf}, {}, /*retain_graph=*/true, /*create_graph=*/true),
                    ContainsSubstring("first order"));
}

TEST_CASE("WEFT_KERNELS names what stays on") {
  using Kinds = std::set<std::string, std::less<>>;
  const Kinds all{"batch_norm", "relu", "folding", "depthwise", "pooling", "weighted_sum"};
  CHECK(fused::kinds_on(nullptr) == all);
  CHECK(fused::kinds_on("") == all);
  CHECK(fused::kinds_on("off").empty());
  CHECK(fused::kinds_on("relu,pooling") == Kinds{"relu", "pooling"});
  CHECK_THROWS_WITH(fused::kinds_on("relu, pooling"), ContainsSubstring("\" pooling\" is no kind"));
  CHECK_THROWS_WITH(fused::kinds_on("off,pooling"), ContainsSubstring("\"off\" is no kind"));
  CHECK_THROWS_WITH(fused::kinds_on("on"),
                    ContainsSubstring("batch_norm, relu, folding, depthwise, pooling, weighted_sum"));
}

TEST_CASE("depthwise convolution: gradients by finite differences") {
  at::manual_seed(3);
  const Case one{2, 3, 5, 4, 3, 2, {{2, 1}, {1, 2}, {1, 2}}};
  check_finite_differences(one.ours(), {one.x(), one.weight()});
}

TEST_CASE("depthwise convolution: an empty batch, a view, another memory format, one gradient alone") {
  at::manual_seed(4);
  Case one{4, 19, 8, 8, 5, 5, {{1, 1}, {2, 2}, {1, 1}}};
  const at::Tensor weight = one.weight();
  CHECK(one.ours()({images(0, 19, 8, 8), weight}).sizes() == at::IntArrayRef({0, 19, 8, 8}));
  const at::Tensor many = images(8, 19, 16, 8);
  const at::Tensor view = many.slice(0, 0, 8, 2).slice(2, 0, 16, 2);
  check_equal(one.ours(), one.theirs(), {view, weight});
  CHECK(at::allclose(one.ours()({view, weight}), one.theirs()({view, weight})));
  const at::Tensor planar = view.contiguous();
  CHECK(at::allclose(one.ours()({planar, weight}), one.theirs()({planar, weight})));

  const at::Tensor x = one.x(), leaf = weight.clone().requires_grad_();
  one.ours()({x, leaf}).sum().backward();
  const at::Tensor found = leaf.grad().clone();
  leaf.mutable_grad().reset();
  one.theirs()({x, leaf}).sum().backward();
  CHECK(at::allclose(found, leaf.grad()));
}

TEST_CASE("batch norm in training, and with a ReLU: value and gradients for any number of channels") {
  at::manual_seed(5);
  const bool relu = GENERATE(false, true);
  const Function theirs = batch_norm_by_libtorch(relu);
  Rng rng(5);
  for (int i = 0; i < 60; ++i) {
    const auto c = static_cast<std::int64_t>(1 + rng.below(130)), n = static_cast<std::int64_t>(2 + rng.below(4));
    const auto h = static_cast<std::int64_t>(1 + rng.below(40));
    INFO(n << " x " << c << " x " << h << " x 7, relu " << relu);
    const at::Tensor x = i % 4 == 3 ? at::randn({16 * n, c}, at::kDouble) : images(n, c, h, 7) + 3.0;
    check_equal(batch_norm(relu), theirs, {x, at::randn({c}, at::kDouble), at::randn({c}, at::kDouble)});
  }
  check_finite_differences(batch_norm(relu),
                           {images(3, 5, 2, 2), at::rand({5}, at::kDouble) + 0.5, at::randn({5}, at::kDouble)});
}

TEST_CASE("batch norm keeps running statistics, and needs neither weight nor bias") {
  at::manual_seed(6);
  const at::Tensor x = images(4, 21, 6, 5) * 2.0 + 1.0;
  const auto run = [&](bool ours) {
    const at::Tensor mean = at::zeros({21}, at::kDouble), var = at::ones({21}, at::kDouble);
    const at::Tensor leaf = x.clone().requires_grad_();
    const at::Tensor y = ours ? fused::batch_norm(leaf, {{}, {}, mean, var, 0.3, 1e-3}, true, false)
                              : at::batch_norm(leaf, {}, {}, mean, var, true, 0.3, 1e-3, false);
    (y * y * y).sum().backward();
    return Tensors{y.detach(), mean, var, leaf.grad()};
  };
  const Tensors ours = run(true), theirs = run(false);
  for (std::size_t i = 0; i < ours.size(); ++i) CHECK(at::allclose(ours[i], theirs[i], 1e-10, 1e-12));
}

TEST_CASE("batch norm of an empty batch leaves its statistics alone, and many channels go another way") {
  for (const std::int64_t channels : {7, 1009}) {
    const at::Tensor mean = at::zeros({channels}), var = at::ones({channels});
    const at::Tensor x = at::randn({0, channels, 3, 3});
    try {
      fused::batch_norm(x, {{}, {}, mean, var, 0.1, 1e-5}, true, true);
    } catch (const c10::Error&) {  // LibTorch's own answer
    }
    CHECK_FALSE(var.isnan().any().item<bool>());
  }
  at::manual_seed(11);
  check_equal(batch_norm(true), batch_norm_by_libtorch(true),
              {images(3, 1009, 2, 2), at::randn({1009}, at::kDouble), at::randn({1009}, at::kDouble)});
}

TEST_CASE("batch norm: values far from zero keep their precision, and what is no number remains") {
  at::manual_seed(7);
  const at::Tensor x = (at::randn({512, 36, 4, 4}) + 1000.0).contiguous(at::MemoryFormat::ChannelsLast);
  const auto normalised = [](const at::Tensor& given) {
    const at::Tensor mean = at::zeros({given.size(1)}, given.options()), var = at::ones_like(mean);
    return fused::batch_norm(given, {{}, {}, mean, var, 0.1, 1e-5}, true, /*relu=*/true);
  };
  CHECK(largest(normalised(x).to(at::kDouble) - normalised(x.to(at::kDouble))) < 1e-3);  // x itself is 6e-5 apart
  at::Tensor broken = x.clone();
  broken[3][7][0][0] = std::nan("");
  for_each_target([&] { REQUIRE(normalised(broken).select(1, 7).isnan().all().item<bool>()); });
  CHECK(normalised(broken).select(1, 7).isnan().all().item<bool>());
}

TEST_CASE("kernels: the same bits for any number of threads") {
  at::manual_seed(9);
  const Case one{13, 37, 17, 15, 5, 5, {{1, 1}, {4, 4}, {2, 2}}};
  const Tensors inputs = {one.x().to(at::kFloat), one.weight().to(at::kFloat)};
  const Tensors normed = {images(13, 37, 60, 15).to(at::kFloat), at::randn({37}), at::randn({37})};
  const PoolingCase pooled{13, 37, 17, 15, {{3, 3}, {1, 1}, {1, 1}, false, false}};
  const PoolingCase apart{13, 37, 17, 15, {{2, 2}, {2, 2}, {0, 0}, false, false}};
  const auto all = [&] {
    at::manual_seed(9);
    Tensors found = with_gradients(one.ours(), inputs);
    for (const at::Tensor& tensor : with_gradients(batch_norm(true), normed)) found.push_back(tensor);
    for (const bool average : {false, true}) {
      for (const PoolingCase& windows : {pooled, apart}) {
        const Tensors some = with_gradients(windows.ours(average), {windows.x().to(at::kFloat)});
        found.insert(found.end(), some.begin(), some.end());
      }
    }
    return found;
  };
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const Tensors alone = all();
  at::set_num_threads(3);
  const Tensors together = all();
  at::set_num_threads(threads);
  for (std::size_t i = 0; i < alone.size(); ++i) {
    INFO("tensor " << i);
    CHECK(at::equal(alone[i], together[i]));
  }
}
