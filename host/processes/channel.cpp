#include "host/processes/channel.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "weft/detail/boundary.hpp"
#include "weft/error.hpp"

namespace weft::host {

namespace {

// A plugin's text may hold invalid UTF-8; the message must get through all the same.
std::string line_of(const Json& message) { return message.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"; }

// What crossed a plugin's boundary is wrapped a few times.
constexpr int deepest = detail::deepest_nesting + 16;

// Reading is no matter of depth, but all that is done with the result is.
bool too_deep(std::string_view line) {
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quoted && c == '\\') {
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (!quoted && (c == '[' || c == '{')) {
      if (++depth > deepest) return true;
    } else if (!quoted && (c == ']' || c == '}')) {
      --depth;
    }
  }
  return false;
}

Json parsed(std::string_view line) {
  if (too_deep(line)) throw Error(fmt::format("JSON nested deeper than {} levels", deepest));
  try {
    return Json::parse(line);
  } catch (const Json::exception& error) {
    throw Error(fmt::format("a line that is no JSON: {}", error.what()));
  }
}

}  // namespace

Channel::Channel(int descriptor) : descriptor_(descriptor) { fcntl(descriptor, F_SETFD, FD_CLOEXEC); }

bool Channel::send(const Json& message) {
  const std::string line = line_of(message);
  const std::lock_guard lock(sending_);
  for (std::size_t sent = 0; sent < line.size();) {
    const ssize_t count = ::send(descriptor_.get(), line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    sent += static_cast<std::size_t>(count);
  }
  return true;
}

void Channel::post(const Json& message) {
  unsent_ += line_of(message);
  deliver();
}

void Channel::deliver() {
  while (has_unsent()) {
    const ssize_t count =
        ::send(descriptor_.get(), unsent_.data() + sent_, unsent_.size() - sent_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) break;
    sent_ = count < 0 ? unsent_.size() : sent_ + static_cast<std::size_t>(count);  // nobody may be there to read it
  }
  if (sent_ <= unsent_.size() / 2) return;
  unsent_.erase(0, sent_);  // not at every piece: each would move all that follow it
  sent_ = 0;
}

Channel::Arrival Channel::read(int flags) {
  std::array<char, 65536> piece;
  ssize_t count = -1;
  do {
    count = ::recv(descriptor_.get(), piece.data(), piece.size(), flags);
  } while (count < 0 && errno == EINTR);
  if (count < 0 && errno == EAGAIN) return Arrival::none;
  if (count <= 0) return Arrival::end;
  buffer_.append(piece.data(), static_cast<std::size_t>(count));
  return Arrival::some;
}

Channel::Arrival Channel::read_available() { return read(MSG_DONTWAIT); }

bool Channel::holds_message() {
  scanned_ = std::min(buffer_.find('\n', scanned_), buffer_.size());
  return scanned_ < buffer_.size() || buffer_.size() - begin_ > detail::most_text;
}

std::optional<Json> Channel::next_buffered() {
  if (!holds_message()) return {};
  if (scanned_ - begin_ > detail::most_text)
    throw Error(fmt::format("a line of more than {} MiB", detail::most_text >> 20));
  const std::string_view line = std::string_view(buffer_).substr(begin_, scanned_ - begin_);
  Json message = parsed(line);
  begin_ = ++scanned_;
  // Not at every message: of a flood of small ones each would move all that follow it.
  if (begin_ == buffer_.size() || begin_ > buffer_.size() / 2) {
    buffer_.erase(0, begin_);
    begin_ = scanned_ = 0;
  }
  return message;
}

std::optional<Json> Channel::receive() {
  for (;;) {
    if (std::optional<Json> message = next_buffered()) return message;
    if (read(0) == Arrival::end) return {};
  }
}

}  // namespace weft::host
