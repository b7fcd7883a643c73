// A call into a plugin that failed, said in the host's words: which plugin, which call, for which trial.
#pragma once

#include <string_view>

#include "host/plugins/manifest.hpp"

namespace weft::host {

// To be used in a handler: throws the exception at hand again as a Refusal (E060), `call` being such as "ask" or
// "tell, trial 7". A Refusal passes through. An exception of a foreign kind has broken rule 4, and the text says so.
[[noreturn]] void rethrow_as_refusal(const Manifest& manifest, std::string_view call);

}  // namespace weft::host
