#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "tests/catch.hpp"
#include "weft/testing/evaluator_contract.hpp"
#include "weft/testing/small_space.hpp"

using namespace weft;
using namespace weft::testing;
using evaluator_contract::Folder;
using evaluator_contract::Listener;

namespace {

std::string read_file(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// A shell program on disk, and the evaluator that runs it. Shell variables: $folder is the program's own.
class Bench {
 public:
  explicit Bench(const std::string& script, Json args = Json::object(), Json study = Json::object())
      : space_(small_space(), {}), args_(std::move(args)), study_(std::move(study)) {
    file_ = folder_.path() / "program.sh";
    std::ofstream(file_) << "#!/bin/sh\nfolder=" << folder_.path().string() << "\n" << script << "\n";
    std::filesystem::permissions(file_, std::filesystem::perms::owner_all);
    if (!args_.contains("command")) args_["command"] = {file_.string()};
  }

  const std::filesystem::path& folder() const { return folder_.path(); }
  const Json& args() const { return args_; }
  Surroundings surroundings() const { return {.study = study_, .collaborators = {{"space", space_.handle()}}}; }

  Evaluation evaluate(Listener listener = {}) const {
    const Instance instance(Plugin::open("evaluator", "command"), args_, surroundings());
    return EvaluatorRef(instance.handle()).evaluate(request(), listener.reporter());
  }
  EvaluationRequest request() const {
    return {.trial = 7, .genotype = Genotype({0, 1, 2, 3, 4, 0}), .folder = folder_.path(), .rng = Rng(5)};
  }
  std::string failure(const Listener& listener = {}) const {
    try {
      evaluate(listener);
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  }
  std::string read(const std::string& name) const { return read_file(folder_.path() / name); }

 private:
  Folder folder_;
  std::filesystem::path file_;
  Instance space_;
  Json args_, study_;
};

const std::string good_result = R"(echo '{"event": "result", "metrics": {"validation_accuracy": 91.5}}')";
const std::string three_epochs = R"(read request
for epoch in 1 2 3; do
  echo '{"event": "report", "epoch": '$epoch', "validation_accuracy": '$epoch'0}'
  read verdict
  echo "$verdict" >> $folder/verdicts
  case "$verdict" in *continue*) ;; *) break ;; esac
done
echo '{"event": "result", "metrics": {"validation_accuracy": '$epoch'0}}')";

bool is_alive(int process) {
  const std::string status = read_file("/proc/" + std::to_string(process) + "/stat");
  const std::size_t name_end = status.rfind(')');
  return name_end != std::string::npos && status.size() > name_end + 2 && status[name_end + 2] != 'Z';
}

// True once the process is gone; killing is not instant.
bool ends(int process) {
  for (int i = 0; i < 200 && is_alive(process); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  return !is_alive(process);
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

TEST_CASE("command keeps the contract of evaluators") {
  // With all metrics that the manifest promises, and a checkpoint that the next attempt goes on from.
  const std::string program = R"sh(read request
own=$(echo "$request" | sed -n 's/.*[{,] *"folder": *"\([^"]*\)".*/\1/p')
epoch=0
[ -n "$own" ] && [ -f "$own/checkpoint.pt" ] && epoch=$(cat "$own/checkpoint.pt")
while [ $epoch -lt 3 ]; do
  epoch=$((epoch + 1))
  echo '{"event": "report", "epoch": '$epoch', "validation_accuracy": '$epoch'0}'
  read verdict
  [ -n "$own" ] && echo $epoch > "$own/checkpoint.pt"
  case "$verdict" in *continue*) ;; *) break ;; esac
done
echo '{"event": "result", "metrics": {"validation_accuracy": '$epoch'0, "validation_perplexity": 5}}')sh";
  const Bench bench(program);
  check_evaluator(Plugin::open("evaluator", "command"), bench.args(), bench.surroundings());
}

TEST_CASE("command: what the program is told") {
  const Bench bench(
      "read -r request; printf '%s' \"$request\" > $folder/request; " + good_result, {},
      {{"task", {{"input", {1, 8, 8}}, {"classes", 3}, {"splits", {{"train", 100}}}}}, {"phase", "final"}});
  setenv("WEFT_DEVICE", "cuda:0", 1);
  setenv("WEFT_THREADS", "3", 1);
  const Instance instance(Plugin::open("evaluator", "command"), bench.args(), bench.surroundings());
  unsetenv("WEFT_DEVICE");
  unsetenv("WEFT_THREADS");
  EvaluationRequest request = bench.request();
  request.fidelity = {.epochs = 4, .resume_from = 2};
  request.transfer = {{"kind", "copy"}};
  request.resume_folder = "relative/2";
  request.inherit_folder = "/absolute/3";
  Listener listener;
  const Evaluation evaluation = EvaluatorRef(instance.handle()).evaluate(request, listener.reporter());
  CHECK(evaluation.metrics == Json{{"validation_accuracy", 91.5}});

  Json told = Json::parse(bench.read("request"));
  const SpaceRef space(bench.surroundings().collaborators.at("space"));
  CHECK(Candidate::from_json(told).hash() == space.decode(request.genotype).hash());
  for (const char* member : {"architecture", "recipe"}) told.erase(member);
  const std::uint64_t seed = told.at("seed");
  CHECK(seed < (std::uint64_t{1} << 32));
  told.erase("seed");
  CHECK(told == Json{{"job", "final"},
                     {"trial", 7},
                     {"genotype", {0, 1, 2, 3, 4, 0}},
                     {"notation", "0,1,2,3,4,0"},
                     {"fidelity", {{"epochs", 4}, {"resume_from", 2}}},
                     {"transfer", {{"kind", "copy"}}},
                     {"task", {{"input", {1, 8, 8}}, {"classes", 3}, {"splits", {{"train", 100}}}}},
                     {"folder", bench.folder().string()},
                     {"parent_folder", (std::filesystem::current_path() / "relative/2").string()},
                     {"resume_folder", (std::filesystem::current_path() / "relative/2").string()},
                     {"inherit_folder", "/absolute/3"},
                     {"device", "cuda:0"},
                     {"threads", 3}});
}

TEST_CASE("command: the seed is the trial's") {
  const Bench bench("read -r request; echo \"$request\" >> $folder/requests; " + good_result);
  const Instance instance(Plugin::open("evaluator", "command"), bench.args(), bench.surroundings());
  EvaluationRequest request = bench.request();
  Listener listener;
  for (const std::uint64_t stream : {5, 6, 5}) {
    request.rng = Rng(stream);
    EvaluatorRef(instance.handle()).evaluate(request, listener.reporter());
  }
  std::ifstream lines(bench.folder() / "requests");
  std::vector<Json> seeds;
  for (std::string line; std::getline(lines, line);) seeds.push_back(Json::parse(line).at("seed"));
  REQUIRE(seeds.size() == 3);
  CHECK(seeds[0] == seeds[2]);
  CHECK(seeds[0] != seeds[1]);
}

TEST_CASE("command: reports are passed on, verdicts passed back") {
  const Bench whole(three_epochs);
  Listener listener;
  const Instance instance(Plugin::open("evaluator", "command"), whole.args(), whole.surroundings());
  CHECK(EvaluatorRef(instance.handle()).evaluate(whole.request(), listener.reporter()).state == TrialState::complete);
  REQUIRE(listener.reports.size() == 3);
  CHECK(listener.reports[1] == Json{{"epoch", 2}, {"validation_accuracy", 20}});

  const Bench stopped(three_epochs);
  const Evaluation evaluation = stopped.evaluate({.at = 2, .answer = Verdict::stop});
  CHECK(evaluation.state == TrialState::pruned);
  CHECK(evaluation.metrics == Json{{"validation_accuracy", 20}});
  CHECK(stopped.read("verdicts") == "{\"verdict\":\"continue\"}\n{\"verdict\":\"stop\"}\n");
  CHECK(Bench(three_epochs).evaluate({.at = 1, .answer = Verdict::pause}).state == TrialState::paused);
}

TEST_CASE("command: a result may say how it ended, within what it was asked for") {
  const auto program = [](const std::string& state) {
    return R"(read request
echo '{"event": "report", "epoch": 1}'
read verdict
echo '{"event": "result", "state": ")" +
           state + R"(", "metrics": {"validation_accuracy": 1}}')";
  };
  const Listener stop{.at = 1, .answer = Verdict::stop};
  CHECK(Bench(program("PRUNED")).evaluate(stop).state == TrialState::pruned);
  CHECK(Bench(program("COMPLETE")).evaluate(stop).state == TrialState::complete);
  CHECK_THAT(Bench(program("PAUSED")).failure(stop),
             ContainsSubstring("state \"PAUSED\"; after the verdict \"stop\" it must be PRUNED or COMPLETE"));
  CHECK_THAT(Bench(program("PRUNED")).failure(),
             ContainsSubstring("state \"PRUNED\"; after the verdict \"continue\" it must be COMPLETE"));
}

TEST_CASE("command: a program that cannot be started is refused before any trial") {
  const auto refusal = [](const Json& args) { return Bench(good_result, args).failure(); };
  CHECK_THAT(refusal({{"command", {"no-such-program"}}}),
             ContainsSubstring("/command/0 is \"no-such-program\"; no folder of PATH"));
  CHECK_THAT(refusal({{"command", {"./no-such-program"}}}), ContainsSubstring("no executable file is there"));
  CHECK_THAT(refusal({{"command", {""}}}), ContainsSubstring("no folder of PATH"));
  CHECK_THAT(refusal({{"command", {"sh"}}, {"environment", {{"PATH", "/nowhere"}}}}), ContainsSubstring("of PATH"));
  CHECK_THAT(refusal({{"working_directory", "/nowhere"}}), ContainsSubstring("must be a folder that exists"));
  CHECK_THAT(refusal({{"environment", {{"A=B", "1"}}}}), ContainsSubstring("has no '='"));

  const Bench bench(good_result);
  std::filesystem::permissions(bench.folder() / "program.sh", std::filesystem::perms::owner_read);
  CHECK_THAT(bench.failure(), ContainsSubstring("it is not executable; chmod +x it"));
  std::filesystem::permissions(bench.folder() / "program.sh", std::filesystem::perms::owner_all);
  std::ofstream(bench.folder() / "program.sh") << good_result;  // as before, but nothing says who reads it
  CHECK_THAT(bench.failure(), ContainsSubstring("Exec format error; a script begins with the line #!"));
}

TEST_CASE("command: environment and working directory") {
  const Bench bench("echo \"$COLOUR $(pwd)\" >&2; " + good_result,
                    {{"environment", {{"COLOUR", "blue"}}}, {"working_directory", "/usr"}});
  CHECK(bench.evaluate().state == TrialState::complete);
  CHECK(bench.read("stderr.txt") == "blue /usr\n");
}

TEST_CASE("command: a program that does not keep the protocol fails its trial with what it did") {
  const auto failure = [](const std::string& script) { return Bench("read request\n" + script).failure(); };
  const auto writes = [&](const std::string& line) { return failure("echo '" + line + "'; read forever"); };
  CHECK_THAT(failure("exit 3"), ContainsSubstring("program.sh exited with code 3 without a result"));
  CHECK_THAT(failure("echo 'out of cheese' >&2; exit 1"), ContainsSubstring("standard error:\nout of cheese"));
  const Bench twice("read request; mkdir $folder/here 2> /dev/null && echo first >&2; exit 1");
  CHECK_THAT(twice.failure(), ContainsSubstring("first"));
  CHECK_THAT(twice.failure(), !ContainsSubstring("first"));  // the file has the words of both attempts
  CHECK_THAT(failure("exit 0"), ContainsSubstring("its last line, flushed, must be {\"event\": \"result\""));
  CHECK_THAT(failure("kill -SEGV $$"), ContainsSubstring("was killed by signal 11 (Segmentation fault)"));
  CHECK_THAT(writes("Epoch 1 of 10"), ContainsSubstring("a line that is not JSON: Epoch 1 of 10; everything but"));
  CHECK_THAT(writes(std::string(5000, 'x')), ContainsSubstring(std::string(200, 'x') + "...;"));
  CHECK_THAT(writes(R"({"event": "report", "epoch": 1, "loss": NaN})"), ContainsSubstring("not finite"));
  CHECK_THAT(writes(R"({"event": "progress"})"),
             ContainsSubstring("\"event\" is \"progress\"; must be report, log or"));
  CHECK_THAT(writes("[1]"), ContainsSubstring("\"event\" is null"));
  CHECK_THAT(writes(R"({"event": "result"})"), ContainsSubstring("a result without metrics"));
  CHECK_THAT(writes(R"({"event": "result", "metrics": {}})"), ContainsSubstring("a result without metrics"));
  CHECK_THAT(writes(R"({"event": "result", "metrics": {"loss": null}})"),
             ContainsSubstring("\"loss\" is null; must be"));
  CHECK_THAT(writes(R"({"event": "result", "metrics": {"loss": Infinity}})"), ContainsSubstring("not finite"));
  CHECK_THAT(writes(R"({"event": "result", "metrics": {"loss": 1e999}})"),
             ContainsSubstring("within those of float64"));
  CHECK_THAT(writes("{\"event\": \"log\", \"text\": \"caf\xe9\"}"), ContainsSubstring("JSON in UTF-8"));
  CHECK_THAT(writes(R"({"event": "report", "epoch": 1, "loss": "low"})"),
             ContainsSubstring("\"loss\" is \"low\"; must"));
  CHECK_THAT(writes(R"({"event": "report", "loss": 1})"), ContainsSubstring("the epoch null; must be an integer"));
  CHECK_THAT(writes(R"({"event": "report", "epoch": 0})"), ContainsSubstring("above the one before, which was 0"));
  CHECK_THAT(writes(R"({"event": "log", "text": 3})"), ContainsSubstring("\"text\" must be a text"));
  CHECK_THAT(writes(R"({"event": "log", "text": "a", "level": "loud"})"), ContainsSubstring("level \"loud\""));
  CHECK_THAT(failure("head -c 1048577 /dev/zero | tr '\\0' x; read forever"),
             ContainsSubstring("more than 1048576 bytes"));
  CHECK_THAT(failure(good_result + "\necho 'and more'"), ContainsSubstring("wrote after its result"));
}

TEST_CASE("command: a program that ignores the verdict stop fails its trial") {
  const Bench bench(R"(read request
echo '{"event": "report", "epoch": 1}'
echo '{"event": "report", "epoch": 2}'
)" + good_result);
  CHECK(bench.evaluate().metrics.at("validation_accuracy") == 91.5);
  CHECK_THAT(bench.failure({.at = 1, .answer = Verdict::stop}), ContainsSubstring("again after the verdict \"stop\""));
}

// What is written to it then must not end this process by SIGPIPE.
TEST_CASE("command: a program may close its input") {
  const std::string reports = R"(
echo '{"event": "report", "epoch": 1}'
sleep 0.1
echo '{"event": "report", "epoch": 2}'
)";
  const Bench deaf("exec 0<&-" + reports + good_result);
  CHECK(deaf.evaluate().metrics.at("validation_accuracy") == 91.5);
  CHECK_THAT(deaf.failure({.at = 1, .answer = Verdict::stop}), ContainsSubstring("it must read one line after each"));
  CHECK_THAT(Bench("exec 0<&-" + reports).failure(), ContainsSubstring("exited with code 0 without a result"));
}

TEST_CASE("command: request and log larger than a pipe, neither side waiting for the other") {
  const std::string variable(100000, 'v');
  const Bench bench(R"(i=0
while [ $i -lt 3000 ]; do
  echo '{"event": "log", "level": "debug", "text": "0123456789012345678901234567890123456789"}'
  i=$((i + 1))
done
read -r request
printf '%s' "$request" > $folder/request
)" + good_result);
  const Instance instance(Plugin::open("evaluator", "command"), bench.args(), bench.surroundings());
  EvaluationRequest request = bench.request();
  request.transfer = {{"padding", variable}};
  Listener listener;
  EvaluatorRef(instance.handle()).evaluate(request, listener.reporter());
  CHECK(Json::parse(bench.read("request")).at("transfer").at("padding") == variable);
}

TEST_CASE("command: a time limit ends the program and what it started") {
  const auto start = std::chrono::steady_clock::now();
  const Bench bench("read request; sleep 600 & echo $! > $folder/pid; wait", {{"seconds", 1.5}});
  CHECK_THAT(bench.failure(), ContainsSubstring("had no result after 1.5 s, the limit of /seconds, and was killed"));
  CHECK(seconds_since(start) < 60.0);
  CHECK(ends(std::stoi(bench.read("pid"))));
}

TEST_CASE("command: what a program leaves running does not outlive its trial, nor delay it") {
  const auto start = std::chrono::steady_clock::now();
  const Bench bench("read request; sleep 600 & echo $! > $folder/pid; " + good_result);
  CHECK(bench.evaluate().metrics.at("validation_accuracy") == 91.5);
  CHECK(ends(std::stoi(bench.read("pid"))));
  const Bench silent("read request; sleep 600 & echo $! > $folder/pid");
  CHECK_THAT(silent.failure(), ContainsSubstring("exited with code 0 without a result"));
  CHECK(ends(std::stoi(silent.read("pid"))));
  CHECK(seconds_since(start) < 60.0);
}

TEST_CASE("command: neither a session of its own nor the death of its parent lets a process escape") {
  const std::string daemon =
      "(setsid sh -c 'echo $$ > '$folder'/daemon; trap \"\" TERM HUP; sleep 600' &)\n"
      "until [ -s $folder/daemon ]; do sleep 0.01; done\n";
  const Bench bench("read request; " + daemon + good_result);
  CHECK(bench.evaluate().metrics.at("validation_accuracy") == 91.5);
  CHECK(ends(std::stoi(bench.read("daemon"))));
  const Bench failing("read request; " + daemon + "exit 3");
  CHECK_THAT(failing.failure(), ContainsSubstring("exited with code 3"));
  CHECK(ends(std::stoi(failing.read("daemon"))));
}

TEST_CASE("command: of a standard error without end the last part is kept") {
  const Bench bench("read request; head -c 6000000 /dev/zero | tr '\\0' x >&2; echo 'last words' >&2; exit 1");
  CHECK_THAT(bench.failure(), ContainsSubstring("last words"));
  const std::string kept = bench.read("stderr.txt");
  CHECK(kept.size() < 4 << 20);
  CHECK(kept.starts_with("["));
  CHECK_THAT(kept.substr(0, 100), ContainsSubstring("bytes before this were not kept]"));
}

TEST_CASE("command: a result stands, whatever the program does afterwards") {
  CHECK(Bench(good_result + "; exit 1").evaluate().metrics.at("validation_accuracy") == 91.5);
  CHECK(Bench(good_result + "; sleep 600", {{"seconds", 1.5}}).evaluate().metrics.at("validation_accuracy") == 91.5);
  CHECK(Bench("printf '" + good_result.substr(6, good_result.size() - 7) + "'").evaluate().state ==
        TrialState::complete);
}

// A worker ignores Ctrl-C and holds files; a program must not notice.
TEST_CASE("command: a program inherits no signal settings and no descriptors") {
  int ends_of_pipe[2];
  REQUIRE(pipe(ends_of_pipe) == 0);
  auto* before = std::signal(SIGINT, SIG_IGN);
  sigset_t blocked, restored;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &blocked, &restored);
  const Bench bench("grep -E '^Sig(Blk|Ign)' /proc/self/status > $folder/signals; ls /proc/self/fd > $folder/fds; " +
                    good_result);
  bench.evaluate();
  pthread_sigmask(SIG_SETMASK, &restored, nullptr);
  std::signal(SIGINT, before);
  for (const int end : ends_of_pipe) close(end);
  const std::string zeros = "\t0000000000000000\n";
  CHECK(bench.read("signals") == "SigBlk:" + zeros + "SigIgn:" + zeros);
  CHECK(bench.read("fds") == "0\n1\n2\n3\n");  // the last is the folder that `ls` reads
}

TEST_CASE("command: a program dies with the process that started it") {
  const Bench bench("read request; setsid sleep 600 & echo $! > $folder/daemon; echo $$ > $folder/pid; exec sleep 600");
  const pid_t worker = fork();
  if (worker == 0) {
    bench.failure();
    _exit(0);
  }
  for (int i = 0; i < 500 && bench.read("pid").empty(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  REQUIRE(!bench.read("pid").empty());
  const int program = std::stoi(bench.read("pid"));
  CHECK(is_alive(program));
  kill(worker, SIGKILL);
  int status = 0;
  waitpid(worker, &status, 0);
  CHECK(ends(program));
  CHECK(ends(std::stoi(bench.read("daemon"))));
}
