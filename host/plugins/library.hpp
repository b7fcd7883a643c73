// Opening a plugin's library and finding its component, with the descriptor's checks (design, section 4, rules 1 and
// 3).
#pragma once

#include "host/plugins/manifest.hpp"
#include "weft/abi.h"

namespace weft::host {

// The component a manifest describes. Opens the library on first use; it stays open for the process's life.
// Throws Error naming manifest, library, what was found and what was expected.
const weft_component& open_component(const Manifest& manifest);

// The checks on a descriptor alone. Throws Error; `file` names the library in its text.
const weft_component& find_component(const weft_descriptor& descriptor, const Manifest& manifest,
                                     const std::string& file);

}  // namespace weft::host
