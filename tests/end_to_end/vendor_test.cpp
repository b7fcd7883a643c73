// What a vendor ships and meets: several components in one library, a private library, data files, names with the
// vendor's before them; the plugin is the one of tests/vendor. And where plugins are looked for, how they get there,
// and what is said of them.

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "tests/catch.hpp"
#include "tests/end_to_end/program.hpp"

using namespace weft::testing;
using weft::Json;

namespace {

const fs::path acme = WEFT_TEST_BINARY "/tests/vendor/plugins/space/acme/numbers";
const fs::path random_search = WEFT_TEST_PLUGINS "/optimizer/random_search";

Json acme_pipeline() { return Json::parse(read_file(WEFT_TEST_SOURCE "/tests/vendor/pipeline.json")); }

// Runs with another home, so that what is installed for the user is the test's.
class Home {
 public:
  Home() : before_(std::getenv("HOME") != nullptr ? std::getenv("HOME") : "") {
    setenv("HOME", folder_.path().c_str(), 1);
  }
  ~Home() { setenv("HOME", before_.c_str(), 1); }
  Home(const Home&) = delete;
  Home& operator=(const Home&) = delete;

  fs::path plugins() const { return folder_ / ".local/share/weft/plugins"; }
  fs::path operator/(const std::string& name) const { return folder_ / name; }
  Ran weft(const std::vector<std::string>& arguments) const { return run(arguments, folder_.path()); }

 private:
  TemporaryFolder folder_;
  std::string before_;
};

// random_search under another name and version, as `weft plugin list` shows it.
fs::path copy_as(const std::string& name, const std::string& version, const fs::path& folder) {
  fs::create_directories(folder.parent_path());
  fs::copy(random_search, folder);
  Json manifest = Json::parse(read_file(folder / "manifest.json"));
  manifest["name"] = name;
  manifest["version"] = version;
  write_file(folder / "manifest.json", manifest.dump());
  return folder;
}

std::vector<std::string> names_in(const Ran& listed) {
  std::vector<std::string> names;
  for (const Json& item : Json::parse(listed.out)) names.push_back(item.at("name"));
  return names;
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

TEST_CASE("a vendor's library of several components runs a study: directions known, data found, opaque lists opaque") {
  const TemporaryFolder folder;
  write_file(folder / "pipeline.json", acme_pipeline().dump());
  const std::vector<std::string> with_acme = {"--plugin-path", acme.string()};
  const auto weft = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), with_acme.begin(), with_acme.end());
    return run(arguments, folder.path());
  };
  for (const std::string isolated : {"evaluator", "all"}) {
    INFO("--isolate " << isolated);
    const Ran ran = weft({"run", "pipeline.json", "--quiet", "--study", isolated, "--isolate", isolated});
    INFO(ran.err);
    REQUIRE(ran.code == 0);
    const Json trials = trials_of(folder / isolated, folder.path());
    REQUIRE(trials.size() == 20);
    for (const Json& trial : trials) {
      CHECK(trial.at("state") == "COMPLETE");
      CHECK(trial.at("genotype").at("weft.opaque").size() == 4);
      CHECK(trial.at("notes").at("directions") == Json({"minimize", "maximize"}));
    }
  }
  CHECK(trials_of(folder / "evaluator", folder.path()) == trials_of(folder / "all", folder.path()));
  const Ran resumed = weft({"resume", "evaluator", "--quiet"});
  INFO(resumed.err);
  CHECK(resumed.code == 0);
}

TEST_CASE("plugins are found at any depth and through links that lead in circles, each once") {
  const TemporaryFolder folder;
  copy_as("deep", "1.0.0", folder / "search/a/b/c/d/deep");
  copy_as("linked", "1.0.0", folder / "elsewhere/linked");
  copy_as("hidden", "1.0.0", folder / "search/.incoming/hidden");
  copy_as("data", "1.0.0", folder / "search/a/b/c/d/deep/data");
  fs::create_directory_symlink(folder / "elsewhere", folder / "search/link");
  fs::create_directory_symlink(folder / "search", folder / "search/a/circle");
  fs::create_directory_symlink(folder / "search/a/b", folder / "elsewhere/back");
  const Ran listed = run({"--plugin-path", (folder / "search").string(), "plugin", "list", "--json"}, folder.path());
  CHECK(listed.err == "");
  const std::vector<std::string> names = names_in(listed);
  CHECK(std::count(names.begin(), names.end(), "deep") == 1);
  CHECK(std::count(names.begin(), names.end(), "linked") == 1);
  CHECK_FALSE(contains(names, "hidden"));
  CHECK_FALSE(contains(names, "data"));  // a plugin's own files
}

TEST_CASE(
    "a plugin folder that does not exist is an error where it was asked for, a word where the environment names it") {
  const TemporaryFolder folder;
  const Ran asked = run({"--plugin-path", "nowhere", "plugin", "list"}, folder.path());
  CHECK(asked.code == 2);
  CHECK_THAT(asked.err,
             ContainsSubstring("--plugin-path \"nowhere\": no such folder, seen from " + folder.path().string()));
  setenv("WEFT_PLUGIN_PATH", (folder / "absent").c_str(), 1);
  const Ran listed = run({"plugin", "list"}, folder.path());
  const Ran doctor = run({"doctor"}, folder.path());
  unsetenv("WEFT_PLUGIN_PATH");
  CHECK(listed.code == 0);
  for (const std::string& text : {listed.err, doctor.out})
    CHECK_THAT(text, ContainsSubstring((folder / "absent").string()) && ContainsSubstring("WEFT_PLUGIN_PATH names it"));
}

TEST_CASE("a plugin folder that cannot be read is said to be so") {
  if (geteuid() == 0) return;  // root reads everything
  const TemporaryFolder folder;
  fs::create_directories(folder / "search/closed");
  fs::permissions(folder / "search/closed", fs::perms::none);
  const Ran listed = run({"--plugin-path", (folder / "search").string(), "plugin", "list"}, folder.path());
  fs::permissions(folder / "search/closed", fs::perms::owner_all);
  CHECK(listed.code == 0);
  CHECK_THAT(listed.err, ContainsSubstring("search/closed: Permission denied"));
}

TEST_CASE("a plain name that only a vendor has is suggested with its vendor") {
  const TemporaryFolder folder;
  Json pipeline = acme_pipeline();
  pipeline["optimizer"]["name"] = "climber";
  write_file(folder / "pipeline.json", pipeline.dump());
  const Ran checked = run({"--plugin-path", acme.string(), "check", "pipeline.json"}, folder.path());
  CHECK(checked.code == 2);
  CHECK_THAT(checked.err, ContainsSubstring("no optimizer is called \"climber\"; did you mean \"acme/climber\"?"));
  const Ran shown = run({"--plugin-path", acme.string(), "plugin", "show", "sum"}, folder.path());
  CHECK(shown.code == 2);
  CHECK_THAT(shown.err, ContainsSubstring("did you mean \"acme/sum\"?"));
}

TEST_CASE("list shows versions and where plugins come from, show the license and what must be given") {
  const TemporaryFolder folder;
  copy_as("random_search", "7.8.9", folder / "mine/random_search");
  const Ran listed = run(
      {"--plugin-path", (folder / "mine").string(), "--plugin-path", acme.string(), "plugin", "list"}, folder.path());
  CHECK_THAT(listed.out,
             ContainsSubstring("7.8.9") && ContainsSubstring("[" + (folder / "mine").string() + "]") &&
                 ContainsSubstring("shadowed by " + (folder / "mine/random_search/manifest.json").string()) &&
                 ContainsSubstring("acme/climber"));
  const Ran shown = run({"--plugin-path", acme.string(), "plugin", "show", "acme/climber"}, folder.path());
  CHECK_THAT(shown.out,
             ContainsSubstring("optimizer acme/climber 1.0.0") && ContainsSubstring("license:  LicenseRef-Acme"));

  // With its kind before it, as the documentation names plugins; of its parameters one must be given, others need not.
  const Ran table = run({"plugin", "show", "evaluator/table"}, folder.path());
  CHECK(table.code == 0);
  const Json manifest = Json::parse(read_file(WEFT_TEST_PLUGINS "/evaluator/table/manifest.json"));
  const Json& parameters = manifest.at("parameters");
  for (const auto& [name, schema] : parameters.at("properties").items()) {
    const Json required = parameters.value("required", Json::array());
    const bool must = std::find(required.begin(), required.end(), name) != required.end();
    const std::size_t at = table.out.find("\n    " + name + " ");
    REQUIRE(at != std::string::npos);
    const std::string line = table.out.substr(at + 1, table.out.find('\n', at + 1) - at);
    INFO(line);
    CHECK((line.find("(required)") != std::string::npos) == (must && !schema.contains("default")));
    CHECK((line.find("(optional)") != std::string::npos) == (!must && !schema.contains("default")));
  }
}

TEST_CASE("install puts a plugin in its place whole, and in place of an older version") {
  const Home home;
  const Ran installed = home.weft({"plugin", "install", acme.string()});
  INFO(installed.err);
  REQUIRE(installed.code == 0);
  const fs::path place = home.plugins() / "space/acme/numbers";
  CHECK_THAT(installed.out, ContainsSubstring("space acme/numbers 1.0.0 is installed in " + place.string()) &&
                                ContainsSubstring("optimizer acme/climber 1.0.0"));
  CHECK(fs::exists(place / "data/length.txt"));
  CHECK(fs::exists(place / "libacme_digits.so.1"));
  const Ran validated = home.weft({"plugin", "validate", place.string(), "--static"});
  CHECK(validated.code == 0);
  CHECK_THAT(validated.out, ContainsSubstring("valid, as far as it was tried: the contract suite was not"));

  const fs::path newer = copy_as("random_search", "2.0.0", home / "newer");
  const fs::path older = copy_as("random_search", "1.0.0", home / "older");
  write_file(older / "left_over.txt", "of 1.0.0");
  CHECK(home.weft({"plugin", "install", older.string()}).code == 0);
  const Ran replaced = home.weft({"plugin", "install", newer.string()});
  CHECK_THAT(replaced.out,
             ContainsSubstring("optimizer random_search 2.0.0 is installed") && ContainsSubstring("in place of 1.0.0"));
  CHECK_FALSE(fs::exists(home.plugins() / "optimizer/random_search/left_over.txt"));
  // Nothing else is left where plugins are looked for.
  for (const auto& entry : fs::directory_iterator(home.plugins())) CHECK(entry.path().filename().string()[0] != '.');
}

TEST_CASE("install says what it shadows, and where it is found otherwise") {
  const Home home;
  const fs::path mine = copy_as("random_search", "9.0.0", home / "mine");
  const Ran shadowing = home.weft({"plugin", "install", mine.string()});
  CHECK_THAT(shadowing.out, ContainsSubstring("it shadows " + (random_search / "manifest.json").string()));
  const Ran elsewhere = home.weft({"plugin", "install", mine.string(), "--to", "there"});
  CHECK_THAT(elsewhere.out, ContainsSubstring("weft finds it with --plugin-path '" + (home / "there").string() + "'"));
  CHECK(home.weft({"--plugin-path", "there", "plugin", "show", "random_search"}).out.find("9.0.0") !=
        std::string::npos);
}

TEST_CASE("install refuses what validate refuses, and leaves everything as it was") {
  const Home home;
  const fs::path sound = copy_as("random_search", "1.0.0", home / "sound");
  REQUIRE(home.weft({"plugin", "install", sound.string()}).code == 0);
  const auto refused = [&](const std::string& package, const std::string& why) {
    const Ran ran = home.weft({"plugin", "install", package});
    INFO(ran.err);
    CHECK(ran.code != 0);
    CHECK_THAT(ran.err, ContainsSubstring(why));
    CHECK(ran.err.find(".incoming") == std::string::npos);  // it speaks of what it was given
    CHECK(Json::parse(read_file(home.plugins() / "optimizer/random_search/manifest.json")).at("version") == "1.0.0");
    CHECK(std::distance(fs::directory_iterator(home.plugins()), fs::directory_iterator()) == 1);
  };
  const fs::path damaged = copy_as("random_search", "2.0.0", home / "damaged");
  fs::permissions(damaged / "random_search.so", fs::perms::owner_write, fs::perm_options::add);
  fs::resize_file(damaged / "random_search.so", 100);
  refused(damaged.string(), "E024 " + damaged.string());
  fs::create_directories(home / "empty");
  refused((home / "empty").string(), "has no manifest.json");
  refused("nowhere", "no such folder or file, seen from");
  write_file(home / "text.tar.gz", "no archive");
  refused("text.tar.gz", "tar failed");

  // A folder of other things in its place is not taken away.
  fs::create_directories(home / "occupied/optimizer/random_search");
  write_file(home / "occupied/optimizer/random_search/precious.txt", "precious");
  const Ran occupied = home.weft({"plugin", "install", sound.string(), "--to", "occupied"});
  CHECK(occupied.code == 1);
  CHECK_THAT(occupied.err, ContainsSubstring("is no plugin; remove it"));
  CHECK(read_file(home / "occupied/optimizer/random_search/precious.txt") == "precious");
}

TEST_CASE("what was installed is removed by its name, whole") {
  const Home home;
  const auto removed = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"plugin", "remove"});
    return home.weft(arguments);
  };
  CHECK_THAT(removed({"random_search"}).err, ContainsSubstring("no random_search is there; no plugin is"));
  REQUIRE(home.weft({"plugin", "install", acme.string()}).code == 0);
  CHECK_THAT(removed({"random_search"}).err,
             ContainsSubstring(
                 "no random_search is there; there are acme/climber, acme/keep, acme/loss, acme/numbers, acme/sum"));
  const fs::path one = copy_as("random_search", "1.0.0", home / "one");
  REQUIRE(home.weft({"plugin", "install", one.string()}).code == 0);
  CHECK_THAT(removed({"random_search", "--kind", "space"}).err, ContainsSubstring("no space random_search is there"));
  const Ran both = removed({"acme/climber"});
  INFO(both.err);
  CHECK(both.code == 0);
  CHECK_THAT(both.out, ContainsSubstring((home.plugins() / "space/acme/numbers").string() + ": removed, with its "));
  CHECK_FALSE(fs::exists(home.plugins() / "space/acme/numbers"));
  CHECK(removed({"random_search", "--kind", "optimizer"}).code == 0);
  CHECK_FALSE(fs::exists(home.plugins() / "optimizer/random_search"));
  copy_as("mine", "1.0.0", home / "several/mine");
  copy_as("mine", "2.0.0", home / "several/again");
  CHECK_THAT(removed({"mine", "--from", "several"}).err, ContainsSubstring("remove the folder that is meant yourself"));
  fs::create_directories(home / "linked");
  fs::create_directory_symlink(home / "several/mine", home / "linked/mine");
  CHECK_THAT(removed({"mine", "--from", "linked"}).err, ContainsSubstring("is reached by a link"));
  CHECK(fs::exists(home / "several/mine/manifest.json"));
  fs::create_directories(home / "broken/mine");
  write_file(home / "broken/mine/manifest.json", "{");
  CHECK_THAT(removed({"mine", "--from", "broken"}).err, ContainsSubstring("remove its folder"));
  CHECK_THAT(removed({"mine", "--from", "several/mine"}).err, ContainsSubstring("is the plugin's folder itself"));
}

TEST_CASE("a package is installed as the folder it was made of, and links that lead out of it are not") {
  const Home home;
  const Ran packed = home.weft({"plugin", "pack", acme.string()});
  INFO(packed.err);
  REQUIRE(packed.code == 0);
  CHECK_THAT(packed.out, ContainsSubstring("acme-numbers-1.0.0.tar.gz"));
  REQUIRE(home.weft({"plugin", "install", "acme-numbers-1.0.0.tar.gz"}).code == 0);
  for (const auto& entry : fs::recursive_directory_iterator(acme)) {
    if (!entry.is_regular_file()) continue;
    INFO(entry.path());
    CHECK(read_file(entry.path()) ==
          read_file(home.plugins() / "space/acme/numbers" / fs::relative(entry.path(), acme)));
  }
  copy_as("mine", "1.0.0", home / "made/mine");
  fs::create_symlink("/etc/passwd", home / "made/mine/link");
  REQUIRE(boost::process::system("/bin/tar -C " + (home / "made").string() + " -czf " + (home / "bad.tar.gz").string() +
                                 " mine") == 0);
  const Ran refused = home.weft({"plugin", "install", "bad.tar.gz"});
  CHECK(refused.code == 1);
  CHECK_THAT(refused.err, ContainsSubstring("a package holds files and folders alone"));
}

TEST_CASE("a folder whose links lead out of it is neither installed nor packed") {
  const Home home;
  copy_as("random_search", "1.0.0", home / "mine");
  fs::create_symlink("random_search.so", home / "mine/within.so");
  REQUIRE(home.weft({"plugin", "install", (home / "mine").string()}).code == 0);
  write_file(home / "secret.txt", "secret");
  fs::create_symlink(home / "secret.txt", home / "mine/link");
  for (const char* command : {"install", "pack"}) {
    const Ran refused = home.weft({"plugin", command, (home / "mine").string()});
    CHECK(refused.code == 1);
    check_says(refused.err,
               {"mine/link: is a link that leads out of the folder, to " + (home / "secret.txt").string()});
  }
}

TEST_CASE("a study is not resumed with other data files unnoticed") {
  const TemporaryFolder plugins, folder;
  fs::copy(acme, plugins / "numbers", fs::copy_options::recursive);
  write_file(folder / "pipeline.json", acme_pipeline().dump());
  const auto weft = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--plugin-path", plugins.path().string()});
    return run(arguments, folder.path());
  };
  REQUIRE(weft({"run", "pipeline.json", "--quiet", "--study", "study"}).code == 0);
  fs::permissions(plugins / "numbers/data", fs::perms::owner_all);
  fs::permissions(plugins / "numbers/data/length.txt", fs::perms::owner_all);
  write_file(plugins / "numbers/data/length.txt", read_file(plugins / "numbers/data/length.txt") + "\n");
  const Ran refused = weft({"resume", "study"});
  CHECK(refused.code == 2);
  check_says(refused.err, {"space acme/numbers was", "data files", "--accept-changes"});
  CHECK(weft({"resume", "study", "--accept-changes", "--quiet"}).code == 0);
  CHECK(weft({"resume", "study", "--quiet"}).code == 0);
}

TEST_CASE("a study is not resumed with another version of what its candidates alone name") {
  const TemporaryFolder plugins, folder;
  fs::copy(fs::path(WEFT_TEST_BINARY) / "lib/weft/plugins/schedule/constant", plugins / "constant",
           fs::copy_options::recursive);
  Json pipeline = pipeline_of_fixed("identity", Json::object());
  pipeline["space"]["args"]["recipe"] = {{"schedule", "constant"}};
  write_file(folder / "pipeline.json", pipeline.dump());
  const auto weft = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--plugin-path", plugins.path().string()});
    return run(arguments, folder.path());
  };
  const Ran ran = weft({"run", "pipeline.json", "--quiet", "--study", "study"});
  INFO(ran.err);
  REQUIRE(ran.code == 0);
  const fs::path file = plugins / "constant/manifest.json";
  Json manifest = Json::parse(read_file(file));
  manifest["version"] = "9.9.9";
  fs::permissions(file, fs::perms::owner_all);
  write_file(file, manifest.dump());
  const Ran refused = weft({"resume", "study"});
  CHECK(refused.code == 2);
  check_says(refused.err, {"schedule constant was", "9.9.9", "--accept-changes"});
}

TEST_CASE("a manifest whose defaults break its own rules is refused") {
  const TemporaryFolder folder;
  const fs::path plugin = copy_as("mine", "1.0.0", folder / "mine");
  const Json sound = Json::parse(read_file(plugin / "manifest.json"));
  const auto refused_with = [&](const char* pointer, const Json& value) {
    Json manifest = sound;
    manifest[Json::json_pointer(pointer)] = value;
    write_file(plugin / "manifest.json", manifest.dump());
    const Ran ran = run({"plugin", "validate", plugin.string(), "--static"}, folder.path());
    CHECK(ran.code == 1);
    return ran.out;
  };
  check_says(refused_with("/parameters/properties", {{"x", {{"type", "integer"}, {"default", "many"}}}}),
             {"/parameters/properties/x/default is \"many\"; must be an integer"});
}

TEST_CASE("validate takes the vendor's own pipeline: its space, arguments and budget") {
  const TemporaryFolder folder;
  write_file(folder / "pipeline.json", acme_pipeline().dump());
  // All components of the folder, each tried as the pipeline uses it: the optimizer knows no space but its vendor's.
  const Ran ran = run({"plugin", "validate", acme.string(), "--pipeline", "pipeline.json"}, folder.path());
  INFO(ran.out << ran.err);
  CHECK(ran.code == 0);
  for (const char* name :
       {"manifest.json", "optimizer.manifest.json", "evaluator.manifest.json", "objective.manifest.json"})
    CHECK_THAT(ran.out, ContainsSubstring((acme / name).string()));
  CHECK(ran.out.find("BROKEN") == std::string::npos);
  CHECK(ran.out.find("skipped") == std::string::npos);

  const Ran without = run({"plugin", "validate", (acme / "optimizer.manifest.json").string()}, folder.path());
  INFO(without.out);
  CHECK(without.code == 1);
  // One line, which says what was done and what came of it, and names no file of ours.
  CHECK_THAT(without.out, ContainsSubstring("it failed: not 4 opaque digits: ["));
  CHECK(without.out.find(".hpp") == std::string::npos);

  // A pipeline that uses one of them leaves the others out; one that uses none is of no use.
  Json one = table_pipeline(write_table(folder / "table.csv"), 10);
  one["optimizer"] = {{"name", "acme/climber"}};
  write_file(folder / "one.json", one.dump());
  const Ran used = run({"plugin", "validate", acme.string(), "--pipeline", "one.json", "--json"}, folder.path());
  for (const Json& verdict : Json::parse(used.out)) {
    if (verdict.at("rule") != "8") continue;
    const bool climbs = verdict.at("manifest") == (acme / "optimizer.manifest.json").string();
    CHECK((verdict.at("why") == "the pipeline does not use it") == !climbs);
  }
  write_file(folder / "other.json", table_pipeline(write_table(folder / "table.csv"), 10).dump());
  const Ran unused = run({"plugin", "validate", acme.string(), "--pipeline", "other.json"}, folder.path());
  CHECK(unused.code == 2);
  CHECK_THAT(unused.err, ContainsSubstring("other.json: does not use " + acme.string()));
}

namespace {

// A folder with a library of tests/broken and its manifest.
fs::path broken_plugin(const std::string& fault, const fs::path& folder, const Json& patch = Json::object()) {
  fs::create_directories(folder);
  fs::copy_file(fs::path(WEFT_TEST_BINARY) / "tests/broken" / (fault + ".so"), folder / "p.so");
  Json manifest = broken_manifest("optimizer");
  manifest.merge_patch(patch);
  write_file(folder / "manifest.json", manifest.dump());
  return folder;
}

}  // namespace

TEST_CASE("validate names what a library exports besides the descriptor, and goes on") {
  const TemporaryFolder folder;
  const fs::path plugin = broken_plugin("exports_more", folder / "plugin");
  const Ran ran = run({"plugin", "validate", plugin.string()}, folder.path());
  INFO(ran.out);
  CHECK(ran.code == 1);
  CHECK_THAT(ran.out, ContainsSubstring("BROKEN       rule 3: it exports nothing else") &&
                          ContainsSubstring("expected weft_plugin alone") &&
                          ContainsSubstring("acme::of_no_concern_to_others(int)") &&
                          ContainsSubstring("ok           rule 8"));
  CHECK_THAT(
      run({"plugin", "validate", broken_plugin("none", folder / "none").string(), "--static"}, folder.path()).out,
      ContainsSubstring("ok           rule 3: it exports nothing else"));
}

TEST_CASE("validate says where no SHA-256 is stated, and is silent where one is") {
  const TemporaryFolder folder;
  const auto verdict = [&](const fs::path& plugin) {
    const Ran ran = run({"plugin", "validate", plugin.string(), "--static", "--json"}, folder.path());
    CHECK(ran.code == 0);
    for (const Json& one : Json::parse(ran.out)) {
      if (one.at("check") == "its SHA-256 is the manifest's") return one;
    }
    return Json();
  };
  const Json without = verdict(broken_plugin("none", folder / "none"));
  CHECK(without.at("verdict") == "skipped");
  CHECK_THAT(without.at("why").get<std::string>(), ContainsSubstring("no SHA-256 stated"));
  CHECK(verdict(random_search).at("verdict") == "ok");
}

TEST_CASE("validate refuses kinds that do not exist yet and says which do") {
  const TemporaryFolder folder;
  for (const char* kind : {"aggregator", "exporter", "optimiser"}) {
    const fs::path plugin = broken_plugin("none", folder / kind, {{"kind", kind}});
    const Ran ran = run({"plugin", "validate", plugin.string()}, folder.path());
    INFO(ran.out);
    CHECK(ran.code == 1);
    CHECK_THAT(ran.out, ContainsSubstring("E011") &&
                            ContainsSubstring("/kind is \"" + std::string(kind) + "\"; must be one of") &&
                            ContainsSubstring("\"evaluator\""));
  }
}

TEST_CASE("a finding of the contract suite is one line with what was expected and what came") {
  const TemporaryFolder folder;
  const fs::path plugin = broken_plugin("ask_proposes_nothing", folder / "plugin");
  const Ran ran = run({"plugin", "validate", plugin.string(), "--json"}, folder.path());
  CHECK(ran.code == 1);
  const std::string why = Json::parse(ran.out).back().at("why");
  INFO(why);
  CHECK_THAT(why, ContainsSubstring("ask(1) proposes nothing") && ContainsSubstring("expected finished, got false"));
  CHECK(std::count(why.begin(), why.end(), '\n') == 0);
  CHECK(why.find(".hpp") == std::string::npos);
}

TEST_CASE("validate asks for arguments that must be given, and checks those that are") {
  const TemporaryFolder folder;
  const Json parameters = {
      {"type", "object"}, {"properties", {{"depth", {{"type", "integer"}, {"minimum", 1}}}}}, {"required", {"depth"}}};
  const std::string plugin = broken_plugin("none", folder / "plugin", {{"parameters", parameters}});
  const Ran without = run({"plugin", "validate", plugin}, folder.path());
  CHECK(without.code == 0);
  CHECK_THAT(without.out, ContainsSubstring("the parameter depth must be given: by --args"));
  CHECK(run({"plugin", "validate", plugin, "--args", "{\"depth\": 2}"}, folder.path()).code == 0);
  for (const char* bad : {"{\"depth\": 0}", "{\"depth\"", "[]"}) {
    const Ran refused = run({"plugin", "validate", plugin, "--args", bad}, folder.path());
    INFO(refused.err);
    CHECK(refused.code == 2);
    CHECK_THAT(refused.err, ContainsSubstring("--args: "));
  }
}
