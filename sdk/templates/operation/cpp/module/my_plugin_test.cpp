#include <ATen/ATen.h>

#include "weft/plugin.hpp"
#include "weft/testing/catch.hpp"
#include "weft/testing/module_contract.hpp"

using namespace weft;
using namespace weft::testing;

TEST_CASE("keeps the contract of modules") {
  check_module(Plugin::open("operation", "my_plugin"), Plugin::open("module", "my_plugin"), {{"scale", 2}},
               {Shape::image(3, 4, 4)});
}

TEST_CASE("is x / (1 + |x|)") {
  Network network = network_of(Plugin::open("operation", "my_plugin"), Plugin::open("module", "my_plugin"),
                               Json::object(), {Shape::features(3)});
  const at::Tensor y = network.forward(at::tensor({-1.0f, 0.0f, 3.0f}).view({1, 3})).logits;
  CHECK(at::allclose(y.flatten(), at::tensor({-0.5f, 0.0f, 0.75f})));
}
