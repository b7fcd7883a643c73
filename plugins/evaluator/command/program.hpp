// A program under way: lines to its standard input, lines from its standard output, the rest into a file.
//
// It leads a process group of its own, which is killed with this object, and it dies when the process that started it
// dies. It inherits nothing but the three standard descriptors: no handler, no blocked signal, no open file.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace command {

class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor() { reset(); }

  int get() const { return number_; }
  bool is_open() const { return number_ >= 0; }
  void reset();

 private:
  int number_;
};

struct Launch {
  std::string file;                         // the executable, found already
  std::vector<std::string> arguments;       // the first is the name of the program
  std::vector<std::string> environment;     // NAME=value; nothing else is inherited
  std::filesystem::path working_directory;  // empty: that of this process
};

// The executable that a shell would run for `name`, as an absolute path; `path` is a list of folders, as in PATH.
std::optional<std::string> find_executable(const std::string& name, const std::string& path);

class Program {
 public:
  using Clock = std::chrono::steady_clock;

  // `errors`, a file, becomes its standard error. Throws Error if it cannot be started.
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

  // Waits for its end, and ends what it left running in its group. The status as of waitpid; nothing if it runs still.
  std::optional<int> wait(Clock::time_point until);

  // The end of what it wrote to its standard error.
  std::string last_words() const;

 private:
  std::optional<std::string> take_line();
  void exchange(Clock::time_point until);
  void send();
  bool receive();
  bool has_ended() const;

  pid_t process_ = -1;
  Descriptor input_, output_, errors_;
  off_t errors_begin_;  // what comes before is not its own
  std::string unsent_, unread_;
};

}  // namespace command
