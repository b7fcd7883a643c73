// One-shot searches: a supernet is trained first, what is derived becomes trials, and a kill changes nothing.

#include "tests/catch.hpp"
#include "tests/end_to_end/program.hpp"
#include "weft/error.hpp"

using namespace weft::testing;
using weft::Json;

namespace {

Json one_shot_pipeline() {
  Json json = training_pipeline(20, {"cpu:1"});
  json["space"] = {{"name", "nas_bench_201"}, {"args", {{"cells", 1}, {"channels", 4}}}};
  json["oneshot"] = {
      {"name", "darts"},
      {"args",
       {{"epochs", 4}, {"batch_size", 32}, {"crop_padding", 1}, {"structure_lr", 0.05}, {"calibration_batches", 2}}},
      {"slots", {"cpu:1"}}};
  json["optimizer"] = {{"name", "derived"}};
  json["evaluator"] = {{"name", "shared_weights"}, {"args", {{"batch_size", 32}, {"calibration_batches", 2}}}};
  json["objectives"] = Json::array({{{"name", "accuracy"}}});
  json["final"] = {{"evaluator", {{"name", "train"}, {"args", {{"epochs", 1}, {"batch_size", 32}}}}}};
  return json;
}

}  // namespace

TEST_CASE("a one-shot search trains its supernet, its derived architecture is a trial and is trained to the end") {
  const TemporaryFolder folder;
  const fs::path pipeline = write_file(folder / "pipeline.json", one_shot_pipeline().dump());
  const Ran ran = run({"run", pipeline.string(), "--study", "study"}, folder.path());
  INFO(ran.err);
  REQUIRE(ran.code == 0);
  check_says(ran.err, {"one-shot search by darts", "epoch 4 of 4", "entropy"});
  check_says(ran.out, {"best is trial 0", "trained to the end, trial 0"});
  CHECK(fs::exists(folder / "study/oneshot/supernet.pt"));
  CHECK_FALSE(fs::exists(folder / "study/oneshot/checkpoint.pt"));
  const Json trials = trials_of(folder / "study", folder.path());
  REQUIRE(trials.size() == 1);
  CHECK(trials[0].at("state") == "COMPLETE");
  // The evaluator measures what the strategy has said of it: the same weights on the same examples.
  CHECK(trials[0].at("metrics").at("validation_accuracy").get<double>() ==
        Approx(trials[0].at("notes").at("one_shot_accuracy").get<double>()));
}

TEST_CASE("a one-shot search that was killed over and over ends as an undisturbed one") {
  const TemporaryFolder folder;
  Json description = one_shot_pipeline();
  description.erase("final");
  const fs::path pipeline = write_file(folder / "pipeline.json", description.dump());
  REQUIRE(run({"run", pipeline.string(), "--study", "undisturbed", "--quiet"}, folder.path()).code == 0);
  run_with_kills(pipeline, folder / "killed", folder.path(), 8, 3.0, 11);
  CHECK(trials_of(folder / "killed", folder.path()) == trials_of(folder / "undisturbed", folder.path()));
  CHECK(read_file(folder / "killed/oneshot/supernet.pt") == read_file(folder / "undisturbed/oneshot/supernet.pt"));
}

TEST_CASE("any optimizer may search over the weights of a one-shot search") {
  const TemporaryFolder folder;
  Json description = one_shot_pipeline();
  description.erase("final");
  description["optimizer"] = {{"name", "regularized_evolution"},
                              {"args", {{"population_size", 4}, {"sample_size", 2}}}};
  description["budget"]["trials"] = 12;
  const fs::path pipeline = write_file(folder / "pipeline.json", description.dump());
  const Ran ran = run({"run", pipeline.string(), "--study", "study", "--quiet"}, folder.path());
  INFO(ran.err);
  REQUIRE(ran.code == 0);
  for (const Json& trial : trials_of(folder / "study", folder.path())) CHECK(trial.at("state") == "COMPLETE");
}

TEST_CASE("a one-shot search that cannot be is refused before anything trains") {
  const TemporaryFolder folder;
  const auto refused = [&](const Json& patch, const std::vector<std::string>& words) {
    Json description = one_shot_pipeline();
    description.merge_patch(patch);
    const fs::path pipeline = write_file(folder / "pipeline.json", description.dump());
    const Ran ran = run({"run", pipeline.string(), "--study", "study"}, folder.path());
    CHECK(ran.code == 2);
    check_says(ran.err, words);
    CHECK_FALSE(fs::exists(folder / "study"));
  };
  refused({{"space", {{"name", "cgp"}, {"args", nullptr}}}},
          {"oneshot darts needs \"space.supernet\" from space cgp", "space nas_bench_201"});
  refused({{"oneshot", {{"name", "graph_hypernetwork"}, {"args", {{"structure_lr", nullptr}}}}}},
          {"evaluator shared_weights needs \"oneshot.shared_weights\" from oneshot graph_hypernetwork"});
  refused({{"oneshot", {{"args", {{"structure_share", 0.01}}}}}},
          {"/batch_size is 32, but the part of the data for the structure has 3 examples"});
  refused({{"oneshot", {{"args", {{"structure_share", 0.97}}}}}},
          {"/batch_size is 32, but what structure_share leaves"});
  refused({{"dataset", {{"args", {{"validation", 0}}}}}}, {"validation"});
  refused({{"oneshot", {{"args", {{"batch_size", 300}}}}},
           {"dataset", {{"args", {{"train", 960}, {"resolution", 64}}}}},
           {"space", {{"args", {{"channels", 512}}}}}},
          {"/batch_size is 300", "is estimated to take", "GiB", "a batch_size of", "would fit"});
  refused({{"space", {{"args", {{"channels", 65536}}}}}}, {"not even one example would fit"});

  const Ran kept =
      run({"run", (folder / "pipeline.json").string(), "--no-journal", "--set", "/dataset/args/resolution=8"},
          folder.path());
  CHECK(kept.code == 2);
  check_says(kept.err, {"--no-journal keeps nothing, but the pipeline has a one-shot search"});
}
