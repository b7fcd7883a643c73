// Searches whose candidates inherit weights: killed, with a parent's file gone, over many generations, and without a part
// that it takes.

#include <csignal>
#include <fstream>
#include <set>

#include "tests/catch.hpp"
#include "tests/end_to_end/program.hpp"

using namespace weft::testing;
using weft::Json;

namespace {

// Hill climbing by morphs on synthetic images: a trial takes a fraction of a second.
Json climbing(int trials) {
  Json json = training_pipeline(trials, {"cpu:1"});
  json["space"] = {{"name", "graph"}, {"args", {{"start", "C(4,3) P(2) C(4,3)"}, {"max_channels", 12}}}};
  json["optimizer"] = {{"name", "evolution"},
                       {"args",
                        {{"schedule", "generations"},
                         {"population_size", 1},
                         {"initialisation", "given"},
                         {"initial", {"start"}},
                         {"parents", "all"},
                         {"offspring", 3},
                         {"unchanged_offspring", 1},
                         {"mutations", 2},
                         {"survivors", "elitist"},
                         {"parents_compete", false},
                         {"inherit_weights", true}}}};
  json["evaluator"]["args"]["epochs"] = 1;
  json["objectives"] = Json::array({{{"name", "accuracy"}}});
  return json;
}

fs::path weights(const fs::path& study, int trial) {
  return study / "trials" / (std::string(6 - std::to_string(trial).size(), '0') + std::to_string(trial)) / "weights.pt";
}

}  // namespace

TEST_CASE("a lineage of a study that was killed over and over is an undisturbed one's, to the bit") {
  const TemporaryFolder folder;
  const fs::path pipeline = write_file(folder / "pipeline.json", climbing(10).dump());
  REQUIRE(run({"run", pipeline.string(), "--study", "undisturbed", "--quiet"}, folder.path()).code == 0);
  run_with_kills(pipeline, folder / "killed", folder.path(), 12, 2.5, 3);
  const Json trials = trials_of(folder / "undisturbed", folder.path());
  REQUIRE(trials_of(folder / "killed", folder.path()) == trials);
  CHECK(read_file(folder / "killed" / "best" / "weights.pt") ==
        read_file(folder / "undisturbed" / "best" / "weights.pt"));
  CHECK(trials[1].at("parent") == 0);
  CHECK(trials[1].at("morphs") == Json::array());  // trained on
  CHECK(trials[2].at("morphs").size() == 2);
  const Ran listed = run({"trials", "undisturbed"}, folder.path());
  check_says(listed.out, {"from 0: trained on", "from 0: " + trials[2].at("morphs")[0].get<std::string>()});
}

TEST_CASE("a parent's file that was deleted fails its children alone, by name") {
  const TemporaryFolder folder;
  Json description = climbing(3);
  description["optimizer"]["args"]["offspring"] = 4;
  const fs::path pipeline = write_file(folder / "pipeline.json", description.dump());
  REQUIRE(run({"run", pipeline.string(), "--study", "study", "--quiet"}, folder.path()).code == 0);
  REQUIRE(fs::remove(weights(folder / "study", 0)));
  const Ran resumed = run({"resume", "study", "--quiet", "--set", "/budget/trials=6"}, folder.path());
  INFO(resumed.err);
  REQUIRE(resumed.code == 0);
  const Json trials = trials_of(folder / "study", folder.path());
  REQUIRE(trials.size() == 6);
  for (const int child : {3, 4}) {
    CHECK(trials[child].at("state") == "FAIL");
    check_says(trials[child].at("reason"), {"its parent's are gone", "trials/000000/weights.pt", "put it back"});
  }
  CHECK(trials[5].at("state") == "COMPLETE");  // of the next generation
  CHECK(trials[5].at("parent").get<int>() > 0);
}

TEST_CASE("the weights of a study of many generations are those of the living") {
  const TemporaryFolder folder;
  Json description = climbing(46);
  description["keep_weights"] = 2;
  const fs::path pipeline = write_file(folder / "pipeline.json", description.dump());
  REQUIRE(run({"run", pipeline.string(), "--study", "study", "--quiet"}, folder.path()).code == 0);
  int kept = 0;
  for (int trial = 0; trial < 46; ++trial) kept += fs::exists(weights(folder / "study", trial)) ? 1 : 0;
  CHECK(kept >= 2);
  CHECK(kept <= 2 + 1);  // the best, and the one that breeds
  const Json trials = trials_of(folder / "study", folder.path());
  CHECK(trials[45].at("parent").get<int>() > 36);
}

TEST_CASE("a pipeline whose parts cannot inherit is refused before anything is trained") {
  const TemporaryFolder folder;
  const auto refused = [&](const Json& description, const std::vector<std::string>& parts) {
    const fs::path pipeline = write_file(folder / "pipeline.json", description.dump());
    const Ran ran = run({"run", pipeline.string(), "--study", "study"}, folder.path());
    CHECK(ran.code == 2);
    check_says(ran.err, parts);
    CHECK_FALSE(fs::exists(folder / "study"));
  };
  Json table = climbing(3);
  table.erase("dataset");
  table.erase("executor");
  table["space"] = {{"name", "nas_bench_201"}};
  table["evaluator"] = table_pipeline(write_table(folder / "table.csv"), 3).at("evaluator");
  for (const char* given : {"initialisation", "initial"}) table["optimizer"]["args"].erase(given);
  refused(table, {"/optimizer/args/inherit_weights is true", "the space has no morphs (space.morphisms)"});

  table["space"] = climbing(3).at("space");
  refused(table, {"optimizer evolution lets candidates inherit weights", "evaluator table cannot do that",
                  "evaluator.inheritance. Installed plugins that do: evaluator command"});

  const fs::path pipeline = write_file(folder / "pipeline.json", climbing(3).dump());
  const Ran unkept = run({"run", pipeline.string(), "--no-journal"}, folder.path());
  CHECK(unkept.code == 2);
  check_says(unkept.err, {"--no-journal keeps nothing", "optimizer evolution lets candidates inherit weights"});
}
