// Errors of the C++ layer. Bad input is an exception whose text states rule, value, place and remedy; an expected
// outcome is a value; a programmer's mistake is an assert.
#pragma once

#include <stdexcept>
#include <string>

namespace weft {

// Anything that went wrong and may be told to the user as it stands.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The caller gave something unusable: a configuration, a notation, a genotype, a graph that does not fit.
class InvalidInput : public Error {
 public:
  using Error::Error;
};

}  // namespace weft
