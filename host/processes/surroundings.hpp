// What a process is started with, and may find unusable: standard descriptors that are closed, a locale that is not
// installed, a low limit of open descriptors.
#pragma once

#include <cstddef>

namespace weft::host {

// First in main(). Descriptors 0 to 2 are open from then on, so that none of them becomes a file's or a worker's: what
// was closed is empty to read, refuses what is written to standard output, and swallows what is written to standard
// error. A locale that is not installed becomes C.UTF-8 or C, in the environment, too: libraries throw at the other.
void put_surroundings_right();

// Raises the limit of this process to what it may be raised to, and returns it.
std::size_t raise_descriptor_limit();
// In a child, before it executes a program, which may count on numbers below the usual 1024: undoes that.
void restore_descriptor_limit();

}  // namespace weft::host
