// A program under way: lines to its standard input, lines from its standard output, the rest into a file.
//
// It leads a process group of its own. It ends with this object, or with the process that holds it, and so does
// everything that it started (keeper.hpp). It inherits nothing but the three standard descriptors: no handler, no
// blocked signal, no open file.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>

#include "keeper.hpp"

namespace command {

// The executable that a shell would run for `name`, as an absolute path; `path` is a list of folders, as in PATH.
std::optional<std::string> find_executable(const std::string& name, const std::string& path);

class Program {
 public:
  using Clock = std::chrono::steady_clock;

  // `errors`, a file open for appending, becomes its standard error; of what comes to lie there only the end is kept.
  // Throws Error if it cannot be started.
  Program(const Launch& launch, Descriptor errors);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // Delivered while its lines are read, as fast as it takes them. What it does not want is dropped.
  void write_line(const std::string& line);
  void close_input();

  // Its next line, without the end of line; nothing once its output has ended or when `until` has come. What is longer
  // than `longest_line` is handed out before its end is there.
  std::optional<std::string> read_line(Clock::time_point until);
  static constexpr std::size_t longest_line = 1 << 20;  // bytes

  // Waits for its end, which is that of all it started. The status as of waitpid; nothing if it runs still.
  std::optional<int> wait(Clock::time_point until);

  // The end of what it wrote to its standard error.
  std::string last_words() const;

 private:
  std::optional<std::string> take_line();
  void exchange(Clock::time_point until);
  void send();
  bool receive();
  void forget_old_errors();
  void shorten_errors();

  Descriptor errors_;
  off_t errors_begin_;          // what comes before is not its own
  off_t errors_forgotten_ = 0;  // what comes before is no longer on the disk
  Pipe input_, output_;
  Keeper keeper_;
  std::string unsent_, unread_;
};

}  // namespace command
