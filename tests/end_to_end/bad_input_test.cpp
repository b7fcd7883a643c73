// Whatever is wrong with what a user gives: a message that names file, place, rule and remedy, exit code 2 or 1, and
// nothing written.

#include <sys/stat.h>
#include <unistd.h>

#include <tuple>

#include "tests/catch.hpp"
#include "tests/end_to_end/program.hpp"

using namespace weft::testing;
using weft::Json;

namespace {

// Runs a pipeline that must be refused, and checks that no study was left behind.
std::string refused(const Json& pipeline, const std::vector<std::string>& more = {}, int code = 2) {
  const TemporaryFolder folder;
  const fs::path file = write_file(folder / "pipeline.json", pipeline.dump());
  std::vector<std::string> arguments = {"run", file.string(), "--study", "study"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  const Ran ran = run(arguments, folder.path());
  INFO(ran.err);
  CHECK(ran.code == code);
  CHECK_FALSE(fs::exists(folder / "study"));
  return ran.err;
}

Json with(Json pipeline, const std::string& pointer, const Json& value) {
  pipeline[Json::json_pointer(pointer)] = value;
  return pipeline;
}

struct Table {
  TemporaryFolder folder;
  Json pipeline = table_pipeline(write_table(folder / "table.csv"), 10);
};

// IDX files of MNIST's kind, with whatever is to be wrong about them.
std::string big_endian(std::uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16), static_cast<char>(value >> 8),
          static_cast<char>(value)};
}

struct Images {
  TemporaryFolder folder;
  std::string images = big_endian(0x803) + big_endian(100) + big_endian(8) + big_endian(8) + std::string(6400, '\x40');
  std::string labels = big_endian(0x801) + big_endian(100) + std::string(100, '\x03');

  // The message that the pipeline is refused with.
  std::string refused_with(const Json& args = Json::object()) {
    for (const char* set : {"train", "test"}) {
      write_file(folder / (std::string(set) + "-images"), images);
      write_file(folder / (std::string(set) + "-labels"), labels);
    }
    Json pipeline = training_pipeline(2, {"cpu:1"});
    pipeline["dataset"] = {{"name", "idx"},
                           {"args",
                            {{"folder", folder.path().string()},
                             {"train_images", "train-images"},
                             {"train_labels", "train-labels"},
                             {"test_images", "test-images"},
                             {"test_labels", "test-labels"},
                             {"validation", 20}}}};
    pipeline["dataset"]["args"].update(args);
    return refused(pipeline);
  }
};

}  // namespace

TEST_CASE("malformed JSON names line and column") {
  const TemporaryFolder folder;
  const fs::path file = write_file(folder / "broken.json", "{\n  \"pipeline\": 1,\n  oops\n}\n");
  const Ran ran = run({"run", file.string(), "--study", "study"}, folder.path());
  CHECK(ran.code == 2);
  check_says(ran.err, {"broken.json", "line 3", "JSON"});
  CHECK_FALSE(fs::exists(folder / "study"));
}

TEST_CASE("a pipeline that does not exist names its nearest") {
  const TemporaryFolder folder;
  const Ran ran = run({"run", "quickstrat"}, folder.path());
  CHECK(ran.code == 2);
  check_says(ran.err, {"quickstrat", "did you mean \"quickstart\""});
}

TEST_CASE("an unknown plugin names its nearest") {
  const Table table;
  check_says(refused(with(table.pipeline, "/optimizer/name", "regularised_evolution")),
             {"pipeline.json: /optimizer/name", "regularised_evolution", "did you mean \"regularized_evolution\"",
              "random_search"});
}

TEST_CASE("an unknown or ill-typed parameter names its place, rule and neighbours") {
  const Table table;
  check_says(refused(with(table.pipeline, "/optimizer/args/sampel_size", 3)),
             {"/optimizer/args/sampel_size is unknown", "did you mean \"sample_size\""});
  check_says(refused(with(table.pipeline, "/optimizer/args/sample_size", "three")),
             {"/optimizer/args/sample_size is \"three\"", "must be an integer"});
  check_says(refused(with(table.pipeline, "/optimizer/args/population_size", 1)),
             {"/optimizer/args/population_size is 1", ">= 2"});
  check_says(refused(with(table.pipeline, "/optimizer/args/sample_size", 30)),
             {"/optimizer/args/sample_size is 30", "population_size, 8"});
  check_says(refused(with(table.pipeline, "/opimizer", 30)), {"/opimizer is unknown", "did you mean \"optimizer\""});
  Json missing = table.pipeline;
  missing.erase("space");
  check_says(refused(missing), {"/space is missing"});
}

TEST_CASE("what is wrong with a recipe's ingredients is named with its place, before anything trains") {
  const Json base = training_pipeline(2, {"cpu:1"});
  const std::tuple<const char*, const char*, std::vector<std::string>> mistakes[] = {
      {"update_rule", R"("sgdd")", {"/evaluator/args/update_rule", "no update_rule is called \"sgdd\"", "sgd"}},
      {"loss", R"(["cross_entropy", {"name": "nope"}])", {"/evaluator/args/loss/1", "no loss is called \"nope\""}},
      {"loss", R"(["group_lasso"])", {"/evaluator/args/loss", "group_lasso", "must learn from the examples"}},
      {"schedule",
       R"({"name": "step", "args": {"gamma": [0.1, "x"]}})",
       {"/evaluator/args/schedule/args/gamma/1", "must be a number"}},
      {"update_rule", R"({"nme": "sgd"})", {"/evaluator/args/update_rule", "nme"}},
      {"update_rule", R"("expression")", {"/evaluator/args/update_rule/args/formula is missing"}},
      {"augmentation", R"("mixup")", {"/evaluator/args/augmentation", "must be an array"}},
      {"update_rule",
       R"({"name": "expression", "args": {"formula": "g +"}})",
       {"/evaluator/args/update_rule/args/formula", "g +"}}};
  for (const auto& [member, value, parts] : mistakes) {
    INFO(member << ": " << value);
    check_says(refused(with(base, std::string("/evaluator/args/") + member, Json::parse(value))), parts);
  }
}

TEST_CASE("what is wrong with a recipe that candidates bring is named with its place, before anything trains") {
  const Json base = pipeline_of_fixed("identity", Json::object());
  const std::pair<const char*, std::vector<std::string>> mistakes[] = {
      {R"({"loss": [{"name": "nope"}]})", {"/loss/0", "no loss is called \"nope\""}},
      {R"({"update_rule": {"name": "adam", "args": {"eps": -1}}})", {"/update_rule/args/eps", "-1"}},
      {R"({"augmentation": [{"name": "randaugment", "args": {"operations": 0}}]})",
       {"/augmentation/0/args/operations"}},
      {R"({"lr": "fast"})", {"/lr", "must be a number"}},
      {R"({"learning_rate": 1})", {"/learning_rate", "is not a member of a training recipe"}}};
  for (const auto& [recipe, parts] : mistakes) {
    INFO(recipe);
    const std::string error = refused(with(base, "/space/args/recipe", Json::parse(recipe)));
    check_says(error, parts);
    check_says(error, {"brings"});
  }
}

TEST_CASE("a formula that no gradient reaches is refused with its place") {
  check_says(refused(pipeline_of_fixed("activation_unit", {{"formula", "sigmoid(2)"}})),
             {"/space/args/architecture", "node unit", "sigmoid(2)", "gradient"});
}

TEST_CASE("an augmentation of texts is refused before anything trains") {
  const TemporaryFolder folder;
  write_file(folder / "text.txt", std::string(4000, 'a') + "b\n");
  Json pipeline = training_pipeline(2, {"cpu:1"});
  pipeline["dataset"] = {{"name", "text"}, {"args", {{"train_file", (folder / "text.txt").string()}}}};
  pipeline["space"] = {{"name", "recurrent_baseline"}};
  pipeline["evaluator"] = {{"name", "language_model"}, {"args", {{"augmentation", {"mixup"}}}}};
  pipeline["objectives"] = Json::array({{{"name", "perplexity"}}});
  check_says(refused(pipeline), {"/evaluator/args/augmentation"});
}

TEST_CASE("what a space refuses is told of the space, also when it is made for an evaluator") {
  Json pipeline = with(training_pipeline(1, {"cpu:1"}), "/space", {{"name", "recurrent_baseline"}});
  pipeline["optimizer"] = {{"name", "random_search"}};
  const std::string text = refused(pipeline);
  check_says(text, {"pipeline.json: /space/args: the task's input is 3 x ", "must be one of texts"});
  CHECK(text.find("/evaluator") == std::string::npos);
}

TEST_CASE("a budget of no seconds is refused") {
  const Table table;
  check_says(refused(with(table.pipeline, "/budget", {{"seconds", 0}})), {"/budget/seconds is 0", "> 0"});
}

TEST_CASE("a missing capability names both sides and who has it") {
  const Table table;
  Json pipeline = table.pipeline;
  pipeline["space"] = {{"name", "fixed"}, {"args", {{"file", "none.json"}}}};
  check_says(refused(pipeline), {"optimizer regularized_evolution needs \"space.mutation\"",
                                 "space fixed, which does not provide it", "space nas_bench_201"});
}

TEST_CASE("a profile that does not exist is refused") {
  const Table table;
  check_says(refused(table.pipeline, {"--profile", "papre"}), {"/profiles", "papre"});
}

TEST_CASE("a table without the mapped column lists the columns there are") {
  const Table table;
  check_says(refused(with(table.pipeline, "/evaluator/args/metrics/validation_accuracy", "accurracy")),
             {"accurracy", "architecture", "accuracy"});
  check_says(refused(with(table.pipeline, "/evaluator/args/file", "/nowhere/table.csv")), {"/nowhere/table.csv"});
}

TEST_CASE("an objective that the evaluator's metrics cannot feed is refused") {
  const TemporaryFolder folder;
  // A plugin's manifest alone is enough: it is refused before its library would be opened.
  fs::create_directories(folder / "objective/perplexity");
  write_file(folder / "objective/perplexity/manifest.json", Json{{"manifest", 1},
                                                                 {"name", "perplexity"},
                                                                 {"kind", "objective"},
                                                                 {"tier", "stable"},
                                                                 {"version", "1.0.0"},
                                                                 {"abi", "1.0"},
                                                                 {"library", "perplexity.so"},
                                                                 {"summary", "of a language model"},
                                                                 {"requires", {"metric.perplexity"}},
                                                                 {"provides", Json::array()},
                                                                 {"parameters", {{"type", "object"}}},
                                                                 {"license", "Apache-2.0"}}
                                                                .dump());
  const fs::path file = write_file(
      folder / "pipeline.json",
      with(table_pipeline(write_table(folder / "table.csv"), 10), "/objectives/0/name", "perplexity").dump());
  const Ran ran =
      run({"--plugin-path", folder.path().string(), "run", file.string(), "--study", "study"}, folder.path());
  CHECK(ran.code == 2);
  check_says(ran.err, {"objective perplexity needs \"metric.perplexity\"", "evaluator table"});
  CHECK_FALSE(fs::exists(folder / "study"));
}

TEST_CASE("data files that are absent, damaged or inconsistent are refused by name") {
  SECTION("absent") {
    Json pipeline = training_pipeline(2, {"cpu:1"});
    pipeline["dataset"] = {{"name", "idx"}, {"args", {{"folder", "/nowhere"}}}};
    check_says(refused(pipeline), {"/nowhere", "dataset-fashion-mnist"});
  }
  SECTION("truncated") {
    Images data;
    data.images.resize(3000);
    check_says(data.refused_with(), {"train-images"});
  }
  SECTION("wrong magic") {
    Images data;
    data.images[3] = 7;
    check_says(data.refused_with(), {"train-images", "magic"});
  }
  SECTION("corrupt gzip") {
    Images data;
    data.images = std::string("\x1f\x8b\x08\0\0\0\0\0\0\x03", 10) + std::string(100, 'x');
    check_says(data.refused_with(), {"train-images", "gzip"});
  }
  SECTION("labels out of range") {
    Images data;
    data.labels[40] = 10;
    check_says(data.refused_with(), {"train-labels", "10"});
  }
  SECTION("no examples left to train on") {
    check_says(Images().refused_with({{"validation", 100}}), {"validation", "100"});
  }
}

TEST_CASE("a batch larger than the data is refused") {
  check_says(refused(with(training_pipeline(2, {"cpu:1"}), "/evaluator/args/batch_size", 4096)),
             {"/evaluator/args/batch_size is 4096", "256"});
}

TEST_CASE("a final evaluator's mistakes are found before the search") {
  Json pipeline = training_pipeline(2, {"cpu:1"});
  pipeline["final"] = {{"evaluator", {{"name", "train"}, {"args", {{"batch_size", 4096}}}}}};
  check_says(refused(pipeline), {"/final/evaluator/args/batch_size is 4096"});
}

TEST_CASE("a study's folder is not taken over") {
  const Table table;
  const fs::path file = write_file(table.folder / "pipeline.json", table.pipeline.dump());
  REQUIRE(run({"run", file.string(), "--study", "study", "--quiet"}, table.folder.path()).code == 0);
  const Json before = trials_of(table.folder / "study", table.folder.path());
  const fs::path other = write_file(table.folder / "other.json", with(table.pipeline, "/name", "another one").dump());
  const Ran ran = run({"run", other.string(), "--study", "study"}, table.folder.path());
  CHECK(ran.code == 2);
  check_says(ran.err, {"already holds the study \"table\"", "weft resume", "--study"});
  CHECK(trials_of(table.folder / "study", table.folder.path()) == before);

  fs::create_directories(table.folder / "papers");
  write_file(table.folder / "papers/notes.txt", "mine");
  const Ran occupied = run({"run", file.string(), "--study", "papers"}, table.folder.path());
  CHECK(occupied.code == 2);
  check_says(occupied.err, {"not empty"});
  CHECK(read_file(table.folder / "papers/notes.txt") == "mine");
}

TEST_CASE("a folder that cannot be written is refused") {
  const Table table;
  const fs::path file = write_file(table.folder / "pipeline.json", table.pipeline.dump());
  // /proc takes no folders from anybody, not even from root.
  const Ran ran = run({"run", file.string(), "--study", "/proc/study"}, table.folder.path());
  CHECK(ran.code == 1);
  check_says(ran.err, {"/proc/study", "cannot be created"});
}

TEST_CASE("a full disk stops the study with its reason, and the study goes on once there is room") {
  if (geteuid() != 0) {
    WARN("SKIPPED: needs root to mount a small file system");
    return;
  }
  const Table table;
  const fs::path mount = table.folder / "small";
  fs::create_directories(mount);
  if (std::system(("mount -t tmpfs -o size=256k none " + mount.string() + " 2>/dev/null").c_str()) != 0) {
    WARN("SKIPPED: mounting is not allowed here");
    return;
  }
  const fs::path file = write_file(table.folder / "pipeline.json", with(table.pipeline, "/budget/trials", 3000).dump());
  const Ran full = run({"run", file.string(), "--study", (mount / "study").string(), "--quiet"}, table.folder.path());
  const int remounted = std::system(("mount -o remount,size=16m " + mount.string()).c_str());
  const Ran resumed = run({"resume", (mount / "study").string(), "--quiet"}, table.folder.path());
  const Json trials = trials_of(mount / "study", table.folder.path());
  const int unmounted = std::system(("umount " + mount.string()).c_str());
  CHECK(full.code == 1);
  check_says(full.err, {"study.db", "full", "weft resume"});
  REQUIRE(remounted == 0);
  INFO(resumed.err);
  CHECK(resumed.code == 0);
  CHECK(trials.size() == 3000);
  CHECK(unmounted == 0);
}

TEST_CASE("a loss that is not finite fails its trial with the epoch") {
  const TemporaryFolder folder;
  Json pipeline = training_pipeline(2, {"cpu:1"});
  pipeline["evaluator"]["args"].update({{"lr", 1e30}, {"gradient_clip", 0}});
  const fs::path file = write_file(folder / "pipeline.json", pipeline.dump());
  const Ran ran = run({"run", file.string(), "--study", "study"}, folder.path());
  CHECK(ran.code == 1);
  check_says(ran.err, {"no trial completed"});
  for (const Json& trial : trials_of(folder / "study", folder.path())) {
    if (trial.at("state") == "PRUNED") continue;
    CHECK(trial.at("state") == "FAIL");
    check_says(trial.at("reason"), {"not finite", "epoch 1"});
  }
}

TEST_CASE("limits that nothing can keep end the search with a remedy") {
  const Table table;
  Json pipeline = table.pipeline;
  pipeline["objectives"].push_back({{"name", "parameters"}, {"limit", 10}});
  const fs::path file = write_file(table.folder / "pipeline.json", pipeline.dump());
  const Ran check = run({"check", file.string(), "--samples", "20"}, table.folder.path());
  CHECK(check.code == 2);
  check_says(check.err, {"none of 20 sampled candidates"});
}

TEST_CASE("numbers of the command line are taken as they were given, or refused with their range") {
  const Table table;
  const fs::path file = write_file(table.folder / "pipeline.json", table.pipeline.dump());
  const auto refused_with = [&](const std::vector<std::string>& arguments) {
    const Ran ran = run(arguments, table.folder.path());
    CHECK(ran.code == 2);
    return ran.err;
  };
  const std::string seeds = "must be a whole number from 0 to 18446744073709551615";
  check_says(refused_with({"run", file.string(), "--seed=-1"}), {"--seed: \"-1\" given; " + seeds});
  check_says(refused_with({"run", file.string(), "--seed", "18446744073709551616"}),
             {"\"18446744073709551616\" given"});
  for (const char* seed : {"010", "0x10", "1.5", "one", "1e3", " 1", ""})
    check_says(refused_with({"run", file.string(), "--seed", seed}), {"--seed: \"" + std::string(seed) + "\"", seeds});
  check_says(refused_with({"check", file.string(), "--samples", "-1"}),
             {"--samples: \"-1\" given; must be a whole number from 0 to 1000000000"});
  check_says(refused_with({"best", "study", "--top", "0"}), {"--top: \"0\" given; must be a whole number from 1"});
  check_says(refused_with({"export", "study", "--format", "dot", "--trial=-1"}), {"--trial: \"-1\" given"});
  check_says(refused_with({"run", file.string(), "--slots", "gpu:0"}),
             {"--slots: \"gpu:0\" given; must be cpu:<threads>, at least cpu:1, or cuda:<index>"});

  check_says(refused(with(table.pipeline, "/seed", -1)), {"/seed is -1", ">= 0 and <= 18446744073709551615"});
  Json largest = with(table.pipeline, "/seed", std::uint64_t{18446744073709551615U});
  largest["budget"]["trials"] = 12;
  const fs::path largest_file = write_file(table.folder / "largest.json", largest.dump());
  REQUIRE(run({"run", largest_file.string(), "--study", "largest", "--quiet"}, table.folder.path()).code == 0);
  CHECK(Json::parse(read_file(table.folder / "largest/pipeline.json")).at("seed") == largest.at("seed"));
  REQUIRE(run({"run", file.string(), "--study", "same", "--quiet", "--seed", "18446744073709551615", "--set",
               "/budget/trials=12"},
              table.folder.path())
              .code == 0);
  CHECK(trials_of(table.folder / "same", table.folder.path()) ==
        trials_of(table.folder / "largest", table.folder.path()));
}

TEST_CASE("an integer that a plugin cannot hold is refused, not cut") {
  check_says(refused(with(training_pipeline(1, {"cpu:1"}), "/evaluator/args/epochs", 5000000000)),
             {"/evaluator/args/epochs is 5000000000; must be an integer >= 1 and <= 1000000"});
  check_says(refused(with(training_pipeline(1, {"cpu:1"}), "/space/args/cells", 4294967297)),
             {"/space/args/cells is 4294967297; must be an integer >= 1 and <= 1000"});
  const Table table;
  check_says(refused(with(table.pipeline, "/budget/trials", std::uint64_t{18446744073709551615U})),
             {"/budget/trials is 18446744073709551615; must be an integer >= 1"});
}

TEST_CASE("an object without what it needs is told what that is") {
  const Table table;
  check_says(refused(table.pipeline, {"--set", R"(/evaluator/args/metrics={"acc": "acc"})"}),
             {"/evaluator/args/metrics/validation_accuracy is missing"});
  check_says(refused(table.pipeline, {"--set", "/budget={}"}),
             {"/budget is {}; must be an object with trials or unique or seconds"});
}

TEST_CASE("a setting says what is wrong with its place or its value") {
  const Table table;
  const auto refused_set = [&](const std::string& setting) { return refused(table.pipeline, {"--set", setting}); };
  check_says(refused_set("budget/trials=3"), {"must be a JSON pointer, '=' and a value"});
  check_says(refused_set("/name/first=3"), {"/name is \"table\", which has no member \"first\""});
  check_says(refused_set("/objectives/first=3"), {"/objectives has 1 entries; \"first\" must be 0 to 1"});
  check_says(refused_set("/objectives/99999999999=3"), {"\"99999999999\" must be 0 to 1"});
  check_says(refused_set("/dataset/args/99999999999=3"), {"\"99999999999\" must be 0 to 0"});
  check_says(refused_set("/a~2b=3"), {"~ is written ~0"});
  check_says(refused_set(R"(/optimizer={"name": "random_search")"), {"begins as JSON does, but is none"});
  check_says(refused_set("/budget=" + std::string(60000, '[')), {"deeper than 256 levels"});
  const fs::path file = write_file(table.folder / "pipeline.json", table.pipeline.dump());
  const Ran ran = run({"check", file.string(), "--json", "--samples", "0", "--set",
                       "/objectives/-={\"name\": \"parameters\"}", "--set", "/objectives/1/limit=1000000"},
                      table.folder.path());
  CHECK(ran.code == 0);
  CHECK(Json::parse(ran.out).at("pipeline").at("objectives")[1].at("limit") == 1000000);
}

TEST_CASE("names that are not UTF-8 are refused at once") {
  const Table table;
  const std::string latin = "caf\xe9";
  const fs::path file = write_file(table.folder / "pipeline.json", table.pipeline.dump());
  const auto refused_with = [&](const std::vector<std::string>& arguments, const fs::path& folder) {
    const Ran ran = run(arguments, folder);
    CHECK(ran.code == 2);
    check_says(ran.err, {"caf\\xe9", "is not UTF-8"});
    return ran.err;
  };
  const fs::path folder = table.folder.path();
  check_says(refused_with({"run", file.string(), "--study", latin, "--quiet"}, folder),
             {"the study's folder", "--study"});
  CHECK_FALSE(fs::exists(table.folder / latin));
  refused_with({"run", latin + ".json"}, folder);
  refused_with({"--plugin-path", latin, "check", file.string()}, folder);
  refused_with({"check", file.string(), "--set", "/evaluator/args/file=" + latin}, folder);

  REQUIRE(run({"run", file.string(), "--study", "study", "--quiet"}, folder).code == 0);
  fs::rename(table.folder / "study", table.folder / latin);
  refused_with({"resume", latin}, folder);
  CHECK(run({"best", latin}, folder).code == 0);  // to read it is no harm

  const fs::path plugin = table.folder / "plugins/optimizer" / latin;
  fs::create_directories(plugin);
  fs::copy_file(WEFT_TEST_PLUGINS "/optimizer/random_search/manifest.json", plugin / "manifest.json");
  const Ran list = run({"--plugin-path", (table.folder / "plugins").string(), "plugin", "list", "--json"}, folder);
  CHECK(list.code == 0);
  CHECK(Json::accept(list.out));

  // The name a study would have by itself lies in a folder that is no better.
  fs::create_directories(table.folder / latin / "here");
  refused_with({"run", file.string(), "--quiet"}, table.folder / latin / "here");
}

TEST_CASE("slots that the machine does not have are refused before anything starts") {
  check_says(refused(training_pipeline(1, {"cpu:1", "cpu:5000"})),
             {"pipeline.json: /executor/slots/1 is \"cpu:5000\"; this machine has "});
  Json pipeline = training_pipeline(1, {"cpu:1"});
  pipeline["final"] = {{"slots", {"cpu:5000"}}};
  check_says(refused(pipeline), {"/final/slots/0 is \"cpu:5000\""});
  check_says(refused(training_pipeline(1, {"cpu:1"}), {"--slots", "cpu:1,cuda:99"}),
             {"/executor/slots/1 is \"cuda:99\""});
}

TEST_CASE("batch norm of one value is named, not the learning rate") {
  const TemporaryFolder folder;
  write_file(folder / "images",
             big_endian(0x803) + big_endian(40) + big_endian(4) + big_endian(4) + std::string(640, 'x'));
  write_file(folder / "labels", big_endian(0x801) + big_endian(40) + std::string(40, '\x03'));
  Json pipeline = training_pipeline(1, {"cpu:1"});
  pipeline["dataset"] = {{"name", "idx"},
                         {"args",
                          {{"folder", folder.path().string()},
                           {"train_images", "images"},
                           {"train_labels", "labels"},
                           {"test_images", "images"},
                           {"test_labels", "labels"},
                           {"validation", 20}}}};
  pipeline["space"] = {{"name", "nas_bench_201"}, {"args", {{"channels", 4}, {"cells", 1}}}};
  pipeline["evaluator"]["args"].update({{"batch_size", 1}, {"lr", 0}});
  const fs::path file = write_file(folder / "pipeline.json", pipeline.dump());
  const Ran ran = run({"run", file.string(), "--study", "study", "--quiet"}, folder.path());
  CHECK(ran.code == 1);
  check_says(ran.err, {"no trial completed", "batch norm of one value per channel", "batch_size above 1"});
  CHECK(ran.err.find("smaller lr") == std::string::npos);
}

TEST_CASE("a metric of one's own is minimised") {
  const TemporaryFolder folder;
  Json pipeline = table_pipeline("", 6);
  const char* program =
      R"(read -r request; trial=$(printf '%s' "$request" | sed 's/.*"trial":\([0-9]*\).*/\1/')
echo "{\"event\": \"result\", \"metrics\": {\"rmse\": $((10 + trial))}}")";
  pipeline["task"] = {{"input", {3, 8, 8}}, {"classes", 2}};
  pipeline["evaluator"] = {{"name", "command"}, {"args", {{"command", {"sh", "-c", program}}}}};
  pipeline["executor"] = {{"name", "local"}, {"slots", {"cpu:1"}}};
  pipeline["objectives"] = Json::array({{{"name", "perplexity"}, {"args", {{"metric", "rmse"}}}}});
  const auto ran_with = [&](const char* study) {
    return run({"run", write_file(folder / "pipeline.json", pipeline.dump()).string(), "--study", study, "--json"},
               folder.path());
  };
  const Ran ran = ran_with("minimised");
  INFO(ran.err);
  REQUIRE(ran.code == 0);
  CHECK(Json::parse(ran.out).at("best").at("trial") == 0);

  pipeline["objectives"] = Json::array({{{"name", "accuracy"}}});
  const Ran other = ran_with("other");
  CHECK(other.code == 1);
  check_says(other.err,
             {"no number \"validation_accuracy\"", "{\"rmse\":10}", "/metric", "to be minimised", "perplexity"});
}

TEST_CASE("commands on a folder without a study say so") {
  const TemporaryFolder folder;
  for (const char* command : {"resume", "trials", "best"}) {
    const Ran ran = run({command, "nothing"}, folder.path());
    CHECK(ran.code == 2);
    check_says(ran.err, {"nothing", "no study.db"});
  }
}
