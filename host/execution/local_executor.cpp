#include "host/execution/local_executor.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>

#include "host/pipelines/slots.hpp"
#include "host/plugins/refusal.hpp"
#include "host/processes/child.hpp"

namespace weft::host {

using Clock = std::chrono::steady_clock;

namespace {

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
  for (const auto& [name, value] : report.items()) {
    if (name != "epoch" && value.is_number()) words += fmt::format(", {} {:.4g}", name, value.get<double>());
  }
  return words;
}

struct LocalExecutor::Worker {
  std::string slot;
  std::unique_ptr<Child> process;  // null: not running
  std::optional<TrialId> trial;
  Clock::time_point started;
  std::string note;
};

LocalExecutor::LocalExecutor(std::vector<std::string> slots, Json hello, std::string evaluator, OnReport on_report)
    : hello_(std::move(hello)), evaluator_(std::move(evaluator)), on_report_(std::move(on_report)) {
  for (std::string& slot : slots) {
    workers_.push_back(std::make_unique<Worker>());
    workers_.back()->slot = std::move(slot);
  }
}

LocalExecutor::~LocalExecutor() = default;

void LocalExecutor::launch(Worker& worker) {
  worker.process = std::make_unique<Child>(Child::Options{{"worker"}, environment_of(worker.slot)});
  worker.process->channel().send(hello_);
}

Json LocalExecutor::describe() {
  Worker& worker = *workers_.front();
  if (!worker.process) launch(worker);
  worker.process->channel().send({{"job", "describe"}});
  while (std::optional<Json> message = worker.process->channel().receive()) {
    const std::string event = message->at("event");
    if (event == "described") {
      return message->at("task");
    } else if (event == "error") {
      worker.process.reset();
      throw_error(*message);
    }
    handle(worker, *message);
  }
  throw Error(bury(worker).reason);
}

void LocalExecutor::set_task(const Json& task) {
  hello_["task"] = task;
  for (const auto& worker : workers_) {
    if (worker->process) worker->process->channel().send({{"task", task}});
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
                  "", "the study is kept; mend or replace the plugin, then `weft resume`");
  }
  for (const auto& worker : workers_) {
    if (worker->trial) continue;
    if (!worker->process) launch(*worker);
    worker->trial = job.trial;
    worker->started = Clock::now();
    worker->note.clear();
    Json message = {{"job", "trial"},
                    {"trial", job.trial},
                    {"genotype", job.genotype.to_json()},
                    {"fidelity", job.fidelity.to_json()}};
    if (!job.transfer.is_null()) message["transfer"] = job.transfer;
    if (job.folder) message["folder"] = job.folder->string();
    if (job.parent_folder) message["parent_folder"] = job.parent_folder->string();
    worker->process->channel().send(message);  // if it is gone, wait() finds out
    return;
  }
  throw std::logic_error("start() without a free slot");
}

std::optional<JobResult> LocalExecutor::wait(std::chrono::milliseconds timeout) {
  const Clock::time_point deadline = Clock::now() + timeout;
  for (;;) {
    std::vector<pollfd> polled;
    std::vector<Worker*> order;
    for (const auto& worker : workers_) {
      if (!worker->process) continue;
      Channel& channel = worker->process->channel();
      if (std::optional<Json> message = channel.next_buffered()) {
        if (std::optional<JobResult> result = handle(*worker, *message)) return result;
        polled.clear();
        break;
      }
      polled.push_back({channel.descriptor(), POLLIN, 0});
      order.push_back(worker.get());
    }
    if (polled.empty() && !order.empty()) continue;  // a message was handled: look at all buffers again
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    const int ready = poll(polled.data(), polled.size(), static_cast<int>(std::max<std::int64_t>(0, left.count())));
    if (ready <= 0) return {};  // time is up, or a signal came
    for (std::size_t i = 0; i < polled.size(); ++i) {
      if (polled[i].revents == 0 || order[i]->process->channel().read_available()) continue;
      const bool was_busy = order[i]->trial.has_value();
      JobResult result = bury(*order[i]);
      if (was_busy) return result;
      spdlog::warn("an idle worker died: {}", result.reason);
    }
  }
}

std::optional<JobResult> LocalExecutor::handle(Worker& worker, const Json& message) {
  const std::string event = message.at("event");
  if (event == "log") {
    take_log(message);
  } else if (event == "report") {
    const Json& report = message.at("report");
    worker.note = in_words(report);
    worker.process->channel().send({{"verdict", static_cast<int>(on_report_(*worker.trial, report))}});
  } else if (event == "error") {
    // The worker could not set itself up: every further trial would fail the same way.
    const std::string text = message.at("text");
    worker.process.reset();
    throw Error(text);
  } else if (event == "result") {
    JobResult result{.trial = *worker.trial,
                     .state = trial_state(message.at("state").get<std::string>()),
                     .metrics = message.at("metrics"),
                     .reason = message.at("reason"),
                     .seconds = std::chrono::duration<double>(Clock::now() - worker.started).count()};
    worker.trial.reset();
    crashes_in_a_row_ = 0;
    return result;
  }
  return {};
}

// A dead worker: says how it died.
JobResult LocalExecutor::bury(Worker& worker) {
  const std::string how = worker.process->bury();
  if (worker.trial) crashes_in_a_row_ = worker.process->crashed() ? crashes_in_a_row_ + 1 : 0;
  JobResult result{.trial = worker.trial.value_or(-1),
                   .state = TrialState::fail,
                   .reason = fmt::format("the worker of slot {} {}", worker.slot, how),
                   .seconds = std::chrono::duration<double>(Clock::now() - worker.started).count()};
  if (worker.process->crashed()) last_crash_ = result.reason;
  worker.trial.reset();
  worker.process.reset();
  return result;
}

std::vector<SlotStatus> LocalExecutor::status() const {
  std::vector<SlotStatus> status;
  for (const auto& worker : workers_) status.push_back({worker->slot, worker->trial, worker->note});
  return status;
}

}  // namespace weft::host
