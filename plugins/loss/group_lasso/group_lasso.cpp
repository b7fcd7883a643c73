// Group lasso: Huang, Liu, van der Maaten and Weinberger 2018, "CondenseNet: An Efficient DenseNet using Learned Group
// Convolutions", section 3.1. Of each learned group convolution the sum over groups and inputs of the norm of the
// weights from that input to the group's filters, so that a group's filters come to leave out the same inputs. It ends
// with the last condensing stage, half way through the training; inputs that were dropped do not count.

#include <ATen/ATen.h>

#include "weft/plugin.hpp"
#include "weft/torch/loss.hpp"

namespace {

class GroupLasso final : public weft::Loss {
 public:
  explicit GroupLasso(const weft::Context& context) : weight_(context.get<double>("weight")) {}

  bool is_penalty() const override { return true; }

  at::Tensor loss(const Terms& terms) const override {
    if (terms.progress >= 0.5) return {};
    at::Tensor sum;
    for (const weft::Node& node : terms.network.architecture().nodes()) {
      if (node.operation != "learned_group_conv") continue;
      const at::Tensor norms = norms_of(**terms.network.named_children().find(node.name), node.attributes.at("groups"));
      sum = sum.defined() ? sum + norms : norms;
    }
    return sum.defined() ? weight_ * sum : sum;
  }

 private:
  // Filter i belongs to group i mod `groups`. What was dropped has no gradient, which the root of 0 would not have.
  static at::Tensor norms_of(const torch::nn::Module& convolution, std::int64_t groups) {
    const at::Tensor weight = *convolution.named_parameters(false).find("weight");
    const at::Tensor kept = *convolution.named_buffers(false).find("mask");
    const at::Tensor squares = (weight * kept).square().view({-1, groups, weight.size(1)}).sum(0);
    return squares.clamp_min(least).sqrt().masked_fill(squares <= least, 0.0).sum();
  }

  static constexpr double least = 1e-20;

  double weight_;
};

}  // namespace

WEFT_PLUGIN(weft::component<GroupLasso>("group_lasso"))
