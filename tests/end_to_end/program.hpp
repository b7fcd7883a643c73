// Runs the built program as a user does, on pipelines and data that the test makes.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <boost/process.hpp>
#include <boost/process/extend.hpp>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/catch.hpp"
#include "weft/json.hpp"

namespace weft::testing {

namespace fs = std::filesystem;

inline const std::string program = WEFT_TEST_BINARY "/bin/weft";

// A folder that goes with the test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (fs::temp_directory_path() / "weft-test-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::permissions(path_, fs::perms::owner_all, ignored);
    fs::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const fs::path& path() const { return path_; }
  fs::path operator/(const std::string& name) const { return path_ / name; }

 private:
  fs::path path_;
};

inline std::string read_file(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

inline fs::path write_file(const fs::path& file, const std::string& text) {
  std::ofstream(file, std::ios::binary) << text;
  return file;
}

struct Ran {
  int code = 0;
  std::string out, err;
};

// Output goes to files, so that nothing can block on a full pipe.
inline Ran run(const std::vector<std::string>& arguments, const fs::path& folder) {
  const fs::path out = folder / "stdout.txt";
  const fs::path err = folder / "stderr.txt";
  for (const fs::path& file : {out, err}) fs::remove(file);  // Boost.Process does not truncate
  Ran ran;
  ran.code = boost::process::system(
      program, arguments, boost::process::std_out > out.string(), boost::process::std_err > err.string(),
      boost::process::std_in < boost::process::null, boost::process::start_dir = folder.string());
  ran.out = read_file(out);
  ran.err = read_file(err);
  return ran;
}

// The stop signals do what they do in a terminal, however the tests were started, and it leads a process group of its
// own. `ignored` is a signal that it is told to ignore, as nohup does with SIGHUP.
inline boost::process::child start(const std::vector<std::string>& arguments, const fs::path& folder, int ignored = 0) {
  return boost::process::child(
      program, arguments, boost::process::std_out > boost::process::null,
      boost::process::std_err > (folder / "stderr.txt").string(), boost::process::std_in < boost::process::null,
      boost::process::start_dir = folder.string(), boost::process::extend::on_exec_setup = [ignored](auto&) {
        setpgid(0, 0);
        for (const int signal : {SIGINT, SIGTERM, SIGHUP}) std::signal(signal, signal == ignored ? SIG_IGN : SIG_DFL);
      });
}

// Waits until `reached`, or until the program has ended by itself. How long either takes is the machine's business.
template <typename Reached>
void wait_until(boost::process::child& child, const Reached& reached) {
  while (!reached() && child.running()) std::this_thread::sleep_for(std::chrono::milliseconds(10));
}

inline void check_says(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    INFO("missing: " << part << "\nin: " << text);
    CHECK(text.find(part) != std::string::npos);
  }
}

// The manifest of a library of tests/broken, which lies beside it as p.so.
inline Json broken_manifest(const std::string& kind) {
  return {{"manifest", 1},
          {"name", "broken"},
          {"kind", kind},
          {"tier", "stable"},
          {"version", "1.0.0"},
          {"abi", "1.0"},
          {"library", "p.so"},
          {"summary", "A test."},
          {"requires", Json::array()},
          {"provides", kind == "evaluator" ? Json{"metric.validation_accuracy"} : Json::array()},
          {"parameters", {{"type", "object"}}},
          {"license", "Apache-2.0"}};
}

// All cells of NAS-Bench-201, each with an accuracy that is a smooth function of its operations plus a little of its
// own.
inline fs::path write_table(const fs::path& file) {
  const char* operations[] = {"none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"};
  const double worth[] = {0.0, 3.0, 6.0, 9.0, 2.0};
  std::ofstream stream(file);
  stream << "architecture,accuracy\n";
  std::mt19937 random(7);
  for (int code = 0; code < 15625; ++code) {
    int digits[6], rest = code;
    double accuracy = 30.0;
    for (int& digit : digits) {
      digit = rest % 5;
      rest /= 5;
      accuracy += worth[digit];
    }
    const auto edge = [&](int at, int from) {
      return std::string(operations[digits[at]]) + "~" + std::to_string(from);
    };
    stream << "|" << edge(0, 0) << "|+|" << edge(1, 0) << "|" << edge(2, 1) << "|+|" << edge(3, 0) << "|" << edge(4, 1)
           << "|" << edge(5, 2) << "|," << accuracy + static_cast<double>(random() % 1000) / 1000.0 << "\n";
  }
  return file;
}

// Regularized evolution, as far as the budget lets anything be bred; else random search.
inline Json small_evolution(int population_size, int sample_size, int trials) {
  if (trials < 3) return {{"name", "random_search"}};
  const int alive = std::min(population_size, trials - 1);
  return {{"name", "regularized_evolution"},
          {"args", {{"population_size", alive}, {"sample_size", std::min(sample_size, alive)}}}};
}

inline Json table_pipeline(const fs::path& table, int trials) {
  return {
      {"pipeline", 1},
      {"name", "table"},
      {"seed", 5},
      {"space", {{"name", "nas_bench_201"}}},
      {"optimizer", small_evolution(8, 3, trials)},
      {"evaluator",
       {{"name", "table"}, {"args", {{"file", table.string()}, {"metrics", {{"validation_accuracy", "accuracy"}}}}}}},
      {"objectives", Json::array({{{"name", "accuracy"}}})},
      {"budget", {{"trials", trials}}}};
}

// Small networks on synthetic images: a trial takes a fraction of a second.
inline Json training_pipeline(int trials, const std::vector<std::string>& slots) {
  return {{"pipeline", 1},
          {"name", "training"},
          {"seed", 3},
          {"dataset",
           {{"name", "synthetic"}, {"args", {{"resolution", 8}, {"train", 320}, {"validation", 64}, {"test", 64}}}}},
          {"space",
           {{"name", "nasnet"},
            {"args",
             {{"cells", 1},
              {"filters", 4},
              {"blocks", 1},
              {"operations", {"identity", "conv_3x3", "max_pool_3x3"}},
              {"combine", {"add"}}}}}},
          {"optimizer", small_evolution(3, 2, trials)},
          {"evaluator", {{"name", "train"}, {"args", {{"epochs", 2}, {"batch_size", 32}, {"crop_padding", 1}}}}},
          {"objectives", Json::array({{{"name", "accuracy"}}, {{"name", "parameters"}, {"limit", 100000}}})},
          {"executor", {{"name", "local"}, {"slots", slots}}},
          {"budget", {{"trials", trials}}}};
}

// A network for the images of training_pipeline(), whose node "unit" has these attributes.
inline Json pipeline_of_fixed(const std::string& operation, const Json& attributes) {
  Json graph = Json::parse(R"({"architecture": 1, "output": "classifier", "nodes": [
      {"name": "input", "operation": "input", "attributes": {"shape": [3, 8, 8]}, "inputs": []},
      {"name": "unit", "operation": "", "attributes": {}, "inputs": ["input"]},
      {"name": "pool", "operation": "global_avg_pool", "attributes": {}, "inputs": ["unit"]},
      {"name": "classifier", "operation": "linear", "attributes": {"features": 4}, "inputs": ["pool"]}]})");
  graph["nodes"][1]["operation"] = operation;
  graph["nodes"][1]["attributes"] = attributes;
  Json pipeline = training_pipeline(2, {"cpu:1"});
  pipeline["space"] = {{"name", "fixed"}, {"args", {{"architecture", graph}}}};
  pipeline["optimizer"] = {{"name", "random_search"}};
  return pipeline;
}

// `weft trials --json` without what differs from run to run.
inline Json trials_of(const fs::path& study, const fs::path& folder) {
  const Ran ran = run({"trials", study.string(), "--json"}, folder);
  Json trials = Json::parse(ran.out);
  for (Json& trial : trials) trial.erase("seconds");
  return trials;
}

// Processes of this program whose parent is `parent`.
inline std::vector<int> children_of(int parent) {
  std::ifstream stream("/proc/" + std::to_string(parent) + "/task/" + std::to_string(parent) + "/children");
  return {std::istream_iterator<int>(stream), {}};
}

// False for one that has ended and waits to be asked for its status.
inline bool is_alive(int process) {
  const std::string status = read_file("/proc/" + std::to_string(process) + "/stat");
  const std::size_t name_end = status.rfind(')');
  return name_end != std::string::npos && status.size() > name_end + 2 && status[name_end + 2] != 'Z';
}

// True once it is gone: killing is not instant.
inline bool ends(int process) {
  for (int i = 0; i < 1000 && is_alive(process); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  return !is_alive(process);
}

// A pipeline whose trials a shell script runs, in workers. `$r` is the request, of which no more is needed.
inline Json command_pipeline(const fs::path& folder, const std::string& script, int trials,
                             const std::vector<std::string>& slots = {"cpu:1"}) {
  const fs::path file = write_file(folder / "trial.sh", "#!/bin/sh\nread -r r\n" + script + "\n");
  fs::permissions(file, fs::perms::owner_all);
  return {{"pipeline", 1},
          {"name", "command"},
          {"seed", 1},
          {"task", {{"input", {3, 8, 8}}, {"classes", 2}}},
          {"space", {{"name", "chain"}, {"args", {{"depth_limit", 3}}}}},
          {"optimizer", {{"name", "random_search"}}},
          {"evaluator", {{"name", "command"}, {"args", {{"command", {file.string()}}}}}},
          {"objectives", Json::array({{{"name", "accuracy"}}})},
          {"executor", {{"name", "local"}, {"slots", slots}}},
          {"budget", {{"trials", trials}}}};
}
inline const std::string command_result = R"(echo '{"event": "result", "metrics": {"validation_accuracy": 50}}')";

// Kills the study at `moments` random times, resuming it in between, then lets it finish.
inline void run_with_kills(const fs::path& pipeline, const fs::path& study, const fs::path& folder, int moments,
                    double longest_wait, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> wait(0.0, longest_wait);
  for (int moment = 0; moment < moments; ++moment) {
    const bool begun = fs::exists(study / "study.db");
    auto child = begun ? start({"resume", study.string(), "--quiet"}, folder)
                       : start({"run", pipeline.string(), "--study", study.string(), "--quiet"}, folder);
    std::this_thread::sleep_for(std::chrono::duration<double>(wait(random)));
    const std::vector<int> workers = children_of(child.id());
    kill(child.id(), SIGKILL);
    child.wait();
    for (int tries = 0; tries < 200; ++tries) {
      if (std::none_of(workers.begin(), workers.end(), is_alive)) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    for (const int worker : workers) {
      INFO("worker " << worker << " after kill " << moment);
      REQUIRE_FALSE(is_alive(worker));
    }
    // Killed between the folder and its journal: the user would begin anew.
    if (fs::exists(study) && !fs::exists(study / "study.db")) fs::remove_all(study);
  }
  const bool begun = fs::exists(study / "study.db");
  const Ran last = begun ? run({"resume", study.string(), "--quiet"}, folder)
                         : run({"run", pipeline.string(), "--study", study.string(), "--quiet"}, folder);
  INFO(last.err);
  REQUIRE(last.code == 0);
}

}  // namespace weft::testing
