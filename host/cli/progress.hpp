// What a running study shows: on a terminal a live line per worker and one for the study, else plain lines.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "host/execution/executor.hpp"
#include "host/study/search.hpp"

namespace weft::host {

class Progress {
 public:
  // Writes to stderr; `quiet` shows nothing.
  Progress(const Pipeline& pipeline, bool quiet);
  ~Progress();

  void ended(const Search& search, const Trial& trial);
  void tick(const Search& search, const Executor& executor);
  // Removes the live lines, so that other output can follow.
  void clear();

 private:
  std::string study_line(const Search& search) const;

  const Pipeline& pipeline_;
  bool quiet_, terminal_;
  std::size_t drawn_ = 0;  // live lines on the screen
  std::size_t done_before_ = 0;
  double elapsed_before_ = 0.0;
  bool began_ = false;
  std::chrono::steady_clock::time_point last_plain_{};
};

// "3 min 20 s".
std::string duration(double seconds);

}  // namespace weft::host
