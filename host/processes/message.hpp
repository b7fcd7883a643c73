// The messages of a worker: whether they are what the protocol says, and what to do with those that are no answers.
#pragma once

#include <string>
#include <string_view>

#include "weft/json.hpp"

namespace weft::host {

// What is wrong with a message that came from a worker: a worker runs foreign code, which may write to any descriptor.
// Empty: it is one of those that channel.hpp lists, with all its members, and may be read without further ado.
std::string fault_of(const Json& message);

// A "log" goes into this process's log, an "error" is thrown as it was there.
void take_log(const Json& message);
[[noreturn]] void throw_error(const Json& message);

// Foreign bytes as text that JSON takes: what is no UTF-8 is replaced.
std::string valid_utf8(std::string_view bytes);

}  // namespace weft::host
