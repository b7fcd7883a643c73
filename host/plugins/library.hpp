// Opening a plugin's library and finding its component, with the descriptor's checks (design, section 4, rules 1 and
// 3).
#pragma once

#include <string>

#include "host/plugins/manifest.hpp"
#include "weft/abi.h"

namespace weft::host {

// The component a manifest describes. On first use the library is inspected, tried in a child process and opened, from
// the bytes that were inspected; it stays open for the process's life. Throws Refusal.
const weft_component& open_component(const Manifest& manifest);

// The same without the trial in a child: for that child, and for who has already seen the verdict.
const weft_component& load_component(const Manifest& manifest);

// The SHA-256 of the library as this process has opened it, or where it has not, of the file as it is now. With the
// libraries of the plugin's folder that it needs: one over all their hashes. Throws Refusal.
std::string library_sha256(const Manifest& manifest);

// Of the folder's other files, names included, which the plugin may read; empty where there are none. Of more than a
// gigabyte together sizes and times stand for their bytes.
std::string data_sha256(const Manifest& manifest);

// The checks on a descriptor alone. Throws Refusal; `file` names the library in its text.
const weft_component& find_component(const weft_descriptor& descriptor, const Manifest& manifest,
                                     const std::string& file);

}  // namespace weft::host
