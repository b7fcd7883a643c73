// JSON lines over a socket: the protocol between host and worker, one message a line.
//
// Host to worker: first {"pipeline", "file", "plugin_path", "task", "phase", "told", "libraries", "test"}; then jobs
// {"job": "describe"} or
// {"job": "trial", "trial", "genotype", "fidelity", "transfer", "folder", "resume_folder", "inherit_folder",
// "identity"}; {"verdict": n} answers a report. With the optimizer in a process of its own: {"job": "ask", "capacity"},
// {"job": "tell", "result"},
// {"job": "finished"}, {"job": "retain"}, {"job": "resumable"}. Worker to host: {"event": "report", "report"},
// {"event": "log", "level", "text"},
// {"event": "result", "state", "metrics", "reason"} or {"event": "described", "task", "fingerprint", "test"} or
// {"event": "error", "invalid", "text"}, {"event": "answer", ..}.
#pragma once

#include <mutex>
#include <optional>
#include <string>

#include "host/processes/descriptor.hpp"
#include "weft/json.hpp"

namespace weft::host {

class Channel {
 public:
  // Takes the descriptor, which no program that is started from here inherits.
  explicit Channel(int descriptor);

  int descriptor() const { return descriptor_.get(); }

  // For a worker, which has nobody else to attend to.
  // Waits until the message is sent, whole: any thread may call it. False when the other side is gone.
  bool send(const Json& message);
  // Waits for one message; nothing when the other side is gone.
  std::optional<Json> receive();

  // For the host, which must not wait for one worker.
  // Sends what can be sent at once, and keeps the rest for deliver().
  void post(const Json& message);
  void deliver();
  std::size_t unsent() const { return unsent_.size() - sent_; }
  bool has_unsent() const { return unsent() > 0; }
  enum class Arrival { some, none, end };
  Arrival read_available();
  // Whether next_buffered() has something to give, or to say.
  bool holds_message();
  // The next message that has arrived whole, if any. Throws Error for a line that is no JSON, or one without end.
  std::optional<Json> next_buffered();

 private:
  Arrival read(int flags);

  Descriptor descriptor_;
  std::mutex sending_;
  std::string unsent_;
  std::size_t sent_ = 0;  // of unsent_
  std::string buffer_;
  std::size_t begin_ = 0;    // of what has not been handed out
  std::size_t scanned_ = 0;  // no line ends before
};

}  // namespace weft::host
