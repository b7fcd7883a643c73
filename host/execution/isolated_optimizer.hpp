// An optimizer in a process of its own (`--isolate all`): what it does to its process, it does not do to the host.
//
// When it crashes, or breaks the protocol, a new process is started and brought to where the old one was: the calls so
// far are repeated, and must be answered as they were. The third crash in a row ends the study, which stays resumable.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "host/processes/child.hpp"
#include "weft/optimizer.hpp"

namespace weft::host {

class IsolatedOptimizer final : public Optimizer {
 public:
  // `hello` is a worker's first message (see channel.hpp); `title` is what to call the plugin. Calls end early, with an
  // Error, when `interrupted` becomes true.
  IsolatedOptimizer(Json hello, std::string title, const std::atomic<bool>& interrupted);

  std::vector<Proposal> ask(std::size_t capacity) override;
  void tell(const TrialResult& result) override;
  bool finished() const override;
  std::optional<std::vector<TrialId>> retain() const override;
  std::optional<std::vector<TrialId>> resumable() const override;

 private:
  static constexpr int quarantine_after = 3;

  struct Call {
    Json job;
    Json answer;
  };

  Json call(const Json& job, const char* member, Json::value_t type) const;
  void repeat(const Call& earlier) const;
  Json exchange(const Json& job) const;
  [[noreturn]] void condemn(const std::string& fault) const;

  Json hello_;
  std::string title_;
  const std::atomic<bool>& interrupted_;
  // `finished() const` may have to start a process, too.
  mutable std::unique_ptr<Child> child_;
  mutable int crashes_in_a_row_ = 0;
  std::vector<Call> history_;  // every ask and tell that succeeded
};

}  // namespace weft::host
