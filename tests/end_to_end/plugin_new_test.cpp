// `weft plugin new`: what it writes, and that bad input writes nothing. That the templates build and run is shown by
// tests/packages/stranger and tests/installed/language.

#include <map>

#include "tests/catch.hpp"
#include "tests/end_to_end/program.hpp"

using namespace weft::testing;
using weft::Json;

namespace {

// Runs the command where it must be refused; what the folder held before is all that it may hold after.
std::string refused(const std::vector<std::string>& arguments, const TemporaryFolder& folder) {
  std::vector<std::string> command = {"plugin", "new"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  const auto content = [&] {
    std::vector<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(folder.path())) {
      if (entry.path().extension() != ".txt") names.push_back(entry.path().string());
    }
    return names;
  };
  const std::vector<std::string> before = content();
  const Ran ran = run(command, folder.path());
  INFO(ran.err);
  CHECK(ran.code == 2);
  CHECK(content() == before);
  return ran.err;
}

constexpr const char* kinds[] = {"space",          "optimizer", "evaluator",   "objective", "dataset",
                                 "predictor",      "stopper",   "update_rule", "schedule",  "augmentation",
                                 "initialisation", "loss",      "operation"};

}  // namespace

TEST_CASE("plugin new: every kind gets its folder, in which no word of the template is left") {
  const TemporaryFolder folder;
  for (const std::string kind : kinds) {
    INFO(kind);
    const Ran ran = run({"plugin", "new", kind, "quick_idea", "--output", "of_kind/" + kind}, folder.path());
    REQUIRE(ran.code == 0);
    CHECK_THAT(ran.out, ContainsSubstring("cd of_kind/" + kind) && ContainsSubstring("--workflow --preset plugin"));
    const fs::path made = folder / ("of_kind/" + kind);
    for (const char* name : {"manifest.json", "quick_idea.cpp", "quick_idea_test.cpp", "pipeline.json", "README.md",
                             "CMakeLists.txt", "CMakePresets.json", ".gitignore"}) {
      INFO(name);
      const std::string text = read_file(made / name);
      CHECK_FALSE(text.empty());
      for (const char* word : {"my_plugin", "MyPlugin", "my_kind"}) CHECK(text.find(word) == std::string::npos);
    }
    CHECK(read_file(made / "quick_idea.cpp").find("class QuickIdea final") != std::string::npos);
    const Json manifest = Json::parse(read_file(made / "manifest.json"));
    CHECK(manifest.at("name") == "quick_idea");
    CHECK(manifest.at("kind") == kind);
  }
}

TEST_CASE(
    "plugin new: in other languages a plugin has the manifest and the pipeline of its kind, and files of its own") {
  const TemporaryFolder folder;
  const std::map<std::string, std::vector<std::string>> sources = {
      {"c", {"quick_idea.c", "quick_idea_test.c", "json.h", "CMakeLists.txt"}},
      {"rust", {"src/lib.rs", "src/abi.rs", "Cargo.toml", "CMakeLists.txt"}}};
  for (const std::string kind : {"optimizer", "objective"}) {
    REQUIRE(run({"plugin", "new", kind, "quick_idea", "--output", "cpp/" + kind}, folder.path()).code == 0);
    for (const auto& [language, names] : sources) {
      INFO(language << ", " << kind);
      const std::string output = language + "/" + kind;
      const Ran ran =
          run({"plugin", "new", kind, "quick_idea", "--language", language, "--output", output}, folder.path());
      INFO(ran.err);
      REQUIRE(ran.code == 0);
      const fs::path made = folder / output;
      for (const std::string& name : names) CHECK(fs::exists(made / name));
      for (const char* name : {"manifest.json", "pipeline.json", "CMakePresets.json", ".gitignore"})
        CHECK(read_file(made / name) == read_file(folder / ("cpp/" + kind) / name));
      for (const auto& entry : fs::recursive_directory_iterator(made)) {
        if (!entry.is_regular_file()) continue;
        INFO(entry.path());
        for (const char* word : {"my_plugin", "MyPlugin", "my_kind"}) {
          CHECK(entry.path().string().find(word) == std::string::npos);
          CHECK(read_file(entry.path()).find(word) == std::string::npos);
        }
      }
    }
  }
}

TEST_CASE("plugin new: an unknown language, or a kind that has no template in it, names what there is") {
  const TemporaryFolder folder;
  CHECK_THAT(refused({"optimizer", "mine", "--language", "rusty"}, folder),
             ContainsSubstring("--language is \"rusty\"") && ContainsSubstring("c, cpp, rust") &&
                 ContainsSubstring("did you mean \"rust\""));
  for (const char* language : {"c", "rust"}) {
    CHECK_THAT(refused({"space", "mine", "--language", language}, folder),
               ContainsSubstring("KIND is \"space\"") && ContainsSubstring("objective, optimizer") &&
                   ContainsSubstring("docs/other-languages.md"));
  }
  refused({"optimizer", "mine", "--language", "../c"}, folder);
  refused({"optimizer", "mine", "--language", ""}, folder);
}

TEST_CASE("plugin new: the vendor stands before the name where the plugin is looked up, and nowhere else") {
  const TemporaryFolder folder;
  for (const std::string kind : kinds) {
    INFO(kind);
    const Ran ran = run({"plugin", "new", kind, "acme/quick_idea", "--output", kind}, folder.path());
    REQUIRE(ran.code == 0);
    CHECK_THAT(ran.out, ContainsSubstring("the " + kind + " acme/quick_idea, ready to build"));
    const Json manifest = Json::parse(read_file(folder / (kind + "/manifest.json")));
    CHECK(manifest.at("name") == "acme/quick_idea");
    CHECK(manifest.at("library") == "quick_idea.so");
    CHECK_THAT(read_file(folder / (kind + "/quick_idea.cpp")),
               ContainsSubstring("(\"acme/quick_idea\")") && ContainsSubstring("class QuickIdea final"));
    CHECK_THAT(read_file(folder / (kind + "/quick_idea_test.cpp")),
               ContainsSubstring("(\"" + kind + "\", \"acme/quick_idea\")"));
    CHECK_THAT(read_file(folder / (kind + "/CMakeLists.txt")), ContainsSubstring("project(quick_idea "));
    CHECK_THAT(read_file(folder / (kind + "/pipeline.json")), ContainsSubstring("\"name\": \"acme/quick_idea\""));
    CHECK_THAT(read_file(folder / (kind + "/README.md")),
               ContainsSubstring("weft plugin new " + kind + " acme/quick_idea && cd quick_idea") &&
                   ContainsSubstring("build/plugins/" + kind + "/acme/quick_idea"));
  }
}

TEST_CASE("plugin new: a name that cannot be one is refused with the rule") {
  const TemporaryFolder folder;
  for (const char* name :
       {"Mine", "9lives", "my-idea", "../mine", "a b", "", "_mine", "grün", "acme/", "/mine", "acme/b/c"}) {
    INFO(name);
    CHECK_THAT(refused({"optimizer", name}, folder),
               ContainsSubstring("NAME is") && ContainsSubstring("[a-z][a-z0-9_]*$"));
  }
  CHECK_THAT(refused({"optimizer", "mine_test"}, folder), ContainsSubstring("must not end in _test"));
}

TEST_CASE("plugin new: an unknown kind names the kinds there are and the nearest") {
  const TemporaryFolder folder;
  CHECK_THAT(refused({"optimiser", "mine"}, folder),
             ContainsSubstring("KIND is \"optimiser\"") && ContainsSubstring("did you mean \"optimizer\"") &&
                 ContainsSubstring("augmentation, dataset, evaluator, initialisation, loss, objective, operation, "
                                   "optimizer, predictor, schedule, "
                                   "space, stopper, update_rule"));
  refused({"shared", "mine"}, folder);
  refused({"..", "mine"}, folder);
}

TEST_CASE("plugin new: a folder that is not empty, or a file, is left as it is") {
  const TemporaryFolder folder;
  fs::create_directories(folder / "mine");
  write_file(folder / "mine/manifest.json", "precious");
  CHECK_THAT(refused({"optimizer", "mine"}, folder), ContainsSubstring("not empty") && ContainsSubstring("--output"));
  CHECK(read_file(folder / "mine/manifest.json") == "precious");
  write_file(folder / "file", "precious");
  refused({"optimizer", "mine", "--output", "file"}, folder);
  CHECK(read_file(folder / "file") == "precious");
  fs::create_directories(folder / "empty");
  CHECK(run({"plugin", "new", "optimizer", "mine", "--output", "empty"}, folder.path()).code == 0);
}

TEST_CASE("plugin new: where nothing can be written it says so") {
  const TemporaryFolder folder;
  // /proc takes no folders from anybody, not even from root.
  const Ran ran = run({"plugin", "new", "optimizer", "mine", "--output", "/proc/mine"}, folder.path());
  CHECK(ran.code == 1);
  CHECK_THAT(ran.err, ContainsSubstring("/proc/mine") && ContainsSubstring("cannot be created"));
}
