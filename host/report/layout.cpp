#include "host/report/layout.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "weft/error.hpp"

namespace weft::host {
namespace {

constexpr std::size_t most_words = 1500;  // of what a failing dot said

// A file in memory: a pipe may be full while nobody reads from it.
class Memory {
 public:
  Memory() : descriptor_(memfd_create("dot", MFD_CLOEXEC)) {
    if (descriptor_ < 0) throw Error(std::strerror(errno));
  }
  ~Memory() { close(descriptor_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  int descriptor() const { return descriptor_; }

  void write(const std::string& text) const {
    for (std::size_t done = 0; done < text.size();) {
      const ssize_t count = pwrite(descriptor_, text.data() + done, text.size() - done, static_cast<off_t>(done));
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) throw Error(std::strerror(errno));
      done += static_cast<std::size_t>(count);
    }
  }

  std::string read() const {
    std::string text;
    std::array<char, 65536> piece;
    for (;;) {
      const ssize_t count = pread(descriptor_, piece.data(), piece.size(), static_cast<off_t>(text.size()));
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return text;
      text.append(piece.data(), static_cast<std::size_t>(count));
    }
  }

 private:
  int descriptor_;
};

// In a group of its own, so that a script of the name ends with what it has started.
pid_t start(const Memory& input, const Memory& output, const Memory& errors) {
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, input.descriptor(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&files, output.descriptor(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&files, errors.descriptor(), STDERR_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  posix_spawnattr_setpgroup(&attributes, 0);
  std::string program = "dot";
  std::string format = "-Tsvg";
  char* const arguments[] = {program.data(), format.data(), nullptr};
  pid_t process = -1;
  const int error = posix_spawnp(&process, program.c_str(), &files, &attributes, arguments, environ);
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  if (error == ENOENT) {
    throw Error("a picture needs Graphviz's program \"dot\", which is not in PATH; install the package graphviz");
  }
  if (error != 0) throw Error(fmt::format("Graphviz's program \"dot\" cannot be run: {}", std::strerror(error)));
  return process;
}

bool ends_within(pid_t process, std::chrono::milliseconds limit) {
  const int handle = static_cast<int>(syscall(SYS_pidfd_open, process, 0));
  const auto deadline = std::chrono::steady_clock::now() + limit;
  int ready = -1;
  for (auto left = limit; handle >= 0 && ready < 0 && left.count() >= 0;) {
    pollfd polled{handle, POLLIN, 0};
    ready = poll(&polled, 1, static_cast<int>(left.count()));  // a signal may come
    left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  }
  if (handle >= 0) close(handle);
  return ready > 0;
}

}  // namespace

std::string lay_out(const std::string& text, std::chrono::milliseconds limit) {
  const Memory input, output, errors;
  input.write(text);
  const pid_t process = start(input, output, errors);
  const bool ended = ends_within(process, limit);
  if (!ended) kill(-process, SIGKILL);
  int status = 0;
  while (waitpid(process, &status, 0) < 0 && errno == EINTR) {
  }
  if (!ended) {
    throw Error(
        fmt::format("\"dot\" had not laid out the picture after {:.3g} s; `weft export --format dot` writes "
                    "what it was given",
                    std::chrono::duration<double>(limit).count()));
  }
  if (WIFSIGNALED(status)) throw Error(fmt::format("\"dot\" was killed by signal {}", WTERMSIG(status)));
  if (WEXITSTATUS(status) != 0) {
    throw Error(fmt::format("\"dot -Tsvg\" ended with exit code {}: {}", WEXITSTATUS(status),
                            errors.read().substr(0, most_words)));
  }
  return output.read();
}

}  // namespace weft::host
