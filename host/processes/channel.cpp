#include "host/processes/channel.hpp"

#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "weft/error.hpp"

namespace weft::host {

Channel::Channel(Channel&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), buffer_(std::move(other.buffer_)) {}

Channel& Channel::operator=(Channel&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(buffer_, other.buffer_);
  return *this;
}

Channel::~Channel() {
  if (descriptor_ >= 0) close(descriptor_);
}

bool Channel::send(const Json& message) {
  // A plugin's text may hold invalid UTF-8; the message must get through all the same.
  const std::string line = message.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  for (std::size_t sent = 0; sent < line.size();) {
    const ssize_t count = ::send(descriptor_, line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    sent += static_cast<std::size_t>(count);
  }
  return true;
}

bool Channel::read_available() {
  std::array<char, 65536> piece;
  ssize_t count = -1;
  do {
    count = ::recv(descriptor_, piece.data(), piece.size(), 0);
  } while (count < 0 && errno == EINTR);
  if (count <= 0) return false;
  buffer_.append(piece.data(), static_cast<std::size_t>(count));
  return true;
}

std::optional<Json> Channel::next_buffered() {
  const std::size_t end = buffer_.find('\n');
  if (end == std::string::npos) return {};
  Json message = Json::parse(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(end));
  buffer_.erase(0, end + 1);
  return message;
}

std::optional<Json> Channel::receive() {
  for (;;) {
    if (std::optional<Json> message = next_buffered()) return message;
    if (!read_available()) return {};
  }
}

void take_log(const Json& message) {
  spdlog::log(static_cast<spdlog::level::level_enum>(message.at("level").get<int>()), "{}",
              message.at("text").get<std::string>());
}

void throw_error(const Json& message) {
  const std::string text = message.at("text");
  if (message.at("invalid").get<bool>()) throw InvalidInput(text);
  throw Error(text);
}

}  // namespace weft::host
