#include "host/execution/isolated_optimizer.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <spdlog/spdlog.h>

#include "host/plugins/refusal.hpp"

namespace weft::host {
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
  const Json answer = call(job);
  history_.push_back(job);
  std::vector<Proposal> proposals;
  for (const Json& proposal : answer.at("proposals")) proposals.push_back(Proposal::from_json(proposal));
  return proposals;
}

void IsolatedOptimizer::tell(const TrialResult& result) {
  const Json job = {{"job", "tell"}, {"result", result.to_json()}};
  call(job);
  history_.push_back(job);
}

bool IsolatedOptimizer::finished() const { return call({{"job", "finished"}}).at("finished"); }

// The answer, from as many processes as it takes.
Json IsolatedOptimizer::call(const Json& job) const {
  for (;;) {
    try {
      if (!child_) {
        child_ = std::make_unique<Child>(Child::Options{{"worker"}, {{"WEFT_THREADS", "1"}, {"OMP_NUM_THREADS", "1"}}});
        child_->channel().send(hello_);
        for (const Json& earlier : history_) exchange(earlier);
      }
      Json answer = exchange(job);
      crashes_in_a_row_ = 0;
      return answer;
    } catch (const Crash& crash) {
      child_.reset();
      const std::string call = job.at("job");
      if (++crashes_in_a_row_ >= quarantine_after) {
        throw Refusal(Code::quarantined, title_,
                      fmt::format("is quarantined: {} ended its process {} times in a row, the last time so: it {}",
                                  call, crashes_in_a_row_, crash.how),
                      "", "the study is kept; mend or replace the plugin, then `weft resume`");
      }
      spdlog::warn("{}: {} ended its process: it {}; it is started again", title_, call, crash.how);
    }
  }
}

Json IsolatedOptimizer::exchange(const Json& job) const {
  Channel& channel = child_->channel();
  channel.send(job);
  for (;;) {
    while (const std::optional<Json> message = channel.next_buffered()) {
      const std::string event = message->at("event");
      if (event == "log") {
        take_log(*message);
      } else if (event == "error") {
        throw_error(*message);
      } else {
        return *message;
      }
    }
    pollfd polled{channel.descriptor(), POLLIN, 0};
    if (poll(&polled, 1, 200) > 0 && !channel.read_available()) throw Crash{child_->bury()};
    if (interrupted_) throw Error(fmt::format("{} was interrupted", job.at("job").get<std::string>()));
  }
}

}  // namespace weft::host
