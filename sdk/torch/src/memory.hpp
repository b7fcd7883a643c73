// Running out of memory, told as what it is: LibTorch has no one exception for it in all its versions.
#pragma once

#include <exception>
#include <new>
#include <string>

#include "weft/error.hpp"

namespace weft {

// LibTorch's words or the standard library's, on one line; empty for another error.
inline std::string memory_shortage(const std::exception& error) {
  const std::string text = error.what(), line = text.substr(0, text.find('\n'));
  const bool short_of_memory = dynamic_cast<const std::bad_alloc*>(&error) != nullptr ||
                               line.find("out of memory") != std::string::npos ||
                               line.find("can't allocate memory") != std::string::npos;
  return short_of_memory ? line : "";
}

// `body`; where memory does not suffice, an Error of `when` and `remedy`.
template <typename Body>
auto within_memory(const std::string& when, const std::string& remedy, Body&& body) {
  try {
    return body();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    const std::string shortage = memory_shortage(error);
    if (shortage.empty()) throw;
    throw Error("out of memory " + when + "; " + remedy + " (" + shortage + ")");
  }
}

}  // namespace weft
