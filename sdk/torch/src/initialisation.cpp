#include "weft/torch/initialisation.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include "weft/torch/network.hpp"

namespace weft {

void Initialisation::bias(at::Tensor& bias, Fan, const at::Generator&) const { bias.zero_(); }

void initialise(Network& network, const Initialisation& initialisation, const Rng& rng) {
  const at::NoGradGuard no_grad;
  const std::map<std::string, at::Tensor> state = network.state();
  for (const Node& node : network.architecture().nodes()) {
    // A learned group convolution begins with all its inputs.
    const bool grouped = node.operation == "conv2d";
    if (!grouped && node.operation != "linear" && node.operation != "learned_group_conv") continue;
    at::Tensor weight = state.at(node.name + ".weight");
    const std::int64_t window = weight.dim() == 4 ? weight.size(2) * weight.size(3) : 1;
    const std::int64_t groups = grouped ? node.attributes.value("groups", std::int64_t{1}) : 1;
    const Initialisation::Fan fan{weight.size(1) * window, weight.size(0) / groups * window};
    const at::Generator generator = at::detail::createCPUGenerator(rng.derive(node.name)());
    initialisation.weight(weight, fan, generator);
    const auto bias = state.find(node.name + ".bias");
    if (bias == state.end()) continue;
    at::Tensor values = bias->second;
    initialisation.bias(values, fan, generator);
  }
}

}  // namespace weft
