#include "host/processes/child.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/process.hpp>
#include <boost/process/extend.hpp>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "host/installation.hpp"
#include "host/processes/message.hpp"
#include "host/processes/signals.hpp"
#include "host/processes/surroundings.hpp"
#include "weft/detail/boundary.hpp"
#include "weft/error.hpp"

namespace weft::host {

namespace bp = boost::process;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t last_words = 1500;  // bytes of a dead child's output that are quoted
constexpr auto closing_time = 1s;         // from the end of its socket to its own end, if that is what it is at
constexpr auto dying_time = 5s;           // from SIGKILL; longer only where the kernel itself is stuck
constexpr std::size_t most_unread = 2 * detail::most_text;
constexpr int last_pieces = 64;  // of a dead child's output, which others may go on writing

// NAME=value of this process, with `changes`. Not Boost's: its lookup reads beyond the end of short entries (1.74).
std::vector<std::string> environment_with(const std::map<std::string, std::string>& changes) {
  std::vector<std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string variable = *entry;
    if (!changes.contains(variable.substr(0, variable.find('=')))) variables.push_back(variable);
  }
  for (const auto& [name, value] : changes) variables.push_back(name + "=" + value);
  return variables;
}

Error cannot(const char* what) {
  return Error(fmt::format("cannot {} for a child process: {}", what, std::strerror(errno)));
}

// Above the numbers that the child's own descriptors take.
Descriptor moved_up(Descriptor low) {
  Descriptor high(fcntl(low.get(), F_DUPFD_CLOEXEC, 64));
  if (!high.is_open()) throw cannot("duplicate a descriptor");
  return high;
}

// Between fork and exec: calls of the kernel alone.
void inherit_none_above(int last, int limit) {
  if (close_range(static_cast<unsigned>(last) + 1, ~0U, CLOSE_RANGE_CLOEXEC) == 0) return;
  constexpr int most = 65536;  // more than any process here has opened; a limit may be a thousand million
  for (int descriptor = last + 1; descriptor < (limit < 0 || limit > most ? most : limit); ++descriptor)
    fcntl(descriptor, F_SETFD, FD_CLOEXEC);  // before Linux 5.11
}

int milliseconds_until(Child::Clock::time_point until) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Child::Clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 3'600'000));
}

std::string how_it_ended(int status) {
  if (!WIFSIGNALED(status)) return fmt::format("exited with code {}", WEXITSTATUS(status));
  const int signal = WTERMSIG(status);
  return fmt::format("was killed by signal {} ({}){}", signal, strsignal(signal),
                     signal == SIGKILL ? "; if nobody did this by hand, the system may have run out of memory" : "");
}

}  // namespace

struct Child::Ends {
  Descriptor channel, their_channel, output, their_output;

  static Ends make() {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) throw cannot("create a socket");
    Ends ends{Descriptor(pair[0]), Descriptor(pair[1])};
    if (pipe2(pair, O_CLOEXEC) != 0) throw cannot("create a pipe");
    ends.output = Descriptor(pair[0]);
    ends.their_output = Descriptor(pair[1]);
    ends.their_channel = moved_up(std::move(ends.their_channel));
    ends.their_output = moved_up(std::move(ends.their_output));
    fcntl(ends.output.get(), F_SETFL, O_NONBLOCK);
    return ends;
  }
};

Child::Child(const Options& options) : Child(options, Ends::make()) {}

Child::Child(const Options& options, Ends ends) : channel_(ends.channel.release()), output_(std::move(ends.output)) {
  const std::vector<std::string> environment = environment_with(options.environment);
  std::vector<char*> variables;
  variables.reserve(environment.size() + 1);
  for (const std::string& variable : environment) variables.push_back(const_cast<char*>(variable.c_str()));
  variables.push_back(nullptr);
  const int channel = ends.their_channel.get();
  const int output = ends.their_output.get();
  const bool core_dump = options.core_dump;
  const std::string program = options.program.empty() ? Installation::locate().program.string() : options.program;
  const pid_t parent = getpid();
  const auto most_descriptors = static_cast<int>(raise_descriptor_limit());
  const SignalsBlocked blocked;  // no handler of this process runs in the child
  const sigset_t mask = blocked.before();
  try {
    bp::child process(
        bp::exe = program, bp::args = options.arguments,
        bp::extend::on_setup = [&](auto& executor) { executor.env = variables.data(); },
        bp::extend::on_exec_setup =
            [=](auto&) {
              prctl(PR_SET_PDEATHSIG, SIGKILL);
              if (getppid() != parent) _exit(1);  // it died before the line above
              dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
              dup2(output, STDOUT_FILENO);
              dup2(output, STDERR_FILENO);
              dup2(channel, channel_descriptor);
              inherit_none_above(channel_descriptor, most_descriptors);
              if (!core_dump) {
                const rlimit none{0, 0};
                setrlimit(RLIMIT_CORE, &none);
              }
              restore_descriptor_limit();
              ignore_stop_signals();
              std::signal(SIGPIPE, SIG_DFL);
              sigprocmask(SIG_SETMASK, &mask, nullptr);
            });
    process_ = process.id();
    process.detach();
  } catch (const bp::process_error& error) {
    throw Error(fmt::format("{} cannot be started: {}", program, error.code().message()));
  }
  ending_ = Descriptor(static_cast<int>(syscall(SYS_pidfd_open, process_, 0)));
  if (!ending_.is_open()) {
    const Error error = cannot("watch over the end (pidfd_open, of Linux 5.3 and later)");
    ::kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
    throw error;
  }
}

Child::~Child() { reap(); }

void Child::kill() {
  if (process_ < 0 || killed_at_) return;
  ::kill(process_, SIGKILL);
  killed_at_ = Clock::now();
}

void Child::condemn(std::string fault) {
  if (fault_.empty()) fault_ = std::move(fault);
  kill();
}

// The end of a process is waited for, but not for ever: one that is stuck in the kernel ends when that lets go of it.
void Child::reap() {
  if (process_ < 0) return;
  if (!ended_) kill();
  pollfd polled{ending_.get(), POLLIN, 0};
  const Clock::time_point until = Clock::now() + dying_time;
  while (!ended_ && Clock::now() < until) ended_ = poll(&polled, 1, milliseconds_until(until)) > 0;
  int status = 0;
  reaped_ = waitpid(process_, &status, WNOHANG) == process_;
  if (reaped_) status_ = status;
  process_ = -1;
}

void Child::send(const Json& message) {
  channel_.post(message);
  if (channel_.unsent() > most_unread)
    condemn(fmt::format("has {} MiB before it that it does not read", most_unread >> 20));
}

std::optional<Json> Child::next() {
  if (!fault_.empty()) return {};
  try {
    return channel_.next_buffered();
  } catch (const Error& error) {
    condemn(fmt::format("wrote to its channel {}", error.what()));
  }
  return {};
}

std::optional<Json> Child::receive(Clock::time_point until) {
  Child* const alone[] = {this};
  for (;;) {
    if (std::optional<Json> message = next()) return message;
    if (over() || Clock::now() >= until || !await(alone, until)) return {};
  }
}

bool Child::over() {
  if (ended_) hear_last();
  if (fault_.empty() && channel_.holds_message()) return false;
  return ended_ || (killed_at_ && Clock::now() >= *killed_at_ + dying_time);
}

bool Child::has_news() { return over() || (fault_.empty() && channel_.holds_message()); }

Child::Clock::time_point Child::due() const {
  if (killed_at_) return *killed_at_ + dying_time;
  return closed_at_ ? *closed_at_ + closing_time : Clock::time_point::max();
}

void Child::end_if_due() {
  if (!ended_ && closed_at_ && Clock::now() >= *closed_at_ + closing_time) kill();
}

bool Child::await(std::span<Child* const> children, Clock::time_point until, int other) {
  std::vector<pollfd> polled;
  polled.reserve(3 * children.size() + 1);
  for (Child* child : children) {
    child->end_if_due();
    if (child->has_news()) until = {};
    until = std::min(until, child->due());
    const bool hears = !child->closed_ && !child->channel_.holds_message();
    const auto of_channel = static_cast<short>((hears ? POLLIN : 0) | (child->channel_.has_unsent() ? POLLOUT : 0));
    polled.push_back({of_channel == 0 ? -1 : child->channel_.descriptor(), of_channel, 0});
    polled.push_back({child->output_.get(), POLLIN, 0});
    polled.push_back({child->ended_ ? -1 : child->ending_.get(), POLLIN, 0});
  }
  polled.push_back({other, POLLIN, 0});
  const int ready = poll(polled.data(), polled.size(), milliseconds_until(until));
  if (ready < 0) return false;
  for (std::size_t i = 0; i < children.size(); ++i)
    children[i]->take(polled[3 * i].revents, polled[3 * i + 1].revents, polled[3 * i + 2].revents);
  return true;
}

void Child::take(short channel, short output, short process) {
  if ((channel & POLLOUT) != 0) channel_.deliver();
  if ((channel & ~POLLOUT) != 0 && !closed_ && channel_.read_available() == Channel::Arrival::end) {
    closed_ = true;
    closed_at_ = Clock::now();
  }
  if (output != 0) read_output();
  if (process != 0) ended_ = true;
}

// What it said before its end is there by now.
void Child::hear_last() {
  while (!closed_ && !channel_.holds_message()) {
    const Channel::Arrival arrival = channel_.read_available();
    if (arrival == Channel::Arrival::none) break;
    closed_ = arrival == Channel::Arrival::end;
  }
}

// Whether there may be more.
bool Child::read_output() {
  std::array<char, 65536> piece;
  ssize_t count = -1;
  do {
    count = read(output_.get(), piece.data(), piece.size());
  } while (count < 0 && errno == EINTR);
  if (count > 0) printed_.append({piece.data(), static_cast<std::size_t>(count)});
  if (count == 0) output_.reset();
  return count > 0;
}

void Child::read_last_output() {
  for (int i = 0; i < last_pieces && read_output(); ++i) continue;
}

bool Child::wait(std::chrono::milliseconds limit) {
  Child* const alone[] = {this};
  const Clock::time_point until = Clock::now() + limit;
  while (!ended_ && Clock::now() < until) {
    next();  // nobody listens
    await(alone, until);
  }
  return ended_;
}

std::string Child::bury() {
  reap();
  std::string how = how_it_ended(status_);
  const bool by_this = WIFSIGNALED(status_) && WTERMSIG(status_) == SIGKILL && killed_at_;
  if (!fault_.empty()) {
    how = fault_ + ", and was killed";
  } else if (!reaped_) {
    how = "was killed, but has not ended";
  } else if (closed_at_ && by_this) {
    how = "closed its channel while it was running, and was killed";
  }
  read_last_output();
  std::string words = printed_.text();
  words.erase(0, words.size() > last_words ? words.size() - last_words : 0);
  while (!words.empty() && words.back() == '\n') words.pop_back();
  return valid_utf8(words.empty() ? how : how + "; its last words: " + words);
}

bool Child::crashed() const {
  if (!fault_.empty()) return true;
  if (!WIFSIGNALED(status_)) return false;
  const int signal = WTERMSIG(status_);
  if (signal == SIGKILL) return closed_at_.has_value() && killed_at_.has_value();
  return std::find(stop_signals.begin(), stop_signals.end(), signal) == stop_signals.end();
}

std::string Child::take_output() {
  read_last_output();
  std::string text = printed_.text();
  printed_.clear();
  return text;
}

}  // namespace weft::host
