// A study's folder on disk, and the lock that keeps a second host out of it.
//
// study.db, pipeline.json (as resolved), oneshot/, trials/<number>/, final/<number>/, best/. See docs/study-folder.md.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "host/execution/executor.hpp"
#include "weft/trial.hpp"

namespace weft::host {

class StudyFolder {
 public:
  // Throws InvalidInput where no study can be begun: it says which study is there and how to go on, or that something
  // is.
  static void expect_free(const std::filesystem::path& path);
  // As expect_free(); throws Error if the folder cannot be created.
  static StudyFolder create(const std::filesystem::path& path, const std::string& pipeline);
  // Throws Error if there is no study here, or another process works on it.
  static StudyFolder open(const std::filesystem::path& path, bool exclusive);
  // Makes the next unused "<parent>/<stem>-001", whoever else does so at the same time.
  static std::filesystem::path make_unused(const std::filesystem::path& parent, const std::string& stem);

  StudyFolder(StudyFolder&& other) noexcept;
  ~StudyFolder();

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path journal() const { return path_ / "study.db"; }
  std::filesystem::path pipeline() const { return path_ / "pipeline.json"; }
  std::filesystem::path trial(TrialId id) const;
  std::filesystem::path final(TrialId id) const;
  std::filesystem::path one_shot() const { return path_ / "oneshot"; }
  std::filesystem::path best() const { return path_ / "best"; }

 private:
  explicit StudyFolder(std::filesystem::path path) : path_(std::move(path)) {}
  void lock();

  std::filesystem::path path_;
  int lock_ = -1, folder_lock_ = -1;
};

// Creates the folder of a job. Gives the result that an earlier attempt at this very job left in it, where the worker
// finished and the host died before it could take note. What another job left there (the end of the journal was lost)
// is removed, and a file that is empty or damaged is as if it were not there. Throws Error if the folder cannot be
// created.
std::optional<JobResult> enter_job_folder(const Job& job);

// Keeps a job's result in its folder, on disk with all the job's files, so that it need not be run again.
void leave_job_folder(const Job& job, const JobResult& result);

}  // namespace weft::host
