// The hypernetwork of SMASH: from the encoding of an architecture to the weights of all its 1x1 convolutions.
//
// Brock et al. 2018, section 3.2, and the authors' code: a dense convolutional network without downsampling, over the
// encoding and one channel of noise; every kernel is divided by its norm, as a whole tensor, and so is what it
// generates for each layer. Kernels are drawn orthogonal.
#pragma once

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "weft/memory_banks.hpp"
#include "weft/rng.hpp"

namespace smash {

// Rows, or columns where there are fewer, of length 1 and orthogonal to each other (Saxe et al. 2014).
inline at::Tensor orthogonal(const std::vector<std::int64_t>& sizes, const weft::Rng& rng) {
  weft::Rng stream = rng;
  const at::Tensor drawn =
      at::empty(sizes).normal_(0.0, 1.0, at::detail::createCPUGenerator(stream())).flatten(1);  // [rows, columns]
  const bool wide = drawn.size(0) < drawn.size(1);
  const auto [q, r] = at::linalg_qr(wide ? drawn.t() : drawn);
  const at::Tensor basis = q * at::diagonal(r).sign();
  return (wide ? basis.t() : basis).reshape(sizes).contiguous();
}

class Hypernetwork {
 public:
  struct Options {
    std::vector<int> layers = {8, 10, 4};  // of its three blocks
    int growth = 10;                       // channels that each of them adds
  };
  static constexpr int first_channels = 7;
  static constexpr double slope = 0.02;  // of the leaky ReLU

  Hypernetwork(const weft::memory_banks::Geometry& geometry, const Options& options, const weft::Rng& rng)
      : geometry_(geometry) {
    std::int64_t channels = 1 + weft::memory_banks::encoding_channels(geometry);
    const auto add = [&](std::int64_t out, std::int64_t kernel, bool dense) {
      const weft::Rng stream = rng.derive("kernel", kernels_.size());
      kernels_.push_back(orthogonal({out, channels, kernel, kernel}, stream).set_requires_grad(true));
      dense_.push_back(dense);
      channels = dense ? channels + out : out;
    };
    add(first_channels, 3, true);
    for (std::size_t block = 0; block < options.layers.size(); ++block) {
      for (int i = 0; i < options.layers[block]; ++i) add(options.growth, 3, true);
      const bool last = block + 1 == options.layers.size();
      if (!last) add(channels / 2, 3, false);
    }
    const std::int64_t units = geometry.bank;
    add(units * units * geometry.compression, 1, false);
  }

  void to(at::ScalarType type) const {
    for (at::Tensor kernel : kernels_) kernel.set_data(kernel.data().to(type));
  }
  const std::vector<at::Tensor>& parameters() const { return kernels_; }
  // They go where it goes, and are saved with it; they are not among its parameters.
  void join(torch::nn::Module& module) const {
    for (std::size_t i = 0; i < kernels_.size(); ++i)
      module.register_buffer("hypernetwork_kernel_" + std::to_string(i + 1), kernels_[i]);
  }

  // For the slots of the architecture alone: `encoding` is [channels, units, slots], `noise` [1, units, slots]. Returns
  // [slots * compression * bank, units * bank], by what they read and what they write: a row for each input of the
  // layers one after the other.
  at::Tensor operator()(const at::Tensor& encoding, const at::Tensor& noise) const {
    at::Tensor x = at::cat({noise, encoding}).unsqueeze(0);
    for (std::size_t i = 0; i < kernels_.size(); ++i) {
      const at::Tensor kernel = kernels_[i] / kernels_[i].norm();
      const at::Tensor y = at::conv2d(i == 0 ? x : at::leaky_relu(x, slope), kernel, {}, 1, kernel.size(2) / 2);
      x = dense_[i] ? at::cat({x, y}, 1) : y;
    }
    const std::int64_t bank = geometry_.bank, units = geometry_.units(), slots = encoding.size(2);
    return x.view({bank, geometry_.compression * bank, units, slots})
        .permute({3, 1, 2, 0})
        .reshape({slots * geometry_.compression * bank, units * bank});
  }

  // Of every layer in turn, [block][layer]: [mixed channels, read channels, 1, 1].
  std::vector<std::vector<at::Tensor>> weights(const weft::memory_banks::Network& network, weft::Rng noise) const {
    const at::TensorOptions options = kernels_.front().options().requires_grad(false);
    const std::int64_t units = geometry_.units(), slots = network.slots();
    const at::Tensor encoding = at::tensor(weft::memory_banks::encode(network), at::kDouble)
                                    .view({-1, units, geometry_.slots()})
                                    .narrow(2, 0, slots)
                                    .to(options);
    const at::Tensor z = at::empty({1, units, slots}).normal_(0.0, 1.0, at::detail::createCPUGenerator(noise()));
    const at::Tensor generated = (*this)(encoding, z.to(options));
    std::vector<std::vector<at::Tensor>> weights(network.parts.size());
    std::int64_t first = 0;
    for (std::size_t b = 0; b < network.parts.size(); ++b) {
      for (const weft::memory_banks::Layer& layer : network.parts[b].layers) {
        const int block = static_cast<int>(b);
        const std::int64_t read = network.read_channels(block, layer), mixed = network.mixed_channels(block, layer);
        const at::Tensor weight = generated.narrow(0, first, read).narrow(1, 0, mixed).t();
        weights[b].push_back((weight / weight.norm()).unsqueeze(2).unsqueeze(3));
        first += read;
      }
    }
    return weights;
  }

 private:
  weft::memory_banks::Geometry geometry_;
  std::vector<at::Tensor> kernels_;
  std::vector<bool> dense_;  // by kernel: whether what it makes is put beside what it reads
};

}  // namespace smash
