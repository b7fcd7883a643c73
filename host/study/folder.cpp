#include "host/study/folder.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "host/pipelines/utf8.hpp"
#include "host/plugins/schema.hpp"
#include "host/study/files.hpp"

namespace weft::host {

namespace fs = std::filesystem;

namespace {

// Empty, or what a host left that was killed before its study had begun: the lock is what it makes first.
bool is_free(const fs::path& path) {
  std::error_code error;
  const bool left = fs::exists(path / "lock", error);
  for (fs::directory_iterator at(path, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename();
    if (!left ||
        (name != "lock" && name != "pipeline.json" && !name.ends_with(".part") && !name.ends_with(".part-journal")))
      return false;
  }
  return !error;
}

}  // namespace

void StudyFolder::expect_free(const fs::path& path) {
  check_utf8(fs::absolute(path).string(), "the study's folder", "choose another with --study, or rename it");
  std::error_code error;
  if (fs::exists(path / "study.db", error)) {
    std::string held = "a study";
    try {
      held = fmt::format("the study \"{}\"", read_json(path / "pipeline.json").at("name").get<std::string>());
    } catch (const std::exception&) {
      // its pipeline cannot be read; that it is a study is enough to say
    }
    throw InvalidInput(
        fmt::format("{}: already holds {}. Go on with it by `weft resume {}`, or choose another folder with --study",
                    path.string(), held, path.string()));
  }
  if (fs::exists(path, error) && !is_free(path))
    throw InvalidInput(fmt::format("{}: exists and is not empty; choose another folder with --study", path.string()));
}

StudyFolder StudyFolder::create(const fs::path& path, const std::string& pipeline) {
  expect_free(path);
  std::error_code error;
  fs::create_directories(path, error);
  if (error) throw Error(fmt::format("{}: the study's folder cannot be created: {}", path.string(), error.message()));
  StudyFolder folder(path);
  folder.lock();
  expect_free(path);  // another may have been faster
  write_durably(folder.pipeline(), pipeline);
  sync_to_disk(fs::absolute(path).parent_path());
  return folder;
}

StudyFolder StudyFolder::open(const fs::path& path, bool exclusive) {
  std::error_code error;
  if (!fs::exists(path / "study.db", error)) {
    throw InvalidInput(
        fmt::format("{}: holds no study (no study.db); give the folder that `weft run` printed", path.string()));
  }
  if (exclusive) check_utf8(fs::absolute(path).string(), "the study's folder", "rename it");
  StudyFolder folder(path);
  if (exclusive) folder.lock();
  return folder;
}

fs::path StudyFolder::make_unused(const fs::path& parent, const std::string& stem) {
  check_utf8(fs::absolute(parent / stem).string(), "the study's folder", "choose another with --study, or rename it");
  std::error_code error;
  fs::create_directories(parent, error);
  for (int number = 1;; ++number) {
    fs::path path = parent / fmt::format("{}-{:03}", stem, number);
    if (fs::create_directory(path, error)) return path;  // nobody else has made it
    if (error && error != std::errc::file_exists)
      throw Error(fmt::format("{}: the study's folder cannot be created: {}", path.string(), error.message()));
  }
}

StudyFolder::StudyFolder(StudyFolder&& other) noexcept
    : path_(std::move(other.path_)),
      lock_(std::exchange(other.lock_, -1)),
      folder_lock_(std::exchange(other.folder_lock_, -1)) {}

StudyFolder::~StudyFolder() {
  for (const int lock : {lock_, folder_lock_}) {
    if (lock >= 0) close(lock);
  }
}

// A lock of the kernel's: it goes when the process goes, however it goes.
void StudyFolder::lock() {
  const fs::path file = path_ / "lock";
  lock_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock_ < 0) {
    throw Error(
        fmt::format("{}: cannot be written: {}. Only who may write to the folder can go on with its study; work on a "
                    "copy of your own (cp -r {} ..), or only look at it (weft best, weft trials)",
                    file.string(), std::strerror(errno), path_.string()));
  }
  folder_lock_ = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool alone = flock(lock_, LOCK_EX | LOCK_NB) == 0;
  // The folder is locked, too, as the file may be removed; some network file systems lock none that is open for
  // reading.
  if (alone && (flock(folder_lock_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)) return;
  if (errno != EWOULDBLOCK) throw Error(fmt::format("{}: cannot be locked: {}", file.string(), std::strerror(errno)));
  throw Error(fmt::format("{}: another weft process works on this study; wait for it or stop it", path_.string()));
}

fs::path StudyFolder::trial(TrialId id) const { return path_ / "trials" / fmt::format("{:06}", id); }
fs::path StudyFolder::final(TrialId id) const { return path_ / "final" / fmt::format("{:06}", id); }

namespace {

// Nothing where there is none, or what is there cannot be read: a power failure may leave an empty file.
Json read_if_whole(const fs::path& file) {
  std::error_code absent;
  if (!fs::exists(file, absent)) return {};
  try {
    return read_json(file);
  } catch (const InvalidInput& damaged) {
    spdlog::warn("{}; it is taken as absent", damaged.what());
    return {};
  }
}

std::optional<JobResult> stored_result(const Job& job) {
  const Json stored = read_if_whole(*job.folder / "result.json");
  if (!stored.is_object() || stored.value("job", Json()) != job.identity) return {};
  try {
    return JobResult{.trial = job.trial,
                     .state = trial_state(stored.at("state").get<std::string>()),
                     .metrics = stored.at("metrics"),
                     .reason = stored.at("reason"),
                     .seconds = stored.value("seconds", 0.0)};
  } catch (const std::exception&) {  // something is missing in it
    return {};
  }
}

}  // namespace

std::optional<JobResult> enter_job_folder(const Job& job) {
  const fs::path& folder = *job.folder;
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw Error(fmt::format("{}: cannot be created: {}", folder.string(), error.message()));
  if (std::optional<JobResult> result = stored_result(job)) return result;
  if (job.identity.is_null() || read_if_whole(folder / "job.json") == job.identity) return {};
  if (!fs::is_empty(folder, error)) {
    spdlog::warn("{}: holds files of another candidate, or of one that is not known; they are removed",
                 folder.string());
    for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
      fs::remove_all(entry.path(), error);
      if (error) throw Error(fmt::format("{}: cannot be removed: {}", entry.path().string(), error.message()));
    }
  }
  write_atomically(folder / "job.json", job.identity.dump(1) + "\n");
  return {};
}

namespace {

// What an evaluator's program made may still change, or be closed to this process: that is no matter of the result's.
void sync_all_within(const fs::path& folder) {
  std::error_code error;
  fs::recursive_directory_iterator at(folder, fs::directory_options::skip_permission_denied, error);
  for (const fs::recursive_directory_iterator end; !error && at != end; at.increment(error)) {
    std::error_code gone;
    if (const fs::file_type type = at->symlink_status(gone).type();
        type == fs::file_type::directory || type == fs::file_type::regular)
      sync_to_disk(at->path());
  }
}

}  // namespace

void leave_job_folder(const Job& job, const JobResult& result) {
  sync_all_within(*job.folder);
  sync_to_disk(job.folder->parent_path());
  Json stored = {{"state", to_string(result.state)},
                 {"metrics", result.metrics},
                 {"reason", result.reason},
                 {"seconds", result.seconds}};
  if (!job.identity.is_null()) stored["job"] = job.identity;
  write_durably(*job.folder / "result.json", stored.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace weft::host
