#include "host/study/journal.hpp"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>

#include "weft/detail/boundary.hpp"
#include "weft/error.hpp"

namespace weft::host {

namespace {

constexpr int format_version = 1;

}  // namespace

struct Journal::Database {
  std::string file;
  SQLite::Database database;
  std::unique_ptr<SQLite::Statement> insert;

  [[noreturn]] void fail(const char* action, const SQLite::Exception& error) const {
    const std::string remedy =
        error.getErrorCode() == 13 /* SQLITE_FULL */ ? "; free some space, then `weft resume`" : "";
    throw Error(fmt::format("{}: {}: {}{}", file, action, error.what(), remedy));
  }
};

void Journal::create(const std::filesystem::path& file, const Json& opening) {
  std::filesystem::path beside = file;
  beside += ".part";
  try {
    SQLite::Database database(beside.string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
    database.exec(
        "CREATE TABLE events (sequence INTEGER PRIMARY KEY, elapsed REAL NOT NULL, kind TEXT NOT NULL, "
        "trial INTEGER NOT NULL, body TEXT NOT NULL)");
    SQLite::Statement insert(database, "INSERT INTO events (elapsed, kind, trial, body) VALUES (0, 'study', -1, ?)");
    insert.bind(1, opening.dump());
    insert.exec();
    database.exec(fmt::format("PRAGMA user_version = {}", format_version));
  } catch (const SQLite::Exception& error) {
    throw Error(fmt::format("{}: cannot be created: {}", file.string(), error.what()));
  }
  std::filesystem::rename(beside, file);
}

Journal::Journal(const std::filesystem::path& file, Mode mode) {
  try {
    // WAL needs write access to recover what a killed host left, also for a reader.
    database_ = std::make_unique<Database>(
        Database{file.string(), SQLite::Database(file.string(), SQLite::OPEN_READWRITE, 5000), nullptr});
    SQLite::Database& database = database_->database;
    const int version = database.execAndGet("PRAGMA user_version").getInt();
    if (version != format_version) {
      throw Error(fmt::format("{}: is a journal of version {}, this host reads version {}", file.string(), version,
                              format_version));
    }
    if (mode == Mode::read) return;
    database.exec("PRAGMA journal_mode = WAL");
    database.exec(
        "PRAGMA synchronous = NORMAL");  // a killed process loses nothing; a power failure at most the last events
    database_->insert = std::make_unique<SQLite::Statement>(
        database, "INSERT INTO events (elapsed, kind, trial, body) VALUES (?, ?, ?, ?)");
  } catch (const SQLite::Exception& error) {
    throw Error(fmt::format("{}: cannot be opened: {}", file.string(), error.what()));
  }
}

Journal::~Journal() = default;
Journal::Journal(Journal&&) noexcept = default;

void Journal::append(double elapsed, std::string_view kind, std::int64_t trial, const std::string& body) {
  try {
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

void Journal::begin() {
  try {
    database_->database.exec("BEGIN");
  } catch (const SQLite::Exception& error) {
    database_->fail("cannot be written", error);
  }
}

void Journal::commit() {
  try {
    database_->database.exec("COMMIT");
  } catch (const SQLite::Exception& error) {
    database_->fail("cannot be written", error);
  }
}

void Journal::for_each(const std::function<void(const Event&)>& visit) const {
  try {
    SQLite::Statement query(database_->database, "SELECT elapsed, kind, trial, body FROM events ORDER BY sequence");
    while (query.executeStep()) {
      visit({query.getColumn(0).getDouble(), query.getColumn(1).getString(), query.getColumn(2).getInt64(),
             detail::parse_json(query.getColumn(3).getString())});
    }
  } catch (const SQLite::Exception& error) {
    database_->fail("cannot be read", error);
  } catch (const Json::exception& error) {  // a body without what its kind must have
    throw Error(fmt::format("{}: an event is damaged: {}", database_->file, error.what()));
  }
}

}  // namespace weft::host
