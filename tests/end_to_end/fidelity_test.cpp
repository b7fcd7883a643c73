// Searches over fidelities and stoppers where trials are trained in workers: killed, at levels, and what they leave
// behind.

#include "tests/catch.hpp"
#include "tests/end_to_end/program.hpp"

using namespace weft::testing;
using weft::Json;

namespace {

// Hyperband over epochs: 9 candidates get one, the best go on.
Json brackets(const std::vector<std::string>& slots = {"cpu:1"}) {
  Json json = training_pipeline(1000, slots);
  json["optimizer"] = {{"name", "hyperband"}, {"args", {{"maximum", 9}, {"eta", 3}}}};
  json["evaluator"]["args"].update({{"epochs", 9}, {"schedule_epochs", 9}});
  json["objectives"] = Json::array({{{"name", "accuracy"}}});
  json["dataset"]["args"].update({{"train", 96}, {"validation", 48}});
  return json;
}

std::vector<std::string> checkpoints_in(const fs::path& study) {
  std::vector<std::string> found;
  for (const auto& entry : fs::recursive_directory_iterator(study)) {
    if (entry.path().filename() == "checkpoint.pt") found.push_back(entry.path().string());
  }
  return found;
}

Json rungs(const Json& trials) {
  Json counts = Json::object();
  for (const Json& trial : trials) {
    const std::string epochs = trial.at("fidelity").at("epochs").dump();
    counts[epochs] = counts.value(epochs, 0) + 1;
  }
  return counts;
}

}  // namespace

TEST_CASE("a bracket that was killed over and over promotes as an undisturbed one does, and leaves no checkpoint") {
  const TemporaryFolder folder;
  const fs::path pipeline = write_file(folder / "pipeline.json", brackets().dump());
  REQUIRE(run({"run", pipeline.string(), "--study", "undisturbed", "--quiet"}, folder.path()).code == 0);
  run_with_kills(pipeline, folder / "killed", folder.path(), 10, 2.5, 5);
  const Json trials = trials_of(folder / "undisturbed", folder.path());
  REQUIRE(trials_of(folder / "killed", folder.path()) == trials);
  // Brackets of 9, 5 and 3 candidates: 9 -> 3 -> 1, 5 -> 1, 3.
  CHECK(rungs(trials) == Json{{"1", 9}, {"3", 8}, {"9", 5}});
  CHECK(checkpoints_in(folder / "undisturbed").empty());
  CHECK(checkpoints_in(folder / "killed").empty());
  for (const Json& trial : trials) {
    if (trial.at("fidelity").contains("resume_from"))
      CHECK(trial.at("metrics").at("epochs") == trial.at("fidelity").at("epochs"));
  }
  const Ran best = run({"best", "undisturbed", "--json"}, folder.path());
  CHECK(Json::parse(best.out).at(0).at("fidelity").at("epochs") == 9);
}

TEST_CASE("trainings are stopped by their reports, and a study that was killed stops the same") {
  const TemporaryFolder folder;
  Json description = brackets();
  description["optimizer"] = {{"name", "random_search"}};
  description["budget"]["trials"] = 9;
  description["stoppers"] = {{{"name", "successive_halving"}, {"args", {{"minimum", 1}, {"maximum", 9}, {"eta", 3}}}}};
  const fs::path pipeline = write_file(folder / "pipeline.json", description.dump());
  REQUIRE(run({"run", pipeline.string(), "--study", "undisturbed", "--quiet"}, folder.path()).code == 0);
  run_with_kills(pipeline, folder / "killed", folder.path(), 8, 2.0, 7);
  const Json trials = trials_of(folder / "undisturbed", folder.path());
  REQUIRE(trials_of(folder / "killed", folder.path()) == trials);
  const auto stopped =
      std::count_if(trials.begin(), trials.end(), [](const Json& trial) { return trial.at("state") == "PRUNED"; });
  CHECK(stopped > 0);
  for (const Json& trial : trials) {
    if (trial.at("state") != "PRUNED") continue;
    CHECK(trial.at("reason").get<std::string>().starts_with("stopper successive_halving: "));
    CHECK(trial.at("metrics").at("epochs") < 9);
  }
}

// What is stopped has a predicted reward, by which it may be promoted: from the checkpoint that it left.
TEST_CASE("a trial that was stopped may be promoted, and goes on") {
  const TemporaryFolder folder;
  Json description = brackets();
  description["optimizer"] = {{"name", "successive_halving"},
                              {"args", {{"minimum", 3}, {"maximum", 9}, {"eta", 2}, {"candidates", 8}}}};
  description["budget"]["trials"] = 12;
  description["stoppers"] = {
      {{"name", "predictive_termination"},
       {"args", {{"predictor", {{"name", "last_value"}, {"args", {{"least_curves", 1}}}}}, {"threshold", 0.99}}}}};
  const fs::path pipeline = write_file(folder / "pipeline.json", description.dump());
  const Ran ran = run({"run", pipeline.string(), "--study", "study", "--quiet"}, folder.path());
  INFO(ran.err);
  REQUIRE(ran.code == 0);
  const Json trials = trials_of(folder / "study", folder.path());
  int promoted = 0;
  for (const Json& trial : trials) {
    CHECK(trial.at("state") != "FAIL");
    const Json origin = trial.at("fidelity").value("resume_from", Json());
    if (!origin.is_null() && trials.at(origin.get<std::size_t>()).at("state") == "PRUNED") ++promoted;
  }
  CHECK(promoted > 0);
}

TEST_CASE("several slots keep each other from nothing while stoppers think") {
  const TemporaryFolder folder;
  Json description = brackets({"cpu:1", "cpu:1"});
  description["optimizer"] = {{"name", "random_search"}};
  description["budget"]["trials"] = 10;
  description["stoppers"] = {
      {{"name", "predictive_termination"},
       {"args",
        {{"predictor", {{"name", "last_value"}, {"args", Json::object()}}}, {"burn_in", 2}, {"burn_in_trials", 3}}}}};
  const fs::path pipeline = write_file(folder / "pipeline.json", description.dump());
  const Ran ran = run({"run", pipeline.string(), "--study", "study", "--quiet"}, folder.path());
  INFO(ran.err);
  REQUIRE(ran.code == 0);
  for (const Json& trial : trials_of(folder / "study", folder.path()))
    CHECK((trial.at("state") == "COMPLETE" || trial.at("state") == "PRUNED"));
}

TEST_CASE("a level is the pipeline under its patch, and what it cannot build is told before the search") {
  const TemporaryFolder folder;
  Json description = brackets();
  description["fidelities"] = {{{"name", "small"},
                                {"cost", 1},
                                {"dataset", {{"args", {{"resolution", 8}}}}},
                                {"evaluator", {{"args", {{"epochs", 1}}}}}},
                               {{"name", "whole"}, {"cost", 3}}};
  description["optimizer"] = {{"name", "successive_halving"}, {"args", {{"resource", "level"}, {"candidates", 6}}}};
  description["evaluator"]["args"]["epochs"] = 2;
  description["dataset"]["args"]["resolution"] = 12;
  const fs::path pipeline = write_file(folder / "pipeline.json", description.dump());
  const Ran ran = run({"run", pipeline.string(), "--study", "study", "--quiet"}, folder.path());
  INFO(ran.err);
  REQUIRE(ran.code == 0);
  const Json trials = trials_of(folder / "study", folder.path());
  REQUIRE(trials.size() == 8);
  for (const Json& trial : trials) {
    const bool small = trial.at("fidelity").at("level") == 0;
    CHECK(trial.at("metrics").at("epochs") == (small ? 1 : 2));
  }
  CHECK(trials[7].at("fidelity").at("level") == 1);

  description["fidelities"][0]["space"] = {{"args", {{"blocks", 2}}}};  // of which these genotypes are none
  write_file(folder / "other.json", description.dump());
  const Ran refused = run({"check", "other.json"}, folder.path());
  CHECK(refused.code == 2);
  check_says(refused.err, {"/fidelities/0", "cannot build the network of genotype"});

  description["fidelities"][0]["dataset"]["args"]["resolution"] = 4;  // too small for its classes
  write_file(folder / "tiny.json", description.dump());
  const Ran tiny = run({"check", "tiny.json"}, folder.path());
  CHECK(tiny.code == 2);
  check_says(tiny.err, {"tiny.json: /fidelities/0: /dataset/args/classes is 4"});
}

TEST_CASE("the final network is as large as it may be") {
  const TemporaryFolder folder;
  Json description = training_pipeline(3, {"cpu:1"});
  description["final"] = {
      {"scale", {{"argument", "filters"}, {"parameters", 20000}}},
      {"evaluator", {{"name", "train"}, {"args", {{"epochs", 1}, {"batch_size", 32}, {"crop_padding", 1}}}}}};
  const fs::path pipeline = write_file(folder / "pipeline.json", description.dump());
  const Ran ran = run({"run", pipeline.string(), "--study", "study", "--quiet"}, folder.path());
  INFO(ran.err);
  REQUIRE(ran.code == 0);
  const Json result = Json::parse(read_file(folder / "study" / "best" / "result.json"));
  const int parameters = result.at("cost").at("parameters");
  CHECK(parameters <= 20000);
  CHECK(parameters > 10000);  // four filters more have more than may be
  CHECK(result.at("final").at("metrics").at("parameters") == parameters);

  description["final"]["scale"]["argument"] = "filterz";
  write_file(folder / "typo.json", description.dump());
  const Ran typo = run({"check", "typo.json"}, folder.path());
  CHECK(typo.code == 2);
  check_says(typo.err, {"/final/scale/argument is \"filterz\"", "did you mean \"filters\""});
  description["final"]["scale"] = {{"argument", "filters"}, {"parameters", 10}};
  write_file(folder / "small.json", description.dump());
  const Ran small = run({"check", "small.json"}, folder.path());
  CHECK(small.code == 2);
  check_says(small.err, {"/final/scale/parameters is 10"});
}
