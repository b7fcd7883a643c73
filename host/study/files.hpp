// Writing files so that a reader never sees half of one.
#pragma once

#include <filesystem>
#include <string_view>

namespace weft::host {

// Writes beside the target and renames. Throws Error naming the file and the system's reason.
void write_atomically(const std::filesystem::path& file, std::string_view text);

}  // namespace weft::host
