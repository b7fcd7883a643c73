// Broken and hostile plugins: each costs a clear refusal with its code, never the host; docs/plugin-contract.md names
// the rule behind each code.

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <utility>

#include "tests/catch.hpp"
#include "tests/end_to_end/program.hpp"

using namespace weft::testing;
using weft::Json;

namespace {

// A plugin folder with one library of tests/broken, the small pipeline that uses it, and what becomes of both.
class Installed {
 public:
  explicit Installed(const std::string& fault, const std::string& kind = "optimizer") {
    umask(022);
    fs::create_directories(folder());
    fs::permissions(folder(), fs::perms::owner_all);
    fs::copy_file(fs::path(WEFT_TEST_BINARY) / "tests" / "broken" / (fault + ".so"), library());
    fs::permissions(library(), fs::perms::owner_all);
    manifest = broken_manifest(kind);
    pipeline = table_pipeline(write_table(temporary_ / "table.csv"), 12);
    pipeline[kind] = {{"name", "broken"}};
    if (kind == "evaluator") pipeline["executor"] = {{"name", "local"}, {"slots", {"cpu:1"}}};
  }

  fs::path folder() const { return temporary_ / "plugins"; }
  fs::path library() const { return folder() / "p.so"; }
  fs::path study() const { return temporary_ / "study"; }
  const fs::path& root() const { return temporary_.path(); }

  Ran weft(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {"--plugin-path", folder().string()});
    return run(arguments, root());
  }
  Ran weft_run(const std::vector<std::string>& more = {}) const {
    if (!manifest.is_null()) write_file(folder() / "manifest.json", manifest.dump());
    write_file(root() / "pipeline.json", pipeline.dump());
    std::vector<std::string> arguments = {"run", "pipeline.json", "--study", "study", "--quiet"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return weft(arguments);
  }

  Json manifest, pipeline;

 private:
  TemporaryFolder temporary_;
};

// While it lives, a sanitizer lets the programs that are run die of their signals, as they do without one.
class PlainSignals {
 public:
  PlainSignals() {
    for (Saved& saved : saved_) {
      const char* value = getenv(saved.name);
      saved.value = value == nullptr ? "" : value;
      setenv(saved.name, (saved.value + ":handle_segv=0").c_str(), 1);
    }
  }
  ~PlainSignals() {
    for (const Saved& saved : saved_) setenv(saved.name, saved.value.c_str(), 1);
  }
  PlainSignals(const PlainSignals&) = delete;
  PlainSignals& operator=(const PlainSignals&) = delete;

 private:
  struct Saved {
    const char* name;
    std::string value = {};
  };
  Saved saved_[2] = {{"ASAN_OPTIONS"}, {"TSAN_OPTIONS"}};
};

// Refused before anything is written; `weft plugin validate` says the same.
void check_refused(const Installed& installed, const std::vector<std::string>& parts) {
  const Ran ran = installed.weft_run();
  INFO(ran.err);
  CHECK((ran.code == 1 || ran.code == 2));
  check_says(ran.err, parts);
  CHECK_FALSE(fs::exists(installed.study()));
  const Ran validated = installed.weft({"plugin", "validate", installed.folder().string(), "--static"});
  CHECK(validated.code == 1);
  check_says(validated.out, {"BROKEN", parts.front()});
}

// Ends the study with an error; what was recorded stays, and another plugin of the name may go on with it.
void check_stops(const Installed& installed, const std::vector<std::string>& parts,
                 const std::vector<std::string>& more = {}) {
  const Ran ran = installed.weft_run(more);
  INFO(ran.err);
  CHECK(ran.code == 1);
  check_says(ran.err, parts);
  REQUIRE(fs::exists(installed.study() / "study.db"));
  fs::remove(installed.library());
  fs::copy_file(fs::path(WEFT_TEST_BINARY) / "tests" / "broken" / "none.so", installed.library());
  const Ran refused = installed.weft({"resume", "study"});
  CHECK(refused.code == 2);
  check_says(refused.err, {"optimizer broken was", "--accept-changes"});
  const Ran resumed = installed.weft({"resume", "study", "--quiet", "--accept-changes"});
  INFO(resumed.err);
  CHECK(resumed.code == 0);
  CHECK(trials_of(installed.study(), installed.root()).size() == 12);
}

void patch(const fs::path& file, std::size_t offset, char byte) {
  std::string bytes = read_file(file);
  bytes[offset] = byte;
  write_file(file, bytes);
}

}  // namespace

TEST_CASE("the plugin of these tests works when it has no fault") {
  const Installed sound("none");
  const Ran ran = sound.weft_run();
  INFO(ran.err);
  CHECK(ran.code == 0);
  const Ran validated = sound.weft({"plugin", "validate", sound.folder().string()});
  INFO(validated.out);
  CHECK(validated.code == 0);
  CHECK(validated.out.ends_with("\nvalid\n"));
}

TEST_CASE("a library whose file is wrong is refused before it is opened") {
  Installed installed("none");
  SECTION("truncated") {
    fs::resize_file(installed.library(), fs::file_size(installed.library()) / 2);
    check_refused(installed, {"E031", "p.so", "Remedy"});
  }
  SECTION("header alone") {
    fs::resize_file(installed.library(), 64);
    check_refused(installed, {"E031", "p.so"});
  }
  SECTION("text") {
    write_file(installed.library(), "not a library at all\n");
    check_refused(installed, {"E030", "no ELF file"});
  }
  SECTION("empty") {
    write_file(installed.library(), "");
    check_refused(installed, {"E030"});
  }
  SECTION("empty, of a plugin whose parameters stand in another file") {
    installed.manifest["parameters"] = {{"$ref", "recipe.json"}, {"type", "object"}};
    write_file(installed.folder() / "recipe.json", R"({"properties": {}})");
    write_file(installed.library(), "");
    check_refused(installed, {"E030"});
  }
  SECTION("wrong machine") {
    patch(installed.library(), 18, '\x28');  // e_machine: ARM
    patch(installed.library(), 19, '\0');
    check_refused(installed, {"E032", "machine 40"});
  }
  SECTION("32 bits") {
    patch(installed.library(), 4, '\1');  // EI_CLASS
    check_refused(installed, {"E032", "64-bit"});
  }
  SECTION("no shared library") {
    patch(installed.library(), 16, '\1');  // e_type: relocatable
    check_refused(installed, {"E030", "another type"});
  }
  SECTION("absent") {
    fs::remove(installed.library());
    check_refused(installed, {"E021", "build the plugin"});
  }
  SECTION("a folder") {
    fs::remove(installed.library());
    fs::create_directory(installed.library());
    check_refused(installed, {"E021", "no regular file"});
  }
  SECTION("hash") {
    installed.manifest["sha256"] = std::string(64, 'a');
    check_refused(installed, {"E024", std::string(64, 'a'), "reinstall or rebuild"});
  }
  SECTION("absolute path") {
    installed.manifest["library"] = installed.library().string();
    check_refused(installed, {"E020", "absolute"});
  }
  SECTION("path upwards") {
    installed.manifest["library"] = "../plugins/p.so";
    check_refused(installed, {"E020", ".."});
  }
  SECTION("symbolic link to outside") {
    fs::rename(installed.library(), installed.root() / "elsewhere.so");
    fs::create_symlink(installed.root() / "elsewhere.so", installed.library());
    check_refused(installed, {"E020", "elsewhere.so"});
  }
  SECTION("library writable by everybody") {
    fs::permissions(installed.library(), fs::perms::others_write, fs::perm_options::add);
    check_refused(installed, {"E023", "p.so", "chmod o-w"});
  }
  SECTION("library writable by its group, even one's own") {
    fs::permissions(installed.library(), fs::perms::group_write, fs::perm_options::add);
    check_refused(installed, {"E023", "p.so", "chmod g-w"});
  }
  SECTION("folder writable by its group") {
    fs::permissions(installed.folder(), fs::perms::group_write, fs::perm_options::add);
    check_refused(installed, {"E023", "plugins", "chmod g-w"});
  }
  SECTION("folder writable by everybody") {
    fs::permissions(installed.folder(), fs::perms::others_write, fs::perm_options::add);
    check_refused(installed, {"E023", "plugins", "chmod o-w"});
  }
  SECTION("foreign owner") {
    if (geteuid() != 0) return;  // nobody else can give a file away
    REQUIRE(chown(installed.library().c_str(), 12345, 12345) == 0);
    check_refused(installed, {"E022", "user 12345", "chown"});
  }
}

TEST_CASE("a library inside a link that stays in the folder is accepted") {
  const Installed installed("none");
  fs::rename(installed.library(), installed.folder() / "p.so.1");
  fs::create_symlink("p.so.1", installed.library());
  CHECK(installed.weft_run().code == 0);
}

TEST_CASE("a manifest that refers to what is no schema is refused with its code") {
  Installed installed("none");
  installed.manifest["parameters"] = {{"$ref", "recipe.json"}, {"type", "object"}};
  std::string why = "recipe.json";
  SECTION("nothing") {}
  SECTION("a list") {
    write_file(installed.folder() / "recipe.json", "[]");
    why = "must be a JSON Schema";
  }
  SECTION("a pipe") {
    REQUIRE(mkfifo((installed.folder() / "recipe.json").c_str(), 0600) == 0);
    why = "is no regular file";
  }
  CHECK(installed.weft_run().code == 2);
  check_says(installed.weft({"plugin", "validate", installed.folder().string()}).out, {"E011", "recipe.json", why});
}

TEST_CASE("a manifest that is wrong is refused with its code") {
  Installed installed("none");
  SECTION("no JSON") {
    write_file(installed.folder() / "manifest.json", "{\"manifest\": 1,");
    installed.manifest = nullptr;
    const Ran validated = installed.weft({"plugin", "validate", installed.folder().string()});
    CHECK(validated.code == 1);
    check_says(validated.out, {"E010", "manifest.json"});
    CHECK(installed.weft_run().code == 2);
  }
  SECTION("against the schema") {
    installed.manifest.erase("kind");
    installed.manifest["surprise"] = 1;
    CHECK(installed.weft_run().code == 2);
    check_says(installed.weft({"plugin", "validate", installed.folder().string()}).out, {"E011", "/kind", "surprise"});
  }
  SECTION("major version") {
    installed.manifest["abi"] = "2.0";
    CHECK(installed.weft_run().code == 2);
    check_says(installed.weft({"plugin", "validate", installed.folder().string()}).out, {"E012", "2.0"});
  }
}

TEST_CASE("a library that says something else than its manifest is refused before it is opened") {
  SECTION("no stamp") { check_refused(Installed("no_stamp"), {"E033", "WEFT_PLUGIN"}); }
  SECTION("stamp of another version") {
    Installed installed("none");
    installed.manifest["abi"] = "1.3";
    check_refused(installed, {"E034", "abi=1.0", "1.3"});
  }
  SECTION("torch tag in the stable tier") { check_refused(Installed("torch_tag"), {"E034", "libtorch-0.4", "stable"}); }
  SECTION("stable library in the torch tier") {
    Installed installed("none");
    installed.manifest["tier"] = "torch";
    check_refused(installed, {"E034", "no torch tag"});
  }
  SECTION("tag of another LibTorch") {
    Installed installed("torch_tag");
    installed.manifest["tier"] = "torch";
    check_refused(installed, {"E037", "libtorch-0.4", "rebuild"});
  }
  SECTION("needs another LibTorch") {
    Installed installed("torch_needed");
    installed.manifest["tier"] = "torch";
    check_refused(installed, {"E037", "libtorch_cpu.so.9", "libtorch_cpu.so"});
  }
  SECTION("needs LibTorch in the stable tier") {
    check_refused(Installed("needs_torch"), {"E036", "libtorch_cpu.so.9", "stable"});
  }
  SECTION("hidden descriptor") { check_refused(Installed("hidden_descriptor"), {"E035", "weft_plugin"}); }
}

TEST_CASE("a library that fails when it is opened fails in a child process") {
  SECTION("undefined symbol") { check_refused(Installed("undefined_symbol"), {"E040", "nobody_defines_this"}); }
  SECTION("throws") { check_refused(Installed("init_throws"), {"E050", "thrown while loading"}); }
  SECTION("aborts") { check_refused(Installed("init_aborts"), {"E050", "signal 6"}); }
  SECTION("traps") { check_refused(Installed("init_traps"), {"E050", "signal 4"}); }
  SECTION("exits as if all were well") { check_refused(Installed("init_exits"), {"E050", "exited with code 0"}); }
  SECTION("hangs") {
    setenv("WEFT_PROBE_SECONDS", "0.5", 1);
    check_refused(Installed("init_hangs"), {"E051", "0.5 s"});
    unsetenv("WEFT_PROBE_SECONDS");
  }
}

TEST_CASE("a process that is killed while it tries a library says nothing of the library") {
  const TemporaryFolder cache;
  setenv("XDG_CACHE_HOME", cache.path().c_str(), 1);
  const Installed killed("init_killed_once");
  setenv("WEFT_TEST_MARK", (killed.root() / "mark").c_str(), 1);
  const Ran first = killed.weft_run();
  INFO(first.err);
  CHECK(first.code == 1);
  check_says(first.err, {"E052", "p.so", "signal 9", "try again"});
  CHECK(killed.weft_run().code == 0);
  unsetenv("WEFT_TEST_MARK");
  unsetenv("XDG_CACHE_HOME");
}

TEST_CASE("folders of one's own that cannot be used cost the kept verdicts, not the study") {
  const Installed sound("none");
  fs::create_symlink("loop", sound.root() / "loop");  // whatever is asked of it fails, also for root
  const std::string home = getenv("HOME") != nullptr ? getenv("HOME") : "/";
  setenv("HOME", (sound.root() / "loop").c_str(), 1);
  setenv("XDG_CACHE_HOME", (sound.root() / "loop").c_str(), 1);
  const Ran ran = sound.weft_run();
  const Ran doctor = sound.weft({"doctor"});
  setenv("HOME", home.c_str(), 1);
  unsetenv("XDG_CACHE_HOME");
  INFO(ran.err);
  CHECK(ran.code == 0);
  check_says(doctor.out, {"(absent)"});
}

TEST_CASE("the verdict on a library is kept") {
  const TemporaryFolder cache;
  setenv("XDG_CACHE_HOME", cache.path().c_str(), 1);
  const Installed bad("init_exits");
  CHECK(bad.weft_run().code == 1);
  std::vector<fs::path> refusals;
  for (const auto& entry : fs::directory_iterator(cache / "weft/probes")) {
    if (read_file(entry.path()).find("refused") != std::string::npos) refusals.push_back(entry.path());
  }
  REQUIRE(refusals.size() == 1);
  // What is kept is believed: this is how one sees that the library is not tried again.
  write_file(refusals.front(), R"({"verdict": "refused", "code": 50, "text": "E050 as it was kept"})");
  check_says(bad.weft_run().err, {"E050 as it was kept"});
  write_file(refusals.front(), "damaged");
  check_says(bad.weft_run().err, {"E050", "exited with code 0"});
  unsetenv("XDG_CACHE_HOME");
}

TEST_CASE("a descriptor that breaks a rule is refused") {
  SECTION("magic") { check_refused(Installed("wrong_magic"), {"E041", "magic"}); }
  SECTION("size") { check_refused(Installed("tiny_descriptor"), {"E041", "16 bytes"}); }
  SECTION("major version 2") { check_refused(Installed("major_2"), {"E042", "ABI 2.0"}); }
  SECTION("absurd count") { check_refused(Installed("absurd_count"), {"E043", "component table"}); }
  SECTION("absurd stride") { check_refused(Installed("absurd_stride"), {"E043", "of 8 bytes"}); }
  SECTION("huge stride") { check_refused(Installed("huge_stride"), {"E043", "component table"}); }
  SECTION("no table") { check_refused(Installed("null_components"), {"E043", "component table"}); }
  SECTION("null required member") { check_refused(Installed("null_create"), {"E044", "required function"}); }
  SECTION("component absent") {
    Installed installed("none");
    installed.manifest["name"] = "another";
    installed.pipeline["optimizer"] = {{"name", "another"}};
    check_refused(installed, {"E045", "another"});
  }
}

TEST_CASE("a newer minor version with an unknown tail works") {
  Installed newer("minor_newer");
  newer.manifest["abi"] = "1.9";
  const Ran ran = newer.weft_run();
  INFO(ran.err);
  CHECK(ran.code == 0);
}

TEST_CASE("an optimizer that cannot be created is refused, and nothing is written") {
  const std::pair<const char*, std::vector<std::string>> faults[] = {
      {"create_throws", {"E060", "optimizer broken", "create", "thrown by create", "rule 4"}},
      {"create_throws_int", {"E060", "create", "rule 4"}},
      {"create_refuses", {"/optimizer", "refused in so many words"}},
      {"create_huge_error", {"E060", "create", "64 MiB"}},
      {"create_no_instance", {"E060", "without an instance"}}};
  for (const auto& [fault, parts] : faults) {
    const Installed installed(fault);
    const Ran ran = installed.weft_run();
    INFO(fault << ": " << ran.err);
    CHECK((ran.code == 1 || ran.code == 2));
    check_says(ran.err, parts);
    CHECK_FALSE(fs::exists(installed.study()));
  }
}

TEST_CASE("a plugin that asks for a part that is waiting for it is refused with the names of all that wait") {
  Installed installed("asks_for_itself", "space");
  installed.pipeline["optimizer"] = {{"name", "random_search"}};
  SECTION("itself") {
    const Ran ran = installed.weft_run();
    CHECK(ran.code == 1);
    check_says(ran.err, {"E060", "space broken asks for space broken while that is being created"});
  }
  SECTION("through another") {
    const Installed other("asks_in_a_circle", "dataset");
    write_file(other.folder() / "manifest.json", other.manifest.dump());
    installed.pipeline["dataset"] = {{"name", "broken"}};
    fs::remove(installed.library());
    fs::copy_file(other.library(), installed.library());
    fs::copy_file(other.folder() / "manifest.json", installed.folder() / "dataset.manifest.json");
    const Ran ran = installed.weft_run();
    INFO(ran.err);
    CHECK(ran.code == 1);
    check_says(ran.err, {"E060", "space broken asks for dataset broken", "dataset broken asks for space broken"});
  }
}

TEST_CASE("an optimizer that breaks a rule at run time ends the study with plugin, call and trial, and it can go on") {
  const std::pair<const char*, std::vector<std::string>> faults[] = {
      {"short_table", {"E060", "optimizer broken", "lacks a function"}},
      {"null_ask", {"E060", "ask, trial 0", "lacks a function"}},
      {"ask_throws", {"E060", "optimizer broken", "ask, trial 0", "thrown by ask", "rule 4"}},
      {"ask_throws_int", {"E060", "ask, trial 0", "rule 4"}},
      {"ask_fails_silently", {"E060", "ask, trial 0", "without saying why"}},
      {"tell_throws", {"E060", "optimizer broken", "tell, trial 0", "thrown by tell"}},
      {"tell_fails", {"E060", "tell, trial 0", "not to my liking"}},
      {"decision_out_of_range", {"E061", "ask, trial 0", "decision 3", "17", "0 to 4"}},
      {"too_many_decisions", {"E061", "7 decisions", "expected 6"}},
      {"foreign_genotype", {"E061", "0 decisions"}},
      {"parent_unknown", {"E061", "trial 99"}},
      {"too_many_proposals", {"E060", "ask, trial 0", "101 proposals"}},
      {"notes_no_json", {"E060", "ask, trial 0", "no JSON"}},
      {"notes_huge", {"E060", "100 MiB"}},
      {"notes_deep", {"E060", "nested deeper"}},
      {"notes_invalid_utf8", {"E060", "ask, trial 0", "UTF-8"}},
      {"fidelity_ill_typed", {"E060", "ask, trial 0"}}};
  for (const auto& [fault, parts] : faults) {
    INFO(fault);
    check_stops(Installed(fault), parts);
  }
}

TEST_CASE("an optimizer that waits for results of which there are none ends the study") {
  const Ran ran = Installed("ask_proposes_nothing").weft_run();
  CHECK(ran.code == 1);
  check_says(ran.err, {"optimizer broken", "proposes nothing"});
}

TEST_CASE("in a process of its own an optimizer may crash: the third time in a row ends the study, which can go on") {
  const PlainSignals plain;
  check_stops(Installed("ask_crashes"), {"E070", "optimizer broken", "ask", "3 times", "signal 11"},
              {"--isolate", "all"});
}

TEST_CASE("in a process of its own an optimizer's faults are named as they are inside the host") {
  check_stops(Installed("ask_throws"), {"E060", "ask, trial 0", "thrown by ask"}, {"--isolate", "all"});
  check_stops(Installed("decision_out_of_range"), {"E061", "decision 3"}, {"--isolate", "all"});
}

TEST_CASE("an isolated optimizer that crashes once is brought back to where it was") {
  const PlainSignals plain;
  const Installed undisturbed("none");
  REQUIRE(undisturbed.weft_run({"--isolate", "all"}).code == 0);
  const Installed crashing("ask_crashes_once");
  setenv("WEFT_TEST_MARK", (crashing.root() / "mark").c_str(), 1);
  const Ran ran = crashing.weft_run({"--isolate", "all"});
  unsetenv("WEFT_TEST_MARK");
  INFO(ran.err);
  CHECK(ran.code == 0);
  CHECK(fs::exists(crashing.root() / "mark"));
  check_says(ran.err, {"optimizer broken", "signal 11", "started again"});
  CHECK(trials_of(crashing.study(), crashing.root()) == trials_of(undisturbed.study(), undisturbed.root()));
}

TEST_CASE("an isolated optimizer that is started again and proposes otherwise ends the study") {
  const PlainSignals plain;
  const Installed forgetful("ask_forgets");
  setenv("WEFT_TEST_MARK", (forgetful.root() / "mark").c_str(), 1);
  const Ran ran = forgetful.weft_run({"--isolate", "all"});
  unsetenv("WEFT_TEST_MARK");
  CHECK(ran.code == 1);
  check_says(ran.err, {"optimizer broken", "answered ask otherwise than before", "what it is told alone"});
}

TEST_CASE("an isolated optimizer proposes what it proposes inside the host") {
  const Installed inside("none");
  const Installed isolated("none");
  REQUIRE(inside.weft_run().code == 0);
  REQUIRE(isolated.weft_run({"--isolate", "all"}).code == 0);
  CHECK(trials_of(inside.study(), inside.root()) == trials_of(isolated.study(), isolated.root()));
}

TEST_CASE("an evaluator's faults fail their trials, three crashes in a row quarantine it") {
  const std::pair<const char*, std::vector<std::string>> faults[] = {
      {"evaluate_throws", {"no trial completed", "thrown by evaluate"}},
      {"metrics_no_json", {"no trial completed", "no JSON"}},
      {"metrics_nan", {"no trial completed", "no JSON"}},
      {"metrics_text", {"no trial completed", "validation_accuracy"}},
      {"metrics_list", {"no trial completed", "no JSON object"}},
      {"report_no_object", {"no trial completed", "integer \"epoch\": [7]"}},
      {"report_without_epoch", {"no trial completed", "integer \"epoch\""}}};
  for (const auto& [fault, parts] : faults) {
    const Installed installed(fault, "evaluator");
    const Ran ran = installed.weft_run();
    INFO(fault << ": " << ran.err);
    CHECK(ran.code == 1);
    check_says(ran.err, parts);
  }
  const PlainSignals plain;
  const Installed crashing("evaluate_crashes", "evaluator");
  const Ran ran = crashing.weft_run();
  INFO(ran.err);
  CHECK(ran.code == 1);
  check_says(ran.err, {"E070", "evaluator broken", "3 times", "signal 11", "weft resume"});
  const Json trials = trials_of(crashing.study(), crashing.root());
  CHECK(trials.at(2).at("state") == "FAIL");
}

TEST_CASE("a plugin that was built under a umask of 002 can be used") {
  const TemporaryFolder folder;
  const fs::path output = folder / "plugin";
  const std::string script = WEFT_TEST_SOURCE "/sdk/cmake/weft_state_sha256.cmake";
  const std::string commands =
      "umask 002; mkdir " + output.string() + " && cp " WEFT_TEST_BINARY "/tests/broken/none.so " + output.string() +
      " && chmod 775 " + output.string() +
      "/none.so && cmake -DMANIFEST=" WEFT_TEST_SOURCE "/plugins/optimizer/random_search/manifest.json -DLIBRARY=" +
      output.string() + "/none.so -DOUTPUT=" + output.string() + "/manifest.json -P " + script;
  REQUIRE(std::system(commands.c_str()) == 0);
  for (const fs::path& path : {output, output / "none.so", output / "manifest.json"}) {
    INFO(path);
    CHECK((fs::status(path).permissions() & (fs::perms::group_write | fs::perms::others_write)) == fs::perms::none);
  }
}

TEST_CASE("words that are no UTF-8 are kept as far as they can be read") {
  const PlainSignals plain;
  Installed inside("error_no_utf8", "evaluator");
  inside.manifest["provides"].push_back("evaluator.inline");
  inside.pipeline.erase("executor");
  const Installed workers("last_words_no_utf8", "evaluator");
  for (const Installed* installed : {&std::as_const(inside), &workers}) {
    const Ran ran = installed->weft_run();
    INFO(ran.err);
    CHECK(ran.code == 1);
    check_says(trials_of(installed->study(), installed->root()).at(0).at("reason"), {"caf\ufffd"});
    CHECK(installed->weft({"resume", "study", "--quiet"}).err.find("UTF-8") == std::string::npos);
  }
}

TEST_CASE("what a plugin prints does not get between the host's answers") {
  const Installed chatty("writes_to_stdout");
  const Ran ran = chatty.weft_run({"--json"});
  CHECK(ran.code == 0);
  CHECK(Json::parse(ran.out).at("trials") == 12);
  check_says(ran.err, {"printed while loading", "printed by ask"});
}

TEST_CASE("a plugin cannot take Ctrl-C away") {
  Installed installed("blocks_sigint");
  installed.pipeline["budget"] = {{"seconds", 600}};
  installed.pipeline["duplicates"] = "evaluate";
  write_file(installed.folder() / "manifest.json", installed.manifest.dump());
  write_file(installed.root() / "pipeline.json", installed.pipeline.dump());
  auto host = start({"--plugin-path", installed.folder().string(), "run", "pipeline.json", "--study", "study"},
                    installed.root());
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!fs::exists(installed.study() / "study.db") && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  REQUIRE(fs::exists(installed.study() / "study.db"));
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  kill(host.id(), SIGINT);
  host.wait();
  CHECK(host.exit_code() == 130);
}

// In training, a stopper that takes minutes for a judgement.
TEST_CASE("a stopper that does not come to an end costs no trial its word, and keeps nobody from leaving") {
  Installed installed("judge_sleeps", "stopper");
  installed.manifest["abi"] = "1.1";
  installed.pipeline = training_pipeline(4, {"cpu:1"});
  installed.pipeline["optimizer"] = {{"name", "random_search"}};
  installed.pipeline["stoppers"] = {{{"name", "broken"}}};
  installed.pipeline["budget"] = {{"trials", 4}, {"seconds", 8}, {"grace", 3}};
  const auto begun = std::chrono::steady_clock::now();
  const Ran ran = installed.weft_run();
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begun;
  INFO(ran.err);
  CHECK(passed.count() < 100.0);
  const Json trials = Json::parse(installed.weft({"trials", "study", "--json"}).out);
  REQUIRE(trials.size() == 1);
  CHECK(trials[0].at("state") == "PRUNED");
  CHECK(trials[0].at("reason") == "the time of the budget was over");
}
