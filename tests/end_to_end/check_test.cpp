// What is found out before a search, by `weft check` and by `weft run`: data, final training and tables included.

#include <SQLiteCpp/SQLiteCpp.h>

#include "plugins/dataset/image_folder/encoded.hpp"
#include "tests/catch.hpp"
#include "tests/end_to_end/program.hpp"

using namespace weft::testing;
using weft::Json;

namespace {

// Pictures of 16 x 16 pixels in two classes, and a small search on them.
class Pictures {
 public:
  explicit Pictures(const std::vector<std::string>& splits) {
    int grey = 0;
    for (const std::string& split : splits) {
      for (const char* name : {"cat", "dog"}) {
        for (int i = 0; i < 8; ++i) add(split + "/" + name + "/" + std::to_string(i) + ".png", ++grey);
      }
    }
  }

  void add(const std::string& file, int grey) const {
    const fs::path path = folder / ("data/" + file);
    fs::create_directories(path.parent_path());
    write_file(path, encoded::png({.width = 16, .height = 16, .rows = std::string(256, static_cast<char>(grey))}));
  }

  Json pipeline() const {
    Json pipeline = training_pipeline(1, {"cpu:1"});
    pipeline["dataset"] = {{"name", "image_folder"},
                           {"args", {{"folder", "data"}, {"resolution", 8}, {"validation", 4}}}};
    pipeline["evaluator"]["args"]["batch_size"] = 4;
    return pipeline;
  }

  Ran call(const std::string& command, const Json& pipeline, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {command, write_file(folder / "pipeline.json", pipeline.dump()).string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments, folder.path());
  }

  TemporaryFolder folder;
};

void check_holds(const std::string& text, const std::string& part) {
  INFO("missing: " << part << "\nin: " << text);
  CHECK(text.find(part) != std::string::npos);
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

}  // namespace

TEST_CASE("a final training on data without a test split is refused before the search") {
  const Pictures pictures({"train"});
  Json pipeline = pictures.pipeline();
  pipeline["final"] = {{"evaluator", pipeline["evaluator"]}};
  for (const char* command : {"check", "run"}) {
    const Ran ran = pictures.call(command, pipeline);
    CHECK(ran.code == 2);
    check_holds(ran.err, "this data set has no test split");
  }
  CHECK_FALSE(fs::exists(pictures.folder / "studies"));

  SECTION("also where the search looks up a table and never sees the data") {
    Json looked_up = table_pipeline(write_table(pictures.folder / "table.csv"), 5);
    looked_up["dataset"] = pipeline["dataset"];
    looked_up["final"] = pipeline["final"];
    const Ran ran = pictures.call("run", looked_up);
    CHECK(ran.code == 2);
    check_holds(ran.err, "this data set has no test split");
    CHECK_FALSE(fs::exists(pictures.folder / "studies"));
  }
}

TEST_CASE("what a data set has to say is said once a study, however many workers read it") {
  const Pictures pictures({"train", "test"});
  pictures.add("train/cat/.hidden.png", 1);
  fs::remove_all(pictures.folder / "data/test/dog");
  Json pipeline = pictures.pipeline();
  pipeline["executor"]["slots"] = {"cpu:1", "cpu:1"};
  pipeline["budget"]["trials"] = 2;
  pipeline["final"] = {{"evaluator", pipeline["evaluator"]}};
  const Ran ran = pictures.call("run", pipeline, {"--study", "study"});
  INFO(ran.err);
  CHECK(ran.code == 0);
  for (const char* text : {"skipped: 1 hidden file or folder", "held out for validation, stratified",
                           "the test split has no example of class 1 (dog)"})
    CHECK(count(ran.err, text) == 1);
  CHECK(Json::parse(read_file(pictures.folder / "study/pipeline.json")).at("/dataset/args/stratified"_json_pointer) ==
        true);
}

TEST_CASE("a study that was begun without stratified splits and fingerprints goes on without them") {
  const Pictures pictures({"train"});
  Json pipeline = pictures.pipeline();
  pipeline["dataset"]["args"]["stratified"] = false;
  REQUIRE(pictures.call("run", pipeline, {"--study", "study"}).code == 0);
  const fs::path stored = pictures.folder / "study/pipeline.json";
  Json older = Json::parse(read_file(stored));
  older["dataset"]["args"].erase("stratified");
  write_file(stored, older.dump());
  SQLite::Database(pictures.folder / "study/study.db", SQLite::OPEN_READWRITE)
      .exec(
          "UPDATE events SET body = json_remove(body, '$.task.fingerprint', '$.study', '$.pipeline', '$.plugins', "
          "'$.directory', '$.told') WHERE kind = 'study'");
  const Ran ran = run({"resume", "study"}, pictures.folder.path());
  INFO(ran.err);
  CHECK(ran.code == 0);
  check_holds(ran.err, "held out for validation, without regard to their classes");
}

TEST_CASE("final networks that only some genotypes make are counted before the search") {
  const TemporaryFolder folder;
  Json pipeline = training_pipeline(1, {"cpu:1"});
  // Two of the three operations of the search: genotypes with the third have no network.
  pipeline["final"] = {{"space", {{"args", {{"operations", {"identity", "conv_3x3"}}}}}}};
  const std::string file = write_file(folder / "pipeline.json", pipeline.dump()).string();
  const Ran ran = run({"check", file, "--json"}, folder.path());
  INFO(ran.err);
  CHECK(ran.code == 0);
  check_holds(ran.err, "/final/space/args build no network from ");
  const Json found = Json::parse(ran.out);
  CHECK(found.at("samples") == 200);
  CHECK(found.at("unbuilt").at("count") > 0);
  CHECK(found.at("unbuilt").at("count") < 200);
  CHECK(found.at("unbuilt").at("first").get<std::string>().find(": ") != std::string::npos);
  check_holds(run({"check", file}, folder.path()).out, "cannot be built as final networks");
}

TEST_CASE("check counts candidates that a table does not have, and refuses a table of another space") {
  const TemporaryFolder folder;
  const std::string whole = read_file(write_table(folder / "whole.csv"));
  const std::size_t half = whole.find('\n', whole.size() / 2) + 1;
  write_file(folder / "half.csv", whole.substr(0, half) + "|nonsense~0|,50\n");
  const auto check = [&](const fs::path& table) {
    const Json pipeline = table_pipeline(table, 5);
    return run({"check", write_file(folder / "pipeline.json", pipeline.dump()).string()}, folder.path());
  };
  const Ran partly = check(folder / "half.csv");
  CHECK(partly.code == 0);
  check_holds(partly.out, " of 200 cannot be evaluated, the first ");
  check_holds(partly.err, "half.csv are no architectures of the space as it writes them, the first |nonsense~0| (");
  CHECK(run({"check", write_file(folder / "p.json", table_pipeline(folder / "whole.csv", 5).dump()).string()},
            folder.path())
            .out.find("cannot be evaluated") == std::string::npos);

  write_file(folder / "other.csv", "architecture,accuracy\nx,1\ny,2\n");
  const Ran other = check(folder / "other.csv");
  CHECK(other.code == 2);
  check_holds(other.err, "2 of 2 rows of");
  check_holds(other.err, "Is it a table of this space");
}

TEST_CASE("a table with no row for any sampled candidate does not pass the check") {
  const TemporaryFolder folder;
  write_file(folder / "one.csv", "architecture,accuracy\n|none~0|+|none~0|none~1|+|none~0|none~1|none~2|,1\n");
  const Json pipeline = table_pipeline(folder / "one.csv", 5);
  const Ran ran = run({"check", write_file(folder / "pipeline.json", pipeline.dump()).string()}, folder.path());
  CHECK(ran.code == 2);
  check_holds(ran.err, "none of 200 sampled candidates can be evaluated; ");
}

TEST_CASE("data paths are expanded, and a folder that is not there is told with where it was looked for") {
  const Pictures pictures({"train"});
  Json pipeline = pictures.pipeline();
  pipeline["dataset"]["args"]["folder"] = "$WEFT_TEST_PLACE/data";
  const Ran unset = pictures.call("check", pipeline);
  CHECK(unset.code == 2);
  check_holds(unset.err, "names $WEFT_TEST_PLACE, which is not set in the environment");
  setenv("WEFT_TEST_PLACE", pictures.folder.path().c_str(), 1);
  CHECK(pictures.call("check", pipeline).code == 0);
  unsetenv("WEFT_TEST_PLACE");
  pipeline["dataset"]["args"]["folder"] = "elsewhere";
  const Ran absent = pictures.call("check", pipeline);
  CHECK(absent.code == 2);
  check_holds(absent.err, "elsewhere/train does not exist, seen from " + pictures.folder.path().string());
  pipeline["dataset"]["args"]["folder"] = "/nowhere";
  check_holds(pictures.call("check", pipeline).err, "pipeline.json: /dataset/args: /nowhere/train does not exist. ");
}
