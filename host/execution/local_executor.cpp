#include "host/execution/local_executor.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <fstream>
#include <map>

#include "host/pipelines/slots.hpp"
#include "host/plugins/refusal.hpp"
#include "host/processes/child.hpp"
#include "host/processes/message.hpp"
#include "host/processes/surroundings.hpp"

namespace weft::host {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

namespace {

// So much later does the host itself hear, at the most, of a signal to all processes that killed a worker.
constexpr auto doubt = 250ms;
// For the journal, the data, libraries and whatever a plugin opens.
constexpr std::size_t other_descriptors = 128;

// A slot as the worker's environment: "cpu:2" or "cuda:1". A worker sees only its own card.
std::map<std::string, std::string> environment_of(const std::string& slot) {
  const std::string number = slot.substr(slot.find(':') + 1);
  const bool cuda = slot.rfind("cuda:", 0) == 0;
  return {{"WEFT_DEVICE", cuda ? "cuda:0" : "cpu"},
          {"WEFT_THREADS", cuda ? "1" : number},
          {"OMP_NUM_THREADS", cuda ? "1" : number},
          {"CUDA_VISIBLE_DEVICES", cuda ? Machine::look().card(number) : ""}};
}

}  // namespace

std::string in_words(const Json& report) {
  std::string words = fmt::format("epoch {}", report.value("epoch", 0));
  if (report.contains("epochs")) words += fmt::format(" of {}", report.at("epochs").dump());
  for (const auto& [name, value] : report.items()) {
    if (name != "epoch" && name != "epochs" && value.is_number())
      words += fmt::format(", {} {:.4g}", name, value.get<double>());
  }
  return words;
}

struct LocalExecutor::Worker {
  std::string slot;
  std::unique_ptr<Child> process = {};  // null: not running
  std::optional<TrialId> trial = {};    // until its result was handed over
  std::optional<std::filesystem::path> folder = {};
  Clock::time_point started = {};
  Json report = {};                     // the last one
  std::size_t reports = 0;              // how many there were
  std::optional<JobResult> ended = {};  // how the trial ended
  Clock::time_point due = {};           // when that is handed over

  bool busy() const { return trial && !ended; }
};

void LocalExecutor::check_slots(std::size_t count, const std::string& place) {
  const std::size_t limit = raise_descriptor_limit();
  const std::size_t fit = (std::max(limit, other_descriptors) - other_descriptors) / Child::descriptors;
  if (count <= fit) return;
  if (fit == 0) {
    throw InvalidInput(
        fmt::format("{} has {} slots, but this process may open {} descriptors, of which it keeps {} for itself, and "
                    "each worker takes "
                    "{}; raise the limit (ulimit -Hn)",
                    place, count, limit, other_descriptors, Child::descriptors));
  }
  throw InvalidInput(fmt::format(
      "{} has {} slots; must not exceed {}, as this process may open {} descriptors and each worker takes {}; "
      "give fewer slots, or raise the limit (ulimit -Hn)",
      place, count, fit, limit, Child::descriptors));
}

LocalExecutor::LocalExecutor(std::vector<std::string> slots, Json hello, std::string evaluator, OnReport on_report)
    : hello_(std::move(hello)), evaluator_(std::move(evaluator)), on_report_(std::move(on_report)) {
  for (std::string& slot : slots) workers_.push_back(std::make_unique<Worker>(Worker{.slot = std::move(slot)}));
}

LocalExecutor::~LocalExecutor() {
  for (const auto& worker : workers_) {
    if (worker->process) worker->process->kill();  // all of them, before the first is waited for
  }
}

void LocalExecutor::launch(Worker& worker) {
  worker.process = std::make_unique<Child>(Child::Options{{"worker"}, environment_of(worker.slot)});
  worker.process->send(hello_);
}

LocalExecutor::Description LocalExecutor::describe() {
  Worker& worker = *workers_.front();
  if (!worker.process) launch(worker);
  worker.process->send({{"job", "describe"}});
  while (!worker.process->over()) {
    const std::optional<Json> message = worker.process->receive(Clock::now() + 1h);
    if (!message) continue;
    if (const std::string fault = fault_of(*message); !fault.empty()) {
      worker.process->condemn("broke the protocol: " + fault);
    } else if (message->at("event") == "described") {
      return {message->at("task"), message->at("fingerprint"), message->at("test")};
    } else if (message->at("event") == "error") {
      worker.process.reset();
      throw_error(*message);
    } else if (message->at("event") == "log") {
      handle(worker, *message);
    } else {
      worker.process->condemn(
          fmt::format("broke the protocol: \"{}\" is no description", message->at("event").get<std::string>()));
    }
  }
  throw Error(bury(worker).reason);
}

void LocalExecutor::set_task(const Json& task) {
  hello_["task"] = task;
  for (const auto& worker : workers_) {
    if (worker->process) worker->process->send({{"task", task}});
  }
}

std::size_t LocalExecutor::free_slots() const {
  return static_cast<std::size_t>(
      std::count_if(workers_.begin(), workers_.end(), [](const auto& worker) { return !worker->trial; }));
}

void LocalExecutor::start(const Job& job) {
  if (crashes_in_a_row_ >= quarantine_after) {
    throw Refusal(Code::quarantined, evaluator_,
                  fmt::format("is quarantined: it crashed {} times in a row, the last time so: {}", crashes_in_a_row_,
                              last_crash_),
                  "", "the study is kept; mend or replace the plugin, then `weft resume --accept-changes`");
  }
  for (const auto& worker : workers_) {
    if (worker->trial) continue;
    notice_death(*worker);
    if (!worker->process) launch(*worker);
    worker->process->take_output();  // what it printed since its last trial belongs to none
    worker->trial = job.trial;
    worker->folder = job.folder;
    worker->started = Clock::now();
    worker->report = Json();
    Json message = {{"job", "trial"},
                    {"trial", job.trial},
                    {"genotype", job.genotype.to_json()},
                    {"fidelity", job.fidelity.to_json()}};
    if (!job.transfer.is_null()) message["transfer"] = job.transfer;
    for (const auto& [name, folder] : {std::pair("folder", &job.folder), std::pair("resume_folder", &job.resume_folder),
                                       std::pair("inherit_folder", &job.inherit_folder)}) {
      if (*folder) message[name] = (*folder)->string();
    }
    if (!job.identity.is_null()) message["identity"] = job.identity;
    worker->process->send(message);  // if it is gone, wait() finds out
    return;
  }
  throw std::logic_error("start() without a free slot");
}

// A worker that died since it was last looked at fails no trial that it has not begun.
void LocalExecutor::notice_death(Worker& worker) {
  if (!worker.process) return;
  Child* const alone[] = {worker.process.get()};
  Child::await(alone, {});
  while (attend(worker)) continue;  // what it said before is heard first
}

std::optional<JobResult> LocalExecutor::wait(std::chrono::milliseconds timeout) {
  const Clock::time_point deadline = Clock::now() + timeout;
  rest({});  // hears who has something to say, however short the time
  for (;;) {
    bool idle = true;
    // Each has its turn, so that one which talks without end does not keep the others waiting.
    for (std::size_t i = 0; i < workers_.size(); ++i) {
      Worker& worker = *workers_[next_];
      next_ = (next_ + 1) % workers_.size();
      if (attend(worker)) idle = false;
      if (!worker.ended || worker.due > Clock::now()) continue;
      worker.trial.reset();
      return std::exchange(worker.ended, std::nullopt);
    }
    if (Clock::now() >= deadline) return {};
    if (idle && (!rest(deadline) || (alarm_ != nullptr && alarm_->rings()))) return {};
  }
}

// Until there is something to do. False when a signal came first.
bool LocalExecutor::rest(Clock::time_point until) const {
  std::vector<Child*> children;
  for (const auto& worker : workers_) {
    if (worker->process) children.push_back(worker->process.get());
    if (worker->ended) until = std::min(until, worker->due);
  }
  return Child::await(children, until, alarm_ == nullptr ? -1 : alarm_->descriptor());
}

// One message, or a death. Whether there was one.
bool LocalExecutor::attend(Worker& worker) {
  if (!worker.process) return false;
  if (const std::optional<Json> message = worker.process->next()) {
    std::string fault = fault_of(*message);
    const std::string event = fault.empty() ? message->at("event").get<std::string>() : "";
    if (!worker.busy() && (event == "report" || event == "result")) fault = "\"" + event + "\" belongs to no trial";
    if (fault.empty()) {
      handle(worker, *message);
    } else {
      worker.process->condemn("broke the protocol: " + fault);
    }
    return true;
  }
  if (!worker.process->over()) return false;
  if (worker.busy()) {
    end(worker, bury(worker));
    worker.due += doubt;
  } else {
    spdlog::warn("an idle worker died: {}", bury(worker).reason);
  }
  return true;
}

void LocalExecutor::handle(Worker& worker, const Json& message) {
  const std::string event = message.at("event");
  if (event == "log") {
    take_log(message);
  } else if (event == "report") {
    worker.report = message.at("report");
    ++worker.reports;
    if (const std::optional<Verdict> verdict = on_report_(*worker.trial, worker.report))
      worker.process->send({{"verdict", static_cast<int>(*verdict)}});
  } else if (event == "error") {
    // The worker could not set itself up: every further trial would fail the same way.
    const std::string text = message.at("text");
    worker.process.reset();
    throw Error(text);
  } else if (event == "result") {
    crashes_in_a_row_ = 0;
    end(worker, {.state = trial_state(message.at("state").get<std::string>()),
                 .metrics = message.at("metrics"),
                 .reason = message.at("reason")});
  }
}

void LocalExecutor::end(Worker& worker, JobResult result) {
  worker.due = Clock::now();
  result.trial = *worker.trial;
  result.seconds = std::chrono::duration<double>(worker.due - worker.started).count();
  worker.ended = std::move(result);
  if (worker.process) keep_output(worker);
}

void LocalExecutor::keep_output(Worker& worker) {
  const std::string text = worker.process->take_output();
  if (text.empty() || !worker.folder) return;
  const std::filesystem::path file = *worker.folder / "output.txt";
  if (!(std::ofstream(file, std::ios::binary) << text << std::flush))
    spdlog::warn("{}: cannot be written; a worker's output is lost", file.string());
}

// A worker that is over: says how it went.
JobResult LocalExecutor::bury(Worker& worker) {
  const std::string how = worker.process->bury();
  const bool crashed = worker.process->crashed();
  if (worker.busy()) crashes_in_a_row_ = crashed ? crashes_in_a_row_ + 1 : 0;
  JobResult result{.state = TrialState::fail, .reason = fmt::format("the worker of slot {} {}", worker.slot, how)};
  if (crashed) last_crash_ = result.reason;
  if (worker.busy()) keep_output(worker);
  worker.process.reset();
  return result;
}

void LocalExecutor::answer(TrialId trial, Verdict verdict) {
  for (const auto& worker : workers_) {
    if (worker->trial == trial && worker->busy() && worker->process)
      worker->process->send({{"verdict", static_cast<int>(verdict)}});
  }
}

void LocalExecutor::cancel(TrialId trial, const std::string& reason) {
  for (const auto& worker : workers_) {
    if (worker->trial != trial || worker->ended) continue;
    Child* const alone[] = {worker->process.get()};
    Child::await(alone, {});
    const std::size_t reports = worker->reports;
    while (!worker->ended && attend(*worker)) continue;      // its end may be among what it said
    if (worker->ended || worker->reports > reports) return;  // or it has just been told to stop
    worker->process->kill();
    end(*worker, {.state = TrialState::pruned, .reason = reason});
    worker->process.reset();
    return;
  }
}

std::vector<SlotStatus> LocalExecutor::status() const {
  std::vector<SlotStatus> status;
  for (const auto& worker : workers_) {
    status.push_back({worker->slot, worker->trial, worker->report.is_null() ? "" : in_words(worker->report)});
  }
  return status;
}

}  // namespace weft::host
