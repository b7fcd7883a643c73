#include "host/plugins/probe.hpp"

#include <fmt/format.h>
#include <sys/prctl.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
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

// A verdict is about one library and one build of this program.
std::string verdict_name(const std::string& sha256) {
  const fs::path program = Installation::locate().program;
  return fmt::format("{}-{}-{:x}-{:x}.json", sha256, WEFT_VERSION, fs::file_size(program),
                     fs::last_write_time(program).time_since_epoch().count());
}

// A verdict that cannot be kept is found again next time.
void keep(const fs::path& file, const Json& verdict) {
  try {
    fs::create_directories(file.parent_path());
    write_atomically(file, verdict.dump() + "\n");
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

Refusal no_word(const Manifest& manifest, const std::string& how) {
  return {Code::probe_died, manifest.library().string(), fmt::format("when it was opened, the process {}", how),
          "a library that can be opened", "mend what the plugin does while it is loaded (static initialisers)"};
}

}  // namespace

void probe(const Manifest& manifest) {
  const std::chrono::milliseconds limit = probe_time();
  Child child({{"probe-plugin", fs::absolute(manifest.file).string()}, {}, /*core_dump=*/false});
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!child.over()) {
    if (const std::optional<Json> word = child.receive(deadline)) return heed(*word);
    if (std::chrono::steady_clock::now() < deadline) continue;
    throw Refusal(Code::probe_hung, manifest.library().string(),
                  fmt::format("was not open after {:.3g} s", std::chrono::duration<double>(limit).count()),
                  "a library that can be opened",
                  "mend what the plugin does while it is loaded (static initialisers); on a busy machine give it more "
                  "time: WEFT_PROBE_SECONDS=120");
  }
  throw no_word(manifest, child.bury());
}

void probe_once(const Manifest& manifest, const std::string& sha256) {
  const std::optional<fs::path> folder = cache_folder();
  const std::optional<fs::path> file = folder ? std::optional(*folder / verdict_name(sha256)) : std::nullopt;
  if (file && fs::exists(*file)) {
    try {
      return heed(read_json(*file));
    } catch (const Refusal&) {
      throw;
    } catch (const std::exception&) {
      // A damaged verdict is no verdict.
    }
  }
  try {
    probe(manifest);
  } catch (const Refusal& refusal) {
    // Only what the file itself does is kept: a library that it needs may be installed tomorrow, and
    // what was too slow on a busy machine may be in time on a quiet one.
    if (file && refusal.code() == Code::probe_died) keep(*file, verdict_of(refusal));
    throw;
  }
  if (file) keep(*file, {{"verdict", "open"}});
}

int run_probe(const std::string& file) {
  prctl(PR_SET_DUMPABLE, 0);
  Channel channel(Child::channel_descriptor);
  try {
    const Manifest manifest = Manifest::read(file, read_json(Installation::locate().schemas / "plugin.json"));
    load_component(manifest);
    channel.send({{"verdict", "open"}});
    return 0;
  } catch (const Refusal& refusal) {
    channel.send(verdict_of(refusal));
  } catch (const std::exception& error) {
    const Refusal thrown(Code::probe_died, file, fmt::format("threw while it was opened: {}", error.what()), "",
                         "mend what the plugin does while it is loaded (static initialisers)");
    channel.send(verdict_of(thrown));
  }
  return 1;
}

}  // namespace weft::host
