#include "host/cli/progress.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>

namespace weft::host {

using Clock = std::chrono::steady_clock;

namespace {

// Plain lines come at most this often where trials cost microseconds.
constexpr std::chrono::seconds plain_interval(1);

std::size_t columns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 120;
}

// The best is sought among trials of the highest fidelity first: without it a best that gets worse would be a riddle.
std::string of_fidelity(const Trial& trial) {
  const std::string words = in_words(trial.proposal.fidelity);
  return words.empty() ? "" : ", " + words;
}

}  // namespace

std::string duration(double seconds) {
  const long total = std::lround(seconds);
  if (total < 60) return fmt::format("{} s", total);
  if (total < 3600) return fmt::format("{} min {} s", total / 60, total % 60);
  return fmt::format("{} h {} min", total / 3600, total / 60 % 60);
}

Progress::Progress(const Pipeline& pipeline, bool quiet)
    : pipeline_(pipeline), quiet_(quiet), terminal_(!quiet && isatty(STDERR_FILENO) != 0) {}

Progress::~Progress() { clear(); }

void Progress::clear() {
  for (; drawn_ > 0; --drawn_) std::fputs("\x1b[1A\x1b[2K", stderr);
  std::fflush(stderr);
}

std::string Progress::study_line(const Search& search) const {
  const Trials& trials = search.trials();
  const std::size_t done = trials.ended() - trials.refused();
  std::string line = pipeline_.budget.trials ? fmt::format("{}/{} trials", done, *pipeline_.budget.trials)
                                             : fmt::format("{} done", done);
  if (pipeline_.budget.unique) line += fmt::format(", {}/{} unique", trials.unique(), *pipeline_.budget.unique);
  if (search.running() > 0) line += fmt::format(", {} running", search.running());
  if (trials.failed() > 0) line += fmt::format(", {} failed", trials.failed());
  if (trials.refused() > 0) line += fmt::format(", {} refused", trials.refused());
  if (const Trial* best = trials.best())
    line += fmt::format(" | best {:.5g} (trial {}{})", best->objectives.front(), best->id, of_fidelity(*best));

  const double passed = search.elapsed() - elapsed_before_;
  if (done > done_before_ && passed > 0) {
    const double rate = static_cast<double>(done - done_before_) / passed;
    line += rate >= 1.0 ? fmt::format(" | {:.0f} trials/s", rate) : fmt::format(" | {:.1f} trials/min", 60.0 * rate);
    double left = std::numeric_limits<double>::infinity();
    if (pipeline_.budget.seconds) left = *pipeline_.budget.seconds - search.elapsed();
    if (pipeline_.budget.trials)
      left = std::min(left, (static_cast<double>(*pipeline_.budget.trials) - static_cast<double>(done)) / rate);
    if (pipeline_.budget.unique) {
      const double share = static_cast<double>(trials.unique()) / static_cast<double>(std::max<std::size_t>(1, done));
      const double unique_left = static_cast<double>(*pipeline_.budget.unique) - static_cast<double>(trials.unique());
      left = std::min(left, unique_left / (rate * std::max(share, 1e-3)));
    }
    line += fmt::format(" | {} left", duration(std::max(0.0, left)));
  }
  return line;
}

void Progress::ended(const Search& search, const Trial& trial) {
  if (quiet_ || terminal_) return;
  const bool news = search.trials().best() == &trial;
  if (pipeline_.is_inline && !news) return;
  const auto now = Clock::now();
  if (pipeline_.is_inline && now - last_plain_ < plain_interval) return;
  last_plain_ = now;
  std::string what = std::string(weft::to_string(trial.state));
  if (trial.state == TrialState::complete)
    what += fmt::format(" {} {:.5g}", pipeline_.objectives.front().manifest->name, trial.objectives.front());
  what += of_fidelity(trial);
  if (trial.duplicate_of) what += fmt::format(" (as trial {})", *trial.duplicate_of);
  if (!trial.reason.empty()) what += ": " + trial.reason;
  fmt::print(stderr, "trial {}: {} | {}\n", trial.id, what, study_line(search));
}

void Progress::tick(const Search& search, const Executor& executor) {
  if (!began_) {
    began_ = true;
    elapsed_before_ = search.elapsed();
    done_before_ = search.trials().ended() - search.trials().refused();
  }
  if (quiet_) return;
  if (!terminal_) {
    const auto now = Clock::now();
    if (!pipeline_.is_inline || now - last_plain_ < 10 * plain_interval) return;
    last_plain_ = now;
    fmt::print(stderr, "{}\n", study_line(search));
    return;
  }
  clear();
  const auto draw = [&](std::string line) {
    line.resize(std::min(line.size(), columns() - 1));
    fmt::print(stderr, "{}\n", line);
    ++drawn_;
  };
  for (const SlotStatus& slot : executor.status()) {
    draw(slot.trial
             ? fmt::format("  {:<8} trial {}{}{}", slot.name, *slot.trial, slot.note.empty() ? "" : ", ", slot.note)
             : fmt::format("  {:<8} idle", slot.name));
  }
  draw(study_line(search));
}

}  // namespace weft::host
