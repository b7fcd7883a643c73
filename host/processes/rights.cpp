#include "host/processes/rights.hpp"

#include "weft/error.hpp"

namespace weft::host {

void expect_own_rights(bool borrowed) {
  if (borrowed) {
    throw InvalidInput(
        "weft does not run with rights that its caller does not have (set-user-ID, set-group-ID, file capabilities); "
        "take them from the program: chmod ug-s, setcap -r");
  }
}

}  // namespace weft::host
