// Why a plugin is not used: which rule it breaks (docs/plugin-contract.md), where, what was found and what was
// expected.
#pragma once

#include <string>

#include "weft/error.hpp"

namespace weft::host {

// Stable names of what can be wrong: scripts and documentation refer to them.
enum class Code {
  manifest_unreadable = 10,
  manifest_invalid = 11,
  manifest_abi = 12,
  path_not_inside = 20,
  library_absent = 21,
  foreign_owner = 22,
  writable_by_others = 23,
  hash_differs = 24,
  file_changed = 25,
  not_elf = 30,
  damaged_elf = 31,
  wrong_machine = 32,
  no_stamp = 33,
  stamp_differs = 34,
  descriptor_hidden = 35,
  torch_in_stable_tier = 36,
  other_torch = 37,
  cannot_open = 40,
  descriptor_damaged = 41,
  descriptor_abi = 42,
  components_damaged = 43,
  function_missing = 44,
  component_absent = 45,
  probe_died = 50,
  probe_hung = 51,
  probe_stopped = 52,
  call_failed = 60,
  bad_proposal = 61,
  quarantined = 70
};

// "E024"
std::string to_string(Code code);

class Refusal : public Error {
 public:
  // Each part is a phrase without a full stop; `expected` and `remedy` may be empty.
  Refusal(Code code, const std::string& file, const std::string& found, const std::string& expected,
          const std::string& remedy);
  // A text that is whole already: it begins with the code.
  Refusal(Code code, const std::string& text);
  Code code() const { return code_; }

 private:
  Code code_;
};

}  // namespace weft::host
