#include "host/study/judges.hpp"

#include <fmt/format.h>

#include <csignal>
#include <utility>

#include "host/execution/calls.hpp"

namespace weft::host {

Judges::Judges(const Pipeline& pipeline, std::vector<StopperRef> stoppers, bool beside)
    : pipeline_(pipeline), stoppers_(std::move(stoppers)) {
  if (!beside) return;
  // Signals are for the thread that waits for workers, which they wake.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { work(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Judges::~Judges() {
  if (!beside()) return;
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
    tasks_.clear();
  }
  changed_.notify_all();
  thread_.join();
}

void Judges::add(Task task) {
  if (!beside()) {
    task();
    return;
  }
  const std::lock_guard lock(mutex_);
  tasks_.push_back(std::move(task));
  changed_.notify_all();
}

void Judges::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return over_ || !tasks_.empty(); });
    if (over_) return;
    const Task task = std::move(tasks_.front());
    tasks_.pop_front();
    busy_ = true;
    lock.unlock();
    task();
    lock.lock();
    busy_ = false;
    changed_.notify_all();
  }
}

bool Judges::settle(std::chrono::milliseconds longest) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, longest, [this] { return !busy_ && tasks_.empty(); });
}

bool Judges::rest(std::chrono::milliseconds longest) {
  {
    const std::lock_guard lock(mutex_);
    tasks_.clear();
  }
  return settle(longest);
}

// After the first failure nothing is asked any more: what they know has a gap.
template <typename Call>
void Judges::each(const char* operation, TrialId trial, const Call& call) {
  {
    const std::lock_guard lock(mutex_);
    if (failure_) return;
  }
  for (std::size_t i = 0; i < stoppers_.size(); ++i) {
    try {
      if (!call(stoppers_[i], i)) return;
    } catch (...) {
      std::exception_ptr failure;
      try {
        rethrow_as_refusal(*pipeline_.stoppers[i].manifest, fmt::format("{}, trial {}", operation, trial));
      } catch (...) {
        failure = std::current_exception();
      }
      const std::lock_guard lock(mutex_);
      failure_ = failure;
      alarm_.ring();
      return;
    }
  }
}

void Judges::observe(const LearningCurve& curve) {
  add([this, curve] {
    each("observe", curve.trial, [&](StopperRef& stopper, std::size_t) { return stopper.observe(curve), true; });
  });
}

void Judges::judge(const LearningCurve& curve, int epoch) {
  add([this, curve, epoch] {
    Ruling ruling = rule(curve, epoch);
    const std::lock_guard lock(mutex_);
    rulings_.push_back(std::move(ruling));
    alarm_.ring();
  });
}

Ruling Judges::rule(const LearningCurve& curve, int epoch) {
  Ruling ruling{.trial = curve.trial, .epoch = epoch};
  each("judge", curve.trial, [&](StopperRef& stopper, std::size_t i) {
    ruling.judgement = stopper.judge(curve);
    if (ruling.judgement.verdict == Verdict::go_on) return true;
    ruling.by = pipeline_.stoppers[i].manifest->title();
    return false;
  });
  return ruling;
}

void Judges::end(const LearningCurve& curve, TrialState state, std::optional<double> reward) {
  add([this, curve, state, reward] {
    each("end", curve.trial, [&](StopperRef& stopper, std::size_t) { return stopper.end(curve, state, reward), true; });
  });
}

std::vector<Ruling> Judges::take() {
  const std::lock_guard lock(mutex_);
  alarm_.quiet();
  if (failure_) std::rethrow_exception(failure_);
  return std::exchange(rulings_, {});
}

}  // namespace weft::host
