// The journal of a study: every ask, proposal, start, report and tell, in the order in which they happened, written
// before they have an effect. It is the study's only memory: everything else is rebuilt from it.
//
// One SQLite database (WAL), one table `events(sequence, elapsed, kind, trial, body)`; the kinds and their bodies are
// listed in docs/study-folder.md. Used by one thread of one process at a time (an exclusive lock on the study's
// folder).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "weft/json.hpp"

namespace weft::host {

class Journal {
 public:
  struct Event {
    double elapsed = 0;  // seconds the study has been running, pauses not counted
    std::string kind;
    std::int64_t trial = -1;
    Json body;
  };
  enum class Mode { append, read };

  // Makes a journal that holds one event, "study", whole or not at all: where there is a file, there is a study.
  static void create(const std::filesystem::path& file, const Json& opening);

  // Throws Error when the file cannot be opened or read, or is no journal of this version.
  Journal(const std::filesystem::path& file, Mode mode);
  ~Journal();
  Journal(Journal&&) noexcept;

  // Throws Error, with the reason (a full disk, for one); the journal stays as it was before.
  void append(double elapsed, std::string_view kind, std::int64_t trial, const std::string& body);
  // Appends from begin() to commit() are written together or not at all.
  void begin();
  void commit();

  void for_each(const std::function<void(const Event&)>& visit) const;

 private:
  struct Database;
  std::unique_ptr<Database> database_;
};

}  // namespace weft::host
