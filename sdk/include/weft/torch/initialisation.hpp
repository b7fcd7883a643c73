// An initialisation: what a network's weights are before its training, an ingredient of a recipe.
//
// It is asked for the weights and biases of convolutions, learned group convolutions and linear layers. Batch norms
// begin as the identity, and recurrent cells and embeddings as their papers have them, whatever the initialisation.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>

#include "weft/rng.hpp"
#include "weft/torch/ingredient.hpp"

namespace weft {

class Network;

class Initialisation {
 public:
  using IngredientKind = Initialisation;
  static constexpr const char* kind = "initialisation";
  static constexpr const char* interface_id = "weft.torch.initialisation/1";

  // How many numbers each output is computed from, and how many outputs each number reaches.
  struct Fan {
    std::int64_t in, out;
  };

  virtual ~Initialisation() = default;
  // Fills `weight`, [outputs, inputs of a group] or [outputs, inputs of a group, height, width], on the CPU.
  virtual void weight(at::Tensor& weight, Fan fan, const at::Generator& generator) const = 0;
  // Fills `bias`, [outputs], after its weight and from the same generator.
  virtual void bias(at::Tensor& bias, Fan /*fan*/, const at::Generator& /*generator*/) const;
};

// Of a network on the CPU. `rng` is what the network was made from: PyTorch's own initialisation leaves it as it was,
// but for learned group convolutions.
void initialise(Network& network, const Initialisation& initialisation, const Rng& rng);

}  // namespace weft
