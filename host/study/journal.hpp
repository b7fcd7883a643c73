// The journal of a study: every ask, proposal, start, report and tell, in the order in which they happened, written
// before they have an effect. It is the study's only memory: everything else is rebuilt from it.
//
// One SQLite database (WAL), one table `events(sequence, elapsed, kind, trial, body)`; the kinds and their bodies are
// listed in docs/study-folder.md. Used by one thread of one process at a time (an exclusive lock on the study's
// folder); readers may look at it meanwhile.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "weft/error.hpp"
#include "weft/json.hpp"

namespace weft::host {

// What an event says cannot be.
class DamagedEvent : public Error {
 public:
  using Error::Error;
};

class Journal {
 public:
  struct Event {
    double elapsed = 0;  // seconds the study has been running, pauses not counted
    std::string kind;
    std::int64_t trial = -1;
    Json body;
  };
  enum class Mode { append, read };
  enum class Order { of_events, of_trials };  // of_trials: by trial, and of each trial in the order of events
  enum class Reports { left_out, included };
  using Visit = std::function<void(const Event&)>;

  // Makes a journal that holds one event, "study", whole or not at all: where there is a file, there is a study.
  static void create(const std::filesystem::path& file, const Json& opening);

  // To read needs no right to write, neither to the file nor to its folder. Throws Error when the file cannot be opened
  // or read, or is no journal of this version.
  Journal(const std::filesystem::path& file, Mode mode);
  ~Journal();  // commits
  Journal(Journal&&) noexcept;

  // Until commit() an event is this process's alone. Throws Error, with the reason (a full disk, for one); events since
  // the last commit are lost then.
  void append(double elapsed, std::string_view kind, std::int64_t trial, const std::string& body);
  // A body as text; what is no UTF-8 in it becomes U+FFFD.
  static std::string text(const Json& body);
  // All events so far, together: a process that is killed after this loses none of them. Cheap when there are none.
  void commit();

  // The events; without reports, which are most of a journal and from which nothing but the stoppers' knowledge is
  // rebuilt, unless they are asked for. Throws Error naming the sequence number of an event that is damaged, or of
  // which `visit` throws DamagedEvent.
  void for_each(const Visit& visit, Order order = Order::of_events, Reports reports = Reports::left_out) const;
  // Of the search's last event, reports included: final trainings are no part of it.
  double elapsed() const;
  // The bodies of all events of a kind, in order.
  std::vector<Json> bodies(const std::string& kind) const;

 private:
  struct Database;
  std::unique_ptr<Database> database_;
};

}  // namespace weft::host
