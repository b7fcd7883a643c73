#include <ATen/ATen.h>

#include "weft/plugin.hpp"
#include "weft/testing/catch.hpp"
#include "weft/testing/dataset_contract.hpp"

using namespace weft;
using namespace weft::testing;

TEST_CASE("keeps the contract of data sets") { check_dataset(Plugin::open("dataset", "my_plugin")); }

TEST_CASE("a lying line is class 0, a standing one class 1") {
  const Instance instance(Plugin::open("dataset", "my_plugin"), {{"resolution", 8}}, {.study = {{"phase", "search"}}});
  const Split& train = dataset_contract::dataset_of(instance).train();
  const at::Tensor images = train.images.select(1, 0).to(at::kFloat);
  const at::Tensor brightest_row = images.mean(2).amax(1);
  const at::Tensor brightest_column = images.mean(1).amax(1);
  CHECK(at::equal(brightest_column.gt(brightest_row).to(at::kLong), train.labels));
}
