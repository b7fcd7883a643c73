#include "host/processes/surroundings.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <locale>
#include <stdexcept>

namespace weft::host {
namespace {

rlimit limit_at_start{};
bool limit_raised = false;

bool exists(const char* locale) {
  try {
    const std::locale made(locale);
    return true;
  } catch (const std::runtime_error&) {
    return false;
  }
}

void open_standard_descriptors() {
  constexpr std::array<int, 3> modes = {O_RDONLY, O_RDONLY, O_RDWR};
  for (int descriptor = 0; descriptor < 3; ++descriptor) {
    // The lowest number that is free, which is this one: those below are open.
    if (fcntl(descriptor, F_GETFD) < 0 && open("/dev/null", modes.at(descriptor)) != descriptor) _exit(1);
  }
}

}  // namespace

void put_surroundings_right() {
  open_standard_descriptors();
  std::signal(SIGCHLD, SIG_DFL);  // ignored, as some start their programs, it takes the status of children away
  if (exists("")) return;
  setenv("LC_ALL", exists("C.UTF-8") ? "C.UTF-8" : "C", 1);
}

std::size_t raise_descriptor_limit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  if (!limit_raised) limit_at_start = limit;
  limit_raised = true;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

void restore_descriptor_limit() {
  if (limit_raised) setrlimit(RLIMIT_NOFILE, &limit_at_start);
}

}  // namespace weft::host
