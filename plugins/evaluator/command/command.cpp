// Runs a program for each trial, which may be written in any language: a request as one JSON line to its standard
// input, reports and the result as JSON lines from its standard output. docs/command.md is the protocol.
//
// The program's standard error goes to stderr.txt in the trial's folder, and its end into the message of a trial that
// failed.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <thread>

#include "program.hpp"
#include "weft/plugin.hpp"
#include "weft/slot.hpp"

namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using command::Program;
using weft::Json;
using weft::TrialState;
using weft::Verdict;
using Clock = Program::Clock;

constexpr auto doubt = 250ms;
constexpr auto grace = 10s;  // from the result, or the end of its output, to the end of the program

std::map<std::string, std::string> variables_with(const Json& more) {
  std::map<std::string, std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const std::size_t equals = text.find('=', 1);
    if (equals != std::string::npos) variables[text.substr(0, equals)] = text.substr(equals + 1);
  }
  for (const auto& [name, value] : more.items()) {
    if (name.empty() || name.find('=') != std::string::npos)
      throw weft::InvalidInput("/environment has a variable \"" + name + "\"; a name is not empty and has no '='");
    variables[name] = value;
  }
  return variables;
}

command::Launch launch_of(const weft::Context& context) {
  command::Launch launch{.arguments = context.get<std::vector<std::string>>("command"),
                         .working_directory = context.configuration().value("working_directory", "")};
  const auto variables = variables_with(context.configuration().at("environment"));
  for (const auto& [name, value] : variables) launch.environment.push_back(name + "=" + value);
  const auto path = variables.find("PATH");
  const std::string& name = launch.arguments.front();
  const auto file = command::find_executable(name, path == variables.end() ? "/usr/bin:/bin" : path->second);
  if (!file) {
    std::error_code ignored;
    throw weft::InvalidInput("/command/0 is \"" + name + "\"; " +
                             (name.find('/') == std::string::npos ? "no folder of PATH has an executable of this name"
                              : fs::is_regular_file(name, ignored)
                                  ? "it is not executable; chmod +x it, or name its interpreter before it"
                                  : "no executable file is there, seen from " + fs::current_path().string()));
  }
  launch.file = *file;
  if (!launch.working_directory.empty() && !fs::is_directory(launch.working_directory)) {
    throw weft::InvalidInput("/working_directory is \"" + launch.working_directory.string() +
                             "\"; must be a folder that exists, seen from " + fs::current_path().string());
  }
  return launch;
}

// Where the program's standard error goes; without a folder of the trial, into memory.
command::Descriptor open_errors(const std::optional<fs::path>& folder) {
  const std::string file = folder ? (*folder / "stderr.txt").string() : "memory";
  command::Descriptor errors(folder ? open(file.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644)
                                    : memfd_create("stderr", MFD_CLOEXEC));
  if (!folder) fcntl(errors.get(), F_SETFL, O_APPEND);
  if (!errors.is_open()) throw weft::Error(file + " cannot be opened for writing: " + std::strerror(errno));
  return errors;
}

std::string shortened(std::string text, std::size_t size = 200) {
  if (text.size() > size) text = text.substr(0, size) + "...";
  return text;
}

const char* to_string(Verdict verdict) {
  return verdict == Verdict::stop ? "stop" : verdict == Verdict::pause ? "pause" : "continue";
}

// The exchange with one program, from the request that it was sent to its result.
class Conversation {
 public:
  Conversation(Program& program, std::string name, std::optional<double> seconds, const weft::Reporter& reporter,
               const weft::Log& log)
      : program_(program), name_(std::move(name)), seconds_(seconds), reporter_(reporter), log_(log) {
    if (seconds)
      limit_ = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(*seconds));
  }

  weft::Evaluation hold(const Json& request) {
    program_.write_line(request.dump());
    while (!result_) {
      const std::optional<std::string> line = program_.read_line(limit_);
      if (!line) fail_without_result();
      handle(*line);
    }
    program_.close_input();
    const Clock::time_point end = std::min(limit_, Clock::now() + grace);
    if (const auto line = program_.read_line(end))
      fail("wrote after its result, which must be the last line: " + shortened(*line));
    remark_on(program_.wait(end));
    return *result_;
  }

 private:
  void handle(const std::string& line) {
    if (line.size() > Program::longest_line) {
      fail("wrote a line of more than " + std::to_string(Program::longest_line) +
           " bytes; large data belongs into a file in the trial's folder");
    }
    Json message;
    try {
      message = weft::detail::parse_json(line);  // bounded
    } catch (const weft::Error&) {
      fail_without_json(line);
    }
    const Json event = message.is_object() ? message.value("event", Json()) : Json();
    if (event == "report") {
      report(message);
    } else if (event == "log") {
      log(message);
    } else if (event == "result") {
      result(message);
    } else {
      fail("wrote a line whose \"event\" is " + shortened(event.dump(), 40) +
           "; must be report, log or result: " + shortened(line));
    }
  }

  void report(Json message) {
    if (verdict_ != Verdict::go_on) {
      fail(std::string("reported again after the verdict \"") + to_string(verdict_) +
           "\"; it must read one line after each report, and answer this one with its result");
    }
    message.erase("event");
    const Json epoch = message.value("epoch", Json());
    if (!epoch.is_number_integer() || epoch <= epoch_) {
      fail("reported the epoch " + shortened(epoch.dump(), 40) +
           "; must be an integer above the one before, which was " + std::to_string(epoch_));
    }
    check_metrics(message, "report");
    epoch_ = epoch;
    verdict_ = reporter_.report(message);
    program_.write_line(Json{{"verdict", to_string(verdict_)}}.dump());
  }

  void log(const Json& message) {
    const Json text = message.value("text", Json());
    const Json level = message.value("level", Json("info"));
    if (!text.is_string()) fail("logged " + shortened(message.dump()) + "; \"text\" must be a text");
    if (level == "debug") return log_.debug(text.get<std::string>());
    if (level == "info") return log_.info(text.get<std::string>());
    if (level == "warning") return log_.warning(text.get<std::string>());
    if (level == "error") return log_.error(text.get<std::string>());
    fail("logged with the level " + shortened(level.dump(), 40) + "; must be debug, info, warning or error");
  }

  void result(const Json& message) {
    const Json metrics = message.value("metrics", Json());
    if (!metrics.is_object() || metrics.empty()) {
      fail("gave a result without metrics; \"metrics\" must be an object of numbers: " + shortened(message.dump()));
    }
    check_metrics(metrics, "result");
    result_ = weft::Evaluation{state_of(message), metrics};
  }

  // A program that was asked to end early did, unless it says that it had finished anyway.
  TrialState state_of(const Json& message) const {
    const TrialState asked = verdict_ == Verdict::stop    ? TrialState::pruned
                             : verdict_ == Verdict::pause ? TrialState::paused
                                                          : TrialState::complete;
    const Json state = message.value("state", Json(weft::to_string(asked)));
    if (state == weft::to_string(asked)) return asked;
    if (state == weft::to_string(TrialState::complete)) return TrialState::complete;
    fail("gave a result with the state " + shortened(state.dump(), 40) + "; after the verdict \"" +
         to_string(verdict_) + "\" it must be " + std::string(weft::to_string(asked)) +
         (verdict_ == Verdict::go_on ? "" : " or COMPLETE, or left out"));
  }

  void check_metrics(const Json& metrics, const char* event) const {
    for (const auto& [metric, value] : metrics.items()) {
      if (!value.is_number())
        fail("wrote a " + std::string(event) + " whose \"" + metric + "\" is " + shortened(value.dump(), 40) +
             "; must be a number");
    }
  }

  [[noreturn]] void fail_without_json(const std::string& line) const {
    for (const char* word : {"NaN", "Infinity", ": nan", ": inf"}) {
      if (line.starts_with("{") && line.find(word) != std::string::npos)
        fail("wrote a number that is not finite, which JSON does not have; the training may have diverged: " +
             shortened(line));
    }
    if (line.starts_with("{") && line.ends_with("}"))
      fail("wrote a line that is no event that can be read: " + shortened(line) +
           "; it must be JSON in UTF-8, its numbers within those of float64 and its nesting no deeper than " +
           std::to_string(weft::detail::deepest_nesting));
    fail("wrote a line that is not JSON: " + shortened(line) + "; everything but events belongs to its standard error");
  }

  [[noreturn]] void fail_without_result() {
    if (Clock::now() >= limit_) {
      fail("had no result after " + Json(*seconds_).dump() + " s, the limit of /seconds, and was killed");
    }
    const std::optional<int> status = program_.wait(std::min(limit_, Clock::now() + grace));
    // A signal to all processes may have ended it, of which the host is about to hear: then nothing has failed.
    std::this_thread::sleep_for(doubt);
    fail(!status                ? "closed its standard output without a result, and was killed"
         : *status == 0         ? "exited with code 0 without a result; its last line, flushed, must be {\"event\": "
                                  "\"result\", \"metrics\": {..}}"
         : WIFSIGNALED(*status) ? "was killed by signal " + std::to_string(WTERMSIG(*status)) + " (" +
                                      strsignal(WTERMSIG(*status)) + ") before its result"
                                : "exited with code " + std::to_string(WEXITSTATUS(*status)) + " without a result");
  }

  // The result stands, whatever became of the program.
  void remark_on(const std::optional<int>& status) const {
    if (!status) {
      log_.warning(name_ + " ran on after its result, and was killed");
    } else if (*status != 0) {
      log_.warning(name_ + " gave its result, but then " +
                   (WIFSIGNALED(*status) ? "was killed by signal " + std::to_string(WTERMSIG(*status))
                                         : "exited with code " + std::to_string(WEXITSTATUS(*status))));
    }
  }

  [[noreturn]] void fail(const std::string& what) const {
    const std::string words = program_.last_words();
    throw weft::Error(name_ + " " + what + (words.empty() ? "" : "; the end of its standard error:\n" + words));
  }

  Program& program_;
  std::string name_;
  std::optional<double> seconds_;
  const weft::Reporter& reporter_;
  const weft::Log& log_;
  Clock::time_point limit_ = Clock::time_point::max();
  std::int64_t epoch_ = 0;
  Verdict verdict_ = Verdict::go_on;  // the last one
  std::optional<weft::Evaluation> result_;
};

class Command final : public weft::Evaluator {
 public:
  explicit Command(const weft::Context& context)
      : launch_(launch_of(context)),
        space_(context.space()),
        task_(context.study().value("task", context.task().to_json())),
        job_(context.final_phase() ? "final" : "trial"),
        slot_(weft::own_slot()),
        log_(context.log()) {
    if (context.configuration().contains("seconds")) seconds_ = context.get<double>("seconds");
    for (const std::string& argument : launch_.arguments) name_ += (name_.empty() ? "" : " ") + argument;
    name_ = shortened(name_, 80);
  }

  weft::Evaluation evaluate(const weft::EvaluationRequest& request, const weft::Reporter& reporter) override {
    const Json message = to_json(request);
    Program program(launch_, open_errors(request.folder));
    return Conversation(program, name_, seconds_, reporter, log_).hold(message);
  }

 private:
  Json to_json(const weft::EvaluationRequest& request) const {
    Json json = space_.decode(request.genotype).to_json();  // architecture and recipe
    json["job"] = job_;
    json["trial"] = request.trial;
    json["genotype"] = request.genotype.to_json();
    json["notation"] = space_.notation(request.genotype);
    json["fidelity"] = request.fidelity.to_json();
    json["task"] = task_;
    json["seed"] = request.rng.derive("command")() >> 32;  // what every language's generator takes
    json["device"] = slot_.device;
    json["threads"] = slot_.threads;
    if (!request.transfer.is_null()) json["transfer"] = request.transfer;
    for (const auto& [name, folder] :
         {std::pair("folder", &request.folder), std::pair("parent_folder", &request.parent_folder),
          std::pair("resume_folder", &request.resume_folder), std::pair("inherit_folder", &request.inherit_folder)}) {
      if (*folder) json[name] = fs::absolute(**folder).string();
    }
    return json;
  }

  command::Launch launch_;
  weft::SpaceRef space_;
  Json task_;
  std::string job_;
  weft::Slot slot_;
  weft::Log log_;
  std::optional<double> seconds_;
  std::string name_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Command>("command"))
