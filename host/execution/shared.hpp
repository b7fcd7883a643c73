// Plugins without arguments that all of a process share: operations and their modules, which are rules alone.
#pragma once

#include <string>

#include "weft/abi.h"
#include "weft/json.hpp"

namespace weft::host {

class Catalogue;

// Where they are looked for from here on; it must live until another takes its place. `libraries` are those that the
// study began with, as libraries_of() lists them.
void share_plugins_of(const Catalogue& catalogue, const Json& libraries);

// Made at its first use, and never destroyed. Throws InvalidInput where there is none, Error for another kind, and
// where it is broken, was replaced while the study runs, or asks for itself.
weft_handle shared_plugin(const std::string& kind, const std::string& name);

// The host's own graphs know the operations that plugins add, and those of instances that are made with this context.
void share_plugins_with(weft_context& context);

}  // namespace weft::host
