#include "keeper.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <ctime>

#include "weft/error.hpp"

namespace command {

namespace {

// After this many seconds the keeper leaves alone what does not die, such as a process that is stuck in the kernel.
constexpr int sweeping_seconds = 10;
constexpr int keeper_seconds = 15;  // and is left alone itself

std::string problem(int error) { return std::strerror(error); }

// What execve takes. Borrows the texts.
std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

Descriptor watch(pid_t process) { return Descriptor(static_cast<int>(syscall(SYS_pidfd_open, process, 0))); }

// Everything that keeper and program need, made before they are forked.
struct Prepared {
  const char* file;
  char* const* arguments;
  char* const* environment;
  const char* working_directory;  // null: stay
  int input, output, errors;      // what become the program's descriptors 0, 1 and 2
  int failure;                    // where it writes why it could not start
  int leash, parent, status;      // the keeper's
  int descriptor_limit;
};

// What is written to Prepared::failure.
struct Failure {
  enum Step { process, descriptors, directory, execution } step;
  int error;
};

// ---- between fork and exec: a thread of the parent may hold any lock, so calls that are safe in a signal handler and
// nothing else
// ---------------------------------------------------------------------------------------------------------

[[noreturn]] void fail(const Prepared& prepared, Failure::Step step) {
  const Failure failure{step, errno};
  [[maybe_unused]] const ssize_t told = write(prepared.failure, &failure, sizeof(failure));
  _exit(1);
}

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

[[noreturn]] void become(const Prepared& prepared, pid_t keeper) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != keeper) _exit(1);  // it died before the line above
  setpgid(0, 0);
  inherit_no_signals();
  if (dup2(prepared.input, STDIN_FILENO) < 0 || dup2(prepared.output, STDOUT_FILENO) < 0 ||
      dup2(prepared.errors, STDERR_FILENO) < 0)
    fail(prepared, Failure::descriptors);
  inherit_no_descriptors(prepared.descriptor_limit);
  if (prepared.working_directory != nullptr && chdir(prepared.working_directory) != 0)
    fail(prepared, Failure::directory);
  execve(prepared.file, prepared.arguments, prepared.environment);
  fail(prepared, Failure::execution);
}

void close_all_but(std::array<int, 4> kept, int limit) {
  std::sort(kept.begin(), kept.end());
  int from = 0;
  for (const int descriptor : kept) {
    for (; from < descriptor; ++from) close(from);
    from = descriptor + 1;
  }
  if (close_range(static_cast<unsigned>(from), UINT_MAX, 0) == 0) return;
  for (; from < limit; ++from) close(from);  // before Linux 5.9
}

// Those that lost their parents included: the kernel lists them all.
void kill_children() {
  const int list = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
  std::array<char, 4096> piece;
  pid_t child = 0;
  for (ssize_t count = 0; (count = read(list, piece.data(), piece.size())) > 0;) {
    for (const char* at = piece.data(); at < piece.data() + count; ++at) {
      if (*at >= '0' && *at <= '9') {
        child = 10 * child + (*at - '0');
      } else if (child > 0) {
        kill(child, SIGKILL);
        child = 0;
      }
    }
  }
  if (child > 0) kill(child, SIGKILL);
  close(list);
}

// Ends everything. The program's status.
int sweep(pid_t program) {
  int program_status = SIGKILL;
  kill(-program, SIGKILL);  // its group at once: the number is its own as long as it was not waited for
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  const std::time_t end = now.tv_sec + sweeping_seconds;
  for (;;) {
    kill_children();
    int status = 0;
    pid_t gone = -1;
    while ((gone = waitpid(-1, &status, WNOHANG)) > 0) {
      if (gone == program) program_status = status;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (gone < 0 || now.tv_sec > end) return program_status;
    const timespec moment{0, 500'000};
    nanosleep(&moment, nullptr);
  }
}

// Those that ended by themselves, and have nobody else who asks for their status.
void bury_orphans(pid_t program) {
  siginfo_t ended{};
  while (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid > 0 && ended.si_pid != program)
    waitpid(ended.si_pid, nullptr, 0);
}

// All signals are blocked, and stay so.
[[noreturn]] void keep(const Prepared& prepared) {
  setsid();
  prctl(PR_SET_NAME, "weft-keeper");
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) fail(prepared, Failure::process);
  std::signal(SIGCHLD, SIG_DFL);  // ignored, it would take the program's status away
  const pid_t self = getpid();
  const pid_t program = fork();
  if (program < 0) fail(prepared, Failure::process);
  if (program == 0) become(prepared, self);
  const int ending = static_cast<int>(syscall(SYS_pidfd_open, program, 0));
  if (ending < 0) fail(prepared, Failure::process);
  close_all_but({prepared.leash, prepared.parent, prepared.status, ending}, prepared.descriptor_limit);
  pollfd polled[] = {{prepared.leash, POLLIN, 0}, {prepared.parent, POLLIN, 0}, {ending, POLLIN, 0}};
  while (poll(polled, std::size(polled), 1000) <= 0) bury_orphans(program);
  const int status = sweep(program);
  [[maybe_unused]] const ssize_t told = write(prepared.status, &status, sizeof(status));
  _exit(0);
}

// ---------------------------------------------------------------------------------------------------------------------

// No handler of this process runs in the children before they have dropped them.
pid_t fork_and_keep(const Prepared& prepared) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t process = fork();
  const int error = errno;
  if (process == 0) keep(prepared);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (process < 0) throw weft::Error("cannot start a process: " + problem(error));
  return process;
}

template <typename Value>
std::optional<Value> read_value(const Descriptor& from) {
  Value value{};
  ssize_t count = -1;
  do {
    count = read(from.get(), &value, sizeof(value));
  } while (count < 0 && errno == EINTR);
  if (count != sizeof(value)) return {};
  return value;
}

std::string to_text(const Failure& failure, const Launch& launch) {
  if (failure.step == Failure::process) return "cannot start a process: " + problem(failure.error);
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

bool readable(const Descriptor& descriptor, int milliseconds) {
  pollfd polled{descriptor.get(), POLLIN, 0};
  int ready = -1;
  do {
    ready = poll(&polled, 1, milliseconds);
  } while (ready < 0 && errno == EINTR);
  return ready > 0;
}

}  // namespace

Keeper::Keeper(const Launch& launch, int input, int output, int errors) {
  Pipe failure = make_pipe();
  Pipe leash = make_pipe();
  Pipe status = make_pipe();
  const Descriptor self = watch(getpid());
  if (!self.is_open())
    throw weft::Error("cannot watch over a program (pidfd_open, of Linux 5.3 and later): " + problem(errno));
  const std::vector<char*> arguments = pointers(launch.arguments);
  const std::vector<char*> environment = pointers(launch.environment);
  process_ =
      fork_and_keep({.file = launch.file.c_str(),
                     .arguments = arguments.data(),
                     .environment = environment.data(),
                     .working_directory = launch.working_directory.empty() ? nullptr : launch.working_directory.c_str(),
                     .input = input,
                     .output = output,
                     .errors = errors,
                     .failure = failure.write.get(),
                     .leash = leash.read.get(),
                     .parent = self.get(),
                     .status = status.write.get(),
                     .descriptor_limit = static_cast<int>(std::min<long>(sysconf(_SC_OPEN_MAX), 65536))});
  ending_ = watch(process_);
  leash_ = std::move(leash.write);
  status_ = std::move(status.read);
  status.write.reset();
  leash.read.reset();
  failure.write.reset();
  if (const auto failed = read_value<Failure>(failure.read)) {
    end();
    throw weft::Error(to_text(*failed, launch));
  }
}

Keeper::~Keeper() { end(); }

bool Keeper::has_ended() const { return process_ < 0 || readable(ending_, 0); }

int Keeper::end() {
  if (process_ < 0) return SIGKILL;
  leash_.reset();
  if (!readable(ending_, 1000 * keeper_seconds)) kill(process_, SIGKILL);
  waitpid(process_, nullptr, WNOHANG);
  process_ = -1;
  fcntl(status_.get(), F_SETFL, O_NONBLOCK);
  return read_value<int>(status_).value_or(SIGKILL);  // where the keeper was killed, the program was, too
}

}  // namespace command
