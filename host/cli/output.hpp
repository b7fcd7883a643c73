// Standard output belongs to the host's answers: what a plugin prints must not end up in the middle of a script's JSON.
// Standard error is for remarks, whose loss is no reason to fail.
#pragma once

#include <cstdio>

namespace weft::host {

// First in main(), before anything is written. Standard output becomes the host's own, and descriptor 1 points at
// standard error. What cannot be written to standard error is dropped, whoever writes it here. A reader of answers who
// had enough, as `head` has, ends the program by SIGPIPE, as it ends others; one of remarks does not.
void take_output();

// Where answers go.
std::FILE* output();
bool output_failed();

// Last in main(), with the program's exit code: the same, or 1, after a message, if an answer could not be written.
int finish_output(int code);

}  // namespace weft::host
