#include "host/execution/calls.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "host/plugins/library.hpp"
#include "host/plugins/refusal.hpp"
#include "weft/detail/boundary.hpp"

namespace weft::host {

void rethrow_as_refusal(const Manifest& manifest, std::string_view call) {
  const auto refuse = [&](std::string_view what, const char* remedy = "") {
    throw Refusal(Code::call_failed, fmt::format("{} ({})", manifest.title(), manifest.file.string()),
                  fmt::format("{}: {}", call, what), "", remedy);
  };
  constexpr const char* crossed = "report it to the plugin's author: no exception may cross the boundary (rule 4)";
  try {
    throw;
  } catch (const Refusal&) {
    throw;
  } catch (const Error& error) {
    refuse(error.what());
  } catch (const std::exception& error) {
    refuse(fmt::format("threw an exception across the boundary: {}", error.what()), crossed);
  } catch (...) {
    refuse("threw an exception across the boundary", crossed);
  }
  throw;
}

void log_of(const Manifest& manifest, std::int32_t level, weft_text message) {
  const auto severity = level <= 0   ? spdlog::level::debug
                        : level == 1 ? spdlog::level::info
                        : level == 2 ? spdlog::level::warn
                                     : spdlog::level::err;
  spdlog::log(severity, "{}: {}", manifest.title(), detail::view(message));
}

void expect_library(const Json& libraries, const Manifest& manifest) {
  for (const Json& expected : libraries) {
    if (expected.at("plugin") != manifest.title() || expected.at("sha256") == library_sha256(manifest)) continue;
    throw Error(
        fmt::format("{}: {} was replaced while the study runs: its library had SHA-256 {}, now it has {}. Put the "
                    "old one back and `weft resume`, or go on with the new one by `weft resume --accept-changes`",
                    manifest.library().string(), manifest.title(), expected.at("sha256").get<std::string>(),
                    library_sha256(manifest)));
  }
}

}  // namespace weft::host
