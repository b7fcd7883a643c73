// Lets one thread wake another that waits for descriptors.
#pragma once

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>

#include "host/processes/descriptor.hpp"
#include "weft/error.hpp"

namespace weft::host {

class Alarm {
 public:
  Alarm() : descriptor_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (descriptor_.get() < 0) throw Error(std::string("no descriptor for an alarm: ") + std::strerror(errno));
  }

  // Readable from ring() on, until it is quiet().
  int descriptor() const { return descriptor_.get(); }
  void ring() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = write(descriptor_.get(), &one, sizeof(one));  // it rings already, if not
  }
  bool rings() const {
    pollfd polled{descriptor_.get(), POLLIN, 0};
    return poll(&polled, 1, 0) > 0;
  }
  void quiet() const {
    std::uint64_t rung = 0;
    [[maybe_unused]] const auto count = read(descriptor_.get(), &rung, sizeof(rung));  // it did not ring, if not
  }

 private:
  Descriptor descriptor_;
};

}  // namespace weft::host
