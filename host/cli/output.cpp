#include "host/cli/output.hpp"

#include <fcntl.h>
#include <unistd.h>

namespace weft::host {

std::FILE* output() {
  static std::FILE* const stream = [] {
    std::FILE* own = fdopen(fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3), "w");
    if (own == nullptr) return stdout;  // there is none: it is closed
    dup2(STDERR_FILENO, STDOUT_FILENO);
    return own;
  }();
  return stream;
}

}  // namespace weft::host
