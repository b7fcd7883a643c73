#include "program.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <thread>

#include "weft/error.hpp"

namespace command {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t last_words_size = 1500;  // bytes
constexpr auto tick = 100ms;  // a program that ended, its output held open by another, is noticed by then

std::string problem(int error) { return std::strerror(error); }

struct Pipe {
  Descriptor read, write;
};

Pipe make_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw weft::Error("cannot create a pipe: " + problem(errno));
  return {Descriptor(ends[0]), Descriptor(ends[1])};
}

// What execve takes. Borrows the texts.
std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// Everything that the child needs, made before it is forked.
struct Prepared {
  const char* file;
  char* const* arguments;
  char* const* environment;
  const char* working_directory;  // null: stay
  int input, output, errors;      // what become its descriptors 0, 1 and 2
  int failure;                    // where it writes why it could not start
  int descriptor_limit;
  pid_t parent;
};

// What the child writes to Prepared::failure.
struct Failure {
  enum Step { descriptors, directory, execution } step;
  int error;
};

void inherit_no_signals() {
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) sigaction(signal, &standard, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

// They close on exec and not at once, since the one for failures is among them.
void inherit_no_descriptors(int limit) {
  if (close_range(3, UINT_MAX, CLOSE_RANGE_CLOEXEC) == 0) return;
  for (int descriptor = 3; descriptor < limit; ++descriptor)
    fcntl(descriptor, F_SETFD, FD_CLOEXEC);  // before Linux 5.11
}

// The child, between fork and exec: a thread of the parent may hold any lock, so calls that are safe in a signal
// handler and nothing else.
[[noreturn]] void become(const Prepared& prepared) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != prepared.parent) _exit(1);  // it died before the line above
  setpgid(0, 0);
  inherit_no_signals();
  Failure failure{Failure::descriptors, 0};
  if (dup2(prepared.input, STDIN_FILENO) >= 0 && dup2(prepared.output, STDOUT_FILENO) >= 0 &&
      dup2(prepared.errors, STDERR_FILENO) >= 0) {
    inherit_no_descriptors(prepared.descriptor_limit);
    failure.step = Failure::directory;
    if (prepared.working_directory == nullptr || chdir(prepared.working_directory) == 0) {
      failure.step = Failure::execution;
      execve(prepared.file, prepared.arguments, prepared.environment);
    }
  }
  failure.error = errno;
  [[maybe_unused]] const ssize_t told = write(prepared.failure, &failure, sizeof(failure));
  _exit(1);
}

// No handler of this process runs in the child before it has dropped them.
pid_t fork_and_become(const Prepared& prepared) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t process = fork();
  const int error = errno;
  if (process == 0) become(prepared);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (process < 0) throw weft::Error("cannot start a process: " + problem(error));
  return process;
}

// Why the child could not start, if so; returns when it runs the program.
std::optional<Failure> await_execution(int descriptor) {
  Failure failure{};
  ssize_t count = -1;
  do {
    count = read(descriptor, &failure, sizeof(failure));
  } while (count < 0 && errno == EINTR);
  if (count != sizeof(failure)) return {};
  return failure;
}

std::string to_text(const Failure& failure, const Launch& launch) {
  if (failure.step == Failure::descriptors) return "cannot give a program its descriptors: " + problem(failure.error);
  if (failure.step == Failure::directory) {
    return "/working_directory " + launch.working_directory.string() + " cannot be entered: " + problem(failure.error);
  }
  std::string text = launch.file + " cannot be run: " + problem(failure.error);
  if (failure.error == ENOEXEC || failure.error == ENOENT) {
    text += "; a script begins with the line #!/path/of/its/interpreter, or is named after its interpreter in /command";
  }
  return text;
}

// write(2) without the signal that a pipe without reader sends.
ssize_t write_without_signal(int descriptor, const char* data, std::size_t size) {
  sigset_t pipe, before, pending;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  sigpending(&pending);
  pthread_sigmask(SIG_BLOCK, &pipe, &before);
  const ssize_t count = write(descriptor, data, size);
  const int error = errno;
  if (count < 0 && error == EPIPE && sigismember(&pending, SIGPIPE) == 0) {
    const timespec at_once{};
    sigtimedwait(&pipe, nullptr, &at_once);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return count;
}

off_t size_of(const Descriptor& file) {
  struct stat state {};
  fstat(file.get(), &state);
  return state.st_size;
}

bool is_executable(const fs::path& file) {
  std::error_code ignored;
  return fs::is_regular_file(file, ignored) && access(file.c_str(), X_OK) == 0;
}

}  // namespace

void Descriptor::reset() {
  if (number_ >= 0) close(number_);
  number_ = -1;
}

std::optional<std::string> find_executable(const std::string& name, const std::string& path) {
  if (name.find('/') != std::string::npos) {
    const fs::path file = fs::absolute(name);
    return is_executable(file) ? std::optional(file.string()) : std::nullopt;
  }
  for (std::size_t begin = 0; !name.empty() && begin <= path.size();) {
    const std::size_t end = std::min(path.find(':', begin), path.size());
    const fs::path folder = end == begin ? "." : path.substr(begin, end - begin);
    if (is_executable(folder / name)) return fs::absolute(folder / name).string();
    begin = end + 1;
  }
  return {};
}

Program::Program(const Launch& launch, Descriptor errors)
    : errors_(std::move(errors)), errors_begin_(size_of(errors_)) {
  Pipe input = make_pipe();
  Pipe output = make_pipe();
  Pipe failure = make_pipe();
  const std::vector<char*> arguments = pointers(launch.arguments);
  const std::vector<char*> environment = pointers(launch.environment);
  process_ = fork_and_become(
      {.file = launch.file.c_str(),
       .arguments = arguments.data(),
       .environment = environment.data(),
       .working_directory = launch.working_directory.empty() ? nullptr : launch.working_directory.c_str(),
       .input = input.read.get(),
       .output = output.write.get(),
       .errors = errors_.get(),
       .failure = failure.write.get(),
       .descriptor_limit = static_cast<int>(std::min<long>(sysconf(_SC_OPEN_MAX), 65536)),
       .parent = getpid()});
  failure.write.reset();
  if (const std::optional<Failure> failed = await_execution(failure.read.get())) {
    waitpid(process_, nullptr, 0);
    throw weft::Error(to_text(*failed, launch));
  }
  input_ = std::move(input.write);
  output_ = std::move(output.read);
  for (const Descriptor* end : {&input_, &output_}) fcntl(end->get(), F_SETFL, O_NONBLOCK);
}

Program::~Program() {
  if (process_ < 0) return;
  kill(-process_, SIGKILL);
  while (waitpid(process_, nullptr, 0) < 0 && errno == EINTR) continue;
}

void Program::write_line(const std::string& line) {
  if (!input_.is_open()) return;
  unsent_ += line + "\n";
  send();
}

void Program::close_input() {
  input_.reset();
  unsent_.clear();
}

std::optional<std::string> Program::read_line(Clock::time_point until) {
  for (;;) {
    if (std::optional<std::string> line = take_line()) return line;
    if (!output_.is_open() || Clock::now() >= until) return {};
    exchange(until);
  }
}

// A last line may lack its end.
std::optional<std::string> Program::take_line() {
  const std::size_t end = std::min(unread_.find('\n'), unread_.size());
  const bool whole = end < unread_.size() || end > longest_line || (!output_.is_open() && end > 0);
  if (!whole) return {};
  std::string line = unread_.substr(0, end);
  unread_.erase(0, end + 1);
  return line;
}

// Moves what can be moved, waiting for it a tick at most.
void Program::exchange(Clock::time_point until) {
  const bool ended = has_ended();  // asked first: what it wrote before its end is in the pipe by now
  pollfd polled[] = {{unsent_.empty() ? -1 : input_.get(), POLLOUT, 0}, {output_.get(), POLLIN, 0}};
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(std::min<Clock::duration>(until - Clock::now(), tick));
  poll(polled, std::size(polled), ended ? 0 : static_cast<int>(std::max<std::int64_t>(0, left.count())));
  if (polled[0].revents != 0) send();
  if (!receive() && ended) output_.reset();  // a process that it started may hold the pipe open for ever
}

void Program::send() {
  while (!unsent_.empty()) {
    const ssize_t count = write_without_signal(input_.get(), unsent_.data(), unsent_.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return;
    if (count < 0) return close_input();  // it does not listen
    unsent_.erase(0, static_cast<std::size_t>(count));
  }
}

// Whether anything came.
bool Program::receive() {
  std::array<char, 65536> piece;
  ssize_t count = -1;
  do {
    count = read(output_.get(), piece.data(), piece.size());
  } while (count < 0 && errno == EINTR);
  if (count > 0) unread_.append(piece.data(), static_cast<std::size_t>(count));
  if (count == 0) output_.reset();
  return count > 0;
}

bool Program::has_ended() const {
  siginfo_t state{};
  return waitid(P_PID, static_cast<id_t>(process_), &state, WEXITED | WNOHANG | WNOWAIT) != 0 || state.si_pid != 0;
}

std::optional<int> Program::wait(Clock::time_point until) {
  while (!has_ended()) {
    if (Clock::now() >= until) return {};
    std::this_thread::sleep_for(1ms);
  }
  kill(-process_, SIGKILL);  // before waitpid, while the number is certainly its own
  int status = 0;
  while (waitpid(process_, &status, 0) < 0 && errno == EINTR) continue;
  process_ = -1;
  return status;
}

std::string Program::last_words() const {
  const off_t end = size_of(errors_);
  const off_t from = std::max(errors_begin_, end - static_cast<off_t>(last_words_size));
  std::string text(static_cast<std::size_t>(std::max<off_t>(0, end - from)), '\0');
  const ssize_t count = pread(errors_.get(), text.data(), text.size(), from);
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(0, count)));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace command
