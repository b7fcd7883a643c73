// The fixed space: hands out exactly the architecture it was given, and refuses one that does not fit the task.

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/catch.hpp"
#include "weft/blocks.hpp"
#include "weft/space.hpp"
#include "weft/testing/library.hpp"
#include "weft/testing/space_contract.hpp"

namespace {

using weft::Json;
using weft::testing::Instance;
using weft::testing::Plugin;

const Json task = {{"input", {1, 28, 28}}, {"classes", 10}};

Instance open_space(const Json& args, const Json& task_of_study = task) {
  return Instance(Plugin::open("space", "fixed"), args, {.study = {{"task", task_of_study}}});
}

weft::Architecture network() {
  weft::ArchitectureBuilder graph;
  const weft::NodeId input = graph.input(weft::Shape::image(1, 28, 28));
  const weft::NodeId features = weft::blocks::conv_bn_relu(graph, input, weft::blocks::Convolution::square(8, 3, 2));
  const weft::NodeId auxiliary = weft::blocks::auxiliary_classifier(graph, features, {.classes = 10});
  return std::move(graph).build(weft::blocks::classifier(graph, features, 10), auxiliary);
}

// A file that goes with this object.
struct File {
  std::filesystem::path path;
  explicit File(const std::string& text)
      : path(std::filesystem::temp_directory_path() / ("weft_fixed_test_" + std::to_string(::getpid()))) {
    std::ofstream(path) << text;
  }
  ~File() { std::filesystem::remove(path); }
};

}  // namespace

TEST_CASE("fixed keeps the contract of spaces") {
  weft::testing::check_space(Plugin::open("space", "fixed"), {{"architecture", network().to_json()}}, {{"task", task}});
}

TEST_CASE("fixed: the architecture comes back whole, inline or from a file") {
  const File file(network().to_json().dump());
  for (const Json& args : {Json{{"architecture", network().to_json()}}, Json{{"file", file.path.string()}}}) {
    const Instance instance = open_space(args);
    const weft::SpaceRef space(instance.handle());
    CHECK(!space.next({}).has_value());
    const weft::Architecture decoded = space.decode(space.parse("fixed")).architecture;
    CHECK(decoded.to_json() == network().to_json());
  }
}

TEST_CASE("fixed: what does not fit is refused with its reason") {
  const Json architecture = network().to_json();
  CHECK_THROWS_WITH(open_space(Json::object()), ContainsSubstring("either /architecture or /file"));
  CHECK_THROWS_WITH(open_space({{"architecture", architecture}, {"file", "a.json"}}),
                    ContainsSubstring("either /architecture or /file"));
  CHECK_THROWS_WITH(open_space({{"file", "no such file.json"}}),
                    ContainsSubstring("no such file.json does not exist, seen from /"));
  CHECK_THROWS_WITH(open_space({{"architecture", {{"architecture", 2}}}}),
                    ContainsSubstring("/architecture: architecture must be 1"));
  const File broken("{\"archi");
  CHECK_THROWS_WITH(open_space({{"file", broken.path.string()}}), ContainsSubstring("is not JSON"));
  CHECK_THROWS_WITH(open_space({{"architecture", architecture}}, {{"input", {3, 32, 32}}, {"classes", 10}}),
                    ContainsSubstring("made for an input of 1 x 28 x 28, but the task's is 3 x 32 x 32"));
  CHECK_THROWS_WITH(open_space({{"architecture", architecture}}, {{"input", {1, 28, 28}}, {"classes", 100}}),
                    ContainsSubstring("output is 10, but the task has 100 classes"));
  const Instance instance = open_space({{"architecture", architecture}});
  CHECK_THROWS_WITH(weft::SpaceRef(instance.handle()).parse("0"), ContainsSubstring("is not \"fixed\""));
  CHECK_THROWS_WITH(weft::SpaceRef(instance.handle()).decode(weft::Genotype({0})),
                    ContainsSubstring("the empty one, not [0]"));
}
