#include "weft/torch/structure.hpp"

#include <ATen/ATen.h>

#include <cmath>

namespace weft {
namespace {

std::vector<double> numbers(const at::Tensor& tensor) {
  const at::Tensor on_cpu = tensor.detach().to(at::kCPU, at::kDouble).contiguous();
  return {on_cpu.data_ptr<double>(), on_cpu.data_ptr<double>() + on_cpu.numel()};
}

}  // namespace

StructureParameters::StructureParameters(std::vector<SupernetChoice> choices, const Options& options, Rng rng)
    : choices_(std::move(choices)), options_(options) {
  std::map<NodeId, std::size_t> by_target;
  for (std::size_t i = 0; i < choices_.size(); ++i) {
    std::vector<double> drawn;
    for (std::size_t option = 0; option < choices_[i].options.size(); ++option)
      drawn.push_back(options.deviation * rng.normal());
    logits_.push_back(at::tensor(drawn, at::kDouble).to(options.device, options.type).set_requires_grad(true));
    const bool alone = options.softmax == Softmax::per_decision;
    const auto [known, is_new] =
        by_target.try_emplace(alone ? static_cast<NodeId>(i) : choices_[i].target, distributions_.size());
    if (is_new) distributions_.emplace_back();
    distributions_[known->second].push_back(i);
  }
}

std::vector<at::Tensor> StructureParameters::probabilities() const {
  std::vector<at::Tensor> probabilities(choices_.size());
  for (const std::vector<std::size_t>& together : distributions_) {
    std::vector<at::Tensor> logits;
    std::vector<std::int64_t> sizes;
    for (const std::size_t choice : together) {
      logits.push_back(logits_[choice]);
      sizes.push_back(logits_[choice].size(0));
    }
    const std::vector<at::Tensor> parts = at::softmax(at::cat(logits), 0).split_with_sizes(sizes);
    for (std::size_t i = 0; i < together.size(); ++i) probabilities[together[i]] = parts[i];
  }
  return probabilities;
}

Gates StructureParameters::gates() const {
  Gates gates;
  const std::vector<at::Tensor> weights = probabilities();
  for (std::size_t i = 0; i < choices_.size(); ++i) {
    std::vector<int> all(choices_[i].options.size());
    for (std::size_t option = 0; option < all.size(); ++option) all[option] = static_cast<int>(option);
    gates[choices_[i].decision] = {std::move(all), weights[i]};
  }
  return gates;
}

OptionWeights StructureParameters::weights() const {
  const at::NoGradGuard no_grad;
  const std::vector<at::Tensor> all = probabilities();
  OptionWeights weights;
  for (std::size_t i = 0; i < choices_.size(); ++i) weights[choices_[i].decision] = numbers(all[i]);
  return weights;
}

double StructureParameters::entropy() const {
  double sum = 0.0;
  for (const auto& [decision, weights] : weights()) {
    for (const double p : weights) sum -= p > 0.0 ? p * std::log(p) : 0.0;
  }
  return sum / static_cast<double>(distributions_.size());
}

Recipe adam(double lr, std::array<double, 2> betas, double weight_decay, double eps) {
  Recipe recipe{};
  recipe.update_rule = std::make_shared<Adam>(betas, eps);
  recipe.lr = lr;
  recipe.weight_decay = weight_decay;
  return recipe;
}

}  // namespace weft
