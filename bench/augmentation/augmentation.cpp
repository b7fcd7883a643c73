// The policy that AutoAugment found for CIFAR-10, on a batch of 128 pictures of 3x32x32, beside a training step of
// WRN-16-1 on it: milliseconds in one thread. Rounds are interleaved; a figure is the median of the rounds, the ratio
// that of theirs.

#include "weft/torch/augmentation.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <vector>

#include "bench/recipe.hpp"
#include "weft/blocks.hpp"
#include "weft/testing/library.hpp"
#include "weft/torch/loss.hpp"
#include "weft/torch/network.hpp"
#include "weft/torch/updates.hpp"

namespace {

using weft::NodeId;
using weft::blocks::Convolution;

constexpr double target = 0.15;
constexpr std::int64_t batch_size = 128;

// A wide residual network (Zagoruyko and Komodakis 2016): 16 - 4 layers in three stages of two blocks, 16, 32 and 64
// channels; the shortcut is a convolution where the width changes.
weft::Architecture wrn_16_1() {
  weft::ArchitectureBuilder graph;
  NodeId x = weft::blocks::convolution(graph, graph.input(weft::Shape::image(3, 32, 32)), Convolution::square(16, 3));
  for (const std::int64_t channels : {16, 32, 64}) {
    for (const bool first : {true, false}) {
      const std::int64_t stride = first && channels > 16 ? 2 : 1;
      const NodeId before = weft::blocks::bn_relu(graph, x);
      const NodeId shortcut =
          stride == 1 ? x : weft::blocks::convolution(graph, before, Convolution::square(channels, 1, stride));
      const NodeId inner = weft::blocks::bn_relu(
          graph, weft::blocks::convolution(graph, before, Convolution::square(channels, 3, stride)));
      x = graph.add("add", {}, {shortcut, weft::blocks::convolution(graph, inner, Convolution::square(channels, 3))});
    }
  }
  return std::move(graph).build(weft::blocks::classifier(graph, weft::blocks::bn_relu(graph, x), 10));
}

double milliseconds(int times, const std::function<void()>& body) {
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < times; ++i) body();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count() / times;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "bench_augmentation MANIFEST [ROUNDS]\n");
    return 2;
  }
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 9;
  at::set_num_threads(1);
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, -1);

  const auto plugin = weft::testing::Plugin::open(std::filesystem::path(argv[1]));
  const auto policy = weft::testing::ingredient_of<weft::Augmentation>(plugin);
  const at::Tensor pixels = at::randint(256, {batch_size, 32, 32, 3}, at::kByte), mean = at::full({3}, 120, at::kByte);
  weft::Rng rng(1);

  weft::Network network(wrn_16_1(), weft::Rng(1));
  weft::Updates updates(network.parameters(), weft::bench::recipe(batch_size));
  const at::Tensor images = pixels.to(at::kFloat).div_(64.0).sub_(2.0).permute({0, 3, 1, 2});
  const at::Tensor labels = at::randint(10, {batch_size}, at::kLong);
  const auto step = [&] {
    updates.zero_grad();
    weft::cross_entropy(network.forward(images).logits, labels, 0.0).backward();
    updates.step(0.01);
  };

  std::vector<double> augmented, trained, ratios;
  for (int round = 0; round <= rounds; ++round) {
    const double of_policy = milliseconds(20, [&] { policy->pixels(pixels, mean, rng); });
    const double of_step = milliseconds(2, step);
    if (round == 0) continue;  // warms up
    augmented.push_back(of_policy);
    trained.push_back(of_step);
    ratios.push_back(of_policy / of_step);
  }
  const double ratio = median(ratios);
  std::printf(
      "WRN-16-1 (%lld parameters), batch %lld, one thread, %d rounds: a step %.1f ms, the policy %.2f ms, ratio %.3f, "
      "target %.2f%s\n",
      static_cast<long long>(network.architecture().cost().parameters), static_cast<long long>(batch_size), rounds,
      median(trained), median(augmented), ratio, target, ratio < target ? "" : " MISSED");
  return ratio < target ? 0 : 1;
}
