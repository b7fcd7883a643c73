#include "host/processes/child.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/process.hpp>
#include <boost/process/extend.hpp>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "host/installation.hpp"
#include "weft/error.hpp"

namespace weft::host {

namespace bp = boost::process;

namespace {

constexpr std::size_t last_words = 1500;  // bytes of a dead child's output that are quoted

std::string tail_of(int descriptor) {
  const off_t size = lseek(descriptor, 0, SEEK_END);
  const off_t from = size > static_cast<off_t>(last_words) ? size - static_cast<off_t>(last_words) : 0;
  std::string text(static_cast<std::size_t>(std::max<off_t>(0, size - from)), '\0');
  const ssize_t count = pread(descriptor, text.data(), text.size(), from);
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(0, count)));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

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

}  // namespace

Child::Child(const Options& options) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    throw Error(fmt::format("cannot create a socket for a child process: {}", std::strerror(errno)));
  channel_ = Channel(ends[0]);
  // Above the numbers that the child's own descriptors take.
  const int theirs = fcntl(ends[1], F_DUPFD_CLOEXEC, 64);
  close(ends[1]);
  output_ = memfd_create("output", MFD_CLOEXEC);
  if (output_ < 0) throw Error(fmt::format("cannot create a file for a child's output: {}", std::strerror(errno)));
  const std::vector<std::string> environment = environment_with(options.environment);
  std::vector<char*> variables;
  variables.reserve(environment.size() + 1);
  for (const std::string& variable : environment) variables.push_back(const_cast<char*>(variable.c_str()));
  variables.push_back(nullptr);
  const int output = output_;
  const bool core_dump = options.core_dump;
  const std::string program = options.program.empty() ? Installation::locate().program.string() : options.program;
  const pid_t parent = getpid();
  bp::child process(
      bp::exe = program, bp::args = options.arguments, bp::posix::fd.bind(channel_descriptor, theirs),
      bp::extend::on_setup = [&](auto& executor) { executor.env = variables.data(); },
      bp::extend::on_exec_setup =
          [=](auto&) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() != parent) _exit(1);  // it died before the line above
            dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
            dup2(output, STDOUT_FILENO);
            dup2(output, STDERR_FILENO);
            close_range(channel_descriptor + 1, ~0U, CLOSE_RANGE_CLOEXEC);
            if (!core_dump) {
              const rlimit none{0, 0};
              setrlimit(RLIMIT_CORE, &none);
            }
          });
  close(theirs);
  process_ = process.id();
  process.detach();
}

Child::~Child() {
  kill();
  if (output_ >= 0) close(output_);
}

void Child::kill() {
  if (process_ < 0) return;
  ::kill(process_, SIGKILL);
  reap();
}

void Child::reap() {
  while (process_ >= 0 && waitpid(process_, &status_, 0) < 0 && errno == EINTR) {
  }
  process_ = -1;
}

bool Child::wait(std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd polled{channel_.descriptor(), POLLIN, 0};
    if (poll(&polled, 1, static_cast<int>(left.count())) > 0 && !channel_.read_available()) return true;
  }
}

std::string Child::bury() {
  reap();
  std::string how = WIFSIGNALED(status_)
                        ? fmt::format("was killed by signal {} ({})", WTERMSIG(status_), strsignal(WTERMSIG(status_)))
                        : fmt::format("exited with code {}", WEXITSTATUS(status_));
  if (WIFSIGNALED(status_) && WTERMSIG(status_) == SIGKILL)
    how += "; if nobody did this by hand, the system may have run out of memory";
  const std::string words = tail_of(output_);
  return words.empty() ? how : how + "; its last words: " + words;
}

bool Child::crashed() const {
  if (!WIFSIGNALED(status_)) return false;
  const int signal = WTERMSIG(status_);
  return signal != SIGKILL && signal != SIGTERM && signal != SIGINT && signal != SIGHUP;
}

}  // namespace weft::host
