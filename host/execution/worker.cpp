#include "host/execution/worker.hpp"

#include <fmt/format.h>
#include <malloc.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <cstdio>
#include <iostream>
#include <memory>

#include "host/execution/assembly.hpp"
#include "host/execution/inline_executor.hpp"
#include "host/plugins/catalogue.hpp"
#include "host/processes/channel.hpp"
#include "host/processes/child.hpp"
#include "host/processes/signals.hpp"
#include "host/study/folder.hpp"

namespace weft::host {
namespace {

// The worker's log goes to the host, from whichever thread.
class ChannelSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit ChannelSink(Channel& channel) : channel_(channel) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    channel_.send({{"event", "log"},
                   {"level", static_cast<int>(message.level)},
                   {"text", std::string(message.payload.data(), message.payload.size())}});
  }
  void flush_() override {}
  Channel& channel_;
};

class Worker {
 public:
  explicit Worker(Channel& channel) : channel_(channel) {}

  int serve() {
    try {
      const std::optional<Json> hello = channel_.receive();
      if (!hello) return 0;
      set_up(*hello);
      while (const std::optional<Json> message = channel_.receive()) {
        if (message->contains("task")) {
          if (task_ != message->at("task")) assembly_.reset();
          task_ = message->at("task");
          continue;
        }
        const std::string job = message->at("job");
        if (job == "describe") {
          describe();
        } else if (job == "trial") {
          run_trial(*message);
        } else {
          drive_optimizer(job, *message);
        }
      }
      return 0;
    } catch (const InvalidInput& error) {
      channel_.send({{"event", "error"}, {"invalid", true}, {"text", error.what()}});
    } catch (const std::exception& error) {
      channel_.send({{"event", "error"}, {"invalid", false}, {"text", error.what()}});
    } catch (...) {
      channel_.send({{"event", "error"}, {"invalid", false}, {"text", "an exception of a foreign kind"}});
    }
    return 1;
  }

 private:
  void set_up(const Json& hello) {
    std::vector<std::filesystem::path> extra;
    for (const Json& folder : hello.at("plugin_path")) extra.emplace_back(folder.get<std::string>());
    catalogue_ = Catalogue::discover(extra);
    pipeline_ = Pipeline::resolve(hello.at("pipeline"), hello.at("file"), catalogue_);
    if (hello.contains("told")) pipeline_->keep_told(hello.at("told"));
    libraries_ = hello.value("libraries", Json::array());
    phase_ = hello.at("phase") == "final" ? Phase::final : Phase::search;
    task_ = hello.value("task", Json());
    test_ = hello.value("test", "");
  }

  Assembly& assembly() {
    if (!assembly_) assembly_ = std::make_unique<Assembly>(*pipeline_, task_, phase_, libraries_);
    return *assembly_;
  }

  // Creates everything once, the final evaluator and its test split included, so that bad input shows now.
  void describe() {
    const Json task = assembly().task();
    task_ = task;
    data_checked_ = true;
    const std::string fingerprint = assembly().evaluator().fingerprint();
    if (pipeline_->oneshot && !pipeline_->told.contains("oneshot")) assembly().oneshot();
    std::string test = task.value("test_fingerprint", "");
    if (pipeline_->final && phase_ == Phase::search) {
      Assembly last(*pipeline_, task_, Phase::final, libraries_);
      test = last.task().value("test_fingerprint", "");  // says what is to be said of the test split, too
      last.evaluator();
    }
    channel_.send({{"event", "described"},
                   {"task", task},
                   {"fingerprint", fingerprint + assembly().check_levels()},
                   {"test", test}});
  }

  void drive_optimizer(const std::string& job, const Json& message) {
    OptimizerRef optimizer = assembly().optimizer();
    Json answer = {{"event", "answer"}};
    if (job == "ask") {
      answer["proposals"] = Json::array();
      for (const Proposal& proposal : optimizer.ask(message.at("capacity").get<std::size_t>()))
        answer["proposals"].push_back(proposal.to_json());
    } else if (job == "tell") {
      optimizer.tell(TrialResult::from_json(message.at("result")));
    } else if (job == "retain") {
      const std::optional<std::vector<TrialId>> retained = optimizer.retain();
      answer["inherits"] = retained.has_value();
      answer["trials"] = retained.value_or(std::vector<TrialId>());
    } else if (job == "resumable") {
      const std::optional<std::vector<TrialId>> resumable = optimizer.resumable();
      answer["tells"] = resumable.has_value();
      answer["trials"] = resumable.value_or(std::vector<TrialId>());
    } else {
      answer["finished"] = optimizer.finished();
    }
    channel_.send(answer);
  }

  void expect_same(const char* what, const Json& was, const Json& is) const {
    if (was == is) return;
    throw Error(fmt::format(
        "{}: the {} were replaced while the study runs: their fingerprint was {}, is {}. Put back what they "
        "were and `weft resume`, or go on with --accept-changes",
        pipeline_->dataset->manifest->title(), what, was.dump(), is.dump()));
  }

  // What this worker reads must be what the study was described by: it may have been replaced since.
  void check_data() {
    if (data_checked_ || !pipeline_->dataset || !task_.is_object() || !task_.contains("fingerprint")) return;
    spdlog::logger& log = *spdlog::default_logger();
    const auto level = log.level();
    log.set_level(spdlog::level::off);  // what there is to say of the data was said when the study was described
    const Json now = assembly().task();
    log.set_level(level);
    expect_same("data", task_.at("fingerprint"), now.value("fingerprint", Json()));
    if (!test_.empty()) expect_same("test data", test_, now.value("test_fingerprint", Json()));
    data_checked_ = true;
  }

  void run_trial(const Json& message) {
    Job job{.trial = message.at("trial"),
            .genotype = Genotype::from_json(message.at("genotype")),
            .fidelity = Fidelity::from_json(message.at("fidelity"))};
    job.transfer = message.value("transfer", Json());
    for (const auto& [name, folder] : {std::pair("folder", &job.folder), std::pair("resume_folder", &job.resume_folder),
                                       std::pair("inherit_folder", &job.inherit_folder)}) {
      if (message.contains(name)) *folder = message.at(name).get<std::string>();
    }
    job.identity = message.value("identity", Json());
    job.trial == Job::one_shot ? static_cast<void>(assembly().oneshot()) : static_cast<void>(assembly().evaluator());
    check_data();
    ignore_stop_signals();  // a plugin may have undone it
    const auto started = std::chrono::steady_clock::now();
    JobResult result = InlineExecutor::run_job(assembly(), job, pipeline_->seed(), [&](TrialId, const Json& report) {
      channel_.send({{"event", "report"}, {"report", report}});
      const std::optional<Json> answer = channel_.receive();
      if (!answer) std::_Exit(1);  // the host is gone
      return static_cast<Verdict>(answer->at("verdict").get<int>());
    });
    result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    // On disk before it is told: if the host dies in between, the trial is not trained again.
    const bool derived = job.trial == Job::one_shot && result.metrics.contains("derived");
    if (job.folder && (result.state == TrialState::complete || derived)) leave_job_folder(job, result);
    std::cout.flush();
    std::fflush(nullptr);  // what was printed belongs to this trial
    malloc_trim(0);
    channel_.send({{"event", "result"},
                   {"state", to_string(result.state)},
                   {"metrics", result.metrics},
                   {"reason", result.reason}});
  }

  Channel& channel_;
  Catalogue catalogue_;
  std::optional<Pipeline> pipeline_;
  Phase phase_ = Phase::search;
  Json libraries_;
  bool data_checked_ = false;
  std::string test_;  // fingerprint of the test split, in the final phase
  Json task_;
  std::unique_ptr<Assembly> assembly_;
};

}  // namespace

int run_worker() {
  // Before anything allocates in earnest: here page faults cost more than arithmetic (design, section 10). One setting
  // without the other is slower than none.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, -1);
  ignore_stop_signals();
  std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // what was printed before a crash is known
  Channel channel(Child::channel_descriptor);
  auto logger = std::make_shared<spdlog::logger>("worker", std::make_shared<ChannelSink>(channel));
  logger->set_level(spdlog::level::debug);
  spdlog::set_default_logger(logger);
  const int code = Worker(channel).serve();
  spdlog::shutdown();
  return code;
}

}  // namespace weft::host
