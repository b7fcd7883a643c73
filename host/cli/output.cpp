#include "host/cli/output.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "host/cli/commands.hpp"

namespace weft::host {
namespace {

std::FILE* answers = stdout;
int descriptor = STDOUT_FILENO;  // of the answers
int failure = 0;                 // errno of the first write that failed

// A descriptor that does not block, as another program may have left it, is waited for.
bool await_room(int to) {
  pollfd polled{to, POLLOUT, 0};
  return poll(&polled, 1, -1) > 0 || errno == EINTR;
}

// How much was written; errno says why that is not all.
std::size_t write_whole(int to, const char* text, std::size_t size) {
  std::size_t written = 0;
  while (written < size) {
    const ssize_t count = write(to, text + written, size - written);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN && await_room(to)) continue;
    if (count < 0) break;
    written += static_cast<std::size_t>(count);
  }
  return written;
}

// Ended by the signal that was ignored until now.
[[noreturn]] void end_by_sigpipe() {
  std::signal(SIGPIPE, SIG_DFL);
  std::raise(SIGPIPE);
  _exit(128 + SIGPIPE);
}

ssize_t write_answer(void*, const char* text, std::size_t size) {
  const std::size_t written = write_whole(descriptor, text, size);
  if (written == size) return static_cast<ssize_t>(size);
  if (errno == EPIPE) end_by_sigpipe();
  if (failure == 0) failure = errno;
  return 0;
}

int close_answers(void*) {
  const int closed = close(descriptor);
  if (closed != 0 && failure == 0) failure = errno;
  return closed;
}

ssize_t write_remark(void*, const char* text, std::size_t size) {
  write_whole(STDERR_FILENO, text, size);
  return static_cast<ssize_t>(size);
}

}  // namespace

void take_output() {
  std::signal(SIGPIPE, SIG_IGN);
  descriptor = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
  answers = fopencookie(nullptr, "w", {.write = write_answer, .close = close_answers});
  if (isatty(descriptor) != 0) setvbuf(answers, nullptr, _IOLBF, BUFSIZ);
  dup2(STDERR_FILENO, STDOUT_FILENO);
  stderr = fopencookie(nullptr, "w", {.write = write_remark});
  setvbuf(stderr, nullptr, _IONBF, 0);
}

std::FILE* output() { return answers; }

bool output_failed() { return failure != 0; }

int finish_output(int code) {
  std::fclose(answers);
  if (failure == 0) return code;
  fmt::print(stderr, "standard output: the answer cannot be written: {}\n", std::strerror(failure));
  return code == done ? failed : code;
}

}  // namespace weft::host
