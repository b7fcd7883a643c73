// Whose rights this process has.
#pragma once

namespace weft::host {

// The host reads files, searches folders and opens libraries as its caller says: with more rights than the caller has,
// that would be the caller's way to them. `borrowed` is the kernel's word, getauxval(AT_SECURE). Throws InvalidInput.
void expect_own_rights(bool borrowed);

}  // namespace weft::host
