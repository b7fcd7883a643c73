// What a study remembers of itself, and what becomes of it when things change under it.

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <unistd.h>

#include <csignal>

#include "tests/catch.hpp"
#include "tests/end_to_end/program.hpp"

using namespace weft::testing;
using weft::Json;

namespace {

// A folder with a table, a pipeline over it that names the table relatively, and a study run there.
struct TableStudy {
  explicit TableStudy(int trials, const Json& patch = Json::object(), const std::vector<std::string>& before = {}) {
    write_table(folder / "table.csv");
    Json description = table_pipeline("table.csv", trials);
    description.merge_patch(patch);
    write_file(folder / "pipeline.json", description.dump());
    std::vector<std::string> arguments = before;
    for (const char* word : {"run", "pipeline.json", "--study", "study", "--quiet"}) arguments.emplace_back(word);
    begun = run(arguments, folder.path());
  }

  Ran resume(const std::vector<std::string>& options = {}, const std::vector<std::string>& before = {}) const {
    std::vector<std::string> arguments = before;
    for (const char* word : {"resume", "study"}) arguments.emplace_back(word);
    arguments.insert(arguments.end(), options.begin(), options.end());
    return run(arguments, folder.path());
  }
  fs::path study() const { return folder / "study"; }

  const TemporaryFolder folder;
  Ran begun;
};

void edit(const fs::path& file, const Json& patch) {
  Json json = Json::parse(read_file(file));
  json.merge_patch(patch);
  write_file(file, json.dump());
}

// A command for the evaluator of the same name that answers what `body`, a shell script, says after the request.
Json command_study(const fs::path& folder, const std::string& body, int trials) {
  const fs::path script = write_file(folder / "trainer.sh", "#!/bin/sh\nread request\n" + body);
  fs::permissions(script, fs::perms::owner_all);
  Json description = table_pipeline("", trials);
  description["evaluator"] = {{"name", "command"}, {"args", {{"command", {"./trainer.sh"}}}}};
  description["executor"] = {{"name", "local"}, {"slots", {"cpu:1"}}};
  return description;
}

const std::string answers = "echo '{\"event\": \"result\", \"metrics\": {\"validation_accuracy\": 50}}'\n";

}  // namespace

TEST_CASE("a finished study is extended, and equals one that was longer from the start") {
  const TableStudy extended(25);
  const TableStudy longer(40);
  check_says(extended.resume().err, {"over before", "--set /budget/trials"});
  const Ran ran = extended.resume({"--set", "/budget/trials=40"});
  REQUIRE(ran.code == 0);
  check_says(ran.err, {"/budget/trials was 25, is 40"});
  CHECK(trials_of("study", extended.folder.path()) == trials_of("study", longer.folder.path()));
  CHECK(Json::parse(read_file(extended.study() / "pipeline.json")).at("budget").at("trials") == 40);
  CHECK(extended.resume({"--quiet"}).code == 0);
}

TEST_CASE("a study goes on from another directory with the data it was begun with") {
  const TableStudy study(20);
  const TemporaryFolder elsewhere;
  const Ran resumed =
      run({"resume", study.study().string(), "--set", "/budget/trials=30", "--quiet"}, elsewhere.path());
  INFO(resumed.err);
  CHECK(resumed.code == 0);
  const Ran best = run({"best", study.study().string()}, elsewhere.path());
  CHECK(best.code == 0);
  check_says(best.out, {"accuracy", "~0|+|"});
}

TEST_CASE("a pipeline that was edited under a study is refused with both sides, or recorded") {
  const TableStudy study(20);
  edit(study.study() / "pipeline.json", {{"optimizer", {{"args", {{"sample_size", 5}}}}}, {"keep_weights", 1}});
  const Ran refused = study.resume();
  CHECK(refused.code == 2);
  check_says(refused.err, {"/optimizer/args/sample_size was 3, is 5", "--accept-changes"});
  CHECK(refused.err.find("keep_weights") == std::string::npos);
  edit(study.study() / "pipeline.json", {{"optimizer", {{"args", {{"sample_size", 3}}}}}});
  const Ran harmless = study.resume();
  CHECK(harmless.code == 0);
  check_says(harmless.err, {"changed: /keep_weights was 3, is 1"});
  // Evaluates otherwise from here on: whoever accepts that has it recorded once.
  edit(study.study() / "pipeline.json", {{"duplicates", "evaluate"}, {"budget", {{"trials", 24}}}});
  CHECK(study.resume().code == 2);
  CHECK(study.resume({"--accept-changes"}).code == 0);
  CHECK(study.resume().code == 0);
}

TEST_CASE("a plugin that was replaced is refused with both hashes") {
  const TemporaryFolder plugins;
  fs::copy(fs::path(WEFT_TEST_PLUGINS) / "optimizer/regularized_evolution", plugins / "regularized_evolution",
           fs::copy_options::recursive);
  const std::vector<std::string> path = {"--plugin-path", plugins.path().string()};
  const TableStudy study(20, Json::object(), path);
  REQUIRE(study.begun.code == 0);
  Json manifest = Json::parse(read_file(plugins / "regularized_evolution/manifest.json"));
  manifest.erase("sha256");
  manifest["version"] = "9.9.9";
  write_file(plugins / "regularized_evolution/manifest.json", manifest.dump());
  const fs::path library = plugins / "regularized_evolution/regularized_evolution.so";
  write_file(plugins / "new.so", read_file(library) + "another build");
  fs::permissions(plugins / "new.so", fs::perms::owner_all);
  fs::rename(plugins / "new.so", library);
  const Ran refused = study.resume({"--set", "/budget/trials=30"}, path);
  CHECK(refused.code == 2);
  check_says(refused.err, {"optimizer regularized_evolution was", "is 9.9.9 (SHA-256", "--accept-changes"});
  CHECK(study.resume({"--set", "/budget/trials=30", "--accept-changes"}, path).code == 0);
  CHECK(study.resume({}, path).code == 0);
}

TEST_CASE("a table that was edited is refused") {
  const TableStudy study(20);
  write_file(study.folder / "table.csv", read_file(study.folder / "table.csv") + "\n");
  const Ran refused = study.resume({"--set", "/budget/trials=30"});
  CHECK(refused.code == 2);
  check_says(refused.err, {"the data that the evaluator answers from", "--accept-changes"});
  CHECK(study.resume({"--set", "/budget/trials=30", "--accept-changes"}).code == 0);
}

TEST_CASE("pictures that were replaced are refused") {
  const TemporaryFolder folder;
  Json description = training_pipeline(2, {"cpu:1"});
  write_file(folder / "pipeline.json", description.dump());
  REQUIRE(run({"run", "pipeline.json", "--study", "study", "--quiet"}, folder.path()).code == 0);
  edit(folder / "study/pipeline.json", {{"dataset", {{"args", {{"noise", 0.5}}}}}});
  const Ran refused = run({"resume", "study"}, folder.path());
  CHECK(refused.code == 2);
  check_says(refused.err, {"the data set's /fingerprint was"});
}

TEST_CASE("pictures of the test split that were replaced are refused") {
  const TemporaryFolder folder;
  const auto word = [](char value) { return std::string{0, 0, 0, value}; };
  const auto write_split = [&](const std::string& split, char shade) {
    write_file(folder / (split + "-images"),
               std::string{0, 0, 8, 3} + word(40) + word(8) + word(8) + std::string(std::size_t{40} * 8 * 8, shade));
    std::string labels = std::string{0, 0, 8, 1} + word(40);
    for (char i = 0; i < 40; ++i) labels += static_cast<char>(i % 2);
    write_file(folder / (split + "-labels"), labels);
  };
  write_split("train", 'a');
  write_split("test", 'b');
  Json description = training_pipeline(1, {"cpu:1"});
  description["dataset"] = {{"name", "idx"},
                            {"args",
                             {{"folder", "."},
                              {"classes", 2},
                              {"train_images", "train-images"},
                              {"train_labels", "train-labels"},
                              {"test_images", "test-images"},
                              {"test_labels", "test-labels"},
                              {"validation", 8}}}};
  description["evaluator"]["args"]["batch_size"] = 8;
  description["final"] = {{"evaluator", description["evaluator"]}};
  write_file(folder / "pipeline.json", description.dump());
  const Ran ran = run({"run", "pipeline.json", "--study", "study", "--quiet"}, folder.path());
  INFO(ran.err);
  REQUIRE(ran.code == 0);
  write_split("test", 'c');
  const Ran refused = run({"resume", "study"}, folder.path());
  CHECK(refused.code == 2);
  check_says(refused.err, {"the data set's test split had the fingerprint", "--accept-changes"});
}

TEST_CASE("a worker does not load a plugin that was replaced while the study runs") {
  const TemporaryFolder plugins, folder;
  fs::copy(fs::path(WEFT_TEST_PLUGINS) / "evaluator/command", plugins / "command", fs::copy_options::recursive);
  Json manifest = Json::parse(read_file(plugins / "command/manifest.json"));
  manifest.erase("sha256");
  write_file(plugins / "command/manifest.json", manifest.dump());
  const fs::path library = plugins / "command/command.so";
  // The trainer replaces the evaluator that started it and kills its worker, as an update in the night would.
  const std::string body = fmt::format(
      "cp '{0}' '{0}.new'; echo new >>'{0}.new'; mv '{0}.new' '{0}'\n"
      "at=$PPID; while grep -qz '^worker$' /proc/$at/cmdline; do worker=$at; at=$(awk '/^PPid/ {{print $2}}' "
      "/proc/$at/status); done\n"
      "kill -9 $worker; sleep 60\n",
      library.string());
  write_file(folder / "pipeline.json", command_study(folder.path(), body, 5).dump());
  const Ran ran =
      run({"--plugin-path", plugins.path().string(), "run", "pipeline.json", "--study", "study"}, folder.path());
  CHECK(ran.code == 1);
  check_says(ran.err, {"evaluator command was replaced while the study runs", "SHA-256"});
}

TEST_CASE("a result belongs to its study and its candidate, not to its number") {
  const TemporaryFolder folder;
  write_file(folder / "pipeline.json", command_study(folder.path(), "echo x >> evaluated\n" + answers, 6).dump());
  REQUIRE(run({"run", "pipeline.json", "--study", "study", "--quiet"}, folder.path()).code == 0);
  REQUIRE(fs::exists(folder / "study/trials/000002/result.json"));
  const Json before = trials_of("study", folder.path());
  const auto lose_all_after_the_second_trial = [&] {
    SQLite::Database database((folder / "study/study.db").string(), SQLite::OPEN_READWRITE);
    database.exec(
        "DELETE FROM events WHERE sequence > (SELECT max(sequence) FROM events WHERE kind = 'tell' AND trial = 1)");
  };
  const std::string all = read_file(folder / "evaluated");
  // Everything is still there: nothing is evaluated again.
  lose_all_after_the_second_trial();
  const Ran again = run({"resume", "study", "--quiet"}, folder.path());
  INFO(again.err);
  REQUIRE(again.code == 0);
  CHECK(read_file(folder / "evaluated") == all);
  CHECK(trials_of("study", folder.path()) == before);
  // One of another candidate, one of another study, one empty, one damaged: as if they were not there.
  lose_all_after_the_second_trial();
  const auto result = [&](int trial) { return folder.path() / fmt::format("study/trials/{:06}/result.json", trial); };
  edit(result(2), {{"job", {{"proposal", {{"genotype", {0, 0, 0, 0, 0, 0}}}}}}});
  edit(result(3), {{"job", {{"study", "another"}}}});
  write_file(result(4), "");
  write_file(result(5), "{\"state\": ");
  const Ran resumed = run({"resume", "study", "--quiet"}, folder.path());
  INFO(resumed.err);
  CHECK(resumed.code == 0);
  CHECK(read_file(folder / "evaluated").size() == all.size() + 4 * 2);
  CHECK(trials_of("study", folder.path()) == before);
}

TEST_CASE("failed trials are evaluated again, also where it was an objective that failed them") {
  const TemporaryFolder folder;
  const std::string wrong = "echo '{\"event\": \"result\", \"metrics\": {\"validation_accuracy\": 500}}'\n";
  write_file(folder / "pipeline.json", command_study(folder.path(), wrong, 3).dump());
  const Ran ran = run({"run", "pipeline.json", "--study", "study"}, folder.path());
  CHECK(ran.code == 1);
  command_study(folder.path(), answers, 3);
  CHECK(run({"resume", "study"}, folder.path()).code == 1);
  const Ran again = run({"resume", "study", "--retry-failed", "--quiet"}, folder.path());
  INFO(again.err);
  CHECK(again.code == 0);
  for (const Json& trial : trials_of("study", folder.path())) CHECK(trial.at("state") == "COMPLETE");
}

TEST_CASE("a final training that was changed is made anew, an unchanged one is not") {
  const TemporaryFolder folder;
  Json description = training_pipeline(2, {"cpu:1"});
  description["final"] = {{"evaluator", description["evaluator"]}};
  write_file(folder / "pipeline.json", description.dump());
  REQUIRE(run({"run", "pipeline.json", "--study", "study", "--quiet"}, folder.path()).code == 0);
  const auto finals = [&] {
    SQLite::Database database((folder / "study/study.db").string(), SQLite::OPEN_READONLY);
    return database.execAndGet("SELECT count(*) FROM events WHERE kind = 'final'").getInt();
  };
  CHECK(run({"resume", "study", "--quiet"}, folder.path()).code == 0);
  CHECK(finals() == 1);
  const Ran ran = run({"resume", "study", "--set", "/final/evaluator/args/epochs=3"}, folder.path());
  INFO(ran.err);
  CHECK(ran.code == 0);
  CHECK(finals() == 2);
  check_says(ran.out, {"trained to the end", "\"epochs\":3"});
}

TEST_CASE("a final training that failed is no fault of a study that no longer asks for it") {
  const TemporaryFolder folder;
  const std::string better =
      "echo x >>calls; echo \"{\\\"event\\\": \\\"result\\\", \\\"metrics\\\": "
      "{\\\"validation_accuracy\\\": $(wc -l <calls)}}\"\n";
  Json description = command_study(folder.path(), better, 1);
  const auto write_final = [&](const std::string& body) {
    fs::permissions(write_file(folder / "final.sh", "#!/bin/sh\nread request\n" + body), fs::perms::owner_all);
  };
  write_final("exit 1\n");
  description["final"] = {{"evaluator", {{"name", "command"}, {"args", {{"command", {"./final.sh"}}}}}}};
  write_file(folder / "pipeline.json", description.dump());
  const Ran ran = run({"run", "pipeline.json", "--study", "study"}, folder.path());
  CHECK(ran.code == 1);
  check_says(ran.err, {"the final training of trial 0 failed"});
  write_final(answers);
  const Ran extended = run({"resume", "study", "--set", "/budget/trials=2"}, folder.path());
  INFO(extended.err);
  CHECK(extended.code == 0);
  check_says(extended.out, {"trained to the end, trial 1"});
  CHECK(run({"resume", "study", "--quiet"}, folder.path()).code == 0);
}

TEST_CASE("a final training may be added to a finished study") {
  const TemporaryFolder folder;
  write_file(folder / "pipeline.json", command_study(folder.path(), answers, 1).dump());
  REQUIRE(run({"run", "pipeline.json", "--study", "study", "--quiet"}, folder.path()).code == 0);
  const Ran added = run({"resume", "study", "--set", "/final={\"top\": 1}"}, folder.path());
  INFO(added.err);
  CHECK(added.code == 0);
  check_says(added.out, {"trained to the end, trial 0"});
  CHECK(run({"resume", "study", "--quiet"}, folder.path()).code == 0);
  const Ran removed = run({"resume", "study", "--set", "/final=null"}, folder.path());
  INFO(removed.err);
  CHECK(removed.code == 0);
  CHECK(run({"best", "study"}, folder.path()).out.find("trained to the end") == std::string::npos);
}

TEST_CASE("a change that was accepted takes effect") {
  const TemporaryFolder folder;
  Json description =
      command_study(folder.path(), "echo \"$request\" | grep -o '\"classes\":[0-9]*' >>classes\n" + answers, 1);
  description["task"] = {{"input", {3, 8, 8}}, {"classes", 10}};
  write_file(folder / "pipeline.json", description.dump());
  REQUIRE(run({"run", "pipeline.json", "--study", "study", "--quiet"}, folder.path()).code == 0);
  const Ran changed =
      run({"resume", "study", "--set", "/task/classes=100", "--set", "/budget/trials=2", "--accept-changes", "--quiet"},
          folder.path());
  INFO(changed.err);
  CHECK(changed.code == 0);
  CHECK(read_file(folder / "classes") == "\"classes\":10\n\"classes\":100\n");
  CHECK(run({"resume", "study", "--quiet"}, folder.path()).code == 0);
}

TEST_CASE("a user's own pipeline.json is not a folder that a host left") {
  const TemporaryFolder folder;
  write_table(folder / "table.csv");
  fs::create_directory(folder / "mine");
  const std::string text = table_pipeline("table.csv", 5).dump();
  write_file(folder / "mine/pipeline.json", text);
  const Ran ran = run({"run", "mine/pipeline.json", "--study", "mine"}, folder.path());
  CHECK(ran.code == 2);
  check_says(ran.err, {"mine: exists and is not empty"});
  CHECK(read_file(folder / "mine/pipeline.json") == text);
}

TEST_CASE("weights of an earlier best do not stand for those of a later one") {
  const TemporaryFolder folder;
  const std::string better =
      "echo x >>calls; n=$(wc -l <calls); [ $n -gt 1 ] || echo first >study/trials/000000/weights.pt\n"
      "echo \"{\\\"event\\\": \\\"result\\\", \\\"metrics\\\": {\\\"validation_accuracy\\\": $n}}\"\n";
  write_file(folder / "pipeline.json", command_study(folder.path(), better, 1).dump());
  REQUIRE(run({"run", "pipeline.json", "--study", "study", "--quiet"}, folder.path()).code == 0);
  CHECK(read_file(folder / "study/best/weights.pt") == "first\n");
  REQUIRE(run({"resume", "study", "--set", "/budget/trials=2", "--quiet"}, folder.path()).code == 0);
  CHECK(Json::parse(read_file(folder / "study/best/result.json")).at("trial") == 1);
  CHECK_FALSE(fs::exists(folder / "study/best/weights.pt"));
}

TEST_CASE("a study that is over says so, and what would extend it") {
  const TableStudy study(20);
  check_says(study.resume().err, {"the search was over before, after 20 trials", "/budget/trials=N, with N above 20"});
  check_says(study.resume({"--set", "/budget/trials=10"}).err, {"after 20 trials", "with N above 20"});
}

TEST_CASE("a folder that is taken is refused before anything is read") {
  const TableStudy study(5);
  write_file(study.folder / "table.csv", "");
  const Ran ran = run({"run", "pipeline.json", "--study", "study"}, study.folder.path());
  CHECK(ran.code == 2);
  check_says(ran.err, {"already holds"});
}

TEST_CASE("a resume that fails costs no weights") {
  const TemporaryFolder folder;
  write_file(folder / "pipeline.json", training_pipeline(4, {"cpu:1"}).dump());
  REQUIRE(run({"run", "pipeline.json", "--study", "study", "--quiet"}, folder.path()).code == 0);
  const auto weights = [&] {
    std::size_t count = 0;
    for (const auto& entry : fs::recursive_directory_iterator(folder / "study/trials"))
      count += entry.path().filename() == "weights.pt" ? 1 : 0;
    return count;
  };
  const std::size_t kept = weights();
  REQUIRE(kept > 1);
  {
    // As if the last proposal had been another.
    SQLite::Database database((folder / "study/study.db").string(), SQLite::OPEN_READWRITE);
    database.exec(
        "UPDATE events SET body = json_set(body, '$.notes', 7) WHERE sequence = (SELECT max(sequence) FROM events "
        "WHERE kind = 'proposal')");
  }
  const Ran ran = run({"resume", "study", "--set", "/keep_weights=1", "--quiet"}, folder.path());
  CHECK(ran.code == 1);
  check_says(ran.err, {"proposes differently"});
  CHECK(weights() == kept);
}

TEST_CASE("a retried trial that is killed goes on from its checkpoint") {
  const TemporaryFolder folder;
  write_file(folder / "pipeline.json", command_study(folder.path(), "echo 'no disk' >&2; exit 1\n", 1).dump());
  REQUIRE(run({"run", "pipeline.json", "--study", "study", "--quiet"}, folder.path()).code == 1);
  const fs::path checkpoint = folder / "study/trials/000000/checkpoint.pt";
  command_study(folder.path(), "touch '" + checkpoint.string() + "'; sleep 600\n", 1);
  auto child = start({"resume", "study", "--retry-failed", "--quiet"}, folder.path());
  wait_until(child, [&] { return fs::exists(checkpoint); });
  kill(child.id(), SIGKILL);
  child.wait();
  command_study(folder.path(), "test -e '" + checkpoint.string() + "' || exit 3\n" + answers, 1);
  const Ran resumed = run({"resume", "study", "--quiet"}, folder.path());
  INFO(resumed.err);
  CHECK(resumed.code == 0);
}

TEST_CASE("a folder that a host left before its study had begun is free") {
  const TemporaryFolder folder;
  write_table(folder / "table.csv");
  write_file(folder / "pipeline.json", table_pipeline("table.csv", 5).dump());
  fs::create_directory(folder / "study");
  for (const char* name : {"lock", "pipeline.json", "study.db.part-journal"}) write_file(folder / "study" / name, "");
  SQLite::Database((folder / "study/study.db.part").string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE)
      .exec("CREATE TABLE events (sequence INTEGER PRIMARY KEY)");
  const Ran ran = run({"run", "pipeline.json", "--study", "study", "--quiet"}, folder.path());
  INFO(ran.err);
  CHECK(ran.code == 0);
  CHECK_FALSE(fs::exists(folder / "study/study.db.part"));
}

TEST_CASE("an empty pipeline.json does not block a resume") {
  const TableStudy study(10);
  write_file(study.study() / "pipeline.json", "");
  const Ran resumed = study.resume({"--set", "/budget/trials=12"});
  INFO(resumed.err);
  CHECK(resumed.code == 0);
  check_says(resumed.err, {"the journal has it"});
  CHECK(Json::parse(read_file(study.study() / "pipeline.json")).at("budget").at("trials") == 12);
}

TEST_CASE("a journal without the index of release 1.1 is read as one with it, and gets it when it is gone on with") {
  const TableStudy study(10);
  const std::string file = (study.study() / "study.db").string();
  const auto indices = [&] {
    return SQLite::Database(file).execAndGet("SELECT count(*) FROM sqlite_master WHERE type = 'index'").getInt();
  };
  const auto answers = [&] {
    return run({"trials", "study", "--json"}, study.folder.path()).out +
           run({"best", "study", "--json"}, study.folder.path()).out;
  };
  REQUIRE(indices() == 1);
  const std::string with = answers();
  SQLite::Database(file, SQLite::OPEN_READWRITE).exec("DROP INDEX without_reports");
  CHECK(answers() == with);
  REQUIRE(indices() == 0);
  CHECK(study.resume({"--set", "/budget/trials=12"}).code == 0);
  CHECK(indices() == 1);
}

TEST_CASE("events that are missing are noticed before anything is built on them") {
  const TableStudy study(10);
  {
    SQLite::Database database((study.study() / "study.db").string(), SQLite::OPEN_READWRITE);
    database.exec("DELETE FROM events WHERE sequence = 4");
  }
  const Ran refused = study.resume({"--set", "/budget/trials=20"});
  CHECK(refused.code == 1);
  check_says(refused.err, {"study.db: is damaged: 1 of its events are missing, the first of them before event 5"});
}

TEST_CASE("a study is locked although its lock was removed") {
  const TemporaryFolder folder;
  write_file(folder / "pipeline.json", command_study(folder.path(), "touch begun; sleep 600\n", 1).dump());
  auto child = start({"run", "pipeline.json", "--study", "study", "--quiet"}, folder.path());
  wait_until(child, [&] { return fs::exists(folder / "begun"); });
  fs::remove(folder / "study/lock");
  const Ran refused = run({"resume", "study"}, folder.path());
  CHECK(refused.code == 1);
  check_says(refused.err, {"another weft process works on this study"});
  kill(child.id(), SIGKILL);
  child.wait();
}

TEST_CASE("runs that are started at once have a study each") {
  const TemporaryFolder folder;
  write_table(folder / "table.csv");
  write_file(folder / "pipeline.json", table_pipeline("table.csv", 5).dump());
  std::vector<boost::process::child> runs;
  fs::create_directory(folder / "studies");
  write_file(folder / "studies/pipeline-001", "no folder");
  for (int i = 0; i < 5; ++i) runs.push_back(start({"run", "pipeline.json", "--quiet"}, folder.path()));
  for (boost::process::child& one : runs) {
    one.wait();
    CHECK(one.exit_code() == 0);
  }
  CHECK(std::distance(fs::directory_iterator(folder / "studies"), fs::directory_iterator()) == 6);
}

TEST_CASE("failures are not passed over in silence") {
  const TemporaryFolder folder;
  const std::string every_other =
      "echo x >>calls; [ $(( $(wc -l <calls) % 2 )) = 0 ] || { echo 'no luck' >&2; exit 1; }\n";
  write_file(folder / "pipeline.json", command_study(folder.path(), every_other + answers, 4).dump());
  const Ran ran = run({"run", "pipeline.json", "--study", "study"}, folder.path());
  CHECK(ran.code == 0);
  check_says(ran.err, {"2 of 4 trials failed; trial 0: evaluator command", "no luck"});
}

TEST_CASE("a damaged event is named by file and number") {
  const TableStudy study(5);
  {
    SQLite::Database database((study.study() / "study.db").string(), SQLite::OPEN_READWRITE);
    database.exec("UPDATE events SET body = '{\"state\": \"COMP' WHERE sequence = 5");
  }
  for (const char* command : {"resume", "trials", "best"}) {
    const Ran ran = run({command, "study"}, study.folder.path());
    CHECK(ran.code == 1);
    check_says(ran.err, {"study.db: event 5 is damaged"});
  }
}

TEST_CASE("an error in bytes that are no text is kept and does not block a resume") {
  const TemporaryFolder folder;
  write_file(folder / "pipeline.json",
             command_study(folder.path(), "printf 'no \\377\\376 text\\n' >&2; exit 3\n", 3).dump());
  const Ran ran = run({"run", "pipeline.json", "--study", "study"}, folder.path());
  CHECK(ran.code == 1);
  const Json trials = trials_of("study", folder.path());
  REQUIRE(trials.size() == 3);
  for (const Json& trial : trials) CHECK(trial.at("reason").get<std::string>().find("text") != std::string::npos);
  const Ran resumed = run({"resume", "study"}, folder.path());
  CHECK(resumed.code == 1);
  check_says(resumed.err, {"no trial completed: 3 failed"});
}

TEST_CASE("a study is read from a disk that cannot be written, finished or killed") {
  const TableStudy study(10);
  REQUIRE(study.begun.code == 0);
  const TemporaryFolder place;
  const fs::path mounted = place / "disk";
  fs::create_directory(mounted);
  if (geteuid() != 0 || mount("tmpfs", mounted.c_str(), "tmpfs", 0, "size=16m") != 0) {
    WARN("SKIPPED: needs the right to mount a file system");
    return;
  }
  fs::copy(study.study(), mounted / "finished", fs::copy_options::recursive);
  fs::copy(study.study(), mounted / "killed", fs::copy_options::recursive);
  {
    // As a killed host leaves it: the last events in the log beside the journal.
    SQLite::Database database((mounted / "killed/study.db").string(), SQLite::OPEN_READWRITE);
    database.exec(
        "PRAGMA journal_mode = WAL; INSERT INTO events (elapsed, kind, trial, body) VALUES (1, 'proposal', 10, "
        "'{\"genotype\": [0, 0, 0, 0, 0, 0]}')");
    fs::copy(mounted / "killed/study.db", mounted / "db");
    fs::copy(mounted / "killed/study.db-wal", mounted / "wal");
  }
  fs::rename(mounted / "db", mounted / "killed/study.db");
  fs::rename(mounted / "wal", mounted / "killed/study.db-wal");
  fs::remove(mounted / "killed/study.db-shm");
  const bool frozen = mount(nullptr, mounted.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) == 0;
  const Json finished = trials_of(mounted / "finished", place.path());
  const Json killed = trials_of(mounted / "killed", place.path());
  const Ran best = run({"best", (mounted / "finished").string()}, place.path());
  umount(mounted.c_str());
  REQUIRE(frozen);
  CHECK(finished.size() == 10);
  CHECK(killed.size() == 11);
  CHECK(best.code == 0);
}

TEST_CASE("a study is read without the plugins it ran with") {
  const TableStudy study(5);
  edit(study.study() / "pipeline.json", {{"space", {{"name", "not_here"}}}, {"optimizer", {{"name", "not_here"}}}});
  CHECK(run({"trials", "study"}, study.folder.path()).code == 0);
  const Ran best = run({"best", "study"}, study.folder.path());
  CHECK(best.code == 0);
  check_says(best.out, {"accuracy", "["});
  check_says(best.err, {"genotypes instead of notations", "not_here"});
}

TEST_CASE("when the time cuts all trials, what was reached is shown") {
  const TemporaryFolder folder;
  Json description = training_pipeline(4, {"cpu:1"});
  description["evaluator"]["args"]["epochs"] = 100000;
  description["budget"] = {{"seconds", 0.5}};
  write_file(folder / "pipeline.json", description.dump());
  const Ran ran = run({"run", "pipeline.json", "--study", "study", "--quiet"}, folder.path());
  CHECK(ran.code == 1);
  check_says(ran.err, {"no trial completed", "1 cut short", "the best that was reached before the end: accuracy"});
}
