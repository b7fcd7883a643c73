// What --set may do to a pipeline, and what it must not.

#include <filesystem>
#include <string>

#include "host/pipelines/pipeline.hpp"
#include "tests/catch.hpp"
#include "weft/error.hpp"

using namespace weft::host;
namespace fs = std::filesystem;
using weft::Json;

namespace {

const std::filesystem::path source = WEFT_TEST_SOURCE;

Pipeline with(const std::vector<std::string>& settings) {
  static const Catalogue catalogue = Catalogue::discover({source / "plugins"});
  return Pipeline::load(source / "manifests/pipelines/nas_bench_201_regularized_evolution.json",
                        {.profile = {}, .seed = {}, .settings = settings}, catalogue);
}

std::string repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

}  // namespace

TEST_CASE("a setting replaces, adds and removes") {
  const Pipeline pipeline = with({"/budget/trials=7", "/name=a text", "/optimizer/args/population_size=9", "/seed=null",
                                  "/objectives/1={\"name\": \"parameters\"}", "/objectives/1/limit=5e6"});
  CHECK(pipeline.budget.trials == 7);
  CHECK(pipeline.name() == "a text");
  CHECK(pipeline.optimizer.args.at("population_size") == 9);
  CHECK(pipeline.seed() == 1);
  CHECK(pipeline.objectives.at(1).limit == 5e6);
}

TEST_CASE("a setting that is too deep, too far or no text is refused with what it was") {
  const std::string deep = repeated("[", 60000) + repeated("]", 60000);
  CHECK_THROWS_WITH(with({"/optimizer/args/x=" + deep}),
                    ContainsSubstring("--set \"/optimizer/args/x=[[[") && ContainsSubstring("256 levels"));
  CHECK_THROWS_WITH(with({repeated("/a", 60000) + "=1"}), ContainsSubstring("256 levels"));
  CHECK_THROWS_WITH(with({repeated("/a", 200) + "=" + repeated("[", 200) + repeated("]", 200)}),
                    ContainsSubstring("256 levels"));
  CHECK_THROWS_WITH(with({"/objectives/4000000000/limit=1"}),
                    ContainsSubstring("/objectives has 1 entries; \"4000000000\" must be 0 to 1"));
  CHECK_THROWS_WITH(with({"/optimizer/args/sizes/3=1"}),
                    ContainsSubstring("/optimizer/args/sizes has 0 entries; \"3\" must be 0 to 0"));
  CHECK_THROWS_WITH(with({"/final={\"top\": 2, \"top\": 3}"}), ContainsSubstring("/top is given twice"));
  CHECK_THROWS_WITH(with({"/seed=18446744073709551616"}),
                    ContainsSubstring("the integer 18446744073709551616 is beyond 64 bits"));
  CHECK_THROWS_WITH(with({"/name=\xff"}), ContainsSubstring("UTF-8"));
  CHECK_THROWS_WITH(with({"/\xff=1"}), ContainsSubstring("UTF-8"));
  CHECK_THROWS_AS(with({"/name/x=1"}), weft::InvalidInput);
}

TEST_CASE("a folder with the name of a pipeline hides none") {
  const fs::path before = fs::current_path(), place = fs::temp_directory_path() / "weft-folder-that-hides";
  fs::create_directories(place / "quickstart");
  fs::create_directories(place / "mine");
  fs::current_path(place);
  CHECK(Pipeline::load("quickstart", {}, Catalogue::discover({})).name().starts_with("quickstart"));
  CHECK_THROWS_WITH(Pipeline::load("mine", {}, Catalogue()), ContainsSubstring("mine: a folder, and no installed"));
  fs::current_path(before);
  fs::remove_all(place);
}

TEST_CASE("the name of a pipeline that no file system takes is not found") {
  const Catalogue catalogue;
  CHECK_THROWS_WITH(Pipeline::load(std::string(5000, 'x'), {}, catalogue), ContainsSubstring("no such file"));
}
