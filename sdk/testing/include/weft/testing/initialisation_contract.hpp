// The contract suite of initialisations: what every plugin of kind `initialisation` must do, whatever it draws.
//
// Include Catch2 (version 2 or 3) first.
#pragma once

#ifndef REQUIRE
#error "include Catch2 before weft/testing/initialisation_contract.hpp"
#endif

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "weft/testing/library.hpp"
#include "weft/torch/initialisation.hpp"

namespace weft::testing {

// An instance of the plugin; it lives as long as what is returned.
inline std::shared_ptr<const Initialisation> initialisation_of(const Plugin& plugin,
                                                               const Json& args = Json::object()) {
  return ingredient_of<Initialisation>(plugin, args);
}

// Of [outputs, inputs of a group, ..], as it fills one.
inline at::Tensor weight_of(const Initialisation& initialisation, const std::vector<std::int64_t>& sizes,
                            std::uint64_t seed = 1) {
  at::Tensor weight = at::full(sizes, 1e9f);
  const std::int64_t fan_in = weight.numel() / weight.size(0), fan_out = weight.numel() / weight.size(1);
  initialisation.weight(weight, {fan_in, fan_out}, at::detail::createCPUGenerator(seed));
  return weight;
}

inline void check_initialisation(const Plugin& plugin, const Json& args = Json::object()) {
  const auto initialisation = initialisation_of(plugin, args), twin = initialisation_of(plugin, args);
  for (const std::vector<std::int64_t>& sizes :
       {std::vector<std::int64_t>{8, 3, 3, 3}, {16, 1, 5, 5}, {4, 4, 1, 1}, {10, 32}, {1, 1}, {3, 64}}) {
    const at::Tensor weight = weight_of(*initialisation, sizes);
    REQUIRE(weight.sizes() == at::IntArrayRef(sizes));
    REQUIRE(weight.isfinite().all().item<bool>());
    REQUIRE(weight.abs().max().item<double>() < 1e6);  // every element was filled
    REQUIRE(at::equal(weight, weight_of(*twin, sizes)));
    if (weight.numel() > 8) REQUIRE(!at::equal(weight, weight_of(*initialisation, sizes, 2)));
    at::Tensor bias = at::full({sizes[0]}, 1e9f);
    initialisation->bias(bias, {weight.numel() / weight.size(0), weight.size(0)}, at::detail::createCPUGenerator(1));
    REQUIRE(bias.isfinite().all().item<bool>());
    REQUIRE(bias.abs().max().item<double>() < 1e6);
  }
  // As convolutions have them in memory.
  at::Tensor last = at::empty({4, 3, 3, 3}, at::MemoryFormat::ChannelsLast);
  initialisation->weight(last, {27, 36}, at::detail::createCPUGenerator(1));
  REQUIRE(last.is_contiguous(at::MemoryFormat::ChannelsLast));
}

}  // namespace weft::testing
