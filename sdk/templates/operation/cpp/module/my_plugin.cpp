// my_plugin: how the operation is computed, with LibTorch. See OperationModule for what else a module may say of itself.

#include <ATen/ATen.h>

#include "weft/plugin.hpp"
#include "weft/torch/module_plugin.hpp"

namespace {

class Module final : public weft::OperationModule {
 public:
  explicit Module(double scale) : scale_(scale) {}
  at::Tensor forward(at::ArrayRef<at::Tensor> inputs, bool) override {
    const at::Tensor x = inputs[0] * scale_;
    return x / (1.0 + x.abs());
  }

 private:
  double scale_;
};

class MyPlugin final : public weft::ModuleMaker {
 public:
  explicit MyPlugin(const weft::Context&) {}
  std::shared_ptr<weft::OperationModule> make(const weft::ModuleArguments& arguments) const override {
    return std::make_shared<Module>(arguments.node.attributes.at("scale"));
  }
};

}  // namespace

WEFT_PLUGIN(weft::component<MyPlugin>("my_plugin"))
