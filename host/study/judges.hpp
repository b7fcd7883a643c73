// The stoppers of a pipeline, asked in their order whether a trial should go on.
//
// What they are told and asked is done one after the other, in the order in which it comes here, which is that of the
// journal: so a study that is resumed brings them to where they were. Where trials run in workers it is done by a
// thread beside the search, so that only the trial that is judged waits for a prediction.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "host/pipelines/pipeline.hpp"
#include "host/processes/alarm.hpp"
#include "weft/stopper.hpp"

namespace weft::host {

// What they say of a trial.
struct Ruling {
  TrialId trial = 0;
  int epoch = 0;  // of the report that was judged
  Judgement judgement;
  std::string by = {};  // title of the stopper that did not let it go on
};

class Judges {
 public:
  // `pipeline` outlives this object. With `beside`, a thread of its own does the work.
  Judges(const Pipeline& pipeline, std::vector<StopperRef> stoppers, bool beside);
  ~Judges();
  Judges(const Judges&) = delete;
  Judges& operator=(const Judges&) = delete;

  bool beside() const { return thread_.joinable(); }
  // A report; the curve is as far as it has come.
  void observe(const LearningCurve& curve);
  // A report of a trial that waits for the ruling, which take() hands out.
  void judge(const LearningCurve& curve, int epoch);
  void end(const LearningCurve& curve, TrialState state, std::optional<double> reward);

  // The rulings since the last call. Throws Refusal where a stopper failed, naming it.
  std::vector<Ruling> take();
  // Rings when there is something to take.
  const Alarm& alarm() const { return alarm_; }
  // Waits until all is done that was asked for, at most so long. Whether it is.
  bool settle(std::chrono::milliseconds longest);
  // Drops what was asked for and not begun, and waits for the rest, at most so long. Whether nothing is left.
  bool rest(std::chrono::milliseconds longest);

 private:
  using Task = std::function<void()>;
  void add(Task task);
  void work();
  template <typename Call>
  void each(const char* operation, TrialId trial, const Call& call);
  Ruling rule(const LearningCurve& curve, int epoch);

  const Pipeline& pipeline_;
  std::vector<StopperRef> stoppers_;
  Alarm alarm_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Task> tasks_;
  bool busy_ = false, over_ = false;
  std::vector<Ruling> rulings_;
  std::exception_ptr failure_;
  std::thread thread_;
};

}  // namespace weft::host
