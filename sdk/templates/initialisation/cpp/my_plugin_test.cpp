#include <ATen/ATen.h>

#include "weft/plugin.hpp"
#include "weft/testing/catch.hpp"
#include "weft/testing/initialisation_contract.hpp"

using namespace weft;
using namespace weft::testing;

TEST_CASE("keeps the contract of initialisations") {
  check_initialisation(Plugin::open("initialisation", "my_plugin"));
}

TEST_CASE("has the deviation that was asked for") {
  const auto initialisation = initialisation_of(Plugin::open("initialisation", "my_plugin"), {{"deviation", 2.0}});
  const at::Tensor weight = weight_of(*initialisation, {100, 50, 3, 3});
  CHECK(std::abs(weight.std().item<double>() - 2.0) < 0.05);
}
