#include "program.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "weft/error.hpp"

namespace command {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t last_words_size = 1500;  // bytes
constexpr auto tick = 100ms;                   // how often the file of its standard error is looked at
constexpr off_t most_errors = 4 << 20;         // bytes of it, before it is cut to the end
constexpr off_t kept_errors = 1 << 20;

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
    : errors_(std::move(errors)),
      errors_begin_(size_of(errors_)),
      input_(make_pipe()),
      output_(make_pipe()),
      keeper_(launch, input_.read.get(), output_.write.get(), errors_.get()) {
  input_.read.reset();
  output_.write.reset();
  for (const Descriptor* end : {&input_.write, &output_.read}) fcntl(end->get(), F_SETFL, O_NONBLOCK);
}

Program::~Program() {
  keeper_.end();
  shorten_errors();
}

void Program::write_line(const std::string& line) {
  if (!input_.write.is_open()) return;
  unsent_ += line + "\n";
  send();
}

void Program::close_input() {
  input_.write.reset();
  unsent_.clear();
}

std::optional<std::string> Program::read_line(Clock::time_point until) {
  for (;;) {
    if (std::optional<std::string> line = take_line()) return line;
    if (!output_.read.is_open() || Clock::now() >= until) return {};
    exchange(until);
  }
}

// A last line may lack its end.
std::optional<std::string> Program::take_line() {
  const std::size_t end = std::min(unread_.find('\n'), unread_.size());
  const bool whole = end < unread_.size() || end > longest_line || (!output_.read.is_open() && end > 0);
  if (!whole) return {};
  std::string line = unread_.substr(0, end);
  unread_.erase(0, end + 1);
  return line;
}

// Moves what can be moved, waiting for it a tick at most.
void Program::exchange(Clock::time_point until) {
  forget_old_errors();
  const bool ended = keeper_.has_ended();  // asked first: what it wrote before its end is in the pipe by now
  pollfd polled[] = {{unsent_.empty() ? -1 : input_.write.get(), POLLOUT, 0},
                     {output_.read.get(), POLLIN, 0},
                     {keeper_.ending(), POLLIN, 0}};
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(std::min<Clock::duration>(until - Clock::now(), tick));
  poll(polled, std::size(polled), ended ? 0 : static_cast<int>(std::max<std::int64_t>(0, left.count())));
  if (polled[0].revents != 0) send();
  if (!receive() && ended) output_.read.reset();  // what cannot be killed may hold the pipe open for ever
}

void Program::send() {
  while (!unsent_.empty()) {
    const ssize_t count = write_without_signal(input_.write.get(), unsent_.data(), unsent_.size());
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
    count = read(output_.read.get(), piece.data(), piece.size());
  } while (count < 0 && errno == EINTR);
  if (count > 0) unread_.append(piece.data(), static_cast<std::size_t>(count));
  if (count == 0) output_.read.reset();
  return count > 0;
}

std::optional<int> Program::wait(Clock::time_point until) {
  while (!keeper_.has_ended()) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(std::min<Clock::duration>(until - Clock::now(), tick));
    if (left.count() <= 0) return {};
    pollfd polled{keeper_.ending(), POLLIN, 0};
    poll(&polled, 1, static_cast<int>(left.count()));
  }
  return keeper_.end();
}

// While the program runs, the beginning of what is too much leaves the disk, but not the file: what is appended
// meanwhile keeps its place. Where the file system cannot do that, it may come to lie before the end, or be lost.
void Program::forget_old_errors() {
  const off_t size = size_of(errors_);
  if (size - errors_forgotten_ <= most_errors) return;
  const off_t left_out = size - kept_errors;
  if (fallocate(errors_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, left_out) == 0) {
    errors_forgotten_ = left_out;
  } else {
    shorten_errors();
  }
}

void Program::shorten_errors() {
  const off_t size = size_of(errors_);
  if (size <= most_errors) return;
  const off_t left_out = size - kept_errors;
  std::string text(static_cast<std::size_t>(kept_errors), '\0');
  const ssize_t count = pread(errors_.get(), text.data(), text.size(), left_out);
  if (count <= 0 || ftruncate(errors_.get(), 0) != 0) return;
  text.resize(static_cast<std::size_t>(count));
  text.insert(0, "[" + std::to_string(left_out) + " bytes before this were not kept]\n");
  [[maybe_unused]] const ssize_t written = write(errors_.get(), text.data(), text.size());
  errors_begin_ = 0;
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
