// A child process that runs `weft`, or another program, with a socket to talk to it and its output kept.
//
// It dies with this process. It inherits no descriptor but its own: standard input is empty, standard output and error
// go to an unnamed file, descriptor 3 is the socket.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "host/processes/channel.hpp"

namespace weft::host {

class Child {
 public:
  static constexpr int channel_descriptor = 3;

  struct Options {
    std::vector<std::string> arguments;
    std::map<std::string, std::string> environment = {};  // over this process's own
    bool core_dump = true;
    std::string program = {};  // the installed weft, if empty
  };
  // Throws Error if it cannot be started.
  explicit Child(const Options& options);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  Channel& channel() { return channel_; }

  // Kills it, if it is still there.
  void kill();
  // Until it closes its end of the socket, which it does when it ends. False when time is up first.
  bool wait(std::chrono::milliseconds limit);
  // Waits for its end. "was killed by signal 6 (Aborted); its last words: .."
  std::string bury();
  // How it ended, once it is buried: by a signal of its own making, such as SIGSEGV or SIGABRT.
  bool crashed() const;
  int status() const { return status_; }  // as of waitpid(), once it is buried

 private:
  void reap();
  Channel channel_;
  int output_ = -1;
  int process_ = -1;  // -1 once it has been waited for
  int status_ = 0;
};

}  // namespace weft::host
