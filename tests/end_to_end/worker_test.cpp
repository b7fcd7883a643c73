// Workers that die, hide their death, break the protocol or print without end: each costs one trial at most, the others
// go on.

#include "tests/catch.hpp"
#include "tests/end_to_end/program.hpp"

using namespace weft::testing;
using weft::Json;

namespace {

// A study on a library of tests/broken, which does what its name says once.
struct Study {
  explicit Study(const std::string& fault) {
    const fs::path plugin = folder / "plugin";
    fs::create_directory(plugin);
    fs::permissions(plugin, fs::perms::owner_all);
    fs::copy_file(fs::path(WEFT_TEST_BINARY) / "tests" / "broken" / (fault + ".so"), plugin / "p.so");
    fs::permissions(plugin / "p.so", fs::perms::owner_all);
    write_file(plugin / "manifest.json", broken_manifest("evaluator").dump());
    Json pipeline = table_pipeline(write_table(folder / "table.csv"), 6);
    pipeline["evaluator"] = {{"name", "broken"}};
    pipeline["duplicates"] = "evaluate";
    pipeline["executor"] = {{"name", "local"}, {"slots", {"cpu:1"}}};
    write_file(folder / "pipeline.json", pipeline.dump());
    setenv("WEFT_TEST_MARK", (folder / "mark").c_str(), 1);
    ran = run({"--plugin-path", plugin.string(), "run", "pipeline.json", "--study", "study", "--quiet"}, folder.path());
    unsetenv("WEFT_TEST_MARK");
    trials = trials_of(folder / "study", folder.path());
  }

  TemporaryFolder folder;
  Ran ran;
  Json trials;
};

void check_one_failed(const Study& study, const std::string& reason) {
  INFO(study.ran.err);
  CHECK(study.ran.code == 0);
  REQUIRE(study.trials.size() == 6);
  CHECK_THAT(study.trials[0].at("reason").get<std::string>(), ContainsSubstring(reason));
  CHECK(study.trials[0].at("state") == "FAIL");
  for (std::size_t i = 1; i < 6; ++i) CHECK(study.trials[i].at("state") == "COMPLETE");
}

}  // namespace

TEST_CASE("a worker that breaks the protocol fails one trial and is replaced") {
  check_one_failed(Study("channel_garbage"), "wrote to its channel a line that is no JSON");
  check_one_failed(Study("channel_members"), "broke the protocol: \"state\" of \"result\" must be a text");
  check_one_failed(Study("channel_flood"), "wrote to its channel a line of more than 64 MiB");
}

TEST_CASE("a worker that closes its channel and lives on is ended") {
  check_one_failed(Study("channel_closed"), "closed its channel while it was running, and was killed");
}

TEST_CASE("a worker's death is noticed, whoever holds its descriptors") {
  const Study study("fork_lives_on");
  const int survivor = std::stoi(read_file(study.folder / "mark"));
  CHECK(is_alive(survivor));
  kill(survivor, SIGKILL);
  check_one_failed(study, "was killed by signal 9");
}

TEST_CASE("what a worker prints is kept with its trial, and bounded") {
  const Study study("output_flood");
  INFO(study.ran.err);
  CHECK(study.ran.code == 0);
  CHECK(study.trials[0].at("state") == "COMPLETE");
  const std::string printed = read_file(study.folder / "study/trials/000000/output.txt");
  CHECK(printed.size() < 70'000);
  CHECK_THAT(printed, ContainsSubstring("bytes before this were not kept]"));
  CHECK_THAT(printed, ContainsSubstring("and the end of it"));
  CHECK_FALSE(fs::exists(study.folder / "study/trials/000001/output.txt"));
}

TEST_CASE("log lines of other threads do not get into the middle of reports") {
  const Study study("logs_from_threads");
  INFO(study.ran.err);
  CHECK(study.ran.code == 0);
  for (const Json& trial : study.trials) CHECK(trial.at("state") == "COMPLETE");
}

TEST_CASE("more slots than descriptors are refused with the number that fits") {
  const TemporaryFolder folder;
  write_file(folder / "pipeline.json",
             command_pipeline(folder.path(), command_result, 1, std::vector<std::string>(100, "cpu:1")).dump());
  const std::string weft = program + " run pipeline.json --study study --quiet 2> err.txt";
  const auto with_limit = [&](const std::string& limits) {
    return boost::process::system("/bin/sh", "-c", limits + weft, boost::process::start_dir = folder.path().string());
  };
  CHECK(with_limit("ulimit -n 200; ") == 2);
  CHECK_THAT(read_file(folder / "err.txt"),
             ContainsSubstring("pipeline.json: /executor/slots has 100 slots; must not exceed 24"));
  CHECK_FALSE(fs::exists(folder / "study"));
  CHECK(with_limit("ulimit -Sn 200; ") == 0);  // the hard limit is higher, and that is what counts
}

TEST_CASE("a program of a trial has the limit of descriptors that weft was started with") {
  const TemporaryFolder folder;
  write_file(folder / "pipeline.json",
             command_pipeline(folder.path(), "ulimit -Sn > limit\n" + command_result, 1).dump());
  const std::string weft = "ulimit -Sn 200; " + program + " run pipeline.json --study study --quiet";
  REQUIRE(boost::process::system("/bin/sh", "-c", weft, boost::process::start_dir = folder.path().string(),
                                 boost::process::std_out > boost::process::null) == 0);
  CHECK(read_file(folder / "limit") == "200\n");
}
