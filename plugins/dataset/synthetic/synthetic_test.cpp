#include <ATen/ATen.h>

#include <set>
#include <string>

#include "tests/catch.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/dataset_contract.hpp"

namespace {

using weft::testing::dataset_contract::dataset_of;

weft::testing::Instance make(const weft::Json& args, const char* phase = "search", std::uint64_t seed = 1) {
  return {
      weft::testing::Plugin::open("dataset", "synthetic"), args, {.study = {{"phase", phase}}, .rng = weft::Rng(seed)}};
}

std::set<std::string> contents(const weft::Split& split) {
  std::set<std::string> found;
  for (std::int64_t i = 0; i < split.size(); ++i) {
    const at::Tensor image = split.images[i].contiguous();
    found.emplace(static_cast<const char*>(image.data_ptr()), static_cast<std::size_t>(image.numel()));
  }
  return found;
}

}  // namespace

TEST_CASE("synthetic: splits are disjoint, the seed decides, the class does not show in the mean") {
  const weft::Json args = {{"train", 400}, {"validation", 100}, {"test", 50}};
  const weft::testing::Instance instance = make(args, "final");
  const weft::Dataset& data = dataset_of(instance);
  CHECK(data.task().input == weft::Shape::image(3, 16, 16));
  CHECK(data.task().classes == 4);
  std::set<std::string> all = contents(data.train());
  REQUIRE(all.size() == 300);
  all.merge(contents(data.validation()));
  all.merge(contents(data.test()));
  CHECK(all.size() == 450);
  CHECK(data.train().labels.bincount({}, 4).min().item<std::int64_t>() > 40);
  CHECK(contents(dataset_of(make(args)).train()) == contents(data.train()));
  CHECK(contents(dataset_of(make(args, "search", 2)).train()) != contents(data.train()));
  for (std::int64_t label = 0; label < 4; ++label) {
    const at::Tensor mean = data.train().images.index({data.train().labels.eq(label)}).to(at::kFloat).mean();
    CHECK(mean.item<double>() == Approx(127.5).margin(4.0));
  }
}

TEST_CASE("synthetic keeps the contract of data sets") {
  weft::testing::check_dataset(weft::testing::Plugin::open("dataset", "synthetic"));
}

TEST_CASE("synthetic refuses more classes than its images can show") {
  CHECK_THROWS_WITH(make({{"classes", 10}, {"resolution", 8}}),
                    ContainsSubstring("/classes is 10; images of /resolution 8 can show at most 9 classes"));
  CHECK_NOTHROW(make({{"classes", 9}, {"resolution", 8}}));
}
