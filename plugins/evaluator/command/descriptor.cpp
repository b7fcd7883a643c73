#include "descriptor.hpp"

#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "weft/error.hpp"

namespace command {

Pipe make_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw weft::Error(std::string("cannot create a pipe: ") + std::strerror(errno));
  return {Descriptor(ends[0]), Descriptor(ends[1])};
}

}  // namespace command
