// `weft oneshot rank`: shared weights against trainings from scratch and a table, after a kill, and of what it refuses.

#include <map>

#include "tests/catch.hpp"
#include "tests/end_to_end/program.hpp"

using namespace weft::testing;
using weft::Json;

namespace {

Json ranked_pipeline() {
  Json json = training_pipeline(20, {"cpu:1"});
  json["space"] = {{"name", "nas_bench_201"}, {"args", {{"cells", 1}, {"channels", 4}}}};
  json["oneshot"] = {{"name", "random_weight_sharing"},
                     {"args",
                      {{"epochs", 2},
                       {"batch_size", 32},
                       {"crop_padding", 1},
                       {"samples", 4},
                       {"selection_examples", 32},
                       {"finalists", 2},
                       {"calibration_batches", 2}}},
                     {"slots", {"cpu:1"}}};
  json["optimizer"] = {{"name", "derived"}};
  json["evaluator"] = {{"name", "shared_weights"}, {"args", {{"batch_size", 32}, {"calibration_batches", 2}}}};
  json["final"] = {{"evaluator", {{"name", "train"}, {"args", {{"epochs", 1}, {"batch_size", 32}}}}}};
  return json;
}

// Every file of a study, with its content; left out what belongs to its rankings, and what SQLite has beside a journal
// that was read.
std::map<std::string, std::string> files_of(const fs::path& study) {
  std::map<std::string, std::string> files;
  for (auto at = fs::recursive_directory_iterator(study); at != fs::recursive_directory_iterator(); ++at) {
    if (at->path().filename() == "rank") at.disable_recursion_pending();
    const std::string name = at->path().filename();
    if (at->is_regular_file() && !name.starts_with("study.db-")) files[at->path().string()] = read_file(at->path());
  }
  return files;
}

Ran rank(const fs::path& folder, const std::vector<std::string>& options) {
  std::vector<std::string> arguments = {"oneshot", "rank", "study", "--resamples", "200"};
  arguments.insert(arguments.end(), options.begin(), options.end());
  return run(arguments, folder);
}

void check_refused(const Ran& ran, const std::vector<std::string>& words) {
  CHECK(ran.code == 2);
  check_says(ran.err, words);
}

}  // namespace

TEST_CASE("weft oneshot rank compares shared weights with trainings and with a table, and leaves the study as it was") {
  const TemporaryFolder folder;
  const fs::path pipeline = write_file(folder / "pipeline.json", ranked_pipeline().dump());
  REQUIRE(run({"run", pipeline.string(), "--study", "study", "--quiet"}, folder.path()).code == 0);
  const std::map<std::string, std::string> before = files_of(folder / "study");

  const Ran first = rank(folder.path(), {"--architectures", "6", "--epochs", "2"});
  INFO(first.err << first.out);
  REQUIRE(first.code == 0);
  check_says(first.out, {"accuracy of 6 random architectures, by shared_weights and by train", "Kendall's tau-b",
                         "Spearman's rho", "best 1 in common", "0.167 by chance", "random ", "best by shared weights",
                         "choice of the search", "study/rank/rank.json"});
  const Json six = Json::parse(read_file(folder / "study/rank/rank.json"));
  REQUIRE(six.at("measured").size() == 6);
  CHECK(six.at("alone").at("args").at("epochs") == 2);
  CHECK(six.at("choice_of_the_search").at("genotype") == trials_of(folder / "study", folder.path())[0].at("genotype"));
  // The same weights on the same examples as in the study itself.
  CHECK(six.at("choice_of_the_search").at("shared") ==
        trials_of(folder / "study", folder.path())[0].at("objectives")[0]);
  const Json& best = six.at("best_by_shared_weights");
  for (const Json& one : six.at("measured")) CHECK(one.at("shared").get<double>() <= best.at("shared").get<double>());
  CHECK(six.at("kendall_tau_b").at("interval").size() == 2);

  // Once more: nothing is measured again. More: the first ones stay.
  const std::string journal = read_file(folder / "study/rank/alone/study.db");
  const Ran again = rank(folder.path(), {"--architectures", "6", "--epochs", "2", "--json"});
  CHECK(Json::parse(again.out) == six);
  CHECK(read_file(folder / "study/rank/alone/study.db") == journal);
  REQUIRE(rank(folder.path(), {"--architectures", "8", "--epochs", "2", "--quiet"}).code == 0);
  const Json eight = Json::parse(read_file(folder / "study/rank/rank.json"));
  REQUIRE(eight.at("measured").size() == 8);
  for (std::size_t i = 0; i < 6; ++i) CHECK(eight.at("measured")[i] == six.at("measured")[i]);

  check_refused(rank(folder.path(), {"--epochs", "1"}),
                {"study/rank: holds another ranking:", "/evaluator/args/epochs was 2, is 1", "--output"});
  check_refused(rank(folder.path(), {"--epochs", "2", "--seed", "4"}), {"--seed was 3, is 4"});

  // Against a table, whose smooth accuracies of all cells are known.
  write_table(folder / "table.csv");
  const Json table = {
      {"name", "table"},
      {"args", {{"file", (folder / "table.csv").string()}, {"metrics", {{"validation_accuracy", "accuracy"}}}}}};
  write_file(folder / "table.json", table.dump());
  const Ran looked_up = rank(folder.path(), {"--architectures", "6", "--against", "table.json", "--output", "tables",
                                             "--json", "--seed", "9"});
  INFO(looked_up.err);
  REQUIRE(looked_up.code == 0);
  const Json by_table = Json::parse(looked_up.out);
  CHECK(by_table.at("alone").at("name") == "table");
  CHECK(by_table.at("measured")[0].at("genotype") != six.at("measured")[0].at("genotype"));
  CHECK(by_table.at("random").at("best").get<double>() > 30.0);
  CHECK(Json::parse(read_file(folder / "tables/rank.json")) == by_table);

  check_refused(rank(folder.path(), {"--against", "nowhere.json", "--output", "new"}), {"nowhere.json"});
  check_refused(rank(folder.path(), {"--against", "tabel", "--output", "new"}),
                {"study: --against: no evaluator is called \"tabel\""});
  check_refused(rank(folder.path(), {"--against", R"({"name": 3})", "--output", "new"}),
                {"--against: must be an evaluator as pipelines name them"});
  check_refused(rank(folder.path(), {"--against", R"({"name": "train", "args": {"epoch": 3}})", "--output", "new"}),
                {"--against, as an evaluator of", "/evaluator/args", "epoch"});
  check_refused(rank(folder.path(), {"--top", "nan", "--output", "new"}), {"--top", "\"nan\"", "a number above 0"});
  fs::remove(folder / "table.csv");
  check_refused(rank(folder.path(), {"--against", "table.json", "--output", "new"}), {"table.csv does not exist"});
  check_refused(rank(folder.path(), {"--against", "shared_weights", "--output", "new"}),
                {"--against measures by the shared weights, too"});
  check_refused(rank(folder.path(), {"--final-networks", "--output", "new"}),
                {"--final-networks", "the final networks are those of the search"});
  CHECK_FALSE(fs::exists(folder / "new"));
  CHECK(files_of(folder / "study") == before);

  // A ranking elsewhere finds the weights where the study has gone to.
  write_table(folder / "table.csv");
  fs::rename(folder / "study", folder / "moved");
  const Ran moved = run({"oneshot", "rank", "moved", "--resamples", "200", "--architectures", "9", "--output", "tables",
                         "--against", "table.json", "--json", "--seed", "9"},
                        folder.path());
  INFO(moved.err);
  REQUIRE(moved.code == 0);
  CHECK(Json::parse(moved.out).at("failed") == 0);
}

TEST_CASE("a ranking that was killed goes on, and ends as an undisturbed one") {
  const TemporaryFolder folder;
  Json description = ranked_pipeline();
  description.erase("final");
  description["space"] = {
      {"name", "enas_macro"},
      {"args", {{"layers", 2}, {"filters", 4}, {"operations", {"conv_3x3", "avg_pool_3x3", "max_pool_3x3"}}}}};
  const fs::path pipeline = write_file(folder / "pipeline.json", description.dump());
  REQUIRE(run({"run", pipeline.string(), "--study", "study", "--quiet"}, folder.path()).code == 0);
  check_refused(rank(folder.path(), {}), {"its pipeline has no final evaluator", "--against"});
  // Two layers of three operations, of which the second may look past the first or not.
  check_refused(rank(folder.path(), {"--architectures", "19", "--against", "train"}),
                {"--architectures is 19, but space enas_macro has 18 different ones"});
  CHECK_FALSE(fs::exists(folder / "study/rank"));

  const std::string train = R"({"name": "train", "args": {"epochs": 2, "batch_size": 32}})";
  const std::vector<std::string> options = {"--architectures", "6", "--against", train, "--json"};
  for (const char* reached : {"shared/trials/000002/result.json", "alone/trials/000003/result.json"}) {
    std::vector<std::string> arguments = {"oneshot", "rank", "study", "--quiet"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    auto child = start(arguments, folder.path());
    wait_until(child, [&] { return fs::exists(folder / "study/rank" / reached); });
    const std::vector<int> workers = children_of(child.id());
    kill(child.id(), SIGKILL);
    child.wait();
    for (const int worker : workers) REQUIRE(ends(worker));
  }
  CHECK_FALSE(fs::exists(folder / "study/rank/rank.json"));
  const Ran killed = rank(folder.path(), options);
  INFO(killed.err);
  REQUIRE(killed.code == 0);
  std::vector<std::string> elsewhere = options;
  elsewhere.insert(elsewhere.end(), {"--output", "undisturbed"});
  CHECK(rank(folder.path(), elsewhere).out == killed.out);
}

TEST_CASE("a study that has no shared weights cannot be ranked") {
  const TemporaryFolder folder;
  const fs::path table =
      write_file(folder / "table_study.json", table_pipeline(write_table(folder / "t.csv"), 4).dump());
  REQUIRE(run({"run", table.string(), "--study", "study", "--quiet"}, folder.path()).code == 0);
  check_refused(rank(folder.path(), {}), {"has no one-shot search (/oneshot)", "weft run sciuto2019"});
  fs::remove_all(folder / "study");
  check_refused(rank(folder.path(), {}), {"holds no study"});

  Json by_graph = ranked_pipeline();
  by_graph["objectives"] = Json::array({{{"name", "parameters"}}});
  const fs::path sizes = write_file(folder / "sizes.json", by_graph.dump());
  REQUIRE(run({"run", sizes.string(), "--study", "study", "--quiet"}, folder.path()).code == 0);
  check_refused(rank(folder.path(), {}), {"all its objectives are told by the architecture alone"});
  fs::remove_all(folder / "study");

  Json endless = ranked_pipeline();
  endless["oneshot"]["args"]["epochs"] = 100000;
  const fs::path pipeline = write_file(folder / "pipeline.json", endless.dump());
  auto child = start({"run", pipeline.string(), "--study", "study", "--quiet"}, folder.path());
  wait_until(child, [&] { return fs::exists(folder / "study/oneshot/checkpoint.pt"); });
  kill(child.id(), SIGTERM);
  child.wait();
  check_refused(rank(folder.path(), {}), {"its one-shot search has not ended", "weft resume"});
}
