#include "digits.hpp"

namespace acme {
int digits() { return 10; }
}  // namespace acme
