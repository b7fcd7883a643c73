// A child process that runs `weft`, or another program, with a socket to talk to it and the end of its output kept.
//
// It dies with this process, and leaves the stop signals to it. It inherits no descriptor but its own: standard input
// is empty, standard output and error are a pipe, descriptor 3 is the socket. Everything that it says or prints arrives
// in await(), or in receive(): whoever has children attends to them.
//
// Its death is the process's own, whoever else may hold its descriptors. A child that closes its socket and lives on
// can be of no more use: it is killed.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "host/processes/channel.hpp"
#include "host/processes/tail.hpp"

namespace weft::host {

class Child {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr int channel_descriptor = 3;
  // What this process holds open for each.
  static constexpr std::size_t descriptors = 3;

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

  void send(const Json& message);

  // Waits until one of `children` has a message or is over, `other`, a descriptor, can be read, or `until` has come.
  // False when a signal came first.
  static bool await(std::span<Child* const> children, Clock::time_point until, int other = -1);
  // The next message that has arrived. A line that is none is condemned.
  std::optional<Json> next();
  // Waits for one, at most until then; nothing, too, when it is over or a signal came.
  std::optional<Json> receive(Clock::time_point until);
  // Whether it has ended, or is being ended, and all that it said was handed out.
  bool over();

  // Kills it; what it has said is heard still.
  void kill();
  // Kills it for what it did, which bury() then says: "wrote to its channel ..". It is not heard any more.
  void condemn(std::string fault);
  // Waits until it has ended. False when time is up first.
  bool wait(std::chrono::milliseconds limit);
  // Its end, which comes now if it has not come yet: "was killed by signal 6 (Aborted); its last words: ..".
  std::string bury();
  // Once it is buried: whether it ended by its own doing, such as SIGSEGV, SIGABRT or a broken protocol.
  bool crashed() const;
  int status() const { return status_; }  // as of waitpid(), once it is buried

  // What it printed since the last call, or the end of it.
  std::string take_output();

 private:
  struct Ends;
  Child(const Options& options, Ends ends);
  bool has_news();
  Clock::time_point due() const;
  void take(short channel, short output, short process);
  void hear_last();
  bool read_output();
  void read_last_output();
  void end_if_due();
  void reap();

  Channel channel_;
  Descriptor output_;
  Descriptor ending_;    // readable once the process has ended
  pid_t process_ = -1;   // -1 once it has been waited for
  bool ended_ = false;   // the process is there no more, but for its status
  bool reaped_ = false;  // its status is known
  bool closed_ = false;  // it said all that it will ever say
  std::optional<Clock::time_point> closed_at_, killed_at_;
  std::string fault_;  // what it was condemned for
  int status_ = 0;
  Tail printed_;
};

}  // namespace weft::host
