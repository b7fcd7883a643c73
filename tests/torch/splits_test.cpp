#include "weft/torch/splits.hpp"

#include <ATen/ATen.h>

#include <array>
#include <fstream>
#include <numeric>
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/dataset_contract.hpp"
#include "weft/testing/sanitizers.hpp"
#include "weft/torch/fingerprint.hpp"

namespace {

using weft::Json;
using weft::testing::dataset_contract::dataset_of;
using weft::testing::dataset_contract::description_of;

// One pixel an example, its value the example's number; classes of the sizes that are asked for, one after the other.
weft::Split split_of(const std::vector<std::int64_t>& sizes) {
  std::vector<std::int64_t> labels;
  for (std::size_t label = 0; label < sizes.size(); ++label)
    labels.insert(labels.end(), static_cast<std::size_t>(sizes[label]), static_cast<std::int64_t>(label));
  const auto examples = static_cast<std::int64_t>(labels.size());
  return {at::arange(examples).to(at::kByte).view({examples, 1, 1, 1}), at::tensor(labels, at::kLong)};
}

class Sized final : public weft::SplitDataset {
 public:
  explicit Sized(const weft::Context& context) : SplitDataset(files(context), context) {}

 private:
  static weft::DatasetFiles files(const weft::Context& context) {
    const Json& configuration = context.configuration();
    const auto sizes = [&](const char* name) { return configuration.at(name).get<std::vector<std::int64_t>>(); };
    weft::DatasetFiles files{static_cast<std::int64_t>(sizes("train").size()), split_of(sizes("train")), {}};
    if (configuration.contains("own")) files.validation = split_of(sizes("own"));
    if (configuration.contains("test") && context.final_phase()) files.test = split_of(sizes("test"));
    files.class_names = configuration.value("names", std::vector<std::string>());
    files.findings = configuration.value("findings", std::vector<std::string>());
    return files;
  }
};

constexpr weft_component component = weft::component<Sized>("sized");

weft::testing::Instance make(const Json& configuration, int seed = 1, const char* phase = "search") {
  return {component, configuration, {.study = {{"phase", phase}}, .rng = weft::Rng(static_cast<std::uint64_t>(seed))}};
}

// Bytes, of a line of /proc/self/status.
std::int64_t memory(const std::string& line) {
  std::ifstream status("/proc/self/status");
  for (std::string name; status >> name; status.ignore(1000, '\n')) {
    std::int64_t kilobytes = 0;
    if (name == line + ":" && status >> kilobytes) return 1024 * kilobytes;
  }
  return 0;
}

// Coloured images, plane by plane; notes how much memory the process has when they are there.
class Planar final : public weft::SplitDataset {
 public:
  static at::Tensor images(std::int64_t examples) {
    return at::arange(examples * 3 * 32 * 32, at::kInt).remainder(251).to(at::kByte).view({examples, 3, 32, 32});
  }
  explicit Planar(const weft::Context& context) : SplitDataset(files(context), context) {}

  inline static std::int64_t memory_before = 0;
  inline static bool peak_is_new = false;

 private:
  static weft::DatasetFiles files(const weft::Context& context) {
    const auto examples = context.configuration().at("examples").get<std::int64_t>();
    weft::DatasetFiles files{10, {images(examples), at::arange(examples).remainder(10)}, {}};
    std::ofstream("/proc/self/clear_refs") << 5;  // the peak begins anew
    memory_before = memory("VmHWM");
    peak_is_new = memory_before < memory("VmRSS") + (16 << 20);
    return files;
  }
};

constexpr weft_component planar = weft::component<Planar>("planar");

std::vector<std::int64_t> sizes(const weft::Split& split, std::int64_t classes) {
  const at::Tensor counts = split.labels.bincount({}, classes);
  return {counts.data_ptr<std::int64_t>(), counts.data_ptr<std::int64_t>() + classes};
}

using Sizes = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("splits: each class has its share of validation, by largest remainder") {
  // 10 of 100: shares 5, 3.3, 1.7. 8 of 20: 2.8, 2.8, 2.4. 1 of 4: 0.5 each, and the lower label comes first.
  const auto held_out = [](const Sizes& train, int validation, int seed) {
    const weft::testing::Instance instance =
        make({{"train", train}, {"validation", validation}, {"stratified", true}}, seed);
    return sizes(dataset_of(instance).validation(), static_cast<std::int64_t>(train.size()));
  };
  for (int seed = 1; seed <= 3; ++seed) {
    CHECK(held_out({50, 33, 17}, 10, seed) == Sizes{5, 3, 2});
    CHECK(held_out({7, 7, 6}, 8, seed) == Sizes{3, 3, 2});
    CHECK(held_out({2, 2}, 1, seed) == Sizes{1, 0});
    CHECK(held_out({99, 1}, 50, seed) == Sizes{50, 0});  // a remainder of one half each
  }
}

TEST_CASE("splits: a limit of training examples is stratified, too, and nothing is lost or doubled") {
  const Json configuration = {{"train", {60, 30, 10}}, {"validation", 10}, {"stratified", true}};
  const weft::testing::Instance whole = make(configuration);
  const weft::Dataset& data = dataset_of(whole);
  const at::Tensor all = at::cat({data.train().images, data.validation().images}).flatten();
  CHECK(std::get<0>(all.sort()).equal(at::arange(100).to(at::kByte)));
  for (const weft::Split* split : {&data.train(), &data.validation()}) {
    const at::Tensor value = split->images.flatten().to(at::kLong);  // classes lie at 0 to 59, 60 to 89, 90 to 99
    CHECK(split->labels.equal(value.ge(60).to(at::kLong) + value.ge(90).to(at::kLong)));
  }
  Json limited = configuration;
  limited["train_limit"] = 20;
  const weft::testing::Instance some = make(limited);
  CHECK(sizes(dataset_of(some).train(), 3) == Sizes{12, 6, 2});
  CHECK(dataset_of(some).validation().images.equal(data.validation().images));
}

TEST_CASE("splits without stratification are what studies of release 1.0 had") {
  // The first of the permutation, whatever their class.
  std::vector<std::int64_t> order(40);
  std::iota(order.begin(), order.end(), 0);
  weft::Rng(1).derive("splits").shuffle(order);
  for (const Json& choice : {Json{{"stratified", false}}, Json::object()}) {
    Json configuration = {{"train", {30, 10}}, {"validation", 15}, {"train_limit", 20}};
    configuration.update(choice);
    const weft::testing::Instance instance = make(configuration);
    const at::Tensor expected = at::tensor(order, at::kLong).to(at::kByte);
    CHECK(dataset_of(instance).validation().images.flatten().equal(expected.narrow(0, 0, 15)));
    CHECK(dataset_of(instance).train().images.flatten().equal(expected.narrow(0, 15, 20)));
  }
}

TEST_CASE("splits of planar images hold them in channels last, and no third copy is made on the way") {
  const std::int64_t examples = 20000, bytes = examples * 3 * 32 * 32;
  const weft::testing::Instance instance(planar, {{"examples", examples}, {"validation", 300}},
                                         {.study = {{"phase", "search"}}, .rng = weft::Rng(1)});
#ifndef WEFT_SANITIZED
  REQUIRE(Planar::peak_is_new);
  CHECK(static_cast<double>(memory("VmHWM") - Planar::memory_before) < 1.2 * static_cast<double>(bytes));
#endif
  std::vector<std::int64_t> order(examples);
  std::iota(order.begin(), order.end(), 0);
  weft::Rng(1).derive("splits").shuffle(order);
  const at::Tensor expected = Planar::images(examples).index_select(0, at::tensor(order, at::kLong));
  const weft::Dataset& data = dataset_of(instance);
  CHECK(data.validation().images.equal(expected.narrow(0, 0, 300)));
  CHECK(data.train().images.equal(expected.narrow(0, 300, examples - 300)));
  CHECK(data.train().images.is_contiguous(at::MemoryFormat::ChannelsLast));
}

TEST_CASE("splits: a class that one of them lacks is named, once a study and in its phase") {
  Json configuration = {
      {"train", {12, 1, 12}},           {"test", {1, 1, 0}},        {"validation", 3}, {"stratified", true},
      {"names", {"cat", "dog", "owl"}}, {"findings", {"a finding"}}};
  const weft::testing::Instance search = make(configuration), last = make(configuration, 1, "final");
  CHECK(search.log().empty());
  description_of(search);
  description_of(last);
  CHECK(search.log() ==
        std::vector<std::string>{
            "a finding", "3 of 25 training examples are held out for validation, stratified: of each class its share",
            "the validation split has no example of class 1 (dog)"});
  CHECK(last.log() == std::vector<std::string>{"a finding", "the test split has no example of class 2 (owl)"});

  configuration = {{"train", Sizes(14, 1)}, {"validation", 1}};
  const weft::testing::Instance many = make(configuration);
  description_of(many);
  REQUIRE(many.log().size() == 3);
  CHECK_THAT(many.log()[0], ContainsSubstring("without regard to their classes"));
  CHECK_THAT(many.log()[2], ContainsSubstring("the validation split has no example of class ") &&
                                ContainsSubstring(" and 3 more classes"));
}

TEST_CASE("splits: validation files of their own leave the training files whole") {
  const weft::testing::Instance instance = make({{"train", {3, 3}}, {"own", {1, 1}}, {"validation", 1000}});
  CHECK(dataset_of(instance).train().size() == 6);
  CHECK(dataset_of(instance).validation().size() == 2);
}

TEST_CASE("a data set without a test split says what a final training misses") {
  const Json configuration = {{"train", {3, 3}}, {"validation", 2}};
  CHECK_THROWS_WITH(dataset_of(make(configuration, 1, "final")).test(),
                    ContainsSubstring("no test split") && ContainsSubstring("take `final` out of the pipeline"));
}

TEST_CASE("a fingerprint tells names, extents, values and their order apart, and nothing else") {
  const std::array<std::string, 2> names = {"cat", "dog"};
  const at::Tensor values = at::arange(6, at::kByte).view({2, 3});
  const auto of = [&](const at::Tensor& tensor) { return weft::fingerprint(names, std::array{tensor}); };
  // SHA-256 of: 2, 3, "cat", 3, "dog", 2, 2, 3 as 64-bit integers, lowest byte first, then 0 to 5.
  CHECK(of(values) == "53ff209e1b316cbdf27edcc7dd12dfebb90bfa309f58f83518c84e4f7bf43cde");
  CHECK(of(values.t().contiguous().t()) == of(values));  // however they lie in memory
  CHECK(of(values.view({3, 2})) != of(values));
  CHECK(of(values.flip(0)) != of(values));
  CHECK(weft::fingerprint(std::array<std::string, 2>{"ca", "tdog"}, std::array{values}) != of(values));
  CHECK(weft::fingerprint(names, std::array{values, values}) != of(values));

  const Json configuration = {{"train", {9, 9}}, {"validation", 4}, {"names", {"cat", "dog"}}};
  const auto described = [](const Json& changes, Json base) {
    base.update(changes);
    return description_of(make(base)).at("fingerprint");
  };
  const Json fingerprint = described(Json::object(), configuration);
  CHECK(described({{"names", {"cat", "owl"}}}, configuration) != fingerprint);
  CHECK(described({{"train", {9, 10}}}, configuration) != fingerprint);
  CHECK(described({{"validation", 5}}, configuration) != fingerprint);
}
