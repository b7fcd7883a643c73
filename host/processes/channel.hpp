// JSON lines over a socket: the protocol between host and worker, one message a line.
//
// Host to worker: first {"pipeline", "file", "plugin_path", "task", "phase", "told", "libraries"}; then jobs {"job":
// "describe"} or
// {"job": "trial", "trial", "genotype", "fidelity", "transfer", "folder", "parent_folder", "identity"}; {"verdict": n}
// answers a report. With the optimizer in a process of its own: {"job": "ask", "capacity"}, {"job": "tell", "result"},
// {"job": "finished"}. Worker to host: {"event": "report", "report"}, {"event": "log", "level", "text"},
// {"event": "result", "state", "metrics", "reason"} or {"event": "described", "task"} or {"event": "error", "invalid",
// "text"}, {"event": "answer", ..}.
#pragma once

#include <optional>
#include <string>

#include "weft/json.hpp"

namespace weft::host {

// Owns the file descriptor.
class Channel {
 public:
  Channel() = default;
  explicit Channel(int descriptor) : descriptor_(descriptor) {}
  Channel(Channel&& other) noexcept;
  Channel& operator=(Channel&& other) noexcept;
  ~Channel();

  int descriptor() const { return descriptor_; }

  // False when the other side is gone.
  bool send(const Json& message);
  // Waits for one message; nothing when the other side is gone.
  std::optional<Json> receive();
  // Reads what has arrived; false when the other side is gone. Call when the descriptor is readable.
  bool read_available();
  // The next complete message that was read, if any.
  std::optional<Json> next_buffered();

 private:
  int descriptor_ = -1;
  std::string buffer_;
};

// What a worker says besides its answers: a "log" goes into this process's, an "error" is thrown as it was there.
void take_log(const Json& message);
[[noreturn]] void throw_error(const Json& message);

}  // namespace weft::host
