#include "host/plugins/probe.hpp"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <new>
#include <optional>

#include "host/plugins/catalogue.hpp"
#include "host/plugins/library.hpp"
#include "host/plugins/refusal.hpp"
#include "host/plugins/schema.hpp"
#include "host/processes/child.hpp"
#include "host/study/files.hpp"

namespace weft::host {

namespace fs = std::filesystem;

namespace {

std::optional<fs::path> cache_folder() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache == '/')
    return fs::path(cache) / "weft" / "probes";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/')
    return fs::path(home) / ".cache" / "weft" / "probes";
  return {};
}

// A verdict is about one library and one build of this program. Nothing where there is no place for it.
std::optional<fs::path> verdict_file(const std::string& fingerprint) {
  const std::optional<fs::path> folder = cache_folder();
  std::error_code size_error, time_error;
  const fs::path program = Installation::locate().program;
  const std::uintmax_t size = fs::file_size(program, size_error);
  const fs::file_time_type time = fs::last_write_time(program, time_error);
  if (!folder || size_error || time_error) return {};
  return *folder /
         fmt::format("{}-{}-{:x}-{:x}.json", fingerprint, WEFT_VERSION, size, time.time_since_epoch().count());
}

// A verdict that cannot be kept is found again next time.
void keep(const fs::path& file, const Json& verdict) {
  try {
    fs::create_directories(file.parent_path());
    write_atomically(file, verdict.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  } catch (const std::exception&) {
  }
}

std::chrono::milliseconds probe_time() {
  const char* seconds = std::getenv("WEFT_PROBE_SECONDS");
  const double given = seconds != nullptr ? std::strtod(seconds, nullptr) : 0.0;
  return std::chrono::milliseconds(static_cast<std::int64_t>(1000.0 * (given > 0.0 && given < 1e6 ? given : 20.0)));
}

// A verdict as it is sent and kept, and back: throws the refusal, if it is one.
Json verdict_of(const Refusal& refusal) {
  return {{"verdict", "refused"}, {"code", static_cast<int>(refusal.code())}, {"text", refusal.what()}};
}
void heed(const Json& verdict) {
  if (verdict.at("verdict") == "open") return;
  throw Refusal(static_cast<Code>(verdict.at("code").get<int>()), verdict.at("text").get<std::string>());
}
// Whether heed() understands it: a plugin's own initialisers may have written to the channel.
bool is_verdict(const Json& word) {
  return word.is_object() && word.value("verdict", Json()).is_string() &&
         (word.at("verdict") == "open" ||
          (word.value("code", Json()).is_number_integer() && word.value("text", Json()).is_string()));
}

// Signals by which a process ends of its own doing. Others come from outside: by hand, at a limit, for want of memory.
bool is_own(int signal) {
  constexpr std::array<int, 7> own = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSYS, SIGTRAP};
  return std::find(own.begin(), own.end(), signal) != own.end();
}

// The child ended without a word.
Refusal no_word(const Manifest& manifest, Child& child) {
  const std::string how = child.bury();
  if (WIFSIGNALED(child.status()) && !is_own(WTERMSIG(child.status()))) {
    return {Code::probe_stopped, manifest.library().string(), fmt::format("the process that was to try it {}", how),
            "that it ends by itself", "nothing is said against the plugin, and nothing was kept: try again"};
  }
  return {Code::probe_died, manifest.library().string(), fmt::format("when it was opened, the process {}", how),
          "a library that can be opened", "mend what the plugin does while it is loaded (static initialisers)"};
}

std::optional<Json> kept(const fs::path& file) {
  try {
    std::error_code ignored;
    if (fs::exists(file, ignored)) return read_json(file);
  } catch (const InvalidInput&) {
    // A verdict that cannot be read is no verdict.
  }
  return {};
}

}  // namespace

void probe(const Manifest& manifest) {
  const std::chrono::milliseconds limit = probe_time();
  Child child({{"probe-plugin", fs::absolute(manifest.file).string()}, {}, /*core_dump=*/false});
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!child.over()) {
    if (const std::optional<Json> word = child.receive(deadline)) {
      if (is_verdict(*word)) return heed(*word);
      child.condemn("wrote to its channel what is no verdict");
    }
    if (std::chrono::steady_clock::now() < deadline) continue;
    throw Refusal(Code::probe_hung, manifest.library().string(),
                  fmt::format("was not open after {:.3g} s", std::chrono::duration<double>(limit).count()),
                  "a library that can be opened",
                  "mend what the plugin does while it is loaded (static initialisers); on a busy machine give it more "
                  "time: WEFT_PROBE_SECONDS=120");
  }
  throw no_word(manifest, child);
}

void probe_once(const Manifest& manifest, const LibraryFile& library) {
  const std::optional<fs::path> file = verdict_file(library.fingerprint());
  if (const std::optional<Json> verdict = file ? kept(*file) : std::nullopt) {
    if (is_verdict(*verdict)) return heed(*verdict);  // else it is none
  }
  try {
    probe(manifest);
  } catch (const Refusal& refusal) {
    library.expect_unchanged();  // the child opened what lies there now
    // Only what the file itself does is kept: a library that it needs may be installed tomorrow, and
    // what was too slow on a busy machine may be in time on a quiet one.
    if (file && refusal.code() == Code::probe_died) keep(*file, verdict_of(refusal));
    throw;
  }
  library.expect_unchanged();
  if (file) keep(*file, {{"verdict", "open"}});
}

int run_probe(const std::string& file) {
  prctl(PR_SET_DUMPABLE, 0);
  Channel channel(Child::channel_descriptor);
  std::optional<Manifest> manifest;
  try {
    manifest = Manifest::read(file, read_json(Installation::locate().schemas / "plugin.json"));
  } catch (const std::exception& error) {  // it is being written anew
    channel.send(verdict_of({Code::probe_stopped, file, fmt::format("cannot be read any more: {}", error.what()), "",
                             "nothing is said against the plugin, and nothing was kept: try again"}));
    return 1;
  }
  try {
    load_component(*manifest);
    channel.send({{"verdict", "open"}});
    return 0;
  } catch (const Refusal& refusal) {
    channel.send(verdict_of(refusal));
  } catch (const std::bad_alloc&) {
    channel.send(verdict_of({Code::probe_stopped, file, "the process that was to try it had too little memory", "",
                             "close other programs, and try again"}));
  } catch (const std::exception& error) {
    const Refusal thrown(Code::probe_died, file, fmt::format("threw while it was opened: {}", error.what()), "",
                         "mend what the plugin does while it is loaded (static initialisers)");
    channel.send(verdict_of(thrown));
  }
  return 1;
}

}  // namespace weft::host
