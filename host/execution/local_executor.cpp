#include "host/execution/local_executor.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/process.hpp>
#include <boost/process/extend.hpp>
#include <csignal>
#include <cstring>

#include "host/execution/channel.hpp"

namespace weft::host {

namespace bp = boost::process;
using Clock = std::chrono::steady_clock;

namespace {

constexpr int worker_descriptor = 3;
constexpr std::size_t last_words = 1500;  // bytes of a dead worker's output that are quoted

// An unnamed file for what plugins and libraries print in a worker.
int open_output() {
  const int descriptor = memfd_create("worker", MFD_CLOEXEC);
  if (descriptor < 0) throw Error(fmt::format("cannot create a file for a worker's output: {}", std::strerror(errno)));
  return descriptor;
}

std::string tail_of(int descriptor) {
  const off_t size = lseek(descriptor, 0, SEEK_END);
  const off_t from = size > static_cast<off_t>(last_words) ? size - static_cast<off_t>(last_words) : 0;
  std::string text(static_cast<std::size_t>(std::max<off_t>(0, size - from)), '\0');
  const ssize_t count = pread(descriptor, text.data(), text.size(), from);
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(0, count)));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

// A slot as the worker's environment: "cpu:2" or "cuda:1". A worker sees only its own card.
bp::environment environment_of(const std::string& slot) {
  bp::environment environment = boost::this_process::environment();
  const std::string number = slot.substr(slot.find(':') + 1);
  const bool cuda = slot.rfind("cuda:", 0) == 0;
  environment["WEFT_DEVICE"] = cuda ? "cuda:0" : "cpu";
  environment["WEFT_THREADS"] = cuda ? "1" : number;
  environment["OMP_NUM_THREADS"] = cuda ? "1" : number;
  environment["CUDA_VISIBLE_DEVICES"] = cuda ? number : "";
  return environment;
}

}  // namespace

struct LocalExecutor::Worker {
  std::string slot;
  bp::child process;
  Channel channel;
  int output = -1;
  std::optional<TrialId> trial;
  Clock::time_point started;
  std::string note;

  bool alive() const { return channel.descriptor() >= 0; }
  void stop() {
    if (!alive()) return;
    std::error_code ignored;
    process.terminate(ignored);
    process.wait(ignored);
    close_all();
  }
  void close_all() {
    channel = Channel();
    if (output >= 0) close(output);
    output = -1;
  }
};

LocalExecutor::LocalExecutor(std::vector<std::string> slots, Json hello, OnReport on_report)
    : hello_(std::move(hello)), on_report_(std::move(on_report)) {
  for (std::string& slot : slots) {
    workers_.push_back(std::make_unique<Worker>());
    workers_.back()->slot = std::move(slot);
  }
}

LocalExecutor::~LocalExecutor() {
  for (const auto& worker : workers_) worker->stop();
}

void LocalExecutor::launch(Worker& worker) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    throw Error(fmt::format("cannot create a socket for a worker: {}", std::strerror(errno)));
  }
  worker.channel = Channel(ends[0]);
  // Above the numbers that the child's own descriptors take.
  const int theirs = fcntl(ends[1], F_DUPFD_CLOEXEC, 64);
  close(ends[1]);
  worker.output = open_output();
  const int output = worker.output;
  const pid_t host = getpid();
  worker.process = bp::child(
      bp::exe = std::filesystem::read_symlink("/proc/self/exe").string(), bp::args = {"worker"},
      environment_of(worker.slot), bp::posix::fd.bind(worker_descriptor, theirs),
      bp::extend::on_exec_setup = [output, host](auto&) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != host) _exit(1);  // the host died before the line above
        dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
        dup2(output, STDOUT_FILENO);
        dup2(output, STDERR_FILENO);
      });
  close(theirs);
  worker.channel.send(hello_);
}

Json LocalExecutor::describe() {
  Worker& worker = *workers_.front();
  if (!worker.alive()) launch(worker);
  worker.channel.send({{"job", "describe"}});
  while (std::optional<Json> message = worker.channel.receive()) {
    const std::string event = message->at("event");
    if (event == "described") {
      return message->at("task");
    } else if (event == "error") {
      const std::string text = message->at("text");
      worker.stop();
      if (message->at("invalid").get<bool>()) throw InvalidInput(text);
      throw Error(text);
    }
    handle(worker, *message);
  }
  throw Error(bury(worker).reason);
}

void LocalExecutor::set_task(const Json& task) {
  hello_["task"] = task;
  for (const auto& worker : workers_) {
    if (worker->alive()) worker->channel.send({{"task", task}});
  }
}

std::size_t LocalExecutor::free_slots() const {
  return static_cast<std::size_t>(
      std::count_if(workers_.begin(), workers_.end(), [](const auto& worker) { return !worker->trial; }));
}

void LocalExecutor::start(const Job& job) {
  for (const auto& worker : workers_) {
    if (worker->trial) continue;
    if (!worker->alive()) launch(*worker);
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
    worker->channel.send(message);  // if it is gone, wait() finds out
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
      if (!worker->alive()) continue;
      if (std::optional<Json> message = worker->channel.next_buffered()) {
        if (std::optional<JobResult> result = handle(*worker, *message)) return result;
        polled.clear();
        break;
      }
      polled.push_back({worker->channel.descriptor(), POLLIN, 0});
      order.push_back(worker.get());
    }
    if (polled.empty() && !order.empty()) continue;  // a message was handled: look at all buffers again
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    const int ready = poll(polled.data(), polled.size(), static_cast<int>(std::max<std::int64_t>(0, left.count())));
    if (ready <= 0) return {};  // time is up, or a signal came
    for (std::size_t i = 0; i < polled.size(); ++i) {
      if (polled[i].revents == 0 || order[i]->channel.read_available()) continue;
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
    spdlog::log(static_cast<spdlog::level::level_enum>(message.at("level").get<int>()), "{}",
                message.at("text").get<std::string>());
  } else if (event == "report") {
    const Json& report = message.at("report");
    worker.note = fmt::format("epoch {}", report.value("epoch", 0));
    for (const auto& [name, value] : report.items()) {
      if (name != "epoch" && value.is_number()) worker.note += fmt::format(", {} {:.4g}", name, value.get<double>());
    }
    worker.channel.send({{"verdict", static_cast<int>(on_report_(*worker.trial, report))}});
  } else if (event == "error") {
    // The worker could not set itself up: every further trial would fail the same way.
    const std::string text = message.at("text");
    worker.stop();
    throw Error(text);
  } else if (event == "result") {
    JobResult result{.trial = *worker.trial,
                     .state = trial_state(message.at("state").get<std::string>()),
                     .metrics = message.at("metrics"),
                     .reason = message.at("reason"),
                     .seconds = std::chrono::duration<double>(Clock::now() - worker.started).count()};
    worker.trial.reset();
    return result;
  }
  return {};
}

// A dead worker: says how it died.
JobResult LocalExecutor::bury(Worker& worker) {
  std::error_code ignored;
  worker.process.wait(ignored);
  const int status = worker.process.native_exit_code();
  std::string how = WIFSIGNALED(status)
                        ? fmt::format("was killed by signal {} ({})", WTERMSIG(status), strsignal(WTERMSIG(status)))
                        : fmt::format("exited with code {}", WEXITSTATUS(status));
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
    how += "; if nobody did this by hand, the system may have run out of memory";
  const std::string words = tail_of(worker.output);
  JobResult result{.trial = worker.trial.value_or(-1),
                   .state = TrialState::fail,
                   .reason = fmt::format("the worker of slot {} {}{}", worker.slot, how,
                                         words.empty() ? "" : "; its last words: " + words),
                   .seconds = std::chrono::duration<double>(Clock::now() - worker.started).count()};
  worker.trial.reset();
  worker.close_all();
  return result;
}

std::vector<SlotStatus> LocalExecutor::status() const {
  std::vector<SlotStatus> status;
  for (const auto& worker : workers_) status.push_back({worker->slot, worker->trial, worker->note});
  return status;
}

}  // namespace weft::host
