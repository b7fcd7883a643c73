#include "host/study/journal.hpp"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>
#include <sqlite3.h>

#include <system_error>

#include "host/study/files.hpp"
#include "weft/detail/boundary.hpp"
#include "weft/error.hpp"

namespace weft::host {

namespace fs = std::filesystem;

namespace {

constexpr int format_version = 1;
constexpr int patience = 5000;  // milliseconds to wait for another process's lock

fs::path beside(const fs::path& file, const char* suffix) {
  fs::path path = file;
  path += suffix;
  return path;
}

// A name for SQLite that says: nobody writes to this file.
std::string immutable(const fs::path& file) {
  std::string uri = "file:";
  for (const char c : fs::absolute(file).string()) uri += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  return uri + "?immutable=1";
}

// Most events are reports, which are not read again: the others are found without stepping over them.
constexpr const char* make_index =
    "CREATE INDEX IF NOT EXISTS without_reports ON events (sequence) WHERE kind <> 'report'";

}  // namespace

struct Journal::Database {
  std::string file;
  std::unique_ptr<TemporaryFolder> copy;  // of journal and log; before what opens it
  std::unique_ptr<SQLite::Database> database;
  std::unique_ptr<SQLite::Statement> insert;
  bool uncommitted = false;

  void open_to_read(const fs::path& path) {
    try {
      database = std::make_unique<SQLite::Database>(path.string(), SQLite::OPEN_READONLY, patience);
      database->execAndGet("SELECT count(*) FROM sqlite_master");
      return;
    } catch (const SQLite::Exception& error) {
      if (error.getErrorCode() != SQLITE_CANTOPEN && error.getErrorCode() != SQLITE_READONLY) throw;
    }
    // WAL wants a file beside the journal, which cannot be made here.
    std::error_code absent;
    const fs::path wal = beside(path, "-wal");
    if (fs::exists(wal, absent) && fs::file_size(wal, absent) > 0) {
      copy = std::make_unique<TemporaryFolder>(fs::temp_directory_path(), "weft-journal-");
      const fs::path file_in_copy = copy->path() / "study.db";
      for (const char* suffix : {"", "-wal"}) {
        fs::copy_file(beside(path, suffix), beside(file_in_copy, suffix));
        fs::permissions(beside(file_in_copy, suffix), fs::perms::owner_all);
      }
      database = std::make_unique<SQLite::Database>(file_in_copy.string(), SQLite::OPEN_READWRITE, patience);
    } else {
      database = std::make_unique<SQLite::Database>(immutable(path), SQLite::OPEN_READONLY | SQLite::OPEN_URI);
    }
  }

  void open_to_append(const fs::path& path) {
    database = std::make_unique<SQLite::Database>(path.string(), SQLite::OPEN_READWRITE, patience);
    database->exec("PRAGMA journal_mode = WAL");
    database->exec("PRAGMA synchronous = NORMAL");  // what a power failure may cost: docs/study-folder.md
    database->exec(make_index);                     // studies of release 1.0 have none
    insert = std::make_unique<SQLite::Statement>(*database,
                                                 "INSERT INTO events (elapsed, kind, trial, body) VALUES (?, ?, ?, ?)");
  }

  void expect_version() const {
    const int version = database->execAndGet("PRAGMA user_version").getInt();
    if (version != format_version) {
      throw Error(
          fmt::format("{}: is a journal of version {}, this host reads version {}", file, version, format_version));
    }
  }

  // The table, by the index where there is one.
  std::string events() const {
    const bool indexed =
        database->execAndGet("SELECT count(*) FROM sqlite_master WHERE name = 'without_reports'").getInt() > 0;
    return indexed ? "events INDEXED BY without_reports" : "events";
  }

  // What goes on is built on all that was.
  void expect_whole() const {
    const std::int64_t missing =
        database->execAndGet("SELECT ifnull(max(sequence), 0) - count(*) FROM events").getInt64();
    if (missing == 0) return;
    const std::int64_t before =
        database
            ->execAndGet(
                "SELECT min(sequence) FROM events AS event WHERE sequence > 1 AND NOT EXISTS (SELECT 1 FROM "
                "events WHERE sequence = event.sequence - 1)")
            .getInt64();
    throw Error(
        fmt::format("{}: is damaged: {} of its events are missing, the first of them before event {}; what it holds "
                    "can be read (weft trials, weft best), but not gone on with",
                    file, missing, before));
  }

  [[noreturn]] void fail(const char* action, const SQLite::Exception& error) {
    if (uncommitted) database->tryExec("ROLLBACK");
    uncommitted = false;
    const std::string remedy = error.getErrorCode() == SQLITE_FULL ? "; free some space, then `weft resume`" : "";
    throw Error(fmt::format("{}: {}: {}{}", file, action, error.what(), remedy));
  }
};

void Journal::create(const fs::path& file, const Json& opening) {
  const fs::path unfinished = beside(file, ".part");
  std::error_code absent;  // what a host left that was killed just here
  for (const char* suffix : {"", "-journal"}) fs::remove(beside(unfinished, suffix), absent);
  try {
    SQLite::Database database(unfinished.string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
    database.exec(
        "CREATE TABLE events (sequence INTEGER PRIMARY KEY, elapsed REAL NOT NULL, kind TEXT NOT NULL, "
        "trial INTEGER NOT NULL, body TEXT NOT NULL)");
    database.exec(make_index);
    SQLite::Statement insert(database, "INSERT INTO events (elapsed, kind, trial, body) VALUES (0, 'study', -1, ?)");
    insert.bind(1, text(opening));
    insert.exec();
    database.exec(fmt::format("PRAGMA user_version = {}", format_version));
  } catch (const SQLite::Exception& error) {
    throw Error(fmt::format("{}: cannot be created: {}", file.string(), error.what()));
  }
  fs::rename(unfinished, file);
  sync_to_disk(file.parent_path().empty() ? "." : file.parent_path());
}

Journal::Journal(const fs::path& file, Mode mode) : database_(std::make_unique<Database>()) {
  database_->file = file.string();
  try {
    if (mode == Mode::read) {
      database_->open_to_read(file);
    } else {
      database_->open_to_append(file);
    }
    database_->expect_version();
    if (mode == Mode::append) database_->expect_whole();
  } catch (const SQLite::Exception& error) {
    throw Error(fmt::format("{}: cannot be opened: {}", file.string(), error.what()));
  } catch (const fs::filesystem_error& error) {
    throw Error(fmt::format("{}: cannot be copied to be read: {}", file.string(), error.what()));
  }
}

Journal::~Journal() {
  if (!database_ || !database_->uncommitted) return;
  try {
    commit();
  } catch (const Error&) {
    // What was not committed had no effect yet.
  }
}

Journal::Journal(Journal&&) noexcept = default;

std::string Journal::text(const Json& body) { return body.dump(-1, ' ', false, Json::error_handler_t::replace); }

void Journal::append(double elapsed, std::string_view kind, std::int64_t trial, const std::string& body) {
  try {
    if (!database_->uncommitted) database_->database->exec("BEGIN");
    database_->uncommitted = true;
    SQLite::Statement& insert = *database_->insert;
    insert.reset();
    insert.bind(1, elapsed);
    insert.bind(2, std::string(kind));
    insert.bind(3, static_cast<std::int64_t>(trial));
    insert.bindNoCopy(4, body);
    insert.exec();
  } catch (const SQLite::Exception& error) {
    database_->fail("cannot be written", error);
  }
}

void Journal::commit() {
  if (!database_->uncommitted) return;
  try {
    database_->insert->reset();
    database_->database->exec("COMMIT");
    database_->uncommitted = false;
  } catch (const SQLite::Exception& error) {
    database_->fail("cannot be written", error);
  }
}

void Journal::for_each(const Visit& visit, Order order, Reports reports) const {
  std::int64_t sequence = 0;
  try {
    SQLite::Statement query(
        *database_->database,
        fmt::format("SELECT sequence, elapsed, kind, trial, body FROM {} ORDER BY {}sequence",
                    reports == Reports::included ? "events" : database_->events() + " WHERE kind <> 'report'",
                    order == Order::of_trials ? "trial, " : ""));
    while (query.executeStep()) {
      sequence = query.getColumn(0).getInt64();
      Event event{query.getColumn(1).getDouble(), query.getColumn(2).getString(), query.getColumn(3).getInt64(), {}};
      try {
        event.body = detail::parse_json(query.getColumn(4).getString());
      } catch (const Error& error) {
        throw DamagedEvent(error.what());
      }
      visit(event);
    }
  } catch (const SQLite::Exception& error) {
    database_->fail("cannot be read", error);
  } catch (const DamagedEvent& error) {
    throw Error(fmt::format("{}: event {} is damaged: {}", database_->file, sequence, error.what()));
  } catch (const Json::exception& error) {  // a body without what its kind must have
    throw Error(fmt::format("{}: event {} is damaged: {}", database_->file, sequence, error.what()));
  }
}

double Journal::elapsed() const {
  try {
    return database_->database
        ->execAndGet(
            "SELECT elapsed FROM events WHERE kind NOT IN ('final_start', 'final') ORDER BY sequence DESC LIMIT 1")
        .getDouble();
  } catch (const SQLite::Exception& error) {
    database_->fail("cannot be read", error);
  }
}

std::vector<Json> Journal::bodies(const std::string& kind) const {
  std::int64_t sequence = 0;
  try {
    SQLite::Statement query(
        *database_->database,
        fmt::format("SELECT sequence, body FROM {} WHERE kind = ? AND kind <> 'report' ORDER BY sequence",
                    database_->events()));
    query.bind(1, kind);
    std::vector<Json> bodies;
    while (query.executeStep()) {
      sequence = query.getColumn(0).getInt64();
      bodies.push_back(detail::parse_json(query.getColumn(1).getString()));
    }
    return bodies;
  } catch (const SQLite::Exception& error) {
    database_->fail("cannot be read", error);
  } catch (const Error& error) {
    throw Error(fmt::format("{}: event {} is damaged: {}", database_->file, sequence, error.what()));
  }
}

}  // namespace weft::host
