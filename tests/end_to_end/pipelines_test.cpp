// The pipelines that are installed, in every profile: their plugins exist and go together, take their arguments,
// propose networks within the limits, and build the final ones from them. Whose data is here is checked with it.

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "host/execution/assembly.hpp"
#include "host/plugins/schema.hpp"
#include "tests/catch.hpp"
#include "tests/end_to_end/program.hpp"
#include "weft/oneshot.hpp"

using namespace weft::testing;
using namespace weft::host;
using weft::Json;

namespace {

// A pipeline by its name, and one of its profiles or none. Profiles that change nothing are left out.
struct Installed {
  std::string name;
  std::optional<std::string> profile;

  std::string title() const { return name + (profile ? ", profile " + *profile : ""); }
};

std::vector<Installed> installed() {
  std::vector<Installed> all;
  for (const std::string& name : Pipeline::installed()) {
    all.push_back({name, {}});
    const Json file = read_json(Installation::locate().pipelines / (name + ".json"));
    const Json profiles = file.value("profiles", Json::object());
    for (const auto& [profile, patch] : profiles.items()) {
      if (!patch.empty()) all.push_back({name, profile});
    }
  }
  return all;
}

Pipeline load(const Installed& which, const Catalogue& catalogue) {
  Overrides overrides;
  overrides.profile = which.profile;
  return Pipeline::load(which.name, overrides, catalogue);
}

// What the data set would say of itself if it were here; null where the pipeline has none.
Json task_of(const Pipeline& pipeline) {
  if (!pipeline.dataset) return {};
  const std::string& name = pipeline.dataset->manifest->name;
  const Json& args = pipeline.dataset->args;
  const auto pictures = [&args](Json extents, Json classes, std::int64_t examples) {
    const auto held_out = args.at("validation").get<std::int64_t>();
    return Json{{"input", std::move(extents)},
                {"classes", std::move(classes)},
                {"splits", {{"train", examples - held_out}, {"validation", held_out}}}};
  };
  if (name == "idx") return pictures({1, 28, 28}, args.at("classes"), 60000);
  if (name == "cifar") return pictures({3, 32, 32}, args.at("classes"), 50000);
  if (name == "image_folder")  // ImageNet
    return {{"input", {args.at("channels"), args.at("resolution"), args.at("resolution")}}, {"classes", 1000}};
  if (name == "text") return {{"input", {args.at("positions"), 1}}, {"classes", 100}};
  FAIL("the test does not know the task of data set " << name);
  return {};
}

bool within_limits(const Pipeline& pipeline, const std::vector<weft::ObjectiveRef>& objectives,
                   const std::string& candidate) {
  for (std::size_t i = 0; i < objectives.size(); ++i) {
    const std::optional<double>& limit = pipeline.objectives[i].limit;
    const std::optional<double> value = limit ? objectives[i].before(candidate) : std::nullopt;
    if (!value) continue;
    if (objectives[i].direction() == weft::Direction::minimize ? *value > *limit : *value < *limit) return false;
  }
  return true;
}

bool data_is_here(const Pipeline& pipeline) {
  if (pipeline.dataset) {
    const Json& args = pipeline.dataset->args;
    const fs::path place = args.value(args.contains("train_file") ? "train_file" : "folder", "");
    return place.is_absolute() && fs::exists(place);
  }
  const char* data = std::getenv("WEFT_DATA");
  return data != nullptr && fs::exists(fs::path(data) / pipeline.evaluator.args.value("file", ""));
}

}  // namespace

TEST_CASE("every installed pipeline, in every profile, proposes networks that can be searched and trained to the end") {
  const Catalogue catalogue = Catalogue::discover({});
  for (const Installed& which : installed()) {
    INFO(which.title());
    Pipeline pipeline = load(which, catalogue);
    if (pipeline.oneshot) {  // what it would derive
      weft::Rng rng(3);
      const weft::Genotype sample = Assembly(pipeline, task_of(pipeline), Phase::search).space().sample(rng);
      pipeline.tell_one_shot({{"derived", Json::array({weft::Derived{sample, {}}.to_json()})}, {"folder", ""}});
    }
    Assembly search(pipeline, task_of(pipeline), Phase::search);
    Assembly final = search.in(Phase::final);
    const std::vector<weft::ObjectiveRef> objectives = search.objectives();
    weft::OptimizerRef optimizer = search.optimizer();
    CHECK(search.stoppers().size() == pipeline.stoppers.size());
    std::size_t feasible = 0;
    const std::vector<weft::Proposal> proposals = optimizer.ask(5);
    for (const weft::Proposal& proposal : proposals) {
      feasible += within_limits(pipeline, objectives, search.space().decode_text(proposal.genotype)) ? 1 : 0;
      CHECK_NOTHROW(final.space().decode_text(proposal.genotype));
    }
    CHECK(feasible > 0);
  }
}

// What the other test cannot know: whether data sets and evaluators find each other well.
TEST_CASE("of the installed pipelines whose data is here, one for each data set and evaluator passes weft check") {
  const TemporaryFolder folder;
  const Catalogue catalogue = Catalogue::discover({});
  std::set<std::pair<std::string, std::string>> checked;
  for (const Installed& which : installed()) {
    const Pipeline pipeline = load(which, catalogue);
    const std::string data = pipeline.dataset ? pipeline.dataset->manifest->name : "";
    if (!data_is_here(pipeline) || !checked.emplace(data, pipeline.evaluator.manifest->name).second) continue;
    std::vector<std::string> arguments = {"check", which.name};
    if (which.profile) arguments.insert(arguments.end(), {"--profile", *which.profile});
    if (!pipeline.is_inline) arguments.insert(arguments.end(), {"--slots", "cpu:1"});
    const Ran ran = run(arguments, folder.path());
    INFO(which.title() << "\n" << ran.err);
    CHECK(ran.code == 0);
  }
  if (checked.empty())
    WARN("SKIPPED: no pipeline's data is here; the least that is needed is Debian's dataset-fashion-mnist");
}
