#include "host/execution/calls.hpp"

#include <fmt/format.h>

#include "host/plugins/refusal.hpp"

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

}  // namespace weft::host
