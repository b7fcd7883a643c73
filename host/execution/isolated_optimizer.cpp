#include "host/execution/isolated_optimizer.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "host/plugins/refusal.hpp"
#include "host/processes/message.hpp"

namespace weft::host {

using namespace std::chrono_literals;

namespace {

// The process is gone; how it went.
struct Crash {
  std::string how;
};

}  // namespace

IsolatedOptimizer::IsolatedOptimizer(Json hello, std::string title, const std::atomic<bool>& interrupted)
    : hello_(std::move(hello)), title_(std::move(title)), interrupted_(interrupted) {}

std::vector<Proposal> IsolatedOptimizer::ask(std::size_t capacity) {
  const Json job = {{"job", "ask"}, {"capacity", capacity}};
  const Json answer = call(job, "proposals", Json::value_t::array);
  history_.push_back({job, answer});
  std::vector<Proposal> proposals;
  for (const Json& proposal : answer.at("proposals")) proposals.push_back(Proposal::from_json(proposal));
  return proposals;
}

void IsolatedOptimizer::tell(const TrialResult& result) {
  const Json job = {{"job", "tell"}, {"result", result.to_json()}};
  history_.push_back({job, call(job, "event", Json::value_t::string)});
}

bool IsolatedOptimizer::finished() const {
  return call({{"job", "finished"}}, "finished", Json::value_t::boolean).at("finished");
}

std::optional<std::vector<TrialId>> IsolatedOptimizer::retain() const {
  const Json answer = call({{"job", "retain"}}, "trials", Json::value_t::array);
  if (!answer.value("inherits", false)) return {};
  return answer.at("trials").get<std::vector<TrialId>>();
}

std::optional<std::vector<TrialId>> IsolatedOptimizer::resumable() const {
  const Json answer = call({{"job", "resumable"}}, "trials", Json::value_t::array);
  if (!answer.value("tells", false)) return {};
  return answer.at("trials").get<std::vector<TrialId>>();
}

// The answer, which has this member, from as many processes as it takes.
Json IsolatedOptimizer::call(const Json& job, const char* member, Json::value_t type) const {
  for (;;) {
    try {
      if (!child_) {
        child_ = std::make_unique<Child>(Child::Options{{"worker"}, {{"WEFT_THREADS", "1"}, {"OMP_NUM_THREADS", "1"}}});
        child_->send(hello_);
        for (const Call& earlier : history_) repeat(earlier);
      }
      Json answer = exchange(job);
      if (answer.value(member, Json()).type() != type) condemn(fmt::format("an answer without \"{}\"", member));
      crashes_in_a_row_ = 0;
      return answer;
    } catch (const Crash& crash) {
      child_.reset();
      const std::string call = job.at("job");
      if (++crashes_in_a_row_ >= quarantine_after) {
        throw Refusal(Code::quarantined, title_,
                      fmt::format("is quarantined: {} ended its process {} times in a row, the last time so: it {}",
                                  call, crashes_in_a_row_, crash.how),
                      "", "the study is kept; mend or replace the plugin, then `weft resume --accept-changes`");
      }
      spdlog::warn("{}: {} ended its process: it {}; it is started again", title_, call, crash.how);
    }
  }
}

void IsolatedOptimizer::repeat(const Call& earlier) const {
  if (exchange(earlier.job) == earlier.answer) return;
  throw Error(fmt::format(
      "{} was started again after a crash and answered {} otherwise than before, so it cannot be brought to where it "
      "was. Its proposals must follow from its arguments, its random stream and what it is told alone",
      title_, earlier.job.at("job").get<std::string>()));
}

Json IsolatedOptimizer::exchange(const Json& job) const {
  child_->send(job);
  for (;;) {
    const std::optional<Json> message = child_->receive(Child::Clock::now() + 200ms);
    if (interrupted_) throw Error(fmt::format("{} was interrupted", job.at("job").get<std::string>()));
    if (!message && child_->over()) throw Crash{child_->bury()};
    if (!message) continue;
    if (const std::string fault = fault_of(*message); !fault.empty()) condemn(fault);
    const std::string event = message->at("event");
    if (event == "error") throw_error(*message);
    if (event == "answer") return *message;
    if (event != "log") condemn(fmt::format("\"{}\" answers no call of an optimizer", event));
    take_log(*message);
  }
}

void IsolatedOptimizer::condemn(const std::string& fault) const {
  child_->condemn("broke the protocol: " + fault);
  throw Crash{child_->bury()};
}

}  // namespace weft::host
