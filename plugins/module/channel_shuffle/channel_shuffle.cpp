// Computes channel_shuffle (Zhang et al. 2018, section 3.1).

#include <ATen/ATen.h>

#include "weft/plugin.hpp"
#include "weft/torch/module_plugin.hpp"

namespace {

class Module final : public weft::OperationModule {
 public:
  explicit Module(std::int64_t groups) : groups_(groups) {}

  Traits traits() const override { return {.pure = true, .output_reusable = true}; }
  at::Tensor forward(at::ArrayRef<at::Tensor> inputs, bool) override {
    // at::channel_shuffle has no gradient in LibTorch 1.13.
    const at::Tensor& x = inputs[0];
    const at::Tensor by_group = x.reshape({x.size(0), groups_, -1, x.size(2), x.size(3)});
    return by_group.transpose(1, 2).reshape(x.sizes()).contiguous(at::MemoryFormat::ChannelsLast);
  }

 private:
  std::int64_t groups_;
};

class ChannelShuffle final : public weft::ModuleMaker {
 public:
  explicit ChannelShuffle(const weft::Context&) {}
  std::shared_ptr<weft::OperationModule> make(const weft::ModuleArguments& arguments) const override {
    return std::make_shared<Module>(arguments.node.attributes.at("groups"));
  }
};

}  // namespace

WEFT_PLUGIN(weft::component<ChannelShuffle>("channel_shuffle"))
