// What the commands print, on a study that the test runs.

#include <sys/stat.h>

#include "tests/catch.hpp"
#include "tests/end_to_end/program.hpp"

using namespace weft::testing;
using weft::Json;

TEST_CASE("a table study from run to export") {
  const TemporaryFolder folder;
  Json description = table_pipeline(write_table(folder / "table.csv"), 200);
  description["profiles"] = {{"short", {{"budget", {{"trials", 20}}}}}};
  const fs::path pipeline = write_file(folder / "pipeline.json", description.dump());

  const Ran whole = run({"run", pipeline.string(), "--study", "study", "--json"}, folder.path());
  INFO(whole.err);
  REQUIRE(whole.code == 0);
  const Json summary = Json::parse(whole.out);
  CHECK(summary.at("trials") == 200);

  SECTION("trials and best agree") {
    double highest = 0.0;
    for (const Json& trial : trials_of(folder / "study", folder.path()))
      highest = std::max(highest, trial.at("reward").get<double>());
    CHECK(summary.at("best").at("reward") == highest);
    const Json best = Json::parse(run({"best", "study", "--json", "--top", "3"}, folder.path()).out);
    REQUIRE(best.size() == 3);
    CHECK(best[0].at("reward") == highest);
    CHECK(best[0].at("reward") >= best[1].at("reward"));
    CHECK(best[0].at("notation").get<std::string>().front() == '|');
  }
  SECTION("duplicates take the first result and are not evaluated again") {
    std::map<std::string, Json> first;
    std::size_t duplicates = 0;
    for (const Json& trial : trials_of(folder / "study", folder.path())) {
      const auto [at, fresh] = first.emplace(trial.at("genotype").dump(), trial);
      REQUIRE(fresh != trial.contains("duplicate_of"));
      if (fresh) continue;
      ++duplicates;
      CHECK(trial.at("duplicate_of") == at->second.at("trial"));
      CHECK(trial.at("reward") == at->second.at("reward"));
    }
    CHECK(duplicates > 0);
  }
  SECTION("the same seed proposes the same, another one differs") {
    REQUIRE(run({"run", pipeline.string(), "--study", "again", "--quiet"}, folder.path()).code == 0);
    CHECK(trials_of(folder / "again", folder.path()) == trials_of(folder / "study", folder.path()));
    REQUIRE(run({"run", pipeline.string(), "--study", "other", "--quiet", "--seed", "6"}, folder.path()).code == 0);
    CHECK(trials_of(folder / "other", folder.path()) != trials_of(folder / "study", folder.path()));
  }
  SECTION("profiles and --set change the pipeline, and the study keeps what it ran") {
    REQUIRE(run({"run", pipeline.string(), "--study", "short", "--profile", "short", "--quiet", "--set",
                 "/optimizer/args/sample_size=2", "--set", "/optimizer/args/population_size=null", "--set",
                 "/optimizer/args/count_in_flight=false"},
                folder.path())
                .code == 0);
    CHECK(trials_of(folder / "short", folder.path()).size() == 20);
    const Json stored = Json::parse(read_file(folder / "short/pipeline.json"));
    CHECK(stored.at("optimizer").at("args").at("sample_size") == 2);
    CHECK(stored.at("optimizer").at("args").at("population_size") == 100);  // its default again
    CHECK_FALSE(stored.contains("profiles"));
  }
  SECTION("an export goes to what it is given: a file is replaced, a link followed, a pipe written to") {
    const std::string text = run({"export", "study", "--format", "architecture"}, folder.path()).out;
    const auto export_to = [&](const std::string& target) {
      return run({"export", "study", "--format", "architecture", "-o", target}, folder.path());
    };
    CHECK(export_to("-").out == text);
    write_file(folder / "target", "old");
    fs::create_symlink("target", folder / "link");
    CHECK(export_to("link").code == 0);
    CHECK(fs::is_symlink(folder / "link"));
    CHECK(read_file(folder / "target") == text);
    REQUIRE(mkfifo((folder / "pipe").c_str(), 0600) == 0);
    boost::process::child reader("/bin/cat", (folder / "pipe").string(),
                                 boost::process::std_out > (folder / "read").string());
    CHECK(export_to("pipe").code == 0);
    reader.wait();
    CHECK(read_file(folder / "read") == text);
    CHECK(fs::is_fifo(folder / "pipe"));
    CHECK(export_to("/dev/full").code == 1);
    CHECK(fs::is_character_file("/dev/full"));
  }
  SECTION("the best is exported") {
    const Json architecture = Json::parse(read_file(folder / "study/best/architecture.json"));
    CHECK(architecture.at("nodes").size() > 100);
    CHECK(Json::parse(run({"export", "study", "--format", "architecture"}, folder.path()).out) == architecture);
    const std::string dot = run({"export", "study", "--format", "dot"}, folder.path()).out;
    CHECK(dot.rfind("digraph", 0) == 0);
    CHECK(read_file(folder / "study/best/picture.svg").find("<svg") != std::string::npos);
    const Ran weights = run({"export", "study", "--format", "weights"}, folder.path());
    CHECK(weights.code == 1);
    CHECK(weights.err.find("were not kept") != std::string::npos);
  }
  SECTION("a finished study resumes to nothing") {
    const Json before = trials_of(folder / "study", folder.path());
    CHECK(run({"resume", "study", "--quiet"}, folder.path()).code == 0);
    CHECK(trials_of(folder / "study", folder.path()) == before);
  }
}

TEST_CASE("a training study ends in a trained, saved, drawn network that never saw the test split") {
  const TemporaryFolder folder;
  Json description = training_pipeline(4, {"cpu:1", "cpu:1"});
  description["keep_weights"] = 1;
  description["final"] = {
      {"evaluator", {{"name", "train"}, {"args", {{"epochs", 4}, {"batch_size", 32}, {"crop_padding", 1}}}}},
      {"top", 1}};
  const fs::path pipeline = write_file(folder / "pipeline.json", description.dump());
  const Ran ran = run({"run", pipeline.string(), "--study", "study"}, folder.path());
  INFO(ran.err);
  REQUIRE(ran.code == 0);
  for (const char* name : {"architecture.json", "genotype.txt", "result.json", "weights.pt", "picture.svg"}) {
    INFO(name);
    CHECK(fs::file_size(folder / ("study/best/" + std::string(name))) > 0);
  }
  const Json result = Json::parse(read_file(folder / "study/best/result.json"));
  CHECK(result.at("final").at("metrics").at("test_accuracy").get<double>() > 25.0);
  CHECK_FALSE(result.at("metrics").contains("test_accuracy"));
  std::size_t kept = 0;
  for (const auto& entry : fs::directory_iterator(folder / "study/trials")) {
    kept += fs::exists(entry.path() / "weights.pt") ? 1 : 0;
    CHECK_FALSE(fs::exists(entry.path() / "checkpoint.pt"));
  }
  CHECK(kept == 1);
  CHECK(run({"export", "study", "--format", "weights", "-o", "net.pt"}, folder.path()).code == 0);
  CHECK(read_file(folder / "net.pt") == read_file(folder / "study/best/weights.pt"));
}

TEST_CASE("a final training that fails is said so, the search is kept, and resume repeats the training") {
  const TemporaryFolder folder;
  const char* program =
      R"(read request; test -e mended && echo '{"event": "result", "metrics": {"test_accuracy": 88}}')";
  Json description = table_pipeline(write_table(folder / "table.csv"), 20);
  description["final"] = {{"evaluator", {{"name", "command"}, {"args", {{"command", {"sh", "-c", program}}}}}}};
  const Ran ran =
      run({"run", write_file(folder / "pipeline.json", description.dump()).string(), "--study", "study", "--quiet"},
          folder.path());
  CHECK(ran.code == 1);
  CHECK(ran.err.find("the final training of trial ") != std::string::npos);
  CHECK(ran.err.find(" failed: ") != std::string::npos);
  const auto result = [&] { return Json::parse(read_file(folder / "study/best/result.json")); };
  CHECK(result().at("final").at("state") == "FAIL");
  CHECK(result().at("state") == "COMPLETE");
  CHECK(run({"resume", "study", "--quiet"}, folder.path()).code == 1);
  write_file(folder / "mended", "");
  const Ran resumed = run({"resume", "study"}, folder.path());
  INFO(resumed.err);
  CHECK(resumed.code == 0);
  CHECK(result().at("final").at("state") == "COMPLETE");
  CHECK(result().at("final").at("metrics").at("test_accuracy") == 88);
  CHECK(run({"resume", "study"}, folder.path()).err.find("final training") == std::string::npos);
}

TEST_CASE("the final networks may be larger than those of the search, from the same genotypes") {
  const TemporaryFolder folder;
  Json description = training_pipeline(2, {"cpu:1"});
  description["final"] = {
      {"space", {{"args", {{"filters", 8}, {"cells", 2}}}}},
      {"evaluator", {{"name", "train"}, {"args", {{"epochs", 1}, {"batch_size", 32}, {"crop_padding", 1}}}}}};
  const Ran ran = run({"run", write_file(folder / "pipeline.json", description.dump()).string(), "--study", "study"},
                      folder.path());
  INFO(ran.err);
  REQUIRE(ran.code == 0);
  const Json result = Json::parse(read_file(folder / "study/best/result.json"));
  const Json parameters = result.at("cost").at("parameters");
  CHECK(parameters > 2 * result.at("metrics").at("parameters").get<int>());
  CHECK(parameters == result.at("final").at("metrics").at("parameters"));  // those of weights.pt
  CHECK(run({"export", "study", "--format", "architecture"}, folder.path()).out ==
        read_file(folder / "study/best/architecture.json"));

  description["final"]["space"]["args"]["blocks"] = 2;
  const Ran refused = run({"check", write_file(folder / "blocks.json", description.dump()).string()}, folder.path());
  CHECK(refused.code == 2);
  CHECK(refused.err.find("/final/space/args do not build a network from a genotype of /space") != std::string::npos);
}

TEST_CASE("the limit of an objective refuses candidates before they are trained") {
  const TemporaryFolder folder;
  Json description = training_pipeline(3, {"cpu:1"});
  const Ran all = run({"check", write_file(folder / "all.json", description.dump()).string(), "--json"}, folder.path());
  const Json range = Json::parse(all.out).at("ranges").at("parameters");
  const double limit = (range.at("lowest").get<double>() + range.at("highest").get<double>()) / 2;
  description["objectives"][1]["limit"] = limit;
  const fs::path pipeline = write_file(folder / "limited.json", description.dump());
  const double share = Json::parse(run({"check", pipeline.string(), "--json"}, folder.path()).out).at("feasible");
  CHECK(share > 0.0);
  CHECK(share < 1.0);
  REQUIRE(run({"run", pipeline.string(), "--study", "study", "--quiet"}, folder.path()).code == 0);
  std::size_t trained = 0;
  for (const Json& trial : trials_of(folder / "study", folder.path())) {
    if (trial.at("state") == "PRUNED") {
      CHECK(trial.at("reason").get<std::string>().find("infeasible: parameters") != std::string::npos);
      CHECK(trial.at("metrics").empty());
    } else {
      ++trained;
      CHECK(trial.at("objectives")[1].get<double>() <= limit);
    }
  }
  CHECK(trained == 3);
}

TEST_CASE("plugins are listed and shown without being opened") {
  const TemporaryFolder folder;
  const Json list = Json::parse(run({"plugin", "list", "--json"}, folder.path()).out);
  CHECK(list.size() >= 15);
  const Ran shown = run({"plugin", "show", "regularized_evolution"}, folder.path());
  CHECK(shown.out.find("population_size") != std::string::npos);
  CHECK(shown.out.find("1802.01548") != std::string::npos);
  const Ran unknown = run({"plugin", "show", "regularized_evolutoin"}, folder.path());
  CHECK(unknown.code == 2);
  CHECK(unknown.err.find("did you mean \"regularized_evolution\"") != std::string::npos);
}

TEST_CASE("a plugin found first shadows a later one of its name, and a broken manifest harms nobody") {
  const TemporaryFolder folder;
  fs::create_directories(folder / "plugins/optimizer");
  fs::copy(WEFT_TEST_PLUGINS "/optimizer/random_search", folder / "plugins/optimizer/random_search");
  fs::create_directories(folder / "plugins/optimizer/broken");
  write_file(folder / "plugins/optimizer/broken/manifest.json", "{\"manifest\": 2}");
  const Ran list = run({"--plugin-path", (folder / "plugins").string(), "plugin", "list"}, folder.path());
  CHECK(list.code == 0);
  CHECK(list.out.find("shadowed by " + (folder / "plugins/optimizer/random_search/manifest.json").string()) !=
        std::string::npos);
  CHECK(list.err.find("broken/manifest.json") != std::string::npos);
}

TEST_CASE("the host does not load LibTorch, and help and version work everywhere") {
  const TemporaryFolder folder;
  const Ran linked = [&] {
    Ran ran;
    ran.code =
        boost::process::system("/usr/bin/ldd " + program, boost::process::std_out > (folder / "ldd.txt").string());
    ran.out = read_file(folder / "ldd.txt");
    return ran;
  }();
  CHECK(linked.out.find("torch") == std::string::npos);
  CHECK(run({"--version"}, folder.path()).out.find('.') != std::string::npos);
  for (const std::vector<std::string>& command : std::vector<std::vector<std::string>>{
           {"--help"}, {"run", "--help"}, {"plugin", "--help"}, {"export", "--help"}}) {
    CHECK(run(command, folder.path()).code == 0);
  }
  CHECK(run({}, folder.path()).code == 2);
  CHECK(run({"frobnicate"}, folder.path()).code == 2);
}

TEST_CASE("doctor finds this build well") {
  const TemporaryFolder folder;
  const Ran ran = run({"doctor", "--json"}, folder.path());
  INFO(ran.out);
  const Json findings = Json::parse(ran.out);
  CHECK(findings.size() > 5);
  for (const Json& finding : findings) {
    if (finding.at("what") == "LibTorch")
      CHECK(finding.at("found").get<std::string>().find("CPU") != std::string::npos);
  }
}
