// A call into a plugin that failed, said in the host's words: which plugin, which call, for which trial.
#pragma once

#include <cstdint>
#include <string_view>

#include "host/plugins/manifest.hpp"
#include "weft/abi.h"

namespace weft::host {

// To be used in a handler: throws the exception at hand again as a Refusal (E060), `call` being such as "ask" or
// "tell, trial 7". A Refusal passes through. An exception of a foreign kind has broken rule 4, and the text says so.
[[noreturn]] void rethrow_as_refusal(const Manifest& manifest, std::string_view call);

// A message of the plugin's, in the host's log.
void log_of(const Manifest& manifest, std::int32_t level, weft_text message);

// A library that was replaced since the study began would mix results of two versions. `libraries` as libraries_of()
// lists them; of a plugin that is not among them nothing is known. Throws Error.
void expect_library(const Json& libraries, const Manifest& manifest);

}  // namespace weft::host
