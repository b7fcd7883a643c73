#include "host/plugins/refusal.hpp"

#include <fmt/format.h>

namespace weft::host {

std::string to_string(Code code) { return fmt::format("E{:03}", static_cast<int>(code)); }

Refusal::Refusal(Code code, const std::string& file, const std::string& found, const std::string& expected,
                 const std::string& remedy)
    : Error(fmt::format("{} {}: {}{}{}{}{}", to_string(code), file, found, expected.empty() ? "" : "; expected ",
                        expected, remedy.empty() ? "" : ". Remedy: ", remedy)),
      code_(code) {}

Refusal::Refusal(Code code, const std::string& text) : Error(text), code_(code) {}

}  // namespace weft::host
